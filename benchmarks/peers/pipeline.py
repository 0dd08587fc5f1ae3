"""transformers.pipeline, batches of 32 in arrival order, fp32: the first thing that its documentation shows."""

from pathlib import Path

import numpy as np


def open_peer(folder: Path, variant: str, num_threads: int):  # noqa: ARG001 - one signature
    import torch
    from transformers import pipeline

    torch.set_num_threads(num_threads)
    model = str(folder / "bundle")
    classify = pipeline("text-classification", model=model, tokenizer=model, device="cpu", dtype=torch.float32)
    labels = [classify.model.config.id2label[place] for place in range(classify.model.config.num_labels)]

    def answer(texts: list[str]) -> np.ndarray:
        found = classify(texts, batch_size=32, top_k=None, truncation=True, max_length=128)
        scores = [{one["label"]: one["score"] for one in row} for row in found]
        return np.array([[row[label] for label in labels] for row in scores], dtype=np.float32)

    return answer
