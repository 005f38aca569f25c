"""A run folder: what each stage leaves there for the next.

stage0.pt          Stage 0 of the words
text.pt            Stage I of the words
voices/            numbers of the recordings
vectors.npz        Stage I vectors of the corpora
dialogue.pt        Stages I (voice) to III, with temperatures
said.npz           what they make of the training turns, for runs that they teach
scales.npz         everybody's voice statistics
origin.json        the recipe, and where corpora and labels are
settings.json      what each stage that is done was done with
credits.json       the data that each stage learned from
figures.json       what each stage reaches, on validation and test
training.lock      held while a process trains into the folder
"""

from __future__ import annotations

import json
import logging
import os
import platform
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from zipfile import is_zipfile

import msgspec
import torch
from torch import nn

from stream_erc.errors import ConfigError

from .credits import Credits, join
from .lock import hold
from .processes import join_processes
from .recipe import Recipe, build

log = logging.getLogger(__name__)

ORIGIN_FILE = "origin.json"
SETTINGS_FILE = "settings.json"
CREDITS_FILE = "credits.json"
FIGURES_FILE = "figures.json"


@dataclass(frozen=True, slots=True)
class Origin:
    """What a run is trained from.

    Attributes:
        recipe: How.
        corpora: Folder of the corpora.
        labels: Files that the `label` command wrote.
        teachers: Folders of finished runs that teach Stages II and III.
    """

    recipe: Recipe
    corpora: Path
    labels: list[Path]
    teachers: list[Path] = field(default_factory=list)


