"""Joint n-grams: what stands for what is found in pairs, and new texts are written by it."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from yanmo.arrays import Ragged
from yanmo.errors import ArtifactError
from yanmo.text.backoff_states import BackoffStates
from yanmo.text.kneser_ney import count_kneser_ney
from yanmo.text.pair_alignment import align_pairs
from yanmo.text.pair_model import PairModel, fit_pairs
from yanmo.text.pair_symbols import PairSymbols, choose_cut

SOUNDS = {"a": "AA", "e": "EH", "t": "T", "n": "N", "s": "S", "sh": "SH", "x": "K S", "h": ""}
WORDS = ["".join(parts) for parts in itertools.product(["t", "sh", "s", "x", "n", "h"], "ae", ["n", "x", "t", "sh"])]


def sound(word):
    """How a word of the little language is spoken: sh is one sound, x two, a single h none."""
    found, place = [], 0
    while place < len(word):
        size = 2 if word[place : place + 2] == "sh" else 1
        found.append(SOUNDS[word[place : place + size]])
        place += size
    return " ".join(" ".join(found).split())


@pytest.fixture(scope="module")
def model():
    learned = [word for number, word in enumerate(WORDS) if number % 5]
    made, num_left = fit_pairs(
        [*learned] * 3, [sound(word) for word in learned] * 3, order=4, cuts=("characters", "words")
    )
    assert num_left == 0
    return made


def test_words_that_were_never_seen_are_spoken(model):
    unseen = WORDS[::5]
    written, lengths, unknown = model.write(unseen)
    assert written.texts == [sound(word) for word in unseen]
    assert lengths.tolist() == [len(word) for word in unseen]
    assert not unknown.any()


def test_candidates_share_all_that_is_there_and_places_cover_their_texts(model):
    written, _, _ = model.write(["xaxen", "shet"])
    for shares in written.told(np.exp(written.candidates.sums_N())):
        assert list(shares.values()) == sorted(shares.values(), reverse=True)
        assert 0.9 < sum(shares.values()) <= 1.0001
    best = written.best
    for row, text in enumerate(best.texts):
        places = best.places[best.ends[row] : best.ends[row + 1]]
        assert "".join(text[start:end] for start, end in places.tolist()) == text


def test_a_symbol_that_is_not_known_is_counted_and_left_out(model):
    written, _, unknown = model.write(["tan", "t?n", ""])
    assert unknown.tolist() == [0, 1, 0]
    assert written.texts[0] == "T AA N"
    assert written.texts[1].split()[0] == "T"
    assert written.texts[2] == ""


def test_what_is_written_for_a_text_of_which_nothing_is_known_is_not_probable(model):
    written, lengths, unknown = model.write(["tan", "😀?", "", "😀"])
    assert (lengths == unknown).tolist() == [False, True, True, True]
    assert [written.texts[row] for row in (1, 2, 3)] == ["", "", ""]
    likely = np.exp(written.means_K()[written.offsets[:-1]])
    assert likely[0] > 0.5
    assert likely[[1, 3]].tolist() == pytest.approx([0, 0], abs=1e-20)
    assert likely[2] == 1, "nothing is all that there is to write for nothing"


def test_a_symbol_that_is_not_known_is_copied_where_both_sides_have_the_same():
    pairs = [("ab!", "AB!"), ("ba!", "BA!"), ("b!a", "B!A"), ("aab", "AAB")]
    model, _ = fit_pairs(
        [one for one, _ in pairs] * 4, [other for _, other in pairs] * 4, cuts=("characters", "characters")
    )
    assert model.write(["a?b"])[0].texts == ["A?B"]


def test_a_text_gets_the_same_alone_and_among_others(model):
    together, _, _ = model.write(WORDS)
    for row in (0, 7, 20):
        alone, _, _ = model.write([WORDS[row]])
        assert alone.texts[0] == together.texts[row]
        assert together.take(np.array([row])).distance_N(alone)[0] < 1e-6


def test_a_folder_gives_the_model_back(model, tmp_path):
    model.save(tmp_path)
    again = PairModel.open(tmp_path)
    assert again.order == model.order
    assert again.write(WORDS)[0].texts == model.write(WORDS)[0].texts
    (tmp_path / "symbols.json").write_text("{}")
    with pytest.raises(ArtifactError, match="holds no joint n-grams"):
        PairModel.open(tmp_path)


def test_pairs_whose_sides_do_not_fit_are_left_out():
    texts, targets = [*["ab"] * 9, "a"], [*["x y"] * 9, " ".join("x" * 10_000)]
    _, num_left = fit_pairs(texts, targets, cuts=("characters", "words"))
    assert num_left == 1


def test_sides_of_equal_length_stand_for_each_other_one_by_one():
    sides = [Ragged(np.arange(6), np.array([0, 4, 6])), Ragged(np.arange(6), np.array([0, 4, 6]))]
    found = align_pairs(*sides)
    assert found.num_sources.tolist() == found.num_targets.tolist() == [1] * 6


@given(
    rows=st.lists(st.tuples(st.text("abc", min_size=1, max_size=6), st.text("xyz", min_size=1, max_size=8)), min_size=1)
)
@settings(max_examples=30, deadline=None)
def test_units_cover_both_sides_of_every_pair_that_was_cut(rows):
    sides = [PairSymbols.of(texts, "characters").encode(texts) for texts in zip(*rows, strict=True)]
    found = align_pairs(*sides)
    for row, (source, target) in enumerate(rows):
        units = slice(found.offsets[row], found.offsets[row + 1])
        sums = (found.num_sources[units].sum(), found.num_targets[units].sum())
        assert sums in ((len(source), len(target)), (0, 0))


@given(
    rows=st.lists(st.lists(st.integers(0, 3), min_size=1, max_size=6), min_size=1, max_size=8), order=st.integers(1, 4)
)
@settings(max_examples=40, deadline=None)
def test_steps_are_as_likely_as_whole_rows(rows, order):
    ids = Ragged(np.concatenate(rows), np.concatenate(([0], np.cumsum([len(row) for row in rows]))))
    model = count_kneser_ney(ids, vocab_size=5, end_id=4, order=order)
    whole, states = model.score(ids, 4), BackoffStates(model)
    for number, row in enumerate(rows):
        state, found = states.begin(1), []
        for token in [*row, 4]:
            followers = states.follow(state, np.array([0]), np.array([5]))
            assert np.exp(followers.log_likelihoods_F).sum() == pytest.approx(1.0)
            found.append(followers.log_likelihoods_F[token])
            state = followers.states.take(np.array([token]))
        np.testing.assert_allclose(found, whole.row(number))


def test_closed_lists_of_words_are_cut_into_words():
    assert choose_cut(["AH N D", "N OW", "AH N"] * 20) == "words"
    assert choose_cut(["北京", "上海"] * 20) == "characters"
    assert choose_cut([f"word{number} other{number}" for number in range(50)]) == "characters"


def test_a_single_unit_is_found_again():
    model, _ = fit_pairs(["a"] * 8, ["x"] * 8, cuts=("characters", "characters"))
    assert model.write(["a"])[0].texts == ["x"]
    assert model.write(["aaa"])[0].texts == ["xxx"]
