"""Which reader takes files that say something about the parts of texts: a table by what is said; it reads nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, Protocol

import polars as pl

from yanmo.answers.arcs import Arcs
from yanmo.answers.choices import Choices
from yanmo.data.gather import ReadsLabels
from yanmo.data.labels import LabelReader
from yanmo.data.tagged.reading import TagReader
from yanmo.data.tagged.survey import TagKeys
from yanmo.data.tagged.tree_reading import TreeReader
from yanmo.data.tagging import TaggingOptions
from yanmo.text.unit_places import UnitRule

__all__ = ["ReadsUnits", "open_units"]


class ReadsUnits(ReadsLabels, Protocol):
    """What reads files that say something about the parts of texts."""

    @property
    def rule(self) -> UnitRule:
        """What a unit is."""
        ...

    def rows(self) -> Iterator[pl.DataFrame]:
        """Yield the rows of all splits in blocks, each of one file."""
        ...


Opener = Callable[[Mapping[str, Sequence[Path]], TaggingOptions, TagKeys, LabelReader], ReadsUnits]

READERS: Mapping[type[Any], Opener] = MappingProxyType({Choices: TagReader, Arcs: TreeReader})
"""Form of the task's evidence to what reads its files."""


def open_units(
    files: Mapping[str, Sequence[Path]], options: TaggingOptions, keys: TagKeys, labels: LabelReader
) -> ReadsUnits:
    """Return the reader that suits the task of the labels.

    Args:
        files: Split to files, those of train first.
        options: How the files are read.
        keys: What is read of them.
        labels: Maps and names what stands there.

    Raises:
        DataError: A file cannot be read, or says something else than the others.
        ConfigError: Nothing says which format a file has, or it is not one for the task.
    """
    return READERS[labels.task.form](files, options, keys, labels)
