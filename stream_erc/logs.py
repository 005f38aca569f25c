"""Record -> line: what is logged, as text for people or JSON for collectors.

Words, names, emotions and what an unexpected error says of them are content, and stay
out unless `log.content` asks for them. Tokens never come here.
"""

from __future__ import annotations

import json
import logging
import re
import traceback
from collections.abc import Iterator
from datetime import UTC, datetime
from types import TracebackType
from typing import Any

from . import events
from .config import LogConfig

log = logging.getLogger(__name__)

PLAIN = re.compile(r"[\w.:@+-]+", re.ASCII)  # what stands without quotes, as in logfmt

ExcInfo = (
    tuple[type[BaseException], BaseException, TracebackType | None]
    | tuple[None, None, None]
)


def open_log(config: LogConfig, level: int) -> None:
    """Let everything from `level` on be logged to stderr."""
    lines = logging.StreamHandler()
    lines.setFormatter(FORMATS[config.format](config.content))
    logging.basicConfig(level=level, handlers=[lines])


def fields(**values: object) -> dict[str, dict[str, object]]:
    """Give what belongs to a record, such as session, turn, stage, ms; for `extra`."""
    return {"fields": values}


def fields_of(record: logging.LogRecord) -> dict[str, Any]:
    """Give what `fields` added; nothing that other libraries hang on a record."""
    given: dict[str, Any] = getattr(record, "fields", {})
    return given


class Text(logging.Formatter):
    """A line with the fields behind it, in the manner of logfmt.

    Args:
        has_content: Whether an error may say what it stumbled over.
    """

    def __init__(self, has_content: bool) -> None:
        super().__init__("%(asctime)s %(levelname)s %(name)s %(message)s")
        self._has_content = has_content

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802
        """Write the line; a traceback follows."""
        pairs = (f" {name}={spell(v)}" for name, v in fields_of(record).items())
        return super().formatMessage(record) + "".join(pairs)

    def formatException(self, ei: ExcInfo) -> str:  # noqa: N802
        """Tell where an error happened."""
        return tell_error(ei[1], self._has_content)


class Json(logging.Formatter):
    """An object for each line: time, level, logger, message, the fields, error.

    Args:
        has_content: Whether an error may say what it stumbled over.
    """

    def __init__(self, has_content: bool) -> None:
        super().__init__()
        self._has_content = has_content

    def format(self, record: logging.LogRecord) -> str:
        """Write one line."""
        time = datetime.fromtimestamp(record.created, UTC)
        line = {
            "time": time.isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **fields_of(record),
        }
        if record.exc_info:
            line["error"] = tell_error(record.exc_info[1], self._has_content)
        return json.dumps(line, default=str)


FORMATS: dict[str, type[Text | Json]] = {"text": Text, "json": Json}


def spell(value: object) -> str:
    """Write a field's value so that it is one word, or quoted."""
    text = str(value)
    return text if PLAIN.fullmatch(text) else json.dumps(text)


def tell_error(error: BaseException | None, has_content: bool) -> str:
    """Give a traceback; without content, of each error its type and where it was."""
    if error is None:
        return ""
    if has_content:
        return "".join(traceback.format_exception(error)).rstrip()
    return "\n".join(trace(error, set()))


def trace(error: BaseException, told: set[int]) -> Iterator[str]:
    """Give the lines of an error's traceback, its causes first, without messages.

    Args:
        error: With its causes and members.
        told: Identities of those that have been; each is told once.
    """
    if id(error) in told:
        return
    told.add(id(error))
    cause = error.__cause__
    if cause is None and not error.__suppress_context__:
        cause = error.__context__
    if cause is not None:
        yield from trace(cause, told)
        yield "which led to:"
    for place in traceback.format_list(traceback.extract_tb(error.__traceback__)):
        yield place.rstrip()
    yield f"{type(error).__module__}.{type(error).__qualname__}"
    if isinstance(error, BaseExceptionGroup):
        for member in error.exceptions:
            yield from trace(member, told)


class SessionLog:
    """One session's lines.

    Args:
        session: Its identifier.
        has_content: Whether words, speakers and emotions are logged.
    """

    def __init__(self, session: str, has_content: bool) -> None:
        self._session = session
        self._has_content = has_content
        self._said: dict[int, dict[str, object]] = {}  # by turns without finals

    def info(self, message: str, **values: object) -> None:
        """Note what happens to the session."""
        log.info(message, extra=fields(session=self._session, **values))

    def failure(self, message: str) -> None:
        """Note the error that is being caught."""
        log.exception(message, extra=fields(session=self._session))

    def note(self, event: events.Event) -> None:
        """Note a turn that is final, how long its stages took, and the end."""
        if isinstance(event, events.EmotionFinal):
            self._note_final(event)
        elif isinstance(event, events.SessionEnded):
            self.info("session has ended", turns=event.turns, audio_ms=event.audio_ms)
        elif not self._has_content:
            return
        elif isinstance(event, events.TurnEnded):
            self._said[event.turn] = {"speaker": event.speaker}
        elif isinstance(event, events.TranscriptFinal):
            self._said[event.turn]["text"] = event.text

    def _note_final(self, final: events.EmotionFinal) -> None:
        content: dict[str, object] = {}
        if self._has_content:
            content = self._said.pop(final.turn) | {"label": final.label}
        self.info(
            "turn is final",
            turn=final.turn,
            stage="final",
            ms=final.latency.endpoint_ms,
            queue_ms=final.latency.queue_ms,
            hear_ms=final.latency.hear_ms,
            understand_ms=final.latency.understand_ms,
            **content,
        )
