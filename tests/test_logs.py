"""Records -> lines: their form, their fields, and what they never say."""

import json
import logging
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st
from recording import as_pcm16, clip, join, of_type, silence, talk
from scripted_server import ANGRY, NEGATIVE
from talking import END, MODERN

from stream_erc import events
from stream_erc.logs import FORMATS, Json, SessionLog, Text, fields

SECRET = "the words of somebody"
TURN = [
    events.TurnEnded(
        turn=3,
        speaker="Ann Bloom",
        start_ms=0,
        end_ms=900,
        decided_ms=1400,
        reason="silence",
    ),
    events.TranscriptFinal(turn=3, text=SECRET, words=(), rejected=False),
    events.EmotionFinal(
        turn=3,
        label="anger",
        probabilities=ANGRY,
        sentiment=NEGATIVE,
        modalities=("audio", "text"),
        context_turns=0,
        context_seq=0,
        latency=events.Latency(
            endpoint_ms=3.5,
            compute_ms=45.0,
            queue_ms=1.5,
            hear_ms=40.0,
            understand_ms=5,
        ),
    ),
]


class Lines(logging.Handler):
    """Formats every record as the server would."""

    def __init__(self, formatter):
        super().__init__()
        self.setFormatter(formatter)
        self.lines = []

    def emit(self, record):
        self.lines.append(self.format(record))


@pytest.fixture
def logged():
    """Gives a function that lets a logger's lines be seen, formatted."""
    added = []

    def start(name, formatter):
        log = logging.getLogger(name)
        handler = Lines(formatter)
        added.append((log, handler, log.level))
        log.addHandler(handler)
        log.setLevel(logging.INFO)
        return handler.lines

    yield start
    for log, handler, level in added:
        log.removeHandler(handler)
        log.setLevel(level)


def record(message="it happened", exc_info=None, **values):
    made = logging.LogRecord("x", logging.INFO, "f.py", 1, message, (), exc_info)
    vars(made).update(fields(**values))
    return made


def caught(error):
    try:
        raise error
    except BaseException:
        return sys.exc_info()


# --- form ----------------------------------------------------------------------


def test_a_line_of_text_has_its_fields_behind_it():
    line = Text(has_content=False).format(record(session="ab12", turn=3, ms=1.5))
    assert line.endswith("INFO x it happened session=ab12 turn=3 ms=1.5")


def test_an_object_has_its_fields_beside_time_level_and_message():
    line = json.loads(Json(has_content=False).format(record(session="ab12", turn=3)))
    assert line.pop("time").endswith("+00:00")
    assert line == {
        "level": "info",
        "logger": "x",
        "message": "it happened",
        "session": "ab12",
        "turn": 3,
    }


@given(st.text())
def test_whatever_a_field_holds_stays_in_its_line(value):
    text = Text(has_content=True).format(record(text=value))
    assert len(text.splitlines()) == 1
    line = Json(has_content=True).format(record(text=value))
    assert len(line.splitlines()) == 1
    assert json.loads(line)["text"] == value
    assert line.encode()


def test_what_other_libraries_hang_on_a_record_is_not_logged():
    made = record()
    made.websocket = "GET /v1/stream?token=abc"
    for form in FORMATS.values():
        assert "token" not in form(True).format(made)


# --- content -------------------------------------------------------------------


@pytest.mark.parametrize("form", FORMATS.values())
def test_a_final_is_one_line_with_its_times_and_no_content(logged, form):
    lines = logged("stream_erc.logs", form(False))
    log = SessionLog("ab12", has_content=False)
    for event in TURN:
        log.note(event)
    [line] = lines
    for part in ("ab12", "3.5", "1.5", "40", "5", "final"):
        assert part in line
    for part in (SECRET, "Ann", "anger"):
        assert part not in line


def test_a_final_has_its_content_where_that_is_asked_for(logged):
    lines = logged("stream_erc.logs", Json(True))
    log = SessionLog("ab12", has_content=True)
    for event in TURN:
        log.note(event)
    [line] = map(json.loads, lines)
    assert (line["speaker"], line["text"], line["label"]) == (
        "Ann Bloom",
        SECRET,
        "anger",
    )
    assert (line["session"], line["turn"], line["ms"]) == ("ab12", 3, 3.5)
    assert (line["queue_ms"], line["hear_ms"], line["understand_ms"]) == (1.5, 40, 5)


def nested():
    """An error that quotes what was said, within a group, with a cause that does."""
    error = KeyError(SECRET)
    error.__cause__ = ValueError(SECRET)
    error.add_note(SECRET)
    return ExceptionGroup(SECRET, [error, RuntimeError(SECRET)])


@pytest.mark.parametrize("form", FORMATS.values())
def test_a_traceback_says_where_and_not_what(form):
    line = form(False).format(record(exc_info=caught(nested())))
    for part in ("in caught", "ExceptionGroup", "KeyError", "ValueError"):
        assert part in line
    assert SECRET not in line
    assert SECRET in form(True).format(record(exc_info=caught(nested())))


def test_an_error_that_contains_itself_ends():
    error = ValueError(SECRET)
    error.__context__ = KeyError("a")
    error.__context__.__context__ = error
    assert "KeyError" in Text(False).format(record(exc_info=caught(error)))


# --- through the server --------------------------------------------------------


async def test_of_a_whole_session_no_word_and_no_name_is_logged(serve, models, logged):
    lines = logged("stream_erc", Json(False))
    async with serve(models) as (_, url):
        wishes = {"speaker": "Nobodys-Business", "conversation_id": "Room-Of-Secrets"}
        async with talk(url, **wishes) as wire:
            await wire.say(as_pcm16(join(clip(MODERN), silence(0.8))), END)
            heard = await wire.hear_all()
    [transcript] = of_type(heard, "transcript.final")
    [emotion] = of_type(heard, "emotion.final")
    written = " ".join(lines)
    words = [word for word in transcript["text"].lower().split() if len(word) > 4]
    assert words
    assert not [word for word in words if word in written.lower()]
    for part in (*wishes.values(), heard[0]["resume_token"]):
        assert part not in written
    finals = [one for one in map(json.loads, lines) if one.get("stage") == "final"]
    assert [one["session"] for one in finals] == [heard[0]["session_id"]]
    assert finals[0]["ms"] == emotion["latency"]["endpoint_ms"]
