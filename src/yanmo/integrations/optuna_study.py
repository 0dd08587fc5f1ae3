"""A search with Optuna: which values come next, which trial is given up, what was found; it knows no training.

The values of a trial are a function of the seed, its place and the trials before it, so a search that was killed goes
on as if it had not been: an unfinished trial is taken up under its number, with the values that were drawn for it.
A trial has its owner from the moment it is there, so none is left behind that nobody takes up. Machines that share a
study give signs of life; a trial of one that fell silent is begun anew by another one, with the same settings.
"""

from __future__ import annotations

import contextlib
import logging
import os
import secrets
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, Protocol, Self

try:
    import optuna
    from optuna.exceptions import StorageInternalError, UpdateFinishedTrialError
    from optuna.pruners import NopPruner
    from optuna.study import StudyDirection
    from optuna.trial import FrozenTrial, Trial, TrialState, create_trial
except ImportError as error:
    from yanmo.errors import MissingExtraError

    raise MissingExtraError("The search of settings", package="optuna", extra="tune") from error

from yanmo.integrations.heartbeats import Watch, beating
from yanmo.integrations.optuna_handle import LostTrialError, TrialHandle, sign_of_life, still_ours
from yanmo.integrations.optuna_rungs import Rungs
from yanmo.integrations.optuna_space import distribution_of, draw, holds, sampler_of
from yanmo.integrations.optuna_storage import open_storage, unreached
from yanmo.integrations.optuna_trials import (
    FAILED,
    HEARD,
    OWNER,
    PLACE,
    PROCESS,
    SECONDS,
    SURPLUS,
    VERDICT,
    WEIGHTS,
    WHERE,
    Tried,
    Verdict,
    held_places,
    is_counted,
    lost_trials,
    place_of,
    tried,
)

__all__ = ["SharedStudy"]

logger = logging.getLogger(__name__)

FIXED = "fixed_params"
"""Optuna's own name for what is not drawn."""


