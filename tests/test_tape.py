"""What a client keeps to send again: all that the server may lack, and not for ever."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clients.errors import ConnectionLost
from clients.tape import Tape

messages = st.lists(
    st.one_of(st.binary(min_size=1, max_size=9), st.text("abc", min_size=1, max_size=4))
)


def streams(pieces):
    """All audio joined, and all texts."""
    audio = b"".join(piece for piece in pieces if isinstance(piece, bytes))
    return audio, [piece for piece in pieces if isinstance(piece, str)]


def record(said, data, tape):
    """Put all on the tape; give it, with the audio and texts that the server took."""
    for message in said:
        tape.add(message)
    n_taken = data.draw(st.integers(0, len(said)))  # in order
    return tape, *streams(said[:n_taken])


@given(messages, st.data(), st.sampled_from([1, 2, 4]))
def test_what_the_server_has_and_what_comes_again_make_the_whole(
    said, data, sample_bytes
):
    tape, audio, texts = record(said, data, Tape(sample_bytes, 16_000))
    n_samples = len(audio) // sample_bytes
    again = streams(tape.after(n_samples, 1 + len(texts)))
    assert audio[: n_samples * sample_bytes] + again[0] == streams(said)[0]
    assert texts + again[1] == streams(said)[1]


@given(messages, st.data())
def test_what_the_server_has_processed_need_not_be_kept(said, data):
    # A sample is a millisecond.
    tape, audio, texts = record(said, data, Tape(2, 1000))
    before = tape.after(len(audio) // 2, 1 + len(texts))
    tape.confirm(data.draw(st.integers(0, len(audio) // 2)))
    assert tape.after(len(audio) // 2, 1 + len(texts)) == before


@given(messages, st.data(), st.sampled_from([1, 2, 4]))
def test_a_tape_that_was_cut_is_that_of_a_session_that_begins_there(
    said, data, sample_bytes
):
    tape, audio, texts = record(said, data, Tape(sample_bytes, 16_000))
    n_known = len(audio) // sample_bytes, 1 + len(texts)
    rest = tape.cut(*n_known)
    assert rest.after(0, 1) == tape.after(*n_known)
    assert rest.n_texts + len(texts) == tape.n_texts


def test_confirmed_audio_is_forgotten():
    tape = Tape(2, 1000)
    for _ in range(100):
        tape.add(bytes(20))
    tape.confirm(901)
    assert tape._kept_bytes == 200


def test_no_more_is_kept_than_allowed_and_a_loss_is_told():
    tape = Tape(2, 16_000, max_bytes=100)
    for _ in range(100):
        tape.add(bytes(20))
    assert tape._kept_bytes == 100
    assert streams(tape.after(950, 1))[0] == bytes(100)
    with pytest.raises(ConnectionLost, match="sample 949") as lost:
        tape.after(949, 1)
    assert lost.value.code == "audio_lost"


def test_a_lost_text_is_told_too():
    tape = Tape(2, 16_000, max_bytes=10)
    tape.add("x" * 11)
    with pytest.raises(ConnectionLost):
        tape.after(0, 1)
    assert tape.after(0, 2) == []


def test_while_it_is_held_nothing_is_forgotten_until_it_is_full():
    tape = Tape(2, 16_000, max_bytes=100)
    tape.add(bytes(100))
    tape.hold()
    tape.add(bytes(90))
    assert not tape.is_full
    tape.add(bytes(10))
    assert tape.is_full
    assert streams(tape.after(0, 1))[0] == bytes(200)
    tape.release()
    assert not tape.is_full
    assert tape._kept_bytes <= 100
