"""Teachers: what finished runs make of a turn is learned beside its label."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

torch = pytest.importorskip("torch")
pytest.importorskip("accelerate")

from test_offline_stages import (  # noqa: E402
    CONTEXT,
    FUSION,
    RECIPE,
    VOICE,
    dialogue,
    loss_of,
    make_model,
    without,
)

from offline.corpora.form import TRAIN, Corpus, Utterance  # noqa: E402
from offline.training.batches import collate_taught  # noqa: E402
from offline.training.credits import Credits  # noqa: E402
from offline.training.recipe import CorpusRecipe, Recipe  # noqa: E402
from offline.training.run import RunFolder  # noqa: E402
from offline.training.scoring import NO_TARGET  # noqa: E402
from offline.training.teachers import (  # noqa: E402
    ask_teachers,
    find_teachers,
    say,
    write_said,
)
from stream_erc.errors import ConfigError  # noqa: E402

torch.set_num_threads(1)

CPU = torch.device("cpu")
by_answer = pytest.mark.parametrize("stage", [CONTEXT, FUSION], ids=lambda s: s.name)


def lines(*names):
    """Dialogues of these names, three turns each."""
    return [
        Utterance(dialogue=name, turn=turn, speaker="Ann")
        for name in names
        for turn in range(3)
    ]


def shares(n_turns, seed=0):
    """Probabilities of emotions and sentiments, shape (n, 10)."""
    draw = np.random.default_rng(seed)
    parts = (draw.dirichlet(np.ones(size), n_turns) for size in (7, 3))
    return np.concatenate(list(parts), -1).astype(np.float32)


def train_file(tmp_path, *names):
    return {TRAIN: Corpus(tmp_path / "train.jsonl", lines(*names), [])}


def finish(folder, **said):
    """A run folder of one that has something to say of corpora."""
    run = RunFolder(folder)
    write_said(run, said)
    run.credit("text", Credits(("encoder",), {}, ("its labels",)))
    return folder


def recipe(*names, **fields):
    return Recipe(corpora={name: CorpusRecipe(**fields) for name in names})


def certain(said):
    """A dialogue with a teacher who knows the labels."""
    taught = np.zeros_like(said.taught)
    rows = np.arange(len(said))
    taught[rows, said.emotions] = taught[rows, 7 + said.sentiments] = 1.0
    return replace(said, taught=taught)


# --- the loss ------------------------------------------------------------------


@by_answer
def test_a_teacher_who_knows_the_labels_changes_nothing(stage, tmp_path):
    said = dialogue(5)
    alone = loss_of(make_model(), tmp_path, stage, [said]).item()
    told = loss_of(make_model(), tmp_path, stage, [certain(said)]).item()
    assert told == pytest.approx(alone, rel=1e-5)


def test_the_weight_is_shared_out_between_label_and_teacher(tmp_path):
    said = replace(dialogue(5), taught=shares(5))
    label, teacher, both = (
        loss_of(
            make_model(), tmp_path, FUSION, [said], replace(RECIPE, **weight)
        ).item()
        for weight in ({"teacher_weight": each} for each in (0.0, 1.0, 0.25))
    )
    alone = replace(said, taught=np.zeros_like(said.taught))
    assert label == pytest.approx(
        loss_of(make_model(), tmp_path, FUSION, [alone]).item(), rel=1e-5
    )
    assert teacher != pytest.approx(label, rel=1e-3)
    assert both == pytest.approx(0.75 * label + 0.25 * teacher, rel=1e-5)


def test_nobody_follows_a_teacher_without_the_words(tmp_path):
    mute = without(dialogue(5), 0)
    taught = replace(mute, taught=shares(5))
    one, other = (
        loss_of(make_model(), tmp_path, FUSION, [each]).item()
        for each in (mute, taught)
    )
    assert one == other


def test_teachers_say_nothing_of_the_voice_alone(tmp_path):
    said = dialogue(5)
    one, other = (
        loss_of(make_model(), tmp_path, VOICE, [each]).item()
        for each in (said, replace(said, taught=shares(5)))
    )
    assert one == other


def test_an_open_turn_is_learned_from_its_teacher(tmp_path):
    nothing = np.full(5, NO_TARGET)
    said = replace(dialogue(5), emotions=nothing, sentiments=nothing, taught=shares(5))
    model = make_model()
    model.requires_grad_(True)
    loss_of(model, tmp_path, FUSION, [said]).backward()
    assert any(weight.grad.abs().sum() > 0 for weight in model.fusion.parameters())


def test_what_is_padded_has_no_teacher():
    short, long = (replace(dialogue(n), taught=shares(n)) for n in (2, 5))
    taught = collate_taught([short, long], CPU)
    assert taught.shape == (2, 5, 10)
    assert not taught[0, 2:].any()
    assert np.allclose(taught[1], long.taught)


# --- what is said --------------------------------------------------------------


@given(lengths=st.lists(st.integers(1, 6), max_size=20))
def test_dialogues_are_judged_one_after_another(lengths):
    model = make_model()
    dialogues = [dialogue(n, seed) for seed, n in enumerate(lengths)]
    whole = say(model, dialogues, speakers=True)
    alone = [say(model, [each], speakers=True) for each in dialogues]
    assert whole.shape == (sum(lengths), 10)
    assert np.allclose(whole, np.concatenate([*alone, np.zeros((0, 10))]), atol=1e-5)
    assert np.allclose(whole[:, :7].sum(-1), 1) and np.allclose(whole[:, 7:].sum(-1), 1)


def test_of_a_turn_without_words_and_voice_nothing_is_said():
    present = np.ones((3, 3), np.float32)
    present[1] = 0.0
    said = say(make_model(), [replace(dialogue(3), present=present)], speakers=True)
    assert said.any(-1).tolist() == [True, False, True]


# --- who says it ---------------------------------------------------------------


def test_turns_find_their_teacher_by_dialogue_and_number(tmp_path):
    told = shares(6)
    folder = finish(tmp_path / "one", talk=(lines("a", "b"), told))
    taught = ask_teachers(
        find_teachers([folder], recipe("talk")),
        {"talk": train_file(tmp_path, "b", "c"), "other": train_file(tmp_path, "a")},
    )
    assert list(taught) == ["talk"]
    assert np.array_equal(taught["talk"][:3], told[3:])
    assert not taught["talk"][3:].any()


def test_teachers_are_heard_in_the_mean_of_those_who_know(tmp_path):
    one, two = shares(6), shares(3, seed=1)
    folders = [
        finish(tmp_path / "one", talk=(lines("a", "b"), one)),
        finish(tmp_path / "two", talk=(lines("a"), two)),
    ]
    teachers = find_teachers(folders, recipe("talk"))
    taught = ask_teachers(teachers, {"talk": train_file(tmp_path, "a", "b")})
    assert np.allclose(taught["talk"][:3], (one[:3] + two) / 2)
    assert np.allclose(taught["talk"][3:], one[3:])
    owed = Credits(("encoder",), {}, ("its labels",))
    assert [teacher.credits for teacher in teachers] == [owed, owed]


def test_who_cannot_teach_is_refused(tmp_path):
    nowhere = tmp_path / "nowhere"
    with pytest.raises(
        ConfigError, match=r"expected a finished run with said.npz, got"
    ):
        find_teachers([nowhere], recipe("talk"))
    assert not nowhere.exists()
    folder = finish(tmp_path / "chat", chat=(lines("a"), shares(3)))
    with pytest.raises(ConfigError, match=r"expected a run of talk, got .*run of chat"):
        find_teachers([folder], recipe("talk"))
    with pytest.raises(ConfigError, match="expected a run of"):
        find_teachers([folder], recipe("chat", unseen=True))
