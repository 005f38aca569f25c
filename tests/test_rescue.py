"""What is left of a turn where a model has failed, and which answers are taken."""

from dataclasses import replace

import numpy as np
import pytest
from director_cases import answer
from scripted_models import ScriptedModels

from stream_erc.context import empty_context
from stream_erc.engine import HearRequest, Lane, Origin, UnderstandRequest
from stream_erc.flow import SAMPLE_RATE_HZ, TurnFeatures, Word
from stream_erc.functionals import FUNCTIONALS_SIZE
from stream_erc.rescue import checked, hear_voice, is_finite, judge_nothing

ORIGIN = Origin("s", 3, 1, Lane.FINAL)
TONE = np.sin(np.arange(SAMPLE_RATE_HZ) / 20).astype(np.float32)
HEAR = HearRequest(ORIGIN, TONE, len(TONE), None)
CONTEXT = empty_context(8, 4)
UNDERSTAND = UnderstandRequest(ORIGIN, TurnFeatures("Ann", "Hi.", None), CONTEXT, 7)


@pytest.mark.parametrize("n_samples", [0, 1, 400, SAMPLE_RATE_HZ])
def test_without_a_recognizer_the_functionals_are_left(n_samples):
    rescued = hear_voice(replace(HEAR, samples=TONE[:n_samples]))
    assert rescued.is_rescued
    assert (rescued.transcript.text, rescued.transcript.is_rejected) == ("", False)
    assert rescued.voice.encoder is None
    assert rescued.voice.functionals.shape == (FUNCTIONALS_SIZE,)


def test_a_voice_that_cannot_be_measured_is_none():
    rescued = hear_voice(replace(HEAR, samples=np.full(SAMPLE_RATE_HZ, np.nan)))
    assert rescued.voice.functionals is None


def test_without_a_judgement_the_prior_is_told_and_nothing_remembered():
    rescued = judge_nothing(UNDERSTAND, ScriptedModels.prior)
    assert rescued.is_rescued
    assert rescued.emotion is ScriptedModels.prior
    assert (rescued.context, rescued.version) == (CONTEXT, 7)


@pytest.mark.parametrize("number", [np.nan, np.inf, -np.inf])
def test_a_number_that_is_none_is_found_however_deep_it_lies(number):
    spoilt = CONTEXT.memory.copy()
    spoilt[3, 2, 1] = number
    assert is_finite(CONTEXT)
    assert not is_finite(replace(CONTEXT, memory=spoilt))
    assert not is_finite((Word("Hi", 0, 1, 0.5), Word("there", 1, 2, float(number))))


def test_an_answer_with_such_a_number_fails():
    good = answer(HEAR)
    bad = replace(good, queue_s=float("nan"))
    assert checked(lambda _: [good])([HEAR]) == [good]
    with pytest.raises(FloatingPointError, match="finite"):
        checked(lambda _: [good, bad])([HEAR, HEAR])
