"""The order of messages and what each has, on real speech through a real server."""

import asyncio
from itertools import pairwise

import numpy as np
import pytest
from recording import ABOUT_TURNS, RATE_HZ, Until, clip, of_type, record, silence
from talking import (
    CUTTER,
    FLUSH,
    MODERN,
    conversation,
    hesitating,
    kinds,
    places,
    turns,
)


@pytest.fixture(scope="module")
def heard(server_url):
    """The conversation as the server tells it, with partials."""
    # All at once would be over before the first provisional result is there.
    waits = (Until("transcript.partial"), Until("emotion.partial"))
    return asyncio.run(record(server_url, conversation(*waits)))


# --- what the conversation must have in it for the rest to mean something ------


def test_the_conversation_has_every_kind_of_message_about_turns(heard):
    assert {message["type"] for message in heard} >= ABOUT_TURNS
    reasons = [message["reason"] for message in of_type(heard, "turn.ended")]
    assert reasons == ["silence", "silence", "flush", "end"]


# --- order ---------------------------------------------------------------------


def test_turns_are_numbered_from_zero_in_the_order_in_which_they_start(heard):
    started = [message["turn"] for message in of_type(heard, "turn.started")]
    assert started == list(range(len(started)))


def test_a_turn_starts_ends_and_has_its_words_before_its_emotion(heard):
    for turn in turns(heard):
        milestones = [kind for kind in kinds(turn) if "partial" not in kind]
        assert [kind for kind in milestones if kind != "turn.resumed"] == [
            "turn.started",
            "turn.ended",
            "transcript.final",
            "emotion.final",
        ]


def test_no_partial_comes_before_the_start_of_its_turn_or_after_its_end(heard):
    for turn in turns(heard):
        said = kinds(turn)
        for place, kind in enumerate(said):
            if "partial" in kind or kind == "turn.resumed":
                assert 0 < place < said.index("turn.ended")


async def test_a_partial_that_comes_too_late_is_not_sent(server_url):
    # All at once: the turn is over before its first provisional result is there.
    heard = await record(server_url, [clip(MODERN), FLUSH])
    [turn] = turns(heard)
    said = kinds(turn)
    assert not [kind for kind in said[said.index("turn.ended") :] if "partial" in kind]


@pytest.mark.parametrize("kind", ["turn.ended", "transcript.final", "emotion.final"])
def test_finals_come_in_the_order_of_the_turns(heard, kind):
    order = [message["turn"] for message in of_type(heard, kind)]
    assert order == sorted(order)


def test_partials_count_their_revisions_upwards(heard):
    for turn in turns(heard):
        for kind in ("transcript.partial", "emotion.partial"):
            revisions = [message["revision"] for message in of_type(turn, kind)]
            assert revisions == sorted(set(revisions))


def test_the_stable_part_of_a_partial_is_the_start_of_the_next_one(heard):
    for turn in turns(heard):
        for one, after in pairwise(of_type(turn, "transcript.partial")):
            stable = one["text"][: one["stable_chars"]]
            assert len(stable) == one["stable_chars"]
            assert after["text"].startswith(stable)


async def test_a_speaker_who_goes_on_after_a_short_pause_resumes_the_turn(server_url):
    heard = await record(server_url, [hesitating(), silence(0.8)], partials=False)
    assert kinds(turns(heard)[0]).count("turn.resumed") == 1


async def test_a_speaker_who_does_not_go_on_ends_the_turn_without_resuming_it(
    server_url,
):
    script = [clip(MODERN), silence(1.0), clip(MODERN), silence(1.0)]
    heard = await record(server_url, script, partials=False)
    assert len(turns(heard)) == 2
    assert not of_type(heard, "turn.resumed")


def test_nothing_final_is_said_of_a_turn_before_it_has_ended(heard):
    for turn in turns(heard):
        said = kinds(turn)
        assert said.index("turn.ended") < said.index("transcript.final")


def test_a_marker_comes_after_the_finals_of_every_turn_ended_before_it(heard):
    said = [(m["type"], m.get("turn", m.get("id"))) for m in heard]
    assert said.index(("emotion.final", 0)) < said.index(("marker", "first"))


# --- what every message has ----------------------------------------------------


def test_messages_are_numbered_without_a_gap(heard):
    assert [message["seq"] for message in heard] == list(range(len(heard)))


def test_only_messages_about_a_turn_have_one(heard):
    for message in heard:
        assert ("turn" in message) == (message["type"] in ABOUT_TURNS), message