class RunFolder:
    """Remembers which stages are done, and with which settings.

    Of several processes that train together all read it and one writes.

    Args:
        folder: Made if missing.
    """

    def __init__(self, folder: Path) -> None:
        self._processes = join_processes()
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder

    @property
    def is_ours(self) -> bool:
        """Whether this process is the one that writes."""
        return bool(self._processes.is_main_process)

    def file(self, name: str) -> Path:
        """Give the path of one of its files."""
        return self.folder / name

    @contextmanager
    def begin(self, origin: Origin) -> Iterator[None]:
        """Keep other processes from training into it, and note what it learns from.

        Raises:
            ConfigError: If another one does.
        """
        with hold(self.folder) if self.is_ours else nullcontext():
            self.remember(origin)
            yield

    def remember(self, origin: Origin) -> None:
        """Keep what the folder is trained from."""
        content = {
            "recipe": asdict(origin.recipe),
            "corpora": str(origin.corpora.resolve()),
            "labels": [str(file.resolve()) for file in origin.labels],
            "teachers": [str(folder.resolve()) for folder in origin.teachers],
        }
        self._write(ORIGIN_FILE, content)

    def recall(self) -> Origin:
        """Give what the folder is trained from.

        Raises:
            ConfigError: If it is no run folder.
        """
        content = self._read(ORIGIN_FILE)
        if not content:
            raise ConfigError(
                f"{self.folder}: expected a run folder, got no origin.json"
            )
        return Origin(
            build(Recipe(), content["recipe"], str(self.file(ORIGIN_FILE))),
            Path(content["corpora"]),
            [Path(file) for file in content["labels"]],
            [Path(folder) for folder in content.get("teachers", [])],
        )

    def has(self, stage: str, settings: object) -> bool:
        """Whether a stage is done.

        Raises:
            ConfigError: If it was done with other settings.
        """
        done = self._read(SETTINGS_FILE)
        wanted = json.loads(json.dumps(settings))
        if stage in done and done[stage] != wanted:
            raise ConfigError(
                f"{self.folder}: expected {stage} trained with "
                f"{difference(wanted, done[stage])}; use another --run"
            )
        return stage in done

    def once(
        self,
        stage: str,
        settings: object,
        work: Callable[[], None],
        *,
        is_shared: bool = False,
    ) -> None:
        """Do a stage's work unless it is done.

        Args:
            stage: Its name.
            settings: All that its result depends on; becomes JSON.
            work: Leaves its result in the folder.
            is_shared: Whether all processes take part; the others wait elsewise.

        Raises:
            ConfigError: If it was done with other settings.
        """
        if self.has(stage, settings):
            log.info("%s: done before", stage)
            return
        wanted = json.loads(json.dumps(settings))
        log.info("%s: begins", stage)
        started_s = time.monotonic()
        if is_shared or self.is_ours:
            work()
        self._processes.wait_for_everyone()
        took_s = round(time.monotonic() - started_s)
        if self.is_ours:
            self._end(stage, wanted, took_s)
        self._processes.wait_for_everyone()
        log.info("%s: done in %d s", stage, took_s)

    def _end(self, stage: str, settings: object, took_s: int) -> None:
        for file in self.folder.glob("*.checkpoint"):
            file.unlink()  # what it was for is done
        self._write(SETTINGS_FILE, {**self._read(SETTINGS_FILE), stage: settings})
        made = self._read(FIGURES_FILE).get("made", {})
        seconds = {**made.get("seconds", {}), stage: took_s}
        self.note("made", {**describe_machine(), "seconds": seconds})

    def copy(self, other: RunFolder, name: str) -> None:
        """Take a file or folder of another run over; as links, where that works.

        Raises:
            ConfigError: If the other run has none.
        """
        source, target = other.file(name), self.file(name)
        if not source.exists():
            raise ConfigError(f"{source}: expected what an earlier run left, got none")
        if source.is_dir():
            shutil.copytree(source, target, copy_function=link, dirs_exist_ok=True)
        else:
            link(source, target)

    def compare(self, stage: str, settings: Mapping[str, Any]) -> None:
        """Say where a stage was done otherwise than another run would do it.

        A seed of its own or another loss makes it no less of use, so that is logged;
        numbers of another encoder mean nothing.

        Args:
            stage: Its name.
            settings: The other run's.

        Raises:
            ConfigError: If it was done with another encoder, or on lines that a corpus
                no longer has.
        """
        done = self._read(SETTINGS_FILE).get(stage)
        if done is None:
            log.warning("%s: %s taken over, but it was not ended", self.folder, stage)
            return
        wanted = json.loads(json.dumps(settings))
        here, there = encoders(done), encoders(wanted)
        for part in here.keys() & there.keys():
            if here[part] != there[part]:
                raise ConfigError(
                    f"{self.folder}: expected {stage} trained with {part} encoder = "
                    f"{there[part]!r}, got {here[part]!r}; use another --start"
                )
        if stage in ("voices", "vectors"):  # numbers that go by the place of a line
            kept, needed = done.get("files", {}), wanted.get("files", {})
            for file in kept.keys() & needed.keys():
                if kept[file] != needed[file]:
                    raise ConfigError(
                        f"{self.folder}: expected {stage} of {file} as it is now, got "
                        "an earlier state's; use another --start"
                    )
        done, wanted = {**done, "seed": None}, {**wanted, "seed": None}
        if done != wanted:
            told = difference(wanted, done)
            log.warning("%s: %s taken over, but expected %s", self.folder, stage, told)

    def note(self, stage: str, figures: dict[str, Any]) -> None:
        """Keep what a stage reaches."""
        self._write(FIGURES_FILE, {**self._read(FIGURES_FILE), stage: figures})

    def credit(self, stage: str, credits: Credits) -> None:
        """Keep what a stage learned from."""
        whole = {**self._read(CREDITS_FILE), stage: msgspec.to_builtins(credits)}
        self._write(CREDITS_FILE, whole)

    def credits(self, stage: str) -> Credits | None:
        """Give what a stage learned from; None where nobody has kept it."""
        content = self._read(CREDITS_FILE).get(stage)
        return None if content is None else msgspec.convert(content, Credits)

    def all_credits(self) -> Credits:
        """Give what all stages that are done learned from."""
        stages = self._read(CREDITS_FILE).values()
        return join(msgspec.convert(content, Credits) for content in stages)

    def save(self, name: str, model: nn.Module) -> None:
        """Keep a network's weights, at once or not at all."""
        if not self.is_ours:
            return
        fresh = self.file(f"{name}.part")
        torch.save(model.state_dict(), fresh)
        fresh.replace(self.file(name))

    def load(self, name: str, model: nn.Module) -> None:
        """Set a network's weights.

        Raises:
            ConfigError: If the stage that gives them was not run, or the file is cut or
                of another network.
        """
        file = self.file(name)
        if not file.is_file():
            raise ConfigError(f"{file}: expected weights of an earlier stage, got none")
        if not is_zipfile(file):
            raise ConfigError(
                f"{file}: expected weights of this network, got a part of a file"
            )
        try:
            weights = torch.load(file, weights_only=True, map_location="cpu")
            model.load_state_dict(weights)
        except RuntimeError as error:
            told = str(error).splitlines()
            raise ConfigError(
                f"{file}: expected weights of this network, got: {' '.join(told[:2])}"
            ) from error

    def _read(self, name: str) -> dict[str, Any]:
        file = self.file(name)
        if not file.is_file():
            return {}
        content: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
        return content

    def _write(self, name: str, content: dict[str, Any]) -> None:
        if not self.is_ours:
            return
        fresh = self.file(f"{name}.part")
        fresh.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
        fresh.replace(self.file(name))


def describe_machine() -> dict[str, str]:
    """Give when and on what this runs."""
    n_gpus = torch.cuda.device_count()
    gpus = [torch.cuda.get_device_name(number) for number in range(n_gpus)]
    parts = [f"{os.cpu_count()} cores, {platform.machine()}", *gpus]
    return {"date": f"{datetime.now(UTC):%Y-%m-%d}", "machine": "; ".join(parts)}


def link(source: Path | str, target: Path | str) -> None:
    """Give a file a second name; where the file system cannot, copy it."""
    target = Path(target)
    if target.exists() and target.samefile(source):
        return  # by a run that was stopped
    target.unlink(missing_ok=True)
    try:
        target.hardlink_to(source)
    except OSError:
        shutil.copyfile(source, target)


def difference(wanted: Any, got: Any) -> str:
    """Name the first setting that differs."""
    if isinstance(wanted, dict) and isinstance(got, dict):
        for name in sorted({*wanted, *got}):
            one, other = wanted.get(name), got.get(name)
            if one != other:
                is_deeper = isinstance(one, dict) and isinstance(other, dict)
                return f"{name} {'' if is_deeper else '= '}{difference(one, other)}"
    return f"{wanted!r}, got {got!r}"


def encoders(settings: Mapping[str, Any]) -> dict[str, str]:
    """Name the encoders in a stage's settings; a folder without its place."""
    return {
        part: Path(settings[part]["encoder"]).name
        for part in ("text", "voice")
        if "encoder" in settings.get(part, {})
    }
