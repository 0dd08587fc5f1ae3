"""Networks that read from left to right, as stock Hugging Face classes; it knows no training and no artifact.

``gpt2`` is GPT-2 as published. ``gpt`` is a later design: rotary positions, RMSNorm and squared ReLU. Both are saved as
plain Hugging Face folders that ``AutoModelForCausalLM`` opens. ``lstm`` and ``gcnn`` are networks of our own.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import ArceeConfig, AutoModelForCausalLM, GPT2Config

from yanmo.errors import ModelError
from yanmo.modeling.features.ragged import TensorBatch
from yanmo.modeling.language.documents import UNCOUNTED
from yanmo.modeling.language.light_decoders import GatedConvolutionsConfig, LstmConfig, register
from yanmo.modeling.networks.encoders import open_network, read_config
from yanmo.models import ModelSpec, num_heads

__all__ = ["build_decoder", "load_decoder", "next_token_losses", "score_rows", "token_rows"]


def build_decoder(spec: ModelSpec, *, vocab_size: int, end_id: int, max_length: int, dropout: float) -> nn.Module:
    """Return an untrained network of a shape.

    Args:
        spec: A family of :data:`yanmo.models.DECODER_FAMILIES` with layers and width.
        vocab_size: Tokens that it has an embedding for.
        end_id: The token that begins a text and ends it.
        max_length: Most tokens that it reads.
        dropout: Of hidden states.

    Source: Radford et al. 2019, "Language Models are Unsupervised Multitask Learners", section 2.3 (normalization
        before each part, weights of residual layers that begin smaller the deeper the network is); Press, Wolf 2017,
        arXiv:1608.05859 (one matrix for embeddings and output). Su et al. 2021, "RoFormer", arXiv:2104.09864 (rotary
        positions); Zhang, Sennrich 2019, arXiv:1910.07467 (RMSNorm); So et al. 2021, "Primer", arXiv:2109.08668
        (squared ReLU).
    """
    shared = {
        "vocab_size": vocab_size,
        "bos_token_id": end_id,
        "eos_token_id": end_id,
        "tie_word_embeddings": True,
    }
    register()
    config = CONFIGS[spec.family](spec, max_length, dropout, shared)
    module: nn.Module = AutoModelForCausalLM.from_config(config)  # type: ignore[no-untyped-call]
    return module


def _gpt2_config(spec: ModelSpec, max_length: int, dropout: float, shared: Mapping[str, Any]) -> Any:
    return GPT2Config(
        **shared,
        n_layer=spec.layers,
        n_embd=spec.width,
        n_head=num_heads(spec.width),
        n_positions=max_length,
        resid_pdrop=dropout,
        embd_pdrop=dropout,
        # As in encoders: dropping attention weights would keep them from being computed in one fused product.
        attn_pdrop=0.0,
    )


def _gpt_config(spec: ModelSpec, max_length: int, dropout: float, shared: Mapping[str, Any]) -> Any:  # noqa: ARG001 - no dropout
    return ArceeConfig(
        **shared,
        num_hidden_layers=spec.layers,
        hidden_size=spec.width,
        intermediate_size=4 * spec.width,
        num_attention_heads=num_heads(spec.width),
        num_key_value_heads=num_heads(spec.width),
        head_dim=spec.width // num_heads(spec.width),
        max_position_embeddings=max_length,
        hidden_act="relu2",
    )


def _lstm_config(spec: ModelSpec, max_length: int, dropout: float, shared: Mapping[str, Any]) -> Any:
    return LstmConfig(**shared, **_light_sizes(spec, max_length, dropout))


def _gcnn_config(spec: ModelSpec, max_length: int, dropout: float, shared: Mapping[str, Any]) -> Any:
    return GatedConvolutionsConfig(**shared, **_light_sizes(spec, max_length, dropout))


def _light_sizes(spec: ModelSpec, max_length: int, dropout: float) -> dict[str, Any]:
    return {
        "hidden_size": spec.width,
        "num_hidden_layers": spec.layers,
        "dropout": dropout,
        "max_position_embeddings": max_length,
    }


CONFIGS: Mapping[str, Callable[[ModelSpec, int, float, Mapping[str, Any]], Any]] = {
    "gpt2": _gpt2_config,
    "gpt": _gpt_config,
    "lstm": _lstm_config,
    "gcnn": _gcnn_config,
}


def load_decoder(folder: Path, *, dropout: float | None = None) -> nn.Module:
    """Return the network of a folder, ready to answer.

    Args:
        folder: A local one, of any family that ``AutoModelForCausalLM`` opens.
        dropout: Replaces the checkpoint's own; None keeps that.

    Raises:
        ModelError: The folder does not hold one, or not all of its weights.
    """
    register()
    config = read_config(folder)
    if dropout is not None:
        names = ("dropout", "resid_pdrop", "embd_pdrop", "attention_dropout", "attn_pdrop")
        config.update({name: dropout for name in names if hasattr(config, name)})
    module, new = open_network(AutoModelForCausalLM, folder, config)
    tied = set(getattr(module, "_tied_weights_keys", None) or ())
    if new - tied:
        raise ModelError(
            f"The weights of {folder} lack {', '.join(sorted(new - tied)[:3])}: it is no whole language model.",
            hint="Give the folder of a model that predicts the next token, such as GPT-2.",
        )
    return module.eval()


def next_token_losses(module: nn.Module, batch: TensorBatch) -> Tensor:
    """Return the negative log-likelihood of the token after every place in nats, losses_BT, 0 where none counts.

    Rows are padded on the right, where nothing before it looks, so no mask is needed.

    Args:
        module: The network.
        batch: ``input_ids`` and ``next_ids``, int64, shape (B, T); the latter ``UNCOUNTED`` where none counts.
    """
    logits_BTV = module(input_ids=batch["input_ids"], use_cache=False).logits
    next_BT = batch["next_ids"]
    losses_M: Tensor = functional.cross_entropy(
        logits_BTV.flatten(0, 1).float(), next_BT.flatten(), ignore_index=UNCOUNTED, reduction="none"
    )
    return losses_M.view_as(next_BT)


def score_rows(module: nn.Module, batch: TensorBatch) -> Tensor:
    """Return of every row the sum of its losses and the number of places that count, shape (B, 2)."""
    return token_rows(next_token_losses(module, batch), batch)


def token_rows(losses_BT: Tensor, batch: TensorBatch) -> Tensor:
    """Return losses of places, 0 where none counts, as sums of rows beside the numbers of places, shape (B, 2)."""
    counts_B = (batch["next_ids"] != UNCOUNTED).sum(dim=1).to(losses_BT.dtype)
    return torch.stack((losses_BT.sum(dim=1), counts_B), dim=1)
