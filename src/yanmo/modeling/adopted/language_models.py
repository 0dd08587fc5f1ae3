"""A language model that was trained elsewhere, opened as it is; it knows no artifact and writes no text."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

import numpy as np
import torch

from yanmo.answers.sequences import Sequences
from yanmo.modeling.adopted.adopted_model import Adopted, Wanted, fit_length, refuse_label_names
from yanmo.modeling.language.decoders import load_decoder
from yanmo.modeling.networks import encoders
from yanmo.modeling.pretrained.checkpoint_tokenizer import check_fits, load_tokenizer
from yanmo.text.inputs import Inputs
from yanmo.text.language_tokens import LanguageTokenizer

__all__ = ["adopt_language_model"]

DECODER = "decoder"


def adopt_language_model(folder: Path, config: Any, wanted: Wanted) -> Adopted:  # noqa: ARG001 - one signature
    """Return the language model of a folder.

    Args:
        folder: A local one.
        config: Its config.json.
        wanted: What the user says about it.

    Raises:
        ModelError: It is not whole, or its tokenizer has no token for the end of a text.
        ConfigError: Names were given for labels that it does not have, or the length does not suit it.
    """
    refuse_label_names(wanted, "which has no labels")
    wrapped = load_tokenizer(folder)
    tokenizer = LanguageTokenizer.of(wrapped.backend_tokenizer, name=wanted.name, end=wrapped.eos_token)
    module: Any = load_decoder(folder)
    check_fits(tokenizer.backend, module.get_input_embeddings().num_embeddings, wanted.name)
    max_length = fit_length(folder, wrapped, module, wanted)
    return Adopted(
        "sequences",
        [],
        None,
        max_length,
        {"family": DECODER, "pad_id": tokenizer.end_id, "end": wrapped.eos_token},
        functools.partial(encoders.save, module=module, tokenizer=wrapped),
        functools.partial(_stock_likelihoods, module, tokenizer, max_length),
    )


def _stock_likelihoods(
    module: Any, tokenizer: LanguageTokenizer, max_length: int, inputs: Inputs, ours: Sequences
) -> Sequences:
    """Return the log-likelihoods of the same tokens, each text asked alone; NaN of those that are read in windows."""
    ids = tokenizer.encode(inputs.first).ids
    values_M = np.full(len(ours.values_M), np.nan, dtype=np.float32)
    bounds = ids.offsets.tolist()
    for row in range(len(ids)):
        tokens = [tokenizer.end_id, *ids.row(row).tolist()]
        if 1 < len(tokens) <= max_length:
            asked = torch.tensor([tokens])
            with torch.inference_mode():
                logs_TV = module(input_ids=asked, attention_mask=torch.ones_like(asked)).logits[0].log_softmax(dim=-1)
            values_M[bounds[row] : bounds[row + 1]] = logs_TV[torch.arange(len(tokens) - 1), asked[0, 1:]].numpy()
    return Sequences(values_M, ours.ends, ours.places, ours.texts)
