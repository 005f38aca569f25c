"""Request -> page: the browser client, health, metrics, and who may not come in."""

from __future__ import annotations

import http
import math

from websockets.asyncio.server import ServerConnection
from websockets.http11 import Request, Response

from . import events
from .admission import Admission
from .browser import serve_file
from .errors import NotAllowed
from .limits import LimitsConfig
from .metrics import Metrics

CLOSED = (events.PATH, "/metrics")
"""Those that want a token; load balancers and probes have none for the others."""


def answer(
    connection: ServerConnection,
    request: Request,
    admission: Admission,
    metrics: Metrics,
    obstacle: str | None,
) -> Response | None:
    """Answer a request over HTTP.

    Args:
        connection: Makes the response.
        request: What is asked for.
        admission: Who comes in.
        metrics: To be shown; told whom nobody let in.
        obstacle: Why no session can be opened now; None: one can.

    Returns:
        None where the WebSocket handshake goes on.
    """
    path = request.path.partition("?")[0]
    if path in CLOSED:
        try:
            admission.admit(request)
        except NotAllowed as error:
            if path == events.PATH:
                metrics.refused.labels(error.code).inc()
            return turn_away(connection, error)
    if path == events.PATH:
        return None
    if file := serve_file(request):  # the page itself holds nothing to be guarded
        return file
    status, text = http.HTTPStatus.OK, "alive\n"
    if path == "/metrics":
        text = metrics.text()
    elif path == "/readyz" and obstacle:
        status, text = http.HTTPStatus.SERVICE_UNAVAILABLE, f"{obstacle}\n"
    elif path == "/readyz":
        text = "ready\n"
    elif path != "/healthz":
        status, text = http.HTTPStatus.NOT_FOUND, "no such page\n"
    return connection.respond(status, text)


def ask_to_wait(
    connection: ServerConnection, limits: LimitsConfig, wait_s: float
) -> Response:
    """Make the answer to one who opens sockets too fast: HTTP 429 (RFC 6585)."""
    response = connection.respond(
        http.HTTPStatus.TOO_MANY_REQUESTS,
        f"expected at most {limits.connections_per_s:g} sockets a second beyond "
        f"{limits.connection_burst} at once, got more\n",
    )
    response.headers["Retry-After"] = str(math.ceil(wait_s))
    return response


def turn_away(connection: ServerConnection, error: NotAllowed) -> Response:
    """Make the answer to a request that is not let in: HTTP 401, or 403."""
    if error.code == "wrong_origin":
        return connection.respond(http.HTTPStatus.FORBIDDEN, f"{error}\n")
    response = connection.respond(http.HTTPStatus.UNAUTHORIZED, f"{error}\n")
    challenge = 'Bearer realm="stream-erc"'  # RFC 6750, section 3
    if error.code == "wrong_token":
        challenge += ', error="invalid_token"'
    response.headers["WWW-Authenticate"] = challenge
    return response
