"""Tables (CSV, TSV, Parquet, spreadsheets) in whose cells lists stand: words with their tags, or a text with spans.

A cell is a list as JSON, Python or numpy writes it, or words with spaces between. What a row of lists means, it does
not know.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import msgspec
import polars as pl

from yanmo.artifacts.parquet import read_metadata
from yanmo.data.read import FILE, LINE, ReadOptions, read_blocks
from yanmo.data.tagged.json_spans import SPAN_KEYS, JsonKeys, read_objects
from yanmo.data.tagged.sentence import SpansRow, WordsRow
from yanmo.data.written_values import read_value

__all__ = ["names_inside", "read_tag_table"]

HUGGING_FACE = "huggingface"
"""The key of a Parquet file's metadata under which ``datasets`` says what its columns are."""


def read_tag_table(
    path: Path, options: ReadOptions, keys: JsonKeys, counts: Counter[str]
) -> Iterator[SpansRow | WordsRow]:
    """Yield the rows of a table; arguments and errors are those of ``json_spans.read_json_rows``.

    Args:
        path: The file.
        options: How it is read.
        keys: Which columns are read.
        counts: Is told of texts that several people have labeled.
    """
    given = [keys.text, keys.label, keys.name]
    # Columns of the usual names are looked for among all of them.
    wanted = None if None in given[:2] else [name for name in given if name is not None]
    rows = (
        (int(row.pop(LINE)), {name: cell for name, cell in row.items() if name != FILE})
        for block in read_blocks([path], options, wanted)
        for row in block.iter_rows(named=True)
    )
    yield from read_objects(path, ((line, _worded(cells, keys)) for line, cells in rows), keys, counts)


def names_inside(path: Path, label: str | None) -> Mapping[str, str]:
    """Return the names of numbered tags that a Parquet file says itself, number to name; none of any other file.

    Args:
        path: The file.
        label: The column of the tags; None: the first one of a usual name.
    """
    try:
        told = read_metadata(path).get(HUGGING_FACE, "{}") if path.suffix == ".parquet" else "{}"
        features: dict[str, Any] = msgspec.json.decode(told).get("info", {}).get("features", {})
    except (OSError, pl.exceptions.PolarsError, msgspec.DecodeError, AttributeError):
        return MappingProxyType({})
    # The tags themselves are looked for in this order, too.
    for column in SPAN_KEYS if label is None else (label,):
        feature = features.get(column)
        inner = feature.get("feature", {}) if isinstance(feature, dict) else {}
        if isinstance(inner, dict) and isinstance(inner.get("names"), list):
            return MappingProxyType({str(number): str(name) for number, name in enumerate(inner["names"])})
    return MappingProxyType({})


def _value(cell: str | None) -> Any:
    """Return what a cell holds: a list or an object where it is written as one, else the text that it is."""
    if cell is None or not cell.lstrip().startswith(("[", "{")):
        return cell
    try:
        return read_value(cell)
    # A text may begin like a list, too.
    except ValueError:
        return cell


def _worded(cells: dict[str, Any], keys: JsonKeys) -> dict[str, Any]:
    """Return a row in which words and tags with spaces between are lists; a text beside spans stays a text."""
    row = {name: _value(cell) for name, cell in cells.items()}
    text, label = keys.text_in(row), keys.label_in(row)
    if text is None or label is None:
        return row
    # A text may be a number in brackets; words are a list of texts.
    if isinstance(row[text], list) and not all(isinstance(one, str) for one in row[text]):
        row[text] = cells[text]
    words, tags = row[text], row[label]
    # An empty cell says nothing.
    tags = (tags.split() or None) if isinstance(tags, str) else tags
    # An empty list says that there is no span.
    is_tags = isinstance(tags, list) and bool(tags) and all(isinstance(one, str | int) for one in tags)
    return row | {text: words.split() if isinstance(words, str) and is_tags else words, label: tags}
