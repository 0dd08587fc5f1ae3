"""The executor of one process, this one: no other is started, and one unit is read while another is answered."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TypeVar

from yanmo.executors.jobs import UnitJob

__all__ = ["InThisProcess"]

U = TypeVar("U")
R = TypeVar("R")


class InThisProcess:
    """Works on unit after unit itself."""

    num_threads: int | None = None

    def run(self, job: UnitJob[U, R], units: Iterable[U | None]) -> Iterator[R]:
        """Yield the results in the order of the units."""
        # Whoever works alone is never ahead, so every unit is known by the time it is asked for.
        with job.open() as worker:
            yield from worker.run(unit for unit in units if unit is not None)

    def close(self) -> None:
        """Nothing is held."""
