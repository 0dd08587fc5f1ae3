"""The beginning of a delimited file: Excel's ``sep=`` line and the names of the columns; it knows no rows.

What a file says about itself is taken; what could only be guessed is named with the key that says it.
"""

from __future__ import annotations

import csv
import itertools
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal

from yanmo.data.delimited import Dialect
from yanmo.data.records import missing_column
from yanmo.errors import DataError

__all__ = ["DELIMITER_NAMES", "check_delimiter", "check_header", "peek_line", "split_sep_line"]

DELIMITER_NAMES = {"tab": "\t", "\\t": "\t", "comma": ",", "semicolon": ";", "pipe": "|"}
NAMED = {delimiter: name for name, delimiter in DELIMITER_NAMES.items() if name.isalpha()}
HEAD_BYTES = 1 << 16
"""Bytes of a file in which its first line ends, or is not looked at."""
SEP_LINE = re.compile(rb'"?sep=([ -~\t])"?[;,\t]*(?:\r\n|\n|\r)', re.IGNORECASE)
"""Excel's first line in files that are to open with that delimiter; saved again, it has empty cells behind it."""


def split_sep_line(head: bytes) -> tuple[str | None, int]:
    """Return the delimiter that the first line names and that line's length; None and 0 where there is no such line."""
    found = SEP_LINE.match(head)
    return (found[1].decode("ascii"), found.end()) if found else (None, 0)


def peek_line(blocks: Iterator[bytes]) -> tuple[bytes, Iterator[bytes]]:
    """Return bytes in which the first line ends, unless it is very long; and all blocks, beginning with them."""
    head = b""
    while len(head) < HEAD_BYTES and b"\n" not in head and (block := next(blocks, None)) is not None:
        head += block
    return head, itertools.chain((head,), blocks)


def check_delimiter(path: Path, head: bytes, dialect: Dialect, wanted: Sequence[str]) -> None:
    """Refuse a file whose first line has the wanted names, but at another delimiter or between spaces.

    Args:
        path: For messages.
        head: Bytes in which the first line ends.
        dialect: That the file is to be read with.
        wanted: The names.

    Raises:
        DataError: It has; the hint is the key to give.
    """
    # The head may end within a character.
    line = re.split("[\r\n]", head.decode("utf-8", errors="ignore"), maxsplit=1)[0]
    quoting: Literal[0, 3] = csv.QUOTE_MINIMAL if dialect.quote else csv.QUOTE_NONE
    # Not strict: at the wrong delimiter a quote closes in the middle of a field.
    names = next(csv.reader([line], delimiter=dialect.delimiter, quotechar=dialect.quote, quoting=quoting), [])
    names = [name.strip() for name in names] if dialect.skips_spaces else names
    missing = next((name for name in wanted if name not in names), None)
    other = _other_way(names, wanted) if missing is not None else ""
    if missing is not None and other:
        raise missing_column(str(path), missing, names, more=other)


def check_header(path: Path, names: Sequence[str], wanted: Sequence[str] | None, *, header: bool) -> None:
    """Check that the wanted columns are there, each of them once.

    Args:
        path: For messages.
        names: Of the columns, in order. Those that nobody wants may be empty, or stand twice, as Excel leaves them.
        wanted: The names that are looked for; None: all.
        header: Whether the names stand in the file.

    Raises:
        DataError: One is not there, or stands twice.
    """
    asked = names if wanted is None else wanted
    double = next((name for name in asked if names.count(name) > 1), None)
    if double is not None:
        places = ", ".join(str(place) for place, name in enumerate(names, 1) if name == double)
        raise DataError(
            f"{path} has the column name '{double}' more than once: columns {places}.",
            hint="Rename one of them, or use --no-header and columns by position.",
        )
    missing = next((name for name in asked if name not in names), None)
    if missing is not None:
        more = " If the first line is no header: --no-header, and columns by position." if header else ""
        raise missing_column(str(path), missing, names, more=more)


def _other_way(names: Sequence[str], wanted: Sequence[str]) -> str:
    """Return which key would find all wanted columns in the names, if there is one."""
    if set(wanted) <= {name.strip() for name in names}:
        return " There are spaces around its names: --skip-spaces."
    for delimiter, name in NAMED.items():
        # What was cut at the wrong sign is put together again; which sign that was does not matter to the names.
        if set(wanted) <= {part.strip().strip('"') for one in names for part in one.split(delimiter)}:
            return f" Its names have {delimiter!r} between them: --delimiter {name}."
    return ""
