"""train: one model on one Dataset to one Bundle; it fills in defaults, checks and publishes, and knows no torch."""

import logging
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from yanmo.answers.choices import Choices
from yanmo.artifacts.base import Identity, publish
from yanmo.artifacts.bundle import OUT_OF_FOLD, Bundle
from yanmo.artifacts.dataset import Dataset
from yanmo.artifacts.effects import NO_EFFECTS, Effects
from yanmo.artifacts.identity import stage_key
from yanmo.artifacts.parquet import write_parquet
from yanmo.artifacts.predictions import PREDICTIONS, Predictions, predictions_frame
from yanmo.errors import ConfigError
from yanmo.executors.choice import HERE, open_helpers
from yanmo.integrations.tracking import tracked
from yanmo.machine import num_workers, worker_rank
from yanmo.tasks import task_of
from yanmo.tasks.forms import check_form
from yanmo.training.fold_job import answer_out_of_fold
from yanmo.training.job import Job, learn, make_job, settle
from yanmo.training.publishing import publish_trained
from yanmo.training.starting_model import start
from yanmo.training.train_config import TrainConfig
from yanmo.training.word_readers import word_readers
from yanmo.training.work_folder import working
from yanmo.verbs.signature import verb

__all__ = ["train"]

logger = logging.getLogger(__name__)

EXAMPLE_CHARACTERS = 512
"""Characters of a text of which a language model makes about one example, in the mean of languages and tokenizers."""


@verb
def train(
    dataset: Dataset,
    config: TrainConfig,
    *,
    init: Bundle | None = None,
    tagger: Bundle | None = None,
    segmenter: Bundle | None = None,
    out: Path,
    effects: Effects = NO_EFFECTS,
) -> Bundle:
    """Train one model on a Dataset.

    The weights with the best ``metric`` on the validation split are published. A run that was killed goes on from its
    last checkpoint when the same command is given again, and SIGTERM makes it write one first. Under torchrun the
    workers share every batch.

    Args:
        dataset: With the splits train and valid.
        config: Which model, and how it is trained.
        init: An encoder to begin with, from pretrain, with its tokenizer; its model is the default of ``model``.
        tagger: Gives every word the kind that a parser reads; by default one is trained of the Dataset's own kinds.
        segmenter: Cuts raw texts into the words that a parser reads; without one they are given, with spaces between.
        out: Where the Bundle appears.
        effects: Key, replacement and watchers of the call.

    Raises:
        ModelError: There is no such model, or its training cannot go on.
        ConfigError: A setting does not suit the model, or has changed since the checkpoint.
        DataError: The Dataset cannot be learned from.
        BusyError: Another process trains there.
        StoppedError: SIGTERM came; a checkpoint was written.
        MissingExtraError: The packages that train are not installed.
    """
    if config.folds:
        check_form(task_of(dataset), "train with folds")
    spec, begun = start(config, init, dataset)
    readers = word_readers(task_of(dataset), spec, tagger=tagger, segmenter=segmenter)
    parents = {"dataset": dataset.digest, **begun, **readers.parents}
    with open_helpers(_fold_workers(config), config.num_threads) as executor:
        # One number for all: out-of-fold answers are those of models like the one that is published.
        given = config.model_copy(update={"num_threads": executor.num_threads}) if executor else config
        settled = settle(given, spec, _num_examples(dataset), task_of(dataset))
        plain = settled.model_dump(mode="json")
        run_key = stage_key("train", parents, plain)
        has_network = spec.format in ("torch", "ngram")
        with working(out, parents=parents, config=plain, fork=config.fork, has_network=has_network) as folder:
            job = make_job(dataset, spec, settled, folder, run_key, is_length_given=config.max_length is not None)
            job = replace(job, readers=readers)
            with tracked(None if worker_rank() else config.tracker, name=out.name, work_dir=folder) as run:
                # Before the model itself, which is published with these answers in it.
                answers = answer_out_of_fold(job, dataset, effects.in_fold(), executor) if settled.folds else None
                trained = learn(job, tell=effects.watched(run.watch).tell)
                # The workers have trained one model together; the first one publishes it.
                if not worker_rank():
                    more = None if answers is None else _out_of_fold_writer(answers, job, dataset, parents, effects)
                    publish_trained(trained, job, dataset, parents=parents, out=out, write_more=more, effects=effects)
                    run.finish(plain, trained.scores, out)
    return Bundle.open(out, verify=False)


def _num_examples(dataset: Dataset) -> int:
    """Return about how many examples there are to learn from: rows, or where texts are learned, parts of them."""
    if "train" not in dataset.splits:
        return 0
    rows, task = dataset.split("train"), task_of(dataset)
    if task.head != "sequences":
        return rows.height
    return int((rows[task.inputs[0]].str.len_chars() / EXAMPLE_CHARACTERS).ceil().sum())


def _fold_workers(config: TrainConfig) -> str:
    """Return who trains the folds; of a training without folds there is nothing to share out, which is said."""
    if config.folds and config.executor != HERE and num_workers() > 1:
        raise ConfigError(
            "The 'executor' parameter of train does not go with torchrun: every worker would train all folds.",
            hint="Leave out executor, or start one process.",
        )
    if config.folds or config.executor == HERE:
        return config.executor
    logger.warning("The 'executor' parameter has no effect without folds.")
    return HERE


def _out_of_fold_writer(
    evidence: Choices, job: Job, dataset: Dataset, parents: dict[str, str], effects: Effects
) -> Callable[[Path], None]:
    """Return what writes whole Predictions over the training rows into the Bundle."""
    ids = dataset.split("train")["id"]
    decided = job.task.decide(evidence, dataset.labels)
    identity = Identity(
        kind=Predictions.kind,
        verb="train",
        task=dataset.task,
        labels=dataset.labels,
        parents=parents,
        config=job.config.model_dump(mode="json"),
        seed=job.config.seed,
    )

    def write(folder: Path) -> None:
        with publish(folder / OUT_OF_FOLD, identity, effects=effects) as staging:
            frame = predictions_frame(ids, job.task.column(decided.predictions), decided, evidence)
            write_parquet(frame, staging / PREDICTIONS)

    return write
