"""Stands in for the server where a test is about one detail of the protocol."""

import json
from contextlib import asynccontextmanager

import websockets.asyncio.server
from websockets.exceptions import ConnectionClosed

from stream_erc import events

LABELS = ("neutral", "surprise", "fear", "sadness", "joy", "disgust", "anger")
LIMITS = events.Limits(
    max_frame_bytes=1 << 20,
    max_text_bytes=128 << 10,
    max_session_s=86_400.0,
    idle_timeout_s=300.0,
    max_turn_ms=30_000,
    end_silence_ms=500,
    pre_roll_ms=300,
    resume_window_s=0.0,
)
STARTED = events.SessionStarted(
    seq=0, session_id="s", resume_token=None, protocol=1, labels=LABELS, limits=LIMITS
)
ENDED = events.SessionEnded(turns=1, audio_ms=1000)
ANGRY = {name: 0.82 if name == "anger" else 0.03 for name in LABELS}
NEGATIVE = {"negative": 0.9, "neutral": 0.06, "positive": 0.04}


@asynccontextmanager
async def scripted_server(script):
    """Let the coroutine function `script` talk on each socket; gives the URL."""

    async def talk(socket):
        try:
            await script(socket)
        except ConnectionClosed:
            pass

    async with websockets.asyncio.server.serve(
        talk,
        "127.0.0.1",
        0,
        subprotocols=[events.SUBPROTOCOL],
        compression=None,
        max_size=None,
    ) as server:
        host, port = server.sockets[0].getsockname()
        yield f"ws://{host}:{port}{events.PATH}"


async def say(socket, *said):
    for event in said:
        await socket.send(event if isinstance(event, str) else events.encode(event))


async def open_session(socket):
    """Take `session.start` and open the session; gives what was asked for."""
    start = json.loads(await socket.recv())
    await say(socket, STARTED)
    return start


async def take_all(socket, heard):
    """Put what comes into `heard` until `session.end`, text as objects."""
    async for message in socket:
        heard.append(json.loads(message) if isinstance(message, str) else message)
        if heard[-1] == {"type": "session.end"}:
            return


def recorder(heard, *answer):
    """A script that records one whole session, then gives `answer` and ends it."""

    async def script(socket):
        heard.append(await open_session(socket))
        await take_all(socket, heard)
        await say(socket, *answer, ENDED)

    return script


def one_turn(turn=0, *, start_ms=0, text="Kids are talking.", speaker="Ann"):
    """Every event of one turn that ends at 900 ms after `start_ms`."""
    emotion = {
        "turn": turn,
        "label": "anger",
        "probabilities": ANGRY,
        "sentiment": NEGATIVE,
        "modalities": ("audio", "text"),
    }
    return [
        events.TurnStarted(
            turn=turn, speaker=speaker, start_ms=start_ms, voice_start_ms=start_ms
        ),
        events.TranscriptPartial(
            turn=turn, revision=1, text="kids are walking", stable_chars=8
        ),
        events.EmotionPartial(revision=1, **emotion),
        events.TurnEnded(
            turn=turn,
            speaker=speaker,
            start_ms=start_ms,
            end_ms=start_ms + 600,
            decided_ms=start_ms + 900,
            reason="silence",
        ),
        events.TranscriptFinal(turn=turn, text=text, words=(), rejected=False),
        events.EmotionFinal(
            context_turns=0,
            context_seq=turn,
            latency=events.Latency(endpoint_ms=1.0, compute_ms=1.0, queue_ms=0.0),
            **emotion,
        ),
    ]


async def never(socket):
    """A script that opens the session and then says nothing more."""
    await open_session(socket)
    await socket.wait_closed()
