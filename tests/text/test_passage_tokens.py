"""Questions with passages as token ids: the question whole in every window, every unit in exactly one."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from yanmo.text.inputs import Inputs, Windows
from yanmo.text.passage_tokens import PassageTokenizer
from yanmo.text.pipeline import TextConfig, TextPipeline
from yanmo.text.tokenizer import train_wordpiece

WORDS = "who lives in rome rosa and anna where does she live the old town"
TOKENIZER = train_wordpiece([WORDS] * 3, 200)
PIPELINE = TextPipeline(TextConfig(units="tokens"))


def encode(passages, questions, max_length=16, **options):
    inputs = PIPELINE.read(Inputs((passages, questions)))
    return PassageTokenizer(TOKENIZER, max_length).encode(inputs.second, inputs.units, **options)


def test_a_pair_is_put_together_as_the_template_says():
    found = encode(["Rosa lives in Rome"], ["who lives in rome"])
    expected = TOKENIZER.encode("who lives in rome", "rosa lives in rome")
    assert found.ids.row(0).tolist() == expected.ids
    assert found.type_ids.row(0).tolist() == expected.type_ids
    # "None" is said at the first token; its place is behind the last character.
    assert found.units.firsts.row(0).tolist() == [0, 6, 7, 8, 9]
    assert found.units.places.row(0).tolist() == [[18, 19], [0, 4], [5, 10], [11, 13], [14, 18]]


@given(
    lengths=st.lists(st.integers(0, 40), min_size=1, max_size=4),
    overlap=st.floats(0, 0.9),
    max_length=st.integers(10, 20),
)
@settings(max_examples=40, deadline=None)
def test_each_unit_is_decided_about_once_and_each_window_holds_the_question(lengths, overlap, max_length):
    words = WORDS.split()
    passages = [
        " ".join(words[(row + place) % len(words)] for place in range(size)) for row, size in enumerate(lengths)
    ]
    found = encode(passages, ["who lives"] * len(lengths), max_length, windows=Windows(overlap))
    asked = TOKENIZER.encode("who lives", add_special_tokens=False).ids
    assert found.ids.lengths_N.max(initial=0) <= max_length
    for window in range(len(found.ids)):
        assert found.ids.row(window)[1 : 1 + len(asked)].tolist() == asked
        firsts = found.units.firsts.row(window)
        assert firsts[0] == 0
        assert (found.type_ids.row(window)[firsts[1:]] == 1).all()
    for row, passage in enumerate(passages):
        places = found.units.places.row(row)
        units = places[places[:, 0] < len(passage)]
        assert [passage[start:end] for start, end in units.tolist()] == passage.split()


def test_the_end_of_a_question_that_is_too_long_is_not_read_and_that_is_said():
    found = encode(["Rosa lives in Rome", "Rosa"], [WORDS, "who"])
    assert found.truncated_N.tolist() == [True, False]
    assert found.ids.lengths_N.max() <= 16


def test_an_empty_passage_has_no_window():
    found = encode(["", "Rosa"], ["who", "who"])
    assert found.text_W.tolist() == [1]
    assert np.diff(found.units.places.offsets).tolist() == [0, 2]


def test_places_are_those_of_the_raw_passage_whatever_is_cleaned():
    found = encode(["Ｒｏｓａ　lives"], ["ｗｈｏ"])
    assert found.units.places.row(0)[1:].tolist() == [[0, 4], [5, 10]]
    assert found.ids.row(0).tolist() == TOKENIZER.encode("who", "rosa lives").ids


@pytest.mark.parametrize("rows", [[0], [1], [1, 0]])
def test_windows_can_be_taken_as_texts_of_their_own(rows):
    found = encode(["rosa lives in the old town and anna lives in rome"], ["who"], 12)
    taken = found.take(np.array(rows))
    assert len(taken.units.places) == len(rows)
    assert taken.units.places.lengths_N.tolist() == taken.units.firsts.lengths_N.tolist()


def test_a_unit_is_decided_about_at_its_last_token_too_where_ends_are_read():
    inputs = PIPELINE.read(Inputs((["Rosa lives"], ["who"])))
    reader = PassageTokenizer(TOKENIZER, 64, reads_ends=True)
    found = reader.encode(inputs.second, inputs.units)
    firsts = found.units.firsts.row(0).reshape(-1, 2)
    pieces = [TOKENIZER.encode(word, add_special_tokens=False).tokens for word in ("rosa", "lives")]
    begin = len(TOKENIZER.encode("who").ids)
    assert firsts.tolist() == [
        [0, 0],
        [begin, begin + len(pieces[0]) - 1],
        [begin + len(pieces[0]), begin + len(pieces[0]) + len(pieces[1]) - 1],
    ]
    scores_M2 = np.arange(12, dtype=np.float32).reshape(6, 2)
    assert reader.starts_and_ends(scores_M2).tolist() == [[0, 3], [4, 7], [8, 11]]
