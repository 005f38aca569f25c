"""What streaming costs in words and emotions: the same turns, heard in two ways.

    python -m benchmarks.streaming_cost [--data FOLDER] [--actors 21-24]

The product's own stages cut the turns, the same for both. `streamed` is what the server
does: an encoder context by the turn's length, its silence computed once for eight,
greedy words. `offline` is faster-whisper as it comes: `WhisperModel.transcribe` with
its beam of five and 30 s of context, and the voice from the states of its own encoder.
The shipped emotion model judges both, in conversations that go on in the same order.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Any

import numpy as np
from faster_whisper import WhisperModel
from faster_whisper.audio import pad_or_trim

from benchmarks.accuracy import make_reading
from benchmarks.dialogues import Dialogue, make_dialogues, read_actors, read_pairs
from benchmarks.matching import Match, gather, match
from benchmarks.options import describe, exit_with, find_clips, make_clips_parser
from benchmarks.report import (
    Target,
    describe_machine,
    print_document,
    print_table,
    print_targets,
)
from benchmarks.scoring import score_emotions, word_error_rate
from clients.arrival import Arrival
from clients.sources import FORMAT, RATE_HZ
from stream_erc import events
from stream_erc.asr import Whisper, count_states, locate_weights, pool
from stream_erc.config import Settings
from stream_erc.conversation import Conversation
from stream_erc.engine import Hearing, Models
from stream_erc.engines import InlineEngine
from stream_erc.flow import Heard, Samples
from stream_erc.pipeline import Pipeline, open_session
from stream_erc.vad import SileroVad

MAX_COST = 0.005
"""Half a point, of word errors and of weighted F1."""

WAYS = ("streamed", "offline")
CHUNK = RATE_HZ // 10


class OfflineWhisper(Whisper):
    """The same weights as somebody uses them who has all the time."""

    def __init__(self, settings: Settings) -> None:
        self._offline = WhisperModel(
            locate_weights(settings.asr.whisper),
            compute_type=settings.asr.compute_type,
            cpu_threads=1,
        )
        super().__init__(settings.asr)

    def hear(
        self, samples: Samples, *, language: str | None = None, with_words: bool = False
    ) -> Heard:
        """Transcribe one turn without times, and pool the encoder's view of it."""
        whisper = self._offline
        told, _ = whisper.transcribe(samples, language=language or "en")
        segments = list(told)
        mel = pad_or_trim(whisper.feature_extractor(samples))
        weights = [len(segment.tokens) for segment in segments]

        def mean(name: str) -> float:
            values = [getattr(segment, name) for segment in segments]
            return float(np.average(values, weights=weights)) if segments else 0.0

        return Heard(
            text=" ".join(segment.text.strip() for segment in segments),
            words=(),
            voice=pool(np.array(whisper.encode(mel))[0, : count_states(samples)]),
            mean_log_probability=mean("avg_logprob"),
            no_speech_probability=mean("no_speech_prob"),
            compression_ratio=mean("compression_ratio"),
        )


def make_engine(way: str, settings: Settings) -> InlineEngine:
    """Load the models for a way of hearing."""
    models = Models(settings)
    if way == "offline":
        hearing = Hearing(settings)
        hearing.whisper = OfflineWhisper(settings)
        models.hear = hearing.hear
    return InlineEngine(models)


def play(
    dialogue: Dialogue, settings: Settings, vad: SileroVad, engine: InlineEngine
) -> list[Match]:
    """Give what comes back of one dialogue, its speakers named."""
    listener, director = open_session(
        events.SessionStart(audio=FORMAT, partials=False),
        session=dialogue.name,
        settings=settings,
        probability=vad.stream(),
        conversation=Conversation(engine.empty_context()),
    )
    pipeline = Pipeline(listener, director, engine)
    told: list[events.Event] = []
    edges = [0, *(clip.start for clip in dialogue.clips), len(dialogue.samples)]
    names = ["nobody", *(clip.voice.speaker for clip in dialogue.clips)]
    for name, start, end in zip(names, edges, edges[1:], strict=False):
        told += pipeline.tell(events.SpeakerSet(speaker=name))
        for at in range(start, end, CHUNK):
            told += pipeline.push(dialogue.samples[at : min(end, at + CHUNK)].tobytes())
    told += pipeline.tell(events.SessionEnd())
    arrivals = [
        Arrival("", event, 0.0)
        for event in told
        if isinstance(event, events.ServerEvent)
    ]
    return match(dialogue.clips, gather(arrivals))


def score(acted: Sequence[Match], read: Sequence[Match]) -> dict[str, float]:
    """Give what is compared."""
    emotions = score_emotions(acted)
    return {
        "WER, RAVDESS": word_error_rate(acted),
        "WER, speech/": word_error_rate(read),
        "weighted F1": emotions.weighted_f1,
        "UAR": emotions.recall,
    }


async def measure(options: argparse.Namespace) -> int:
    """Play everything in both ways, and print."""
    machine = describe_machine()
    folder = find_clips(options)
    pairs = read_pairs(folder, read_actors(options.actors))
    acted = make_dialogues(pairs, options.seed, options.fill)
    reading = make_reading(folder, options)
    settings, vad = Settings(), SileroVad()
    scores: dict[str, dict[str, float]] = {}
    for name in WAYS:
        engine = make_engine(name, settings)
        matches = [
            matched
            for dialogue in acted
            for matched in play(dialogue, settings, vad, engine)
        ]
        scores[name] = score(matches, play(reading, settings, vad, engine))
    return report(options, machine, scores)


def report(
    options: argparse.Namespace,
    machine: dict[str, Any],
    scores: dict[str, dict[str, float]],
) -> int:
    """Print both, and what streaming costs."""
    streamed, offline = (scores[name] for name in WAYS)
    costs = {
        name: (value - offline[name]) * (1 if name.startswith("WER") else -1)
        for name, value in streamed.items()
    }
    rows = [(name, streamed[name], offline[name], costs[name]) for name in streamed]
    print_table(("the same turns", *WAYS, "cost"), rows)
    targets = [
        Target(f"cost, {name}", cost, MAX_COST)
        for name, cost in costs.items()
        if name != "UAR"
    ]
    print_targets(targets)
    print_document("streaming_cost", describe(options, machine), scores, targets)
    return 0


def read_options() -> argparse.Namespace:
    """Read the command line."""
    return make_clips_parser(
        "benchmarks.streaming_cost", "What streaming costs in words and emotions."
    ).parse_args()


if __name__ == "__main__":
    exit_with(measure(read_options()))
