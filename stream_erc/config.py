"""Settings: one frozen class per stage, checked once, at start-up.

`Settings` joins them; `settings.py` reads them.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from ipaddress import ip_address
from pathlib import Path

from .cluster import ClusterConfig, EngineConfig
from .limits import LimitsConfig
from .machine import usable_cores
from .option import require, setting
from .speakers import SpeakerConfig

ORIGIN = r"[a-zA-Z][a-zA-Z0-9+.-]*://[^\s/?#]+"  # RFC 6454, section 7: no path

DEFAULT_MODEL = Path(__file__).parent / "models" / "default"
DEFAULT_WHISPER = "tiny.en"


def is_loopback(host: str) -> bool:
    """Tell whether an address is one that other machines cannot reach."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerConfig:
    """Where the server listens, and whom it lets in."""

    host: str = setting("127.0.0.1", "address to bind; loopback unless you say more")
    port: int = setting(8765, "TCP port; 0 takes a free one and prints it")
    tokens: str = setting(
        "", "file of token hashes, see `stream-erc token`; SIGHUP reads it again"
    )
    origins: tuple[str, ...] = setting(
        (), "other sites whose pages may connect, such as https://app.example.org"
    )
    certificate: str = setting("", "PEM file of the certificate chain, for TLS")
    key: str = setting("", "PEM file of its private key")
    insecure: bool = setting(
        False, "listen beyond loopback even without tokens and TLS"
    )
    resume_window_s: float = setting(
        30.0,
        "seconds that a session outlives its socket, and a conversation its last "
        "session; 0: a lost socket ends the session",
    )
    drain_s: float = setting(10.0, "seconds to finish what was heard after SIGTERM")
    handover: str = setting(
        "",
        "folder that several servers share: what a conversation remembers waits there "
        "for the one at which it goes on after SIGTERM; empty: it begins anew",
    )

    def __post_init__(self) -> None:
        require(0 <= self.port <= 65_535, "server.port: expected 0 to 65535", self.port)
        self._require_closed_doors()
        for name in ("resume_window_s", "drain_s"):
            value = getattr(self, name)
            require(value >= 0, f"server.{name}: expected 0 or more", value)
        require(
            not self.handover or self.resume_window_s > 0,
            "server.handover: expected server.resume_window_s above 0, for so long it "
            "is kept",
            self.resume_window_s,
        )

    def _require_closed_doors(self) -> None:
        require(
            all(re.fullmatch(ORIGIN, origin) for origin in self.origins),
            "server.origins: expected each as SCHEME://HOST or SCHEME://HOST:PORT",
            self.origins,
        )
        require(
            bool(self.certificate) == bool(self.key),
            "server.certificate, server.key: expected both or neither",
            f"certificate={self.certificate!r} and key={self.key!r}",
        )
        require(
            is_loopback(self.host)
            or bool(self.tokens and self.certificate)
            or self.insecure,
            "server.host: expected a loopback address, or server.tokens and "
            "server.certificate to keep strangers out, or --insecure to let them in",
            repr(self.host),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class VadConfig:
    """When there is voice.

    Two thresholds instead of one keep a voice that hovers around 0.5 from
    switching on and off; values of `VADIterator` in snakers4/silero-vad.
    """

    onset: float = setting(0.5, "probability at or above which voice starts")
    offset: float = setting(0.35, "probability below which it pauses")
    min_speech_ms: int = setting(96, "a shorter voice is taken for a click")
    min_pause_ms: int = setting(96, "a shorter pause does not stop the voice")

    def __post_init__(self) -> None:
        require(
            0.0 < self.offset <= self.onset < 1.0,
            "vad: expected 0 < offset <= onset < 1",
            f"offset={self.offset} and onset={self.onset}",
        )
        require(
            32 <= self.min_speech_ms <= 1000,
            "vad.min_speech_ms: expected 32 to 1000",
            self.min_speech_ms,
        )
        require(
            32 <= self.min_pause_ms <= 1000,
            "vad.min_pause_ms: expected 32 to 1000",
            self.min_pause_ms,
        )


INTERVALS = (
    "first_partial_ms",
    "wordless_interval_ms",
    "partial_interval_ms",
    "emotion_partial_ms",
)
"""Settings of `TurnConfig`: voice heard before something provisional is told."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TurnConfig:
    """When a turn starts, when it is judged in advance, and when it is over."""

    pre_roll_ms: int = setting(300, "audio kept from before the voice")
    post_roll_ms: int = setting(96, "audio kept from after the voice")
    eager_silence_ms: int = setting(
        128, "silence after which the finals are computed in advance"
    )
    end_silence_ms: int = setting(544, "silence that ends a turn")
    end_silence_complete_ms: int = setting(
        0, "silence that ends it where its words sound complete; 0: as any other"
    )
    end_silence_unfinished_ms: int = setting(
        0, "silence that ends it where they sound unfinished; 0: as any other"
    )
    onset_search_ms: int = setting(1000, "how far back a breath counts to a turn")
    max_turn_ms: int = setting(19_000, "a longer turn is cut at a quiet place")
    search_ms: int = setting(3000, "how far back that quiet place is looked for")
    first_partial_ms: int = setting(128, "voice heard before the first partial")
    partial_interval_ms: int = setting(512, "voice heard between partials")
    wordless_interval_ms: int = setting(
        128,
        "the same, while there are no words and for the first emotion; in the first "
        "1.5 s of voice",
    )
    emotion_partial_ms: int = setting(
        960, "voice heard before the first provisional emotion"
    )

    def __post_init__(self) -> None:
        require(
            0 <= self.post_roll_ms <= min(150, self.eager_silence_ms),
            "turns.post_roll_ms: expected 0 to 150, at most eager_silence_ms",
            self.post_roll_ms,
        )
        require(
            self.eager_silence_ms <= self.end_silence_ms,
            "turns.end_silence_ms: expected at least eager_silence_ms, "
            f"{self.eager_silence_ms}",
            self.end_silence_ms,
        )
        require(
            self.end_silence_complete_ms == 0
            or self.eager_silence_ms
            <= self.end_silence_complete_ms
            <= self.end_silence_ms,
            "turns.end_silence_complete_ms: expected 0, or eager_silence_ms to "
            "end_silence_ms",
            self.end_silence_complete_ms,
        )
        require(
            self.end_silence_unfinished_ms == 0
            or self.end_silence_ms <= self.end_silence_unfinished_ms <= 10_000,
            "turns.end_silence_unfinished_ms: expected 0, or end_silence_ms to 10000",
            self.end_silence_unfinished_ms,
        )
        require(
            0 <= self.pre_roll_ms <= 2000,
            "turns.pre_roll_ms: expected 0 to 2000",
            self.pre_roll_ms,
        )
        require(
            2000 <= self.max_turn_ms <= 29_000,
            "turns.max_turn_ms: expected 2000 to 29000 (Whisper hears 30 s)",
            self.max_turn_ms,
        )
        require(
            0 < self.search_ms < self.max_turn_ms,
            "turns.search_ms: expected above 0 and below max_turn_ms",
            self.search_ms,
        )
        require(
            0 <= self.onset_search_ms <= 2000,
            "turns.onset_search_ms: expected 0 to 2000",
            self.onset_search_ms,
        )
        for name in INTERVALS:
            value = getattr(self, name)
            require(value >= 100, f"turns.{name}: expected at least 100", value)


@dataclass(frozen=True, slots=True, kw_only=True)
class AsrConfig:
    """Which recognizer transcribes, and on what."""

    whisper: str = setting(
        DEFAULT_WHISPER, "faster-whisper model: a name, or a CTranslate2 folder"
    )
    language: str = setting("en", "language of a session that names none")
    device: str = setting("cpu", '"cpu" or "cuda"')
    compute_type: str = setting(
        "int8",
        '"int8" or "float32" on a CPU; on a GPU a type of CTranslate2, "float16" suits',
    )
    threads: int = setting(1, "threads for one turn")
    workers: int = setting(
        0, "turns at once, one kept free for finals; 0: one a usable core, at least 2"
    )

    def __post_init__(self) -> None:
        require(
            self.device in ("cpu", "cuda"),
            'asr.device: expected "cpu" or "cuda"',
            self.device,
        )
        require(self.threads >= 1, "asr.threads: expected at least 1", self.threads)
        require(self.workers >= 0, "asr.workers: expected at least 0", self.workers)

    @property
    def n_workers(self) -> int:
        """How many turns are heard at once on this machine."""
        return self.workers_on(usable_cores())

    def workers_on(self, cores: float) -> int:
        """How many turns are heard at once where there are so many cores."""
        return self.workers or max(2, int(cores / self.threads))


@dataclass(frozen=True, slots=True, kw_only=True)
class GateConfig:
    """When a transcript is judged not to be speech; see `gates.py`."""

    min_log_probability: float = setting(
        -1.0, "mean token log probability below which words are not trusted"
    )
    max_no_speech_probability: float = setting(
        0.6, "Whisper's no-speech estimate above which doubtful words fall"
    )
    max_compression_ratio: float = setting(2.4, "above it the text is a loop")
    max_words_per_s: float = setting(8.0, "words per second of voice nobody reaches")

    def __post_init__(self) -> None:
        require(
            self.min_log_probability < 0,
            "gates.min_log_probability: expected below 0",
            self.min_log_probability,
        )
        require(
            0 < self.max_no_speech_probability <= 1,
            "gates.max_no_speech_probability: expected above 0, at most 1",
            self.max_no_speech_probability,
        )
        for name in ("max_compression_ratio", "max_words_per_s"):
            value = getattr(self, name)
            require(value > 1, f"gates.{name}: expected above 1", value)


@dataclass(frozen=True, slots=True, kw_only=True)
class EmotionConfig:
    """Which dialogue model judges, and on what."""

    model: str = setting(str(DEFAULT_MODEL), "folder of an exported model")
    device: str = setting("cpu", '"cpu" or "cuda"')

    def __post_init__(self) -> None:
        require(
            self.device in ("cpu", "cuda"),
            'emotion.device: expected "cpu" or "cuda"',
            self.device,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class LogConfig:
    """What is logged, to stderr."""

    format: str = setting("text", '"text" for people; "json" has an object a line')
    content: bool = setting(
        False, "log what was said, by whom, and how it was judged, too; never tokens"
    )

    def __post_init__(self) -> None:
        require(
            self.format in ("text", "json"),
            'log.format: expected "text" or "json"',
            self.format,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class JournalConfig:
    """What is kept of sessions on disk."""

    file: str = setting(
        "", "SQLite file that keeps what was said and how it was judged"
    )
    record: str = setting("", "folder that keeps the audio of sessions, as WAV")
    days: int = setting(0, "both are removed after so many days; 0: never")

    def __post_init__(self) -> None:
        require(self.days >= 0, "journal.days: expected 0 or more", self.days)


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """All settings of a server."""

    server: ServerConfig = field(default_factory=ServerConfig)
    limits: LimitsConfig = field(default_factory=LimitsConfig)
    vad: VadConfig = field(default_factory=VadConfig)
    turns: TurnConfig = field(default_factory=TurnConfig)
    asr: AsrConfig = field(default_factory=AsrConfig)
    gates: GateConfig = field(default_factory=GateConfig)
    emotion: EmotionConfig = field(default_factory=EmotionConfig)
    speakers: SpeakerConfig = field(default_factory=SpeakerConfig)
    engine: EngineConfig = field(default_factory=EngineConfig)
    cluster: ClusterConfig = field(default_factory=ClusterConfig)
    log: LogConfig = field(default_factory=LogConfig)
    journal: JournalConfig = field(default_factory=JournalConfig)
