"""The proof that two runtimes give the same probabilities, on given texts and on random ones of all lengths.

It knows the Runtime protocol and an activation; it knows no engine and no Bundle.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from yanmo.counted import counted
from yanmo.errors import ModelError
from yanmo.protocols import Runtime
from yanmo.text.inputs import Inputs
from yanmo.text.pipeline import TextConfig, TextPipeline

__all__ = ["TOLERANCE", "check_parity", "random_texts"]

TOLERANCE = 1e-4
NUM_RANDOM = 500
SEED = 1
PLAIN_TEXT = "The quick brown fox, 3 x 很快 好吃!"


def random_texts(texts: Sequence[str], *, max_length: int, num_texts: int = NUM_RANDOM) -> list[str]:
    """Return texts of random characters, of all lengths from empty to longer than the model reads.

    Args:
        texts: Their characters are drawn from.
        max_length: Most tokens the model reads of a text.
        num_texts: How many.
    """
    generator = np.random.default_rng(SEED)
    # Sorted, because sets have another order in every process.
    alphabet = np.array(sorted(set(PLAIN_TEXT).union(*texts)))
    longest = max(2 * max_length, 2)
    lengths = [0, 1, longest, *generator.integers(0, longest, max(num_texts - 3, 0)).tolist()][:num_texts]
    return ["".join(generator.choice(alphabet, length)) for length in lengths]


def check_parity(
    reference: Runtime[Any],
    candidate: Runtime[Any],
    inputs: Inputs,
    *,
    max_length: int,
    num_random: int = NUM_RANDOM,
) -> float:
    """Return the largest difference between the two runtimes' probabilities.

    Args:
        reference: The one that is right.
        candidate: The one to check.
        inputs: Cleaned texts; random ones are added to them.
        max_length: Most tokens the models read of a text.
        num_random: Texts that are added.

    Raises:
        ModelError: They differ by more than 1e-4 on any text.
    """
    made = random_texts(
        [text for column in inputs.columns for text in column], max_length=max_length, num_texts=num_random
    )
    added = (made, made[::-1])  # of pairs the second texts are others than the first
    asked = Inputs(tuple([*column, *more] for column, more in zip(inputs.columns, added, strict=False)))
    if inputs.units is not None:
        asked = TextPipeline(TextConfig(cleaning=(), units=inputs.units.rule)).read(asked)
    ours, theirs = (one.infer(asked).scores.activate() for one in (candidate, reference))
    difference = float(ours.distance_N(theirs).max())
    # Written so that NaN fails.
    if not difference <= TOLERANCE:
        raise ModelError(
            f"The exported model does not answer as its original does: probabilities differ by {difference:.2g}, "
            f"more than {TOLERANCE:g}, on {counted(len(asked), 'text')}.",
            hint="Nothing was written. Serve the torch Bundle as it is, and report this model's name.",
        )
    return difference
