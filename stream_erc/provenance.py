"""Result -> what it was made with: a note in the folder of the results."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path

from .asr import locate_weights
from .config import Settings
from .fingerprint import digest, fingerprint_hearing, fingerprint_understanding
from .names import AUTO

NOTES = ".stream-erc.jsonl"
"""In the folder: a line for each result; of two for the same one the later counts."""


def fingerprint(settings: Settings, speakers: Sequence[str]) -> str:
    """Tell all that results depend on from anything else: models, settings, version.

    Args:
        settings: Of a server.
        speakers: As they were named.

    Raises:
        ModelError: If a model is missing or damaged.
    """
    asr = settings.asr
    is_here = Path(locate_weights(asr.whisper)).is_dir()
    turns = asdict(settings.turns)
    return digest(
        {
            "hearing": fingerprint_hearing(settings) if is_here else asr.whisper,
            "understanding": fingerprint_understanding(settings),
            "asr": [asr.language, asr.device, asr.compute_type],
            "gates": asdict(settings.gates),
            "vad": asdict(settings.vad),
            "turns": {name: turns[name] for name in turns if "partial" not in name},
            "speakers": list(speakers),
            "voices": asdict(settings.speakers) if AUTO in speakers else None,
        }
    )


class Provenance:
    """The notes of a folder; used by many threads.

    Args:
        folder: Of the results; it need not be there.
        made_with: Fingerprint of what is used now.

    Raises:
        OSError: If there are notes that cannot be read.
    """

    def __init__(self, folder: Path, made_with: str) -> None:
        self._folder = folder
        self._made_with = made_with
        self._lock = threading.Lock()
        self._known = dict(_read_notes(folder / NOTES))

    def is_other(self, result: Path) -> bool:
        """Tell whether a result is known to be made with something else."""
        known = self._known.get(self._name(result), self._made_with)
        return known != self._made_with

    def note(self, result: Path) -> None:
        """Remember that a result was made just now.

        Raises:
            OSError: If that cannot be written.
        """
        line = json.dumps({"result": self._name(result), "made_with": self._made_with})
        private = partial(os.open, mode=0o600)
        with (
            self._lock,
            open(self._folder / NOTES, "a", encoding="utf-8", opener=private) as notes,
        ):
            notes.write(f"\n{line}")  # a torn one before it spoils itself alone

    def _name(self, result: Path) -> str:
        return result.relative_to(self._folder).as_posix()


def _read_notes(file: Path) -> list[tuple[str, str]]:
    if not file.exists():
        return []
    known: list[tuple[str, str]] = []
    for line in file.read_text(encoding="utf-8", errors="replace").splitlines():
        try:
            note = json.loads(line)
            known.append((note["result"], note["made_with"]))
        except (ValueError, KeyError, TypeError):  # torn, when a disk was full
            continue
    return known
