"""predict: a Bundle answers the texts of files, of a Dataset's split or of standard input; it knows no engine."""

import hashlib
import json
import logging
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import polars as pl
from pydantic import Field

from yanmo.artifacts.base import MANIFEST, Manifest, publish
from yanmo.artifacts.bundle import Bundle
from yanmo.artifacts.dataset import Dataset
from yanmo.artifacts.predictions import Predictions, predictions_frame, write_predictions
from yanmo.data.read import FILE, LINE, ReadOptions, read_table
from yanmo.data.rows import check_ids, file_parents, place
from yanmo.errors import ConfigError, DataError
from yanmo.progress import bar
from yanmo.protocols import FloatArray, Prediction
from yanmo.runtimes.predictor import Item, Predictor, open_bundle
from yanmo.tasks import get_task
from yanmo.verbs.signature import verb

__all__ = ["PredictConfig", "UnsavedPredictions", "predict"]

logger = logging.getLogger(__name__)

WINDOW = 8192
"""Texts that are answered at a time."""
STDIN = Path("-")
TABLE = "table"
NO_ANSWER = "(not sure)"


class PredictConfig(ReadOptions):
    """Where the texts are, and what is written for people."""

    text: str = "text"
    """Column of the text; without a header line a number: 1 is the first column."""

    text_b: str | None = None
    """Column of the second text, for text_pair; by default text_b. On standard input a tab stands between the two."""

    id: str | None = None
    """Column of unique row ids; by default rows are numbered from 1 in reading order."""

    split: str = "test"
    """Which split is answered if the source is a Dataset."""

    format: Literal["csv", "jsonl", "parquet"] = "csv"
    """Format of the table for people, with the texts, beside predictions.parquet."""

    device: str = "cpu"
    """Where a torch Bundle computes, such as cuda."""

    num_threads: int | None = Field(default=None, ge=1)
    """Threads to compute with; by default one for each CPU that this process may use."""


class UnsavedPredictions(Predictions):
    """Predictions that stand in no folder: ``path`` is None."""

    def __init__(self, manifest: Manifest, frame: pl.DataFrame) -> None:
        super().__init__(STDIN, manifest, "")
        self.path = None  # type: ignore[assignment]
        self._frame = frame

    def frame(self) -> pl.DataFrame:
        """Return the rows: ``id``, ``prediction``, ``probability``, ``probabilities``."""
        return self._frame

    def lines(self) -> Iterator[str]:
        """Yield one line a text: the label, or that a cascade abstained, a tab, the probability."""
        for row in _flat_labels(self._frame).select("prediction", "probability").iter_rows():
            yield f"{NO_ANSWER if row[0] is None else row[0]}\t{row[1]:.4f}"

    def summary(self) -> dict[str, Any]:
        """Return what ``--json`` prints: all answers, too."""
        answers = [
            {**row, "probabilities": dict(zip(self.labels, row["probabilities"], strict=True))}
            for row in self._frame.to_dicts()
        ]
        facts = self.manifest.info["summary"]
        return {"kind": self.kind, "path": None, "task": self.task, **facts, "predictions": answers}


@dataclass(frozen=True)
class Source:
    """The rows to answer.

    Attributes:
        frame: String columns ``id``, ``text`` and, for pairs, ``text_b``.
        parents: What the rows come from, by digest.
    """

    frame: pl.DataFrame
    parents: dict[str, str]

    @property
    def items(self) -> list[Item]:
        """What a Predictor takes."""
        columns = [self.frame[name].to_list() for name in ("text", "text_b") if name in self.frame.columns]
        return columns[0] if len(columns) == 1 else list(zip(*columns, strict=True))


