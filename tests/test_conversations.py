"""Who shares a context with whom, and in which order turns enter it."""

import asyncio

from recording import RATE_HZ, agree, clip, of_type, record, results, silence
from talking import ANGRY, CUTTER, MODERN, SAD, SURPASSED, agent, places


async def test_two_sockets_of_a_conversation_share_one_order_and_one_context(
    server_url,
):
    shared = {"conversation_id": "shared by two", "partials": False, "observe": True}
    ann = [clip(MODERN), silence(0.8), clip(SURPASSED), silence(0.8)]
    bob = [clip(CUTTER), silence(0.8), clip(SAD), silence(0.8)]
    recordings = await asyncio.gather(
        record(server_url, ann, speaker="Ann", **shared),
        record(server_url, bob, speaker="Bob", **shared),
    )
    assert places(*recordings) == [(n, n) for n in range(4)]
    for heard, (other, name) in zip(
        recordings, [(recordings[1], "Bob"), (recordings[0], "Ann")], strict=True
    ):
        told = of_type(heard, "conversation.turn")
        finals = {m["context_seq"]: m for m in of_type(other, "emotion.final")}
        assert {turn["speaker"] for turn in told} <= {name}
        assert all(
            turn["probabilities"] == finals[turn["context_seq"]]["probabilities"]
            for turn in told
        )
    assert any(of_type(heard, "conversation.turn") for heard in recordings)


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
