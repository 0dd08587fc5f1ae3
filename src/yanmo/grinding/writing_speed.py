"""How fast a Bundle writes: the time to the first token behind a prompt, and the tokens a second that follow."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import numpy as np

from yanmo.answers.sequences import Sequences
from yanmo.artifacts.bundle import Bundle
from yanmo.runtimes.generating.decoding import Decoding
from yanmo.runtimes.generating.writer import Writer, open_writer
from yanmo.tasks import task_of

__all__ = ["measure_writing"]

NUM_PROMPTS = 8
NUM_TOKENS = 64
PROMPT_SHARE = 0.5
"""Of what the model reads at most, a prompt takes so much: the beginnings of texts."""


def measure_writing(bundle: Bundle, texts: Sequence[Any], num_threads: int) -> dict[str, Any]:
    """Return ``writes``, ``first_token_ms`` and ``tokens_per_second``, medians over prompts; nothing of other tasks.

    A Bundle that tells how likely texts are and is of another format than decoder writes none: ``writes`` is False.

    Args:
        bundle: What is measured.
        texts: Whose beginnings are prompts.
        num_threads: Of the engine.
    """
    if task_of(bundle).form is not Sequences:
        return {}
    if bundle.format != "decoder":
        return {"writes": False}
    with open_writer(bundle, num_threads=num_threads, num_rows=1) as writer:
        longest = max(1, int(PROMPT_SHARE * writer.max_length))
        prompts = [writer.tokens(text)[:longest] for text in texts[: 1 + NUM_PROMPTS]]
        # The first one warms the engine up and is left out, unless there is no other.
        rounds = [_time(writer, prompt) for prompt in prompts][-max(len(prompts) - 1, 1) :]
    first_ms, rates = zip(*rounds, strict=True)
    return {"writes": True, "first_token_ms": float(np.median(first_ms)), "tokens_per_second": float(np.median(rates))}


def _time(writer: Writer, prompt: list[int]) -> tuple[float, float]:
    """Return the milliseconds to the first token, and the tokens a second behind it."""
    # Every prompt alike: no end token ends a text, and what stands in the cache is of other prompts.
    count = min(NUM_TOKENS, writer.max_length - len(prompt))
    start = time.perf_counter()
    row = writer.generator.begin(prompt, Decoding(max_new_tokens=max(count, 1), temperature=0.0))
    while not row.ids:
        writer.generator.step()
    first = time.perf_counter()
    while row.ending is None:
        writer.generator.step()
    seconds = max(time.perf_counter() - first, 1e-9)
    return 1000 * (first - start), max(len(row.ids) - 1, 1) / seconds
