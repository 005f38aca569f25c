"""What the server sent, message by message, and what the end of a socket means."""

from __future__ import annotations

from dataclasses import dataclass

import msgspec
from msgspec import Struct

from clients.errors import ConnectionLost
from stream_erc import events
from stream_erc.events import ServerEvent, ServerMessage


@dataclass(frozen=True, slots=True)
class Arrival:
    """One message of the server.

    Attributes:
        text: The JSON, unchanged, but for numbers and times where the session has
            gone on at another server.
        event: The same, typed; None where this version does not know the type.
        received_s: `time.monotonic()` when it was taken from the socket.
    """

    text: str
    event: ServerEvent | None
    received_s: float


class Numbered(Struct):
    """What is needed of a message whose type this version does not know."""

    seq: int = -1


def parse(text: str) -> ServerMessage | None:
    """Read a message; None for a type that this version does not know.

    Raises:
        ConnectionLost: If it is not of the protocol.
    """
    try:
        return events.parse_server(text)
    except msgspec.MsgspecError as error:
        raise ConnectionLost(
            "not_stream_erc",
            f"the server sent what is not {events.SUBPROTOCOL}: {error}",
        ) from error


def explain_close(
    failure: events.Failure | None, close_code: int | None, reason: str | None
) -> ConnectionLost:
    """Make the error for a session that did not end as it should."""
    if failure is not None:
        return ConnectionLost(failure.code, failure.message, close_code)
    if close_code == 1001:
        return ConnectionLost("closed", "the server shut down", close_code)
    told = f": {reason}" if reason else ""
    return ConnectionLost(
        "closed",
        f"the connection closed before session.ended (code {close_code}{told})",
        close_code,
    )
