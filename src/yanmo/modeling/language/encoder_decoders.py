"""Networks that read one text and write another, as stock Hugging Face classes; it knows no training and no artifact.

``t5`` is T5 with gated GELU. All are saved as plain Hugging Face folders that ``AutoModelForSeq2SeqLM`` opens.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import AutoModelForSeq2SeqLM, T5Config, T5ForConditionalGeneration
from transformers.models.auto.modeling_auto import MODEL_FOR_SEQ_TO_SEQ_CAUSAL_LM_MAPPING_NAMES

from yanmo.errors import ModelError
from yanmo.modeling.features.ragged import TensorBatch
from yanmo.modeling.language.documents import UNCOUNTED
from yanmo.modeling.networks.encoders import open_network, read_config
from yanmo.models import ModelSpec

__all__ = ["build_encoder_decoder", "load_encoder_decoder", "score_pairs"]

HEAD_WIDTH = 64
INNER_STEP = 64


def build_encoder_decoder(
    spec: ModelSpec, *, vocab_size: int, pad_id: int, end_id: int, dropout: float
) -> T5ForConditionalGeneration:
    """Return an untrained T5 of a shape.

    Args:
        spec: Of the family t5, with the layers of both sides and the width.
        vocab_size: Tokens that it has an embedding for.
        pad_id: The token that fills rows, before which a text that is written begins.
        end_id: The token that ends a text.
        dropout: Of hidden states and attention weights.

    Source: Raffel et al. 2020, "Exploring the Limits of Transfer Learning with a Unified Text-to-Text Transformer",
        section 2.1, arXiv:1910.10683; Shazeer 2020, "GLU Variants Improve Transformer", arXiv:2002.05202 (gated GELU,
        with the inner width by which it has as many weights as without gates).
    Differs: from T5 1.1 in that embeddings and output share one matrix, as in T5 1.0, which few pairs learn better.
    """
    inner = -(-8 * spec.width // 3)
    config = T5Config(
        vocab_size=vocab_size,
        d_model=spec.width,
        # Heads of T5 are 64 wide whatever the width is; graphs want a multiple of 8.
        d_kv=min(HEAD_WIDTH, -(-spec.width // 8) * 8),
        num_heads=max(1, spec.width // HEAD_WIDTH),
        d_ff=-(-inner // INNER_STEP) * INNER_STEP,
        num_layers=spec.layers,
        num_decoder_layers=spec.decoder_layers,
        dropout_rate=dropout,
        feed_forward_proj="gated-gelu",
        pad_token_id=pad_id,
        eos_token_id=end_id,
    )
    config.decoder_start_token_id = pad_id
    return T5ForConditionalGeneration(config)


def load_encoder_decoder(folder: Path, *, dropout: float | None = None) -> nn.Module:
    """Return the network of a folder, ready to answer.

    Args:
        folder: A local one, of any family that ``AutoModelForSeq2SeqLM`` opens.
        dropout: Replaces the checkpoint's own; None keeps that.

    Raises:
        ModelError: The folder does not hold one, or not all of its weights.
    """
    config = read_config(folder)
    if config.model_type not in MODEL_FOR_SEQ_TO_SEQ_CAUSAL_LM_MAPPING_NAMES:
        raise ModelError(
            f"{folder} holds a network of the kind {config.model_type}, which writes no text from another.",
            hint="Give a model with an encoder and a decoder, such as T5, mT5 or BART.",
        )
    if dropout is not None:
        names = ("dropout_rate", "dropout", "attention_dropout")
        config.update({name: dropout for name in names if hasattr(config, name)})
    module, new = open_network(AutoModelForSeq2SeqLM, folder, config)
    tied: Any = getattr(module, "_tied_weights_keys", None) or ()
    if new - set(tied):
        raise ModelError(
            f"The weights of {folder} lack {', '.join(sorted(new - set(tied))[:3])}: it is no whole model.",
            hint="Give the folder of a model that writes, such as T5: one that only reads lacks what writes.",
        )
    return module.eval()


def score_pairs(module: nn.Module, batch: TensorBatch, *, smoothing: float = 0.0) -> Tensor:
    """Return of every pair the sum of its losses in nats, how many tokens count, and whether all are likeliest, (B, 3).

    Args:
        module: The network.
        batch: ``input_ids``, ``attention_mask``, ``decoder_input_ids`` and ``labels``, int64; the last ``UNCOUNTED``
            where none counts.
        smoothing: In training, the share of each target that is spread over all tokens.
    """
    labels_BT = batch["labels"]
    inputs = {name: one for name, one in batch.items() if name != "labels"}
    logits_BTV = module(**inputs, use_cache=False).logits.float()
    losses_BT = functional.cross_entropy(
        logits_BTV.flatten(0, 1),
        labels_BT.flatten(),
        ignore_index=UNCOUNTED,
        reduction="none",
        label_smoothing=smoothing if module.training else 0.0,
    ).view_as(labels_BT)
    counts_BT = labels_BT != UNCOUNTED
    with torch.no_grad():
        # What is written greedily is the target if each of its tokens is the likeliest behind those before it.
        right_B = ((logits_BTV.argmax(dim=2) == labels_BT) | ~counts_BT).all(dim=1)
    return torch.stack((losses_BT.sum(dim=1), counts_BT.sum(dim=1).float(), right_B.float()), dim=1)
