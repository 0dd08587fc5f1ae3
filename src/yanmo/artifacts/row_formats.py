"""Formats of text files that hold a line for each part of a text: a table by format and form; it knows no model."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any, TypeAlias

import polars as pl

from yanmo.answers.arcs import Arcs
from yanmo.answers.choices import Choices
from yanmo.artifacts.span_table import conll_rows
from yanmo.artifacts.tree_table import conllu_rows

__all__ = ["ROW_FORMATS", "RowWriter"]

RowWriter: TypeAlias = Callable[[pl.DataFrame, pl.Series, Sequence[str]], Iterator[str]]
"""From Predictions, the texts of their rows and all labels to the lines of each row."""

ROW_FORMATS: Mapping[str, Mapping[type[Any], RowWriter]] = MappingProxyType(
    {"conll": {Choices: conll_rows}, "conllu": {Arcs: lambda frame, texts, _: conllu_rows(frame, texts)}}
)
"""Format to what writes it, by the form of the evidence."""
