"""Record, Result -> Event, Request: what one thing after another leads to."""

import pytest
from director_cases import FRAME, Client, Script, feeling, words_of

from stream_erc import events
from stream_erc.director import Forget
from stream_erc.engine import Lane, UnderstandRequest
from stream_erc.flow import TurnFeatures
from stream_erc.partials import OPENING_SAMPLES

# --- one turn -----------------------------------------------------------------


def test_a_turn_is_told_from_its_start_to_its_emotion():
    script = Script().start().hear(20).pause().end_turn().end()
    client = Client().hear(*script.placed[:3]).answer_all().hear(*script.placed[3:])
    client.answer_all()
    assert client.types() == [
        "speech.started",
        "turn.started",
        "transcript.partial",
        "emotion.partial",
        "turn.ended",
        "transcript.final",
        "emotion.final",
        "session.ended",
    ]


def test_what_was_computed_in_the_pause_is_sent_at_the_end_at_once():
    script = Script().start().speak().pause().end_turn()
    client = Client().hear(*script.placed[:-1]).answer_all()
    assert not client.of(events.TranscriptFinal, events.EmotionFinal)
    client.hear(script.placed[-1])
    assert client.types()[-3:] == ["turn.ended", "transcript.final", "emotion.final"]
    assert client.waiting == []


def test_what_was_computed_in_a_pause_that_was_none_is_never_sent():
    script = Script().start().speak(3).pause().resume().speak(8).end_turn()
    client = Client().hear(*script.placed[:3]).answer_all()
    client.hear(*script.placed[3:]).answer_all()
    assert [final.text for final in client.of(events.TranscriptFinal)] == [
        words_of(11 * FRAME, 0)
    ]
    assert len(client.conversation.context) == 1


def test_a_forgotten_answer_that_comes_late_changes_nothing():
    script = Script().start().speak(3).pause().resume().speak(8).end_turn()
    client = Client().hear(*script.placed)
    late, wanted = client.waiting
    client.waiting = [wanted, late]
    client.answer_all()
    (final,) = client.of(events.TranscriptFinal)
    assert final.text == words_of(11 * FRAME, 0)


def test_a_turn_that_ends_elsewhere_than_its_pause_is_heard_anew():
    script = Script().start().speak(3).pause().speak(2).end_turn("flush")
    client = Client().hear(*script.placed).answer_all()
    (final,) = client.of(events.TranscriptFinal)
    assert final.text == words_of(5 * FRAME, 0)


def test_a_forgotten_request_is_named_so_that_it_can_be_cancelled():
    client = Client()
    script = Script().start().speak(3).pause().resume()
    client.hear(*script.placed[:-1])
    actions = client.director.on_record(*script.placed[-1])
    assert Forget(client.waiting[0].origin) in actions


def test_a_later_turn_waits_for_the_emotion_of_the_one_before():
    script = Script().start().speak().end_turn().start().speak(2).end_turn()
    client = Client().hear(*script.placed)
    client.answer(1)  # the second turn is heard first
    assert not client.of(events.TranscriptFinal)
    client.answer_all()
    assert [final.turn for final in client.of(events.EmotionFinal)] == [0, 1]


def test_a_rejected_transcript_leaves_the_emotion_to_the_voice():
    script = Script().start().speak(10).end_turn()
    client = Client().hear(*script.placed).answer()
    (final,) = client.of(events.TranscriptFinal)
    assert (final.text, final.rejected) == ("", True)
    (request,) = client.waiting
    assert request.features.text is None
    assert request.features.voice is not None


@pytest.mark.parametrize("kept", ["audio", "text"])
def test_a_session_may_bar_the_model_from_the_voice_or_the_words(kept):
    script = Script().add_context().start().speak().end_turn()
    client = Client(modalities=(kept,)).hear(*script.placed)
    asked = [r for r in client.waiting if isinstance(r, UnderstandRequest)]
    assert (asked[0].features.text is None) == (kept == "audio")
    client.answer_all()
    (final,) = client.of(events.TranscriptFinal)
    assert final.text  # the client has the words either way
    script.start().speak().pause()
    client.hear(*script.placed[-2:]).answer()
    (asked,) = client.waiting
    assert (asked.features.text is None) == (kept == "audio")
    assert (asked.features.voice is None) == (kept == "text")


