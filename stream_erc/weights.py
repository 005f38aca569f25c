"""model.bin -> arrays: read the weights that CTranslate2 stores.

The layout is that of `ModelSpec._serialize` in OpenNMT/CTranslate2's
python/ctranslate2/specs/model_spec.py, version 6.
"""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

VERSION = 6
TYPES = {0: "<f4", 1: "<i1", 2: "<i2", 3: "<i4", 4: "<f2", 5: "<u2"}
"""By `ctranslate2.DataType`; numpy has no bfloat16, the last."""

BFLOAT16 = 5

Array = NDArray[Any]


def read_weights(path: Path, prefix: str) -> dict[str, Array]:
    """Read the arrays whose names start with `prefix`; names come without it.

    Quantized weights come in their own units, as float32.

    Raises:
        ValueError: If the file has another layout.
    """
    arrays: dict[str, Array] = {}
    with path.open("rb") as file:
        (version,) = unpack(file, "<I")
        if version != VERSION:
            raise ValueError(f"{path}: expected layout {VERSION}, got {version}")
        read_name(file)  # of the kind of model
        _revision, n_arrays = unpack(file, "<II")
        for _ in range(n_arrays):
            name = read_name(file)
            (n_axes,) = unpack(file, "<B")
            shape = unpack(file, f"<{n_axes}I")
            kind, n_bytes = unpack(file, "<BI")
            if not name.startswith(prefix):
                file.seek(n_bytes, 1)
                continue
            if kind not in TYPES:
                raise ValueError(
                    f"{path}: {name}: expected a type of {sorted(TYPES)}, got {kind}"
                )
            array = np.frombuffer(file.read(n_bytes), TYPES[kind])
            if kind == BFLOAT16:  # the upper half of a float32
                array = (array.astype("<u4") << 16).view("<f4")
            arrays[name.removeprefix(prefix)] = array.reshape(shape)
    return {name: restore(name, arrays) for name in arrays}


def restore(name: str, arrays: dict[str, Array]) -> Array:
    """Give one array as float32 where it is one, in its own units."""
    array = arrays[name]
    scale = arrays.get(f"{name}_scale")  # of each row
    if scale is not None:
        apart = [1] * (array.ndim - 1)  # convolutions have three axes
        return array.astype(np.float32) / scale.reshape(-1, *apart)
    return array.astype(np.float32) if array.dtype.kind == "f" else array


def read_name(file: BinaryIO) -> str:
    """Read a string that ends with a zero."""
    (n_bytes,) = unpack(file, "<H")
    return file.read(n_bytes)[:-1].decode()


def unpack(file: BinaryIO, layout: str) -> tuple[int, ...]:
    """Read integers.

    Raises:
        ValueError: If the file ends before them.
    """
    n_bytes = struct.calcsize(layout)
    raw = file.read(n_bytes)
    if len(raw) < n_bytes:
        raise ValueError("expected more weights, got the end of the file")
    return struct.unpack(layout, raw)
