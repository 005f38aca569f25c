"""Evaluation plays a corpus through the served model, as far as it may be used."""

import random
from dataclasses import dataclass, replace
from pathlib import Path

import msgspec
import numpy as np
import pytest
import soundfile
from hypothesis import given, settings, strategies

from offline.corpora.form import FeatureRow, Utterance, read_corpus, write_corpus
from offline.evaluation import hearing, material, mishearing
from offline.evaluation.config import EvaluationConfig
from offline.evaluation.evaluating import evaluate_corpus, unscale
from offline.evaluation.faults import Faults
from offline.evaluation.material import Material
from offline.evaluation.playing import RememberingModel, Turn, play
from offline.evaluation.targets import Target, choose_target
from stream_erc.config import DEFAULT_MODEL
from stream_erc.context import empty_context
from stream_erc.errors import ConfigError
from stream_erc.flow import (
    EMOTIONS,
    SENTIMENTS,
    Emotion,
    Heard,
    TurnFeatures,
    VoiceFeatures,
)
from stream_erc.functionals import FUNCTIONALS_SIZE, KEPT_IS09_COLUMNS
from stream_erc.model_folder import STATISTICS_FILE

CLIPS = Path(__file__).parent / "audio" / "ravdess"
JOY = "03-01-03-01-02-02-21.flac"
ANGER = "03-01-05-02-01-01-24.flac"

TALK = (
    ("I am so happy today!", "joy"),
    ("Why would you say that to me?", "anger"),
    ("He died last year.", "sadness"),
    ("Really? No way!", "surprise"),
    ("The bus comes at ten.", None),
    ("It is on the table.", "neutral"),
)


@pytest.fixture(scope="module")
def model():
    return RememberingModel(DEFAULT_MODEL)


def talk(dialogue, n_turns=6, **fields):
    """One made-up dialogue of two."""
    return [
        Utterance(
            dialogue=dialogue,
            turn=turn,
            speaker="ab"[turn % 2],
            text=text,
            emotion=emotion,
            **fields,
        )
        for turn, (text, emotion) in enumerate(TALK[:n_turns])
    ]


def corpus_of(tmp_path, *dialogues):
    file = tmp_path / "made_up.jsonl"
    write_corpus(file, [utterance for dialogue in dialogues for utterance in dialogue])
    return read_corpus(file)


def scores_of(model, corpus, **options):
    """The report without its times, which no run repeats."""
    report = evaluate_corpus(model, corpus, EvaluationConfig(**options))
    return {name: value for name, value in report.items() if "_ms_" not in name} | {
        "took_s": 0.0
    }


def functionals_of(seed):
    """Functionals like those of training, drawn at random."""
    draw = np.random.default_rng(seed)
    with np.load(DEFAULT_MODEL / STATISTICS_FILE) as known:
        mean, deviation = known["functionals_mean"], known["functionals_deviation"]
    return mean + deviation * draw.standard_normal(mean.shape).astype(np.float32)


# --- playing ------------------------------------------------------------------


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
            emotions[EMOTIONS.index(turn.text)] = 0.94
            after = context.after_turn(
                turn.speaker, context.states, context.memory, context.heard
            )
            sentiments = np.full(3, 1 / 3, np.float32)
            emotion = Emotion(emotions, sentiments, ("text",), context.n_turns)
            results.append((emotion, after))
        return results


def said(place, text, is_first=False, parts=()):
    features = TurnFeatures("a", text, None)
    heard = tuple(TurnFeatures("a", part, None) for part in parts)
    return Turn(place, features, heard, is_first)


def test_turns_are_judged_in_order_and_dialogues_begin_anew():
    model = Echo([])
    verdicts = play(
        model,
        [
            [said(0, "joy", True), said(1, "fear"), said(2, "anger", True)],
            [said(3, "disgust", True)],
        ],
    )
    assert model.calls == [
        [("joy", 0), ("disgust", 0)],
        [("fear", 1)],
        [("anger", 0)],
    ]
    found = [verdicts[place].emotion.label for place in range(4)]
    assert found == ["joy", "fear", "anger", "disgust"]


def test_a_part_is_judged_before_its_turn_and_leaves_no_trace():
    model = Echo([])
    turns = [said(0, "joy", True, ("fear", "anger")), said(1, "disgust", parts=["joy"])]
    verdicts = play(model, [turns])
    assert [part.label for part in verdicts[0].parts] == ["fear", "anger"]
    assert model.calls == [
        [("joy", 0), ("fear", 0), ("anger", 0)],
        [("disgust", 1), ("joy", 1)],
    ]


