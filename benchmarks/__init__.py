"""Measurements of the real server, over a real socket.

report     the machine, percentiles, tables, the last line
dialogues  clips -> dialogues, and the truth about them
serving    the server as a process of its own, and what it says of itself
playing    dialogue -> server -> the turns that came back
matching   turns beside the clips in which they were spoken
timing     how long everything took            latency    the command
scoring    how right everything was            accuracy   the command
"""
