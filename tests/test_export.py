"""A journal as JSON Lines, CSV and WebVTT, as the page itself would write them."""

import csv
import io
import json
import os
import stat
from dataclasses import replace
from datetime import UTC, datetime

import msgspec
import pytest
from browsing import browsing, needs_browser, on_shared_loop
from hypothesis import given
from hypothesis import strategies as st
from journal_cases import fill
from scripted_server import ENDED, STARTED, one_turn

from stream_erc.__main__ import main
from stream_erc.errors import JournalError
from stream_erc.export import export, write
from stream_erc.journal_file import Entry, Selection

NOON_MS = round(datetime(2026, 11, 23, 12, tzinfo=UTC).timestamp() * 1000)
KEPT = {
    "session.started",
    "turn.started",
    "turn.ended",
    "transcript.final",
    "emotion.final",
    "session.ended",
}


def session(*turns, session_id="s", at_ms=NOON_MS, **whose):
    """The entries of a session; each second one has a turn."""
    said = [STARTED]
    for number, turn in enumerate(turns):
        said += one_turn(number, start_ms=number * 1000, **turn)
    entries = []
    for event in [*said, ENDED]:
        message = msgspec.to_builtins(event)
        if message["type"] not in KEPT:
            continue
        del message["seq"]
        entries.append(
            Entry(
                at_ms=at_ms + message.get("turn", -1) * 1000 + 1000,
                owner=whose.get("owner", "Ann"),
                conversation_id=whose.get("conversation_id"),
                session_id=session_id,
                place=len(entries),
                message=json.dumps(message),
            )
        )
    return [replace(entries[0], at_ms=at_ms), *entries[1:]]


@pytest.fixture
def path(tmp_path):
    return tmp_path / "journal"


def exported(path, form, **wanted):
    out = io.StringIO(newline="")
    export(path, form, Selection(**wanted), out)
    return out.getvalue()


def written(form, entries):
    out = io.StringIO(newline="")
    write(entries, form, 0, out)
    return out.getvalue()


def messages(text):
    return [json.loads(line) for line in text.splitlines()]


def rows(text):
    return list(csv.DictReader(io.StringIO(text, newline="")))


# --- forms ------------------------------------------------------------------------


def test_json_lines_have_every_message_and_whose_it_is(path):
    fill(path, session({}, conversation_id="room"))
    told = messages(exported(path, "jsonl"))
    assert [message["type"] for message in told] == [
        "session.started",
        "turn.started",
        "turn.ended",
        "transcript.final",
        "emotion.final",
        "session.ended",
    ]
    for message in told:
        assert message["session_id"] == "s"
        assert message["conversation_id"] == "room"
        assert message["owner"] == "Ann"
    assert told[0]["at"] == "2026-11-23T12:00:00.000+00:00"


def test_csv_has_a_row_for_each_finished_turn(path):
    entries = session({}, {"text": 'Dogs are\nsitting, "so".', "speaker": "Ben"}, {})
    fill(path, [one for one in entries if '"turn": 2' not in one.message])
    first, second = rows(exported(path, "csv"))
    assert (first["turn"], first["speaker"], first["text"], first["emotion"]) == (
        "0",
        "Ann",
        "Kids are talking.",
        "anger",
    )
    assert (first["rejected"], first["anger"], first["joy"]) == (
        "false",
        "0.82",
        "0.03",
    )
    assert (second["start_ms"], second["end_ms"]) == ("1000", "1600")
    assert second["text"] == 'Dogs are\nsitting, "so".'
    assert second["at"] == "2026-11-23T12:00:02.000+00:00"


@given(st.text().filter(lambda text: "\0" not in text), st.text(min_size=1))
def test_no_cell_is_a_formula_and_no_other_is_changed(text, speaker):
    [row] = rows(written("csv", session({"text": text, "speaker": speaker})))
    for cell, said in ((row["text"], text), (row["speaker"], speaker)):
        assert not cell.startswith(tuple("=+-@\t\r"))
        assert cell in (said, f"'{said}")
        assert (cell == said) == (not said.startswith(tuple("=+-@\t\r")))


@given(st.lists(st.text(), min_size=1, max_size=3))
def test_no_words_can_end_a_caption(texts):
    spoken = session(*({"text": text, "speaker": text or "x"} for text in texts))
    head, *cues = written("vtt", spoken).split("\n\n")
    assert head.strip() == "WEBVTT"
    said = [text for text in texts if " ".join(text.splitlines())]
    assert len([cue for cue in cues if cue.strip()]) == len(said)
    for cue in filter(str.strip, cues):
        assert cue.count("-->") == 1
        assert cue.count("<") == cue.count(">") - 1 == 2  # one of them in the arrow


