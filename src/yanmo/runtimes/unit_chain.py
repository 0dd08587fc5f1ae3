"""The chain over the units' tags that a Bundle may have: read, and applied to the scores of whole texts, with numpy.

It knows no network: what scored the units, torch or an engine, is of no matter.
"""

from __future__ import annotations

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file

from yanmo.answers.chains import Chain, Steps, log_marginals, row_blocks
from yanmo.answers.choices import Choices
from yanmo.answers.links import Link
from yanmo.arrays import FloatArray, IntArray
from yanmo.artifacts.bundle import CHAIN, Bundle
from yanmo.errors import ArtifactError
from yanmo.text.tokenizer import Encoded

__all__ = ["as_choices", "read_chain"]

NAMES = ("transitions", "start", "end")
MOST_SCORES = 1 << 20
"""Scores whose rows go through the chain at a time."""


def read_chain(bundle: Bundle) -> Chain | None:
    """Return how the tags of neighboring units go together in a Bundle, None where it has no such scores.

    Raises:
        ArtifactError: Its file is damaged, or of other labels.
    """
    path = bundle.path / CHAIN
    if not path.is_file():
        return None
    try:
        tensors = load_file(path)
        chain = Chain(*(tensors[name] for name in NAMES))
    except (OSError, SafetensorError, KeyError) as error:
        raise ArtifactError(f"{path} cannot be read: {error}.", hint="Make the Bundle again.") from error
    if chain.transitions_CC.shape != (len(bundle.labels),) * 2:
        raise ArtifactError(f"{path} is not about the {len(bundle.labels)} labels.", hint="Make the Bundle again.")
    return chain


def as_choices(logits_NC: FloatArray, link: Link, encoded: Encoded, chain: Chain | None = None) -> Choices:
    """Return scores as evidence: of N texts, or of all their units with their places.

    Args:
        logits_NC: Of the texts, or of the units.
        link: From scores to probabilities.
        encoded: What was scored.
        chain: How the tags of neighboring units go together, over whole texts, whatever windows they were read in.
    """
    if encoded.units is None:
        return Choices(logits_NC, link)
    places = encoded.units.places
    if chain is not None:
        logits_NC = _chained(logits_NC, places.offsets, chain)
    return Choices(logits_NC, link, places.offsets, places.values)


def _chained(logits_UC: FloatArray, offsets: IntArray, chain: Chain) -> FloatArray:
    """Return the logarithms of the marginal probabilities, for some rows at a time, which bounds what is held."""
    found_UC = np.empty(logits_UC.shape, dtype=np.float32)
    for units, inner in row_blocks(offsets, max(MOST_SCORES // max(logits_UC.shape[1], 1), 1)):
        found_UC[units] = log_marginals(logits_UC[units], Steps.of(inner), chain)
    return found_UC
