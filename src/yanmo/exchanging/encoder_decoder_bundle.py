"""From a torch Bundle of a model that writes a text from another to one of format encoder-decoder: graphs and proof.

The verbs export and quantize stand on it. It knows no verb.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from yanmo.artifacts.bundle import Bundle
from yanmo.errors import ArtifactError, ModelError
from yanmo.runtimes.generating.drafts import ReadingSession

if TYPE_CHECKING:
    from yanmo.exporting.writing_layers import EncoderDecoderWeights

__all__ = [
    "check_same_answers",
    "holds_encoder_decoder",
    "load_encoder_decoder_weights",
]

ENCODER_DECODER = "encoder-decoder"
TOLERANCE = 1e-4
NUM_TEXTS, NUM_STEPS = 16, 24
SEED = 1


def holds_encoder_decoder(bundle: Bundle) -> bool:
    """Return whether a Bundle's model writes a text from another."""
    return bundle.architecture.get("family") == ENCODER_DECODER


def load_encoder_decoder_weights(bundle: Bundle) -> EncoderDecoderWeights:
    """Return the weights of a torch Bundle.

    Raises:
        ArtifactError: The Bundle holds graphs already.
        ModelError: The family has no graph here.
    """
    from yanmo.exporting.encoder_decoder import read_encoder_decoder

    if bundle.format != "torch":
        raise ArtifactError(
            f"The weights are read from a torch Bundle. {bundle.path} is of format {bundle.format}.",
            hint="Give the Bundle that it was made from.",
        )
    return read_encoder_decoder(bundle.path)


def check_same_answers(
    reference: ReadingSession, candidate: ReadingSession, *, vocabulary_size: int, max_length: int, num_steps: int
) -> float:
    """Return the largest difference between what two networks say of all next tokens, in nats.

    Both are given the same random texts of all lengths, and the same tokens of answers: those that the first one would
    write, for what it would never write tells little.

    Args:
        reference: The one that is right.
        candidate: The one to check.
        vocabulary_size: Tokens to draw from.
        max_length: Most tokens of a text.
        num_steps: Most tokens of an answer.

    Raises:
        ModelError: They differ by more than 1e-4 anywhere.
    """
    generator = np.random.default_rng(SEED)
    lengths_B = np.unique(np.linspace(1, max_length, NUM_TEXTS).round().astype(np.int64))
    ids_BS = generator.integers(0, vocabulary_size, (len(lengths_B), max_length))
    drafts = [one.read(ids_BS, lengths_B, num_beams=1, num_best=1) for one in (reference, candidate)]
    next_B = np.zeros(len(lengths_B), np.int64)
    difference = 0.0
    for _ in range(min(num_steps, NUM_STEPS)):
        right, found = (one.step(next_B) for one in drafts)
        difference = max(difference, float(np.abs(right.log_likelihoods_RV - found.log_likelihoods_RV).max()))
        next_B = right.ids_RK[:, 0].copy()
    # Written so that NaN fails.
    if not difference <= TOLERANCE:
        raise ModelError(
            f"The exported model does not answer as its original does: log-likelihoods differ by {difference:.2g} "
            f"nats, more than {TOLERANCE:g}.",
            hint="Nothing was written. Serve the torch Bundle as it is, and report this model's name.",
        )
    return difference
