"""The Pipecat processor in real pipelines, against the real server.

Needs the extra `pipecat`; `make test-slow` runs it in an environment that has it.
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
    pytest.importorskip("pipecat", reason="needs the extra pipecat")
    from pipecat.frames.frames import (
        CancelFrame,
        EndFrame,
        InputAudioRawFrame,
        InterimTranscriptionFrame,
        LLMContextAssistantTurnFrame,
        LLMContextFrame,
        LLMFullResponseEndFrame,
        LLMFullResponseStartFrame,
        LLMTextFrame,
        StartFrame,
        TextFrame,
        TranscriptionFrame,
        UserStoppedSpeakingFrame,
    )
    from pipecat.pipeline.pipeline import Pipeline
    from pipecat.pipeline.worker import PipelineWorker
    from pipecat.processors.frame_processor import FrameProcessor
    from pipecat.utils.errors import ErrorCategory
    from pipecat.workers.runner import WorkerRunner

    from clients import pipecat
    from clients.examples import pipecat_agent
    from clients.pipecat import (
        EmotionFrame,
        EmotionProcessor,
        InterimEmotionFrame,
        Outbox,
    )

from benchmarks.rough_network import rough_network
from clients.connection import Connection
from clients.sources import decode

pytestmark = pytest.mark.filterwarnings("default")


class Sink(FrameProcessor):
    """The end of a pipeline; remembers what came."""

    def __init__(self):
        super().__init__()
        self.came = []
        self._changed = asyncio.Condition()

    async def process_frame(self, frame, direction):
        await super().process_frame(frame, direction)
        async with self._changed:
            self.came.append(frame)
            self._changed.notify_all()
        await self.push_frame(frame, direction)

    def of(self, *kinds):
        return [frame for frame in self.came if type(frame) in kinds]

    async def wait_for(self, kind, n=1):
        async with asyncio.timeout(TIMEOUT_S), self._changed:
            await self._changed.wait_for(lambda: len(self.of(kind)) >= n)


def frames(pcm, rate_hz=16_000, n_channels=1):
    """20 ms each, as a transport gives them."""
    n_bytes = rate_hz // 50 * 2 * n_channels
    return [
        InputAudioRawFrame(pcm[at : at + n_bytes], rate_hz, n_channels)
        for at in range(0, len(pcm), n_bytes)
    ]


async def run(ears, feed, *between):
    """Run a pipeline while the coroutine function `feed` queues into it.

    Returns:
        The sink, and every error frame that came up.
    """
    sink, errors = Sink(), []
    pipeline = Pipeline([ears, *between, sink])
    worker = PipelineWorker(pipeline, cancel_on_idle_timeout=False, enable_rtvi=False)
    started = asyncio.Event()

    @worker.event_handler("on_pipeline_started")
    async def note_start(worker, frame):
        started.set()

    @worker.event_handler("on_pipeline_error")
    async def note_error(worker, frame):
        errors.append(frame)

    async def work():
        await started.wait()
        await feed(worker, sink)

    runner = WorkerRunner(handle_sigint=False)
    await runner.add_workers(worker)
    async with asyncio.timeout(2 * TIMEOUT_S):
        await asyncio.gather(runner.run(), work())
    return sink, errors


def feeding(*queued):
    """Queue frames as fast as it goes, then the end."""

    async def feed(worker, sink):
        for frame in [*queued, EndFrame()]:
            await worker.queue_frame(frame)

    return feed


async def live(worker, pcm):
    """Queue audio at the pace of life."""
    started_s = time.monotonic()
    for number, frame in enumerate(frames(pcm)):
        await worker.queue_frame(frame)
        due_s = started_s + number * 0.02
        await asyncio.sleep(max(0.0, due_s - time.monotonic()))


def told(sink):
    return [(f.text, f.label, f.probabilities) for f in sink.of(EmotionFrame)]


async def test_every_frame_passes_and_every_emotion_is_the_servers(server_url):
    queued = [*frames(SPEECH), TextFrame("passes")]
    sink, errors = await run(EmotionProcessor(server_url), feeding(*queued))
    kinds = (InputAudioRawFrame, TextFrame)
    passed = sink.of(*kinds)
    assert sorted(map(id, passed)) == sorted(map(id, queued))
    assert [id(f) for f in sink.of(InputAudioRawFrame)] == [id(f) for f in queued[:-1]]
    assert_same(told(sink), await finals(server_url, SPEECH))
    assert len(told(sink)) >= 3
    assert isinstance(sink.came[0], StartFrame)
    assert isinstance(sink.came[-1], EndFrame)  # behind the last emotion
    assert not sink.of(TranscriptionFrame)
    assert not errors


@pytest.mark.parametrize(("rate_hz", "n_channels"), [(48_000, 2), (8000, 1)])
async def test_audio_of_any_form_is_understood(server_url, rate_hz, n_channels):
    mono = soxr.resample(decode(SENTENCE), 16_000, rate_hz)
    pcm = np.repeat(mono[:, None], n_channels, axis=1).astype("<i2").tobytes()
    queued = frames(pcm, rate_hz, n_channels)
    sink, _ = await run(EmotionProcessor(server_url), feeding(*queued))
    [(words, label, _)] = told(sink)
    [(expected, *_)] = await finals(server_url, decode(SENTENCE).tobytes())
    assert words.lower().split()[:3] == expected.lower().split()[:3]
    assert label


async def test_a_turn_has_interim_emotions_and_its_words_behind_the_final_one():
    async with scripted_server(recorder([], *one_turn())) as url:
        ears = EmotionProcessor(url, transcripts=True)
        sink, _ = await run(ears, feeding(frames(SILENCE)[0]))
    kinds = (InterimTranscriptionFrame, InterimEmotionFrame)
    shown = sink.of(*kinds, EmotionFrame, TranscriptionFrame)
    interim, emotion_so_far, emotion, words = shown
    assert (type(interim), type(emotion_so_far)) == kinds
    assert interim.text == emotion_so_far.text == "kids are walking"
    assert type(emotion) is EmotionFrame
    assert emotion.text == words.text == "Kids are talking."
    assert emotion.user_id == words.user_id == "Ann"
    assert emotion.label == "anger"
    assert words.finalized


async def test_an_interruption_drops_no_final_emotion():
    fields = dict(turn=0, user_id="", text="", label="joy")
    fields |= dict(probabilities={"joy": 1.0}, sentiment={})
    assert not EmotionFrame(**fields).interruptible
    assert InterimEmotionFrame(**fields).interruptible


async def test_the_assistants_words_and_the_turns_end_go_out_in_order():
    heard = []
    answer = recorder(heard, *one_turn(), *one_turn(1, text="Go on."))
    async with scripted_server(answer) as url:
        ears = EmotionProcessor(url, agent="bot")

        async def feed(worker, sink):
            await worker.queue_frame(frames(SILENCE)[0])
            await sink.wait_for(InputAudioRawFrame)
            await worker.queue_frame(UserStoppedSpeakingFrame())
            await sink.wait_for(UserStoppedSpeakingFrame)
            await worker.queue_frame(LLMContextAssistantTurnFrame(" I see. ", "now"))
            await worker.queue_frame(LLMContextAssistantTurnFrame(" ", "now"))
            await worker.queue_frame(EndFrame())

        sink, _ = await run(ears, feed)
    start, *said = [each for each in heard if not isinstance(each, bytes)]
    assert start["speaker"] == "caller"
    assert said == [
        {"type": "turn.flush"},
        {"type": "context.add", "speaker": "bot", "text": "I see."},
        {"type": "session.end"},
    ]
    assert [f.text for f in sink.of(EmotionFrame)] == ["Kids are talking.", "Go on."]


async def test_without_a_server_the_pipeline_goes_on_and_is_told_once():
    async with scripted_server(open_session) as url:
        pass
    ears = EmotionProcessor(url)
    speech = frames(SILENCE * 2)

    async def feed(worker, sink):
        for frame in speech:
            await worker.queue_frame(frame)
        await sink.wait_for(InputAudioRawFrame, len(speech))
        await worker.queue_frame(EndFrame())

    sink, [error] = await run(ears, feed)
    assert "no server there" in error.error
    assert error.category is ErrorCategory.CONNECTIVITY
    assert ears.is_usable
    assert isinstance(sink.came[-1], EndFrame)


async def test_a_session_that_breaks_off_is_followed_by_another(monkeypatch):
    monkeypatch.setattr(pipecat, "RETRY_S", (0.0, 0.1))
    n_sessions = 0

    async def answer(socket):
        nonlocal n_sessions
        n_sessions += 1
        await open_session(socket)
        if n_sessions > 1:
            await take_all(socket, [])
            await say(socket, *one_turn(), ENDED)
        else:
            await socket.recv()  # then it breaks off

    async with scripted_server(answer) as url:

        async def feed(worker, sink):
            while n_sessions < 2:
                await worker.queue_frame(frames(SILENCE)[0])
                await asyncio.sleep(0.02)
            await worker.queue_frame(EndFrame())

        sink, errors = await run(EmotionProcessor(url), feed)
    assert len(errors) == 1
    assert len(sink.of(EmotionFrame)) == 1


async def test_a_wrong_token_is_not_tried_again():
    n_tries = 0

    async def refuse(reader, writer):
        nonlocal n_tries
        n_tries += 1
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n")
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(refuse, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        ears = EmotionProcessor(f"ws://127.0.0.1:{port}/v1/stream", token="wrong")
        useless = asyncio.Event()

        @ears.event_handler("on_usable_changed")
        async def note(ears, is_usable):
            useless.set()

        async def feed(worker, sink):
            await worker.queue_frame(frames(SILENCE)[0])
            await useless.wait()
            await worker.queue_frame(EndFrame())

        _, [error] = await run(ears, feed)
    assert error.category is ErrorCategory.AUTHENTICATION
    assert n_tries == 1


async def test_cut_sockets_cost_nothing(server_url):
    async with rough_network(server_url) as network:
        network.budgets = [30_000, 60_000, 90_000]
        sink, errors = await run(
            EmotionProcessor(network.url), feeding(*frames(SPEECH))
        )
        assert network.n_cuts == 3
    assert_same(told(sink), await finals(server_url, SPEECH))
    assert not errors


async def test_a_cancelled_pipeline_gives_its_place_at_the_server_back():
    opened, ended = asyncio.Event(), asyncio.Event()

    async def answer(socket):
        await open_session(socket)
        opened.set()
        await take_all(socket, [])
        ended.set()
        await say(socket, ENDED)

    async with scripted_server(answer) as url:

        async def feed(worker, sink):
            await worker.queue_frame(frames(SILENCE)[0])
            await opened.wait()
            await worker.queue_frame(CancelFrame())

        await run(EmotionProcessor(url), feed)
        async with asyncio.timeout(TIMEOUT_S):
            await ended.wait()


async def test_what_nobody_takes_falls_out_at_the_old_end():
    outbox = Outbox(max_waiting=2)
    for action in "abc":
        outbox.put(action)
    assert outbox.n_lost == 1
    assert [await outbox.take(), await outbox.take()] == ["b", "c"]


class ScriptedModel(FrameProcessor):
    """Stands in for a language model: always the same answer."""

    def __init__(self):
        super().__init__()
        self.asked = []

    async def process_frame(self, frame, direction):
        await super().process_frame(frame, direction)
        if isinstance(frame, LLMContextFrame):
            self.asked.append([dict(each) for each in frame.context.get_messages()])
            await self.push_frame(LLMFullResponseStartFrame())
            await self.push_frame(LLMTextFrame("I hear you."))
            await self.push_frame(LLMFullResponseEndFrame())
        else:
            await self.push_frame(frame, direction)


async def test_the_agent_of_the_docs_knows_how_the_caller_sounds(
    server_url, monkeypatch
):
    added = asyncio.Queue()

    async def add_context(self, speaker, text, add=Connection.add_context):
        await add(self, speaker, text)
        added.put_nowait((speaker, text))

    monkeypatch.setattr(Connection, "add_context", add_context)
    model = ScriptedModel()
    ears = EmotionProcessor(server_url, transcripts=True)
    pipeline = pipecat_agent.build([], ears, model, [])

    async def feed(worker, sink):
        await live(worker, decode(SENTENCE).tobytes() + 3 * SILENCE)
        async with asyncio.timeout(TIMEOUT_S):
            assert await added.get() == ("agent", "I hear you.")
        await worker.queue_frame(EndFrame())

    sink, errors = await run(pipeline, feed)
    _, *rest = model.asked[-1]
    assert {"role": "developer"}.items() <= rest[-1].items()
    assert rest[-1]["content"].startswith("The caller sounds like ")
    [final] = sink.of(EmotionFrame)[:1]
    [user] = [each["content"] for each in rest if each["role"] == "user"]
    assert user == final.text
    assert not errors
