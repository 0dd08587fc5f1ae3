"""Tokens and batches as a careful user of an engine makes them: the fast tokenizer, 32 texts of about equal length."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
from tokenizers import Tokenizer

BATCH_SIZE = 32
MAX_LENGTH = 128


def open_tokenizer(folder: Path, *, pads: bool = True) -> Tokenizer:
    tokenizer = Tokenizer.from_file(str(folder / "bundle" / "tokenizer.json"))
    tokenizer.enable_truncation(MAX_LENGTH)
    if pads:
        tokenizer.enable_padding(pad_id=tokenizer.token_to_id("[PAD]"))
    else:
        tokenizer.no_padding()
    return tokenizer


def by_length(texts: Sequence[str]) -> Iterator[np.ndarray]:
    """Yield row numbers, 32 at a time, the longest texts first."""
    order_N = np.argsort([-len(text) for text in texts], kind="stable")
    for start in range(0, len(order_N), BATCH_SIZE):
        yield order_N[start : start + BATCH_SIZE]


def answer_batches(
    texts: Sequence[str],
    tokenizer: Tokenizer,
    score: Callable[[dict[str, np.ndarray]], np.ndarray],
    *,
    sorts: bool = True,
) -> np.ndarray:
    """Return scores_NC of N texts; ``score`` takes the three inputs of BERT by name, int64, shape (B, T)."""
    batches = by_length(texts) if sorts else in_order(len(texts))
    parts = [(rows_B, score(make_inputs(tokenizer, [texts[row] for row in rows_B]))) for rows_B in batches]
    scores_NC = np.empty((len(texts), parts[0][1].shape[1]), dtype=np.float32)
    for rows_B, scores_BC in parts:
        scores_NC[rows_B] = scores_BC
    return scores_NC


def in_order(num_texts: int) -> Iterator[np.ndarray]:
    """Yield row numbers, 32 at a time, as they came."""
    for start in range(0, num_texts, BATCH_SIZE):
        yield np.arange(start, min(start + BATCH_SIZE, num_texts))


def make_inputs(tokenizer: Tokenizer, texts: list[str]) -> dict[str, np.ndarray]:
    encodings = tokenizer.encode_batch(texts)
    return {
        "input_ids": np.array([one.ids for one in encodings], dtype=np.int64),
        "attention_mask": np.array([one.attention_mask for one in encodings], dtype=np.int64),
        "token_type_ids": np.array([one.type_ids for one in encodings], dtype=np.int64),
    }
