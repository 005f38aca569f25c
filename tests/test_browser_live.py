"""The page in a real browser, before a real server."""

import csv
import io
import json
from urllib.parse import urlsplit

import pytest
from browsing import (
    browsing,
    download,
    finals,
    needs_browser,
    wait_for_problem,
    wait_for_state,
    write_wav,
)
from conftest import start_server
from recording import clip, join, silence
from talking import ANGRY, MODERN

from benchmarks.rough_network import rough_network
from stream_erc.flow import EMOTIONS

pytestmark = needs_browser


@pytest.fixture
def voice(tmp_path):
    """Two turns, for the microphone."""
    said = join(silence(1.0), clip(ANGRY), silence(1.0), clip(MODERN), silence(1.5))
    return write_wav(tmp_path / "voice.wav", said)


@pytest.fixture
def own_server():
    """Starts servers of the test's own; gives process and address."""
    started = []

    def start(*arguments):
        started.append(start_server(*arguments))
        return started[-1]

    yield start
    for process, _ in started:
        process.kill()
        process.wait()
        process.stdout.close()


async def test_what_is_said_is_seen_with_its_emotion_and_can_be_taken_away(
    server_url, voice
):
    async with browsing(server_url, voice=voice) as page:
        await page.fill("#speaker", "Ann <b>&</b> 李")
        await page.click("#start")
        await page.wait_for_selector("body[data-voice=true]")
        await page.wait_for_selector(".turn.so-far .words:not(.nothing)")
        await page.wait_for_selector("#focus-body.so-far .shape")
        await page.wait_for_selector(".turn:not(.so-far) >> nth=1")
        await page.click("#start")
        await wait_for_state(page, "ended")
        (angry, anger), (modern, _) = await finals(page)
        assert "dogs are sitting" in angry.lower() and anger == "anger"
        assert "modern" in modern
        assert await page.locator("#focus .bar").count() == len(EMOTIONS)
        assert await page.inner_text(".turn .who >> nth=0") == "Ann <b>&</b> 李"
        assert angry in await page.inner_text("#announcer") or modern in (
            await page.inner_text("#announcer")
        )
        lines = (await download(page, "jsonl")).decode().splitlines()
        messages = [json.loads(line) for line in lines]
        assert [message["seq"] for message in messages] == list(range(len(messages)))
        rows = list(csv.DictReader(io.StringIO((await download(page, "csv")).decode())))
        assert [row["text"] for row in rows] == [angry, modern]
        assert float(rows[0]["anger"]) > 0.5
        captions = (await download(page, "vtt")).decode()
        assert captions.startswith("WEBVTT\n")
        assert "<v Ann &lt;b&gt;&amp;&lt;/b&gt; 李>" in captions
        assert (await download(page, "png")).startswith(b"\x89PNG")


@pytest.mark.slow
async def test_a_connection_that_drops_in_mid_sentence_comes_back(server_url, voice):
    async with (
        rough_network(server_url) as network,
        browsing(network.url, voice=voice) as page,
    ):
        await page.click("#start")
        await page.wait_for_selector(".turn.so-far .words:not(.nothing)")
        network.cut()
        await wait_for_state(page, "reconnecting")
        await wait_for_state(page, "open")
        await page.wait_for_selector(".turn:not(.so-far) >> nth=1")
        await page.click("#start")
        await wait_for_state(page, "ended")
        assert network.n_cuts == 1
        (angry, anger), (modern, _) = await finals(page)
        assert "dogs are sitting" in angry.lower() and anger == "anger"
        assert "modern" in modern
        lines = (await download(page, "jsonl")).decode().splitlines()
        numbers = [json.loads(line).get("seq") for line in lines]
        told = [number for number in numbers if number is not None]
        assert told == list(range(len(told)))


