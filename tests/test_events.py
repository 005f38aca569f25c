"""JSON text <-> messages: what the contract has, and what it refuses."""

import json
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream_erc import events, reading
from stream_erc.errors import BadMessage

# One of each, written as an outside client or server would, from docs/protocol.md.
CLIENT_MESSAGES = [
    {
        "type": "session.start",
        "audio": {"encoding": "pcm_s16le", "sample_rate": 48000, "channels": 2},
        "speaker": "Ann",
        "conversation_id": "kitchen",
        "language": "en",
        "partials": False,
        "observe": True,
        "modalities": ["audio"],
    },
    {
        "type": "session.resume",
        "session_id": "a1",
        "resume_token": "secret",
        "last_seq": 7,
    },
    {"type": "speaker.set", "speaker": "Bob"},
    {"type": "context.add", "speaker": "agent", "text": "How can I help?"},
    {"type": "turn.flush"},
    {"type": "marker", "id": "m1"},
    {"type": "ping", "id": 3},
    {"type": "session.end"},
]

EMOTION = {
    "label": "joy",
    "probabilities": {"joy": 0.75, "neutral": 0.25},
    "sentiment": {"negative": 0.0, "neutral": 0.25, "positive": 0.75},
    "modalities": ["audio", "text"],
}
SERVER_MESSAGES = [
    {
        "type": "session.started",
        "session_id": "a1",
        "resume_token": None,
        "protocol": 1,
        "labels": ["neutral", "joy"],
        "limits": {
            "max_frame_bytes": 1048576,
            "max_text_bytes": 131072,
            "max_session_s": 86400.0,
            "idle_timeout_s": 300.0,
            "max_turn_ms": 19000,
            "end_silence_ms": 544,
            "pre_roll_ms": 300,
            "resume_window_s": 30.0,
        },
        "recorded": False,
        "conversation_turns": 3,
    },
    {"type": "speech.started", "at_ms": 320},
    {"type": "speech.stopped", "at_ms": 960},
    {
        "type": "turn.started",
        "turn": 0,
        "speaker": None,
        "start_ms": 20,
        "voice_start_ms": 320,
    },
    {
        "type": "transcript.partial",
        "turn": 0,
        "revision": 2,
        "text": "so my",
        "stable_chars": 2,
    },
    {"type": "emotion.partial", "turn": 0, "revision": 2, **EMOTION},
    {"type": "turn.resumed", "turn": 0},
    {
        "type": "turn.ended",
        "turn": 0,
        "speaker": "Ann",
        "start_ms": 20,
        "end_ms": 1056,
        "decided_ms": 1504,
        "reason": "silence",
    },
    {
        "type": "transcript.final",
        "turn": 0,
        "text": "So.",
        "words": [{"word": "So.", "start_ms": 320, "end_ms": 900, "probability": 0.9}],
        "rejected": False,
    },
    {
        "type": "emotion.final",
        "turn": 0,
        **EMOTION,
        "context_turns": 3,
        "context_seq": 4,
        "latency": {
            "endpoint_ms": 1.5,
            "compute_ms": 40.0,
            "queue_ms": 0.0,
            "hear_ms": 30.0,
            "understand_ms": 10.0,
        },
    },
    {
        "type": "conversation.turn",
        "session_id": "b2",
        "speaker": "Bob",
        "start_ms": -480,
        "end_ms": 900,
        "text": "Really?",
        "rejected": False,
        **EMOTION,
        "context_turns": 3,
        "context_seq": 4,
    },
    {"type": "marker", "id": "m1"},
    {"type": "pong", "id": 3},
    {"type": "warning", "code": "unknown_field", "message": "mood: ignored"},
    {"type": "error", "code": "not_json", "message": "expected", "recoverable": True},
    {"type": "status", "lag_ms": 0, "degraded": False, "partials": "all"},
    {
        "type": "session.ended",
        "turns": 2,
        "audio_ms": 9000,
        "client_messages_received": 3,
    },
]
STAMP = {"seq": 5, "time_ms": 1504}

START = CLIENT_MESSAGES[0]


