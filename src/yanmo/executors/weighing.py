"""Shares of a Dataset's split that a Bundle scores; the scores come back by value. It knows no executor.

The shares are a function of the number of rows alone, and every share is scored by itself, so that the scores are the
same bits whoever works. Texts are read from the Dataset by whoever scores them.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np

from yanmo.answers.answered import Found
from yanmo.artifacts.bundle import Bundle
from yanmo.artifacts.dataset import Dataset
from yanmo.executors.jobs import Executor
from yanmo.executors.places import ArtifactPlace
from yanmo.progress import bar
from yanmo.runtimes.predictor import Predictor, open_bundle
from yanmo.tasks import task_of
from yanmo.text.inputs import Inputs

__all__ = ["SHARE_ROWS", "WeighJob", "weigh_here", "weigh_split"]

SHARE_ROWS = 8192
"""Rows of a share, as many as a window of ``predict`` has."""


class SplitShare(msgspec.Struct, frozen=True):
    """Some rows of a split: number of the share, first row, rows."""

    number: int
    first: int
    num_rows: int


class Weighed(msgspec.Struct, frozen=True):
    """What a Bundle says of a share: its number, the scores, and what reading the texts took."""

    number: int
    scores: Any
    found: Found


@dataclass(frozen=True, kw_only=True)
class WeighJob:
    """Which Bundle scores which split, as plain values.

    Attributes:
        bundle: The Bundle.
        dataset: The Dataset.
        split: Its name.
        runtime: How the Bundle is opened.
    """

    bundle: ArtifactPlace
    dataset: ArtifactPlace
    split: str
    runtime: Mapping[str, Any]

    @contextlib.contextmanager
    def open(self) -> Iterator[Weighing]:
        """Open the Bundle and read the split.

        Raises:
            ArtifactError: One of them is another one here, or is not there.
        """
        dataset = self.dataset.open(Dataset)
        task = task_of(dataset)
        inputs = Inputs.of_frame(dataset.split(self.split), task.inputs, is_segmented=task.gives_words)
        with open_bundle(self.bundle.open(Bundle), **self.runtime) as predictor:
            yield Weighing(predictor, inputs)


class Weighing:
    """Scores shares.

    Args:
        predictor: Who scores.
        inputs: The whole split.
    """

    def __init__(self, predictor: Predictor, inputs: Inputs) -> None:
        self._predictor = predictor
        self._inputs = inputs

    def run(self, shares: Iterable[SplitShare]) -> Iterator[Weighed]:
        """Yield what the Bundle says of each share."""
        for share in shares:
            rows = np.arange(share.first, share.first + share.num_rows)
            yield Weighed(share.number, *self._predictor.weigh(self._inputs.take(rows)))


def weigh_here(predictor: Predictor, inputs: Inputs) -> tuple[Any, Found]:
    """Return the scores of texts and what reading them took, as :func:`weigh_split` does, in this process."""
    return _gather(list(Weighing(predictor, inputs).run(_shares(len(inputs)))))


def weigh_split(
    bundle: Bundle, dataset: Dataset, split: str, num_rows: int, *, executor: Executor, runtime: Mapping[str, Any]
) -> tuple[Any, Found]:
    """Let an executor score a split; return the scores and what reading the texts took.

    Args:
        bundle: Who scores.
        dataset: Whose split.
        split: Its name.
        num_rows: Of the split.
        executor: Who works.
        runtime: How the Bundle is opened.

    Raises:
        YanmoError: That of a share.
    """
    job = WeighJob(
        bundle=ArtifactPlace.of(bundle), dataset=ArtifactPlace.of(dataset), split=split, runtime=dict(runtime)
    )
    shares, found = _shares(num_rows), []
    with bar(num_rows, f"asking {bundle.name}", unit="text") as progress:
        for one in executor.run(job, shares):
            found.append(one)
            progress.update(shares[one.number].num_rows)
    return _gather(sorted(found, key=lambda one: one.number))


def _shares(num_rows: int) -> list[SplitShare]:
    starts = range(0, num_rows, SHARE_ROWS)
    return [SplitShare(number, first, min(SHARE_ROWS, num_rows - first)) for number, first in enumerate(starts)]


def _gather(weighed: Sequence[Weighed]) -> tuple[Any, Found]:
    """Return the scores of all rows, and what reading them took, from those of their shares in order."""
    first = weighed[0]
    if len(weighed) == 1:
        return first.scores, first.found
    ends = np.cumsum([len(one.scores) for one in weighed])
    rows = np.split(np.arange(ends[-1]), ends[:-1])
    scores = type(first.scores).gathered(list(zip(rows, (one.scores for one in weighed), strict=True)))
    return scores, _joined([one.found for one in weighed])


def _joined(found: Sequence[Found]) -> Found:
    first = found[0]
    return Found(
        np.concatenate([one.num_tokens_N for one in found]),
        np.concatenate([one.num_unknown_N for one in found]),
        np.concatenate([one.truncated_N for one in found]),
        sum(one.num_cells for one in found),
        None if first.stage_N is None else np.concatenate([one.stage_N for one in found if one.stage_N is not None]),
        None
        if first.abstained_N is None
        else np.concatenate([one.abstained_N for one in found if one.abstained_N is not None]),
    )
