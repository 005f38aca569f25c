"""Talks to a real server and writes down what it says, as JSON objects."""

import asyncio
import json
import random
import urllib.error
import urllib.request
from contextlib import asynccontextmanager
from functools import cache

import numpy as np
import websockets.asyncio.client
from conftest import AUDIO
from prometheus_client.parser import text_string_to_metric_families
from websockets.exceptions import ConnectionClosed

from clients import sources
from stream_erc import events

RATE_HZ = 16_000
MONO_16K = {"encoding": "pcm_s16le", "sample_rate": RATE_HZ, "channels": 1}
TIMEOUT_S = 60.0
"""A test that waits longer fails; loose, since machines of CI are slow."""

ABOUT_TURNS = {
    "turn.started",
    "transcript.partial",
    "emotion.partial",
    "turn.resumed",
    "turn.ended",
    "transcript.final",
    "emotion.final",
}


# --- audio ---------------------------------------------------------------------


@cache
def clip(name):
    """16-bit samples of a clip of `tests/audio`, at 16 kHz."""
    return sources.decode(AUDIO / name)


def silence(seconds):
    return np.zeros(round(seconds * RATE_HZ), np.int16)


def join(*parts):
    return np.concatenate(parts)


def as_pcm16(samples):
    return samples.astype("<i2").tobytes()


def as_float32(samples):
    return (samples / 32_768).astype("<f4").tobytes()


# --- one session ---------------------------------------------------------------


class Wire:
    """One WebSocket to the server.

    Attributes:
        socket: For what the helper does not do.
        heard: Every message so far, oldest first.
    """

    def __init__(self, socket):
        self.socket = socket
        self.heard = []
        self._came = asyncio.Condition()

    @property
    def close_code(self):
        return self.socket.close_code

    async def say(self, *said):
        """Send bytes as audio, strings as they are, dictionaries as JSON."""
        for item in said:
            await self.socket.send(json.dumps(item) if isinstance(item, dict) else item)

    async def hear(self):
        """Give the next message."""
        async with asyncio.timeout(TIMEOUT_S):
            message = json.loads(await self.socket.recv())
        async with self._came:
            self.heard.append(message)
            self._came.notify_all()
        return message

    async def wait_for(self, kind):
        """Wait until another task has heard a message of a type."""
        async with asyncio.timeout(TIMEOUT_S), self._came:
            await self._came.wait_for(lambda: of_type(self.heard, kind))

    async def hear_until(self, kind):
        """Give the next message of a type; those before it are in `heard`."""
        while (message := await self.hear())["type"] != kind:
            pass
        return message

    async def hear_all(self):
        """Give every message there was, once the server has closed."""
        try:
            while True:
                await self.hear()
        except ConnectionClosed:
            return self.heard


@asynccontextmanager
async def dial(url, **options):
    """Open a socket on which nothing has been said yet."""
    options = {
        "subprotocols": [events.SUBPROTOCOL],
        "compression": None,
        "max_queue": None,  # a test may send all before it listens
    } | options
    async with websockets.asyncio.client.connect(url, **options) as socket:
        yield Wire(socket)


@asynccontextmanager
async def talk(url, *, dialing=None, **wishes):
    """Open a session; `wishes` are fields of `session.start`, `dialing` of `dial`."""
    async with dial(url, **dialing or {}) as wire:
        await wire.say({"type": "session.start", "audio": MONO_16K} | wishes)
        welcome = await wire.hear()
        assert welcome["type"] == "session.started", welcome
        yield wire


# --- a whole conversation ------------------------------------------------------


def whole(data):
    """At most what one WebSocket message may hold."""
    return pieces(data, 1 << 20)


def pieces(data, n_bytes):
    return [data[at : at + n_bytes] for at in range(0, len(data), n_bytes)]


