"""predict: a Bundle answers the texts of files, of a Dataset's split or of standard input; it knows no engine.

However many they are, only some windows of them are in memory. That does not hold for what is only returned: the
answers themselves. With ``out`` the source is cut into units, and an executor answers them, here or on other machines.
Every unit that is answered is kept beside ``out``, so that a command that was killed answers only what is missing;
standard input, which nobody can read again, is answered here and from its beginning.
"""

import contextlib
import logging
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import polars as pl
from pydantic import Field

from yanmo.artifacts.answer_table import answer_lines
from yanmo.artifacts.base import Identity, publish
from yanmo.artifacts.bundle import Bundle
from yanmo.artifacts.effects import NO_EFFECTS, Effects
from yanmo.artifacts.ledger import PartLedger
from yanmo.artifacts.placing import lock, work_dir
from yanmo.artifacts.predictions import Predictions, StoredPredictions
from yanmo.artifacts.row_formats import ROW_FORMATS
from yanmo.artifacts.stored_ledger import StoredLedger, work_mark
from yanmo.artifacts.unsaved_predictions import UnsavedPredictions
from yanmo.artifacts.work import claim, work_facts
from yanmo.data.read import ReadOptions
from yanmo.data.rows import file_parents
from yanmo.data.sources import STDIN, Seer, Source, open_rows
from yanmo.errors import ConfigError
from yanmo.executors.answering import AnswerJob, TableStyle, answer_frames
from yanmo.executors.choice import HERE, ExecutorAddress, is_on_this_machine, open_executor
from yanmo.executors.jobs import Executor
from yanmo.executors.parts import answer_missing, answer_stream, put_together
from yanmo.executors.places import ArtifactPlace
from yanmo.executors.tally import Tally
from yanmo.executors.units import Grid, cut_windows
from yanmo.progress import bar
from yanmo.protocols import AnswerSearch
from yanmo.runtimes.library import document_paths
from yanmo.runtimes.predictor import LongTexts, default_num_threads, open_bundle
from yanmo.tasks import task_of
from yanmo.text.inputs import Windows
from yanmo.verbs.signature import verb

__all__ = ["PredictConfig", "predict"]

logger = logging.getLogger(__name__)

RUNTIME_FIELDS = {"device", "num_threads", "runtime", "long_texts", "window_overlap", *AnswerSearch.__struct_fields__}
ANSWERED = "answered"
"""Folder of the units that are answered, in the work folder."""


class PredictConfig(ReadOptions):
    """Where the texts are, and what is written for people."""

    text: str = "text"
    """Column of the text, or of the passage; without a header line a number: 1 is the first column."""

    text_b: str | None = None
    """Column of the second text, for pairs; by default as the task calls it. On standard input a tab stands between the
    two."""

    id: str | None = None
    """Column of unique row ids; by default rows are numbered from 1 in reading order."""

    documents: Path | None = None
    """Of questions: a folder of .txt and .md files that the answers are looked for in; the sources then hold questions
    alone, which the passages that are most like each are read for."""

    split: str = "test"
    """Which split is answered if the source is a Dataset."""

    format: Literal["csv", "jsonl", "parquet", "conll", "conllu"] = "csv"
    """Format of the table for people, with the texts, beside predictions.parquet; conll, a unit and its tag a line, for
    tasks about the units of texts; conllu, for trees."""

    bom: bool = False
    """Whether table.csv begins with a byte order mark, by which Excel knows that it is UTF-8."""

    plain_cells: bool = False
    """Whether an apostrophe is put before a text of table.csv that begins with = + - @ or a tab, so that no spreadsheet
    takes it for a formula."""

    device: str = "cpu"
    """Where a torch Bundle computes, such as cuda."""

    num_threads: int | None = Field(default=None, ge=1)
    """Threads to compute with; by default one for each CPU that this process may use."""

    runtime: str | None = None
    """Engine of an ONNX Bundle: onnxruntime (the default), openvino, or auto, which times those that are installed."""

    long_texts: LongTexts = "truncate"
    """Of a text that is longer than the model reads: truncate reads its beginning; windows reads all of it in
    overlapping windows and pools their scores."""

    window_overlap: float = Field(default=Windows.overlap, ge=0, lt=1)
    """Share of a window that the one before it has, too."""

    num_beams: int | None = Field(default=None, ge=1, le=64)
    """Of a model that writes texts for others, beginnings of each that are kept, and candidates that it tells; 1 always
    takes the likeliest token. By default those of the Bundle."""

    length_penalty: float | None = Field(default=None, ge=-10, le=10)
    """Of the same with beams, the power of the number of tokens by which likelihoods are divided: above 0 longer texts
    win more."""

    end_repeats: int | None = Field(default=None, ge=2)
    """Of the same without beams: a text is over once its last tokens have come so many times in a row, and more often
    than any characters do in the text that is read. By default only its end and the most tokens end one."""

    executor: ExecutorAddress = HERE
    """Who answers, for what is written with out: local, this process; local:N, N processes of this machine;
    ray://HOST:PORT, the machines of a Ray cluster. The answers are the same; with more than one process num_threads is
    that of each, on a cluster by default 1."""

    fork: bool = Field(default=False, exclude=True)
    """Begin anew where what was cut off answered with another Bundle, other sources or other settings; without it that
    is refused."""


