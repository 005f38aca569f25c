"""What the page makes of every message and state; the test plays the server."""

import csv
import io

import msgspec
import pytest
from browsing import (
    download,
    needs_browser,
    on_shared_loop,
    scripted,
    wait_for_problem,
    wait_for_state,
)
from recording import silence
from scripted_server import ANGRY, LIMITS, NEGATIVE, STARTED, one_turn

from benchmarks.browser import write_wav
from benchmarks.page_views import WIDE, load, write_hour
from stream_erc import events

pytestmark = [needs_browser, on_shared_loop, pytest.mark.slow]

PHONE = {"width": 390, "height": 844}
ASK_FIRST = """
  const devices = navigator.mediaDevices;
  const open = devices.getUserMedia.bind(devices);
  const allowed = new Promise((resolve) => (window.allow = resolve));
  devices.getUserMedia = async (wish) => (await allowed, open(wish));
"""
WELCOME = msgspec.structs.replace(
    STARTED,
    resume_token="r",
    limits=msgspec.structs.replace(LIMITS, resume_window_s=60.0),
)
A_SECOND = "new Promise((go) => setTimeout(go, 1000))"
FULL = events.Failure(code="server_full", message="full", recoverable=False)


def told(speaker, start_ms, text, **fields):
    """Another participant's turn."""
    known = {
        "session_id": "other",
        "speaker": speaker,
        "start_ms": start_ms,
        "end_ms": start_ms + 600,
        "text": text,
        "rejected": False,
        "label": "anger",
        "probabilities": ANGRY,
        "sentiment": NEGATIVE,
        "modalities": ("audio", "text"),
        "context_turns": 0,
        "context_seq": 0,
    }
    return {"type": "conversation.turn", "time_ms": start_ms + 900} | known | fields


async def names(page):
    return await page.eval_on_selector_all(
        ".turn .who bdi", "found => found.map((one) => one.textContent)"
    )


# --- the conversation -------------------------------------------------------------


@pytest.mark.parametrize(("n_known", "code"), [(1, "moved"), (0, "moved_anew")])
async def test_where_the_server_shuts_down_the_page_goes_on_at_another(
    chromium, server_url, n_known, code
):
    query = "?speaker=Ann&conversation=a+b"
    async with scripted(chromium, server_url, query=query) as (page, server):
        await page.click("#start")
        await server.accept()
        server.say(STARTED, *one_turn(text="Before."))  # its window is 0
        await wait_for_state(page, "open")
        n_texts = []
        for name in ("Ben", "Cleo"):
            await page.fill("#speaker", name)
            await page.press("#speaker", "Enter")
            assert (await server.hear())["speaker"] == name
            n_texts.append(server.n_texts)
        known = {"turns": 1, "audio_ms": 900, "client_messages_received": n_texts[0]}
        server.say(events.SessionEnded(**known))
        await page.evaluate(A_SECOND)  # the server writes down what it knows
        await server.drop()
        for _ in range(2):
            server.begin_anew()
            await server.accept()
            server.say(FULL)
            await server.drop(1013)
        server.begin_anew()
        start = await server.accept()
        assert (start["type"], start["conversation_id"]) == ("session.start", "a b")
        assert (start["speaker"], (await server.hear())["speaker"]) == ("Ben", "Cleo")
        server.say(msgspec.structs.replace(WELCOME, conversation_turns=n_known))
        server.say(*one_turn(start_ms=100, text="Behind."))
        await page.wait_for_selector(".turn >> nth=1")
        await wait_for_problem(page, code)
        assert await page.get_attribute("body", "data-state") == "open"
        await page.click("#start")
        while (await server.hear())["type"] != "session.end":
            pass
        await server.end()
        await wait_for_state(page, "ended")
        rows = list(csv.DictReader(io.StringIO((await download(page, "csv")).decode())))
        assert [(row["turn"], row["start_ms"], row["text"]) for row in rows] == [
            ("0", "0", "Before."),
            ("1", "1000", "Behind."),
        ]


