"""A corpus and a model -> a report: all that `python -m offline evaluate` says."""

from __future__ import annotations

import hashlib
import json
import time
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from offline.corpora.form import Corpus, Utterance, group_dialogues
from stream_erc.errors import ConfigError
from stream_erc.flow import Emotion, TurnFeatures
from stream_erc.fusion import EmotionModel

from .config import SHARES, EvaluationConfig
from .faults import CORPUS, UNJUDGED, Faults
from .figures import figures_of, headline_of, rounded
from .material import Material, gather
from .mishearing import Mishearing, word_error_rate
from .playing import Turn, Verdict, play
from .scores import Labels, Probabilities
from .targets import Target, choose_target

SMALLEST = 1e-38  # of a probability whose logarithm is taken


@dataclass(frozen=True, slots=True)
class Judged:
    """What came of some turns.

    Attributes:
        places: Numbers of their utterances, shape (n,).
        wanted: Class of each, shape (n,).
        patterns: What each rests on, of "audio" and "text".
        probabilities: Shape (n, n_labels), rows sum to 1.
        unscaled: Those before temperature; None where the model tells none.
    """

    places: Labels
    wanted: Labels
    patterns: list[tuple[str, ...]]
    probabilities: Probabilities
    unscaled: Probabilities | None


class Evaluation:
    """One model on one corpus.

    Args:
        model: What judges; a `RememberingModel` does it faster.
        utterances: Of whole dialogues, in order.
        target: What is wanted.
        material: What is known of the utterances.
        config: Under which conditions.
    """

    def __init__(
        self,
        model: EmotionModel,
        utterances: Sequence[Utterance],
        target: Target,
        material: Material,
        config: EvaluationConfig,
    ) -> None:
        self._model = model
        self._target = target
        self._material = material
        self._config = config
        self._wanted = [target.wanted_of(utterance) for utterance in utterances]
        self._all = range(len(utterances))
        self._conversations: dict[tuple[bool, str], list[int]] = defaultdict(list)
        self._dialogues = np.zeros(len(utterances), np.intp)
        self._first: set[int] = set()
        start = 0
        for number, dialogue in enumerate(group_dialogues(utterances)):
            places = range(start, start + len(dialogue))
            opening = dialogue[0]
            name = opening.dialogue if opening.session is None else opening.session
            self._conversations[opening.session is None, name] += places
            self._dialogues[start : places.stop] = number
            self._first.add(start)
            start = places.stop

    def play(
        self, features: Sequence[TurnFeatures], shares: Sequence[float] = ()
    ) -> dict[int, Verdict]:
        """Play every turn.

        Args:
            features: What the model is told of each utterance.
            shares: Parts to judge, of the turns that count.
        """
        conversations = [
            [
                Turn(
                    place,
                    features[place],
                    parts=self._parts(place, shares),
                    is_first=place in self._first,
                )
                for place in places
            ]
            for places in self._conversations.values()
        ]
        return play(self._model, conversations, self._config.context_turns)

    def _parts(self, place: int, shares: Sequence[float]) -> tuple[TurnFeatures, ...]:
        if self._wanted[place] is None:
            return ()
        return tuple(self._material.part(place, share) for share in shares)

    def collect(self, emotions: dict[int, Emotion]) -> Judged:
        """Keep what counts: turns with a label of which the model knew something."""
        kept = [
            (place, wanted, emotions[place])
            for place in self._all
            if (wanted := self._wanted[place]) is not None
            and place in emotions
            and emotions[place].modalities
        ]
        if not kept:
            raise ConfigError(
                f"corpus: expected labelled turns with something to judge by "
                f"(--modalities {self._config.modalities}), got none"
            )
        found = [self._target.probabilities_of(emotion) for _, _, emotion in kept]
        probabilities = np.array(found, np.float32)
        patterns = [emotion.modalities for _, _, emotion in kept]
        before = unscale(probabilities, patterns, self._model.manifest)
        return Judged(
            places=np.array([place for place, _, _ in kept], np.intp),
            wanted=np.array([wanted for _, wanted, _ in kept], np.intp),
            patterns=patterns,
            probabilities=self._target.restrict(probabilities),
            unscaled=None if before is None else self._target.restrict(before),
        )

    def plain(self) -> tuple[Judged, list[dict[str, Any]] | None]:
        """Judge all turns as they are; with the curve, if it is asked for."""
        shares = SHARES if self._config.has_curve else ()
        features = [self._material.features(place) for place in self._all]
        verdicts = self.play(features, shares)
        judged = self.collect({p: verdict.emotion for p, verdict in verdicts.items()})
        points = []
        for number, share in enumerate(shares):
            parts = {p: v.parts[number] for p, v in verdicts.items() if v.parts}
            point = self.collect(parts)
            points.append(
                {"share": share, **headline_of(point.wanted, point.probabilities)}
            )
        return judged, points or None

    def misheard(self) -> list[dict[str, Any]]:
        """Judge with errors in all words, those of the context included."""
        material, config = self._material, self._config
        if not config.word_errors_percent:
            return []
        plain = [material.features(place) for place in self._all]
        said = [each.text or "" for each in plain]
        mishearing = Mishearing(said)
        points = []
        for percent in config.word_errors_percent:
            heard = [
                mishearing.mishear(
                    text, percent / 100.0, np.random.default_rng([config.seed, place])
                )
                for place, text in enumerate(said)
            ]
            features = [
                replace(each, text=text or None)
                for each, text in zip(plain, heard, strict=True)
            ]
            rate = word_error_rate(said, heard)
            point = {"asked": percent / 100.0, "word_error_rate": rounded(rate)}
            points.append({**point, **self._headline(features)})
        return points

    def noisy(self) -> list[dict[str, Any]]:
        """Judge with noise in all recordings."""
        if self._config.noise_snrs_db and not self._material.sounds:
            raise ConfigError("--noise: expected a corpus with recordings, got none")
        points = []
        for noise in self._config.noises:
            features = [self._material.features(place, noise) for place in self._all]
            points.append({"snr_db": noise.snr_db, **self._headline(features)})
        return points

    def figures(self, judged: Judged) -> dict[str, Any]:
        """Give all figures of some turns."""
        return figures_of(
            judged.wanted,
            judged.probabilities,
            self._target.labels,
            dialogues=self._dialogues[judged.places],
            unscaled=judged.unscaled,
            seed=self._config.seed,
        )

    def _headline(self, features: Sequence[TurnFeatures]) -> dict[str, Any]:
        verdicts = self.play(features)
        judged = self.collect({p: verdict.emotion for p, verdict in verdicts.items()})
        return headline_of(judged.wanted, judged.probabilities)


