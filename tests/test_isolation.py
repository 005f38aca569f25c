"""Sessions at the same time have nothing of one another: no word, no name, no state."""

import asyncio
import json
import zlib
from dataclasses import replace

import pytest
from recording import frames_of_20_ms, join, of_type, record, results, silence
from scripted_models import Loudness, ScriptedModels, sentence
from talking import agent, speaker

from stream_erc.engine import HearRequest
from stream_erc.flow import Transcript

N_SESSIONS = 8
N_TURNS = 5


@pytest.fixture
def vad():
    """Of the server in this process."""
    return Loudness()


class Listening(ScriptedModels):
    """Models that hear a word in all audio which they hear in no other."""

    def hear(self, requests):
        return [self._hear(request) for request in requests]

    def _hear(self, request):
        [result] = super().hear([request])
        if not isinstance(request, HearRequest):
            return result
        word = f"word{zlib.crc32(request.samples.tobytes())}"
        return replace(result, transcript=Transcript(word, (), is_rejected=False))


def script_of(number):
    """Nobody else's lengths, names and lines."""
    script = []
    for turn in range(N_TURNS):
        script += [
            speaker(f"name-{number}-{turn % 2}"),
            join(sentence(0.5 + turn / 10 + number / 77), silence(0.8)),
        ]
    return [*script, agent(f"line-{number}"), join(sentence(1.0), silence(0.8))]


async def hold(url, number):
    wishes = {"conversation_id": f"room-{number}", "speaker": f"first-{number}"}
    return await record(url, script_of(number), cutting=frames_of_20_ms, **wishes)


def secrets(heard, number):
    """Everything by which a session could be recognized in another."""
    words = {message["text"] for message in of_type(heard, "transcript.final")[:-1]}
    welcome = heard[0]
    names = {f"name-{number}-{n}" for n in range(2)} | {f"first-{number}"}
    return words | names | {welcome["session_id"], welcome["resume_token"]}


async def test_of_eight_sessions_at_once_none_has_anything_of_another(serve):
    numbers = range(N_SESSIONS)
    async with serve(Listening(), drain_s=0.2) as (_, url):
        together = await asyncio.gather(*(hold(url, number) for number in numbers))
    async with serve(Listening(), drain_s=0.2) as (_, url):
        alone = [await hold(url, number) for number in numbers]
    texts = [json.dumps(heard) for heard in together]
    own = [secrets(heard, number) for number, heard in enumerate(together)]
    for number in numbers:
        # With every number of every final, so no state, either.
        assert results(together[number]) == results(alone[number])
        others = set().union(*(own[other] for other in numbers if other != number))
        assert len(others) == (N_SESSIONS - 1) * (N_TURNS + 5)
        assert not [secret for secret in others if secret in texts[number]]