def type_of(message):
    return message["type"]


def refusal(message):
    """The error that a client's message meets; a text is sent as it is."""
    text = message if isinstance(message, str) else json.dumps(message)
    with pytest.raises(BadMessage) as caught:
        reading.parse_client(text)
    return caught.value


@pytest.mark.parametrize("message", CLIENT_MESSAGES, ids=type_of)
def test_a_client_message_of_the_contract_is_read_whole(message):
    parsed, unknown = reading.parse_client(json.dumps(message))
    assert json.loads(events.encode(parsed)) == message
    assert unknown == []


@pytest.mark.parametrize("message", SERVER_MESSAGES, ids=type_of)
def test_a_server_message_is_what_the_contract_says(message):
    parsed = events.parse_server(json.dumps(message | STAMP))
    assert json.loads(events.encode(parsed)) == message | STAMP


def test_every_message_type_is_exercised_here():
    assert {type_of(m) for m in CLIENT_MESSAGES} == {
        kind.__struct_config__.tag for kind in get_args(events.ClientMessage)
    }
    assert {type_of(m) for m in SERVER_MESSAGES} == {
        kind.__struct_config__.tag for kind in get_args(events.ServerEvent)
    }


@pytest.mark.parametrize("message", SERVER_MESSAGES, ids=type_of)
def test_only_messages_about_a_turn_have_a_turn(message):
    parsed = events.parse_server(json.dumps(message))
    assert hasattr(parsed, "turn") == ("turn" in message)
    assert type_of(message).startswith(("turn.", "transcript.", "emotion.")) == (
        "turn" in message
    )


def test_what_a_start_leaves_out_has_the_defaults_of_the_contract():
    start, _ = reading.parse_client(
        json.dumps({"type": "session.start", "audio": START["audio"]})
    )
    assert start.speaker == "speaker"
    assert start.partials is True
    assert (start.conversation_id, start.language) == (None, None)
    assert start.modalities == ("audio", "text")


@pytest.mark.parametrize("rate", [8000, 11025, 16000, 22050, 44100, 48000])
@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("encoding", ["pcm_s16le", "pcm_f32le", "mulaw"])
def test_every_declared_format_is_welcome(encoding, channels, rate):
    audio = {"encoding": encoding, "sample_rate": rate, "channels": channels}
    start, _ = reading.parse_client(
        json.dumps({"type": "session.start", "audio": audio})
    )
    assert (start.audio.encoding, start.audio.channels) == (encoding, channels)
    assert start.audio.sample_rate == rate


@pytest.mark.parametrize("message", CLIENT_MESSAGES, ids=type_of)
def test_an_unknown_field_is_named_and_the_message_still_holds(message):
    parsed, unknown = reading.parse_client(json.dumps(message | {"mood": "good"}))
    assert unknown == ["mood"]
    assert json.loads(events.encode(parsed)) == message


def test_an_unknown_field_of_the_audio_is_named_with_its_path():
    audio = START["audio"] | {"endian": "little"}
    _, unknown = reading.parse_client(json.dumps(START | {"audio": audio, "mood": 1}))
    assert sorted(unknown) == ["audio.endian", "mood"]


@pytest.mark.parametrize("text", ["", "hello", "{", '{"type": "ping", "id": 1} x'])
def test_what_is_not_json_is_refused_as_such(text):
    assert refusal(text).code == "not_json"


@pytest.mark.parametrize("text", ["[]", "3", "null", "{}", '{"type": 3}'])
def test_json_without_a_type_is_refused_as_such(text):
    assert refusal(text).code == "no_type"


def test_an_unknown_type_is_named_beside_all_that_there_are():
    error = refusal({"type": "session.begin"})
    assert error.code == "unknown_type"
    assert "session.begin" in str(error)
    for message in CLIENT_MESSAGES:
        assert message["type"] in str(error)


