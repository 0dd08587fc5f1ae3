"""A feature is the same wherever the same units stand around a unit, and never one of another template or text."""

import hashlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from yanmo.text.inputs import Inputs
from yanmo.text.lexicon import Lexicon
from yanmo.text.pipeline import TextConfig, TextPipeline
from yanmo.text.window_features import REACH, TEMPLATES, WindowConfig, WindowFeatures, suited_config

DIGESTS = {
    "characters": "4d855eb8fa07a3fd",
    "entity_characters": "2548c2cb5d74a01a",
    "words": "d8ee13acb5faef74",
    "ideographs": "48b9b580663479c2",
    "tokens": "5e09ecb190935343",
}
BUCKETS = {
    "characters": "b11a38def13db78d",
    "entity_characters": "b3b0f3ec1aa8fb82",
    "words": "64b22b75481ba0f7",
    "ideographs": "4d13835752d36802",
    "tokens": "9ceb96624d6d2703",
}
"""Of those that Bundles were trained with."""
TEXTS = st.lists(st.text("上海市体育a1 ", max_size=12), max_size=6)


def units_of(texts, rule):
    return TextPipeline(TextConfig(units=rule)).read(Inputs((texts,))).units


def features(texts, templates="characters", lexicon=None, **options):
    config = WindowConfig(units=templates, has_lexicon=lexicon is not None, **options)
    rule = {"ideographs": "words", "entity_characters": "characters"}.get(templates, templates)
    return WindowFeatures(units_of(texts, rule), config, lexicon)


@settings(max_examples=30)
@given(TEXTS, st.sampled_from(sorted(TEMPLATES)))
def test_a_text_has_the_same_features_alone_and_beside_others(texts, rule):
    together = features(texts, rule).matrix()
    alone = [features([text], rule).matrix() for text in texts]
    np.testing.assert_array_equal(together, np.concatenate([*alone, together[:0]]))


@settings(max_examples=30)
@given(st.text("上海市体育", min_size=9, max_size=20), st.text("上海市体育", min_size=1, max_size=1))
def test_a_feature_reads_its_own_units_and_no_others(text, other):
    place = len(text) // 2
    changed = text[:place] + other + text[place + 1 :]
    config = WindowConfig(units="characters")
    differs = (features([text]).matrix() != features([changed]).matrix()) & (text != changed)
    for column, template in enumerate(config.templates):
        reads = {place - distance for stream, distance in template if stream == "unit"} & set(range(len(text)))
        assert set(np.flatnonzero(differs[:, column]).tolist()) == (reads if text != changed else set())


@pytest.mark.parametrize("rule", TEMPLATES)
def test_every_template_has_buckets_of_its_own_and_uses_all_of_them(rule):
    words = " ".join(f"w{number}x" for number in range(300))
    found = features([words, "上海市体育局" * 20], rule).matrix()
    assert found.dtype == np.int32
    assert found.shape[1] == len(WindowConfig(units=rule).templates)
    assert found.min() >= 0
    assert 1 << 21 < found.max() < 1 << 22
    sets = [set(column.tolist()) for column in found.T]
    assert sum(map(len, sets)) - len(set().union(*sets)) < 20


def test_templates_reach_no_farther_than_there_is_room():
    for rule in TEMPLATES:
        for template in WindowConfig(units=rule, has_lexicon=True).templates:
            distances = [distance for _, distance in template]
            # Forms count from the first distance, so what is farthest from it counts, too.
            assert max(map(abs, distances)) <= REACH


def test_blocks_hold_every_unit_once():
    found = features(["上海市", "", "体育局 上海"])
    slots = np.concatenate([np.arange(begin, end) for begin, end in found.blocks(4)])
    assert len(set(slots.tolist())) == len(slots)
    assert set(found.slots_U.tolist()) <= set(slots.tolist())
    part = np.concatenate([found.buckets(begin, end) for begin, end in found.blocks(4)], axis=1)
    np.testing.assert_array_equal(part.T[found.slots_U - slots[0]], found.matrix()[:, found.together])


def test_words_of_a_list_are_features():
    words = units_of(["海市", "体育局"], "characters")
    lexicon = Lexicon.of(words, "characters")
    plain, matched = features(["上海市体育"]), features(["上海市体育"], lexicon=lexicon)
    np.testing.assert_array_equal(matched.matrix()[:, : plain.num_templates], plain.matrix())
    begins = matched.matrix()[:, plain.num_templates]
    assert len(set(begins.tolist())) == 2
    assert (begins == begins[1]).tolist() == [False, True, False, False, False]


def test_no_texts_and_texts_without_units_have_no_features():
    for texts in ([], [""], ["  ", ""]):
        found = features(texts)
        assert found.matrix().shape == (0, found.num_templates)


def test_features_suit_the_units():
    english, chinese = units_of(["the first word"], "words"), units_of(["上海 体育局"], "words")
    assert suited_config(english, "iob2", has_lexicon=False).units == "words"
    assert suited_config(chinese, "plain", has_lexicon=True).model_dump(include={"units", "min_count"}) == {
        "units": "ideographs",
        "min_count": 1,
    }
    assert suited_config(units_of(["上海"], "characters"), "bmes", has_lexicon=False).units == "characters"
    assert suited_config(units_of(["上海"], "characters"), "iob2", has_lexicon=False).units == "entity_characters"


def test_templates_never_change():
    """A Bundle holds weights by the hash of a template's place: with other templates every old one answers nonsense."""
    digests = {name: hashlib.sha256(repr(templates).encode()).hexdigest()[:16] for name, templates in TEMPLATES.items()}
    assert digests == DIGESTS


@pytest.mark.parametrize("name", TEMPLATES)
def test_buckets_never_change(name):
    rule = {"ideographs": "words", "entity_characters": "characters"}.get(name, name)
    lexicon = Lexicon.of(units_of(["海市", "体育局", "Ab 1999"], rule), rule)
    found = features(["上海市 体育局 Ab-1999 x", "", "很好 Ab 1999 市"], name, lexicon).matrix()
    assert hashlib.sha256(np.ascontiguousarray(found).tobytes()).hexdigest()[:16] == BUCKETS[name]


def test_a_text_has_the_same_features_wherever_it_is_looked_up():
    long = ["上海市体育局", "a1 上海"] * 100
    whole = features(long).matrix()
    np.testing.assert_array_equal(whole[: len(features(long[:1]).matrix())], features(long[:1]).matrix())
    np.testing.assert_array_equal(whole, np.tile(features(long[:2]).matrix(), (100, 1)))


@pytest.mark.parametrize(("bits", "fits"), [(7, False), (8, True), (30, True), (31, False)])
def test_the_table_has_a_sensible_size(bits, fits):
    found = validation(bits)
    assert found == fits


def validation(bits):
    try:
        WindowConfig(units="words", bits=bits)
    except ValidationError:
        return False
    return True
