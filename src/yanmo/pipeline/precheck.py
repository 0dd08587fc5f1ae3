"""What can be known about a stage's work before it runs: bytes, columns, model names, formats; it trains nothing."""

from __future__ import annotations

import csv
import io
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from yanmo.artifacts import Dataset
from yanmo.artifacts.placing import MANIFEST
from yanmo.data.containers import file_kind
from yanmo.data.decode import utf8_blocks
from yanmo.data.fasttext import FASTTEXT_COLUMNS, is_fasttext
from yanmo.data.finding import find_files
from yanmo.data.header import DELIMITER_NAMES, peek_line, split_sep_line
from yanmo.data.labels import LabelReader
from yanmo.data.openers import open_raw, open_tagged
from yanmo.data.prepare_config import PrepareConfig, given_files
from yanmo.data.read import DELIMITERS
from yanmo.data.records import read_jsonl_blocks, read_parquet_blocks
from yanmo.errors import DataError, YanmoError, did_you_mean
from yanmo.models import resolve
from yanmo.pipeline.document import Document
from yanmo.pipeline.plan import Step
from yanmo.protocols import Task
from yanmo.tasks import get_task
from yanmo.training.starting_model import check_model
from yanmo.verbs.prepare import check_config
from yanmo.verbs.pretrain import PretrainConfig, check_encoder

__all__ = ["precheck"]

Finding = tuple[str, str, str | None]

COMPOSITES = {"ensemble": "an ensemble", "cascade": "a cascade"}


def precheck(document: Document, step: Step) -> None:
    """Report what would make a step fail, so far as it can be known without doing its work.

    Args:
        document: Collects the mistakes.
        step: A step whose config and inputs are right by themselves.
    """
    check = CHECKS.get(step.stage.verb.name)
    for key, text, hint in check(step) if check else ():
        path = step.stage.keys("each", key) if key in step.stage.each else step.stage.keys(key)
        document.report(path, f"In the stage '{step.stage.name}': {text}", hint)


def _check_prepare(step: Step) -> Iterator[Finding]:
    for one in step.inputs.get("source", ()):
        if isinstance(one, Step) or (one / MANIFEST).is_file():
            name = one.name if isinstance(one, Step) else str(one)
            yield "source", f"prepare takes raw files, but '{name}' is an artifact.", "Name a file."
            return
    try:
        config = PrepareConfig.model_validate(step.config)
        check_config(config)
    except YanmoError as error:
        yield "verb", error.message, error.hint
        return
    task = get_task(config.task)
    if task.reads_units:
        yield from _check_tagged(step, config, LabelReader(task, separator=config.label_separator))
        return
    if task.head in ("sequences", "gaps"):
        return
    if task.head == "passages":
        yield from _check_passages(step, task, config)
        return
    if task.head == "targets":
        yield from _check_columns(step, ("text", "target", "id"))
        return
    # One column of labels is not looked for where there is one for each of them.
    yield from _check_columns(step, ("text", "text_b", "label_columns" if config.label_columns else "label", "id"))


def _check_passages(step: Step, task: Task[Any], config: PrepareConfig) -> Iterator[Finding]:
    """Read the files of questions about passages once, for their mistakes."""
    try:
        files = list(find_files(step.sources().get("source", ())))
        if files and all(path.is_file() for path in files):
            deque(open_raw(task, {"source": files}, config)[1], maxlen=0)
    except YanmoError as error:
        yield "source", error.message, error.hint


def _check_tagged(step: Step, config: PrepareConfig, labels: LabelReader) -> Iterator[Finding]:
    """Read the files in which parts of texts are labeled once, for their mistakes."""
    try:
        files = list(find_files(step.sources().get("source", ())))
        # A file that another stage makes, or that is not there yet, cannot be looked at.
        found = {role: [path for path in paths if path.is_file()] for role, paths in given_files(config).items()}
        splits = {role: paths for role, paths in found.items() if paths and role != "unlabeled"}
        if files and all(path.is_file() for path in files):
            open_tagged({"source": files, **splits}, config, labels)
    except YanmoError as error:
        yield "source", error.message, error.hint


def _check_predict(step: Step) -> Iterator[Finding]:
    wrong = list(_check_sources(step))
    yield from wrong or _check_columns(step, ("text", "text_b", "id"))


def _check_pretrain(step: Step) -> Iterator[Finding]:
    yield from _check_sources(step)
    try:
        check_encoder(PretrainConfig.model_validate(step.config))
    except YanmoError as error:
        yield "model", error.message, error.hint


def _check_sources(step: Step) -> Iterator[Finding]:
    for one in step.inputs.get("source", ()):
        if isinstance(one, Step) and one.stage.verb.output is not Dataset:
            verb = step.stage.verb.name
            yield "source", f"{verb} takes raw files or a Dataset, but '{one.name}' makes none.", "Name a Dataset."
            return


def _check_columns(step: Step, keys: tuple[str, ...]) -> Iterator[Finding]:
    """Look for the columns that a config names in every file that it names."""
    values = dict(step.config)
    try:
        files = [("source", path) for path in find_files(step.sources().get("source", ()))]
    except DataError as error:
        yield "source", error.message, error.hint
        return
    for role in ("valid", "test", "unlabeled"):
        try:
            files += [(role, path) for path in find_files([values[role]] if values.get(role) else [])]
        except DataError as error:
            yield role, error.message, error.hint
    for role, path in files:
        # Texts without labels need no column of labels.
        keys_here = [key for key in keys if role != "unlabeled" or not key.startswith("label")]
        named = {key: values[key] for key in keys_here if values[key] is not None}
        wanted = [(key, one) for key, value in named.items() for one in ([value] if isinstance(value, str) else value)]
        if not path.is_file():
            continue
        try:
            header = _read_columns(path, values, [name for _, name in wanted])
        except DataError as error:
            yield role, error.message, error.hint
            continue
        for key, name in wanted:
            if header is not None and name not in header:
                shown = ", ".join(repr(one[:40]) for one in header[:20])
                what = f"{path} has no column '{name}'.{did_you_mean(name, header)}"
                yield key, what, f"It has: {shown}."


