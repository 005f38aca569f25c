"""Batches of texts -> answers, kept in the cache or brought back from a worker."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from .endpoint import Endpoint, EndpointConfig, EndpointDown
from .labeller import Answers, Labeller
from .prompts import Label, Prompt
from .tally import Tally, Usage

Batches = Sequence[Sequence[str]]


@dataclass(slots=True)
class Asked:
    """What came of some questions.

    Attributes:
        tally: Of texts and questions.
        usage: Of tokens.
        refusal: The first of the last refusals in a row; None where there was none.
        failure: Why it was given up; None where it was not.
    """

    tally: Tally = field(default_factory=Tally)
    usage: Usage = field(default_factory=Usage)
    refusal: str | None = None
    failure: EndpointDown | None = None

    def add(self, other: Asked) -> None:
        """Count what came of later questions, too."""
        self.tally.add(other.tally)
        self.usage.add(other.usage)
        self.refusal = other.refusal
        self.failure = self.failure or other.failure

    def require_any(self) -> None:
        """Take it for a failure where nothing but refusals or rubbish came."""
        if self.failure is not None or self.tally.n_labelled:
            return
        if self.refusal:
            self.failure = EndpointDown(self.refusal)
        elif self.tally.n_unparsed:
            self.failure = EndpointDown(
                f"expected labels, got no answer that can be read to any of "
                f"{self.tally.n_unparsed} texts"
            )


@dataclass(slots=True)
class KeptAnswers:
    """Answers by key, until they are in the cache; see `Cache`."""

    labels: dict[str, Label] = field(default_factory=dict)
    unparsed: dict[str, str] = field(default_factory=dict)

    def keep(self, labels: Mapping[str, Label]) -> None:
        """See `Cache.keep`."""
        self.labels.update(labels)

    def keep_unparsed(self, key: str, answer: str) -> None:
        """See `Cache.keep_unparsed`."""
        self.unparsed[key] = answer

    def give_to(self, answers: Answers) -> None:
        """Keep them elsewhere."""
        answers.keep(self.labels)
        for key, answer in self.unparsed.items():
            answers.keep_unparsed(key, answer)


@dataclass(frozen=True, slots=True)
class Questions:
    """How texts are asked about.

    Attributes:
        config: Whom to ask.
        prompt: What.
        concurrency: Questions under way at once.
    """

    config: EndpointConfig
    prompt: Prompt
    concurrency: int

    def ask(
        self, batches: Batches, answers: Answers, told: Callable[[int], object]
    ) -> Asked:
        """Ask about all texts; `told` hears of each text that is done."""
        endpoint = Endpoint(self.config, self.prompt)
        labeller = Labeller(endpoint, self.prompt, self.config.model, answers, told)
        failure = None
        try:
            asyncio.run(labeller.label(batches, self.concurrency))
        except EndpointDown as error:
            failure = error
        return Asked(labeller.tally, endpoint.usage, labeller.refusal, failure)

    def ask_apart(self, batches: Batches) -> tuple[KeptAnswers, Asked]:
        """Ask about some texts where the cache is out of reach."""
        kept = KeptAnswers()
        return kept, self.ask(batches, kept, lambda _: None)


def make_ask(questions: Questions) -> Callable[[Batches], tuple[KeptAnswers, Asked]]:
    """Give what asks about a shard of batches; see `Engine.map`."""
    return questions.ask_apart


def cut_shards(batches: Batches, size: int) -> list[Batches]:
    """Give so many batches to a shard: as many as a worker asks at once."""
    return [batches[start : start + size] for start in range(0, len(batches), size)]
