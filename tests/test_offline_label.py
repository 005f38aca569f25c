"""`python -m offline label` against a real HTTP server: what is asked and kept."""

import threading
from functools import partial

import pytest
from label_endpoint import (
    TEXTS,
    answer_well,
    label_endpoint,
    run_label,
    texts_of,
    write_corpus,
    write_lines,
)

from offline.__main__ import main


@pytest.fixture
def corpus(tmp_path):
    return write_corpus(tmp_path)


@pytest.fixture
def label(corpus):
    """Label the corpus; see `run_label`."""
    return partial(run_label, corpus)


# --- what comes out -------------------------------------------------------------------


def test_every_utterance_with_words_gets_its_labels_in_order(label):
    with label_endpoint() as endpoint:
        code, lines = label(endpoint.url)
    assert code == 0
    assert [line["text"] for line in lines] == TEXTS
    assert [line["id"] for line in lines][2:4] == ["d0/2", "d1/3"]
    assert lines[1] == {
        "id": "d0/1",
        "text": "How awful!",
        "sentiment": "negative",
        "emotion": "anger",
    }
    assert endpoint.asked == TEXTS


def test_the_corpus_is_not_written_over(corpus, capsys):
    before = corpus.read_bytes()
    options = ["--endpoint", "http://localhost:1", "--model", "tiny"]
    assert main(["label", str(corpus), "--out", str(corpus), *options]) == 2
    told = capsys.readouterr().err
    assert told.startswith("--out: expected another file than the corpus, got")
    assert corpus.read_bytes() == before


def test_answers_that_overtake_each_other_change_no_order(label):
    has_third = threading.Event()

    def answer(request):
        if TEXTS[4] in texts_of(request):
            has_third.set()
        assert has_third.wait(timeout=10)
        return answer_well(request)

    with label_endpoint(answer) as endpoint:
        _, lines = label(endpoint.url, "--concurrency", "3")
    assert [line["text"] for line in lines] == TEXTS
    assert lines[5]["emotion"] == "anger"


def test_requests_are_deterministic_and_bound_to_the_schema(label):
    with label_endpoint() as endpoint:
        label(endpoint.url)
    assert len(endpoint.requests) == 3
    for request in endpoint.requests:
        assert request["model"] == "tiny"
        assert request["temperature"] == 0
        assert request["response_format"]["json_schema"]["strict"] is True


def test_the_papers_prompt_asks_each_text_alone_and_for_no_emotion(label):
    with label_endpoint() as endpoint:
        _, lines = label(endpoint.url, "--prompt", "paper")
    assert len(endpoint.requests) == 6
    assert all("response_format" not in request for request in endpoint.requests)
    assert {line["emotion"] for line in lines} == {None}
    assert [line["sentiment"] for line in lines][:3] == [
        "positive",
        "negative",
        "neutral",
    ]


def test_plain_lines_keep_their_ids_and_the_same_words_are_asked_once(label, corpus):
    rows = [
        {"id": f"x/{n}", "text": text} for n, text in enumerate(["Oh.", "No", "Oh."])
    ]
    write_lines(corpus, rows)
    with label_endpoint() as endpoint:
        _, lines = label(endpoint.url)
    assert [line["id"] for line in lines] == ["x/0", "x/1", "x/2"]
    assert endpoint.asked == ["Oh.", "No"]


def test_line_breaks_do_not_break_the_numbering(label, corpus):
    rows = [{"id": "1", "text": "Oh,\n2. great"}, {"id": "2", "text": "awful"}]
    write_lines(corpus, rows)
    with label_endpoint() as endpoint:
        _, lines = label(endpoint.url)
    assert endpoint.asked == ["Oh, 2. great", "awful"]
    assert lines[0]["text"] == "Oh,\n2. great"


def test_the_summary_counts_texts_and_the_servers_tokens(label, capsys):
    with label_endpoint() as endpoint:
        label(endpoint.url)
    shown = capsys.readouterr().out
    assert "6 texts labelled, 0 cached, 0 unparsed; 3 requests" in shown
    assert "300 tokens in and 30 out" in shown


# --- cache ----------------------------------------------------------------------------


def test_a_second_run_asks_nothing(label):
    with label_endpoint() as endpoint:
        _, first = label(endpoint.url)
        n_requests = len(endpoint.requests)
        assert label(endpoint.url) == (0, first)
    assert len(endpoint.requests) == n_requests


