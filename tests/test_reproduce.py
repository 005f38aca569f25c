"""`offline/reproduce.sh --quick`: every act once, on made-up corpora."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.mark.slow  # about sixty commands, each a process that loads torch
def test_every_act_runs_and_leaves_its_table(tmp_path):
    pytest.importorskip("torch")
    subprocess.run(
        ["bash", ROOT / "offline" / "reproduce.sh", "--quick"],
        env={**os.environ, "PYTHON": sys.executable, "RUNS": str(tmp_path)},
        check=True,
    )
    results = tmp_path / "docs" / "results"
    labels = json.loads((results / "labels-iemocap4.json").read_text())
    assert set(labels["variants"]) == {"labels-0", "labels-all"}
    page = (tmp_path / "docs" / "results.md").read_text()
    for name in ("labels-iemocap4", "variants-iemocap4", "served"):
        table = page.split(f"<!-- {name} -->")[1].split("<!-- end -->")[0]
        assert table.count("|") > 20
    assert str(tmp_path) not in page