def test_only_so_many_earlier_turns_are_used():
    model = Echo([])
    turns = [said(place, "joy", place == 0) for place in range(5)]
    verdicts = play(model, [turns], context_turns=2)
    used = [verdicts[place].emotion.context_turns for place in range(5)]
    assert used == [0, 1, 2, 2, 2]


def test_a_part_is_judged_after_as_many_turns_as_its_whole():
    turns = [said(place, "joy", place == 0, ["fear"]) for place in range(4)]
    verdicts = play(Echo([]), [turns], context_turns=1)
    for verdict in verdicts.values():
        (part,) = verdict.parts
        assert part.context_turns == verdict.emotion.context_turns


def voiced_turns(n_turns):
    return [
        Turn(
            place,
            TurnFeatures(
                "ab"[place % 2],
                TALK[place % len(TALK)][0],
                VoiceFeatures(None, functionals_of(place)),
            ),
            is_first=place == 0,
        )
        for place in range(n_turns)
    ]


def test_a_limited_context_is_that_of_the_last_turns_alone(model):
    turns = voiced_turns(6)
    limited = play(model, [turns], context_turns=2)
    # Play turn 5 anew after turns 3 and 4, with the voices that were known before them.
    context = model.empty_context()
    for place, turn in enumerate(turns):
        if place == 3:
            context = replace(model.empty_context(), voices=context.voices)
        ((emotion, context),) = model.step([turn.features], [context])
    expected = emotion.emotions
    assert limited[5].emotion.emotions == pytest.approx(expected, abs=1e-5)
    whole = play(model, [turns])[5].emotion.emotions
    assert np.abs(whole - expected).max() > 1e-3


def test_a_context_longer_than_the_dialogue_is_all_of_it(model):
    turns = voiced_turns(4)
    limited, whole = play(model, [turns], context_turns=9), play(model, [turns])
    for place in range(4):
        expected = whole[place].emotion.emotions
        assert limited[place].emotion.emotions == pytest.approx(expected, abs=1e-5)


def test_a_text_is_embedded_once(model, monkeypatch):
    asked = []
    plain = RememberingModel.__mro__[1].embed
    monkeypatch.setattr(
        RememberingModel.__mro__[1],
        "embed",
        lambda self, text: asked.append(text) or plain(self, text),
    )
    fresh = RememberingModel(DEFAULT_MODEL)
    found = [fresh.embed(text) for text in ("One.", "Two.", "One.")]
    assert asked == ["One.", "Two."]
    assert np.array_equal(found[2], model.embed("One."))


# --- whole corpora ------------------------------------------------------------


def test_the_headline_comes_first(model, tmp_path):
    report = scores_of(model, corpus_of(tmp_path, talk("x"), talk("y")))
    names = ["weighted_f1", "macro_f1", "uar", "accuracy", "ece", "n"]
    assert list(report)[:6] == names
    assert report["n"] == 10 and report["n_turns"] == 12
    assert report["corpus"] == "made_up.jsonl"
    assert report["target"] == "emotion" and report["labels"] == list(EMOTIONS)
    assert report["n_by_input"] == {"text": 10}
    assert report["accuracy"] >= 0.6  # such plain words are no riddle
    assert str(tmp_path) not in str(report)


def test_no_context_is_each_turn_alone(model, tmp_path):
    lines = talk("x")
    alone = [msgspec.structs.replace(line, dialogue=f"x{line.turn}") for line in lines]
    together = scores_of(model, corpus_of(tmp_path, lines), context_turns=0)
    apart = scores_of(model, corpus_of(tmp_path, alone))
    for name in ("confusion", "reliability", "weighted_f1", "ece"):
        assert together[name] == apart[name]
    in_context = scores_of(model, corpus_of(tmp_path, lines))
    assert in_context["reliability"] != together["reliability"]


def test_the_order_of_dialogues_does_not_matter(model, tmp_path):
    dialogues = [talk("x"), talk("y", 3), talk("z", 5)]
    forward = scores_of(model, corpus_of(tmp_path, *dialogues))
    back = scores_of(model, corpus_of(tmp_path, *reversed(dialogues)))
    for name in ("weighted_f1", "ece", "confusion", "reliability", "per_class"):
        assert forward[name] == back[name]


