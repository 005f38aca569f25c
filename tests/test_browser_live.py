"""The page in a real browser, before a real server."""

import asyncio
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
    on_shared_loop,
    wait_for_problem,
    wait_for_state,
)

from benchmarks.browser import launching
from benchmarks.rough_network import rough_network
from stream_erc.flow import EMOTIONS

pytestmark = [needs_browser, on_shared_loop]

NAME = "Ann <b>&</b> 李"


async def test_what_is_said_is_seen_with_its_emotion_and_can_be_taken_away(
    chromium, server_url
):
    async with browsing(chromium, server_url) as page:
        await page.fill("#speaker", NAME)
        await page.click("#start")
        await page.wait_for_selector("body[data-voice=true]")
        await page.wait_for_selector(".turn.so-far .words:not(.nothing)")
        await page.wait_for_selector("#focus-body.so-far .shape")
        await page.wait_for_selector(".turn:not(.so-far)")
        await page.click("#start")
        await wait_for_state(page, "ended")
        [(angry, anger), *_] = await finals(page)
        assert "dogs are sitting" in angry.lower() and anger == "anger"
        assert await page.locator("#focus .bar").count() == len(EMOTIONS)
        assert await page.inner_text(".turn .who >> nth=0") == NAME
        assert NAME in await page.inner_text("#announcer")
        lines = (await download(page, "jsonl")).decode().splitlines()
        messages = [json.loads(line) for line in lines]
        assert [message["seq"] for message in messages] == list(range(len(messages)))
        rows = list(csv.DictReader(io.StringIO((await download(page, "csv")).decode())))
        assert rows[0]["text"] == angry
        assert float(rows[0]["anger"]) > 0.5
        captions = (await download(page, "vtt")).decode()
        assert captions.startswith("WEBVTT\n")
        assert "<v Ann &lt;b&gt;&amp;&lt;/b&gt; 李>" in captions
        assert (await download(page, "png")).startswith(b"\x89PNG")


@pytest.mark.slow
async def test_a_connection_that_drops_in_mid_sentence_comes_back(chromium, server_url):
    async with (
        rough_network(server_url) as network,
        browsing(chromium, network.url) as page,
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
async def test_a_server_that_does_not_come_back_is_told_of(chromium, own_server):
    process, url = own_server("--server.resume_window_s", "1")
    async with browsing(chromium, url) as page:
        await page.click("#start")
        await page.wait_for_selector(".turn:not(.so-far)")
        process.kill()
        _, text = await wait_for_problem(page, "too_late")
        assert "kept here" in text
        assert len(await finals(page)) >= 1
        assert await page.is_enabled("[data-export=jsonl]")
        await page.click("#start")
        await wait_for_problem(page, "unreachable")


@pytest.mark.slow
async def test_a_server_started_anew_does_not_know_the_session(chromium, own_server):
    process, url = own_server("--server.resume_window_s", "60")
    async with browsing(chromium, url) as page:
        await page.click("#start")
        await wait_for_state(page, "open")
        process.kill()
        await wait_for_state(page, "reconnecting")
        process.wait()
        await asyncio.to_thread(own_server, "--port", str(urlsplit(url).port))
        await wait_for_problem(page, "resume_refused")


@pytest.mark.slow
async def test_a_microphone_that_is_refused_is_told_of(server_url):
    async with launching() as browser, browsing(browser, server_url) as page:
        await page.click("#start")
        code, text = await wait_for_problem(page)
        assert code in ("denied", "no_microphone") and "microphone" in text.lower()
        assert await page.inner_text("#start") == "Start"


@pytest.mark.slow
async def test_a_full_server_is_told_of(chromium, own_server):
    _, url = own_server("--limits.max_sessions", "1")
    async with browsing(chromium, url) as page:
        await page.click("#start")
        await wait_for_state(page, "open")
        async with browsing(chromium, url) as other:
            await other.click("#start")
            assert (await wait_for_problem(other))[0] == "server_full"


@pytest.mark.slow
async def test_a_token_is_asked_for_and_does_not_stay_in_the_address(
    chromium, own_server, tmp_path
):
    from stream_erc.admission import hash_token

    tokens = tmp_path / "tokens"
    tokens.write_text(f"ann {hash_token('right').hex()}\n")
    _, url = own_server("--server.tokens", str(tokens))
    async with browsing(chromium, url) as page:
        await page.click("#start")
        assert (await wait_for_problem(page))[0] == "no_token"
        await page.fill("#token", "wrong")
        await page.click("#start")
        await wait_for_problem(page, "wrong_token")
        await page.fill("#token", "right")
        await page.click("#start")
        await wait_for_state(page, "open")
    async with browsing(chromium, url, query="?token=right&speaker=Ann") as page:
        assert "right" not in page.url and "speaker=Ann" in page.url
        await page.click("#start")
        await wait_for_state(page, "open")


@pytest.mark.slow
async def test_somebody_whose_sound_is_kept_is_told(chromium, own_server, tmp_path):
    _, url = own_server("--record", str(tmp_path / "kept"))
    async with browsing(chromium, url) as page:
        assert await page.inner_text("#recorded") == ""
        await page.click("#start")
        await wait_for_state(page, "open")
        assert await page.inner_text("#recorded") == "This conversation is recorded"


@pytest.mark.slow
async def test_two_tabs_of_a_conversation_show_all_of_it(chromium, server_url):
    async with (
        browsing(chromium, server_url, query="?speaker=Ann&conversation=r") as ann,
        browsing(chromium, server_url, query="?speaker=Ben&conversation=r") as ben,
    ):
        for page in (ann, ben):
            await page.click("#start")
        seen = []
        for page in (ann, ben):
            await page.wait_for_selector(".turn:not(.so-far) >> nth=3")
            names = page.locator(".turn .who bdi")
            said = zip(await names.all_inner_texts(), await finals(page), strict=True)
            seen.append(sorted(said))
            assert (
                await page.locator(".who", has_text="another microphone").count() == 2
            )
        assert seen[0] == seen[1]
        assert [name for name, _ in seen[0]] == ["Ann", "Ann", "Ben", "Ben"]


@pytest.mark.slow
async def test_no_name_is_refused_or_read_as_anything_but_text(chromium, server_url):
    names = {
        "<img src=x onerror=document.body.remove()>": None,
        "👩‍👩‍👧 عمر بن الخطاب": None,
        "\u202eevil\u2066 Ann\u2028": "evil Ann",
        "e\u0301\ufeff": "e\u0301",
        "𝒜" * 300: "𝒜" * 200,
    }
    async with browsing(chromium, server_url) as page:
        for first, name in enumerate(names):
            query = f"?speaker={name}" if first else "?speaker=%ED%A0%80Ann"
            await page.goto(page.url.partition("?")[0] + query)
            await page.click("#start")
            await wait_for_state(page, "open")
        for name, shown in names.items():
            await page.evaluate(
                "name => (document.getElementById('speaker').value = name)", name
            )
            await page.dispatch_event("#speaker", "change")
            assert await page.input_value("#speaker") == (shown or name)
        await page.wait_for_selector(".turn:not(.so-far)")
        assert await page.is_hidden("#problem")
