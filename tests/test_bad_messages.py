"""Messages that are wrong get an answer that says so, through a real server."""

import pytest
from recording import MONO_16K, dial, of_type, talk
from talking import END

START = {"type": "session.start", "audio": MONO_16K}


def start(**audio):
    return START | {"audio": MONO_16K | audio}


def without(message, name):
    return {key: value for key, value in message.items() if key != name}


# --- before the session is open: an error, then 1002 ---------------------------


@pytest.mark.parametrize(
    ("said", "code", "told"),
    [
        (b"\0\0", "not_started", ["session.start", "audio"]),
        ("no JSON", "not_json", ["JSON"]),
        ("", "not_json", ["JSON"]),
        ("[1]", "no_type", ["type", "[1]"]),
        ("{}", "no_type", ["type"]),
        ('{"type": 5}', "no_type", ["type", "5"]),
        ({"type": "start"}, "unknown_type", ["session.start", "'start'"]),
        ({"type": "turn.flush"}, "not_started", ["session.start", "turn.flush"]),
        ({"type": "session.start"}, "bad_field", ["audio", "missing"]),
        ({"type": "session.start", "audio": 5}, "bad_field", ["audio", "got 5"]),
        (
            START | {"audio": without(MONO_16K, "channels")},
            "bad_field",
            ["audio", "channels"],
        ),
        (
            start(encoding="opus"),
            "bad_field",
            ["audio.encoding", "pcm_s16le", "mulaw", "'opus'"],
        ),
        (start(sample_rate=7999), "bad_field", ["audio.sample_rate", "8000", "7999"]),
        (start(sample_rate=96_000), "bad_field", ["sample_rate", "48000", "96000"]),
        (start(sample_rate="16000"), "bad_field", ["sample_rate", "int", "'16000'"]),
        (start(sample_rate=None), "bad_field", ["audio.sample_rate", "None"]),
        (start(channels=3), "bad_field", ["audio.channels", "2", "got 3"]),
        (start(channels=0), "bad_field", ["audio.channels", "1", "got 0"]),
        (START | {"speaker": ""}, "bad_field", ["speaker", "length"]),
        (START | {"speaker": 5}, "bad_field", ["speaker", "str", "got 5"]),
        (START | {"partials": "no"}, "bad_field", ["partials", "bool", "'no'"]),
        (START | {"modalities": ["smell"]}, "bad_field", ["modalities", "smell"]),
        (START | {"modalities": []}, "bad_field", ["modalities", "[]"]),
        (START | {"language": "xx"}, "unknown_language", ["language", "en", "'xx'"]),
    ],
)
async def test_a_session_that_cannot_begin_is_told_why_and_closed_with_1002(
    server_url, said, code, told
):
    async with dial(server_url) as wire:
        await wire.say(said)
        [error] = await wire.hear_all()
    assert (error["type"], error["code"], error["seq"]) == ("error", code, 0)
    assert error["recoverable"] is False
    for part in told:
        assert part in error["message"]
    assert wire.close_code == 1002


# --- within a session: an error, and it goes on --------------------------------


@pytest.mark.parametrize(
    ("said", "code", "told"),
    [
        ("no JSON", "not_json", ["JSON"]),
        ("{" * 100_000, "not_json", ["JSON"]),
        ('{"type":' + "[" * 100_000, "not_json", ["JSON"]),
        ('{"type": "ping", "id": "\\ud800"}', "not_json", ["JSON"]),
        ('{"type": "ping", "id": NaN}', "not_json", ["JSON"]),
        ("null", "no_type", ["type", "None"]),
        ({"type": "session.stop"}, "unknown_type", ["session.end", "'session.stop'"]),
        ({"type": "x" * 1000}, "unknown_type", ["session.end", "xxx"]),
        ({"type": "session.ended"}, "unknown_type", ["session.end,"]),
        ({"type": "marker"}, "bad_field", ["marker", "id"]),
        ({"type": "marker", "id": None}, "bad_field", ["marker", "id", "None"]),
        ({"type": "ping", "id": 1.5}, "bad_field", ["ping", "id", "1.5"]),
        ({"type": "ping", "id": {"a": [1]}}, "bad_field", ["ping", "id"]),
        ({"type": "speaker.set"}, "bad_field", ["speaker.set", "speaker"]),
        ({"type": "speaker.set", "speaker": "x" * 201}, "bad_field", ["speaker"]),
        ({"type": "context.add", "speaker": "Ann"}, "bad_field", ["text"]),
        ({"type": "context.add", "text": "hello"}, "bad_field", ["speaker"]),
        (
            {"type": "context.add", "speaker": "Ann", "text": "x" * 10_001},
            "bad_field",
            ["text", "10000"],
        ),
        (START, "already_started", ["session.start"]),
    ],
)
async def test_a_message_that_is_wrong_is_refused_and_the_session_goes_on(
    server_url, said, code, told
):
    async with talk(server_url) as wire:
        await wire.say(said, {"type": "marker", "id": "still there"})
        error = await wire.hear()
        assert (error["type"], error["code"]) == ("error", code)
        assert error["recoverable"] is True
        assert len(error["message"]) < 500
        for part in told:
            assert part in error["message"]
        assert (await wire.hear())["id"] == "still there"
        await wire.say(END)
        heard = await wire.hear_all()
    assert [message["seq"] for message in heard] == [0, 1, 2, 3]
    assert wire.close_code == 1000


async def test_numbers_of_any_size_are_identifiers_or_refused(server_url):
    async with talk(server_url) as wire:
        for number in (2**63, 2**64, 10**30, -(10**30)):
            await wire.say({"type": "ping", "id": number})
            answer = await wire.hear()
            assert answer.get("id", answer.get("code")) in (number, "bad_field")
        await wire.say(END)
        await wire.hear_all()
    assert wire.close_code == 1000


async def test_an_unknown_field_is_named_in_a_warning_and_ignored(server_url):
    odd = MONO_16K | {"codec": "best"}
    async with dial(server_url) as wire:
        await wire.say(START | {"audio": odd, "colour": "red"})
        await wire.say({"type": "ping", "id": 1, "why": None}, END)
        heard = await wire.hear_all()
    warnings = of_type(heard, "warning")
    assert {warning["code"] for warning in warnings} == {"unknown_field"}
    named = " ".join(warning["message"] for warning in warnings)
    for field in ("colour", "audio.codec", "why"):
        assert field in named
    assert [m["type"] for m in heard if m not in warnings] == [
        "session.started",
        "pong",
        "session.ended",
    ]


async def test_text_that_is_not_utf8_closes_that_socket_alone(server_url):
    async with talk(server_url) as wire, talk(server_url) as other:
        await wire.socket.send(b"\xff\xfe", text=True)
        await wire.hear_all()
        assert wire.close_code == 1007
        await other.say(END)
        await other.hear_all()
        assert other.close_code == 1000


async def test_messages_after_the_end_of_the_session_change_nothing(server_url):
    async with talk(server_url) as wire:
        await wire.say(END, *[b"\0" * 64_000] * 30, "no JSON")
        heard = await wire.hear_all()
    assert [m["type"] for m in heard] == ["session.started", "session.ended"]
    assert wire.close_code == 1000
