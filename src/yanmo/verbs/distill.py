"""distill: a small model learns from a teacher's answers; it checks, asks and publishes, and knows no torch."""

import functools
import logging
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from pydantic import Field

from yanmo.artifacts.bundle import Bundle
from yanmo.artifacts.dataset import Dataset
from yanmo.artifacts.effects import NO_EFFECTS, Effects
from yanmo.artifacts.identity import stage_key
from yanmo.artifacts.predictions import Predictions
from yanmo.compressing.teaching import Taught, answers_dir, ask, read_answers, taught_texts
from yanmo.compressing.token_lessons import check_token_teacher, teaches_tokens, with_written_texts
from yanmo.compressing.transfer_texts import Altering, Transfer, gather_texts
from yanmo.config import Config
from yanmo.data.read import ReadOptions
from yanmo.errors import ConfigError
from yanmo.executors.choice import HERE, ExecutorAddress, open_executor
from yanmo.family_settings import NETWORKS
from yanmo.measuring.evaluation import match_bundle, with_labels_of
from yanmo.modeling.settings import LabeledTexts, Match, Teaching
from yanmo.models import ENCODERS, ONLY_LABELS, ModelSpec
from yanmo.runtimes.rules import RULES
from yanmo.tasks import task_of
from yanmo.tasks.forms import check_form
from yanmo.text.altering import Alteration
from yanmo.training.job import Job, learn, make_job, settle
from yanmo.training.publishing import publish_trained
from yanmo.training.starting_model import start
from yanmo.training.train_config import LearnKeys, TrainConfig
from yanmo.training.work_folder import check_alone, working
from yanmo.verbs.signature import verb

__all__ = ["DistillConfig", "distill"]

logger = logging.getLogger(__name__)


class TeacherKeys(Config):
    """How much the student listens to the teacher."""

    alpha: float = Field(default=0.9, ge=0, le=1)
    """Weight of the teacher's answers to texts that have a label, too; the label has the rest. Of language models the
    text's own tokens have the rest."""

    temperature: float = Field(default=1.0, gt=0, le=20)
    """Softening of the teacher's and the student's answers (Hinton et al. 2015, arXiv:1503.02531); for networks."""

    match: Match = "none"
    """Also reproduce the teacher's inside, where both are encoders and read the same tokens: hidden states or attention
    of all layers, or the sum of both (Jiao et al. 2020, arXiv:1909.10351), or relations in the last one (Wang et al.
    2020, arXiv:2002.10957). A shape from scratch takes over the teacher's tokenizer."""

    match_weight: float = Field(default=1.0, gt=0)
    """Weight of that."""

    keep_answers: bool = True
    """Keep the teacher's answers beside the Bundle, in a hidden folder, for the next student that learns from them."""

    executor: ExecutorAddress = HERE
    """Who answers for the teacher: local, this process; local:N, N processes of this machine; or ray://HOST:PORT, the
    machines of a Ray cluster. The student learns in this process."""


class TransferKeys(ReadOptions):
    """Which texts the teacher answers, besides those of the Dataset's splits train and unlabeled."""

    text: str = "text"
    """Column of the texts in transfer files; a .txt file has a text a line."""

    num_altered: int = Field(default=0, ge=0, le=100)
    """Altered copies of each text, which the teacher answers, too."""

    alterations: tuple[Alteration, ...] = ("drop", "swap", "mix")
    """How copies are altered: drop leaves out characters or words, swap lets neighbours change places, mix puts spans
    of two texts together."""


class DistillConfig(TransferKeys, TeacherKeys, LearnKeys):  # pydantic lists the fields of the last base first
    """Which student, how it is trained, how much it listens to the teacher, and to which texts."""


# What train does not know: it is noted beside the settings of the training.
OWN_KEYS = set(DistillConfig.model_fields) - set(TrainConfig.model_fields)


