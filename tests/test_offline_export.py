"""The export: what is served is what was trained, in every form of the weights."""

import hashlib
import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

from small_corpora import sayings  # noqa: E402
from small_encoder import write_encoder  # noqa: E402

from offline.corpora.form import Utterance  # noqa: E402
from offline.exporting.card import add_figures, check_card, write_papers  # noqa: E402
from offline.exporting.folder import Trained, export_folder  # noqa: E402
from offline.exporting.graphs import (  # noqa: E402
    write_dialogue_graph,
    write_text_graph,
)
from offline.exporting.trials import (  # noqa: E402
    Trial,
    choose_form,
    compare,
    embed,
    measure_parity,
)
from offline.exporting.weights import FLOAT16, FLOAT32, FORMS, INT8  # noqa: E402
from offline.training.dialogue_stages import collate  # noqa: E402
from offline.training.dialogues import Sizes, build_dialogues  # noqa: E402
from offline.training.material import HeldOut  # noqa: E402
from offline.training.recipe import DialogueRecipe  # noqa: E402
from offline.training.scoring import make_target  # noqa: E402
from offline.training.text_model import (  # noqa: E402
    embed_texts,
    load_text_model,
    load_tokenizer,
)
from offline.training.voices import WHOLE, Voices  # noqa: E402
from stream_erc.config import DEFAULT_MODEL  # noqa: E402
from stream_erc.context import VoiceScale  # noqa: E402
from stream_erc.errors import ConfigError, ModelError  # noqa: E402
from stream_erc.flow import EMOTIONS, TurnFeatures, VoiceFeatures  # noqa: E402
from stream_erc.fusion import EmotionModel  # noqa: E402
from stream_erc.layers import Shape  # noqa: E402
from stream_erc.model import DialogueModel  # noqa: E402
from stream_erc.model_folder import DIALOGUE_FILE, FILES, TEXT_FILE  # noqa: E402

torch.set_num_threads(1)  # more wait for each other longer than they work

TEXTS = [text for text, _ in sayings()] + ["the " * 200]
SIZES = Sizes(text=64, encoder=10, functionals=8)
SHAPE = Shape(
    text_size=64, encoder_size=10, functionals_size=8, hidden=8, width=8, window=3
)
LEARNED_FROM = {
    "encoders": ["group/some-encoder"],
    "corpora": {"talks": {"role": "dialogues", "share": 0.2}},
    "labels": [],
}
ABOUT = {
    "seed": 3,
    "recipe": {},
    "learned_from": LEARNED_FROM,
    "forms": [],
    "figures": {},
}


@pytest.fixture(scope="module")
def encoder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("encoder")
    write_encoder(folder)
    return str(folder)


def scale(size):
    draw = np.random.default_rng(size)
    mean = draw.standard_normal(size).astype(np.float32)
    return VoiceScale(mean, (0.5 + draw.random(size)).astype(np.float32))


def make_dialogue_model(seed=0, **changes):
    """A network with every weight away from zero."""
    torch.manual_seed(seed)
    model = DialogueModel(replace(SHAPE, **changes)).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.2)
        model.temperatures[:] = torch.tensor([1.0, 0.7, 1.3, 0.9])
        model.prior.normal_()
    return model


@pytest.fixture(scope="module")
def trained(encoder):
    """All of a model, untrained; weights far from zero, so that rounding shows."""
    text = load_text_model(encoder).eval()
    with torch.no_grad():
        for parameter in text.parameters():
            parameter.mul_(3.0)
    return Trained(
        text,
        load_tokenizer(encoder),
        make_dialogue_model(),
        (scale(10), scale(8)),
        ("text", "encoder", "functionals"),
    )


@pytest.fixture(scope="module")
def folder(trained, tmp_path_factory):
    folder = tmp_path_factory.mktemp("model")
    export_folder(trained, folder, ABOUT, FLOAT32)
    return folder


@pytest.fixture(scope="module")
def text_files(trained, tmp_path_factory):
    folder = tmp_path_factory.mktemp("forms")
    files = {form: folder / f"{form}.onnx" for form in FORMS}
    for form, file in files.items():
        write_text_graph(trained.text, file, form)
    return files


