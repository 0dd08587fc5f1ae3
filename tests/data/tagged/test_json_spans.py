"""JSON as tools write it: every one's way to say which part of a text is what; what cannot be read says why."""

import json
from collections import Counter
from pathlib import Path

import pytest

from yanmo.data.tagged.json_spans import JsonKeys, read_json_rows
from yanmo.data.tagged.sentence import SpansRow, WordsRow
from yanmo.errors import DataError

TEXT = "Anna lives in Rome"
FILE = Path("a.jsonl")


def read(*values, counts=None, **keys):
    lines = [value if isinstance(value, str) else json.dumps(value, ensure_ascii=False) for value in values]
    return list(read_json_rows(FILE, lines, JsonKeys(**keys), Counter() if counts is None else counts))


def spans(value, **keys):
    (row,) = read(value, **keys)
    assert row.problem is None
    return row.text, [(one.start, one.end, one.kind, one.surface) for one in row.spans]


def label_studio(*annotations):
    made = [
        {
            "was_cancelled": is_cancelled,
            "result": [
                {"type": "relation", "from_id": "a"},
                {"type": "choices", "value": {"choices": ["x"]}},
                {"type": "labels", "value": {"start": start, "end": end, "text": TEXT[start:end], "labels": [kind]}},
            ],
        }
        for is_cancelled, start, end, kind in annotations
    ]
    return {"id": 1, "data": {"text": TEXT}, "annotations": made}


PLAIN = [(0, 4, "PER", None), (14, 18, "LOC", None)]
ROWS = {
    "doccano": {"text": TEXT, "label": [[0, 4, "PER"], [14, 18, "LOC"]]},
    "doccano, labels": {"id": 3, "text": TEXT, "labels": [[0, 4, "PER"], [14, 18, "LOC"]]},
    "doccano, entities": {
        "text": TEXT,
        "entities": [
            {"id": 1, "label": "PER", "start_offset": 0, "end_offset": 4},
            {"id": 2, "label": "LOC", "start_offset": 14, "end_offset": 18},
        ],
        "relations": [],
    },
    "spaCy": [TEXT, {"entities": [[0, 4, "PER"], [14, 18, "LOC"]]}],
    "Prodigy": {
        "text": TEXT,
        "tokens": [{"text": "Anna", "start": 0}],
        "spans": [
            {"start": 0, "end": 4, "token_start": 0, "label": "PER"},
            {"start": 14, "end": 18, "label": "LOC"},
        ],
        "answer": "accept",
    },
    "a label of the whole text beside it": {
        "text": TEXT,
        "label": "news",
        "entities": [[0, 4, "PER"], [14, 18, "LOC"]],
    },
    "kinds": {"text": TEXT, "label": {"PER": [[0, 4]], "LOC": [[14, 18]]}},
    "slots": {
        "userInput": {"text": TEXT},
        "labels": [
            {"slot": "PER", "valueSpan": {"endIndex": 4}},
            {"slot": "LOC", "valueSpan": {"startIndex": 14, "endIndex": 18}},
        ],
    },
}


@pytest.mark.parametrize("row", ROWS.values(), ids=list(ROWS))
def test_every_tool_says_its_spans(row):
    assert spans(row) == (TEXT, PLAIN)


def test_what_a_span_holds_is_kept():
    inclusive = {"text": TEXT, "label": {"name": {"Anna": [[0, 3]]}, "address": {"Rome": [[14, 17]]}}}
    assert spans(inclusive)[1] == [(0, 3, "name", "Anna"), (14, 17, "address", "Rome")]
    assert spans(label_studio((False, 0, 4, "PER"))) == (TEXT, [(0, 4, "PER", "Anna")])
    small = {"text": TEXT, "label": [{"start": 0, "end": 4, "text": "Anna", "labels": ["PER"]}]}
    assert spans(small)[1] == [(0, 4, "PER", "Anna")]


def test_of_several_annotations_the_first_that_stands_counts_and_is_counted():
    counts = Counter()
    row = label_studio((True, 0, 4, "A"), (False, 0, 4, "B"), (False, 0, 4, "C"))
    (found,) = read(row, counts=counts)
    assert [one.kind for one in found.spans] == ["B"]
    assert list(counts.values()) == [1]
    assert read(label_studio((True, 0, 4, "A")))[0].spans == []


def test_a_list_of_objects_is_numbered_and_lines_keep_theirs():
    one = {"text": TEXT, "label": []}
    assert [row.line for row in read(json.dumps([one, one], indent=2).replace("\n", " "))] == [1, 2]
    assert [row.line for row in read("", one, "", one)] == [2, 4]
    pair = [TEXT, {"entities": []}]
    assert [row.line for row in read("", pair, "", pair)] == [2, 4]
    assert [row.text for row in read(pair)] == [TEXT]
    assert [row.text for row in read(json.dumps([pair, pair]))] == [TEXT, TEXT]