def test_sessions_remember_voices_but_not_what_was_said(model, tmp_path):
    rows = np.stack([functionals_of(seed) for seed in range(6)])
    np.savez(tmp_path / "rows.npz", voices=rows)

    def voiced(dialogue, session):
        return [
            Utterance(
                dialogue=dialogue,
                turn=turn,
                speaker="a",
                emotion="joy",
                session=session,
                features=FeatureRow(file="rows.npz", key="voices", row=turn),
            )
            for turn in range(6)
        ]

    same = corpus_of(tmp_path, voiced("x", "s"), voiced("y", "s"))
    shared = scores_of(model, same)
    apart = scores_of(model, corpus_of(tmp_path, voiced("x", None), voiced("y", None)))
    assert shared["n_by_input"] == {"audio": 12}
    assert shared["reliability"] != apart["reliability"]
    no_words = [talk("x", session="s"), talk("y", session="s")]
    shared = scores_of(model, corpus_of(tmp_path, *no_words))
    apart = scores_of(model, corpus_of(tmp_path, talk("x"), talk("y")))
    assert shared["reliability"] == apart["reliability"]


def test_only_the_first_dialogues_are_used(model, tmp_path):
    corpus = corpus_of(tmp_path, talk("x"), talk("y"))
    report = scores_of(model, corpus, limit_dialogues=1)
    assert report["n_turns"] == 6
    assert report["weighted_f1_interval_95"] is None  # of one dialogue
    assert scores_of(model, corpus)["weighted_f1_interval_95"] is not None


def test_the_same_seed_gives_the_same_report(model, tmp_path):
    corpus = corpus_of(tmp_path, talk("x"), talk("y", 4))
    options = {"word_errors_percent": (30.0,), "has_curve": True}
    first = scores_of(model, corpus, **options)
    assert first == scores_of(model, corpus, **options)
    assert first != scores_of(model, corpus, seed=1, **options)


def test_the_whole_turn_ends_the_curve(model, tmp_path):
    corpus = corpus_of(tmp_path, talk("x"), talk("y"))
    report = scores_of(model, corpus, has_curve=True)
    assert [point["share"] for point in report["curve"]] == [0.25, 0.5, 0.75, 1.0]
    for name in ("weighted_f1", "accuracy", "ece", "n"):
        assert report["curve"][-1][name] == report[name]
    assert report["curve"][0]["ece"] != report["ece"]
    assert report["weighted_f1"] == scores_of(model, corpus)["weighted_f1"]


# --- targets ------------------------------------------------------------------


def test_other_labels_are_context_and_their_probability_is_shared_out(model, tmp_path):
    corpus = corpus_of(tmp_path, talk("x"))
    report = scores_of(model, corpus, labels=("anger", "joy"))
    assert report["n"] == 2 and report["n_turns"] == 6
    assert report["labels"] == ["anger", "joy"]
    assert np.array(report["confusion"]).shape == (2, 2)
    assert all(each["n"] == 0 for each in report["reliability"][:5])


def test_restricted_probabilities_add_up_to_one_and_keep_their_proportions():
    probabilities = np.array([[0.1, 0.2, 0.3, 0.1, 0.1, 0.1, 0.1]], np.float32)
    shared = Target("emotion", ("fear", "neutral")).restrict(probabilities)
    assert shared == pytest.approx(np.array([[0.75, 0.25]]))
    certain = np.eye(7, dtype=np.float32)[[6]]
    shared = Target("emotion", ("fear", "neutral")).restrict(certain)
    assert shared == pytest.approx(np.array([[0.5, 0.5]]))


def test_sentiments_are_the_target_where_they_are_named(model, tmp_path):
    lines = talk("x", sentiment="negative")
    report = scores_of(model, corpus_of(tmp_path, lines), labels=SENTIMENTS)
    assert report["target"] == "sentiment" and report["n"] == 6
    assert scores_of(model, corpus_of(tmp_path, lines))["target"] == "emotion"


def test_sentiments_are_the_target_where_there_is_nothing_else():
    lines = [Utterance(dialogue="x", turn=0, speaker="a", sentiment="positive")]
    assert choose_target(lines, ()) == Target("sentiment", SENTIMENTS)


