"""What a runtime and a task are, and what they give: the types that layers share; it knows no file and no model."""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar, runtime_checkable

import numpy as np
import numpy.typing as npt
import polars as pl
from msgspec import Struct

from yanmo.answers.answered import Answered, Decided, Evidence, Found, Span
from yanmo.answers.arcs import Word
from yanmo.answers.gaps import Gap
from yanmo.errors import ConfigError
from yanmo.metrics.measures import Measure
from yanmo.text.inputs import Inputs, Windows
from yanmo.text.pipeline import TextConfig

__all__ = ["ABOUT", "AnswerSearch", "AnswerWatcher", "Inference", "Prediction", "Runtime", "Task"]

ABOUT = {
    "texts": "texts as a whole",
    "units": "the units of texts",
    "passages": "where answers stand in passages",
    "trees": "the trees of sentences",
    "sequences": "the tokens of texts",
    "vectors": "vectors of texts",
    "targets": "the texts that are written for others",
    "gaps": "the gaps of texts",
}
"""What a model decides about, by the name of the head that it needs for it."""

EncodedT = TypeVar("EncodedT")
EvidenceT = TypeVar("EvidenceT", bound=Evidence)
EvidenceT_contra = TypeVar("EvidenceT_contra", bound=Evidence, contravariant=True)


@dataclass(frozen=True, slots=True)
class Prediction:
    """One answer for a person: the label, or the labels, and how sure the model is.

    Attributes:
        label: The chosen label; where there may be several a tuple of labels, perhaps empty; None where it abstained.
        probability: The label's probability; of several labels, that of the least certain decision.
        probabilities: Every label's probability.
        stage: Of a cascade, the number of the stage that answered, from 1; else None.
        abstained: Whether a cascade gave no answer, because even its last stage was unsure.
        spans: The parts of the text that have these labels, in order, of tasks about parts; else empty.
        words: The words of the text with their heads, of tasks about trees; else empty.
        vector: What the text is about, of tasks about vectors; else empty.
        gaps: The gaps of the text with what could stand there, of tasks about gaps; else empty.
    """

    label: str | tuple[str, ...] | None
    probability: float
    probabilities: Mapping[str, float]
    stage: int | None = None
    abstained: bool = False
    spans: tuple[Span, ...] = ()
    words: tuple[Word, ...] = ()
    vector: Sequence[float] = ()
    gaps: tuple[Gap, ...] = ()


class Inference(Struct, Generic[EvidenceT], frozen=True):
    """What a runtime gives for N texts.

    Attributes:
        scores: Evidence that is not activated yet: unnormalized scores, columns in label order.
        found: What reading the texts took.
    """

    scores: EvidenceT
    found: Found


class AnswerSearch(Struct, frozen=True):
    """How a model writes texts for others; None is as its Bundle does.

    Attributes:
        num_beams: Beginnings of each text that are kept, and candidates that are told; 1 takes the likeliest token.
        length_penalty: The power of the number of tokens by which likelihoods of beams are divided.
        end_repeats: A text is over once its last tokens have come so many times in a row, and more often than any
            characters do in the text that is read.
    """

    num_beams: int | None = None
    length_penalty: float | None = None
    end_repeats: int | None = None


class AnswerWatcher(Protocol):
    """Who is told of answers while they are written."""

    @property
    def rows(self) -> Container[int]:
        """The rows of a batch that it watches, counted from 0."""
        ...

    def grow(self, row: int, text: str) -> bool:
        """Take what a row's answer has grown by in a step, perhaps nothing; return whether anybody waits for more."""
        ...