class Claims(Protocol):
    """Who runs which trial, among the processes that keep their trials in one folder."""

    def acquire(self, number: int) -> bool:
        """Return whether a trial is now ours."""
        ...

    def release(self, number: int) -> None:
        """Let go of a trial."""
        ...


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
        folder: Where this process keeps its trials; they stay those of the folder, whatever the machine is called then.
        prunes: Whether hopeless trials are given up.
        shared_as: What other machines call the runner of our trials; None where no other machine has any.

    Raises:
        MissingExtraError: The driver of the storage is not installed.
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
        folder: Path,
        prunes: bool = True,
        shared_as: str | None = None,
    ) -> None:
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self._space = {key: distribution_of(part) for key, part in space.items()}
        self._first = {name: value for name, value in first.items() if holds(self._space[name], value)}
        self._seed = seed
        self._shared_as = shared_as
        self._watch = Watch()
        self._storage = open_storage(storage)
        try:
            self._study = optuna.create_study(
                storage=self._storage,
                study_name=name,
                direction="minimize" if lowest else "maximize",
                pruner=Rungs() if prunes else NopPruner(),
                load_if_exists=True,
            )
        except StorageInternalError as error:
            raise unreached(error) from error
        # After the storage: a folder whose storage cannot be opened stays empty.
        self._owner = _owner_of(folder)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, _kind: object, error: BaseException | None, _traceback: object) -> None:
        """Close the connections to the storage; say so where it does not answer any more."""
        self._storage.remove_session()
        self._storage.engine.dispose()
        if isinstance(error, StorageInternalError):
            raise unreached(error) from error

    def take(self, num_trials: int, claims: Claims, *, begins: bool = True) -> TrialHandle | None:
        """Return the next trial to run: one that was cut off, here or elsewhere, or a new one; None when all are taken.

        Args:
            num_trials: How many there are in all.
            claims: Keeps the other processes of this owner away from a trial.
            begins: Whether it may be a new one.
        """
        for frozen in self._all():
            if self._is_ours(frozen) and self._is_among(frozen, num_trials) and claims.acquire(frozen.number):
                # It may have ended between the list and the lock.
                with contextlib.suppress(LostTrialError):
                    trial = self._handle(frozen)
                    logger.info("Trial %d, which was cut off, goes on.", trial.number)
                    return trial
                claims.release(frozen.number)
        self._end_silent()
        return self._take_new(num_trials, claims, begins=begins)

    @contextlib.contextmanager
    def held(self, trial: TrialHandle) -> Iterator[None]:
        """Let the other machines know that a trial is being run in the block, which ends where it is ours no more."""
        alive = beating(trial.beat) if self._shared_as else contextlib.nullcontext()
        try:
            with alive:
                yield
        except LostTrialError:
            logger.warning(
                "Trial %d was begun anew by another machine, which had not heard of this one for too long: "
                "what was trained here does not count.",
                trial.number,
            )

    def elsewhere(self, num_trials: int) -> list[str]:
        """Return the trials that other machines run: nothing is known of all trials before these have ended.

        Args:
            num_trials: How many there are in all.
        """
        if self._shared_as is None:
            return []
        others = [one for one in self._all() if self._is_theirs(one) and self._is_among(one, num_trials)]
        return [f"trial {one.number} of {one.user_attrs.get(WHERE)}" for one in others]

    def finish(
        self,
        trial: TrialHandle,
        score: float | None,
        *,
        seconds: float,
        pruned: bool = False,
        weights: str | None = None,
    ) -> None:
        """Note the end of a trial; one without a score was pruned or has failed.

        Args:
            trial: Which one.
            score: What came out.
            seconds: How long it took.
            pruned: Whether it was given up.
            weights: Digest of what it has learned.

        Raises:
            LostTrialError: It is ours no more.
        """
        state = TrialState.COMPLETE if score is not None else TrialState.PRUNED if pruned else TrialState.FAIL
        trial.note_seconds(seconds)
        with still_ours():
            # Before the end, for without it the trial would be a lost one.
            if state is TrialState.FAIL:
                trial.note(FAILED, True)
            if self._shared_as:
                trial.note(WEIGHTS, weights)
            told = self._study.tell(trial.number, score, state=state, skip_if_finished=True)
        if told.state is not state:
            raise LostTrialError

    def trials(self) -> list[Tried]:
        """Return all trials that count, in the order of their places: the first one has the default settings."""
        # From the last to the first, who stays where several have the same place.
        found = {place_of(one): one for one in reversed(self._all()) if is_counted(one)}
        return [tried(one) for _, one in sorted(found.items())]

    def best(self) -> Tried | None:
        """Return the best complete trial, of equal ones that of the first place; None where there is none."""
        complete = [one for one in self.trials() if one.score is not None]
        sign = 1 if self._study.direction is StudyDirection.MAXIMIZE else -1
        # Not by the database, which answers with any of the equal ones, and to each machine with another.
        return max(complete, key=lambda one: sign * (one.score or 0.0), default=None)

    def verdict(self, trials: list[int], num_seeds: int) -> Verdict | None:
        """Return what some machine was the first to decide about the same trials; None where none has.

        Args:
            trials: Numbers of what is to be judged.
            num_seeds: With how many seeds.
        """
        found = (Verdict(**one.user_attrs[VERDICT]) for one in self._all() if VERDICT in one.user_attrs)
        return next((one for one in found if (one.trials, one.num_seeds) == (trials, num_seeds)), None)

    def agree(self, ours: Verdict) -> Verdict:
        """Return the verdict that holds on every machine: ours, unless another one was first."""
        if self._shared_as is None:
            return ours
        # As a trial that does not count: the storage numbers them one after the other, so one verdict is the first.
        note = create_trial(state=TrialState.FAIL, user_attrs={SURPLUS: True, VERDICT: asdict(ours)})
        self._study._storage.create_new_trial(self._study._study_id, note)
        return self.verdict(ours.trials, ours.num_seeds) or ours

    def importances(self) -> dict[str, float]:
        """Return the share of the scores' spread that each setting explains; empty for fewer than two trials.

        Source: Watanabe, Bansal, Hutter 2023, "PED-ANOVA", algorithm 1, arXiv:2304.10255.
        """
        with warnings.catch_warnings(), contextlib.suppress(ValueError, RuntimeError):
            warnings.simplefilter("ignore")
            return {name: float(share) for name, share in optuna.importance.get_param_importances(self._study).items()}
        return {}

    def _all(self) -> list[FrozenTrial]:
        # Without copies, whose cost would grow with every trial.
        return self._study.get_trials(deepcopy=False)

    def _is_running(self, frozen: FrozenTrial) -> bool:
        return frozen.state is TrialState.RUNNING and SURPLUS not in frozen.user_attrs

    def _is_ours(self, frozen: FrozenTrial) -> bool:
        return self._is_running(frozen) and frozen.user_attrs.get(OWNER) == self._owner

    def _is_theirs(self, frozen: FrozenTrial) -> bool:
        return self._is_running(frozen) and frozen.user_attrs.get(OWNER) != self._owner

    def _is_among(self, frozen: FrozenTrial, num_trials: int) -> bool:
        """Return whether a trial is the first in its place, and that one of those that were asked for."""
        before = held_places(self._all()[: frozen.number])
        return place_of(frozen) not in before and len(before) < num_trials

    def _end_silent(self) -> None:
        """End the trials whose machines have given no sign of life for too long: their places are open then."""
        for frozen in filter(self._is_theirs, self._all() if self._shared_as else ()):
            where, heard = (frozen.user_attrs.get(name, "?") for name in (WHERE, HEARD))
            # It may have ended meanwhile, and one of several machines is the first to end it.
            with contextlib.suppress(UpdateFinishedTrialError):
                if self._watch.is_silent(frozen.number, heard):
                    self._study._storage.set_trial_state_values(frozen._trial_id, TrialState.FAIL)
                    logger.warning(
                        "Trial %d of %s has been silent since %s; it is begun anew.", frozen.number, where, heard
                    )

    def _take_new(self, num_trials: int, claims: Claims, *, begins: bool) -> TrialHandle | None:
        while True:
            known = self._all()
            lost = next(iter(lost_trials(known)), None)
            if len(held_places(known)) >= num_trials or not (lost or begins):
                return None
            frozen = self._begin(lost)
            # Of workers that begin at the same time, those with the lower numbers keep their trials.
            if not self._is_among(frozen, num_trials):
                self._drop(frozen)
            elif claims.acquire(frozen.number):  # else another process has taken it up already
                return self._handle(frozen)

    def _begin(self, lost: FrozenTrial | None) -> FrozenTrial:
        """Return a new trial, which is ours already: in the place of a lost one, with its settings, or in one more."""
        notes: dict[str, Any] = {OWNER: self._owner}
        if self._shared_as:
            notes |= {WHERE: self._shared_as, HEARD: sign_of_life()}
        settings: dict[str, Any] = {}
        if lost:
            # What the lost one has cost counts as what a trial of ours has cost before a kill.
            notes |= {PLACE: place_of(lost), SECONDS: lost.user_attrs.get(SECONDS, 0.0)}
            settings = {"params": lost.params, "distributions": lost.distributions}
        storage = self._study._storage
        # Study.ask makes a trial without attributes: a kill before they are set would leave one that is nobody's.
        ours = create_trial(state=TrialState.RUNNING, user_attrs=notes, **settings)
        return storage.get_trial(storage.create_new_trial(self._study._study_id, ours))

    def _drop(self, frozen: FrozenTrial) -> None:
        """Give back a trial that is one too many: other workers have begun the last ones meanwhile."""
        Trial(self._study, frozen._trial_id).set_user_attr(SURPLUS, True)
        self._study.tell(frozen.number, state=TrialState.FAIL)

    def _handle(self, frozen: FrozenTrial) -> TrialHandle:
        """Return a trial to run, of which it is noted that we do.

        Raises:
            LostTrialError: It has ended.
        """
        number = place_of(frozen)
        with still_ours():
            if number == 0:
                # What Study.enqueue_trial does for a trial that is not begun yet.
                self._study._storage.set_trial_system_attr(frozen._trial_id, FIXED, self._first)
            trial = Trial(self._study, frozen._trial_id)
            trial.set_user_attr(PROCESS, os.getpid())
            if self._shared_as:
                trial.set_user_attr(HEARD, sign_of_life())
            return TrialHandle(trial, self._values(trial, number), is_first=number == 0)

    def _values(self, trial: Trial, number: int) -> dict[str, Any]:
        """Draw what is not drawn yet, each value by a sampler of its own, so that a kill between two changes none."""
        values = {}
        for place, (name, distribution) in enumerate(self._space.items()):
            if number == 0 and name not in self._first:
                continue
            self._study.sampler = sampler_of(self._seed, number, place)
            values[name] = draw(trial, name, distribution)
        return values


def _owner_of(folder: Path) -> str:
    """Return the name under which a folder's trials are known, in every storage; it is made with the folder's first."""
    file = folder / OWNER
    if not file.exists():
        partial = file.with_suffix(".partial")
        partial.write_text(secrets.token_hex(8), encoding="ascii")
        # A kill leaves the whole name or none.
        partial.replace(file)
    return file.read_text(encoding="ascii")