@verb
def predict(bundle: Bundle, source: tuple[Path, ...], config: PredictConfig, *, out: Path | None = None) -> Predictions:
    """Let a Bundle answer texts from files, a Dataset or standard input.

    Args:
        bundle: The Bundle that answers.
        source: CSV, TSV, JSONL or Parquet files; or one Dataset; or ``-`` for standard input, one text a line.
        config: Where the texts are, and what is written for people.
        out: Where the Predictions appear; without it they are only returned, and the command line prints them.

    Raises:
        DataError: A file cannot be read, or lacks a column or a text.
        ConfigError: The sources or the columns do not suit the Bundle.
    """
    rows = _read_source(bundle, source, config)
    with open_bundle(bundle, device=config.device, num_threads=config.num_threads) as predictor:
        probabilities_NC, answers, facts = _answer(predictor, rows.items)
        frame = predictions_frame(rows.frame["id"].to_list(), answers, probabilities_NC)
    parents = {"bundle": bundle.digest, **rows.parents}
    identity: dict[str, Any] = {
        "kind": Predictions.kind,
        "task": bundle.task,
        "labels": bundle.labels,
        "parents": parents,
        "config": config.model_dump(mode="json"),
        "info": {"summary": facts},
    }
    if out is None:
        return UnsavedPredictions(Manifest(**identity, versions={}, key="", files={}), frame)
    with publish(out, verb="predict", **identity) as staging:
        write_predictions(staging, frame)
        _write_table(staging, rows.frame, frame, config)
    return Predictions.open(out, verify=False)


def _answer(predictor: Predictor, items: list[Item]) -> tuple[FloatArray, list[Prediction], dict[str, Any]]:
    """Return probabilities_NC, the answers, and what is to be said about the texts."""
    answers: list[Prediction] = []
    probabilities = [np.zeros((0, len(predictor.labels)), dtype=np.float32)]
    num_tokens = num_unknown = num_truncated = 0
    with bar(len(items), "predicting", unit="text") as progress:
        for start in range(0, len(items), WINDOW):
            window = items[start : start + WINDOW]
            probabilities_NC, inference = predictor.infer(window)
            probabilities.append(probabilities_NC)
            answers += predictor.decode(probabilities_NC, inference)
            num_tokens += int(inference.num_tokens_N.sum())
            num_unknown += int(inference.num_unknown_N.sum())
            num_truncated += int(inference.truncated_N.sum())
            progress.update(len(window))
    if num_truncated:
        limit = predictor.bundle.max_length
        logger.warning(
            "%d of %d texts are longer than %d tokens; their ends were not read.", num_truncated, len(items), limit
        )
    facts = {
        "num_rows": len(items),
        "num_truncated": num_truncated,
        "unknown_token_share": round(num_unknown / num_tokens, 6) if num_tokens else None,
    }
    facts |= _stage_facts(answers)
    return np.concatenate(probabilities), answers, facts


def _stage_facts(answers: list[Prediction]) -> dict[str, Any]:
    """Return how many texts each stage of a cascade answered, and how many none did; of other Bundles nothing."""
    counts = Counter(one.stage for one in answers if one.stage is not None)
    if not counts:
        return {}
    return {
        "num_of_stage": {str(stage): counts[stage] for stage in sorted(counts)},
        "num_abstained": sum(one.abstained for one in answers),
    }


def _read_source(bundle: Bundle, source: tuple[Path, ...], config: PredictConfig) -> Source:
    is_pair = get_task(bundle.task).num_texts == 2
    if config.text_b is not None and not is_pair:
        raise ConfigError(
            f"The 'text_b' parameter of predict is for pairs, but {bundle.path} answers single texts.",
            hint="Leave --text-b out.",
        )
    special = [path for path in source if path == STDIN or path.is_dir()]
    if special and len(source) > 1:
        raise ConfigError(
            f"The source of predict must be files, or one Dataset, or '-'. Got '{special[0]}' beside others instead.",
            hint="Call predict once for each.",
        )
    if not special:
        return _read_files(source, config, is_pair=is_pair)
    return _read_stdin(config, is_pair=is_pair) if special[0] == STDIN else _read_dataset(special[0], config, is_pair)


