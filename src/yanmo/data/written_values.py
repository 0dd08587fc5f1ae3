"""Lists and tables in cells: JSON, or as Python and numpy write them; it knows no columns and no labels."""

from __future__ import annotations

import ast
import io
import json
import re
import tokenize
from typing import Any

import msgspec
import polars as pl

__all__ = ["lists_as_json", "read_value", "read_written", "shortened"]

BEGINS = r"^\s*(?:(?:array|tensor)\()?[\[({]"
SAYING = (tokenize.STRING, tokenize.NUMBER, tokenize.NAME, tokenize.OP)
"""Tokens of Python that say something: no line end is among them."""
VALUES = (tokenize.STRING, tokenize.NUMBER, tokenize.NAME)
OPENING, CLOSING = ("[", "(", "{"), ("]", ")", "}")
NEITHER = "no list and no table"
NOTHING = ("nan", "NaN", "NA")
LEFT_OUT = re.compile(r",?\s*\.\.\.")
"""Where numpy leaves the middle of a long array out."""


def read_value(cell: str) -> Any:
    """Return the list or table in a cell, as JSON or as :func:`read_written` reads it.

    Raises:
        ValueError: It is neither.
    """
    try:
        return msgspec.json.decode(cell)
    except (msgspec.DecodeError, RecursionError):
        return read_written(cell)


def read_written(cell: str) -> Any:
    """Return the list or table in a cell as Python or numpy writes it: ``['a', 'b']``, ``[1. 0.]``, ``array([1, 0])``.

    Raises:
        ValueError: It is none.
    """
    try:
        tree = ast.parse(_with_commas(cell), mode="eval").body
    # What is written deeper than Python reads is no list of anything either.
    except (SyntaxError, tokenize.TokenError, RecursionError, MemoryError) as error:
        raise ValueError(NEITHER) from error
    if not isinstance(tree, ast.List | ast.Tuple | ast.Set | ast.Dict | ast.Call):
        raise ValueError(NEITHER)  # noqa: TRY004 - it is what the cell says that is wrong
    return _value(tree)


def lists_as_json(cells: pl.Series) -> pl.Series:
    """Return cells in which lists and tables are JSON, however they were written; other cells stay as they are."""
    read = {}
    for cell in cells.filter(cells.str.contains(BEGINS).fill_null(value=False)).unique(maintain_order=True):
        try:
            msgspec.json.decode(cell)
        except (msgspec.DecodeError, RecursionError):
            try:
                read[cell] = json.dumps(read_written(cell), ensure_ascii=False)
            # A text may begin like a list, too.
            except ValueError:
                continue
    return cells.replace(read) if read else cells


def shortened(cells: pl.Series) -> pl.Series:
    """Return which cells are lists of which numpy wrote the beginning and the end alone; False for null."""
    candidates = cells.filter(
        (cells.str.contains(BEGINS) & cells.str.contains("...", literal=True)).fill_null(value=False)
    )
    found = [cell for cell in candidates.unique() if _is_list(LEFT_OUT.sub("", cell))]
    return cells.is_in(found).fill_null(value=False)


def _is_list(cell: str) -> bool:
    try:
        read_written(cell)
    except ValueError:
        return False
    return True


def _with_commas(cell: str) -> str:
    """Return a list with the commas that numpy leaves out; without them Python would make one text of two."""
    said: list[str] = []
    depth, was_value = 0, False
    for token in tokenize.generate_tokens(io.StringIO(cell.strip()).readline):
        if token.type not in SAYING:
            continue
        is_value = token.type in VALUES
        if was_value and depth and (is_value or token.string == "["):
            said.append(",")
        depth += (token.string in OPENING) - (token.string in CLOSING)
        was_value = is_value or token.string == "]"
        said.append(token.string)
    return " ".join(said)


def _value(node: ast.expr) -> Any:
    """Return what an expression is, if it is no more than a value.

    Raises:
        ValueError: It is more.
    """
    match node:
        case ast.Constant(str() | int() | float() | None as value):
            return value
        case ast.Name(name) if name in NOTHING:
            return None
        case ast.UnaryOp(ast.USub(), ast.Constant(int() | float() as value)):
            return -value
        case ast.List(elements) | ast.Tuple(elements) | ast.Set(elements):
            return [_value(one) for one in elements]
        case ast.Dict(keys, values) if all(isinstance(key, ast.Constant) for key in keys):
            return {str(_value(key)): _value(value) for key, value in zip(keys, values, strict=True) if key}
        case ast.Call(ast.Name("array" | "tensor"), [ast.List() as elements]):
            return _value(elements)
    raise ValueError(NEITHER)
