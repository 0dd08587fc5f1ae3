"""fastText's files: ``__label__a __label__b text`` on every line; it knows no encodings and no task."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import polars as pl

from yanmo.data.records import RecordBlock
from yanmo.errors import DataError

__all__ = ["FASTTEXT_COLUMNS", "is_fasttext", "read_fasttext_blocks"]

PREFIX = "__label__"
FASTTEXT_COLUMNS = ("label", "text")
LABELS = rf"^((?:{PREFIX}\S+(?:\s+|$))*)"
"""The labels at the beginning of a line; one further on is part of the text."""


def is_fasttext(kind: str, data: bytes) -> bool:
    """Return whether a file is fastText's, by its kind and the beginning of its content in UTF-8."""
    return kind == ".txt" and data.lstrip().startswith(PREFIX.encode())


def read_fasttext_blocks(path: Path, blocks: Iterable[bytes]) -> Iterator[RecordBlock]:
    """Yield labels and texts block by block, and the line of each row.

    Args:
        path: For messages.
        blocks: The content in UTF-8, in pieces of whole characters; blank lines are left out.

    Yields:
        ``label``, the JSON text of a list, and ``text``; int64 line numbers, shape (N,).

    Raises:
        DataError: There are blank lines only.
    """
    rest, line, is_empty = b"", 1, True
    # The empty block at the end says that the last line is whole.
    for piece in itertools.chain(filter(None, blocks), (b"",)):
        *lines, rest = (rest + piece).split(b"\n") if piece else (rest, b"")
        texts = pl.Series([one.decode("utf-8") for one in lines], dtype=pl.String).str.strip_chars()
        places = (texts != "").arg_true()
        if len(places):
            yield _columns(texts.gather(places)), places.to_numpy().astype(np.int64) + line
            is_empty = False
        line += len(lines)
    if is_empty:
        raise DataError(f"{path} has no rows, only blank lines.", hint="Give a file that has rows.")


def _columns(lines: pl.Series) -> dict[str, pl.Series]:
    labels = lines.str.extract(LABELS).str.extract_all(rf"{PREFIX}\S+")
    name = pl.element().str.strip_prefix(PREFIX)
    # As JSON, in which a label may hold a comma.
    quoted = pl.format(
        '"{}"', name.str.replace_all("\\", "\\\\", literal=True).str.replace_all('"', '\\"', literal=True)
    )
    lists = pl.DataFrame({"label": labels.list.eval(quoted).list.join(",")}).select(pl.format("[{}]", "label"))
    return {"label": lists.to_series().alias("label"), "text": lines.str.replace(LABELS, "").alias("text")}
