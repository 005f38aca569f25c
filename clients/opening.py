"""URL -> an open WebSocket to a stream-erc server, or one clear error."""

from __future__ import annotations

import logging
import os
import secrets
import ssl
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlencode

from websockets.asyncio.client import ClientConnection
from websockets.asyncio.client import connect as connect_socket
from websockets.exceptions import InvalidStatus, InvalidURI, WebSocketException

from clients.errors import ConnectionFailed
from stream_erc import events

DEFAULT_URL = f"ws://127.0.0.1:8765{events.PATH}"
TOKEN_VARIABLE = "STREAM_ERC_TOKEN"
"""Where programs look for the token: arguments would show in the list of processes."""

CA_HELP = "PEM file of whoever vouches for a wss:// server (default: the system's)"

ENVIRONMENT = f"""
environment:
  {TOKEN_VARIABLE}  token, for a server that wants one
"""

RESUME = "resume"
"""In a URL's query; see docs/protocol.md."""

OPEN_TIMEOUT_S = 20.0
MAX_MESSAGE_BYTES = 4 << 20  # a final of the longest turn is a few hundred KiB
CLOSE_TIMEOUT_S = 3.0  # nothing that is still wanted comes after a close
PING_TIMEOUT_S = 120.0
"""A pong waits its turn behind audio that the server holds back; the library's 20 s
would take a server that is slow for a dead one."""

wire_log = logging.getLogger(f"{__name__}.wire")
wire_log.setLevel(logging.INFO)  # at debug level the library logs the token


def route(url: str, conversation_id: str | None) -> str:
    """Say in a URL which sessions belong to one server, for a load balancer.

    Args:
        url: Of the server; one that says so already stays as it is.
        conversation_id: None: this session alone, whenever it comes back.
    """
    query = parse_qs(url.partition("?")[2], keep_blank_values=True)
    key = conversation_id or secrets.token_hex(8)
    return url if events.ROUTE in query else with_query(url, events.ROUTE, key)


def with_query(url: str, name: str, value: str) -> str:
    """Add a field to the query of a URL."""
    return f"{url}{'&' if '?' in url else '?'}{urlencode({name: value})}"


async def open_socket(
    url: str,
    token: str | None = None,
    ca: Path | None = None,
    is_back: bool = False,
) -> ClientConnection:
    """Open the WebSocket itself.

    Args:
        url: Of the server; errors show it without a query.
        token: For a server that wants one.
        ca: PEM file of whoever vouches for the server; None: whom the system trusts.
        is_back: The session is there already: no other server will do.

    Raises:
        ConnectionFailed: If nobody answers at `url`, or not with our protocol.
    """
    if is_back:
        url = with_query(url, RESUME, "1")
    options = {**carry_token(token), **trust(url, ca)}
    shown = without_query(url)
    try:
        socket = await connect_socket(
            url,
            subprotocols=[events.SUBPROTOCOL],  # type: ignore[list-item]
            compression=None,  # audio does not shrink, and each end saves its window
            max_size=MAX_MESSAGE_BYTES,
            open_timeout=OPEN_TIMEOUT_S,
            close_timeout=CLOSE_TIMEOUT_S,
            ping_timeout=PING_TIMEOUT_S,
            logger=wire_log,
            **options,
        )
    except (OSError, WebSocketException) as error:
        raise explain_failure(error, shown) from error
    if socket.subprotocol != events.SUBPROTOCOL:
        await socket.close()
        raise ConnectionFailed(
            "not_stream_erc", f"{shown}: the server does not speak {events.SUBPROTOCOL}"
        )
    return socket


def explain_failure(error: Exception, url: str) -> ConnectionFailed:
    """Make the error for a socket that did not open."""
    match error:
        case InvalidStatus(response=response):
            told = explain_status(response.status_code, url)
            status = response.status_code
            return ConnectionFailed("refused", told, http_status=status)
        case InvalidURI():
            told = f"expected a URL like {DEFAULT_URL}, got {url}"
            return ConnectionFailed("unreachable", told)
        case TimeoutError():
            told = f"{url}: no answer within {OPEN_TIMEOUT_S:.0f} s"
            return ConnectionFailed("unreachable", told)
        case ssl.SSLError(reason="WRONG_VERSION_NUMBER" | "RECORD_LAYER_FAILURE"):
            return ConnectionFailed("untrusted", explain_no_tls(url, "one without"))
        case ConnectionError(errno=None) if url.startswith("wss:"):
            told = explain_no_tls(url, "one that hangs up")
            return ConnectionFailed("unreachable", told)  # it may just be starting
        case ssl.SSLError():
            reason = getattr(error, "verify_message", error.reason)
            told = f"{url}: no safe connection to this server ({reason})"
            return ConnectionFailed("untrusted", told)
        case OSError():
            told = f"{url}: no server there ({explain_os_error(error)})"
            return ConnectionFailed("unreachable", told)
    return ConnectionFailed("not_stream_erc", f"{url}: {error}")


def explain_no_tls(url: str, came: str) -> str:
    """Say that a server does not answer the greeting of TLS."""
    return f"{url}: expected a server with TLS, got {came}; ws:// is without"


def explain_status(status: int, url: str) -> str:
    """Say what an HTTP status in place of a WebSocket means."""
    if status in (200, 404):  # the path of a page, or of nothing
        got = "a page" if status == 200 else "nothing"
        return (
            f"expected a URL like {DEFAULT_URL}, got {url} with {got} (HTTP {status})"
        )
    told = {
        401: ": the server wants a token, or another one",
        429: ": too many connections at once; wait a little",
    }
    return f"{url}: refused, HTTP {status}{told.get(status, '')}"


def read_token() -> str | None:
    """Give the token of the environment; None where there is none."""
    return os.environ.get(TOKEN_VARIABLE, "").strip() or None


def without_query(url: str) -> str:
    """Give a URL as it may be shown: its query may be a token."""
    return url.partition("?")[0]


def carry_token(token: str | None) -> dict[str, Any]:
    """Make the option that sends a token.

    Raises:
        ConnectionFailed: If it does not fit into a header; does not repeat it.
    """
    if not token:
        return {}
    if not (token.isascii() and token.isprintable()):
        raise ConnectionFailed(
            "refused", "expected a token of printable ASCII, got other characters"
        )
    return {"additional_headers": {"Authorization": f"Bearer {token}"}}


def trust(url: str, ca: Path | None) -> dict[str, Any]:
    """Make the option that trusts a file's certificates and no others.

    Raises:
        ConnectionFailed: If the file does not serve, or nothing at `url` is encrypted.
    """
    if ca is None:
        return {}
    if not url.startswith("wss:"):
        raise ConnectionFailed(
            "untrusted",
            f"expected wss:// with a file of certificates, got {without_query(url)}",
        )
    try:
        return {"ssl": ssl.create_default_context(cafile=ca)}
    except OSError as error:
        raise ConnectionFailed(
            "untrusted", f"{ca}: expected certificates in PEM form ({error})"
        ) from error


def explain_os_error(error: OSError) -> str:
    """Give the system's few words; asyncio puts addresses in their place."""
    if error.errno is not None and error.errno > 0:
        return os.strerror(error.errno)
    return error.strerror or str(error)