@verb
def predict(
    bundle: Bundle,
    source: tuple[Path, ...],
    config: PredictConfig,
    *,
    out: Path | None = None,
    effects: Effects = NO_EFFECTS,
) -> Predictions:
    """Let a Bundle answer texts from files, a Dataset or standard input.

    A command with --out that was killed answers only what is missing when it is given again, and ends with the same
    Predictions; what comes from standard input is answered from its beginning.

    Args:
        bundle: The Bundle that answers.
        source: CSV, TSV, JSONL or Parquet files; or one Dataset; or ``-`` for standard input, one text a line.
        config: Where the texts are, and what is written for people.
        out: Where the Predictions appear; without it they are only returned, and the command line prints them.
        effects: Key and replacement of the call.

    Raises:
        DataError: A file cannot be read, or lacks a column or a text.
        ConfigError: The sources or the columns do not suit the Bundle, or what was cut off was other work.
        BusyError: Another process makes the same Predictions.
    """
    _check_table(bundle, config, out)
    grid = Grid(task_of(bundle).inputs)
    found = _open_source(bundle, source, config, grid if out is not None else None)
    found.parents["bundle"] = bundle.digest
    identity = Identity(
        kind=Predictions.kind,
        verb="predict",
        task=bundle.task,
        labels=bundle.labels,
        parents=found.parents,
        config=config.model_dump(mode="json"),
    )
    if out is None:
        return _answer_unsaved(bundle, found, config, identity)
    if effects.destination is not None and source != (STDIN,):
        return _answer_at(effects.destination, bundle, found, config, grid, identity=identity, effects=effects)
    with (
        open_executor(config.executor, config.num_threads) as executor,
        # They end from the last to the first: the table is whole before the folder appears, and only then is the rest
        # removed.
        _kept(out, source, found, config, executor) as kept,
        publish(out, identity, effects=effects) as staging,
    ):
        # Of standard input nothing can be taken up again, so its parts go with the staging folder.
        ledger = PartLedger((kept or staging) / ANSWERED)
        job = _job(bundle, found, config, executor, str(ledger.folder.absolute()))
        if kept is None:
            answer_stream(job, found.blocks(), ledger)
        else:
            answer_missing(job, grid.units(found.options), executor, ledger)
        identity.info["summary"] = _finish(ledger, staging, bundle, config, job.table)
    return Predictions.open(out, verify=False)


def _answer_unsaved(bundle: Bundle, found: Source, config: PredictConfig, identity: Identity) -> UnsavedPredictions:
    tally = Tally()
    answers = list(_show_progress(_answer(bundle, found, config, tally), found.num_rows))
    first = pl.concat([rows[task_of(bundle).inputs[0]] for rows, _ in answers])
    identity.info["summary"] = tally.summary()
    return UnsavedPredictions(identity.manifest(), pl.concat([frame for _, frame in answers]), first)


