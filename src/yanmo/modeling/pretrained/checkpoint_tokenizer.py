"""A checkpoint's own tokenizer: opened, and asked whether it is the one that its network and the texts need."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import tokenizers
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from yanmo.errors import ModelError
from yanmo.modeling.pretrained.opening import opening
from yanmo.modeling.pretrained.weight_files import check_whole, network_folder
from yanmo.text.inputs import Inputs
from yanmo.text.tokenizer import encode_column, truncating

__all__ = ["SPECIALS", "check_fits", "check_known", "load_tokenizer", "wrap_tokenizer"]

logger = logging.getLogger(__name__)

SPECIALS = {"pad": "[PAD]", "unk": "[UNK]", "cls": "[CLS]", "sep": "[SEP]", "mask": "[MASK]"}
FILES = ("tokenizer.json", "vocab.txt", "vocab.json", "*.model", "*.tiktoken")
LEAST_SHARE = 0.5
"""Of a network's embeddings at least so many have a token: tables are padded, but not to twice their size."""
MOST_UNKNOWN = 0.3
"""Of the tokens of the training texts at most so many are unknown: a model of another language has more."""
NOTED_UNKNOWN = 0.05
NUM_ASKED = 2000
ASKED_LENGTH = 512


def load_tokenizer(folder: str | Path) -> PreTrainedTokenizerFast:
    """Return a checkpoint's own tokenizer; where it has no padding token, the end-of-text token stands in.

    Raises:
        ModelError: There is none, it is damaged, or it is not one of the fast kind.
    """
    folder = network_folder(Path(folder))
    check_whole(folder)
    if not any(path for pattern in FILES for path in folder.glob(pattern)):
        raise ModelError(
            f"The model {folder} has no tokenizer: none of {', '.join(FILES)} is there.",
            hint="Copy the tokenizer's files from where the model was made; those of the model it was tuned from will "
            "often do.",
        )
    with opening(folder):
        tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    if not isinstance(tokenizer, PreTrainedTokenizerFast):
        raise ModelError(
            f"The tokenizer of {folder} has no tokenizer.json.", hint="Choose a checkpoint that has that file."
        )
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token or tokenizer.unk_token
    if tokenizer.pad_token_id is None:
        raise ModelError(f"The tokenizer of {folder} has no padding token.", hint="Choose another checkpoint.")
    # Whoever saved it may have left a length in its file, to which it would cut and pad; here that is asked each time.
    tokenizer.backend_tokenizer.no_truncation()
    tokenizer.backend_tokenizer.no_padding()
    return tokenizer


def wrap_tokenizer(tokenizer: tokenizers.Tokenizer, *, max_length: int) -> PreTrainedTokenizerFast:
    """Return a tokenizer trained here in the form that Hugging Face folders hold."""
    tokens = {f"{name}_token": token for name, token in SPECIALS.items()}
    wrapped: PreTrainedTokenizerFast = PreTrainedTokenizerFast(  # type: ignore[no-untyped-call]
        tokenizer_object=tokenizer, model_max_length=max_length, **tokens
    )
    return wrapped


def check_fits(tokenizer: tokenizers.Tokenizer, num_embeddings: int, name: str) -> None:
    """Refuse a tokenizer that is not the network's.

    Args:
        tokenizer: The checkpoint's.
        num_embeddings: Tokens that the network has an embedding for.
        name: Of the checkpoint.

    Raises:
        ModelError: It has tokens that the network has no embedding for, or far fewer than that has.
    """
    vocabulary = tokenizer.get_vocab(with_added_tokens=True)
    last = max(vocabulary, key=lambda token: vocabulary[token])
    if vocabulary[last] >= num_embeddings:
        raise ModelError(
            f"The tokenizer of {name} is larger than its network: the token {last!r} has the number "
            f"{vocabulary[last]}, but there are {num_embeddings} embeddings.",
            hint="Take the tokenizer that was saved with the model; where tokens were added to it, the network needs "
            "resize_token_embeddings before it is saved.",
        )
    if len(vocabulary) < LEAST_SHARE * num_embeddings:
        raise ModelError(
            f"The tokenizer of {name} has {len(vocabulary)} tokens, but its network has {num_embeddings} embeddings.",
            hint="A file of the tokenizer is missing, or it is another model's: copy it again from where the model was "
            "made.",
        )


def check_known(tokenizer: tokenizers.Tokenizer, texts: Inputs, name: str) -> None:
    """Refuse a tokenizer that does not know the texts.

    Args:
        tokenizer: The checkpoint's.
        texts: Those to learn from; at most 2,000 are asked.
        name: Of the checkpoint.

    Raises:
        ModelError: More than three tenths of their tokens are unknown.
    """
    ready = truncating(tokenizer, ASKED_LENGTH)
    num_unknown = num_tokens = 0
    for column in texts.columns:
        found = encode_column(ready, _some(column), max_length=ASKED_LENGTH)
        num_unknown += int(found.num_unknown_N.sum())
        # Special tokens are always known: among short texts they would hide that nothing else is.
        num_tokens += len(found.ids.values) - found.num_special * len(found.ids)
    share = num_unknown / max(num_tokens, 1)
    if share > MOST_UNKNOWN:
        raise ModelError(
            f"The tokenizer of {name} does not know {share:.0%} of the tokens of the training texts; at most "
            f"{MOST_UNKNOWN:.0%} may be unknown.",
            hint="Choose a model that reads the language of the texts; or see whether a file of its tokenizer is "
            "missing.",
        )
    if share > NOTED_UNKNOWN:
        logger.warning("The tokenizer of %s does not know %.0f %% of the tokens of the texts.", name, 100 * share)


def _some(column: Sequence[str]) -> list[str]:
    rows = np.unique(np.linspace(0, max(len(column) - 1, 0), NUM_ASKED).round().astype(np.int64))
    return [column[row] for row in rows.tolist()] if column else []
