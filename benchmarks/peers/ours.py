"""Yanmo: a Bundle, opened as `yanmo predict` and `yanmo serve` open it.

With ``+openvino``, on that runtime; with ``@32``, asked 32 texts at a time.
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

    def answer(texts: list[str]) -> np.ndarray:
        parts = [predictor.predict_proba([texts[row] for row in rows_B]) for rows_B in in_order(len(texts))]
        return np.concatenate(parts)

    return answer
