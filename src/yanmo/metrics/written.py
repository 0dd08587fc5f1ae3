"""What written texts are measured by: exact match, edits, common sequences and n-grams; it knows no model.

A token is what stands between white space, and each ideograph is one; so a phoneme, a word and a character of Chinese
are all counted as readers of each language count them. Of several references the one that is nearest counts, for
every measure by itself.

Legend: N rows, S statistics of a row, P pairs of a text and a reference.

Source: Lin 2004, "ROUGE: A Package for Automatic Evaluation of Summaries", section 3 (ROUGE-L); Popović 2015, "chrF:
character n-gram F-score for automatic MT evaluation"; Papineni et al. 2002, "BLEU", section 2.
Differs: n-grams are counted by sacrebleu, where it is installed, so that scores are those of others.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from itertools import chain

import numpy as np

from yanmo.arrays import Doubles, IntArray
from yanmo.metrics.edits import count_edits, count_in_common
from yanmo.metrics.measures import Measure
from yanmo.metrics.written_ngrams import NUM_BLEU, NUM_CHRF, bleu_of_sums, chrf_of_sums, count_ngrams

__all__ = ["WRITTEN_MEASURES", "plain_text", "text_tokens", "written_statistics"]

ROWS, EXACT, CHARACTER_EDITS, CHARACTERS, TOKEN_EDITS, TOKENS, ROUGE, COUNTED = range(8)
"""The first columns of the statistics of a row; behind them stand those of chrF, and then those of BLEU."""
FIRST_CHRF = COUNTED + 1
FIRST_BLEU = FIRST_CHRF + NUM_CHRF
TOKEN = re.compile(r"[\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff]|[^\s\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff]+")


def plain_text(text: str) -> str:
    """Return a text with one space wherever white space stands in it."""
    return " ".join(text.split())


def text_tokens(text: str) -> list[str]:
    """Return the tokens of a text: ideographs, and what else stands between white space."""
    return TOKEN.findall(text)


def written_statistics(texts: Sequence[str], references: Sequence[Sequence[str]]) -> Doubles:
    """Return what is counted in each row, float64, shape (N, S); zeros of a row without references.

    Args:
        texts: N texts as they were written.
        references: The texts that count as right for each.
    """
    found_NS = np.zeros((len(texts), FIRST_BLEU + NUM_BLEU))
    ours = [plain_text(one) for one in texts]
    theirs = [[plain_text(one) for one in right] for right in references]
    has = [row for row, right in enumerate(theirs) if right]
    found_NS[has, ROWS] = 1
    found_NS[has, EXACT] = [ours[row] in theirs[row] for row in has]
    row_P = np.repeat(has, [len(theirs[row]) for row in has]).astype(np.int64)
    ours_P, theirs_P = [ours[row] for row in row_P.tolist()], list(chain.from_iterable(theirs[row] for row in has))
    found_NS[:, [CHARACTER_EDITS, CHARACTERS]] = _nearest(ours_P, theirs_P, row_P, len(texts))
    tokens, right = [text_tokens(one) for one in ours_P], [text_tokens(one) for one in theirs_P]
    found_NS[:, [TOKEN_EDITS, TOKENS]] = _nearest(tokens, right, row_P, len(texts))
    np.maximum.at(found_NS[:, ROUGE], row_P, _rouge_P(tokens, right))
    counts = count_ngrams([ours[row] for row in has], [theirs[row] for row in has])
    if counts is not None:
        found_NS[has, COUNTED] = 1
        found_NS[has, FIRST_CHRF:] = counts
    return found_NS


def _nearest(ours: Sequence[Sequence[str]], theirs: Sequence[Sequence[str]], row_P: IntArray, num_rows: int) -> Doubles:
    """Return the edits to the reference with the least of them by its length, and this length, shape (N, 2)."""
    edits_P, lengths_P = count_edits(ours, theirs), np.array([len(one) for one in theirs], dtype=np.int64)
    # Sorted so that the nearest of each row comes last, and stays.
    order = np.lexsort((-lengths_P, edits_P / np.maximum(lengths_P, 1)))[::-1]
    found_N2 = np.zeros((num_rows, 2))
    found_N2[row_P[order]] = np.stack([edits_P, lengths_P], axis=1)[order]
    return found_N2


def _rouge_P(ours: Sequence[Sequence[str]], theirs: Sequence[Sequence[str]]) -> Doubles:
    """Return the F1 of the longest common sequence of tokens: small letters and digits alone, where any are."""
    pairs = [[_letters(one) for one in side] for side in (ours, theirs)]
    common_P = count_in_common(*pairs)
    lengths_P = np.array([len(one) + len(other) for one, other in zip(*pairs, strict=True)])
    return np.asarray(2.0 * common_P / np.maximum(lengths_P, 1))


LETTERS = re.compile(r"[\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff]|[^\W_\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff]+")


def _letters(tokens: Sequence[str]) -> list[str]:
    return [part for token in tokens for part in LETTERS.findall(token.lower())]


def _share(part: int, whole: int) -> Callable[[Doubles], Doubles]:
    """Return the function of sums that divides one of them by another, NaN where that is 0."""

    def of_sums(sums: Doubles) -> Doubles:
        below = sums[..., whole]
        return np.asarray(np.where(below > 0, sums[..., part] / np.where(below > 0, below, 1.0), np.nan))

    return of_sums


def _counted(first: int, stop: int, score: Callable[[Doubles], Doubles]) -> Callable[[Doubles], Doubles]:
    """Return the function of sums that scores some of them, NaN where no n-grams were counted."""

    def of_sums(sums: Doubles) -> Doubles:
        return np.asarray(np.where(sums[..., COUNTED] > 0, score(sums[..., first:stop]), np.nan))

    return of_sums


WRITTEN_MEASURES = (
    Measure("exact_match", _share(EXACT, ROWS), "exact match", is_share=True),
    Measure(
        "character_error_rate",
        _share(CHARACTER_EDITS, CHARACTERS),
        "character error rate",
        higher_is_better=False,
        is_second=True,
    ),
    Measure("token_error_rate", _share(TOKEN_EDITS, TOKENS), "token error rate", higher_is_better=False),
    Measure("chrf", _counted(FIRST_CHRF, FIRST_BLEU, chrf_of_sums), "chrF", is_second=True),
    Measure("bleu", _counted(FIRST_BLEU, FIRST_BLEU + NUM_BLEU, bleu_of_sums), "BLEU"),
    Measure("rouge_l", _share(ROUGE, ROWS), "ROUGE-L"),
)
"""What written texts are measured by; the first is the headline."""