def frames_of_20_ms(data):
    return pieces(data, RATE_HZ // 50 * 2)


def ragged(data):
    """Some bytes one by one, then pieces of any length, odd ones too."""
    dice = random.Random(0)
    at = min(1000, len(data))
    cut = pieces(data[:at], 1)
    while at < len(data):
        n_bytes = dice.choice([1, 3, 333, 1023, 1024, 1025, 4001, 30_001])
        cut.append(data[at : at + n_bytes])
        at += n_bytes
    return cut


class Until(str):
    """In a script: say nothing more until a message of this type has come."""


async def record(url, script, *, cutting=whole, encode=as_pcm16, **wishes):
    """Hold one session, faster than life; give every message until the close.

    Args:
        url: Of the server.
        script: Samples, messages and `Until`, in their order; `session.end` is added.
        cutting: How the audio between two messages is cut into frames.
        encode: Samples to bytes.
        wishes: Fields of `session.start`.
    """
    async with talk(url, **wishes) as wire:

        async def speak():
            for item in script:
                if isinstance(item, Until):
                    await wire.wait_for(item)
                elif isinstance(item, dict | str):
                    await wire.say(item)
                else:
                    await wire.say(*cutting(encode(item)))
            await wire.say({"type": "session.end"})

        async with asyncio.TaskGroup() as group:
            group.create_task(speak())
            group.create_task(wire.hear_all())
    assert wire.close_code == 1000, wire.heard[-1]
    return wire.heard


def of_type(heard, *kinds):
    return [message for message in heard if message["type"] in kinds]


def of_turn(heard, turn):
    return [message for message in heard if message.get("turn") == turn]


# --- the server's pages --------------------------------------------------------


def page(url, path):
    """Give status and text of a page of the server at `url`."""
    root = url.replace("ws://", "http://").removesuffix(events.PATH)
    try:
        with urllib.request.urlopen(root + path, timeout=TIMEOUT_S) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


def metrics(url):
    """Give every number of /metrics by its name and the values of its labels."""
    _, text = page(url, "/metrics")
    return {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


async def until_metric(url, *name, value):
    """Ask the server until a number of /metrics is `value`."""
    async with asyncio.timeout(TIMEOUT_S):
        while True:
            found = await asyncio.to_thread(metrics, url)
            if found.get(name) == value:
                return


async def until_sessions(url, n_sessions):
    """Ask the server until so many sessions are open."""
    await until_metric(url, "stream_erc_sessions", value=n_sessions)


# --- what must not depend on chance --------------------------------------------


def results(heard):
    """Give each turn's boundaries and finals, without clocks and numbers of order."""
    found = {}
    for message in of_type(heard, "turn.ended", "transcript.final", "emotion.final"):
        kept = {
            name: value
            for name, value in message.items()
            if name not in ("seq", "time_ms", "latency", "turn")
        }
        found.setdefault(message["turn"], {})[kept.pop("type")] = kept
    return [found[turn] for turn in sorted(found)]


def agree(one, other, tolerance=0.001):
    """Tell whether two things are equal but for `tolerance` in their numbers."""
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(
            agree(one[name], other[name], tolerance) for name in one
        )
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(
            agree(a, b, tolerance) for a, b in zip(one, other, strict=True)
        )
    if isinstance(one, float) and isinstance(other, float):
        return abs(one - other) <= tolerance
    return type(one) is type(other) and one == other


def word_errors(said, heard):
    """Count the words to put in, take out or change; case and marks do not count."""
    reference, hypothesis = plain_words(said), plain_words(heard)
    row = list(range(len(hypothesis) + 1))
    for i, word in enumerate(reference, 1):
        before, row[0] = row[0], i
        for j, other in enumerate(hypothesis, 1):
            change = before + (word != other)
            before, row[j] = row[j], min(change, row[j] + 1, row[j - 1] + 1)
    return row[-1]


def plain_words(text):
    kept = "".join(c if c.isalnum() or c in "' " else " " for c in text.lower())
    return kept.split()
