"""What a model learns from, settled and checked, and the learning: train, distill and prune stand on it.

It knows no verb, no torch, and not what becomes of the model.
"""

import functools
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from yanmo.answers.choices import Choices
from yanmo.answers.links import SOFTMAX
from yanmo.artifacts.dataset import Dataset
from yanmo.artifacts.effects import NO_EFFECTS, Watcher
from yanmo.errors import ConfigError, DataError, did_you_mean
from yanmo.family_settings import default_settings, few_shot_rate, idle_without_steps, unsharded, unused_settings
from yanmo.machine import num_workers
from yanmo.modeling.settings import (
    LabeledTexts,
    LanguageSettings,
    LoopSettings,
    NetworkSettings,
    Pruning,
    Teaching,
    Trained,
)
from yanmo.models import FORMS, STARTED_FAMILIES, ModelSpec
from yanmo.protocols import ABOUT, Task
from yanmo.runtimes.predictor import default_num_threads
from yanmo.tasks import task_of
from yanmo.tasks.labels import label_task
from yanmo.text.inputs import Inputs, Units
from yanmo.text.lexicon import Lexicon
from yanmo.text.pipeline import TextConfig, TextPipeline
from yanmo.text.word_list import read_word_list
from yanmo.training.train_config import LearnKeys, TrainConfig
from yanmo.training.word_readers import WordReaders

__all__ = ["Job", "find_metric", "labeled_texts", "learn", "make_job", "measure_answers", "settle"]

logger = logging.getLogger(__name__)

PRETRAINED_HINT = "pretrain learns it from plain texts: yanmo pretrain DATASET --out MODEL"


@dataclass(frozen=True)
class Job:
    """What every trainer is given; the config has a value wherever the model's family has a default.

    ``ask`` gives the texts of ``train`` and others with a teacher's answers; it is called once the network is there.
    ``pruning`` is what is cut out of the encoder that the model's name means. ``words`` is a user's word list, cut and
    cleaned as the texts are, as ``text`` says. ``readers`` are the Bundles that cut and tag the words of a parser.
    """

    spec: ModelSpec
    config: TrainConfig
    task: Task[Any]
    labels: list[str]
    train: LabeledTexts
    valid: LabeledTexts
    work_dir: Path
    run_key: str
    is_length_given: bool
    teaching: Teaching | None = None
    ask: Callable[[], LabeledTexts] | None = None
    pruning: Pruning | None = None
    words: Units | None = None
    readers: WordReaders = field(default_factory=WordReaders)
    text: TextConfig = field(default_factory=TextConfig)

    @property
    def network(self) -> NetworkSettings:
        """What decides the network and its loss."""
        config = self.config
        return NetworkSettings(
            labels=self.task.outputs(self.labels),
            link=label_task(self.task, "A link").link if self.task.form is Choices else SOFTMAX,
            max_length=config.max_length,
            is_length_given=self.is_length_given,
            vocab_size=config.vocab_size,
            dropout=config.dropout,
            activation=config.activation,
            label_smoothing=config.label_smoothing or 0.0,
            is_balanced=config.class_weights == "balanced",
            focal_gamma=config.focal_gamma,
            multi_sample_dropout=config.multi_sample_dropout,
            frozen_layers=config.frozen_layers,
            lora_rank=config.lora_rank,
            pooling=config.pooling,
            head_start=config.head_start,
            is_frozen=config.frozen,
            is_few_shot=config.few_shot,
            is_sharded=config.sharding == "full" and num_workers() > 1,
            offline=config.offline,
            head=self.task.head,
            decided=self.labels,
            teaching=self.teaching,
        )

    @property
    def language(self) -> LanguageSettings:
        """What decides a language model."""
        names = [one.name for one in fields(LanguageSettings)]
        given = self.config.model_dump(include=set(names))
        return LanguageSettings(**given, is_length_given=self.is_length_given)

    def measure(self, evidence: Any, targets: Any) -> dict[str, float]:
        """Return what is measured on the validation split."""
        return measure_answers(self.task, evidence, targets)


