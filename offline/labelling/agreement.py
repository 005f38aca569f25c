"""Labels beside human ones -> how far they agree."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np

from offline.corpora.form import read_corpus, tell_problems
from offline.evaluation.scores import Labels, class_scores, confusion, weighted_f1
from stream_erc.errors import ConfigError
from stream_erc.flow import EMOTIONS, SENTIMENTS

from .lines import LabelledLine, name_utterance, read_structs, starts_with


class Pair(msgspec.Struct, frozen=True, kw_only=True):
    """What the model and a human said of one text; None where one said nothing."""

    llm_sentiment: str | None
    llm_emotion: str | None
    human_sentiment: str | None
    human_emotion: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Agreement:
    """How far two labellers agree; the humans' classes are the wanted ones.

    Attributes:
        n_pairs: Texts that both labelled.
        kappa: Cohen's.
        accuracy: Share of equal labels.
        weighted_f1: Mean F1 of the classes, by how often humans gave them.
        f1: Of each class by name.
        n_human: How often humans gave each class.
    """

    n_pairs: int
    kappa: float
    accuracy: float
    weighted_f1: float
    f1: dict[str, float]
    n_human: dict[str, int]


def cohen_kappa(first: Labels, second: Labels) -> float:
    """Agreement beyond chance: 1 for the same, 0 for chance, less for less than that.

    Cohen (1960), "A coefficient of agreement for nominal scales". Where chance alone
    makes two labellers agree, both having used one same class, it is 1 here.

    Args:
        first: Shape (n,), classes from 0; n at least 1.
        second: Shape (n,).
    """
    n_classes = int(max(first.max(), second.max())) + 1
    table = confusion(first, second, n_classes) / len(first)
    by_chance = float(table.sum(1) @ table.sum(0))
    if by_chance == 1.0:
        return 1.0
    return (float(np.trace(table)) - by_chance) / (1.0 - by_chance)


def read_pairs(files: Sequence[Path]) -> list[Pair]:
    """Read one file of pairs, or a corpus and the labels of its utterances.

    Raises:
        ConfigError: If a file cannot be read, or the two have no utterance in common.
    """
    if len(files) == 1:
        if not starts_with(files[0], Pair):
            raise ConfigError(
                f"{files[0]}: expected {', '.join(Pair.__struct_fields__)} on each "
                "line, or a corpus and a labels file"
            )
        return read_structs(files[0], Pair)
    if len(files) != 2:
        raise ConfigError(
            f"--agreement: expected a corpus and a labels file, got {len(files)} files"
        )
    return match(*files)


def match(corpus_file: Path, labels_file: Path) -> list[Pair]:
    """Pair the utterances of a corpus with the labels of the same id.

    Raises:
        ConfigError: If a file cannot be read, or they have no id in common.
    """
    corpus = read_corpus(corpus_file)
    tell_problems(corpus.problems)
    given = {line.id: line for line in read_structs(labels_file, LabelledLine)}
    pairs = [
        Pair(
            llm_sentiment=line.sentiment,
            llm_emotion=line.emotion,
            human_sentiment=utterance.sentiment,
            human_emotion=utterance.emotion,
        )
        for utterance in corpus.utterances
        if (line := given.get(name_utterance(utterance))) is not None
    ]
    if not pairs:
        raise ConfigError(
            f"{labels_file}: expected ids DIALOGUE/TURN of {corpus_file}, got none"
        )
    return pairs


def compare(
    said: Sequence[tuple[str | None, str | None]], names: Sequence[str]
) -> Agreement | None:
    """Compare (human, model) labels, which are among `names`; None if there is none.

    Raises:
        ConfigError: If a label is none of them.
    """
    both = [(human, model) for human, model in said if human and model]
    if not both:
        return None
    numbers = {name: number for number, name in enumerate(names)}
    unknown = sorted({name for pair in both for name in pair} - set(numbers))
    if unknown:
        raise ConfigError(f"labels: expected {', '.join(names)}, got {unknown}")
    human, model = np.array(
        [[numbers[one], numbers[other]] for one, other in both], np.intp
    ).T
    scores = class_scores(human, model, len(names))
    return Agreement(
        n_pairs=len(both),
        kappa=cohen_kappa(human, model),
        accuracy=float((human == model).mean()),
        weighted_f1=weighted_f1(human, model),
        f1={name: float(f1) for name, f1 in zip(names, scores.f1, strict=True)},
        n_human={name: int(n) for name, n in zip(names, scores.n, strict=True)},
    )


def compare_all(pairs: Sequence[Pair]) -> dict[str, Agreement]:
    """Compare emotions and sentiments, whichever there are.

    Raises:
        ConfigError: If there is neither, or a label is none of ours.
    """
    emotions = [(pair.human_emotion, pair.llm_emotion) for pair in pairs]
    sentiments = [(pair.human_sentiment, pair.llm_sentiment) for pair in pairs]
    found = {
        "emotion": compare(emotions, EMOTIONS),
        "sentiment": compare(sentiments, SENTIMENTS),
    }
    if not any(found.values()):
        raise ConfigError("--agreement: expected texts that both labelled, got none")
    return {name: agreement for name, agreement in found.items() if agreement}


def write_agreement(name: str, agreement: Agreement) -> str:
    """Give an agreement as a few lines of text."""
    head = (
        f"{name}: {agreement.n_pairs} pairs, kappa {agreement.kappa:.3f}, weighted F1 "
        f"{agreement.weighted_f1:.3f}, accuracy {agreement.accuracy:.3f}"
    )
    classes = [
        f"  {label:<9} F1 {score:.3f}  ({agreement.n_human[label]} by humans)"
        for label, score in agreement.f1.items()
    ]
    return "\n".join([head, *classes])
