"""Texts in which a masked language model has replaced some tokens by others that fit; it knows no label."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tokenizers import Tokenizer
from transformers import AutoModelForMaskedLM

from yanmo.errors import ModelError
from yanmo.modeling.networks.encoders import open_network, read_config
from yanmo.modeling.pretrained.checkpoint_tokenizer import load_tokenizer
from yanmo.text.tokenizer import truncating

__all__ = ["Infiller"]

SHARE = 0.15
NUM_CANDIDATES = 16
BATCH = 64
MAX_LENGTH = 128
REPLACEMENT = "\ufffd"
"""What bytes that are no whole character are decoded to."""


class Infiller:
    """A masked language model.

    Args:
        folder: Its Hugging Face folder.

    Raises:
        ModelError: The folder holds none, or its tokenizer has no mask.

    Source: Wu et al. 2019, "Conditional BERT Contextual Augmentation", section 3, arXiv:1812.06705; Jiao et al. 2020,
    "TinyBERT", algorithm 1, arXiv:1909.10351.
    Differs: not conditional: the teacher says what the new text is.
    """

    def __init__(self, folder: Path) -> None:
        self._module = _open_model(folder)
        wrapped = load_tokenizer(folder)
        if wrapped.mask_token_id is None:
            raise ModelError(f"The tokenizer of {folder} has no mask token.", hint="Give another model.")
        self._mask_id, self._pad_id = int(wrapped.mask_token_id), int(wrapped.pad_token_id or 0)
        self._tokenizer = truncating(wrapped.backend_tokenizer, MAX_LENGTH)
        self._words = _words(self._tokenizer, self._module.config.vocab_size)
        self._wordless_ids = torch.tensor([token_id for token_id, word in enumerate(self._words) if not word])

    def fill(self, texts: Sequence[str], generator: np.random.Generator) -> list[str]:
        """Return the texts, in each about 15 % of the tokens replaced by one of the 16 likeliest at their place."""
        return [
            text
            for start in range(0, len(texts), BATCH)
            for text in self._fill_batch(texts[start : start + BATCH], generator)
        ]

    def _fill_batch(self, texts: Sequence[str], generator: np.random.Generator) -> list[str]:
        encodings = self._tokenizer.encode_batch(list(texts))
        width = max(len(encoding.ids) for encoding in encodings)
        ids_BT = np.full((len(texts), width), self._pad_id, dtype=np.int64)
        may_BT = np.zeros((len(texts), width), dtype=np.bool_)
        for row, encoding in enumerate(encodings):
            ids_BT[row, : len(encoding.ids)] = encoding.ids
            may_BT[row, : len(encoding.ids)] = np.asarray(encoding.special_tokens_mask) == 0
        masked_BT = may_BT & (generator.random(ids_BT.shape) < SHARE)
        attention_BT = ids_BT != self._pad_id
        ids_BT[masked_BT] = self._mask_id
        with torch.inference_mode():
            inputs = {"input_ids": torch.from_numpy(ids_BT), "attention_mask": torch.from_numpy(attention_BT).long()}
            scores_MV = self._module(**inputs).logits[torch.from_numpy(masked_BT)]
            scores_MV[:, self._wordless_ids] = -torch.inf
            top = torch.topk(scores_MV, min(NUM_CANDIDATES, scores_MV.shape[1]), dim=1)
            shares_MK = torch.softmax(top.values, dim=1).cumsum(dim=1)
            drawn_M = torch.from_numpy(generator.random(len(scores_MV))).to(shares_MK.dtype)
            # Rounding may leave the last sum below what was drawn.
            places_M = (shares_MK < drawn_M[:, None]).sum(dim=1).clamp_max(shares_MK.shape[1] - 1)
            chosen = top.indices.gather(1, places_M[:, None])[:, 0].tolist()
        rows, columns = np.nonzero(masked_BT)
        found = [list(text) for text in texts]
        for row, column, token_id in zip(rows.tolist(), columns.tolist(), chosen, strict=True):
            start, end = encodings[row].offsets[column]
            start += len(texts[row][start:end]) - len(texts[row][start:end].lstrip())  # some tokens hold a space before
            # The word takes the first place and the others become empty: later offsets stay right.
            found[row][start:end] = [self._words[token_id], *[""] * (end - start - 1)] if end > start else []
        return ["".join(characters) for characters in found]


def _open_model(folder: Path) -> Any:
    module, new = open_network(AutoModelForMaskedLM, folder, read_config(folder))
    missing = sorted(name for name in new if "pooler" not in name)
    if missing:
        raise ModelError(
            f"{folder} holds no masked language model: its weights lack {missing[0]}.",
            hint="Give the folder of one, such as BERT's or what pretrain makes with the objective mlm.",
        )
    return module.eval()


def _words(tokenizer: Tokenizer, num_tokens: int) -> list[str]:
    """Return every token as it stands in a text; empty for special ones and for those that are parts of a character."""
    words = [word.strip().removeprefix("##") for word in tokenizer.decode_batch([[one] for one in range(num_tokens)])]
    return ["" if REPLACEMENT in word else word for word in words]
