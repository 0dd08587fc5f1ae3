"""Which verbs can do with what is decided about: a table, and the one place that refuses the others."""

from __future__ import annotations

from typing import Any, NamedTuple

from yanmo.errors import ConfigError
from yanmo.protocols import ABOUT, Task

__all__ = ["check_form", "suits"]

CHOSEN = ("texts", "units", "passages", "trees")
"""What is decided about by choosing among given answers, whose probabilities sum to 1 or stand each for itself."""
JUDGED = (*CHOSEN, "targets")
"""What is decided about so that a decision is right or wrong."""


class Row(NamedTuple):
    """A verb that does not suit all that is decided about.

    Attributes:
        heads: What it suits, names of ``protocols.ABOUT``.
        hint: What else there is.
    """

    heads: tuple[str, ...]
    hint: str


COMPARE = "Train several models and compare them: evaluate says the measures of the task with intervals."
VERBS = {
    "adopt": Row(
        ("texts", "units", "passages", "sequences", "targets", "gaps"),
        "Train a model here instead, or begin with the checkpoint: yanmo train DATASET --model DIR",
    ),
    "audit": Row(
        ("texts",), "evaluate lists the most confident mistakes of a split, which are often those of the labels."
    ),
    "calibrate": Row(CHOSEN, "evaluate says how good the probabilities are, such as how many bits a character takes."),
    "cascade": Row(JUDGED, COMPARE),
    "distill": Row((*JUDGED, "sequences"), "Train a smaller model on the same texts."),
    "ensemble": Row((*JUDGED, "sequences"), "evaluate --against says which of two models guesses better."),
    "train with folds": Row(CHOSEN, "Leave folds out: nothing is stacked on likelihoods."),
    "grind": Row((*JUDGED, "sequences"), COMPARE),
    "prune": Row(("texts", "sequences", "targets"), "Choose a smaller model, or quantize it."),
    "serve": Row(
        tuple(one for one in ABOUT if one != "sequences"),
        "A service writes texts with a Bundle of format decoder: yanmo export, or quantize, makes one.",
    ),
    "tune": Row((*JUDGED, "sequences"), COMPARE),
}
"""Verb to what it suits; one that is not here suits all."""


def suits(task: Task[Any], verb: str) -> bool:
    """Return whether a verb can do with what a task decides about."""
    row = VERBS.get(verb)
    return row is None or task.head in row.heads


def check_form(task: Task[Any], verb: str) -> None:
    """Refuse a verb that does not suit what a task decides about.

    Raises:
        ConfigError: As said.
    """
    if not suits(task, verb):
        row = VERBS[verb]
        suited = " or ".join(ABOUT[head] for head in row.heads)
        raise ConfigError(f"{verb} is for {suited}; the task {task.name} is about {ABOUT[task.head]}.", hint=row.hint)
