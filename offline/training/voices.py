"""Recordings -> numbers of the voice on disk, computed once, by the code that serves.

Of each turn: the whole, its first seconds, and in training some varied copies. Kept in
parts of a hundred utterances, so that a run that was stopped goes on.
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from offline.corpora.form import Corpus, Problem, Utterance
from offline.engines import Engine
from offline.evaluation.hearing import Unheard, cut_clip, decode
from offline.progress import track
from stream_erc.errors import ConfigError, reason
from stream_erc.flow import SAMPLE_RATE_HZ, Samples
from stream_erc.functionals import FUNCTIONALS_SIZE, KEPT_IS09_COLUMNS, functionals

from .voice_augment import VoiceAugment, augment_voice

WHOLE, VARIED, PREFIX = 0, 1, 2
PREFIXES_S = (1.0, 1.5, 2.0)  # about when partial emotions come
PART_UTTERANCES = 100
UNIT = "hundreds of turns"
PUBLISHED_IS09 = 384  # of the openSMILE set, of which we compute a part ourselves

Floats = NDArray[np.float32]
Encode = Callable[[Samples], Floats]
Row = tuple[int, int, Floats, Floats]
"""Of one variant of an utterance: its number, kind, encoder, functionals."""


@dataclass(frozen=True, slots=True)
class Voices:
    """Numbers of recordings, one row each.

    Attributes:
        utterance: Number of the utterance in its corpus file, shape (n,).
        kind: `WHOLE`, `VARIED` or `PREFIX`, shape (n,).
        encoder: Shape (n, encoder size); no columns where it was not computed.
        functionals: Shape (n, functionals size).
    """

    utterance: NDArray[np.intp]
    kind: NDArray[np.intp]
    encoder: Floats
    functionals: Floats

    def rows(self, *kinds: int) -> dict[int, list[int]]:
        """Give the rows of these kinds by utterance."""
        found: dict[int, list[int]] = {}
        for row in np.flatnonzero(np.isin(self.kind, kinds)):
            found.setdefault(int(self.utterance[row]), []).append(int(row))
        return found

    def only(self, numbers: Sequence[int]) -> Voices:
        """Give the rows of these utterances, which are numbered anew in that order."""
        places = {number: place for place, number in enumerate(numbers)}
        kept = [row for row, number in enumerate(self.utterance) if number in places]
        new = [places[int(self.utterance[row])] for row in kept]
        return Voices(
            np.array(new, np.intp),
            self.kind[kept],
            self.encoder[kept],
            self.functionals[kept],
        )


@dataclass(frozen=True, slots=True)
class Part:
    """Some utterances of a corpus, and where their numbers go.

    Attributes:
        corpus: The file that they are lines of.
        start: Number of the first in it.
        utterances: In order.
        lines: Where each stands in the file, from 1.
        copies: Varied ones of each turn; 0 outside training.
        file: Where the numbers go.
    """

    corpus: Path
    start: int
    utterances: Sequence[Utterance]
    lines: Sequence[int]
    copies: int
    file: Path


Heard = tuple[list[Row], list[Problem]]
"""The rows of a part, and its recordings that could not be read."""


def find_parts(corpus: Corpus, folder: Path, copies: int) -> list[Part]:
    """Give the parts of a corpus that were not heard before.

    Args:
        corpus: Its recordings are heard.
        folder: Where the parts go; made if missing.
        copies: Varied ones of each turn; 0 outside training.
    """
    folder.mkdir(parents=True, exist_ok=True)
    lines = [corpus.line(number) for number in range(len(corpus.utterances))]
    parts = [
        Part(
            corpus.file,
            start,
            corpus.utterances[start : start + PART_UTTERANCES],
            lines[start : start + PART_UTTERANCES],
            copies,
            folder / f"{start:06}.npz",
        )
        for start in range(0, len(corpus.utterances), PART_UTTERANCES)
    ]
    return [part for part in parts if not part.file.exists()]


def hear_parts(
    parts: Sequence[Part],
    make_encode: Callable[[], Encode],
    augment: VoiceAugment,
    engine: Engine,
    *,
    strict: bool = False,
) -> list[Problem]:
    """Compute what `read_voices` reads, and keep each part as it comes.

    Args:
        parts: At least one.
        make_encode: Gives what turns samples into the encoder's numbers.
        augment: How the copies vary.
        engine: Does the work.
        strict: Whether the first recording that cannot be read ends it.

    Returns:
        The recordings that could not be read.

    Raises:
        ConfigError: If `strict`, at the first of them.
    """
    problems: list[Problem] = []
    heard = engine.map(partial(make_hear, make_encode, augment), parts)
    for part, found in zip(track(parts, "voices", UNIT), heard, strict=True):
        if isinstance(found, ConfigError):
            raise found
        rows, unheard = found
        if strict and unheard:
            raise ConfigError(str(unheard[0]))
        write_part(part.file, rows)
        problems += unheard
    return problems


def make_hear(
    make_encode: Callable[[], Encode], augment: VoiceAugment
) -> Callable[[Part], Heard]:
    """Load the encoder; see `Engine.map`."""
    # faster-whisper collects garbage at each file; what lives by now would be searched.
    gc.freeze()
    encode = make_encode()
    # Turns of one dialogue often share a recording, each speaker a channel of it.
    recording = lru_cache(maxsize=2)(decode)

    def hear_part(part: Part) -> Heard:
        rows: list[Row] = []
        problems = []
        for place, utterance in enumerate(part.utterances):
            if utterance.audio is None:
                continue
            try:
                file = part.corpus.parent / utterance.audio
                samples = recording(file, utterance.channel)
                cut = partial(cut_clip, samples, utterance.start_s, utterance.end_s)
                rows += hear(part.start + place, cut, encode, augment, part.copies)
            except Unheard as error:
                line = part.lines[place]
                problems.append(Problem(part.corpus, line, str(error)))
        return rows, problems

    return hear_part


def hear(
    number: int,
    cut: Callable[[tuple[float, float]], Samples],
    encode: Encode,
    augment: VoiceAugment,
    copies: int,
) -> list[Row]:
    """Give the rows of one utterance: whole, varied, and the beginnings of both.

    Args:
        number: Of the utterance.
        cut: Gives its samples, start and end moved by so many seconds.
        encode: Samples to the encoder's numbers.
        augment: How the copies vary.
        copies: Varied ones.
    """
    draw = np.random.default_rng(number)
    samples = cut((0.0, 0.0))
    variants = [(WHOLE, samples), (PREFIX, first_seconds(samples, draw))]
    for _ in range(copies):
        before_s, after_s = draw.uniform(-augment.edge_s, augment.edge_s, 2)
        varied = augment_voice(cut((before_s, after_s)), augment, draw)
        variants += [(VARIED, varied), (PREFIX, first_seconds(varied, draw))]
    return [
        (number, kind, encode(variant), functionals(variant))
        for kind, variant in variants
    ]


def first_seconds(samples: Samples, draw: np.random.Generator) -> Samples:
    """Give the part of a turn that a provisional emotion rests on."""
    return samples[: int(draw.choice(PREFIXES_S) * SAMPLE_RATE_HZ)]


def write_part(file: Path, rows: Sequence[Row]) -> None:
    """Write some utterances' rows, at once or not at all."""
    arrays: dict[str, Any] = {
        "utterance": np.array([row[0] for row in rows], np.intp),
        "kind": np.array([row[1] for row in rows], np.intp),
        "encoder": np.array([row[2] for row in rows], np.float32),
        "functionals": np.array([row[3] for row in rows], np.float32),
    }
    fresh = file.with_suffix(".part.npz")
    np.savez(fresh, allow_pickle=False, **arrays)
    fresh.replace(file)


