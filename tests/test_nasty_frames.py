"""What hostile and broken clients send hurts nobody, and is answered in a few words."""

import json

import pytest
from recording import as_pcm16, dial, join, of_type, silence, talk
from scripted_models import Loudness, ScriptedModels, sentence
from talking import END

from benchmarks.nasty_frames import FIRSTS, RAW, TEXTS
from stream_erc import events
from stream_erc.errors import BadMessage
from stream_erc.reading import parse_client
from stream_erc.wording import warn_of

TURN = join(sentence(1.0), silence(0.8))
FEW_WORDS = 500  # characters of an answer


@pytest.fixture
def vad():
    """Of the server in this process."""
    return Loudness()


def named(table):
    return pytest.mark.parametrize("name", table)


@named(TEXTS)
def test_a_text_is_read_or_refused_in_a_few_words(name):
    text, code = TEXTS[name]
    if code is None:
        message, unknown = parse_client(text)
        told = [warning.message for warning in warn_of(unknown, 0)]
        assert events.encode(message)
        assert len(told) <= 10
    else:
        with pytest.raises(BadMessage) as caught:
            parse_client(text)
        assert caught.value.code == code
        assert caught.value.is_recoverable
        told = [str(caught.value)]
    for message in told:
        assert "expected" in message.lower() or "missing" in message
        assert len(message) < FEW_WORDS
        assert message.isprintable() or code == "not_json"


async def test_one_session_stands_all_of_them(serve):
    async with (
        serve(ScriptedModels(), drain_s=0.2) as (_, url),
        talk(url, partials=False) as wire,
    ):
        for name, (text, code) in TEXTS.items():
            await wire.say(text, {"type": "marker", "id": "next"})
            answers = []
            while (answer := await wire.hear())["type"] != "marker":
                answers.append(answer)
            errors = [answer["code"] for answer in of_type(answers, "error")]
            assert errors == ([code] if code else []), name
            assert all(
                len(json.dumps(m)) < 2 * FEW_WORDS for m in of_type(answers, "error")
            )
        await wire.say(as_pcm16(TURN), END)
        heard = await wire.hear_all()
    assert [m["seq"] for m in heard] == list(range(len(heard)))
    assert len(of_type(heard, "emotion.final")) == 1
    assert wire.close_code == 1000


async def test_as_a_first_message_they_open_nothing(serve):
    refused = TEXTS | FIRSTS
    async with serve(ScriptedModels(), connection_burst=1000) as (_, url):
        for name, (message, code) in refused.items():
            async with dial(url) as wire:
                await wire.say(message)
                [error] = await wire.hear_all()
            assert error["code"] == (code or "not_started"), name
            assert error["recoverable"] is False
            assert wire.close_code == (1008 if code == "resume_refused" else 1002)
        await someone_is_served(url)


@named(RAW)
async def test_a_broken_frame_closes_its_socket_alone(serve, name):
    raw, code = RAW[name]
    async with (
        serve(ScriptedModels(), drain_s=0.2) as (_, url),
        talk(url) as wire,
    ):
        wire.socket.transport.write(raw)
        await wire.hear_all()
        assert wire.close_code == code
        await someone_is_served(url)


async def someone_is_served(url):
    async with talk(url, partials=False) as wire:
        await wire.say(as_pcm16(TURN), END)
        assert len(of_type(await wire.hear_all(), "emotion.final")) == 1
        assert wire.close_code == 1000
