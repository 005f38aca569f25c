"""Debian's Chromium, driven by Playwright, with a recording for a microphone."""

from __future__ import annotations

import shutil
import wave
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from clients.sources import RATE_HZ, Pcm16
from stream_erc import events
from stream_erc.errors import ConfigError

if TYPE_CHECKING:
    from playwright.async_api import Browser

CHROMIUM = shutil.which("chromium")


def can_browse() -> bool:
    """Tell whether both are there."""
    return CHROMIUM is not None and find_spec("playwright") is not None


def root_of(url: str) -> str:
    """Give the page of the server whose stream is at `url`."""
    return url.replace("ws", "http", 1).removesuffix(events.PATH) + "/"


def write_wav(path: Path, samples: Pcm16) -> Path:
    """Write what a microphone is to hear; gives the path."""
    with wave.open(str(path), "wb") as file:
        file.setparams((1, 2, RATE_HZ, 0, "NONE", ""))
        file.writeframes(samples.astype("<i2").tobytes())
    return path


@asynccontextmanager
async def launching(voice: Path | None = None) -> AsyncIterator[Browser]:
    """Run a browser until the block ends.

    Args:
        voice: WAV file that a microphone hears from its opening on, once; None: it is
            refused.

    Raises:
        ConfigError: If there is none.
    """
    if not can_browse():
        raise ConfigError(
            "expected Debian's chromium and Playwright (the extra dev), got neither "
            "or one"
        )
    from playwright.async_api import async_playwright

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
