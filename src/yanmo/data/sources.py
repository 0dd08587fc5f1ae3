"""Texts that are to be answered, block by block: raw files, a Dataset's split, standard input; it knows no model.

Every block has the string columns ``id`` and those that the task reads. Files are read twice, first for their
mistakes alone, so that the last row's is found before the first text is answered.
"""

from __future__ import annotations

import hashlib
import select
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias

import polars as pl

from yanmo.artifacts.dataset import Dataset
from yanmo.artifacts.parquet import count_rows
from yanmo.artifacts.placing import MANIFEST
from yanmo.data.containers import BLOCK_BYTES
from yanmo.data.decode import Decoder, Encoding, WrongByteError
from yanmo.data.plain_lines import line_options
from yanmo.data.read import FILE, LINE, ReadOptions, read_blocks
from yanmo.data.rows import check_blocks, file_parents, number_rows, place
from yanmo.errors import ConfigError, DataError
from yanmo.tasks import task_of

__all__ = ["STDIN", "Seer", "Source", "open_files", "open_rows", "open_stdin"]

STDIN = Path("-")
"""Stands for standard input among paths."""
Seer: TypeAlias = Callable[[pl.DataFrame], object]
"""Is shown every block of a file's rows, with ``_file`` and ``_line``, before the first one is answered."""
GIVE_LINES = "Give one text a line: echo 'a text' | yanmo predict BUNDLE -"


@dataclass(frozen=True)
class Source:
    """The rows to answer.

    Attributes:
        blocks: Yields them.
        num_rows: How many, None if that is not known before they are read.
        parents: What they come from, by digest; whole only when they have been read.
        options: How the files are read that they stand in.
        columns: Our names of the files' columns; without ``id`` rows are numbered.
        names: Of the files, or of the Dataset's folder, in the order in which they were given.
    """

    blocks: Callable[[], Iterator[pl.DataFrame]]
    num_rows: int | None
    parents: dict[str, str] = field(default_factory=dict)
    options: ReadOptions = field(default_factory=ReadOptions)
    columns: Mapping[str, str] = field(default_factory=dict)
    names: Sequence[str] = ()


def open_rows(
    paths: Sequence[Path],
    options: ReadOptions,
    columns: Mapping[str, str],
    *,
    inputs: Sequence[str],
    split: str,
    see: Seer | None = None,
) -> Source:
    """Return the rows of raw files, of a Dataset's split or of standard input.

    Args:
        paths: Files; or the folder of a Dataset, or ``-``, alone.
        options: How files are read.
        columns: Name of a column of ours to that of the files.
        inputs: The columns that are wanted of a Dataset and of lines.
        split: Of a Dataset.
        see: Is shown the rows of files and of a Dataset.

    Raises:
        ConfigError: A Dataset or ``-`` stands beside others.
        DataError: A file or the Dataset cannot be read.
    """
    special = [path for path in paths if path == STDIN or path.is_dir()]
    if special and len(paths) > 1:
        raise ConfigError(
            f"The source of predict must be files, or one Dataset, or '-'. Got '{special[0]}' beside others instead.",
            hint="Call predict once for each.",
        )
    if not special:
        # Who names a column has one.
        plain = line_options(paths, options, inputs) if dict(columns) == {name: name for name in inputs} else None
        if plain is not None:
            options, columns = plain, {name: str(place) for place, name in enumerate(inputs, 1)}
        return open_files(paths, options, columns, see)
    return open_stdin(options.encoding, inputs) if special == [STDIN] else _open_split(special[0], split, inputs, see)


def open_files(
    paths: Sequence[Path], options: ReadOptions, columns: Mapping[str, str], see: Seer | None = None
) -> Source:
    """Return the rows of raw files, after they were read once.

    Args:
        paths: CSV, TSV, JSONL or Parquet files.
        options: How they are read.
        columns: Those that the task reads, perhaps ``id``, to the files' column; without ``id`` rows are numbered.
        see: Is shown the rows.

    Raises:
        DataError: A file cannot be read, or lacks a column or a value, or an id stands twice.
    """

    def blocks() -> Iterator[pl.DataFrame]:
        num_rows, error = 0, None
        for table in read_blocks(paths, options, list(columns.values())):
            rows = table.select(*(pl.col(theirs).alias(ours) for ours, theirs in columns.items()), FILE, LINE)
            error = error or _missing_value(rows, columns)
            yield rows if "id" in columns else number_rows(rows, num_rows)
            num_rows += rows.height
        if error:  # only here, since that no row at all has the column is known at the end, and says more
            raise error

    # The first reading is for mistakes alone; the second one, when answers are made, finds none. What sees it must not
    # see it again, though ids that seem to be equal are read twice.
    seen = iter((see,))
    num_rows = check_blocks(lambda: _shown(blocks(), next(seen, None)), has_ids="id" in columns)
    return Source(blocks, num_rows, file_parents({"source": paths}), options, columns, [path.name for path in paths])


