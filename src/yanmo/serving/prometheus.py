"""What was counted, in Prometheus' text format; prometheus_client only writes it down when it is asked for."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from yanmo.serving.model import Model
from yanmo.serving.telemetry import ServiceCounters
from yanmo.serving.writing.model import WritingModel

__all__ = ["render"]


def render(
    counters: ServiceCounters, models: Iterable[Model], writers: Iterable[WritingModel], *, num_connections: int
) -> bytes:
    """Return all of it in Prometheus' text format."""
    # A registry for this one answer; describing would only collect everything twice.
    registry = CollectorRegistry(auto_describe=False)
    own = [*_service_metrics(counters, num_connections), *_model_metrics(list(models))]
    registry.register(_Once([*own, *_writing_metrics(list(writers))]))
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


def _writing_metrics(writers: list[WritingModel]) -> Iterator[Metric]:
    if not writers:
        return
    histograms: dict[str, tuple[str, Any]] = {
        "first_token_seconds": ("From a request to its first token.", lambda one: one.counters.first_token_seconds),
        "token_seconds": ("From a token of a text to the next.", lambda one: one.counters.token_seconds),
    }
    for name, (text, get) in histograms.items():
        family = HistogramMetricFamily(f"yanmo_{name}", text, labels=["model"])
        for model in writers:
            family.add_metric([model.name], get(model).buckets(), get(model).total)
        yield family
    numbers: dict[str, tuple[type, str, Any]] = {
        "prompt_tokens": (CounterMetricFamily, "Tokens of prompts.", lambda one: one.counters.num_prompt_tokens),
        "cached_tokens": (CounterMetricFamily, "Those read before.", lambda one: one.counters.num_cached_tokens),
        "written_tokens": (CounterMetricFamily, "Tokens written.", lambda one: one.counters.num_written_tokens),
        "tokens_per_second": (GaugeMetricFamily, "Written lately.", lambda one: one.counters.tokens_per_second),
        "rows": (GaugeMetricFamily, "Texts that are written now.", lambda one: one.num_rows),
        "rows_waiting": (GaugeMetricFamily, "Texts that wait for room.", lambda one: one.num_waiting),
        "owed_tokens": (GaugeMetricFamily, "Tokens that texts may still take.", lambda one: one.num_owed_tokens),
    }
    for name, (kind, text, get) in numbers.items():
        family = kind(f"yanmo_{name}", text, labels=["model"])
        for model in writers:
            family.add_metric([model.name], get(model))
        yield family
    for name, text, key in (("texts_ended", "Texts by why.", "ending"), ("writer_reloads", "Changes.", "outcome")):
        table = CounterMetricFamily(f"yanmo_{name}", text, labels=["model", key])
        for model in writers:
            counts = model.counters.endings if key == "ending" else model.counters.num_reloads
            for value, count in counts.items():
                table.add_metric([model.name, value], count)
        yield table


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
