"""What the page does with sound that stops, is odd, or is not there."""

import asyncio
import os
import signal
import wave
from contextlib import asynccontextmanager
from pathlib import Path

import av
import numpy as np
import pytest
from browsing import (
    browsing,
    download,
    finals,
    needs_browser,
    on_shared_loop,
    scripted,
    wait_for_problem,
    wait_for_state,
)
from recording import RATE_HZ, clip, join, silence
from talking import ANGRY, two_turns

from benchmarks.browser import launching, write_wav
from benchmarks.rough_network import rough_network
from stream_erc import events

pytestmark = [needs_browser, on_shared_loop, pytest.mark.slow]

KEEP_MICROPHONE = """
  const devices = navigator.mediaDevices;
  const open = devices.getUserMedia.bind(devices);
  devices.getUserMedia = async (wish) => (window.microphone = await open(wish));
"""
KEEP_CONTEXT = """
  const Real = AudioContext;
  window.AudioContext = class extends Real {
    constructor(options) {
      super({ ...options, sampleRate: window.rateHz });
      window.audio = this;
    }
  };
"""
NEVER_RUNS = """
  const all = AudioContext.prototype;
  const close = all.close;
  all.resume = function () { return new Promise((_, no) => (this.giveUp = no)); };
  all.close = function () {
    this.giveUp(new DOMException("closed", "InvalidStateError")); // as Chromium does
    return close.call(this);
  };
"""
KEEP_PLAYER = """
  const Real = Audio;
  window.Audio = function (url) { return (window.player = new Real(url)); };
"""
BACKGROUND = """
  // What browsers do to a page that nobody looks at; a headless one is always seen.
  const [draw, every] = [requestAnimationFrame, setInterval];
  const waiting = [];
  window.isSeen = true;
  Object.defineProperty(document, "hidden", { get: () => !isSeen });
  window.requestAnimationFrame = (step) => (isSeen ? draw(step) : waiting.push(step));
  window.setInterval = (call, ms) => every(() => isSeen && call(), ms);
  window.look = (does) => {
    isSeen = does;
    document.dispatchEvent(new Event("visibilitychange"));
    if (does) waiting.splice(0).forEach((step) => draw(step));
  };
"""


# --- the microphone -------------------------------------------------------------


async def test_a_microphone_pulled_out_in_mid_sentence_loses_nothing(
    chromium, server_url
):
    async with browsing(chromium, server_url, before=KEEP_MICROPHONE) as page:
        await page.click("#start")
        await page.wait_for_selector(".turn.so-far .words:not(.nothing)")
        await page.evaluate("""() => {
          const [track] = microphone.getTracks();
          track.stop();
          track.dispatchEvent(new Event("ended"));
        }""")
        _, text = await wait_for_problem(page, "unplugged")
        await wait_for_state(page, "ended")
        assert "is gone" in text and await page.is_visible("#problem")
        [(words, emotion)] = await finals(page)
        assert words and emotion


async def test_a_microphone_that_is_muted_is_told_of_until_it_is_not(
    chromium, server_url
):
    async with browsing(chromium, server_url, before=KEEP_MICROPHONE) as page:
        await page.click("#start")
        await wait_for_state(page, "open")
        say = "kind => microphone.getTracks()[0].dispatchEvent(new Event(kind))"
        await page.evaluate(say, "mute")
        await wait_for_problem(page, "muted")
        await page.evaluate(say, "unmute")
        await page.wait_for_selector("#problem", state="hidden")


@pytest.mark.parametrize("rate_hz", [8_000, 44_100, 96_000])
async def test_a_device_of_any_rate_is_understood(chromium, server_url, rate_hz):
    before = f"window.rateHz = {rate_hz};{KEEP_CONTEXT}"
    async with browsing(chromium, server_url, before=before) as page:
        await page.click("#start")
        await page.wait_for_selector(".turn:not(.so-far)")
        assert await page.evaluate("audio.sampleRate") == rate_hz
        [(words, _), *_] = await finals(page)
        assert "dogs are sitting" in words.lower()


