"""Trees of words to the JSON values of a Report: scores by relation and by distance, calibration, the worst sentences.

The keys are those of ``quality.measure_quality``, with words in the place of rows, so that one page shows both.

Legend: N rows, M words, C relations.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import polars as pl

from yanmo import metrics
from yanmo.answers.arcs import Arcs
from yanmo.arrays import Array, Doubles, IntArray, Ragged
from yanmo.metrics.measures import measure_with_intervals
from yanmo.protocols import Task
from yanmo.reporting.score_tables import calibration_rows, confusion_tables, label_rows, loss_intervals
from yanmo.reporting.tree_drawing import draw_tree

__all__ = ["measure_tree_calibration", "measure_tree_quality", "worst_trees"]

DISTANCES = ((1, 1), (2, 2), (3, 6), (7, 15), (16, None))
"""From how many to how many words away a head stands; the root is apart."""
MAX_DRAWN = 40
"""Words of a sentence that is drawn."""


class _Judged(NamedTuple):
    """The words that were read, held against the truth.

    Attributes:
        heads_M: The number of the head that was decided.
        relations_M: Its relation.
        truth_M: The true heads and relations.
        row_M: The row of each word.
        number_M: Which word of its row it is, from 1.
    """

    heads_M: IntArray
    relations_M: IntArray
    truth_M: Array
    row_M: IntArray
    number_M: IntArray

    @property
    def right_M(self) -> npt.NDArray[np.bool_]:
        """Whether head and relation are right."""
        return np.asarray(self._right_heads_M & (self.relations_M == self.truth_M["relation"]))

    @property
    def _right_heads_M(self) -> npt.NDArray[np.bool_]:
        return np.asarray(self.heads_M == self.truth_M["head"])


def measure_tree_quality(
    evidence: Arcs, targets: Ragged, labels: Sequence[str], task: Task[Arcs], *, num_resamples: int, seed: int
) -> dict[str, Any]:
    """Return every measure of the quality of trees as JSON values (NaN where there is none).

    Args:
        evidence: Probabilities of every word's heads and relations, N >= 1 rows.
        targets: The head and the relation of every word.
        labels: C relations, the columns.
        task: Says what is counted and measured.
        num_resamples: Of the bootstrap.
        seed: Of the bootstrap.
    """
    statistics_NS, judged = task.statistics(evidence, targets), _judge(evidence, targets)
    measured = measure_with_intervals(statistics_NS, task.measures, num_resamples=num_resamples, seed=seed)
    counts = _count_relations(judged, len(labels))
    scores: dict[str, Any] = {
        "num_rows": len(targets),
        "num_units": len(targets.values),
        "num_unlabeled_units": 0,
        "counted": "words",
        "headline": task.measures[0].describe(),
        "measures": [one.describe() for one in task.measures],
    }
    for name, one in measured.items():
        scores |= {name: one.value, f"{name}_interval": one.interval}
    losses_N, decided = task.losses_N(evidence, targets), task.answers(evidence, targets)
    return scores | {
        **_calibration(losses_N, decided),
        **loss_intervals(losses_N, decided, num_resamples=num_resamples, seed=seed, row_M=judged.row_M),
        "roc_auc": None,
        "roc_auc_interval": None,
        "per_label": label_rows(counts, labels),
        **confusion_tables(_confused(judged, len(labels)), labels, counts.support),
        "per_distance": _by_distance(judged),
    }


def measure_tree_calibration(
    evidence: Arcs,
    targets: Ragged,
    labels: Sequence[str],  # noqa: ARG001 - one signature
    task: Task[Arcs],
) -> dict[str, Any]:
    """Return log loss, calibration error of arcs and the bins of the reliability diagram, as JSON values.

    Args:
        evidence: Probabilities of every word's heads and relations, N >= 1 rows.
        targets: The head and the relation of every word.
        labels: C relations, the columns.
        task: Says what a row's loss is.
    """
    return _calibration(task.losses_N(evidence, targets), task.answers(evidence, targets))


def worst_trees(
    evidence: Arcs,
    targets: Ragged,
    labels: Sequence[str],
    task: Task[Arcs],  # noqa: ARG001 - one signature
    *,
    frame: pl.DataFrame,
    num_mistakes: int,
) -> list[dict[str, Any]]:
    """Return the sentences with the most wrong words, each with its tree as a drawing.

    Args:
        evidence: Probabilities of every word's heads and relations.
        targets: The head and the relation of every word.
        labels: C relations, the columns.
        task: The task.
        frame: The rows.
        num_mistakes: How many sentences, at most.
    """
    judged = _judge(evidence, targets)
    wrong_N = np.bincount(judged.row_M, ~judged.right_M, minlength=len(targets))
    texts, ids = frame["text"].to_list(), frame["id"].to_list()
    ends, worst = evidence.offsets_N.tolist(), np.argsort(-wrong_N, kind="stable")[:num_mistakes]
    mistakes = []
    for row in worst[wrong_N[worst] > 0].tolist():
        inside = slice(ends[row], min(ends[row + 1], ends[row] + MAX_DRAWN))
        truth = judged.truth_M[inside]
        mistakes.append(
            {
                "id": ids[row],
                "text": texts[row],
                "num_words": ends[row + 1] - ends[row],
                "num_wrong": int(wrong_N[row]),
                "drawing": draw_tree(
                    texts[row].split()[:MAX_DRAWN],
                    judged.heads_M[inside].tolist(),
                    [labels[one] for one in judged.relations_M[inside].tolist()],
                    truth=(truth["head"].tolist(), [labels[one] for one in truth["relation"].tolist()]),
                ),
            }
        )
    return mistakes


def _judge(evidence: Arcs, targets: Ragged) -> _Judged:
    lengths_N, ends = np.diff(evidence.offsets_N), evidence.offsets_N
    row_M = np.repeat(np.arange(len(evidence)), lengths_N)
    place_M = np.arange(len(row_M)) - ends[row_M]
    truth_M = targets.values[targets.offsets[row_M] + place_M]
    relations_M = evidence.relations.values_MC.argmax(axis=1)
    return _Judged(evidence.trees_M(), relations_M, truth_M, row_M, place_M + 1)


def _count_relations(judged: _Judged, num_relations: int) -> metrics.LabelCounts:
    truth_M, found_M = judged.truth_M["relation"], judged.relations_M
    counts = (np.bincount(one, minlength=num_relations) for one in (truth_M[judged.right_M], found_M, truth_M))
    return metrics.LabelCounts(*(one.astype(np.float64) for one in counts))


def _confused(judged: _Judged, num_relations: int) -> IntArray:
    """Return how often a relation (row) was taken for another one (column), of words whose heads are right."""
    right = judged.heads_M == judged.truth_M["head"]
    cells = judged.truth_M["relation"][right] * num_relations + judged.relations_M[right]
    return np.bincount(cells, minlength=num_relations**2).reshape(num_relations, num_relations).astype(np.int64)


def _by_distance(judged: _Judged) -> list[dict[str, Any]]:
    """Return how many words are right, by how far away their true heads are."""
    truth_M = judged.truth_M["head"]
    away_M = np.where(truth_M == 0, 0, np.abs(truth_M - judged.number_M))
    rows = []
    for first, last in ((0, 0), *DISTANCES):
        inside = (away_M >= first) & (away_M <= (last if last is not None else away_M.max(initial=0)))
        if inside.any():
            name = (
                "root"
                if not first
                else f"{first}"
                if first == last
                else f"{first} to {last}"
                if last
                else f"{first} or more"
            )
            right_M = judged.heads_M[inside] == truth_M[inside]
            rows.append(
                {
                    "distance": name,
                    "count": int(inside.sum()),
                    "uas": float(right_M.mean()),
                    "las": float(judged.right_M[inside].mean()),
                }
            )
    return rows


def _calibration(losses_N: Doubles, decided: tuple[Array, Array]) -> dict[str, Any]:
    bins = metrics.calibration_bins(*decided)
    return {
        "log_loss": float(losses_N.mean()),
        "expected_calibration_error": metrics.expected_calibration_error(bins),
        "calibration": calibration_rows(bins),
    }
