"""Bring a published corpus into corpus files, one for each split that is there.

LAYOUT says how FOLDER is laid out:

iemocap    IEMOCAP_full_release: SessionN with dialog and sentences
meld       MELD.Raw: train_, dev_ and test_sent_emo.csv, and their folders of clips
mosi       CMU-MOSI: OpinionLevelSentiment.csv or label.csv, Transcript and Audio
ravdess    RAVDESS, speech: Actor_NN/03-01-EE-II-SS-RR-AA.wav
crema-d    CREMA-D: AudioWAV/1001_DFA_ANG_XX.wav
collected  JSON Lines already: meld, emorynlp, goemotions, iemocap, ravdess and mosi,
           or some of them; each goes to a folder of its own under DIR

The corpora themselves stay where they are: the files written name their recordings
relative to DIR. What is wrong with the corpus is named with file and line and counted;
the rest of it is used. Corpus files of the same names in DIR are replaced.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from offline.corpora.findings import Findings
from offline.corpora.form import tell_problems
from offline.corpora.layouts import COLLECTED, LAYOUTS
from offline.corpora.splits import Splits, check_splits, write_splits
from stream_erc.errors import ConfigError

COLLECTED_LAYOUT = "collected"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the command line."""
    parser.add_argument("layout", choices=[*LAYOUTS, COLLECTED_LAYOUT])
    parser.add_argument("folder", type=Path, help="where the corpus is")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR")
    parser.add_argument(
        "--strict", action="store_true", help="stop at the first problem"
    )


def run(options: argparse.Namespace) -> int:
    """Read, check, write, and say what there is.

    Raises:
        ConfigError: If the corpus is not there, a split of it came out empty or DIR is
            FOLDER; with `--strict`, also at the first problem.
    """
    if options.out.resolve() == options.folder.resolve():
        raise ConfigError("--out: expected another folder than the corpus's")
    findings = Findings(options.strict)
    corpora = read_layout(options.layout, options.folder, options.out, findings)
    for out, splits in corpora.items():
        for count in write_splits(out, splits, findings):
            print(f"{out}: {count}")
    for reason, number in findings.counts.items():
        print(f"{number} {reason}")
    tell_problems(findings.problems)
    return 0


def read_layout(
    layout: str, folder: Path, out: Path, findings: Findings
) -> dict[Path, Splits]:
    """Read all corpora of a folder before any is written; by where they go."""
    if layout != COLLECTED_LAYOUT:
        splits = LAYOUTS[layout](folder, findings)
        check_splits(splits, folder)
        return {out: splits}
    corpora = {}
    for name, reader in COLLECTED.items():
        if (folder / name).is_dir():
            corpora[out / name] = reader(folder / name, findings)
            check_splits(corpora[out / name], folder / name)
    if not corpora:
        raise ConfigError(
            f"{folder}: expected folders of {', '.join(COLLECTED)}, got none of them"
        )
    return corpora
