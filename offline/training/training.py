"""A recipe and corpora -> a run folder: the stages, one after another."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from offline.corpora.form import TEST, TRAIN, VALIDATION, tell_problems
from offline.engines import Engine, OneByOne
from offline.exporting.folder import Trained, sha256
from offline.exporting.trials import Trial, compare
from stream_erc.model import DialogueModel

from .acted import ActedDialogues
from .calibration import fit_temperatures, measure_prior
from .credits import Credits, credit, join
from .dialogue_stages import CONTEXT, FUSION, TOGETHER, VOICE, DialogueTraining
from .dialogues import Floats
from .material import (
    Gathering,
    Material,
    choose,
    find_folder,
    only,
    read_all_labels,
    read_splits,
    require_labels,
    require_validation,
)
from .run import Origin, RunFolder
from .speech_encoder import make_encode
from .stage_figures import stage_figures
from .teachers import ask_teachers, find_teachers, say, write_said
from .text_training import TextTraining
from .trained import make_model, write_scales
from .voices import (
    Voices,
    find_parts,
    has_recordings,
    hear_parts,
    read_published,
    read_voices,
)

log = logging.getLogger(__name__)

RESULTS = {
    "stage0": "stage0.pt",
    "text": "text.pt",
    "voices": "voices",
    "vectors": "vectors.npz",
    "dialogue": "dialogue.pt",
}
"""The stages in order, and what each leaves in the run folder."""

SHARED = ("stage0", "text", "dialogue")
"""Those that several processes learn together."""

STAGE0_SETTINGS = (
    "encoder",
    "n_labels",
    "frozen_layers",
    "pretrain",
    "batch",
    "precision",
    "weight_decay",
    "sentiment_weight",
    "augment",
)


class Training:
    """Walks through the stages; each is done once in a run folder.

    Args:
        origin: What is trained, from what, and how.
        folder: The run folder, where everything goes.
        strict: Whether the first problem of a corpus ends it.
        start_engine: Gives what hears the recordings.

    Raises:
        ConfigError: If a corpus is missing, or has a problem and `strict` is on; or if
            none has a validation split.
    """

    def __init__(
        self,
        origin: Origin,
        folder: Path,
        *,
        strict: bool = False,
        start_engine: Callable[[], Engine] = OneByOne,
    ) -> None:
        self._start_engine, self._strict = start_engine, strict
        recipe = origin.recipe
        self._origin, self._recipe = origin, recipe
        self._whole = {
            name: read_splits(find_folder(origin.corpora, name), strict=strict)
            for name in recipe.corpora
        }
        require_validation(recipe, self._whole)
        said = read_all_labels(origin.labels, strict=strict)
        self._corpus_sums = {
            f"{name}/{split}": sha256(corpus.file)
            for name, splits in self._whole.items()
            for split, corpus in splits.items()
        }
        self._label_sums = [sha256(file) for file in origin.labels]
        self._run = RunFolder(folder)
        self._teachers = find_teachers(origin.teachers, recipe)
        for stage in RESULTS:  # before anything is written
            self._run.has(stage, self._settings(stage))
        self._chosen = {
            (name, split): choose(corpus, recipe.corpora[name], split, recipe.seed)
            for name, splits in self._whole.items()
            for split, corpus in splits.items()
        }
        self._corpora = {
            name: {s: only(c, self._chosen[name, s]) for s, c in splits.items()}
            for name, splits in self._whole.items()
        }
        for name, splits in self._corpora.items():
            sizes = {split: len(each.utterances) for split, each in splits.items()}
            log.info("%s: utterances: %s", name, sizes)
        self._words = TextTraining(recipe, self._corpora, said, self._run)

    def begin(self) -> AbstractContextManager[None]:
        """Keep the run folder for this process; see `RunFolder.begin`."""
        return self._run.begin(self._origin)

    def run(self, stage: str) -> None:
        """Run one of `STAGES`, unless it is done.

        Raises:
            ConfigError: If it was done otherwise, or nothing can be learned.
        """
        if stage != "stage0":
            require_labels(self._recipe, self._whole)
        learn = {
            "stage0": self._words.pretrain,
            "text": self._words.tune,
            "voices": self._hear,
            "vectors": self._words.embed,
            "dialogue": self._converse,
        }[stage]

        def work() -> None:
            learn()
            self._run.credit(stage, self._credits(stage))

        self._run.once(stage, self._settings(stage), work, is_shared=stage in SHARED)

    def take_over(self, start: Path, stages: Sequence[str]) -> None:
        """Take the results of the first stages over from another run folder.

        Raises:
            ConfigError: If they are not there, or of another encoder.
        """
        for stage in stages:
            work = partial(self._take, RunFolder(start), stage)
            self._run.once(stage, self._settings(stage), work)

    def _take(self, other: RunFolder, stage: str) -> None:
        other.compare(stage, self._settings(stage))
        self._run.copy(other, RESULTS[stage])
        self._run.credit(stage, other.credits(stage) or self._credits(stage))

    def credits(self) -> Credits:
        """Give what all stages learned from, those of other runs with theirs."""
        return join(self._run.credits(s) or self._credits(s) for s in RESULTS)

    def _credits(self, stage: str) -> Credits:
        own = credit(self._recipe, stage, self._label_sums)
        if stage != "dialogue":
            return own
        return join([own, *(teacher.credits for teacher in self._teachers)])

    def material(self) -> Material:
        """Gather what the dialogue stages learn from and are scored on."""
        taught = ask_teachers(self._teachers, self._corpora)
        return self._gathering({}, taught).gather()

    def compare_forms(self, trained: Trained) -> list[Trial]:
        """Measure on validation what smaller weights of the text encoder cost."""
        return compare(
            trained,
            self._words.validation_texts(),
            lambda vectors: self._gathering(vectors).held_out(VALIDATION),
            self._recipe.dialogue,
        )

    def _gathering(
        self, others: Mapping[str, Floats], taught: Mapping[str, Floats] | None = None
    ) -> Gathering:
        """Put everything together, some vectors taken for others."""
        with np.load(self._run.file("vectors.npz"), allow_pickle=False) as arrays:
            vectors = {**arrays, **others}
        voices = self._read_voices()
        return Gathering(self._recipe, self._corpora, vectors, voices, taught)

    def _settings(self, stage: str) -> dict[str, Any]:
        """Give all that a stage's result depends on."""
        everything = asdict(self._recipe)
        text = everything["text"]
        if stage == "voices":
            return {"voice": everything["voice"], "files": self._corpus_sums}
        if stage == "stage0":
            kept = {name: text[name] for name in STAGE0_SETTINGS}
            return {"seed": self._recipe.seed, "text": kept, "labels": self._label_sums}
        parts = {name: everything[name] for name in ("seed", "corpora", "text")}
        parts["files"] = self._corpus_sums  # what is kept goes by the place of a line
        if stage == "dialogue":
            parts["dialogue"] = everything["dialogue"]
            if self._teachers:
                parts["teachers"] = [teacher.sha256 for teacher in self._teachers]
        return parts

    def _hear(self) -> None:
        self._run.file("voices").mkdir(exist_ok=True)
        voice = self._recipe.voice
        parts = [
            part
            for name, splits in self._whole.items()
            for split, corpus in splits.items()
            if has_recordings(corpus.utterances)
            for part in find_parts(
                corpus,
                self._run.file("voices") / name / split,
                voice.copies if split == TRAIN else 0,
            )
        ]
        if parts:
            make = partial(make_encode, voice.encoder)
            engine = self._start_engine()
            tell_problems(
                hear_parts(parts, make, voice.augment, engine, strict=self._strict)
            )

    def _read_voices(self) -> dict[tuple[str, str], Voices]:
        voices = {}
        for (name, split), numbers in self._chosen.items():
            corpus = self._whole[name][split]
            found = read_voices(self._run.file("voices") / name / split)
            found = found or read_published(corpus)
            some = found and found.only(numbers)
            if some and len(some.utterance):
                voices[name, split] = some
        return voices

    def _converse(self) -> None:
        recipe, material = self._recipe, self.material()
        torch.manual_seed(recipe.seed)
        sizes = material.sizes
        model = make_model(recipe, sizes.text, sizes.encoder, sizes.functionals)
        training = DialogueTraining(
            model,
            recipe.dialogue,
            material.sources,
            lambda stage: stage_figures(
                model, stage, material.validation, recipe.dialogue
            ),
            self._run.folder,
            recipe.seed,
        )
        courses = recipe.dialogue
        if courses.joint:
            training.run(TOGETHER, courses.together)
        else:
            training.run(VOICE, courses.voice)
            training.run(CONTEXT, courses.context)
            training.run(FUSION, courses.fusion)
        self._note(model.eval(), material)
        model.cpu()
        model.temperatures[:] = fit_temperatures(
            model, material.validation, recipe.dialogue
        )
        model.prior[:] = measure_prior(material.sources)
        log.info(
            "temperatures, which scores are divided by to make probabilities honest "
            "(above 1: it was too sure): words %.2f, voice %.2f, both %.2f",
            *model.temperatures.tolist()[1:],
        )
        write_scales(self._run, material.scales)
        self._run.save("dialogue.pt", model)
        self._say(model, material)  # last: who has said it is finished

    def _say(self, model: DialogueModel, material: Material) -> None:
        """Keep what the model makes of the training turns, for those it may teach."""
        said = {}
        for name, source in material.sources.items():
            if not isinstance(source.dialogues, ActedDialogues):
                utterances = self._corpora[name][TRAIN].utterances
                # Behind the dialogues come the same ones, varied.
                plain = source.dialogues[: len(source.dialogues) // 2]
                told = self._recipe.dialogue.speakers
                said[name] = (utterances, say(model, plain, speakers=told))
        write_said(self._run, said)

    def _note(self, model: DialogueModel, material: Material) -> None:
        """Keep the figures of every stage, on validation and on test."""
        for stage in (VOICE, CONTEXT, FUSION):
            figures = {
                split: stage_figures(model, stage, held_out, self._recipe.dialogue)
                for split, held_out in (
                    (VALIDATION, material.validation),
                    (TEST, material.test),
                )
            }
            self._run.note(stage.name, figures)
