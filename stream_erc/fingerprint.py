"""Settings -> a fingerprint of the models, and of all else that answers depend on."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

from .asr import FILES, locate_weights
from .checksum import read_sum
from .config import Settings
from .errors import ConfigError
from .model_folder import MANIFEST_FILE, read_manifest
from .version import VERSION
from .voiceprint import VOICEPRINT_SHA256, VOICES_SHA256


def fingerprint_hearing(settings: Settings) -> str:
    """Tell the recognizer from any other by its files and settings.

    Raises:
        ConfigError: If its files are not here, so that nobody knows them.
        ModelError: If they are damaged, or none of a recognizer.
    """
    asr = settings.asr
    folder = Path(locate_weights(asr.whisper))
    if not folder.is_dir():
        raise ConfigError(
            'asr.whisper: expected "tiny.en" or a folder for engine.kind "ray", so '
            f"that all replicas can be held to the same files, got {asr.whisper!r}"
        )
    return digest(
        {
            "files": {name: read_sum(folder / name) for name in FILES},
            "asr": [asr.language, asr.device, asr.compute_type],
            "gates": asdict(settings.gates),
            "voices": [VOICEPRINT_SHA256, VOICES_SHA256],
        }
    )


def fingerprint_understanding(settings: Settings) -> str:
    """Tell the emotion model from any other by its files and settings.

    Raises:
        ModelError: If it is missing or damaged.
    """
    folder = Path(settings.emotion.model)
    read_manifest(folder)  # has the sum of every file, and they are right
    manifest = read_sum(folder / MANIFEST_FILE)
    return digest({"manifest": manifest, "device": settings.emotion.device})


def fingerprint_memory(settings: Settings) -> str:
    """Tell what a conversation's memory is made of: numbers of these models alone.

    Not of the version: an update must not make conversations forget.

    Raises:
        ModelError: If a model is missing or damaged.
    """
    whisper = Path(locate_weights(settings.asr.whisper))
    is_here = whisper.is_dir()
    parts = [
        read_sum(Path(settings.emotion.model) / MANIFEST_FILE),
        read_sum(whisper / "model.bin") if is_here else settings.asr.whisper,
        VOICEPRINT_SHA256,
        VOICES_SHA256,
    ]
    return hashlib.sha256(" ".join(parts).encode()).hexdigest()


def digest(content: Mapping[str, object]) -> str:
    """Give the SHA-256, in hex, of something and the product's version."""
    told = json.dumps({"version": VERSION, **content}, sort_keys=True)
    return hashlib.sha256(told.encode()).hexdigest()
