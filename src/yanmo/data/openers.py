"""What opens raw files, by what is decided about in their texts: a table; no verb asks which task it is."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, TypeAlias

import polars as pl

from yanmo.config import build
from yanmo.data.documents import DocumentReader
from yanmo.data.gather import ReadsLabels
from yanmo.data.labels import LabelReader
from yanmo.data.passages import PassageKeys, PassageReader
from yanmo.data.prepare_config import PrepareConfig
from yanmo.data.rows import read_rows
from yanmo.data.tagged.opening import ReadsUnits, open_units
from yanmo.data.tagged.survey import TagKeys
from yanmo.data.targets import TargetReader
from yanmo.protocols import Task
from yanmo.text.pipeline import TextConfig
from yanmo.text.unit_places import UnitRule

__all__ = ["GLOSSARY", "USER_DICT", "open_raw", "open_tagged", "text_config"]

USER_DICT = "user_dict.txt"
"""Name of the user's dictionary inside of an artifact."""
GLOSSARY = "glossary.tsv"
"""Name of the glossary inside of an artifact."""


def text_config(task: Task[Any], config: PrepareConfig, units: UnitRule | None = None) -> TextConfig:
    """Return what is done to the texts of a Dataset.

    Raises:
        ConfigError: A value does not suit another one.
    """
    user_dict = USER_DICT if config.user_dict else None
    # A text that is learned itself stays as it is, unless a step is asked for.
    cleaning = () if task.head == "sequences" else config.cleaning
    values = {
        "cleaning": cleaning,
        "segmenter": config.segmenter,
        "user_dict": user_dict,
        "units": units,
        "max_answer": config.max_answer,
        "prefix": (f"<2{config.target_language}> " if config.target_language else "") + config.prefix,
        "target_cleaning": cleaning if config.clean_targets else (),
        "glossary": GLOSSARY if config.glossary else None,
    }
    return build(TextConfig, values, where="prepare")


def open_tagged(files: dict[str, list[Path]], config: PrepareConfig, labels: LabelReader) -> ReadsUnits:
    """Return what reads files that say something about the parts of texts.

    Args:
        files: Role to files, those of the source first.
        config: How they are read.
        labels: Maps and names kinds.

    Raises:
        DataError: A file cannot be used.
        ConfigError: Nothing says which format a file has.
    """
    # A name that nobody has given is none: the usual ones are looked for.
    keys = TagKeys(config.given("text"), config.given("label"), config.id)
    return open_units(_by_split(files), config, keys, labels)


def _by_split(files: dict[str, list[Path]]) -> dict[str, list[Path]]:
    # Rows of the source are train's until some of them are cut for valid and test.
    return {("train" if role == "source" else role): paths for role, paths in files.items()}


Opened: TypeAlias = tuple[ReadsLabels, Iterable[pl.DataFrame], TextConfig]


def open_raw(task: Task[Any], files: dict[str, list[Path]], config: PrepareConfig) -> Opened:
    """Return what reads the labels, the blocks of rows, and what is done to the texts."""
    labels = LabelReader(
        task, separator=config.label_separator, label_map=config.label_map, label_names=config.label_names
    )
    return OPENERS[task.head](task, files, config, labels)


def _open_units(task: Task[Any], files: dict[str, list[Path]], config: PrepareConfig, labels: LabelReader) -> Opened:
    tagged = open_tagged(files, config, labels)
    return tagged, tagged.rows(), text_config(task, config, tagged.rule)


def _open_documents(task: Task[Any], files: dict[str, list[Path]], config: PrepareConfig, _: LabelReader) -> Opened:
    documents = DocumentReader(task, _by_split(files), config, text=config.text, id=config.id)
    return documents, documents.rows(), text_config(task, config)


def _open_texts(task: Task[Any], files: dict[str, list[Path]], config: PrepareConfig, labels: LabelReader) -> Opened:
    label = None if config.label_columns else config.label
    texts = dict(zip(task.inputs, (config.text, config.text_b), strict=False))
    columns = {**texts, "label": label, "id": config.id}
    ours_to_theirs = {ours: theirs for ours, theirs in columns.items() if theirs is not None}
    blocks = read_rows(_by_split(files), config, ours_to_theirs, config.label_columns)
    return labels, blocks, text_config(task, config)


def _open_passages(
    task: Task[Any],
    files: dict[str, list[Path]],
    config: PrepareConfig,
    labels: LabelReader,  # noqa: ARG001 - one signature
) -> Opened:
    usual = PassageKeys()
    keys = PassageKeys(
        config.given("text") or usual.passage,
        config.given("text_b") or usual.question,
        config.given("label") or usual.answers,
        config.id,
    )
    reader = PassageReader(task, _by_split(files), config, keys)
    return reader, reader.rows(), text_config(task, config, "tokens")


def _open_targets(task: Task[Any], files: dict[str, list[Path]], config: PrepareConfig, _: LabelReader) -> Opened:
    text = text_config(task, config)
    cleaning = text.target_cleaning
    reader = TargetReader(task, _by_split(files), config, text=config.text, id=config.id, cleaning=cleaning)
    return reader, reader.rows(), text


OPENERS: dict[str, Callable[[Task[Any], dict[str, list[Path]], PrepareConfig, LabelReader], Opened]] = {
    "texts": _open_texts,
    "units": _open_units,
    "sequences": _open_documents,
    "trees": _open_units,
    "passages": _open_passages,
    "targets": _open_targets,
    "gaps": _open_documents,
}
"""What is decided about to what opens its files."""