async def test_nobody_looks_and_everything_is_heard(chromium, server_url):
    async with browsing(chromium, server_url, before=BACKGROUND) as page:
        await page.click("#start")
        await wait_for_state(page, "open")
        await page.evaluate("look(false)")
        await page.wait_for_function(
            """() => {
          const said = document.getElementById("announcer").textContent;
          return said.includes("modern");
        }""",
            polling=100,
        )
        assert await page.locator(".turn").count() == 0
        await page.evaluate("look(true)")
        await page.wait_for_selector(".turn >> nth=1")
        (angry, _), (modern, _) = await finals(page)
        assert "dogs are sitting" in angry.lower() and "modern" in modern


async def test_sound_that_the_browser_holds_is_told_of_and_goes_on(
    chromium, server_url
):
    async with browsing(chromium, server_url, before=KEEP_CONTEXT) as page:
        await page.click("#start")
        await page.wait_for_selector("body[data-voice=true]")
        await page.evaluate("audio.suspend()")
        _, text = await wait_for_problem(page, "held")
        assert "come back" in text
        await page.keyboard.press("Shift")
        await page.wait_for_selector("#problem[data-code=held]", state="hidden")
        await page.wait_for_selector(".turn:not(.so-far)")


async def test_sound_that_has_not_begun_when_all_is_over_does_no_harm(
    chromium, server_url
):
    async with scripted(chromium, server_url, before=NEVER_RUNS) as (page, server):
        await page.click("#start")
        await server.accept()
        server.say(events.Failure(code="server_full", message="", recoverable=False))
        await server.drop()
        await wait_for_problem(page, "server_full")


@asynccontextmanager
async def asleep(browser):
    """Let every process of a browser stand still, as a laptop does that sleeps."""
    session = await browser.new_browser_cdp_session()
    found = await session.send("SystemInfo.getProcessInfo")
    pids = [process["id"] for process in found["processInfo"]]
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
        await asyncio.sleep(4.0)  # the page takes less for a hiccup
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGCONT)


async def test_a_laptop_that_slept_a_little_goes_on_with_a_new_turn(
    server_url, tmp_path
):
    voice = write_wav(tmp_path / "voice.wav", two_turns())
    async with launching(voice) as browser, browsing(browser, server_url) as page:
        await page.click("#start")
        await page.wait_for_selector(".turn.so-far .words:not(.nothing)")
        async with asleep(browser):
            pass
        await wait_for_problem(page, "gap")
        await page.wait_for_selector(".turn:not(.so-far)")
        await page.click("#start")
        await wait_for_state(page, "ended")
        assert b'"reason":"flush"' in await download(page, "jsonl")


async def test_a_laptop_that_slept_too_long_says_so(own_server, tmp_path):
    _, url = own_server("--server.resume_window_s", "1")
    voice = write_wav(tmp_path / "voice.wav", two_turns())
    async with (
        rough_network(url) as network,
        launching(voice) as browser,
        browsing(browser, network.url) as page,
    ):
        await page.click("#start")
        await page.wait_for_selector(".turn.so-far .words:not(.nothing)")
        async with asleep(browser):
            network.cut()
        _, text = await wait_for_problem(page, "slept")
        assert "start again" in text
        await page.click("#start")
        await wait_for_state(page, "open")


# --- files ----------------------------------------------------------------------


async def play(page, file):
    await page.set_input_files("#file", file)
    assert await page.inner_text("#start") == "Play"
    await page.click("#start")


async def test_a_file_is_played_at_the_pace_of_life_and_ends_by_itself(
    chromium, server_url, tmp_path
):
    file = write_wav(tmp_path / "<b>voice.wav", two_turns())
    async with browsing(chromium, server_url) as page:
        await play(page, file)
        assert await page.inner_text("#source") == "<b>voice.wav"
        await wait_for_state(page, "playing")
        await wait_for_state(page, "ended")
        (angry, _), (modern, _) = await finals(page)
        assert "dogs are sitting" in angry.lower() and "modern" in modern
        assert await page.is_hidden("#problem")


async def test_a_file_without_speech_is_told_of(chromium, server_url, tmp_path):
    file = write_wav(tmp_path / "quiet.wav", silence(1.5))
    async with browsing(chromium, server_url) as page:
        await play(page, file)
        await wait_for_state(page, "ended")
        await wait_for_problem(page, "no_speech")


