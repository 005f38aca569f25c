"""Corpora become dialogues whose voices are normalised as in serving."""

import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from offline.corpora.form import Utterance
from offline.training.acted import ActedDialogues, ActedRecipe
from offline.training.dialogues import (
    ENCODER,
    FUNCTIONALS,
    TEXT,
    Sizes,
    VoiceNormaliser,
    build_dialogues,
    measure_scale,
)
from offline.training.text_augment import TextAugment, augment_text
from offline.training.voice_augment import VoiceAugment, augment_voice
from offline.training.voices import PREFIX, VARIED, WHOLE, Voices
from stream_erc.context import VoiceScale, empty_tally, normalise
from stream_erc.flow import EMOTIONS

SIZES = Sizes(text=3, encoder=4, functionals=5)
SCALES = (
    VoiceScale(np.full(4, 0.5, np.float32), np.full(4, 2.0, np.float32)),
    VoiceScale(np.zeros(5, np.float32), np.ones(5, np.float32)),
)


def said(speaker="a", **changes):
    """One line; of dialogue "d", turn 0, with words and joy."""
    values = {"dialogue": "d", "turn": 0, "text": "x", "emotion": "joy"}
    return Utterance(speaker=speaker, **{**values, **changes})


def voices_of(n, seed=0):
    """A voice for each of n lines, both families."""
    draw = np.random.default_rng(seed)
    voices = Voices(
        utterance=np.arange(n),
        kind=np.full(n, WHOLE),
        encoder=draw.standard_normal((n, 4)).astype(np.float32),
        functionals=draw.standard_normal((n, 5)).astype(np.float32),
    )
    return voices, {number: number for number in range(n)}


def build(lines, voices=None, vectors=None):
    if vectors is None:
        vectors = np.ones((len(lines), 3), np.float32)
    return build_dialogues(lines, vectors, voices, SCALES, SIZES)


def test_a_line_without_emotion_is_context():
    lines = [said("a"), said("b", emotion=None), said("a", emotion="surprise")]
    (dialogue,) = build(lines)
    joy, surprise = EMOTIONS.index("joy"), EMOTIONS.index("surprise")
    assert dialogue.emotions.tolist() == [joy, -1, surprise]
    assert dialogue.sentiments.tolist() == [2, -1, -1]  # a surprise may be either
    assert dialogue.speakers.tolist() == [0, 1, 0]
    assert dialogue.present[:, TEXT].all() and not dialogue.present[:, 1:].any()


def test_a_sentiment_that_was_said_counts_more_than_the_one_implied():
    lines = [said(sentiment="negative"), said(emotion=None, sentiment="neutral")]
    (dialogue,) = build(lines)
    assert dialogue.sentiments.tolist() == [0, 1]


@pytest.mark.parametrize("text", [None, ""])
def test_a_line_without_words_has_no_text(text):
    (dialogue,) = build([said(text=text), said()])
    assert dialogue.present[:, TEXT].tolist() == [0.0, 1.0]
    assert not dialogue.text[0].any()


def test_every_line_keeps_its_own_vector_and_voice():
    lines = [said(dialogue=name) for name in "xxyzzz"]
    vectors = np.arange(18, dtype=np.float32).reshape(6, 3)
    voices = voices_of(6)
    some = {number: row for number, row in voices[1].items() if number != 4}
    dialogues = build(lines, (voices[0], some), vectors)
    assert [len(each) for each in dialogues] == [2, 1, 3]
    assert np.array_equal(np.concatenate([d.text for d in dialogues]), vectors)
    heard = np.concatenate([d.present for d in dialogues])
    assert heard[:, ENCODER].tolist() == heard[:, FUNCTIONALS].tolist()
    assert heard[:, ENCODER].tolist() == [1, 1, 1, 1, 0, 1]


