"""Texts -> what a language model is asked; its answer -> labels: both prompts."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from stream_erc.flow import EMOTIONS, SENTIMENTS

PAPER_INSTRUCTION = (
    "You are a sentiment classification bot. Given the [sentence], classify as "
    "positive, negative or neutral sentiment. Please give the sentiment and no extra "
    "text as output."
)
"""Dutta and Ganapathy (2025), "MERITS-L", section IV-B, as a replication quotes it."""

OUR_INSTRUCTION = """\
You are labelling short utterances. Give the sentiment the speaker shows, and the one \
emotion the speaker most likely feels while saying it. Judge by reading, imagining it \
spoken. Choose neutral only if no distinct emotion shows.
surprise: astonishment, disbelief
anger: irritation, impatience, accusation, hostility, sarcasm aimed at somebody
joy: happiness, amusement, affection, pride, gratitude, excitement
sadness: grief, regret, disappointment, hurt
fear: worry, anxiety, alarm
disgust: revulsion, contempt

Each numbered line is an utterance of its own; they do not belong together. Answer \
with JSON alone, one entry for each number:
{"labels": [{"number": 1, "sentiment": "negative | neutral | positive", "emotion": \
"neutral | surprise | fear | sadness | joy | disgust | anger"}]}"""

OUR_SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "labels": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {
                    "number": {"type": "integer"},
                    "sentiment": {"type": "string", "enum": list(SENTIMENTS)},
                    "emotion": {"type": "string", "enum": list(EMOTIONS)},
                },
                "required": ["number", "sentiment", "emotion"],
                "additionalProperties": False,
            },
        }
    },
    "required": ["labels"],
    "additionalProperties": False,
}
"""Every key required and no other allowed: OpenAI's strict mode wants both."""

PAPER_ANSWER = re.compile(
    rf"\W*(?:sentiment\W+)?({'|'.join(SENTIMENTS)})(?:\W+sentiment)?\W*", re.IGNORECASE
)
THOUGHTS = re.compile(r"<think>.*?</think>", re.DOTALL)
"""Models that reason put it in front where the server does not take it out."""


class Label(msgspec.Struct, frozen=True):
    """What the language model said of one text.

    Attributes:
        sentiment: One of `flow.SENTIMENTS`.
        emotion: One of `flow.EMOTIONS`; None where the prompt does not ask for it.
    """

    sentiment: str
    emotion: str | None


class Entry(msgspec.Struct, frozen=True):
    """One label of an answer, as the model writes it; `number` counts from 1."""

    number: int
    sentiment: str
    emotion: str


class Answer(msgspec.Struct, frozen=True):
    """An answer to `ours`."""

    labels: list[Entry]


@dataclass(frozen=True, slots=True)
class Prompt:
    """How to ask.

    Attributes:
        name: As on the command line.
        instruction: The system message.
        is_batched: Whether one request may carry several texts.
        schema: JSON schema of the answer; None where it is a bare word.
        example: The answer about one text, to estimate how long answers are.
        read: The answer about so many texts, in their order: a label each, or None
            where the answer has none that holds.
    """

    name: str
    instruction: str
    is_batched: bool
    schema: dict[str, Any] | None
    example: str
    read: Callable[[str, int], list[Label | None]]

    def write_question(self, texts: Sequence[str]) -> str:
        """Give the user message: the text itself, or one numbered line a text."""
        lines = [" ".join(text.split()) for text in texts]
        if not self.is_batched:
            return "\n".join(lines)
        return "\n".join(f"{n}. {line}" for n, line in enumerate(lines, start=1))


def read_word(answer: str, n_texts: int) -> list[Label | None]:
    """Read an answer to `paper`: the sentiment, alone but for marks around it."""
    found = PAPER_ANSWER.fullmatch(THOUGHTS.sub("", answer))
    label = Label(found[1].lower(), None) if found else None
    return [label] * n_texts


def read_entries(answer: str, n_texts: int) -> list[Label | None]:
    """Read an answer to `ours`, also in a code fence or with words around it.

    A wrong number of entries spoils the answer: nobody knows which text went missing.
    A name that is none of ours spoils its own entry alone.
    """
    nothing: list[Label | None] = [None] * n_texts
    plain = THOUGHTS.sub("", answer)
    starts = [at for at in (plain.find("{"), plain.find("[")) if at >= 0]
    end = max(plain.rfind("}"), plain.rfind("]"))
    if not starts:
        return nothing
    try:
        found = msgspec.json.decode(
            plain[min(starts) : end + 1], type=Answer | list[Entry]
        )
    except msgspec.DecodeError:
        return nothing
    entries = found.labels if isinstance(found, Answer) else found
    by_number = {entry.number: entry for entry in entries}
    if len(entries) != n_texts or set(by_number) != set(range(1, n_texts + 1)):
        return nothing
    return [check(by_number[number]) for number in range(1, n_texts + 1)]


def check(entry: Entry) -> Label | None:
    """Give the label of an entry, None if it has a name that is none of ours."""
    sentiment = entry.sentiment.strip().lower()
    emotion = entry.emotion.strip().lower()
    if sentiment not in SENTIMENTS or emotion not in EMOTIONS:
        return None
    return Label(sentiment, emotion)


PROMPTS = {
    "paper": Prompt(
        name="paper",
        instruction=PAPER_INSTRUCTION,
        is_batched=False,
        schema=None,
        example="negative",
        read=read_word,
    ),
    "ours": Prompt(
        name="ours",
        instruction=OUR_INSTRUCTION,
        is_batched=True,
        schema=OUR_SCHEMA,
        example=json.dumps({"number": 10, "sentiment": "negative", "emotion": "anger"}),
        read=read_entries,
    ),
}