def _answer_at(
    address: str,
    bundle: Bundle,
    found: Source,
    config: PredictConfig,
    grid: Grid,
    *,
    identity: Identity,
    effects: Effects,
) -> Predictions:
    """Let whoever answers write parts to an address, where they stay."""
    with open_executor(config.executor, config.num_threads) as executor:
        work = work_facts(found.parents, _settings(found, config, executor))
        job = _job(bundle, found, config, executor, address, work_mark(work))
        # Whether it can be done at all is found out before anything is removed for it.
        if (effects.replace or config.fork) and is_on_this_machine(config.executor):
            with job.open():
                pass
        ledger = StoredLedger(address, work, replace=effects.replace, fork=config.fork)
        answer_missing(job, grid.units(found.options), executor, ledger)
    tally = Tally.of(ledger.parts)
    identity.info["summary"] = tally.summary()
    _say_truncated(tally, bundle, config)
    return StoredPredictions(address, *ledger.publish(identity, key=effects.key))


def _finish(
    ledger: PartLedger, staging: Path, bundle: Bundle, config: PredictConfig, table: TableStyle
) -> dict[str, Any]:
    """Put all parts together, and return what is known of their texts; say what was cut off of them."""
    tally = Tally.of(ledger.parts)
    put_together(ledger, staging, table)
    shutil.rmtree(staging / ANSWERED, ignore_errors=True)
    _say_truncated(tally, bundle, config)
    return tally.summary()


def _job(
    bundle: Bundle, source: Source, config: PredictConfig, executor: Executor, parts: str, mark: str = ""
) -> AnswerJob:
    """Return what is asked of whoever answers, who writes to a folder or an address."""
    threads = {"num_threads": config.num_threads or executor.num_threads}
    return AnswerJob(
        bundle=ArtifactPlace.of(bundle),
        runtime={**config.model_dump(include=RUNTIME_FIELDS), **threads},
        options=source.options,
        columns=source.columns,
        parts=parts,
        table=TableStyle(config.format, config.bom, config.plain_cells),
        documents=None if config.documents is None else str(config.documents.absolute()),
        mark=mark,
    )


def _settings(found: Source, config: PredictConfig, executor: Executor) -> dict[str, Any]:
    """Return all that answers depend on but Bundle and sources."""
    threads = config.num_threads or executor.num_threads or default_num_threads()
    # Units are kept by their number, which another order would give to other texts; threads change the last bits.
    order = {"order of the sources": list(found.names), "num_threads": threads}
    return {**config.model_dump(mode="json"), **order}


@contextlib.contextmanager
def _kept(
    out: Path, source: tuple[Path, ...], found: Source, config: PredictConfig, executor: Executor
) -> Iterator[Path | None]:
    """Give the folder of the units that are answered, and remove it when all are published, or where there are none.

    None for standard input, which is another one every time.

    Raises:
        BusyError: Another process answers there.
        ConfigError: They were answered by another Bundle, from other sources or with other settings.
    """
    if source == (STDIN,):
        yield None
        return
    with lock(work_dir(out)) as folder:
        claim(folder, parents=found.parents, config=_settings(found, config, executor), fork=config.fork)
        try:
            yield folder
        except BaseException:
            # Also what is no Exception: SIGTERM, and Ctrl-C.
            if len(PartLedger(folder / ANSWERED)):
                logger.info("What is answered is kept in %s: the same command goes on from there.", folder)
            else:
                shutil.rmtree(folder, ignore_errors=True)
            raise
        shutil.rmtree(folder, ignore_errors=True)


@predict.prints
def _print(bundle: Bundle, source: tuple[Path, ...], config: PredictConfig) -> Iterator[str]:
    """Yield the lines of every window, in one string, as soon as it is answered."""
    _check_table(bundle, config, None)
    first = task_of(bundle).inputs[0]
    for rows, frame in _answer(bundle, _open_source(bundle, source, config), config, Tally()):
        yield "\n".join(answer_lines(frame, rows[first], bundle.labels))


