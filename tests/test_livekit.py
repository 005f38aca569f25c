"""The LiveKit adapter in the real framework, against the real server.

Needs the extra `livekit`; `make test-slow` runs it in an environment that has it.
"""

import asyncio
import time
import warnings

import numpy as np
import pytest
import soxr
from agent_cases import (
    SENTENCE,
    SILENCE,
    SPEECH,
    TIMEOUT_S,
    assert_same,
    finals,
)
from scripted_server import (
    ENDED,
    one_turn,
    open_session,
    recorder,
    say,
    scripted_server,
    take_all,
)

with warnings.catch_warnings():  # of the framework's own
    warnings.simplefilter("ignore")
    pytest.importorskip("livekit.agents", reason="needs the extra livekit")
    from livekit import rtc
    from livekit.agents import (
        APIConnectionError,
        APIConnectOptions,
        APIStatusError,
        APITimeoutError,
        llm,
    )
    from livekit.agents.stt import SpeechEventType as Kind
    from livekit.agents.voice import Agent, AgentSession, io

    from clients import livekit
    from clients.examples.livekit_agent import BY_STT, Attentive
    from clients.livekit import STT
    from clients.livekit_stream import as_api_error

from benchmarks.rough_network import rough_network
from clients.connection import Connection
from clients.errors import ConnectionFailed, ConnectionLost
from clients.sources import decode
from stream_erc import events

pytestmark = pytest.mark.filterwarnings("default")

ONCE = APIConnectOptions(max_retry=0)
SOON = APIConnectOptions(max_retry=20, retry_interval=0.05)