@pytest.mark.slow
async def test_a_server_that_does_not_come_back_is_told_of(own_server, voice):
    process, url = own_server("--server.resume_window_s", "1")
    async with browsing(url, voice=voice) as page:
        await page.click("#start")
        await page.wait_for_selector(".turn:not(.so-far)")
        process.kill()
        code, text = await wait_for_problem(page)
        assert code == "too_late" and "kept here" in text
        assert len(await finals(page)) >= 1
        assert await page.is_enabled("[data-export=jsonl]")
        await page.click("#start")
        code, _ = await wait_for_problem(page)
        assert code == "unreachable"


@pytest.mark.slow
async def test_a_server_started_anew_does_not_know_the_session(own_server, voice):
    process, url = own_server("--server.resume_window_s", "60")
    async with browsing(url, voice=voice) as page:
        await page.click("#start")
        await wait_for_state(page, "open")
        process.kill()
        await wait_for_state(page, "reconnecting")
        process.wait()
        own_server("--port", str(urlsplit(url).port))
        code, _ = await wait_for_problem(page)
        assert code == "resume_refused"


@pytest.mark.slow
async def test_a_microphone_that_is_refused_is_told_of(server_url):
    async with browsing(server_url) as page:
        await page.click("#start")
        code, text = await wait_for_problem(page)
        assert code in ("denied", "no_microphone") and "microphone" in text.lower()
        assert await page.inner_text("#start") == "Start"


@pytest.mark.slow
async def test_a_full_server_is_told_of(own_server, voice):
    _, url = own_server("--limits.max_sessions", "1")
    async with browsing(url, voice=voice) as page:
        await page.click("#start")
        await wait_for_state(page, "open")
        async with browsing(url, voice=voice) as other:
            await other.click("#start")
            assert (await wait_for_problem(other))[0] == "server_full"


@pytest.mark.slow
async def test_a_token_is_asked_for_and_does_not_stay_in_the_address(
    own_server, voice, tmp_path
):
    from stream_erc.admission import hash_token

    tokens = tmp_path / "tokens"
    tokens.write_text(f"ann {hash_token('right').hex()}\n")
    _, url = own_server("--server.tokens", str(tokens))
    async with browsing(url, voice=voice) as page:
        await page.click("#start")
        assert (await wait_for_problem(page))[0] == "no_token"
        await page.fill("#token", "wrong")
        await page.click("#start")
        await page.wait_for_selector("#problem[data-code=wrong_token]")
        await page.fill("#token", "right")
        await page.click("#start")
        await wait_for_state(page, "open")
    async with browsing(url, voice=voice, query="?token=right&speaker=Ann") as page:
        assert "right" not in page.url and "speaker=Ann" in page.url
        await page.click("#start")
        await wait_for_state(page, "open")


@pytest.mark.slow
async def test_a_file_is_played_at_the_pace_of_life_and_ends_by_itself(
    server_url, voice
):
    async with browsing(server_url) as page:
        await page.set_input_files("#file", voice)
        assert await page.inner_text("#start") == "Play"
        await page.click("#start")
        await wait_for_state(page, "playing")
        await wait_for_state(page, "ended")
        (angry, _), (modern, _) = await finals(page)
        assert "dogs are sitting" in angry.lower() and "modern" in modern


@pytest.mark.slow
async def test_a_file_without_sound_is_told_of(server_url, tmp_path):
    nothing = tmp_path / "nothing.wav"
    nothing.write_text("no sound")
    async with browsing(server_url) as page:
        await page.set_input_files("#file", nothing)
        await page.click("#start")
        assert (await wait_for_problem(page))[0] == "not_audio"
        (tmp_path / "other.jsonl").write_text("{}\n")
        await page.set_input_files("#file", tmp_path / "other.jsonl")
        await page.wait_for_selector("#problem[data-code=not_ours]")


async def test_somebody_whose_sound_is_kept_is_told(own_server, voice, tmp_path):
    _, url = own_server("--record", str(tmp_path / "kept"))
    async with browsing(url, voice=voice) as page:
        await page.click("#start")
        await wait_for_state(page, "open")
        told = await page.inner_text("#state-text")
        assert told == "Listening – the server keeps the sound"
