"""The training rows that are most like some others, by a model's vectors or by n-grams; it knows no Report.

What a model got wrong with confidence is often a row whose like has another label in training: then one of the two
labels is wrong, or the labels overlap.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl

from yanmo.answers.vectors import unit_vectors
from yanmo.arrays import FloatArray, Ragged
from yanmo.artifacts.bundle import Bundle
from yanmo.artifacts.dataset import Dataset
from yanmo.errors import DataError
from yanmo.runtimes.predictor import open_bundle
from yanmo.tasks import task_of
from yanmo.text.inputs import Inputs
from yanmo.text.ngrams import default_ngrams, hash_column
from yanmo.text.tfidf import SparseRows, fit_transform, transform
from yanmo.text.units import cjk_share

__all__ = ["NEAR", "Neighbors", "add_neighbors", "check_vectors_bundle", "find_neighbors"]

logger = logging.getLogger(__name__)

MOST_ROWS = 20_000
"""Of more training rows so many, evenly spread, are looked at: a Report is to cost seconds."""
NEAR = 0.9
"""Cosine from which on two texts say nearly the same."""
TEXT_CHARACTERS = 2000


@dataclass(frozen=True)
class Neighbors:
    """What is most like Q rows.

    Attributes:
        rows: For each of them rows of the training split, the most similar first.
        similarities: Their cosines.
        num_compared: How many training rows were looked at.
    """

    rows: list[pl.DataFrame]
    similarities: list[list[float]]
    num_compared: int


def check_vectors_bundle(bundle: Bundle) -> None:
    """Refuse a Bundle that gives no vectors.

    Raises:
        DataError: As said.
    """
    if task_of(bundle).head != "vectors":
        raise DataError(
            f"The 'vectors' input must give vectors of texts. {bundle.path} is of the task {bundle.task}.",
            hint="yanmo embed makes one of an encoder.",
        )


def add_neighbors(
    mistakes: list[dict[str, Any]], dataset: Dataset, *, num_similar: int, vectors: Bundle | None
) -> dict[str, Any] | None:
    """Put the training rows that are most like each mistake beside it; return what a Report says about them.

    None, and nothing is put there, where the task is not about labels of whole texts, or nothing is there to compare.

    Args:
        mistakes: A Report's, with the texts that the task reads.
        dataset: Whose training split is looked at.
        num_similar: How many for each.
        vectors: Says what is alike; None: n-grams.
    """
    task = task_of(dataset)
    if task.head != "texts" or not (mistakes and num_similar) or "train" not in dataset.splits:
        return None
    asked = Inputs(tuple([one[name] for one in mistakes] for name in task.inputs))
    found = find_neighbors(asked, dataset, num_similar=num_similar, vectors=vectors)
    for mistake, rows, cosines in zip(mistakes, found.rows, found.similarities, strict=True):
        mistake["similar"] = [
            {
                "id": row["id"],
                **{name: row[name][:TEXT_CHARACTERS] for name in task.inputs},
                "label": row["label"],
                "similarity": cosine,
            }
            for row, cosine in zip(rows.to_dicts(), cosines, strict=True)
        ]
    nearest = [(one["label"], one["similar"][0]) for one in mistakes if one["similar"]]
    # Nearly the same text with another label: one of the two labels is doubtful.
    num_near = sum(other["similarity"] >= NEAR and other["label"] != label for label, other in nearest)
    if num_near:
        logger.warning(
            "%d of the %d most confident mistakes are nearly the same as a training row of another label.",
            num_near,
            len(mistakes),
        )
    by = None if vectors is None else {"name": vectors.name, "digest": vectors.digest}
    return {"vectors": by, "num_compared": found.num_compared, "num_near_of_other_label": num_near}


def find_neighbors(asked: Inputs, dataset: Dataset, *, num_similar: int, vectors: Bundle | None = None) -> Neighbors:
    """Return the training rows that are most like some rows.

    Args:
        asked: Q raw rows of what the Dataset's task reads.
        dataset: Whose training split is looked at.
        num_similar: How many for each.
        vectors: Says what is alike; None: n-grams, weighted by how rare they are in training.
    """
    frame = dataset.split("train")
    wanted = np.linspace(0, frame.height - 1, min(frame.height, MOST_ROWS)).round().astype(np.int64)
    frame = frame[wanted.tolist()]
    known = _joined(Inputs.of_frame(frame, task_of(dataset).inputs))
    compare = _by_ngrams if vectors is None else _by_vectors(vectors)
    similarity_QN = compare(_joined(asked), known)
    order_QN = np.argsort(-similarity_QN, axis=1, kind="stable")[:, :num_similar]
    return Neighbors(
        [frame[order_N.tolist()] for order_N in order_QN],
        np.take_along_axis(similarity_QN, order_QN, axis=1).tolist(),
        frame.height,
    )


def _joined(inputs: Inputs) -> list[str]:
    """Return each row as one text: of pairs both, one after the other, as long as a Report shows them."""
    return ["\n".join(text[:TEXT_CHARACTERS] for text in texts) for texts in zip(*inputs.columns, strict=True)]


def _by_vectors(bundle: Bundle) -> Any:
    def compare(asked: list[str], known: list[str]) -> FloatArray:
        with open_bundle(bundle) as predictor:
            found = [unit_vectors(predictor.infer(Inputs((texts,)))[0].values_ND) for texts in (asked, known)]
        cosine_QN: FloatArray = found[0] @ found[1].T
        return cosine_QN

    return compare


def _by_ngrams(asked: list[str], known: list[str]) -> FloatArray:
    # Case is no difference here.
    asked, known = ([text.lower() for text in texts] for texts in (asked, known))
    config = default_ngrams(cjk_share(known))
    tfidf, rows = fit_transform(hash_column(known, config), sublinear=True)
    queries = transform(tfidf, hash_column(asked, config))
    return np.stack([_products(rows, query_F) for query_F in _dense(queries, len(tfidf.keys))])


def _dense(queries: SparseRows, num_features: int) -> list[FloatArray]:
    dense = []
    for start, end in zip(queries.offsets[:-1].tolist(), queries.offsets[1:].tolist(), strict=True):
        row_F = np.zeros(num_features, dtype=np.float32)
        row_F[queries.indices[start:end]] = queries.values[start:end]
        dense.append(row_F)
    return dense


def _products(rows: SparseRows, query_F: FloatArray) -> FloatArray:
    """Return the product of every sparse row with a dense one, shape (N,)."""
    lengths_N = Ragged(rows.values, rows.offsets).lengths_N
    row_M = np.repeat(np.arange(len(lengths_N)), lengths_N)
    return np.bincount(row_M, rows.values * query_F[rows.indices], minlength=len(lengths_N)).astype(np.float32)