def _read_columns(path: Path, values: dict[str, Any], wanted: list[str]) -> list[str] | None:
    """Return the column names of a delimited file, None where they are not to be compared.

    Raises:
        DataError: A byte does not fit the encoding; or a JSONL or Parquet file cannot be read or lacks a column.
    """
    extension = file_kind(path, values["file_type"])
    if extension == ".parquet":
        # A deque of no length: read to the end, for its errors alone.
        deque(read_parquet_blocks(path, wanted), maxlen=0)
        return None
    if extension not in (*DELIMITERS, ".jsonl", ".ndjson"):
        return None
    blocks = utf8_blocks(path, values["encoding"])
    if extension not in DELIMITERS:
        deque(read_jsonl_blocks(path, blocks, wanted), maxlen=0)
        return None
    first, blocks = peek_line(blocks)
    deque(blocks, maxlen=0)
    if is_fasttext(extension, first):
        return list(FASTTEXT_COLUMNS)
    if not values["header"]:
        return None
    named, length = split_sep_line(first)
    names = _read_header(first[length:], values["delimiter"] or named or DELIMITERS[extension])
    return [name.strip() for name in names] if names and values["skip_spaces"] else names


def _read_header(data: bytes, delimiter: str) -> list[str] | None:
    """Return the first row, None where prepare will refuse the file."""
    lines = io.TextIOWrapper(io.BytesIO(data), encoding="utf-8", newline="")
    try:
        return next(csv.reader(lines, delimiter=DELIMITER_NAMES.get(delimiter, delimiter)), None)
    # A TypeError is csv's word for a delimiter of several characters.
    except (csv.Error, TypeError, ValueError):
        return None


def _check_model(step: Step) -> Iterator[Finding]:
    try:
        config: Any = step.stage.verb.config_class.model_validate(step.config)
        check_model(config)
    except YanmoError as error:
        yield "model", error.message, error.hint


def _check_exportable(step: Step) -> Iterator[Finding]:
    """Look whether a stage makes an artifact, and the Bundle to export will be of a format with a graph."""
    to = dict(step.config)["to"]
    if to != "onnx":
        text = f"a plain folder, as --to {to} makes it, is no artifact, and so no stage."
        yield "to", text, f"Export it by hand once the pipeline has run: yanmo export BUNDLE --to {to}"
        return
    for one in step.inputs.get("bundle", ()):
        if isinstance(one, Step) and one.stage.verb.name in COMPOSITES:
            kind = one.stage.verb.name
            text = f"export takes the Bundle of one model, but '{one.name}' makes {COMPOSITES[kind]}."
            yield "bundle", text, f"Export its members, then make the {kind} of them."
        # One that begins with a Bundle has its model, which is always torch's.
        elif isinstance(one, Step) and one.stage.verb.name in ("train", "distill") and not one.inputs.get("init"):
            try:
                form = resolve(dict(one.config)["model"]).format
            except YanmoError:
                continue
            if form != "torch":
                text = f"export takes a torch Bundle, but '{one.name}' makes one of the format {form}."
                yield "bundle", text, f"A Bundle of the format {form} runs without torch as it is: leave it out here."


def _check_ensemble(step: Step) -> Iterator[Finding]:
    members, method = step.inputs.get("members", ()), str(dict(step.config)["method"])
    if len(members) < 2:
        text = f"an ensemble needs at least 2 members. Got {len(members)} instead."
        yield "members", text, "Name more stages, or one with 'each'."
    if method.startswith("stacking"):
        yield from _check_folds(members, "members", f"{method} needs members trained with folds")


def _check_audit(step: Step) -> Iterator[Finding]:
    yield from _check_folds(step.inputs.get("bundle", ()), "bundle", "audit needs a Bundle trained with folds")


def _check_folds(sources: tuple[Step | Path, ...], name: str, text: str) -> Iterator[Finding]:
    """Look for stages that train without folds."""
    for one in sources:
        if isinstance(one, Step) and one.stage.verb.name == "train" and not dict(one.config)["folds"]:
            hint = f"Write folds = 5 into the stage '{one.stage.name}'."
            yield name, f"{text}, but '{one.name}' has none.", hint


def _check_cascade(step: Step) -> Iterator[Finding]:
    stages, values = step.inputs.get("stages", ()), dict(step.config)
    if len(stages) < 2 and values["abstain"] is None:
        text = f"a cascade needs at least 2 stages. Got {len(stages)} instead."
        yield "stages", text, "Name more stages from cheap to expensive; with abstain one is enough."
    num_costs = len(values["costs"])
    if num_costs and num_costs != len(stages):
        text = f"'costs' must have {len(stages)} values, one a stage. Got {num_costs} instead."
        yield "costs", text, "Milliseconds of one text in each stage; leave it out and they are measured."


CHECKS: dict[str, Callable[[Step], Iterator[Finding]]] = {
    "prepare": _check_prepare,
    "predict": _check_predict,
    "pretrain": _check_pretrain,
    "train": _check_model,
    "distill": _check_model,
    "export": _check_exportable,
    "ensemble": _check_ensemble,
    "cascade": _check_cascade,
    "audit": _check_audit,
}
