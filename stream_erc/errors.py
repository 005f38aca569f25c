"""Every error this package raises on purpose.

    StreamErcError
    ├── ConfigError      a setting is out of range or contradicts another   at start-up
    ├── ModelError       a model file is missing, damaged or not ours       at start-up
    ├── JournalError     a journal cannot be opened, or is not ours         at start-up
    ├── ClusterError     Ray or its replicas are not there, or not ours     at start-up
    ├── RecordingError   a recording cannot be read                         others go on
    └── SessionError     ends one session, never the server; has a close code
        ├── BadMessage       the client broke the protocol                  1002
        ├── NotAllowed       its token or its page is none of ours          1008
        ├── Overloaded       no room for another session, or it fell behind 1013
        └── Broken           a bug here ended the session                   1011

Anything else is a bug: its traceback is logged and the client is told `Broken`.
Close codes: RFC 6455, section 7.4.1, and the IANA registry (1013).
"""

from __future__ import annotations

from typing import ClassVar, TypeVar

E = TypeVar("E", bound=BaseException)


class StreamErcError(Exception):
    """Base class; catch this at the edge of the program, nowhere else."""


class ConfigError(StreamErcError):
    """A setting is out of range or contradicts another."""


class ModelError(StreamErcError):
    """A model file is missing or damaged, or its inputs and outputs are not ours."""


class JournalError(StreamErcError):
    """A journal, or the folder of recordings, cannot be used or is not ours."""


class ClusterError(StreamErcError):
    """A Ray cluster cannot be joined, or its replicas are missing or others."""


class RecordingError(StreamErcError):
    """A recording cannot be read, or holds no audio."""


def reason(error: Exception) -> str:
    """Say in words why a file cannot be used, without the number and the path.

    Whoever raises the error anew names the path, and what was expected there.
    """
    if isinstance(error, UnicodeDecodeError):
        return "text that is not UTF-8"
    told = getattr(error, "strerror", None)  # of the system, and of FFmpeg
    return str(told)[0].lower() + str(told)[1:] if told else str(error)


class SessionError(StreamErcError):
    """Ends one session, or is told to it; the message is shown to the client.

    Attributes:
        code: Stable, snake_case; a program may act on it.
        is_recoverable: True where the session goes on after the error.
    """

    close_code: ClassVar[int]

    def __init__(self, code: str, message: str, *, is_recoverable: bool = False):
        super().__init__(message)
        self.code = code
        self.is_recoverable = is_recoverable


class BadMessage(SessionError):
    """The client sent what the protocol does not allow."""

    close_code = 1002


class NotAllowed(SessionError):
    """The client may not come in: its token, or the page it comes from."""

    close_code = 1008


class Overloaded(SessionError):
    """The server has no room for this session, or the session fell behind."""

    close_code = 1013


class Broken(SessionError):
    """A bug here ended the session; the traceback is in the log."""

    close_code = 1011


def first_of(group: BaseExceptionGroup[E]) -> E:
    """Give the first error of a group of groups."""
    error: E | BaseExceptionGroup[E] = group
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error
