"""The small types that every layer shares: arrays' shape legend, protocols and results; it knows no file and no model.

Shape suffixes of arrays and tensors: N examples, W windows of them, C classes, B batch, T tokens, D width, K members.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol, TypeVar, runtime_checkable

import numpy as np
import numpy.typing as npt

__all__ = ["FloatArray", "Inference", "IntArray", "Prediction", "Ragged", "Runtime", "Task", "Windows"]

FloatArray = npt.NDArray[np.float32]
IntArray = npt.NDArray[np.int64]
EncodedT = TypeVar("EncodedT")


@dataclass(frozen=True)
class Ragged:
    """N rows of different lengths in one array: row i is ``values[offsets[i]:offsets[i + 1]]``.

    Attributes:
        values: All rows, one after the other; any dtype.
        offsets: int64, shape (N + 1,), from 0 to ``len(values)``.
    """

    values: npt.NDArray[Any]
    offsets: IntArray

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @property
    def lengths_N(self) -> IntArray:
        """The number of values in each row, int64, shape (N,)."""
        return self.offsets[1:] - self.offsets[:-1]

    def row(self, index: int) -> npt.NDArray[Any]:
        """Return one row as a view."""
        return self.values[self.offsets[index] : self.offsets[index + 1]]

    def take(self, rows: npt.NDArray[Any]) -> Ragged:
        """Return the given rows, in the given order, without a loop over rows."""
        lengths = self.lengths_N[rows]
        offsets = np.concatenate(([0], np.cumsum(lengths)))
        positions = np.arange(offsets[-1]) + np.repeat(self.offsets[rows] - offsets[:-1], lengths)
        return Ragged(self.values[positions], offsets)


@dataclass(frozen=True, slots=True)
class Prediction:
    """One answer for a person: the label, or the labels, and how sure the model is.

    Attributes:
        label: The chosen label; for multi-label tasks a tuple of labels, perhaps empty; None where it abstained.
        probability: That of the label; for multi-label tasks that of the whole choice's weakest decision.
        probabilities: Every label's probability.
        stage: Of a cascade, the number of the stage that answered, from 1; else None.
        abstained: Whether a cascade gave no answer, because even its last stage was unsure.
    """

    label: str | tuple[str, ...] | None
    probability: float
    probabilities: Mapping[str, float]
    stage: int | None = None
    abstained: bool = False


@dataclass(frozen=True)
class Inference:
    """What a runtime found out about N texts.

    Attributes:
        logits_NC: Unnormalized scores, float32, shape (N, C), columns in label order.
        num_tokens_N: Tokens or features the model saw of each text.
        num_unknown_N: How many of them the model had no entry for.
        truncated_N: Whether the end of the text was cut off, bool.
        num_cells: Tokens of all texts with the padding that was computed.
        stage_N: Of a cascade, the number of the stage that answered, from 1; else None.
        abstained_N: Of a cascade that may abstain, where it did, bool; else None.
    """

    logits_NC: FloatArray
    num_tokens_N: IntArray
    num_unknown_N: IntArray
    truncated_N: npt.NDArray[np.bool_]
    num_cells: int
    stage_N: IntArray | None = None
    abstained_N: npt.NDArray[np.bool_] | None = None


@dataclass(frozen=True)
class Windows:
    """How a text that is longer than a model reads is cut into windows, which are scored one by one and pooled.

    Attributes:
        overlap: Share of a window's own tokens that the window before it has, too; at least 0 and less than 1.
        max_windows: Most windows of one text; what comes after them is not read.
    """

    overlap: float = 0.25
    max_windows: int = 64


@runtime_checkable
class Runtime(Protocol[EncodedT]):
    """A loaded model: cleaned texts in, scores out. ``texts_b`` holds the second texts of pairs.

    The two steps are apart, so that one thread can encode the next texts while another scores these.
    """

    def encode(
        self, texts: Sequence[str], texts_b: Sequence[str] | None = None, *, windows: Windows | None = None
    ) -> EncodedT:
        """Return what the model reads of all texts; models that read texts of any length leave ``windows`` aside."""
        ...

    def score(self, encoded: EncodedT) -> Inference:
        """Return the scores of all texts, in their order."""
        ...

    def infer(self, texts: Sequence[str], texts_b: Sequence[str] | None = None) -> Inference:
        """Return the scores of all texts, in their order: both steps in one."""
        return self.score(self.encode(texts, texts_b))


class Task(Protocol):
    """All that differs by task: how labels are read, encoded, decoded and measured."""

    @property
    def name(self) -> str:
        """Its name in configs and manifests."""
        ...

    @property
    def num_texts(self) -> Literal[1, 2]:
        """How many texts make one example."""
        ...

    @property
    def loss(self) -> Literal["softmax", "sigmoid"]:
        """Whether exactly one label holds, or each for itself."""
        ...

    def parse_labels(self, column: Any, separator: str | None) -> Any:
        """Return a raw polars column as the Dataset's label column; refused values become null."""
        ...

    def label_names(self, column: Any) -> list[str]:
        """Return the sorted distinct labels of a Dataset's label column."""
        ...

    def encode(self, column: Any, labels: Sequence[str]) -> FloatArray:
        """Return targets_NC, float32, shape (N, C): one-hot or multi-hot."""
        ...

    def activate(self, logits_NC: FloatArray) -> FloatArray:
        """Return probabilities_NC, float32, shape (N, C)."""
        ...

    def decode(self, probabilities_NC: FloatArray, labels: Sequence[str]) -> list[Prediction]:
        """Return one Prediction a row."""
        ...

    def answer(self, probabilities_NC: FloatArray, labels: Sequence[str]) -> tuple[Any, FloatArray]:
        """Return what ``decode`` finds as columns: the labels (polars, N rows) and how sure the model is (float32)."""
        ...

    def choose(self, probabilities_NC: FloatArray) -> npt.NDArray[np.bool_]:
        """Return which labels each row is given, bool, shape (N, C)."""
        ...
