"""Rules beside a model: what they force is there, what they forbid is not, and the rest of the evidence stays."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest

from yanmo.answers.choices import Choices
from yanmo.answers.links import SOFTMAX
from yanmo.errors import ArtifactError
from yanmo.runtimes.rules import RULES, Rule, RuleFile, Rules, read_rules
from yanmo.tasks.token_labels import TOKEN_LABELS
from yanmo.text.unit_places import unit_places

NAMES = ["B-ORG", "B-PER", "I-ORG", "I-PER", "O"]
WORDS = ["B", "E", "M", "S"]


def scores_of(texts, labels, tags, *, sure=2.0, rule="characters"):
    """Scores, in nats, in which every unit's tag is the given one by a margin."""
    places = unit_places(texts, rule)
    values_MC = np.zeros((len(places.values), len(labels)), dtype=np.float32)
    values_MC[np.arange(len(values_MC)), [labels.index(tag) for row in tags for tag in row]] = sure
    return Choices(values_MC, SOFTMAX, places.offsets, places.values)


def answer(content, texts, scores, labels):
    """The spans of each row, as (text, label, source)."""
    rules, task = Rules(RuleFile(**content), labels), TOKEN_LABELS.of(labels)
    found = rules.find(texts, scores.places, scores.offsets_N)
    evidence = rules.limit(rules.apply(scores, found).activate())
    decided = rules.mark(task.decide(evidence, labels), found, evidence)
    return [
        [(text[one.start : one.end], one.label, one.source) for one in spans]
        for text, spans in zip(texts, decided.predictions, strict=True)
    ]


TEXTS = ["张三在云研科技", "云研"]
TAGS = [["B-PER", "I-PER", "O", "B-ORG", "I-ORG", "O", "O"], ["O", "O"]]


def test_without_rules_the_model_answers():
    scores = scores_of(TEXTS, NAMES, TAGS)
    assert answer({}, TEXTS, scores, NAMES) == [[("张三", "PER", "model"), ("云研", "ORG", "model")], []]


def test_a_forced_word_is_there_as_a_whole_and_says_who_found_it():
    scores = scores_of(TEXTS, NAMES, TAGS, sure=8.0)
    rule = Rule("ORG", words=["云研科技"])
    assert answer({"rule": [rule]}, TEXTS, scores, NAMES)[0] == [
        ("张三", "PER", "model"),
        ("云研科技", "ORG", "dictionary"),
    ]


def test_what_the_model_found_around_a_forced_word_ends_before_it_and_does_not_go_on_behind_it():
    tags = [["B-ORG", *["I-ORG"] * 6], ["O", "O"]]
    scores = scores_of(TEXTS, NAMES, tags, sure=8.0)
    found = answer({"rule": [Rule("PER", words=["在云"])]}, TEXTS, scores, NAMES)[0]
    assert ("在云", "PER", "dictionary") in found
    assert ("张三", "ORG", "model") in found
    forced = answer({"rule": [Rule("ORG", words=["张三"])]}, TEXTS, scores, NAMES)[0]
    assert forced[0] == ("张三", "ORG", "dictionary")


def test_a_preferred_span_wins_where_the_model_is_unsure_and_not_where_it_is_sure():
    rule = Rule("ORG", pattern="云研$", action="prefer")
    unsure, certain = (scores_of(TEXTS, NAMES, TAGS, sure=sure) for sure in (2.0, 9.0))
    assert answer({"rule": [rule]}, TEXTS, unsure, NAMES)[1] == [("云研", "ORG", "rule")]
    assert answer({"rule": [rule]}, TEXTS, certain, NAMES)[1] == []


def test_a_forbidden_kind_is_not_there_and_others_are():
    scores = scores_of(TEXTS, NAMES, TAGS, sure=8.0)
    scores.values_MC[:, NAMES.index("O")] += 4.0
    rules = [Rule("ORG", words=["云研"], action="forbid"), Rule("PER", words=["张三"], action="forbid")]
    assert answer({"rule": rules[:1]}, TEXTS, scores, NAMES)[0] == [("张三", "PER", "model")]
    assert answer({"rule": rules}, TEXTS, scores, NAMES)[0] == []


