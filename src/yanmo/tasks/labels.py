"""What tasks of labels share: label lists, their columns in an array, and all that follows from which were chosen."""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from typing import Any, Protocol, cast

import numpy as np
import numpy.typing as npt
import polars as pl

from yanmo.answers.answered import Answered
from yanmo.answers.choices import Choices
from yanmo.answers.forms import row_of
from yanmo.answers.links import Link
from yanmo.arrays import FloatArray, IntArray, Ragged
from yanmo.errors import DataError, did_you_mean
from yanmo.metrics.labels import label_statistics
from yanmo.protocols import Prediction, Task
from yanmo.text.inputs import Inputs

__all__ = ["LabelTask", "fold_label", "label_columns", "label_task", "read_json_labels", "sort_labels", "tidy_label"]

CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
IGNORABLE = (
    r"\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b\u200e\u200f\u202a-\u202e\u2060-\u206f\u3164\ufeff\uffa0"
    r"\ufff0-\ufffb\U000e0000-\U000e001f"
)
"""Characters that Unicode lets nobody draw, as the inside of a class, but for the following ones."""
JOINERS = r"\u200c\u200d\ufe00-\ufe0f\U000e0020-\U000e007f\U000e0100-\U000e01ef"
"""Characters that change how their neighbors are drawn: in emoji, in Persian and in the scripts of India."""
# Beside ASCII a joiner changes nothing, so there it is as invisible as the others.
INVISIBLE = re.compile(f"[{IGNORABLE}]|(?<![^\\x00-\\x7f])[{JOINERS}]|[\u200c\u200d](?![^\\x00-\\x7f])")
ANY_INVISIBLE = re.compile(f"[{IGNORABLE}{JOINERS}]")
NUMBER = re.compile(r"[+-]?\d{1,14}(?:\.\d{1,14})?")


class LabelTask(Task[Choices], Protocol):
    """A task whose rows are given labels of one list; which ones, each of them says by itself."""

    @property
    def form(self) -> type[Choices]:
        """Choices of labels."""
        return Choices

    @property
    def link(self) -> Link:
        """From scores to probabilities, and whether labels exclude each other."""
        ...

    @property
    def reads_units(self) -> bool:
        """Whether the parts of a text are labeled one by one."""
        return False

    @property
    def head(self) -> str:
        """Texts, or their units."""
        return "units" if self.reads_units else "texts"

    def of(self, labels: Sequence[str]) -> LabelTask:  # noqa: ARG002 - other tasks read them
        """Return the task of a list of labels."""
        return self

    def column(self, predictions: Sequence[Any]) -> pl.Series:
        """Return what was decided as a column of Predictions."""
        return pl.Series("prediction", predictions, dtype=self.frame_type())

    def given(self, prediction: Any) -> tuple[str, ...]:
        """Return the labels that one row was given."""
        return (prediction,) if isinstance(prediction, str) else prediction or ()

    def columns_of(self, labels: Sequence[str]) -> dict[str, int]:
        """Return the place of every label that a row may be given."""
        return {label: place for place, label in enumerate(labels)}

    def choose(self, probabilities_NC: FloatArray) -> npt.NDArray[np.bool_]:
        """Return which labels each row is given, bool, shape (N, C)."""
        ...

    def read(self, frame: pl.DataFrame) -> Choices:
        """Return the Choices that a frame holds."""
        return Choices.read(frame, self.link)

    def details(self, evidence: Choices, labels: Sequence[str]) -> list[Mapping[str, float]]:
        """Return every label's probability, for every row."""
        return [dict(zip(labels, row, strict=True)) for row in evidence.values_MC.tolist()]

    def tell(self, answered: Answered[Choices], inputs: Inputs, labels: Sequence[str]) -> list[Prediction]:  # noqa: ARG002
        """Return every row's labels, with the probabilities of all."""
        decided, found = answered.decided, answered.found
        columns = (decided.predictions, decided.probability_N.tolist(), self.details(answered.evidence, labels))
        if found.stage_N is None:
            return list(map(Prediction, *columns))
        stages, silent_N = found.stage_N.tolist(), decided.silent_N
        abstained = silent_N.tolist() if silent_N is not None else [False] * len(stages)
        return list(map(Prediction, *columns, stages, abstained))

    def recover(self, details: Sequence[Mapping[str, float]]) -> Choices:
        """Return the Choices of which these are the details, columns in their order."""
        # In float64, so that a threshold is held against the numbers that were shown.
        return Choices(np.array([list(row.values()) for row in details]), self.link)

    def padded(self, targets: Any, inputs: Inputs) -> Any:
        """Return the targets of the first rows of inputs; those behind them have no label."""
        padded_NC = np.zeros((len(inputs), targets.shape[1]), dtype=np.float32)
        padded_NC[: len(targets)] = targets
        return padded_NC

    def is_one_answer(self, targets: Any) -> bool:
        """Return whether all rows have the same labels: several at once are one answer, too."""
        truth = targets.values if isinstance(targets, Ragged) else targets
        return bool((truth == truth[:1]).all())

    def statistics(self, evidence: Choices, targets: Any) -> npt.NDArray[Any]:
        """Return what ``metrics.labels`` counts in each row."""
        return label_statistics(self.choose(evidence.values_MC), targets)

    def labeled(self, evidence: Choices, targets: Any) -> tuple[Choices, FloatArray]:
        """Return the decisions that have a truth, and 1 where a label holds, float32, shape (M, C)."""
        return evidence, targets

    def losses_N(self, evidence: Choices, targets: Any) -> npt.NDArray[np.float64]:
        """Return the link's log losses."""
        return self.link.log_losses(evidence.values_MC, targets)

    def losses_M(self, evidence: Choices, targets: Any) -> npt.NDArray[np.float64]:
        """Return the link's log losses of the decisions that have a truth."""
        decisions, targets_MC = self.labeled(evidence, targets)
        return self.link.log_losses(decisions.values_MC, targets_MC)

    def truth(self, evidence: Choices, targets: Any, *, most: int) -> npt.NDArray[Any]:
        """Return what the link says was given to the truth."""
        decisions, targets_MC = self.labeled(evidence, targets)
        return self.link.truth(decisions.values_MC, targets_MC, most=most)

    def answers(self, evidence: Choices, targets: Any) -> tuple[npt.NDArray[np.float64], npt.NDArray[Any]]:
        """Return the link's answers about the labels that were chosen."""
        decisions, targets_MC = self.labeled(evidence, targets)
        return self.link.answers(decisions.values_MC, self.choose(decisions.values_MC), targets_MC)

    def ballots(self, evidence: Choices) -> Choices:
        """Return 1 for every label that is chosen."""
        return evidence.having(self.choose(evidence.values_MC).astype(np.float32))

    def gap_N(self, evidence: Choices) -> FloatArray:
        """Return the closest call of each row's decisions, as the link measures it."""
        return evidence.least_N(self.link.gap_M(evidence.values_MC))

    def confidence_N(self, evidence: Choices) -> FloatArray:
        """Return the link's confidences."""
        return self.link.confidence_M(evidence.values_MC)

    def same_N(self, evidence: Choices, other: Choices) -> npt.NDArray[np.bool_]:
        """Return which rows are given the same labels."""
        return np.asarray((self.choose(evidence.values_MC) == self.choose(other.values_MC)).all(axis=1))

    def right_N(self, evidence: Choices, targets: Any) -> npt.NDArray[np.bool_]:
        """Return which rows are given exactly their labels."""
        return np.asarray((self.choose(evidence.values_MC) == targets.astype(bool)).all(axis=1))


