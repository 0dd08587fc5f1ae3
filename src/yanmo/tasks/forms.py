"""Which verbs can do with labels of whole texts alone: a table, and the one place that refuses all other answers."""

from __future__ import annotations

from typing import Any

from yanmo.errors import ConfigError
from yanmo.protocols import Task

__all__ = ["check_form"]

OF_WHOLE_TEXTS = {
    "adopt": "Train a model here instead, or begin with the checkpoint: yanmo train DATASET --model FOLDER",
    "audit": "evaluate lists the most confident mistakes of a split, which are often those of the labels.",
    "prune": "Choose a smaller model, or quantize it.",
}
"""Verbs that work on labels of whole texts alone, and what else there is."""


def check_form(task: Task[Any], verb: str) -> None:
    """Refuse a verb that does not suit what a task decides about.

    Raises:
        ConfigError: It needs labels of whole texts, and the task gives other answers.
    """
    if task.head != "texts" and verb in OF_WHOLE_TEXTS:
        raise ConfigError(
            f"{verb} is for labels of whole texts; the answers of the task {task.name} are others.",
            hint=OF_WHOLE_TEXTS[verb],
        )
