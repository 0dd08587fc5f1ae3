"""How fast Bundles answer: measured by this process, or by a machine of a cluster on which they will run.

It knows no candidate and no budget.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from yanmo.artifacts.bundle import Bundle
from yanmo.artifacts.dataset import Dataset
from yanmo.executors.jobs import Executor
from yanmo.executors.places import ArtifactPlace, work_in
from yanmo.grinding.writing_speed import measure_writing
from yanmo.measuring.evaluation import load_split
from yanmo.measuring.timing import clock, time_alone, time_batches
from yanmo.runtimes.predictor import open_bundle

__all__ = ["Meter", "SpeedJob", "measure_speed"]

NUM_ROUNDS = 3
ROUND_SECONDS = 1.0


@dataclass(frozen=True)
class Meter:
    """Who measures.

    Attributes:
        num_threads: Of the engines.
        executor: Works on the machine that counts; None where this one does.
    """

    num_threads: int
    executor: Executor | None = None

    def measure(self, bundle: Bundle, dataset: Dataset) -> dict[str, Any]:
        """Return latency and throughput of a Bundle on the validation split of a Dataset, measured now."""
        if self.executor is None:
            return measure_speed(bundle, load_split(dataset, "valid").items, self.num_threads)
        job = SpeedJob(ArtifactPlace.of(dataset), self.num_threads, str(Path.cwd()))
        found: dict[str, Any]
        (found,) = self.executor.run(job, [ArtifactPlace.of(bundle)])
        return found


@dataclass(frozen=True)
class SpeedJob:
    """Measures Bundles in another process.

    Attributes:
        dataset: Whose validation split they answer.
        num_threads: Of the engines.
        folder: In which relative paths begin.
    """

    dataset: ArtifactPlace
    num_threads: int
    folder: str

    @contextlib.contextmanager
    def open(self) -> Iterator[Speeds]:
        """Read the texts.

        Raises:
            ArtifactError: The Dataset is another one here, or is not there.
            ConfigError: The folder is not there.
        """
        work_in(self.folder)
        yield Speeds(load_split(self.dataset.open(Dataset), "valid").items, self.num_threads)


@dataclass(frozen=True)
class Speeds:
    """Measures one Bundle after the other.

    Attributes:
        items: N texts or pairs.
        num_threads: Of the engines.
    """

    items: Sequence[Any]
    num_threads: int

    def run(self, bundles: Iterable[ArtifactPlace]) -> Iterator[dict[str, Any]]:
        """Yield latency and throughput of each."""
        for place in bundles:
            yield measure_speed(place.open(Bundle), self.items, self.num_threads)


def measure_speed(bundle: Bundle, items: Sequence[Any], num_threads: int) -> dict[str, Any]:
    """Return ``latency_ms``, of several rounds the median of the medians, and ``throughput``, texts a second.

    Of a language model these are of texts that it reads; how it writes is told beside them.

    Args:
        bundle: What answers.
        items: N texts or pairs.
        num_threads: Of the engine.
    """
    with open_bundle(bundle, num_threads=num_threads) as predictor:
        # All texts first: the engine is warm when single ones are timed.
        elapsed = clock(lambda: predictor.infer(items))
        rounds = [time_alone(predictor, items, seconds=ROUND_SECONDS)["p50"] for _ in range(NUM_ROUNDS)]
        speed = {"latency_ms": float(np.median(rounds)), "throughput": time_batches(predictor, items, elapsed)}
    # After the other engine is closed, which would hold its threads.
    return speed | measure_writing(bundle, items, num_threads)
