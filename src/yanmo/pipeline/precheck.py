"""What can be known about a stage's work before it runs, cheaply: columns, model names, formats; it trains nothing."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator
from pathlib import Path

from yanmo.artifacts import Dataset
from yanmo.data.decode import CODECS
from yanmo.data.read import DELIMITER_NAMES, DELIMITERS
from yanmo.errors import YanmoError, did_you_mean
from yanmo.models import resolve
from yanmo.pipeline.document import Document
from yanmo.pipeline.plan import Step
from yanmo.verbs.train import check_installed

__all__ = ["precheck"]

Found = tuple[str, str, str | None]


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


def _check_prepare(step: Step) -> Iterator[Found]:
    for one in step.inputs.get("source", ()):
        if isinstance(one, Step) or one.is_dir():
            name = one.name if isinstance(one, Step) else str(one)
            yield "source", f"prepare takes raw files, but '{name}' is an artifact.", "Name a file."
            return
    yield from _check_columns(step, ("text", "text_b", "label", "id"))


def _check_predict(step: Step) -> Iterator[Found]:
    for one in step.inputs.get("source", ()):
        if isinstance(one, Step) and one.stage.verb.output is not Dataset:
            yield "source", f"predict takes raw files or a Dataset, but '{one.name}' makes none.", "Name a Dataset."
            return
    yield from _check_columns(step, ("text", "text_b", "id"))


def _check_columns(step: Step, keys: tuple[str, ...]) -> Iterator[Found]:
    """Look for the columns that a config names in the header lines of delimited files."""
    values = dict(step.config)
    for path in step.sources().get("source", ()) if values["header"] else ():
        header = _read_header(path, values["encoding"], values["delimiter"]) if path.is_file() else None
        for key in keys:
            name = values[key]
            if header is not None and name is not None and name not in header:
                shown = ", ".join(repr(one[:40]) for one in header[:20])
                yield key, f"{path} has no column '{name}'.{did_you_mean(name, header)}", f"It has: {shown}."


def _read_header(path: Path, encoding: str, delimiter: str | None) -> list[str] | None:
    """Return the column names of a delimited file, None where it is of another kind or prepare will refuse it."""
    usual = DELIMITERS.get(path.suffix.lower())
    if usual is None:
        return None
    mark = DELIMITER_NAMES.get(delimiter, delimiter) if delimiter else usual
    try:
        with path.open(encoding=CODECS.get(encoding, encoding), newline="") as file:
            header = next(csv.reader(file, delimiter=mark), None)
    except (OSError, UnicodeError, csv.Error, TypeError, ValueError):
        return None
    return [name.removeprefix("\ufeff") for name in header] if header else None


def _check_model(step: Step) -> Iterator[Found]:
    try:
        check_installed(resolve(dict(step.config)["model"]))
    except YanmoError as error:
        yield "model", error.message, error.hint


def _check_exportable(step: Step) -> Iterator[Found]:
    """Look whether the Bundle to export will be of a format with a graph."""
    for one in step.inputs.get("bundle", ()):
        if isinstance(one, Step) and one.stage.verb.name == "train":
            try:
                form = resolve(dict(one.config)["model"]).format
            except YanmoError:
                continue
            if form != "torch":
                text = f"export takes a torch Bundle, but '{one.name}' makes one of the format {form}."
                yield "bundle", text, f"A Bundle of the format {form} runs without torch as it is: leave it out here."


CHECKS: dict[str, Callable[[Step], Iterator[Found]]] = {
    "prepare": _check_prepare,
    "predict": _check_predict,
    "train": _check_model,
    "export": _check_exportable,
}