@pytest.mark.parametrize(
    ("labels", "complaint"),
    [
        (("joy", "glee"), "--labels: expected two or more of neutral, .*got joy,glee"),
        (("joy", "positive"), "--labels: expected two or more"),
        (("joy",), "--labels: expected two or more"),
        (("fear", "disgust"), "corpus: expected lines with emotion of fear, disgust"),
        (SENTIMENTS, "corpus: expected lines with sentiment of negative"),
    ],
)
def test_labels_that_do_not_fit_are_refused(labels, complaint):
    with pytest.raises(ConfigError, match=complaint):
        choose_target(talk("x"), labels)


def test_a_corpus_without_labels_is_refused(model, tmp_path):
    corpus = corpus_of(tmp_path, [Utterance(dialogue="x", turn=0, speaker="a")])
    with pytest.raises(ConfigError, match="expected lines with an emotion, got none"):
        scores_of(model, corpus)


# --- temperature --------------------------------------------------------------


def softmax(scores):
    powers = np.exp(scores)
    return powers / powers.sum(-1, keepdims=True)


@given(strategies.integers(0, 2**16))
def test_probabilities_before_temperature_are_found_again(seed):
    scores = np.random.default_rng(seed).standard_normal((4, 7))
    temperatures = [1.0, 2.0, 0.5, 1.3]
    patterns = [(), ("text",), ("audio",), ("audio", "text")]
    served = softmax(scores / np.array(temperatures)[:, None]).astype(np.float32)
    found = unscale(served, patterns, {"temperatures": temperatures})
    assert found == pytest.approx(softmax(scores), abs=1e-4)


def test_a_manifest_without_temperatures_tells_nothing_of_before(
    model, tmp_path, monkeypatch
):
    corpus = corpus_of(tmp_path, talk("x"))
    monkeypatch.setattr(model, "manifest", dict(model.manifest))
    model.manifest.pop("temperatures", None)
    assert scores_of(model, corpus)["ece_before_temperature"] is None
    model.manifest["temperatures"] = [1.0, 1.0, 1.0, 1.0]
    report = scores_of(model, corpus)
    assert report["ece_before_temperature"] == pytest.approx(report["ece"], abs=2e-4)
    model.manifest["temperatures"] = [1.0, 3.0, 1.0, 1.0]
    report = scores_of(model, corpus)
    assert abs(report["ece_before_temperature"] - report["ece"]) > 0.01


# --- published features -------------------------------------------------------


def with_rows(tmp_path, array, rows=(0,), key="rows"):
    np.savez(tmp_path / "rows.npz", rows=array)
    return corpus_of(
        tmp_path,
        [
            Utterance(
                dialogue="x",
                turn=turn,
                speaker="a",
                text="Well.",
                emotion="joy",
                features=FeatureRow(file="rows.npz", key=key, row=row),
            )
            for turn, row in enumerate(rows)
        ],
    )


def test_all_of_openSMILE_and_the_models_own_part_of_it_are_the_same(model, tmp_path):
    own = np.stack([functionals_of(seed) for seed in range(3)])
    everything = np.full((3, 384), np.float32(7.0))
    everything[:, KEPT_IS09_COLUMNS] = own
    reports = [
        scores_of(model, with_rows(tmp_path, rows, (0, 1, 2)))
        for rows in (own, everything)
    ]
    assert reports[0] == reports[1]
    assert reports[0]["n_by_input"] == {"audio+text": 3}


@pytest.mark.parametrize(
    ("array", "row", "key", "complaint"),
    [
        (np.zeros((2, 73)), 0, "rows", "expected 336 or 384 numbers, got 73"),
        (np.zeros((2, 384)), 2, "rows", "expected a row below 2"),
        (np.zeros((2, 384)), -1, "rows", "expected a row below 2"),
        (np.zeros((2, 384)), 0, "other", "expected an .npz file with numbers 'other'"),
        (np.full((2, 384), np.nan), 0, "rows", "expected finite numbers"),
        (np.zeros(384), 0, "rows", "expected rows of numbers, got shape"),
        (np.array([["a"]]), 0, "rows", "expected an .npz file with numbers"),
    ],
)
def test_a_row_that_does_not_fit_is_counted_and_the_words_are_judged(
    model, tmp_path, array, row, key, complaint
):
    corpus = with_rows(tmp_path, array, (row,), key)
    report = scores_of(model, corpus)
    assert report["faults"]["features"] == 1
    assert report["n_by_input"] == {"text": 1}
    with pytest.raises(ConfigError, match=complaint):
        scores_of(model, corpus, is_strict=True)