def _read_files(paths: tuple[Path, ...], config: PredictConfig, *, is_pair: bool) -> Source:
    columns = {"text": config.text} | ({"text_b": config.text_b or "text_b"} if is_pair else {})
    columns |= {"id": config.id} if config.id is not None else {}
    table = read_table(paths, config, list(columns.values()))
    frame = table.select(*(pl.col(theirs).alias(ours) for ours, theirs in columns.items()), FILE, LINE)
    for ours, theirs in columns.items():
        missing = frame.filter(pl.col(ours).is_null())
        if missing.height:
            raise DataError(
                f"{place(missing.row(0, named=True))} has no value in the column '{theirs}'.",
                hint="Give every row a value; an empty text is allowed.",
            )
    if config.id is None:
        frame = frame.with_columns(_numbers(frame.height))
    check_ids(frame)
    return Source(frame, file_parents({"source": paths}))


def _read_dataset(path: Path, config: PredictConfig, is_pair: bool) -> Source:
    if not (path / MANIFEST).is_file():
        raise DataError(f"{path} is a folder, but no Dataset.", hint="Name its files, or the folder of a Dataset.")
    dataset = Dataset.open(path)
    frame = dataset.split(config.split)
    if ("text_b" in frame.columns) != is_pair:
        raise DataError(
            f"The Bundle answers {'pairs' if is_pair else 'single texts'}, but {path} is of the task {dataset.task}.",
            hint="Choose a Bundle and a Dataset of one task.",
        )
    names = ["id", "text", "text_b"] if is_pair else ["id", "text"]
    return Source(frame.select(names), {"dataset": dataset.digest})


def _read_stdin(config: PredictConfig, *, is_pair: bool) -> Source:
    data = sys.stdin.buffer.read()
    try:
        text = data.decode(config.encoding)
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise DataError(
            f"Standard input is not {config.encoding}: byte 0x{data[error.start]:02X} at offset {error.start}, "
            f"line {line} ({error.reason}).",
            hint="Say what it is, such as --encoding gb18030.",
        ) from error
    text = text.removeprefix("\ufeff")
    lines = [line.removesuffix("\r") for line in text.removesuffix("\n").split("\n")] if text else []
    if not lines:
        raise DataError("Standard input is empty.", hint="Give one text a line: echo 'a text' | yanmo predict BUNDLE -")
    columns = {"text": lines}
    if is_pair:
        pairs = [line.split("\t") for line in lines]
        wrong = next((number for number, pair in enumerate(pairs, 1) if len(pair) != 2), None)
        if wrong is not None:
            raise DataError(
                f"Line {wrong} of standard input is no pair.", hint="Put one tab between the two texts of a line."
            )
        columns = {"text": [pair[0] for pair in pairs], "text_b": [pair[1] for pair in pairs]}
    frame = pl.DataFrame(columns).with_columns(_numbers(len(lines)))
    return Source(frame, {"source:-": hashlib.sha256(data).hexdigest()})


def _numbers(num_rows: int) -> pl.Series:
    return pl.Series("id", [str(number) for number in range(1, num_rows + 1)], dtype=pl.String)


def _flat_labels(frame: pl.DataFrame) -> pl.DataFrame:
    """Return the rows with lists of labels as JSON text."""
    if frame["prediction"].dtype != pl.List(pl.String):
        return frame
    lists = frame["prediction"].to_list()
    texts = [None if labels is None else json.dumps(labels, ensure_ascii=False) for labels in lists]
    return frame.with_columns(pl.Series("prediction", texts, dtype=pl.String))


def _write_table(folder: Path, rows: pl.DataFrame, frame: pl.DataFrame, config: PredictConfig) -> None:
    """Write ids, texts and answers in the format that people asked for."""
    texts = rows.select(name for name in ("text", "text_b") if name in rows.columns)
    answers = frame.select(name for name in ("prediction", "probability", "stage") if name in frame.columns)
    table = pl.concat([frame.select("id"), texts, answers], how="horizontal")
    path = folder / f"{TABLE}.{config.format}"
    match config.format:
        case "csv":
            _flat_labels(table).write_csv(path)
        case "jsonl":
            table.write_ndjson(path)
        case "parquet":
            table.write_parquet(path, statistics=False)
