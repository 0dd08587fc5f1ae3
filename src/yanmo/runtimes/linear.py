"""Linear Bundles with numpy alone: TF-IDF of hashed n-grams, then one sparse product; it knows no scikit-learn."""

from __future__ import annotations

import numpy as np

from yanmo.answers.answered import Found
from yanmo.answers.choices import Choices
from yanmo.arrays import Ragged
from yanmo.artifacts.bundle import Bundle
from yanmo.protocols import Inference, Runtime
from yanmo.runtimes.ngram import hash_inputs, read_light_settings, read_tensors
from yanmo.runtimes.row_sums import row_sums
from yanmo.tasks import task_of
from yanmo.tasks.labels import label_task
from yanmo.text.inputs import Inputs, Windows
from yanmo.text.ngrams import stored_ngrams
from yanmo.text.tfidf import Tfidf, transform

__all__ = ["LinearRuntime", "open_runtime"]

HASH_BITS = 64


class LinearRuntime(Runtime[Ragged]):
    """The Runtime protocol for the format linear; safe to use from several threads."""

    def __init__(self, bundle: Bundle) -> None:
        self._link = label_task(task_of(bundle), "The format linear").link
        settings = read_light_settings(bundle, "linear.json")
        tensors = read_tensors(bundle, ("keys", "idf", "coef", "intercept"))
        self._ngrams = stored_ngrams(settings["ngrams"], where=f"{bundle.path / 'linear.json'}")
        self._tfidf = Tfidf(tensors["keys"], tensors["idf"], sublinear=bool(settings["sublinear"]))
        # Packed tables keep the highest bits of hashes only, so texts are hashed to as many.
        self._key_shift = np.uint64(HASH_BITS - int(settings.get("key_bits", HASH_BITS)))
        self._coef_FC = tensors["coef"]
        self._intercept_C = tensors["intercept"]

    def encode(
        self,
        inputs: Inputs,
        *,
        windows: Windows | None = None,  # noqa: ARG002 - texts of any length are read as they are
    ) -> Ragged:
        """Return the hashed n-grams of N cleaned texts."""
        hashes = hash_inputs(inputs, self._ngrams)
        return Ragged(hashes.values >> self._key_shift, hashes.offsets) if self._key_shift else hashes

    def score(self, encoded: Ragged) -> Inference[Choices]:
        """Return the scores of N encoded texts; an n-gram that the training texts lacked is unknown."""
        rows = transform(self._tfidf, encoded)
        logits_NC = row_sums(self._coef_FC, Ragged(rows.indices, rows.offsets), rows.values)
        logits_NC += self._intercept_C
        truncated_N = np.zeros(len(encoded), dtype=np.bool_)
        found = Found(encoded.lengths_N, rows.num_unknown_N, truncated_N, int(encoded.lengths_N.sum()))
        return Inference(Choices(logits_NC, self._link), found)


def open_runtime(bundle: Bundle, *, device: str, num_threads: int) -> LinearRuntime:  # noqa: ARG001 - one signature
    """Return the runtime of a linear Bundle."""
    return LinearRuntime(bundle)