@pytest.mark.parametrize("change", [["--prompt", "paper"], ["--model", "other"]])
def test_another_prompt_or_model_is_asked_anew(label, change):
    with label_endpoint() as endpoint:
        label(endpoint.url)
        label(endpoint.url, *change)
    assert endpoint.asked == TEXTS * 2


def test_an_estimate_sends_nothing_and_knows_the_cache(label, corpus, capsys):
    url = "http://127.0.0.1:9/v1"
    arguments = ["label", str(corpus), "--out", str(corpus.with_name("labels.jsonl"))]
    arguments += ["--endpoint", url, "--model", "tiny", "--dry-run"]
    assert main([*arguments, "--price-in", "1000", "--price-out", "0"]) == 0
    shown = capsys.readouterr().out
    assert "6 utterances, 6 distinct texts, 0 cached, 6 to ask\n1 requests" in shown
    assert "cost about 0." in shown
    with label_endpoint() as endpoint:
        label(endpoint.url)
    capsys.readouterr()
    assert main(arguments) == 0
    assert "6 cached, 0 to ask\n0 requests, about 0 tokens" in capsys.readouterr().out


def test_an_estimate_needs_neither_endpoint_nor_model(corpus, capsys):
    out = corpus.with_name("labels.jsonl")
    assert main(["label", str(corpus), "--out", str(out), "--dry-run"]) == 0
    assert "0 cached, 6 to ask" in capsys.readouterr().out


def test_a_file_that_holds_no_labels_is_not_written_over(corpus, capsys):
    out = corpus.with_name("labels.jsonl")
    out.write_text("my notes\n")
    options = ["--endpoint", "http://127.0.0.1:9/v1", "--model", "tiny"]
    assert main(["label", str(corpus), "--out", str(out), *options]) == 2
    assert out.read_text() == "my notes\n"
    assert "expected a new file or a labels file" in capsys.readouterr().err


# --- settings -------------------------------------------------------------------------


@pytest.mark.parametrize("n_workers", [1, 3])
def test_as_many_requests_as_allowed_are_under_way_and_no_more(label, n_workers):
    together = threading.Barrier(n_workers)

    def answer(request):
        together.wait(timeout=10)
        return answer_well(request)

    options = ["--concurrency", str(n_workers), "--prompt", "paper"]
    with label_endpoint(answer) as endpoint:
        code, _ = label(endpoint.url, *options)
    assert code == 0
    assert endpoint.n_at_once == n_workers


def test_the_key_comes_from_the_environment(label, monkeypatch):
    monkeypatch.setenv("SOME_KEY", "secret")
    with label_endpoint() as endpoint:
        label(endpoint.url, "--api-key-env", "SOME_KEY")
    assert set(endpoint.keys) == {"Bearer secret"}


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--concurrency", "0"], "--concurrency: expected 1 or more, got 0"),
        (["--per-request", "0"], "--per-request: expected 1 or more, got 0"),
        (["--retries", "-1"], "--retries: expected 0 or more, got -1"),
        (["--timeout-s", "0"], "--timeout-s: expected more than 0, got 0.0"),
        (["--endpoint", "host"], "--endpoint: expected http(s)://..., got 'host'"),
        (["--model", ""], "--model: expected a value, got none"),
        (["--api-key-env", "NO_KEY"], "--api-key-env: expected a key in NO_KEY"),
    ],
)
def test_a_wrong_setting_is_one_line_and_exit_2(corpus, capsys, options, said):
    arguments = ["label", str(corpus), "--out", str(corpus.with_name("out.jsonl"))]
    arguments += ["--endpoint", "http://127.0.0.1:9/v1", "--model", "tiny"]
    assert main([*arguments, *options]) == 2
    assert said in capsys.readouterr().err


def test_an_id_that_comes_twice_is_exit_2(corpus, capsys):
    twice = [str(corpus), str(corpus)]
    arguments = ["label", *twice, "--out", str(corpus.with_name("out.jsonl"))]
    assert main([*arguments, "--endpoint", "http://127.0.0.1:9", "--model", "m"]) == 2
    assert "expected each id once, got 'd0/0' again" in capsys.readouterr().err


def test_a_damaged_cache_is_exit_2(corpus, capsys):
    cache = corpus.with_name("some.cache")
    cache.write_text("this is no sqlite file, and long enough to be seen as none" * 20)
    arguments = ["label", str(corpus), "--out", str(corpus.with_name("out.jsonl"))]
    arguments += ["--endpoint", "http://127.0.0.1:9/v1", "--model", "tiny"]
    assert main([*arguments, "--cache", str(cache)]) == 2
    assert f"{cache}: expected a cache" in capsys.readouterr().err