def rounded(model, form):
    """The model with its large matrices as they are stored, by the definition."""
    state = {name: values.clone() for name, values in model.state_dict().items()}
    for values in state.values():
        if values.dim() == 2 and values.numel() >= 4096:
            if form == FLOAT16:
                values.copy_(values.half().float())
            elif form == INT8:
                # One scale for each row of a table, each output of a layer.
                scales = values.abs().amax(1, keepdim=True).clamp(min=1e-9) / 127.0
                values.copy_((values / scales).round() * scales)
    return state


# --- the text encoder ---------------------------------------------------------


@pytest.mark.parametrize("form", FORMS)
def test_the_served_vectors_are_torchs_with_the_stored_weights(
    trained, encoder, text_files, form
):
    model = load_text_model(encoder)
    model.load_state_dict(rounded(trained.text, form))
    expected = embed_texts(model, trained.tokenizer, TEXTS)
    found = embed(text_files[form], trained.tokenizer, {"x": TEXTS})["x"]
    assert np.allclose(found, expected, atol=1e-4)


def test_fewer_bits_are_smaller_and_further_away(trained, text_files):
    exact = embed_texts(trained.text, trained.tokenizer, TEXTS)
    gaps, sizes = {}, {}
    for form, file in text_files.items():
        found = embed(file, trained.tokenizer, {"x": TEXTS})["x"]
        gaps[form] = np.abs(found - exact).max()
        sizes[form] = file.stat().st_size
    assert sizes[INT8] < sizes[FLOAT16] < sizes[FLOAT32]
    assert gaps[FLOAT32] < 1e-4 < gaps[FLOAT16] < gaps[INT8] < 0.2 * np.abs(exact).max()


@pytest.mark.parametrize(
    ("form", "stored"),
    [
        (INT8, onnx.TensorProto.INT8),
        (FLOAT16, onnx.TensorProto.FLOAT16),
        (FLOAT32, onnx.TensorProto.FLOAT),
    ],
)
def test_the_large_weights_are_stored_in_their_form(text_files, form, stored):
    network = onnx.load(str(text_files[form]))
    onnx.checker.check_model(network, full_check=True)
    large = [
        weight
        for weight in network.graph.initializer
        if len(weight.dims) == 2 and np.prod(weight.dims) >= 4096
    ]
    assert {weight.data_type for weight in large} == {stored}
    assert len(large) >= 2 * 6  # two layers of six matrices


@pytest.mark.parametrize("form", FORMS)
def test_a_text_in_a_batch_has_the_vector_it_has_alone(trained, text_files, form):
    import onnxruntime

    network = onnxruntime.InferenceSession(str(text_files[form]))
    tokens = [trained.tokenizer.encode(text).ids for text in TEXTS]
    longest = max(map(len, tokens))
    ids = np.array([row + [0] * (longest - len(row)) for row in tokens], np.int64)
    mask = np.array([[1] * len(row) + [0] * (longest - len(row)) for row in tokens])
    (together,) = network.run(None, {"ids": ids, "mask": mask})
    alone = embed(text_files[form], trained.tokenizer, {"x": TEXTS})["x"]
    assert np.allclose(together, alone, atol=1e-4)


# --- the choice of a form -----------------------------------------------------


@given(
    losses=st.lists(st.sampled_from([-2, 0, 1, 3, 6]), min_size=2, max_size=2),
    sizes=st.lists(st.floats(1.0, 99.0), min_size=3, max_size=3, unique=True),
)
def test_the_smallest_form_that_loses_little_is_chosen(losses, sizes):
    figures = [*(round(0.5 - loss / 1_000, 4) for loss in losses), 0.5]
    trials = [
        Trial(form, megabytes, figure, 0.0, 1.0)
        for form, megabytes, figure in zip(FORMS, sorted(sizes), figures, strict=True)
    ]
    chosen = choose_form(trials)
    # In thousandths; of a thousand turns at most two.
    good = [form for form, loss in zip(FORMS, [*losses, 0], strict=True) if loss <= 2]
    assert chosen == good[0]


def lines_of(n_turns, seed=0):
    """A dialogue whose turns have words, a voice, both, or one family of it."""
    draw = np.random.default_rng(seed)
    return [
        Utterance(
            dialogue=f"d{seed}",
            turn=turn,
            speaker="abc"[draw.integers(3)],
            text=str(draw.choice(TEXTS)) if draw.random() < 0.7 else None,
            emotion=EMOTIONS[draw.integers(7)],
        )
        for turn in range(n_turns)
    ]


