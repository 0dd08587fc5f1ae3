"""predict: a Bundle answers the texts of files, of a Dataset's split or of standard input; it knows no engine.

However many they are, only some windows of them are in memory. That does not hold for what is only returned: the
answers themselves. With ``out`` every window that is answered is kept beside it, so that a command that was killed goes
on after the last one; only standard input, which nobody can read again, is answered from its beginning.
"""

import contextlib
import logging
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import polars as pl
from pydantic import Field

from yanmo.artifacts.answer_table import answer_lines, answer_table
from yanmo.artifacts.base import Identity, Manifest, publish
from yanmo.artifacts.bundle import Bundle
from yanmo.artifacts.effects import NO_EFFECTS, Effects
from yanmo.artifacts.frames import FrameWriter
from yanmo.artifacts.ledger import FrameLedger
from yanmo.artifacts.placing import lock, work_dir
from yanmo.artifacts.predictions import PREDICTIONS, Predictions, predictions_frame
from yanmo.artifacts.row_formats import ROW_FORMATS
from yanmo.artifacts.span_table import has_spans, told_spans
from yanmo.artifacts.vector_table import has_vectors
from yanmo.artifacts.work import claim
from yanmo.data.read import ReadOptions
from yanmo.data.rows import file_parents
from yanmo.data.sources import STDIN, Source, open_rows
from yanmo.errors import ArtifactError, ConfigError
from yanmo.measuring.tally import Tally, count_found
from yanmo.progress import bar
from yanmo.runtimes.library import DOCUMENT, Library, document_paths
from yanmo.runtimes.predictor import LongTexts, default_num_threads, open_bundle
from yanmo.runtimes.stream import answer_windows
from yanmo.tasks import task_of
from yanmo.text.inputs import Windows
from yanmo.verbs.signature import verb

__all__ = ["PredictConfig", "UnsavedPredictions", "predict"]

logger = logging.getLogger(__name__)

WINDOW = 8192
"""Texts that are answered at a time, fewer if they are long."""
WINDOW_BYTES = 1 << 22
"""Bytes of texts that are answered at a time, unless one text has more."""
RUNTIME_FIELDS = {"device", "num_threads", "runtime", "long_texts", "window_overlap", "num_beams", "length_penalty"}
TABLE = "table"
ANSWERED = "answered"
"""Folder of the windows that are answered, in the work folder."""


class PredictConfig(ReadOptions):
    """Where the texts are, and what is written for people."""

    text: str = "text"
    """Column of the text, or of the passage; without a header line a number: 1 is the first column."""

    text_b: str | None = None
    """Column of the second text, for pairs; by default as the task calls it. On standard input a tab stands between the
    two."""

    id: str | None = None
    """Column of unique row ids; by default rows are numbered from 1 in reading order."""

    split: str = "test"
    """Which split is answered if the source is a Dataset."""

    documents: Path | None = None
    """Of questions: a folder of .txt and .md files that the answers are looked for in; the sources then hold questions
    alone, which the passages that are most like each are read for."""

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

    fork: bool = Field(default=False, exclude=True)
    """Begin anew where what was cut off answered with another Bundle, other sources or other settings; without it that
    is refused."""


class UnsavedPredictions(Predictions):
    """Predictions that stand in no folder: ``path`` is None."""

    def __init__(self, manifest: Manifest, frame: pl.DataFrame, texts: pl.Series) -> None:
        super().__init__(STDIN, manifest, "")
        self.path = None  # type: ignore[assignment]
        self._frame = frame
        self._texts = texts

    def frame(self) -> pl.DataFrame:
        """Return the rows: ``id``, ``prediction``, ``probability``, ``probabilities``."""
        return self._frame

    def lines(self) -> Iterator[str]:
        """Yield one line a text: the label, or that a cascade abstained, a tab, the probability."""
        yield from answer_lines(self._frame, self._texts, self.labels)

    def summary(self) -> dict[str, Any]:
        """Return what ``--json`` prints: all answers, too."""
        if has_vectors(self._frame):
            answers = self._frame.to_dicts()
        elif has_spans(self._frame):
            rows = self._frame.drop("probabilities", "places", "pointers", strict=False).to_dicts()
            told = told_spans(self._frame, self._texts)
            answers = [{**row, "prediction": spans} for row, spans in zip(rows, told, strict=True)]
        else:
            answers = [
                {**row, "probabilities": dict(zip(self.labels, row["probabilities"], strict=True))}
                for row in self._frame.to_dicts()
            ]
        facts = self.manifest.info["summary"]
        return {"kind": self.kind, "path": None, "task": self.task, **facts, "predictions": answers}


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

    A command with --out that was killed goes on after the last texts that it had answered when it is given again, and
    ends with the same Predictions; what comes from standard input is answered from its beginning.

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
    found = _open_source(bundle, source, config)
    tally = Tally()
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
        answers = list(_show_progress(_answer(bundle, found, config, tally), found.num_rows))
        first = pl.concat([rows[task_of(bundle).inputs[0]] for rows, _ in answers])
        identity.info["summary"] = tally.summary()
        return UnsavedPredictions(identity.manifest(), pl.concat([frame for _, frame in answers]), first)
    with (
        # They end from the last to the first: the table is whole before the folder appears, and only then is the rest
        # removed.
        _kept(out, source, found, config) as kept,
        publish(out, identity, effects=effects) as staging,
        FrameWriter(staging / f"{TABLE}.{config.format}", bom=config.bom) as table,
    ):
        # Of standard input nothing can be taken up again, so its windows go with the staging folder.
        ledger = FrameLedger(kept or staging / ANSWERED)
        for rows, frame in _show_progress(_answer(bundle, found, config, tally, ledger), found.num_rows):
            _write_rows(table, bundle, rows.select(*task_of(bundle).inputs, pl.col(f"^{DOCUMENT}$")), frame, config)
        ledger.put_together(staging / PREDICTIONS)
        shutil.rmtree(staging / ANSWERED, ignore_errors=True)
        identity.info["summary"] = tally.summary()
    return Predictions.open(out, verify=False)


