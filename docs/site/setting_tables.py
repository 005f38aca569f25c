"""Settings -> the tables of docs/settings.md: `python docs/site/setting_tables.py`."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_type_hints

from stream_erc.command_line import SHORT
from stream_erc.config import DEFAULT_MODEL, Settings
from stream_erc.settings import explain

PAGE = Path(__file__).parents[1] / "settings.md"
MARKS = re.compile(r"(<!-- settings -->\n).*(<!-- end -->)", re.DOTALL)
UNITS = {"_per_s": "per s", "_ms": "ms", "_s": "s", "_kib": "KiB", "days": "days"}
TYPES = {str: "string", int: "integer", float: "number", bool: "switch", tuple: "list"}


def tabulate() -> Iterator[str]:
    """Give a section for each table of the settings, as lines of Markdown."""
    settings = explain()
    for table, kind in get_type_hints(Settings).items():
        about = (kind.__doc__ or "").partition("\n")[0]
        yield from (f"## {table}", "", about, "")
        yield "| setting | type | default | unit | meaning |"
        yield "|---|---|---|---|---|"
        for name, type_, default, text in settings:
            if name.startswith(f"{table}."):
                cells = [
                    name_cell(name), TYPES[type_], value_cell(default), unit(name), text
                ]  # fmt: skip
                yield f"| {' | '.join(cells)} |"
        yield ""


def name_cell(name: str) -> str:
    """Give a setting's name, and the short one where it has one."""
    return f"`{name}`" + (f", `{SHORT[name]}`" if name in SHORT else "")


def value_cell(value: Any) -> str:
    """Give a default as a settings file has it; a dash for none."""
    if value in ("", ()):
        return "–"
    if value == str(DEFAULT_MODEL):
        return "the shipped one"
    return f"`{str(value).lower() if isinstance(value, bool) else value}`"


def unit(name: str) -> str:
    """Give the unit that a setting's name ends with; a dash for none."""
    return next((unit for end, unit in UNITS.items() if name.endswith(end)), "–")


def fill(page: str) -> str:
    """Put the tables between their marks."""
    lines = "\n".join(tabulate())
    return MARKS.sub(lambda match: f"{match[1]}\n{lines}{match[2]}", page)


if __name__ == "__main__":
    PAGE.write_text(fill(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
