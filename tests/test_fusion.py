"""The shipped model as the server uses it: pure, independent of the batch, checked."""

import json
import pickle
import shutil
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest

from stream_erc.config import DEFAULT_MODEL
from stream_erc.errors import ModelError
from stream_erc.flow import EMOTIONS, TurnFeatures, VoiceFeatures
from stream_erc.functionals import FUNCTIONALS_SIZE
from stream_erc.fusion import EmotionModel
from stream_erc.model_folder import (
    DIALOGUE_FILE,
    MANIFEST_FILE,
    STATISTICS_FILE,
    TEXT_FILE,
    TOKENIZER_FILE,
)


@pytest.fixture(scope="module")
def model():
    return EmotionModel(DEFAULT_MODEL)


@pytest.fixture
def folder(tmp_path):
    """A copy of the shipped model that a test may damage."""
    return shutil.copytree(DEFAULT_MODEL, tmp_path / "model")


def voice(model, seed):
    """A voice like those of training, drawn at random."""
    draw = np.random.default_rng(seed)
    with np.load(DEFAULT_MODEL / STATISTICS_FILE) as known:
        families = [
            known[f"{name}_mean"]
            + known[f"{name}_deviation"]
            * draw.standard_normal(known[f"{name}_mean"].shape)
            for name in ("encoder", "functionals")
        ]
    return VoiceFeatures(*(family.astype(np.float32) for family in families))


def judge(model, text):
    """The emotion of a text that opens a conversation."""
    turn = TurnFeatures("a", text, None)
    return model.step([turn], [model.empty_context()])[0][0]


def various_turns(model):
    """Turns of every pattern, texts of many lengths."""
    return [
        TurnFeatures("a", "No.", None),
        TurnFeatures(
            "b", "I never said that you could come along " * 6, voice(model, 1)
        ),
        TurnFeatures("a", None, voice(model, 2)),
        TurnFeatures("b", None, VoiceFeatures(voice(model, 3).encoder, None)),
        TurnFeatures("c", "Really?", VoiceFeatures(None, voice(model, 4).functionals)),
        TurnFeatures("a", None, None),
        TurnFeatures("b", "", voice(model, 5)),
    ]


def play(model, turns):
    """One conversation; its emotions and its last context."""
    context = model.empty_context()
    emotions = []
    for turn in turns:
        ((emotion, context),) = model.step([turn], [context])
        emotions.append(emotion)
    return emotions, context


def test_the_prior_is_an_emotion_that_rests_on_nothing(model):
    prior = model.prior()
    assert (prior.modalities, prior.context_turns) == ((), 0)
    assert prior.emotions.sum() == pytest.approx(1, abs=1e-5)
    assert prior.sentiments.sum() == pytest.approx(1, abs=1e-5)


def test_a_model_without_finite_numbers_is_refused(monkeypatch):
    model = EmotionModel(DEFAULT_MODEL)
    run = model._dialogue.run
    spoil = SimpleNamespace(run=lambda *asked: [np.nan * one for one in run(*asked)])
    monkeypatch.setattr(model, "_dialogue", spoil)
    with pytest.raises(ModelError, match="expected finite probabilities"):
        model.prior()


@pytest.mark.parametrize(
    ("text", "emotion"),
    [
        ("That's wonderful, I'm so happy for you!", "joy"),
        ("that's wonderful i'm so happy for you", "joy"),
        ("I hate you! Get out of my house, now!", "anger"),
        ("I miss her so much. I can't stop crying.", "sadness"),
        ("Oh my God! What? I can't believe it!", "surprise"),
        ("The train leaves at nine from platform two.", "neutral"),
    ],
)
def test_obvious_words_get_the_obvious_emotion(model, text, emotion):
    assert judge(model, text).label == emotion


@pytest.mark.parametrize(
    ("text", "sentiment"),
    [
        ("That's wonderful, I'm so happy for you!", 2),
        ("The train leaves at nine from platform two.", 1),
        ("I hate you! Get out of my house, now!", 0),
    ],
)
def test_obvious_words_get_the_obvious_sentiment(model, text, sentiment):
    assert judge(model, text).sentiments.argmax() == sentiment


def test_probabilities_add_up_to_one(model):
    for emotion in play(model, various_turns(model))[0]:
        assert emotion.emotions.shape == (len(EMOTIONS),)
        assert emotion.emotions.sum() == pytest.approx(1.0, abs=1e-5)
        assert emotion.sentiments.sum() == pytest.approx(1.0, abs=1e-5)


def test_an_emotion_says_what_it_rests_on(model):
    emotions, _ = play(model, various_turns(model))
    assert [emotion.modalities for emotion in emotions] == [
        ("text",),
        ("audio", "text"),
        ("audio",),
        ("audio",),
        ("audio", "text"),
        (),
        ("audio", "text"),
    ]


def test_the_context_counts_up_to_the_window(model):
    turns = [TurnFeatures("a", None, None)] * 20
    emotions, context = play(model, turns)
    assert [emotion.context_turns for emotion in emotions[:3]] == [0, 1, 2]
    assert emotions[-1].context_turns == context.window == 16


