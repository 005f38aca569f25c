"""Who may import whom, and how much fits into a file: the house rules as tests."""

import ast
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ("stream_erc", "clients", "offline", "benchmarks")
LEARNING = ("offline.training", "offline.exporting")  # the rooms with torch
STORIES = [  # ground floor first; a module imports only from stories below its own
    {"errors", "machine", "networks", "version", "names", "aside", "recognizer"},
    {"events", "option", "checksum"},
    {"flow", "reading", "backlog", "allowance", "limits", "journal_file", "gaps"}
    | {"weights", "retelling", "cluster", "speakers", "stated_end", "ray_cluster"}
    | {"draft", "word_times", "translated"},
    {"config", "encoder"},
    {"settings", "logs", "health", "media", "recordings", "forms", "decoder"},
    {"textgrid", "timeline", "command_line", "settings_file", "compact"},
    {"export"},
    {"audio", "vad", "turns", "asr", "gates", "agreement", "functionals", "context"}
    | {"layers", "completeness", "voiceprint"},
    {"model", "model_folder", "tune", "voices"},
    {"fusion", "admission", "handover"},
    {"engine", "conversation", "degradation", "fingerprint"},
    {"rescue", "terms", "wording"},
    {"lanes", "partials"},
    {"engines", "remote"},
    {"director", "listener", "replicas"},
    {"pipeline", "metrics", "presence", "browser", "ray_pool"},
    {"inbox", "errands", "rounds", "pages", "pace", "journal", "recorder"}
    | {"transcription", "provenance"},
    {"results"},
    {"archive", "intake", "transcribing"},
    {"session"},
    {"line", "sessions"},
    {"server"},
    {"__main__"},
]
HEIGHT = {name: height for height, story in enumerate(STORIES) for name in story}
STAGES = STORIES[7] | STORIES[8] - {"tune"}
MAX_FILE_LINES = 350
MAX_FUNCTION_LINES = 50


def files(package):
    return sorted(
        path for path in (ROOT / package).rglob("*.py") if path.stem != "__init__"
    )


def label(path):
    """A file's name as it is imported, such as offline.training.loop."""
    return ".".join(path.relative_to(ROOT).with_suffix("").parts)


@cache
def tree(path):
    return ast.parse(path.read_text())


def imports(path):
    """Yield (package, module) for every import in a file, wherever it stands.

    The module is "" where a whole package is imported.
    """
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Import):
            for alias in node.names:
                package, _, module = alias.name.partition(".")
                yield package, module.partition(".")[0]
        elif isinstance(node, ast.ImportFrom):
            origin = node.module or ""
            if node.level:
                rooms = label(path).split(".")[: -node.level]
                origin = ".".join([*rooms, origin]).rstrip(".")
            package, _, module = origin.partition(".")
            if module:
                yield package, module.partition(".")[0]
            else:
                yield from ((package, alias.name) for alias in node.names)


def users(packages, *wanted):
    """The files that import any of the packages called `wanted`."""
    return {
        label(path)
        for package in packages
        for path in files(package)
        if {name for name, _ in imports(path)} & set(wanted)
    }


# --- layers -------------------------------------------------------------------


@pytest.mark.parametrize("path", files("stream_erc"), ids=label)
def test_imports_point_down(path):
    for package, module in imports(path):
        assert package not in set(PACKAGES) - {"stream_erc"}
        if package == "stream_erc":
            assert HEIGHT[module] < HEIGHT[path.stem], f"{path.stem} -> {module}"


def test_every_module_has_its_story():
    assert set(HEIGHT) == {path.stem for path in files("stream_erc")}


@pytest.mark.parametrize("path", files("clients"), ids=label)
def test_clients_know_the_wire_and_how_files_are_read_and_nothing_else(path):
    for package, module in imports(path):
        assert package not in {"offline", "benchmarks"}
        known = {"events", "errors", "media", "gaps"}
        assert package != "stream_erc" or module in known


@pytest.mark.parametrize("path", files("offline"), ids=label)
def test_the_workshop_opens_no_socket(path):
    for package, module in imports(path):
        assert package not in {"clients", "benchmarks", "websockets"}
        assert (package, module) not in {
            ("stream_erc", "session"),
            ("stream_erc", "server"),
        }


def test_torch_stays_in_the_network_and_the_workshop():
    assert users(["stream_erc"], "torch") <= {"stream_erc.model", "stream_erc.layers"}
    assert users(["clients", "benchmarks"], "torch") == set()


