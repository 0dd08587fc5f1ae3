"""Which format a file of labeled texts has: the user says it, else its name or its content does; it reads no row."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Literal, TypeAlias

from pydantic import Field

from yanmo.data.containers import SHEETS, kind_of
from yanmo.data.decode import Encoding, check_file, utf8_lines
from yanmo.data.finding import companions
from yanmo.data.read import ReadOptions
from yanmo.errors import ConfigError
from yanmo.text.unit_places import UnitRule

__all__ = ["Tagging", "TaggingOptions", "find_format"]

Tagging: TypeAlias = Literal["conll", "conllu", "segmented", "tagged", "spans", "table", "aligned"]

EXTENSIONS: Mapping[str, Tagging] = MappingProxyType(
    {
        **dict.fromkeys((".conllu", ".conllup"), "conllu"),
        **dict.fromkeys((".conll", ".bio", ".iob", ".iob1", ".iob2", ".bmes", ".bioes", ".bieos", ".ner"), "conll"),
        **dict.fromkeys((".jsonl", ".ndjson", ".json", ".ann"), "spans"),
        **dict.fromkeys((".parquet", ".csv", *SHEETS), "table"),
        ".in": "aligned",
    }
)
HEAD_LINES = 200
TAGGED_WORD = re.compile(r".+[/_][A-Za-z][^/_\s]*")
SPACES = re.compile("[ \t]+")


class TaggingOptions(ReadOptions):
    """How files are read in which the parts of texts are labeled, for the tasks about such parts."""

    tagging: Tagging | None = None
    """Format of files with labeled parts of texts. conll: a word a line in columns. conllu: CoNLL-U. segmented: words
    between spaces. tagged: word/TAG or word_TAG. spans: JSON or brat with offsets. table: CSV, Parquet or a sheet with
    lists of words and tags, or spans, in its cells. aligned: words in a file seq.in, tags in seq.out. By default the
    name says it, or the content."""

    word_column: int = Field(default=1, ge=1)
    """Column of the words in conll, from 1; the label parameter is the number of the tags' column, by default the
    last."""

    units: UnitRule | None = None
    """What is labeled. characters: all but white space. words: what stands between white space. tokens: runs of letters
    and digits, and every other character. By default characters for Chinese and for segmentation, words where each word
    has a tag, else tokens."""


def find_format(path: Path, encoding: Encoding, given: Tagging | None) -> Tagging:
    """Return the format of a file.

    Args:
        path: The file.
        encoding: Of its bytes.
        given: What the user says.

    Raises:
        ConfigError: Neither its name nor its content says it.
    """
    check_file(path)
    if given is not None:
        return given
    kind = kind_of(path)
    if path.name.endswith("seq.in"):
        return "aligned"
    if kind in EXTENSIONS:
        return EXTENSIONS[kind]
    if companions(path):
        return "spans"
    head = list(itertools.islice(utf8_lines(path, encoding), HEAD_LINES))
    found = next((name for name, fits in CONTENTS.items() if fits(head)), None)
    if found is None:
        raise ConfigError(
            f"Nothing says how the parts of the texts are labeled in {path}.",
            hint="Say it: --tagging conll, conllu, segmented, tagged, spans, table or aligned.",
        )
    return found


def _is_conllu(head: Sequence[str]) -> bool:
    rows = [line.split("\t") for line in head if line.strip() and not line.startswith("#")]
    return bool(rows) and all(len(row) == 10 and row[0][:1].isdigit() for row in rows)


def _is_conll(head: Sequence[str]) -> bool:
    rows = [line for line in head if line.strip() and not line.startswith("#")]
    widths = {len(row.split("\t") if "\t" in row else SPACES.split(row.rstrip(" "))) for row in rows}
    # One column is a list of words, and rows without a blank line between are a table.
    return len(widths) == 1 and widths.pop() > 1 and any(not line.strip() for line in head)


def _is_tagged(head: Sequence[str]) -> bool:
    words = [word for line in head for word in line.split()]
    return bool(words) and all(TAGGED_WORD.fullmatch(word) for word in words)


def _is_spans(head: Sequence[str]) -> bool:
    first = next((line.lstrip() for line in head if line.strip()), "")
    return first.startswith(("{", '["', "[{"))


CONTENTS: Mapping[Tagging, Callable[[Sequence[str]], bool]] = MappingProxyType(
    {"conllu": _is_conllu, "conll": _is_conll, "spans": _is_spans, "tagged": _is_tagged}
)
"""Format to whether the first lines can hardly be of another one."""
