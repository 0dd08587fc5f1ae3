"""Trials side by side: each is a unit of a job, and whoever works takes the next one from the search's storage.

It knows no training and no executor by name.
"""

from __future__ import annotations

import contextlib
import itertools
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import msgspec

from yanmo.executors.jobs import Executor
from yanmo.executors.places import work_in
from yanmo.tuning.trials import SearchPlan, run_trials

__all__ = ["TrialJob", "run_side_by_side"]


@dataclass(frozen=True)
class TrialJob:
    """Runs trials of a search.

    Attributes:
        plan: Of the search.
        folder: In which relative paths begin.
    """

    plan: SearchPlan
    folder: str

    @contextlib.contextmanager
    def open(self) -> Iterator[Turns]:
        """Go to the folder; the search itself is opened by the first trial.

        Raises:
            ConfigError: The folder is not there.
        """
        work_in(self.folder)
        yield Turns(run_trials(self.plan))


class Turns:
    """Whoever has a turn runs one trial.

    Args:
        trials: Runs the next one when it is asked for its number.
    """

    def __init__(self, trials: Iterator[int]) -> None:
        self._trials = trials

    def run(self, turns: Iterable[int]) -> Iterator[int | None]:
        """Yield for each turn the number of the trial that was run, None where none was left."""
        for _ in turns:
            yield next(self._trials, None)


def run_side_by_side(plan: SearchPlan, executor: Executor, *, is_here: bool) -> None:
    """Let an executor run the trials of a plan until all are taken, or the time is up.

    Args:
        plan: The search.
        executor: Who works.
        is_here: Whether its processes are children of this one, without which they go on with no trial.

    Raises:
        YanmoError: That of the first worker that failed.
    """
    is_over = False

    def turns() -> Iterator[int]:
        # Which trial a turn brings is known only when it is taken, so there are turns as long as there may be trials.
        yield from itertools.takewhile(lambda _: not is_over, itertools.count())

    job = TrialJob(msgspec.structs.replace(plan, parent=os.getpid() if is_here else None), str(Path.cwd()))
    for number in executor.run(job, turns()):
        is_over = is_over or number is None