def evaluate_corpus(
    model: EmotionModel, corpus: Corpus, config: EvaluationConfig
) -> dict[str, Any]:
    """Score a model on a corpus.

    Returns:
        The report; the figures that say the most come first.

    Raises:
        ConfigError: If the corpus has nothing to score, or `config` asks for what it
            cannot give; if strict, also at the first fault.
    """
    started_s = time.perf_counter()
    faults = Faults(config.is_strict)
    for problem in corpus.problems:
        faults.add(CORPUS, str(problem))
    dialogues = group_dialogues(corpus.utterances)[: config.limit_dialogues]
    utterances = [utterance for dialogue in dialogues for utterance in dialogue]
    target = choose_target(utterances, config.labels)
    material = gather(model, corpus, utterances, config, faults)
    evaluation = Evaluation(model, utterances, target, material, config)
    heard_s = time.perf_counter()
    judged, curve = evaluation.plain()
    judged_s = time.perf_counter()
    count_unjudged(utterances, target, judged, faults)
    misheard, noisy = evaluation.misheard(), evaluation.noisy()
    return {
        **headline_of(judged.wanted, judged.probabilities),
        "corpus": corpus.file.name,
        "model": describe_model(model),
        "modalities": config.modalities,
        "context_turns": config.context_turns,
        "target": target.name,
        "seed": config.seed,
        "n_dialogues": len(dialogues),
        "n_turns": len(utterances),
        "n_by_input": dict(Counter("+".join(known) for known in judged.patterns)),
        **evaluation.figures(judged),
        "curve": curve,
        "asr_errors": misheard or None,
        "noise": noisy or None,
        "faults": dict(faults.counts),
        "took_s": round(time.perf_counter() - started_s, 1),
        "hearing_ms_per_turn": ms_each(heard_s - started_s, len(utterances)),
        "judging_ms_per_turn": ms_each(judged_s - heard_s, len(utterances)),
    }


def ms_each(seconds: float, n_turns: int) -> float:
    """Give the milliseconds that each of some turns took."""
    return round(1000.0 * seconds / n_turns, 2)


def count_unjudged(
    utterances: Sequence[Utterance], target: Target, judged: Judged, faults: Faults
) -> None:
    """Tell of labelled turns of which the model could be told nothing."""
    known = set(judged.places.tolist())
    for place, utterance in enumerate(utterances):
        if target.wanted_of(utterance) is not None and place not in known:
            faults.add(
                UNJUDGED,
                f"dialogue {utterance.dialogue!r}, turn {utterance.turn}: expected "
                f"words or a voice, got neither; not scored",
            )


def unscale(
    probabilities: Probabilities,
    patterns: Sequence[tuple[str, ...]],
    manifest: dict[str, Any],
) -> Probabilities | None:
    """Give what the probabilities were before the temperature.

    Args:
        probabilities: Of all classes, shape (n, n_classes).
        patterns: Of each turn, what it rests on.
        manifest: Has the `temperatures` for nothing, text, voice, and both; or none.

    Returns:
        Shape (n, n_classes); None if the temperatures are unknown.
    """
    if "temperatures" not in manifest:
        return None
    numbers = [("text" in known) + 2 * ("audio" in known) for known in patterns]
    temperatures = np.asarray(manifest["temperatures"], np.float64)[numbers]
    scores = np.log(np.maximum(probabilities, SMALLEST)) * temperatures[:, None]
    powers = np.exp(scores - scores.max(1, keepdims=True))
    return np.asarray(powers / powers.sum(1, keepdims=True), np.float32)


def describe_model(model: EmotionModel) -> dict[str, Any]:
    """Name a model by its folder, its format and the checksum of its files' checksums.

    The manifest itself is not in it: figures that are written there do not make
    another model.
    """
    sums = json.dumps(model.manifest["files"], sort_keys=True)
    return {
        "folder": model.folder.resolve().name,  # a report is published: no whole path
        "format": model.manifest["format"],
        "checksum": hashlib.sha256(sums.encode()).hexdigest(),
    }
