"""Measurements of the real server, over a real socket.

report     the machine, percentiles, tables, the last line
dialogues  clips -> dialogues, and the truth about them
mixture    clips -> what many people say at once
serving    the server as a process of its own, and what it says of itself
watching   who used the processors, and how late the client was
playing    dialogue -> server -> the turns that came back
wire       a session so light that many fit beside the server
crowd      many parts -> one server at once -> what became of each
matching   turns beside the clips in which they were spoken
timing     how long everything took            latency    the command
steps      a crowd's figures                   load       the command
overload   ten times too many                             load --overload
scoring    how right everything was            accuracy   the command
networks   the two networks alone              networks   the command
*_faults   one function for each kind of fault
verdict    events -> finals lost and doubled   faults     the command
page_*     a browser and its page, and when it shows what    page   the command
peer_*     other systems, in a Python apart    peers      the command
"""
