r"""Transcripts -> labels, by a language model behind an OpenAI-compatible endpoint.

    python -m offline label CORPUS.jsonl --out labels.jsonl \
        --endpoint http://localhost:8000/v1 --model NAME
    python -m offline label --agreement CORPUS.jsonl labels.jsonl

Takes corpus files, or files of {"id", "text"} a line; writes {"id", "text",
"sentiment", "emotion"} a line. Every answer is kept as it comes: the same command goes
on where it was stopped, and costs nothing where all is answered. See docs/label.md.

With --engine ray each worker of a Ray cluster puts --concurrency questions at once.

exit codes:
  0    done; texts whose answers nobody could read are in OUT.unparsed
  2    settings or input are at fault
  3    the endpoint is down, refuses, or gave nothing that can be read (stderr says
       how); the same command goes on
  130  interrupted; the same command goes on
"""

from __future__ import annotations

import argparse
import logging
import os
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from offline.corpora.form import refuse_inputs
from offline.engines import Engine, add_engine_options, choose_engine
from offline.labelling.agreement import compare_all, read_pairs, write_agreement
from offline.labelling.cache import Cache
from offline.labelling.estimate import estimate
from offline.labelling.job import Job, name_unparsed, plan, write_labels
from offline.labelling.lines import LabelledLine, read_lines, starts_with
from offline.labelling.prompts import PROMPTS, Prompt
from offline.labelling.tally import Tally, Usage
from offline.progress import Progress
from stream_erc.errors import ConfigError

if TYPE_CHECKING:
    from offline.labelling.asking import Asked, Questions

