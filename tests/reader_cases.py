"""What the tests of the readers share: reading a made-up copy, and breaking it."""

import published_layouts as layouts

from offline.corpora.layouts import LAYOUTS

WRITERS = {
    "iemocap": layouts.write_iemocap,
    "meld": layouts.write_meld,
    "mosi": layouts.write_mosi,
    "ravdess": layouts.write_ravdess,
    "crema-d": layouts.write_crema_d,
}


def read(layout, folder, findings):
    """Write a made-up copy where there is none, and read it."""
    if not any(folder.iterdir()):
        WRITERS[layout](folder)
    return LAYOUTS[layout](folder, findings)


def edit(file, old, new):
    """Put something wrong into a text file."""
    text = file.read_bytes().decode()
    assert old in text
    file.write_bytes(text.replace(old, new, 1).encode())


def messages(findings):
    return [str(problem) for problem in findings.problems]
