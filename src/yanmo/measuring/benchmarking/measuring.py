"""One Bundle measured in this process: load, one text, many texts, by batch, by length, by threads; it writes no file.

The process must be fresh: what it loaded before would count as the Bundle's memory and load time.
"""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from yanmo.answers.answered import Evidence
from yanmo.artifacts.bundle import Bundle
from yanmo.measuring.benchmarking.requests import MeasureBundle, thread_counts
from yanmo.measuring.timing import ALONE_SECONDS, clock, repeat, time_alone
from yanmo.runtimes.predictor import Predictor, open_bundle
from yanmo.text import tokenizer as tokenizers
from yanmo.text.inputs import Inputs, Item

__all__ = ["measure_bundle", "texts_of_length"]

WARM_UP_TEXTS = 32
LENGTH_BATCH = 32
RATE_TEXTS = 512
STATUS = Path("/proc/self/status")


@dataclass(frozen=True)
class Patience:
    """How long measuring may take.

    Attributes:
        alone_seconds: One text at a time.
        all_seconds: All texts, several times.
        point_seconds: One point of a curve.
    """

    alone_seconds: float = ALONE_SECONDS
    all_seconds: float = 5.0
    point_seconds: float = 0.8


QUICK = Patience(alone_seconds=0.1, all_seconds=0.0, point_seconds=0.0)


def measure_bundle(request: MeasureBundle, report: Callable[[str], object]) -> tuple[dict[str, Any], Evidence]:
    """Measure a Bundle.

    Args:
        request: What to measure.
        report: Is told the name of each step before it.

    Returns:
        JSON values, and the evidence of all items in the Bundle's label order.
    """
    patience = QUICK if request.quick else Patience()
    report("load")
    start = time.perf_counter()
    bundle = Bundle.open(request.bundle, verify=False)
    predictor = open_bundle(bundle, num_threads=request.num_threads, runtime=request.runtime)
    load_seconds = time.perf_counter() - start
    items = request.items
    predictor.infer(items[:WARM_UP_TEXTS])
    report("one text")
    latency_ms = time_alone(predictor, items, seconds=patience.alone_seconds)
    report("all texts")
    start = time.perf_counter()
    evidence, found = predictor.infer(items)
    elapsed = time.perf_counter() - start
    # The first run is one of them: of a slow Bundle it is the only one.
    seconds = repeat(lambda: predictor.infer(items), seconds=patience.all_seconds, elapsed=elapsed)
    facts = {
        "load_seconds": load_seconds,
        "latency_ms": latency_ms,
        **_throughput(len(items), seconds),
        # Before the curves, which open further engines and ask larger batches.
        "peak_memory_mb": _peak_memory_mb(),
        "tokens_per_text": float(found.num_tokens_N.mean()),
        "truncated_share": float(found.truncated_N.mean()),
    }
    report("text preparation")
    facts |= _without_preparation(bundle, items, float(np.median(seconds)), patience)
    facts |= _curves(bundle, predictor, request, facts["tokens_per_text"], report, patience)
    return facts, evidence


def _throughput(num_texts: int, seconds: Sequence[float]) -> dict[str, Any]:
    rates = [num_texts / one for one in seconds]
    return {
        "throughput_texts_per_second": float(np.median(rates)),
        "throughput_range": [min(rates), max(rates)],
        "num_runs": len(rates),
    }


def _without_preparation(bundle: Bundle, items: Sequence[Item], seconds: float, patience: Patience) -> dict[str, Any]:
    """Return the rate of cleaning and tokenizing alone, and by difference that of what comes after it.

    A format without a tokenizer has neither: it hashes, and that is part of the model.
    """
    path = bundle.path / "tokenizer.json"
    names = ("preparation_texts_per_second", "throughput_without_preparation")
    if not path.is_file():
        return dict.fromkeys(names)
    tokenizer, pipeline = tokenizers.open_tokenizer(path, max_length=bundle.max_length), bundle.text_pipeline()
    inputs = Inputs.of_items(items, 1 if isinstance(items[0], str) else len(items[0]))

    def prepare() -> None:
        cleaned = pipeline.read(inputs)
        tokenizers.encode_column(tokenizer, cleaned.first, cleaned.second, bundle.max_length)

    # Once without a clock: the tokenizer fills its cache of words.
    prepare()
    spent = float(np.median(repeat(prepare, seconds=patience.point_seconds, elapsed=clock(prepare))))
    rest = seconds - spent
    return dict(zip(names, (len(items) / spent, len(items) / rest if rest > 0 else None), strict=True))