def voices_of(lines, seed=0):
    """A voice for some of the lines."""
    draw = np.random.default_rng(seed)
    n = len(lines)
    voices = Voices(
        np.arange(n),
        np.full(n, WHOLE),
        (3.0 * draw.standard_normal((n, 10))).astype(np.float32),
        (3.0 * draw.standard_normal((n, 8))).astype(np.float32),
    )
    return voices, {number: number for number in range(n) if draw.random() < 0.7}


def dialogues_of(trained, seed=0, vectors=None, n_turns=12):
    lines = lines_of(n_turns, seed)
    texts = [line.text or "" for line in lines]
    if vectors is None:
        vectors = embed_texts(trained.text, trained.tokenizer, texts)
    voices = voices_of(lines, seed)
    return build_dialogues(lines, vectors, voices, trained.scales, SIZES)


def test_every_form_is_tried_on_validation(trained):
    texts = [line.text or "" for line in lines_of(12)]

    def held_out(vectors):
        dialogues = dialogues_of(trained, vectors=vectors["talk/validation"])
        return {"talk": HeldOut(dialogues, make_target([]), False)}

    trials = compare(trained, {"talk/validation": texts}, held_out, DialogueRecipe())
    assert [trial.form for trial in trials] == list(FORMS)
    assert trials[-1].largest_change == 0.0 < trials[0].largest_change
    assert all(0.0 <= trial.weighted_f1 <= 1.0 for trial in trials)
    assert trials[0].megabytes <= trials[-1].megabytes


def test_a_form_changes_words_without_a_voice_too(trained):
    lines = lines_of(12)

    def held_out(vectors):
        some = build_dialogues(
            lines, vectors["talk/validation"], None, trained.scales, SIZES
        )
        return {"talk": HeldOut(some, make_target([]), False)}

    texts = {"talk/validation": [line.text or "" for line in lines]}
    trials = compare(trained, texts, held_out, DialogueRecipe())
    assert trials[0].largest_change > 0.0


def test_without_validation_no_form_can_be_chosen(trained):
    with pytest.raises(ConfigError, match="export: expected .*validation"):
        compare(trained, {}, lambda vectors: {}, DialogueRecipe())


# --- parity -------------------------------------------------------------------


def test_the_served_network_is_torchs(trained, folder):
    dialogues = [d for seed in range(3) for d in dialogues_of(trained, seed)]
    assert len(dialogues) == 3
    gap = measure_parity(trained.dialogue, folder / DIALOGUE_FILE, dialogues)
    assert 0.0 < gap < 1e-5


@pytest.mark.parametrize(
    "part", ["fusion", "text_context", "temperatures", "emotions", "sentiments"]
)
def test_a_network_that_differs_is_refused(trained, folder, part, tmp_path):
    other = make_dialogue_model()
    with torch.no_grad():
        if part == "temperatures":
            other.temperatures[1:] *= 1.01
        elif part == "emotions":
            other.fusion.head.weight[: len(EMOTIONS)] *= 1.01
        elif part == "sentiments":
            other.fusion.head.weight[len(EMOTIONS) :] *= 1.01
        else:
            for parameter in getattr(other, part).parameters():
                parameter.mul_(1.01)
    with pytest.raises(ModelError, match=r"dialogue\.onnx: expected torch's"):
        measure_parity(other, folder / DIALOGUE_FILE, dialogues_of(trained))


@pytest.mark.parametrize("seed", range(3))
def test_a_stream_of_turns_gets_what_the_whole_dialogue_got_in_training(
    trained, folder, seed
):
    """Raw voices and words through the server's code, against torch at once."""
    lines = lines_of(12, seed)
    voices, rows = voices_of(lines, seed)
    (dialogue,) = dialogues_of(trained, seed)
    turns = collate([dialogue], device=torch.device("cpu"))
    with torch.no_grad():
        emotions, sentiments = trained.dialogue.probabilities(
            trained.dialogue(turns).fused, turns.present
        )
    model = EmotionModel(folder)
    context = model.empty_context()
    for number, line in enumerate(lines):
        voice = None
        if number in rows:
            voice = VoiceFeatures(voices.encoder[number], voices.functionals[number])
        turn = TurnFeatures(line.speaker, line.text, voice)
        ((emotion, context),) = model.step([turn], [context])
        assert np.allclose(emotion.emotions, emotions[0, number], atol=1e-4)
        assert np.allclose(emotion.sentiments, sentiments[0, number], atol=1e-4)


