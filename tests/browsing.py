"""Drives the page in a real browser: Debian's Chromium with a recording for a voice."""

import asyncio
import json
import re
from contextlib import asynccontextmanager

import msgspec
import pytest
from recording import TIMEOUT_S
from scripted_server import ENDED

from benchmarks.browser import can_browse, root_of
from stream_erc import events

needs_browser = pytest.mark.skipif(
    not can_browse(), reason="wants Playwright (the extra dev) and Debian's chromium"
)
on_shared_loop = pytest.mark.asyncio(loop_scope="session")
"""For tests with the fixture `chromium`, which lives in the loop of the whole run."""


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


class ScriptedServer:
    """Takes the page's sockets; says what the test wants.

    Attributes:
        n_texts: How many text messages came.
    """

    def __init__(self):
        self.n_texts = 0
        self._sockets = asyncio.Queue()
        self._heard = asyncio.Queue()
        self._socket = None
        self._n_said = 0

    def on_socket(self, socket):
        socket.on_message(self._take)
        self._sockets.put_nowait(socket)

    def _take(self, message):
        if isinstance(message, str):
            self.n_texts += 1
            self._heard.put_nowait(json.loads(message))

    async def accept(self):
        """Wait for the next socket; gives its first message."""
        async with asyncio.timeout(TIMEOUT_S):
            self._socket = await self._sockets.get()
        return await self.hear()

    async def hear(self):
        """Give the next message that is no ping."""
        async with asyncio.timeout(TIMEOUT_S):
            while (message := await self._heard.get())["type"] == "ping":
                pass
        return message

    def say(self, *said):
        for event in said:
            message = msgspec.to_builtins(event)
            self.tell(message | {"type": event.__struct_config__.tag})

    def tell(self, message):
        if message["type"] != "session.resumed":
            message = message | {"seq": self._n_said}
            self._n_said += 1
        self._socket.send(json.dumps(message))

    async def end(self):
        self.say(ENDED)
        await self.drop(1000)

    async def drop(self, code=1001):
        await self._socket.close(code=code)

    def begin_anew(self):
        """Play another server from here on."""
        self._n_said = self.n_texts = 0


@asynccontextmanager
async def scripted(chromium, url, **wishes):
    """Open the page before a scripted server; gives both."""
    server = ScriptedServer()
    wishes["on_socket"] = server.on_socket
    async with browsing(chromium, url, **wishes) as page:
        yield page, server


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
