"""A network and held-out dialogues -> figures of one of its stages."""

from __future__ import annotations

from collections.abc import Mapping

from stream_erc.model import DialogueModel

from .dialogue_stages import CONTEXT, VOICE, Stage, predict
from .dialogues import ENCODER, FUNCTIONALS, TEXT
from .material import HeldOut
from .recipe import DialogueRecipe

INPUTS = {
    "text": (TEXT,),
    "voice": (ENCODER, FUNCTIONALS),
    "both": (TEXT, ENCODER, FUNCTIONALS),
}


def stage_figures(
    model: DialogueModel,
    stage: Stage,
    held_out: Mapping[str, HeldOut],
    recipe: DialogueRecipe,
) -> dict[str, float]:
    """Score a stage: weighted F1; of acted clips, whose classes are even, UAR.

    Args:
        model: The network.
        stage: One of the three.
        held_out: What it is scored on, by corpus.
        recipe: How it was trained.

    Returns:
        By corpus and input ("meld text"), of the inputs that the corpus has and the
        stage takes.
    """
    figures = {}
    for name, held in held_out.items():
        for which, field in judged_inputs(stage, held, recipe):
            scores, wanted = predict(
                model,
                held.dialogues,
                field,
                INPUTS[which],
                held.target.name,
                recipe.speakers,
            )
            if len(wanted):
                score = held.target.recall if held.is_acted else held.target.weighted_f1
                figures[f"{name} {which}"] = score(scores.numpy(), wanted.numpy())
    return figures


def judged_inputs(
    stage: Stage, held: HeldOut, recipe: DialogueRecipe
) -> list[tuple[str, str]]:
    """Give the inputs that a stage is judged on, and the scores that are its answer."""
    if stage is VOICE:
        return [("voice", "voice")]
    has_text = any(each.present[:, TEXT].any() for each in held.dialogues)
    has_voice = any(each.present[:, ENCODER:].any() for each in held.dialogues)
    if stage is CONTEXT:
        chosen = [("voice", "voice_context")] if has_voice else []
        # The words of acted speech were drawn by us.
        return [*chosen, ("text", "text_context")] if not held.is_acted else chosen
    if not (has_text and has_voice):
        return [("voice" if has_voice else "text", "fused")]
    # What is never trained without words is not chosen by how it does without.
    alone = [("voice", "fused")] if recipe.drop_text else []
    return [*alone, ("both", "fused")]
