"""The files of docs/operate, held against the product that they are for."""

import json
import re
import shutil
import subprocess
import sys

import pytest
from test_layers import ROOT

from stream_erc import server
from stream_erc.command_line import make_parser
from stream_erc.metrics import Metrics
from stream_erc.settings import explain, read_settings

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


def test_every_metric_that_is_told_is_in_the_dashboard(panels):
    text = " ".join(expressions(panels))
    own = {
        family.name
        for family in Metrics().registry.collect()
        if family.name.startswith("stream_erc_")
    }
    parts = r"(?:_(?:total|bucket|sum|count|info))?"
    shown = {name for name in own if re.search(rf"\b{name}{parts}\{{", text)}
    assert shown == own


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


# --- the unit, the container and their settings --------------------------------

SETTINGS = OPERATE / "settings.toml"
UNIT = OPERATE / "stream-erc.service"


def test_the_settings_are_those_of_the_product_and_keep_strangers_out():
    config = read_settings(SETTINGS, {}).server
    assert config.host == "0.0.0.0"
    assert not config.insecure


@pytest.fixture
def unit():
    """Every (name, value) of the section [Service], in order."""
    lines = UNIT.read_text().partition("[Service]")[2].partition("[Install]")[0]
    return [
        tuple(line.split("=", 1))
        for line in lines.splitlines()
        if "=" in line and not line.startswith("#")
    ]


def takes(*arguments):
    """Tell whether the product's command line takes these."""
    return make_parser().parse_args(arguments)


def test_the_unit_starts_what_there_is(unit):
    program, *arguments = dict(unit)["ExecStart"].split()
    assert program.endswith("/bin/stream-erc")
    options = takes(*arguments)
    assert (options.command, options.config.name) == ("serve", SETTINGS.name)


def test_the_unit_waits_as_long_as_the_server_may_take_to_stop(unit):
    drain_s = read_settings(SETTINGS, {}).server.drain_s
    needed_s = drain_s + server.CLOSE_TIMEOUT_S + server.MODELS_TIMEOUT_S
    assert int(dict(unit)["TimeoutStopSec"]) > needed_s


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("DynamicUser", "yes"),
        ("ProtectSystem", "strict"),
        ("NoNewPrivileges", "yes"),
        ("ExecReload", "/bin/kill -HUP $MAINPID"),
        ("CapabilityBoundingSet", ""),
        ("RestartPreventExitStatus", "2"),
    ],
)
def test_the_unit_gives_no_more_than_is_needed(unit, name, value):
    assert dict(unit)[name] == value


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="needs systemd")
def test_systemd_understands_the_unit(tmp_path):
    installed = tmp_path / UNIT.name
    installed.write_text(
        UNIT.read_text().replace("/opt/stream-erc/bin/stream-erc", sys.executable)
    )
    command = ["systemd-analyze", "verify", "--man=no", str(installed)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.fixture
def steps():
    """Every (instruction, rest) of the Dockerfile, continued lines joined."""
    text = (OPERATE / "Dockerfile").read_text().replace("\\\n", " ")
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    return [tuple(line.split(maxsplit=1)) for line in lines]


def all_of(steps, instruction):
    return [rest for name, rest in steps if name == instruction]


def test_the_image_copies_what_there_is_and_what_is_let_through(steps):
    let_through = {
        line[1:]
        for line in (OPERATE / "Dockerfile.dockerignore").read_text().splitlines()
        if line.startswith("!")
    }
    for copied in all_of(steps, "COPY"):
        if copied.startswith("--from="):
            continue
        *sources, _ = copied.split()
        for source in sources:
            assert (ROOT / source).exists(), source
            assert any(
                source == one or source.startswith(f"{one}/") for one in let_through
            )


def test_the_image_runs_as_nobody_and_in_two_stages(steps):
    assert len(all_of(steps, "FROM")) == 2
    [user] = all_of(steps, "USER")
    assert int(user) > 0


def test_the_image_installs_what_is_pinned_alone(steps):
    installs = [rest for rest in all_of(steps, "RUN") if "pip install" in rest]
    assert len(installs) == 2
    assert all("--require-hashes" in one or "--no-deps" in one for one in installs)


def test_what_the_image_runs_is_taken_by_the_product(steps):
    [entry], [command] = all_of(steps, "ENTRYPOINT"), all_of(steps, "CMD")
    assert json.loads(entry) == ["stream-erc"]
    assert takes(*json.loads(command)).command == "serve"
    [check] = all_of(steps, "HEALTHCHECK")
    program, *arguments = json.loads(check.partition(" CMD ")[2])
    assert (program, takes(*arguments).command) == ("stream-erc", "health")
    config = takes(*arguments).config
    assert config == takes(*json.loads(command)).config
    assert f"docs/operate/{SETTINGS.name} {config}" in all_of(steps, "COPY")


# --- the manual ----------------------------------------------------------------


@pytest.fixture
def manual():
    return (ROOT / "docs" / "operate.md").read_text()


def test_the_manual_names_metrics_settings_and_files_that_there_are(manual):
    metrics = set(re.findall(r"\b(?:stream_erc|process)_[a-z_]+", manual))
    families = {
        re.sub(r"_(total|bucket|sum|count)$", "", name) for name in told_names()
    }
    assert metrics <= told_names() | families
    known = {name for name, *_ in explain()}
    tables = "|".join({name.partition(".")[0] for name in known})
    named = set(re.findall(rf"\b((?:{tables})\.[a-z_]+)\b", manual))
    assert named - {name for name in named if name.endswith(".toml")} <= known
    for file in re.findall(r"\]\(([^)#]+)\)", manual):
        assert (ROOT / "docs" / file).exists(), file
