"""Take the pictures in docs/browser: PYTHONPATH=. python tests/page_pictures.py

Three people of the demo talk live, each to a page of his own; the first one's is taken.
"""

import asyncio
import sys
import tempfile
from contextlib import AsyncExitStack
from pathlib import Path

import numpy as np
from browsing import browsing, wait_for_state
from conftest import start_server
from recording import RATE_HZ, silence

from benchmarks.browser import launching, write_wav
from clients.demo import CORPUS
from clients.sources import load, read_corpus

DOCS = Path(__file__).parents[1] / "docs" / "browser"
GAP_S = 1.5
N_TURNS = 5  # the last of them is still being spoken in the pictures
WIDE = {"width": 1280, "height": 850}  # all turns are seen whole
PHONE = {"width": 390, "height": 844}
NAMES = {"actor 21": "Mara", "actor 22": "Jonas", "actor 24": "Ines"}
FIRST = "Mara"


def voices():
    """What each of them says, by name; the last one goes on for a while."""
    lines = list(read_corpus(CORPUS))[:N_TURNS]
    said, length = [], round(GAP_S * RATE_HZ)
    for line in [*lines, *[lines[-1]] * 5]:  # some without a partial, if busy
        samples = load(line)
        said.append((NAMES[line.speaker], length, samples))
        length += len(samples) + round(GAP_S * RATE_HZ)
    tracks = {name: silence(length / RATE_HZ) for name, _, _ in said}
    for name, at, samples in said:
        tracks[name][at : at + len(samples)] += samples
    return tracks


async def take_pictures(url, folder):
    async with AsyncExitStack() as stack:
        scratch = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        pages = {}
        for name, track in voices().items():
            voice = write_wav(scratch / f"{name}.wav", track.astype(np.int16))
            browser = await stack.enter_async_context(launching(voice))
            look = {"query": f"?speaker={name}&conversation=kitchen", "viewport": WIDE}
            opened = browsing(browser, url, **look)
            pages[name] = await stack.enter_async_context(opened)
        await asyncio.gather(*(page.click("#start") for page in pages.values()))
        page = pages[FIRST]
        await page.click("#fit")
        await page.mouse.move(0, 0)  # a button under it looks different
        await page.wait_for_selector(f".turn:not(.so-far) >> nth={N_TURNS - 2}")
        await page.wait_for_selector(".turn.so-far .feeling b")
        await page.screenshot(path=folder / "light.png")
        await page.emulate_media(color_scheme="dark")
        await page.screenshot(path=folder / "dark.png")
        await page.set_viewport_size(PHONE)
        await page.screenshot(path=folder / "phone.png", full_page=True)
        for page in pages.values():
            await page.click("#start")
            await wait_for_state(page, "ended")


def main():
    DOCS.mkdir(exist_ok=True)
    process, url = start_server()
    try:
        asyncio.run(take_pictures(url, DOCS))
    finally:
        process.terminate()
        process.wait(20)
    for path in sorted(DOCS.glob("*.png")):
        print(path, path.stat().st_size)


if __name__ == "__main__":
    sys.exit(main())
