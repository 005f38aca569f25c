"""Bare sockets with a session, for clients that do not follow the protocol."""

from __future__ import annotations

import json
from contextlib import suppress

from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed

from clients.errors import ConnectionFailed
from clients.opening import open_socket
from clients.sources import FORMAT
from stream_erc import events


async def open_started(
    url: str, conversation_id: str | None = None
) -> ClientConnection:
    """Open a socket with a session.

    Raises:
        ConnectionFailed: If it is not let in.
    """
    socket = await open_socket(url)
    start = events.SessionStart(audio=FORMAT, conversation_id=conversation_id)
    await socket.send(events.encode(start))
    told = json.loads(await socket.recv())
    if told["type"] != "session.started":
        await socket.wait_closed()
        raise ConnectionFailed(told["code"], told["message"], socket.close_code)
    return socket


async def drain(socket: ClientConnection) -> list[str | bytes]:
    """Read until the server closes."""
    told: list[str | bytes] = []
    with suppress(ConnectionClosed):
        while True:
            told.append(await socket.recv())
    return told