# --- marks and context --------------------------------------------------------


def test_a_marker_waits_for_the_finals_of_the_turns_before_it():
    script = Script().start().speak().end_turn().mark().start().mark()
    client = Client().hear(*script.placed)
    assert not client.of(events.Marker)
    client.answer_all()
    assert client.types()[-3:] == ["emotion.final", "marker", "marker"]


def test_a_marker_does_not_wait_for_the_running_turn():
    script = Script().start().hear(20).pause().mark()
    assert [
        marker.id for marker in Client().hear(*script.placed).of(events.Marker)
    ] == [1]


def test_context_takes_its_place_before_the_turn_that_ends_after_it():
    script = Script().start().speak(3).pause().add_context("Hi.").end_turn()
    client = Client().hear(*script.placed).answer_all()
    assert [speaker for speaker, _ in client.conversation.context] == ["bot", "Ann"]
    (final,) = client.of(events.EmotionFinal)
    assert (final.context_turns, final.context_seq) == (1, 1)


def test_context_that_comes_while_a_turn_is_computed_makes_it_be_computed_again():
    script = Script().start().speak(3).pause()
    client = Client().hear(*script.placed).answer_all()
    script.add_context("Hi.").end_turn()
    client.hear(*script.placed[-2:]).answer_all()
    (final,) = client.of(events.EmotionFinal)
    assert final.context_turns == 1


def test_context_is_told_by_no_event():
    client = Client().hear(*Script().add_context().placed).answer_all()
    assert client.sent == []
    assert client.conversation.version == 1


# --- partials -----------------------------------------------------------------


def partials_of(client):
    return client.of(events.TranscriptPartial, events.EmotionPartial)


def test_a_session_without_partials_asks_for_none():
    script = Script().start().hear().hear().pause().end_turn()
    client = Client(has_partials=False).hear(*script.placed)
    assert {request.origin.lane for request in client.waiting} == {Lane.FINAL}
    client.answer_all()
    assert len(client.of(events.EmotionFinal)) == 1


def test_a_partial_that_comes_after_the_turns_end_is_not_shown():
    script = Script().start().hear(20).end_turn().start()
    client = Client().hear(*script.placed).answer_all()
    assert partials_of(client) == []


def test_a_partial_overtaken_by_a_newer_one_is_not_shown():
    script = Script().start().hear(3).hear(2)
    client = Client().hear(*script.placed)
    client.answer(1).answer(0)
    assert [partial.revision for partial in client.of(events.TranscriptPartial)] == [1]


def test_an_emotion_overtaken_by_a_newer_one_is_not_shown():
    script = Script().start().hear(20).hear(2)
    client = Client().hear(*script.placed).answer().answer()
    assert [type(request) for request in client.waiting] == [UnderstandRequest] * 2
    client.answer(1).answer(0)
    assert [partial.revision for partial in client.of(events.EmotionPartial)] == [1]


def test_an_emotion_needs_more_voice_than_words_do():
    script = Script().start().hear(5).hear(20)
    client = Client().hear(*script.placed).answer_all()
    assert [p.revision for p in client.of(events.TranscriptPartial)] == [0, 1]
    assert [p.revision for p in client.of(events.EmotionPartial)] == [1]


def test_while_there_are_no_words_each_answer_brings_the_next_question():
    script = Script().start().hear(10)  # of so many frames nothing is understood
    client = Client(partial_interval_ms=1000).hear(*script.placed)
    client.hear(script.hear(1).placed[-1])
    assert len(client.waiting) == 1  # more would only be overtaken
    client.answer_all().hear(script.hear(1).placed[-1])
    assert len(client.waiting) == 1
    assert [
        words.revision for words in client.answer_all().of(events.TranscriptPartial)
    ] == [2]


