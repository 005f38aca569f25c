"""`python -m small_workshop DATA ENCODER CORPORA`: what `reproduce.sh` needs, tiny."""

import sys
from pathlib import Path

from small_corpora import write_clips, write_labels, write_published, write_words
from small_encoder import write_encoder


def main(data, encoder, corpora):
    for name in ("meld", "emorynlp", "goemotions"):
        write_words(corpora / name)
    write_published(corpora / "iemocap")
    write_published(corpora / "mosi", width=73, key="audio73")
    write_clips(corpora / "ravdess")
    (data / "pseudo_labels").mkdir(parents=True)
    write_labels(data / "pseudo_labels" / "labels.jsonl")
    write_encoder(encoder)


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
