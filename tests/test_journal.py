"""The journal's file and its thread: nothing lost, nothing of others touched."""

import os
import queue
import shutil
import sqlite3
import stat
import subprocess
import sys
import threading
import time
from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from journal_cases import TIMEOUT_S, entry, fill, kept, until, value, write, writing

from stream_erc import journal as journal_module
from stream_erc.errors import JournalError
from stream_erc.journal_file import VERSION, JournalFile, Selection

NOW_MS = time.time_ns() // 1_000_000
DAY_MS = 86_400_000


@pytest.fixture
def path(tmp_path):
    return tmp_path / "journal"


# --- what is told is written ------------------------------------------------------


def test_whoever_is_told_finds_the_entry_on_the_disk(path):
    found = queue.Queue()
    with writing(path) as (journal, _):
        for place in range(20):
            journal.write(
                entry(place), lambda: found.put([one.place for one in kept(path)])
            )
        for place in range(20):
            assert place in found.get(timeout=TIMEOUT_S)


@settings(max_examples=20)  # each waits for the disk
@given(st.lists(st.integers(0, 20), min_size=1, max_size=4))
def test_many_hand_in_at_once_and_each_finds_its_own_in_order(tmp_path_factory, sizes):
    path = tmp_path_factory.mktemp("journal") / "journal"
    entries = [
        [entry(place, session_id=f"{number}") for place in range(size)]
        for number, size in enumerate(sizes)
    ]
    with writing(path) as (journal, _):
        sessions = [threading.Thread(target=write, args=(journal, *e)) for e in entries]
        for session in sessions:
            session.start()
        for session in sessions:
            session.join()
    for number, mine in enumerate(entries):
        assert kept(path, Selection(session_id=f"{number}")) == mine


def test_it_goes_on_behind_what_is_there(path):
    for place in range(3):
        with writing(path) as (journal, _):
            write(journal, entry(place))
    assert kept(path) == [entry(place) for place in range(3)]


def test_what_was_handed_in_before_the_end_is_written(path):
    with writing(path) as (journal, _):
        for place in range(100):
            journal.write(entry(place), lambda: None)
    assert len(kept(path)) == 100


def test_an_entry_is_there_once_though_it_is_written_twice(path):
    fill(path, [entry(0), entry(1)])
    fill(path, [entry(1), entry(2)])
    assert [one.place for one in kept(path)] == [0, 1, 2]


def test_nobody_else_may_read_it(path):
    with writing(path) as (journal, _):
        write(journal, entry(0))
        for file in path.parent.iterdir():
            assert stat.S_IMODE(file.stat().st_mode) == 0o600, file


# --- what does not start ----------------------------------------------------------


def foreign(path):
    with sqlite3.connect(path) as db:
        db.execute("CREATE TABLE letters (text)")
    db.close()


def newer(path):
    fill(path, [])
    with sqlite3.connect(path) as db:
        db.execute(f"PRAGMA user_version = {VERSION + 1}")
    db.close()


def text(path):
    path.write_text("Dear Ann, this is no database.\n" * 100)


def damaged(path):
    fill(path, [entry(place) for place in range(2000)])
    with open(path, "r+b") as file:
        file.seek(4096)
        file.write(os.urandom(path.stat().st_size - 4096))


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (foreign, "another program"),
        (newer, f"version {VERSION}, got {VERSION + 1}"),
        (text, "not a database"),
        (damaged, "malformed|sound journal"),
        (lambda path: path.mkdir(), "is a directory"),
        (lambda path: path.parent.rmdir(), "no such file"),
    ],
)
def test_it_does_not_start_with_what_is_no_sound_journal(tmp_path, make, told):
    path = tmp_path / "folder" / "journal"
    path.parent.mkdir()
    make(path)
    before = path.read_bytes() if path.is_file() else None
    with pytest.raises(JournalError, match=told) as refusal, writing(path):
        pass
    assert str(path) in str(refusal.value)
    if before is not None:
        assert path.read_bytes() == before


def test_it_does_not_start_where_it_may_not_write(path):
    fill(path, [entry(0)])
    path.chmod(0o400)
    opening = "import sys, pathlib; from stream_erc.journal_file import *\n"
    opening += "try: JournalFile(pathlib.Path(sys.argv[1]))\n"
    opening += "except JournalError as error: print(error)"
    command = [sys.executable, "-c", opening, path]
    if os.geteuid() == 0:  # permissions mean nothing to root but without this
        setpriv = shutil.which("setpriv")
        if not setpriv:
            pytest.skip("root, and no setpriv")
        command = [setpriv, "--bounding-set", "-dac_override", "--", *command]
    done = subprocess.run(command, capture_output=True, text=True)
    if "setpriv" in done.stderr:
        pytest.skip(done.stderr)
    assert "permission denied" in done.stdout, done


# --- what fails while it runs -----------------------------------------------------


@pytest.fixture
def impatient(monkeypatch):
    monkeypatch.setattr(journal_module, "RETRY_S", 0.01)


def until_written(path, n_entries):
    def is_written():
        with suppress(JournalError):
            return len(kept(path)) == n_entries

    until(is_written)


def set_aside(path):
    for file in path.parent.glob(f"{path.name}*"):
        file.rename(file.with_name(f"old-{file.name}"))