def label_task(task: Task[Any], what: str) -> LabelTask:
    """Return a task as one of labels, for what works with labels alone, such as a stacker.

    Args:
        task: Any one.
        what: What needs labels, for the message.

    Raises:
        ConfigError: The task's answers are of another form.
    """
    row_of({Choices: task}, task.form, what)
    return cast(LabelTask, task)


def read_json_labels(cells: pl.Series) -> tuple[npt.NDArray[np.bool_], pl.Series]:
    """Return which cells are JSON lists or objects, and the labels of those that are lists of labels.

    Args:
        cells: N texts without white space around them, or null.

    Returns:
        bool, shape (N,); lists of labels, null in every other cell.
    """
    places = cells.str.contains(r"^[\[{]").fill_null(value=False).arg_true().to_list()
    if not places:
        return np.zeros(len(cells), dtype=bool), pl.repeat(None, len(cells), dtype=pl.List(pl.String), eager=True)
    # Python looks only at cells that begin like one.
    found: list[tuple[bool, list[str] | None]] = [(False, None)] * len(cells)
    for place in places:
        found[place] = _read_cell(cells[place])
    lists = pl.Series([labels for _, labels in found], dtype=pl.List(pl.String))
    return np.asarray([is_json for is_json, _ in found], dtype=bool), lists


def _read_cell(text: str) -> tuple[bool, list[str] | None]:
    try:
        value = json.loads(text)
    # Brackets a thousand deep are no list of labels either.
    except (ValueError, RecursionError):
        return False, None
    # True is an int of Python's; neither it nor a fraction is the name of a label.
    is_labels = isinstance(value, list) and all(isinstance(one, str) or type(one) is int for one in value)
    return True, [name for one in value if (name := str(one).strip())] if is_labels else None


def tidy_label(label: str) -> str | None:
    """Return a label without invisible characters and without white space around it, perhaps empty.

    None where it has a control character, such as a line end: it would make two lines of an answer.
    """
    label = INVISIBLE.sub("", label).strip()
    return None if CONTROL.search(label) else label


def fold_label(label: str) -> str:
    """Return what labels that a person may take for one have in common, in whatever case, width or digits."""
    folded = unicodedata.normalize("NFKC", ANY_INVISIBLE.sub("", label)).casefold()
    # Once more, as some characters come apart only in lower case.
    folded = " ".join(unicodedata.normalize("NFKC", folded).split())
    return str(Decimal(folded).normalize() + 0) if NUMBER.fullmatch(folded) else folded


def sort_labels(labels: Iterable[str]) -> list[str]:
    """Return distinct labels in a fixed order: by number where all are whole numbers, else by code point."""
    distinct = set(labels)
    if all(label.isascii() and label.isdigit() for label in distinct):
        # "1" and "01" are two labels of one number; the text decides between them.
        return sorted(distinct, key=lambda label: (int(label), label))
    return sorted(distinct)


def label_columns(column: pl.Series, labels: Sequence[str]) -> IntArray:
    """Return every label's place in the list, int64, shape (N,).

    Args:
        column: N labels, strings.
        labels: The known labels in order.

    Raises:
        DataError: A label is not in the list.
    """
    # Looked for first: the error of polars would name neither the label nor a close one.
    unknown = column.filter(~column.is_in(list(labels)))
    if len(unknown):
        value = str(unknown[0])
        raise DataError(
            f"The label {value!r} is unknown.{did_you_mean(value, labels)}",
            hint=f"The known labels are: {', '.join(labels[:20])}{', …' if len(labels) > 20 else ''}.",
        )
    places = column.replace_strict(list(labels), list(range(len(labels))), return_dtype=pl.Int64)
    return np.asarray(places.to_numpy(), dtype=np.int64)
