"""Questions about passages with their answers, block by block, as a Dataset has them: SQuAD and CMRC JSON, tables.

Columns: ``id``, ``passage``, ``question``, ``answers``, ``label`` (answer or none), ``raw_label`` (of refused rows),
``label_problem``, ``split``, and where the row stands. What is repaired is counted and said once a file.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import polars as pl

from yanmo.answers.passage_truth import ANSWERS
from yanmo.data.decode import check_file, utf8_blocks
from yanmo.data.labels import PROBLEM
from yanmo.data.read import FILE, LINE, ReadOptions, read_blocks
from yanmo.data.refuse import NOWHERE, UNREADABLE
from yanmo.data.rows import number_rows
from yanmo.data.written_values import read_value
from yanmo.errors import ConfigError, DataError
from yanmo.protocols import Task
from yanmo.tasks.span import ANSWER, NONE

__all__ = ["PassageKeys", "PassageReader"]

logger = logging.getLogger(__name__)

BLOCK_ROWS = 1 << 12
MOVED = "answers stand elsewhere than is said and were found again by their text"
LOST = "answers that their passage does not hold count as right, but have no place"
SHAPE = '{"data": [{"paragraphs": [{"context": "…", "qas": [{"id": "…", "question": "…", "answers": […]}]}]}]}'
HINT = 'Answers are such as [{"text": "Rosa", "answer_start": 7}], {"text": ["Rosa"], "answer_start": [7]} or "Rosa".'


@dataclass(frozen=True)
class PassageKeys:
    """The columns of tables and of JSON lines.

    Attributes:
        passage: Its name.
        question: Its name.
        answers: Its name.
        name: That of the row's own name; None where rows are numbered. SQuAD's own are always taken then.
    """

    passage: str = "passage"
    question: str = "question"
    answers: str = "answers"
    name: str | None = None


@dataclass(frozen=True)
class _Asked:
    """A question as a file has it."""

    place: int
    name: str | None
    passage: str | None
    question: str | None
    answers: Any


class PassageReader:
    """Reads questions about passages; rows come with their answers read.

    Args:
        task: Says which columns are texts.
        files: Split to files, those of train first.
        options: How tables are read.
        keys: The columns of tables.
    """

    def __init__(
        self, task: Task[Any], files: Mapping[str, Sequence[Path]], options: ReadOptions, keys: PassageKeys
    ) -> None:
        self.task = task
        self._files, self._options, self._keys = files, options, keys

    def rows(self) -> Iterator[pl.DataFrame]:
        """Yield the rows of all splits in blocks, each of one file.

        Raises:
            DataError: A file cannot be read, or is none of questions about passages.
        """
        num_rows = 0
        for split, paths in self._files.items():
            for path in paths:
                counts: Counter[str] = Counter()
                for block in self._blocks(path, split, counts):
                    yield block if self._keys.name is not None else number_rows(block, num_rows)
                    num_rows += block.height
                for what, count in counts.items():
                    logger.warning("%s: %s: %d.", path, what, count)

    def read(self, rows: pl.DataFrame) -> pl.DataFrame:
        """Return rows as they are: their answers have been read."""
        return rows

    def order(self, labels: Sequence[str]) -> list[str]:
        """Return the labels as they are."""
        return list(labels)

    def _blocks(self, path: Path, split: str, counts: Counter[str]) -> Iterator[pl.DataFrame]:
        waiting: list[_Asked] = []
        for asked in _asked(path, split, self._options, self._keys):
            waiting.append(asked)
            if len(waiting) == BLOCK_ROWS:
                yield _frame(waiting, path, split, counts)
                waiting = []
        if waiting:
            yield _frame(waiting, path, split, counts)


def _asked(path: Path, split: str, options: ReadOptions, keys: PassageKeys) -> Iterator[_Asked]:
    """Yield the questions of a file."""
    if path.suffix.lower() == ".json":
        _check_no_columns(path, keys)
        yield from _of_paragraphs(path, options)
        return
    names = {"passage": keys.passage, "question": keys.question}
    if split != "unlabeled":
        names["answers"] = keys.answers
    if keys.name is not None:
        names["id"] = keys.name
    for table in read_blocks([path], options, list(names.values())):
        columns = [
            table[names[one]].to_list() if one in names else [None] * table.height
            for one in ("id", "passage", "question")
        ]
        answers = table[keys.answers].to_list() if "answers" in names else ["[]"] * table.height
        for line, name, passage, question, cell in zip(table[LINE].to_list(), *columns, answers, strict=True):
            yield _Asked(line, name, passage, question, _decoded(cell))


def _check_no_columns(path: Path, keys: PassageKeys) -> None:
    """Refuse the names of columns for a file whose questions have keys of their own.

    Raises:
        ConfigError: One is given.
    """
    usual = PassageKeys()
    flags = {"passage": "text", "question": "text_b", "answers": "label"}
    # What a key is by default may be said, as where all defaults of a pipeline are shown.
    wrong = next((flag for key, flag in flags.items() if getattr(keys, key) not in (getattr(usual, key), flag)), None)
    if wrong is not None:
        raise ConfigError(
            f"The '{wrong}' parameter of prepare names a column, and {path} has none: its questions stand below their "
            "passages.",
            hint="Give a table, such as .jsonl, or leave the parameter out.",
        )


def _decoded(cell: str | None) -> Any:
    """Return what a cell of answers says: a list or a table, or the text of one answer."""
    if cell is None or not cell.strip():
        return []
    if cell.lstrip()[0] not in "[{":
        return cell
    try:
        return read_value(cell)
    except ValueError:
        return cell


def _of_paragraphs(path: Path, options: ReadOptions) -> Iterator[_Asked]:
    """Yield the questions of a SQuAD file, or of CMRC's dialect of it.

    Raises:
        DataError: It is none.
    """
    check_file(path)
    try:
        content = msgspec.json.decode(b"".join(utf8_blocks(path, options.encoding)))
        articles = content["data"] if isinstance(content, dict) else content
        number = 0
        for article in articles:
            for paragraph in article.get("paragraphs", [article]):
                passage = paragraph["context"] if "context" in paragraph else paragraph["context_text"]
                for one in paragraph["qas"]:
                    number += 1
                    name = one.get("id", one.get("query_id"))
                    question = one["question"] if "question" in one else one["query_text"]
                    answers = [] if one.get("is_impossible") else one.get("answers", [])
                    name = None if name is None else str(name)
                    yield _Asked(number, name, _text(passage), _text(question), answers)
    except (msgspec.DecodeError, KeyError, TypeError, AttributeError) as error:
        raise DataError(
            f"{path} is no file of questions about passages: {type(error).__name__} {error}.",
            hint=f"Such a file is {SHAPE}; other rows go into .jsonl or .parquet.",
        ) from error


def _text(value: Any) -> str | None:
    """Return a text, or None where nothing is said.

    Raises:
        TypeError: It is something else.
    """
    if value is None or isinstance(value, str):
        return value
    raise TypeError(f"a context or question that is no text: {value!r}")


def _frame(asked: Sequence[_Asked], path: Path, split: str, counts: Counter[str]) -> pl.DataFrame:
    """Return questions as rows of a Dataset."""
    found = [_place_answers(one, counts) for one in asked]
    labels = [(ANSWER if answers else NONE) for answers, _ in found]
    columns = {
        "id": pl.Series([one.name for one in asked], dtype=pl.String),
        "passage": pl.Series([one.passage for one in asked], dtype=pl.String),
        "question": pl.Series([one.question for one in asked], dtype=pl.String),
        "answers": pl.Series([answers for answers, _ in found], dtype=ANSWERS),
        "raw_label": pl.Series(
            [_shown(one, problem) for one, (_, problem) in zip(asked, found, strict=True)], dtype=pl.String
        ),
        "label": pl.Series([None if split == "unlabeled" else label for label in labels], dtype=pl.String),
        PROBLEM: pl.Series([problem for _, problem in found], dtype=pl.String),
        "split": pl.Series([split] * len(asked), dtype=pl.String),
        FILE: pl.Series([str(path)] * len(asked), dtype=pl.String),
        LINE: pl.Series([one.place for one in asked], dtype=pl.Int64),
    }
    return pl.DataFrame(columns)


def _shown(asked: _Asked, problem: str | None) -> str | None:
    return msgspec.json.encode(asked.answers).decode("utf-8") if problem else None


def _place_answers(asked: _Asked, counts: Counter[str]) -> tuple[list[dict[str, Any]], str | None]:
    """Return the answers with their places in the passage, and why the row is refused, if it is."""
    given = _as_pairs(asked.answers)
    if given is None:
        return [], UNREADABLE
    found: list[dict[str, Any]] = []
    moved = lost = 0
    for text, said in given:
        bare = text.strip()
        if not bare:
            continue
        start = _find(asked.passage or "", bare, None if said is None else said + len(text) - len(text.lstrip()))
        moved += said is not None and start >= 0 and (asked.passage or "")[said : said + len(text)] != text
        lost += start < 0
        found.append({"start": start, "text": bare})
    if found and lost == len(found):
        return [], NOWHERE
    # Only of rows that are kept: what is refused is counted by its reason.
    counts.update({what: number for what, number in ((MOVED, moved), (LOST, lost)) if number})
    return found, None


def _find(passage: str, text: str, said: int | None) -> int:
    """Return where a text stands in a passage, nearest to where it is said to; -1 where it stands nowhere."""
    if said is None:
        return passage.find(text)
    if passage[said : said + len(text)] == text:
        return said
    before, behind = passage.rfind(text, 0, max(said, 0) + len(text)), passage.find(text, max(said, 0))
    if before < 0 or behind < 0:
        return max(before, behind)
    return before if said - before <= behind - said else behind


def _as_pairs(answers: Any) -> list[tuple[str, int | None]] | None:
    """Return the texts of answers with their first characters, None where these are not said; None if unreadable.

    Answers may be a text, a list of texts, a list of objects with ``text`` and perhaps ``answer_start``, or one object
    of two lists; a text may be a number.
    """
    if isinstance(answers, Mapping):
        texts, starts = answers.get("text"), answers.get("answer_start")
        if not isinstance(texts, list):
            answers = [answers]
        else:
            starts = starts if isinstance(starts, list) and len(starts) == len(texts) else [None] * len(texts)
            answers = [{"text": text, "answer_start": start} for text, start in zip(texts, starts, strict=True)]
    if isinstance(answers, str | int | float):
        answers = [answers]
    if not isinstance(answers, list):
        return None
    pairs: list[tuple[str, int | None]] = []
    for one in answers:
        text, start = (
            (one.get("text"), one.get("answer_start", one.get("start"))) if isinstance(one, Mapping) else (one, None)
        )
        if isinstance(text, bool) or not isinstance(text, str | int | float):
            return None
        is_place = isinstance(start, int) and not isinstance(start, bool) and start >= 0
        pairs.append((str(text), start if is_place else None))
    return pairs
