"""The six invariants of the protocol, on real speech through a real server.

Every conversation goes over a socket, faster than life; what the server says is
compared message by message.
"""

import asyncio
from itertools import pairwise

import numpy as np
import pytest
import soxr
from recording import (
    ABOUT_TURNS,
    RATE_HZ,
    Until,
    agree,
    as_float32,
    as_pcm16,
    clip,
    frames_of_20_ms,
    join,
    of_turn,
    of_type,
    pieces,
    ragged,
    record,
    results,
    silence,
    talk,
    whole,
)

from stream_erc.flow import to_samples

ANGRY = "ravdess/03-01-05-02-02-02-22.flac"
SAD = "ravdess/03-01-04-02-02-02-22.flac"
MODERN = "speech/LJ001-0002.flac"
CUTTER = "speech/7902-96591-0000.flac"
SURPASSED = "speech/LJ001-0008.flac"

FLUSH = {"type": "turn.flush"}


def speaker(name):
    return {"type": "speaker.set", "speaker": name}


def marker(identifier):
    return {"type": "marker", "id": identifier}


def agent(text):
    return {"type": "context.add", "speaker": "agent", "text": text}


def hesitating():
    """One sentence with a pause of 250 ms in its middle: long enough for the eager
    point, too short for the end of a turn."""
    spoken = clip(MODERN)
    middle = quietest(spoken)
    return join(silence(0.5), spoken[:middle], silence(0.25), spoken[middle:])


def quietest(samples):
    """Find the quietest 20 ms of the middle third."""
    third = len(samples) // 3
    energy = np.square(samples[third : 2 * third].astype(float))
    return third + int(np.argmin(np.convolve(energy, np.ones(320), mode="valid"))) + 160