async def test_what_is_no_sound_and_no_session_is_told_of(
    chromium, server_url, tmp_path
):
    nothing = tmp_path / "nothing.wav"
    nothing.write_text("no sound")
    async with browsing(chromium, server_url) as page:
        await play(page, nothing)
        assert (await wait_for_problem(page))[0] == "not_audio"
        (tmp_path / "other.jsonl").write_text("{}\n")
        await page.set_input_files("#file", tmp_path / "other.jsonl")
        await wait_for_problem(page, "not_ours")


def write_video(path, samples=None):
    """A film of nothing much, with or without a sound track."""
    seconds = 2.0 if samples is None else len(samples) / RATE_HZ
    with av.open(str(path), "w", format="webm") as film:
        picture = film.add_stream("libvpx", rate=10)
        picture.width = picture.height = 64
        sound = None if samples is None else film.add_stream("libopus", rate=48_000)
        image = np.zeros((64, 64, 3), np.uint8)
        for _ in range(round(seconds * 10)):
            film.mux(picture.encode(av.VideoFrame.from_ndarray(image)))
        film.mux(picture.encode())
        if sound:
            frame = av.AudioFrame.from_ndarray(samples[None], layout="mono")
            frame.sample_rate = RATE_HZ
            layout = {"format": sound.format, "layout": "mono", "rate": 48_000}
            resampler = av.AudioResampler(**layout)
            for piece in [*resampler.resample(frame), *resampler.resample(None)]:
                film.mux(sound.encode(piece))
            film.mux(sound.encode())
    return path


async def test_of_a_film_the_sound_is_heard(chromium, server_url, tmp_path):
    film = write_video(tmp_path / "film.webm", clip(ANGRY))
    async with browsing(chromium, server_url) as page:
        await play(page, film)
        await wait_for_state(page, "ended")
        [(words, _)] = await finals(page)
        assert "dogs are sitting" in words.lower()


async def test_a_silent_film_is_told_of(chromium, server_url, tmp_path):
    async with browsing(chromium, server_url) as page:
        await play(page, write_video(tmp_path / "film.webm"))
        await wait_for_problem(page, "no_speech")


async def test_a_file_that_breaks_off_is_heard_as_far_as_it_goes(
    chromium, server_url, tmp_path
):
    film = write_video(tmp_path / "film.webm", join(clip(ANGRY), clip(ANGRY)))
    film.write_bytes(film.read_bytes()[: film.stat().st_size * 3 // 4])
    async with browsing(chromium, server_url) as page:
        await play(page, film)
        await wait_for_state(page, "ended")
        [(words, _), *_] = await finals(page)
        assert "dogs are sitting" in words.lower()


async def test_a_file_that_the_browser_gives_up_is_told_of(
    chromium, server_url, tmp_path
):
    # Chromium plays over whatever is wrong behind the start of a file.
    file = write_wav(tmp_path / "voice.wav", two_turns())
    async with browsing(chromium, server_url, before=KEEP_PLAYER) as page:
        await play(page, file)
        await page.wait_for_selector(".turn.so-far .words:not(.nothing)")
        await page.evaluate("player.dispatchEvent(new Event('error'))")
        await wait_for_problem(page, "file_broken")
        await wait_for_state(page, "ended")
        assert len(await finals(page)) == 1


async def resident_mb(browser):
    """All processes of a browser together."""
    session = await browser.new_browser_cdp_session()
    found = await session.send("SystemInfo.getProcessInfo")
    return sum(read_resident_mb(process["id"]) for process in found["processInfo"])


def read_resident_mb(pid):
    n_pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return n_pages * os.sysconf("SC_PAGE_SIZE") / 1e6


async def test_an_hour_takes_no_more_memory_than_a_minute(
    chromium, server_url, tmp_path
):
    file = tmp_path / "hour.wav"
    with wave.open(str(file), "wb") as sound:
        sound.setparams((1, 2, RATE_HZ, 0, "NONE", ""))
        sound.writeframes(clip(ANGRY).tobytes())
        for _ in range(60):
            sound.writeframes(bytes(2 * 60 * RATE_HZ))
    async with browsing(chromium, server_url) as page:
        before_mb = await resident_mb(chromium)
        await play(page, file)
        await page.wait_for_selector(".turn:not(.so-far)")
        used_mb = await resident_mb(chromium) - before_mb
        assert used_mb < 200  # decoded as a whole it is 690
        await page.click("#start")
        await wait_for_state(page, "ended")