def read_voices(folder: Path) -> Voices | None:
    """Read all parts; None if there is no recording in them."""
    parts = []
    for file in sorted(folder.glob("[0-9]*.npz")):
        if ".part" not in file.name:
            with np.load(file, allow_pickle=False) as arrays:
                if len(arrays["utterance"]):
                    parts.append({name: arrays[name] for name in Voices.__slots__})
    if not parts:
        return None
    return Voices(
        **{name: np.concatenate([p[name] for p in parts]) for name in Voices.__slots__}
    )


def read_published(corpus: Corpus) -> Voices | None:
    """Read the numbers that a corpus was published with; None if it has none.

    Raises:
        ConfigError: If a file of theirs is missing or is not what the lines say.
    """
    rows, arrays = [], {}
    for number, utterance in enumerate(corpus.utterances):
        where = utterance.features
        if where is not None:
            key = (where.file, where.key)
            if key not in arrays:
                arrays[key] = read_array(corpus.root / where.file, where.key)
            if not 0 <= where.row < len(arrays[key]):
                raise ConfigError(
                    f"{corpus.root / where.file}: expected {len(arrays[key])} rows in "
                    f"{where.key!r}, got asked for row {where.row}, from 0"
                )
            rows.append((number, arrays[key][where.row]))
    if not rows:
        return None
    widths = {len(row) for _, row in rows}
    if len(widths) > 1:
        raise ConfigError(
            f"{corpus.file}: expected features of one width, got {sorted(widths)}"
        )
    numbers = np.array([row for _, row in rows], np.float32)
    return Voices(
        utterance=np.array([number for number, _ in rows], np.intp),
        kind=np.full(len(rows), WHOLE, np.intp),
        encoder=np.zeros((len(rows), 0), np.float32),
        functionals=numbers,
    )


def read_array(file: Path, key: str) -> Floats:
    """Read an array of published features; of IS09 the columns that we compute too.

    Raises:
        ConfigError: If there is none.
    """
    try:
        with np.load(file, allow_pickle=False) as arrays:
            values = np.asarray(arrays[key], np.float32)
    except (OSError, KeyError, ValueError, BadZipFile) as error:
        raise ConfigError(
            f"{file}: expected an array {key!r}, got: {reason(error)}"
        ) from error
    if values.ndim != 2:
        raise ConfigError(
            f"{file}: expected rows of numbers in {key!r}, got shape {values.shape}"
        )
    is_whole_is09 = values.shape[1] == PUBLISHED_IS09 != FUNCTIONALS_SIZE
    return values[:, KEPT_IS09_COLUMNS] if is_whole_is09 else values


def has_recordings(utterances: Sequence[Utterance]) -> bool:
    """Whether there is anything to hear."""
    return any(utterance.audio is not None for utterance in utterances)
