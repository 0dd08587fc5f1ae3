"""The forward pass of BERT-like encoders with less work: the same weights and the same states as transformers' own.

A stock classifier reads the first token's last state only, so in the last layer all but keys and values are computed
for that token alone; one that reads the mean, and an encoder that learns to read, need the states of all. Activations
are cast once for all products that read them, a dropout and the sum after it are one pass, and attention is two
products and a softmax in 32 bits, which on a processor and for short texts is faster than the fused kernel, whose
backward pass in bf16 is many times slower. It knows no training: whoever trains or evaluates calls :func:`score` or
:func:`read_states`.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from yanmo.modeling.features.ragged import TensorBatch, is_full
from yanmo.modeling.networks.dropout import MaskedDropout, sampled
from yanmo.modeling.networks.pooling import MeanPooling, mean_of_tokens

__all__ = ["can_read", "is_lean", "read_states", "score"]

STEMS = ("Bert", "Roberta", "XLMRoberta", "Camembert", "Electra")
"""What the names of the classes begin with whose layers are BERT's."""
READERS = {f"{stem}Model" for stem in STEMS}
CLASSIFIERS = {f"{stem}ForSequenceClassification" for stem in STEMS}


def can_read(module: nn.Module) -> bool:
    """Return whether :func:`read_states` computes what the encoder does: BERT and its like, with plain layers."""
    base: Any = getattr(module, "base_model", None)
    if type(base).__name__ not in READERS or base.config.is_decoder or base.config.add_cross_attention:
        return False
    linear = [one for one in module.modules() if isinstance(one, nn.Linear)]
    # Of a plain layer weight and bias are all there is, so they can be read past it. Adapters are made of plain layers,
    # too, and are told by their names.
    is_plain = all(type(one) is nn.Linear for one in linear) and not any(
        "lora" in name for name, _ in module.named_modules()
    )
    return is_plain and getattr(base.config, "position_embedding_type", None) in {None, "absolute"}


def is_lean(module: nn.Module) -> bool:
    """Return whether :func:`score` computes what the network does."""
    return (type(module).__name__ in CLASSIFIERS or isinstance(module, MeanPooling)) and can_read(module)


def read_states(module: nn.Module, batch: TensorBatch) -> Tensor:
    """Return the last layer's states_BTD of a batch of token ids.

    Args:
        module: A network for which :func:`can_read` holds.
        batch: As :func:`score` takes it.
    """
    base, device, dtype = _opened(module, batch)
    with torch.autocast(device, enabled=False):
        states_BTD, bias_B11T = _embed(base, batch, dtype)
        for layer in base.encoder.layer:
            states_BTD = _layer(layer, states_BTD, states_BTD, bias_B11T, dtype)
        return states_BTD


def score(module: nn.Module, batch: TensorBatch, *, num_samples: int = 1) -> Tensor:
    """Return logits_BC of a batch of token ids; in training, B rows for each of so many dropout masks of the head.

    Args:
        module: A network for which :func:`is_lean` holds.
        batch: ``input_ids``, ``attention_mask`` and perhaps ``token_type_ids``, int64, shape (B, T), padded on
            the right.
        num_samples: Dropout masks of the head.
    """
    base, device, dtype = _opened(module, batch)
    with torch.autocast(device, enabled=False):
        states_BTD, bias_B11T = _embed(base, batch, dtype)
        if isinstance(module, MeanPooling):
            for layer in base.encoder.layer:
                states_BTD = _layer(layer, states_BTD, states_BTD, bias_B11T, dtype)
            return _mean_head(module, mean_of_tokens(states_BTD, batch["attention_mask"]), num_samples)
        *lower, top = base.encoder.layer
        for layer in lower:
            states_BTD = _layer(layer, states_BTD, states_BTD, bias_B11T, dtype)
        first_B1D = _layer(top, states_BTD[:, :1], states_BTD, bias_B11T, dtype)
        return _head(module, base, first_B1D[:, 0], num_samples)


def _opened(module: nn.Module, batch: TensorBatch) -> tuple[Any, str, torch.dtype]:
    """Return the encoder, the kind of its device, and what products are computed in."""
    device = batch["input_ids"].device.type
    dtype = torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else torch.float32
    return module.base_model, device, dtype


def _embed(base: Any, batch: TensorBatch, dtype: torch.dtype) -> tuple[Tensor, Tensor | None]:
    """Return the states_BTD below the first layer, and what is added to attention scores."""
    states_BTD = base.embeddings(input_ids=batch["input_ids"], token_type_ids=batch.get("token_type_ids"))
    if hasattr(base, "embeddings_project"):
        states_BTD = base.embeddings_project(states_BTD)
    return states_BTD, _bias(batch["attention_mask"], dtype)


