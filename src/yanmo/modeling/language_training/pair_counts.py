"""Training of joint n-grams over pairs of texts: aligning and counting; it knows no artifact and no torch."""

from __future__ import annotations

import json
import logging
from pathlib import Path

from yanmo.answers.text_truth import TextTruth
from yanmo.artifacts.effects import NO_EFFECTS, Watcher
from yanmo.errors import DataError
from yanmo.modeling.settings import LabeledTexts, MeasureAnswers, Trained
from yanmo.text.pair_model import fit_pairs
from yanmo.text.pipeline import TextConfig

__all__ = ["train_pairs"]

logger = logging.getLogger(__name__)


def train_pairs(
    train: LabeledTexts,
    valid: LabeledTexts,
    *,
    order: int | None,
    text: TextConfig,
    measure: MeasureAnswers,
    tell: Watcher = NO_EFFECTS.tell,
) -> Trained:
    """Count joint n-grams and measure them on the validation split, which is the only record of the training.

    Every reference is learned, for a text that can be written in two ways shows two.

    Args:
        train: Texts with their references.
        valid: Those that are measured.
        order: The most units of an n-gram; None: the usual number.
        text: How the texts were cleaned, and what was put before them.
        measure: From what was written to scores.
        tell: Is shown the record.

    Raises:
        DataError: No pair can be learned from.
    """
    if text.glossary:
        logger.warning("The glossary has no effect on the model pairs: networks alone write what it says.")
    truth: TextTruth = train.targets
    pairs = [(first, one) for first, right in zip(train.texts.first, truth.references, strict=True) for one in right]
    sources, targets = [first for first, _ in pairs], [one for _, one in pairs]
    model, num_left = fit_pairs(sources, targets, order=order, prefix=text.prefix)
    if num_left == len(pairs):
        raise DataError(
            f"None of the {num_left} pairs of train can be cut into units: their targets are too long for their texts.",
            hint="Joint n-grams are for texts that are written symbol by symbol, such as sounds for letters; train a "
            "network for others.",
        )
    if num_left:
        logger.warning("%d of %d pairs are not learned: one side is too long for the other.", num_left, len(pairs))
    evidence, _, _ = model.write(valid.texts.first)
    scores = measure(evidence, valid.targets)
    record = {"step": 1, "epoch": 0, **{f"valid_{name}": score for name, score in scores.items()}}
    tell(record)

    def save(folder: Path) -> None:
        model.save(folder)
        (folder / "metrics.jsonl").write_text(json.dumps(record) + "\n", encoding="utf-8")

    facts = {
        "family": "pairs",
        "order": model.order,
        "num_units": len(model.pairs.units),
        "num_ngrams": [len(level.keys_K) for level in model.model.levels],
    }
    return Trained(save, scores, facts, 0)
