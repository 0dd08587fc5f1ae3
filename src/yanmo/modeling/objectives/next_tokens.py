"""The objective of language models: the loss of every next token, summed over rows; it knows no corpus and no loop.

A network's output of a row is the sum of its losses in nats and the number of its tokens that count: S = 2.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from yanmo.arrays import Doubles, FloatArray
from yanmo.metrics.language import language_statistics
from yanmo.metrics.measures import Measure
from yanmo.modeling.features.ragged import Targets
from yanmo.modeling.objectives.token_losses import TokenLosses

__all__ = ["NextTokens"]


@dataclass(frozen=True)
class NextTokens(TokenLosses):
    """The objective of networks that predict the next token.

    Attributes:
        measures: What held-out rows are measured by.
        sizes_3: Characters, bytes and words of all held-out rows together, shape (3,).
    """

    measures: Sequence[Measure]
    sizes_3: Doubles
    num_passes: int = 1

    def measure(self, outputs_NS: FloatArray, targets: Targets) -> dict[str, float]:  # noqa: ARG002
        """Return the measures of all rows together, and the mean loss of a token in nats, that of text ends included.

        A long document is cut into rows, and the first tokens of each row have little before them; what ``evaluate``
        measures with windows that overlap is better.
        """
        nats, num_tokens = outputs_NS.sum(axis=0, dtype=np.float64)
        sums_1S = language_statistics(np.array([nats]), np.array([num_tokens]), self.sizes_3[None])
        return {one.name: one.score(sums_1S) for one in self.measures} | {"loss": float(nats / max(num_tokens, 1))}
