"""Dependencies: every word of a sentence has a head, another word or the root, and a relation to it; together a tree.

The relations are the labels. What is decided is the best tree that the evidence allows, never anything else.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import polars as pl

from yanmo.answers.answered import Answered, Decided
from yanmo.answers.arcs import Arcs, Word
from yanmo.answers.links import SOFTMAX, Link
from yanmo.arrays import Array, FloatArray, IntArray, Ragged
from yanmo.errors import InternalError
from yanmo.metrics.measures import Measure
from yanmo.metrics.raw_trees import measure_raw_trees
from yanmo.metrics.trees import TREE_MEASURES, Attached, RelationTable, right_trees, tree_statistics
from yanmo.parsing.biaffine import state_names
from yanmo.protocols import Prediction, Task
from yanmo.tasks.labels import label_columns, sort_labels
from yanmo.text.inputs import Inputs

__all__ = ["DEPENDENCIES", "Dependencies"]

TINY = 1e-30
SPACES = "spaces"
"""The column of a Dataset that says whether a space follows each word; those that were prepared long ago lack it."""
TARGET = np.dtype(
    [("head", np.int64), ("relation", np.int64), ("tag", "U128"), ("raw_start", np.int64), ("raw_end", np.int64)]
)
WORD = {
    "start": pl.Int64(),
    "end": pl.Int64(),
    "head": pl.Int64(),
    "relation": pl.String(),
    "probability": pl.Float32(),
}


@dataclass(frozen=True)
class Dependencies(Task[Arcs]):
    """The protocol for trees; targets are heads, relations by their place in the list, and tags: ``TARGET``, ragged."""

    name: str = "dependencies"
    inputs: tuple[str, ...] = ("text",)
    form: type[Arcs] = Arcs
    link: Link = SOFTMAX
    measures: tuple[Measure, ...] = TREE_MEASURES
    head: str = "trees"
    reads_units: bool = True
    truth_columns: tuple[str, ...] = ("heads", "tags", "spaces")
    gives_words: bool = True
    least_labels: int = 1
    table: RelationTable | None = None

    def of(self, labels: Sequence[str]) -> Dependencies:
        """Return the task of a list of relations."""
        return replace(self, table=RelationTable.of(labels))

    def parse_labels(self, column: pl.Series, separator: str | None) -> pl.Series:  # noqa: ARG002
        """Return the relations of each row's words, which the readers of treebanks have made."""
        return column.cast(pl.List(pl.String))

    def label_names(self, column: pl.Series) -> list[str]:
        """Return the distinct relations in their fixed order."""
        return sort_labels(column.explode().drop_nulls().unique().to_list())

    def encode(self, column: pl.Series, labels: Sequence[str]) -> Ragged:
        """Return the relation of every word of N rows, int64."""
        flat = column.filter(column.list.len() > 0).explode()
        return Ragged(label_columns(flat, labels), _ends(column))

    def targets(self, rows: pl.DataFrame, labels: Sequence[str]) -> Ragged:
        """Return what holds of every word of the rows of a Dataset."""
        relations = self.encode(rows["label"], labels)
        targets_M = np.zeros(len(relations.values), dtype=TARGET)
        targets_M["relation"] = relations.values
        filled = rows.filter(rows["label"].list.len() > 0)
        targets_M["head"] = filled["heads"].explode().to_numpy()
        targets_M["tag"] = filled["tags"].explode().fill_null("").to_numpy()
        words = [row.split() for row in rows["text"].to_list()] if SPACES in rows.columns else []
        if words:
            places_M2 = np.array(
                [place for row in zip(words, rows[SPACES].to_list(), strict=True) for place in _raw_places(*row)]
            )
            targets_M["raw_start"], targets_M["raw_end"] = places_M2.reshape(-1, 2).T
        return Ragged(targets_M, relations.offsets)

    def padded(self, targets: Ragged, inputs: Inputs) -> Ragged:
        """Return the trees of the first rows of inputs; those of the rows behind them are not known yet."""
        offsets = inputs.units.places.offsets if inputs.units is not None else targets.offsets
        values_M = np.zeros(int(offsets[-1]), dtype=TARGET)
        values_M[: len(targets.values)] = targets.values
        return Ragged(values_M, offsets)

    def outputs(self, labels: Sequence[str]) -> list[str]:  # noqa: ARG002 - other tasks read them
        """Return the names of what a network says about every word, of which arcs and relations are scored."""
        return state_names()

    def is_one_answer(self, targets: Ragged) -> bool:
        """Return whether no row has two words, so that nothing is decided."""
        return int(targets.lengths_N.max(initial=0)) < 2

    def read(self, frame: pl.DataFrame) -> Arcs:
        """Return the Arcs that a frame holds."""
        return Arcs.read(frame, self.link)

    def decide(self, evidence: Arcs, labels: Sequence[str], *, threshold: float | None = None) -> Decided:
        """Return the tree of every row, and the probability of the least certain arc; below a threshold no tree."""
        heads_M, relations_M = evidence.trees_M(), evidence.relations.values_MC.argmax(axis=1)
        sure_M = self._sure_M(evidence, heads_M, relations_M)
        confidence_N = evidence.relations.least_N(sure_M)
        names = [labels[relation] for relation in relations_M.tolist()]
        places_M2 = _places(evidence)
        columns = (places_M2[:, 0].tolist(), places_M2[:, 1].tolist(), heads_M.tolist(), names, sure_M.tolist())
        flat, ends = list(map(Word, *columns)), evidence.offsets_N.tolist()
        decided = Decided([tuple(flat[ends[row] : ends[row + 1]]) for row in range(len(evidence))], confidence_N)
        return decided if threshold is None else decided.withhold(confidence_N < threshold)

    def column(self, predictions: Sequence[tuple[Word, ...] | None]) -> pl.Series:
        """Return the trees as a column of lists of ``start``, ``end``, ``head``, ``relation``, ``probability``."""
        flat = [word for words in predictions for word in words or ()]
        values = {name: pl.Series([getattr(word, name) for word in flat], dtype=kind) for name, kind in WORD.items()}
        structs = pl.DataFrame(values).to_struct("prediction")
        rows, start = [], 0
        for words in predictions:
            rows.append(None if words is None else structs[start : start + len(words)])
            start += len(words or ())
        return pl.Series("prediction", rows, dtype=self.frame_type())

    def frame_type(self) -> pl.DataType:
        """Return the type of a tree."""
        return pl.List(pl.Struct(WORD))

    def given(self, prediction: tuple[Word, ...] | None) -> tuple[str, ...]:
        """Return the relations of the words."""
        return tuple([word.relation for word in prediction or ()])

    def columns_of(self, labels: Sequence[str]) -> dict[str, int]:
        """Return the place of every relation."""
        return {label: place for place, label in enumerate(labels)}

    def tell(self, answered: Answered[Arcs], inputs: Inputs, labels: Sequence[str]) -> list[Prediction]:  # noqa: ARG002
        """Return every row's words, with what stands there."""
        decided = answered.decided
        rows = zip(decided.predictions, decided.probability_N.tolist(), inputs.first, strict=True)
        return [
            Prediction(self.given(words), sure, {}, words=tuple([word.within(text) for word in words or ()]))
            for words, sure, text in rows
        ]

    def statistics(self, evidence: Arcs, targets: Ragged) -> npt.NDArray[np.float64]:
        """Return what ``metrics.trees`` counts in each row."""
        if self.table is None:
            raise InternalError("The task dependencies was not told its labels.")
        found = Attached(*_as_long_as(targets, evidence, evidence.trees_M(), self._relations_M(evidence)))
        truth = Attached(targets.values["head"], targets.values["relation"])
        return tree_statistics(found, truth, targets.offsets, self.table)

    def raw(self, rows: pl.DataFrame) -> Inputs | None:
        """Return the texts with spaces where the treebank has them, None where it does not say."""
        if SPACES not in rows.columns:
            return None
        pairs = zip(rows["text"].to_list(), rows[SPACES].to_list(), strict=True)
        return Inputs(([_raw_text(text.split(), spaces or ()) for text, spaces in pairs],))

    def measure_raw(self, evidence: Arcs, targets: Ragged) -> dict[str, float]:
        """Return the F1 of words, heads and arcs, for words that were cut from raw texts."""
        if self.table is None:
            raise InternalError("The task dependencies was not told its labels.")
        values = targets.values
        return measure_raw_trees(
            Attached(evidence.trees_M(), self._relations_M(evidence)),
            Ragged(_places(evidence), evidence.offsets_N),
            Attached(values["head"], values["relation"]),
            Ragged(np.stack([values["raw_start"], values["raw_end"]], axis=1), targets.offsets),
            self.table,
        )

    def losses_N(self, evidence: Arcs, targets: Ragged) -> npt.NDArray[np.float64]:
        """Return the mean negative logarithm of the true head's and relation's probabilities over each row's words."""
        losses_M = self.losses_M(evidence, targets)
        lengths_N = np.diff(evidence.offsets_N)
        sums_N = np.bincount(np.repeat(np.arange(len(evidence)), lengths_N), losses_M, minlength=len(evidence))
        return np.asarray(sums_N / np.maximum(lengths_N, 1))

    def losses_M(self, evidence: Arcs, targets: Ragged) -> npt.NDArray[np.float64]:
        """Return the negative logarithm of the true head's and relation's probabilities of every word that was read."""
        heads_M, relations_M = self._given_M(evidence, targets)
        return np.asarray(-np.log(np.maximum(heads_M, TINY)) - np.log(np.maximum(relations_M, TINY)))

    def truth(self, evidence: Arcs, targets: Ragged, *, most: int) -> npt.NDArray[np.float64]:  # noqa: ARG002
        """Return the probabilities of the true heads, then those of the true relations."""
        return np.concatenate(self._given_M(evidence, targets))

    def answers(self, evidence: Arcs, targets: Ragged) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.bool_]]:
        """Return how sure every arc is, and whether its head and its relation were right."""
        heads_M, relations_M = evidence.trees_M(), self._relations_M(evidence)
        truth = targets.values[_places_of_read(targets, evidence.offsets_N)]
        right_M = (heads_M == truth["head"]) & (relations_M == truth["relation"])
        return self._sure_M(evidence, heads_M, relations_M).astype(np.float64), right_M

    def ballots(self, evidence: Arcs) -> Arcs:
        """Return 1 for the head and the relation of every word in its tree."""
        heads_K = np.zeros_like(evidence.heads.values_K)
        heads_K[evidence.heads.cells[:-1] + evidence.trees_M()] = 1.0
        relations_MC = np.zeros_like(evidence.relations.values_MC)
        relations_MC[np.arange(len(relations_MC)), self._relations_M(evidence)] = 1.0
        return evidence.with_parts(heads_K, relations_MC)

    def gap_N(self, evidence: Arcs) -> FloatArray:
        """Return how far the closest call of each row's relations is from another relation."""
        return evidence.relations.least_N(self.link.gap_M(evidence.relations.values_MC))

    def confidence_N(self, evidence: Arcs) -> FloatArray:
        """Return the probability of each row's least certain arc."""
        return evidence.relations.least_N(self._sure_M(evidence, evidence.trees_M(), self._relations_M(evidence)))

    def same_N(self, evidence: Arcs, other: Arcs) -> npt.NDArray[np.bool_]:
        """Return which rows are given the same tree."""
        same_M = (evidence.trees_M() == other.trees_M()) & (self._relations_M(evidence) == self._relations_M(other))
        return np.asarray(evidence.relations.least_N(same_M.astype(np.float32)) > 0)

    def right_N(self, evidence: Arcs, targets: Ragged) -> npt.NDArray[np.bool_]:
        """Return which rows have no word with a wrong head or relation."""
        return right_trees(self.statistics(evidence, targets))

    def _given_M(self, evidence: Arcs, targets: Ragged) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
        """Return the probabilities of the true head and the true relation of every word that was read."""
        truth = targets.values[_places_of_read(targets, evidence.offsets_N)]
        relations_M = evidence.relations.values_MC[np.arange(len(truth)), truth["relation"]]
        return evidence.heads.at_M(truth["head"]).astype(np.float64), relations_M.astype(np.float64)

    def _relations_M(self, evidence: Arcs) -> IntArray:
        return np.asarray(evidence.relations.values_MC.argmax(axis=1))

    def _sure_M(self, evidence: Arcs, heads_M: IntArray, relations_M: IntArray) -> FloatArray:
        """Return how sure each arc is: the product of the probabilities of its head and its relation."""
        relation_M = evidence.relations.values_MC[np.arange(len(relations_M)), relations_M]
        return np.asarray(evidence.heads.at_M(heads_M) * relation_M, dtype=np.float32)


