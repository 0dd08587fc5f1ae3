"""TF-IDF of a Dataset's train split: the weights, and the terms that tell each label; it knows no models.

A term is one to three words in a row where a Chinese character counts as a word, one to two for other languages and
for segmented text. It describes the data; models choose features of their own.
"""

from __future__ import annotations

import logging
import unicodedata
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import polars as pl

from yanmo.protocols import Task
from yanmo.text.ngrams import NgramConfig, hash_column, ngram_strings
from yanmo.text.pipeline import TextPipeline
from yanmo.text.tfidf import fit_transform, top_terms_by_class, with_strings

__all__ = ["TopTerms", "choose_sample", "write_tfidf"]

logger = logging.getLogger(__name__)

TopTerms = dict[str, list[tuple[str, float]]]

NUM_TERMS = 20
# Ten times the terms that are shown: many of the best say nothing to a person and are left out.
NUM_CANDIDATES = 200
LARGEST_VOCABULARY = 20_000
MAX_CHARACTERS = 5_000_000
SMALL_DATASET = 100
CHINESE_SHARE = 0.5


def choose_sample(rows: pl.DataFrame) -> pl.Series:
    """Return which rows the terms are counted in: all of train, or every k-th of it where it is too large.

    Args:
        rows: ``split`` and ``num_characters`` of all rows.

    Returns:
        Boolean, shape (N,). That it is a sample is said.
    """
    is_train = (rows["split"] == "train").alias("chosen")
    train = rows.filter(is_train)
    # Every k-th row and no random ones: the sample is spread evenly and needs no seed.
    step = -(-int(train["num_characters"].sum()) // MAX_CHARACTERS)
    if step <= 1:
        return is_train
    chosen = is_train & ((is_train.cum_sum() - 1) % step == 0)
    logger.info("TF-IDF is computed from %d of %d rows of train, one in %d.", chosen.sum(), train.height, step)
    return chosen


def write_tfidf(
    folder: Path, train: pl.DataFrame, task: Task[Any], labels: Sequence[str], pipeline: TextPipeline, cjk_share: float
) -> TopTerms:
    """Write ``tfidf.json``: the n-gram settings, every label's top terms with their scores, every term's idf.

    Args:
        folder: The Dataset's staging folder.
        train: Rows of train, or a sample of them: what the task reads, and ``label``.
        task: Says which row has which labels.
        labels: All labels in order.
        pipeline: Cleaning and segmentation.
        cjk_share: Share of Chinese and Japanese characters, 0 to 1.

    Returns:
        Label to its terms, best first, each with mean weight within the label minus mean weight elsewhere.
    """
    texts = _terms_text(train, pipeline, task)
    config = _ngrams(cjk_share, is_segmented=pipeline.config.segmenter != "none")
    min_df = 2 if len(texts) >= SMALL_DATASET else 1
    tfidf, weighted = fit_transform(
        hash_column(texts, config), min_df=min_df, max_features=LARGEST_VOCABULARY, sublinear=True
    )
    best = top_terms_by_class(weighted, task.encode(train["label"], labels), tfidf, num_terms=NUM_CANDIDATES)
    strings = ngram_strings(texts, config, tfidf.keys)
    top_terms = dict(zip(labels, map(_readable, with_strings(best, strings)), strict=True))
    idf = {strings[key]: round(weight, 4) for key, weight in zip(tfidf.keys.tolist(), tfidf.idf.tolist(), strict=True)}
    content = {
        "num_texts": len(texts),
        "ngrams": config.model_dump(mode="json"),
        "top_terms": top_terms,
        # The most common terms first; of equals by the alphabet.
        "idf": dict(sorted(idf.items(), key=lambda item: (item[1], item[0]))),
    }
    (folder / "tfidf.json").write_bytes(msgspec.json.encode(content) + b"\n")
    return top_terms


def _terms_text(train: pl.DataFrame, pipeline: TextPipeline, task: Task[Any]) -> list[str]:
    """Return the texts in which terms are counted; the two texts of a pair count as one."""
    columns = [pipeline.apply(train[name].to_list()) for name in task.inputs]
    return columns[0] if len(columns) == 1 else ["\n".join(texts) for texts in zip(*columns, strict=True)]


def _readable(terms: Sequence[tuple[str, float]]) -> list[tuple[str, float]]:
    """Return the best terms that say something to a person: words and symbols, no single letters, no punctuation."""
    kept = [(term, round(score, 5)) for term, score in terms if _says_something(term)]
    return kept[:NUM_TERMS]


def _says_something(term: str) -> bool:
    if len(term) == 1:
        return unicodedata.category(term).startswith("S")
    return term[0].isalnum() and term[-1].isalnum()


def _ngrams(cjk_share: float, *, is_segmented: bool) -> NgramConfig:
    largest = 3 if cjk_share > CHINESE_SHARE and not is_segmented else 2
    return NgramConfig(word_ngrams=(1, largest), char_ngrams=None, cjk_words=is_segmented)
