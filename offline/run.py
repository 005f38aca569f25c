"""A run folder: what each stage leaves there for the next.

text.pt            Stage I of the words             by text_training
voice.npz          features of the clips            by voice_cache
text_vectors.npz   Stage I vectors of the corpora   here
dialogue.pt        Stages I (voice) to III          here, by fusion_training
scales.npz         everybody's voice statistics     here
"""

from __future__ import annotations

import logging
import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from stream_erc.context import VoiceScale
from stream_erc.errors import ConfigError
from stream_erc.flow import EMOTIONS, SENTIMENTS
from stream_erc.functionals import FUNCTIONALS_SIZE, KEPT_IS09_COLUMNS
from stream_erc.layers import Shape
from stream_erc.model import DialogueModel

from .corpora import (
    TRAIN,
    VALIDATION,
    Utterance,
    of_split,
    read_iemocap,
    read_meld,
    read_pseudo_labels,
    read_ravdess,
)
from .dataset import (
    NO_TARGET,
    ActedDialogues,
    ActedRecipe,
    Dialogue,
    Sizes,
    iemocap_dialogues,
    measure_scale,
    text_dialogues,
)
from .export import Trained, round_weights
from .fusion_training import (
    FusionTraining,
    fit_temperature,
    predict,
    validation_figures,
)
from .recipe import DialogueRecipe, Recipe
from .text_augment import augment_text
from .text_model import TextModel, embed_texts, load_text_model, load_tokenizer
from .voice_cache import VoiceCache, read_cache

log = logging.getLogger(__name__)

WORDS_PER_EMOTION = 400  # texts that acted voices may be given
LONGEST_WORDS = 14  # words in each; an acted sentence has six
N_HELD_OUT_ACTED = 30  # dialogues of validation actors


@dataclass(frozen=True, slots=True)
class Material:
    """What the dialogue model is trained and chosen on.

    Attributes:
        meld: Dialogues of MELD's training split, with texts as written and varied.
        iemocap: Of IEMOCAP's, likewise.
        acted: Draws RAVDESS's.
        held_out: Of the validation splits: `meld`, `iemocap`, `acted`.
        scales: Everybody's voice statistics.
        sizes: Of the network's inputs.
    """

    meld: list[Dialogue]
    iemocap: list[Dialogue]
    acted: ActedDialogues
    held_out: dict[str, Sequence[Dialogue]]
    scales: tuple[VoiceScale, VoiceScale]
    sizes: Sizes


def load_text(run: Path, recipe: Recipe) -> TextModel:
    """Give the trained text model, its weights rounded as they are served."""
    file = run / "text.pt"
    if not file.is_file():
        raise ConfigError(f"{file}: expected a trained text model; run --stage text")
    model = load_text_model(Path(recipe.text.encoder))
    model.load_state_dict(torch.load(file, weights_only=True))
    round_weights(model)
    return model.eval()


def embed_corpora(data: Path, run: Path, recipe: Recipe) -> None:
    """Write `text_vectors.npz`: every text as written, training texts varied too."""
    model = load_text(run, recipe)
    tokenizer = load_tokenizer(Path(recipe.text.encoder))
    draw = random.Random(recipe.seed)
    arrays: dict[str, Any] = {}
    for name, corpus in (
        ("meld", read_meld(data / "meld")),
        ("iemocap", read_iemocap(data / "iemocap")),
    ):
        for split in (TRAIN, VALIDATION):
            texts = [utterance.text for utterance in of_split(corpus, split)]
            arrays[f"{name}_{split}"] = embed_texts(model, tokenizer, texts)
        texts = [utterance.text for utterance in of_split(corpus, TRAIN)]
        varied = [augment_text(text, recipe.text.augment, draw) for text in texts]
        arrays[f"{name}_varied"] = embed_texts(model, tokenizer, varied)
        log.info("text vectors: %s", name)
    for split in (TRAIN, VALIDATION):
        for emotion, texts in choose_words(data, split, draw).items():
            arrays[f"words_{split}_{emotion}"] = embed_texts(model, tokenizer, texts)
    np.savez(run / "text_vectors.npz", **arrays)


