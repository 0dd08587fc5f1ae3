"""Masked language model: what stands in a gap is guessed from all that is around it; there are no labels.

A text with marks such as ``[MASK]`` or ``<mask>`` gets candidates for each. Of a text without any, each token is hidden
in turn: the sum of their log-likelihoods is its pseudo-log-likelihood, by which texts are ranked, and by which a model
is measured on a Dataset of plain texts. A Dataset's ``label`` is where each text begins to count: always 0.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import polars as pl

from yanmo.answers.answered import Answered, Decided
from yanmo.answers.gaps import Gap, Gaps
from yanmo.arrays import Doubles, FloatArray, IntArray
from yanmo.metrics.gaps import GAP_MEASURES, gap_statistics
from yanmo.metrics.measures import Measure
from yanmo.protocols import Prediction, Task
from yanmo.text.gap_marks import marks_of
from yanmo.text.inputs import Inputs

__all__ = ["MASKED_LM", "MaskedLm"]


@dataclass(frozen=True)
class MaskedLm(Task[Gaps]):
    """The task protocol for texts with hidden places; what is decided of a text is the text with its gaps filled.

    Targets are the first character of each row that counts, int64, shape (N,).
    """

    name: str = "masked_lm"
    inputs: tuple[str, ...] = ("text",)
    measures: tuple[Measure, ...] = GAP_MEASURES
    form: type[Gaps] = Gaps
    head: str = "gaps"
    least_labels: int = 0
    reads_units: bool = False
    reads_by_token: bool = True

    def of(self, labels: Sequence[str]) -> MaskedLm:  # noqa: ARG002 - there are none
        """Return the task itself."""
        return self

    def parse_labels(self, column: pl.Series, separator: str | None) -> pl.Series:  # noqa: ARG002
        """Return where texts begin to count, which the reader of documents has said."""
        return column.cast(pl.Int64)

    def label_names(self, column: pl.Series) -> list[str]:  # noqa: ARG002
        """Return no label."""
        return []

    def encode(self, column: pl.Series, labels: Sequence[str]) -> IntArray:  # noqa: ARG002
        """Return the first character of each row that counts, int64."""
        return np.asarray(column.to_numpy(), dtype=np.int64)

    def padded(self, targets: IntArray, inputs: Inputs) -> IntArray:
        """Return the targets of the first rows of inputs; of those behind them all that is there counts."""
        return np.concatenate((targets, np.zeros(len(inputs) - len(targets), dtype=np.int64)))

    def is_one_answer(self, targets: IntArray) -> bool:  # noqa: ARG002
        """Return False: there is always something to learn from a text."""
        return False

    def read(self, frame: pl.DataFrame) -> Gaps:
        """Return the Gaps that a frame holds."""
        return Gaps.read(frame)

    def decide(self, evidence: Gaps, labels: Sequence[str], *, threshold: float | None = None) -> Decided:  # noqa: ARG002
        """Return every text with its gaps filled, and the geometric mean of the probabilities of its places."""
        decided = Decided(evidence.filled(), self.confidence_N(evidence))
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

    def tell(self, answered: Answered[Gaps], inputs: Inputs, labels: Sequence[str]) -> list[Prediction]:
        """Return the gaps of every text with their candidates; of one without gaps its pseudo-log-likelihood."""
        del labels
        decided, evidence = answered.decided, answered.evidence
        told = [_in_raw(gaps, text) for gaps, text in zip(evidence.told(), inputs.first, strict=True)]
        sums = evidence.tokens.sums_N().tolist()
        probabilities: list[Mapping[str, float]] = [
            {} if gaps else {"log_likelihood": one} for gaps, one in zip(told, sums, strict=True)
        ]
        columns = zip(decided.predictions, decided.probability_N.tolist(), probabilities, told, strict=True)
        return [Prediction(text, probability, more, gaps=gaps) for text, probability, more, gaps in columns]

    def statistics(self, evidence: Gaps, targets: IntArray) -> Doubles:
        """Return what ``metrics.gaps`` counts in each row."""
        counted_M = _counted_M(evidence, targets)
        return gap_statistics(
            evidence.tokens.row_M[counted_M],
            self.losses_M(evidence, targets),
            evidence.ranks_M[counted_M],
            len(evidence),
        )

    def losses_N(self, evidence: Gaps, targets: IntArray) -> Doubles:
        """Return each row's negative pseudo-log-likelihood in nats."""
        return self.statistics(evidence, targets)[:, 0]

    def losses_M(self, evidence: Gaps, targets: IntArray) -> Doubles:
        """Return the negative log-likelihood of every hidden token that is known, in nats."""
        return -evidence.tokens.values_M[_counted_M(evidence, targets)].astype(np.float64)

    def truth(self, evidence: Gaps, targets: IntArray, *, most: int) -> Doubles:  # noqa: ARG002
        """Return the probability of every hidden token that is known."""
        return np.exp(-self.losses_M(evidence, targets))

    def answers(self, evidence: Gaps, targets: IntArray) -> tuple[Doubles, npt.NDArray[np.bool_]]:
        """Return no answer: how likely a text is, is neither right nor wrong."""
        del evidence, targets
        return np.zeros(0), np.zeros(0, dtype=np.bool_)

    def ballots(self, evidence: Gaps) -> Gaps:
        """Return the evidence: nothing is chosen."""
        return evidence

    def gap_N(self, evidence: Gaps) -> FloatArray:
        """Return 1 for every row: there is no other decision."""
        return np.ones(len(evidence), dtype=np.float32)

    def confidence_N(self, evidence: Gaps) -> FloatArray:
        """Return the geometric mean of the probabilities of each row's places, 1 of a row without any."""
        tokens = evidence.tokens
        return np.exp(tokens.sums_N() / np.maximum(np.diff(tokens.ends), 1)).astype(np.float32)

    def same_N(self, evidence: Gaps, other: Gaps) -> npt.NDArray[np.bool_]:
        """Return which rows are filled alike."""
        return np.array(
            [one == two for one, two in zip(evidence.filled(), other.filled(), strict=True)], dtype=np.bool_
        )

    def right_N(self, evidence: Gaps, targets: IntArray) -> npt.NDArray[np.bool_]:  # noqa: ARG002
        """Return no row: nobody says what belongs into a gap."""
        return np.zeros(len(evidence), dtype=np.bool_)


def _in_raw(gaps: tuple[Gap, ...], text: str) -> tuple[Gap, ...]:
    """Return gaps with their places in the text as it was given, whatever was cleaned."""
    return tuple(Gap(start, end, gap.words) for gap, (start, end) in zip(gaps, marks_of(text), strict=False))


def _counted_M(evidence: Gaps, targets: IntArray) -> IntArray:
    """Return the places that count: those whose tokens are known, from the first character on that counts."""
    counted_M = evidence.tokens.counted_M(targets)
    return counted_M[evidence.ranks_M[counted_M] > 0]


MASKED_LM = MaskedLm()