def test_words_with_tags_are_words():
    (row,) = read({"tokens": ["in", "Rome"], "ner_tags": ["O", "B-LOC"]})
    assert (type(row), row.words, row.tags) == (WordsRow, ["in", "Rome"], ["O", "B-LOC"])
    (row,) = read({"w": ["in", "Rome"], "t": [None, "B-LOC"]}, text="w", label="t")
    assert row.tags == [None, "B-LOC"]


@pytest.mark.parametrize("tags", [["O", True], {"0": "O"}])
def test_words_without_a_list_of_tags_are_an_error(tags):
    with pytest.raises(
        DataError, match="Row 1 has a list of words without a list of tags, all of them texts or numbers"
    ):
        read({"tokens": ["in", "Rome"], "tags": tags})


def test_words_without_as_many_tags_are_refused_and_no_tags_at_all_are_an_error():
    told = {"tokens": ["in", "Rome"], "tags": ["O", "O"]}
    rows = read(told, {**told, "tags": ["O"]}, {**told, "tags": None})
    assert [row.problem for row in rows] == [None, "not a tag for every word", "missing label"]
    with pytest.raises(DataError, match="has no spans"):
        read({"tokens": ["in", "Rome"]})


def test_numbered_tags_need_names():
    names = {"0": "O", "1": "B-LOC"}
    rows = read(
        {"tokens": ["in", "Rome", "or"], "ner_tags": [0, 1, -100]}, {"tokens": ["in"], "ner_tags": [2]}, tag_names=names
    )
    assert [row.tags for row in rows] == [["O", "B-LOC", None], [None]]
    assert [row.problem for row in rows] == [None, "tag without a name"]
    with pytest.raises(DataError, match="Row 1 has tags that are numbers, such as 1, and nothing says") as caught:
        read({"tokens": ["Rome"], "ner_tags": [1]})
    assert "--label-names O,B-PER,I-PER" in caught.value.hint


@pytest.mark.parametrize(
    ("row", "problem"),
    [
        ({"text": TEXT}, "missing label"),
        ({"text": TEXT, "label": None}, "missing label"),
        ({"text": TEXT, "label": [[0, 4]]}, "unreadable label"),
        ({"text": TEXT, "label": [["0", 4, "A"]]}, "unreadable label"),
        ({"text": TEXT, "label": [{"start": 0, "label": "A"}]}, "unreadable label"),
        ({"text": TEXT, "label": [{"start": 0, "end": True, "label": "A"}]}, "unreadable label"),
        ({"text": TEXT, "label": {"A": {"Anna": [[0]]}}}, "unreadable label"),
        ({"text": TEXT, "label": ["A"]}, "unreadable label"),
        ({"text": TEXT, "label": [{"start": 0, "end": 4, "labels": ["A", "B"]}]}, "nested spans"),
        ({"text": TEXT, "spans": [], "answer": "reject"}, "not accepted"),
        ({"text": TEXT, "answer": "accept"}, None),
        ({"userInput": {"text": TEXT}}, None),
        ({"text": TEXT, "label": []}, None),
    ],
)
def test_a_row_that_cannot_be_used_says_why(row, problem):
    usual = {"text": TEXT, "label": [[0, 4, "A"]]}
    assert [one.problem for one in read(usual, row)] == [None, problem]


def test_a_key_that_is_named_is_the_only_one():
    row = {"text": "x", "label": [], "body": TEXT, "marks": [[0, 4, "PER"]], "key": 7}
    found = read(row, text="body", label="marks", name="key")[0]
    assert found == SpansRow(1, TEXT, found.spans, "7")
    assert len(found.spans) == 1


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"text": "boddy"}, "a.jsonl has no column 'boddy'. Did you mean 'body'?"),
        ({"label": "marsk"}, "a.jsonl has no column 'marsk'. Did you mean 'marks'?"),
    ],
)
def test_a_key_that_no_row_has_is_named(keys, message):
    with pytest.raises(DataError) as caught:
        read({"text": TEXT, "body": TEXT, "marks": []}, **keys)
    assert caught.value.message == message


def test_a_label_of_the_whole_text_is_no_span():
    with pytest.raises(DataError, match="a.jsonl has no spans: no row has any under label, labels, entities, spans."):
        read({"text": TEXT, "label": "news"})


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (["", " "], "a.jsonl has no rows, only blank lines."),
        (['{"text": "a", "label": []}', "{"], "a.jsonl line 2 is not valid JSON. Got '{'."),
        (['["a"]'], "a.jsonl row 1 is no JSON object. Got \"['a']\"."),
        (['["a", {"entities": []}]', "x"], "a.jsonl line 2 is not valid JSON. Got 'x'."),
        (["7"], "a.jsonl row 1 is no JSON object. Got '7'."),
    ],
)
def test_what_is_no_json_of_rows_is_an_error(lines, message):
    with pytest.raises(DataError) as caught:
        read(*lines)
    assert caught.value.message == message
