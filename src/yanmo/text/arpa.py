"""ARPA files: n-gram models of back-off form as the tools of speech recognition write and read them.

A token is a word between white space there; white space in one is written by its code point, such as ``<U+0020>``.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
import polars as pl

from yanmo.arrays import Doubles, IntArray
from yanmo.errors import DataError
from yanmo.text.backoff_model import LEAST, BackoffLevel, BackoffModel

__all__ = ["read_arpa", "write_arpa"]

BEGIN, END = "<s>", "</s>"
WHITE = re.compile(r"\s")
CODE = re.compile(r"<U\+([0-9A-F]{4,6})>")
SECTION = re.compile(r"\\(\d+)-grams:")
LEAST_10 = -99.0
"""How ARPA files write the logarithm of 0."""


def write_arpa(path: Path, model: BackoffModel, tokens: Sequence[str], *, end_id: int) -> None:
    """Write a model.

    Args:
        path: Of the file.
        model: The model.
        tokens: V tokens in the order of their ids.
        end_id: Of the token that ends a text, which is written as ``</s>``.
    """
    words = [*(WHITE.sub(lambda found: f"<U+{ord(found[0]):04X}>", token) for token in tokens), BEGIN]
    words[end_id] = END
    with path.open("w", encoding="utf-8", newline="\n") as file:
        file.write("\\data\\\n")
        file.writelines(f"ngram {n}={len(level.keys_K)}\n" for n, level in enumerate(model.levels, 1))
        for n, (level, tokens_Kn) in enumerate(zip(model.levels, _spelled(model), strict=True), 1):
            file.write(f"\n\\{n}-grams:\n")
            columns = [
                pl.Series(words).gather(tokens_K).alias(str(place)) for place, tokens_K in enumerate(tokens_Kn.T)
            ]
            ngrams = pl.DataFrame(columns).select(pl.concat_str(pl.all(), separator=" ")).to_series()
            values = [_to_10(level.log_probabilities_K), ngrams, level.backoffs_K / math.log(10)]
            # The highest order has nothing to be multiplied with.
            frame = pl.DataFrame(dict(zip("abc", values[: 2 if n == len(model.levels) else 3], strict=False)))
            file.write(frame.write_csv(None, include_header=False, separator="\t", quote_style="never"))
        file.write("\n\\end\\\n")


def _to_10(logarithms_K: Doubles) -> Doubles:
    return np.where(logarithms_K <= LEAST, LEAST_10, logarithms_K / math.log(10))


def _spelled(model: BackoffModel) -> Iterator[IntArray]:
    """Yield the token ids of the n-grams of every order, int64, shape (K, n)."""
    spelled = np.arange(model.vocab_size + 1)[:, None]
    yield spelled
    for level in model.levels[1:]:
        contexts_K, tokens_K = np.divmod(level.keys_K, model.vocab_size + 1)
        spelled = np.column_stack([spelled[contexts_K], tokens_K])
        yield spelled


def read_arpa(path: Path) -> tuple[BackoffModel, list[str], int]:
    """Return the model of a file, its V tokens, and the id of the one that ends a text.

    Raises:
        DataError: It is no ARPA file, or an n-gram has no beginning in the order below.
    """
    sections = _sections(path)
    frame = _columns(path, sections[0], 1)
    order = frame["words"].to_list()
    if BEGIN not in order or END not in order:
        raise DataError(f"{path} lacks {BEGIN} or {END} among its 1-grams.", hint="Make the file again, with both.")
    # The token that begins a text comes last, whatever its line.
    frame = pl.concat([frame.filter(pl.col("words") != BEGIN), frame.filter(pl.col("words") == BEGIN)])
    words = frame["words"].to_list()
    ids, num_ids = pl.DataFrame({"word": words, "id": np.arange(len(words))}), len(words)
    levels = [_level(frame, np.arange(num_ids))]
    for n, lines in enumerate(sections[1:], 2):
        frame = _columns(path, lines, n)
        keys_K = np.zeros(0, dtype=np.int64)
        for place, tokens_K in enumerate(_ids(path, frame["words"], ids, n)):
            asked_K = keys_K * num_ids + tokens_K if place else tokens_K
            keys_K = levels[place].find(asked_K) if place < n - 1 else asked_K
            if (keys_K < 0).any():
                lost = frame["words"][int(np.flatnonzero(keys_K < 0)[0])]
                raise DataError(f"{path} lacks the first {place + 1} words of {lost!r}.", hint="Make the file again.")
        order_K = np.argsort(keys_K)
        levels.append(_level(frame[order_K], keys_K[order_K]))
    tokens = [CODE.sub(lambda found: chr(int(found[1], 16)), word) for word in words[:-1]]
    return BackoffModel(num_ids - 1, levels), tokens, words.index(END)


def _sections(path: Path) -> list[list[str]]:
    try:
        lines = path.read_text(encoding="utf-8").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path} cannot be read: {error}.", hint="Give an ARPA file in UTF-8.") from error
    starts = [number for number, line in enumerate(lines) if SECTION.fullmatch(line.strip())]
    ends = [number for number, line in enumerate(lines) if line.strip() == "\\end\\"]
    if not starts or not ends or "\\data\\" not in [line.strip() for line in lines[: starts[0]]]:
        raise DataError(
            f"{path} is no ARPA file: it lacks \\data\\, \\1-grams: or \\end\\.", hint="Give a model in ARPA format."
        )
    bounds = [*starts, ends[-1]]
    return [[line for line in lines[start + 1 : stop] if line.strip()] for start, stop in pairwise(bounds)]


def _columns(path: Path, lines: list[str], n: int) -> pl.DataFrame:
    """Return ``words``, ``log_10`` and ``backoff_10`` of the lines of a section."""
    # Some tools put spaces between the columns, so words are counted.
    parts = pl.DataFrame({"line": lines}).select(pl.col("line").str.strip_chars().str.split_exact("\t", 2).alias("p"))
    frame = parts.unnest("p").select(
        pl.col("field_0").cast(pl.Float64, strict=False).alias("log_10"),
        pl.col("field_1").str.strip_chars().alias("words"),
        pl.col("field_2").cast(pl.Float64, strict=False).fill_null(0.0).alias("backoff_10"),
    )
    wrong = frame.select(
        (pl.col("log_10").is_null() | (pl.col("words").str.count_matches(" ") != n - 1)).fill_null(value=True)
    ).to_series()
    if wrong.any():
        raise DataError(
            f"{path} has a line that is no {n}-gram: {lines[int(wrong.arg_true()[0])]!r}.",
            hint="A line has a logarithm, a tab, words between single spaces, and perhaps a tab and a logarithm.",
        )
    return frame


def _ids(path: Path, column: pl.Series, ids: pl.DataFrame, n: int) -> Iterator[IntArray]:
    split = column.str.split_exact(" ", n - 1).struct.unnest()
    for place in range(n):
        words = split[f"field_{place}"].rename("word").to_frame()
        found = words.join(ids, on="word", how="left", maintain_order="left")["id"]
        if found.null_count():
            lost = words["word"][int(found.is_null().arg_true()[0])]
            raise DataError(f"{path} has the word {lost!r} in a {n}-gram, but not among the 1-grams.")
        yield np.asarray(found.to_numpy(), dtype=np.int64)


def _level(frame: pl.DataFrame, keys_K: IntArray) -> BackoffLevel:
    logarithms = frame["log_10"].to_numpy() * math.log(10)
    return BackoffLevel(keys_K, np.maximum(logarithms, LEAST), frame["backoff_10"].to_numpy() * math.log(10))
