"""URL -> an open WebSocket to a stream-erc server, or one clear error."""

from __future__ import annotations

import os

from websockets.asyncio.client import ClientConnection
from websockets.asyncio.client import connect as connect_socket
from websockets.exceptions import InvalidStatus, InvalidURI, WebSocketException

from clients.errors import ConnectionFailed
from stream_erc import events

DEFAULT_URL = f"ws://127.0.0.1:8765{events.PATH}"
OPEN_TIMEOUT_S = 20.0
MAX_MESSAGE_BYTES = 4 << 20  # a final of the longest turn is a few hundred KiB
CLOSE_TIMEOUT_S = 3.0  # nothing that is still wanted comes after a close
PING_TIMEOUT_S = 120.0
"""A pong waits its turn behind audio that the server holds back; the library's 20 s
would take a server that is slow for a dead one."""


async def open_socket(url: str) -> ClientConnection:
    """Open the WebSocket itself.

    Raises:
        ConnectionFailed: If nobody answers at `url`, or not with our protocol.
    """
    try:
        socket = await connect_socket(
            url,
            subprotocols=[events.SUBPROTOCOL],  # type: ignore[list-item]
            compression=None,  # audio does not shrink, and each end saves its window
            max_size=MAX_MESSAGE_BYTES,
            open_timeout=OPEN_TIMEOUT_S,
            close_timeout=CLOSE_TIMEOUT_S,
            ping_timeout=PING_TIMEOUT_S,
        )
    except InvalidStatus as error:
        status = error.response.status_code
        raise ConnectionFailed("refused", f"{url}: refused, HTTP {status}") from error
    except InvalidURI as error:
        raise ConnectionFailed(
            "unreachable", f"expected a URL like {DEFAULT_URL}, got {url}"
        ) from error
    except TimeoutError as error:
        raise ConnectionFailed(
            "unreachable", f"{url}: no answer within {OPEN_TIMEOUT_S:.0f} s"
        ) from error
    except OSError as error:
        raise ConnectionFailed(
            "unreachable", f"{url}: no server there ({explain_os_error(error)})"
        ) from error
    except WebSocketException as error:
        raise ConnectionFailed("not_stream_erc", f"{url}: {error}") from error
    if socket.subprotocol != events.SUBPROTOCOL:
        await socket.close()
        raise ConnectionFailed(
            "not_stream_erc", f"{url}: the server does not speak {events.SUBPROTOCOL}"
        )
    return socket


def explain_os_error(error: OSError) -> str:
    """Give the system's few words; asyncio puts addresses in their place."""
    if error.errno is not None and error.errno > 0:
        return os.strerror(error.errno)
    return error.strerror or str(error)
