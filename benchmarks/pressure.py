"""Two sessions at the pace of life, while others ask for ten times what limits allow.

They say the same with nobody beside them, at first and at the end, and beside each
abuse; how long they wait for their emotions is compared.
"""

from __future__ import annotations

import asyncio
import re
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from benchmarks.abuses import ABUSES, LIMITS, TIMES, WINDOW_S, Abuse, Abuser, Met
from benchmarks.crowd import Crowd, join
from benchmarks.dialogues import COMMITTED, read_actors
from benchmarks.mixture import cast, read_material
from benchmarks.report import Target, print_table, spread
from benchmarks.serving import RunningServer, serving
from benchmarks.timing import Timings
from benchmarks.verdict import Scene
from benchmarks.watching import watch_loop
from stream_erc.admission import hash_token, make_token
from stream_erc.limits import LimitsConfig

N_PEOPLE = 2
HEAD_START_S = 2.0  # in which they are let in
N_OTHERS = TIMES * LIMITS.max_sessions // LIMITS.max_sessions_per_owner
NOBODY = "nobody"
ACTORS = "21-24"
MOST_TIMES = 2.0  # so much longer others may wait
LIMITED = r'^stream_erc_limited_total{{limit="{}"}} (\S+)'
CONVERSATIONS = r"^stream_erc_conversations (\S+)"


@dataclass(frozen=True, slots=True)
class Beside:
    """What the two sessions got, and who was beside them.

    Attributes:
        beside: The setting of `[limits]` that somebody met, or `NOBODY`.
        met: How it was met.
        limited: How often the server counted that.
        n_finals: Of the two sessions.
        n_lost: Turns without one, and sessions that broke off.
        p50_ms: From the end of the voice to the emotion.
        p95_ms: Likewise.
        client_late_ms: The p95 of this program's own event loop.
        rss_mb: Resident memory of the server, at the end.
    """

    beside: str
    met: Met
    limited: int
    n_finals: int
    n_lost: int
    p50_ms: float | None
    p95_ms: float | None
    client_late_ms: float | None
    rss_mb: float | None

    def to_json(self) -> dict[str, Any]:
        """Give it for table and last line."""
        figures = asdict(self)
        met = figures.pop("met")
        return {
            "beside": figures.pop("beside"),
            "asked": met["n_asked"],
            "held": met["n_held"],
            **figures,
        }


class Stand:
    """A server with limits, and those who come to it.

    Args:
        server: With `LIMITS`.
        tokens: That it knows, the first for those who only talk.
        scene: What the others say.
        seconds: How long each of them goes on.
    """

    def __init__(
        self, server: RunningServer, tokens: Sequence[str], scene: Scene, seconds: float
    ) -> None:
        self._server = server
        self._query, *others = (f"?token={token}" for token in tokens)
        self._others = tuple(f"{server.url}{query}" for query in others)
        self._audio = scene.audio
        self._seconds = seconds
        self._material = read_material(COMMITTED, read_actors(ACTORS))

    async def take(self, beside: str, abuse: Abuse | None = None) -> Beside:
        """Let the two talk, and somebody else ask for too much meanwhile."""
        limited = await self._ask(LIMITED.format(beside))
        crowd, lag_ms = Crowd(), list[float]()
        durations_s = [HEAD_START_S + self._seconds] * N_PEOPLE
        url = f"{self._server.url}{self._query}"
        watching = asyncio.create_task(watch_loop(lag_ms), name="watch")
        async with asyncio.TaskGroup() as group:
            for part in cast(self._material, durations_s, seed=0, filling="noise"):
                group.create_task(join(crowd, url, part, 0.0, partials=True))
            await asyncio.sleep(HEAD_START_S)
            met = await abuse(self._abuser(beside)) if abuse else Met(0, 0)
        watching.cancel()
        if await self._ask(CONVERSATIONS) > LIMITS.max_idle_conversations:
            met = replace(met, n_held=0)
        limited = await self._ask(LIMITED.format(beside)) - limited
        return self._sum_up(beside, met, limited, crowd, lag_ms)

    def _abuser(self, beside: str) -> Abuser:
        own = list(ABUSES).index(beside)
        is_many = beside == "max_sessions"
        urls = self._others if is_many else self._others[own : own + 1]
        return Abuser(urls, self._audio, time.monotonic() + self._seconds)

    async def _ask(self, pattern: str) -> int:
        """Ask the server for one of its numbers; 0 where it has none."""
        page = await self._server.get(f"/metrics{self._query}")
        found = re.search(pattern, page, re.MULTILINE)
        return round(float(found[1])) if found else 0

    def _sum_up(
        self, beside: str, met: Met, limited: int, crowd: Crowd, lag_ms: list[float]
    ) -> Beside:
        timings = Timings()
        for performance in crowd.performances:
            timings.add(performance)
        waits_ms = spread(timings.voice_end_to_final)
        return Beside(
            beside,
            met,
            limited,
            timings.n_finals,
            crowd.n_lost + crowd.n_refused,
            waits_ms.p50,
            waits_ms.p95,
            spread(lag_ms).p95,
            self._server.resident_mb(),
        )


async def press(scene: Scene, seconds: float) -> list[Beside]:
    """Let two sessions talk beside nobody, beside each abuse, and beside nobody again.

    Args:
        scene: What the sessions of others say.
        seconds: How long each takes.
    """
    tokens = [make_token() for _ in range(1 + N_OTHERS)]
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "tokens"
        lines = (f"owner{n} {hash_token(t).hex()}\n" for n, t in enumerate(tokens))
        file.write_text("".join(lines), encoding="utf-8")
        options = [f"--server.tokens={file}", f"--server.resume_window_s={WINDOW_S}"]
        options += set_limits(LIMITS)
        async with serving(options) as server:
            stand = Stand(server, tokens, scene, seconds)
            taken = [await stand.take(NOBODY)]
            taken += [await stand.take(name, abuse) for name, abuse in ABUSES.items()]
            return [*taken, await stand.take(NOBODY)]


def set_limits(limits: LimitsConfig) -> list[str]:
    """Give the options that set them."""
    return [f"--limits.{name}={value}" for name, value in asdict(limits).items()]


def print_pressure(taken: Sequence[Beside]) -> None:
    """Print one line for each abuse."""
    rows = [row.to_json() for row in taken]
    print_table(list(rows[0]), [list(row.values()) for row in rows])


def set_pressure_targets(taken: Sequence[Beside]) -> list[Target]:
    """Set what the limits must do beside what they did."""
    alone_ms = [row.p95_ms for row in taken if row.beside == NOBODY and row.p95_ms]
    beside_ms = [row.p95_ms for row in taken if row.beside != NOBODY and row.p95_ms]
    n_over = sum(row.met.n_asked - row.met.n_held for row in taken)
    n_unmet = sum(not row.limited for row in taken if row.beside != NOBODY)
    times = max(beside_ms) / max(alone_ms) if alone_ms and beside_ms else None
    return [
        Target("beyond a limit, and not held", n_over, 0.0),
        Target("limits that no metric counted", n_unmet, 0.0),
        Target("finals lost beside a limit", sum(row.n_lost for row in taken), 0.0),
        Target("p95 beside the worst, as a multiple", times, MOST_TIMES),
    ]
