"""Texts to learn to write from: plain files cut into documents, tables of texts, prompts with completions; no label.

The ``label`` of a row is how many characters at its beginning are given and not learned: those of its prompt.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import polars as pl

from yanmo.counted import counted
from yanmo.data.containers import file_kind
from yanmo.data.decode import Encoding, check_file, utf8_blocks, utf8_lines
from yanmo.data.labels import PROBLEM
from yanmo.data.read import FILE, LINE, ReadOptions, read_blocks
from yanmo.data.rows import number_rows
from yanmo.errors import ConfigError, DataError
from yanmo.protocols import Task
from yanmo.tasks import TASKS

__all__ = ["DocumentOptions", "DocumentReader", "check_document_keys"]

logger = logging.getLogger(__name__)

BLOCK_CHARACTERS = 1 << 22
"""So many characters of documents are in memory at a time, and the rest of the last one."""
USUAL_TEXT = "text"
"""The column of texts where none is named."""
PLAIN = (".txt", ".text", ".md")

OF_PROMPTS = ("prompt", "completion")
OF_DOCUMENTS = ("documents", *OF_PROMPTS)
OF_LABELS = ("label", "label_columns", "label_map", "label_names")
UNUSED: Mapping[str, tuple[str, ...]] = {
    "sequences": (*OF_LABELS, "cleaning", "segmenter", "user_dict"),
    "gaps": (*OF_LABELS, *OF_PROMPTS),
}
"""What is decided about in texts without labels, to the keys that have no meaning there."""
LEARNED = [name for name, one in TASKS.items() if one.head in UNUSED]

Documents = Literal["lines", "paragraphs", "files"]


class DocumentOptions(ReadOptions):
    """How files are read whose texts are learned themselves, for the tasks without labels."""

    documents: Documents | None = None
    """What a document of a .txt file is, where texts are learned: each of its lines (the default), what stands between
    blank lines (paragraphs), or the whole file (files)."""

    prompt: str | None = None
    """Column of the prompt, where texts are learned: it is read, and only the completion is learned."""

    completion: str | None = None
    """Column of what follows the prompt."""


class DocumentReader:
    """Reads texts without labels block by block.

    Args:
        task: Whose rows they are.
        files: Split to files.
        options: How files are read.
        text: Column of the text in tables.
        id: Column of the ids in tables, None where rows are numbered.
        usual_text: What ``text`` is where the user names no column, which a file without columns may have.
    """

    def __init__(
        self,
        task: Task[Any],
        files: Mapping[str, Sequence[Path]],
        options: DocumentOptions,
        *,
        text: str,
        id: str | None,  # noqa: A002 - the key's name
        usual_text: str = USUAL_TEXT,
    ) -> None:
        self.task, self._usual_text = task, usual_text
        self._files, self._options = files, options
        parts = (text,) if options.prompt is None else (options.prompt, str(options.completion))
        self._columns = {**dict(zip(("first", "second"), parts, strict=False)), **({"id": id} if id else {})}

    def rows(self) -> Iterator[pl.DataFrame]:
        """Yield the rows of all splits in blocks, each of one file.

        Raises:
            DataError: A file cannot be read or lacks a column.
            ConfigError: A plain text file has no columns.
        """
        num_rows = 0
        for split, paths in self._files.items():
            for path in paths:
                before = num_rows
                for block in self._read_file(path):
                    rows = block.with_columns(pl.lit(split).alias("split"))
                    yield rows if "id" in rows.columns else number_rows(rows, num_rows)
                    num_rows += rows.height
                if num_rows == before:
                    raise DataError(f"{path} has no rows, only blank lines.", hint="Give a file that has rows.")
                logger.info("%s: %s", path, counted(num_rows - before, "document"))

    def read(self, rows: pl.DataFrame) -> pl.DataFrame:
        """Return rows with their labels, none of which is refused."""
        label = self.task.parse_labels(rows["raw_label"], None).alias("label")
        return rows.with_columns(label, pl.lit(None, dtype=pl.String).alias(PROBLEM))

    def order(self, labels: Sequence[str]) -> list[str]:
        """Return the labels, of which there are none."""
        return list(labels)

    def _read_file(self, path: Path) -> Iterator[pl.DataFrame]:
        if file_kind(check_file(path), self._options.file_type) not in PLAIN:
            yield from self._read_table(path)
            return
        text = self._columns["first"] if self._options.prompt is None else self._usual_text
        given = {
            "text": None if text == self._usual_text else text,
            "id": self._columns.get("id"),
            "prompt": self._options.prompt,
        }
        wrong = next((name for name, value in given.items() if value is not None), None)
        if wrong is not None:
            raise ConfigError(
                f"The '{wrong}' parameter of prepare names a column, and {path} has none: it is plain text.",
                hint="Give a table, such as .jsonl, or leave the parameter out.",
            )
        yield from _read_plain(path, self._options.encoding, self._options.documents or "lines")

    def _read_table(self, path: Path) -> Iterator[pl.DataFrame]:
        for table in read_blocks([path], self._options, list(self._columns.values())):
            named = table.select(*(pl.col(theirs).alias(ours) for ours, theirs in self._columns.items()), FILE, LINE)
            # A missing completion is a missing text; a prompt may be missing, which is an empty one.
            is_pair = "second" in self._columns
            given = pl.col("first").fill_null("") if is_pair else pl.lit("")
            text = given + pl.col("second") if is_pair else pl.col("first")
            yield named.select(
                *(["id"] if "id" in named.columns else []),
                text.alias("text"),
                given.str.len_chars().cast(pl.String).alias("raw_label"),
                FILE,
                LINE,
            )


def check_document_keys(task: Task[Any], options: DocumentOptions, given: Collection[str]) -> None:
    """Refuse keys that have no meaning for a task, and a prompt without a completion or the other way around.

    Args:
        task: Whatever it is.
        options: How files are read.
        given: The names of all keys that have not their defaults.

    Raises:
        ConfigError: As said.
    """
    is_learned = task.head in UNUSED
    odd = next((name for name in UNUSED.get(task.head, OF_DOCUMENTS) if name in given), None)
    if odd is not None:
        raise ConfigError(
            f"The task {task.name} does not use the '{odd}' parameter.",
            hint="Texts are learned as they are: leave it out, and change the files if they should be other ones."
            if is_learned
            else f"Use --task {' or '.join(LEARNED)}, or leave it out.",
        )
    if (options.prompt is None) != (options.completion is None):
        alone, lacking = ("prompt", "completion") if options.prompt else ("completion", "prompt")
        raise ConfigError(
            f"The '{alone}' parameter of prepare needs the '{lacking}' parameter.",
            hint=f"Give --{lacking}, too; a column of whole texts is --text.",
        )


def _read_plain(path: Path, encoding: Encoding, documents: Documents) -> Iterator[pl.DataFrame]:
    if documents == "files":
        # Every line end is kept, and that there is none behind the last line, too.
        whole = b"".join(utf8_blocks(path, encoding)).decode("utf-8")
        yield _plain_block(path, [whole.replace("\r\n", "\n")], [1])
        return
    texts: list[str] = []
    lines: list[int] = []
    num_characters = 0
    for line, text in _CUTTERS[documents](utf8_lines(path, encoding)):
        texts.append(text)
        lines.append(line)
        num_characters += len(text)
        if num_characters >= BLOCK_CHARACTERS:
            yield _plain_block(path, texts, lines)
            texts, lines, num_characters = [], [], 0
    if texts:
        yield _plain_block(path, texts, lines)


def _plain_block(path: Path, texts: list[str], lines: list[int]) -> pl.DataFrame:
    columns = {"text": texts, "raw_label": ["0"] * len(texts), FILE: [str(path)] * len(texts), LINE: lines}
    return pl.DataFrame(columns, schema_overrides={LINE: pl.Int64})


def _by_line(lines: Iterator[str]) -> Iterator[tuple[int, str]]:
    # A blank line is the end of the one before it, and no document that could be refused.
    return ((number, line) for number, line in enumerate(lines, 1) if line.strip())


def _by_paragraph(lines: Iterator[str]) -> Iterator[tuple[int, str]]:
    found: list[str] = []
    number = 0
    for number, line in enumerate(lines, 1):
        if line.strip():
            found.append(line)
        elif found:
            yield number - len(found), "\n".join(found)
            found = []
    if found:
        yield number - len(found) + 1, "\n".join(found)


_CUTTERS: Mapping[Documents, Callable[[Iterator[str]], Iterator[tuple[int, str]]]] = {
    "lines": _by_line,
    "paragraphs": _by_paragraph,
}
