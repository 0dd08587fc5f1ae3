"""N-gram Bundles with numpy alone: hash, gather, mean, two products; it knows no torch and no tokenizer.

A column is hashed as one array of code points; there is no loop over texts.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError
from safetensors.numpy import load_file

from yanmo.answers.answered import Found
from yanmo.answers.choices import Choices
from yanmo.arrays import IntArray, Ragged
from yanmo.artifacts.bundle import Bundle
from yanmo.errors import ArtifactError
from yanmo.protocols import Inference, Runtime
from yanmo.runtimes.packed import unpack
from yanmo.runtimes.row_sums import row_sums
from yanmo.tasks import task_of
from yanmo.tasks.labels import label_task
from yanmo.text.inputs import Inputs, Windows
from yanmo.text.ngrams import NgramConfig, hash_column, hash_pairs, stored_ngrams
from yanmo.text.seen import keep_seen

__all__ = ["NgramRuntime", "hash_inputs", "open_runtime", "read_light_settings", "read_tensors"]


class KnownNgrams(msgspec.Struct, frozen=True):
    """The hashed n-grams of N texts that training met.

    Attributes:
        hashes: uint64, N rows.
        num_ngrams_N: How many n-grams each text has, the unknown ones included.
    """

    hashes: Ragged
    num_ngrams_N: IntArray


class NgramRuntime(Runtime[KnownNgrams]):
    """The Runtime protocol for the format ngram; safe to use from several threads.

    Source: Joulin et al. 2017, "Bag of Tricks for Efficient Text Classification", section 2, arXiv:1607.01759.
    Differs: a hidden layer with ReLU, as ``modeling.light.light_models.NgramNet`` has it.
    """

    def __init__(self, bundle: Bundle) -> None:
        self._link = label_task(task_of(bundle), "The format ngram").link
        settings = read_light_settings(bundle, "ngram.json")
        tensors = read_tensors(bundle, ("embedding", "seen", "hidden.weight", "hidden.bias", "out.weight", "out.bias"))
        self._ngrams = stored_ngrams(settings["ngrams"], where=f"{bundle.path / 'ngram.json'}")
        self._embedding = tensors["embedding"]
        self._seen = tensors["seen"]
        # The number of buckets is a power of two, so the bits of the mask are the remainder.
        self._mask = np.uint64(len(self._embedding) - 1)
        # Turned once, here: torch keeps linear weights as (outputs, inputs).
        self._hidden_DH = np.ascontiguousarray(tensors["hidden.weight"].T)
        self._hidden_bias = tensors["hidden.bias"]
        self._out_HC = np.ascontiguousarray(tensors["out.weight"].T)
        self._out_bias = tensors["out.bias"]
        if len(self._embedding) & (len(self._embedding) - 1) or len(self._embedding) != settings["num_buckets"]:
            raise ArtifactError(
                f"{bundle.path / 'ngram.json'} declares {settings['num_buckets']} buckets, the embedding has "
                f"{len(self._embedding)}; both must be one power of two.",
                hint="Train the Bundle again.",
            )

    def encode(
        self,
        inputs: Inputs,
        *,
        windows: Windows | None = None,  # noqa: ARG002 - texts of any length are read as they are
    ) -> KnownNgrams:
        """Return the n-grams of N cleaned texts; those that training hardly met are unknown, nothing is cut off."""
        hashes = hash_inputs(inputs, self._ngrams)
        return KnownNgrams(keep_seen(hashes, self._seen), hashes.lengths_N)

    def score(self, encoded: KnownNgrams) -> Inference[Choices]:
        """Return the scores of N encoded texts."""
        known, lengths_N = encoded.hashes, encoded.num_ngrams_N
        num_known_N = known.lengths_N
        # numpy would turn any other type into intp at every gather.
        buckets = (known.values & self._mask).astype(np.intp)
        mean_ND = row_sums(self._embedding, Ragged(buckets, known.offsets))
        # The mean of the known n-grams: an unknown one must not pull it to zero.
        mean_ND /= np.maximum(num_known_N, 1)[:, None].astype(np.float32)
        hidden_NH = mean_ND @ self._hidden_DH
        hidden_NH += self._hidden_bias
        np.maximum(hidden_NH, 0.0, out=hidden_NH)
        logits_NC = hidden_NH @ self._out_HC
        logits_NC += self._out_bias
        truncated_N = np.zeros(len(lengths_N), np.bool_)
        found = Found(lengths_N, lengths_N - num_known_N, truncated_N, int(lengths_N.sum()))
        return Inference(Choices(logits_NC, self._link), found)


def open_runtime(bundle: Bundle, *, device: str, num_threads: int) -> NgramRuntime:  # noqa: ARG001 - one signature
    """Return the runtime of an ngram Bundle."""
    return NgramRuntime(bundle)


def hash_inputs(inputs: Inputs, config: NgramConfig) -> Ragged:
    """Return the hashed n-grams of texts or of pairs."""
    first, second = inputs.first, inputs.second
    return hash_column(first, config) if second is None else hash_pairs(first, second, config)


def read_light_settings(bundle: Bundle, name: str) -> dict[str, Any]:
    """Return the content of a JSON file of a Bundle.

    Raises:
        ArtifactError: It is missing or damaged.
    """
    try:
        settings: dict[str, Any] = msgspec.json.decode((bundle.path / name).read_bytes(), type=dict[str, Any])
    except (OSError, msgspec.MsgspecError) as error:
        raise ArtifactError(f"{bundle.path / name} cannot be read: {error}.", hint="Train the Bundle again.") from error
    return settings


def read_tensors(bundle: Bundle, names: Sequence[str]) -> dict[str, npt.NDArray[Any]]:
    """Return the tensors of a Bundle's ``model.safetensors``.

    Raises:
        ArtifactError: The file is missing or damaged, or lacks a tensor.
    """
    path = bundle.path / "model.safetensors"
    try:
        tensors = unpack(load_file(path))
    except (OSError, SafetensorError) as error:
        raise ArtifactError(f"{path} cannot be read: {error}.", hint="Train the Bundle again.") from error
    missing = [name for name in names if name not in tensors]
    if missing:
        raise ArtifactError(f"{path} lacks {', '.join(missing)}.", hint="Train the Bundle again.")
    return tensors
