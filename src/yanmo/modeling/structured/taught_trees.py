"""What a teacher's trees teach: they stand for the truth of texts that have none; it knows no model."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from yanmo.answers.arcs import Arcs
from yanmo.arrays import Ragged
from yanmo.errors import DataError
from yanmo.modeling.settings import LabeledTexts

__all__ = ["with_taught_trees"]


def with_taught_trees(texts: LabeledTexts) -> LabeledTexts:
    """Return texts of which those without a truth have their teacher's trees; how sure it is does not count.

    Args:
        texts: Trees, perhaps with a teacher's evidence about all rows.

    Raises:
        DataError: The teacher has not read all words of a text.
    """
    if not isinstance(texts.soft, Arcs):
        return texts
    targets, relations_MC = texts.targets, texts.soft.relations.values_MC
    if not np.array_equal(texts.soft.offsets_N, targets.offsets):
        raise DataError(
            "The teacher has not read all words of the texts.", hint="Leave out texts of more than 1000 words."
        )
    values_M = targets.values.copy()
    first = int(targets.offsets[int(texts.is_labeled_N.sum())])
    values_M["head"][first:] = texts.soft.trees_M()[first:]
    values_M["relation"][first:] = relations_MC[first:].argmax(axis=1)
    return replace(texts, targets=Ragged(values_M, targets.offsets), soft=None)
