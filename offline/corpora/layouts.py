"""The layouts that can be read, by name."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from .collected import (
    read_collected_goemotions,
    read_collected_iemocap,
    read_collected_meld,
    read_collected_mosi,
    read_collected_ravdess,
)
from .crema_d import read_crema_d
from .emorynlp import read_collected_emorynlp
from .findings import Findings
from .iemocap import read_iemocap
from .meld import read_meld
from .mosi import read_mosi
from .ravdess import read_ravdess
from .splits import Splits

Reader = Callable[[Path, Findings], Splits]
"""A folder in, its splits out; what is wrong goes to the findings."""

LAYOUTS: dict[str, Reader] = {
    "iemocap": read_iemocap,
    "meld": read_meld,
    "mosi": read_mosi,
    "ravdess": read_ravdess,
    "crema-d": read_crema_d,
}
"""As their publishers release them."""

COLLECTED: dict[str, Reader] = {
    "meld": read_collected_meld,
    "emorynlp": read_collected_emorynlp,
    "goemotions": read_collected_goemotions,
    "iemocap": read_collected_iemocap,
    "ravdess": read_collected_ravdess,
    "mosi": read_collected_mosi,
}
"""By folder: the parts of the layout `collected`, JSON Lines already."""
