"""What a conversation remembers, and how a voice becomes comparable."""

import pickle

import numpy as np
import pytest

from stream_erc.context import (
    LIMIT,
    MAX_SPEAKERS,
    SHRINK_TURNS,
    SpeakerVoice,
    VoiceScale,
    empty_context,
    empty_tally,
    normalise,
)

SIZE = 5
SCALE = VoiceScale(
    np.arange(SIZE, dtype=np.float32), np.full(SIZE, 2.0, dtype=np.float32)
)


def hear(voices, tally=None):
    """Normalise voices one after another; give the last result and the tally."""
    tally = tally or empty_tally(SIZE)
    normal = None
    for voice in voices:
        normal, tally = normalise(np.asarray(voice, np.float32), SCALE, tally)
    return normal, tally


def after_turns(context, speakers):
    """The context after turns of these speakers."""
    for speaker in speakers:
        context = context.after_turn(
            speaker, context.states, context.memory, context.heard
        )
    return context


def test_the_first_turn_is_measured_by_everybodys_statistics():
    normal, _ = hear([SCALE.mean + 3.0])
    assert np.allclose(normal, 1.5)


def test_a_speaker_who_always_sounds_alike_comes_to_sound_ordinary():
    normal, _ = hear([SCALE.mean + 4.0] * 400)
    assert np.abs(normal).max() < 0.7


def test_one_turn_moves_the_mean_by_one_part_in_thirty_one():
    normal, _ = hear([SCALE.mean + 2.0, SCALE.mean])
    mean = 1.0 / (SHRINK_TURNS + 1.0)
    assert np.allclose(normal, -mean / np.sqrt(1.0 - mean**2), atol=1e-5)


def test_a_lively_speaker_is_measured_by_a_wider_scale():
    lively = [SCALE.mean + 8.0 * (-1.0) ** turn for turn in range(200)]
    normal, _ = hear([*lively, SCALE.mean + 8.0])
    assert np.all(normal < 2.0)


def test_a_voice_that_never_varies_is_not_blown_up():
    normal, _ = hear([SCALE.mean] * 10_000 + [SCALE.mean + 0.2])
    assert np.all(np.abs(normal) < 0.5)


@pytest.mark.parametrize("value", [1e30, -1e30])
def test_an_extreme_number_stays_within_the_limit(value):
    normal, tally = hear([np.full(SIZE, value)])
    assert np.abs(normal).max() <= LIMIT
    assert np.isfinite(tally.squares).all()


def test_normalising_leaves_the_tally_as_it_was():
    _, tally = hear([SCALE.mean + 1.0])
    before = pickle.dumps(tally)
    normalise(SCALE.mean, SCALE, tally)
    assert pickle.dumps(tally) == before


def test_the_speakers_of_the_last_turns_are_marked_oldest_first():
    context = after_turns(empty_context(8, 4), "ab")
    assert context.same_speaker("a").tolist() == [0, 0, 1, 0]
    assert context.same_speaker("c").tolist() == [0, 0, 0, 0]
    context = after_turns(context, "aab")
    assert context.same_speaker("b").tolist() == [1, 0, 0, 1]


def test_a_context_does_not_grow_beyond_its_window_and_its_speakers():
    context = empty_context(8, 4)
    for number in range(3 * MAX_SPEAKERS):
        name = f"speaker {number:04}"
        context = after_turns(context, [name])
        context = context.with_voice(
            SpeakerVoice(name, empty_tally(SIZE), empty_tally(SIZE))
        )
        if number == 2 * MAX_SPEAKERS:
            size = len(pickle.dumps(context))
    assert len(context.voices) == MAX_SPEAKERS
    assert len(context.speakers) == 4
    assert abs(len(pickle.dumps(context)) - size) < 64  # the numbers in it grow


def test_the_speaker_forgotten_is_the_one_not_heard_for_longest():
    context = empty_context(8, 4)
    names = ["first", *(str(number) for number in range(MAX_SPEAKERS - 1)), "first"]
    for name in [*names, "one more"]:
        voice = context.voice_of(name, (SIZE, SIZE))
        context = context.with_voice(voice)
    known = [voice.speaker for voice in context.voices]
    assert "first" in known
    assert "0" not in known


def test_a_new_speaker_starts_from_nothing():
    voice = empty_context(8, 4).voice_of("new", (SIZE, 3))
    assert voice.encoder.n_turns == 0
    assert voice.functionals.total.shape == (3,)


def test_a_context_survives_pickling():
    context = after_turns(empty_context(8, 4), "abc")
    again = pickle.loads(pickle.dumps(context))
    assert again.speakers == context.speakers
    assert np.array_equal(again.memory, context.memory)
