"""Candidates of a search that several workers make ahead; what they cost and how good they are is measured later.

Whoever searches goes on as if it were alone, and finds made what it would make next.
"""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec

from yanmo.compressing.teaching import ask
from yanmo.errors import BusyError, StoppedError, YanmoError
from yanmo.executors.jobs import Executor
from yanmo.executors.places import work_in
from yanmo.grinding.candidates import Stage
from yanmo.grinding.records import LateError, TimeLimit
from yanmo.grinding.search import Search, needed_seconds
from yanmo.grinding.trials import FINAL
from yanmo.verbs.calls import Call, run_call

__all__ = ["CandidateJob", "make_ahead"]

logger = logging.getLogger(__name__)


class CandidateUnit(msgspec.Struct, frozen=True):
    """A candidate that can be made now.

    Attributes:
        name: Of its stage.
        call: What makes it.
        deadline: When its training has to be over, by the time of day: a unit may wait before it is begun.
    """

    name: str
    call: Call
    deadline: float


class MadeCandidate(msgspec.Struct, frozen=True):
    """What became of a candidate: how long it took, and why it can never be made, None where it was or may be."""

    name: str
    seconds: float
    failed: str | None = None


@dataclass(frozen=True)
class CandidateJob:
    """Makes candidates.

    Attributes:
        folder: In which relative paths begin.
    """

    folder: str

    def open(self) -> contextlib.AbstractContextManager[CandidateJob]:
        """Go to the folder.

        Raises:
            ConfigError: It is not there.
        """
        work_in(self.folder)
        return contextlib.nullcontext(self)

    def run(self, units: Iterable[CandidateUnit]) -> Iterator[MadeCandidate]:
        """Yield what became of each."""
        for unit in units:
            begin = time.monotonic()
            failed = _make(unit)
            yield MadeCandidate(unit.name, time.monotonic() - begin, failed)


def _make(unit: CandidateUnit) -> str | None:
    """Make a candidate; return why it can never be made."""
    effects = unit.call.effects.watched(TimeLimit(unit.deadline - time.time()).watch)
    try:
        run_call(msgspec.structs.replace(unit.call, effects=effects))
    except LateError:
        logger.info("%s: there was no time to end its training.", unit.name)
    except (BusyError, StoppedError):
        raise
    except YanmoError as error:
        # What may be made another time is tried again by whoever searches.
        return error.message if isinstance(error, FINAL) else None
    return None


def make_ahead(search: Search, stages: Sequence[Stage], executor: Executor) -> None:
    """Let an executor make those of some stages for which there is time, each as soon as what it takes is there.

    Args:
        search: Of which they are.
        stages: In the order in which they will be tried.
        executor: Who works.

    Raises:
        YanmoError: A worker cannot go on.
    """
    bench = search.bench
    making = _Making(search, stages)
    if any(stage.call.verb == "distill" and making.has_time(stage) for stage in making.waiting):
        # Before any student: two that ask at once would be in each other's way.
        beside, num_threads = bench.folder / "bundles", bench.num_threads
        ask(bench.teacher, bench.dataset, search.texts, beside=beside, num_threads=num_threads, executor=executor)
    for made in executor.run(CandidateJob(str(Path.cwd())), making.ready()):
        making.settle(made)
    bench.clock.save()


class _Making:
    """Which stages are still to be made."""

    def __init__(self, search: Search, stages: Sequence[Stage]) -> None:
        self._search, self._bench = search, search.bench
        begun = [self._bench.as_begun(stage) for stage in stages]
        # A search that goes on has some already.
        self.waiting = [stage for stage in begun if not self._bench.is_made(stage.name)]
        self._begun: dict[str, Stage] = {}

    def ready(self) -> Iterator[CandidateUnit | None]:
        """Yield what can be made now; None where each waits for one that is being made."""
        while self.waiting:
            stage = next(filter(self._is_ready, self.waiting), None)
            if stage is None and not self._begun:
                # What the others take could not be made.
                return
            if stage is None:
                yield None
                continue
            self.waiting.remove(stage)
            if self.has_time(stage):
                logger.info("%s …", stage.name)
                self._bench.begin(stage)
                self._begun[stage.name] = stage
                yield CandidateUnit(stage.name, self._bench.call(stage), time.time() + self._bench.clock.left)

    def has_time(self, stage: Stage) -> bool:
        """Return whether a stage was begun before, which needs less, or can be ended."""
        return self._bench.is_begun(stage.name) or needed_seconds(self._search, stage) <= max(
            self._bench.clock.left, 0.0
        )

    def _is_ready(self, stage: Stage) -> bool:
        return all(self._bench.is_made(source) for source in stage.sources)

    def settle(self, made: MadeCandidate) -> None:
        """Take what became of a stage."""
        stage = self._begun.pop(made.name)
        if made.failed is not None or self._bench.is_made(stage.name):
            self._bench.note_made(stage, made.seconds, made.failed)