def test_captions_of_two_microphones_share_one_clock_in_order(path):
    ann = session(
        {"text": "one"}, {"text": "three"}, session_id="a", conversation_id="r"
    )
    ben = session(
        {"text": "two"}, session_id="b", conversation_id="r", at_ms=NOON_MS + 500
    )
    fill(path, ben + ann)
    told = exported(path, "vtt", conversation_id="r")
    times = [line for line in told.splitlines() if "-->" in line]
    assert times == [
        "00:00:00.000 --> 00:00:00.600",
        "00:00:00.500 --> 00:00:01.100",
        "00:00:01.000 --> 00:00:01.600",
    ]
    assert [told.index(word) for word in ("one", "two", "three")] == sorted(
        told.index(word) for word in ("one", "two", "three")
    )


def test_captions_are_of_one_conversation(path):
    fill(path, session({}, session_id="a") + session({}, session_id="b"))
    with pytest.raises(
        JournalError, match="one conversation, got 2 .'a', 'b'.*--session"
    ):
        exported(path, "vtt")
    assert exported(path, "vtt", session_id="a").count("-->") == 1


@needs_browser
@on_shared_loop
async def test_the_page_reads_it_and_writes_the_same(path, chromium, server_url):
    turns = [{}, {"text": '=1+1 <b> & "so"\n--> on', "speaker": "A\tB"}, {"text": ""}]
    fill(path, session(*turns))
    lines = exported(path, "jsonl")
    async with browsing(chromium, server_url) as page:
        table, captions = await page.evaluate(
            """async (text) => {
              const { toMessages, toCsv, toVtt } = await import("./export.js");
              const { Conversation } = await import("./conversation.js");
              const conversation = new Conversation();
              for (const message of toMessages(text)) conversation.take(message);
              return [toCsv(conversation), toVtt(conversation)];
            }""",
            lines,
        )
    assert exported(path, "vtt") == captions
    ours = rows(exported(path, "csv"))
    assert [
        {name: row[name] for name in own}
        for row, own in zip(ours, rows(table), strict=True)
    ] == (rows(table))
    assert list(ours[0])[: len(rows(table)[0])] == list(rows(table)[0])


# --- choosing ---------------------------------------------------------------------


def test_sessions_are_chosen_by_name_conversation_and_owner(path):
    fill(path, session({}, session_id="a", conversation_id="room"))
    fill(path, session({}, session_id="b", conversation_id="room", owner="Ben"))
    fill(path, session({}, session_id="c"))

    def found(**wanted):
        return {
            one["session_id"] for one in messages(exported(path, "jsonl", **wanted))
        }

    assert found() == {"a", "b", "c"}
    assert found(session_id="c") == {"c"}
    assert found(conversation_id="room") == {"a", "b"}
    assert found(conversation_id="room", owner="Ben") == {"b"}


@pytest.mark.parametrize("wanted", ["session_id", "conversation_id", "owner"])
def test_whoever_is_not_in_it_is_named(path, wanted):
    fill(path, session({}, session_id="a", conversation_id="room"))
    word = wanted.removesuffix("_id")
    with pytest.raises(JournalError, match=f"expected messages of {word} 'nobody'"):
        exported(path, "csv", **{wanted: "nobody"})


def test_a_turn_that_was_under_way_at_that_time_is_whole(path):
    entries = session({}, {}, {})
    cut = next(n for n, one in enumerate(entries) if '"turn": 1' in one.message) + 2
    since_ms = entries[cut].at_ms
    fill(path, entries)
    assert [row["turn"] for row in rows(exported(path, "csv", since_ms=since_ms))] == [
        "1",
        "2",
    ]
    assert all(
        one["at"] >= "2026-11-23T12:00:02"
        for one in messages(exported(path, "jsonl", since_ms=since_ms))
    )


# --- the command ------------------------------------------------------------------


def test_the_command_writes_for_its_owner_alone(path, tmp_path, capsys):
    fill(path, session({}))
    out = tmp_path / "turns.csv"
    assert main(["export", str(path), "--format", "csv", "--out", str(out)]) == 0
    assert out.read_bytes().count(b"\r\n") == 2
    assert stat.S_IMODE(os.stat(out).st_mode) == 0o600
    assert main(["export", str(path), "--since", "2026-11-23T13:00+01:00"]) == 0
    assert len(messages(capsys.readouterr().out)) == 6
    assert main(["export", str(path), "--since", "2026-11-24"]) == 0
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["nowhere"], "nowhere"),
        (["journal", "--session", "x"], "'x'"),
        (["journal", "--since", "noon"], "'noon'"),
        (["journal", "--format", "xml"], "xml"),
    ],
)
def test_what_cannot_be_exported_is_told_in_one_line(
    path, tmp_path, capsys, monkeypatch, arguments, told
):
    fill(path, session({}))
    monkeypatch.chdir(tmp_path)
    try:
        code = main(["export", *arguments])
    except SystemExit as leaving:
        code = leaving.code
    printed = capsys.readouterr()
    assert (code, printed.out) == (2, "")
    assert told in printed.err and printed.err.count("\n") == 1