ENDPOINT_FAILED = 3
DEFAULT_KEY = "OPENAI_API_KEY"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the command line."""
    add = parser.add_argument
    add("files", nargs="+", type=Path, metavar="CORPUS.jsonl")
    add("--out", type=Path, metavar="labels.jsonl", help="where the labels go")
    add("--endpoint", metavar="URL", help="up to the version: http://HOST:PORT/v1")
    add("--model", metavar="NAME", help="as the server calls it")
    add(
        "--api-key-env",
        default=DEFAULT_KEY,
        metavar="NAME",
        help="environment variable with the key (default: %(default)s; a local server "
        "needs none)",
    )
    add(
        "--prompt",
        choices=sorted(PROMPTS),
        default="ours",
        help="ours: sentiment and emotion, several texts a request; paper: sentiment, "
        "one text a request (default: %(default)s)",
    )
    add("--per-request", type=int, default=20, metavar="N", help="texts (default: 20)")
    add("--concurrency", type=int, default=4, metavar="N", help="requests (default: 4)")
    add("--timeout-s", type=float, default=120.0, metavar="S", help="(default: 120)")
    add(
        "--retries",
        type=int,
        default=8,
        metavar="N",
        help="after 429, 5xx, timeouts and lost connections (default: 8)",
    )
    add("--cache", type=Path, metavar="FILE", help="(default: OUT.cache)")
    add_engine_options(parser)
    add("--strict", action="store_true", help="stop at the first problem of a corpus")
    add("--dry-run", action="store_true", help="say what it would take; send nothing")
    add("--price-in", type=float, default=0.0, metavar="X", help="of a million tokens")
    add("--price-out", type=float, default=0.0, metavar="X", help="of a million tokens")
    add(
        "--agreement",
        action="store_true",
        help="compare with human labels instead: a corpus and a labels file, or one "
        "file with llm_* and human_* fields",
    )


def run(options: argparse.Namespace) -> int:
    """Label, estimate or compare.

    Raises:
        ConfigError: If a setting or the input is at fault.
    """
    if options.agreement:
        for name, agreement in compare_all(read_pairs(options.files)).items():
            print(write_agreement(name, agreement))
        return 0
    check(options)
    start = choose_engine(options)
    prompt = PROMPTS[options.prompt]
    lines = read_lines(options.files, strict=options.strict)
    cache_file = options.cache or options.out.with_name(options.out.name + ".cache")
    with Cache(cache_file) as cache:
        # An estimate without a model takes nothing for answered.
        job = plan(lines, prompt, options.model or "", cache, options.per_request)
        if options.dry_run:
            tell_estimate(job, prompt, options)
            return 0
        return label(job, prompt, options, cache, start)


def check(options: argparse.Namespace) -> None:
    """Check what argparse cannot.

    Raises:
        ConfigError: If a setting lacks or is out of range.
    """
    needed = ("out",) if options.dry_run else ("out", "endpoint", "model")
    for name in needed:
        if not getattr(options, name):
            raise ConfigError(f"--{name}: expected a value, got none")
    for name in ("per_request", "concurrency"):
        if getattr(options, name) < 1:
            shown = name.replace("_", "-")
            got = getattr(options, name)
            raise ConfigError(f"--{shown}: expected 1 or more, got {got}")
    refuse_inputs("--out", options.out, options.files)
    if options.out.is_file() and options.out.stat().st_size:
        if not starts_with(options.out, LabelledLine):
            raise ConfigError(
                f"--out: expected a new file or a labels file, got {options.out}, "
                "which is something else"
            )


def tell_estimate(job: Job, prompt: Prompt, options: argparse.Namespace) -> None:
    """Print what a run would take."""
    expected = estimate(prompt, job.batches)
    print(
        f"{len(job.lines)} utterances, {len(job.keys)} distinct texts, "
        f"{job.n_cached} cached, {job.n_waiting} to ask\n"
        f"{expected.n_requests} requests, about {expected.tokens_in} tokens in and "
        f"{expected.tokens_out} out (characters / 4; no retries, no reasoning)"
    )
    if options.price_in or options.price_out:
        cost = expected.cost(options.price_in, options.price_out)
        print(f"cost about {cost:.2f}")


def label(
    job: Job,
    prompt: Prompt,
    options: argparse.Namespace,
    cache: Cache,
    start: Callable[[], Engine],
) -> int:
    """Ask for what is waiting, write what there is, and give the exit code."""
    # A second of imports, and a package that the other commands do without.
    from offline.labelling.asking import Questions
    from offline.labelling.endpoint import EndpointConfig

    config = EndpointConfig(
        url=options.endpoint,
        model=options.model,
        api_key=read_key(options.api_key_env),
        timeout_s=options.timeout_s,
        retries=options.retries,
    )
    # The client's own logger tells of retries; this one would tell of every request.
    logging.getLogger("httpx2").setLevel(logging.WARNING)
    questions = Questions(config, prompt, options.concurrency)
    with Progress("labelling", job.n_waiting, "texts") as progress:
        if options.engine == "local":
            asked = questions.ask(job.batches, cache, progress.advance)
        else:
            asked = ask_workers(questions, job, cache, start, progress)
    asked.require_any()
    n_lines = write_labels(job, cache, options.out)
    tell_outcome(job, asked.tally, asked.usage)
    print(f"{options.out}: {n_lines} of {len(job.lines)} utterances")
    if asked.tally.n_unparsed:
        print(
            f"{name_unparsed(options.out)}: {asked.tally.n_unparsed} unparsed answers"
        )
    if asked.failure is None:
        return 0
    print(asked.failure, file=sys.stderr)
    print("what was labelled is kept; the same command goes on", file=sys.stderr)
    return ENDPOINT_FAILED


def ask_workers(
    questions: Questions,
    job: Job,
    cache: Cache,
    start: Callable[[], Engine],
    progress: Progress,
) -> Asked:
    """Have workers ask, a shard of batches each, until the endpoint fails one."""
    from offline.labelling.asking import Asked, cut_shards, make_ask

    whole = Asked()
    shards = cut_shards(job.batches, questions.concurrency)
    if not shards:
        return whole
    for answered in start().map(partial(make_ask, questions), shards):
        if isinstance(answered, ConfigError):
            raise answered
        kept, asked = answered
        kept.give_to(cache)
        whole.add(asked)
        progress.advance(len(kept.labels) + len(kept.unparsed))
        if whole.failure is not None:
            break
    return whole


def tell_outcome(job: Job, tally: Tally, usage: Usage) -> None:
    """Print what a run took."""
    print(
        f"{tally.n_labelled} texts labelled, {job.n_cached} cached, "
        f"{tally.n_unparsed} unparsed; {tally.n_requests} requests, "
        f"{tally.n_unreadable} answers unreadable; {usage.tokens_in} tokens in and "
        f"{usage.tokens_out} out, as the server counts"
    )


def read_key(name: str) -> str:
    """Read the key from the environment; local servers take any.

    Raises:
        ConfigError: If a variable was asked for that is not there.
    """
    key = os.environ.get(name, "")
    if not key and name != DEFAULT_KEY:
        raise ConfigError(f"--api-key-env: expected a key in {name}, got none")
    return key or "none"