@runtime_checkable
class Runtime(Protocol[EncodedT]):
    """A loaded model: cleaned inputs in, scores out.

    The two steps are apart, so that one thread can encode the next texts while another scores these.
    """

    def encode(self, inputs: Inputs, *, windows: Windows | None = None) -> EncodedT:
        """Return what the model reads of all rows; models that read texts of any length leave ``windows`` aside."""
        ...

    def score(self, encoded: EncodedT) -> Inference[Any]:
        """Return the scores of all rows, in their order."""
        ...

    def watched(self, encoded: EncodedT, watcher: AnswerWatcher) -> EncodedT:  # noqa: ARG002 - others write step by step
        """Return encoded texts whose answers a watcher is told of while they are written; most come all at once."""
        return encoded

    def reading(self, windows: Windows | None) -> Mapping[str, Any]:  # noqa: ARG002 - others say how they cut texts
        """Return what a Report says of how texts are read, as JSON values."""
        return {}

    def with_search(self, search: AnswerSearch) -> Runtime[EncodedT]:  # noqa: ARG002
        """Return the same model with another search for the texts that it writes.

        Raises:
            ConfigError: It does not write token by token, or a number is not possible.
        """
        raise ConfigError(
            "The 'num_beams', 'length_penalty' and 'end_repeats' parameters are for models that write token by token.",
            hint="Leave them out.",
        )

    def infer(self, inputs: Inputs) -> Inference[Any]:
        """Return the scores of all rows, in their order: both steps in one."""
        return self.score(self.encode(inputs))


