"""What a teacher answers to the texts that a student learns from, asked once and kept; it knows no student.

The answers come block by block, and each block is kept as soon as it is there, so a run that was killed goes on with
the next one.
"""

from __future__ import annotations

import itertools
import logging
import shutil
from collections.abc import Container, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import polars as pl

from yanmo.artifacts.base import Identity, publish
from yanmo.artifacts.bundle import Bundle
from yanmo.artifacts.dataset import Dataset
from yanmo.artifacts.identity import stage_key
from yanmo.artifacts.parquet import count_rows, read_parquet, write_parquet
from yanmo.artifacts.placing import MANIFEST, lock, work_dir
from yanmo.artifacts.predictions import PREDICTIONS, Predictions
from yanmo.combine import alignment
from yanmo.compressing.transfer_texts import Transfer
from yanmo.counted import counted
from yanmo.errors import ConfigError, DataError
from yanmo.executors.here import InThisProcess
from yanmo.executors.jobs import Executor
from yanmo.executors.places import ArtifactPlace
from yanmo.executors.teacher_blocks import TeachJob, texts_path
from yanmo.measuring.evaluation import match_bundle
from yanmo.modeling.settings import LabeledTexts
from yanmo.progress import bar
from yanmo.protocols import Task
from yanmo.tasks import task_of
from yanmo.text.inputs import Inputs
from yanmo.text.pipeline import TextPipeline

__all__ = ["Taught", "answers_dir", "ask", "read_answers", "taught_texts"]

logger = logging.getLogger(__name__)

TEXTS = "texts.parquet"


@dataclass(frozen=True)
class Taught:
    """Texts with a teacher's answers.

    Attributes:
        rows: ``id, text[, text_b]``, N rows: first those of the training split, in its order.
        evidence: Probabilities, columns in the Dataset's label order.
    """

    rows: pl.DataFrame
    evidence: Any


def answers_dir(teacher: Bundle, dataset: Dataset, transfer: Transfer, *, beside: Path) -> Path:
    """Return where a teacher's answers are kept; the arguments are those of :func:`ask`."""
    return beside / f".{stage_key('answers', *_identify(teacher, dataset, transfer))[:16]}.answers"


def _identify(teacher: Bundle, dataset: Dataset, transfer: Transfer) -> tuple[dict[str, str], dict[str, Any]]:
    """Return what the answers are made from, by digest, and how."""
    parents = {"bundle": teacher.digest, "dataset": dataset.digest, **transfer.parents}
    # The path of the masked language model says nothing; its digest is among the parents.
    return parents, {**asdict(transfer.altering), "masked_lm": None}


def ask(
    teacher: Bundle,
    dataset: Dataset,
    transfer: Transfer,
    *,
    beside: Path,
    num_threads: int | None,
    executor: Executor | None = None,
) -> Taught:
    """Return a teacher's answers to all texts, those of an earlier student if the teacher and the texts are the same.

    Args:
        teacher: Any Bundle that answers the Dataset's labels.
        dataset: What the student is for.
        transfer: The texts.
        beside: The answers are kept in this folder, as hidden Predictions with their texts.
        num_threads: Threads of the teacher's runtime.
        executor: Who answers for the teacher; None where this process does.

    Raises:
        DataError: Task or labels differ.
        BusyError: Another process asks the same.
    """
    columns = match_bundle(teacher, dataset)
    folder = answers_dir(teacher, dataset, transfer, beside=beside)
    if not (folder / MANIFEST).is_file():
        with lock(work_dir(folder)) as work:
            _answer(teacher, transfer, work, num_threads, executor or InThisProcess())
            _publish(teacher, *_identify(teacher, dataset, transfer), work, folder)
            shutil.rmtree(work, ignore_errors=True)
    found = Predictions.open(folder)
    evidence = task_of(teacher).read(found.frame()).ordered(columns)
    return Taught(read_parquet(folder / TEXTS), evidence)


