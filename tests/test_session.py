"""What bad input gets, through a real server: an answer, and never a crash."""

import asyncio
import socket

import numpy as np
import pytest
from recording import (
    MONO_16K,
    RATE_HZ,
    agree,
    as_float32,
    as_pcm16,
    clip,
    dial,
    frames_of_20_ms,
    join,
    of_type,
    record,
    results,
    silence,
    talk,
    until_sessions,
    whole,
)

MODERN = "speech/LJ001-0002.flac"
FLOATS = {"encoding": "pcm_f32le", "sample_rate": RATE_HZ, "channels": 1}
START = {"type": "session.start", "audio": MONO_16K}
END = {"type": "session.end"}


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
        (START | {"language": "xx"}, "unknown_language", ["language", "en", "'xx'"]),
        (
            {
                "type": "session.resume",
                "session_id": "s",
                "resume_token": "t",
                "last_seq": 3,
            },
            "resume_off",
            ["session.start"],
        ),
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


# --- frames --------------------------------------------------------------------


async def test_half_a_sample_at_the_end_of_a_frame_is_carried_over(server_url):
    data = as_pcm16(join(clip(MODERN), silence(0.8)))
    async with talk(server_url, partials=False) as wire:
        await wire.say(data[:20_001], data[20_001:], END)
        heard = await wire.hear_all()
    reference = await record(server_url, [clip(MODERN), silence(0.8)], partials=False)
    assert not of_type(heard, "warning")
    assert agree(results(heard), results(reference))


async def test_half_a_sample_at_the_end_of_the_session_is_told(server_url):
    async with talk(server_url) as wire:
        await wire.say(b"\0\0\0", END)
        heard = await wire.hear_all()
    assert [m["type"] for m in heard[1:]] == ["warning", "session.ended"]
    assert heard[1]["code"] == "half_sample"


async def test_a_frame_of_one_mebibyte_is_heard(server_url):
    async with talk(server_url) as wire:
        await wire.say(b"\0" * (1 << 20), b"", END)
        heard = await wire.hear_all()
    assert heard[-1]["audio_ms"] == (1 << 20) // 32
    assert wire.close_code == 1000


@pytest.mark.parametrize("frame", [b"\0" * ((1 << 20) + 1), "x" * ((1 << 20) + 1)])
async def test_a_frame_over_one_mebibyte_closes_with_1009(server_url, frame):
    async with talk(server_url) as wire:
        await wire.say(frame)
        await wire.hear_all()
    assert wire.close_code == 1009


# --- audio that is not as it should be -----------------------------------------


def floats(samples):
    return samples.astype("<f4").tobytes()


def stained(value):
    """Real speech as floats with a few impossible values in it, in two places."""
    samples = join(clip(MODERN), silence(0.8)) / 32_768
    samples[4000:4010] = value
    samples[20_000] = value
    return samples


@pytest.mark.parametrize(
    ("value", "code"),
    [
        (np.nan, "audio_not_finite"),
        (np.inf, "audio_not_finite"),
        (-np.inf, "audio_not_finite"),
        (1.5, "audio_out_of_range"),
        (-3e38, "audio_out_of_range"),
    ],
)
async def test_impossible_floats_are_mended_and_told_once(server_url, value, code):
    heard = await record(
        server_url,
        [stained(value)],
        encode=floats,
        cutting=frames_of_20_ms,
        audio=FLOATS,
        partials=False,
    )
    assert [m["code"] for m in of_type(heard, "warning")] == [code]
    [final] = of_type(heard, "emotion.final")
    assert sum(final["probabilities"].values()) == pytest.approx(1, abs=0.001)


async def test_floats_that_are_nothing_but_nan_are_silence(server_url):
    heard = await record(
        server_url,
        [np.full(RATE_HZ * 3, np.nan)],
        encode=floats,
        audio=FLOATS | {"channels": 2},
    )
    assert [m["type"] for m in heard] == ["session.started", "warning", "session.ended"]


async def test_floats_within_range_are_not_warned_of(server_url):
    heard = await record(
        server_url, [silence(0.1) + 32_767], encode=as_float32, audio=FLOATS
    )
    assert not of_type(heard, "warning")


def noise(seconds, peak):
    dice = np.random.default_rng(0)
    return dice.uniform(-peak, peak, round(seconds * RATE_HZ)).astype(np.int16)


def square(seconds, hz):
    phase = np.arange(round(seconds * RATE_HZ)) * hz / RATE_HZ
    return np.where(phase % 1 < 0.5, 32_767, -32_768).astype(np.int16)


NOT_SPEECH = {
    "full-scale noise": noise(30, 32_767),
    "faint noise": noise(30, 30),
    "hum": square(30, 50) // 8,
    "a full-scale square wave": square(30, 440),
    "a dead channel": np.full(RATE_HZ * 30, 32_767, np.int16),
    "the other rail": np.full(RATE_HZ * 30, -32_768, np.int16),
    "clicks": np.where(np.arange(RATE_HZ * 30) % 5000 == 0, 32_767, 0).astype(np.int16),
}


@pytest.mark.parametrize("name", NOT_SPEECH)
async def test_half_a_minute_of_what_is_not_speech_makes_no_flood_of_turns(
    server_url, name
):
    heard = await record(server_url, [NOT_SPEECH[name]], partials=False)
    assert len(of_type(heard, "turn.started")) <= 2
    assert not [m["text"] for m in of_type(heard, "transcript.final") if m["text"]]


