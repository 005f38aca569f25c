"""Where the models are; how large a pool of them is: the settings."""

from __future__ import annotations

import re
from dataclasses import dataclass

from .option import require, setting

ADDRESS = r"|auto|[^\s:/]+:\d{1,5}"


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineConfig:
    """Where the models are, and when one is taken for stuck."""

    kind: str = setting(
        "local", '"local": in this process; "ray": in a pool, see [cluster]'
    )
    hang_s: float = setting(
        20.0,
        "a call of a model that takes longer is given up: its turn is told without it, "
        "and another thread takes the place of the stuck one",
    )
    max_stuck: int = setting(
        4, "threads stuck in one model before it is left alone, and /readyz says no"
    )

    def __post_init__(self) -> None:
        require(
            self.kind in ("local", "ray"),
            'engine.kind: expected "local" or "ray"',
            repr(self.kind),
        )
        require(self.hang_s > 0, "engine.hang_s: expected above 0", self.hang_s)
        require(
            self.max_stuck >= 1,
            "engine.max_stuck: expected at least 1",
            self.max_stuck,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterConfig:
    """Where the models are that `engine.kind = "ray"` asks, and how many of them.

    What is said of replicas counts for the gateway that starts the pool; those that
    join later find it as it is.
    """

    address: str = setting(
        "",
        'Ray cluster: HOST:PORT of its head, or "auto" for the one that this machine '
        "belongs to; none: one of its own, on this machine, for as long as it serves",
    )
    pool: str = setting("stream-erc", "name of the pool; each has its own models")
    hearing_min: int = setting(1, "replicas that hear, at least")
    hearing_max: int = setting(4, "replicas that hear, at most")
    hearing_cpus: float = setting(1.0, "cores that Ray sets aside for each")
    hearing_gpus: float = setting(0.0, "GPUs likewise; wants asr.device cuda")
    understanding_min: int = setting(1, "replicas that understand, at least")
    understanding_max: int = setting(2, "replicas that understand, at most")
    understanding_cpus: float = setting(0.5, "cores that Ray sets aside for each")
    understanding_gpus: float = setting(0.0, "GPUs likewise; wants emotion.device cuda")
    target_requests: float = setting(
        2.0, "requests at a replica, on average, above which another is started"
    )
    in_flight: int = setting(
        64, "requests of one kind under way at once; partials take half of it at most"
    )
    attempt_s: float = setting(
        10.0, "seconds after which a final is asked of another replica"
    )
    patience_s: float = setting(
        30.0, "seconds after which a final is told without the model"
    )
    start_s: float = setting(120.0, "seconds for the first replicas to load models")

    def __post_init__(self) -> None:
        require(
            re.fullmatch(ADDRESS, self.address) is not None,
            'cluster.address: expected HOST:PORT, "auto" or none',
            repr(self.address),
        )
        require(
            re.fullmatch(r"[A-Za-z0-9_.-]+", self.pool) is not None,
            "cluster.pool: expected letters, digits, dots, dashes",
            repr(self.pool),
        )
        for kind in ("hearing", "understanding"):
            least, most = getattr(self, f"{kind}_min"), getattr(self, f"{kind}_max")
            require(
                1 <= least <= most,
                f"cluster.{kind}_min: expected 1 to {kind}_max",
                f"{least} and {most}",
            )
            for resource in ("cpus", "gpus"):
                name = f"{kind}_{resource}"
                value = getattr(self, name)
                require(value >= 0, f"cluster.{name}: expected 0 or more", value)
        self._require_times()

    def _require_times(self) -> None:
        require(
            self.in_flight >= 2,
            "cluster.in_flight: expected at least 2",
            self.in_flight,
        )
        for name in ("target_requests", "attempt_s", "patience_s", "start_s"):
            value = getattr(self, name)
            require(value > 0, f"cluster.{name}: expected above 0", value)