def test_parts_have_no_published_features(model, tmp_path):
    corpus = with_rows(tmp_path, functionals_of(0)[None])
    report = scores_of(model, corpus, has_curve=True)
    words = scores_of(model, corpus, modalities="text")
    assert report["curve"][-1]["ece"] == words["ece"] != report["ece"]


def test_one_modality_hides_the_other():
    voice = VoiceFeatures(np.ones(768, np.float32), np.ones(336, np.float32))
    sound = hearing.Sound("Heard.", voice)
    lines = talk("x", 1)
    features = {
        modalities: Material(lines, modalities, {(0, hearing.PLAIN): sound}, {})
        for modalities in ("text", "audio", "both")
    }
    assert features["text"].features(0) == TurnFeatures("a", TALK[0][0], None)
    assert features["audio"].features(0) == TurnFeatures("a", None, voice)
    assert features["both"].features(0) == TurnFeatures("a", TALK[0][0], voice)


def test_a_turn_of_which_nothing_is_known_is_counted_not_scored(model, tmp_path):
    lines = talk("x", 3)
    lines.append(Utterance(dialogue="x", turn=3, speaker="a", text=" ", emotion="joy"))
    report = scores_of(model, corpus_of(tmp_path, lines))
    assert report["n"] == 3 and report["faults"]["unjudged_turns"] == 1
    with pytest.raises(ConfigError, match="--modalities audio"):
        scores_of(model, corpus_of(tmp_path, lines), modalities="audio")


# --- recordings ---------------------------------------------------------------


def clip(turn, audio, emotion="joy", **fields):
    return Utterance(
        dialogue="x", turn=turn, speaker="a", audio=audio, emotion=emotion, **fields
    )


@pytest.fixture
def whisper(models, monkeypatch):
    """The default recognizer; it takes a second to load."""
    monkeypatch.setattr(material, "Whisper", lambda config: models.whisper)
    return models.whisper


def test_recordings_are_heard_whole_in_part_and_in_noise(
    model, whisper, tmp_path, monkeypatch
):
    decoded = []
    decode = hearing.decode
    monkeypatch.setattr(
        hearing,
        "decode",
        lambda file, channel: decoded.append(file.name) or decode(file, channel),
    )
    lines = [
        clip(0, JOY, start_s=0.929, end_s=2.998),
        clip(1, "missing.flac", text="Never mind."),
        clip(2, JOY, text="Dogs are great.", start_s=0.9, end_s=1.5),
        clip(3, "missing.flac"),
        clip(4, JOY, start_s=77.0),
    ]
    corpus = corpus_of(tmp_path, lines)
    options = {"has_curve": True, "noise_snrs_db": (-10.0,)}
    report = scores_of(model, corpus, audio_root=CLIPS, **options)
    assert sorted(decoded) == [JOY, "missing.flac"]
    assert report["n_by_input"] == {"audio+text": 2, "text": 1}
    counted = {kind: n for kind, n in report["faults"].items() if n}
    assert counted == {"audio_files": 1, "audio_turns": 3, "unjudged_turns": 2}
    assert [point["n"] for point in report["noise"] + report["curve"]] == [3] * 5
    assert report["noise"][0]["ece"] != report["ece"] == report["curve"][-1]["ece"]
    assert report["curve"][0]["ece"] != report["ece"]


def test_improbable_words_are_believed_only_while_the_turn_goes_on():
    class Doubtful:
        """Stands in for the recognizer: is never sure."""

        def hear(self, samples):
            voice = np.zeros(4, np.float32)
            return Heard("Perhaps so.", (), voice, -1.5, 0.0, 1.0)

    samples = np.zeros(16_000, np.float32)
    heard = [
        hearing.hear(samples, hearing.Hearing(share), Doubtful(), True).text
        for share in (0.5, 1.0)
    ]
    assert heard == ["Perhaps so.", None]


def test_strictly_a_missing_recording_ends_it(model, whisper, tmp_path):
    corpus = corpus_of(tmp_path, [clip(0, "missing.flac", text="Never mind.")])
    with pytest.raises(ConfigError, match="missing.flac: expected a recording"):
        scores_of(model, corpus, is_strict=True)


