"""TurnFeatures -> Emotion: the trained model, served by onnxruntime.

A model is a folder: two networks, a tokenizer, the statistics of the training voices
and `manifest.json`, which names them all.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from .context import Context, SpeakerVoice, empty_context, normalise
from .errors import ModelError
from .flow import Emotion, TurnFeatures, VoiceFeatures
from .model_folder import (
    DIALOGUE_FILE,
    DIALOGUE_INPUTS,
    DIALOGUE_OUTPUTS,
    STATISTICS_FILE,
    TEXT_FILE,
    TEXT_INPUTS,
    TEXT_OUTPUTS,
    TOKENIZER_FILE,
    check_names,
    check_sizes,
    open_network,
    read_manifest,
    read_scales,
    read_sizes,
)

Arrays = dict[str, NDArray[Any]]

FAMILIES = ("encoder", "functionals")  # of numbers of a voice


class EmotionModel:
    """A model folder, loaded once; keeps nothing of any conversation.

    Args:
        folder: As `python -m offline export` writes it.
        threads: Of onnxruntime, for one call.
        providers: onnxruntime's execution providers, the preferred one first.

    Raises:
        ModelError: If a file is missing or damaged, or is not what we expect.
    """

    def __init__(
        self,
        folder: Path,
        *,
        threads: int = 1,
        providers: Sequence[str] = ("CPUExecutionProvider",),
    ) -> None:
        self.folder = folder
        self.manifest = read_manifest(folder)
        self._sizes = read_sizes(folder, self.manifest)
        # What a model never learned from, it would make noise of.
        self._learned = self.manifest.get("learned", FAMILIES)
        self._text = open_network(folder / TEXT_FILE, threads, providers)
        self._dialogue = open_network(folder / DIALOGUE_FILE, threads, providers)
        check_names(self._text, folder / TEXT_FILE, TEXT_INPUTS, TEXT_OUTPUTS)
        check_names(
            self._dialogue, folder / DIALOGUE_FILE, DIALOGUE_INPUTS, DIALOGUE_OUTPUTS
        )
        check_sizes(self._dialogue, folder / DIALOGUE_FILE, self._sizes)
        self._scales = read_scales(folder / STATISTICS_FILE, self._sizes)
        self._tokenizer = Tokenizer.from_file(str(folder / TOKENIZER_FILE))
        self._tokenizer.no_padding()
        self._tokenizer.enable_truncation(self._sizes.max_tokens)

    @property
    def voice_size(self) -> int:
        """How many numbers of the recognizer's encoder a turn's voice must have."""
        return self._sizes.encoder

    def empty_context(self) -> Context:
        """Give the context of a conversation in which nobody has spoken."""
        return empty_context(self._sizes.width, self._sizes.window)

    def prior(self) -> Emotion:
        """Judge a turn of which nothing is known, in a conversation without turns.

        Raises:
            ModelError: If that gives no finite numbers: nor would anything else.
        """
        nothing = TurnFeatures("nobody", None, None)
        ((emotion, _),) = self.step([nothing], [self.empty_context()])
        if not np.isfinite([*emotion.emotions, *emotion.sentiments]).all():
            raise ModelError(
                f"{self.folder / DIALOGUE_FILE}: expected finite probabilities, "
                f"got {emotion.emotions.tolist()}"
            )
        return emotion

    def step(
        self, turns: Sequence[TurnFeatures], contexts: Sequence[Context]
    ) -> list[tuple[Emotion, Context]]:
        """Judge one turn each of many conversations.

        Args:
            turns: One of each conversation.
            contexts: What each remembers; unchanged.

        Returns:
            For each its emotion, and what it remembers afterwards. Nothing depends on
            the other conversations.
        """
        if not turns:
            return []
        heard = [
            self._normalise(turn, context)
            for turn, context in zip(turns, contexts, strict=True)
        ]
        voices = [voice for voice, _ in heard]
        inputs = self._inputs(turns, voices, contexts)
        outputs = self._dialogue.run(list(DIALOGUE_OUTPUTS), inputs)
        return [
            (
                Emotion(
                    emotions=outputs[0][row],
                    sentiments=outputs[1][row],
                    modalities=modalities(inputs["present"][row]),
                    context_turns=min(context.n_turns, context.window),
                ),
                # Copies, or one conversation would keep the whole batch in memory.
                after.after_turn(
                    turns[row].speaker, *(output[row].copy() for output in outputs[2:])
                ),
            )
            for row, (context, (_, after)) in enumerate(
                zip(contexts, heard, strict=True)
            )
        ]

    def embed(self, text: str) -> NDArray[np.float32]:
        """Give the vector of one text, shape (text size,).

        One text a call: padding to a longer neighbour costs more than it saves.
        """
        ids = np.array([self._tokenizer.encode(text).ids], np.int64)
        inputs = {"ids": ids, "mask": np.ones_like(ids)}
        vector: NDArray[np.float32] = self._text.run(list(TEXT_OUTPUTS), inputs)[0][0]
        return vector

    def _normalise(
        self, turn: TurnFeatures, context: Context
    ) -> tuple[VoiceFeatures, Context]:
        """Give the voice in the speaker's own units, and the context that counts it."""
        if turn.voice is None:
            return VoiceFeatures(None, None), context
        known = context.voice_of(
            turn.speaker, (self._sizes.encoder, self._sizes.functionals)
        )
        values = (turn.voice.encoder, turn.voice.functionals)
        tallies = [known.encoder, known.functionals]
        normal: list[NDArray[np.float32] | None] = [None, None]
        for family, name in enumerate(FAMILIES):
            value, scale = values[family], self._scales[family]
            # Published functionals of another kind are no match for what is measured.
            is_known = value is not None and value.shape == scale.mean.shape
            if value is not None and is_known and name in self._learned:
                normal[family], tallies[family] = normalise(
                    value, scale, tallies[family]
                )
        if all(each is None for each in normal):
            return VoiceFeatures(None, None), context
        counted = SpeakerVoice(turn.speaker, *tallies)
        return VoiceFeatures(*normal), context.with_voice(counted)

    def _inputs(
        self,
        turns: Sequence[TurnFeatures],
        voices: Sequence[VoiceFeatures],
        contexts: Sequence[Context],
    ) -> Arrays:
        sizes = self._sizes
        text = np.zeros((len(turns), sizes.text), np.float32)
        encoder = np.zeros((len(turns), sizes.encoder), np.float32)
        functionals = np.zeros((len(turns), sizes.functionals), np.float32)
        present = np.zeros((len(turns), 3), np.float32)
        for row, (turn, voice) in enumerate(zip(turns, voices, strict=True)):
            if turn.text is not None:
                text[row], present[row, 0] = self.embed(turn.text), 1.0
            if voice.encoder is not None:
                encoder[row], present[row, 1] = voice.encoder, 1.0
            if voice.functionals is not None:
                functionals[row], present[row, 2] = voice.functionals, 1.0
        return {
            "text": text,
            "encoder": encoder,
            "functionals": functionals,
            "present": present,
            "same_speaker": np.stack(
                [
                    c.same_speaker(t.speaker)
                    for t, c in zip(turns, contexts, strict=True)
                ]
            ),
            "states": np.stack([context.states for context in contexts]),
            "memory": np.stack([context.memory for context in contexts]),
            "heard": np.stack([context.heard for context in contexts]),
        }


def modalities(present: NDArray[np.float32]) -> tuple[str, ...]:
    """Name what a turn has, given (text, encoder, functionals)."""
    names = []
    if present[1:].any():
        names.append("audio")
    if present[0]:
        names.append("text")
    return tuple(names)
