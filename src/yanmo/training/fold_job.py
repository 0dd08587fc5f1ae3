"""The folds of a training as units of a job: each is trained and answered by itself; it knows no executor by name."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import polars as pl

from yanmo.answers.choices import Choices
from yanmo.arrays import IntArray
from yanmo.artifacts.dataset import Dataset
from yanmo.artifacts.effects import NO_EFFECTS, Effects
from yanmo.data.split import cut_folds
from yanmo.executors.jobs import Executor
from yanmo.executors.places import ArtifactPlace, work_in
from yanmo.modeling.runs.folds import KeptFolds
from yanmo.models import ModelSpec
from yanmo.runtimes.predictor import open_bundle
from yanmo.tasks.labels import label_task
from yanmo.text.inputs import Inputs
from yanmo.training.job import Job, learn, make_job
from yanmo.training.publishing import draft_trained
from yanmo.training.train_config import TrainConfig

__all__ = ["FoldJob", "answer_out_of_fold"]


@dataclass(frozen=True, kw_only=True)
class FoldJob:
    """Trains and answers folds.

    Attributes:
        dataset: The Dataset.
        spec: The model.
        config: Settled.
        is_length_given: Whether the user has said how long texts are.
        work_dir: Where the answers of folds are kept, on storage that the machines share.
        run_key: Names the work.
        folder: In which relative paths begin.
    """

    dataset: ArtifactPlace
    spec: ModelSpec
    config: TrainConfig
    is_length_given: bool
    work_dir: str
    run_key: str
    folder: str

    @contextlib.contextmanager
    def open(self) -> Iterator[Folds]:
        """Read what is learned from.

        Raises:
            ArtifactError: The Dataset is another one here, or is not there.
            ConfigError: The folder is not there.
        """
        work_in(self.folder)
        dataset, folder = self.dataset.open(Dataset), Path(self.work_dir)
        length = {"is_length_given": self.is_length_given}
        yield Folds(make_job(dataset, self.spec, self.config, folder, self.run_key, **length), dataset)


class Folds:
    """The folds of one training.

    Args:
        job: Of the training.
        dataset: That it learns from.
        effects: Who watches the folds.
    """

    def __init__(self, job: Job, dataset: Dataset, effects: Effects = NO_EFFECTS) -> None:
        self._job, self._dataset, self._effects = job, dataset, effects
        self._rows = dataset.split("train")
        self._inputs = Inputs.of_frame(self._rows, job.task.inputs)
        link = label_task(job.task, "Training with folds").link
        self.kept = KeptFolds(_cut(job, self._rows), len(dataset.labels), link, job.work_dir, job.run_key)

    def run(self, folds: Iterable[int]) -> Iterator[int]:
        """Yield every fold whose rows are answered."""
        for fold in folds:
            self.kept.make(fold, self._answer)
            yield fold

    def _answer(self, learned: IntArray, held: IntArray, folder: Path, run_key: str) -> Choices:
        fold = replace(self._job, train=self._job.train.take(learned), work_dir=folder, run_key=run_key)
        trained = learn(fold, tell=self._effects.tell)
        place = folder / "draft"
        # A run that was killed may have left half of it.
        shutil.rmtree(place, ignore_errors=True)
        place.mkdir()
        # As a Bundle, so that its rows are answered just as whoever predicts would have it, cleaning included.
        bundle = draft_trained(trained, self._job, self._dataset, place)
        with open_bundle(bundle, num_threads=self._job.config.num_threads, verify_golden=False) as predictor:
            evidence: Choices = predictor.infer(self._inputs.take(held))[0]
            return evidence


def _cut(job: Job, rows: pl.DataFrame) -> IntArray:
    """Return the fold of each row; those of one text are in one."""
    first, second = job.train.texts.first, job.train.texts.second
    # No cleaning step leaves \x1e in a text, so two pairs have one key only where both texts are equal.
    keys = list(first) if second is None else [f"{one}\x1e{other}" for one, other in zip(first, second, strict=True)]
    return cut_folds(keys, rows["label"], job.config.folds or 0, job.config.seed)


def answer_out_of_fold(job: Job, dataset: Dataset, effects: Effects, executor: Executor | None) -> Choices:
    """Return the answer to every training row by a model that has learned from no row of the same text.

    Args:
        job: Of the training.
        dataset: That it learns from.
        effects: Who watches the folds, where this process trains them.
        executor: Who trains them; None where this process does, one after the other.

    Raises:
        YanmoError: That of a fold.
    """
    folds = Folds(job, dataset, effects)
    missing = folds.kept.missing()
    if executor is None or not missing:
        made = folds.run(missing)
    else:
        shared = FoldJob(
            dataset=ArtifactPlace.of(dataset),
            spec=job.spec,
            config=job.config,
            is_length_given=job.is_length_given,
            work_dir=str(job.work_dir),
            run_key=job.run_key,
            folder=str(Path.cwd()),
        )
        made = executor.run(shared, missing)
    for _ in made:
        pass
    return folds.kept.gathered()