def frames(pcm, rate_hz=16_000, n_channels=1):
    """20 ms each, as a room gives them."""
    n_bytes = rate_hz // 50 * 2 * n_channels
    return [
        rtc.AudioFrame(pcm[at : at + n_bytes], rate_hz, n_channels, rate_hz // 50)
        for at in range(0, len(pcm) - n_bytes + 1, n_bytes)
    ]


def listen(ears):
    """Collect every emotion that an `STT` emits."""
    felt = []
    ears.on("emotion", felt.append)
    return felt


async def hear(ears, pieces, **options):
    """Push all of it, then the end; gives every speech event."""
    async with asyncio.timeout(TIMEOUT_S), ears.stream(**options) as stream:
        for piece in pieces:
            stream.push_frame(piece)
        stream.end_input()
        return [event async for event in stream]


def told(felt):
    return [(e.transcript, e.label, e.probabilities) for e in felt if e.is_final]


async def test_words_and_feelings_are_the_servers(server_url):
    ears = STT(server_url, speaker="Ann")
    felt = listen(ears)
    said = await hear(ears, frames(SPEECH))
    expected = await finals(server_url, SPEECH, is_flushed=True)
    assert_same(told(felt), expected)
    words = [e.alternatives[0] for e in said if e.type is Kind.FINAL_TRANSCRIPT]
    assert [each.text for each in words] == [text for text, *_ in expected]
    for each in words:
        assert each.speaker_id == "Ann"
        assert 0 < each.confidence <= 1
        assert 0 <= each.start_time < each.end_time <= len(SPEECH) / 32_000
        assert " ".join(each.words) == each.text
        assert (
            each.metadata["emotion"]["label"]
            in each.metadata["emotion"]["probabilities"]
        )
    usage = [e.recognition_usage for e in said if e.type is Kind.RECOGNITION_USAGE]
    heard_s = sum(each.audio_duration for each in usage)
    assert heard_s == pytest.approx(len(SPEECH) / 32_000, abs=0.1)


async def test_a_turn_comes_in_the_frameworks_order():
    async with scripted_server(recorder([], *one_turn(), *one_turn(1))) as url:
        ears = STT(url)
        order = []
        ears.on("emotion", lambda event: order.append(event.is_final))
        said = await hear(ears, frames(SILENCE))
    one = [
        Kind.START_OF_SPEECH,
        Kind.INTERIM_TRANSCRIPT,
        Kind.RECOGNITION_USAGE,
        Kind.FINAL_TRANSCRIPT,
        Kind.END_OF_SPEECH,
    ]
    assert [event.type for event in said] == one * 2
    assert order == [False, True] * 2
    interim, final = (e.alternatives[0] for e in (said[1], said[3]))
    assert (interim.text, final.text) == ("kids are walking", "Kids are talking.")
    assert final.metadata["emotion"]["label"] == "anger"
    assert said[4].speech_end_time - said[0].speech_start_time == pytest.approx(0.6)


async def test_nobody_is_silent_while_the_next_turn_is_spoken():
    first, second = one_turn(), one_turn(1)
    answer = recorder([], *first[:4], second[0], *first[4:], *second[1:])
    async with scripted_server(answer) as url:
        said = await hear(STT(url), frames(SILENCE))
    kinds = [event.type for event in said]
    assert kinds.count(Kind.FINAL_TRANSCRIPT) == 2
    assert kinds.index(Kind.END_OF_SPEECH) == len(kinds) - 1


async def test_what_is_not_speech_has_no_words_and_no_feelings():
    turn = one_turn()
    turn[4] = events.TranscriptFinal(turn=0, text="", words=(), rejected=True)
    async with scripted_server(recorder([], *turn)) as url:
        ears = STT(url)
        felt = listen(ears)
        said = await hear(ears, frames(SILENCE))
    assert not [event for event in felt if event.is_final]
    assert Kind.FINAL_TRANSCRIPT not in [event.type for event in said]
    assert said[-1].type is Kind.END_OF_SPEECH


@pytest.mark.parametrize(("rate_hz", "n_channels"), [(48_000, 2), (24_000, 1)])
async def test_audio_of_any_form_is_understood(server_url, rate_hz, n_channels):
    mono = soxr.resample(decode(SENTENCE), 16_000, rate_hz)
    pcm = np.repeat(mono[:, None], n_channels, axis=1).astype("<i2").tobytes()
    ears = STT(server_url)
    felt = listen(ears)
    await hear(ears, frames(pcm, rate_hz, n_channels))
    [(expected, *_)] = await finals(
        server_url, decode(SENTENCE).tobytes(), is_flushed=True
    )
    assert felt[-1].transcript.lower().split()[:3] == expected.lower().split()[:3]


async def test_a_flush_ends_the_turn_and_the_agents_words_keep_their_place():
    heard = []
    async with scripted_server(recorder(heard, *one_turn())) as url:
        ears = STT(url, agent="bot", language="en")
        async with ears.stream() as stream:
            [piece] = frames(SILENCE)[:1]
            stream.push_frame(piece)
            stream.flush()
            for role, text in [("assistant", " I see. "), ("user", "Mine.")]:
                message = llm.ChatMessage(role=role, content=[text])
                ears._push_conversation_item(
                    livekit.ConversationItemAddedEvent(item=message)
                )
            stream.push_frame(piece)
            stream.end_input()
            async for _ in stream:
                pass
    start, *said = [each for each in heard if each != b""]
    assert (start["speaker"], start["language"]) == ("caller", "en")
    assert said == [
        bytes(piece.data),
        {"type": "turn.flush"},
        {"type": "context.add", "speaker": "bot", "text": "I see."},
        bytes(piece.data),
        {"type": "turn.flush"},
        {"type": "session.end"},
    ]


@pytest.mark.parametrize(
    ("error", "kind", "retryable"),
    [
        (ConnectionFailed("unreachable", "gone"), APIConnectionError, True),
        (ConnectionFailed("timeout", "slow"), APITimeoutError, True),
        (ConnectionFailed("server_full", "full", 1013), APIConnectionError, True),
        (ConnectionFailed("bad_field", "what?", 1002), APIConnectionError, False),
        (ConnectionFailed("refused", "?", None, 401), APIStatusError, False),
        (ConnectionFailed("refused", "?", None, 404), APIStatusError, False),
        (ConnectionFailed("refused", "?", None, 429), APIStatusError, True),
        (ConnectionFailed("refused", "?", None, 503), APIStatusError, True),
        (ConnectionLost("gave_up", "lost", 1006), APIConnectionError, True),
    ],
)
def test_every_error_is_the_frameworks_and_knows_whether_to_try_again(
    error, kind, retryable
):
    found = as_api_error(error)
    assert type(found) is kind
    assert found.retryable is retryable
    assert str(error) in str(found)


async def test_a_session_that_breaks_off_is_followed_by_another():
    n_sessions = 0

    async def answer(socket):
        nonlocal n_sessions
        n_sessions += 1
        await open_session(socket)
        if n_sessions > 1:
            await take_all(socket, [])
            await say(socket, *one_turn(), ENDED)

    async with scripted_server(answer) as url:
        ears = STT(url)
        errors = []
        ears.on("error", errors.append)
        said = await hear(ears, frames(SILENCE), conn_options=SOON)
    assert n_sessions == 2
    assert [each.recoverable for each in errors] == [True]
    assert said[-1].type is Kind.END_OF_SPEECH


async def test_without_a_server_the_framework_is_told():
    async with scripted_server(open_session) as url:
        pass
    with pytest.raises(APIConnectionError, match="no server there"):
        await hear(STT(url), frames(SILENCE), conn_options=ONCE)


async def test_cut_sockets_cost_nothing(server_url):
    async with rough_network(server_url) as network:
        network.budgets = [30_000, 60_000, 90_000]
        ears = STT(network.url)
        felt = listen(ears)
        await hear(ears, frames(SPEECH), conn_options=ONCE)
        assert network.n_cuts == 3
    assert_same(told(felt), await finals(server_url, SPEECH, is_flushed=True))


async def test_a_closed_stream_gives_its_place_at_the_server_back():
    opened, ended = asyncio.Event(), asyncio.Event()

    async def answer(socket):
        await open_session(socket)
        opened.set()
        await take_all(socket, [])
        ended.set()
        await say(socket, ENDED)

    async with scripted_server(answer) as url:
        ears = STT(url)
        stream = ears.stream()
        stream.push_frame(frames(SILENCE)[0])
        async with asyncio.timeout(TIMEOUT_S):
            await opened.wait()
            await ears.aclose()
            await ended.wait()


async def live(pcm):
    """Give audio at the pace of life."""
    started_s = time.monotonic()
    for number, frame in enumerate(frames(pcm)):
        due_s = started_s + number * 0.02
        await asyncio.sleep(max(0.0, due_s - time.monotonic()))
        yield frame


async def test_who_overhears_changes_nothing_and_feels_the_same(server_url):
    pcm = decode(SENTENCE).tobytes() + SILENCE * 2
    ears = STT(server_url)
    felt = listen(ears)
    passed = [bytes(f.data) async for f in ears.overhear(live(pcm))]
    assert passed == [bytes(f.data) for f in frames(pcm)]
    assert_same(told(felt), await finals(server_url, pcm, is_flushed=True))


async def test_who_overhears_without_a_server_changes_nothing_either(monkeypatch):
    async with scripted_server(open_session) as url:
        pass

    async def fast():
        for frame in given:
            yield frame
            await asyncio.sleep(0)

    given = frames(SILENCE)
    monkeypatch.setattr(livekit, "MAX_WAITING", 10)
    ears = STT(url)
    streams = []
    monkeypatch.setattr(
        ears, "stream", lambda **o: streams.append(STT.stream(ears, **o)) or streams[-1]
    )
    assert [f async for f in ears.overhear(fast())] == given
    assert streams[0].n_waiting <= 10


class ScriptedModel(llm.LLM):
    """Stands in for a language model: always the same answer."""

    def __init__(self):
        super().__init__()
        self.asked = []

    def chat(self, *, chat_ctx, tools=None, conn_options=SOON, **_):
        self.asked.append(chat_ctx)
        return ScriptedAnswer(
            self, chat_ctx=chat_ctx, tools=tools or [], conn_options=conn_options
        )


class ScriptedAnswer(llm.LLMStream):
    async def _run(self):
        delta = llm.ChoiceDelta(role="assistant", content="I hear you.")
        self._event_ch.send_nowait(llm.ChatChunk(id="1", delta=delta))


class Recording(io.AudioInput):
    """A caller: a recording at the pace of life, then silence."""

    def __init__(self, pcm):
        super().__init__(label="recording")
        self._frames = live(pcm)

    async def __anext__(self):
        return await anext(self._frames)


async def test_the_agent_of_the_docs_knows_how_the_caller_sounds(
    server_url, monkeypatch
):
    added = asyncio.Queue()

    async def add_context(self, speaker, text, add=Connection.add_context):
        await add(self, speaker, text)
        added.put_nowait((speaker, text))

    monkeypatch.setattr(Connection, "add_context", add_context)
    ears, model = STT(server_url), ScriptedModel()
    felt = listen(ears)
    session = AgentSession(stt=ears, llm=model, turn_handling=BY_STT, vad=None)
    session.input.audio = Recording(decode(SENTENCE).tobytes() + SILENCE * 30)
    async with asyncio.timeout(TIMEOUT_S):
        await session.start(Attentive(ears), record=False)
        assert await added.get() == ("agent", "I hear you.")
        await session.aclose()
    [final] = [event for event in felt if event.is_final]
    asked = [m for m in model.asked[0].items if m.type == "message"]
    told = {message.role: message.text_content for message in asked}
    assert told["user"] == final.transcript
    assert told["developer"].startswith(f"The caller sounds like {final.label}")


class Overheard(Agent):
    """The agent of the docs that keeps another recognizer."""

    def __init__(self, ears):
        super().__init__(instructions="")
        self._ears = ears

    async def stt_node(self, audio, model_settings):
        heard = self._ears.overhear(audio)
        async for event in Agent.default.stt_node(self, heard, model_settings):
            yield event


async def test_an_agent_with_another_recognizer_is_overheard(server_url):
    other, ears = STT(server_url), STT(server_url)
    felt, words = asyncio.Queue(), asyncio.Queue()
    ears.on("emotion", felt.put_nowait)
    session = AgentSession(stt=other, llm=ScriptedModel(), turn_handling=BY_STT)
    session.on("conversation_item_added", ears.add_item)
    session.on("user_input_transcribed", words.put_nowait)
    session.input.audio = Recording(decode(SENTENCE).tobytes() + SILENCE * 30)
    async with asyncio.timeout(TIMEOUT_S):
        await session.start(Overheard(ears), record=False)
        while not (feeling := await felt.get()).is_final:
            pass
        while not (said := await words.get()).is_final:
            pass
        await session.aclose()
    assert feeling.transcript == said.transcript