BAD_FIELDS = {
    "missing audio": ({"type": "session.start"}, "audio", "type"),
    "audio not an object": (START | {"audio": 3}, "object", "3"),
    "rate too low": ({"sample_rate": 7999}, ">= 8000", "7999"),
    "rate too high": ({"sample_rate": 48001}, "<= 48000", "48001"),
    "rate as text": ({"sample_rate": "16k"}, "int", "'16k'"),
    "no channel": ({"channels": 0}, ">= 1", "0"),
    "three channels": ({"channels": 3}, "<= 2", "3"),
    "unknown encoding": ({"encoding": "opus"}, "pcm_s16le, pcm_f32le, mulaw", "opus"),
    "unknown modality": (START | {"modalities": ["face"]}, "audio, text", "face"),
    "empty speaker": ({"type": "speaker.set", "speaker": ""}, "length >= 1", "''"),
    "no text": ({"type": "context.add", "speaker": "a"}, "text", "speaker"),
    "empty text": (
        {"type": "context.add", "speaker": "a", "text": ""},
        "length >= 1",
        "''",
    ),
    "fractional marker": ({"type": "marker", "id": 1.5}, "int | str", "1.5"),
    "marker without id": ({"type": "marker"}, "id", "type"),
    "partials as text": (START | {"partials": "no"}, "bool", "'no'"),
}


@pytest.mark.parametrize("case", BAD_FIELDS)
def test_a_bad_field_is_named_with_what_was_expected_and_what_came(case):
    message, expected, got = BAD_FIELDS[case]
    if "type" not in message:
        message = START | {"audio": START["audio"] | message}
    error = refusal(message)
    assert error.code == "bad_field"
    told_expected, _, told_got = str(error).rpartition(", got ")
    assert told_expected.startswith(message["type"])
    assert expected in told_expected
    assert got in told_got


def test_a_refused_message_leaves_the_session_running():
    assert refusal("nonsense").is_recoverable
    assert refusal({"type": "marker"}).is_recoverable


@pytest.mark.parametrize(
    "text",
    [
        json.dumps({"type": "speaker.set", "speaker": ["x" * 100_000]}),
        json.dumps({"type": "x" * 100_000}),
        json.dumps(["x" * 100_000]),
    ],
    ids=["field", "type", "whole"],
)
def test_an_error_does_not_repeat_a_megabyte(text):
    assert len(str(refusal(text))) < 1000


def test_nesting_of_any_depth_is_refused_and_no_bug():
    for depth in (10, *range(900, 1010), 100_000):  # Python's limit is near 1000
        nest = "[" * depth + "]" * depth
        assert refusal(nest).code in {"no_type", "not_json"}
        message = f'{{"type": "speaker.set", "speaker": {nest}}}'
        assert refusal(message).code in {"bad_field", "not_json"}


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=5,
)


@given(
    st.sampled_from(CLIENT_MESSAGES),
    st.dictionaries(st.sampled_from(["type", "audio", "id", "speaker"]), json_values),
)
def test_whatever_a_client_sends_is_read_or_refused_and_no_bug(message, noise):
    try:
        reading.parse_client(json.dumps(message | noise))
    except BadMessage as error:
        assert "got" in str(error)


@given(st.text())
def test_any_text_is_read_or_refused_and_no_bug(text):
    assert refusal(text).code in {"not_json", "no_type"}


@given(
    st.integers(-(2**63), 2**63 - 1) | st.text(st.characters(exclude_categories=["Cs"]))
)
def test_any_identifier_comes_back_as_it_was_sent(identifier):
    text = json.dumps({"type": "ping", "id": identifier})
    ping, _ = reading.parse_client(text)
    assert json.loads(events.encode(events.Pong(id=ping.id)))["id"] == identifier


def test_a_client_ignores_server_messages_and_fields_that_it_does_not_know():
    assert events.parse_server('{"type": "mood.changed", "seq": 3}') is None
    pong = events.parse_server('{"type": "pong", "id": 1, "hops": 4}')
    assert pong == events.Pong(id=1)


def test_a_numbered_event_is_the_same_but_for_its_number():
    event = events.Pong(id=1, time_ms=20)
    assert events.numbered(event, 9) == events.Pong(id=1, time_ms=20, seq=9)
    assert event.seq == -1
