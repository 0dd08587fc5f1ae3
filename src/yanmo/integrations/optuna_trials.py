"""What is noted about a trial in a study, and what follows: whether it counts, and for which of those asked for.

A search has as many places as trials were asked for. A trial whose machine fell silent is lost: its place is open until
another trial, with the same settings, is begun in it. It knows no search.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from optuna.trial import FrozenTrial, TrialState

__all__ = ["Tried", "Verdict", "held_places", "is_counted", "is_lost", "lost_trials", "place_of", "tried"]

OWNER, PROCESS, SECONDS, SURPLUS = "owner", "process", "seconds", "surplus"
WHERE, HEARD, PLACE, FAILED, WEIGHTS, VERDICT = "where", "heard", "place", "failed", "weights", "verdict"


@dataclass(frozen=True)
class Tried:
    """One trial, at rest.

    Attributes:
        number: From 0.
        state: ``complete``, ``pruned``, ``failed`` or ``running``.
        values: What was tried; the first trial leaves out the settings whose defaults are not in the space.
        score: Of a complete trial.
        curve: Score after each evaluation.
        seconds: How long it took, kills included; up to its last evaluation while it runs.
        process: Of the operating system, that ran it last.
        where: Machine and folder that ran it, where several share the study.
        weights: Digest of what it has learned, where several machines share the study.
    """

    number: int
    state: str
    values: dict[str, Any]
    score: float | None
    curve: list[float]
    seconds: float
    process: int
    where: str | None
    weights: str | None


@dataclass(frozen=True)
class Verdict:
    """Which trial's settings are published, as the machines that share a study agree.

    Attributes:
        trials: Numbers of the trials at rest that were judged.
        num_seeds: With how many seeds the settings were trained.
        best: Number of the trial.
        spread: Scores of its settings, one a seed.
        first_spread: The same of the default settings.
    """

    trials: list[int]
    num_seeds: int
    best: int
    spread: list[float]
    first_spread: list[float]


STATES = {
    TrialState.COMPLETE: "complete",
    TrialState.PRUNED: "pruned",
    TrialState.FAIL: "failed",
    TrialState.RUNNING: "running",
}


def place_of(frozen: FrozenTrial) -> int:
    """Return which of the trials that were asked for a trial is: its number, or that of a lost one it stands for."""
    return int(frozen.user_attrs.get(PLACE, frozen.number))


def is_lost(frozen: FrozenTrial) -> bool:
    """Return whether a trial was ended by others, because its machine fell silent.

    Whoever runs a trial notes that it failed before it ends it, so a trial that is lost needs no note: whoever ends one
    may be killed right after that.
    """
    return frozen.state is TrialState.FAIL and not {FAILED, SURPLUS} & frozen.user_attrs.keys()


def is_counted(frozen: FrozenTrial) -> bool:
    """Return whether a trial has a place: it is neither one too many nor lost."""
    return SURPLUS not in frozen.user_attrs and not is_lost(frozen)


def held_places(trials: Iterable[FrozenTrial]) -> set[int]:
    """Return the places of the trials that count."""
    return {place_of(one) for one in trials if is_counted(one)}


def lost_trials(trials: Iterable[FrozenTrial]) -> list[FrozenTrial]:
    """Return the last lost trial of every place that is open."""
    known = list(trials)
    held = held_places(known)
    last = {place_of(one): one for one in known if is_lost(one)}
    return [one for place, one in sorted(last.items()) if place not in held]


def tried(frozen: FrozenTrial) -> Tried:
    """Return a trial as others than Optuna see it."""
    notes = frozen.user_attrs
    return Tried(
        number=frozen.number,
        state=STATES[frozen.state],
        values=dict(frozen.params),
        score=frozen.value if frozen.state is TrialState.COMPLETE else None,
        curve=[frozen.intermediate_values[step] for step in sorted(frozen.intermediate_values)],
        seconds=notes.get(SECONDS, 0),
        process=notes.get(PROCESS, 0),
        where=notes.get(WHERE),
        weights=notes.get(WEIGHTS),
    )