def _shown(blocks: Iterator[pl.DataFrame], see: Seer | None) -> Iterator[pl.DataFrame]:
    for rows in blocks:
        if see is not None:
            see(rows)
        yield rows


def _open_split(path: Path, split: str, inputs: Sequence[str], see: Seer | None) -> Source:
    """Return the rows of a Dataset's split.

    Args:
        path: The folder.
        split: Of the Dataset.
        inputs: The columns that are read.
        see: Is shown the rows.

    Raises:
        DataError: The folder is no Dataset, or of a task that reads other columns.
        ArtifactError: The Dataset has no such split.
    """
    if not (path / MANIFEST).is_file():
        raise DataError(f"{path} is a folder, but no Dataset.", hint="Name its files, or the folder of a Dataset.")
    dataset = Dataset.open(path)
    file = dataset.split_path(split)
    if tuple(task_of(dataset).inputs) != tuple(inputs):
        raise DataError(
            f"The Bundle reads {' and '.join(inputs)}, but {path} is of the task {dataset.task}.",
            hint="Choose a Bundle and a Dataset of one task.",
        )
    columns = {name: name for name in ("id", *inputs)}

    def blocks() -> Iterator[pl.DataFrame]:
        return read_blocks([file], ReadOptions(), list(columns))

    if see is not None:
        for rows in blocks():
            see(rows)
    return Source(blocks, count_rows(file), {"dataset": dataset.digest}, columns=columns, names=[path.name])


def open_stdin(encoding: Encoding, inputs: Sequence[str]) -> Source:
    """Return the lines of standard input as soon as they are there: texts, or pairs with a tab between.

    Args:
        encoding: Of the bytes.
        inputs: The columns that a line holds.

    Reading them raises DataError if there is none, a byte does not fit the encoding, or a line is no pair.
    """
    parents: dict[str, str] = {}

    def blocks() -> Iterator[pl.DataFrame]:
        digest, num_rows = hashlib.sha256(), 0
        for lines in _stdin_lines(encoding, digest.update):
            # Windows ends lines with CR LF, of which the split at LF has left the CR.
            rows = pl.DataFrame({inputs[0]: pl.Series(lines, dtype=pl.String).str.strip_suffix("\r")})
            yield number_rows(_split_line(rows, inputs, num_rows) if len(inputs) > 1 else rows, num_rows)
            num_rows += rows.height
        parents["source:-"] = digest.hexdigest()
        if not num_rows:
            raise DataError("Standard input is empty.", hint=GIVE_LINES)

    return Source(blocks, None, parents)


def _stdin_lines(encoding: Encoding, see: Callable[[bytes], None]) -> Iterator[list[str]]:
    """Yield the lines that are there, as long as any come."""
    # Any bytes: the loop ends only after an empty read, with which the decoder is told that nothing follows.
    decoder, rest, data = Decoder(encoding), "", b"begin"
    while data:
        data = _read_stdin()
        see(data)
        try:
            text = decoder.decode(data, final=not data)
        except WrongByteError as error:
            raise DataError(
                f"Standard input is not {encoding}: {error}.", hint="Say what it is, such as --encoding gb18030."
            ) from error
        *lines, rest = (rest + text).split("\n")
        if lines:
            yield lines
    if rest:
        yield [rest]


def _read_stdin() -> bytes:
    """Return what is there, waiting for it, or nothing at the end."""
    if sys.stdin is None:
        raise DataError("Standard input is closed.", hint=GIVE_LINES)
    # The raw stream: a thread that waits in the buffered one could not be left when the program ends.
    stream = getattr(sys.stdin.buffer, "raw", sys.stdin.buffer)
    try:
        data: bytes | None = None
        while data is None:  # whoever made it may have let it answer at once that there is nothing yet
            data = stream.read(BLOCK_BYTES)
            if data is None:
                select.select([stream], [], [])
    except OSError as error:
        raise DataError(f"Cannot read the standard input: {error.strerror}.", hint=GIVE_LINES) from error
    return data


def _split_line(rows: pl.DataFrame, inputs: Sequence[str], num_before: int) -> pl.DataFrame:
    lines = rows[inputs[0]]
    wrong = (lines.str.count_matches("\t", literal=True) != len(inputs) - 1).arg_true()
    if len(wrong):
        raise DataError(
            f"Line {num_before + wrong[0] + 1} of standard input is no pair.",
            hint="Put one tab between the two texts of a line.",
        )
    return lines.str.split_exact("\t", len(inputs) - 1).struct.rename_fields(list(inputs)).struct.unnest()


def _missing_value(rows: pl.DataFrame, columns: Mapping[str, str]) -> DataError | None:
    for ours, theirs in columns.items():
        if rows[ours].null_count():
            row = rows.filter(pl.col(ours).is_null()).row(0, named=True)
            return DataError(
                f"{place(row)} has no value in the column '{theirs}'.",
                hint="Give every row a value; an empty text is allowed.",
            )
    return None
