"""All rows of files in which parts of texts are labeled, block by block, as a Dataset has them; it knows no format.

Columns: ``id``, ``text``, ``raw_label`` (of refused rows, the spans as JSON), ``label`` (a tag a unit), ``kinds`` (one
a span), ``label_problem``, ``split``, and where the row stands. What is repaired is counted and said once a file.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import polars as pl

from yanmo.counted import counted
from yanmo.data.labels import PROBLEM, UNNAMED, LabelReader
from yanmo.data.read import FILE, LINE
from yanmo.data.rows import number_rows
from yanmo.data.tagged.joining import join_words, merge_multiwords
from yanmo.data.tagged.laying import Laid, lay_spans
from yanmo.data.tagged.offsets import convert_spans
from yanmo.data.tagged.sentence import SpansRow, TaggedText, WordsRow
from yanmo.data.tagged.survey import (
    Manner,
    SurveyedFile,
    TagKeys,
    as_form,
    choose_manner,
    given_rows,
    survey_file,
)
from yanmo.data.tagged.tag_sequences import WORD, read_tags
from yanmo.data.tagged.unlabeled import UNLABELED_SPLIT, unlabeled_rows
from yanmo.data.tagging import TaggingOptions
from yanmo.text.unit_places import UnitRule, unit_places

__all__ = ["TagReader"]

logger = logging.getLogger(__name__)

BLOCK_CHARACTERS = 1 << 17
OUTSIDE = "O"
REPAIRED = "tags break the rules of their scheme (IOB1, or I- after O) and were repaired"
WITHOUT_LABEL = "units without a label are left out of training and measures"
REPEATED = "spans that are given more than once count once"
TRIMMED = "spans begin or end with white space, which is left out"
BLANK = "words of white space alone are no units"
TAGS = pl.List(pl.String)
SCHEMA: dict[str, Any] = {
    "id": pl.String, "text": pl.String, "raw_label": pl.String, "label": TAGS, "kinds": TAGS, PROBLEM: pl.String,
}  # fmt: skip


class TagReader:
    """Reads files in which parts of texts are labeled; to make one reads all of them once, for their mistakes.

    Args:
        files: Split to files, those of train first. Those of ``unlabeled`` are tables, as for every other task.
        options: How the files are read.
        keys: What is read of them.
        labels: Maps and names kinds.

    Attributes:
        manner: How the rows are made: what is said, of which units, in which tags.

    Raises:
        DataError: A file cannot be read, or says something else than the others.
        ConfigError: Nothing says which format a file has.
    """

    def __init__(
        self, files: Mapping[str, Sequence[Path]], options: TaggingOptions, keys: TagKeys, labels: LabelReader
    ) -> None:
        self.task = labels.task
        self._labels, self._options = labels, options
        # Numbers are names of tags, and not of the kinds of spans that tags are about.
        self._keys = keys = replace(keys, tag_names=labels.take_numbered())
        self._unlabeled = files.get(UNLABELED_SPLIT, ())
        self._files = [
            (split, survey_file(path, options, keys))
            for split, paths in files.items()
            if split != UNLABELED_SPLIT
            for path in paths
        ]
        surveyed = [file for _, file in self._files]
        num_source = sum(split == self._files[0][0] for split, _ in self._files)
        self.manner: Manner = choose_manner(surveyed, num_source, options.units)

    @property
    def rule(self) -> UnitRule:
        """What a unit is."""
        return self.manner.rule

    def rows(self) -> Iterator[pl.DataFrame]:
        """Yield the rows of all splits in blocks, each of one file.

        Raises:
            DataError: A kind has no name, where kinds have names; or a table of texts without labels cannot be read.
        """
        num_rows = 0
        for split, file in self._files:
            for block in self._read_file(file, split):
                yield block if self._keys.name is not None else number_rows(block, num_rows)
                num_rows += block.height
        yield from unlabeled_rows(self._unlabeled, self._options, self._keys, SCHEMA, num_before=num_rows)

    def read(self, rows: pl.DataFrame) -> pl.DataFrame:
        """Return rows as they are: their labels have been read."""
        return rows

    def order(self, labels: Sequence[str]) -> list[str]:
        """Return a Dataset's labels in their order; say which pairs of labels were not met."""
        self._labels.say_unmet()
        return list(labels)

    def _read_file(self, file: SurveyedFile, split: str) -> Iterator[pl.DataFrame]:
        counts: Counter[str] = Counter()
        shown: Counter[str] = Counter()
        file = as_form(file, self.manner.form)
        texts: list[TaggedText] = []
        num_rows = num_characters = 0
        for given in given_rows(file.path, file.tagging, self._options, self._keys, shown):
            texts.append(self._tagged(given, file, counts))
            num_rows += 1
            num_characters += len(texts[-1].text or "")
            if num_characters >= BLOCK_CHARACTERS:
                yield self._block(texts, file, split, counts)
                texts, num_characters = [], 0
        if texts:
            yield self._block(texts, file, split, counts)
        _say(file, num_rows, self.manner, counts, shown)

    def _tagged(self, given: SpansRow | WordsRow, file: SurveyedFile, counts: Counter[str]) -> TaggedText:
        """Return a row with its spans in characters of its text, its kinds mapped and named."""
        tagged = (
            convert_spans(given, file.reading) if isinstance(given, SpansRow) else self._of_words(given, file, counts)
        )
        spans, problem = [], tagged.problem
        for start, end, kind in tagged.spans:
            meant = self._meant(kind, file, tagged.line)
            if not meant:
                problem = problem or ("missing label" if meant is not None else "control character in label")
            # A kind that is mapped to what stands outside of all spans is no longer one.
            elif meant != OUTSIDE or self.manner.form != "spans":
                spans.append((start, end, meant))
        return replace(tagged, spans=spans, problem=problem)

    def _of_words(self, row: WordsRow, file: SurveyedFile, counts: Counter[str]) -> TaggedText:
        row = row if self.manner.rule == "words" else merge_multiwords(row)
        text, places = join_words(row, self.manner.glue(file))
        if file.notation is None:
            spans, tags = [(place, place + 1, WORD) for place in range(len(row.words))], []
        else:
            silence = OUTSIDE if file.notation.silence_is_outside else None
            tags = [silence if tag is None else tag for tag in row.tags]
            spans, num_repaired = read_tags(tags, file.notation)
            counts[REPAIRED] += num_repaired
        found = [(places[first][0], places[last - 1][1], kind) for first, last, kind in spans]
        if self.manner.form != "spans":
            is_blank = [not text[start:end].strip() for start, end, _ in found]
            counts[BLANK] += sum(is_blank)
            found = [span for span, blank in zip(found, is_blank, strict=True) if not blank]
        unlabeled = [places[place] for place, tag in enumerate(tags) if tag is None]
        return TaggedText(row.line, text, found, unlabeled, row.name, row.problem)

    def _meant(self, kind: str, file: SurveyedFile, line: int) -> str | None:
        # What no user gave a name, he does not have to name: the words of a segmented text.
        if self.manner.form == "words":
            return kind
        meant = self._labels.meant(kind)
        if meant is not None and meant.startswith(UNNAMED):
            raise self._labels.unnamed(meant, {FILE: str(file.path), LINE: line})
        return meant

    def _block(self, texts: Sequence[TaggedText], file: SurveyedFile, split: str, counts: Counter[str]) -> pl.DataFrame:
        places = unit_places([one.text or "" for one in texts], self.manner.rule)
        laid = []
        for number, one in enumerate(texts):
            starts, ends = places.row(number).T.tolist()
            laid.append(lay_spans(one, starts, ends, self.manner.writing))
        _count(laid, counts)
        columns: dict[str, list[Any]] = {
            "id": [one.name for one in texts],
            "text": [one.text for one in texts],
            "raw_label": [_shown(one) if each.problem else None for one, each in zip(texts, laid, strict=True)],
            "label": [one.tags for one in laid],
            "kinds": [one.kinds for one in laid],
            PROBLEM: [one.problem for one in laid],
        }
        frame = pl.DataFrame({name: pl.Series(column, dtype=SCHEMA[name]) for name, column in columns.items()})
        lines = pl.Series(LINE, [one.line for one in texts], dtype=pl.Int64)
        return frame.with_columns(pl.lit(split).alias("split"), pl.lit(str(file.path)).alias(FILE), lines)


def _count(laid: Iterable[Laid], counts: Counter[str]) -> None:
    for one in laid:
        counts[WITHOUT_LABEL] += one.tags.count(None) if one.tags else 0
        counts[REPEATED] += one.num_repeated
        counts[TRIMMED] += one.num_trimmed


def _shown(text: TaggedText) -> str:
    return msgspec.json.encode(text.spans).decode("utf-8")


def _say(
    file: SurveyedFile, num_rows: int, manner: Manner, repaired: Mapping[str, int], shown: Mapping[str, int]
) -> None:
    logger.info(
        "%s: %s of the format %s; units: %s, tags: %s",
        file.path,
        counted(num_rows, "row"),
        file.tagging,
        manner.rule,
        manner.writing,
    )
    for what, count in shown.items():
        if count:
            logger.info("%s: %s: %d.", file.path, what, count)
    for what, count in repaired.items():
        if count:
            logger.warning("%s: %s: %d.", file.path, what, count)
    if not file.reading.is_usual:
        logger.warning(
            "%s: the ends of the spans count %s; they were converted to characters.", file.path, file.reading
        )