def test_published_features_do_not_stand_in_for_a_recording(model, whisper, tmp_path):
    np.savez(tmp_path / "rows.npz", rows=functionals_of(0)[None])
    row = FeatureRow(file="rows.npz", key="rows", row=0)
    line = clip(0, "missing.flac", text="Never mind.", features=row)
    report = scores_of(model, corpus_of(tmp_path, [line]))
    assert report["n_by_input"] == {"text": 1}


def test_recordings_that_words_make_needless_are_not_read(model, tmp_path):
    corpus = corpus_of(tmp_path, [clip(0, "missing.flac", text="Never mind.")])
    report = scores_of(model, corpus, modalities="text")
    assert report["n"] == 1 and not any(report["faults"].values())


def test_words_are_heard_where_the_corpus_has_none(model, whisper, tmp_path):
    corpus = corpus_of(tmp_path, [clip(0, ANGER, "anger")])
    for modalities, known in (("text", "text"), ("audio", "audio")):
        options = {"audio_root": CLIPS, "modalities": modalities}
        assert scores_of(model, corpus, **options)["n_by_input"] == {known: 1}


@pytest.mark.parametrize("content", [b"", b"no sound at all", b"fLaC" + bytes(80)])
def test_what_is_no_recording_is_said_to_be_none(tmp_path, content):
    file = tmp_path / "damaged.flac"
    file.write_bytes(content)
    with pytest.raises(hearing.Unheard, match="damaged.flac: expected a recording"):
        hearing.decode(file)


@pytest.mark.parametrize(
    ("start_s", "end_s", "first", "last"),
    [
        (None, None, 0, 47_999),
        (1.0, 2.0, 12_000, 33_599),  # 250 ms before, 100 ms behind
        (0.1, None, 0, 47_999),
        (None, 2.95, 0, 47_999),
        (None, 3.4, 0, 47_999),  # times are rounded
    ],
)
def test_a_clip_is_cut_as_the_server_would(start_s, end_s, first, last):
    samples = np.arange(48_000, dtype=np.float32)
    cut = hearing.cut_clip(samples, start_s, end_s)
    assert (cut[0], cut[-1]) == (first, last)


def test_the_edges_of_a_clip_can_be_moved():
    samples = np.arange(48_000, dtype=np.float32)
    cut = hearing.cut_clip(samples, 1.0, 2.0, (0.25, -0.1))
    assert (cut[0], cut[-1]) == (16_000, 31_999)


@pytest.mark.parametrize(
    ("start_s", "end_s"), [(3.5, 4.0), (2.0, 1.0), (0.0, -1.0), (1.0, 3.6)]
)
def test_a_turn_outside_its_recording_is_refused(start_s, end_s):
    with pytest.raises(hearing.Unheard, match="3.00 s, got start_s="):
        hearing.cut_clip(np.zeros(48_000, np.float32), start_s, end_s)


@pytest.mark.parametrize("snr_db", [20.0, 5.0, -5.0])
def test_noise_is_as_loud_as_asked(snr_db):
    draw = np.random.default_rng(0)
    samples = np.sin(np.arange(32_000) / 20.0).astype(np.float32) * 0.1
    noise = hearing.add_noise(samples, snr_db, draw) - samples
    measured_db = 10 * np.log10(np.mean(samples**2) / np.mean(noise**2))
    assert measured_db == pytest.approx(snr_db, abs=0.1)


def test_noise_on_silence_is_silence():
    silence = np.zeros(1000, np.float32)
    noisy = hearing.add_noise(silence, 10.0, np.random.default_rng(0))
    assert np.array_equal(noisy, silence)


def test_a_clip_beyond_thirty_seconds_is_cut_and_counted(tmp_path):
    soundfile.write(tmp_path / "long.wav", np.zeros(31 * 16_000), 16_000)
    faults = Faults(is_strict=False)
    long = hearing.Clip(0, clip(0, "long.wav"), tmp_path / "long.wav", False)
    ((_, samples),) = hearing.cut_clips([long], faults)
    assert len(samples) == 30 * 16_000
    assert faults.counts["long_turns"] == 1


def test_the_first_faults_of_a_kind_are_told_and_all_are_counted(caplog):
    faults = Faults(is_strict=False)
    for number in range(25):
        faults.add("features", f"fault {number}")
    assert faults.counts["features"] == 25
    assert len(caplog.records) == 11


def test_noise_without_recordings_is_refused(model, tmp_path):
    with pytest.raises(ConfigError, match="--noise: expected a corpus with recordings"):
        scores_of(model, corpus_of(tmp_path, talk("x")), noise_snrs_db=(5.0,))