@verb
def distill(
    teacher: Bundle | Predictions,
    dataset: Dataset,
    config: DistillConfig,
    *,
    transfer: tuple[Path, ...] = (),
    masked_lm: Path | None = None,
    init: Bundle | None = None,
    out: Path,
    effects: Effects = NO_EFFECTS,
) -> Bundle:
    """Train a small model on a teacher's answers.

    The student is any network that train makes, whatever the teacher's architecture and tokenizer. The teacher answers
    the texts of the splits train and unlabeled, those of the transfer sources, and altered copies of all of them, once;
    its answers are kept as Predictions. The more such texts, the nearer the student comes to the teacher. A run that
    was killed goes on from where it was when the same command is given again.

    A language model teaches by what it says of every next token, while the student learns, which takes over its tokens;
    or by texts that it has written.

    Args:
        teacher: Any Bundle, an ensemble or a cascade, too; or its Predictions of the training split. Of language models
            a torch Bundle, or what generate has written.
        dataset: With the splits train and valid; the weights with the best ``metric`` on valid are published.
        config: Which student, and how it learns.
        transfer: Files or Datasets with further texts; no label of theirs is read.
        masked_lm: The folder of a masked language model that replaces tokens in every other altered copy.
        init: An encoder that the student begins with, from pretrain; its model is the default of ``model``.
        out: Where the student's Bundle appears.
        effects: Key, replacement and watchers of the call.

    Raises:
        ModelError: There is no such model, or its training cannot go on.
        ConfigError: A setting does not suit the student or the teacher, or has changed since the checkpoint.
        DataError: A source cannot be read, or teacher and Dataset differ in task or labels.
        BusyError: Another process works there.
        MissingExtraError: The packages that train are not installed.
    """
    check_form(task_of(dataset), "distill")
    dataset = with_labels_of([teacher], dataset)
    spec, begun = start(config, init, dataset)
    _check_student(spec, teacher, dataset, config, masked_lm)
    found = _gather(teacher, dataset, config, transfer, masked_lm)
    settled = settle(config, spec, found.num_rows, task_of(dataset), verb="distill")
    parents = {"teacher": teacher.digest, "dataset": dataset.digest, **begun, **found.parents}
    keys = config.model_dump(mode="json", include=OWN_KEYS)
    plain = {**settled.model_dump(mode="json"), **keys}
    answers = _answers(teacher, dataset, found, config, out.parent)
    teaching = _teaching(teacher, config, is_read_along=answers is None)
    with working(out, parents=parents, config=plain, fork=config.fork) as folder:
        run_key = stage_key("distill", parents, plain)
        job = make_job(dataset, spec, settled, folder, run_key, is_length_given=config.max_length is not None)
        trained = learn(_teach(job, dataset, found, answers, teaching), tell=effects.tell)
        facts = {"num_texts": found.num_rows, "num_labeled": dataset.split("train").height}
        made: dict[str, Any] = {"keys": keys, "facts": facts, "effects": effects}
        publish_trained(trained, job, dataset, parents=parents, out=out, verb="distill", **made)
    if not config.keep_answers:
        _forget(teacher, dataset, found, beside=out.parent)
    return Bundle.open(out, verify=False)


def _forget(teacher: Bundle | Predictions, dataset: Dataset, found: Transfer, *, beside: Path) -> None:
    """Remove a teacher's answers; only when the student is published, for until then a killed run needs them."""
    if isinstance(teacher, Bundle):
        shutil.rmtree(answers_dir(teacher, dataset, found, beside=beside), ignore_errors=True)


def _gather(
    teacher: Bundle | Predictions,
    dataset: Dataset,
    config: DistillConfig,
    transfer: tuple[Path, ...],
    masked_lm: Path | None,
) -> Transfer:
    """Return the texts that the student learns from."""
    options = ReadOptions(**config.model_dump(include=set(ReadOptions.model_fields)))
    altering = Altering(config.num_altered, config.alterations, masked_lm, config.seed)
    by_token, is_kept = teaches_tokens(task_of(dataset)), isinstance(teacher, Predictions)
    # Predictions cannot be asked, and those of the training split say nothing of other texts.
    splits = ("train",) if is_kept and not by_token else ("train", "unlabeled")
    found = gather_texts(dataset, transfer, options, config.text, altering, splits=splits)
    return with_written_texts(found, teacher, dataset) if isinstance(teacher, Predictions) and by_token else found