def _raw_text(words: Sequence[str], spaces: Sequence[bool]) -> str:
    """Return a sentence with a space behind the words that have one."""
    return "".join([f"{word} " if spaced else word for word, spaced in zip(words, spaces, strict=True)])


def _raw_places(words: Sequence[str], spaces: Sequence[bool]) -> list[tuple[int, int]]:
    """Return where each word begins and ends in :func:`_raw_text`."""
    ends = np.cumsum([len(word) for word in words])
    begins = ends - [len(word) for word in words]
    gaps = np.cumsum([0, *spaces][: len(words)]) if words else np.zeros(0, dtype=np.int64)
    return list(zip((begins + gaps).tolist(), (ends + gaps).tolist(), strict=True))


def _ends(column: pl.Series) -> IntArray:
    return np.concatenate(([0], np.cumsum(column.list.len().to_numpy()))).astype(np.int64)


def _places_of_read(targets: Ragged, offsets: IntArray) -> IntArray:
    """Return which words of the truth were read: of each row as many as the evidence has, from its first."""
    lengths_N = np.diff(offsets)
    return np.asarray(np.arange(int(offsets[-1])) + np.repeat(targets.offsets[:-1] - offsets[:-1], lengths_N))


def _as_long_as(targets: Ragged, evidence: Arcs, *columns: Array) -> tuple[IntArray, ...]:
    """Return columns about the words that were read as columns about all words, -1 at the others."""
    read, found = _places_of_read(targets, evidence.offsets_N), []
    for column_M in columns:
        whole_M = np.full(len(targets.values), -1, dtype=np.int64)
        whole_M[read] = column_M
        found.append(whole_M)
    return tuple(found)


def _places(evidence: Arcs) -> IntArray:
    if evidence.places is None:
        raise InternalError("The evidence about words does not say where they are.")
    return evidence.places


DEPENDENCIES = Dependencies()
