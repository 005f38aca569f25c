"""The files of docs/operate, held against the product that they are for."""

import json
import re

import pytest
from test_layers import ROOT

from stream_erc.metrics import Metrics

OPERATE = ROOT / "docs" / "operate"


# --- the dashboard -------------------------------------------------------------


@pytest.fixture
def panels():
    """Every panel that shows something."""
    dashboard = json.loads((OPERATE / "dashboard.json").read_text())
    return [panel for panel in dashboard["panels"] if panel["type"] != "row"]


def expressions(panels):
    return [target["expr"] for panel in panels for target in panel["targets"]]


def told_names():
    """Every name that a server tells, whether it has counted anything yet or not."""
    names = set()
    for family in Metrics().registry.collect():
        suffixes = {
            "counter": ["_total"],
            "histogram": ["_bucket", "_sum", "_count"],
            "info": ["_info"],
        }
        for suffix in suffixes.get(family.type, [""]):
            names.add(family.name + suffix)
    return names


def test_every_metric_that_the_dashboard_asks_for_is_told(panels):
    asked = set(
        re.findall(r"\b(?:stream_erc|process)_\w+", " ".join(expressions(panels)))
    )
    assert asked
    assert asked <= told_names()


def test_panels_of_the_dashboard_do_not_overlap(panels):
    taken = set()
    for panel in panels:
        at = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(at["x"], at["x"] + at["w"])
            for y in range(at["y"], at["y"] + at["h"])
        }
        assert not cells & taken, panel["title"]
        assert at["x"] + at["w"] <= 24
        taken |= cells
