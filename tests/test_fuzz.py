"""Any client at all: what the protocol promises holds, and nothing is left behind.

Sessions are drawn: audio cut anywhere, messages right and wrong, pauses, lost sockets,
sockets that take over, thieves, clients that do not read and clients that never come
back. Models answer late and in any order.
"""

import asyncio
import json
import logging
import random
from collections import Counter

import pytest
from hypothesis import given, seed, settings
from hypothesis import strategies as st
from recording import as_pcm16, of_type, pieces, silence, talk
from scripted_models import ScriptedModels, sentence
from simulated import Loudness, SimulatedLoop, World

from benchmarks.nasty_frames import FIRSTS, TEXTS
from stream_erc import events
from stream_erc.config import ServerConfig, Settings, TurnConfig, VadConfig
from stream_erc.conversation import Conversation
from stream_erc.engines import InlineEngine
from stream_erc.errors import BadMessage
from stream_erc.limits import LimitsConfig
from stream_erc.pipeline import Pipeline, open_session
from stream_erc.reading import parse_client, require_short

LIMITS = LimitsConfig(
    max_unread_events=6,
    max_kept_kib=256,
    max_unheard_kib=8,
    idle_timeout_s=20.0,
    max_session_s=40.0,
    reader_timeout_s=6.0,
    message_burst=20,
    messages_per_s=10.0,
    max_pace=8.0,
    pace_burst_s=1.0,
)
SETTINGS = Settings(
    server=ServerConfig(resume_window_s=5.0),
    limits=LIMITS,
    vad=VadConfig(min_speech_ms=32, min_pause_ms=32),
    turns=TurnConfig(
        pre_roll_ms=100,
        post_roll_ms=32,
        eager_silence_ms=64,
        end_silence_ms=160,
        max_turn_ms=2000,
        search_ms=500,
        first_partial_ms=100,
        wordless_interval_ms=100,
        partial_interval_ms=100,
        emotion_partial_ms=100,
    ),
)
AUDIO = {
    ("pcm_s16le", "loud"): as_pcm16(sentence(1.0)),
    ("pcm_s16le", "quiet"): as_pcm16(silence(1.0)),
    ("mulaw", "loud"): as_pcm16(sentence(1.0)),
    ("mulaw", "quiet"): b"\xff" * 32_000,
}
FORMATS = [
    *[("pcm_s16le", 16_000, 1)] * 3,
    ("pcm_s16le", 16_000, 2),
    ("pcm_s16le", 8000, 2),
    ("mulaw", 8000, 1),
]
BYTES = {"pcm_s16le": 2, "mulaw": 1}

TRY_LATER = 1013

# --- what a client does -------------------------------------------------------

good_texts = st.one_of(
    st.sampled_from(
        [
            {"type": "turn.flush"},
            {"type": "speaker.set", "speaker": "Bob"},
            {"type": "context.add", "speaker": "bot", "text": "Yes."},
            {"type": "session.start", "audio": {}},
        ]
    ),
    st.builds(lambda n: {"type": "marker", "id": n}, st.integers(0, 99)),
    st.builds(lambda n: {"type": "ping", "id": n}, st.integers(0, 99)),
).map(json.dumps)
bad_texts = st.sampled_from([t for t, _ in TEXTS.values() if len(t) < 1000])
aways_s = st.sampled_from([0.0, 0.0, 1.0, 4.0, 4.0, 6.0])
turns = st.tuples(st.just("turn"), st.integers(4000, 16_000), st.booleans())
steps = st.lists(
    st.one_of(
        st.tuples(
            st.just("audio"),
            st.sampled_from(["loud", "quiet"]),
            st.integers(1, 12_000),
            st.integers(1, 3),
        ),
        turns,
        turns,
        turns,
        st.tuples(st.just("text"), good_texts),
        st.tuples(st.just("text"), bad_texts | st.text(max_size=20)),
        st.tuples(st.just("wait"), st.sampled_from([0.0, 0.05, 1.0, 7.0])),
        st.tuples(st.just("cut"), st.integers(0, 5), aways_s),
        st.tuples(
            st.just("take over"),
        ),
        st.tuples(st.just("thief"), st.sampled_from(["session", "token", "seq"])),
        st.tuples(st.just("stall"), st.booleans()),
    ),
    min_size=2,
    max_size=12,
)
clients = st.fixed_dictionaries(
    {
        "steps": steps,
        "format": st.sampled_from(FORMATS),
        "end": st.sampled_from(["end", "end", "end", "vanish", "go silent"]),
        "partials": st.booleans(),
        "observe": st.booleans(),
    }
)
crowds = st.lists(clients, min_size=1, max_size=3)
firsts = st.sampled_from([m for m, _ in (TEXTS | FIRSTS).values()]) | st.text(
    max_size=30
)


