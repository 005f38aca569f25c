"""Corpora become dialogues whose voices are normalised as in serving."""

import random

import numpy as np
import pytest

from offline.corpora import TEST, TRAIN, Utterance
from offline.dataset import (
    ActedDialogues,
    ActedRecipe,
    Sizes,
    VoiceNormaliser,
    iemocap_dialogues,
    measure_scale,
    text_dialogues,
)
from offline.text_augment import TextAugment, augment_text
from offline.voice_augment import VoiceAugment, augment_voice
from offline.voice_cache import PREFIX, VARIED, WHOLE, VoiceCache
from stream_erc.context import VoiceScale, empty_tally, normalise
from stream_erc.flow import EMOTIONS

SIZES = Sizes(text=3, encoder=4, functionals=5)
SCALES = tuple(
    VoiceScale(np.zeros(size, np.float32), np.ones(size, np.float32)) for size in (4, 5)
)


def utterance(speaker="a", emotion="joy", **changes):
    values = {
        "dialogue": "d",
        "session": "s",
        "speaker": speaker,
        "text": "x",
        "emotions": () if emotion is None else (emotion,),
        "sentiment": None,
        "split": TRAIN,
    }
    return Utterance(**{**values, **changes})


def test_a_line_without_emotion_is_context():
    said = [utterance("a", "joy"), utterance("b", None), utterance("a", "surprise")]
    vectors = np.ones((3, 3), np.float32)
    (dialogue,) = text_dialogues(said, vectors, SIZES)
    assert dialogue.emotions.tolist() == [EMOTIONS.index("joy"), -1, 1]
    assert dialogue.sentiments.tolist() == [2, -1, -1]  # a surprise may be either
    assert dialogue.speakers.tolist() == [0, 1, 0]
    assert dialogue.present[:, 0].all() and not dialogue.present[:, 1:].any()


def test_a_session_remembers_voices_from_dialogue_to_dialogue():
    published = np.full((2, 5), 2.0, np.float32)
    said = [
        utterance(dialogue="first", is09_row=0),
        utterance(dialogue="second", is09_row=1),
    ]
    vectors = np.zeros((2, 3), np.float32)
    _, second = iemocap_dialogues(said, vectors, published, SCALES, SIZES)
    _, tally = normalise(published[0], SCALES[1], empty_tally(5))
    expected, _ = normalise(published[1], SCALES[1], tally)
    assert np.array_equal(second.functionals[0], expected)


def test_another_session_starts_anew():
    published = np.full((2, 5), 2.0, np.float32)
    said = [
        utterance(dialogue="first", session="1", is09_row=0),
        utterance(dialogue="second", session="2", is09_row=1),
    ]
    vectors = np.zeros((2, 3), np.float32)
    first, second = iemocap_dialogues(said, vectors, published, SCALES, SIZES)
    assert np.array_equal(first.functionals, second.functionals)


@pytest.fixture
def acted():
    """Two actors of each split, two emotions, each clip whole, varied and in part."""
    clips = [
        utterance(f"{split} {number}", emotion, split=split)
        for split in (TRAIN, TEST)
        for number in range(2)
        for emotion in ("anger", "neutral")
    ]
    clip = np.repeat(np.arange(len(clips)), 3)
    cache = VoiceCache(
        clip=clip,
        kind=np.tile([WHOLE, VARIED, PREFIX], len(clips)),
        encoder=np.repeat(clip[:, None], 4, 1).astype(np.float32) / 10.0,
        functionals=np.zeros((len(clip), 5), np.float32),
    )
    words = {
        name: np.full((2, 3), number + 1, np.float32)
        for number, name in enumerate(EMOTIONS)
    }
    return lambda split: ActedDialogues(clips, split, cache, words, SCALES)


def test_two_actors_take_turns(acted):
    recipe = ActedRecipe(one_name=0.0)
    dialogue = acted(TRAIN).draw(recipe, np.random.default_rng(0))
    assert dialogue.speakers.tolist() == [0, 1] * 8
    assert dialogue.is_acted


def test_both_may_go_by_one_name(acted):
    recipe = ActedRecipe(one_name=1.0)
    dialogue = acted(TRAIN).draw(recipe, np.random.default_rng(0))
    assert not dialogue.speakers.any()


def test_words_are_neutral_agree_or_are_absent(acted):
    draw, found = np.random.default_rng(0), set()
    for _ in range(20):
        dialogue = acted(TRAIN).draw(ActedRecipe(), draw)
        for turn in range(len(dialogue)):
            said = int(dialogue.text[turn, 0]) - 1  # -1: nothing
            assert (said >= 0) == bool(dialogue.present[turn, 0])
            if said not in (-1, EMOTIONS.index("neutral")):
                assert said == dialogue.emotions[turn]
            found.add(said)
    assert found == {-1, EMOTIONS.index("neutral"), EMOTIONS.index("anger")}


def test_clips_of_another_split_never_appear(acted):
    draw = np.random.default_rng(0)
    for split, low, high in ((TRAIN, 0.0, 0.3), (TEST, 0.4, 0.7)):
        for _ in range(10):
            first = acted(split).draw(ActedRecipe(), draw).encoder[0, 0]
            assert low - 1e-6 <= first <= high + 1e-6


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
