"""Programs at the other end of the socket: replay, microphone, demo, Python API.

They know the product by `stream_erc.events` alone, so that none of them needs a model
or what runs one.
"""