def test_a_file_that_cannot_be_written_for_a_while_gets_everything_later(
    path, impatient, caplog
):
    with writing(path) as (journal, metrics):
        write(journal, entry(0))
        journal._file._db.execute("PRAGMA query_only = ON")  # SQLITE_READONLY
        write(journal, entry(1), entry(2))
        until_written(path, 3)
        assert value(metrics.journal_errors) >= 1
        assert value(metrics.journal_lost) == 0
    assert kept(path) == [entry(place) for place in range(3)]
    assert [record.levelname for record in caplog.records] == ["ERROR", "WARNING"]


def test_another_program_that_holds_the_file_holds_no_session(path, impatient):
    with writing(path) as (journal, metrics):
        other = sqlite3.connect(path, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        write(journal, entry(0))  # told nevertheless
        assert value(metrics.journal_errors) >= 1
        other.execute("COMMIT")
        other.close()
        until_written(path, 1)


def test_a_file_that_breaks_is_left_alone_and_replaced_once_it_is_set_aside(
    path, impatient
):
    old = [
        entry(n, session_id=f"{n % 97}", message={"x": "x" * 1000}) for n in range(5000)
    ]
    fill(path, old)
    with writing(path) as (journal, metrics):
        with open(path, "r+b") as file:
            file.seek(4096)
            file.write(os.urandom(path.stat().st_size - 4096))
        write(journal, entry(0), entry(1))
        write(journal, entry(2))
        assert value(metrics.journal_errors) >= 1
        set_aside(path)
        until_written(path, 3)
        assert value(metrics.journal_lost) == 0


def test_a_file_that_is_moved_away_is_whole_and_a_new_one_goes_on(path, impatient):
    moved = path.with_name("moved")
    with writing(path) as (journal, _):
        write(journal, entry(0), entry(1))
        path.rename(moved)
        write(journal, entry(2))
        until_written(path, 1)
    assert kept(moved) == [entry(0), entry(1)]
    assert kept(path) == [entry(2)]


def test_what_has_no_room_is_lost_and_counted(path, impatient, monkeypatch, caplog):
    monkeypatch.setattr(journal_module, "MAX_WAITING", 5)
    with writing(path) as (journal, metrics):
        write(journal, entry(0))
        shutil.rmtree(path.parent)
        for place in range(1, 9):
            write(journal, entry(place))
        assert value(metrics.journal_lost) == 3
        path.parent.mkdir()
        until_written(path, 5)
    assert [one.place for one in kept(path)] == [1, 2, 3, 4, 5]
    assert "lost" in caplog.text


def test_a_disk_that_does_not_answer_holds_nobody_beyond_its_room(path, monkeypatch):
    monkeypatch.setattr(journal_module, "MAX_WAITING", 3)
    answers = threading.Event()
    append = JournalFile.append

    def wait(self, entries):
        answers.wait(TIMEOUT_S)
        append(self, entries)

    monkeypatch.setattr(JournalFile, "append", wait)
    with writing(path) as (journal, metrics):
        told = []
        for place in range(50):
            journal.write(entry(place), lambda place=place: told.append(place))
        n_lost = value(metrics.journal_lost)
        assert len(told) == n_lost >= 50 - 2 * 3
        answers.set()
    assert len(kept(path)) == 50 - n_lost


def test_a_disk_that_does_not_answer_does_not_keep_the_server(
    path, monkeypatch, caplog
):
    monkeypatch.setattr(journal_module, "CLOSE_S", 0.05)
    answers = threading.Event()
    monkeypatch.setattr(JournalFile, "append", lambda *_: answers.wait(TIMEOUT_S))
    with writing(path) as (journal, _):
        journal.write(entry(0), lambda: None)
    assert "could not be closed" in caplog.text
    answers.set()


# --- what is too old --------------------------------------------------------------


def aged(*days):
    return [entry(n, at_ms=NOW_MS - day * DAY_MS) for n, day in enumerate(days)]


def test_what_is_too_old_is_removed_at_the_start_and_nothing_else(path):
    fill(path, aged(100, 31, 29, 0))
    with writing(path, days=30) as (journal, _):
        write(journal, entry(4, at_ms=NOW_MS))
        until_written(path, 3)
    assert [one.place for one in kept(path)] == [2, 3, 4]


def test_nothing_is_too_old_where_all_is_kept(path):
    fill(path, aged(10_000, 1))
    with writing(path, days=0):
        pass
    assert len(kept(path)) == 2


def test_what_grows_old_later_is_removed_later_and_bit_by_bit(path, monkeypatch):
    monkeypatch.setattr(journal_module, "PURGE_INTERVAL_S", 0.01)
    monkeypatch.setattr(journal_module, "PURGE_ENTRIES", 3)
    with writing(path, days=30) as (journal, _):
        write(journal, *aged(*[31] * 20), entry(20, at_ms=NOW_MS))
        until_written(path, 1)


def test_nothing_of_what_was_removed_is_left_in_any_file(path):
    secret = {"type": "transcript.final", "text": "nobody-must-read-this" * 50}
    old = [entry(n, at_ms=n, message=secret) for n in range(50)]
    fill(path, [*old, entry(99, at_ms=NOW_MS)])
    assert b"nobody-must" in path.read_bytes()
    with writing(path, days=1):
        until(
            lambda: (
                not any(
                    b"nobody-must" in file.read_bytes()
                    for file in path.parent.iterdir()
                )
            )
        )
    assert [one.place for one in kept(path)] == [99]
