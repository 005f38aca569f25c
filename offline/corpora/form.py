"""A corpus file <-> Utterance: JSON Lines, one utterance a line, ours and the user's.

Dialogues are contiguous and their turns in order. `dialogue`, `turn` and `speaker` are
required, all else may be left out or null. What is wrong with a line is named with file
and line; the rest of the corpus is used all the same, unless the reader is strict.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated

import msgspec

from stream_erc.errors import ConfigError, reason

from .names import to_emotion, to_sentiment

log = logging.getLogger(__name__)

TRAIN, VALIDATION, TEST = "train", "validation", "test"
SPLITS = (TRAIN, VALIDATION, TEST)


class FeatureRow(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One row of published features: an array in an .npz file.

    Attributes:
        file: Relative to the corpus file.
        key: Of the array in it.
        row: From 0.
    """

    file: str
    key: str
    row: int


class Utterance(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One line of a corpus.

    Attributes:
        dialogue: Name of the dialogue.
        turn: Its place there; grows from line to line, gaps allowed.
        speaker: Who spoke, within the dialogue (or the session).
        text: The words.
        audio: File of the voice, relative to the corpus file.
        channel: Of that file, from 0; None for all of them mixed.
        start_s: Where the voice starts in it; None for its beginning.
        end_s: Where it ends; None for its end.
        emotion: One of `flow.EMOTIONS`; None for context.
        sentiment: One of `flow.SENTIMENTS`, or None.
        features: Published numbers of the voice, where the recording is not at hand.
        session: Dialogues of the same people share it; None if this one stands alone.
        confidence: Of the transcript, 0 to 1; None where people transcribed.
    """

    dialogue: str
    turn: int
    speaker: str
    text: str | None = None
    audio: str | None = None
    channel: Annotated[int, msgspec.Meta(ge=0)] | None = None
    start_s: float | None = None
    end_s: float | None = None
    emotion: str | None = None
    sentiment: str | None = None
    features: FeatureRow | None = None
    session: str | None = None
    confidence: float | None = None


KEYS = Utterance.__struct_fields__


@dataclass(frozen=True, slots=True)
class Problem:
    """What is wrong at a place of a file; `str` gives `file:line: message`.

    Attributes:
        file: Where it is.
        line: From 1; 0 if the file as a whole is at fault, and then not shown.
        message: What was expected, and what came.
    """

    file: Path
    line: int
    message: str

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}" if self.line else str(self.file)
        return f"{place}: {self.message}"


@dataclass(frozen=True, slots=True)
class Corpus:
    """What a corpus file holds.

    Attributes:
        file: Where it came from; audio and features are relative to its folder.
        utterances: In order, dialogues contiguous, turns growing.
        problems: What was left out or mended.
        lines: Where each utterance stands in the file, from 1; none if it was not read.
    """

    file: Path
    utterances: list[Utterance]
    problems: list[Problem]
    lines: Sequence[int] = ()

    def line(self, number: int) -> int:
        """Give the line of an utterance, from 1."""
        return self.lines[number] if self.lines else number + 1

    @property
    def root(self) -> Path:
        """The folder that `audio` and `features` are relative to."""
        return self.file.parent


class Complaints:
    """Gathers problems; strict ones end the reading at once."""

    def __init__(self, file: Path, strict: bool) -> None:
        self._file = file
        self._strict = strict
        self.found: list[Problem] = []

    def add(self, line: int, message: str) -> None:
        """Note a problem.

        Raises:
            ConfigError: If strict.
        """
        problem = Problem(self._file, line, message)
        if self._strict:
            raise ConfigError(str(problem))
        self.found.append(problem)


def read_corpus(file: Path, *, strict: bool = False) -> Corpus:
    """Read a corpus file.

    A line that is no utterance is left out, an unknown label is left open, an unknown
    key is passed over, turns out of order are sorted; each is a problem of the result.

    Args:
        file: JSON Lines, UTF-8.
        strict: Whether the first problem ends it.

    Raises:
        ConfigError: If the file cannot be read or holds no utterance; if `strict`, also
            at the first problem.
    """
    complaints = Complaints(file, strict)
    numbered = [
        (number, mended)
        for number, line in _lines(file)
        if (mended := _parse(line, number, complaints)) is not None
    ]
    if not numbered:
        first = f"; {complaints.found[0]}" if complaints.found else ""
        raise ConfigError(f"{file}: expected utterances, one a line, got none{first}")
    lines, utterances = zip(*_in_order(numbered, complaints), strict=True)
    return Corpus(file, list(utterances), complaints.found, lines)


def _lines(file: Path) -> Iterator[tuple[int, str]]:
    try:
        text = file.read_text(encoding="utf-8-sig")  # some editors write a mark
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(
            f"{file}: expected a corpus file, got: {reason(error)}"
        ) from error
    # Not splitlines(): it also breaks at signs that may stand inside of a text.
    for number, line in enumerate(text.split("\n"), start=1):
        if line.strip():
            yield number, line


def _parse(line: str, number: int, complaints: Complaints) -> Utterance | None:
    try:
        utterance = msgspec.json.decode(line, type=Utterance)
    except msgspec.DecodeError as error:
        complaints.add(number, f"expected an utterance, got: {error}")
        return None
    for key in msgspec.json.decode(line, type=dict[str, msgspec.Raw]):
        if key not in KEYS:
            complaints.add(number, f"expected {_keys_like(key)}, got the key {key!r}")
    labels = {"emotion": utterance.emotion, "sentiment": utterance.sentiment}
    for name, translate in (("emotion", to_emotion), ("sentiment", to_sentiment)):
        label = labels[name]
        try:
            labels[name] = None if label is None else translate(label)
        except ValueError as error:
            complaints.add(number, str(error))
            labels[name] = None
    return msgspec.structs.replace(utterance, **labels)


def _keys_like(key: str) -> str:
    """Name the key that was meant, or all of them."""
    return " or ".join(get_close_matches(key, KEYS)) or f"keys of {', '.join(KEYS)}"


def _in_order(
    numbered: Iterable[tuple[int, Utterance]], complaints: Complaints
) -> list[tuple[int, Utterance]]:
    """Bring the lines of a dialogue together, by turn."""
    dialogues: dict[str, dict[int, tuple[int, Utterance]]] = {}
    latest = ""
    for number, utterance in numbered:
        name = utterance.dialogue
        turns = dialogues.setdefault(name, {})
        if utterance.turn in turns:
            complaints.add(number, f"expected turn {utterance.turn} of {name!r} once")
            continue
        if turns and name != latest:
            complaints.add(number, f"expected dialogue {name!r} in one piece")
        elif turns and utterance.turn < max(turns):
            complaints.add(
                number,
                f"expected a turn of {name!r} after {max(turns)}, got {utterance.turn}",
            )
        turns[utterance.turn] = (number, utterance)
        latest = name
    return [turns[turn] for turns in dialogues.values() for turn in sorted(turns)]


def write_corpus(file: Path, utterances: Iterable[Utterance]) -> int:
    """Write a corpus file, making its folder; give how many lines it has."""
    file.parent.mkdir(parents=True, exist_ok=True)
    lines = [msgspec.json.encode(utterance) for utterance in utterances]
    file.write_bytes(b"".join(line + b"\n" for line in lines))
    return len(lines)


def group_dialogues(utterances: Sequence[Utterance]) -> list[list[Utterance]]:
    """Cut a corpus where the dialogue changes."""
    dialogues: list[list[Utterance]] = []
    for utterance in utterances:
        if not dialogues or dialogues[-1][-1].dialogue != utterance.dialogue:
            dialogues.append([])
        dialogues[-1].append(utterance)
    return dialogues


def find_shared_dialogues(splits: Mapping[str, Corpus]) -> list[Problem]:
    """Name the dialogues that stand in more than one split: the scores would lie."""
    first: dict[str, str] = {}
    problems = []
    for split, corpus in splits.items():
        for number, utterance in enumerate(corpus.utterances):
            name = utterance.dialogue
            if first.setdefault(name, split) != split:
                message = f"expected dialogue {name!r} in one split, got it in "
                message += f"{first[name]} and {split}"
                problems.append(Problem(corpus.file, corpus.line(number), message))
                first[name] = split
    return problems


def tell_problems(problems: Sequence[Problem]) -> None:
    """Log problems: the first ten, and how many there are, in each of a few files."""
    for problem in problems[:10]:
        log.warning("%s", problem)
    counts = Counter(problem.file for problem in problems)
    if len(counts) > 10:
        log.warning(
            "%d problems in %d files; --strict stops at the first",
            len(problems),
            len(counts),
        )
        return
    for file, count in counts.items():
        log.warning("%s: %d problems in all; --strict stops at the first", file, count)


def refuse_inputs(name: str, output: Path, inputs: Sequence[Path]) -> None:
    """Refuse to write where something is read from.

    Raises:
        ConfigError: If the output, an option of this name, is one of the inputs.
    """
    if output.resolve() in {file.resolve() for file in inputs}:
        raise ConfigError(
            f"{name}: expected another file than the corpus, got {output} itself"
        )
