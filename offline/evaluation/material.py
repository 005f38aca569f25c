"""Corpus -> TurnFeatures: what the model is told of a turn, and of its first part."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from offline.corpora.form import Corpus, Utterance
from stream_erc.asr import Whisper
from stream_erc.config import AsrConfig
from stream_erc.errors import ConfigError
from stream_erc.flow import TurnFeatures, Vector, VoiceFeatures
from stream_erc.fusion import EmotionModel

from .config import EvaluationConfig, Modalities
from .faults import FEATURES, Faults
from .hearing import PLAIN, Clip, Hearing, Sound, hear_clips
from .published import PublishedRows, Unusable


@dataclass(frozen=True, slots=True)
class Material:
    """All that is known of the turns of a corpus.

    Attributes:
        utterances: In order.
        modalities: What the model is told.
        sounds: What was heard, by place and way.
        rows: Published features, by place.
    """

    utterances: Sequence[Utterance]
    modalities: Modalities
    sounds: dict[tuple[int, Hearing], Sound]
    rows: dict[int, Vector]

    def text_of(self, place: int, hearing: Hearing = PLAIN) -> str | None:
        """Give the words: the corpus's, or else those that were heard."""
        if self.modalities == "audio":
            return None
        said = words_of(self.utterances[place])
        if said is not None:
            return first_words(said, hearing.share)
        sound = self.sounds.get((place, hearing))
        return sound.text if sound else None

    def features(self, place: int, hearing: Hearing = PLAIN) -> TurnFeatures:
        """Give a turn as the model is told of it.

        Args:
            place: Number of the utterance.
            hearing: One of those that were heard.
        """
        voice = None
        if self.modalities != "text":
            sound, row = self.sounds.get((place, hearing)), self.rows.get(place)
            if sound is not None:
                voice = sound.voice
            elif row is not None:
                voice = VoiceFeatures(None, row)
        text = self.text_of(place, hearing)
        return TurnFeatures(self.utterances[place].speaker, text, voice)

    def part(self, place: int, share: float) -> TurnFeatures:
        """Give the first part of a turn.

        Published features are of whole turns: a part has none, not even the last, or
        the parts could not be compared.
        """
        features = self.features(place, Hearing(share))
        if (place, Hearing(share)) in self.sounds:
            return features
        return replace(features, voice=None)


def words_of(utterance: Utterance) -> str | None:
    """Give the words that the corpus has; None if there are none."""
    return (utterance.text or "").strip() or None


def first_words(text: str, share: float) -> str:
    """Give the first share of the words, at least one."""
    if share == 1.0:
        return text
    words = text.split()
    return " ".join(words[: math.ceil(len(words) * share)])


def gather(
    model: EmotionModel,
    corpus: Corpus,
    utterances: Sequence[Utterance],
    config: EvaluationConfig,
    faults: Faults,
) -> Material:
    """Read and hear what the utterances refer to, as far as it is used.

    Args:
        model: Whose numbers must fit the recognizer's.
        corpus: Where the utterances come from.
        utterances: All of it, or its beginning.
        config: What is used, and in which ways it is heard.
        faults: Takes what cannot be read; the turns are judged without it.

    Raises:
        ConfigError: If the recognizer's voice is not the one the model was made for.
    """
    clips = find_clips(utterances, config.audio_root or corpus.root, config.modalities)
    sounds: dict[tuple[int, Hearing], Sound] = {}
    if clips:
        whisper = Whisper(AsrConfig(workers=1))
        if whisper.voice_size != model.voice_size:
            raise ConfigError(
                f"{model.folder}: expected a model for voices of {whisper.voice_size} "
                f"numbers, got {model.voice_size}"
            )
        sounds = hear_clips(clips, config.hearings, whisper, faults, config.seed)
    rows = {}
    if config.modalities != "text":
        size = int(model.manifest["sizes"]["functionals"])
        rows = read_rows(utterances, PublishedRows(corpus.root, size), faults)
    return Material(utterances, config.modalities, sounds, rows)


def find_clips(
    utterances: Sequence[Utterance], root: Path, modalities: Modalities
) -> list[Clip]:
    """Give the turns that must be heard: for the voice, or for want of words."""
    clips = []
    for place, utterance in enumerate(utterances):
        needs_words = modalities != "audio" and words_of(utterance) is None
        if utterance.audio is not None and (needs_words or modalities != "text"):
            file = root / utterance.audio
            clips.append(Clip(place, utterance, file, needs_words))
    return clips


def read_rows(
    utterances: Sequence[Utterance], published: PublishedRows, faults: Faults
) -> dict[int, Vector]:
    """Read the published features of the turns that have no recording."""
    rows = {}
    for place, utterance in enumerate(utterances):
        if utterance.features is None or utterance.audio is not None:
            continue
        try:
            rows[place] = published.read(utterance.features)
        except Unusable as error:
            where = f"dialogue {utterance.dialogue!r}, turn {utterance.turn}"
            faults.add(FEATURES, f"{where}: {error}")
    return rows
