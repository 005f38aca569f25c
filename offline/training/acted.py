"""Acted clips -> dialogues of two people, made up."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from offline.corpora.form import Utterance
from stream_erc.context import VoiceScale

from .dialogues import (
    ENCODER,
    FUNCTIONALS,
    TEXT,
    Dialogue,
    Floats,
    Sizes,
    VoiceNormaliser,
    blank,
    set_targets,
)
from .voices import PREFIX, VARIED, WHOLE, Voices


@dataclass(frozen=True, slots=True, kw_only=True)
class ActedRecipe:
    """How acted clips become dialogues of two people.

    Clips have no dialogue of their own and fixed words, so both are made up: words that
    say nothing, words that agree with the voice, or no words.
    """

    turns: int = 16  # of each dialogue
    one_name: float = 0.5  # probability that both people go by the same name
    steady: float = 0.35  # that a speaker keeps the emotion of the turn before
    steady_dialogues: float = 0.5  # dialogues in which anybody does
    neutral_words: float = 0.4  # turns whose words say nothing
    agreeing_words: float = 0.25  # turns whose words agree with the voice
    part: float = 0.2  # turns of which only the first seconds are heard


class ActedDialogues:
    """Draws dialogues from the clips of one split.

    Args:
        utterances: The clips.
        voices: Their numbers.
        words: For each emotion the vectors of texts that convey it, (n, text size).
        scales: Everybody's voice statistics.
        sizes: Of the network's inputs.

    Attributes:
        actors: Who shows an emotion, by name.
    """

    def __init__(
        self,
        utterances: Sequence[Utterance],
        voices: Voices,
        words: Mapping[str, Floats],
        scales: tuple[VoiceScale, VoiceScale],
        sizes: Sizes,
    ) -> None:
        self._utterances = utterances
        self._voices = voices
        self._words = words
        self._scales = scales
        self._sizes = sizes
        self._whole = self._by_actor(voices.rows(WHOLE, VARIED))
        self._part = self._by_actor(voices.rows(PREFIX))
        self.actors = sorted({actor for actor, _ in self._whole})
        self._emotions = sorted({emotion for _, emotion in self._whole})

    def _by_actor(
        self, rows: Mapping[int, Sequence[int]]
    ) -> dict[tuple[str, str], list[int]]:
        found: dict[tuple[str, str], list[int]] = {}
        for number, some in rows.items():
            clip = self._utterances[number]
            if clip.emotion is not None:
                found.setdefault((clip.speaker, clip.emotion), []).extend(some)
        return found

    def draw(self, recipe: ActedRecipe, draw: np.random.Generator) -> Dialogue:
        """Give one dialogue of two actors who take turns."""
        dialogue = replace(blank(recipe.turns, self._sizes), is_acted=True)
        actors = draw.choice(self.actors, 2, replace=False)
        has_one_name = draw.random() < recipe.one_name
        is_steady = draw.random() < recipe.steady_dialogues
        normaliser = VoiceNormaliser(self._scales)
        emotions = ["", ""]
        for turn in range(recipe.turns):
            who = turn % 2
            if not (is_steady and emotions[who] and draw.random() < recipe.steady):
                emotions[who] = self._draw_emotion(str(actors[who]), draw)
            dialogue.speakers[turn] = 0 if has_one_name else who
            rows = self._part if draw.random() < recipe.part else self._whole
            row = int(draw.choice(rows[str(actors[who]), emotions[who]]))
            name = str(dialogue.speakers[turn])
            voices = self._voices
            dialogue.encoder[turn] = normaliser.push(name, 0, voices.encoder[row])
            dialogue.functionals[turn] = normaliser.push(
                name, 1, voices.functionals[row]
            )
            dialogue.present[turn, [ENCODER, FUNCTIONALS]] = 1.0
            set_targets(dialogue, turn, self._utterances[voices.utterance[row]])
            self._say(dialogue, turn, emotions[who], recipe, draw)
        return dialogue

    def _draw_emotion(self, actor: str, draw: np.random.Generator) -> str:
        """Give one of those that this actor shows, each as likely."""
        shown = [name for name in self._emotions if (actor, name) in self._whole]
        return str(draw.choice(shown))

    def _say(
        self,
        dialogue: Dialogue,
        turn: int,
        emotion: str,
        recipe: ActedRecipe,
        draw: np.random.Generator,
    ) -> None:
        chance = draw.random() - recipe.neutral_words
        if chance >= recipe.agreeing_words:
            return
        choices = self._words["neutral" if chance < 0 else emotion]
        if len(choices):
            dialogue.text[turn] = choices[draw.integers(len(choices))]
            dialogue.present[turn, TEXT] = 1.0
