"""What a name may be, wherever the protocol has one."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

PRINTABLE = (
    r"^[^\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff]*\Z"
)
"""No control characters, no line breaks, nothing that turns the direction of text
around: a name stands in logs, files and pages beside others."""

Name = Annotated[str, Meta(min_length=1, max_length=200, pattern=PRINTABLE)]
AUTO = "auto"
"""The speaker's name that asks for the speakers to be told apart by voice."""

Secret = Annotated[str, Meta(max_length=200)]
Identifier = str | Annotated[int, Meta(ge=-(2**63), le=2**63 - 1)]
"""What a client calls its own messages, given back as it came."""
