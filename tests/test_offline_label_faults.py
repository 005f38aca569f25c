"""`python -m offline label` against servers that fail, know less, or talk rubbish."""

import asyncio
import json
import threading
from functools import partial

import pytest
from label_endpoint import (
    TEXTS,
    Reply,
    answer_well,
    completion,
    entries,
    label_endpoint,
    read_lines,
    refusal,
    run_label,
    texts_of,
    write_corpus,
    write_lines,
)

from offline.labelling.cache import Cache, make_key
from offline.labelling.endpoint import EndpointDown
from offline.labelling.labeller import Labeller
from offline.labelling.prompts import PROMPTS, Label
from offline.labelling.tally import Usage


@pytest.fixture
def corpus(tmp_path):
    return write_corpus(tmp_path)


@pytest.fixture
def label(corpus):
    """Label the corpus; see `run_label`."""
    return partial(run_label, corpus)


def scripted(*replies):
    """Give these replies first, then good ones."""
    left = list(replies)
    return lambda request: left.pop(0) if left else answer_well(request)


# --- an endpoint that fails -----------------------------------------------------------


def test_an_endpoint_that_goes_down_leaves_what_was_labelled(label, capsys):
    def answer(request):
        if len(endpoint.requests) == 2:
            endpoint.go_down()
        return answer_well(request)

    with label_endpoint(answer) as endpoint:
        code, lines = label(endpoint.url, "--retries", "0")
    assert code == 3
    assert [line["text"] for line in lines] == TEXTS[:4]
    assert endpoint.url in capsys.readouterr().err
    with label_endpoint() as endpoint:
        code, lines = label(endpoint.url, "--retries", "0")
    assert code == 0
    assert [line["text"] for line in lines] == TEXTS
    assert endpoint.asked == TEXTS[4:]


class Neighbours:
    """Stands in for an endpoint that fails one request while another is under way.

    A real one cannot know when the failure has arrived.
    """

    def __init__(self):
        self.usage = Usage()
        self._has_failed = asyncio.Event()

    async def __aenter__(self):
        return self

    async def __aexit__(self, *_):
        pass

    async def ask(self, question):
        if question == "slow":
            await self._has_failed.wait()
            return "positive"
        self._has_failed.set()
        raise EndpointDown(question)


async def test_what_is_under_way_when_another_request_fails_is_kept(tmp_path):
    paper = PROMPTS["paper"]
    with Cache(tmp_path / "cache") as cache:
        labeller = Labeller(Neighbours(), paper, "tiny", cache, lambda n_texts: None)
        with pytest.raises(EndpointDown, match="bad"):
            await labeller.label([["slow"], ["bad"], ["never"]], concurrency=2)
        assert cache.find(make_key(paper, "tiny", "slow")) == Label("positive", None)
    assert labeller.tally.n_requests == 2


@pytest.mark.parametrize(
    ("reply", "said"),
    [
        (refusal(401, "no such key"), "no such key"),
        (refusal(404, "no such model"), "no such model"),
        (Reply("<html>It works!</html>"), "It works!"),
        (Reply("{", headers={"content-type": "application/json"}), "Expecting"),
        (Reply({"detail": "hello"}), "expected a chat completion"),
    ],
)
def test_an_endpoint_that_will_never_answer_is_asked_once(label, capsys, reply, said):
    with label_endpoint(lambda request: reply) as endpoint:
        code, lines = label(endpoint.url)
    assert (code, lines) == (3, [])
    assert len(endpoint.requests) == 1
    assert said in capsys.readouterr().err


@pytest.mark.parametrize("status", [408, 429, 500, 503])
def test_a_passing_error_is_asked_again(label, status):
    with label_endpoint(scripted(*[refusal(status, "busy")] * 3)) as endpoint:
        code, lines = label(endpoint.url)
    assert code == 0
    assert [line["text"] for line in lines] == TEXTS
    assert len(endpoint.requests) == 3 + 3


def test_the_servers_word_on_when_to_come_back_holds(label):
    """Five minutes are more than anybody waits for: it gives up instead of knocking."""
    busy = refusal(429, "busy", {"Retry-After": "300"})
    with label_endpoint(scripted(busy)) as endpoint:
        code, _ = label(endpoint.url)
    assert code == 3
    assert len(endpoint.requests) == 1


def test_retries_come_to_an_end(label):
    with label_endpoint(lambda request: refusal(500, "broken")) as endpoint:
        code, _ = label(endpoint.url, "--retries", "2")
    assert code == 3
    assert len(endpoint.requests) == 3


def test_a_server_slower_than_the_limit_is_asked_again(label):
    is_over = threading.Event()

    def answer(request):
        if len(endpoint.requests) == 1:
            is_over.wait(timeout=10)
        return answer_well(request)

    with label_endpoint(answer) as endpoint:
        code, lines = label(endpoint.url, "--timeout-s", "0.3")
        is_over.set()
    assert code == 0
    assert [line["text"] for line in lines] == TEXTS
    assert endpoint.requests[0] == endpoint.requests[1]


# --- servers that know less -----------------------------------------------------------


