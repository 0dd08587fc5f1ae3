"""Which verbs can do with which forms of answers: a table, and the one place that refuses the others."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple, cast

from yanmo.errors import ConfigError
from yanmo.protocols import Form, Task
from yanmo.tasks.labels import LabelTask

__all__ = ["FORM_NAMES", "LABELED", "check_form", "labeled_task"]

FORM_NAMES: Mapping[Form, str] = {
    "texts": "texts as a whole",
    "units": "the units of texts",
    "sequences": "the tokens of texts",
}
"""Form to what it is called in messages."""
LABELED: tuple[Form, ...] = ("texts", "units")
"""The forms whose decisions are labels."""


class Row(NamedTuple):
    """A verb that does not suit every form.

    Attributes:
        forms: Those that it suits.
        hint: What else there is.
    """

    forms: tuple[Form, ...]
    hint: str


COMPARE = "Train several models and compare them: evaluate says bits a character with intervals."
VERBS = {
    "adopt": Row(
        ("texts",), "Train a model here instead, or begin with the checkpoint: yanmo train DATASET --model DIR"
    ),
    "audit": Row(
        ("texts",), "evaluate lists the most confident mistakes of a split, which are often those of the labels."
    ),
    "calibrate": Row(
        LABELED, "evaluate says how many bits a character takes, which is how good the probabilities are."
    ),
    "cascade": Row(LABELED, COMPARE),
    "distill": Row(LABELED, "Train a smaller model on the same texts, or on texts that the larger one has written."),
    "ensemble": Row(LABELED, COMPARE),
    "grind": Row(LABELED, COMPARE),
    "prune": Row(("texts",), "Choose a smaller model, or quantize it."),
    "tune": Row(LABELED, COMPARE),
}
"""Verb to the forms that it suits; one that is not here suits all."""


def check_form(task: Task[Any], verb: str) -> None:
    """Refuse a verb that does not suit what a task decides about.

    Raises:
        ConfigError: It needs another form of answers.
    """
    row = VERBS.get(verb)
    if row is not None and task.form not in row.forms:
        suited = " or ".join(FORM_NAMES[form] for form in row.forms)
        raise ConfigError(
            f"{verb} is for {suited}; the task {task.name} is about {FORM_NAMES[task.form]}.", hint=row.hint
        )


def labeled_task(task: Task[Any], verb: str) -> LabelTask:
    """Return a task as one of labels, for a verb that works on such alone.

    Raises:
        ConfigError: It has none.
    """
    check_form(task, verb)
    # Every form that a row of labels is said for is that of a task of labels.
    return cast(LabelTask, task)
