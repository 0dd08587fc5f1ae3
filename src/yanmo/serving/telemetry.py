"""What happened, counted: plain numbers that cost the hot path nothing, shown in Prometheus' format; no HTTP here.

All of it belongs to the event loop, so nothing is locked; prometheus_client only writes it down when it is asked for.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from yanmo.serving.answering import BatchAnswer
from yanmo.serving.schemas import Answer

if TYPE_CHECKING:
    from yanmo.serving.model import Model

__all__ = ["Histogram", "ModelCounters", "ServiceCounters", "render"]

LATENCY_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
BATCH_TEXTS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024)
CONFIDENCE = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99, 1.0)


class Histogram:
    """Counts of values by upper bound, as Prometheus wants them."""

    __slots__ = ("bounds", "counts", "total")

    def __init__(self, bounds: Sequence[float]) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.total = 0.0

    def add(self, value: float) -> None:
        """Count one value."""
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


def render(counters: ServiceCounters, models: Iterable[Model], *, num_connections: int) -> bytes:
    """Return all of it in Prometheus' text format."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Once([*_service_metrics(counters, num_connections), *_model_metrics(list(models))]))
    return generate_latest(registry)


class _Once(Collector):
    def __init__(self, metrics: list[Metric]) -> None:
        self._metrics = metrics

    def collect(self) -> list[Metric]:
        return self._metrics


def _service_metrics(counters: ServiceCounters, num_connections: int) -> Iterator[Metric]:
    requests = CounterMetricFamily("yanmo_requests", "Requests by route and status.", labels=["route", "status"])
    for (route, status), count in counters.requests.items():
        requests.add_metric([route, str(status)], count)
    yield requests
    yield _counter("yanmo_refused", "Requests and connections that got a problem.", "code", counters.refused)
    seconds = HistogramMetricFamily("yanmo_request_seconds", "From head to answer.", labels=["route"])
    for route, histogram in counters.seconds.items():
        seconds.add_metric([route], histogram.buckets(), histogram.total)
    yield seconds
    yield GaugeMetricFamily("yanmo_connections", "Open connections.", value=num_connections)


def _model_metrics(models: list[Model]) -> Iterator[Metric]:
    histograms: dict[str, tuple[str, Any]] = {
        "queue_seconds": ("Waiting for a worker.", lambda one: one.counters.queue_seconds),
        "inference_seconds": ("Tokenizing and computing a batch.", lambda one: one.counters.inference_seconds),
        "batch_texts": ("Texts of a batch.", lambda one: one.counters.batch_texts),
        "confidence": ("Probability of the answer.", lambda one: one.counters.confidence),
    }
    for name, (text, get) in histograms.items():
        family = HistogramMetricFamily(f"yanmo_{name}", text, labels=["model"])
        for model in models:
            family.add_metric([model.name], get(model).buckets(), get(model).total)
        yield family
    numbers: dict[str, tuple[type, str, Any]] = {
        "tokens": (CounterMetricFamily, "Tokens that were read.", lambda one: one.counters.num_tokens),
        "token_cells": (CounterMetricFamily, "Tokens with their padding.", lambda one: one.counters.num_cells),
        "texts_truncated": (CounterMetricFamily, "Texts that were cut.", lambda one: one.counters.num_truncated),
        "workers_lost": (CounterMetricFamily, "Workers that died or hung.", lambda one: one.counters.num_lost),
        "workers": (GaugeMetricFamily, "Workers that answer.", lambda one: one.num_workers),
        "queue_tokens": (GaugeMetricFamily, "Tokens in the queue.", lambda one: one.batcher.num_waiting_tokens),
        "inputs_changed": (GaugeMetricFamily, "1 where a statistic is over its bound.", lambda one: one.drift.changed),
    }
    for name, (kind, text, get) in numbers.items():
        family = kind(f"yanmo_{name}", text, labels=["model"])
        for model in models:
            family.add_metric([model.name], get(model))
        yield family
    yield from _model_tables(models)


def _model_tables(models: list[Model]) -> Iterator[Metric]:
    tables: dict[str, tuple[str, str, Any]] = {
        "predictions": ("Answers by label.", "label", lambda one: one.counters.predictions),
        "stage_answers": ("Answers by stage of a cascade.", "stage", lambda one: one.counters.stages),
        "reloads": ("Changes to another Bundle.", "outcome", lambda one: one.counters.num_reloads),
    }
    for name, (text, key, get) in tables.items():
        family = CounterMetricFamily(f"yanmo_{name}", text, labels=["model", key])
        for model in models:
            for value, count in get(model).items():
                family.add_metric([model.name, str(value)], count)
        yield family
    statistics = GaugeMetricFamily("yanmo_drift", "Distance from the profile.", labels=["model", "statistic"])
    info = GaugeMetricFamily("yanmo_model_info", "The Bundle that answers.", labels=["model", "digest", "format"])
    for model in models:
        for key, value in model.drift.statistics().items():
            statistics.add_metric([model.name, key], value)
        info.add_metric([model.name, model.bundle.digest, model.bundle.format], 1)
    yield statistics
    yield info


def _counter(name: str, text: str, key: str, counts: Mapping[Any, float]) -> Metric:
    family = CounterMetricFamily(name, text, labels=[key])
    for value, count in counts.items():
        family.add_metric([str(value)], count)
    return family
