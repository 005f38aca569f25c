"""What a reader meets on its way through a layout: problems, named, and counts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path

from .form import Complaints, Problem
from .names import to_emotion, to_sentiment

WHOLE_FILE = 0
"""The line of a problem that has none: the file itself is at fault."""


class Findings:
    """Gathers what is wrong in the many files of a layout, and what is left out.

    Args:
        strict: Whether the first problem ends the reading.
    """

    def __init__(self, strict: bool) -> None:
        self._strict = strict
        self._complaints: dict[Path, Complaints] = {}
        self.counts: Counter[str] = Counter()  # what was left out or open, by reason

    def at(self, file: Path) -> Complaints:
        """Give the place for complaints about one file."""
        if file not in self._complaints:
            self._complaints[file] = Complaints(file, self._strict)
        return self._complaints[file]

    @property
    def problems(self) -> list[Problem]:
        """All of them, file by file."""
        return [
            problem
            for complaints in self._complaints.values()
            for problem in complaints.found
        ]

    def emotion(self, name: str, file: Path, line: int) -> str | None:
        """Translate a corpus's emotion; an unknown one is complained of, and open."""
        return self._label(to_emotion, name, file, line)

    def sentiment(self, name: str, file: Path, line: int) -> str | None:
        """Check a corpus's sentiment; an unknown one is complained of, and open."""
        return self._label(to_sentiment, name, file, line)

    def _label(
        self,
        translate: Callable[[str], str | None],
        name: str,
        file: Path,
        line: int,
    ) -> str | None:
        try:
            return translate(name)
        except ValueError as error:
            self.at(file).add(line, str(error))
            return None