def _check_student(
    spec: ModelSpec, teacher: Bundle | Predictions, dataset: Dataset, config: DistillConfig, masked_lm: Path | None
) -> None:
    """Refuse what cannot learn from answers.

    Raises:
        ConfigError: As said.
    """
    if teaches_tokens(task_of(dataset)):
        check_token_teacher(teacher, spec, dataset, config.model_fields_set, num_altered=config.num_altered)
    if spec.family in ONLY_LABELS:
        instead = "ngram" if spec.can_label("texts") else "window"
        raise ConfigError(
            f"The model {spec.name} learns from labels only.",
            hint=f"Distill into {instead}, which is as fast and small.",
        )
    if config.temperature != 1 and spec.family not in NETWORKS:
        raise ConfigError(
            f"The 'temperature' parameter of distill must be 1 for the model {spec.name}, which learns whole paths of "
            f"labels and softens none of its answers. Got {config.temperature:g} instead.",
            hint="Leave temperature out, or choose a network such as bilstm as the student.",
        )
    check_alone("distill")
    if masked_lm is not None and config.num_altered < 2:
        raise ConfigError(
            "The 'masked_lm' input of distill alters every other copy, so 'num_altered' must be at least 2. Got "
            f"{config.num_altered} instead.",
            hint="Add --num-altered 2 or more, or leave masked_lm out.",
        )
    if config.num_altered and not config.alterations:
        raise ConfigError("The 'alterations' parameter of distill is empty.", hint="Give drop, swap or mix.")
    if config.match == "none":
        return
    is_encoder = isinstance(teacher, Bundle) and teacher.architecture.get("family") == "encoder"
    if not is_encoder or teacher.format != "torch" or spec.family not in ENCODERS:  # type: ignore[union-attr]
        raise ConfigError(
            f"The 'match' parameter of distill needs a student and a teacher that are torch encoders, not {spec.name} "
            f"and {teacher.path}.",
            hint="Leave match out; or give as the teacher the Bundle of one encoder, before it is exported.",
        )
    if config.multi_sample_dropout > 1:
        raise ConfigError(
            "The 'multi_sample_dropout' parameter of distill cannot be combined with match.", hint="Leave one out."
        )


def _teaching(teacher: Bundle | Predictions, config: DistillConfig, *, is_read_along: bool) -> Teaching:
    return Teaching(
        alpha=config.alpha,
        temperature=config.temperature,
        match=config.match,
        match_weight=config.match_weight,
        # Read by the training itself; what Predictions say has been read.
        teacher_dir=teacher.path if isinstance(teacher, Bundle) and (is_read_along or config.match != "none") else None,
    )


def _say_rules(teacher: Bundle | Predictions) -> None:
    if (teacher.path / RULES).is_file():
        logger.warning(
            "The answers of %s are those with its rules. The student learns from them and has no rules of its own; "
            "adjust gives it some.",
            teacher.path,
        )


def _answers(
    teacher: Bundle | Predictions, dataset: Dataset, found: Transfer, config: DistillConfig, beside: Path
) -> Callable[[], Taught] | None:
    """Return what gives the teacher's answers, None where the training itself asks for what is said of tokens.

    Raises:
        DataError: Task or labels differ, or Predictions lack a training row.
        ConfigError: Predictions are asked for other texts.
    """
    if teaches_tokens(task_of(dataset)):
        return None
    _say_rules(teacher)
    if isinstance(teacher, Predictions):
        # Read now, so that missing rows are told before a work folder is begun.
        taught = read_answers(teacher, dataset, found)
        return lambda: taught
    match_bundle(teacher, dataset)

    # Asked by the training, once its network is there: what is wrong with that is told before hours of answers.
    def ask_all() -> Taught:
        num_threads = config.num_threads
        with open_executor(config.executor, num_threads) as executor:
            return ask(teacher, dataset, found, beside=beside, num_threads=num_threads, executor=executor)

    return ask_all


def _teach(
    job: Job, dataset: Dataset, found: Transfer, answers: Callable[[], Taught] | None, teaching: Teaching
) -> Job:
    """Return a job with the texts of ``found`` and a teacher, who is asked for them and their altered copies.

    Without answers the training itself asks.
    """
    texts_of = functools.partial(taught_texts, job.train, pipeline=dataset.text_pipeline(), task=job.task)
    if answers is None:
        return replace(job, train=texts_of(found.real), teaching=teaching)

    def ask_teacher() -> LabeledTexts:
        taught = answers()
        return texts_of(taught.rows, soft=taught.evidence)

    return replace(job, train=texts_of(found.real), teaching=teaching, ask=ask_teacher)
