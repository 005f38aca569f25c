"""A session that finds no memory ends alone, wherever it happens."""

import pytest
from recording import as_pcm16, join, of_type, silence, talk
from scripted_models import Loudness, ScriptedModels, sentence
from talking import END

from stream_erc.director import Director
from stream_erc.inbox import Inbox
from stream_erc.listener import Listener

SPEECH = as_pcm16(join(sentence(0.6), silence(0.8)))


@pytest.fixture
def vad():
    return Loudness()


@pytest.mark.parametrize(
    ("place", "call"),
    [
        (Listener, "receive"),
        (Director, "on_record"),
        (Director, "on_result"),
        (Inbox, "put_audio"),
    ],
    ids=["listening thread", "event loop", "callback", "socket"],
)
async def test_out_of_memory_in_one_session_does_not_take_others(
    serve, monkeypatch, caplog, place, call
):
    real, victims = getattr(place, call), []

    def fail(self, *arguments):
        victims.append(self)
        if self is victims[0]:
            raise MemoryError
        return real(self, *arguments)

    async with serve(ScriptedModels(), drain_s=0.0) as (_, url):
        async with (
            talk(url, partials=False) as other,
            talk(url, partials=False) as victim,
        ):
            await other.say(SPEECH)
            await other.hear_until("emotion.final")
            monkeypatch.setattr(place, call, fail)
            await victim.say(SPEECH)
            heard = await victim.hear_all()
            assert (heard[-1]["type"], heard[-1]["code"]) == ("error", "internal")
            assert victim.close_code == 1011
            await other.say(SPEECH, END)
            finals = of_type(await other.hear_all(), "emotion.final")
    assert [final["turn"] for final in finals] == [0, 1]
    assert "MemoryError" in caplog.text
