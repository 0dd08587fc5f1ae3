"""grind: from a teacher and a budget to the Bundle that meets it, or to the statement that there is none."""

from __future__ import annotations

import contextlib
import logging
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from pydantic import Field

from yanmo.artifacts.bundle import Bundle
from yanmo.artifacts.dataset import Dataset
from yanmo.artifacts.effects import NO_EFFECTS, Effects
from yanmo.artifacts.identity import folder_digest
from yanmo.artifacts.placing import lock, work_dir
from yanmo.artifacts.work import claim
from yanmo.compressing.quantizing import check_max_drop
from yanmo.compressing.token_lessons import check_token_teacher, teaches_tokens
from yanmo.compressing.transfer_texts import Altering, gather_texts
from yanmo.data.read import ReadOptions
from yanmo.errors import ConfigError
from yanmo.executors.choice import HERE, ExecutorAddress, is_on_this_machine, open_helpers, open_measurer
from yanmo.executors.jobs import Executor
from yanmo.grinding.budget import WRITING_LIMITS, Budget, choose, misses
from yanmo.grinding.candidates import DATASET, INIT, TEACHER, TRANSFER, calibrated, single_models
from yanmo.grinding.order import run_search
from yanmo.grinding.publishing import check_report_place, make_report, publish_winner, refuse
from yanmo.grinding.records import Clock
from yanmo.grinding.search import Search, attempt
from yanmo.grinding.speeds import Meter
from yanmo.grinding.trials import Bench, finished
from yanmo.measuring.evaluation import match_bundle, with_labels_of
from yanmo.models import DECODER_FAMILIES, ONLY_LABELS, STARTED_FAMILIES, ModelSpec, resolve
from yanmo.protocols import ABOUT
from yanmo.runtimes.predictor import default_num_threads
from yanmo.tasks import task_of
from yanmo.tasks.forms import check_form, suits
from yanmo.training.starting_model import check_model, start
from yanmo.training.train_config import TrainConfig
from yanmo.training.work_folder import check_alone, where
from yanmo.translations import Language
from yanmo.verbs.signature import verb

__all__ = ["GrindConfig", "grind"]

logger = logging.getLogger(__name__)

FREE = {*Budget.model_fields, "hours", "language", "students"}
"""What may change while a search goes on: it decides what is tried and chosen, not how anything is made."""

WRITING_FAMILIES = (*DECODER_FAMILIES, *STARTED_FAMILIES)
"""Families of language models that write texts here."""
STUDENTS = {
    "texts": ("ngram", "textcnn", "bert-2x128", "bert-4x312"),
    "units": ("window",),
    "passages": ("bilstm", "bert-4x312"),
    "trees": ("arcs",),
    "sequences": ("kneser-ney", "gpt-2x128", "gpt-4x192"),
    "targets": ("pairs",),
}
"""What is decided about to the models that are tried where none are named."""


class GrindConfig(Budget):
    """What the Bundle may cost, and how long the search may take."""

    hours: float = Field(default=1.0, gt=0)
    """Most hours for the whole search, those of earlier runs of the same command, too."""

    students: tuple[str, ...] = ()
    """Models to distill into, the folder of a checkpoint, too; by default ngram, textcnn, bert-2x128 and bert-4x312;
    window where the units of texts are labeled; bilstm and bert-4x312 where answers are found in passages; kneser-ney,
    gpt-2x128 and gpt-4x192 of a language model."""

    num_altered: int = Field(default=0, ge=0, le=100)
    """Altered copies of each text that the teacher answers. Each costs as much time as a pass over the texts; more
    passes are tried by themselves."""

    seed: int = Field(default=1, ge=0, le=2**63 - 1)
    """Seed of every student."""

    num_threads: int | None = Field(default=None, ge=1)
    """Threads of each training and of what is measured; by default one for each CPU that this process may use, of
    several workers its share, and on a cluster 1."""

    executor: ExecutorAddress = HERE
    """Who makes the candidates: local, this process, one after the other; local:N, N processes of this machine, or
    ray://HOST:PORT, the machines of a Ray cluster, side by side."""

    measure_on: str | None = Field(default=None, min_length=1)
    """Resource of a Ray cluster: latency and throughput are measured on a machine that has it; by default on the
    machine of this process, one Bundle after another."""

    language: Language = "en"
    """Of the page about the search: en or zh."""

    fork: bool = Field(default=False, exclude=True)
    """Start anew where the data or a key that decides what is made has changed since the last trial; without it that
    is refused. The budget, hours and students may change."""