def test_spans_below_their_kinds_threshold_are_none():
    scores = scores_of(TEXTS, NAMES, TAGS, sure=2.0)
    assert answer({"thresholds": {"ORG": 0.99}}, TEXTS, scores, NAMES)[0] == [("张三", "PER", "model")]


def test_words_of_a_segmentation_are_forced_and_their_neighbors_stay_words():
    texts = ["研究生命起源"]
    scores = scores_of(texts, WORDS, [["B", "M", "E", "S", "B", "E"]], sure=8.0)
    found = answer({"rule": [Rule("word", words=["生命"])]}, texts, scores, WORDS)[0]
    assert ("生命", "word", "dictionary") in found
    assert "".join(text for text, _, _ in found) == texts[0]


def test_a_match_that_cuts_a_unit_is_left_out():
    texts = ["Yanmo-Labs opens"]
    scores = scores_of(texts, NAMES, [["O", "O"]], rule="words")
    for pattern in ("Yanmo", "pen"):
        assert answer({"rule": [Rule("ORG", pattern=pattern)]}, texts, scores, NAMES) == [[]]


def test_the_first_rule_has_a_place_that_two_want():
    scores = scores_of(TEXTS, NAMES, TAGS)
    rules = [Rule("PER", words=["云研"]), Rule("ORG", words=["云研科技"])]
    assert answer({"rule": rules}, TEXTS, scores, NAMES)[1] == [("云研", "PER", "dictionary")]


def test_rows_without_a_match_keep_their_evidence():
    scores = scores_of(TEXTS, NAMES, TAGS)
    rules = Rules(RuleFile([Rule("ORG", words=["科技"])]), NAMES)
    changed = rules.apply(scores, rules.find(TEXTS, scores.places, scores.offsets_N))
    np.testing.assert_array_equal(changed.values_MC[7:], scores.values_MC[7:])
    assert (changed.values_MC[5:7] != scores.values_MC[5:7]).any()


def test_where_a_rule_is_applied_nothing_is_known_of_the_whole_row():
    texts = [*TEXTS, "张三"]
    scores = scores_of(texts, NAMES, [*TAGS, ["O", "O"]])
    scores = scores.having(scores.values_MC, joint_M=np.full(len(scores.values_MC), 0.5, dtype=np.float32))
    rules = Rules(RuleFile([Rule("PER", pattern="^云研$")]), NAMES)
    changed = rules.apply(scores, rules.find(texts, scores.places, scores.offsets_N))
    assert np.isnan(changed.joint_M).tolist() == [False] * 7 + [True] * 2 + [False] * 2


@pytest.mark.parametrize(
    ("content", "labels", "said"),
    [
        (RuleFile([Rule("LOC", words=["x"])]), NAMES, "rule 1: the model knows no 'LOC', only ORG, PER"),
        (RuleFile([Rule("ORG")]), NAMES, "neither words nor a pattern"),
        (RuleFile([Rule("ORG", words=[""])]), NAMES, "a word of it is empty"),
        (RuleFile([Rule("ORG", pattern="(")]), NAMES, "is no regular expression"),
        (RuleFile([], {"LOC": 0.5}), NAMES, "thresholds: the model knows no 'LOC'"),
        (RuleFile([], {"word": 0.5}), WORDS, "none can be left out"),
        (RuleFile([Rule("word", words=["x"], action="forbid")]), WORDS, "none can be forbidden"),
    ],
)
def test_rules_that_do_not_suit_the_model_are_named(content, labels, said):
    with pytest.raises(ValueError, match=said):
        Rules(content, labels)


def test_damaged_rules_of_a_bundle_are_said(tmp_path):
    assert read_rules(tmp_path, NAMES) is None
    (tmp_path / RULES).write_bytes(msgspec.json.encode(RuleFile([Rule("LOC", words=["x"])])))
    with pytest.raises(ArtifactError, match=r"rules\.json cannot be read: rule 1: the model knows no 'LOC'"):
        read_rules(tmp_path, NAMES)