def test_a_family_that_was_not_computed_is_absent():
    voices, rows = voices_of(2)
    voices = Voices(
        voices.utterance, voices.kind, np.zeros((2, 0), np.float32), voices.functionals
    )
    (dialogue,) = build([said(), said()], (voices, rows))
    assert not dialogue.present[:, ENCODER].any()
    assert dialogue.present[:, FUNCTIONALS].all()


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["s", "t", None]),
            st.sampled_from("abc"),
            st.booleans(),
            st.booleans(),
        ),
        max_size=24,
    )
)
def test_statistics_run_through_a_session_and_start_anew_with_the_next(turns):
    # A dialogue of one's own for each change, so that sessions come back, too.
    lines, name = [], 0
    for number, (session, speaker, is_new, _) in enumerate(turns):
        if number and (is_new or session != turns[number - 1][0]):
            name += 1
        lines.append(said(speaker, dialogue=f"d{name}", session=session, turn=number))
    voices, rows = voices_of(len(lines))
    rows = {n: row for n, row in rows.items() if turns[n][3]}
    dialogues = build(lines, (voices, rows)) if lines else []
    given_encoder = [v for each in dialogues for v in each.encoder]
    given_functionals = [v for each in dialogues for v in each.functionals]
    tallies = {}
    for number, line in enumerate(lines):
        if number not in rows:
            assert not given_encoder[number].any()
            continue
        who = (line.session or line.dialogue, line.speaker)
        old = tallies.get(who, (empty_tally(4), empty_tally(5)))
        first, counted = normalise(voices.encoder[number], SCALES[0], old[0])
        second, too = normalise(voices.functionals[number], SCALES[1], old[1])
        tallies[who] = (counted, too)
        assert np.array_equal(given_encoder[number], first)
        assert np.array_equal(given_functionals[number], second)


def test_a_dialogue_does_not_hear_the_session_before_it():
    lines = [said(dialogue="x", session="s"), said(dialogue="y", session="s")]
    first, second = build(lines, voices_of(2))
    assert len(first) == len(second) == 1


def test_a_part_is_cut_out_of_every_array():
    (dialogue,) = build([said(turn=n) for n in range(6)], voices_of(6))
    part = dialogue.part(2, 4)
    assert len(part) == 2
    assert np.array_equal(part.encoder, dialogue.encoder[2:4])
    assert np.array_equal(part.present, dialogue.present[2:4])
    assert len(dialogue.part(4, 99)) == 2


def acted(named="", words_size=2):
    """Two actors, two emotions, each clip whole, varied and in part."""
    clips = [
        said(f"{named}{actor}", dialogue=f"{actor} {emotion}", emotion=emotion)
        for actor in range(2)
        for emotion in ("anger", "neutral")
    ]
    clips.append(said(f"{named}2", emotion=None))  # without a label: never drawn
    clip = np.repeat(np.arange(len(clips)), 3)
    voices = Voices(
        utterance=clip,
        kind=np.tile([WHOLE, VARIED, PREFIX], len(clips)),
        encoder=np.repeat(clip[:, None] * 2.0 + 0.5, 4, 1).astype(np.float32),
        functionals=np.tile([0.0, 1.0, 2.0], len(clips))[:, None].astype(np.float32)
        * np.ones(5, np.float32),
    )
    words = {
        name: np.full((words_size, 3), number + 1, np.float32)
        for number, name in enumerate(EMOTIONS)
    }
    return ActedDialogues(clips, voices, words, SCALES, SIZES)


def test_two_actors_take_turns():
    dialogue = acted().draw(ActedRecipe(one_name=0.0), np.random.default_rng(0))
    assert dialogue.speakers.tolist() == [0, 1] * 8
    assert dialogue.is_acted
    assert dialogue.present[:, 1:].all()


def test_both_may_go_by_one_name():
    dialogue = acted().draw(ActedRecipe(one_name=1.0), np.random.default_rng(0))
    assert not dialogue.speakers.any()


def test_words_are_neutral_agree_or_are_absent():
    draw, found = np.random.default_rng(0), set()
    for _ in range(20):
        dialogue = acted().draw(ActedRecipe(), draw)
        for turn in range(len(dialogue)):
            word = int(dialogue.text[turn, 0]) - 1  # -1: nothing
            assert (word >= 0) == bool(dialogue.present[turn, TEXT])
            if word not in (-1, EMOTIONS.index("neutral")):
                assert word == dialogue.emotions[turn]
            found.add(word)
    assert found == {-1, EMOTIONS.index("neutral"), EMOTIONS.index("anger")}


