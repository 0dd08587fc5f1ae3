"""Which verbs do not suit every kind of answers: a table, and the one place that refuses the others."""

from __future__ import annotations

from typing import Any, NamedTuple

from yanmo.errors import ConfigError
from yanmo.protocols import Task

__all__ = ["check_form"]


class Row(NamedTuple):
    """A verb that does not suit all heads.

    Attributes:
        what: What it is for, for the message.
        heads: What the models have that it suits.
        hint: What else there is.
    """

    what: str
    heads: tuple[str, ...]
    hint: str


TEXTS, DECISIONS = ("labels of whole texts", ("texts",)), ("decisions about texts", ("texts", "units", "spans"))
COMPARE = "Train several models, and compare them: evaluate says bits a character with intervals."
VERBS = {
    "adopt": Row(
        *TEXTS, "Train a model here instead, or begin with the checkpoint: yanmo train DATASET --model FOLDER"
    ),
    "audit": Row(*TEXTS, "evaluate lists the most confident mistakes of a split, which are often those of the labels."),
    "calibrate": Row(*DECISIONS, "Bits a character say how good the probabilities are: yanmo evaluate"),
    "cascade": Row(*DECISIONS, COMPARE),
    "distill": Row(*DECISIONS, "Train a smaller model on the same texts."),
    "ensemble": Row(*DECISIONS, COMPARE),
    "grind": Row(*DECISIONS, COMPARE),
    "prune": Row(*TEXTS, "Choose a smaller model, or quantize it."),
    "tune": Row(*DECISIONS, COMPARE),
}
"""Verb to what it suits; one that is not here suits all."""


def check_form(task: Task[Any], verb: str) -> None:
    """Refuse a verb that does not suit what a task decides about.

    Raises:
        ConfigError: It needs other answers than the task gives.
    """
    row = VERBS.get(verb)
    if row is not None and task.head not in row.heads:
        raise ConfigError(
            f"{verb} is for {row.what}; the answers of the task {task.name} are others.",
            hint=row.hint,
        )
