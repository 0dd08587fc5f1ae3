"""A network that guesses hidden tokens, trained elsewhere, opened as it is; it knows no artifact."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import AutoModelForMaskedLM

from yanmo.answers.gaps import Gaps
from yanmo.modeling.adopted.adopted_model import Adopted, Wanted, fit_length, refuse_label_names
from yanmo.modeling.adopted.classifiers import open_whole
from yanmo.modeling.networks import encoders
from yanmo.modeling.pretrained.checkpoint_tokenizer import check_fits
from yanmo.text.gap_marks import marks_of, with_mark
from yanmo.text.gap_tokens import mask_token
from yanmo.text.inputs import Inputs

__all__ = ["adopt_gap_filler"]


def adopt_gap_filler(folder: Path, config: Any, wanted: Wanted) -> Adopted:
    """Return the masked language model of a folder.

    Args:
        folder: A local one.
        config: Its config.json.
        wanted: What the user says about it.

    Raises:
        ModelError: It is not whole, or its tokenizer has no token that hides others.
        ConfigError: Names were given for labels that it does not have, or the length does not suit it.
    """
    refuse_label_names(wanted, "which has no labels")
    module, wrapped = open_whole(AutoModelForMaskedLM, folder, config, wanted.name)
    mask = mask_token(wrapped.backend_tokenizer)
    check_fits(wrapped.backend_tokenizer, module.get_input_embeddings().num_embeddings, wanted.name)
    max_length = fit_length(folder, wrapped, module, wanted)
    architecture = {
        "family": "encoder",
        "token_types": encoders.takes_token_types(module),
        "pad_id": int(wrapped.pad_token_id),
        "vocab_size": int(module.config.vocab_size),
    }
    return Adopted(
        "gaps",
        [],
        None,
        max_length,
        architecture,
        functools.partial(encoders.save, module=module, tokenizer=wrapped),
        functools.partial(_stock_likelihoods, module, wrapped, mask, max_length),
    )


def _stock_likelihoods(module: Any, wrapped: Any, mask: str, max_length: int, inputs: Inputs, ours: Gaps) -> Gaps:
    """Return the same places as transformers sees them, each text asked alone; NaN where it reads other tokens."""
    values_M = np.full(len(ours.ranks_M), np.nan, dtype=np.float32)
    bounds = ours.tokens.ends.tolist()
    for row, text in enumerate(inputs.first):
        # Long texts are read in windows.
        is_whole = len(wrapped(text, split_special_tokens=True)["input_ids"]) <= max_length
        values = _ask(module, wrapped, mask, text) if is_whole else []
        if len(values) == bounds[row + 1] - bounds[row]:
            values_M[bounds[row] : bounds[row + 1]] = values
    return Gaps(ours.tokens.with_parts(np.exp(values_M)), ours.ranks_M, ours.words)


def _ask(module: Any, wrapped: Any, mask: str, text: str) -> list[float]:
    """Return the log-likelihood of each hidden place of one text: of its gaps, or of every token in turn."""
    marks = marks_of(text)
    text = with_mark(text, mask)
    # A name of a special token is text where the user wrote it, but for the marks.
    found = wrapped(text, return_special_tokens_mask=True, split_special_tokens=not marks, return_tensors="pt")
    is_special_T = found.pop("special_tokens_mask")[0].bool()
    ids_T = found["input_ids"][0]
    is_gap_T = ids_T == wrapped.mask_token_id
    places = torch.nonzero(is_gap_T if marks else ~is_special_T)[:, 0].tolist()
    with torch.inference_mode():
        if marks:
            return [_logs(module, found)[place].max().item() for place in places]
        values = []
        for place in places:
            hidden_T = ids_T.clone()
            hidden_T[place] = wrapped.mask_token_id
            values.append(_logs(module, {**found, "input_ids": hidden_T[None]})[place, ids_T[place]].item())
    return values


def _logs(module: Any, inputs: Any) -> torch.Tensor:
    found: torch.Tensor = module(**inputs).logits[0].float().log_softmax(dim=-1)
    return found
