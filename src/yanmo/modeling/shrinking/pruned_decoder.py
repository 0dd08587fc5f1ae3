"""A language model without the parts that matter least, and its tokenizer; ready to recover; it knows no artifact.

Every layer keeps as many heads and neurons, so that transformers' own class holds what is left. A token that is left
out is spelled by shorter ones, which stay.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn
from transformers import PreTrainedTokenizerFast

from yanmo.arrays import FloatArray, IntArray
from yanmo.errors import ConfigError
from yanmo.modeling.features.ragged import Features, sorted_batches
from yanmo.modeling.language.decoders import score_rows
from yanmo.modeling.loop.scoring import compute_logits
from yanmo.modeling.objectives.token_losses import LOSS, TOKENS
from yanmo.modeling.settings import Pruning
from yanmo.modeling.shrinking.pruning import choose_parts
from yanmo.modeling.shrinking.smaller_decoder import (
    LAYER_WEIGHT,
    CutPart,
    DecoderParts,
    StayingParts,
    decoder_parts,
    head_width_of,
    make_smaller,
)
from yanmo.text.vocabulary import cut_tokenizer, used_tokens

__all__ = ["PrunedDecoder", "prune_decoder"]

BATCH = 16
SHARES: Mapping[CutPart, str] = {"heads": "heads", "neurons": "feed_forward"}
"""What is cut, to the key of prune."""


@dataclass(frozen=True)
class PrunedDecoder:
    """What is left.

    Attributes:
        module: The network.
        wrapped: Its tokenizer.
        tokens: The ids that its tokens had before, rising; None where all have stayed.
        kept: How much is left, for people.
    """

    module: nn.Module
    wrapped: PreTrainedTokenizerFast
    tokens: IntArray | None
    kept: dict[str, int]


def prune_decoder(
    module: Any,
    wrapped: PreTrainedTokenizerFast,
    texts: Sequence[str],
    options: Pruning,
    cut: Callable[[Sequence[str]], Features],
) -> PrunedDecoder:
    """Return a language model without the parts that matter least; the same ones in every call.

    Args:
        module: The network; it stays as it is.
        wrapped: Its tokenizer.
        texts: To learn from, which say what matters and which tokens stay.
        options: What is cut out.
        cut: From texts to rows that the network reads.

    Raises:
        ConfigError: The network has no such parts, or not so many.
    """
    family, config = decoder_parts(module), module.config
    shares = {part: share for part, name in SHARES.items() if (share := getattr(options, name))}
    _check(module, family, shares, options)
    layers = list(range(getattr(config, family.num_layers)))
    rows = np.unique(np.linspace(0, len(texts) - 1, options.num_importance_texts).round().astype(np.int64))
    asked = cut([texts[row] for row in rows.tolist()])
    if options.layers:
        layers = _choose_layers(module, layers, options.layers, asked)
    parts: dict[CutPart, list[list[int]]] = {}
    if shares:
        shallow = make_smaller(module, StayingParts(layers, {}))
        parts = _choose_parts(shallow, family, shares, options, asked)
    tokens = None
    if options.vocabulary:
        tokens = used_tokens(wrapped.backend_tokenizer, [texts], min_count=options.vocabulary)
        wrapped = _with_tokens(wrapped, tokens)
    smaller = make_smaller(module, StayingParts(layers, parts, tokens))
    kept: dict[str, int] = {"layers": len(layers)}
    kept |= {part: len(found[0]) for part, found in parts.items()}
    kept["tokens"] = int(config.vocab_size if tokens is None else len(tokens))
    return PrunedDecoder(smaller, wrapped, tokens, kept)


def _check(module: Any, family: DecoderParts, shares: Mapping[CutPart, float], options: Pruning) -> None:
    """Refuse what a family does not have, before anything is computed."""
    config, name = module.config, type(module).__name__
    unable = next((part for part in shares if part not in family.counts), None)
    why = f"its layers cannot have fewer {unable} alone"
    if unable is None and "heads" in shares and config.num_attention_heads != config.num_key_value_heads:
        unable, why = "heads", "its heads share keys and values in groups"
    if unable is not None:
        raise ConfigError(
            f"The '{SHARES[unable]}' parameter of prune does not suit {name}: {why}.",
            hint="Leave out layers or vocabulary instead.",
        )
    if not options.uniform:
        raise ConfigError(
            f"The 'uniform' parameter of prune must be true for {name}, all of whose layers are alike.",
            hint="Leave uniform as it is.",
        )
    num_layers = getattr(config, family.num_layers)
    if options.layers >= num_layers:
        raise ConfigError(
            f"The 'layers' parameter of prune must be less than {num_layers} for this model. Got {options.layers} "
            "instead.",
            hint="Leave fewer layers out.",
        )


def _choose_layers(module: Any, layers: list[int], count: int, asked: Features) -> list[int]:
    """Return the layers that stay: one after the other, the one is left out without which the loss is least."""
    for _ in range(count):
        choices = [[one for one in layers if one != gone] for gone in layers]
        layers = min(choices, key=lambda some: _mean_loss(make_smaller(module, StayingParts(some, {})), asked))
    return layers


def _mean_loss(module: nn.Module, asked: Features) -> float:
    outputs_NS = compute_logits(module, score_rows, asked, batch_size=BATCH)
    return float(outputs_NS[:, LOSS].sum() / outputs_NS[:, TOKENS].sum())


def _choose_parts(
    module: Any, family: DecoderParts, shares: Mapping[CutPart, float], options: Pruning, asked: Features
) -> dict[CutPart, list[list[int]]]:
    """Return the heads and neurons that stay in each layer.

    Raises:
        ConfigError: The shares are so small that all stay.
    """
    matters = {part: _measure(module, family, part, options, asked) for part in shares}
    chosen = choose_parts(
        (matters.get("heads", []), matters.get("neurons", [])),
        head_width=max(head_width_of(module.config), 1),
        heads=shares.get("heads", 0.0),
        neurons=shares.get("neurons", 0.0),
        is_uniform=True,
    )
    found: dict[CutPart, list[list[int]]] = {"heads": chosen.heads, "neurons": chosen.neurons}
    if all(len(found[part][0]) == len(matters[part][0]) for part in shares):
        raise ConfigError(
            f"prune would leave nothing out of {type(module).__name__}: the shares are less than the step in which "
            "widths are cut.",
            hint="Give a larger share as heads or feed_forward.",
        )
    return {part: found[part] for part in shares}


def _measure(module: Any, family: DecoderParts, part: CutPart, options: Pruning, asked: Features) -> list[FloatArray]:
    """Return how much every head or neuron matters, an array a layer, of length 1 in each.

    Source: as of encoders: Michel, Levy, Neubig 2019, section 4.1, arXiv:1905.10650; Molchanov et al. 2017, section
        2.2, arXiv:1611.06440.
    """
    name = family.reader(part)
    named = {key: weight for key, weight in module.named_parameters() if _is_of(key, name)}
    weights = [named[key] for key in sorted(named, key=_layer_of)]
    width = head_width_of(module.config) if part == "heads" else 1
    dim = 1 if family.is_turned else 0
    counts = [weight.shape[1 - dim] // width for weight in weights]
    sums = [torch.zeros(count) for count in counts]
    if options.importance == "magnitude":
        sums = [weight.detach().square().sum(dim=dim).view(-1, width).sum(dim=1) for weight in weights]
    else:
        module.eval()
        for rows_B in sorted_batches(asked, batch_size=BATCH):
            losses_B2 = score_rows(module, asked.collate(rows_B))
            gradients = torch.autograd.grad(losses_B2[:, LOSS].sum(), weights)
            for total, weight, gradient in zip(sums, weights, gradients, strict=True):
                gates = (weight.detach() * gradient).sum(dim=dim)
                total.add_(gates.view(-1, width).sum(dim=1).abs())
    return [np.asarray(total / total.norm().clamp_min(1e-12), dtype=np.float32) for total in sums]


def _is_of(key: str, product: str) -> bool:
    found = LAYER_WEIGHT.match(key)
    return found is not None and found[3] == f"{product}.weight"


def _layer_of(key: str) -> int:
    found = LAYER_WEIGHT.match(key)
    return int(found[2]) if found is not None else -1


def _with_tokens(wrapped: PreTrainedTokenizerFast, tokens: IntArray) -> PreTrainedTokenizerFast:
    """Return a tokenizer with some of its tokens."""
    specials = {name: token for name, token in wrapped.special_tokens_map.items() if isinstance(token, str)}
    smaller: PreTrainedTokenizerFast = PreTrainedTokenizerFast(  # type: ignore[no-untyped-call]
        tokenizer_object=cut_tokenizer(wrapped.backend_tokenizer, tokens),
        model_max_length=wrapped.model_max_length,
        chat_template=getattr(wrapped, "chat_template", None),
        **specials,
    )
    return smaller
