"""Exact match and F1: examples of the published definitions, by hand, and what thresholds can give."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from yanmo.metrics.reading import (
    READING_MEASURES,
    best_threshold,
    chinese_scores,
    english_scores,
    reading_statistics,
)


@pytest.mark.parametrize(
    ("answer", "right", "exact", "f1"),
    [
        # Case, articles, punctuation and white space do not count.
        ("The Eiffel Tower!", ["eiffel  tower"], 1, 1),
        # Two of three words are right, both right ones are there: 2 * 2/3 * 1 / (5/3).
        ("big red dog", ["red dog"], 0, 0.8),
        # Words count as often as both have them.
        ("new new york", ["new york york"], 0, 2 / 3),
        # Each measure takes the answer that is best for it.
        ("in 1912", ["1912", "in the year 1912", "in 1912."], 1, 1),
        ("cat", ["dog"], 0, 0),
        # No answer is right where none is wanted, and wrong where one is.
        ("", [], 1, 1),
        ("cat", [], 0, 0),
        ("", ["cat"], 0, 0),
        # An answer of articles alone is none.
        ("the", ["cat"], 0, 0),
    ],
)
def test_english_answers_are_compared_as_squad_does(answer, right, exact, f1):
    assert english_scores(answer, right) == pytest.approx((exact, f1))


@pytest.mark.parametrize(
    ("answer", "right", "exact", "f1"),
    [
        # Marks and case do not count.
        ("《光荣》", ["光荣"], 1, 1),
        ("ω-Force", ["ω-force"], 1, 1),
        # The longest run that both have is 村雨城, three of seven segments: 2 * 3 / (3 + 7).
        ("任天堂的村雨城", ["村雨城"], 0, 0.6),
        # 北 and 大学 are both there, but the longest run is of two segments: 2 * 2 / (3 + 4).
        ("北京大学", ["北大学"], 0, 4 / 7),
        # Words and numbers between ideographs are segments of their own: 在 and 1963 make 2 * 1 / (1 + 2).
        ("在1963", ["1963"], 0, 2 / 3),
        ("Dreamcast平台", ["dreamcast"], 0, 0.5),
        # A mark that is left out parts no word: T1 is one segment of two, as is 60％ with its own sign.
        ("T-1型", ["型"], 0, 2 / 3),
        ("出资60％", ["出资"], 0, 0.8),
        # A full stop is a segment at the end alone, and an apostrophe only where an ending begins: it, 's, a.b, .
        ("it's a.b.", ["it"], 0, 0.4),
        ("one'80型", ["型"], 0, 2 / 3),
        # Quotation marks that open are not those that close, and a dash parts two years.
        ('唱"天"', ['"'], 0, 0.4),
        ("1982–2013", ["2013"], 0, 0.5),
        ("天", ["地"], 0, 0),
        ("", [], 1, 1),
        ("天", [], 0, 0),
        ("", ["天"], 0, 0),
    ],
)
def test_chinese_answers_are_compared_as_cmrc_does(answer, right, exact, f1):
    assert chinese_scores(answer, right) == pytest.approx((exact, f1))


@given(text=st.text(alphabet="ab，天地 the1", min_size=1, max_size=12))
def test_an_answer_is_as_good_as_can_be_against_itself_and_scores_stay_in_their_range(text):
    for scores in (english_scores, chinese_scores):
        exact, f1 = scores(text, ["天 b"])
        assert 0 <= exact <= f1 <= 1
        assert scores(text, [text])[0] == 1


def test_rows_with_and_without_an_answer_are_counted_apart():
    statistics_NS = reading_statistics(["red dog", "", "cat", ""], [["dog"], [], [], ["cat"]], [english_scores] * 4)
    found = {one.name: one.score(statistics_NS) for one in READING_MEASURES}
    assert found == pytest.approx(
        {
            "f1": (2 / 3 + 1) / 4,
            "exact_match": 1 / 4,
            "f1_answerable": 1 / 3,
            "exact_match_answerable": 0,
            "right_no_answers": 1 / 2,
        }
    )
    answerable = reading_statistics(["dog"], [["dog"]], [english_scores])
    assert np.isnan(READING_MEASURES[-1].score(answerable))


@given(st.lists(st.tuples(st.integers(-3, 3), st.floats(0, 1), st.sampled_from([0.0, 1.0])), min_size=1, max_size=8))
def test_the_best_threshold_is_the_best_of_all(rows):
    lead_N, answered_N, silent_N = (np.array(column, dtype=np.float64) for column in zip(*rows, strict=True))
    threshold, score = best_threshold(lead_N, answered_N, silent_N)
    tried = [np.where(lead_N > one, silent_N, answered_N).mean() for one in (-4, -2.5, -1.5, -0.5, 0.5, 1.5, 2.5, 4)]
    assert score == pytest.approx(max(tried))
    assert np.where(lead_N > threshold, silent_N, answered_N).mean() == pytest.approx(score)
