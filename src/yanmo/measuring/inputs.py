"""The profile of what a Bundle reads and answers on validation rows, which a service holds its inputs against."""

from __future__ import annotations

from typing import Any

from yanmo.artifacts.bundle import Bundle
from yanmo.artifacts.dataset import Dataset
from yanmo.artifacts.profile import make_input_profile
from yanmo.runtimes.predictor import Item, open_bundle

__all__ = ["MAX_ROWS", "profile_inputs"]

MAX_ROWS = 2000


def profile_inputs(bundle: Bundle, dataset: Dataset) -> dict[str, Any]:
    """Return what a manifest's ``info`` says about the inputs; nothing where the Dataset has no validation rows.

    Args:
        bundle: The Bundle, which may have no manifest yet.
        dataset: Of its validation rows the first ``MAX_ROWS`` are asked.
    """
    if "valid" not in dataset.splits or not (rows := dataset.split("valid").head(MAX_ROWS)).height:
        return {}
    texts = rows["text"].to_list()
    with open_bundle(bundle, verify_golden=False) as predictor:
        items: list[Item] = list(zip(texts, rows["text_b"], strict=True)) if predictor.task.num_texts == 2 else texts
        probabilities_NC, inference = predictor.infer(items)
        _, confidence_N = predictor.task.answer(probabilities_NC, bundle.labels)
        chosen_NC = predictor.task.choose(probabilities_NC)
    if inference.abstained_N is not None:
        chosen_NC[inference.abstained_N] = False
    return make_input_profile(inference.num_tokens_N, inference.num_unknown_N, confidence_N, chosen_NC)
