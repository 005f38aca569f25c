"""An hour of 600 turns on the page, and how long its frames take."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stream_erc.flow import EMOTIONS

if TYPE_CHECKING:
    from playwright.async_api import Page, ViewportSize

SPEAKERS = ("Ann", "Béla", "李")
N_TURNS = 600
TURN_MS = 6_000
WIDE: ViewportSize = {"width": 1280, "height": 860}

MOVES = {
    "scroll": "document.getElementById('turns').scrollTop = i * 120",
    "scrub": """
      const overview = document.getElementById("overview");
      const box = overview.getBoundingClientRect();
      const at = { clientX: box.left + (box.width * i) / 90, clientY: box.top + 5 };
      overview.dispatchEvent(new PointerEvent("pointermove", { buttons: 1, ...at }));
    """,
    "zoom": "document.getElementById(i % 30 < 15 ? 'zoom-out' : 'zoom-in').click()",
}
MEASURE = """async (move) => {
  const step = new Function("i", move);
  const times = [];
  for (let i = 0; i < 90; i += 1) {
    step(i);
    times.push(await new Promise(requestAnimationFrame));
  }
  return times.slice(1).map((time, i) => time - times[i]);
}"""


def long_session() -> Iterator[dict[str, Any]]:
    """Yield the messages of an hour of three people, as the page exports them."""
    yield {"type": "session.started", "seq": 0, "time_ms": 0, "labels": EMOTIONS}
    for turn in range(N_TURNS):
        start_ms = turn * TURN_MS
        said = {"turn": turn, "seq": 4 * turn + 1, "time_ms": start_ms + 5_000}
        speaker = {"speaker": SPEAKERS[turn % 3], "start_ms": start_ms}
        weights = [1 + (turn * (k + 3) * 7919) % 97 for k in range(len(EMOTIONS))]
        probabilities = {
            name: weight / sum(weights)
            for name, weight in zip(EMOTIONS, weights, strict=True)
        }
        yield {"type": "turn.started", "voice_start_ms": start_ms} | said | speaker
        ended = {"type": "turn.ended", "end_ms": start_ms + 4_500, "reason": "silence"}
        yield ended | said | speaker | {"decided_ms": start_ms + 5_000}
        words = f"This is what was said as number {turn}, <i>no more</i>."
        transcript = {"type": "transcript.final", "text": words, "words": []}
        yield transcript | said | {"rejected": False}
        yield said | {
            "type": "emotion.final",
            "label": max(probabilities, key=lambda name: probabilities[name]),
            "probabilities": probabilities,
            "sentiment": {"negative": 0.25, "neutral": 0.5, "positive": 0.25},
            "modalities": ["audio", "text"],
            "context_turns": min(turn, 10),
            "context_seq": turn,
            "latency": {"endpoint_ms": 1, "compute_ms": 1, "queue_ms": 0},
        }


def write_hour(folder: Path) -> Path:
    """Write that session into a folder, for the page to load; gives the file."""
    file = folder / "hour.jsonl"
    lines = (json.dumps(message) + "\n" for message in long_session())
    file.write_text("".join(lines), encoding="utf-8")
    return file


async def load(page: Page, file: Path) -> None:
    """Let the page show that session."""
    await page.set_input_files("#file", file)
    await page.wait_for_selector(f".turn >> nth={N_TURNS - 1}", state="attached")


async def time_frames(page: Page, move: str) -> list[float]:
    """Do one of `MOVES` with every frame; give how long each took, in milliseconds."""
    times: list[float] = await page.evaluate(MEASURE, MOVES[move])
    return times