@verb
def grind(
    teacher: Bundle,
    dataset: Dataset,
    config: GrindConfig,
    *,
    init: Bundle | None = None,
    transfer: tuple[Path, ...] = (),
    out: Path,
    effects: Effects = NO_EFFECTS,
) -> Bundle:
    """Find the Bundle that meets a budget of latency, size and accuracy.

    The models that the teacher is made of are put into 8 bits; students of several shapes are distilled from it, put
    into 8 bits, pruned, and put together to cascades, from cheap to expensive. Shapes that are too slow on this machine
    are never trained. The Bundle is the most accurate one that meets all constraints on the validation split, which
    also chose its weights and thresholds; it holds the Report and the pipeline that makes it again in its folder
    ``grinding``. The test split is asked once, for it alone. Where none meets them, the Report appears beside ``out``
    and says which constraint to loosen. A search that was killed, or that gets another budget or more hours, goes on
    with what it has made.

    Args:
        teacher: Any Bundle, an ensemble or a cascade, too; of language models the torch Bundle of one.
        dataset: With the splits train and valid.
        config: What the Bundle may cost.
        init: An encoder from pretrain; the student of its shape begins with it.
        transfer: Files or Datasets with further texts for the students; a table has them in its column ``text``. No
            label of theirs is read.
        out: Where the Bundle appears.
        effects: Key, replacement and watchers of the call.

    Raises:
        ModelError: No Bundle meets the budget; the message names the nearest ones.
        ConfigError: A student cannot be trained, more may be lost than there is, or something has changed since the
            last trial.
        DataError: Teacher and Dataset differ in task or labels, or a file cannot be read.
        ArtifactError: Where the Report would appear, something else stands.
        BusyError: Another process works there.
        MissingExtraError: The packages that train are not installed.
    """
    dataset = _check(teacher, dataset, config, out)
    with open_helpers(config.executor, config.num_threads) as executor:
        num_threads = config.num_threads or (executor and executor.num_threads) or default_num_threads()
        config = config.model_copy(update={"num_threads": num_threads})
        with _open_meter(config) as meter:
            _grind(teacher, dataset, config, meter, executor, init=init, transfer=transfer, out=out, effects=effects)
    return Bundle.open(out, verify=False)


def _grind(
    teacher: Bundle,
    dataset: Dataset,
    config: GrindConfig,
    meter: Meter,
    executor: Executor | None,
    *,
    init: Bundle | None,
    transfer: tuple[Path, ...],
    out: Path,
    effects: Effects,
) -> None:
    """Search, and publish what was found, with those who work and measure."""
    students = _find_students(teacher, dataset, config, init)
    texts = gather_texts(dataset, transfer, ReadOptions(), "text", Altering(config.num_altered, seed=config.seed))
    given = _given(teacher, dataset, init, transfer)
    parents = {role: given[role].digest for role in (TEACHER, DATASET, INIT) if role in given} | texts.parents
    with lock(work_dir(out)) as folder:
        made_with = {**config.model_dump(mode="json", exclude=FREE), **where()}
        claim(folder, parents=parents, config=made_with, fork=config.fork)
        bench = _make_bench(given, folder, config, meter, effects)
        search = Search(bench, config, students, texts, config.model_dump(include={"num_altered", "seed"}))
        run_search(search, executor)
        winner = _calibrate(search, _confirm(search))
        report = make_report(search, winner, config, out)
        if winner is None:
            # Always raises; the work folder stays for a later run with another budget.
            refuse(search, report, config, parents, out=out, effects=effects)
        publish_winner(search, report, config, parents, out=out, effects=effects)
        # Only when the winner is in place: until then it is all that a killed search has.
        shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def _open_meter(config: GrindConfig) -> Iterator[Meter]:
    """Give who measures speed, after saying where."""
    num_threads = config.num_threads or 1
    if config.measure_on is None:
        if config.executor != HERE:
            logger.info("Speed is measured on this machine, when nobody makes a candidate.")
        yield Meter(num_threads)
        return
    logger.info("Speed is measured on a machine with the resource %s.", config.measure_on)
    with open_measurer(config.executor, num_threads, config.measure_on) as executor:
        yield Meter(num_threads, executor)


def _check(teacher: Bundle, dataset: Dataset, config: GrindConfig, out: Path) -> Dataset:
    """Return the Dataset with all labels of the teacher, after what cannot be searched is refused."""
    dataset = with_labels_of([teacher], dataset)
    check_alone("grind")
    check_form(task_of(dataset), "grind")
    match_bundle(teacher, dataset)
    check_max_drop(task_of(dataset), config.max_drop, verb="grind")
    check_report_place(out)
    if config.measure_on is not None and is_on_this_machine(config.executor):
        raise ConfigError(
            f"The 'measure_on' parameter of grind names a resource of a cluster, and the executor is none. "
            f"Got {config.measure_on!r} instead.",
            hint="Leave it out to measure on this machine, or give --executor ray://HOST:PORT",
        )
    return dataset


