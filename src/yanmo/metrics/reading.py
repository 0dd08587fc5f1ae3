"""Exact match and F1 of answers, for English as SQuAD defines them and for Chinese as CMRC does; texts in, shares out.

English: small letters, no punctuation, no articles; F1 is of the bags of words. Chinese: ideographs and marks are
segments of their own, what is between them is cut into words; F1 is of the longest run of segments that both have.

Source: Rajpurkar, Jia, Liang 2018, "Know What You Don't Know: Unanswerable Questions for SQuAD", section 5,
arXiv:1806.03822; Cui et al. 2019, "A Span-Extraction Dataset for Chinese Machine Reading Comprehension", section 4,
arXiv:1810.07366.
Differs: what stands between ideographs is cut by patterns for the Treebank tokenizer's rules; a bare mark such as "$"
is right where it is asked for, as in SQuAD 2.0's script and not in that of 1.1.
"""

from __future__ import annotations

import re
import string
from collections import Counter
from collections.abc import Callable, Sequence

import numpy as np

from yanmo.arrays import Doubles
from yanmo.metrics.measures import Measure

__all__ = ["READING_MEASURES", "best_threshold", "chinese_scores", "english_scores", "reading_statistics"]

ARTICLES = re.compile(r"\b(a|an|the)\b")
NO_PUNCTUATION = str.maketrans("", "", string.punctuation)
CHINESE_MARKS = frozenset("-:_*^/\\~`+=，。：？！“”；’《》·、「」（）－～『』")
"""What CMRC leaves out; its list has "……", of two characters, which no single character is equal to."""
PARTS = re.compile(r"[\u4e00-\u9fa5]|[^\u4e00-\u9fa5]+")
TREEBANK = (
    # A full stop is a word of its own at the end alone; quotation marks that open are not those that close.
    (re.compile(r"([^.])(\.)([\])}>\"'»”’ ]*)\s*$"), r"\1 \2 \3"),
    (re.compile(r'^"'), "`` "),
    (re.compile(r"([\s(\[{<])\""), r"\1 `` "),
    (re.compile(r'"'), " '' "),
    (re.compile(r"n't\b"), " n't"),
)
"""What is put between the words of what is no ideograph, one after the other."""
ALONE = r";@#$%&?!()\[\]{}<>*«»“‘„”’'`–—"
"""Marks that are words of their own; others stay where they are."""
INSIDE = r"(?<=\w)'(?=\w)(?!(?:s|m|d|ll|re|ve)(?!\w))"
"""An apostrophe within a word that begins no ending of it."""
WORDS = re.compile(
    rf"n't\b|'(?:s|m|d|ll|re|ve)(?!\w)|''|`+|\.{{2,}}|[{ALONE}]|[:,](?!\d)|(?:[^\s{ALONE}:,.]|\.(?!\.)|[:,](?=\d)|{INSIDE})+"
)
EXACT, F1, ANSWERED, EXACT_ANSWERED, F1_ANSWERED, RIGHT_NONE, ROWS = range(7)
"""The columns of the statistics of a row."""


def english_scores(answer: str, right: Sequence[str]) -> tuple[float, float]:
    """Return exact match and F1 of an answer, each the best over the right ones; "" is no answer, and so are none."""
    ours = _plain_words(answer)
    found = [(float(ours == theirs), _bag_f1(ours, theirs)) for theirs in map(_plain_words, right or ("",))]
    return max(exact for exact, _ in found), max(score for _, score in found)


def _plain_words(text: str) -> list[str]:
    return ARTICLES.sub(" ", text.lower().translate(NO_PUNCTUATION)).split()


def _bag_f1(ours: Sequence[str], theirs: Sequence[str]) -> float:
    # No answer is right only where none is wanted.
    if not ours or not theirs:
        return float(ours == theirs)
    return _f1(sum((Counter(ours) & Counter(theirs)).values()), len(ours), len(theirs))


def _f1(num_same: int, num_ours: int, num_theirs: int) -> float:
    return 2.0 * num_same / (num_ours + num_theirs) if num_same else 0.0


def chinese_scores(answer: str, right: Sequence[str]) -> tuple[float, float]:
    """Return exact match and F1 of an answer, each the best over the right ones; "" is no answer, and so are none."""
    if not right or not answer:
        return (float(not right and not answer),) * 2
    plain, ours = _without_marks(answer), _segments(answer)
    exact = max(float(plain == _without_marks(one)) for one in right)
    scores = [_f1(_longest_run(ours, theirs), len(ours), len(theirs)) for theirs in map(_segments, right)]
    return exact, max(scores)


