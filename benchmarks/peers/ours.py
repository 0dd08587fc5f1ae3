"""Yanmo: a Bundle, opened as `yanmo predict` and `yanmo serve` open it.

With ``+openvino``, on that runtime; with ``@32``, asked 32 texts at a time; with ``@arrival``, the same graph and
engine on padded batches of 32 as the texts come, two side by side.
"""

from pathlib import Path

import numpy as np

from peers.batches import in_order


def open_peer(folder: Path, variant: str, num_threads: int):
    import yanmo

    name, _, size = variant.partition("@")
    name, _, runtime = name.partition("+")
    predictor = yanmo.load(folder / name, num_threads=num_threads, runtime=runtime or None)
    if not size:
        return predictor.predict_proba
    if size == "arrival":
        return as_they_come(predictor)

    def answer(texts: list[str]) -> np.ndarray:
        parts = [predictor.predict_proba([texts[row] for row in rows_B]) for rows_B in in_order(len(texts))]
        return np.concatenate(parts)

    return answer


def as_they_come(predictor):
    """Return the function that answers in batches of 32 in arrival order, each padded to its longest text."""
    from yanmo.answers.choices import Choices
    from yanmo.runtimes.batching import make_batch
    from yanmo.runtimes.onnx import make_feed
    from yanmo.text.inputs import Inputs

    runtime = predictor._runtime
    settings, engine = runtime._settings, runtime._engine

    def answer(texts: list[str]) -> np.ndarray:
        ids = predictor.encode(Inputs((texts,))).ids
        batches = (make_batch(ids, None, rows_B, settings.pad_token_id) for rows_B in in_order(len(texts)))
        feeds = [make_feed(batch, settings.inputs, engine.inputs) for batch in batches]
        scores = Choices(np.concatenate(list(engine.run(feeds))), predictor.task.link)
        return predictor.activate(scores).values_MC

    return answer
