"""How fast one client may send, for how long, and how long it may be silent."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from .allowance import Allowance
from .errors import NotAllowed
from .limits import LimitsConfig


class Pace:
    """One session's clock: nothing is lost by it, what comes too fast waits.

    Args:
        limits: The limits.
        bytes_per_s: Of the audio as declared.
        hold_back: Told the name of a limit and what was expected whenever what came
            must wait.
    """

    def __init__(
        self,
        limits: LimitsConfig,
        bytes_per_s: int,
        hold_back: Callable[[str, str], None],
    ) -> None:
        self._limits = limits
        self._bytes_per_s = bytes_per_s
        self._hold_back = hold_back
        self._clock = asyncio.get_running_loop().time
        self._audio_s = Allowance(limits.max_pace, limits.pace_burst_s, self._clock)
        self._messages = Allowance(
            limits.messages_per_s, limits.message_burst, self._clock
        )
        self._began_s = self._heard_s = self._clock()
        self._n_waiting = 0  # messages in hand

    async def wait_for_audio(self, n_bytes: int) -> None:
        """Wait until so much audio may come in."""
        amount_s = n_bytes / self._bytes_per_s
        if wait_s := self._audio_s.wait_s(amount_s):
            self._hold_back(
                "max_pace",
                f"audio: expected at most {self._limits.max_pace:g} times real time "
                f"beyond {self._limits.pace_burst_s:g} s at once, got it faster",
            )
            await asyncio.sleep(wait_s)
        self._audio_s.take(amount_s)

    async def wait_for_message(self) -> None:
        """Wait until a text message may come in."""
        if wait_s := self._messages.wait_s():
            self._hold_back(
                "messages_per_s",
                f"expected at most {self._limits.messages_per_s:g} text messages a "
                f"second beyond {self._limits.message_burst} at once, got more",
            )
            await asyncio.sleep(wait_s)
        self._messages.take()

    def note(self) -> None:
        """Note a sign of life."""
        self._heard_s = self._clock()

    @contextmanager
    def hearing(self) -> Iterator[None]:
        """Note that the client says something, until it is taken."""
        self._n_waiting += 1
        try:
            yield
        finally:
            self._n_waiting -= 1
            self.note()

    @property
    def left_s(self) -> float:
        """Seconds until the session may have to end."""
        now_s, limits = self._clock(), self._limits
        heard_s = now_s if self._n_waiting else self._heard_s
        return min(
            heard_s + limits.idle_timeout_s - now_s,
            self._began_s + limits.max_session_s - now_s,
        )

    def find_excess(self) -> NotAllowed:
        """Tell, once nothing is left, of what there was too much."""
        limits = self._limits
        lasted_s = self._clock() - self._began_s
        if lasted_s >= limits.max_session_s:
            expected = f"expected a session of at most {limits.max_session_s:g} s"
            return NotAllowed(
                "session_too_long", f"{expected}, got {lasted_s:.1f} s; finishing it"
            )
        expected = f"expected audio or a message within {limits.idle_timeout_s:g} s"
        return NotAllowed("idle", f"{expected}, got nothing; finishing the session")