class Client:
    """One client that follows the protocol, whatever else it does."""

    def __init__(self, world, plan, conversation):
        self.world = world
        self.plan = plan
        encoding, rate_hz, channels = plan["format"]
        self.sample_bytes = BYTES[encoding] * channels
        self.start = {
            "type": "session.start",
            "audio": {
                "encoding": encoding,
                "sample_rate": rate_hz,
                "channels": channels,
            },
            "partials": plan["partials"],
            "observe": plan["observe"],
            "conversation_id": conversation,
        }
        self.said = []  # in its order, `session.start` left out
        self.received = []  # each message once
        self.socket = None
        self.is_over = False

    async def run(self):
        self.socket = self.world.dial()
        await self.socket.say(json.dumps(self.start))
        await self.socket.until_heard()
        self._note(self.socket)
        for step in self.plan["steps"]:
            await getattr(self, step[0].replace(" ", "_"))(*step[1:])
        self.socket.pause(True)
        if self.plan["end"] == "end":
            await self.text('{"type": "session.end"}')
        elif self.plan["end"] == "vanish":
            self.socket.cut(3)
            return self._note(self.socket)
        await self.socket.until_closed()
        self._note(self.socket)

    @property
    def is_served(self):
        """Whether nothing went wrong that may."""
        is_gone = self.is_over or self.socket.close_code == TRY_LATER
        errors = [m for m in of_type(self.received, "error") if not m["recoverable"]]
        return self.plan["end"] == "end" and not is_gone and not errors

    # --- steps ------------------------------------------------------------------

    async def audio(self, kind, n_bytes, n_pieces):
        audio = AUDIO[self.plan["format"][0], kind]
        size = n_bytes // n_pieces + 1
        for at in range(0, n_bytes, size):
            await self._say(audio[at : min(at + size, n_bytes)])

    async def turn(self, n_bytes, is_over):
        await self.audio("loud", n_bytes, 2)
        if is_over:
            await self.audio("quiet", 12_000, 1)

    async def text(self, text):
        await self._say(text)

    async def wait(self, seconds):
        await asyncio.sleep(seconds)

    async def stall(self, is_read):
        self.socket.pause(is_read)

    async def cut(self, n_lost, away_s):
        self.socket.cut(n_lost)
        await asyncio.sleep(away_s)
        await self._come_back()

    async def take_over(self):
        await self._come_back()

    async def thief(self, wrong):
        """Somebody guesses; nobody notices."""
        thief = self.world.dial()
        changes = {
            "session": {"session_id": "guessed"},
            "token": {"resume_token": "guessed"},
            "seq": {"last_seq": 2**53, "resume_token": "ö"},
        }
        await thief.say(json.dumps(self._resume() | changes[wrong]))
        await thief.until_closed()
        [error] = map(json.loads, thief.heard)
        assert error["code"] == "resume_refused"

    # --- sockets ----------------------------------------------------------------

    async def _say(self, message):
        self.said.append(message)
        await self.socket.say(message)

    def _resume(self):
        [welcome] = self.received[:1]
        return {
            "type": "session.resume",
            "session_id": welcome["session_id"],
            "resume_token": welcome["resume_token"],
            "last_seq": self.received[-1]["seq"],
        }

    async def _come_back(self):
        self._note(self.socket)
        older, self.socket = self.socket, self.world.dial()
        await self.socket.say(json.dumps(self._resume()))
        await self.socket.until_heard()
        older.cut()
        answer = json.loads(self.socket.heard[0]) if self.socket.heard else {}
        if answer.get("type") != "session.resumed":
            assert answer.get("code") == "resume_refused", answer
            self.is_over = True  # as it came too late, or everything was said
            self.socket.heard.clear()
            return
        for message in self._after(
            answer["samples_received"] * self.sample_bytes,
            answer["client_messages_received"],
        ):
            await self.socket.say(message)

    def _after(self, n_bytes, n_texts):
        """What the server does not have, in its order."""
        n_texts -= 1  # `session.start`
        for message in self.said:
            if isinstance(message, str):
                n_texts -= 1
                if n_texts < 0:
                    yield message
            else:
                lacking = message[max(0, n_bytes) :] if n_bytes > 0 else message
                n_bytes -= len(message)
                if lacking:
                    yield lacking

    def _note(self, socket):
        """Keep what a socket brought; what comes again must be what it was."""
        for text in socket.heard:
            message = json.loads(text)
            if message["type"] == "session.resumed":
                continue
            if message.get("code") == "resumed_elsewhere":
                continue
            seq = message["seq"]
            if seq < len(self.received):
                assert self.received[seq] == message
            else:
                assert seq == len(self.received), "a gap"
                self.received.append(message)
        socket.heard.clear()


