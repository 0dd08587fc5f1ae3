"""A search with Optuna: which values come next, which trial is given up, what was found; it knows no training.

The values of a trial are a function of the seed, its number and the trials before it, so a search that was killed goes
on as if it had not been: an unfinished trial is taken up under its number, with the values that were drawn for it.
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
    from optuna.samplers import TPESampler
    from optuna.trial import FrozenTrial, Trial, TrialState
except ImportError as error:
    from yanmo.errors import MissingExtraError

    raise MissingExtraError("The search of settings", package="optuna", extra="tune") from error

from yanmo.errors import ConfigError

__all__ = ["Search", "TrialHandle", "Tried"]

logger = logging.getLogger(__name__)

OWNER, PROCESS, SECONDS, LEFT_OUT = "owner", "process", "seconds", "left_out"
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
        seconds: How long it took, since it was last taken up; 0 while it runs.
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
    """

    def __init__(self, trial: Trial, values: dict[str, Any]) -> None:
        self._trial = trial
        self.number = trial.number
        self.values = values

    def note(self, name: str, value: float) -> None:
        """Keep a fact about the trial."""
        self._trial.set_user_attr(name, value)

    def is_hopeless(self, score: float, step: int) -> bool:
        """Note a score after an evaluation; return whether the trial is worse than those before it at this point.

        The first trial is never hopeless: what others are compared with is trained to its end.

        Args:
            score: After the evaluation.
            step: Number of the evaluation, from 1.

        Source: Li et al. 2020, "A System for Massively Parallel Hyperparameter Tuning", algorithm 2, arXiv:1810.05934.
        """
        known = self._trial.study.get_trials(deepcopy=False)[self.number].intermediate_values
        if step < max(known, default=0):
            return False
        if step not in known:
            self._trial.report(score, step)
        return self._trial.should_prune() and self.number > 0


class Search:
    """A study in a storage that several processes and machines may share.

    Args:
        storage: An Optuna storage URL, such as ``sqlite:///file`` or ``postgresql://…``.
        name: Of the study in it; a study that is there is continued.
        space: Name to range or choice.
        lowest: Whether the lowest score is the best.
        seed: Of the values that are drawn.
        owner: Names the folder in which this process keeps its trials.
        is_shared: Whether other folders' processes may use the storage.
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
        lowest: bool,
        seed: int,
        owner: str,
        is_shared: bool,
        prunes: bool = True,
    ) -> None:
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self._space = {key: _distribution(part) for key, part in space.items()}
        self._seed = seed
        self._owner = owner
        self._is_shared = is_shared
        rungs = optuna.pruners.SuccessiveHalvingPruner(min_resource=FIRST_RUNG, reduction_factor=REDUCTION)
        try:
            self._storage = _open_storage(storage)
            self._study = optuna.create_study(
                storage=self._storage,
                study_name=name,
                direction="minimize" if lowest else "maximize",
                pruner=rungs if prunes else optuna.pruners.NopPruner(),
                load_if_exists=True,
            )
        except Exception as error:  # SQLAlchemy's and the driver's own errors have no common base
            raise ConfigError(
                f"The storage of the search cannot be opened: {str(error).partition(chr(10))[0]}",
                hint="Give an Optuna storage URL such as sqlite:///study.db, and install the driver of its database.",
            ) from error

    def try_first(self, values: Mapping[str, Any]) -> None:
        """Let a study that is still empty begin with some values; those that are not in the space are left out.

        Args:
            values: Every setting of the space to the value that training has for it by default.
        """
        known = {name: value for name, value in values.items() if _holds(self._space[name], value)}
        left_out = [name for name in self._space if name not in known]
        if not self._study.get_trials(deepcopy=False):
            self._study.enqueue_trial(known, user_attrs={LEFT_OUT: left_out})

    def take(self, num_trials: int, claims: Claims) -> TrialHandle | None:
        """Return the next trial to run: one of our own that was cut off, or a new one; None when all are taken.

        Args:
            num_trials: How many there are in all.
            claims: Keeps the other processes of this owner away from a trial.
        """
        for frozen in self._study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
            if self._is_ours(frozen) and frozen.number < num_trials and claims.acquire(frozen.number):
                if self._study.get_trials(deepcopy=False)[frozen.number].state is TrialState.RUNNING:
                    logger.info("Trial %d, which was cut off, goes on.", frozen.number)
                    return self._handle(Trial(self._study, frozen._trial_id))
                claims.release(frozen.number)
        while not self._is_full(num_trials):
            trial = self._study.ask()
            if trial.number >= num_trials:
                self._study.tell(trial, state=TrialState.FAIL)
            elif claims.acquire(trial.number):  # else another process has taken it up already
                return self._handle(trial)
        return None

    def finish(self, trial: TrialHandle, score: float | None, *, seconds: float, pruned: bool = False) -> None:
        """Note the end of a trial; one without a score was pruned or has failed."""
        trial.note(SECONDS, seconds)
        state = TrialState.COMPLETE if score is not None else TrialState.PRUNED if pruned else TrialState.FAIL
        self._study.tell(trial.number, score, state=state)

    def trials(self) -> list[Tried]:
        """Return all trials that were taken up, in the order of their numbers."""
        found = self._study.get_trials(deepcopy=False)
        return [_tried(one) for one in found if one.state in STATES and OWNER in one.user_attrs]

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
        """Return whether a trial runs, or ran, in our folder; one without an owner is so new that it has none yet."""
        return frozen.user_attrs.get(OWNER, None if self._is_shared else self._owner) == self._owner

    def _is_full(self, num_trials: int) -> bool:
        found = self._study.get_trials(deepcopy=False)
        return len(found) >= num_trials and all(one.state is not TrialState.WAITING for one in found)

    def _handle(self, trial: Trial) -> TrialHandle:
        """Draw what is not drawn yet, each value by a sampler of its own, so that a kill between two changes none."""
        trial.set_user_attr(OWNER, self._owner)
        trial.set_user_attr(PROCESS, os.getpid())
        values, left_out = {}, trial.user_attrs.get(LEFT_OUT, ())
        for place, (name, distribution) in enumerate(self._space.items()):
            if name in left_out:
                continue
            entropy = np.random.SeedSequence([self._seed, trial.number, place])
            sampler = TPESampler(seed=int(entropy.generate_state(1)[0]), n_startup_trials=STARTUP_TRIALS)
            self._study.sampler = sampler
            values[name] = _draw(trial, name, distribution)
        return TrialHandle(trial, values)


def _open_storage(url: str) -> optuna.storages.RDBStorage:
    options: dict[str, Any] = {}
    if url.startswith("sqlite"):
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
