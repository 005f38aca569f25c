"""What the tests of the journal write, and how they read it."""

import contextlib
import json
import threading
import time

from stream_erc.journal import Journal
from stream_erc.journal_file import Entry, JournalFile, Selection, read_entries
from stream_erc.metrics import Metrics

EVERYTHING = Selection()
TIMEOUT_S = 10.0


def entry(place, *, at_ms=0, session_id="s", message=None):
    said = message or {"type": "turn.ended", "turn": place, "time_ms": 0}
    return Entry(
        at_ms=at_ms,
        owner="Ann",
        conversation_id=None,
        session_id=session_id,
        place=place,
        message=json.dumps(said),
    )


def kept(path, wanted=EVERYTHING):
    return list(read_entries(path, wanted))


def fill(path, entries):
    file = JournalFile(path)
    file.append(entries)
    file.close()


@contextlib.contextmanager
def writing(path, days=0):
    """A journal that is written, and its metrics."""
    metrics = Metrics()
    journal = Journal(path, days, metrics)
    try:
        yield journal, metrics
    finally:
        journal.close()


def write(journal, *entries):
    """Hand in entries, and wait until all have been told."""
    told = threading.Semaphore(0)
    for one in entries:
        journal.write(one, told.release)
    for _ in entries:
        assert told.acquire(timeout=TIMEOUT_S)


def until(is_so):
    """Look again and again until something is so."""
    deadline_s = time.monotonic() + TIMEOUT_S
    while not is_so():
        assert time.monotonic() < deadline_s
        time.sleep(0.005)


def value(counter):
    return counter._value.get()
