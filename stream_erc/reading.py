"""text -> ClientMessage: read what a client sent, and say what is wrong with it."""

from __future__ import annotations

import re
import reprlib
from typing import Any, get_args

import msgspec

from .errors import BadMessage
from .events import AudioFormat, ClientMessage, Encoding, Modality

FIELDS = {
    kind.__struct_config__.tag: {"type", *kind.__struct_fields__}
    for kind in get_args(ClientMessage)
}
BOUNDED = reprlib.Repr()  # what JSON nests deeply, repr cannot show
BOUNDED.maxstring = 100

PLAIN = re.compile(r"[\w.-]{1,40}")  # a field's name that needs no quotes

MOST_NAMED = 8
"""Fields that an answer names; a message may have tens of thousands."""


def parse_client(text: str) -> tuple[ClientMessage, list[str]]:
    """Read what a client sent.

    Returns:
        The message, and the names of fields that it should not have: the first
        of them, and how many there are more.

    Raises:
        BadMessage: Recoverable; says what was expected and what came.
    """
    try:
        raw = msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        raise refuse("not_json", f"expected a JSON object, got: {error}") from error
    if not isinstance(raw, dict) or not isinstance(raw.get("type"), str):
        raise refuse(
            "no_type", f'expected a JSON object with a "type", got {shorten(raw)}'
        )
    if raw["type"] not in FIELDS:
        raise refuse(
            "unknown_type",
            f"expected a type of {', '.join(FIELDS)}, got {shorten(raw['type'])}",
        )
    try:
        message = msgspec.convert(raw, ClientMessage)
    except msgspec.ValidationError as error:
        raise refuse("bad_field", explain(raw, str(error))) from error
    return message, shorten_names(unknown_fields(raw))


def require_short(text: str, max_bytes: int) -> None:
    """Refuse a message that is longer than any needs to be.

    Raises:
        BadMessage: Recoverable.
    """
    n_bytes = len(text.encode())
    if n_bytes > max_bytes:
        raise refuse(
            "text_too_long",
            f"expected at most {max_bytes} bytes of JSON, got {n_bytes}",
        )


def explain(raw: dict[str, Any], error: str) -> str:
    """Say which field does not fit, what was expected and what came."""
    expected, _, path = error.partition(" - at `$.")
    path = path.rstrip("`")
    if not path:
        came = ", ".join(shorten_names(list(raw)))
        return f"{raw['type']}: {expected}, got the fields {came}"
    path = path.partition("[")[0]  # of a list, show all
    if expected.startswith("Invalid enum value"):
        choices = Encoding if path == "audio.encoding" else Modality
        expected = f"Expected one of {', '.join(get_args(choices))}"
    if "matching regex" in expected:
        expected = "Expected `str` without control characters and changes of direction"
    return f"{raw['type']}: {path}: {expected}, got {shorten(look_up(raw, path))}"


def unknown_fields(raw: dict[str, Any]) -> list[str]:
    """List the fields that the contract does not have."""
    unknown = [name for name in raw if name not in FIELDS[raw["type"]]]
    if raw["type"] == "session.start":
        known = AudioFormat.__struct_fields__
        unknown += [f"audio.{name}" for name in raw["audio"] if name not in known]
    return unknown


def refuse(code: str, message: str) -> BadMessage:
    """Make the error for a message that is ignored while the session goes on."""
    return BadMessage(code, message, is_recoverable=True)


def look_up(raw: dict[str, Any], path: str) -> object:
    """Follow a dotted path as far as it leads."""
    found: Any = raw
    for name in path.split("."):
        found = found.get(name) if isinstance(found, dict) else found
    return found


def shorten_names(names: list[str]) -> list[str]:
    """Make names from outside fit to be shown, and few."""
    few = [
        name if PLAIN.fullmatch(name) else shorten(name, 40)
        for name in names[:MOST_NAMED]
    ]
    if n_more := len(names) - len(few):
        few.append(f"{n_more} more")
    return few


def shorten(value: object, n_chars: int = 100) -> str:
    """Show a value from outside, so many characters of it at most."""
    text = BOUNDED.repr(value)
    return text if len(text) <= n_chars else text[: n_chars - 1] + "…"
