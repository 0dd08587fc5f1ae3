"""The tasks: one file each, one table; they know no model and no file.

A task is all that differs by task: how labels are read, encoded, decoded and chosen. No verb asks which task it is.
"""

from typing import Any, Protocol

from yanmo.errors import ConfigError, did_you_mean
from yanmo.protocols import Task
from yanmo.tasks.causal_lm import CAUSAL_LM
from yanmo.tasks.dependencies import DEPENDENCIES
from yanmo.tasks.embedding import EMBEDDING
from yanmo.tasks.masked_lm import MASKED_LM
from yanmo.tasks.multi_label import MULTI_LABEL
from yanmo.tasks.single_label import SINGLE_LABEL
from yanmo.tasks.span import SPAN
from yanmo.tasks.text_pair import TEXT_PAIR
from yanmo.tasks.text_to_text import TEXT_TO_TEXT
from yanmo.tasks.token_labels import TOKEN_LABELS
from yanmo.text.pipeline import TextConfig

__all__ = ["ANSWERED", "READING", "TASKS", "get_task", "is_learned", "is_read", "known_task", "only_reads", "task_of"]

EVERY: tuple[Task[Any], ...] = (
    *(SINGLE_LABEL, MULTI_LABEL, TEXT_PAIR, TOKEN_LABELS, SPAN, DEPENDENCIES),
    *(CAUSAL_LM, TEXT_TO_TEXT, MASKED_LM),
)
TASKS = {task.name: task for task in EVERY}
ANSWERED: dict[str, Task[Any]] = {EMBEDDING.name: EMBEDDING}
"""Tasks that Bundles answer and no Dataset is of: there is no truth to learn or to measure against."""

READING = {"mlm": "masked_lm", "rtd": "replaced_tokens", "spans": "cut_spans", "clm": "causal_lm"}
"""Objective of pre-training to the task of its networks. Those that guess tokens answer it; others only read."""


def known_task(name: str) -> str:
    """Return the name of a task that there is, for the config of a verb.

    Raises:
        ValueError: There is none; the message lists them.
    """
    if name not in TASKS:
        raise ValueError(f"one of: {', '.join(TASKS)}{did_you_mean(name, TASKS)}")
    return name


def is_learned(name: str) -> bool:
    """Return whether Datasets are of a task, so that they hold what its models learn and are measured against."""
    return name in TASKS


def only_reads(name: str) -> bool:
    """Return whether a task's Bundles are encoders that have only learned to read, and give no answers."""
    return is_read(name) and name not in TASKS


def is_read(name: str) -> bool:
    """Return whether a task is what networks learn from plain texts, before they are trained for another one."""
    return name in READING.values()


def get_task(name: str) -> Task[Any]:
    """Return a task by its name.

    Raises:
        ConfigError: There is no such task.
    """
    # An encoder that only reads is a good Bundle in the wrong place; "there is no task" would mislead.
    if only_reads(name):
        raise ConfigError(
            f"The Bundle is an encoder that has only learned to read ({name}): it gives no answers yet.",
            hint="Train a model from it: yanmo train DATASET --init FOLDER --out MODEL",
        )
    if name not in TASKS and name not in ANSWERED:
        raise ConfigError(
            f"There is no task '{name}'.{did_you_mean(name, TASKS)}",
            hint=f"The tasks are: {', '.join(TASKS)}.",
        )
    return TASKS.get(name) or ANSWERED[name]


class Labeled(Protocol):
    """What has a task and its labels, such as a Dataset or a Bundle."""

    @property
    def task(self) -> str:
        """The task's name."""
        ...

    @property
    def labels(self) -> list[str]:
        """Its labels, in order."""
        ...

    @property
    def text_config(self) -> TextConfig:
        """How its texts are read."""
        ...


def task_of(artifact: Labeled) -> Task[Any]:
    """Return the task of a Dataset or Bundle, which knows its labels.

    Raises:
        ConfigError: There is no such task.
    """
    return get_task(artifact.task).of(artifact.labels).reading(artifact.text_config)
