"""Settings -> the answer of the server that runs with them: what a container asks."""

from __future__ import annotations

import ssl
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from ipaddress import ip_address

from .config import ServerConfig

TIMEOUT_S = 5.0


def ask(config: ServerConfig, path: str) -> tuple[bool, str]:
    """Ask the server on this machine for a page.

    Args:
        config: Of the server.
        path: "/healthz" or "/readyz".

    Returns:
        Whether it says yes, and what it says, or why it says nothing.
    """
    connection = dial(config)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status == 200, answer.read().decode(errors="replace").strip()
    except (OSError, HTTPException) as error:
        return False, f"no answer from {connection.host}:{connection.port}: {error}"
    finally:
        connection.close()


def dial(config: ServerConfig) -> HTTPConnection:
    """Prepare to ask, over TLS where the server speaks it."""
    host = reachable(config.host)
    if not config.certificate:
        return HTTPConnection(host, config.port, timeout=TIMEOUT_S)
    # The certificate names the server as others know it, not as it is reached from
    # here; nothing secret is sent.
    trusting = ssl.create_default_context()
    trusting.check_hostname = False
    trusting.verify_mode = ssl.CERT_NONE
    return HTTPSConnection(host, config.port, timeout=TIMEOUT_S, context=trusting)


def reachable(host: str) -> str:
    """Give the address at which a server can be reached that listens on `host`."""
    try:
        address = ip_address(host)
    except ValueError:
        return host
    if not address.is_unspecified:
        return host
    return "127.0.0.1" if address.version == 4 else "::1"
