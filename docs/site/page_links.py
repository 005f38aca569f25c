"""Markdown -> the places it links to; needs no package."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator

FENCES = re.compile(r"^(```+|~~~+).*?^\1[ \t]*$", re.DOTALL | re.MULTILINE)
CODE = re.compile(r"(`+)[^`].*?\1")
LINK = re.compile(r"\]\((?P<target>[^()\s]+)\)")
ELSEWHERE = re.compile(r"[a-z][a-z0-9+.-]*:")  # https:, mailto:


def links_of(text: str) -> Iterator[tuple[str, str]]:
    """Give path and anchor of each link and picture of a page, code left out.

    Links that leave the repository are passed over; the path is "" where a link stays
    on the page.
    """
    for match in LINK.finditer(CODE.sub("", FENCES.sub("", text))):
        target = match["target"]
        if not ELSEWHERE.match(target):
            path, _, anchor = target.partition("#")
            yield path, anchor


def place(page: str, path: str) -> str:
    """Give what a page's link means, as a path from the root of the repository."""
    return posixpath.normpath(posixpath.join(posixpath.dirname(page), path))
