"""Path -> a file of the browser client: a fixed set, read once."""

from __future__ import annotations

import hashlib
import http
from dataclasses import dataclass
from pathlib import Path

from websockets.datastructures import Headers
from websockets.http11 import Request, Response

PAGE = Path(__file__).parent / "page"

TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}

POLICY = "; ".join(
    (
        "default-src 'self'",
        # Not all browsers count a WebSocket of the same origin as 'self'.
        "connect-src 'self' ws: wss:",
        "media-src 'self' blob:",  # a dropped file that is played
        "img-src 'self' blob:",
        "object-src 'none'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    )
)

HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",  # the address may hold a token
    "Permissions-Policy": "microphone=(self), camera=(), geolocation=()",
    "Cache-Control": "no-cache",  # kept, but asked for again: an update must be whole
    "Connection": "close",
}


@dataclass(frozen=True, slots=True)
class PageFile:
    """One file, as it is sent.

    Attributes:
        kind: Its MIME type.
        tag: Changes with the content; quoted, as `ETag` wants it.
        content: All of it.
    """

    kind: str
    tag: str
    content: bytes


def read_page(folder: Path = PAGE) -> dict[str, PageFile]:
    """Give the files of the page by request path; what is not here is not served.

    Raises:
        KeyError: If one has a suffix without a MIME type.
    """
    files = {}
    for path in sorted(folder.iterdir()):
        content = path.read_bytes()
        tag = f'"{hashlib.sha256(content).hexdigest()[:16]}"'
        files[f"/{path.name}"] = PageFile(TYPES[path.suffix], tag, content)
    files["/"] = files.pop("/index.html")
    return files


FILES = read_page()


def serve_file(request: Request) -> Response | None:
    """Answer with a file of the page; None where the path is none of them."""
    file = FILES.get(request.path.partition("?")[0])
    if file is None:
        return None
    headers = Headers({**HEADERS, "ETag": file.tag, "Content-Type": file.kind})
    if file.tag in request.headers.get_all("If-None-Match"):
        status, content = http.HTTPStatus.NOT_MODIFIED, b""
    else:
        status, content = http.HTTPStatus.OK, file.content
        headers["Content-Length"] = str(len(content))
    return Response(status.value, status.phrase, headers, content)
