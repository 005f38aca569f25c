"""Every error a client raises on purpose.

    ClientError
    ├── ConnectionFailed   no session could be opened
    ├── ConnectionLost     the session broke off before `session.ended`
    ├── UnplayableFile     a file that cannot be played, or a line of a corpus
    ├── MicrophoneFailed   no microphone, or it fell silent
    └── ServerFailed       the demo's own server did not start, or died

Each message is one line that can be shown as it is.
"""

from __future__ import annotations


class ClientError(Exception):
    """Base class; catch this at the edge of a program."""


class ConnectionFailed(ClientError):
    """No session could be opened.

    Attributes:
        code: The server's stable code, or, where none came: `unreachable`, `refused`
            (an HTTP status), `untrusted` (its certificate, or no TLS),
            `not_stream_erc`, `timeout`, `closed`.
        close_code: The WebSocket close code; None where no socket was open.
        http_status: What came in place of a WebSocket; None where nothing did.
    """

    def __init__(
        self,
        code: str,
        message: str,
        close_code: int | None = None,
        http_status: int | None = None,
    ):
        super().__init__(message)
        self.code = code
        self.close_code = close_code
        self.http_status = http_status

    @property
    def is_temporary(self) -> bool:
        """Whether the same attempt may succeed later: nobody there, or no room."""
        if self.http_status is not None:
            return self.http_status == 429 or self.http_status >= 500
        no_answer = self.code in ("unreachable", "timeout", "closed")
        return no_answer or self.close_code in (1001, 1006, 1011, 1013)


class ConnectionLost(ClientError):
    """The session broke off before `session.ended`, or it had ended already.

    Attributes:
        code: The server's stable code, or, where none came: `closed`,
            `gave_up` (the server could not be reached again in time), `audio_lost`
            (more was on its way than is kept to be sent again), `not_stream_erc`
            (what came is not the protocol), `ended`.
        close_code: The WebSocket close code; 1006 where the socket broke without one.
    """

    def __init__(self, code: str, message: str, close_code: int | None = None):
        super().__init__(message)
        self.code = code
        self.close_code = close_code


class UnplayableFile(ClientError):
    """A file, or a line of a corpus, that cannot be played; the message names it."""


class MicrophoneFailed(ClientError):
    """There is no microphone as asked for, or it stopped giving audio."""


class ServerFailed(ClientError):
    """The server that the demo started is not there; the message has its stderr."""