def test_without_words_to_choose_from_nothing_is_said():
    dialogue = acted(words_size=0).draw(ActedRecipe(), np.random.default_rng(0))
    assert not dialogue.present[:, TEXT].any()


def test_a_voice_is_of_a_clip_with_the_emotion_that_is_wanted():
    recipe = ActedRecipe(turns=1, one_name=0.0)
    draw = np.random.default_rng(0)
    for _ in range(40):
        dialogue = acted().draw(recipe, draw)
        # The encoder's numbers tell the clip: it was normalised with nothing known.
        clip = round(float(dialogue.encoder[0, 0]))
        wanted = EMOTIONS[dialogue.emotions[0]]
        assert wanted == ("anger", "neutral", "anger", "neutral")[clip]


@pytest.mark.parametrize(("part", "kinds"), [(0.0, {0, 1}), (1.0, {2})])
def test_some_turns_are_heard_in_part(part, kinds):
    draw, recipe = np.random.default_rng(0), ActedRecipe(turns=1, part=part)
    heard = {float(acted().draw(recipe, draw).functionals[0, 0]) for _ in range(30)}
    assert {round(each) for each in heard} == kinds


def test_the_same_draw_gives_the_same_dialogue():
    first, second = (
        acted().draw(ActedRecipe(), np.random.default_rng(7)) for _ in "ab"
    )
    assert np.array_equal(first.encoder, second.encoder)
    assert np.array_equal(first.text, second.text)


def test_steady_speakers_keep_their_emotion():
    draw = np.random.default_rng(0)
    recipe = ActedRecipe(steady=1.0, steady_dialogues=1.0)
    for _ in range(5):
        emotions = acted().draw(recipe, draw).emotions
        assert len(set(emotions[0::2])) == len(set(emotions[1::2])) == 1


def test_a_normaliser_keeps_speakers_and_families_apart():
    normaliser = VoiceNormaliser(SCALES)
    loud = np.full(4, 3.0, np.float32)
    first = normaliser.push("a", 0, loud)
    assert np.array_equal(normaliser.push("b", 0, loud), first)
    assert not np.array_equal(normaliser.push("a", 0, loud), first)
    assert normaliser.push("a", 1, np.ones(5, np.float32)).shape == (5,)


def test_corpora_weigh_the_same_in_everybodys_statistics():
    few, many = np.zeros((1, 2), np.float32), np.ones((99, 2), np.float32)
    scale = measure_scale([few, many])
    assert np.allclose(scale.mean, 0.5)
    assert np.allclose(scale.deviation, 0.5)


def test_a_number_that_never_varies_divides_nothing_by_zero():
    scale = measure_scale([np.full((9, 2), 3.0, np.float32)])
    assert (scale.deviation > 0).all()


def test_a_text_is_never_changed_to_nothing():
    settings = TextAugment(bare=1.0, misheard=1.0, misheard_texts=1.0, prefix=1.0)
    for seed in range(50):
        assert augment_text("No! Never again.", settings, random.Random(seed))


def test_a_bare_text_has_no_capitals_and_no_marks():
    settings = TextAugment(bare=1.0, misheard_texts=0.0, prefix=0.0)
    bare = augment_text("Don't go, Ann!", settings, random.Random(0))
    assert bare == "don't go ann"


def test_a_prefix_is_the_first_words():
    settings = TextAugment(bare=0.0, misheard_texts=0.0, prefix=1.0)
    text = "one two three four five six"
    part = augment_text(text, settings, random.Random(0))
    assert text.startswith(part) and 2 <= len(part.split()) < 6


@pytest.mark.parametrize("seed", range(8))
def test_a_varied_voice_is_16_bit_audio_of_about_the_same_length(seed):
    draw = np.random.default_rng(seed)
    samples = draw.normal(0.0, 0.3, 8_000).astype(np.float32)
    varied = augment_voice(samples, VoiceAugment(), draw)
    assert varied.dtype == np.float32
    assert 0.9 < len(varied) / len(samples) < 1.1
    assert np.abs(varied).max() <= 1.0
    assert np.array_equal(varied * 32_768.0, np.rint(varied * 32_768.0))