def test_a_result_does_not_depend_on_its_batch_mates(model):
    turns = various_turns(model)
    contexts = [play(model, turns[:n])[1] for n in range(len(turns))]
    together = model.step(turns, contexts)
    for turn, context, (emotion, after) in zip(turns, contexts, together, strict=True):
        ((alone, after_alone),) = model.step([turn], [context])
        assert np.allclose(emotion.emotions, alone.emotions, atol=1e-4)
        assert np.allclose(after.memory, after_alone.memory, atol=1e-4)
        assert after.speakers == after_alone.speakers


def test_judging_leaves_the_context_as_it_was(model):
    _, context = play(model, various_turns(model))
    before = pickle.dumps(context)
    model.step([various_turns(model)[1]], [context])
    assert pickle.dumps(context) == before


def test_a_pickled_context_goes_on_alike(model):
    turns = various_turns(model)
    _, context = play(model, turns[:4])
    again = pickle.loads(pickle.dumps(context))
    here, there = (model.step([turns[4]], [c])[0][0] for c in (context, again))
    assert np.array_equal(here.emotions, there.emotions)


def test_a_context_stays_small(model):
    turns = [
        TurnFeatures(f"speaker {number}", "Yes.", voice(model, number))
        for number in range(70)
    ]
    _, context = play(model, turns)
    assert len(pickle.dumps(context)) < 1_000_000


def test_the_voice_is_compared_with_the_speakers_own(model):
    loud = voice(model, 1)
    new = model.empty_context()
    _, known = play(model, [TurnFeatures("a", None, loud)] * 30)
    # The words and the dialogue are the same; only what is known of the voice differs.
    turn = TurnFeatures("a", None, voice(model, 2))
    here = model.step([turn], [new])[0][1]
    there = model.step([turn], [new.with_voice(known.voices[0])])[0][1]
    assert not np.allclose(here.states, there.states, atol=1e-3)


def test_nothing_to_judge_is_no_error(model):
    assert model.step([], []) == []


def test_a_text_beyond_the_limit_is_cut(model):
    long = judge(model, "yes " * 5_000)
    assert np.allclose(long.emotions, judge(model, "yes " * 6_000).emotions)


def test_the_sizes_are_those_of_the_features(model):
    assert model.voice_size == 768
    assert voice(model, 0).functionals.shape == (FUNCTIONALS_SIZE,)


@pytest.mark.parametrize(
    "name", [TEXT_FILE, DIALOGUE_FILE, TOKENIZER_FILE, STATISTICS_FILE, MANIFEST_FILE]
)
def test_a_missing_file_is_named(folder, name):
    (folder / name).unlink()
    with pytest.raises(ModelError, match=name):
        EmotionModel(folder)


@pytest.mark.parametrize("name", [TEXT_FILE, DIALOGUE_FILE, TOKENIZER_FILE])
def test_a_damaged_file_is_named(folder, name):
    content = bytearray((folder / name).read_bytes())
    content[len(content) // 2] ^= 1
    (folder / name).write_bytes(content)
    with pytest.raises(ModelError, match=f"{name}.*damaged"):
        EmotionModel(folder)


def rewrite(folder, **changes):
    """Change the manifest."""
    file = folder / MANIFEST_FILE
    file.write_text(json.dumps({**json.loads(file.read_text()), **changes}))


def test_a_manifest_that_is_not_json_is_refused(folder):
    (folder / MANIFEST_FILE).write_text("{")
    with pytest.raises(ModelError, match="manifest"):
        EmotionModel(folder)


def test_a_manifest_that_is_no_object_is_refused(folder):
    (folder / MANIFEST_FILE).write_text("[]")
    with pytest.raises(ModelError, match="manifest"):
        EmotionModel(folder)


def test_other_classes_are_refused(folder):
    rewrite(folder, emotions=["joy", "anger"])
    with pytest.raises(ModelError, match="expected the classes"):
        EmotionModel(folder)


def test_another_format_is_refused(folder):
    rewrite(folder, format=99)
    with pytest.raises(ModelError, match="expected format 2, got 99"):
        EmotionModel(folder)


def test_a_network_of_another_shape_is_refused(folder):
    sizes = json.loads((folder / MANIFEST_FILE).read_text())["sizes"]
    rewrite(folder, sizes={**sizes, "window": 3})
    with pytest.raises(ModelError, match=f"{DIALOGUE_FILE}: expected the shapes"):
        EmotionModel(folder)


def test_a_size_that_is_missing_is_refused(folder):
    rewrite(folder, sizes={})
    with pytest.raises(ModelError, match="expected sizes"):
        EmotionModel(folder)


def test_networks_in_each_others_place_are_refused(folder):
    sums = json.loads((folder / MANIFEST_FILE).read_text())["files"]
    shutil.copyfile(DEFAULT_MODEL / DIALOGUE_FILE, folder / TEXT_FILE)
    rewrite(folder, files={**sums, TEXT_FILE: sums[DIALOGUE_FILE]})
    with pytest.raises(ModelError, match=f"{TEXT_FILE}: expected .*ids"):
        EmotionModel(folder)


def test_an_unknown_provider_is_refused():
    with pytest.raises(ModelError, match="NoSuchProvider"):
        EmotionModel(DEFAULT_MODEL, providers=("NoSuchProvider",))


def test_serving_needs_no_torch():
    code = "import stream_erc.fusion, sys; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
