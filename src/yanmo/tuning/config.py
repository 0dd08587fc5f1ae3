"""What can be said to tune; it knows no search."""

from pathlib import Path

from pydantic import Field

from yanmo.executors.choice import HERE, ExecutorAddress
from yanmo.integrations.tracking import TrackedConfig
from yanmo.translations import Language

__all__ = ["TuneConfig"]


class TuneConfig(TrackedConfig):
    """Which model, what is searched, and how long."""

    model: str = "textcnn"
    """The model, as in train."""

    space: Path | None = None
    """TOML file of what is searched, a key of train a line: a range { low = 1e-4, high = 1e-2, log = true }, a list,
    or a value that stays; by default the ranges of the model's family."""

    num_trials: int = Field(default=30, ge=1)
    """Trainings in all; the first one has the default settings, apart from values that stay."""

    max_hours: float | None = Field(default=None, gt=0)
    """Begin no further trial after so many hours of training, those of all workers together."""

    metric: str | None = None
    """What is best on the validation split, of trials and of the evaluations of each: one of the task's measures, such
    as accuracy, macro_f1 or micro_f1, or loss; by default its first."""

    folds: int | None = Field(default=None, ge=2, le=20)
    """For few rows: judge every trial by the answers to all training rows, each by a model that has not learned from
    it, instead of by the validation split."""

    prune: bool = True
    """Give up trials that are worse than others after as many evaluations."""

    num_seeds: int = Field(default=3, ge=1)
    """Train the best settings and the default ones with so many seeds; the better mean wins, the report has both."""

    executor: ExecutorAddress = HERE
    """Who runs the trials: local, this process, one after the other; local:N, N processes of this machine, or
    ray://HOST:PORT, the machines of a Ray cluster, which then need a storage, side by side."""

    storage: str | None = None
    """Optuna storage URL, such as postgresql://user@host/database, in which several machines share the trials of one
    Dataset, model and space, and publish the same; by default a file in the work folder."""

    seed: int = Field(default=1, ge=0, le=2**31 - 1)
    """Seed of the search and of every trial's training."""

    num_threads: int | None = Field(default=None, ge=1)
    """Threads of each training; by default one for each CPU that this process may use, of several workers its share,
    and on a cluster 1."""

    offline: bool = False
    """Refuse to load a model over the network."""

    language: Language = "en"
    """Of the page about the search: en or zh."""

    fork: bool = Field(default=False, exclude=True)
    """Start anew where the data or what is searched has changed since the search was begun; without it that is
    refused."""
