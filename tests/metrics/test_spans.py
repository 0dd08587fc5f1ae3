"""What is counted of spans, against counts by hand, the script of CoNLL and that of SIGHAN."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from yanmo.answers.tags import TagScheme
from yanmo.metrics.measures import measure_with_intervals
from yanmo.metrics.spans import SPAN_MEASURES, UNIT_MEASURES, count_spans, measures_of, right_tag_rows, span_statistics

IOB2 = ["B-x", "B-y", "I-x", "I-y", "O"]


def statistics_of(found, truth, labels):
    """What is counted in rows of tags that are written with spaces; ? is a unit without a label."""
    place = {**{label: one for one, label in enumerate(labels)}, "?": -1}
    rows = [row.split() for row in truth]
    offsets = np.concatenate(([0], np.cumsum([len(row) for row in rows]))).astype(np.int64)
    path_U, truth_U = (
        np.array([place[tag] for row in some for tag in row.split()], dtype=np.int64) for some in (found, truth)
    )
    return span_statistics(path_U, truth_U, offsets, TagScheme.of(labels))


def scores_of(found, truth, labels):
    """Every measure of the rows."""
    statistics_NS = statistics_of(found, truth, labels)
    return {one.name: one.score(statistics_NS) for one in measures_of(TagScheme.of(labels))}


def test_what_is_counted_in_each_row():
    found = ["B-x I-x O B-y", "B-x I-x B-x O", "O O", ""]
    truth = ["B-x I-x O B-x", "B-x I-x I-x O", "O O", ""]
    statistics_NS = statistics_of(found, truth, IOB2)
    # Of x and y: spans of the truth, found, right. Near: in truth, found. Units: right, all. Row: right, 1.
    assert statistics_NS.tolist() == [
        [2, 0, 1, 1, 1, 0, 0, 0, 3, 4, 0, 1],
        [1, 0, 2, 0, 0, 0, 1, 2, 3, 4, 0, 1],
        [0, 0, 0, 0, 0, 0, 0, 0, 2, 2, 1, 1],
        [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1],
    ]
    assert right_tag_rows(statistics_NS).tolist() == [False, False, True, True]
    hits, found_counts, support = count_spans(statistics_NS.sum(axis=0))
    assert (hits.tolist(), found_counts.tolist(), support.tolist()) == ([1, 0], [3, 1], [3, 0])


def test_every_measure_by_hand():
    scores = scores_of(["B-x I-x O B-y", "B-x I-x B-x O"], ["B-x I-x O B-x", "B-x I-x I-x O"], IOB2)
    precision, recall = (1 + 2 / 2) / 4, (1 + 1 / 2) / 3
    assert scores == pytest.approx(
        {
            "span_f1": 2 / 7,
            "span_precision": 1 / 4,
            "span_recall": 1 / 3,
            "macro_span_f1": (2 / 6 + 0) / 2,
            "partial_span_f1": 2 * precision * recall / (precision + recall),
            "unit_accuracy": 6 / 8,
            "right_rows": 0.0,
        }
    )


def test_without_any_span_there_is_no_f1_and_with_none_right_it_is_0():
    nothing = scores_of(["O O"], ["O O"], IOB2)
    assert np.isnan([nothing[name] for name in nothing if "span" in name]).all()
    assert (nothing["unit_accuracy"], nothing["right_rows"]) == (1.0, 1.0)
    invented = scores_of(["B-x O"], ["O O"], IOB2)
    assert (invented["span_f1"], invented["partial_span_f1"], invented["span_precision"]) == (0.0, 0.0, 0.0)
    assert np.isnan(invented["span_recall"])


def test_units_without_a_label_are_left_out():
    #         counted     touches one   rest of a span that nobody knows
    truth = ["B-x I-x O", "O ? O O", "B-x ? I-x O", "? ?"]
    found = ["B-x I-x O", "B-y I-y O B-y", "B-x I-x I-x O", "B-x O"]
    statistics_NS = statistics_of(found, truth, IOB2)
    assert statistics_NS[:, :6].tolist() == [[1, 0, 1, 0, 1, 0], [0, 0, 0, 1, 0, 0], [1, 0, 0, 0, 0, 0], [0] * 6]
    assert statistics_NS[:, -4:-2].tolist() == [[3, 3], [1, 3], [3, 3], [0, 0]]


ROW = st.integers(0, 8).flatmap(
    lambda size: st.tuples(*[st.lists(st.sampled_from([*IOB2, "?"]), min_size=size, max_size=size)] * 2)
)


@given(st.lists(ROW, min_size=1, max_size=5))
def test_rows_count_for_themselves_and_nothing_is_right_twice(rows):
    truth = [" ".join(tags) for tags, _ in rows]
    found = [" ".join(tag.replace("?", "O") for tag in tags) for _, tags in rows]
    statistics_NS = statistics_of(found, truth, IOB2)
    alone = [statistics_of([ours], [theirs], IOB2)[0].tolist() for ours, theirs in zip(found, truth, strict=True)]
    assert statistics_NS.tolist() == alone
    of_truth, of_found, right = (statistics_NS[:, place : place + 2] for place in (0, 2, 4))
    assert (right <= np.minimum(of_truth, of_found)).all()
    near_truth, near_found, right_units, units = statistics_NS[:, 6:10].T
    assert (right.sum(axis=1) + near_truth <= of_truth.sum(axis=1)).all()
    assert (right.sum(axis=1) + near_found <= of_found.sum(axis=1)).all()
    assert ((near_truth > 0) == (near_found > 0)).all()
    assert (right_units <= units).all()
    itself = statistics_of(found, found, IOB2)
    assert (itself[:, 0:2] == itself[:, 4:6]).all()
    assert itself[:, 6:8].sum() == 0


def test_the_first_measure_is_that_of_the_scheme():
    assert measures_of(TagScheme.of(IOB2))[0].name == "span_f1"
    assert measures_of(TagScheme.of(["B", "E", "S"]))[0].name == "span_f1"
    assert measures_of(TagScheme.of(["NOUN", "VERB"]))[0].name == "unit_accuracy"
    for measures in (SPAN_MEASURES, UNIT_MEASURES):
        assert len({one.name for one in measures}) == len(measures)


def test_plain_tags_are_counted_unit_by_unit():
    scores = scores_of(["a b b", "a"], ["a a b", "?"], ["a", "b"])
    assert scores == pytest.approx({"unit_accuracy": 2 / 3, "macro_span_f1": 2 / 3, "right_rows": 1 / 2})


def test_where_all_rows_are_right_their_share_is_not_certain():
    statistics_NS = statistics_of(["B-x O"] * 20, ["B-x O"] * 20, IOB2)
    found = measure_with_intervals(statistics_NS, SPAN_MEASURES, num_resamples=100, seed=0)
    assert found["right_rows"].interval == pytest.approx((0.8389, 1.0), abs=1e-4)
    assert found["span_f1"].interval == (1.0, 1.0)


def test_intervals_are_drawn_from_the_rows():
    generator = np.random.default_rng(0)
    truth_U, path_U = generator.integers(0, 5, (2, 3000))
    path_U = np.where(generator.random(3000) < 0.7, truth_U, path_U)
    statistics_NS = span_statistics(path_U, truth_U, np.arange(0, 3001, 10), TagScheme.of(IOB2))
    found = measure_with_intervals(statistics_NS, SPAN_MEASURES, num_resamples=300, seed=0)
    for one in found.values():
        assert one.interval[0] < one.value < one.interval[1]


def test_fewer_spans_than_the_truth_has_are_a_score_all_the_same():
    scores = scores_of(["B-x I-x O O"], ["B-x I-x O B-x"], IOB2)
    assert scores["partial_span_f1"] == pytest.approx(2 * 1 * 0.5 / 1.5)
