"""A search with Optuna: which values come next, which trial is given up, what was found; it knows no training.

The values of a trial are a function of the seed, its number and the trials before it, so a search that was killed goes
on as if it had not been: an unfinished trial is taken up under its number, with the values that were drawn for it.
A trial has its owner from the moment it is there, so none is left behind that nobody takes up.
"""

from __future__ import annotations

import contextlib
import logging
import os
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

try:
    import optuna
    from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
    from optuna.pruners import BasePruner, NopPruner
    from optuna.samplers import TPESampler
    from optuna.study import Study, StudyDirection
    from optuna.trial import FrozenTrial, Trial, TrialState, create_trial
except ImportError as error:
    from yanmo.errors import MissingExtraError

    raise MissingExtraError("The search of settings", package="optuna", extra="tune") from error

from yanmo.errors import ConfigError

__all__ = ["Rungs", "SharedStudy", "TrialHandle", "Tried"]

logger = logging.getLogger(__name__)

OWNER, PROCESS, SECONDS, SURPLUS = "owner", "process", "seconds", "surplus"
FIXED = "fixed_params"
"""Optuna's own name for what is not drawn."""
WAIT_SECONDS = 60
FIRST_RUNG, REDUCTION = 2, 3
STARTUP_TRIALS = 10


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
    """

    number: int
    state: str
    values: dict[str, Any]
    score: float | None
    curve: list[float]
    seconds: float
    process: int


class Claims(Protocol):
    """Who runs which trial, among the processes that keep their trials in one folder."""

    def acquire(self, number: int) -> bool:
        """Return whether a trial is now ours."""
        ...

    def release(self, number: int) -> None:
        """Let go of a trial."""
        ...


STATES = {
    TrialState.COMPLETE: "complete",
    TrialState.PRUNED: "pruned",
    TrialState.FAIL: "failed",
    TrialState.RUNNING: "running",
}


class TrialHandle:
    """A trial that runs.

    Attributes:
        number: From 0.
        values: What it tries.
        seconds: How long it had run when it was cut off.
    """

    def __init__(self, trial: Trial, values: dict[str, Any]) -> None:
        self._trial = trial
        self.number = trial.number
        self.values = values
        self.seconds: float = trial.user_attrs.get(SECONDS, 0.0)

    def note_seconds(self, seconds: float) -> None:
        """Keep how long it has run in all."""
        self._trial.set_user_attr(SECONDS, seconds)

    def is_hopeless(self, score: float, step: int) -> bool:
        """Note a score after an evaluation; return whether the trial is worse than those before it at this point.

        The first trial is never hopeless: what others are compared with is trained to its end.

        Args:
            score: After the evaluation.
            step: Number of the evaluation, from 1.
        """
        # Without copies, whose cost would grow with every trial.
        known = self._trial.study.get_trials(deepcopy=False)[self.number].intermediate_values
        # After a kill evaluations come again, about which was decided the first time.
        if step < max(known, default=0):
            return False
        # Optuna warns of a step that is told twice.
        if step not in known:
            self._trial.report(score, step)
        return self._trial.should_prune() and self.number > 0


class Rungs(BasePruner):
    """Gives up a trial that is not among the best third of those that have come as far, after 2, 6, 18 … evaluations.

    Source: Li et al. 2020, "A System for Massively Parallel Hyperparameter Tuning", algorithm 2, arXiv:1810.05934.
    Differs: a trial that was given up is not promoted later. As Optuna's SuccessiveHalvingPruner decides, but out of
    the curves alone: that one notes a rung as passed before its verdict is acted on, so a kill in between undoes it.
    """

    def prune(self, study: Study, trial: FrozenTrial) -> bool:
        """Return whether a trial is given up after its last evaluation."""
        *before, step = sorted(trial.intermediate_values)
        others = [one.intermediate_values for one in study.get_trials(deepcopy=False) if one.number != trial.number]
        sign = 1 if study.direction is StudyDirection.MAXIMIZE else -1
        rung = FIRST_RUNG
        while rung <= step:
            # Only a rung that this evaluation has reached: about earlier ones was decided then.
            if rung > max(before, default=0):
                # Of every other trial its first score at the rung or after it.
                rivals = [curve[min(at)] for curve in others if (at := [one for one in curve if one >= rung])]
                num_better = sum(sign * one > sign * trial.intermediate_values[step] for one in rivals)
                if num_better >= max(1, (len(rivals) + 1) // REDUCTION):
                    return True
            rung *= REDUCTION
        return False


class SharedStudy:
    """A study in a storage that several processes and machines may share.

    Args:
        storage: An Optuna storage URL, such as ``sqlite:///file`` or ``postgresql://…``.
        name: Of the study in it; a study that is there is continued.
        space: Name to range or choice.
        first: What the first trial tries: every setting of the space to the value that training has for it by default;
            those that are not in the space are left out.
        lowest: Whether the lowest score is the best.
        seed: Of the values that are drawn.
        owner: Names the folder in which this process keeps its trials.
        prunes: Whether hopeless trials are given up.

    Raises:
        ConfigError: The storage cannot be opened.
    """

    def __init__(
        self,
        storage: str,
        name: str,
        space: Mapping[str, Any],
        *,
        first: Mapping[str, Any],
        lowest: bool,
        seed: int,
        owner: str,
        prunes: bool = True,
    ) -> None:
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self._space = {key: _distribution(part) for key, part in space.items()}
        self._first = {name: value for name, value in first.items() if _holds(self._space[name], value)}
        self._seed = seed
        self._owner = owner
        try:
            self._storage = _open_storage(storage)
            self._study = optuna.create_study(
                storage=self._storage,
                study_name=name,
                direction="minimize" if lowest else "maximize",
                pruner=Rungs() if prunes else NopPruner(),
                load_if_exists=True,
            )
        except Exception as error:  # SQLAlchemy's and the driver's own errors have no common base
            raise ConfigError(
                f"The storage of the search cannot be opened: {str(error).partition(chr(10))[0]}",
                hint="Give an Optuna storage URL such as sqlite:///study.db, and install the driver of its database.",
            ) from error

    def take(self, num_trials: int, claims: Claims, *, begins: bool = True) -> TrialHandle | None:
        """Return the next trial to run: one of our own that was cut off, or a new one; None when all are taken.

        Args:
            num_trials: How many there are in all.
            claims: Keeps the other processes of this owner away from a trial.
            begins: Whether it may be a new one.
        """
        for frozen in self._study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
            number = frozen.number
            if self._is_ours(frozen) and self._count(number) < num_trials and claims.acquire(number):
                # It may have ended between the list and the lock.
                if self._study.get_trials(deepcopy=False)[number].state is TrialState.RUNNING:
                    logger.info("Trial %d, which was cut off, goes on.", number)
                    return self._handle(frozen)
                claims.release(number)
        while begins and self._count() < num_trials:
            frozen = self._begin()
            # Of workers that begin at the same time, those with the lower numbers keep their trials.
            if self._count(frozen.number) >= num_trials:
                self._drop(frozen)
            elif claims.acquire(frozen.number):  # else another process has taken it up already
                return self._handle(frozen)
        return None

    def finish(self, trial: TrialHandle, score: float | None, *, seconds: float, pruned: bool = False) -> None:
        """Note the end of a trial; one without a score was pruned or has failed."""
        trial.note_seconds(seconds)
        state = TrialState.COMPLETE if score is not None else TrialState.PRUNED if pruned else TrialState.FAIL
        self._study.tell(trial.number, score, state=state)

    def trials(self) -> list[Tried]:
        """Return all trials that were taken up, in the order of their numbers."""
        found = self._study.get_trials(deepcopy=False)
        return [_tried(one) for one in found if SURPLUS not in one.user_attrs]

    def best(self) -> Tried | None:
        """Return the best complete trial, None where there is none."""
        with contextlib.suppress(ValueError):
            return _tried(self._study.best_trial)
        return None

    def importances(self) -> dict[str, float]:
        """Return the share of the scores' spread that each setting explains; empty for fewer than two trials.

        Source: Watanabe, Bansal, Hutter 2023, "PED-ANOVA", algorithm 1, arXiv:2304.10255.
        """
        with warnings.catch_warnings(), contextlib.suppress(ValueError, RuntimeError):
            warnings.simplefilter("ignore")
            return {name: float(share) for name, share in optuna.importance.get_param_importances(self._study).items()}
        return {}

    def close(self) -> None:
        """Close the connections to the storage."""
        self._storage.remove_session()
        self._storage.engine.dispose()

    def _is_ours(self, frozen: FrozenTrial) -> bool:
        return frozen.user_attrs.get(OWNER) == self._owner and SURPLUS not in frozen.user_attrs

    def _count(self, before: int | None = None) -> int:
        """Return how many trials there are, or how many before a number, without those that were dropped."""
        return sum(SURPLUS not in one.user_attrs for one in self._study.get_trials(deepcopy=False)[:before])

    def _begin(self) -> FrozenTrial:
        """Return a new trial, which is ours already."""
        storage = self._study._storage
        # Study.ask makes a trial without attributes: a kill before they are set would leave one that is nobody's.
        ours = create_trial(state=TrialState.RUNNING, user_attrs={OWNER: self._owner})
        return storage.get_trial(storage.create_new_trial(self._study._study_id, ours))

    def _drop(self, frozen: FrozenTrial) -> None:
        """Give back a trial that is one too many: other workers have begun the last ones meanwhile."""
        Trial(self._study, frozen._trial_id).set_user_attr(SURPLUS, True)
        self._study.tell(frozen.number, state=TrialState.FAIL)

    def _handle(self, frozen: FrozenTrial) -> TrialHandle:
        """Draw what is not drawn yet, each value by a sampler of its own, so that a kill between two changes none."""
        is_first = frozen.number == 0
        if is_first:
            # What Study.enqueue_trial does for a trial that is not begun yet.
            self._study._storage.set_trial_system_attr(frozen._trial_id, FIXED, self._first)
        trial = Trial(self._study, frozen._trial_id)
        trial.set_user_attr(PROCESS, os.getpid())
        values = {}
        for place, (name, distribution) in enumerate(self._space.items()):
            if is_first and name not in self._first:
                continue
            # By seed, trial and setting, whatever was drawn before in this process.
            entropy = np.random.SeedSequence([self._seed, trial.number, place])
            sampler = TPESampler(seed=int(entropy.generate_state(1)[0]), n_startup_trials=STARTUP_TRIALS)
            self._study.sampler = sampler
            values[name] = _draw(trial, name, distribution)
        return TrialHandle(trial, values)


def _open_storage(url: str) -> optuna.storages.RDBStorage:
    options: dict[str, Any] = {}
    if url.startswith("sqlite"):
        # SQLite gives up after five seconds by itself, and many workers may be writing.
        options = {"connect_args": {"timeout": WAIT_SECONDS}}
    return optuna.storages.RDBStorage(url, engine_kwargs=options)


def _distribution(part: Any) -> BaseDistribution:
    if hasattr(part, "values"):
        return CategoricalDistribution(part.values)
    if part.is_whole:
        return IntDistribution(part.low, part.high, log=part.log)
    return FloatDistribution(part.low, part.high, log=part.log)


def _holds(distribution: BaseDistribution, value: Any) -> bool:
    if isinstance(distribution, CategoricalDistribution):
        return value in distribution.choices
    if isinstance(distribution, IntDistribution | FloatDistribution):
        return value is not None and distribution.low <= value <= distribution.high
    return False


def _draw(trial: Trial, name: str, distribution: BaseDistribution) -> Any:
    if isinstance(distribution, CategoricalDistribution):
        return trial.suggest_categorical(name, distribution.choices)
    if isinstance(distribution, IntDistribution):
        return trial.suggest_int(name, distribution.low, distribution.high, log=distribution.log)
    assert isinstance(distribution, FloatDistribution)
    return trial.suggest_float(name, distribution.low, distribution.high, log=distribution.log)


def _tried(frozen: FrozenTrial) -> Tried:
    curve = [frozen.intermediate_values[step] for step in sorted(frozen.intermediate_values)]
    score = frozen.value if frozen.state is TrialState.COMPLETE else None
    seconds, process = (frozen.user_attrs.get(name, 0) for name in (SECONDS, PROCESS))
    return Tried(frozen.number, STATES[frozen.state], dict(frozen.params), score, curve, seconds, process)