# --- errors of a recognizer ---------------------------------------------------

TEXTS = tuple(text for text, _ in TALK) * 100


@pytest.mark.parametrize("rate", [0.05, 0.3, 0.6])
def test_as_many_words_are_wrong_as_asked(rate):
    draw = np.random.default_rng(0)
    errors = mishearing.Mishearing(TEXTS)
    heard = [errors.mishear(text, rate, draw) for text in TEXTS]
    assert mishearing.word_error_rate(TEXTS, heard) == pytest.approx(rate, rel=0.1)


@settings(max_examples=40)
@given(strategies.text(), strategies.floats(0.01, 1.0), strategies.integers(0, 999))
def test_mishearing_takes_any_text(text, rate, seed):
    errors = mishearing.Mishearing([*TEXTS[:6], text])
    heard = errors.mishear(text, rate, np.random.default_rng(seed))
    assert bool(heard.split()) == bool(text.split())


def test_a_word_is_taken_for_one_that_sounds_alike():
    errors = mishearing.Mishearing(["their there", "completely other words " * 9])
    heard = [
        errors.mishear("(There!)", 1.0, np.random.default_rng(seed)).split()[0]
        for seed in range(100)
    ]
    assert heard.count("(Their!)") >= 45  # three in five errors are substitutions


@pytest.mark.parametrize(
    ("word", "code"),
    [
        ("Robert", "r163"),
        ("Rupert", "r163"),
        ("Rubin", "r150"),
        ("Ashcraft", "a261"),
        ("Tymczak", "t522"),
        ("Pfister", "p236"),
        ("Honeyman", "h555"),
    ],
)
def test_soundex_is_that_of_the_census(word, code):
    assert mishearing.sound_of(word) == code


def test_word_errors_are_counted_over_all_texts():
    said = ["Come here, please!", "No."]
    # One substitution, one insertion; one deletion; of four words.
    assert mishearing.word_error_rate(said, ["come there pretty please", ""]) == 0.75


@given(strategies.lists(strategies.sampled_from("abc"), max_size=8), strategies.data())
def test_word_errors_are_at_most_the_edits_made(words, data):
    edited = list(words)
    n_edits = data.draw(strategies.integers(0, 4))
    draw = random.Random(n_edits)
    for _ in range(n_edits):
        edited[draw.randint(0, len(edited)) :][:1] = [draw.choice("abc")]
        edited.insert(draw.randint(0, len(edited)), draw.choice("abc"))
    found = mishearing.count_word_errors(words, edited)
    assert abs(len(words) - len(edited)) <= found <= n_edits


def test_misheard_words_of_the_context_count_too(model, tmp_path):
    corpus = corpus_of(tmp_path, *(talk(name) for name in "uvwxyz"))
    report = scores_of(model, corpus, word_errors_percent=(10.0, 80.0))
    few, many = report["asr_errors"]
    assert few["asked"] == 0.1 and few["n"] == report["n"]
    assert few["word_error_rate"] < 0.25 < 0.6 < many["word_error_rate"]
    assert many["accuracy"] < report["accuracy"]


def test_two_words_are_needed_to_take_one_for_the_other():
    with pytest.raises(ConfigError, match="two different words"):
        mishearing.Mishearing(["No!", "no"])


# --- settings -----------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({"context_turns": -1}, "--context: expected 0 or more, got -1"),
        ({"limit_dialogues": 0}, "--limit: expected at least 1, got 0"),
        ({"word_errors_percent": (0.0,)}, "--asr-errors: expected above 0"),
        ({"word_errors_percent": (120.0,)}, "--asr-errors: expected above 0"),
        ({"noise_snrs_db": (float("nan"),)}, "--noise: expected -60 to 60 dB"),
        ({"modalities": "smell"}, "--modalities: expected one of text, audio, both"),
        ({"seed": -1}, "--seed: expected 0 or more"),
        (
            {"word_errors_percent": (5.0,), "modalities": "audio"},
            "--asr-errors: expected words",
        ),
    ],
)
def test_settings_out_of_range_are_refused(options, complaint):
    with pytest.raises(ConfigError, match=complaint):
        EvaluationConfig(**options)


def test_the_functionals_of_the_model_are_those_of_the_server(model):
    assert model.manifest["sizes"]["functionals"] == FUNCTIONALS_SIZE
