"""FeatureRow -> numbers: published features of the voice, read from .npz files."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from offline.corpora.form import FeatureRow
from stream_erc.errors import StreamErcError, reason
from stream_erc.flow import Vector
from stream_erc.functionals import KEPT_IS09_COLUMNS

N_IS09 = 384
"""Numbers of openSMILE's IS09 set, of which the server computes some."""


class Unusable(StreamErcError):
    """A row is not there, or is not of a kind that the model takes."""


class PublishedRows:
    """Reads rows; an array is read once.

    Args:
        root: What the files are relative to.
        size: Of the model's functionals.
    """

    def __init__(self, root: Path, size: int) -> None:
        self._root = root
        self._size = size
        self._arrays: dict[tuple[str, str], NDArray[np.float32]] = {}

    def read(self, at: FeatureRow) -> Vector:
        """Give a row as the model's functionals, shape (size,).

        Raises:
            Unusable: If there is none, or it has another length or no numbers.
        """
        where = f"{self._root / at.file}: {at.key}[{at.row}]"
        rows = self._array(at)
        if not 0 <= at.row < len(rows):
            raise Unusable(f"{where}: expected a row below {len(rows)}")
        row: Vector = rows[at.row]
        if len(row) == N_IS09 != self._size:
            row = row[KEPT_IS09_COLUMNS]
        if len(row) != self._size:
            raise Unusable(
                f"{where}: expected {self._size} or {N_IS09} numbers, "
                f"got {rows.shape[1]}"
            )
        if not np.isfinite(row).all():
            raise Unusable(f"{where}: expected finite numbers, got others")
        return row

    def _array(self, at: FeatureRow) -> NDArray[np.float32]:
        name = (at.file, at.key)
        if name in self._arrays:
            return self._arrays[name]
        file = self._root / at.file
        try:
            with np.load(file, allow_pickle=False) as arrays:
                array = np.asarray(arrays[at.key], np.float32)
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
            raise Unusable(
                f"{file}: expected an .npz file with numbers {at.key!r}, got: "
                f"{reason(error)}"
            ) from error
        except (TypeError, IndexError, AttributeError) as error:
            raise Unusable(f"{file}: expected an .npz file, got an array") from error
        if array.ndim != 2:
            raise Unusable(
                f"{file}: {at.key}: expected rows of numbers, got shape {array.shape}"
            )
        self._arrays[name] = array
        return array
