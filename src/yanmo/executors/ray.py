"""The executor of a cluster: Ray's plain tasks on all of its machines; it knows no job. Only this module imports ray.

The process that asks becomes a driver of the cluster, so it runs on one of its machines. A task gets a job and a unit
as values, finds files by their paths on storage that all machines share, and gives back a few numbers: no text and no
answer goes through Ray's object store. A task whose process or machine is lost is begun anew elsewhere; where the old
one goes on unseen, it makes the same bytes.
"""

from __future__ import annotations

import contextlib
import logging
import os
import platform
import socket
from collections.abc import Iterable, Iterator
from typing import Any, TypeVar

import ray
from ray.exceptions import RayError

from yanmo.errors import ConfigError, InternalError
from yanmo.executors.jobs import LOST_UNITS, UnitJob, UnitOutcome, run_pooled, work_on

__all__ = ["RayTasks"]

logger = logging.getLogger(__name__)

U = TypeVar("U")
R = TypeVar("R")

IN_FLIGHT = 2
"""Tasks that are begun or wait for each that can compute, so that none waits for the driver."""
CONNECT_SECONDS = 5.0
WAIT_SECONDS = 0.2
"""How long the main thread may not see Ctrl-C while it waits."""


class RayTasks:
    """Tasks of a cluster.

    Args:
        address: Host and port of its head.
        num_threads: CPUs that each task takes and computes with.
        resource: What a machine must have that works; its tasks then take one of it and no CPU, so that one works at a
            time. None for all machines.

    Raises:
        ConfigError: There is no cluster, or this machine is none of it; or none has the resource.
    """

    def __init__(self, address: str, num_threads: int, resource: str | None = None) -> None:
        self.num_threads: int | None = num_threads
        # Whoever has connected this process, as a notebook does, keeps the connection.
        self._is_own = not ray.is_initialized()
        if self._is_own:
            _connect(address)
        _warn_if_open()
        options: dict[str, Any] = {"num_cpus": num_threads, "max_retries": LOST_UNITS, "name": "yanmo"}
        if resource is not None:
            _check_resource(address, resource)
            options |= {"num_cpus": 0, "resources": {resource: 1}}
        self._task: Any = ray.remote(**options)(_work)
        self._begun: list[Any] = []

    def run(self, job: UnitJob[U, R], units: Iterable[U | None]) -> Iterator[R]:
        """Yield the results of the units as they come."""
        yield from run_pooled(self, job, units)

    def has_room(self) -> bool:
        """Return whether the cluster, as it is now, takes one more task."""
        assert self.num_threads is not None
        # Asked each time: machines come and go.
        num_cpus = int(ray.cluster_resources().get("CPU", 0))
        return len(self._begun) < IN_FLIGHT * max(num_cpus // self.num_threads, 1)

    def is_idle(self) -> bool:
        """Return whether no task is begun."""
        return not self._begun

    def submit(self, payload: bytes, unit: Any) -> None:
        """Begin a task."""
        self._begun.append(self._task.remote(payload, unit))

    def wait(self) -> UnitOutcome:
        """Return what has ended next.

        Raises:
            InternalError: The process or the machine of one unit was lost again and again.
        """
        ended: list[Any] = []
        while not ended:
            ended, self._begun = ray.wait(self._begun, num_returns=1, timeout=WAIT_SECONDS)
        try:
            outcome = ray.get(ended[0])
        except RayError as error:
            raise InternalError(
                f"A unit was lost {LOST_UNITS + 1} times on the cluster: {error}.",
                hint="Look at the memory of its machines; what is done is kept, and the same command goes on.",
            ) from error
        assert isinstance(outcome, UnitOutcome)
        return outcome

    def close(self) -> None:
        """Give up what is begun, and leave the cluster."""
        for task in self._begun:
            with contextlib.suppress(RayError):
                ray.cancel(task, force=True)
        self._begun = []
        if self._is_own:
            ray.shutdown()


def _work(payload: bytes, unit: Any) -> UnitOutcome:
    return work_on(payload, unit, f"worker {platform.node()}/{os.getpid()}")


def _connect(address: str) -> None:
    # What Ray sends home about its use is turned off where it asks, in the environment.
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    try:
        # Ray itself would go on trying for minutes where nobody listens.
        host, _, port = address.rpartition(":")
        socket.create_connection((host, int(port)), timeout=CONNECT_SECONDS).close()
        ray.init(
            address=address,
            configure_logging=False,
            log_to_driver=False,
            logging_level=logging.WARNING,
        )
    except (OSError, OverflowError, RuntimeError, ValueError, RayError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ConfigError(
            f"The 'executor' parameter must name a cluster that this machine is part of. Got 'ray://{address}' "
            f"instead: {reason}",
            hint=f"On the head: ray start --head. On every other machine, this one too: ray start --address={address}",
        ) from error


def _check_resource(address: str, resource: str) -> None:
    # Ray itself would wait for ever for a machine that has it.
    found = sorted(name for name in ray.cluster_resources() if not name.startswith(("node:", "memory", "object_store")))
    if resource not in found:
        raise ConfigError(
            f"The 'measure_on' parameter must be a resource of the cluster, such as {', '.join(found)}. "
            f"Got {resource!r} instead.",
            hint=f"On the machine that measures: ray start --address={address} --num-cpus=0 "
            f"--resources='{{\"{resource}\": 1}}'",
        )


def _warn_if_open() -> None:
    """Say so where everybody who reaches the cluster may run code on it."""
    if os.environ.get("RAY_AUTH_MODE", "").lower() != "token":
        logger.warning(
            "The cluster asks for no token: whoever reaches its ports runs code on its machines (CVE-2023-48022, "
            "CVE-2025-62593). Set RAY_AUTH_MODE=token on all of them, and keep the ports closed to others."
        )
