"""Evaluation plays dialogues through the served interface, in order."""

from dataclasses import dataclass

import numpy as np
import pytest

from offline.card import figures_table
from offline.evaluation import Turn, judge, masked, report, restrict
from stream_erc.context import empty_context
from stream_erc.flow import EMOTIONS, Emotion, TurnFeatures, VoiceFeatures


@dataclass
class Echo:
    """Stands in for the model: is sure of the emotion that the text names."""

    calls: list

    def empty_context(self):
        return empty_context(4, 2)

    def step(self, turns, contexts):
        self.calls.append(
            [(t.text, c.n_turns) for t, c in zip(turns, contexts, strict=True)]
        )
        results = []
        for turn, context in zip(turns, contexts, strict=True):
            emotions = np.full(7, 0.01, np.float32)
            if turn.text in EMOTIONS:
                emotions[EMOTIONS.index(turn.text)] = 0.94
            sentiments = np.full(3, 1 / 3, np.float32)
            modalities = ("text",) if turn.text else ()
            after = context.after_turn(
                turn.speaker, context.states, context.memory, context.heard
            )
            emotion = Emotion(emotions, sentiments, modalities, context.n_turns)
            results.append((emotion, after))
        return results


def said(text, emotion):
    return Turn(TurnFeatures("a", text, None), emotion)


def test_turns_are_judged_in_order_and_dialogues_begin_anew():
    model = Echo([])
    conversations = [
        [[said("joy", "joy"), said("fear", None)], [said("anger", "joy")]],
        [[said("disgust", "disgust")]],
    ]
    wanted, found = judge(model, conversations)
    assert model.calls == [
        [("joy", 0), ("disgust", 0)],
        [("fear", 1)],
        [("anger", 0)],
    ]
    assert [EMOTIONS[k] for k in wanted] == ["joy", "disgust", "joy"]
    assert [EMOTIONS[k] for k in found.argmax(1)] == ["joy", "disgust", "anger"]


def test_a_turn_of_which_nothing_is_known_is_not_judged():
    wanted, found = judge(Echo([]), [[[said(None, "joy"), said("joy", "joy")]]])
    assert len(wanted) == len(found) == 1


def test_masking_leaves_one_modality():
    voice = VoiceFeatures(np.zeros(3, np.float32), None)
    turn = Turn(TurnFeatures("a", "x", voice), "joy")
    (only_text,) = masked([turn], "text")
    (only_audio,) = masked([turn], "audio")
    (both,) = masked([turn], "both")
    assert only_text.features.voice is None and only_text.features.text == "x"
    assert only_audio.features.text is None and only_audio.features.voice is voice
    assert both == turn


def test_four_way_probabilities_add_up_to_one():
    wanted = np.array([EMOTIONS.index("joy"), EMOTIONS.index("fear")])
    probabilities = np.full((2, 7), 1 / 7, np.float32)
    kept, shared = restrict((wanted, probabilities))
    assert kept.tolist() == [EMOTIONS.index("joy")]
    assert shared.sum() == pytest.approx(1.0)
    assert shared[0, EMOTIONS.index("fear")] == 0.0


def test_the_report_becomes_a_table():
    wanted = np.array([0, 0, 1, 6])
    probabilities = np.eye(7, dtype=np.float32)[[0, 0, 1, 1]]
    figures = {"meld_test_text": report((wanted, probabilities))}
    table = figures_table({"figures": figures}).splitlines()
    assert table[2].startswith("| meld test text | 4 | 0.667 |")
    assert figures["meld_test_text"]["per_class"]["surprise"]["recall"] == 1.0
