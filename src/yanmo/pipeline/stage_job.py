"""The steps of a pipeline as units of a job: each is made by its call, here or by another process; it knows no plan."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import msgspec

from yanmo.errors import YanmoError
from yanmo.executors.places import work_in
from yanmo.verbs.calls import Call, run_call

__all__ = ["MadeStage", "StageJob", "StageUnit"]

KEPT = "The finished stages are kept: run the pipeline again to go on from here."


class StageUnit(msgspec.Struct, frozen=True):
    """A step that can be made now.

    Attributes:
        number: Its place in the plan, from 1.
        name: As a user knows it.
        call: What makes it.
    """

    number: int
    name: str
    call: Call


class MadeStage(msgspec.Struct, frozen=True):
    """A step that is made: its number, and how long that took."""

    number: int
    seconds: float


@dataclass(frozen=True)
class StageJob:
    """Makes steps.

    Attributes:
        folder: In which relative paths begin.
    """

    folder: str

    def open(self) -> contextlib.AbstractContextManager[StageJob]:
        """Go to the folder.

        Raises:
            ConfigError: It is not there.
        """
        work_in(self.folder)
        return contextlib.nullcontext(self)

    def run(self, units: Iterable[StageUnit]) -> Iterator[MadeStage]:
        """Yield every step that is made, one after the other."""
        for unit in units:
            begin = time.perf_counter()
            with _named(unit):
                run_call(unit.call)
            yield MadeStage(unit.number, time.perf_counter() - begin)


@contextlib.contextmanager
def _named(unit: StageUnit) -> Iterator[None]:
    """Say in every error which stage it comes from, and what to do next."""
    who = f"Stage '{unit.name}' ({unit.call.verb}) failed"
    try:
        yield
    except YanmoError as error:
        # In place, so that class and exit code stay.
        error.message = f"{who}: {error.message}"
        error.hint = f"{error.hint} {KEPT}" if error.hint else KEPT
        raise
    except Exception as error:
        error.add_note(who)
        raise
