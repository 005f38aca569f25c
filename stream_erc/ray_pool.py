"""Settings -> a pool of replicas on Ray Serve, found or started.

Calls go to the replicas by gRPC; both sides unpickle what comes, so a cluster's network
must be private: see `docs/security.md`.
"""

from __future__ import annotations

import asyncio
import logging
import re
import time
from collections.abc import Callable, Set
from dataclasses import dataclass
from typing import Any

from .cluster import ClusterConfig
from .config import Settings
from .context import Context
from .engine import Request, Result, require_match
from .errors import ClusterError
from .fingerprint import fingerprint_hearing, fingerprint_understanding
from .ray_cluster import TERSE, find_reason, import_ray, join_ray
from .remote import Unanswered
from .replicas import (
    Call,
    HearingReplica,
    Profile,
    Refusal,
    UnderstandingReplica,
    pack,
)
from .version import VERSION

log = logging.getLogger(__name__)

STORE_BYTES = 100_000_000
"""Shared memory of a Ray of our own: near the least, as calls do not lie in it."""

WAITING_AT_ONE = 64
"""Requests at one replica; behind them they would wait without lanes."""

LOOK_S = 0.2
DESCRIBE_TIMEOUT_S = 20.0
FATAL = ("DEPLOY_FAILED", "UNHEALTHY")
CAUSE = re.compile(r"\b(?:ModelError|ConfigError): (?P<told>.+)")


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of replica.

    Attributes:
        desk: "hear" or "understand".
        setting: First word of its settings in [cluster].
        replica: Its class.
        fingerprint: That its models must have.
    """

    desk: str
    setting: str
    replica: type
    fingerprint: str


class RayPool:
    """Replicas of both kinds; each is an application of Ray Serve.

    Those of an earlier gateway are taken as they are, where they have the same models.

    Args:
        settings: All of them; models are read here for their fingerprints alone.

    Raises:
        ConfigError: If Ray is not installed.
        ModelError: If the models are not here, or do not fit each other.
        ClusterError: If there is no cluster, or no replicas of these models.
    """

    def __init__(self, settings: Settings) -> None:
        hear = fingerprint_hearing(settings)
        understand = fingerprint_understanding(settings)
        self._config = settings.cluster
        self._kinds = (
            Kind("hear", "hearing", HearingReplica, hear),
            Kind("understand", "understanding", UnderstandingReplica, understand),
        )
        self._handles: dict[str, Any] = {}
        self._ray, self._serve = join_cluster(self._config)
        try:
            self._start(settings)
            self._handles = {kind.desk: self._handle(kind) for kind in self._kinds}
            heard, understood = (self._describe(kind) for kind in self._kinds)
            require_match(understood.voice_size, heard.voice_size)
        except BaseException:
            self.close()
            raise
        assert understood.prior is not None and understood.context is not None
        self.languages = heard.languages
        self.prior = understood.prior
        self._context = understood.context

    def empty_context(self) -> Context:
        """Give the memory of a conversation in which nothing was said."""
        return self._context

    async def ask(self, desk: str, request: Request, left_s: float | None) -> Result:
        """Ask the replica that has least to do; see `Pool`."""
        [kind] = [kind for kind in self._kinds if kind.desk == desk]
        call = Call(request, kind.fingerprint, left_s)
        answer: Result | Refusal = await self._call(desk, "answer", call)
        if isinstance(answer, Refusal):
            raise Unanswered(answer.reason)
        return answer

    async def check(self) -> None:
        """Ask whether a replica of each kind is there; see `Pool`."""
        for kind in self._kinds:
            profile: Profile = await self._call(kind.desk, "describe")
            if profile.fingerprint != kind.fingerprint:
                raise Unanswered("the replicas have other models")

    def close(self) -> None:
        """Leave the cluster; one of our own ends.

        A router that still ran would start another Ray, for want of the one that left.
        """
        for handle in self._handles.values():
            handle.shutdown()
        self._ray.shutdown()

    async def _call(self, desk: str, method: str, *arguments: object) -> Any:
        ask = getattr(self._handles[desk], method).remote
        return await receive(lambda: ask(*arguments))

    # --- at the start -----------------------------------------------------------

    def _name(self, kind: Kind) -> str:
        return f"{self._config.pool}.{kind.desk}"

    def _handle(self, kind: Kind) -> Any:
        """Give what asks replicas: straight to their sockets, in one message each way.

        By reference, as is usual, calls are tasks of Ray, which take twice as long:
        several messages, and what has more than 100 KB lies in its store between.
        """
        handle = self._serve.get_app_handle(self._name(kind))
        return handle.options(_by_reference=False)

    def _start(self, settings: Settings) -> None:
        """Start the kinds that are not there; wait until all run."""
        self._serve.start(proxy_location="Disabled")
        there = self._serve.status().applications
        missing = [kind for kind in self._kinds if self._name(kind) not in there]
        for kind in missing:
            log.info("starting replicas: %s", kind.desk)
        if missing:
            self._serve.run_many(
                [self._target(kind, settings) for kind in missing],
                wait_for_ingress_deployment_creation=False,
                wait_for_applications_running=False,
            )
        try:
            self._wait_until_running({self._name(kind) for kind in missing})
        except ClusterError:
            for kind in missing:  # or the next gateway would find them broken
                self._serve.delete(self._name(kind), _blocking=False)
            raise

    def _target(self, kind: Kind, settings: Settings) -> Any:
        """Describe one kind of replica to Ray Serve."""
        config, word = self._config, kind.setting
        deployment = self._serve.deployment(
            kind.replica,
            name=kind.desk,
            ray_actor_options={
                "num_cpus": getattr(config, f"{word}_cpus"),
                "num_gpus": getattr(config, f"{word}_gpus"),
            },
            autoscaling_config={
                "min_replicas": getattr(config, f"{word}_min"),
                "max_replicas": getattr(config, f"{word}_max"),
                "target_ongoing_requests": config.target_requests,
                "upscale_delay_s": 5.0,
                "downscale_delay_s": 120.0,
            },
            max_ongoing_requests=WAITING_AT_ONE,
            max_constructor_retry_count=2,
            health_check_period_s=5.0,
            health_check_timeout_s=20.0,
            logging_config={"enable_access_log": False},
        )
        return self._serve.RunTarget(
            target=deployment.bind(pack(settings), kind.fingerprint),
            name=self._name(kind),
            route_prefix=None,
        )

    def _wait_until_running(self, new: Set[str]) -> None:
        """Wait for all replicas of the new kinds, and for one of each other.

        Of others some may have died with their node, and Ray Serve calls that failed.
        """
        names = [self._name(kind) for kind in self._kinds]
        until_s = time.monotonic() + self._config.start_s
        while True:
            found = self._serve.status().applications
            there = {name: found[name] for name in names if name in found}
            states = {name: one.status.value for name, one in there.items()}
            if len(there) == len(names) and all(
                states[name] == "RUNNING" or (name not in new and has_replica(one))
                for name, one in there.items()
            ):
                return
            is_fatal = any(states.get(name) in FATAL for name in new)
            if is_fatal or time.monotonic() > until_s:
                told = find_cause(list(there.values()))
                raise ClusterError(
                    f"cluster: expected replicas within {self._config.start_s:g} s, "
                    f"got: {told}"
                )
            time.sleep(LOOK_S)

    def _describe(self, kind: Kind) -> Profile:
        """Ask a replica what it is.

        Raises:
            ClusterError: If it is not what this gateway needs.
        """
        name = self._name(kind)
        try:
            profile: Profile = (
                self._handles[kind.desk]
                .describe.remote()
                .result(timeout_s=DESCRIBE_TIMEOUT_S)
            )
            got = (profile.version, profile.fingerprint[:12])
        except Exception as error:  # to read another version's answer may raise any
            raise ClusterError(
                f"cluster.pool: expected an answer of {name}, got: "
                f"{type(error).__name__}: {find_reason(str(error))}"
            ) from error
        wanted = (VERSION, kind.fingerprint[:12])
        if wanted != got:
            raise ClusterError(
                f"cluster.pool: expected {name} to be of stream-erc {wanted[0]} with "
                f"the models {wanted[1]}…, got {got[0]} with {got[1]}…; take another "
                f"name (--cluster.pool), or delete those"
            )
        return profile


async def receive(ask: Callable[[], Any]) -> Any:
    """Ask a replica, and wait for the answer; who is cancelled cancels the call.

    Raises:
        Unanswered: If none comes. The replica may have cancelled it, as one does that
            stops; what else is raised has no common base class.
    """
    response = None
    try:
        response = ask()
        return await response
    except asyncio.CancelledError:
        task = asyncio.current_task()
        if task is not None and not task.cancelling():
            raise Unanswered("the replica stops") from None
        if response is not None:
            response.cancel()  # nobody needs to compute it
        raise
    except Exception as error:
        raise Unanswered(type(error).__name__) from None


def join_cluster(config: ClusterConfig) -> tuple[Any, Any]:
    """Join the cluster, or start one; give the modules of Ray and Ray Serve.

    Raises:
        ConfigError: If Ray is not installed.
        ClusterError: If it cannot be joined.
    """
    # gRPC is Ray Serve's way to replicas, and one of Ray's extras brings it.
    ray, serve, _ = import_ray("engine.kind", "ray", "ray.serve", "grpc")
    join_ray(ray, config.address, object_store_memory=STORE_BYTES)
    logging.getLogger("ray").setLevel(logging.WARNING)
    serve_log = logging.getLogger("ray.serve")  # it talks, in a form of its own
    serve_log.setLevel(logging.WARNING)
    serve_log.handlers = list(logging.getLogger().handlers)  # Ray may clear its own
    serve_log.addFilter(TERSE)
    return ray, serve


def has_replica(application: Any) -> bool:
    """Tell whether a replica of it runs, whatever became of others."""
    deployments = application.deployments.values()
    return any(one.replica_states.get("RUNNING", 0) > 0 for one in deployments)


def find_cause(applications: list[Any]) -> str:
    """Say in a line why applications do not run; an error of ours, where there is."""
    told = "\n".join(
        message
        for application in applications
        for message in (
            application.message,
            *(one.message for one in application.deployments.values()),
        )
        if message
    )
    found = CAUSE.search(told)
    return found["told"] if found else find_reason(told) or "nothing"