def choose_words(data: Path, split: str, draw: random.Random) -> dict[str, list[str]]:
    """Draw short texts of each emotion, for acted voices to be paired with."""
    corpus = of_split(read_meld(data / "meld"), split)
    corpus += of_split(read_pseudo_labels(data / "pseudo_labels"), split)
    chosen = {}
    for emotion in EMOTIONS:
        texts = [
            utterance.text
            for utterance in corpus
            if utterance.emotion == emotion
            and 2 <= len(utterance.text.split()) <= LONGEST_WORDS
        ]
        chosen[emotion] = draw.sample(texts, min(WORDS_PER_EMOTION, len(texts)))
    return chosen


def gather(data: Path, run: Path, recipe: Recipe) -> Material:
    """Put the vectors of the run folder together with the corpora."""
    with np.load(run / "text_vectors.npz", allow_pickle=False) as arrays:
        vectors = dict(arrays)
    cache = read_cache(run / "voice.npz")
    clips = read_ravdess(data / "ravdess")
    published = read_published(data / "iemocap" / "is09.npz")
    meld, iemocap = read_meld(data / "meld"), read_iemocap(data / "iemocap")
    scales = measure_scales(cache, clips, published, iemocap)
    sizes = Sizes(
        vectors["meld_train"].shape[1], cache.encoder.shape[1], FUNCTIONALS_SIZE
    )
    acted = {}
    for split in (TRAIN, VALIDATION):
        words = {emotion: vectors[f"words_{split}_{emotion}"] for emotion in EMOTIONS}
        acted[split] = ActedDialogues(clips, split, cache, words, scales)

    def meld_part(split: str, name: str) -> list[Dialogue]:
        return text_dialogues(of_split(meld, split), vectors[name], sizes)

    def iemocap_part(split: str, name: str) -> list[Dialogue]:
        part = of_split(iemocap, split)
        return iemocap_dialogues(part, vectors[name], published, scales, sizes)

    held_out_draw = np.random.default_rng(recipe.seed)
    # Chosen as the product is used: whole turns, words that tell nothing, any order.
    plain = ActedRecipe(
        steady_dialogues=0.0, neutral_words=1.0, agreeing_words=0.0, part=0.0
    )
    return Material(
        meld=meld_part(TRAIN, "meld_train") + meld_part(TRAIN, "meld_varied"),
        iemocap=iemocap_part(TRAIN, "iemocap_train")
        + iemocap_part(TRAIN, "iemocap_varied"),
        acted=acted[TRAIN],
        held_out={
            "meld": meld_part(VALIDATION, "meld_validation"),
            "iemocap": iemocap_part(VALIDATION, "iemocap_validation"),
            "acted": [
                acted[VALIDATION].draw(plain, held_out_draw)
                for _ in range(N_HELD_OUT_ACTED)
            ],
        },
        scales=scales,
        sizes=sizes,
    )


def read_published(file: Path) -> NDArray[np.float32]:
    """Give IEMOCAP's published functionals, the columns that we compute too."""
    try:
        with np.load(file, allow_pickle=False) as arrays:
            kept = arrays["features"][:, KEPT_IS09_COLUMNS]
    except (OSError, KeyError, ValueError, IndexError) as error:
        raise ConfigError(f"{file}: expected IS09 features, got: {error}") from error
    return np.asarray(kept, np.float32)


def measure_scales(
    cache: VoiceCache,
    clips: Sequence[Utterance],
    published: NDArray[np.float32],
    iemocap: Sequence[Utterance],
) -> tuple[VoiceScale, VoiceScale]:
    """Give everybody's statistics, of the training splits alone."""
    is_train = np.array([clips[clip].split == TRAIN for clip in cache.clip])
    rows = [
        utterance.is09_row
        for utterance in iemocap
        if utterance.split == TRAIN and utterance.is09_row is not None
    ]
    return (
        measure_scale([cache.encoder[is_train]]),
        measure_scale([cache.functionals[is_train], published[rows]]),
    )