def _bias(mask_BT: Tensor, dtype: torch.dtype) -> Tensor | None:
    """Return what is added to attention scores at padding; None where there is none, which the fastest kernels need."""
    if is_full(mask_BT):
        return None
    # The least finite number and not -inf: a row of nothing but padding would have no softmax.
    bias_BT = torch.zeros(mask_BT.shape, dtype=dtype, device=mask_BT.device)
    return bias_BT.masked_fill_(mask_BT == 0, torch.finfo(dtype).min)[:, None, None, :]


def _layer(layer: Any, asking_BQD: Tensor, states_BTD: Tensor, bias_B11T: Tensor | None, dtype: torch.dtype) -> Tensor:
    """Return the layer's new states of the tokens that ask: all of them, or the first."""
    attention, output = layer.attention.self, layer.attention.output
    read_BTD = states_BTD.to(dtype)
    # Those that ask are the first of all tokens, so they are a part of what has been cast.
    asking_read_BQD = read_BTD if asking_BQD is states_BTD else read_BTD[:, : asking_BQD.shape[1]]
    query, key, value = (
        _linear(one, states).view(*states.shape[:2], attention.num_attention_heads, -1).transpose(1, 2)
        for one, states in (
            (attention.query, asking_read_BQD),
            (attention.key, read_BTD),
            (attention.value, read_BTD),
        )
    )
    context_BQD = _attend(attention, query, key, value, bias_B11T).transpose(1, 2).flatten(2).to(dtype)
    states_BQD = _drop_add(output.dropout, _linear(output.dense, context_BQD), asking_BQD)
    states_BQD = output.LayerNorm(states_BQD)
    hidden_BQF = layer.intermediate.intermediate_act_fn(_linear(layer.intermediate.dense, states_BQD.to(dtype)))
    states_BQD = _drop_add(layer.output.dropout, _linear(layer.output.dense, hidden_BQF), states_BQD)
    result: Tensor = layer.output.LayerNorm(states_BQD)
    return result


def _attend(attention: Any, query: Tensor, key: Tensor, value: Tensor, bias: Tensor | None) -> Tensor:
    """Return the attention's answer, shape (B, heads, Q, width)."""
    dropout = attention.dropout
    if query.device.type != "cpu":
        share = dropout.p if dropout.training else 0.0
        return functional.scaled_dot_product_attention(query, key, value, bias, share, scale=attention.scaling)
    # Contiguous, so that both batched products read heads that lie one behind the other.
    query, key, value = (one.to(torch.float32, memory_format=torch.contiguous_format) for one in (query, key, value))
    weights = (query * attention.scaling) @ key.transpose(2, 3)
    weights = torch.softmax(weights if bias is None else weights + bias, dim=-1)
    return dropout(weights) @ value  # type: ignore[no-any-return]


def _linear(layer: nn.Linear, inputs: Tensor) -> Tensor:
    bias = None if layer.bias is None else layer.bias.to(inputs.dtype)
    return functional.linear(inputs, layer.weight.to(inputs.dtype), bias)


def _drop_add(dropout: nn.Dropout, states: Tensor, residual: Tensor) -> Tensor:
    # The sums between layers stay in 32 bits, whatever the products are computed in.
    states = states.to(residual.dtype)
    if isinstance(dropout, MaskedDropout) and dropout.draws(states):
        return torch.addcmul(residual, states, dropout.masks.draw(states, dropout.p))
    summed: Tensor = dropout(states) + residual
    return summed


def _mean_head(module: Any, state_BD: Tensor, num_samples: int) -> Tensor:
    logits_BC: Tensor = module.classifier(sampled(module.dropout, state_BD, num_samples))
    return logits_BC


def _head(module: Any, base: Any, first_BD: Tensor, num_samples: int) -> Tensor:
    """Return the logits of the first token's state."""
    if getattr(base, "pooler", None) is not None:
        dropout, out, state_BD = module.dropout, module.classifier, base.pooler(first_BD[:, None])
    else:
        head = module.classifier
        # RoBERTa's head calls tanh by itself, ELECTRA's holds the function that it calls.
        act = getattr(head, "activation", torch.tanh)
        dropout, out, state_BD = head.dropout, head.out_proj, act(head.dense(head.dropout(first_BD)))
    logits_BC: Tensor = out(sampled(dropout, state_BD, num_samples))
    return logits_BC