@pytest.mark.parametrize(
    "minutes", [2, pytest.param(60, marks=pytest.mark.slow)], ids="{} minutes".format
)
async def test_long_silence_makes_no_turn(server_url, minutes):
    audio = {"encoding": "mulaw", "sample_rate": 8000, "channels": 1}
    async with talk(server_url, audio=audio) as wire:
        for _ in range(minutes):
            await wire.say(b"\xff" * 8000 * 60)
        await wire.say(END)
        heard = await wire.hear_all()
    assert [m["type"] for m in heard] == ["session.started", "session.ended"]
    assert heard[-1]["audio_ms"] == minutes * 60_000


@pytest.mark.parametrize(
    "spoil",
    [
        lambda spoken: np.clip(spoken * 20.0, -32_768, 32_767),
        lambda spoken: np.clip(spoken + 8000.0, -32_768, 32_767),
    ],
    ids=["clipped", "with a DC offset"],
)
async def test_spoiled_speech_is_still_one_turn_with_words(server_url, spoil):
    spoken = join(clip(MODERN), silence(0.8)).astype(float)
    heard = await record(server_url, [spoil(spoken).astype(np.int16)], partials=False)
    [final] = of_type(heard, "transcript.final")
    assert "modern" in final["text"]


# --- who else is there ---------------------------------------------------------


@pytest.mark.parametrize("is_polite", [True, False], ids=["closes", "is cut off"])
async def test_a_client_that_vanishes_within_a_turn_is_forgotten_and_others_go_on(
    server_url, is_polite
):
    script = [clip(MODERN), silence(0.8)]
    reference = await record(server_url, script, partials=False)
    await until_sessions(server_url, 0)
    async with talk(server_url, partials=False) as other:
        async with talk(server_url) as wire:
            await wire.say(as_pcm16(clip(MODERN)))
            await wire.hear_until("turn.started")
            await until_sessions(server_url, 2)
            if is_polite:
                await wire.socket.close()
            else:
                wire.socket.transport.abort()
        await until_sessions(server_url, 1)
        await other.say(*whole(as_pcm16(join(*script))), END)
        assert agree(results(await other.hear_all()), results(reference))
    await until_sessions(server_url, 0)


async def test_clients_that_vanish_in_numbers_leave_nothing_behind(server_url):
    async def come_and_go():
        async with talk(server_url, conversation_id="crowd") as wire:
            await wire.say(as_pcm16(clip(MODERN)))
            wire.socket.transport.abort()

    await asyncio.gather(*(come_and_go() for _ in range(12)))
    await until_sessions(server_url, 0)
    heard = await record(server_url, [clip(MODERN), silence(0.8)], partials=False)
    assert len(of_type(heard, "emotion.final")) == 1


async def test_a_client_that_says_nothing_and_leaves_is_no_session(server_url):
    async with dial(server_url):
        pass
    address = server_url.removeprefix("ws://").partition("/")[0].split(":")
    with socket.create_connection((address[0], int(address[1]))) as raw:
        raw.sendall(b"GET /v1/str")
    await until_sessions(server_url, 0)


# --- many messages -------------------------------------------------------------


async def test_a_ping_is_answered_while_audio_waits(server_url):
    async with talk(server_url) as wire:
        await wire.say(*[b"\0" * (1 << 20)] * 3)
        await wire.say({"type": "marker", "id": 1}, {"type": "ping", "id": 2})
        said = [(await wire.hear())["type"], (await wire.hear())["type"]]
        await wire.say(END)
        await wire.hear_all()
    assert said == ["pong", "marker"]


async def test_a_flood_of_text_is_answered_in_order(server_url):
    async with talk(server_url) as wire:
        for number in range(1500):
            await wire.say({"type": "ping", "id": number})
            await wire.say({"type": "marker", "id": number})
        await wire.say(*["nonsense"] * 500, END)
        heard = await wire.hear_all()
    for kind in ("pong", "marker"):
        assert [m["id"] for m in of_type(heard, kind)] == list(range(1500))
    assert len(of_type(heard, "error")) == 500
    assert [m["seq"] for m in heard] == list(range(len(heard)))


async def test_a_flood_of_speakers_and_flushes_makes_no_turn_of_nothing(server_url):
    script = []
    for number in range(300):
        script += [
            {"type": "speaker.set", "speaker": f"speaker {number}"},
            {"type": "turn.flush"},
            silence(0.01),
        ]
    heard = await record(server_url, script)
    assert [m["type"] for m in heard] == ["session.started", "session.ended"]
    assert heard[-1]["audio_ms"] == 3000


async def test_speech_cut_every_tenth_of_a_second_loses_no_sample(server_url):
    spoken = clip(MODERN)
    script = []
    for at in range(0, len(spoken), RATE_HZ // 2):
        script += [spoken[at : at + RATE_HZ // 2], {"type": "turn.flush"}]
    heard = await record(server_url, script, partials=False)
    ended = of_type(heard, "turn.ended")
    assert {m["reason"] for m in ended} == {"flush"}
    for one, after in zip(ended, ended[1:], strict=False):
        assert one["end_ms"] == after["start_ms"]


async def test_many_lines_that_were_not_heard_all_enter_the_context(server_url):
    line = {"type": "context.add", "speaker": "agent", "text": "Yes, of course."}
    script = [line] * 40 + [clip(MODERN), silence(0.8)]
    heard = await record(server_url, script, partials=False)
    [final] = of_type(heard, "emotion.final")
    assert final["context_seq"] == 40
    assert 1 <= final["context_turns"] <= 40


@pytest.mark.parametrize("modalities", [["audio"], ["text"], ["audio", "text"], []])
async def test_an_emotion_rests_on_no_more_than_was_allowed(server_url, modalities):
    script = [clip(MODERN), silence(0.8)]
    heard = await record(server_url, script, modalities=modalities, partials=False)
    [final] = of_type(heard, "emotion.final")
    assert final["modalities"] == modalities
    assert sum(final["probabilities"].values()) == pytest.approx(1, abs=0.001)
