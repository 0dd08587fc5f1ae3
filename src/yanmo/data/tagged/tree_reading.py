"""All rows of treebanks, block by block, as a Dataset has them: words, heads, relations, parts of speech.

Columns: ``id``, ``text`` (the words with a space between), ``raw_label`` (of refused rows), ``label`` and ``kinds``
(relations), ``heads``, ``tags``, ``spaces`` (whether one follows each word where the text stood), ``label_problem``,
``split``, and where the row stands. A sentence that is no tree is refused, and the file and the line of the first one
are said.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import polars as pl

from yanmo.counted import counted
from yanmo.data.decode import check_file, utf8_lines
from yanmo.data.labels import PROBLEM, LabelReader
from yanmo.data.read import FILE, LINE
from yanmo.data.rows import number_rows
from yanmo.data.tagged.conllu import read_conllu
from yanmo.data.tagged.joining import join_words
from yanmo.data.tagged.sentence import WordsRow
from yanmo.data.tagged.survey import DEFAULT_COLUMN, TagKeys
from yanmo.data.tagged.tree_checks import find_problem
from yanmo.data.tagged.unlabeled import UNLABELED_SPLIT, unlabeled_rows
from yanmo.data.tagging import TaggingOptions
from yanmo.errors import ConfigError, DataError
from yanmo.protocols import Task
from yanmo.text.unit_places import UnitRule

__all__ = ["TreeReader"]

logger = logging.getLogger(__name__)

BLOCK_ROWS = 4096
NAMES = pl.List(pl.String)
SCHEMA: dict[str, Any] = {
    "id": pl.String, "text": pl.String, "raw_label": pl.String, "label": NAMES, "kinds": NAMES,
    "heads": pl.List(pl.Int64), "tags": NAMES, "spaces": pl.List(pl.Boolean), PROBLEM: pl.String,
}  # fmt: skip


class TreeReader:
    """Reads CoNLL-U files with trees.

    Args:
        files: Split to files, those of train first.
        options: How the files are read.
        keys: ``label`` is the column of the parts of speech.
        labels: Maps and names relations.

    Attributes:
        task: Whose rows they are.
        rule: What a unit is.

    Raises:
        ConfigError: The files are said to have another format, or other units.
    """

    rule: UnitRule = "words"

    def __init__(
        self, files: Mapping[str, Sequence[Path]], options: TaggingOptions, keys: TagKeys, labels: LabelReader
    ) -> None:
        self.task: Task[Any] = labels.task
        self._options, self._keys, self._labels = options, keys, labels
        self._unlabeled = files.get(UNLABELED_SPLIT, ())
        self._files = {split: paths for split, paths in files.items() if split != UNLABELED_SPLIT}
        if options.tagging not in (None, "conllu"):
            raise ConfigError(
                f"Trees are read from CoNLL-U alone. Got --tagging {options.tagging} instead.",
                hint="Leave it out, and give files in CoNLL-U.",
            )
        if options.units not in (None, self.rule):
            raise ConfigError(
                f"The units of trees are words. Got --units {options.units} instead.", hint="Leave it out."
            )
        # A table of unlabeled texts has such a column; what the key is by default may be said.
        if keys.text not in (None, "text") and not self._unlabeled:
            raise ConfigError(
                "The 'text' parameter of prepare names a column, and CoNLL-U has none for it: a text is its words.",
                hint="Leave it out; --label names the column of the parts of speech.",
            )
        for paths in self._files.values():
            for path in paths:
                check_file(path)

    def rows(self) -> Iterator[pl.DataFrame]:
        """Yield the rows of all splits in blocks, each of one file.

        Raises:
            DataError: A file is no CoNLL-U, or a relation has no name, where relations have names.
        """
        num_rows = 0
        for split, paths in self._files.items():
            for path in paths:
                for block in self._read_file(path, split):
                    yield block if self._keys.name is not None else number_rows(block, num_rows)
                    num_rows += block.height
        yield from unlabeled_rows(self._unlabeled, self._options, self._keys, SCHEMA, num_before=num_rows)

    def read(self, rows: pl.DataFrame) -> pl.DataFrame:
        """Return rows as they are: their labels have been read."""
        return rows

    def order(self, labels: Sequence[str]) -> list[str]:
        """Return a Dataset's relations in their order; say which pairs of relations were not met."""
        self._labels.say_unmet()
        return list(labels)

    def _read_file(self, path: Path, split: str) -> Iterator[pl.DataFrame]:
        counts: Counter[str] = Counter()
        problems: Counter[str] = Counter()
        waiting: list[dict[str, Any]] = []
        tag = self._keys.label or DEFAULT_COLUMN
        lines = utf8_lines(path, self._options.encoding)
        given = read_conllu(path, lines, tag, name=self._keys.name, counts=counts, has_arcs=True)
        num_rows = 0
        for row in given:
            if len(row.arcs) != len(row.words):
                raise DataError(
                    f"{path} line {row.line} has no columns HEAD and DEPREL.", hint="Give CoNLL-U with ten columns."
                )
            waiting.append(self._tree(row, path, problems))
            num_rows += 1
            if len(waiting) == BLOCK_ROWS:
                yield _block(waiting, path, split)
                waiting = []
        if not num_rows:
            raise DataError(f"{path} has no sentence.", hint="Give a file in CoNLL-U.")
        if waiting:
            yield _block(waiting, path, split)
        logger.info("%s: %s.", path, counted(num_rows, "sentence"))
        for what, count in counts.items():
            logger.info("%s: %s: %d.", path, what, count)

    def _tree(self, row: WordsRow, path: Path, problems: Counter[str]) -> dict[str, Any]:
        heads = [int(arc.head) if arc.head.isdecimal() else -1 for arc in row.arcs]
        problem, place = find_problem(row.words, heads)
        relations = []
        for number, arc in enumerate(row.arcs):
            meant = self._labels.meant(arc.relation)
            if not meant or arc.relation == "_":
                problem, place = (problem, place) if problem else ("missing label", number)
            elif meant.startswith("\0"):
                raise self._labels.unnamed(meant, {FILE: str(path), LINE: arc.line})
            relations.append(meant)
        if problem is not None:
            problems[problem] += 1
            if problems[problem] == 1:
                arc = row.arcs[place]
                logger.warning("%s line %d: %s; the head is %r.", path, arc.line, problem, arc.head)
        return {
            "id": row.name,
            "text": " ".join(row.words),
            "raw_label": " ".join(arc.head for arc in row.arcs) if problem else None,
            "label": relations,
            "kinds": relations,
            "heads": heads,
            "tags": row.tags,
            "spaces": _spaces(row),
            PROBLEM: problem,
            LINE: row.line,
        }


def _spaces(row: WordsRow) -> list[bool]:
    """Return whether a space follows each word in the text that was cut into them."""
    _, places = join_words(row, "as written")
    return [end < begin for (_, end), (begin, _) in pairwise([*places, (0, 0)])]


def _block(rows: Sequence[Mapping[str, Any]], path: Path, split: str) -> pl.DataFrame:
    frame = pl.DataFrame({name: pl.Series([row[name] for row in rows], dtype=kind) for name, kind in SCHEMA.items()})
    lines = pl.Series(LINE, [row[LINE] for row in rows], dtype=pl.Int64)
    return frame.with_columns(pl.lit(split).alias("split"), pl.lit(str(path)).alias(FILE), lines)
