"""What an executor does: a job is opened once in each process that works, and is given unit after unit.

A job and its units are plain values that can be sent to another process; results are small ones that come back, in
whatever order they end. An error of the user ends all; only a process that is lost is replaced, and its unit made
again. It knows no machine and nothing of what a job makes.
"""

from __future__ import annotations

import functools
import logging
import pickle
import traceback
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager
from typing import Any, Protocol, TypeVar

import msgspec

from yanmo.artifacts.identity import code_version, library_versions
from yanmo.errors import ArtifactError, ConfigError, InternalError, YanmoError, raise_again, told

__all__ = [
    "LOST_UNITS",
    "Executor",
    "Pool",
    "UnitJob",
    "UnitOutcome",
    "UnitWorker",
    "run_pooled",
    "send",
    "take_result",
    "work_on",
]

logger = logging.getLogger(__name__)

U = TypeVar("U")
R = TypeVar("R")
U_contra = TypeVar("U_contra", contravariant=True)
R_co = TypeVar("R_co", covariant=True)

END = object()
LOST_UNITS = 3
"""How often a unit is made again whose process was lost; one that ends every process is not tried for ever."""


class UnitWorker(Protocol[U_contra, R_co]):
    """A job that is open in one process."""

    def run(self, units: Iterable[U_contra]) -> Iterator[R_co]:
        """Yield the result of each unit, in order; it may look at the next unit while one is worked on."""
        ...


class UnitJob(Protocol[U_contra, R_co]):
    """What is to be done with units, as plain values."""

    def open(self) -> AbstractContextManager[UnitWorker[U_contra, R_co]]:
        """Return what works, in the process that is to work."""
        ...


class Executor(Protocol):
    """Who works on the units of a job."""

    @property
    def num_threads(self) -> int | None:
        """Threads of one unit where the user names none; None for as many as this process may use."""
        ...

    def run(self, job: UnitJob[U, R], units: Iterable[U | None]) -> Iterator[R]:
        """Yield the results of the units as they come, in any order.

        Args:
            job: What is to be done.
            units: With what; None stands where the next one is not known before another one has ended.

        Raises:
            YanmoError: That of the first unit that failed.
            InternalError: A unit was lost too often.
        """
        ...

    def close(self) -> None:
        """Let go of the workers; what they are doing is given up."""
        ...


class UnitOutcome(msgspec.Struct, frozen=True):
    """What comes back of one unit.

    Attributes:
        worker: Who worked, as a user is told.
        result: What the job made; None where it failed.
        failure: Name, message and hint of the user's error, if it was one.
        messages: What the job logged while it was opened and with this unit: level and text.
        num_opening: How many of them are of the opening.
    """

    worker: str
    result: Any = None
    failure: tuple[str, str, str | None] | None = None
    messages: tuple[tuple[int, str], ...] = ()
    num_opening: int = 0


class Pool(Protocol):
    """Workers that take one unit at a time."""

    def has_room(self) -> bool:
        """Return whether one more unit can be begun or wait close to a worker."""
        ...

    def is_idle(self) -> bool:
        """Return whether nothing is being worked on."""
        ...

    def submit(self, payload: bytes, unit: Any) -> None:
        """Begin a unit of a job that :func:`send` has made a payload of."""
        ...

    def wait(self) -> UnitOutcome:
        """Return the outcome of a unit that has ended, waiting for it."""
        ...


def send(job: UnitJob[Any, Any]) -> bytes:
    """Return a job as it is sent to workers, with what they must be to do it: the same code and libraries."""
    return pickle.dumps((code_version(), library_versions(), job))


def run_pooled(pool: Pool, job: UnitJob[U, R], units: Iterable[U | None]) -> Iterator[R]:
    """Yield the results of units that a pool works on.

    Args:
        pool: The workers.
        job: What is to be done.
        units: None stands where the next unit is not known before another one has ended.
    """
    payload, waiting, is_over = send(job), iter(units), False
    said: set[str] = set()
    while True:
        while not is_over and pool.has_room():
            unit = next(waiting, END)
            is_over = unit is END
            if is_over or unit is None:
                break
            pool.submit(payload, unit)
        if pool.is_idle():
            return
        yield take_result(pool.wait(), said)


def take_result(outcome: UnitOutcome, said: set[str]) -> Any:
    """Return the result of a unit, after saying here what its worker has logged.

    Args:
        outcome: What came back.
        said: What was said of the opening before: every worker says the same.

    Raises:
        YanmoError: The unit's.
    """
    for number, (level, text) in enumerate(outcome.messages):
        is_opening = number < outcome.num_opening
        if not (is_opening and text in said):
            logger.log(level, "%s: %s", outcome.worker, text)
        if is_opening:
            said.add(text)
    if outcome.failure is not None:
        raise_again(*outcome.failure)
    return outcome.result


def work_on(payload: bytes, unit: Any, worker: str) -> UnitOutcome:
    """Work on one unit in this process, and return what comes back of it.

    Args:
        payload: The job, which stays open in this process for its next unit.
        unit: The unit.
        worker: The name of this process.
    """
    kept = _Kept()
    package = logging.getLogger("yanmo")
    package.addHandler(kept)
    package.setLevel(logging.INFO)
    # What is kept is said where the user looks, and only there.
    package.propagate = False
    num_opening = 0
    try:
        opened, _ = _open(payload)
        num_opening = len(kept.messages)
        (result,) = opened.run([unit])
    except YanmoError as error:
        return UnitOutcome(worker, None, told(error), tuple(kept.messages), num_opening)
    except OSError as error:
        failed = ArtifactError(f"{worker} cannot go on: {error}.", hint="Free some space; what is done is kept.")
        return UnitOutcome(worker, None, told(failed), tuple(kept.messages), num_opening)
    except Exception:  # noqa: BLE001 - our mistake, which the process that asked is to show
        failed_here = InternalError(f"{worker} has failed:\n{traceback.format_exc()}")
        return UnitOutcome(worker, None, told(failed_here), tuple(kept.messages), num_opening)
    finally:
        package.removeHandler(kept)
    return UnitOutcome(worker, result, None, tuple(kept.messages), num_opening)


class _Kept(logging.Handler):
    """Keeps what is logged."""

    def __init__(self) -> None:
        super().__init__(logging.INFO)
        self.messages: list[tuple[int, str]] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.messages.append((record.levelno, record.getMessage()))


@functools.lru_cache(maxsize=1)
def _open(payload: bytes) -> tuple[UnitWorker[Any, Any], Any]:
    """Return the worker of a job, and what holds it, which stays open until another job comes or the process ends.

    Raises:
        ConfigError: This machine has another version of the code or of a library that computes.
    """
    code, versions, job = pickle.loads(payload)
    here = {**library_versions(), "yanmo": code_version()}
    there = {**versions, "yanmo": code}
    other = [f"{name} {here.get(name)} instead of {there[name]}" for name in there if here.get(name) != there[name]]
    if other:
        raise ConfigError(
            f"A worker has other versions than the command: {', '.join(other)}.",
            hint="Install the same packages on every machine: the answers must not depend on who gives them.",
        )
    held = job.open()
    return held.__enter__(), held