def _without_marks(text: str) -> str:
    return "".join(one for one in text.lower().strip() if one not in CHINESE_MARKS)


def _segments(text: str) -> list[str]:
    found: list[str] = []
    for part in PARTS.findall(_without_marks(text)):
        is_ideograph = "\u4e00" <= part[0] <= "\u9fa5"
        found += [part] if is_ideograph else _treebank_words(part)
    return found


def _treebank_words(text: str) -> list[str]:
    for pattern, put in TREEBANK:
        text = pattern.sub(put, text)
    return WORDS.findall(text)


def _longest_run(ours: Sequence[str], theirs: Sequence[str]) -> int:
    """Return how many segments the longest run has that stands in both."""
    best, before = 0, [0] * (len(theirs) + 1)
    for one in ours:
        here = [0] * (len(theirs) + 1)
        for place, other in enumerate(theirs):
            if one == other:
                here[place + 1] = before[place] + 1
        best, before = max(best, *here), here
    return best


def reading_statistics(
    answers: Sequence[str], right: Sequence[Sequence[str]], scores: Sequence[Callable[..., tuple[float, float]]]
) -> Doubles:
    """Return what is counted in each row, float64, shape (N, 7).

    Args:
        answers: Of N questions; "" is no answer.
        right: The answers that count as right; none where there is no answer.
        scores: Which rule each row goes by: :func:`english_scores` or :func:`chinese_scores`.
    """
    found_NS = np.zeros((len(answers), 7))
    found_NS[:, ROWS] = 1
    for row, (answer, wanted, score) in enumerate(zip(answers, right, scores, strict=True)):
        exact, f1 = score(answer, wanted)
        found_NS[row, [EXACT, F1]] = exact, f1
        if wanted:
            found_NS[row, [ANSWERED, EXACT_ANSWERED, F1_ANSWERED]] = 1, exact, f1
        else:
            found_NS[row, RIGHT_NONE] = exact
    return found_NS


def best_threshold(lead_N: Doubles, answered_N: Doubles, silent_N: Doubles) -> tuple[float, float]:
    """Return the lead from which on "none" is said that gives the best mean score, and that score.

    Args:
        lead_N: How far "none" is ahead of the best answer in each row, in nats.
        answered_N: The score of each row if its best answer is given.
        silent_N: The score of each row if none is given.
    """
    order = np.argsort(lead_N, kind="stable")
    # Rows up to a place are answered, those behind it are not: one sum for every place.
    gains = np.concatenate(([0.0], np.cumsum((answered_N - silent_N)[order])))
    # Between two rows of the same lead there is no threshold.
    is_possible = np.concatenate(([True], np.diff(lead_N[order]) > 0, [True]))
    best = int(np.where(is_possible, gains, -np.inf).argmax())
    ends = np.concatenate(([-np.inf], lead_N[order], [np.inf]))
    low, high = ends[best], ends[best + 1]
    middle = (low + high) / 2 if np.isfinite(low) and np.isfinite(high) else (low + 1 if np.isfinite(low) else high - 1)
    return float(middle), float((gains[best] + silent_N.sum()) / max(len(lead_N), 1))


def _share(part: int, whole: int, *, but: int | None = None) -> Callable[[Doubles], Doubles]:
    """Return the function of sums that divides one of them by another, or by what is left of it without a third."""

    def of_sums(sums: Doubles) -> Doubles:
        below = sums[..., whole] - (sums[..., but] if but is not None else 0.0)
        return np.asarray(np.where(below > 0, sums[..., part] / np.maximum(below, 1.0), np.nan))

    return of_sums


READING_MEASURES = (
    Measure("f1", _share(F1, ROWS), "F1"),
    Measure("exact_match", _share(EXACT, ROWS), "exact match", is_share=True, is_second=True),
    Measure("f1_answerable", _share(F1_ANSWERED, ANSWERED), "F1 of answerable questions"),
    Measure("exact_match_answerable", _share(EXACT_ANSWERED, ANSWERED), "exact match of answerable questions"),
    Measure("right_no_answers", _share(RIGHT_NONE, ROWS, but=ANSWERED), "right share of unanswerable questions"),
)
"""What answers in passages are measured by; the first is the headline."""
