"""Answers in passages: what is decided, told and measured, and what combining models asks of the task."""

import numpy as np
import polars as pl
import pytest

from yanmo.answers.answered import Answered, Decided, Found
from yanmo.answers.passage_truth import ANSWERS, PassageTruth
from yanmo.answers.pointers import Pointers
from yanmo.combine.averaging import average
from yanmo.combine.voting import vote
from yanmo.tasks.span import ANSWER, NONE, SPAN
from yanmo.text.inputs import Inputs
from yanmo.text.unit_places import unit_places

PASSAGES = ["Rosa lives in Rome.", "光荣开发了游戏。", "Nothing."]
ROWS = [[{"start": 14, "text": "Rome"}, {"start": 11, "text": "in Rome"}], [{"start": 0, "text": "光荣"}], []]
TRUTH = PassageTruth.read(PASSAGES, pl.Series(ROWS, dtype=ANSWERS), unit_places(PASSAGES, "tokens"))


def pointing(*places, sure=0.9, passages=PASSAGES):
    """Evidence of rows that point at spans, None for none, with so much probability at each end."""
    parts, cells = [], [0]
    for place, passage in zip(places, passages, strict=True):
        for side in (0, 1):
            values = np.full(len(passage) + 1, (1 - sure) / len(passage), dtype=np.float32)
            values[-1 if place is None else place[side] - side] = sure
            parts.append(values)
            cells.append(cells[-1] + len(values))
    return Pointers(np.concatenate(parts), np.array(cells), np.arange(0, len(cells), 2))


RIGHT = pointing((14, 18), (0, 2), None)
WRONG = pointing((0, 4), None, (0, 7))


def test_the_best_span_is_decided_or_none():
    decided = SPAN.decide(RIGHT, [ANSWER, NONE])
    spans = [[(one.start, one.end, one.label) for one in row] for row in decided.predictions]
    assert spans == [[(14, 18, ANSWER)], [(0, 2, ANSWER)], []]
    assert [SPAN.given(one) for one in decided.predictions] == [(ANSWER,), (ANSWER,), (NONE,)]
    assert decided.probability_N == pytest.approx(SPAN.confidence_N(RIGHT))
    assert SPAN.column(decided.predictions).dtype == SPAN.frame_type()
    assert SPAN.given(None) == ()


def test_an_answer_below_the_threshold_is_none():
    sure = float(SPAN.decide(RIGHT, ()).probability_N[0])
    assert SPAN.decide(RIGHT, (), threshold=sure + 0.01).predictions[0] == ()
    assert SPAN.decide(RIGHT, (), threshold=sure - 0.01).predictions[0] != ()


def test_exact_match_and_f1_are_counted_by_the_language_of_the_passage():
    assert SPAN.statistics(RIGHT, TRUTH)[:, :2].tolist() == [[1, 1], [1, 1], [1, 1]]
    assert SPAN.statistics(WRONG, TRUTH)[:, :2].tolist() == [[0, 0], [0, 0], [0, 0]]
    # "in Rome" and "Rome" both count as right.
    assert SPAN.right_N(pointing((11, 18), (0, 3), None), TRUTH).tolist() == [True, False, True]
    assert SPAN.statistics(pointing((5, 18), (0, 4), None), TRUTH)[:2, 1] == pytest.approx([0.8, 2 / 3])


def test_the_loss_is_that_of_all_right_spans():
    spans = SPAN.spans(RIGHT)
    both = spans.of_spans(TRUTH.spans)
    losses = SPAN.losses_N(RIGHT, TRUTH)
    assert losses == pytest.approx(-np.log([both[0] + both[1], both[2], spans.none_N[2]]))
    assert (SPAN.losses_N(WRONG, TRUTH) > losses + 1).all()


def test_an_answer_without_a_place_counts_as_a_text_and_not_in_losses():
    answers = pl.Series([[{"start": -1, "text": "Rome"}]], dtype=ANSWERS)
    truth = PassageTruth.read(PASSAGES[:1], answers, unit_places(PASSAGES[:1], "tokens"))
    evidence = RIGHT.take(np.array([0]))
    assert SPAN.right_N(evidence, truth).tolist() == [True]
    assert len(SPAN.losses_M(evidence, truth)) == len(SPAN.truth(evidence, truth, most=9)) == 0