# --- what cannot be served ----------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"causal": False}, "export: expected a causal model"),
        ({"encoder_layers": 2}, "export: expected the recognizer's own voice encoder"),
    ],
)
def test_what_cannot_be_served_is_refused(trained, tmp_path, changes, complaint):
    other = replace(trained, dialogue=make_dialogue_model(**changes))
    with pytest.raises(ConfigError, match=complaint):
        export_folder(other, tmp_path / "model", ABOUT, FLOAT32)
    assert not (tmp_path / "model").exists()


def test_a_model_of_words_alone_does_not_listen(trained, tmp_path):
    words = replace(trained, learned=("text",))
    export_folder(words, tmp_path, ABOUT, FLOAT32)
    model = EmotionModel(tmp_path)
    assert model.manifest["learned"] == ["text"]
    loud = VoiceFeatures(np.full(10, 9.0, np.float32), np.full(8, 9.0, np.float32))
    results = [
        model.step([TurnFeatures("a", "Yes.", voice)], [model.empty_context()])[0]
        for voice in (None, loud)
    ]
    (quiet, _), (heard, context) = results
    assert np.array_equal(quiet.emotions, heard.emotions)
    assert heard.modalities == ("text",)
    assert context.voices == ()


# --- the folder ---------------------------------------------------------------


def test_the_manifest_says_what_the_folder_is(trained, folder):
    manifest = json.loads((folder / "manifest.json").read_text())
    assert manifest["temperatures"] == pytest.approx([1.0, 0.7, 1.3, 0.9])
    assert manifest["learned"] == ["text", "encoder", "functionals"]
    assert manifest["sizes"] == {
        "text": 64,
        "encoder": 10,
        "functionals": 8,
        "width": 8,
        "window": 3,
        "max_tokens": 128,
    }
    assert manifest["about"] == ABOUT
    assert set(manifest["files"]) == set(FILES)
    for name, checksum in manifest["files"].items():
        assert hashlib.sha256((folder / name).read_bytes()).hexdigest() == checksum


@pytest.mark.parametrize("name", [*FILES, "manifest.json"])
def test_no_file_names_a_place_on_this_machine(folder, encoder, name):
    content = (folder / name).read_bytes()
    for place in (encoder, str(Path(__file__).parents[1]), "site-packages", ".py"):
        assert place.encode() not in content


def test_the_same_networks_give_the_same_files(trained, folder, tmp_path):
    export_folder(trained, tmp_path, ABOUT, FLOAT32)
    for name in (TEXT_FILE, DIALOGUE_FILE):
        assert (tmp_path / name).read_bytes() == (folder / name).read_bytes()


def test_an_older_folder_is_written_over(trained, folder, tmp_path):
    model = shutil.copytree(folder, tmp_path / "model")
    other = replace(trained, dialogue=make_dialogue_model(1))
    export_folder(other, model, ABOUT, INT8)
    EmotionModel(model)


REPORT = dict.fromkeys(("n", "weighted_f1", "macro_f1", "uar", "accuracy", "ece"), 0.5)


def papers(folder, learned=("text",), **about):
    """Write licence and card of a manifest that says so; give both."""
    manifest = {"learned": learned, "about": {**ABOUT, **about}}
    (folder / "manifest.json").write_text(json.dumps(manifest))
    write_papers(folder)
    return [(folder / name).read_text() for name in ("LICENSE", "MODEL_CARD.md")]


def test_card_and_licence_have_every_blank_filled(tmp_path):
    form = {
        "form": "int8",
        "megabytes": 1.5,
        "weighted_f1": 0.6543,
        "largest_change": 0.01,
        "ms_per_text": 2.0,
    }
    licence, card = papers(tmp_path, forms=[form])
    assert "{{" not in licence + card
    assert "Not evaluated yet." in card
    assert "0.6543" in card and '"seed": 3' in card
    assert "some-encoder" in card and "| talks | dialogues | 20% |" in card
    assert "non-commercial research" in licence


