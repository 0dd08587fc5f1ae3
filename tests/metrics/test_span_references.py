"""Spans are counted as the field's own scripts count them: those of CoNLL and of SIGHAN, written plainly, on any tags.

The rules of conlleval are those of its tables of pairs, as seqeval has them; the counts were also held against seqeval
1.2.2 itself. Strict spans are those of seqeval's strict mode.
"""

import re
from itertools import pairwise

import numpy as np
import pytest

from yanmo.answers.spans import find_spans, tags_of_spans
from yanmo.answers.tags import TagScheme
from yanmo.metrics.spans import SPAN_MEASURES, labeled_spans, same_span_M, span_statistics

IOB2 = ["B-x", "B-y", "B-z", "I-x", "I-y", "I-z", "O"]
BMES = [f"{letter}-{kind}" for kind in "xy" for letter in "BMES"]
ENDS = {("B", "B"), ("B", "O"), ("B", "S"), ("I", "B"), ("I", "O"), ("I", "S")}
BEGINS = {("O", "I"), ("O", "E"), ("E", "I"), ("E", "E"), ("S", "I"), ("S", "E")}


def conlleval(tags, labels):
    """The spans of a row, (kind, first, last), as the tables of the script find them."""
    spans, begin = [], 0
    letters = [(tag[0].replace("M", "I"), tag[2:]) for tag in tags]
    for place, ((before, kind_before), (letter, kind)) in enumerate(pairwise([("O", ""), *letters, ("O", "")])):
        changes = kind_before != kind
        if before != "O" and (before in "ES" or (before, letter) in ENDS or changes):
            spans.append((kind_before, begin, place - 1))
        if letter != "O" and (letter in "BS" or (before, letter) in BEGINS or changes):
            begin = place
    return spans


def strict_spans(tags, labels):
    """The spans that begin and end as they should, found by what they look like."""
    pattern = "S|BM*E" if labels is BMES else "BI*"
    spans = []
    for kind in {tag[2:] for tag in tags if tag != "O"}:
        # One letter a unit; of another kind, or outside, a dot.
        row = "".join(tag[0] if tag[2:] == kind and tag != "O" else "." for tag in tags)
        spans += [(kind, one.start(), one.end() - 1) for one in re.finditer(pattern, row)]
    return sorted(spans, key=lambda one: one[1])


def draw(labels, num_rows=10_000, seed=0):
    """Tags of rows that are drawn one by one, most of them illegal, and others that agree with two of three."""
    generator = np.random.default_rng(seed)
    lengths = generator.integers(0, 9, num_rows)
    offsets = np.concatenate(([0], np.cumsum(lengths)))
    truth_U, other_U = generator.integers(0, len(labels), (2, offsets[-1]))
    return np.where(generator.random(offsets[-1]) < 0.6, truth_U, other_U), truth_U, offsets


def rows_of(path_U, offsets, labels):
    return [[labels[tag] for tag in path_U[start:end]] for start, end in pairwise(offsets.tolist())]


def as_rows(spans, offsets, scheme):
    """The spans of every row, (kind, first, last), counted in the row."""
    rows = [[] for _ in offsets[1:]]
    for start, end, kind, row in zip(spans.start_M, spans.end_M, spans.kind_M, spans.row_M, strict=True):
        rows[row].append((scheme.kinds[kind], int(start - offsets[row]), int(end - offsets[row] - 1)))
    return rows


@pytest.mark.parametrize("labels", [IOB2, BMES], ids=["iob2", "bmes"])
def test_10000_rows_of_any_tags_are_read_as_conlleval_reads_them(labels):
    path_U, _, offsets = draw(labels)
    scheme = TagScheme.of(labels)
    rows = rows_of(path_U, offsets, labels)
    assert as_rows(find_spans(path_U, offsets, scheme), offsets, scheme) == [conlleval(row, labels) for row in rows]
    strict = as_rows(find_spans(path_U, offsets, scheme, strict=True), offsets, scheme)
    assert strict == [strict_spans(row, labels) for row in rows]


