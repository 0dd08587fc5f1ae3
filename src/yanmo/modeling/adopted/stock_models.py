"""What transformers answers by itself, and plain folders that its own classes open; it knows no artifact."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer, PreTrainedTokenizerFast

from yanmo.arrays import FloatArray
from yanmo.errors import ModelError
from yanmo.modeling.networks import encoders, heads
from yanmo.modeling.networks.pooling import own_pooling
from yanmo.modeling.pretrained import checkpoint_tokenizer
from yanmo.modeling.pretrained.opening import opening
from yanmo.text.inputs import Inputs

__all__ = ["StockScore", "open_plain", "stock_scorer", "write_plain"]

StockScore = Callable[[Inputs], FloatArray]


def stock_scorer(module: Any, wrapped: PreTrainedTokenizerFast, *, max_length: int) -> StockScore:
    """Return what gives transformers' own logits_NC of texts, and of the second texts of pairs.

    Each text is asked alone and cut as its own tokenizer does; a row is not a number where a text has no token.

    Args:
        module: The network, ready to answer.
        wrapped: Its tokenizer.
        max_length: Most tokens of a text.
    """

    def score(inputs: Inputs) -> FloatArray:
        rows = []
        for row in zip(*inputs.columns, strict=True):
            columns = [[text] for text in row]  # lists: an empty text is one, too
            encoded = wrapped(*columns, truncation=True, max_length=max_length, return_tensors="pt")
            if not encoded["input_ids"].shape[1]:
                rows.append(np.full(module.config.num_labels, np.nan, dtype=np.float32))
                continue
            with torch.inference_mode():
                rows.append(module(**encoded).logits[0].float().numpy())
        return np.stack(rows)

    return score


def write_plain(
    folder: Path, target: Path, *, max_length: int, scale_C: FloatArray | None = None, bias_C: FloatArray | None = None
) -> None:
    """Write the encoder of a folder as transformers' own classes hold it.

    Args:
        folder: An encoder that is saved as transformers does, perhaps with a head of ours.
        target: The new folder.
        max_length: Most tokens of a text, at which its tokenizer will cut.
        scale_C: Every score is multiplied by, as its calibration does.
        bias_C: What is added to it then.

    Raises:
        ModelError: No class of transformers' has such a head.
    """
    module: Any = encoders.load_folder(folder)
    if own_pooling(module.config) != "first":
        raise ModelError(
            f"The head of {folder} reads the {own_pooling(module.config)} of all tokens, which no class of "
            "transformers' own does.",
            hint="Train it with --pooling first, or serve the Bundle.",
        )
    layer = heads.output_layer(module)[1]
    if bias_C is not None and layer.bias is None:
        raise ModelError(
            f"The head of {folder} has no addends, which its calibration needs.",
            hint="Calibrate it by temperature: yanmo calibrate … --method temperature",
        )
    with torch.no_grad():
        for one, factor in ((layer.weight, scale_C), (layer.bias, scale_C)):
            if one is not None and factor is not None:
                one.mul_(torch.from_numpy(factor).view(-1, *[1] * (one.ndim - 1)))
        if bias_C is not None:
            layer.bias.add_(torch.from_numpy(bias_C))
    wrapped = checkpoint_tokenizer.load_tokenizer(folder)
    wrapped.model_max_length = max_length
    encoders.save(target, module, wrapped)


def open_plain(folder: Path, *, max_length: int) -> StockScore:
    """Return what transformers' own classes answer with a folder.

    Raises:
        ModelError: They cannot open it.
    """
    with opening(folder):
        module = AutoModelForSequenceClassification.from_pretrained(folder, local_files_only=True)
        wrapped: Any = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    return stock_scorer(module.eval(), wrapped, max_length=max_length)