@pytest.mark.parametrize("status", [400, 422])
def test_a_server_without_schemas_is_asked_without(label, status):
    def answer(request):
        if "response_format" in request:
            return refusal(status, "extra fields not permitted")
        fenced = json.dumps({"labels": entries(texts_of(request))}, indent=1)
        return completion(f"Here you are:\n```json\n{fenced}\n```\nAnything else?")

    with label_endpoint(answer) as endpoint:
        code, lines = label(endpoint.url)
    assert code == 0
    assert [line["text"] for line in lines] == TEXTS
    assert len(endpoint.requests) == 1 + 3


def test_a_model_without_temperature_is_asked_without(label):
    def answer(request):
        if "temperature" in request:
            return refusal(400, "Unsupported value", param="temperature")
        return answer_well(request)

    with label_endpoint(answer) as endpoint:
        code, lines = label(endpoint.url)
    assert code == 0
    assert len(lines) == 6
    assert all("response_format" in request for request in endpoint.requests)


# --- answers that cannot be read ------------------------------------------------------


@pytest.mark.parametrize(
    "content",
    [
        "I would rather not.",
        "",
        '{"labels": []}',
        json.dumps({"labels": entries(["a", "b", "c"])}),
        json.dumps({"labels": [entries(["great"])[0]] * 2}),
        json.dumps({"labels": entries(["a", "b"]) + entries(["great"])}),
        json.dumps({"labels": [{"number": 1}, {"number": 2}]}),
    ],
)
def test_an_unreadable_answer_is_followed_by_a_question_for_each_text(label, content):
    with label_endpoint(scripted(completion(content))) as endpoint:
        code, lines = label(endpoint.url)
    assert code == 0
    assert [line["text"] for line in lines] == TEXTS
    assert endpoint.asked == TEXTS[:2] + TEXTS


def test_an_unknown_label_spoils_its_own_entry_alone(label):
    def answer(request):
        if len(endpoint.requests) > 1:
            return answer_well(request)
        good, bad = entries(texts_of(request))
        return completion(json.dumps({"labels": [good, bad | {"emotion": "glee"}]}))

    with label_endpoint(answer) as endpoint:
        _, lines = label(endpoint.url)
    assert [line["text"] for line in lines] == TEXTS
    assert endpoint.asked == TEXTS[:2] + [TEXTS[1]] + TEXTS[2:]


def test_what_stays_unreadable_is_kept_aside_until_it_is_read(label, tmp_path, capsys):
    aside = tmp_path / "labels.jsonl.unparsed"

    def answer(request):
        if TEXTS[1] in texts_of(request):
            return completion(f"hm, {len(endpoint.requests)}")
        return answer_well(request)

    with label_endpoint(answer) as endpoint:
        code, lines = label(endpoint.url)
    assert code == 0
    assert [line["text"] for line in lines] == TEXTS[:1] + TEXTS[2:]
    assert read_lines(aside) == [{"id": "d0/1", "text": TEXTS[1], "answer": "hm, 3"}]
    assert "1 unparsed; 5 requests, 2 answers unreadable" in capsys.readouterr().out
    with label_endpoint() as endpoint:
        _, lines = label(endpoint.url)
    assert [line["text"] for line in lines] == TEXTS
    assert endpoint.asked == [TEXTS[1]]
    assert not aside.exists()


def test_a_server_whose_every_answer_is_rubbish_gave_no_labels(label, tmp_path, capsys):
    with label_endpoint(scripted(*[completion("hm")] * 12)) as endpoint:
        code, lines = label(endpoint.url)
    assert (code, lines) == (3, [])
    said = capsys.readouterr()
    assert "no answer that can be read to any of 6 texts" in said.err
    assert f"{tmp_path / 'labels.jsonl.unparsed'}: 6 unparsed answers" in said.out
    assert len(read_lines(tmp_path / "labels.jsonl.unparsed")) == 6


def test_texts_that_a_filter_refuses_are_kept_aside(label, corpus):
    rows = [{"id": f"{n}", "text": f"{n} {'ok' if n % 2 else 'no'}"} for n in range(10)]
    write_lines(corpus, rows)

    def answer(request):
        if any("no" in text for text in texts_of(request)):
            return refusal(400, "content policy")
        return answer_well(request)

    with label_endpoint(answer) as endpoint:
        code, lines = label(endpoint.url)
    assert code == 0
    assert [line["id"] for line in lines] == ["1", "3", "5", "7", "9"]
    aside = read_lines(corpus.with_name("labels.jsonl.unparsed"))
    assert [line["id"] for line in aside] == ["0", "2", "4", "6", "8"]
    assert "content policy" in aside[0]["answer"]


def test_a_server_that_refuses_everything_is_down(label, corpus, capsys):
    write_lines(corpus, [{"id": "1", "text": "Oh."}])
    with label_endpoint(lambda request: refusal(400, "model not loaded")) as endpoint:
        code, _ = label(endpoint.url)
    assert code == 3
    assert "model not loaded" in capsys.readouterr().err


def test_a_server_that_comes_to_refuse_everything_is_down(label):
    def answer(request):
        if len(endpoint.requests) > 1:
            return refusal(400, "out of credit")
        return answer_well(request)

    with label_endpoint(answer) as endpoint:
        code, lines = label(endpoint.url, "--per-request", "1")
    assert code == 3
    assert [line["text"] for line in lines] == TEXTS[:1]