def make_model(recipe: DialogueRecipe, sizes: Sizes) -> DialogueModel:
    """Build the network that a recipe describes, untrained."""
    return DialogueModel(
        Shape(
            text_size=sizes.text,
            encoder_size=sizes.encoder,
            functionals_size=sizes.functionals,
            hidden=recipe.hidden,
            width=recipe.width,
            window=recipe.window,
            dropout=recipe.dropout,
        )
    )


def train_dialogue(data: Path, run: Path, recipe: Recipe) -> None:
    """Train Stages I (voice) to III and calibrate; write `dialogue.pt`."""
    material = gather(data, run, recipe)
    torch.manual_seed(recipe.seed)
    model = make_model(recipe.dialogue, material.sizes)
    FusionTraining(
        model,
        recipe.dialogue,
        (material.meld, material.iemocap),
        material.acted,
        lambda each, stage: validation_figures(each, stage, material.held_out),
        recipe.seed,
    ).run()
    calibrate(model, material)
    torch.save(model.state_dict(), run / "dialogue.pt")
    encoder, functionals = material.scales
    np.savez(
        run / "scales.npz",
        encoder_mean=encoder.mean,
        encoder_deviation=encoder.deviation,
        functionals_mean=functionals.mean,
        functionals_deviation=functionals.deviation,
    )


def calibrate(model: DialogueModel, material: Material) -> None:
    """Set temperatures from the validation splits, and the prior from training."""
    held_out = material.held_out
    patterns: tuple[tuple[tuple[str, ...], tuple[int, ...]], ...] = (
        (("meld", "iemocap"), (0,)),
        (("iemocap", "acted"), (1, 2)),
        (("iemocap", "acted"), (0, 1, 2)),
    )
    for number, (corpora, columns) in enumerate(patterns, start=1):
        scores, wanted, weights = [], [], []
        for name in corpora:
            found, classes = predict(model, held_out[name], "fused", columns)
            scores.append(found[:, : len(EMOTIONS)])
            wanted.append(classes)
            weights.append(torch.full((len(classes),), 1.0 / max(1, len(classes))))
        model.temperatures[number] = fit_temperature(
            torch.cat(scores), torch.cat(wanted), torch.cat(weights)
        )
    model.prior[:] = torch.cat(
        [
            log_share([d.emotions for d in material.meld], len(EMOTIONS)),
            log_share([d.sentiments for d in material.meld], len(SENTIMENTS)),
        ]
    )
    log.info("temperatures %s", model.temperatures.tolist())


def log_share(targets: Sequence[NDArray[np.intp]], n_classes: int) -> Tensor:
    """Give the logarithm of each class's share, shape (n_classes,)."""
    joined = np.concatenate(list(targets))
    counts = np.bincount(joined[joined != NO_TARGET], minlength=n_classes)
    return torch.tensor(counts / counts.sum(), dtype=torch.float32).log()


def load_trained(run: Path, recipe: Recipe) -> Trained:
    """Give what the run folder holds, ready for export."""
    with np.load(run / "scales.npz", allow_pickle=False) as arrays:
        scales = (
            VoiceScale(arrays["encoder_mean"], arrays["encoder_deviation"]),
            VoiceScale(arrays["functionals_mean"], arrays["functionals_deviation"]),
        )
    text = load_text(run, recipe)
    sizes = Sizes(text.size, len(scales[0].mean), len(scales[1].mean))
    model = make_model(recipe.dialogue, sizes)
    model.load_state_dict(torch.load(run / "dialogue.pt", weights_only=True))
    tokenizer_file = Path(recipe.text.encoder) / "tokenizer.json"
    return Trained(text, tokenizer_file, model.eval(), scales)
