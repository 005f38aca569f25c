"""Programs at the other end of the socket.

Replay, microphone, demo, Python API, voice agents. They know the product by
`stream_erc.events` alone, so that none of them needs a model or what runs one.
"""
