"""The trials of a search, one after the other: train, watch, give up or keep; it knows no storage and no report.

Each trial has a folder of its own beside the others. A trial that was killed goes on from its last checkpoint.
"""

from __future__ import annotations

import contextlib
import logging
import os
import shutil
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
from filelock import FileLock, Timeout

from yanmo.artifacts.bundle import WEIGHTS, Bundle
from yanmo.artifacts.dataset import Dataset
from yanmo.artifacts.effects import NO_EFFECTS, Effects
from yanmo.errors import ArtifactError, BusyError, MissingExtraError, StoppedError, YanmoError
from yanmo.integrations.tracking import Run, tracked
from yanmo.tasks import task_of
from yanmo.training.job import measure_answers
from yanmo.tuning.space import Choice, Range
from yanmo.verbs.calls import Call, run_call

if TYPE_CHECKING:
    from yanmo.integrations.optuna_handle import TrialHandle
    from yanmo.integrations.optuna_study import SharedStudy

__all__ = ["SearchPlan", "bundle_of", "open_search", "run_trials", "score_of", "train_once", "weights_digest"]

logger = logging.getLogger(__name__)

STUDY = "study.db"
TRIALS = "trials"
BUNDLE = "bundle"
LOOK_SECONDS = 2.0


class SearchPlan(msgspec.Struct, frozen=True):
    """A search, as plain values that another process can be given.

    Attributes:
        call: Of train on the Dataset, with the settings that all trials have.
        folder: Where the trials and, by default, the storage are kept.
        study: The study's name.
        storage: URL of the storage, None for a file in the folder.
        space: What is searched.
        first: What train has by default for every setting that is searched.
        metric: What is best.
        lowest: Whether the lowest is.
        num_trials: Trials in all.
        max_seconds: Of training, after which no trial begins; None for no limit.
        prune: Whether hopeless trials are given up.
        seed: Of the search.
        tracker: Where the trials' curves also go.
        tracker_run: The id of the search's own run there.
        shared_as: What other machines call this one, where its storage is shared; None where it is the folder's own.
        parent: The process without which a worker that is given this plan goes on with no trial; None where it need not
            look.
    """

    call: Call
    folder: str
    study: str
    storage: str | None
    space: dict[str, Range | Choice]
    first: dict[str, Any]
    metric: str
    lowest: bool
    num_trials: int
    max_seconds: float | None
    prune: bool
    seed: int
    tracker: str | None = None
    tracker_run: str | None = None
    shared_as: str | None = None
    parent: int | None = None


class HopelessError(Exception):
    """A trial is given up."""


@dataclass
class TrialLocks:
    """The trials that this process runs, one lock file each, which the system frees when the process dies."""

    folder: Path
    held: dict[int, FileLock]

    def acquire(self, number: int) -> bool:
        """Return whether the trial is now ours."""
        self.folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(self.folder / f"{number:04}.lock")
        try:
            # Not waited for: another trial can be taken meanwhile.
            lock.acquire(timeout=0)
        except Timeout:
            return False
        self.held[number] = lock
        return True

    def release(self, number: int) -> None:
        """Let go of a trial."""
        self.held.pop(number).release()


def open_search(plan: SearchPlan) -> SharedStudy:
    """Return the search of a plan, begun or continued; it is closed by ``with``.

    Raises:
        ConfigError: Its storage cannot be opened.
        MissingExtraError: Optuna, or the driver of the storage, is not installed.
    """
    from yanmo.integrations.optuna_study import SharedStudy
    from yanmo.integrations.sqlite import sqlite_url

    folder = Path(plan.folder)
    folder.mkdir(parents=True, exist_ok=True)
    return SharedStudy(
        plan.storage or sqlite_url(folder / STUDY),
        plan.study,
        plan.space,
        first=plan.first,
        lowest=plan.lowest,
        seed=plan.seed,
        folder=folder,
        # A fold's curve is of another part of the rows in each fold, and says little about the trial.
        prunes=plan.prune and not plan.call.config.get("folds"),
        shared_as=plan.shared_as,
    )


def run_trials(plan: SearchPlan, effects: Effects = NO_EFFECTS) -> Iterator[int]:
    """Run trials until all are taken, or the time is up and none that was cut off is left; yield the number of each.

    Args:
        plan: The search.
        effects: Who else watches the trainings.

    Raises:
        YanmoError: The first trial, which has the default settings, cannot be trained for another reason than memory;
            or disk, network or database fail, whatever the settings. The trial then goes on when the search is started
            again.
    """
    dataset, claims = Dataset.open(str(plan.call.inputs["dataset"])), TrialLocks(Path(plan.folder) / TRIALS, {})
    with open_search(plan) as search:
        while trial := _next_trial(plan, search, claims):
            try:
                with search.held(trial):
                    _run_trial(plan, search, trial, dataset, effects)
            finally:
                claims.release(trial.number)
            _keep_the_best(plan, search)
            yield trial.number


def _next_trial(plan: SearchPlan, search: SharedStudy, claims: TrialLocks) -> TrialHandle | None:
    """Return the next trial to run; None when all have ended, those of other machines too."""
    said: list[str] = []
    while True:
        # Whether time is up is asked before each trial, as the trainings of other workers count.
        trial = search.take(plan.num_trials, claims, begins=not _is_time_up(search, plan))
        others = search.elsewhere(plan.num_trials)
        if trial or not others:
            return trial
        if others != said:
            logger.info("Waits for %s.", ", ".join(others))
            said = others
        _check_parent(plan)
        time.sleep(LOOK_SECONDS)