def conversation(*waits):
    """Everything that a client may say, between and within real turns.

    Args:
        waits: What must have come before the first sentence goes on.
    """
    cutter, first = clip(CUTTER), hesitating()
    return [
        first[: RATE_HZ * 2],
        *waits,
        first[RATE_HZ * 2 :],
        silence(0.8),
        agent("I have no idea what you mean."),
        marker("first"),
        clip(ANGRY),
        speaker("Bob"),
        {"type": "ping", "id": 7},
        silence(0.3),
        cutter[: RATE_HZ * 5 // 4],
        FLUSH,
        cutter[RATE_HZ * 5 // 4 :],
        marker("last"),
        silence(0.1),
    ]


def record_in_a_loop_of_its_own(*arguments, **wishes):
    return asyncio.run(record(*arguments, **wishes))


@pytest.fixture(scope="module")
def heard(server_url):
    """The conversation as the server tells it, with partials."""
    # All at once would be over before the first provisional result is there.
    waits = (Until("transcript.partial"), Until("emotion.partial"))
    return record_in_a_loop_of_its_own(server_url, conversation(*waits))


@pytest.fixture(scope="module")
def alone(server_url):
    """The same without partials, and with the server to itself."""
    return record_in_a_loop_of_its_own(server_url, conversation(), partials=False)


# --- what the conversation must have in it for the rest to mean something ------


def test_the_conversation_has_every_kind_of_message_about_turns(heard):
    assert {message["type"] for message in heard} >= ABOUT_TURNS
    reasons = [message["reason"] for message in of_type(heard, "turn.ended")]
    assert reasons == ["silence", "silence", "flush", "end"]


# --- 1: order ------------------------------------------------------------------


def turns(heard):
    numbers = [message["turn"] for message in of_type(heard, "turn.started")]
    assert numbers
    return [of_turn(heard, number) for number in numbers]


def kinds(messages):
    return [message["type"] for message in messages]


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


# --- 2: nothing depends on how the audio comes ---------------------------------


@pytest.mark.parametrize("cutting", [frames_of_20_ms, ragged], ids=lambda f: f.__name__)
async def test_how_the_audio_is_cut_changes_no_result(server_url, alone, cutting):
    heard = await record(server_url, conversation(), cutting=cutting, partials=False)
    assert agree(results(heard), results(alone))


async def test_samples_as_floats_give_the_results_of_samples_as_integers(
    server_url, alone
):
    heard = await record(
        server_url,
        conversation(),
        encode=as_float32,
        audio={"encoding": "pcm_f32le", "sample_rate": RATE_HZ, "channels": 1},
        partials=False,
    )
    assert agree(results(heard), results(alone))


async def test_the_same_audio_in_both_channels_gives_the_results_of_one(
    server_url, alone
):
    heard = await record(
        server_url,
        conversation(),
        encode=lambda samples: as_pcm16(np.repeat(samples, 2)),
        audio={"encoding": "pcm_s16le", "sample_rate": RATE_HZ, "channels": 2},
        partials=False,
    )
    assert agree(results(heard), results(alone))


def test_partials_change_no_result(heard, alone):
    assert not of_type(alone, "transcript.partial", "emotion.partial")
    assert agree(results(heard), results(alone))


async def test_four_sessions_at_once_give_what_each_gives_alone(server_url, alone):
    other = [speaker("Ann"), clip(SAD), silence(0.8), clip(SURPASSED), silence(0.8)]
    other_alone = await record(server_url, other, partials=False)
    at_once = await asyncio.gather(
        record(server_url, conversation()),
        record(server_url, other, cutting=frames_of_20_ms),
        record(server_url, conversation(), cutting=frames_of_20_ms),
        record(server_url, other, partials=False),
    )
    for heard, expected in zip(at_once, [alone, other_alone] * 2, strict=True):
        assert agree(results(heard), results(expected))


@pytest.mark.slow
async def test_the_pace_of_life_changes_no_result(server_url, alone):
    async with talk(server_url) as wire:
        for item in conversation():
            if isinstance(item, dict):
                await wire.say(item)
                continue
            for frame in frames_of_20_ms(as_pcm16(item)):
                await wire.say(frame)
                await asyncio.sleep(0.02)
        await wire.say({"type": "session.end"})
        assert agree(results(await wire.hear_all()), results(alone))


# --- 3: a final rests on its own samples and the past --------------------------


@pytest.mark.parametrize(
    "future",
    [silence(1.0), clip(ANGRY)[: RATE_HZ * 2]],
    ids=["silence", "another voice"],
)
async def test_another_future_changes_no_final(server_url, future):
    past = [clip(SAD), silence(0.1), marker("here")]
    reference = await record(server_url, [*past, clip(CUTTER)], partials=False)
    [decided] = [
        ended["decided_ms"]
        for ended in of_type(reference, "turn.ended")
        if ended["reason"] == "silence" and ended["turn"] == 0
    ]
    [mark] = of_type(reference, "marker")
    assert decided <= mark["time_ms"]  # the future begins after the end is known
    heard = await record(server_url, [*past, future], partials=False)
    assert results(heard)[0] == results(reference)[0]


async def test_a_final_can_be_computed_again_from_its_samples_alone(server_url, models):
    from stream_erc.engine import HearRequest, Lane, Origin, UnderstandRequest
    from stream_erc.flow import TurnFeatures

    audio = join(clip(ANGRY), silence(0.8))
    heard = await record(server_url, [audio], speaker="Ann", partials=False)
    [ended] = of_type(heard, "turn.ended")
    start, end = to_samples(ended["start_ms"]), to_samples(ended["end_ms"])
    samples = (audio[start:end] / 32_768).astype(np.float32)
    origin = Origin("again", 0, 0, Lane.FINAL)
    [again] = models.hear([HearRequest(origin, samples, len(samples), None)])
    features = TurnFeatures("Ann", again.transcript.text, again.voice)
    context = models.empty_context()
    [judged] = models.understand([UnderstandRequest(origin, features, context, 0)])
    [transcript] = of_type(heard, "transcript.final")
    [emotion] = of_type(heard, "emotion.final")
    assert transcript["text"] == again.transcript.text
    assert list(emotion["probabilities"].values()) == pytest.approx(
        judged.emotion.emotions, abs=0.001
    )


def test_nothing_final_is_said_of_a_turn_before_it_has_ended(heard):
    for turn in turns(heard):
        said = kinds(turn)
        assert said.index("turn.ended") < said.index("transcript.final")


# --- 4: who shares a context ---------------------------------------------------


def places(*recordings):
    """(context_seq, context_turns) of all finals, in order of the former."""
    return sorted(
        (message["context_seq"], message["context_turns"])
        for heard in recordings
        for message in of_type(heard, "emotion.final")
    )


def test_each_turn_of_a_session_rests_on_those_before_it(heard):
    # The agent's line is the second of five.
    assert places(heard) == [(0, 0), (2, 2), (3, 3), (4, 4)]


async def test_two_sockets_of_a_conversation_share_one_order_and_one_context(
    server_url,
):
    shared = {"conversation_id": "shared by two", "partials": False}
    ann = [clip(MODERN), silence(0.8), clip(SURPASSED), silence(0.8)]
    bob = [clip(CUTTER), silence(0.8), clip(SAD), silence(0.8)]
    recordings = await asyncio.gather(
        record(server_url, ann, speaker="Ann", **shared),
        record(server_url, bob, speaker="Bob", **shared),
    )
    assert places(*recordings) == [(n, n) for n in range(4)]


async def test_sockets_that_commit_at_the_same_time_leave_no_gap(server_url):
    shared = {"conversation_id": "crowded", "partials": False}
    script = [*[agent("Yes."), agent("No.")] * 20, clip(MODERN), silence(0.8)]
    recordings = await asyncio.gather(
        *(record(server_url, script, **shared) for _ in range(3))
    )
    places_of_finals = [place for place, _ in places(*recordings)]
    assert len(set(places_of_finals)) == 3
    assert max(places_of_finals) == 3 * 41 - 1


async def test_a_conversation_outlives_its_last_session(server_url):
    shared = {"conversation_id": "taken up again", "partials": False}
    script = [clip(MODERN), silence(0.8)]
    before = await record(server_url, script, **shared)
    after = await record(server_url, script, **shared)
    assert places(before, after) == [(0, 0), (1, 1)]


async def test_what_was_said_before_changes_the_emotion_within_a_conversation(
    server_url,
):
    shared = {"conversation_id": "changed by the past", "partials": False}
    script = [clip(MODERN), silence(0.8)]
    await record(server_url, [clip(ANGRY), silence(0.8)], **shared)
    inside = await record(server_url, script, **shared)
    outside = await record(server_url, script, partials=False)
    assert results(inside)[0]["emotion.final"] != results(outside)[0]["emotion.final"]


async def test_separate_conversations_share_nothing(server_url):
    script = [clip(MODERN), silence(0.8)]
    await record(server_url, [clip(ANGRY)], conversation_id="one", speaker="Ann")
    other, none = await asyncio.gather(
        record(server_url, script, conversation_id="other", speaker="Ann"),
        record(server_url, script, speaker="Ann"),
    )
    assert places(other) == places(none) == [(0, 0)]
    assert agree(results(other), results(none))


async def test_a_line_that_was_not_heard_is_context_of_the_turns_after_it(server_url):
    script = [clip(MODERN), silence(0.8)]
    plain = await record(server_url, script, partials=False)
    told = await record(server_url, [agent("You are a liar!"), *script], partials=False)
    assert [places(plain), places(told)] == [[(0, 0)], [(1, 1)]]
    one, other = (results(h)[0]["emotion.final"] for h in (plain, told))
    assert one["probabilities"] != other["probabilities"]


async def test_a_line_said_during_a_turn_is_context_of_that_turn(server_url):
    spoken = clip(MODERN)
    script = [spoken[:RATE_HZ], agent("Go on."), spoken[RATE_HZ:], silence(0.8)]
    heard = await record(server_url, script, partials=False)
    assert places(heard) == [(1, 1)]
    assert [m["reason"] for m in of_type(heard, "turn.ended")] == ["silence"]


async def test_a_line_said_after_a_turn_is_no_context_of_it(server_url):
    script = [clip(MODERN), silence(0.8), agent("I see.")]
    heard = await record(server_url, script, partials=False)
    assert places(heard) == [(0, 0)]


# --- 5: nothing that was heard is lost -----------------------------------------


async def test_a_turn_that_still_runs_at_the_end_is_finished(server_url):
    heard = await record(server_url, [clip(MODERN)[: RATE_HZ * 3 // 2]])
    assert [m["reason"] for m in of_type(heard, "turn.ended")] == ["end"]
    assert kinds(heard)[-3:] == ["transcript.final", "emotion.final", "session.ended"]


async def test_a_session_without_a_word_ends_without_a_turn(server_url):
    heard = await record(server_url, [])
    assert kinds(heard) == ["session.started", "session.ended"]
    assert heard[-1]["turns"] == heard[-1]["audio_ms"] == 0


# --- 6: times and marks --------------------------------------------------------


def test_a_marker_comes_after_the_finals_of_every_turn_ended_before_it(heard):
    said = [(m["type"], m.get("turn", m.get("id"))) for m in heard]
    assert said.index(("emotion.final", 0)) < said.index(("marker", "first"))


async def test_a_marker_within_a_turn_ends_it_not_and_waits_not_for_its_end(server_url):
    spoken = clip(MODERN)
    script = [spoken[:RATE_HZ], marker(1), Until("marker"), spoken[RATE_HZ:]]
    heard = await record(server_url, [*script, silence(0.8)], partials=False)
    assert kinds(heard).index("marker") < kinds(heard).index("turn.ended")
    assert [m["reason"] for m in of_type(heard, "turn.ended")] == ["silence"]


async def test_a_marker_tells_the_time_of_its_sample_while_it_waits_for_finals(
    server_url,
):
    before = join(clip(MODERN), silence(0.8))
    heard = await record(server_url, [before, marker(1), silence(2.0)], partials=False)
    [mark] = of_type(heard, "marker")
    assert abs(mark["time_ms"] - len(before) * 1000 / RATE_HZ) <= 32


async def test_a_marker_tells_the_time_of_its_sample_after_minutes(server_url):
    places = [61.0, 0.0101, 59.99, 60.5]  # seconds since the mark before
    script = []
    for number, seconds in enumerate(places):
        script += [silence(seconds), marker(number)]
    heard = await record(server_url, script)
    marks = of_type(heard, "marker")
    assert [mark["id"] for mark in marks] == [0, 1, 2, 3]
    n_samples = 0
    for mark, seconds in zip(marks, places, strict=True):
        n_samples += len(silence(seconds))
        assert abs(mark["time_ms"] - n_samples * 1000 / RATE_HZ) <= 32


@pytest.mark.parametrize("rate_hz", [8000, 44_100, 48_000])
async def test_a_marker_keeps_time_at_any_rate(server_url, rate_hz):
    audio = {"encoding": "mulaw", "sample_rate": rate_hz, "channels": 1}
    quiet = b"\xff" * rate_hz * 60
    async with talk(server_url, audio=audio) as wire:
        await wire.say(*whole(quiet), {"type": "marker", "id": "a minute"})
        await wire.say(*pieces(quiet[: rate_hz + 1], 997), {"type": "session.end"})
        heard = await wire.hear_all()
    [mark] = of_type(heard, "marker")
    assert abs(mark["time_ms"] - 60_000) <= 32
    assert abs(heard[-1]["audio_ms"] - 61_000) <= 1


async def test_markers_and_pings_come_back_with_the_identifiers_they_had(server_url):
    identifiers = [0, -1, 2**53, "", "ä€😀", "x" * 1000, '"\\\n']
    script = [{"type": "marker", "id": identifier} for identifier in identifiers]
    script += [{"type": "ping", "id": identifier} for identifier in identifiers]
    heard = await record(server_url, script)
    assert [m["id"] for m in of_type(heard, "marker")] == identifiers
    assert [m["id"] for m in of_type(heard, "pong")] == identifiers


# --- why a turn ends -----------------------------------------------------------


async def test_flush_ends_the_running_turn_at_its_sample(server_url):
    script = [clip(MODERN)[:RATE_HZ], FLUSH, marker("here"), silence(1.0)]
    heard = await record(server_url, script, partials=False)
    [ended] = of_type(heard, "turn.ended")
    assert (ended["reason"], ended["end_ms"], ended["decided_ms"]) == (
        "flush",
        1000,
        1000,
    )
    assert kinds(heard).index("emotion.final") < kinds(heard).index("marker")


@pytest.mark.parametrize("rate_hz", [8000, 11_025, 44_100, 48_000])
async def test_a_cut_is_at_its_sample_at_any_rate_however_many_there_were(
    server_url, rate_hz
):
    spoken = soxr.resample(clip("speech/jfk.flac")[: RATE_HZ * 2], RATE_HZ, rate_hz)
    audio = {"encoding": "pcm_s16le", "sample_rate": rate_hz, "channels": 1}
    n_silent = rate_hz // 10 + 7
    script = [spoken[:n_silent], FLUSH] * 50 + [spoken, FLUSH]
    heard = await record(server_url, script, audio=audio, partials=False)
    n_samples = 50 * n_silent + len(spoken)
    assert of_type(heard, "turn.ended")[-1]["decided_ms"] == pytest.approx(
        n_samples * 1000 / rate_hz, abs=1
    )


async def test_flush_without_a_turn_does_nothing(server_url):
    heard = await record(server_url, [FLUSH, silence(0.5), FLUSH])
    assert kinds(heard) == ["session.started", "session.ended"]


async def test_another_speaker_ends_the_turn_and_has_the_next_one(server_url):
    script = [clip(MODERN), speaker("Bob"), clip(CUTTER), silence(0.8)]
    heard = await record(server_url, script, speaker="Ann", partials=False)
    ended = of_type(heard, "turn.ended")
    assert [(m["speaker"], m["reason"]) for m in ended] == [
        ("Ann", "speaker"),
        ("Bob", "silence"),
    ]
    assert [m["speaker"] for m in of_type(heard, "turn.started")] == ["Ann", "Bob"]


async def test_a_turn_that_is_too_long_is_cut_and_goes_on_as_the_next(server_url):
    breathless = np.tile(clip(MODERN)[RATE_HZ // 4 : RATE_HZ * 3 // 2], 17)
    heard = await record(server_url, [breathless], partials=False)
    one, after = of_type(heard, "turn.ended")
    assert (one["reason"], after["reason"]) == ("max_length", "end")
    assert one["end_ms"] == after["start_ms"]
    limit_ms = heard[0]["limits"]["max_turn_ms"]
    assert limit_ms - 3000 <= one["end_ms"] - one["start_ms"] <= limit_ms + 32
