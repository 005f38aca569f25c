"""Lines and a cache -> what is left to ask; and, at the end, the labels file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from .cache import Cache, make_key
from .lines import LabelledLine, Line, UnparsedLine, write_structs
from .prompts import Prompt


@dataclass(frozen=True, slots=True)
class Job:
    """What is to be labelled, and what of it is not yet.

    Attributes:
        lines: All of them, in order.
        keys: Of the distinct texts, in order; the same words are asked once.
        batches: Texts that the cache lacks, a batch a request.
    """

    lines: Sequence[Line]
    keys: dict[str, str]
    batches: list[list[str]]

    @property
    def n_waiting(self) -> int:
        """How many texts the cache lacks."""
        return sum(len(texts) for texts in self.batches)

    @property
    def n_cached(self) -> int:
        """How many texts the cache has."""
        return len(self.keys) - self.n_waiting


def plan(
    lines: Sequence[Line], prompt: Prompt, model: str, cache: Cache, per_request: int
) -> Job:
    """Find what is not answered yet, and lay it out in requests."""
    keys = {line.text: make_key(prompt, model, line.text) for line in lines}
    waiting = [text for text, key in keys.items() if cache.find(key) is None]
    size = per_request if prompt.is_batched else 1
    batches = [waiting[start : start + size] for start in range(0, len(waiting), size)]
    return Job(lines, keys, batches)


def write_labels(job: Job, cache: Cache, file: Path) -> int:
    """Write the lines that have a label, in order, and those set aside beside them.

    Returns:
        How many lines have a label.
    """
    labelled, unparsed = [], []
    for line in job.lines:
        key = job.keys[line.text]
        label, answer = cache.find(key), cache.find_unparsed(key)
        if label is not None:
            labelled.append(
                LabelledLine(line.id, line.text, label.sentiment, label.emotion)
            )
        elif answer is not None:
            unparsed.append(UnparsedLine(line.id, line.text, answer))
    write_structs(file, labelled)
    aside = name_unparsed(file)
    if unparsed:
        write_structs(aside, unparsed)
    else:
        aside.unlink(missing_ok=True)
    return len(labelled)


def name_unparsed(file: Path) -> Path:
    """Give the file beside a labels file that has what nobody could read."""
    return file.with_name(f"{file.name}.unparsed")