# --- what holds ---------------------------------------------------------------


def check(heard):
    assert heard[0]["type"] == "session.started"
    kinds = Counter(message["type"] for message in heard)
    assert kinds["session.started"] == 1
    assert not [m for m in heard if m.get("code") == "internal"]
    for number in range(kinds["turn.started"]):
        check_turn([m for m in heard if m.get("turn") == number])
    finals = [m["turn"] for m in of_type(heard, "emotion.final")]
    assert finals == list(range(len(finals)))
    assert [m["turn"] for m in of_type(heard, "turn.ended")] == sorted(
        {m["turn"] for m in of_type(heard, "turn.ended")}
    )
    if kinds["session.ended"]:
        assert heard[-1]["type"] == "session.ended"
        assert kinds["session.ended"] == 1
        n_turns = heard[-1]["turns"]
        for kind in ("turn.started", "turn.ended", "transcript.final", "emotion.final"):
            assert kinds[kind] == n_turns, kind


def check_turn(messages):
    kinds = [message["type"] for message in messages]
    order = ["turn.started", "turn.ended", "transcript.final", "emotion.final"]
    came = [kind for kind in kinds if kind in order]
    assert came == order[: len(came)]
    if "turn.ended" in kinds:
        assert not {"transcript.partial", "emotion.partial", "turn.resumed"} & set(
            kinds[kinds.index("turn.ended") :]
        )
    for kind in ("transcript.partial", "emotion.partial"):
        revisions = [m["revision"] for m in messages if m["type"] == kind]
        assert revisions == sorted(set(revisions))


def check_against_one_piece(client):
    """Finals and markers are those of the same things said at once, without a net."""
    start, _ = parse_client(json.dumps(client.start))
    listener, director = open_session(
        start,
        session="s",
        settings=SETTINGS,
        probability=Loudness().stream(),
        conversation=Conversation(()),
    )
    whole = Pipeline(listener, director, InlineEngine(ScriptedModels()))
    told = []
    for message in client.said:
        if isinstance(message, bytes):
            told += whole.push(message)
            continue
        try:
            require_short(message, LIMITS.max_text_kib * 1024)
            parsed, _ = parse_client(message)
        except BadMessage:
            continue
        if not isinstance(
            parsed, events.Ping | events.SessionStart | events.SessionResume
        ):
            told += whole.tell(parsed)
        if isinstance(parsed, events.SessionEnd):
            break
    told = [json.loads(events.encode(event)) for event in told]
    for kind in ("turn.ended", "transcript.final", "emotion.final", "marker"):
        assert facts(client.received, kind) == facts(told, kind)
    assert client.received[-1]["audio_ms"] == told[-1]["audio_ms"]


def facts(heard, kind):
    clocks = {"seq", "time_ms", "latency"}
    return [
        {name: value for name, value in message.items() if name not in clocks}
        for message in of_type(heard, kind)
    ]


