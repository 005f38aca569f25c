"""Texts -> labels, kept as they come: several questions under way, none asked twice.

An answer that cannot be read, in whole or in part, is followed by one question for each
text it leaves open; what that leaves open is kept aside with the answer.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Protocol

from .cache import make_key
from .endpoint import Endpoint, EndpointDown, RequestRefused
from .prompts import Label, Prompt
from .tally import Tally

REFUSALS = 8
"""A filter refuses a text now and then; so many in a row is a no to everything."""


class Answers(Protocol):
    """Where answers go: the cache, or what is given to it later."""

    def keep(self, labels: Mapping[str, Label]) -> None:
        """See `Cache.keep`."""

    def keep_unparsed(self, key: str, answer: str) -> None:
        """See `Cache.keep_unparsed`."""


class Labeller:
    """Has one model label texts, and keeps every answer as it comes.

    Args:
        endpoint: Answers; closed when all is labelled.
        prompt: What is asked.
        model: Names the answers.
        answers: Where they go.
        told: Called with a number of texts as often as that many are done.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        prompt: Prompt,
        model: str,
        answers: Answers,
        told: Callable[[int], object],
    ) -> None:
        self._endpoint = endpoint
        self._prompt = prompt
        self._model = model
        self._answers = answers
        self._told = told
        self._failure: EndpointDown | None = None  # the first; ends all workers
        self._refusals: list[RequestRefused] = []  # in a row
        self.tally = Tally()

    async def label(self, batches: Sequence[Sequence[str]], concurrency: int) -> None:
        """Label texts, a batch a question.

        Raises:
            EndpointDown: If the endpoint fails; what was under way by then is finished
                first, since it may have been paid for.
        """
        waiting = iter(batches)
        async with self._endpoint, asyncio.TaskGroup() as group:
            for number in range(min(concurrency, len(batches))):
                group.create_task(self._work(waiting), name=f"labeller {number}")
        if self._failure is not None:
            raise self._failure

    @property
    def refusal(self) -> str | None:
        """The first of the last refusals in a row; None where there was none."""
        return str(self._refusals[0]) if self._refusals else None

    async def _work(self, waiting: Iterator[Sequence[str]]) -> None:
        try:
            for texts in waiting:
                if self._failure is not None:
                    return
                await self._label_batch(texts)
        except EndpointDown as failure:
            self._failure = self._failure or failure

    async def _label_batch(self, texts: Sequence[str]) -> None:
        open_texts, _ = await self._ask(texts)
        for text in open_texts:
            if self._failure is not None:
                return
            still_open, answer = await self._ask([text])
            if still_open:
                self._answers.keep_unparsed(self._key(text), answer)
                self.tally.n_unparsed += 1
                self._told(1)

    async def _ask(self, texts: Sequence[str]) -> tuple[list[str], str]:
        """Ask once, keep what can be read; give what it leaves open, and the answer."""
        self.tally.n_requests += 1
        try:
            answer = await self._endpoint.ask(self._prompt.write_question(texts))
            self._refusals.clear()
            labels = self._prompt.read(answer, len(texts))
        except RequestRefused as refusal:
            self._count_refusal(refusal)
            answer, labels = str(refusal), [None] * len(texts)
        pairs = list(zip(texts, labels, strict=True))
        found = {text: label for text, label in pairs if label is not None}
        self._answers.keep({self._key(text): label for text, label in found.items()})
        self.tally.n_labelled += len(found)
        self._told(len(found))
        left_open = [text for text, label in pairs if label is None]
        self.tally.n_unreadable += bool(left_open)
        return left_open, answer

    def _count_refusal(self, refusal: RequestRefused) -> None:
        self._refusals.append(refusal)
        if len(self._refusals) >= REFUSALS:
            raise EndpointDown(str(refusal)) from refusal

    def _key(self, text: str) -> str:
        return make_key(self._prompt, self._model, text)