def bundle_of(plan: SearchPlan, number: int) -> Path:
    """Return where the Bundle of a trial stands, as long as no better one is known."""
    return Path(plan.folder) / TRIALS / f"{number:04}" / BUNDLE


def train_once(plan: SearchPlan, out: Path, values: Mapping[str, Any], effects: Effects = NO_EFFECTS) -> Bundle:
    """Return the Bundle of some settings; one that was made before the search was cut off is not made again.

    The folder is that of the same search; if only the number of threads has changed since, the training begins anew.
    """
    if out.exists():
        return Bundle.open(out)
    config = {**plan.call.config, **values, "fork": True}
    made: Bundle = run_call(msgspec.structs.replace(plan.call, config=config, out=str(out), effects=effects))
    return made


def score_of(bundle: Bundle, dataset: Dataset, metric: str) -> float:
    """Return a trained Bundle's score: on the validation split, or out of fold where it was trained with folds."""
    if not bundle.manifest.config["folds"]:
        return float(bundle.summary()[f"valid_{metric}"])
    task, rows = task_of(dataset), dataset.split("train")
    frame = bundle.out_of_fold().frame()
    places = {one: place for place, one in enumerate(frame["id"].to_list())}
    evidence = task.read(frame).take(np.array([places[one] for one in rows["id"].to_list()], dtype=np.int64))
    return measure_answers(task, evidence, task.targets(rows, dataset.labels))[metric]


def weights_digest(bundle: Bundle) -> str:
    """Return the digest of what a trained Bundle has learned, by which machines compare theirs."""
    return bundle.manifest.files[WEIGHTS].sha256


def _run_trial(plan: SearchPlan, search: SharedStudy, trial: TrialHandle, dataset: Dataset, effects: Effects) -> None:
    def watch(record: Mapping[str, Any]) -> None:
        _check_parent(plan)
        score = record.get(f"valid_{plan.metric}")
        if score is None:
            return
        trial.note_seconds(time.perf_counter() - start)
        if not plan.call.config.get("folds") and trial.is_hopeless(score, record["epoch"] + 1):
            raise HopelessError

    # As if it had begun earlier: what it took before it was cut off counts.
    start = time.perf_counter() - trial.seconds
    shown = ", ".join(f"{name} {_short(value)}" for name, value in trial.values.items())
    try:
        with _tracked(plan, trial) as run:
            seen = effects.watched(run.watch, sees_folds=(watch,))
            bundle = train_once(plan, bundle_of(plan, trial.number), trial.values, seen)
            score = score_of(bundle, dataset, plan.metric)
            run.finish({**plan.call.config, **trial.values}, {plan.metric: score})
    except HopelessError:
        search.finish(trial, None, pruned=True, seconds=time.perf_counter() - start)
        logger.info("Trial %d was given up: %s.", trial.number, shown)
        return
    # None of these is the fault of the settings, so the trial stays open.
    except (ArtifactError, BusyError, MissingExtraError, StoppedError):
        raise
    except (YanmoError, MemoryError, RuntimeError) as error:
        is_too_large = _is_out_of_memory(error)
        # A RuntimeError that is not about memory is a bug; an OSError below is the disk's or the network's.
        if not is_too_large and (not isinstance(error, YanmoError) or isinstance(error.__cause__, OSError)):
            raise
        search.finish(trial, None, seconds=time.perf_counter() - start)
        if trial.is_first and not is_too_large:
            raise
        logger.warning("Trial %d failed (%s): %s.", trial.number, str(error).partition("\n")[0], shown)
        return
    weights = weights_digest(bundle)
    search.finish(trial, score, seconds=time.perf_counter() - start, weights=weights)
    logger.info("Trial %d: %s %.4f with %s.", trial.number, plan.metric, score, shown)


def _is_out_of_memory(error: Exception) -> bool:
    """Return whether there was not enough memory for a trial; with other settings there may be."""
    from yanmo.modeling.arithmetic.memory import is_out_of_memory

    return any(is_out_of_memory(one) for one in (error, error.__cause__) if isinstance(one, Exception))


def _tracked(plan: SearchPlan, trial: TrialHandle) -> contextlib.AbstractContextManager[Run]:
    """Open the run of a trial in the tracker, a part of the search's run."""
    folder = bundle_of(plan, trial.number).parent
    folder.mkdir(parents=True, exist_ok=True)
    return tracked(plan.tracker, name=f"trial-{trial.number:04}", work_dir=folder, parent=plan.tracker_run)


def _check_parent(plan: SearchPlan) -> None:
    """End a worker whose starter is gone: the trial goes on when the search is started again."""
    if plan.parent is not None and os.getppid() != plan.parent:
        raise SystemExit(1)


def _keep_the_best(plan: SearchPlan, search: SharedStudy) -> None:
    """Remove what the finished trials of this folder have left, but for the best one's Bundle."""
    trials = search.trials()  # before the best: a trial of another worker that ends in between is not among them
    best = search.best()
    for one in trials:
        folder = bundle_of(plan, one.number).parent
        if one.state != "running" and folder.is_dir() and (best is None or one.number != best.number):
            shutil.rmtree(folder, ignore_errors=True)


def _is_time_up(search: SharedStudy, plan: SearchPlan) -> bool:
    return plan.max_seconds is not None and sum(one.seconds for one in search.trials()) >= plan.max_seconds


def _short(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)