def _check_writers(teacher: Bundle, dataset: Dataset, config: GrindConfig, students: dict[str, ModelSpec]) -> None:
    """Refuse limits of writing for what writes nothing, and teachers of language models that cannot teach.

    Raises:
        ConfigError: As said.
    """
    task = task_of(dataset)
    if teaches_tokens(task):
        for spec in students.values():
            check_token_teacher(teacher, spec, dataset, (), num_altered=config.num_altered)
    limit = next((name for name in WRITING_LIMITS if getattr(config, name) is not None), None)
    if limit is not None and not teaches_tokens(task):
        raise ConfigError(
            f"The '{limit}' parameter of grind is for language models, which write; the task {task.name} is about "
            f"{ABOUT[task.head]}.",
            hint="Give min_throughput, in texts a second, or max_latency_ms, of one text.",
        )
    silent = next((name for name, spec in students.items() if spec.family not in WRITING_FAMILIES), None)
    if limit is not None and silent is not None:
        raise ConfigError(
            f"The '{limit}' parameter of grind needs models that write, and {silent} only says how likely texts are.",
            hint="Leave it out of the students, or limit max_size_mb and max_latency_ms alone.",
        )


def _given(teacher: Bundle, dataset: Dataset, init: Bundle | None, transfer: tuple[Path, ...]) -> dict[str, Any]:
    """Return what is there before any stage, by the names that stages have for it."""
    given: dict[str, Any] = {TEACHER: teacher, **single_models(teacher), DATASET: dataset}
    return given | ({INIT: init} if init else {}) | ({TRANSFER: transfer} if transfer else {})


def _make_bench(given: dict[str, Any], folder: Path, config: GrindConfig, meter: Meter, effects: Effects) -> Bench:
    return Bench(
        given,
        folder,
        Clock(folder / "clock.json", 3600 * config.hours),
        meter,
        needs_memory=config.max_memory_mb is not None,
        # Watchers see every training on the way; key and place are those of the winner alone.
        effects=effects.within(),
    )


def _confirm(search: Search) -> Mapping[str, Any] | None:
    """Return the row that is chosen and is as fast when it is measured once more, or None."""
    # The best of many is partly a lucky measurement. One that misses now is chosen no more, so this ends.
    while (chosen := choose(search.budget, finished(search.rows))) is not None:
        again = search.bench.speed(str(chosen["name"]))
        if not misses(search.budget, again):
            return chosen
        place = next(place for place, row in enumerate(search.rows) if row is chosen)
        search.rows[place] = {**chosen, **again}
    return None


def _calibrate(search: Search, winner: Mapping[str, Any] | None) -> Mapping[str, Any] | None:
    """Return the row of the winner with probabilities that match frequencies; of one that cannot have them its own.

    Students are surer or less sure than their teacher, and what is published is asked for probabilities, too.
    """
    if winner is None or not suits(search.bench.task, "calibrate"):
        return winner
    stage = calibrated(str(winner["name"]))
    attempt(search, stage)
    row = search.row(stage.name)
    return winner if row is None or misses(search.budget, row) else row


def _find_students(teacher: Bundle, dataset: Dataset, config: GrindConfig, init: Bundle | None) -> dict[str, ModelSpec]:
    """Return the models to distill into, by name; the one of the pre-trained encoder's shape begins with it.

    Raises:
        ModelError: There is no such model.
        ConfigError: It cannot be a student.
        MissingExtraError: The packages that train are not installed.
    """
    names = config.students or STUDENTS.get(task_of(dataset).head, ())
    if not config.students and config.is_about_writing:
        names = tuple(name for name in names if resolve(name).family in WRITING_FAMILIES)
    found = {spec.name: spec for spec in (_find_student(model) for model in names)}
    if init is not None:
        found[init.model], _ = start(TrainConfig(), init, dataset)
    _check_writers(teacher, dataset, config, found)
    return found


def _find_student(model: str) -> ModelSpec:
    """Return a model to distill into; that of a folder is named after what is in it, too.

    Raises:
        ModelError: There is no such model.
        ConfigError: It cannot be a student.
        MissingExtraError: The packages that train are not installed.
    """
    spec = check_model(TrainConfig(model=model))
    if spec.family in ONLY_LABELS or spec.is_hub_id:
        raise ConfigError(
            f"The 'students' parameter of grind cannot have {spec.name}.",
            hint="Give ngram, textcnn, bilstm, shapes such as bert-4x312, or a checkpoint's folder; an encoder from "
            "pretrain as --init.",
        )
    if spec.family != "pretrained":
        return spec
    folder = Path(spec.source).resolve()
    # A search that goes on must not take what was made of other weights for that of these.
    return replace(spec, name=f"{spec.name}-{folder_digest(folder)[:8]}", source=str(folder))