def test_the_audio_clock_never_runs_backwards(heard):
    # A marker tells the time of its sample, though it waits for finals.
    clock = [message["time_ms"] for message in heard if message["type"] != "marker"]
    assert clock == sorted(clock)


def test_the_first_message_opens_the_session_and_the_last_one_ends_it(heard):
    assert heard[0]["type"] == "session.started"
    assert heard[-1]["type"] == "session.ended"
    assert heard[-1]["turns"] == len(turns(heard))
    n_samples = sum(len(item) for item in conversation() if not isinstance(item, dict))
    assert heard[-1]["audio_ms"] == n_samples * 1000 // RATE_HZ


def test_probabilities_are_those_of_the_labels_and_sum_to_one(heard):
    labels = heard[0]["labels"]
    for message in of_type(heard, "emotion.partial", "emotion.final"):
        probabilities = message["probabilities"]
        assert list(probabilities) == labels
        assert sum(probabilities.values()) == pytest.approx(1, abs=0.001)
        assert probabilities[message["label"]] == max(probabilities.values())
        assert sum(message["sentiment"].values()) == pytest.approx(1, abs=0.001)


def test_turns_do_not_overlap_and_hold_their_words(heard):
    ended, finals = of_type(heard, "turn.ended"), of_type(heard, "transcript.final")
    for one, after in pairwise(ended):
        assert one["end_ms"] <= after["start_ms"]
    for turn, final in zip(ended, finals, strict=True):
        assert turn["start_ms"] < turn["end_ms"] <= turn["decided_ms"]
        for word in final["words"]:
            assert turn["start_ms"] <= word["start_ms"] <= word["end_ms"]
            assert word["end_ms"] <= turn["end_ms"]


async def test_a_turn_that_begins_with_a_noise_does_not_reach_back_into_the_last(
    server_url,
):
    dice = np.random.default_rng(0)
    rustle = dice.normal(0, 600, RATE_HZ * 7 // 20).astype(np.int16)
    script = [clip(MODERN), silence(0.2), rustle, silence(0.1), clip(CUTTER)]
    heard = await record(server_url, script, partials=False)
    one, after = of_type(heard, "turn.ended")
    [_, started] = of_type(heard, "turn.started")
    assert started["voice_start_ms"] - 300 < one["end_ms"]  # it would reach back
    assert one["end_ms"] <= after["start_ms"]


def test_the_start_of_a_turn_is_told_the_same_when_it_ends(heard):
    for turn in turns(heard):
        started, ended = of_type(turn, "turn.started", "turn.ended")
        assert started["start_ms"] == ended["start_ms"]
        assert started["speaker"] == ended["speaker"]
        assert started["start_ms"] <= started["voice_start_ms"] <= ended["end_ms"]


def test_a_turn_ends_at_most_150_ms_after_its_voice(heard):
    for turn in of_type(heard, "turn.ended"):
        if turn["reason"] == "silence":
            stops = [m["at_ms"] for m in of_type(heard, "speech.stopped")]
            last = max(at for at in stops if at <= turn["end_ms"])
            assert turn["end_ms"] - last <= 150


def test_the_edges_of_the_voice_alternate(heard):
    edges = of_type(heard, "speech.started", "speech.stopped")
    assert edges
    assert kinds(edges)[::2] == ["speech.started"] * len(edges[::2])
    assert kinds(edges)[1::2] == ["speech.stopped"] * len(edges[1::2])
    assert [m["at_ms"] for m in edges] == sorted(m["at_ms"] for m in edges)


def test_each_turn_of_a_session_rests_on_those_before_it(heard):
    # The agent's line is the second of five.
    assert places(heard) == [(0, 0), (2, 2), (3, 3), (4, 4)]


# --- nothing that was heard is lost --------------------------------------------


async def test_a_turn_that_still_runs_at_the_end_is_finished(server_url):
    heard = await record(server_url, [clip(MODERN)[: RATE_HZ * 3 // 2]])
    assert [m["reason"] for m in of_type(heard, "turn.ended")] == ["end"]
    assert kinds(heard)[-3:] == ["transcript.final", "emotion.final", "session.ended"]


async def test_the_end_tells_how_many_messages_came(server_url):
    said = [{"type": "ping", "id": 1}, {"type": "nonsense"}, {"type": "turn.flush"}]
    heard = await record(server_url, said)
    assert heard[-1]["client_messages_received"] == 1 + len(said) + 1


async def test_a_session_without_a_word_ends_without_a_turn(server_url):
    heard = await record(server_url, [])
    assert kinds(heard) == ["session.started", "session.ended"]
    assert heard[-1]["turns"] == heard[-1]["audio_ms"] == 0