def _write_rows(
    table: FrameWriter, bundle: Bundle, texts: pl.DataFrame, frame: pl.DataFrame, config: PredictConfig
) -> None:
    """Append the answers to some texts to the table for people."""
    if config.format in ROW_FORMATS:
        write = ROW_FORMATS[config.format][task_of(bundle).form]
        table.write_text(write(frame, texts.to_series(), bundle.labels))
        return
    flat_labels = bundle.labels if config.format == "csv" else None
    table.write(answer_table(texts, frame, flat_labels, plain_cells=config.plain_cells))


@contextlib.contextmanager
def _kept(out: Path, source: tuple[Path, ...], found: Source, config: PredictConfig) -> Iterator[Path | None]:
    """Give the folder of the windows that are answered, and remove it when all are published, or where there are none.

    None for standard input, which is another one every time.

    Raises:
        BusyError: Another process answers there.
        ConfigError: They were answered by another Bundle, from other sources or with other settings.
    """
    if source == (STDIN,):
        yield None
        return
    with lock(work_dir(out)) as folder:
        threads = config.num_threads or default_num_threads()
        # Windows are kept by their number, which another order would give to other texts; threads change the last bits.
        order = {"order of the sources": [path.name for path in source], "num_threads": threads}
        claim(folder, parents=found.parents, config={**config.model_dump(mode="json"), **order}, fork=config.fork)
        try:
            yield folder / ANSWERED
        except BaseException:
            # Also what is no Exception: SIGTERM, and Ctrl-C.
            if len(FrameLedger(folder / ANSWERED)):
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
    bundle: Bundle, source: Source, config: PredictConfig, tally: Tally, ledger: FrameLedger | None = None
) -> Iterator[tuple[pl.DataFrame, pl.DataFrame]]:
    """Yield every window's rows and answers, those of the ledger first; say at the end what was cut off."""
    windows = _windows(source)
    with open_bundle(bundle, **config.model_dump(include=RUNTIME_FIELDS)) as predictor:
        if ledger is not None:
            yield from _answered(ledger, windows, tally)
        found = answer_windows if config.documents is None else Library.open(config.documents).answer
        for rows, answers in found(predictor, windows):
            stage_N, column = answers.found.stage_N, predictor.task.column(answers.decided.predictions)
            frame = predictions_frame(rows["id"], column, answers.decided, answers.evidence, stage_N=stage_N)
            counts = count_found(answers.found)
            tally.add(counts)
            if ledger is not None:
                ledger.append(frame, counts)
            yield rows, frame
    if tally["num_truncated"]:
        limit = f"{Windows.max_windows} windows of " if config.long_texts == "windows" else ""
        logger.warning(
            "%d of %d texts are longer than %s%d tokens; their ends were not read.",
            tally["num_truncated"],
            tally["num_rows"],
            limit,
            bundle.max_length,
        )


def _answered(
    ledger: FrameLedger, windows: Iterator[pl.DataFrame], tally: Tally
) -> Iterator[tuple[pl.DataFrame, pl.DataFrame]]:
    """Yield the windows that were answered before the command was cut off.

    Raises:
        ArtifactError: They are of other texts.
    """
    if len(ledger):
        num_rows = sum(counts["num_rows"] for counts in ledger.facts)
        logger.info("%d texts were answered before; the others follow.", num_rows)
    # The ledger first: where it ends, zip has not yet taken a window that nobody would answer.
    for (frame, counts), rows in zip(ledger.read(), windows, strict=False):
        if not frame["id"].equals(rows["id"]):
            raise ArtifactError(
                "The answers that are kept are those of other texts.", hint="Give --fork to begin anew."
            )
        tally.add(counts)
        yield rows, frame


def _windows(source: Source) -> Iterator[pl.DataFrame]:
    for rows in source.blocks():
        # As many rows as have so many bytes on average, at least one.
        size = min(WINDOW, max(WINDOW_BYTES * rows.height // max(int(rows.estimated_size()), 1), 1))
        yield from rows.iter_slices(size)


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


def _open_source(bundle: Bundle, source: tuple[Path, ...], config: PredictConfig) -> Source:
    inputs = task_of(bundle).inputs
    if config.text_b is not None and len(inputs) == 1:
        raise ConfigError(
            f"The 'text_b' parameter of predict is for pairs, but {bundle.path} answers single texts.",
            hint="Leave --text-b out.",
        )
    if config.documents is not None:
        return _open_questions(bundle, source, config, config.documents)
    # What no user names is called as the task calls it.
    first = inputs[0] if config.text == PredictConfig.model_fields["text"].default else config.text
    columns = dict(zip(inputs, (first, config.text_b or inputs[-1]), strict=False))
    named = columns if config.id is None else columns | {"id": config.id}
    return open_rows(source, config, named, inputs=inputs, split=config.split)


def _open_questions(bundle: Bundle, source: tuple[Path, ...], config: PredictConfig, documents: Path) -> Source:
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
    found = open_rows(source, config, named, inputs=(question,), split=config.split)
    found.parents.update(parents)
    return found
