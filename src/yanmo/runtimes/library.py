"""A folder of documents that questions are asked of: its passages, and what a reader finds in the likeliest of them.

A document is a text file. Its passages are its paragraphs, between which an empty line stands; short ones that follow
each other are one passage, so that an answer has what it belongs to beside it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from msgspec import Struct

from yanmo.answers.answered import Answered, Found
from yanmo.arrays import IntArray
from yanmo.errors import DataError
from yanmo.runtimes.predictor import Predictor
from yanmo.tasks.deciding import decide
from yanmo.text.inputs import Inputs
from yanmo.text.passage_search import PassageSearch

__all__ = ["DOCUMENT", "Library", "Passage", "document_paths"]

SUFFIXES = (".md", ".txt")
DOCUMENT = "document"
"""The column that names where an answer was found."""
NUM_PASSAGES = 5
"""So many passages are read for a question."""
PASSAGE_CHARACTERS = 600
"""A passage takes no further paragraph once it has so many characters."""
PARAGRAPH = re.compile(r"\S(?:.|\n(?!\s*\n))*")


class Passage(Struct, frozen=True):
    """A part of a document.

    Attributes:
        document: The name of its file, from the folder on.
        start: Its first character, in the document.
        text: It.
    """

    document: str
    start: int
    text: str


class Library:
    """The passages of some documents.

    Args:
        passages: At least one.
    """

    def __init__(self, passages: Sequence[Passage]) -> None:
        self._passages = passages
        self._search = PassageSearch([one.text for one in passages])

    @classmethod
    def open(cls, folder: Path) -> Library:
        """Return the documents of a folder and of the folders in it.

        Raises:
            DataError: There is no document, none has a word, or one is no UTF-8.
        """
        found = [one for path in document_paths(folder) for one in _passages(path, str(path.relative_to(folder)))]
        if not found:
            raise DataError(f"The documents of {folder} are empty.", hint="Give texts as .txt or .md files.")
        return cls(found)

    def likely(self, question: str) -> list[Passage]:
        """Return the passages that are most like a question, the first of them most."""
        return [self._passages[number] for number in self._search.best(question, NUM_PASSAGES)]

    def answer(
        self, predictor: Predictor, windows: Iterable[pl.DataFrame]
    ) -> Iterator[tuple[pl.DataFrame, Answered[Any]]]:
        """Yield every window of questions with its answers, and with the passages and documents that these stand in.

        Args:
            predictor: A reader: it takes passages with questions.
            windows: Frames with the second column that it reads.
        """
        passage, question = predictor.task.inputs
        for rows in windows:
            likely = [self.likely(one) for one in rows[question].to_list()]
            row_K = np.repeat(np.arange(rows.height), [len(one) for one in likely])
            flat = [one for several in likely for one in several]
            asked = Inputs(([one.text for one in flat], rows[question][row_K].to_list()))
            answered = predictor.answer(predictor.encode(asked))
            best_N = _surest(answered, row_K)
            chosen = [flat[place] for place in best_N.tolist()]
            names = (pl.Series(passage, [one.text for one in chosen], dtype=pl.String), rows[question])
            where = pl.Series(DOCUMENT, [one.document for one in chosen], dtype=pl.String)
            yield pl.DataFrame([rows["id"], *names, where]), _take(answered, best_N, predictor)


def document_paths(folder: Path) -> list[Path]:
    """Return the documents of a folder, in the order of their names.

    Raises:
        DataError: It is no folder, or has none.
    """
    found = sorted(path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES and path.is_file())
    if not found:
        raise DataError(
            f"{folder} has no documents.", hint=f"Give a folder with files that end in {' or '.join(SUFFIXES)}."
        )
    return found


def _passages(path: Path, name: str) -> Iterator[Passage]:
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(f"{path} is not UTF-8 at byte {error.start}.", hint="Save it as UTF-8.") from error
    start = end = 0
    for found in PARAGRAPH.finditer(text):
        # As long as the passage is short, the paragraph becomes a part of it.
        if end - start >= PASSAGE_CHARACTERS:
            yield Passage(name, start, text[start:end])
            start = end = 0
        start, end = (found.start() if not end else start), found.end()
    if end:
        yield Passage(name, start, text[start:end].rstrip())


def _surest(answered: Answered[Any], row_K: IntArray) -> IntArray:
    """Return of each question the surest answer; only where no passage has one, that there is none."""
    has_K = np.array([bool(one) for one in answered.decided.predictions], dtype=np.bool_)
    sure_K = np.where(has_K, answered.decided.probability_N, answered.decided.probability_N - 1)
    # Of equally sure ones the first, which is most like the question.
    order_K = np.lexsort((np.arange(len(row_K)), -sure_K, row_K))
    return order_K[np.unique(row_K[order_K], return_index=True)[1]]


def _take(answered: Answered[Any], rows: IntArray, predictor: Predictor) -> Answered[Any]:
    evidence, found = answered.evidence.take(rows), answered.found
    taken = Found(
        found.num_tokens_N[rows],
        found.num_unknown_N[rows],
        found.truncated_N[rows],
        found.num_cells,
        None if found.stage_N is None else found.stage_N[rows],
        None if found.abstained_N is None else found.abstained_N[rows],
    )
    decided = decide(predictor.task, evidence, predictor.labels, abstained_N=taken.abstained_N)
    return Answered(decided, evidence, taken)