class Task(Protocol[EvidenceT_contra]):
    """All that differs by task: how labels are read and encoded, what is decided from evidence, how it is measured."""

    @property
    def name(self) -> str:
        """Its name in configs and manifests."""
        ...

    @property
    def inputs(self) -> tuple[str, ...]:
        """The columns of a Dataset that make one example, in the order in which models read them."""
        ...

    @property
    def truth_columns(self) -> tuple[str, ...]:
        """The columns of a Dataset that its truth stands in besides ``label``."""
        return ()

    @property
    def gives_words(self) -> bool:
        """Whether the texts of a Dataset are words with spaces between them, whatever stood there."""
        return False

    @property
    def group(self) -> tuple[str, ...]:
        """The inputs whose equality keeps rows on one side of a split: by default all."""
        return self.inputs

    @property
    def least_labels(self) -> int:
        """How many labels the training rows must have at least, so that there is something to learn."""
        return 2

    @property
    def form(self) -> type[Any]:
        """The form of its evidence, a class of ``answers``, by which tables are asked what can be done with it."""
        ...

    @property
    def head(self) -> str:
        """What a model decides about, by which it is asked whether it has a head for it: a name of :data:`ABOUT`."""
        ...

    @property
    def measures(self) -> tuple[Measure, ...]:
        """What answers are measured by; the first is the headline, by which weights, gates and searches choose."""
        ...

    @property
    def reads_units(self) -> bool:
        """Whether the parts of a text are labeled one by one: then evidence has several decisions a row."""
        ...

    @property
    def reads_by_token(self) -> bool:
        """Whether a text is read once for each of its tokens, so that texts that only try a model should be short."""
        return False

    def of(self, labels: Sequence[str]) -> Task[EvidenceT_contra]:
        """Return the task of a list of labels, where what is measured depends on them."""
        ...

    def reading(self, config: TextConfig) -> Task[EvidenceT_contra]:  # noqa: ARG002 - other tasks read it
        """Return the task of texts that are read in some way, where what is decided depends on it."""
        return self

    def parse_labels(self, column: Any, separator: str | None) -> Any:
        """Return a raw polars column as the Dataset's label column; refused values become null."""
        ...

    def label_names(self, column: Any) -> list[str]:
        """Return the sorted distinct labels of a Dataset's label column."""
        ...

    def encode(self, column: Any, labels: Sequence[str]) -> Any:
        """Return what a model is trained and measured against, one row a label of the column."""
        ...

    def targets(self, rows: Any, labels: Sequence[str]) -> Any:
        """Return the same of rows of a Dataset, a polars frame, for tasks whose truth is about their texts, too."""
        return self.encode(rows["label"], labels)

    def outputs(self, labels: Sequence[str]) -> list[str]:
        """Return the names of the scores that a network gives for each thing it decides about."""
        return list(labels)

    def padded(self, targets: Any, inputs: Inputs) -> Any:
        """Return the targets of the first rows of inputs, with nothing for the rows behind them."""
        ...

    def is_one_answer(self, targets: Any) -> bool:
        """Return whether all rows have the same truth, so that there is nothing to learn."""
        ...

    def read(self, frame: Any) -> Any:
        """Return the evidence that a polars frame holds, as its ``columns`` wrote it."""
        ...

    def decide(self, evidence: EvidenceT_contra, labels: Sequence[str], *, threshold: float | None = None) -> Decided:
        """Return what is decided about every row.

        Args:
            evidence: Probabilities.
            labels: The names of its columns.
            threshold: What is less probable is no answer; None: whatever the task does by itself.
        """
        ...

    def column(self, predictions: Sequence[Any]) -> Any:
        """Return what was decided as the polars column of Predictions."""
        ...

    def frame_type(self) -> Any:
        """Return the polars type of the column of predictions."""
        ...

    def given(self, prediction: Any) -> tuple[str, ...]:
        """Return the labels that one row was given."""
        ...

    def columns_of(self, labels: Sequence[str]) -> Mapping[str, int]:
        """Return of every label that a row may be given its place in the list of labels."""
        ...

    def raw(self, rows: pl.DataFrame) -> Inputs | None:  # noqa: ARG002 - others read them
        """Return the texts of rows as they were before words were cut from them, None where nobody knows."""
        return None

    def measure_raw(self, evidence: EvidenceT_contra, targets: Any) -> dict[str, float]:  # noqa: ARG002
        """Return the scores of words that a segmenter has cut from raw texts; nothing where there are none."""
        return {}

    def tell(self, answered: Answered[Any], inputs: Inputs, labels: Sequence[str]) -> list[Prediction]:
        """Return one answer a row, for a person.

        Args:
            answered: What was answered.
            inputs: The raw rows that were asked.
            labels: The names of the evidence's columns.
        """
        ...

    def statistics(self, evidence: EvidenceT_contra, targets: Any) -> npt.NDArray[Any]:
        """Return what is counted in each row, shape (N, S), of which the measures are functions of sums."""
        ...

    def losses_N(self, evidence: EvidenceT_contra, targets: Any) -> npt.NDArray[np.float64]:
        """Return the negative log-likelihood of the truth in nats, shape (N,)."""
        ...

    def losses_M(self, evidence: EvidenceT_contra, targets: Any) -> npt.NDArray[np.float64]:
        """Return that of every decision that has a truth, shape (M,)."""
        ...

    def truth(self, evidence: EvidenceT_contra, targets: Any, *, most: int) -> npt.NDArray[Any]:
        """Return the probabilities that were given to the truth, linear in the evidence, shape (D,).

        Args:
            evidence: Probabilities.
            targets: What holds.
            most: Where a decision holds several answers, at most so many, evenly spread, are kept.
        """
        ...

    def answers(self, evidence: EvidenceT_contra, targets: Any) -> tuple[npt.NDArray[np.float64], npt.NDArray[Any]]:
        """Return the confidence of every answer that has a truth, and whether it was right, both of shape (D,)."""
        ...

    def ballots(self, evidence: EvidenceT_contra) -> Any:
        """Return what is decided as evidence again: 1 for what is chosen, 0 for all else."""
        ...

    def confidence_N(self, evidence: EvidenceT_contra) -> npt.NDArray[np.float32]:
        """Return one number a row, in [0, 1]: how sure the decision is."""
        ...

    def gap_N(self, evidence: EvidenceT_contra) -> npt.NDArray[np.float32]:
        """Return how far each row's probabilities are from those of another decision."""
        ...

    def same_N(self, evidence: EvidenceT_contra, other: EvidenceT_contra) -> npt.NDArray[np.bool_]:
        """Return in which rows the same is decided from both."""
        ...

    def right_N(self, evidence: EvidenceT_contra, targets: Any) -> npt.NDArray[np.bool_]:
        """Return in which rows all that is decided is right."""
        ...