@pytest.mark.parametrize("strict", [False, True], ids=["as conlleval", "strict"])
@pytest.mark.parametrize("labels", [IOB2, BMES], ids=["iob2", "bmes"])
def test_f1_of_10000_rows_is_that_of_sets_of_spans(labels, strict):
    path_U, truth_U, offsets = draw(labels, seed=1)
    scheme = TagScheme.of(labels)
    read = strict_spans if strict else conlleval
    ours, theirs = (
        {(row, *span) for row, tags in enumerate(rows_of(one, offsets, labels)) for span in read(tags, labels)}
        for one in (path_U, truth_U)
    )
    found, truth = labeled_spans(path_U, truth_U, offsets, scheme, strict=strict)
    counts = (int(same_span_M(found, truth).sum()), len(found), len(truth))
    assert counts == (len(ours & theirs), len(ours), len(theirs))
    if not strict:
        statistics_NS = span_statistics(path_U, truth_U, offsets, scheme)
        scores = {one.name: one.score(statistics_NS) for one in SPAN_MEASURES}
        of_kinds = []
        for kind in scheme.kinds:
            mine, others = ({one for one in some if one[1] == kind} for some in (ours, theirs))
            of_kinds.append(2 * len(mine & others) / (len(mine) + len(others)))
        assert scores["span_precision"] == pytest.approx(len(ours & theirs) / len(ours))
        assert scores["span_recall"] == pytest.approx(len(ours & theirs) / len(theirs))
        assert scores["span_f1"] == pytest.approx(2 * len(ours & theirs) / (len(ours) + len(theirs)))
        assert scores["macro_span_f1"] == pytest.approx(np.mean(of_kinds))
        assert scores["unit_accuracy"] == pytest.approx(np.mean(path_U == truth_U))


def test_the_example_of_seqeval():
    truth = ["O O O B-MISC I-MISC I-MISC O", "B-PER I-PER O"]
    found = ["O O B-MISC I-MISC I-MISC I-MISC O", "B-PER I-PER O"]
    labels = ["B-MISC", "B-PER", "I-MISC", "I-PER", "O"]
    path_U, truth_U = (np.array([labels.index(tag) for row in some for tag in row.split()]) for some in (found, truth))
    statistics_NS = span_statistics(path_U, truth_U, np.array([0, 7, 10]), TagScheme.of(labels))
    scores = {one.name: one.score(statistics_NS) for one in SPAN_MEASURES}
    assert scores["span_f1"] == scores["span_precision"] == scores["span_recall"] == 0.5
    assert (scores["macro_span_f1"], scores["unit_accuracy"]) == (0.5, 0.8)


def sighan(found, truth):
    """Precision, recall and F1 of rows of words: a word is right where one of the same characters is."""
    right = num_found = num_truth = 0
    for ours, theirs in zip(found, truth, strict=True):
        places = []
        for words in (ours, theirs):
            ends = np.cumsum([len(word) for word in words]).tolist()
            places.append(set(zip([0, *ends], ends, strict=False)))
        right += len(places[0] & places[1])
        num_found, num_truth = num_found + len(ours), num_truth + len(theirs)
    precision, recall = right / num_found, right / num_truth
    return precision, recall, 2 * precision * recall / (precision + recall)


def cut(text, generator):
    """The words of a text that is cut at random places."""
    places = [0, *np.flatnonzero(generator.random(len(text) - 1) < 0.5) + 1, len(text)]
    return [text[start:end] for start, end in pairwise(places)]


def test_word_f1_is_that_of_the_bakeoffs():
    labels = ["B", "E", "M", "S"]
    generator = np.random.default_rng(0)
    texts = ["".join(generator.choice(list("的一是了我不人在他有"), size)) for size in generator.integers(1, 30, 2000)]
    truth = [cut(text, generator) for text in texts]
    # Half of the rows are right, so that not all is chance.
    found = [
        words if generator.random() < 0.5 else cut(text, generator) for text, words in zip(texts, truth, strict=True)
    ]
    paths = []
    for rows in (found, truth):
        ends = [np.cumsum([len(word) for word in words]) for words in rows]
        tags = [tags_of_spans([0, *end[:-1]], end, ["word"] * len(end), end[-1], style="bmes") for end in ends]
        paths.append(np.array([labels.index(tag) for row in tags for tag in row]))
    offsets = np.concatenate(([0], np.cumsum([len(text) for text in texts])))
    statistics_NS = span_statistics(*paths, offsets, TagScheme.of(labels))
    scores = {one.name: one.score(statistics_NS) for one in SPAN_MEASURES}
    names = ("span_precision", "span_recall", "span_f1")
    assert [scores[name] for name in names] == pytest.approx(sighan(found, truth))
