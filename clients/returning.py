"""The way back to a session whose socket broke: when to try, and what to ask for."""

from __future__ import annotations

import random
from collections.abc import Iterator

from websockets.asyncio.client import ClientConnection

from clients.arrival import parse
from clients.errors import ConnectionLost
from stream_erc import events

FIRST_DELAY_S, MAX_DELAY_S = 0.1, 3.0
"""Before the first attempt to come back, and between later ones; at most."""


def delays() -> Iterator[float]:
    """Give how long to wait before each attempt: longer and longer, at random.

    Clients that lost their server together must not come back together.
    """
    limit_s = FIRST_DELAY_S
    while True:
        yield random.uniform(0, limit_s)
        limit_s = min(2 * limit_s, MAX_DELAY_S)


async def ask_back(
    socket: ClientConnection, started: events.SessionStarted, last_seq: int
) -> events.SessionResumed:
    """Ask for a session on a new socket.

    Args:
        socket: Nothing was said on it yet.
        started: How the session was opened; it can be resumed.
        last_seq: Of the last message that came.

    Raises:
        ConnectionClosed: If the socket breaks.
        ConnectionLost: If the session cannot go on.
    """
    assert started.resume_token is not None
    resume = events.SessionResume(
        session_id=started.session_id,
        resume_token=started.resume_token,
        last_seq=last_seq,
    )
    await socket.send(events.encode(resume))
    text = await socket.recv()
    answer = parse(text) if isinstance(text, str) else None
    if isinstance(answer, events.Failure):
        raise ConnectionLost(answer.code, answer.message)
    if not isinstance(answer, events.SessionResumed):
        raise ConnectionLost(
            "not_stream_erc", f"expected session.resumed, got {text[:100]!r}"
        )
    return answer