def test_a_turn_that_has_no_words_for_long_is_asked_about_once_an_interval():
    long = OPENING_SAMPLES // FRAME + 1
    script = Script().start().hear(long - long % 11 + 10)  # nothing is understood
    client = Client(partial_interval_ms=320).hear(*script.placed).answer_all()
    for n_waiting in (0, 1):
        client.hear(script.hear(5).placed[-1])
        assert len(client.waiting) == n_waiting


def test_where_partials_are_overtaken_none_comes_before_its_interval():
    script = Script().start().hear(10)
    client = Client(partial_interval_ms=320).hear(*script.placed)
    client.hear(script.hear(10).placed[-1]).drop(0).drop(0)
    assert [status.partials for status in client.of(events.Status)] == ["slower"]
    for n_waiting in (0, 1):
        client.hear(script.hear(5).placed[-1])
        assert len(client.waiting) == n_waiting


def test_a_first_emotion_that_was_dropped_is_asked_for_again():
    script = Script().start().hear(5).hear(7)
    client = Client(partial_interval_ms=1000)
    client.hear(*script.placed[:-1]).answer_all()
    client.hear(script.placed[-1]).drop(0)
    client.hear(script.hear(2).placed[-1]).answer_all()
    assert [one.revision for one in client.of(events.EmotionPartial)] == [2]


def test_once_there_are_words_an_interval_passes_before_they_are_asked_again():
    script = Script().start().hear(3).hear(2).hear(3)
    client = Client(partial_interval_ms=160)
    for placed in script.placed:
        client.hear(placed).answer_all()
    assert [words.revision for words in client.of(events.TranscriptPartial)] == [0, 2]


def test_the_first_emotion_waits_for_no_interval():
    script = Script().start().hear(5).hear(6).hear(5)
    client = Client(partial_interval_ms=480)
    for placed in script.placed:
        client.hear(placed).answer_all()
    assert [words.revision for words in client.of(events.TranscriptPartial)] == [0, 1]
    assert [one.revision for one in client.of(events.EmotionPartial)] == [1]


def test_partials_rest_on_the_context_and_never_enter_it():
    script = Script().add_context().start().hear(20)
    client = Client().hear(*script.placed).answer_all()
    assert len(client.of(events.EmotionPartial)) == 1
    assert client.conversation.version == 1


def test_partials_that_keep_being_dropped_are_told_once_and_so_is_the_recovery():
    script = Script().start()
    for _ in range(5):
        script.hear(1)
    client = Client().hear(*script.placed)
    for _ in range(4):
        client.drop(0)
    assert [status.partials for status in client.of(events.Status)] == [
        "slower",
        "emotion",
    ]
    client.answer_all()
    told = client.of(events.Status)
    assert [status.degraded for status in told] == [True, True, False]
    assert told[-1].partials == "all"


def test_where_words_take_too_long_emotions_go_on_without_new_ones():
    script = Script().start().hear(20)
    client = Client().hear(*script.placed).answer_all()
    for _ in range(4):
        client.hear(script.hear(1).placed[-1]).drop(0)
    client.hear(script.hear(1).placed[-1])
    [asked] = client.waiting
    assert not asked.has_words
    client.answer_all()
    [words] = client.of(events.TranscriptPartial)
    first, second = client.of(events.EmotionPartial)
    assert (words.revision, first.revision, second.revision) == (0, 0, 5)
    feels = feeling(TurnFeatures("Ann", words.text, None), ())[0]
    assert second.probabilities["neutral"] == pytest.approx(feels[0], abs=1e-3)


def test_one_dropped_partial_is_no_trouble():
    script = Script().start().hear(1).hear(1)
    client = Client().hear(*script.placed).drop(0).answer_all()
    assert client.of(events.Status) == []
