"""Text to text: a text is written for each text, such as its translation or how it is spoken; there are no labels.

The column ``targets`` of a Dataset holds the texts that count as right, of which the first one is learned. A model
writes when it scores, so that whatever is asked about answers can be asked about written texts.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import polars as pl

from yanmo.answers.answered import Answered, Decided
from yanmo.answers.text_truth import TextTruth
from yanmo.answers.writings import Writings
from yanmo.arrays import Doubles, FloatArray
from yanmo.metrics.measures import Measure
from yanmo.metrics.written import WRITTEN_MEASURES, plain_text, written_statistics
from yanmo.protocols import Prediction, Task
from yanmo.text.clean import clean_column
from yanmo.text.inputs import Inputs
from yanmo.text.pipeline import TextConfig

__all__ = ["TEXT_TO_TEXT", "TextToText"]

LEAST_SHARE = 1e-12
"""What is left at least for a text that no candidate is, so that its logarithm is finite."""


@dataclass(frozen=True)
class TextToText(Task[Writings]):
    """The task protocol for texts that are written for others; targets are a ``TextTruth``.

    Attributes:
        target_cleaning: The cleaning of references before anything is learned from them or held against them.
    """

    name: str = "text_to_text"
    inputs: tuple[str, ...] = ("text",)
    truth_columns: tuple[str, ...] = ("targets",)
    least_labels: int = 0
    form: type[Writings] = Writings
    head: str = "targets"
    reads_units: bool = False
    measures: tuple[Measure, ...] = WRITTEN_MEASURES
    target_cleaning: tuple[str, ...] = ()

    def of(self, labels: Sequence[str]) -> TextToText:  # noqa: ARG002 - there are none
        """Return the task itself."""
        return self

    def reading(self, config: TextConfig) -> TextToText:
        """Return the task whose references are cleaned as a Dataset says."""
        return replace(self, target_cleaning=config.target_cleaning)

    def parse_labels(self, column: pl.Series, separator: str | None) -> pl.Series:  # noqa: ARG002
        """Return the marks that the reader of targets has made."""
        return column.cast(pl.Int64)

    def label_names(self, column: pl.Series) -> list[str]:  # noqa: ARG002
        """Return no label."""
        return []

    def encode(self, column: pl.Series, labels: Sequence[str]) -> TextTruth:  # noqa: ARG002
        """Return rows of which nothing is known: what holds stands in the column of targets."""
        return TextTruth([()] * len(column))

    def targets(self, rows: pl.DataFrame, labels: Sequence[str]) -> TextTruth:  # noqa: ARG002
        """Return the references of rows of a Dataset."""
        found = [tuple(one or ()) for one in rows["targets"].to_list()]
        if not self.target_cleaning:
            return TextTruth(found)
        flat = iter(clean_column([text for one in found for text in one], self.target_cleaning))
        return TextTruth([tuple(next(flat) for _ in one) for one in found])

    def padded(self, targets: TextTruth, inputs: Inputs) -> TextTruth:
        """Return the references of the first rows of inputs; nothing is known of those behind them."""
        return TextTruth([*targets.references, *[()] * (len(inputs) - len(targets))])

    def is_one_answer(self, targets: TextTruth) -> bool:
        """Return whether all rows have the same first reference."""
        return len(set(targets.learned)) < 2

    def read(self, frame: pl.DataFrame) -> Writings:
        """Return the Writings that a frame holds."""
        return Writings.read(frame)

    def decide(self, evidence: Writings, labels: Sequence[str], *, threshold: float | None = None) -> Decided:  # noqa: ARG002
        """Return the best text of every row, and the geometric mean of its tokens' probabilities."""
        decided = Decided(evidence.texts, self.confidence_N(evidence))
        return decided if threshold is None else decided.withhold(decided.probability_N < threshold)

    def column(self, predictions: Sequence[str | None]) -> pl.Series:
        """Return the texts as a column of Predictions."""
        return pl.Series("prediction", predictions, dtype=self.frame_type())

    def frame_type(self) -> pl.DataType:
        """Return the type of a text."""
        return pl.String()

    def given(self, prediction: str | None) -> tuple[str, ...]:  # noqa: ARG002
        """Return no label."""
        return ()

    def columns_of(self, labels: Sequence[str]) -> dict[str, int]:  # noqa: ARG002
        """Return no label."""
        return {}

    def tell(self, answered: Answered[Writings], inputs: Inputs, labels: Sequence[str]) -> list[Prediction]:
        """Return the text of every row, and its candidates, each with the mean probability of its tokens."""
        del inputs, labels
        decided, stage_N, silent_N = answered.decided, answered.found.stage_N, answered.decided.silent_N
        shares = answered.evidence.told(np.exp(answered.evidence.means_K()))
        stages = [None] * len(decided) if stage_N is None else stage_N.tolist()
        silent = [False] * len(decided) if silent_N is None else silent_N.tolist()
        columns = (decided.predictions, decided.probability_N.tolist(), shares, stages, silent)
        return list(map(Prediction, *columns))

    def statistics(self, evidence: Writings, targets: TextTruth) -> Doubles:
        """Return what ``metrics.written`` counts in each row."""
        return written_statistics(evidence.texts, targets.references)

    def losses_N(self, evidence: Writings, targets: TextTruth) -> Doubles:
        """Return the negative logarithm of the share of all texts that the references have.

        A reference that is no candidate has at most what the candidates leave, and is no likelier than the least of
        them; this is what it counts with, so that nothing is won by being unsure and wrong.
        """
        losses, told = np.zeros(len(evidence)), evidence.told(np.exp(evidence.candidates.sums_N()))
        for row, (shares, right) in enumerate(zip(told, targets.references, strict=True)):
            found = sum(shares[one] for one in set(right) if one in shares)
            left = min(1 - sum(shares.values()), *shares.values())
            losses[row] = -np.log(np.clip(found or left, LEAST_SHARE, 1))
        return losses

    def losses_M(self, evidence: Writings, targets: TextTruth) -> Doubles:
        """Return the losses of the rows that have references."""
        return self.losses_N(evidence, targets)[_has_truth_N(targets)]

    def truth(self, evidence: Writings, targets: TextTruth, *, most: int) -> FloatArray:  # noqa: ARG002
        """Return the share of the references of every row that has any."""
        return np.exp(-self.losses_M(evidence, targets)).astype(np.float32)

    def answers(self, evidence: Writings, targets: TextTruth) -> tuple[Doubles, npt.NDArray[np.bool_]]:
        """Return how sure the written texts are, and which are a reference, of the rows that have any."""
        has_N = _has_truth_N(targets)
        return self.confidence_N(evidence)[has_N].astype(np.float64), self.right_N(evidence, targets)[has_N]

    def ballots(self, evidence: Writings) -> Writings:
        """Return the best text of every row, as sure as can be."""
        best = evidence.best
        return Writings.of(best.with_parts(np.ones_like(best.values_M)))

    def gap_N(self, evidence: Writings) -> FloatArray:
        """Return how much more probable each row's best text is than its second, 1 where there is no other."""
        shares_K = np.append(np.exp(evidence.candidates.sums_N()), 0.0)
        first_N, last_N = evidence.offsets[:-1], evidence.offsets[1:]
        second_N = np.where(last_N - first_N > 1, first_N + 1, len(shares_K) - 1)
        gaps_N = shares_K[first_N] - shares_K[second_N]
        return np.where(last_N - first_N > 1, gaps_N, 1.0).astype(np.float32)

    def confidence_N(self, evidence: Writings) -> FloatArray:
        """Return the geometric mean of the probabilities of the tokens of each row's best text."""
        return np.exp(evidence.means_K()[evidence.offsets[:-1]]).astype(np.float32)

    def same_N(self, evidence: Writings, other: Writings) -> npt.NDArray[np.bool_]:
        """Return which rows have the same text."""
        return np.array([one == two for one, two in zip(evidence.texts, other.texts, strict=True)], dtype=np.bool_)

    def right_N(self, evidence: Writings, targets: TextTruth) -> npt.NDArray[np.bool_]:
        """Return which rows have a text that is a reference, but for white space."""
        pairs = zip(evidence.texts, targets.references, strict=True)
        return np.array([plain_text(text) in set(map(plain_text, right)) for text, right in pairs], dtype=np.bool_)


def _has_truth_N(targets: TextTruth) -> npt.NDArray[np.bool_]:
    return np.array([bool(one) for one in targets.references], dtype=np.bool_)


TEXT_TO_TEXT = TextToText()
