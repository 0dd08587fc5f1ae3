"""Trees for people and for programs: a word, its head and its relation in a line, CoNLL-U; it knows no model.

Source: Universal Dependencies, "CoNLL-U Format" (universaldependencies.org/format.html).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import polars as pl

from yanmo.answers.arcs import Word
from yanmo.streams import printable

__all__ = ["conllu_rows", "conllu_sentence", "has_trees", "tree_lines"]


def has_trees(frame: pl.DataFrame) -> bool:
    """Return whether the rows of Predictions are trees of words."""
    kind = frame.schema.get("prediction")
    inner = kind.inner if isinstance(kind, pl.List) else None
    return isinstance(inner, pl.Struct) and any(field.name == "head" for field in inner.fields)


def tree_lines(frame: pl.DataFrame, texts: pl.Series) -> Iterator[str]:
    """Yield one line a row: every word with its head and its relation, as ``word/2/nsubj``.

    Args:
        frame: Predictions with trees.
        texts: Of the rows, as they were given.
    """
    for words, text in zip(frame["prediction"].to_list(), texts.to_list(), strict=True):
        yield "  ".join(
            f"{printable(text[one['start'] : one['end']])}/{one['head']}/{one['relation']}" for one in words or ()
        )


def conllu_rows(frame: pl.DataFrame, texts: pl.Series) -> Iterator[str]:
    """Yield each row as a sentence of CoNLL-U, with the row's id.

    Args:
        frame: Predictions with trees.
        texts: Of the rows, as they were given.
    """
    columns = frame["id"].to_list(), frame["prediction"].to_list(), texts.to_list()
    for name, words, text in zip(*columns, strict=True):
        if not words:
            continue  # CoNLL-U has no sentence without words
        given = [Word(**one).within(text) for one in words]
        # A line end within a text would end the comment.
        yield f"# sent_id = {name}\n# text = {' '.join(text.split())}\n{conllu_sentence(given)}\n"


def conllu_sentence(words: Sequence[Word]) -> str:
    """Return the rows of a sentence, each with a line end; a column about which nothing is said has an underscore.

    Args:
        words: With their heads and with what stands there.
    """
    rows = []
    for number, word in enumerate(words, 1):
        is_close = number < len(words) and words[number].start == word.end
        space = "SpaceAfter=No" if is_close else "_"
        rows.append(f"{number}\t{word.text}\t_\t_\t_\t_\t{word.head}\t{word.relation}\t_\t{space}\n")
    return "".join(rows)
