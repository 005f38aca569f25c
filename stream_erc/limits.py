"""How much a server takes on: one setting for each limit.

What happens at each of them is told in `docs/security.md`. Under its name here each
is a label of the metric `stream_erc_limited`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields

from .option import require, setting

SLOWEST_PACE = 8.0
"""The protocol promises that audio is let in so many times faster than life."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LimitsConfig:
    """How much clients may ask for."""

    max_sessions: int = setting(64, "further clients are refused with 1013")
    max_delay_s: float = setting(
        1.0,
        "seconds that a final may wait for a model; while one waits longer, further "
        "clients are refused with 1013",
    )
    max_sessions_per_owner: int = setting(
        32, "sessions of one token, where there are tokens; then 1013"
    )
    connections_per_s: float = setting(
        20.0,
        "sockets a second of one token, or of one address where there are no "
        "tokens; then HTTP 429",
    )
    connection_burst: int = setting(200, "sockets of these that may come at once")
    max_frame_kib: int = setting(1024, "KiB of a WebSocket message; then 1009")
    max_text_kib: int = setting(128, "KiB of a text message; a longer one is refused")
    messages_per_s: float = setting(
        100.0, "text messages a second of one session; further ones are held back"
    )
    message_burst: int = setting(1000, "text messages that may come at once")
    max_pace: float = setting(
        32.0, "seconds of audio a second of one session; more is held back"
    )
    pace_burst_s: float = setting(120.0, "seconds of audio that may come at once")
    max_unheard_kib: int = setting(
        1024, "KiB of a session's audio that wait to be heard; more is held back"
    )
    max_session_s: float = setting(
        86_400.0, "a longer session is finished and closed with 1008"
    )
    idle_timeout_s: float = setting(
        300.0, "so is one whose client sends nothing for so long"
    )
    max_unread_events: int = setting(
        1000,
        "events that wait for a slow reader before partials are left out and its "
        "audio is held back",
    )
    max_kept_kib: int = setting(
        1024, "KiB of messages kept of a session for a client that comes back"
    )
    reader_timeout_s: float = setting(
        20.0, "a client that reads nothing for so long is closed with 1013"
    )
    max_idle_conversations: int = setting(
        128, "conversations without a session kept of one owner; the oldest goes first"
    )

    def __post_init__(self) -> None:
        require(
            SLOWEST_PACE <= self.max_pace < math.inf,
            f"limits.max_pace: expected at least {SLOWEST_PACE:g}",
            self.max_pace,
        )
        require(
            self.reader_timeout_s >= 0,
            "limits.reader_timeout_s: expected 0 or more",
            self.reader_timeout_s,
        )
        for one in fields(self):
            value = getattr(self, one.name)
            if type(one.default) is int:
                require(value >= 1, f"limits.{one.name}: expected at least 1", value)
            elif one.name != "reader_timeout_s":
                require(
                    0 < value < math.inf, f"limits.{one.name}: expected above 0", value
                )