def test_licence_and_card_name_what_was_learned_from_and_nothing_else(tmp_path):
    licence, card = papers(tmp_path)
    known = ("MELD", "GoEmotions", "IEMOCAP", "RAVDESS", "MiniLM", "Whisper", "Claude")
    assert not [name for name in known if name in licence]
    assert "- group/some-encoder (text encoder before training" in licence
    assert "- The corpus talks: its own terms." in licence
    assert "abels by a language model (" not in licence
    assert "No labels by a language model." in card and "--labels" not in card
    assert "It learned from words alone" in card and "Whisper" not in card


def test_known_corpora_encoders_and_labels_are_named_with_their_terms(tmp_path):
    corpora = {
        "ravdess": {"role": "acted", "share": 1.0},
        "meld": {"role": "dialogues", "share": 1.0},
    }
    learned_from = {
        "encoders": ["sentence-transformers/all-MiniLM-L6-v2"],
        "corpora": corpora,
        "labels": ["0123456789abcdef"],
    }
    learned = ("text", "encoder", "functionals")
    licence, card = papers(tmp_path, learned, learned_from=learned_from)
    for line in (
        "RAVDESS, Livingstone",
        "MELD, the text",
        "Whisper tiny.en",
        "0123456",
    ):
        assert line in licence
    assert "IEMOCAP" not in licence and "GoEmotions" not in licence
    assert "its own terms" not in licence
    assert max(map(len, licence.splitlines())) <= 88
    assert "`0123456789ab`" in card and "--labels LABELS" in card
    assert "Acted clips" in card and "Whisper tiny.en's encoder states" in card


def test_figures_come_one_after_another_and_leave_the_rest_as_it_is(tmp_path):
    _, card = papers(tmp_path)
    own = card.replace("## Limits", "## Our own chapter\n\n## Limits")
    (tmp_path / "MODEL_CARD.md").write_text(own)
    for name, value in (("talk, text", 0.4321), ("clips", 0.5678)):
        add_figures(tmp_path, name, {**REPORT, "weighted_f1": value})
    card = (tmp_path / "MODEL_CARD.md").read_text()
    assert "talk, text" in card and "0.432" in card and "0.568" in card
    assert "Not evaluated yet." not in card and "## Our own chapter" in card
    figures = json.loads((tmp_path / "manifest.json").read_text())["about"]["figures"]
    assert list(figures) == ["talk, text", "clips"]


def test_a_card_without_the_figures_is_refused_and_stays(tmp_path):
    papers(tmp_path)
    (tmp_path / "MODEL_CARD.md").write_text("ours")
    with pytest.raises(ConfigError, match="--card: expected .* with the figures"):
        add_figures(tmp_path, "talk", REPORT)
    assert (tmp_path / "MODEL_CARD.md").read_text() == "ours"


def test_a_card_with_a_row_of_its_own_is_refused(tmp_path):
    papers(tmp_path)
    add_figures(tmp_path, "talk", REPORT)
    card = (tmp_path / "MODEL_CARD.md").read_text()
    row = next(line for line in card.splitlines() if line.startswith("| talk |"))
    (tmp_path / "MODEL_CARD.md").write_text(card.replace(row, f"{row}\n{row}"))
    with pytest.raises(ConfigError, match="--card: expected .* with the figures"):
        add_figures(tmp_path, "talk", REPORT)


def test_the_shipped_card_has_a_place_for_figures():
    check_card(DEFAULT_MODEL)


def test_a_batch_of_dialogues_is_served_as_each_alone(trained, folder):
    model = EmotionModel(folder)
    turns = [TurnFeatures("a", text, None) for text in TEXTS[:5]]
    together = model.step(turns, [model.empty_context()] * 5)
    for turn, (emotion, _) in zip(turns, together, strict=True):
        ((alone, _),) = model.step([turn], [model.empty_context()])
        assert np.allclose(alone.emotions, emotion.emotions, atol=1e-5)


def test_a_graph_is_written_without_a_word_of_training(tmp_path):
    """Dropout is off in what is served, whatever the network was last used for."""
    model = make_dialogue_model().train()
    write_dialogue_graph(model, tmp_path / "x.onnx")
    kinds = {node.op_type for node in onnx.load(str(tmp_path / "x.onnx")).graph.node}
    assert "Dropout" not in kinds