async def test_what_was_no_speech_conveys_nothing(chromium, server_url):
    *so_far, said, judged = one_turn(text="")
    async with scripted(chromium, server_url) as (page, server):
        await page.click("#start")
        await server.accept()
        server.say(WELCOME, *so_far)
        await page.wait_for_selector(".turn.so-far .feeling b")
        server.say(msgspec.structs.replace(said, rejected=True), judged)
        await page.wait_for_selector(".turn:not(.so-far)")
        assert await page.inner_text(".turn .words") == "not speech"
        assert await page.inner_text(".turn .feeling") == ""
        await page.press("#lanes", "Home")
        value = await page.get_attribute("#lanes", "aria-valuetext")
        assert value == "turn 1 of 1, Ann: not speech"
        assert "a model failed" not in await page.inner_text("body")


async def test_what_others_say_stands_where_it_was_said(chromium, server_url):
    query = "?speaker=Ann&conversation=room"
    async with scripted(chromium, server_url, query=query) as (page, server):
        await page.click("#start")
        start = await server.accept()
        assert (start["conversation_id"], start["observe"]) == ("room", True)
        server.say(WELCOME, *one_turn(start_ms=2000))
        for speaker, start_ms, text in (
            ("B<i>en", 900, "Between."),
            ("Cleo", -700, "Before <b>all</b>."),
            ("B<i>en", 5000, "Behind."),
        ):
            server.tell(told(speaker, start_ms, text))
        await page.wait_for_selector(".turn >> nth=3")
        assert await names(page) == ["Cleo", "B<i>en", "Ann", "B<i>en"]
        assert await page.locator(".who", has_text="another microphone").count() == 3
        await page.press("#lanes", "Home")
        value = await page.get_attribute("#lanes", "aria-valuetext")
        assert value == "turn 1 of 4, Cleo: Before <b>all</b>. – anger 82 %"
        assert "Behind." in await page.inner_text("#announcer")
        await page.click("#start")
        await server.end()
        await wait_for_state(page, "ended")
        rows = list(csv.DictReader(io.StringIO((await download(page, "csv")).decode())))
        assert [row["turn"] for row in rows] == ["", "", "0", ""]
        captions = (await download(page, "vtt")).decode()
        assert "1\n00:00:00.000 --> 00:00:00.000\n<v Cleo>" in captions
        assert "4\n00:00:05.000 --> 00:00:05.600\n<v B&lt;i&gt;en>" in captions
        file = await download(page, "jsonl")
        again = {"name": "a.jsonl", "mimeType": "", "buffer": file}
        await page.set_input_files("#file", again)
        await page.wait_for_selector(".turn >> nth=3")
        assert await names(page) == ["Cleo", "B<i>en", "Ann", "B<i>en"]


async def test_who_is_alone_observes_nobody(chromium, server_url):
    async with scripted(chromium, server_url) as (page, server):
        await page.click("#start")
        start = await server.accept()
        assert start.keys() == {"type", "audio"}


async def test_several_people_at_one_microphone_are_told_apart(chromium, server_url):
    async with scripted(chromium, server_url) as (page, server):
        await page.fill("#speaker", "Ann")
        await page.check("#several")
        assert await page.is_hidden("#speaker")
        await page.click("#start")
        assert (await server.accept())["speaker"] == "auto"
        assert await page.is_disabled("#several")
    query = "?speaker=auto"
    async with scripted(chromium, server_url, query=query) as (page, _):
        assert await page.is_checked("#several")


async def test_a_speaker_may_be_found_when_the_turn_is_over(chromium, server_url):
    async with scripted(chromium, server_url) as (page, server):
        await page.click("#start")
        await server.accept()
        server.say(WELCOME, *one_turn(), *one_turn(1, start_ms=2000, speaker="Ben"))
        started, *so_far, ended, said, judged = one_turn(2, start_ms=4000)
        await page.wait_for_selector(".turn:not(.so-far) >> nth=1")
        height = "document.getElementById('lanes').clientHeight"
        lanes = await page.evaluate(height)
        server.say(msgspec.structs.replace(started, speaker=None), *so_far)
        await page.wait_for_selector(".turn.so-far")
        assert (await names(page))[2] == "finding who speaks"
        assert await page.evaluate(height) == lanes
        server.say(ended, said, judged)
        await page.wait_for_selector(".turn:not(.so-far) >> nth=2")
        assert await names(page) == ["Ann", "Ben", "Ann"]
        assert await page.evaluate(height) == lanes


