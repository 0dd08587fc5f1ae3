"""A model that writes a text from another and was trained elsewhere, opened as it is; it knows no artifact."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import torch

from yanmo.answers.sequences import Sequences
from yanmo.answers.writings import Writings
from yanmo.errors import ModelError
from yanmo.modeling.adopted.adopted_model import Adopted, Wanted, fit_length, refuse_label_names
from yanmo.modeling.language.encoder_decoders import load_encoder_decoder
from yanmo.modeling.networks import encoders
from yanmo.modeling.pretrained.checkpoint_tokenizer import check_fits, load_tokenizer
from yanmo.text.inputs import Inputs
from yanmo.text.pair_tokens import PairTokenizer

__all__ = ["adopt_writer"]

ENCODER_DECODER = "encoder-decoder"
UNKNOWN_RULES = {
    "min_length": 0,
    "min_new_tokens": 0,
    "no_repeat_ngram_size": 0,
    "encoder_no_repeat_ngram_size": 0,
    "repetition_penalty": 1.0,
    "forced_bos_token_id": None,
    "bad_words_ids": None,
    "suppress_tokens": None,
}
"""Settings of a model's own way to write that change its greedy answers, to the value with which they do nothing."""
TARGET_LENGTH = 128


def adopt_writer(folder: Path, config: Any, wanted: Wanted) -> Adopted:
    """Return the model of a folder.

    Args:
        folder: A local one.
        config: Its config.json.
        wanted: What the user says about it.

    Raises:
        ModelError: It is not whole, its tokenizer lacks a mark, or it writes by a rule that is not known here.
        ConfigError: Names were given for labels that it does not have, or the length does not suit it.
    """
    refuse_label_names(wanted, "which has no labels")
    wrapped = load_tokenizer(folder)
    tokenizer = PairTokenizer.of(
        wrapped.backend_tokenizer,
        name=wanted.name,
        pad=wrapped.pad_token,
        end=wrapped.eos_token,
        begin_id=config.decoder_start_token_id,
    )
    module: Any = load_encoder_decoder(folder)
    _check_generation(module.generation_config, wanted.name)
    check_fits(tokenizer.language.backend, module.get_input_embeddings().num_embeddings, wanted.name)
    max_length = fit_length(folder, wrapped, module, wanted)
    architecture = {
        "family": ENCODER_DECODER,
        "end": wrapped.eos_token,
        "marks": msgspec.to_builtins(tokenizer.marks),
        "max_target_length": min(TARGET_LENGTH, max_length),
    }
    return Adopted(
        "targets",
        [],
        None,
        max_length,
        architecture,
        functools.partial(encoders.save, module=module, tokenizer=wrapped),
        functools.partial(_stock_answers, module, tokenizer, max_length, architecture["max_target_length"]),
    )


def _check_generation(config: Any, name: str) -> None:
    """Refuse a model that is to write by rules which answers here do not follow.

    Raises:
        ModelError: As said.
    """
    for rule, idle in UNKNOWN_RULES.items():
        value = getattr(config, rule, None)
        if value not in (None, idle):
            raise ModelError(
                f"{name} writes by the rule {rule} = {value} of its generation_config.json, which is not known here.",
                hint=f"Take {rule} out of that file, if the model may answer without it, and adopt it again.",
            )


def _stock_answers(
    module: Any, tokenizer: PairTokenizer, max_length: int, max_target_length: int, inputs: Inputs, ours: Writings
) -> Writings:
    """Return how likely transformers' own greedy answers are, each text asked alone; 0 where they are not as long."""
    found = ours.candidates
    values_M = np.full(len(found.values_M), np.nan, dtype=np.float32)
    ids, _ = tokenizer.encode(inputs.first, max_length=max_length)
    for row, first in enumerate(ours.offsets[:-1].tolist()):
        asked = torch.from_numpy(np.ascontiguousarray(ids.row(row)))[None]
        with torch.inference_mode():
            told = module.generate(
                asked,
                attention_mask=torch.ones_like(asked),
                do_sample=False,
                num_beams=1,
                max_new_tokens=max_target_length,
                output_logits=True,
                return_dict_in_generate=True,
            )
        written_T = told.sequences[0, 1:]
        part = slice(int(found.ends[first]), int(found.ends[first + 1]))
        if part.stop - part.start != len(written_T):
            # Another answer, which is infinitely far from ours.
            values_M[part] = -np.inf
            continue
        logs_TV = torch.cat(told.logits).log_softmax(dim=1)
        values_M[part] = logs_TV[torch.arange(len(written_T)), written_T].numpy()
    return Writings(Sequences(values_M, found.ends, found.places, found.texts), ours.offsets)