def measure_answers(task: Task[Any], evidence: Any, targets: Any) -> dict[str, float]:
    """Return the scores of answers that training chooses by, and their loss; a score that has no value is 0."""
    statistics_NS = task.statistics(evidence, targets)
    # Comparisons with not a number are all false: such an evaluation, if it came first, would stay the best.
    scores = {one.name: float(np.nan_to_num(one.score(statistics_NS))) for one in task.measures}
    return scores | {"loss": float(task.losses_N(evidence, targets).mean())}


def find_metric(task: Task[Any], name: str | None, *, verb: str) -> tuple[str, bool]:
    """Return by which score a training chooses, and whether the lowest is the best; by default the task's headline.

    Args:
        task: Whose measures may be chosen.
        name: Of a measure, or loss; None for the headline.
        verb: Who was given it, for the message.

    Raises:
        ConfigError: The task has no such measure.
    """
    lowest = {one.name: not one.higher_is_better for one in task.measures} | {"loss": True}
    found = task.measures[0].name if name is None else name
    if found not in lowest:
        raise ConfigError(
            f"The 'metric' parameter of {verb} must be one of: {', '.join(lowest)}. Got {found!r} instead."
            f"{did_you_mean(found, lowest)}",
            hint=f"These are what the task {task.name} is measured by.",
        )
    return found, lowest[found]


def settle(config: LearnKeys, spec: ModelSpec, num_rows: int, task: Task[Any], *, verb: str = "train") -> TrainConfig:
    """Return the config with the defaults of family and task filled in; say which given settings have no effect.

    Args:
        config: As it was given.
        spec: Of the model.
        num_rows: That it learns from.
        task: Whose headline is the metric, if none is given.
        verb: Who was given the config, for the message.

    Raises:
        ConfigError: The model does not suit the task, a setting does not suit sharded weights, or the task has no such
            metric.
    """
    _check_form(spec, task)
    metric, _ = find_metric(task, config.metric, verb=verb)
    # Unset keys are left out: their defaults would go over those of the family.
    given = config.model_dump(exclude_none=True, exclude_unset=True, include=set(TrainConfig.model_fields))
    for name in unused_settings(spec, task.head):
        # A model that needs no seed still has folds, which are drawn with it.
        if not (name == "seed" and given.get("folds")) and given.pop(name, None) is not None:
            logger.warning("The '%s' parameter has no effect on the model %s.", name, spec.name)
    for name in idle_without_steps(given):
        logger.warning("The '%s' parameter has no effect where no steps on labels are taken.", name)
    if given.get("sharding") == "full" and num_workers() == 1:
        logger.warning("The 'sharding' parameter has no effect on a single worker; torchrun starts several.")
    defaults = default_settings(spec.family, max(num_rows, 1), layers=spec.layers, width=spec.width, form=task.head)
    if given.get("few_shot"):
        defaults["learning_rate"] = few_shot_rate(defaults["learning_rate"])
    if given.get("swa_start", 1.0) < 1:
        defaults.pop("ema_decay", None)  # one mean of the weights is kept, and this one was asked for
    found = unsharded(given) if given.get("sharding") == "full" else None
    if found:
        raise ConfigError(
            f"The '{found}' parameter of train does not suit sharded weights.", hint=f"Leave {found} or sharding out."
        )
    # What comes later wins.
    return TrainConfig(
        **{"num_threads": default_num_threads(), "metric": metric, **defaults, **given, "model": spec.name}
    )


def _check_form(spec: ModelSpec, task: Task[Any]) -> None:
    if spec.can_label(task.head):
        return
    fitting = ", ".join(one for one, forms in FORMS.items() if task.head in forms and one not in STARTED_FAMILIES)
    able = " or ".join(ABOUT[one] for one in ABOUT if one in FORMS[spec.family])
    raise ConfigError(
        f"The model {spec.name} is for {able}, but the task {task.name} is about {ABOUT[task.head]}.",
        hint=f"Families that suit it: {fitting}." if fitting else PRETRAINED_HINT,
    )


