"""Answers that are told while they are written, by a tokenizer that joins word pieces with blanks."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer, decoders, models

from yanmo.runtimes.generating.growing_answers import GrowingAnswers, GrowingPieces
from yanmo.text.growing import GrowingText
from yanmo.text.wordpieces import without_blanks

END = 0
WORDS = ["[UNK]", "cat", "##s", "好", "##好", ".", "a", "，", "##，"]


def make_tokenizer():
    tokenizer = Tokenizer(models.WordPiece({word: place for place, word in enumerate(WORDS)}, unk_token="[UNK]"))
    tokenizer.decoder = decoders.WordPiece()
    return tokenizer


TOKENIZER = make_tokenizer()


def whole_of(ids):
    text = GrowingText(TOKENIZER)
    text.push(ids, is_last=True)
    return without_blanks(text.text, np.zeros(0, np.int64))[0]


class Notes:
    """Watches some rows, and waits for no more than so many tokens of each."""

    def __init__(self, patience):
        self.rows = patience.keys()
        self.left = dict(patience)
        self.told = {row: [] for row in patience}

    def grow(self, row, text):
        self.told[row].append(text)
        self.left[row] -= 1
        return self.left[row] > 0


@given(st.lists(st.integers(1, len(WORDS) - 1), max_size=10))
def test_no_piece_is_taken_back_and_all_is_told_but_a_blank_at_the_end(ids):
    growing, told = GrowingPieces(GrowingText(TOKENIZER)), ""
    for count, token in enumerate(ids, 1):
        told += growing.push([token])
        assert told == whole_of(ids[:count]).rstrip(" ")
    assert whole_of(ids).startswith(told)


def test_rows_that_are_watched_are_told_and_given_up_where_nobody_waits():
    notes = Notes({7: 10, 5: 2})
    answers = GrowingAnswers(
        notes, np.array([5, 6, 7]), end_id=END, open_text=lambda: GrowingPieces(GrowingText(TOKENIZER))
    )
    assert answers.step(np.array([0, 1, 2]), np.array([3, 3, 1])) == []
    # The rows have changed their places, and the first text of the batch has no patience left.
    assert answers.step(np.array([2, 1, 0]), np.array([2, 3, 3])) == [2]
    assert answers.step(np.array([2, 1]), np.array([END, END])) == []
    assert notes.told == {7: ["cat", "s", ""], 5: ["好", "好"]}
