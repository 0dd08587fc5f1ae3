"""What happened, counted: plain numbers that cost the hot path nothing; it knows no model, no format and no HTTP.

All of it belongs to the event loop, so nothing is locked.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Sequence

from yanmo.serving.answering import BatchAnswer
from yanmo.serving.schemas import Answer

__all__ = ["Histogram", "ModelCounters", "ServiceCounters"]

LATENCY_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
BATCH_TEXTS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024)
# Finer near 1, where most answers of a good model are.
CONFIDENCE = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99, 1.0)


class Histogram:
    """Counts of values by upper bound, as Prometheus wants them."""

    __slots__ = ("bounds", "counts", "total")

    def __init__(self, bounds: Sequence[float]) -> None:
        self.bounds = bounds
        # The last one counts what is above every bound.
        self.counts = [0] * (len(bounds) + 1)
        self.total = 0.0

    def add(self, value: float) -> None:
        """Count one value."""
        # Left: a value that is equal to a bound belongs to it, as Prometheus' le says.
        self.counts[bisect_left(self.bounds, value)] += 1
        self.total += value

    def buckets(self) -> list[tuple[str, float]]:
        """Return cumulative counts by bound."""
        running = 0.0
        found: list[tuple[str, float]] = []
        for bound, count in zip((*map(str, self.bounds), "+Inf"), self.counts, strict=True):
            running += count
            found.append((bound, running))
        return found


class ModelCounters:
    """What one model did."""

    def __init__(self) -> None:
        self.queue_seconds = Histogram(LATENCY_SECONDS)
        self.inference_seconds = Histogram(LATENCY_SECONDS)
        self.batch_texts = Histogram(BATCH_TEXTS)
        self.confidence = Histogram(CONFIDENCE)
        self.predictions: Counter[str] = Counter()
        self.stages: Counter[int] = Counter()
        self.num_tokens = 0
        self.num_cells = 0
        self.num_truncated = 0
        self.num_lost = 0
        self.num_reloads: Counter[str] = Counter()

    def add_batch(self, batch: BatchAnswer) -> None:
        """Count a batch."""
        self.batch_texts.add(len(batch.answers))
        self.inference_seconds.add(batch.encode_seconds + batch.score_seconds)
        self.num_tokens += sum(batch.num_tokens)
        self.num_cells += batch.num_cells
        for answer in batch.answers:
            self._add_answer(answer)

    def _add_answer(self, answer: Answer) -> None:
        self.confidence.add(answer.probability)
        self.num_truncated += answer.truncated
        label = answer.prediction
        if isinstance(label, str):
            self.predictions[label] += 1
        else:
            # No label at all, or no answer, is counted under the empty name.
            self.predictions.update(label or ("",))
        if isinstance(answer.stage, int):
            self.stages[answer.stage] += 1


class ServiceCounters:
    """What all of the service did."""

    def __init__(self) -> None:
        self.requests: Counter[tuple[str, int]] = Counter()
        self.refused: Counter[str] = Counter()
        self.seconds: dict[str, Histogram] = {}

    def add_request(self, route: str, status: int, seconds: float) -> None:
        """Count one request."""
        self.requests[route, status] += 1
        histogram = self.seconds.get(route)
        if histogram is None:
            histogram = self.seconds[route] = Histogram(LATENCY_SECONDS)
        histogram.add(seconds)

    def add_refused(self, code: str) -> None:
        """Count one problem by its code."""
        self.refused[code] += 1
