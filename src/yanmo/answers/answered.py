"""What a model answers about N rows: what was decided, how sure it is, the evidence, and what reading them took.

It knows no task: what decisions look like, labels or lists of them, is the task's matter. What is made
anew for every call is a Struct, whose making takes a fifth of a frozen dataclass's time.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Generic, Literal, Protocol, Self, TypeVar

import numpy as np
import numpy.typing as npt
import polars as pl
from msgspec import Struct
from msgspec.structs import replace

from yanmo.arrays import FloatArray, IntArray

__all__ = ["Answered", "Decided", "Evidence", "Found", "Span"]


class Evidence(Protocol):
    """What decisions are made from, indexed by rows, units of a row or characters, never by a model's own tokens."""

    def __len__(self) -> int:
        """Return N, the number of rows."""
        ...

    def take(self, rows: IntArray) -> Self:
        """Return the given rows, in the given order."""
        ...

    @classmethod
    def gathered(cls, parts: Sequence[tuple[IntArray, Self]]) -> Self:
        """Return the rows of several pieces of evidence as one, each at its number from 0."""
        ...

    def parts(self) -> tuple[FloatArray, ...]:
        """Return the arrays of its values, those that a mean of several models is taken of."""
        ...

    def with_parts(self, *parts: FloatArray) -> Self:
        """Return the same decisions with other values, as :meth:`parts` gives them."""
        ...

    def activate(self) -> Self:
        """Return the probabilities of scores."""
        ...

    def invert(self, *, floor: float = 0.0) -> Self:
        """Return scores whose probabilities these are, none nearer to 0 or 1 than ``floor``."""
        ...

    def ordered(self, columns: list[int]) -> Self:
        """Return it with its labels in another order, first the one that ``columns`` names first."""
        ...

    def columns(self) -> dict[str, pl.Series]:
        """Return what a file of Predictions holds of it, N rows."""
        ...

    def distance_N(self, other: Self) -> FloatArray:
        """Return how far each row is from that of another, shape (N,)."""
        ...


EvidenceT_co = TypeVar("EvidenceT_co", bound=Evidence, covariant=True)


class Span(Struct, frozen=True, gc=False):
    """A part of a text and what was decided about it.

    The collector of reference cycles does not look at spans, which can be in none: there are many of them.

    Attributes:
        start: Its first character, in the text as it was given.
        end: The character behind its last one.
        label: Such as the kind of entity.
        probability: Of its being there, with this label.
        text: What stands there; None before the text is at hand.
        source: Who found it: the model, or a user's dictionary or rule.
    """

    start: int
    end: int
    label: str
    probability: float
    text: str | None = None
    source: Literal["model", "dictionary", "rule"] = "model"

    def within(self, text: str) -> Span:
        """Return the span with what stands there in its text."""
        return replace(self, text=text[self.start : self.end])


class Decided(Struct, frozen=True):
    """What was decided about N rows.

    They are plain columns, for a frame costs more than the answer to a single text.

    Attributes:
        predictions: Such as a label, or a tuple of labels or of spans; None where no answer is given.
        probability_N: How sure each is, float32.
        silent_N: Where no answer is given, bool; None where every row has one, however unsure it is.
    """

    predictions: Sequence[Any]
    probability_N: FloatArray
    silent_N: npt.NDArray[np.bool_] | None = None

    def __len__(self) -> int:
        """Return N."""
        return len(self.predictions)

    def withhold(self, silent_N: npt.NDArray[np.bool_]) -> Self:
        """Return the decisions without an answer in some rows more; how sure it would have been stays."""
        predictions = self.predictions
        shown = [None if silent else one for one, silent in zip(predictions, silent_N.tolist(), strict=True)]
        return replace(
            self, predictions=shown, silent_N=silent_N if self.silent_N is None else self.silent_N | silent_N
        )


class Found(Struct, frozen=True):
    """What a runtime found out about N texts besides the evidence.

    Attributes:
        num_tokens_N: Tokens or features the model saw of each text.
        num_unknown_N: How many of them the model had no entry for.
        truncated_N: Whether the end of the text was cut off, bool.
        num_cells: Tokens of all texts with the padding that was computed.
        stage_N: Of a cascade, the number of the stage that answered, from 1; else None.
        abstained_N: Of a cascade that may abstain, where it did, bool; else None.
        ending_N: Of texts that are written token by token, why each ended; else None.
    """

    num_tokens_N: IntArray
    num_unknown_N: IntArray
    truncated_N: npt.NDArray[np.bool_]
    num_cells: int
    stage_N: IntArray | None = None
    abstained_N: npt.NDArray[np.bool_] | None = None
    ending_N: Sequence[str] | None = None


class Answered(Struct, Generic[EvidenceT_co], frozen=True):
    """A model's answers.

    Attributes:
        decided: What was decided; where a cascade abstained, nothing.
        evidence: Probabilities.
        found: What reading the texts took.
    """

    decided: Decided
    evidence: EvidenceT_co
    found: Found