def test_of_the_workshop_two_rooms_have_torch():
    heavy = users(["offline"], "torch", "transformers", "accelerate", "onnx")
    others = {name for name in heavy if not name.startswith(LEARNING)}
    # These two load it once their options are read.
    assert others <= {"offline.commands.train", "offline.commands.export"}


@pytest.mark.parametrize(
    "path",
    [p for p in files("offline") if not label(p).startswith(LEARNING)],
    ids=label,
)
def test_the_rooms_without_torch_do_not_lean_on_those_with_it(path):
    """Commands may; importing them loads no torch, see below."""
    if path.parent.name != "commands":
        assert not {("offline", "training"), ("offline", "exporting")} & set(
            imports(path)
        )


def test_asyncio_lives_where_the_sockets_are():
    assert users(["stream_erc"], "asyncio", "websockets") <= {
        "stream_erc.admission",  # reads requests
        "stream_erc.aside",
        "stream_erc.browser",
        "stream_erc.pages",
        "stream_erc.conversation",  # lets one expire
        "stream_erc.presence",
        "stream_erc.inbox",
        "stream_erc.errands",
        "stream_erc.rounds",
        "stream_erc.pace",
        "stream_erc.archive",
        "stream_erc.remote",
        "stream_erc.replicas",
        "stream_erc.ray_pool",
        "stream_erc.session",
        "stream_erc.line",
        "stream_erc.sessions",
        "stream_erc.server",
        "stream_erc.__main__",
    }


def test_no_stage_has_a_clock_a_thread_or_a_socket():
    impatient = users(["stream_erc"], "time", "datetime", "threading", "concurrent")
    assert impatient & {f"stream_erc.{stage}" for stage in STAGES} == set()


@pytest.mark.parametrize("path", files("stream_erc"), ids=label)
def test_the_product_reads_no_environment(path):
    assert not {"environ", "getenv"} & {
        node.attr for node in ast.walk(tree(path)) if isinstance(node, ast.Attribute)
    }


# --- what a process loads -----------------------------------------------------


def loaded_by(module):
    """Names of all modules that a fresh interpreter has after importing this one."""
    command = f"import {module}, sys; print(*sys.modules)"
    shown = subprocess.run(
        [sys.executable, "-c", command],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    return set(shown.stdout.split())


def test_the_server_starts_without_torch():
    assert "torch" not in loaded_by("stream_erc.server, stream_erc.engine")


def test_the_command_knows_its_options_before_any_model():
    loaded = loaded_by("stream_erc.__main__")
    assert loaded.isdisjoint({"torch", "onnxruntime", "ctranslate2", "faster_whisper"})


def test_the_workshop_knows_its_commands_before_any_model():
    loaded = loaded_by("offline.__main__")
    assert loaded.isdisjoint({"torch", "onnxruntime", "ctranslate2", "faster_whisper"})


def test_whoever_does_not_train_needs_no_torch():
    rooms = {"evaluation", "corpora", "transcription", "labelling", "commands"}
    found = [path for path in files("offline") if path.parent.name in rooms]
    assert {path.parent.name for path in found} == rooms
    loaded = loaded_by(", ".join(map(label, found)))
    assert loaded.isdisjoint({"torch", "transformers", "accelerate", "onnx"})


def test_clients_start_without_models():
    loaded = loaded_by("clients.connection, clients.replay, clients.microphone")
    assert loaded.isdisjoint({"torch", "onnxruntime", "ctranslate2", "faster_whisper"})


def test_the_wire_protocol_needs_no_numbers():
    assert "numpy" not in loaded_by("stream_erc.events")


def test_the_map_has_every_module():
    drawn = (ROOT / "docs" / "architecture.md").read_text()
    assert {path.name for path in files("stream_erc") if path.name not in drawn} == {
        "__main__.py"
    }


# --- sizes --------------------------------------------------------------------


EVERY_FILE = [path for package in PACKAGES for path in files(package)]


def test_a_room_stays_a_room():
    long = {p for p in EVERY_FILE if len(p.read_text().splitlines()) > MAX_FILE_LINES}
    assert not set(map(label, long))


def test_a_function_fits_on_a_page():
    assert not {
        f"{label(path)}.{node.name}"
        for path in EVERY_FILE
        for node in ast.walk(tree(path))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and node.end_lineno - node.lineno >= MAX_FUNCTION_LINES
    }
