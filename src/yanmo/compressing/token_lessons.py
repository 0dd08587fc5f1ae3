"""How a language model teaches: by what it says of every next token, or by texts that it has written.

The first needs no answers beforehand, for the student's training asks the teacher itself. It knows no torch.
"""

from __future__ import annotations

import logging
from collections.abc import Collection
from dataclasses import replace
from typing import Any

import polars as pl

from yanmo.answers.sequences import Sequences
from yanmo.artifacts.bundle import Bundle
from yanmo.artifacts.dataset import Dataset
from yanmo.artifacts.predictions import Predictions
from yanmo.compressing.transfer_texts import Transfer
from yanmo.errors import ConfigError, DataError
from yanmo.measuring.evaluation import match_bundle
from yanmo.models import ModelSpec
from yanmo.protocols import Task
from yanmo.tasks import task_of

__all__ = ["check_token_teacher", "teaches_tokens", "with_written_texts"]

logger = logging.getLogger(__name__)

UNUSED = ("executor", "keep_answers")
"""Keys about answers that are made beforehand."""
TAKEN_OVER = ("tokenization", "vocab_size")
"""Keys of a tokenizer, which is the teacher's."""
SHARED = ("alpha", "temperature")
"""Keys of two opinions about one token."""
COUNTERS = ("kneser-ney",)
"""Families that count texts, and learn no probabilities."""
WRITE = "yanmo generate TEACHER --prompts FILE --out WRITTEN, where TEACHER is a Bundle of format decoder"


def teaches_tokens(task: Task[Any]) -> bool:
    """Return whether what is learned from a teacher is what it says of tokens."""
    return task.form is Sequences


def check_token_teacher(
    teacher: Bundle | Predictions, spec: ModelSpec, dataset: Dataset, given: Collection[str], *, num_altered: int
) -> None:
    """Refuse a teacher that cannot say anything of next tokens, and say which settings have no effect.

    Args:
        teacher: A Bundle, or texts that one has written.
        spec: The student.
        dataset: What the student is for.
        given: Names of the keys of distill that a user gave.
        num_altered: Copies of texts that are asked for.

    Raises:
        ConfigError: As said.
        DataError: Teacher and Dataset differ in task.
    """
    if num_altered:
        raise ConfigError(
            "The 'num_altered' parameter of distill does not suit language models, which would learn to write altered "
            "texts.",
            hint="Leave it out; further texts of the kind help: --transfer FILE.",
        )
    is_written = isinstance(teacher, Predictions)
    unused = UNUSED + (() if is_written else TAKEN_OVER) + (SHARED if is_written or spec.family in COUNTERS else ())
    for name in sorted({*unused} & {*given}):
        logger.warning("The '%s' parameter has no effect on the student of a language model like this.", name)
    if isinstance(teacher, Predictions):
        return
    match_bundle(teacher, dataset)
    if (teacher.format, teacher.architecture.get("family")) != ("torch", "decoder"):
        raise ConfigError(
            f"The teacher of a language model must be a torch Bundle of one language model. {teacher.path} holds "
            f"{teacher.model}, of format {teacher.format}.",
            hint=f"Give the Bundle that it was made from, or let it write texts and give these: {WRITE}.",
        )


def with_written_texts(found: Transfer, teacher: Predictions, dataset: Dataset) -> Transfer:
    """Return texts and those that a teacher has written, each with its prompt.

    Args:
        found: The texts of the Dataset and of transfer files.
        teacher: From generate.
        dataset: What the student is for.

    Raises:
        DataError: They are of another task, or are no texts that a model has written.
    """
    frame = teacher.frame()
    if teacher.task != dataset.task or not {"prompt", "text", "ending"} <= set(frame.columns):
        raise DataError(
            f"{teacher.path} holds no texts that a language model has written.",
            hint=f"Make them: {WRITE}.",
        )
    num_cut = int((frame["ending"] == "length").sum())
    if num_cut:
        logger.warning(
            "%d of %d written texts were cut, and the student learns that texts end there; write longer ones: "
            "--max-new-tokens.",
            *(num_cut, frame.height),
        )
    written = frame.select(
        pl.format("written {}", "id").alias("id"), (pl.col("prompt") + pl.col("text")).alias(task_of(dataset).inputs[0])
    )
    return replace(found, real=pl.concat([found.real, written.filter(pl.col("text").str.strip_chars() != "")]))