# --- many of them -------------------------------------------------------------


@pytest.fixture
def vad():
    """Of the server with real sockets."""
    return Loudness()


@pytest.fixture
def world(monkeypatch, caplog):
    """Gives a function that runs a coroutine function in a world of its own time."""
    caplog.set_level(logging.ERROR)
    with asyncio.Runner(loop_factory=SimulatedLoop) as runner:
        made = None

        async def make():
            return World(SETTINGS, monkeypatch)

        made = runner.run(make())

        def run(meet, dice):
            made.dice(dice)
            runner.run(meet(made))
            assert not caplog.records

        yield run


async def meet(world, plans, first):
    """Let some clients talk at the same time, in one conversation if there are two."""
    conversation = "shared" if len(plans) > 1 else None
    crowd = [Client(world, plan, conversation) for plan in plans]
    stranger = world.dial()
    await stranger.say(first)
    stranger.cut()
    await asyncio.gather(*(client.run() for client in crowd))
    await world.until_empty()
    for client in crowd:
        check(client.received)
        if client.is_served and len(crowd) == 1:
            check_against_one_piece(client)
    places = [
        m["context_seq"] for c in crowd for m in of_type(c.received, "emotion.final")
    ]
    assert len(places) == len(set(places))
    for client in crowd:
        check_observed(client, crowd)


def check_observed(client, crowd):
    """Others' turns are theirs, and stand in one order with the client's own."""
    finals = {
        final["context_seq"]: final
        for other in crowd
        for final in of_type(other.received, "emotion.final")
        if other is not client
    }
    told = of_type(client.received, "conversation.turn")
    assert not told or client.plan["observe"]
    for turn in told:
        assert turn["session_id"] != client.received[0]["session_id"]
        if final := finals.get(turn["context_seq"]):  # else it vanished before it came
            shared = final.keys() & turn.keys() - {"type", "seq", "time_ms"}
            assert len(shared) == 6
            assert all(turn[name] == final[name] for name in shared)
    ordered = of_type(client.received, "conversation.turn", "emotion.final")
    places = [message["context_seq"] for message in ordered]
    assert places == sorted(set(places))


def fuzz(world, n_examples, drawn_from=0):
    n_sessions = 0

    @seed(drawn_from)
    @settings(max_examples=n_examples)
    @given(crowds, firsts, st.integers(0, 2**32))
    def hold(plans, first, dice):
        nonlocal n_sessions
        n_sessions += len(plans)
        world(lambda made: meet(made, plans, first), random.Random(dice))

    hold()
    return n_sessions


def test_500_sessions_of_any_kind(world):
    assert fuzz(world, 370) >= 500


@pytest.mark.slow
@pytest.mark.parametrize("tenth", range(10))
def test_50_000_sessions_of_any_kind(world, tenth):
    assert fuzz(world, 3600, drawn_from=1 + tenth) >= 5000


async def test_60_sessions_of_any_kind_over_real_sockets(serve, caplog):
    caplog.set_level(logging.ERROR)
    dice = random.Random(0)
    texts = [text for text, _ in TEXTS.values()]

    async def converse(url):
        async with talk(url, dialing={"max_queue": 16}) as wire:

            async def speak():
                for _ in range(dice.randint(2, 12)):
                    if dice.random() < 0.3:
                        await wire.say(dice.choice(texts))
                        continue
                    kind = dice.choice(["loud", "quiet"])
                    audio = AUDIO["pcm_s16le", kind][: dice.randint(0, 32_000)]
                    await wire.say(*pieces(audio, dice.choice([333, 5001, 32_000])))
                await wire.say('{"type": "session.end"}')

            async with asyncio.TaskGroup() as group:
                group.create_task(speak())
                await wire.hear_all()
        assert wire.close_code == 1000
        return wire.heard

    async with serve(ScriptedModels(), drain_s=0.2) as (_, url):
        for _ in range(6):
            for heard in await asyncio.gather(*(converse(url) for _ in range(10))):
                check(heard)
                assert [m["seq"] for m in heard] == list(range(len(heard)))
                assert heard[-1]["type"] == "session.ended"
    assert not caplog.records
