"""Tags become spans at the characters where they stand, and whatever is counted leaves out units without a label."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from yanmo.answers.answered import Answered, Span
from yanmo.answers.choices import Choices
from yanmo.answers.links import SOFTMAX
from yanmo.arrays import Ragged
from yanmo.errors import DataError, InternalError
from yanmo.tasks import TASKS, task_of
from yanmo.tasks.deciding import count_given
from yanmo.text.inputs import Inputs
from yanmo.text.pipeline import TextConfig
from yanmo.text.unit_places import unit_places

NAMES = ["B-ORG", "B-PER", "I-ORG", "I-PER", "O"]
TEXTS = ["张三 在云研", "", "好"]
TAGS = [["B-PER", "I-PER", "O", "B-ORG", "I-ORG"], [], ["O"]]
TASK = TASKS["token_labels"].of(NAMES)


def evidence_of(tags, *, sure=0.9, texts=TEXTS):
    places = unit_places(texts, "characters")
    values_MC = np.full((len(places.values), len(NAMES)), (1 - sure) / (len(NAMES) - 1), dtype=np.float32)
    values_MC[np.arange(len(values_MC)), [NAMES.index(tag) for row in tags for tag in row]] = sure
    return Choices(values_MC, SOFTMAX, places.offsets, places.values)


def test_spans_are_decided_at_their_places_in_the_raw_text():
    decided = TASK.decide(evidence_of(TAGS), NAMES)
    told = [[(one.start, one.end, one.label) for one in spans] for spans in decided.predictions]
    assert told == [[(0, 2, "PER"), (4, 6, "ORG")], [], []]
    assert decided.probability_N.tolist() == pytest.approx([0.9, 1.0, 1.0])
    told = TASK.tell(Answered(decided, evidence_of(TAGS), None), Inputs((TEXTS,)), NAMES)
    assert told[0].spans[1].text == "云研"


def test_a_threshold_leaves_out_what_is_less_probable():
    evidence = evidence_of(TAGS)
    evidence.values_MC[0] = evidence.values_MC[1] = [0.1, 0.5, 0.1, 0.1, 0.2]
    evidence.values_MC[1] = [0.1, 0.1, 0.1, 0.5, 0.2]
    decided = TASK.decide(evidence, NAMES, threshold=0.6)
    assert [one.label for one in decided.predictions[0]] == ["ORG"]


def test_targets_are_places_of_tags_and_a_missing_one_is_none():
    targets = TASK.encode(pl.Series([["O", None, "B-PER"], [], ["O"]]), NAMES)
    assert targets.values.tolist() == [4, -1, 1, 4]
    assert targets.offsets.tolist() == [0, 3, 3, 4]


def test_a_tag_that_the_labels_lack_is_named():
    with pytest.raises(DataError, match="The label 'B-LOC' is unknown"):
        TASK.encode(pl.Series([["B-LOC"]]), NAMES)


def test_units_without_a_label_count_in_no_measure():
    evidence = evidence_of([["B-PER", "I-PER", "O", "O", "O"], [], ["O"]])
    targets = TASK.encode(pl.Series([["B-PER", "I-PER", "O", None, None], [], ["O"]]), NAMES)
    scores = {one.name: one.score(TASK.statistics(evidence, targets)) for one in TASK.measures}
    assert scores["span_f1"] == scores["unit_accuracy"] == 1.0
    assert TASK.right_N(evidence, targets).tolist() == [True, True, True]
    assert TASK.losses_N(evidence, targets).tolist() == pytest.approx([-np.log(0.9), 0.0, -np.log(0.9)], abs=1e-6)


def test_rows_are_the_same_where_all_their_tags_are():
    other = evidence_of([["B-PER", "I-PER", "O", "O", "O"], [], ["O"]])
    assert TASK.same_N(evidence_of(TAGS), other).tolist() == [False, True, True]
    assert TASK.confidence_N(evidence_of(TAGS)).tolist() == pytest.approx([0.9, 1.0, 0.9])


def test_plain_tags_have_another_headline():
    assert TASKS["token_labels"].of(["NOUN", "VERB"]).measures[0].name == "unit_accuracy"
    assert TASK.measures[0].name == "span_f1"
    with pytest.raises(InternalError, match="was not told its labels"):
        TASKS["token_labels"].path(evidence_of(TAGS))


def test_given_labels_are_the_kinds_counted_at_their_first_tag():
    decided = TASK.decide(evidence_of(TAGS), NAMES)
    assert TASK.columns_of(NAMES) == {"ORG": 0, "PER": 1}
    assert count_given(TASK, [*decided.predictions, None], NAMES).tolist() == [1, 1, 0, 0, 0]


def test_spans_go_to_a_column_and_a_row_without_an_answer_is_null():
    spans = (Span(0, 2, "PER", 0.5, source="dictionary"), Span(4, 6, "ORG", 0.25))
    column = TASK.column([spans, (), None])
    assert column.dtype == TASK.frame_type()
    assert column.to_list() == [
        [
            {"start": 0, "end": 2, "label": "PER", "probability": 0.5, "source": "dictionary"},
            {"start": 4, "end": 6, "label": "ORG", "probability": 0.25, "source": "model"},
        ],
        [],
        None,
    ]


def test_the_column_of_what_was_decided_is_that_of_its_spans_one_by_one():
    decided = TASK.decide(evidence_of(TAGS), NAMES)
    assert TASK.column(decided.predictions).equals(TASK.column(list(decided.predictions)))
    nothing = TASK.decide(evidence_of([], texts=[]), NAMES)
    assert nothing.predictions == []
    assert TASK.column(nothing.predictions).dtype == TASK.frame_type()


def test_the_task_of_an_artifact_knows_its_labels():
    class Some:
        task, labels = "token_labels", NAMES
        text_config = TextConfig(units="characters")

    assert task_of(Some).scheme.kinds == ("ORG", "PER")


def test_units_without_a_tag_are_no_decisions_with_a_truth():
    values_MC = np.arange(20, dtype=np.float32).reshape(4, 5)
    evidence = Choices(values_MC, SOFTMAX, np.array([0, 3, 3, 4]))
    targets = Ragged(np.array([2, -1, 0, -1]), evidence.offsets_N)
    found, targets_MC = TASK.labeled(evidence, targets)
    assert found.values_MC.tolist() == values_MC[[0, 2]].tolist()
    assert targets_MC.argmax(axis=1).tolist() == [2, 0]
    assert targets_MC.sum() == 2


def test_a_task_that_was_not_told_its_labels_is_given_them_when_it_decides():
    evidence = evidence_of(TAGS)
    told, untold = (task.decide(evidence, NAMES) for task in (TASK, TASKS["token_labels"]))
    assert told.predictions == untold.predictions


def test_only_tasks_of_units_read_units():
    assert {name for name, task in TASKS.items() if task.reads_units} == {"token_labels", "dependencies"}
