"""Where long work is done: one after another here, or what keeps Ray from doing it."""

import sys

import pytest
from conftest import AUDIO

from offline.__main__ import main
from offline.engines import OneByOne
from offline.labelling.asking import Asked, KeptAnswers, cut_shards
from offline.labelling.prompts import Label
from offline.labelling.tally import Tally, Usage
from stream_erc.errors import ConfigError, ModelError

CLIP = AUDIO / "speech" / "LJ001-0008.flac"


def test_results_come_in_order_and_models_load_once():
    loaded = []

    def make():
        loaded.append("model")
        return lambda item: item * 10

    assert list(OneByOne().map(make, [3, 1, 2])) == [30, 10, 20]
    assert loaded == ["model"]


def test_an_item_at_fault_costs_its_own_result_alone():
    def work(item):
        if item == 1:
            raise ConfigError("expected no 1")
        return item

    before, fault, behind = OneByOne().map(lambda: work, [0, 1, 2])
    assert (before, str(fault), behind) == (0, "expected no 1", 2)


def test_models_at_fault_end_the_work():
    def make():
        raise ModelError("expected a model")

    with pytest.raises(ModelError):
        list(OneByOne().map(make, [1]))


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        (["--workers", "2"], "--workers: expected --engine ray, got local"),
        (["--address", "auto"], "--address: expected --engine ray, got local"),
        (["--engine", "ray", "--workers", "0"], "--workers: expected at least 1"),
        (["--engine", "ray", "--address", "ray://h:1"], "cluster.address: expected"),
        (["--engine", "ray"], "--engine: expected the package ray"),
    ],
)
def test_what_does_not_fit_is_one_line(
    tmp_path, capsys, monkeypatch, options, complaint
):
    monkeypatch.setitem(sys.modules, "ray", None)
    arguments = ["transcribe", str(CLIP), "--out", str(tmp_path / "out.jsonl")]
    assert main([*arguments, *options]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(complaint)
    assert not list(tmp_path.iterdir())


# --- labels from several places -----------------------------------------------


def test_every_batch_is_in_one_shard_in_order():
    batches = [[str(number)] for number in range(7)]
    shards = cut_shards(batches, 3)
    assert [batch for shard in shards for batch in shard] == batches
    assert [len(shard) for shard in shards] == [3, 3, 1]


def test_what_was_asked_apart_is_added_up():
    whole = Asked()
    for n_labelled, refusal in ((2, "no"), (0, "never")):
        tally = Tally(n_labelled=n_labelled, n_requests=1)
        whole.add(Asked(tally, Usage(10, 1), refusal))
    assert whole.tally == Tally(n_labelled=2, n_requests=2)
    assert whole.usage == Usage(20, 2)
    whole.require_any()
    assert whole.failure is None  # a filter, not a no to everything


def test_nothing_but_refusals_is_a_failure():
    asked = Asked(Tally(n_requests=1), refusal="no")
    asked.require_any()
    assert str(asked.failure) == "no"


def test_answers_that_were_kept_apart_reach_their_place():
    kept, place = KeptAnswers(), KeptAnswers()
    kept.keep({"a": Label("neutral", None)})
    kept.keep_unparsed("b", "hm")
    kept.give_to(place)
    assert place == kept
