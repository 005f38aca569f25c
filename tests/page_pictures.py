"""Take the pictures of the page in docs/browser: python tests/page_pictures.py

Three people of the demo, live; the gaps are long enough to type a name.
"""

import asyncio
import sys
import tempfile
from pathlib import Path

from browsing import browsing, wait_for_state
from conftest import start_server
from recording import RATE_HZ, join, silence

from benchmarks.browser import launching, write_wav
from clients.demo import CORPUS
from clients.sources import load, read_corpus

DOCS = Path(__file__).parents[1] / "docs" / "browser"
GAP_S = 2.0
N_TURNS = 5  # the last of them is still being spoken in the pictures
WIDE = {"width": 1280, "height": 800}
PHONE = {"width": 390, "height": 844}
NAMES = {"actor 21": "Mara", "actor 22": "Jonas", "actor 24": "Ines"}


async def take_pictures(url, folder):
    lines = list(read_corpus(CORPUS))[:N_TURNS]
    with tempfile.TemporaryDirectory() as scratch:
        said = join(*(join(silence(GAP_S), load(line)) for line in lines))
        again = join(said, said[: RATE_HZ * 4])
        voice = write_wav(Path(scratch) / "voice.wav", again)
        async with (
            launching(voice) as browser,
            browsing(browser, url, viewport=WIDE) as page,
        ):
            await page.fill("#speaker", NAMES[lines[0].speaker])
            await page.click("#start")
            await wait_for_state(page, "open")
            for n, line in enumerate(lines[1:]):
                await page.wait_for_selector(f".turn:not(.so-far) >> nth={n}")
                await page.fill("#speaker", NAMES[line.speaker])
                await page.press("#speaker", "Enter")
            await page.wait_for_selector(".turn.so-far .feeling b")
            await page.screenshot(path=folder / "light.png")
            await page.emulate_media(color_scheme="dark")
            await page.screenshot(path=folder / "dark.png")
            await page.set_viewport_size(PHONE)
            await page.screenshot(path=folder / "phone.png", full_page=True)
            await page.click("#start")


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
