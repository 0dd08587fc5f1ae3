"""Which parts of an encoder matter least: heads, feed-forward neurons, layers; it cuts nothing and knows no file."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from yanmo.arrays import FloatArray
from yanmo.errors import ConfigError
from yanmo.modeling.features.ragged import Examples, TensorBatch, sorted_batches
from yanmo.modeling.networks import encoders, fast_encoder
from yanmo.modeling.settings import Importance
from yanmo.modeling.shrinking.cutting import Cut, count_heads, layers_of, set_layers
from yanmo.modeling.shrinking.layer_layouts import layout_of

__all__ = ["choose_layers", "choose_parts", "measure_importance"]

MeanLoss = Callable[[Tensor, Tensor], Tensor]

WIDTH_STEP = 16
"""Widths stay multiples of it: processors multiply in blocks of so many."""
BATCH = 32


def measure_importance(
    module: nn.Module, examples: Examples, loss: MeanLoss, importance: Importance
) -> tuple[list[FloatArray], list[FloatArray]]:
    """Return how much every head and every neuron matters, an array a layer, of length 1 in each.

    Args:
        module: The encoder.
        examples: To learn it from; ``magnitude`` reads none.
        loss: From logits_BC and targets_BC to a scalar, a mean over examples.
        importance: ``taylor``: how much the loss would change, to first order, without the part; ``magnitude``: how
            large its weights are.

    Source: Michel, Levy, Neubig 2019, "Are Sixteen Heads Really Better than One?", section 4.1, arXiv:1905.10650;
    Molchanov et al. 2017, "Pruning Convolutional Neural Networks for Resource Efficient Inference", section 2.2,
    arXiv:1611.06440.
    Differs: the absolute value is taken of the mean of a batch of 32, not of single examples.
    """
    layers, layout = layers_of(module), layout_of(module)
    # All that a head or a neuron says goes through its columns of these weights.
    names, num_heads = (layout.attention_out, layout.narrow), count_heads(module)
    outs = [tuple(layer.get_submodule(name).weight for name in names) for layer in layers]
    flat = [weight for pair in outs for weight in pair]
    if importance == "magnitude":
        sums = [weight.detach().square() for weight in flat]
    else:
        sums = _taylor(module, examples, loss, flat, num_heads)
    found: tuple[list[FloatArray], list[FloatArray]] = ([], [])
    for place, total in enumerate(sums):
        # Attention and feed-forward in turn, as they were laid out above.
        num_parts = num_heads[place // 2] if place % 2 == 0 else total.shape[-1]
        matters = total if total.ndim == 1 else total.sum(dim=0).view(num_parts, -1).sum(dim=1)
        found[place % 2].append(np.asarray(matters / matters.norm().clamp_min(1e-12), dtype=np.float32))
    return found


def _taylor(
    module: nn.Module, examples: Examples, loss: MeanLoss, weights: Sequence[Tensor], num_heads: Sequence[int]
) -> list[Tensor]:
    """Return the sums over batches of what the loss changes by without each head or neuron."""
    module.eval()
    parts = [num_heads[place // 2] if place % 2 == 0 else weight.shape[1] for place, weight in enumerate(weights)]
    sums = [torch.zeros(num_parts) for num_parts in parts]
    for rows_B in sorted_batches(examples.features, batch_size=BATCH):
        logits_BC = _score(module, examples.features.collate(rows_B))
        value = loss(logits_BC, examples.targets.collate(rows_B)["labels"])
        gradients = torch.autograd.grad(value, list(weights))
        for total, weight, gradient in zip(sums, weights, gradients, strict=True):
            gates = (weight.detach() * gradient).sum(dim=0)  # what a gate at this input would have as its gradient
            total.add_(gates.view(len(total), -1).sum(dim=1).abs() * len(rows_B))
    return sums


def choose_parts(
    matters: tuple[list[FloatArray], list[FloatArray]],
    *,
    head_width: int,
    heads: float,
    neurons: float,
    is_uniform: bool,
) -> Cut:
    """Return which heads and neurons stay.

    Args:
        matters: From :func:`measure_importance`.
        head_width: Of one head.
        heads: Share of the heads to leave out.
        neurons: Share of the feed-forward neurons to leave out.
        is_uniform: As many in every layer; else the least of all layers together.
    """
    # The fewest heads whose widths together are a multiple of it.
    step = WIDTH_STEP // np.gcd(WIDTH_STEP, head_width)
    return Cut(
        _choose(matters[0], heads, int(step), is_uniform=is_uniform),
        _choose(matters[1], neurons, WIDTH_STEP, is_uniform=is_uniform),
    )


def _choose(matters: list[FloatArray], share: float, step: int, *, is_uniform: bool) -> list[list[int]]:
    """Return the parts that stay in each layer: a multiple of ``step`` of them, at least one step."""
    counts = [len(layer) for layer in matters]
    if share and is_uniform:
        counts = [_round_up((1 - share) * count, step, count) for count in counts]
    elif share:
        limit = np.quantile(np.concatenate(matters), share)
        counts = [_round_up(int((layer > limit).sum()), step, len(layer)) for layer in matters]
    return [
        sorted(np.argsort(-layer, kind="stable")[:count].tolist()) for layer, count in zip(matters, counts, strict=True)
    ]


def _round_up(count: float, step: int, most: int) -> int:
    # Rounding alone adds no step: (1 - 0.7) * 10 is a little more than 3.
    return min(most, max(step, int(np.ceil(count / step - 1e-9)) * step))


def choose_layers(module: Any, examples: Examples, loss: MeanLoss, num_cut: int) -> list[int]:
    """Return the layers that stay: one after the other, the one is left out without which the loss is least.

    Args:
        module: The encoder; it is as it was afterwards.
        examples: The loss is measured on.
        loss: From logits_BC and targets_BC to a scalar, a mean over examples.
        num_cut: Layers to leave out, fewer than there are.

    Source: Sajjad et al. 2023, "On the Effect of Dropping Layers of Pre-trained Transformer Models", section 3.1
    (contribution based), arXiv:2004.03844.
    Differs: a layer's contribution is the loss without it, and is measured anew after each.
    """
    whole = layers_of(module)
    if num_cut >= len(whole):
        raise ConfigError(
            f"The 'layers' parameter of prune must be less than {len(whole)} for this model. Got {num_cut} instead.",
            hint="Leave fewer layers out.",
        )
    kept = list(range(len(whole)))
    for _ in range(num_cut):
        losses = {}
        for place in kept[1:] if layout_of(module).keeps_first else kept:
            set_layers(module, [whole[one] for one in kept if one != place])
            losses[place] = _mean_loss(module, examples, loss)
        kept.remove(min(losses, key=lambda place: losses[place]))
    set_layers(module, whole)
    return kept


def _score(module: nn.Module, batch: TensorBatch) -> Tensor:
    """Return logits_BC."""
    return (fast_encoder.score if fast_encoder.is_lean(module) else encoders.score_encoder)(module, batch)


def _mean_loss(module: nn.Module, examples: Examples, loss: MeanLoss) -> float:
    module.eval()
    total = 0.0
    with torch.inference_mode():
        for rows_B in sorted_batches(examples.features, batch_size=BATCH):
            logits_BC = _score(module, examples.features.collate(rows_B))
            total += float(loss(logits_BC, examples.targets.collate(rows_B)["labels"])) * len(rows_B)
    return total / len(examples)
