"""The pages: their links, their headings, and the settings that they tell of."""

import re
from functools import cache

import page_links
import pytest
import setting_tables
from test_layers import ROOT

from stream_erc.events import Limits
from stream_erc.settings import explain

PAGES = ["README.md", "CHANGELOG.md", "benchmarks/RESULTS.md"]
PAGES += ["stream_erc/models/default/MODEL_CARD.md"]
PAGES += sorted(f"docs/{page.name}" for page in (ROOT / "docs").glob("*.md"))
FILES = {"gates.py", "journal.js"}  # named like settings
HEADING = re.compile(r"^(#{1,6}) (.+)$", re.MULTILINE)


@cache
def headings(page):
    """Every heading of a page, as (depth, text)."""
    text = page_links.FENCES.sub("", (ROOT / page).read_text(encoding="utf-8"))
    return [(len(marks), title) for marks, title in HEADING.findall(text)]


def anchor(title):
    """What a link to a heading ends with, at GitHub as on the site."""
    return re.sub(r"[^\w\- ]", "", title.lower()).strip().replace(" ", "-")


@pytest.mark.parametrize("page", PAGES)
def test_every_link_leads_somewhere(page):
    for path, wanted in page_links.links_of((ROOT / page).read_text(encoding="utf-8")):
        target = page_links.place(page, path) if path else page
        assert (ROOT / target).exists(), f"{page}: {path}"
        if wanted:
            known = {anchor(title) for _, title in headings(target)}
            assert wanted in known, f"{page}: {path}#{wanted}"


@pytest.mark.parametrize("page", PAGES)
def test_a_page_has_one_title_and_leaves_no_step_out(page):
    depths = [depth for depth, _ in headings(page)]
    assert depths[0] == 1 and depths.count(1) == 1
    for above, below in zip(depths, depths[1:], strict=False):
        assert below <= above + 1, f"{page}: {depths}"


def test_every_page_is_in_the_navigation():
    navigation = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    named = set(re.findall(r": (\S+\.md)$", navigation, re.MULTILINE))
    assert {page for page in PAGES if page not in named} == set()
    assert {page for page in named if not (ROOT / page).is_file()} == set()


def test_the_page_of_settings_has_every_setting_as_it_stands():
    page = setting_tables.PAGE.read_text(encoding="utf-8")
    assert page == setting_tables.fill(page), "run docs/site/setting_tables.py"


def test_a_setting_has_type_default_unit_and_meaning():
    rows = [line for line in setting_tables.tabulate() if line.startswith("| `")]
    assert [row.split("`")[1] for row in rows] == [name for name, *_ in explain()]
    row = next(row for row in rows if "turns.end_silence_ms" in row)
    assert row.split(" | ")[1:] == [
        "integer",
        "`544`",
        "ms",
        "silence that ends a turn |",
    ]


@pytest.mark.parametrize("page", [page for page in PAGES if page != "CHANGELOG.md"])
def test_a_page_names_no_setting_that_is_not_there(page):
    known = {name for name, *_ in explain()}
    known |= {f"limits.{field}" for field in Limits.__struct_fields__}
    known |= {"emotion.partial", "emotion.final"}  # messages, not settings
    tables = "|".join({name.partition(".")[0] for name in known})
    text = (ROOT / page).read_text(encoding="utf-8")
    named = {
        match[0] for match in re.finditer(rf"`(?:--)?((?:{tables})\.[a-z_]+)`", text)
    }
    assert {name.strip("`-") for name in named} - known - FILES == set()


def test_the_limits_that_security_tells_are_the_defaults():
    text = (ROOT / "docs/security.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (`[a-z_`, ]+`) \| ([\d,. ]+) \|", text, re.MULTILINE)
    told = {}
    for names, values in rows:
        several = values.split(", ") if ", " in names else [values.replace(",", "")]
        told |= dict(zip(re.findall(r"\w+", names), map(float, several), strict=True))
    assert told == {
        name.removeprefix("limits."): default
        for name, _, default, _ in explain()
        if name.startswith("limits.")
    }


def test_links_in_code_are_no_links():
    text = "[a](b.md#c) `[d](e.md)`\n\n```\n[f](g.md)\n```\n![h](i.png) [j](https://k)"
    assert list(page_links.links_of(text)) == [("b.md", "c"), ("i.png", "")]


def test_a_link_is_read_from_where_its_page_lies():
    assert page_links.place("docs/a.md", "../README.md") == "README.md"
    assert page_links.place("README.md", "docs/a.md") == "docs/a.md"