@pytest.mark.parametrize(
    ("passage", "answer", "place"),
    [
        ("see abc\u200b\u200b", {"start": 4, "text": "abc\u200b\u200b"}, [4, 7]),
        ("The 1990s were", {"start": 4, "text": "1990"}, [4, 9]),
        ("in Rome.", {"start": 3, "text": "Rome"}, [3, 7]),
        ("in \u200b Rome", {"start": 3, "text": "\u200b"}, None),
    ],
)
def test_right_answers_stand_at_whole_units(passage, answer, place):
    truth = PassageTruth.read([passage], pl.Series([[answer]], dtype=ANSWERS), unit_places([passage], "tokens"))
    assert truth.spans.values.tolist() == ([] if place is None else [place])
    assert truth.answers == [(answer["text"],)]


def test_what_was_given_to_the_truth_is_linear_in_the_evidence():
    mixed = average([RIGHT, WRONG], [0.25, 0.75])
    parts = [SPAN.truth(one, TRUTH, most=99) for one in (RIGHT, WRONG)]
    assert SPAN.truth(mixed, TRUTH, most=99) == pytest.approx(0.25 * parts[0] + 0.75 * parts[1])
    assert len(parts[0]) == 6


def test_a_vote_goes_to_the_answer_of_most_members():
    members = [RIGHT, pointing((14, 18), None, (0, 7), sure=0.5), WRONG]
    decided = SPAN.decide(vote(members, 3, SPAN.ballots), ())
    assert [[(one.start, one.end) for one in row] for row in decided.predictions] == [[(14, 18)], [], [(0, 7)]]


def test_members_agree_where_they_decide_the_same():
    assert SPAN.same_N(RIGHT, pointing((14, 18), None, None)).tolist() == [True, False, True]
    assert SPAN.gap_N(RIGHT) == pytest.approx([0.9 - 0.1 / len(one) for one in PASSAGES], abs=1e-6)


def test_answers_are_told_with_their_texts_and_others_beside_them():
    decided = SPAN.decide(RIGHT, ()).withhold(np.array([False, True, False]))
    zeros = np.zeros(3, dtype=np.int64)
    answered = Answered(decided, RIGHT, Found(zeros, zeros, zeros > 0, 0))
    told = SPAN.tell(answered, Inputs((PASSAGES, ["?"] * 3)), [ANSWER, NONE])
    assert [one.label for one in told] == ["Rome", None, None]
    assert [one.abstained for one in told] == [False, True, False]
    assert told[0].spans[0].text == "Rome"
    assert sum(told[0].probabilities.values()) == pytest.approx(1)
    assert isinstance(decided, Decided)


def test_the_truth_takes_rows():
    taken = TRUTH.take(np.array([2, 0]))
    assert (list(taken.passages), taken.answers) == ([PASSAGES[2], PASSAGES[0]], [(), ("Rome", "in Rome")])
    assert taken.spans.values.tolist() == [[11, 18], [14, 18]]
    assert not SPAN.is_one_answer(TRUTH)
    assert SPAN.is_one_answer(TRUTH.take(np.array([2])))


def test_the_truth_of_starts_and_of_ends_is_the_probability_at_their_own_cells():
    # Starts and ends of row 0 differ in how sure they are; of "Rome" and "in Rome" the common end counts once.
    values = [np.full(len(passage) + 1, 0.01, dtype=np.float32) for passage in PASSAGES for _ in (0, 1)]
    values[0][[14, 11]], values[1][17], values[2][0], values[3][1] = 0.3, 0.7, 0.4, 0.6
    values[4][-1], values[5][-1] = 0.8, 0.9
    cells = np.concatenate(([0], np.cumsum([len(one) for one in values])))
    evidence = Pointers(np.concatenate(values), cells, np.arange(0, len(cells), 2))
    assert SPAN.truth(evidence, TRUTH, most=2) == pytest.approx([0.6, 0.4, 0.8, 0.7, 0.6, 0.9])
    assert SPAN.losses_N(RIGHT, TRUTH).min() >= 0
