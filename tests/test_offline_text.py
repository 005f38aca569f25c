"""The text model: training that can be cut off, and an export that loses nothing."""

import copy

import numpy as np
import onnx
import onnxruntime
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

from small_corpora import sayings, write_all  # noqa: E402
from small_encoder import write_encoder  # noqa: E402

from offline import text_training  # noqa: E402
from offline.corpora import TRAIN, of_split, read_meld  # noqa: E402
from offline.export import export_text, round_weights  # noqa: E402
from offline.recipe import TextRecipe  # noqa: E402
from offline.text_model import (  # noqa: E402
    embed_texts,
    load_text_model,
    load_tokenizer,
    pad_tokens,
)
from stream_erc.errors import ConfigError  # noqa: E402

TEXTS = [text for text, _ in sayings()] + ["the " * 60]


@pytest.fixture(scope="module")
def encoder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("encoder")
    torch.manual_seed(0)
    write_encoder(folder)
    return folder


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    write_all(folder)
    return folder


@pytest.fixture(scope="module")
def exported(encoder, tmp_path_factory):
    """A model with rounded weights, its file, and its vectors before rounding."""
    model = load_text_model(encoder).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(3.0)  # far from zero, so that rounding shows
    before = embed_texts(model, load_tokenizer(encoder), TEXTS)
    round_weights(model)
    file = tmp_path_factory.mktemp("export") / "text.onnx"
    export_text(model, file)
    return model, file, before


def run_onnx(file, ids, mask):
    network = onnxruntime.InferenceSession(
        str(file), providers=["CPUExecutionProvider"]
    )
    return network.run(None, {"ids": ids.numpy(), "mask": mask.numpy()})[0]


def tokens_of(encoder, texts):
    tokenizer = load_tokenizer(encoder)
    return [tokenizer.encode(text).ids for text in texts]


def test_onnx_gives_what_torch_gives(encoder, exported):
    model, file, _ = exported
    ids, mask = pad_tokens(tokens_of(encoder, TEXTS))
    with torch.no_grad():
        expected = model.vectors(ids, mask).numpy()
    assert np.allclose(run_onnx(file, ids, mask), expected, atol=1e-4)


def test_a_text_in_a_batch_has_the_vector_it_has_alone(encoder, exported):
    file = exported[1]
    tokens = tokens_of(encoder, TEXTS)
    together = run_onnx(file, *pad_tokens(tokens))
    for row, alone in enumerate(tokens):
        assert np.allclose(
            run_onnx(file, *pad_tokens([alone]))[0], together[row], atol=1e-5
        )


def test_the_large_weights_are_stored_in_8_bits(exported):
    graph = onnx.load(str(exported[1])).graph
    large = [
        w for w in graph.initializer if len(w.dims) == 2 and np.prod(w.dims) > 4096
    ]
    assert large
    assert {w.data_type for w in large} == {onnx.TensorProto.INT8}


def test_rounding_moves_vectors_a_little_and_a_second_time_nothing(encoder, exported):
    model, _, before = exported
    after = embed_texts(model, load_tokenizer(encoder), TEXTS)
    assert 0.0 < np.abs(after - before).max() < 0.1 * np.abs(before).max()
    again = copy.deepcopy(model)
    round_weights(again)
    for new, old in zip(again.parameters(), model.parameters(), strict=True):
        assert torch.allclose(new, old, atol=1e-6)


def test_vectors_come_in_the_order_of_the_texts(encoder, exported):
    model = exported[0]
    tokenizer = load_tokenizer(encoder)
    many = embed_texts(model, tokenizer, TEXTS, batch=4)
    for row in (0, 7, len(TEXTS) - 1):
        alone = embed_texts(model, tokenizer, [TEXTS[row]])
        assert np.allclose(many[row], alone[0], atol=1e-5)


def test_a_folder_without_encoder_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="expected a model folder"):
        load_text_model(tmp_path)


def recipe(encoder):
    return TextRecipe(
        encoder=str(encoder), goemotions=20, tune_epochs=1, replay=20, batch=8
    )


def test_a_run_that_was_cut_off_ends_where_a_whole_one_does(
    encoder, data, tmp_path, monkeypatch
):
    monkeypatch.setattr(text_training, "CHECKPOINT_STEPS", 2)
    # Dropout draws from torch's own stream, which a new run starts anew.
    monkeypatch.setattr(torch.nn.functional, "dropout", lambda x, *_, **__: x)
    results = []
    for name, cut_at in (("whole", None), ("cut", 5)):
        run = tmp_path / name
        run.mkdir()
        if cut_at is not None:
            training = text_training.TextTraining(run, recipe(encoder), 0)
            steps = iter(range(cut_at))
            step = training._step

            def stop(*arguments, steps=steps, step=step):
                if next(steps, None) is None:
                    raise KeyboardInterrupt
                return step(*arguments)

            training._step = stop
            with pytest.raises(KeyboardInterrupt):
                training.run(data)
        text_training.TextTraining(run, recipe(encoder), 0).run(data)
        results.append(torch.load(run / "text.pt", weights_only=True))
    whole, cut = results
    for name in whole:
        assert torch.allclose(whole[name], cut[name], atol=1e-6), name


def test_training_learns_what_the_words_say(encoder, data, tmp_path):
    slow_start = recipe(encoder)
    rounds = text_training.TextRecipe(
        encoder=slow_start.encoder,
        goemotions=20,
        tune_epochs=12,
        replay=20,
        batch=8,
        learning_rate=3e-3,
        tune_learning_rate=3e-3,
    )
    training = text_training.TextTraining(tmp_path, rounds, 0)
    training.run(data)
    train = of_split(read_meld(data / "meld"), TRAIN)
    given = text_training.predict(training._model, training._tokenizer, train)
    wanted = [text_training.EMOTIONS.index(u.emotion) for u in train]
    assert np.mean(np.array(given) == wanted) > 0.8


def test_soft_targets_share_out_a_text_with_two_emotions():
    from offline.corpora import Utterance

    both = Utterance("", "", "", "x", ("joy", "anger"), None, TRAIN)
    emotions, sentiments = text_training.targets([both])
    assert emotions.sum().item() == pytest.approx(1.0)
    assert emotions.max().item() == pytest.approx(0.5)
    assert sentiments.sum().item() == 0.0