def make_job(
    dataset: Dataset, spec: ModelSpec, config: TrainConfig, folder: Path, run_key: str, *, is_length_given: bool
) -> Job:
    """Return what a model learns from a Dataset.

    Raises:
        DataError: The Dataset lacks a split, or all its rows have one label.
    """
    task, pipeline = task_of(dataset), dataset.text_pipeline()
    train_texts, valid_texts = (labeled_texts(dataset, name, dataset.labels, pipeline) for name in ("train", "valid"))
    targets = train_texts.targets
    if task.is_one_answer(targets):
        raise DataError(
            f"All {len(targets)} rows of the training split have the same label: there is nothing to learn.",
            hint="Give a Dataset with at least two labels.",
        )
    words = _word_list(dataset, pipeline, spec) if task.reads_units else None
    return Job(
        *(spec, config, task, dataset.labels, train_texts, valid_texts, folder, run_key, is_length_given),
        words=words,
        text=pipeline.config,
    )


def _word_list(dataset: Dataset, pipeline: TextPipeline, spec: ModelSpec) -> Units | None:
    if dataset.user_dict_path is None:
        return None
    if spec.format != "window":
        logger.warning("The word list of %s has no effect on the model %s.", dataset.path, spec.name)
        return None
    return pipeline.read(Inputs((read_word_list(dataset.user_dict_path),))).units


def labeled_texts(dataset: Dataset, name: str, labels: Sequence[str], pipeline: TextPipeline) -> LabeledTexts:
    """Return a split, cleaned and encoded.

    Args:
        dataset: Whose split it is.
        name: Of the split.
        labels: All labels, in the order of the targets' columns.
        pipeline: How the texts are cleaned.

    Raises:
        DataError: It is missing or empty.
    """
    rows = dataset.split(name) if name in dataset.splits else None
    if rows is None or not rows.height:
        raise DataError(
            f"The Dataset {dataset.path} has no rows in its split '{name}', which training needs.",
            hint=f"Prepare it with a larger {name}_ratio, or give prepare a file for that split."
            if name != "train"
            else "Prepare it from more rows.",
        )
    task = task_of(dataset)
    inputs = pipeline.read(Inputs.of_frame(rows, task.inputs, is_segmented=pipeline.config.segmenter != "none"))
    return LabeledTexts(inputs, task.targets(rows, labels), rows["id"].cast(pl.String).to_list())


def _loop_settings(job: Job, **others: float) -> LoopSettings:
    # Of train's keys the loop takes those that it knows by name; the others are not about its steps.
    names = {one.name for one in fields(LoopSettings)}
    values = {name: value for name, value in job.config.model_dump().items() if name in names and value is not None}
    values["metric"], values["lowest"] = find_metric(job.task, job.config.metric, verb="train")
    return LoopSettings(**(others | values))


def _of_network(job: Job, tell: Watcher) -> dict[str, Any]:
    kept = {"measure": job.measure, "work_dir": job.work_dir, "run_key": job.run_key, "ask": job.ask, "tell": tell}
    return {"network": job.network, "loop": _loop_settings(job), **kept}


def _train_network(job: Job, tell: Watcher) -> Trained:
    from yanmo.modeling.runs.network_training import train_network

    return train_network(job.spec, job.train, job.valid, make=_maker(job), **_of_network(job, tell))


def _train_parser_network(job: Job, tell: Watcher) -> Trained:
    from yanmo.modeling.runs.parser_network import train_parser_network

    given = _of_network(job, tell)
    return train_parser_network(job.spec, job.train, job.valid, tagger=job.readers.tagger, **given)


def _maker(job: Job) -> Callable[[], Any] | None:
    """Return what gives the encoder without the parts that are cut out; None where nothing is."""
    if job.pruning is None:
        return None
    from yanmo.modeling.shrinking.pruned_encoder import make_pruned

    return functools.partial(make_pruned, Path(job.spec.source), job.train, job.pruning, job.network)


