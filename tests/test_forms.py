"""Turns as captions, tables and TextGrids, read back as their readers would."""

import io
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream_erc.forms import Said, join_turns, write_srt, write_table, write_vtt
from stream_erc.textgrid import fill_gaps, write_textgrid

ANGRY = {"neutral": 0.18, "anger": 0.82}


def said(turn, start_ms, end_ms, *, text="Hello.", speaker="Ann", session="s", zero=0):
    """The finals of a turn; its words share the time of the turn."""
    pieces = text.split()
    step = (end_ms - start_ms) // max(1, len(pieces))
    words = [
        {
            "word": piece,
            "start_ms": start_ms + n * step,
            "end_ms": start_ms + (n + 1) * step,
            "probability": 0.9,
        }
        for n, piece in enumerate(pieces)
    ]
    told = [
        {
            "type": "turn.ended",
            "speaker": speaker,
            "start_ms": start_ms,
            "end_ms": end_ms,
        },
        {
            "type": "transcript.final",
            "text": text,
            "words": words,
            "rejected": not text,
        },
        {"type": "emotion.final", "label": "anger", "probabilities": ANGRY},
    ]
    return [
        Said(
            one | {"turn": turn, "time_ms": end_ms},
            session,
            ("", "c"),
            {},
            zero + end_ms,
        )
        for one in told
    ]


def written(write, *messages, **options):
    out = io.StringIO()
    write(join_turns(messages), out, **options)
    return out.getvalue()


# --- TextGrid ---------------------------------------------------------------------


class Lines:
    """A strict reader of Praat's long format: every line is the one that must come."""

    def __init__(self, text):
        self._lines = iter(text.splitlines())

    def take(self, pattern):
        line = next(self._lines)
        found = re.fullmatch(rf"\s*{pattern}\s*", line)
        assert found, f"{line!r} is not {pattern!r}"
        return found.groups()

    def number(self, name):
        return float(self.take(rf"{name} = (\d+(?:\.\d+)?)")[0])

    def string(self, name):
        return self.take(rf'{name} = "((?:[^"]|"")*)"')[0].replace('""', '"')


def read_textgrid(text):
    """Give the end, and the intervals of each tier by its name."""
    lines = Lines(text)
    lines.take('File type = "ooTextFile"')
    lines.take('Object class = "TextGrid"')
    lines.take("")
    assert lines.number("xmin") == 0
    end = lines.number("xmax")
    if lines.take("tiers\\? <(exists|absent)>") == ("absent",):
        return end, []
    tiers = []
    n_tiers = int(lines.number("size"))
    lines.take(r"item \[\]:")
    for n in range(n_tiers):
        lines.take(rf"item \[{n + 1}\]:")
        assert lines.string("class") == "IntervalTier"
        name = lines.string("name")
        assert (lines.number("xmin"), lines.number("xmax")) == (0, end)
        spans = []
        for place in range(int(lines.number("intervals: size"))):
            lines.take(rf"intervals \[{place + 1}\]:")
            spans.append(
                (lines.number("xmin"), lines.number("xmax"), lines.string("text"))
            )
        tiers.append((name, spans))
    with pytest.raises(StopIteration):
        lines.take(".*")
    return end, tiers


def test_a_speaker_has_tiers_for_words_turns_and_emotion():
    text = written(
        write_textgrid,
        *said(0, 500, 1500, text='Say "so".'),
        *said(0, 1000, 2000, text="No.", speaker="Bob", session="t"),
        duration_ms=3000,
    )
    end, tiers = read_textgrid(text)
    assert end == 3
    assert dict(tiers) == {
        "Ann words": [
            (0, 0.5, ""),
            (0.5, 1.0, "Say"),
            (1.0, 1.5, '"so".'),
            (1.5, 3, ""),
        ],
        "Ann turns": [(0, 0.5, ""), (0.5, 1.5, 'Say "so".'), (1.5, 3, "")],
        "Ann emotion": [(0, 0.5, ""), (0.5, 1.5, "anger"), (1.5, 3, "")],
        "Bob words": [(0, 1, ""), (1, 2, "No."), (2, 3, "")],
        "Bob turns": [(0, 1, ""), (1, 2, "No."), (2, 3, "")],
        "Bob emotion": [(0, 1, ""), (1, 2, "anger"), (2, 3, "")],
    }


def test_a_recording_without_speech_has_no_tiers():
    assert read_textgrid(written(write_textgrid, duration_ms=2500)) == (2.5, [])


spans = st.lists(st.tuples(st.integers(0, 2000), st.integers(0, 300), st.text()))


@given(spans, st.integers(2400, 3000))
def test_intervals_cover_the_time_without_gaps_and_no_word_is_lost(drawn, end_ms):
    ordered = sorted(drawn, key=lambda span: span[0])
    whole = [(start, start + length, text) for start, length, text in ordered]
    filled = list(fill_gaps(whole, end_ms))
    assert filled[0][0] == 0 and filled[-1][1] == end_ms
    for one, following in zip(filled, filled[1:], strict=False):
        assert one[1] == following[0]
    assert all(start < stop for start, stop, _ in filled)
    heard = "".join("".join(text.split()) for *_, text in filled)
    assert heard == "".join("".join(text.split()) for *_, text in whole)


@given(st.text(), st.text(min_size=1))
def test_whatever_is_said_a_textgrid_can_be_read(text, speaker):
    turn = said(0, 100, 900, text=text, speaker=speaker)
    _, tiers = read_textgrid(written(write_textgrid, *turn))
    assert len(tiers) == 3


# --- captions and table -----------------------------------------------------------


def test_subrip_has_numbers_commas_and_no_other_arrow():
    text = written(
        write_srt,
        *said(0, 61_500, 62_000, text="Look --> there."),
        *said(1, 62_500, 63_000, text=""),
        *said(2, 3_600_000, 3_601_001, speaker="Bob"),
    )
    zero = "\n".join(
        [
            "1",
            "00:01:01,500 --> 00:01:02,000",
            "Ann: Look -> there.",
            "[anger 82 %]",
            "",
            "2",
            "01:00:00,000 --> 01:00:01,001",
            "Bob: Hello.",
            "[anger 82 %]",
            "",
            "",
        ]
    )
    assert text == zero


def test_cues_are_numbered_without_gaps():
    cues = [*said(0, 0, 500), *said(1, 900, 950, text=""), *said(2, 1000, 2000)]
    told = written(write_vtt, *cues)
    assert re.findall(r"^\d+$", told, re.MULTILINE) == ["1", "2"]


def test_what_was_not_speech_has_no_emotion():
    _, tiers = read_textgrid(written(write_textgrid, *said(0, 500, 1500, text="")))
    assert dict(tiers)["Ann emotion"] == [(0, 0.5, ""), (0.5, 1.5, "-")]


def test_the_table_has_a_line_for_each_turn_in_the_order_of_their_starts():
    text = written(
        write_table,
        *said(0, 5000, 6000, text="Late."),
        *said(0, 1000, 7000, text="", speaker="B\x1bb", session="t"),
    )
    assert text.splitlines() == [
        "00:00:01.0  B\N{REPLACEMENT CHARACTER}b  -      -     (not speech)",
        "00:00:05.0  Ann  anger  0.82  Late.",
    ]
