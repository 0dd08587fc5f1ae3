"""What a teacher's texts teach: they stand for the references of most pairs; it knows no model.

Source: Kim, Rush 2016, "Sequence-Level Knowledge Distillation", section 3.2, arXiv:1606.07947.
Differs: a share of the pairs keep their references, and the teacher's texts are those that it writes, by beams or not.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from yanmo.answers.text_truth import TextTruth
from yanmo.answers.writings import Writings
from yanmo.errors import ConfigError
from yanmo.modeling.settings import LabeledTexts, Teaching

__all__ = ["with_taught_targets"]


def with_taught_targets(texts: LabeledTexts, teaching: Teaching | None, *, seed: int) -> LabeledTexts:
    """Return texts whose first references are mostly what their teacher writes for them.

    Args:
        texts: Some with references, perhaps with a teacher's evidence about all rows.
        teaching: Its ``alpha`` is the share of those with references that learn the teacher's text.
        seed: Of the choice.

    Raises:
        ConfigError: The teacher's answers are to be softened, which whole texts cannot be.
    """
    if teaching is None or not isinstance(texts.soft, Writings):
        return texts
    if teaching.temperature != 1:
        raise ConfigError(
            "The 'temperature' parameter must be 1 where a student learns the texts that its teacher writes. Got "
            f"{teaching.temperature:g} instead.",
            hint="Leave temperature out.",
        )
    is_taught_N = np.random.default_rng(seed).random(len(texts.targets)) < teaching.alpha
    is_taught_N |= ~texts.is_labeled_N
    pairs = zip(texts.soft.texts, texts.targets.references, is_taught_N.tolist(), strict=True)
    return replace(texts, targets=TextTruth([(text,) if taught else own for text, own, taught in pairs]), soft=None)