def _train_linear(job: Job, tell: Watcher) -> Trained:
    from yanmo.modeling.runs.linear_model import train_linear

    return train_linear(
        job.train,
        job.valid,
        network=job.network,
        measure=job.measure,
        num_threads=job.config.num_threads or 1,
        tell=tell,
    )


def _train_window(job: Job, tell: Watcher) -> Trained:
    from yanmo.modeling.structured.window_training import train_window

    # A teacher is asked only now, when all that could be wrong with the settings has been said.
    return train_window(
        job.ask() if job.ask is not None else job.train,
        job.valid,
        network=job.network,
        loop=_loop_settings(job),
        measure=job.measure,
        lexicon=Lexicon.of(job.words, job.words.rule) if job.words is not None else None,
        tell=tell,
    )


def _train_hmm(job: Job, tell: Watcher) -> Trained:
    from yanmo.modeling.structured.hmm_training import train_hmm

    return train_hmm(job.train, job.valid, network=job.network, measure=job.measure, tell=tell)


def _train_arcs(job: Job, tell: Watcher) -> Trained:
    from yanmo.modeling.structured.arcs_training import train_arcs

    # A perceptron moves a weight by 1, and nothing pulls it back.
    loop = _loop_settings(job, learning_rate=1.0, weight_decay=0.0)
    train = job.ask() if job.ask is not None else job.train
    return train_arcs(
        train,
        job.valid,
        labels=job.labels,
        tagger=job.readers.tagger,
        beam=job.config.beam or 1,
        loop=loop,
        measure=job.measure,
        tell=tell,
    )


def _of_language(job: Job, tell: Watcher) -> dict[str, Any]:
    kept = {"work_dir": job.work_dir, "run_key": job.run_key, "tell": tell}
    return {"language": job.language, "loop": _loop_settings(job), **kept}


def _train_language_model(job: Job, tell: Watcher) -> Trained:
    from yanmo.modeling.language_training.language_models import train_language_model

    taught: dict[str, Any] = {"teaching": job.teaching, "pruning": job.pruning}
    measures = job.task.measures
    return train_language_model(job.spec, job.train, job.valid, measures=measures, **taught, **_of_language(job, tell))


def _train_text_to_text(job: Job, tell: Watcher) -> Trained:
    from yanmo.modeling.language_training.text_to_text import train_text_to_text

    headline = job.task.measures[0].name
    taught: dict[str, Any] = {"teaching": job.teaching, "ask": job.ask, "pruning": job.pruning}
    return train_text_to_text(job.spec, job.train, job.valid, headline=headline, **taught, **_of_language(job, tell))


def _train_kneser_ney(job: Job, tell: Watcher) -> Trained:
    from yanmo.modeling.language_training.ngram_counts import train_kneser_ney

    kept: dict[str, Any] = {"language": job.language, "measure": job.measure, "teaching": job.teaching}
    return train_kneser_ney(job.train, job.valid, **kept, tell=tell)


def _train_pairs(job: Job, tell: Watcher) -> Trained:
    from yanmo.modeling.language_training.pair_counts import train_pairs

    return train_pairs(job.train, job.valid, order=job.config.order, text=job.text, measure=job.measure, tell=tell)


_TRAINERS: dict[tuple[str, str], Callable[[Job, Watcher], Trained]] = {
    **{("torch", head): _train_network for head in ("texts", "units", "passages")},
    ("torch", "trees"): _train_parser_network,
    ("ngram", "texts"): _train_network,
    ("linear", "texts"): _train_linear,
    ("window", "units"): _train_window,
    ("hmm", "units"): _train_hmm,
    ("arcs", "trees"): _train_arcs,
    ("torch", "sequences"): _train_language_model,
    ("torch", "targets"): _train_text_to_text,
    ("kneser-ney", "sequences"): _train_kneser_ney,
    ("pairs", "targets"): _train_pairs,
}


def learn(job: Job, *, tell: Watcher = NO_EFFECTS.tell) -> Trained:
    """Train what a job says, or go on with it from its work folder's checkpoint; ``tell`` is shown every record."""
    return _TRAINERS[job.spec.format, job.task.head](job, tell)
