"""When a trained model says that a passage has no answer: the threshold that is best on the validation rows.

It is chosen once the weights are, on rows that chose them too, and becomes a part of the model.
"""

from __future__ import annotations

import numpy as np
from msgspec import json as msgspec_json

from yanmo.artifacts.bundle import Bundle
from yanmo.artifacts.dataset import Dataset
from yanmo.artifacts.silence import SILENCE, Silence
from yanmo.measuring.evaluation import load_split
from yanmo.metrics.reading import best_threshold
from yanmo.runtimes.predictor import open_bundle
from yanmo.tasks.span import ReadsPassages
from yanmo.training.job import measure_answers

__all__ = ["settle_silence"]


def settle_silence(made: Bundle, dataset: Dataset, task: ReadsPassages) -> dict[str, float]:
    """Write the threshold of "no answer" into an unfinished Bundle; return its scores on the validation split.

    Where every row of that split has an answer, "none" is never more probable than the best one there.

    Args:
        made: The Bundle, which has no manifest yet.
        dataset: Whose validation rows choose.
        task: Of both.
    """
    split = load_split(dataset, "valid")
    with open_bundle(made, verify_golden=False) as predictor:
        evidence, _ = predictor.infer(split.inputs)
    best = task.spans(evidence).best()
    answered_N = task.score_texts(best.texts(split.targets.passages), split.targets)[:, 1]
    silent_N = (~split.targets.is_answered_N).astype(np.float64)
    threshold, score = best_threshold(best.lead_N, answered_N, silent_N)
    plain = float(np.where(best.is_none_N, silent_N, answered_N).mean())
    silence = Silence(round(-threshold, 4), round(score, 6), round(plain, 6))
    (made.path / SILENCE).write_bytes(msgspec_json.encode(silence) + b"\n")
    with open_bundle(made, verify_golden=False) as predictor:
        evidence, _ = predictor.infer(split.inputs)
    return measure_answers(task, evidence, split.targets)
