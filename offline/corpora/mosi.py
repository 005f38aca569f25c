"""CMU-MOSI's raw release -> utterances: labels, transcripts, segments."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from stream_erc.errors import ConfigError

from .findings import WHOLE_FILE, Findings
from .form import TEST, TRAIN, VALIDATION, Utterance
from .sources import enter, plain_text, read_cells, read_lines, read_table
from .splits import Gathering, Splits

TRAIN_VIDEOS = """
2iD-tVS8NPw 8d-gEyoeBzc Qr1Ca94K55A Ci-AH39fi3Y 8qrpnFRGt2A Bfr499ggo-0 QN9ZIUWUXsY
9T9Hf74oK10 7JsX8y1ysxY 1iG0909rllw Oz06ZWiO20M BioHAh1qJAQ 9c67fiY0wGQ Iu2PFX3z_1s
Nzq88NnDkEk Clx4VXItLTE 9J25DZhivz8 Af8D0E4ZXaw TvyZBvOMOTc W8NXH0Djyww 8OtFthrtaJM
0h-zjBukYpk Vj1wYRQjB-o GWuJjcEuzt8 BI97DNYfe5I PZ-lDQFboO8 1DmNV9C1hbY OQvJTdtJ2H4
I5y0__X72p0 9qR7uwkblbs G6GlGvlkxAQ 6_0THN4chvY Njd1F0vZSm4 BvYR0L6f2Ig 03bSnISJMiM
Dg_0XKD0Mf4 5W7Z1C_fDaE VbQk4H8hgr0 G-xst2euQUc MLal-t_vJPM BXuRRbG0Ugk LSi-o-IrDMs
Jkswaaud0hk 2WGyTLYerpo 6Egk_28TtTM Sqr0AcuoNnk POKffnXeBds 73jzhE8R1TQ OtBXNcAL_lE
HEsqda8_d0Q VCslbP0mgZI IumbAb8q2dM
"""
VALIDATION_VIDEOS = """
WKA5OygbEKI c5xsKMxpXnc atnd_PF-Lbs bvLlb-M3UXU bOL9jKpeJRs _dI--eQ6qVU ZAIRrfG22O0
X3j2zQgwYgE aiEXnCPZubE ZUXBRvtny7o
"""
TEST_VIDEOS = """
tmZoasNr4rU zhpQhgha_KU lXPQBPVc5Cw iiK8YX8oH1E tStelxIAHjw nzpVDcQ0ywM etzxEpPuc6I
cW1FSBF59ik d6hH302o4v8 k5Y_838nuGo pLTX3ipuDJI jUzDDGyPkXU f_pcplsH_V0 yvsjCA6Y5Fc
nbWiPyCm4g0 rnaNMUZpvvg wMbj6ajWbic cM3Yna7AavY yDtzw_Y-7RU vyB00TXsimI dq3Nf_lMPnE
phBUpBr1hSo d3_k5Xpfmik v0zCBqDeKcE tIrG4oNLFzE fvVhgmXxadc ob23OKe5a9Q cXypl4FnoZo
vvZ4IcEtiZc f9O3YtZ2VfI c7UH_rxdZv4
"""
SPLIT_OF_VIDEO = {
    video: split
    for split, videos in (
        (TRAIN, TRAIN_VIDEOS),
        (VALIDATION, VALIDATION_VIDEOS),
        (TEST, TEST_VIDEOS),
    )
    for video in videos.split()
}
"""The standard folds of CMU-MultimodalSDK: 52, 10 and 31 of the 93 videos."""

DELIMITER = "_DELIM_"


@dataclass(frozen=True, slots=True)
class Opinion:
    """A line of the labels.

    Attributes:
        video: Its name.
        segment: Its number there, from 1.
        score: From -3 to 3, negative to positive.
        line: Where it stands.
    """

    video: str
    segment: int
    score: float
    line: int


def read_mosi(folder: Path, findings: Findings) -> Splits:
    """Give the segments of every video; a score of zero counts as positive.

    Args:
        folder: `Raw`, or what holds it.
        findings: Where to complain and to count segments without a recording.
    """
    root = enter(folder, "Raw")
    labels = find_labels([root, folder])
    gathering = Gathering(findings)
    texts: dict[str, dict[int, str]] = {}
    for opinion in read_opinions(labels, findings):
        video, segment = opinion.video, opinion.segment
        split = SPLIT_OF_VIDEO.get(video)
        if split is None:
            message = f"expected one of the 93 videos, got {video!r}"
            findings.at(labels).add(opinion.line, message)
            continue
        transcript = root / "Transcript" / "Segmented" / f"{video}.annotprocessed"
        if video not in texts:
            texts[video] = read_transcript(transcript, findings)
        if segment not in texts[video]:
            message = f"expected a transcript of {segment} in {transcript}, got none"
            findings.at(labels).add(opinion.line, message)
        audio = root / "Audio" / "WAV_16000" / "Segmented" / f"{video}_{segment}.wav"
        if not audio.is_file():
            findings.counts["segments of mosi without a recording"] += 1
        utterance = Utterance(
            dialogue=f"mosi_{video}",
            turn=segment,
            speaker="reviewer",
            text=texts[video].get(segment),
            audio=str(audio) if audio.is_file() else None,
            sentiment="negative" if opinion.score < 0 else "positive",
        )
        gathering.add(split, utterance, labels, opinion.line)
    return gathering.splits()


def find_labels(folders: list[Path]) -> Path:
    """Give the table of the scores.

    Raises:
        ConfigError: If it is in none of the places where releases have it.
    """
    places = [
        place / name
        for folder in folders
        for place in (folder, folder / "Labels")
        for name in ("OpinionLevelSentiment.csv", "label.csv")
    ]
    for place in places:
        if place.is_file():
            return place
    raise ConfigError(
        f"{folders[0]}: expected OpinionLevelSentiment.csv or label.csv, here or in "
        "Labels, got neither"
    )


def read_opinions(file: Path, findings: Findings) -> Iterator[Opinion]:
    """Give the scores; a line that is none is complained of.

    `OpinionLevelSentiment.csv` has no header: start, end, video, segment, score.
    `label.csv` has one, with video_id, clip_id and label among others.
    """
    for line, cells in opinion_cells(file, findings):
        try:
            opinion = parse_opinion(cells, line)
        except ValueError:
            message = f"expected a video, a segment and a score of -3 to 3, got {cells}"
            findings.at(file).add(line, message)
            continue
        yield opinion


def parse_opinion(cells: list[str], line: int) -> Opinion:
    """Turn video, segment and score into what they say.

    Raises:
        ValueError: If they are not three, no numbers, or the score is out of range.
    """
    video, segment, score = (cell.strip() for cell in cells)
    opinion = Opinion(video, int(segment), float(score), line)
    if not -3.0 <= opinion.score <= 3.0:
        raise ValueError(score)
    return opinion


def opinion_cells(file: Path, findings: Findings) -> Iterator[tuple[int, list[str]]]:
    """Give video, segment and score of each line of either table, as text."""
    if file.name == "label.csv":
        columns = ("video_id", "clip_id", "label")
        for line, row in read_table(file, columns, findings):
            yield line, [row[name] for name in columns]
        return
    for line, cells in read_cells(file):
        yield line, cells[2:]


def read_transcript(file: Path, findings: Findings) -> dict[int, str]:
    """Give the words of each segment; {} and a problem if there is no such file."""
    if not file.is_file():
        findings.at(file).add(WHOLE_FILE, "expected a transcript, got no file")
        return {}
    texts = {}
    for line, content in read_lines(file):
        number, delimiter, text = content.partition(DELIMITER)
        if not delimiter or not number.isdecimal():
            message = f"expected a number, {DELIMITER} and words, got {content!r}"
            findings.at(file).add(line, message)
            continue
        texts[int(number)] = plain_text(text)
    return texts