def _answer(teacher: Bundle, transfer: Transfer, work: Path, num_threads: int | None, executor: Executor) -> None:
    """Let an executor write every block that is not there yet, texts and answers in one file."""
    done = {int(part.stem): count_rows(part) for part in work.glob("*.parquet")}
    num_done = sum(done.values())
    if num_done == transfer.num_rows:
        return
    logger.info("The teacher answers %s.", counted(transfer.num_rows - num_done, "text"))
    with bar(transfer.num_rows, "asking the teacher", unit="text", initial=num_done) as progress:
        threads = num_threads or executor.num_threads
        job = TeachJob(ArtifactPlace.of(teacher), str(work.absolute()), {"num_threads": threads})
        for number, num_rows in executor.run(job, _missing_blocks(transfer, work, done)):
            # Not before: whoever makes a block again needs its texts.
            texts_path(work, number).unlink(missing_ok=True)
            progress.update(num_rows)


def _missing_blocks(transfer: Transfer, work: Path, done: Container[int]) -> Iterator[int]:
    """Yield the numbers of blocks without answers, whose texts are then in the folder."""
    # Blocks may have ended in any order; those at the beginning that are there are not made again.
    first = next(number for number in itertools.count() if number not in done)
    for number, rows in enumerate(transfer.blocks(first), first):
        if number not in done:
            write_parquet(rows, texts_path(work, number))
            yield number


def _publish(teacher: Bundle, parents: dict[str, str], config: dict[str, Any], work: Path, folder: Path) -> None:
    identity = Identity(
        kind=Predictions.kind,
        verb="answers",
        task=teacher.task,
        labels=teacher.labels,
        parents=parents,
        config=config,
    )
    with publish(folder, identity) as staging:
        frame = pl.concat([read_parquet(part) for part in sorted(work.glob("*.parquet"))])
        texts = list(task_of(teacher).inputs)
        write_parquet(frame.drop(texts), staging / PREDICTIONS)
        write_parquet(frame.select("id", *texts), staging / TEXTS)


def read_answers(teacher: Predictions, dataset: Dataset, transfer: Transfer) -> Taught:
    """Return given answers to the training split.

    Raises:
        DataError: They lack a training row, or are of another task or other labels.
        ConfigError: Texts are asked for that they cannot answer.
    """
    if transfer.parents or transfer.altering.num_copies:
        raise ConfigError(
            "Predictions answer the texts they were made for only: no transfer files and no altered copies.",
            hint="Give the Bundle as the teacher.",
        )
    if teacher.task != dataset.task:
        raise DataError(
            f"{teacher.path} answers the task {teacher.task}, but {dataset.path} is of the task {dataset.task}.",
            hint="Choose Predictions and a Dataset of one task.",
        )
    names = {"name": str(teacher.path), "reference": str(dataset.path)}
    columns = alignment.match_labels(dataset.labels, teacher.labels, **names)
    places = {one: place for place, one in enumerate(teacher.ids)}
    ids = dataset.split("train")["id"].cast(pl.String)
    # Ids that nobody answered become null, which is counted below.
    found = ids.replace_strict(places, default=None, return_dtype=pl.Int64)
    num_missing = found.null_count()
    if num_missing:
        example = ids[found.is_null().arg_true()[0]]
        raise DataError(
            f"{teacher.path} lacks {num_missing} of the {len(found)} training rows of {dataset.path}, such as the id "
            f"'{example}'.",
            hint=f"Make them: yanmo predict TEACHER {dataset.path} --split train --out PREDICTIONS",
        )
    evidence = task_of(dataset).read(teacher.frame()).take(found.to_numpy()).ordered(columns)
    return Taught(transfer.real, evidence)


def taught_texts(
    labeled: LabeledTexts,
    rows: pl.DataFrame,
    pipeline: TextPipeline,
    task: Task[Any],
    *,
    soft: Any = None,
) -> LabeledTexts:
    """Return cleaned texts with the labels of those that have one, and with a teacher's answers.

    Args:
        labeled: The training split.
        rows: ``id, text[, text_b]``, N rows: first those of the training split, in its order.
        pipeline: How they are cleaned.
        task: What they are for.
        soft: The answers, evidence, labels in the Dataset's order; None before the teacher was asked.
    """
    is_segmented = labeled.texts.is_segmented
    inputs = pipeline.read(Inputs.of_frame(rows, task.inputs, is_segmented=is_segmented))
    targets = task.padded(labeled.targets, inputs)
    return LabeledTexts(inputs, targets, rows["id"].to_list(), soft, len(labeled.targets))
