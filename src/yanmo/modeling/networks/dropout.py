"""Dropout whose masks are cheap on a processor: a stream of random 16-bit words against a threshold.

torch draws a Bernoulli number for each activation from a generator that makes one word at a time; that was a fifth of
the time of a training. The words here come from numpy's SFC64, four activations a draw, and meet a probability to
1/65536.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

__all__ = ["MaskedDropout", "Masks", "SampledDropout", "replace_dropout", "sampled"]

NUM_WORDS = 1 << 16
WORDS_A_DRAW = 4


class Masks:
    """The source of a training's masks.

    They are a function of the seed and of what was asked for since it was set.
    """

    def __init__(self) -> None:
        self.seed(np.random.SeedSequence(0))

    def seed(self, seed: np.random.SeedSequence) -> None:
        """Begin the stream that a seed names."""
        self._source = np.random.SFC64(seed)

    def draw(self, like: Tensor, probability: float) -> Tensor:
        """Return a mask of the shape and type of a tensor: 0 with a probability, else 1 / (1 - probability)."""
        num_values = like.numel()
        # Rounded up: of the last draw some words may be left over.
        words = self._source.random_raw(-(-num_values // WORDS_A_DRAW)).view(np.uint16)[:num_values]
        # At least one word in 65,536 is kept, or the scale below would be a division by zero.
        threshold = min(round(probability * NUM_WORDS), NUM_WORDS - 1)
        kept = torch.from_numpy(words >= threshold).view(like.shape)
        # Scaled by the threshold and not by the probability, so that the mean stays exactly what it was.
        return kept.to(like.dtype).mul_(NUM_WORDS / (NUM_WORDS - threshold))


class MaskedDropout(nn.Dropout):
    """Dropout with masks from a source of its own; on other devices than a processor it is torch's.

    Source: Srivastava et al. 2014, "Dropout: A Simple Way to Prevent Neural Networks from Overfitting", section 4.
    """

    def __init__(self, probability: float, masks: Masks) -> None:
        super().__init__(probability)
        self.masks = masks

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002 - the name that torch gives it
        """Return the activations, some of them zero in training."""
        return input * self.masks.draw(input, self.p) if self.draws(input) else super().forward(input)

    def draws(self, activations: Tensor) -> bool:
        """Return whether it takes a mask from its source."""
        if torch.compiler.is_compiling():  # a compiled network draws its masks itself
            return False
        return self.training and self.p > 0 and activations.device.type == "cpu"


class SampledDropout(nn.Module):
    """The last dropout of a network, applied several times: :func:`sampled` as a layer."""

    def __init__(self, dropout: nn.Module, num_samples: int) -> None:
        super().__init__()
        self.dropout = dropout
        self.num_samples = num_samples

    def forward(self, states_BD: Tensor) -> Tensor:
        """Return the activations under every mask, one mask after the other."""
        return sampled(self.dropout, states_BD, self.num_samples)


def sampled(dropout: nn.Module, states_BD: Tensor, num_samples: int) -> Tensor:
    """Return activations under so many masks in training, shape (num_samples * B, D); otherwise as they are.

    Source: Inoue 2019, "Multi-Sample Dropout for Accelerated Training and Better Generalization", section 3,
    arXiv:1905.09788.
    """
    repeated: Tensor = dropout(states_BD.repeat(num_samples, 1) if dropout.training else states_BD)
    return repeated


def replace_dropout(module: nn.Module, masks: Masks) -> None:
    """Let every dropout of a network take its masks from a source."""
    for parent in module.modules():
        for name, child in list(parent.named_children()):
            # Exactly this class: one derived from it has a forward pass of its own.
            if type(child) is nn.Dropout:
                setattr(parent, name, MaskedDropout(child.p, masks).train(child.training))
