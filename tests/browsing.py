"""Drives the page in a real browser: Debian's Chromium with a recording for a voice."""

import re
import shutil
import wave
from contextlib import asynccontextmanager

import pytest
from recording import RATE_HZ, TIMEOUT_S, as_pcm16

from stream_erc import events

CHROMIUM = shutil.which("chromium")

try:
    from playwright.async_api import async_playwright
except ImportError:
    async_playwright = None

needs_browser = pytest.mark.skipif(
    async_playwright is None or CHROMIUM is None,
    reason="wants Playwright (the extra dev) and Debian's chromium",
)
on_shared_loop = pytest.mark.asyncio(loop_scope="session")
"""For tests with the fixture `chromium`, which lives in the loop of the whole run."""


def write_wav(path, samples):
    with wave.open(str(path), "wb") as file:
        file.setparams((1, 2, RATE_HZ, 0, "NONE", ""))
        file.writeframes(as_pcm16(samples))
    return path


def root_of(url):
    """The page of the server whose stream is at `url`."""
    return url.replace("ws://", "http://").removesuffix(events.PATH) + "/"


@asynccontextmanager
async def launching(voice=None):
    """Start a browser; gives it.

    Args:
        voice: WAV file that a microphone hears from its opening on, once; None: it is
            refused.
    """
    arguments = ["--no-sandbox", "--autoplay-policy=no-user-gesture-required"]
    if voice:
        arguments += [
            "--use-fake-ui-for-media-stream",
            "--use-fake-device-for-media-stream",
            f"--use-file-for-fake-audio-capture={voice}%noloop",
        ]
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path=CHROMIUM, args=arguments
        )
        yield browser
        await browser.close()


@asynccontextmanager
async def browsing(browser, url, *, query="", before=None, on_socket=None, **context):
    """Open the page of a server; gives it. Errors of its scripts fail the test.

    Args:
        browser: In a context of its own.
        url: Of the server's stream.
        query: Of the address.
        before: Script that runs before those of the page.
        on_socket: Plays the server on each socket that the page opens.
        context: Of the browser: `viewport`, `color_scheme` …
    """
    errors = []
    async with await browser.new_context(**context) as opened:
        page = await opened.new_page()
        page.set_default_timeout(TIMEOUT_S * 1000)
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.on("dialog", lambda dialog: dialog.accept())
        if before:
            await page.add_init_script(before)
        if on_socket:
            await page.route_web_socket(re.compile(events.PATH), on_socket)
        await page.goto(root_of(url) + query)
        await page.wait_for_selector("body[data-state=idle]")
        yield page
    assert not errors, errors


async def wait_for_state(page, *states):
    await page.wait_for_selector(
        ",".join(f"body[data-state={name}]" for name in states)
    )


async def wait_for_problem(page, code=None):
    """Wait until the page says what failed; gives the code and the words."""
    wanted = f"[data-code={code}]" if code else ""
    problem = await page.wait_for_selector(f"#problem:not([hidden]){wanted}")
    return await problem.get_attribute("data-code"), await problem.inner_text()


async def finals(page):
    """(words, emotion) of every finished turn on the page."""
    return await page.eval_on_selector_all(
        ".turn:not(.so-far)",
        """items => items.map((item) => [
          item.querySelector(".words").textContent,
          item.querySelector(".feeling b")?.textContent ?? "",
        ])""",
    )


async def download(page, format):
    """Press a button of the export; gives the bytes."""
    async with page.expect_download() as waiting:
        await page.click(f"[data-export={format}]")
    path = await (await waiting.value).path()
    return path.read_bytes()