def _curves(
    bundle: Bundle,
    predictor: Predictor,
    request: MeasureBundle,
    tokens_per_text: float,
    report: Callable[[str], object],
    patience: Patience,
) -> dict[str, Any]:
    """Return texts per second by batch size, by length and by number of threads."""
    items, seconds = request.items, patience.point_seconds
    by_batch, by_length, by_threads = [], [], []
    for size in request.batch_sizes:
        report(f"batches of {size}")
        by_batch.append({"batch_size": size, "texts_per_second": _rate(predictor, items, size, seconds)})
    for length in request.lengths:
        report(f"{length} tokens")
        by_length.append({"length": length, **_by_length(predictor, items, length, tokens_per_text, seconds)})
    for number in thread_counts(request.num_threads):
        report(f"threads: {number}")
        # An engine's threads are set when it is opened, so each number takes another one.
        with open_bundle(bundle, num_threads=number, runtime=request.runtime, verify_golden=False) as other:
            rate = _rate(other, items, RATE_TEXTS, seconds)
        by_threads.append({"num_threads": number, "texts_per_second": rate})
    return {"by_batch_size": by_batch, "by_length": by_length, "by_threads": by_threads}


def _rate(predictor: Predictor, items: Sequence[Item], size: int, seconds: float) -> float:
    """Return texts per second when so many are asked at a time: the median over batches that walk over the items."""
    # Whole batches only; where even one is too large, all texts are one.
    starts = range(0, max(len(items) - size, 0) + 1, size)
    batches = [items[start : start + size] for start in starts]
    predictor.infer(batches[0])
    rates: list[float] = []
    end = time.perf_counter() + seconds
    while time.perf_counter() < end or not rates:
        batch = batches[len(rates) % len(batches)]
        rates.append(len(batch) / clock(lambda batch=batch: predictor.infer(batch)))  # type: ignore[misc]
    return float(np.median(rates))


def _by_length(
    predictor: Predictor, items: Sequence[Item], length: int, tokens_per_text: float, seconds: float
) -> dict[str, Any]:
    """Return the rate for texts of about that many tokens, and how many they have; nothing beyond what it reads."""
    limit = predictor.bundle.max_length
    if limit and length > limit:
        return {"tokens_per_text": None, "texts_per_second": None}
    texts = texts_of_length(items, length, tokens_per_text)
    tokens = float(predictor.infer(texts)[1].num_tokens_N.mean())
    return {"tokens_per_text": tokens, "texts_per_second": _rate(predictor, texts, LENGTH_BATCH, seconds)}


def texts_of_length(items: Sequence[Item], length: int, tokens_per_text: float) -> list[Item]:
    """Return 64 texts, or pairs, of about so many tokens, cut from one stream of all texts.

    Args:
        items: Real texts or pairs.
        length: Tokens wanted.
        tokens_per_text: Of the items, by which characters are counted for tokens.
    """
    is_pair = not isinstance(items[0], str)
    stream = " ".join(" ".join(item) if is_pair else str(item) for item in items)
    num_characters = max(round(length * len(stream) / (len(items) * max(tokens_per_text, 1))), 1)
    num_texts = 2 * LENGTH_BATCH
    # Repeated until there is enough of it to cut.
    stream *= num_texts * num_characters // max(len(stream), 1) + 1
    step = (len(stream) - num_characters) // num_texts
    pieces = [stream[start * step : start * step + num_characters] for start in range(num_texts)]
    half = num_characters // 2
    return [(piece[:half], piece[half:]) for piece in pieces] if is_pair else list(pieces)


def _peak_memory_mb() -> float:
    """Return the most memory this process had so far; Linux' rusage would also count the process that started it."""
    try:
        lines = STATUS.read_text(encoding="utf-8").splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM:")) * 1024 / 1e6
    except (OSError, StopIteration):
        try:
            import resource
        except ImportError:
            # Windows has no such module.
            return math.nan
        # macOS says bytes, other systems kilobytes.
        unit = 1 if sys.platform == "darwin" else 1024
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6
