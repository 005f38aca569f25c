"""A question -> an answer: one model behind an OpenAI-compatible endpoint.

Retries are the `openai` client's own, after 408, 409, 429, 5xx, timeouts and lost
connections. It waits 0.5 s, then twice as long each time up to 8 s, less up to a
quarter at random; or as long as `Retry-After` says, but gives up beyond two minutes.
"""

from __future__ import annotations

import json
import logging
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any

import openai
from openai import AsyncOpenAI, omit
from openai.types.chat import ChatCompletion

from stream_erc.errors import ConfigError, StreamErcError

from .prompts import Prompt
from .tally import Usage

log = logging.getLogger(__name__)


class EndpointDown(StreamErcError):
    """The endpoint cannot be reached, refuses, or answers in another protocol."""


class RequestRefused(StreamErcError):
    """The endpoint refuses this one request: a filter, or a text beyond its length."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EndpointConfig:
    """Whom to ask, and how patiently.

    Attributes:
        url: Up to and including the version, as in `http://localhost:8000/v1`.
        model: As the server calls it.
        api_key: What a local server gets as key matters to nobody, but the client
            wants one.
        timeout_s: Of one try.
        retries: After the first try. 8 of them bridge 40 s without an answer.
    """

    url: str
    model: str
    api_key: str = field(default="none", repr=False)
    timeout_s: float = 120.0
    retries: int = 8

    def __post_init__(self) -> None:
        if not self.url.startswith(("http://", "https://")):
            raise ConfigError(f"--endpoint: expected http(s)://..., got {self.url!r}")
        if self.timeout_s <= 0.0:
            raise ConfigError(
                f"--timeout-s: expected more than 0, got {self.timeout_s}"
            )
        if self.retries < 0:
            raise ConfigError(f"--retries: expected 0 or more, got {self.retries}")


class Endpoint:
    """Asks one model; an async context manager that closes the connections."""

    def __init__(self, config: EndpointConfig, prompt: Prompt) -> None:
        self._config = config
        self._prompt = prompt
        self._client = AsyncOpenAI(
            base_url=config.url,
            api_key=config.api_key,
            timeout=config.timeout_s,
            max_retries=config.retries,
        )
        # Parameters that not every server takes.
        self._options: dict[str, Any] = {"temperature": 0.0}
        if prompt.schema is not None:
            schema = {"name": "labels", "strict": True, "schema": prompt.schema}
            self._options["response_format"] = {
                "type": "json_schema",
                "json_schema": schema,
            }
        self.usage = Usage()

    async def __aenter__(self) -> Endpoint:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._client.close()

    async def ask(self, question: str) -> str:
        """Put a question and give the answer, which may be anything, also empty.

        Raises:
            EndpointDown: If there is no answer after all retries, or will never be.
            RequestRefused: If the server does not want this question.
        """
        options = dict(self._options)
        while True:
            try:
                completion = await self._send(question, options)
            except (openai.BadRequestError, openai.UnprocessableEntityError) as error:
                refused = find_refused(error, options)
                if refused is None:
                    raise RequestRefused(self._tell(error)) from error
                del options[refused]
            except (openai.APIError, json.JSONDecodeError) as error:
                raise EndpointDown(self._tell(error)) from error
            else:
                self._learn(options)
                return self._take(completion)

    async def _send(self, question: str, options: dict[str, Any]) -> ChatCompletion:
        return await self._client.chat.completions.create(
            model=self._config.model,
            messages=[
                {"role": "system", "content": self._prompt.instruction},
                {"role": "user", "content": question},
            ],
            temperature=options.get("temperature", omit),
            response_format=options.get("response_format", omit),
        )

    def _learn(self, options: dict[str, Any]) -> None:
        """Go on without the parameters that an answer had to do without."""
        for name in [name for name in self._options if name not in options]:
            log.warning("the endpoint refuses %s: going on without it", name)
            del self._options[name]

    def _take(self, completion: ChatCompletion) -> str:
        # The client gives the bare text where the body is not JSON.
        if not isinstance(completion, ChatCompletion) or completion.choices is None:
            got = str(completion)[:80]
            raise EndpointDown(
                f"{self._config.url}: expected a chat completion, got {got!r}"
            )
        if completion.usage is not None:
            self.usage.tokens_in += completion.usage.prompt_tokens or 0
            self.usage.tokens_out += completion.usage.completion_tokens or 0
        if not completion.choices:
            return ""
        message = completion.choices[0].message
        return message.content or message.refusal or ""

    def _tell(self, error: Exception) -> str:
        cause = f" ({error.__cause__})" if error.__cause__ else ""
        return f"{self._config.url}: expected an answer, got: {error}{cause}"


def find_refused(error: openai.APIStatusError, sent: dict[str, Any]) -> str | None:
    """Say which parameter to leave out after a refusal; None if none is to blame.

    Where the server names none it may be the schema, of which small servers know
    nothing. A temperature is refused by OpenAI's reasoning models alone, by name.
    """
    said = f"{error.param} {error.message}"
    suspects = [name for name in sent if name in said]
    suspects += [name for name in sent if name == "response_format"]
    return suspects[0] if suspects else None