async def test_what_no_model_judged_shows_no_emotion(chromium, server_url):
    async with scripted(chromium, server_url) as (page, server):
        await page.click("#start")
        await server.accept()
        *before, judged = one_turn()
        server.say(WELCOME, *before, msgspec.structs.replace(judged, modalities=()))
        await page.wait_for_selector(".turn:not(.so-far)")
        assert await page.inner_text(".turn .feeling") == "not judged"
        assert "a model failed" in await page.inner_text("#focus")
        rows = list(csv.DictReader(io.StringIO((await download(page, "csv")).decode())))
        assert (rows[0]["emotion"], rows[0]["anger"]) == ("", "")


async def test_what_the_server_minds_is_told_and_ends_nothing(chromium, server_url):
    async with scripted(chromium, server_url) as (page, server):
        await page.click("#start")
        await server.accept()
        error = events.Failure(code="bad_field", message="no <b>", recoverable=True)
        server.say(WELCOME, error)
        _, text = await wait_for_problem(page, "bad_field")
        assert "The server says. no <b>" in text
        await page.click("#dismiss")
        assert await page.is_hidden("#problem")
        server.say(events.Warn(code="turns_left_out", message="others' are left out"))
        await wait_for_problem(page, "turns_left_out")
        assert await page.get_attribute("body", "data-state") == "open"


# --- for everybody ----------------------------------------------------------------


async def walk(page, server, folder):
    """Lead the page through its states; yields the name of each."""
    yield "nothing yet"
    await page.click("#start")
    await wait_for_state(page, "asking")
    yield "asking"
    await page.evaluate("allow()")
    await server.accept()
    yield "connecting"
    welcome = msgspec.structs.replace(WELCOME, recorded=True)
    started, *so_far, ended, said, judged = one_turn(1, start_ms=2000, speaker="Ben")
    server.say(welcome, events.SpeechStarted(at_ms=2000), *one_turn(), started, *so_far)
    await page.wait_for_selector(".turn.so-far .feeling b")
    yield "recorded, in mid sentence"
    server.say(ended, said, msgspec.structs.replace(judged, modalities=()))
    started, *_ = one_turn(2, start_ms=4000, speaker=None)
    server.say(started, events.Status(lag_ms=900, degraded=True))
    server.tell(told("Cleo", 1000, "Hello"))
    await page.wait_for_selector(".turn >> nth=3")
    await page.press("#turns", "ArrowUp")
    yield "several people"
    for code in ("held", "turns_left_out"):
        await page.evaluate(
            "async (code) => (await import('./status.js')).showProblem(code)", code
        )
        yield f"notice {code}"
    await server.drop()
    await wait_for_state(page, "reconnecting")
    await server.accept()
    yield "reconnecting"
    resumed = {"samples_received": 0, "client_messages_received": 1}
    server.say(events.SessionResumed(**resumed))
    await wait_for_state(page, "open")
    await page.click("#start")
    yield "finishing"
    await server.end()
    await wait_for_state(page, "ended")
    yield "ended"
    await page.set_input_files("#file", write_wav(folder / "a.wav", silence(0.1)))
    await page.evaluate("document.body.classList.add('dropping')")
    yield "a file"
    await page.click("#start")
    await server.accept()
    refusal = events.Failure(code="wrong_token", message="no", recoverable=False)
    server.say(refusal)
    await server.drop()
    await wait_for_problem(page, "wrong_token")
    yield "wrong token"
    await load(page, write_hour(folder))
    await page.press("#turns", "ArrowUp")
    yield "an hour"


@pytest.mark.parametrize(
    "look",
    [
        {"viewport": WIDE, "color_scheme": "light"},
        {"viewport": PHONE, "color_scheme": "dark"},
    ],
    ids=["light", "dark phone"],
)
async def test_nothing_bars_anybody(chromium, server_url, tmp_path, look):
    from axe_playwright_python.async_playwright import Axe

    look["before"] = ASK_FIRST
    async with scripted(chromium, server_url, **look) as (page, server):
        async for state in walk(page, server, tmp_path):
            found = await Axe().run(page)
            assert found.response["violations"] == [], (state, found.generate_report())
            wider = "document.documentElement.scrollWidth > innerWidth"
            assert not await page.evaluate(wider), state