def _answer(
    bundle: Bundle, source: Source, config: PredictConfig, tally: Tally
) -> Iterator[tuple[pl.DataFrame, pl.DataFrame]]:
    """Yield every window's rows and answers; say at the end what was cut off."""
    inputs = task_of(bundle).inputs
    windows = (window for rows in source.blocks() for window in cut_windows(rows, inputs))
    with open_bundle(bundle, **config.model_dump(include=RUNTIME_FIELDS)) as predictor:
        for rows, frame, counts in answer_frames(predictor, windows, config.documents):
            tally.add(counts)
            yield rows, frame
    _say_truncated(tally, bundle, config)


def _say_truncated(tally: Tally, bundle: Bundle, config: PredictConfig) -> None:
    if tally["num_truncated"]:
        limit = f"{Windows.max_windows} windows of " if config.long_texts == "windows" else ""
        logger.warning(
            "%d of %d texts are longer than %s%d tokens; their ends were not read.",
            tally["num_truncated"],
            tally["num_rows"],
            limit,
            bundle.max_length,
        )


def _show_progress(
    answers: Iterator[tuple[pl.DataFrame, pl.DataFrame]], num_rows: int | None
) -> Iterator[tuple[pl.DataFrame, pl.DataFrame]]:
    with bar(num_rows, "predicting", unit="text") as progress:
        for rows, frame in answers:
            yield rows, frame
            # Counted when whoever asked comes for the next ones: by then these are written.
            progress.update(frame.height)


def _check_table(bundle: Bundle, config: PredictConfig, out: Path | None) -> None:
    """Refuse what is about a table.csv that is not written, and a table that does not suit the task.

    Raises:
        ConfigError: As said.
    """
    task = task_of(bundle)
    if config.format in ROW_FORMATS and not (task.reads_units and task.form in ROW_FORMATS[config.format]):
        raise ConfigError(
            f"The 'format' parameter of predict must be csv, jsonl or parquet for {bundle.path}. "
            f"Got {config.format!r} instead.",
            hint="conll holds a tag for every unit of a text, conllu a tree; this model answers otherwise.",
        )
    for name in ("bom", "plain_cells"):
        if getattr(config, name) and (out is None or config.format != "csv"):
            raise ConfigError(
                f"The '{name}' parameter of predict is for table.csv, which is not written.",
                hint="Give --out and --format csv, or leave it out.",
            )
    if out is None and config.executor != HERE:
        raise ConfigError(
            f"The 'executor' parameter of predict must be '{HERE}' where nothing is written. "
            f"Got {config.executor!r} instead.",
            hint="Give --out: what several processes answer is put together there.",
        )


def _open_source(bundle: Bundle, source: tuple[Path, ...], config: PredictConfig, grid: Grid | None = None) -> Source:
    inputs = task_of(bundle).inputs
    if config.text_b is not None and len(inputs) == 1:
        raise ConfigError(
            f"The 'text_b' parameter of predict is for pairs, but {bundle.path} answers single texts.",
            hint="Leave --text-b out.",
        )
    see = None if grid is None else grid.see
    if config.documents is not None:
        return _open_questions(bundle, source, config, config.documents, see)
    # What no user names is called as the task calls it.
    first = inputs[0] if config.text == PredictConfig.model_fields["text"].default else config.text
    columns = dict(zip(inputs, (first, config.text_b or inputs[-1]), strict=False))
    named = columns if config.id is None else columns | {"id": config.id}
    return open_rows(source, config, named, inputs=inputs, split=config.split, see=see)


def _open_questions(
    bundle: Bundle, source: tuple[Path, ...], config: PredictConfig, documents: Path, see: Seer | None
) -> Source:
    """Return questions without their passages.

    Raises:
        ConfigError: The Bundle answers no questions about passages.
        DataError: The folder has no documents.
    """
    task = task_of(bundle)
    if task.head != "passages":
        raise ConfigError(
            f"The 'documents' parameter of predict is for questions, but {bundle.path} answers {task.name}.",
            hint="Leave --documents out.",
        )
    parents = file_parents({"documents": document_paths(documents)})
    _, question = task.inputs
    named = {question: config.text_b or question} | ({} if config.id is None else {"id": config.id})
    found = open_rows(source, config, named, inputs=(question,), split=config.split, see=see)
    found.parents.update(parents)
    return found
