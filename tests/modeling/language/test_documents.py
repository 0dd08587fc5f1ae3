"""Documents are cut into rows: nothing leaks between them, and every token is learned wherever the cuts are."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from yanmo.modeling.language.documents import UNCOUNTED, cut_rows, tokenize_documents
from yanmo.text.language_tokens import END, LanguageTokenizer, train_characters

TOKENIZER = LanguageTokenizer.of(train_characters(["abcdefgh"], 400), name="tests", end=END)
TEXTS = st.lists(st.text("abcdefgh", max_size=30), min_size=1, max_size=5)


def read(rows):
    """Of every row what is read, and what is learned behind each of its tokens."""
    batch = rows.collate(np.arange(len(rows.lengths_N)))
    return [
        (ids[:length].tolist(), nexts[:length].tolist())
        for ids, nexts, length in zip(
            batch["input_ids"].numpy(), batch["next_ids"].numpy(), rows.lengths_N.tolist(), strict=True
        )
    ]


@given(texts=TEXTS, length=st.integers(1, 12))
def test_rows_in_a_line_learn_every_token_once(texts, length):
    documents = tokenize_documents(TOKENIZER, texts, np.zeros(len(texts), dtype=np.int64))
    rows = read(cut_rows(documents, length))
    learned = [one for _, nexts in rows for one in nexts if one != UNCOUNTED]
    wanted = [[*TOKENIZER.encode([text]).ids.values.tolist(), TOKENIZER.end_id] for text in texts]
    assert learned == [one for row in wanted for one in row]
    assert max(len(ids) for ids, _ in rows) <= length


@given(texts=TEXTS, length=st.integers(1, 12), epoch=st.integers(0, 3))
def test_moved_rows_learn_every_token_and_stay_within_their_document(texts, length, epoch):
    documents = tokenize_documents(TOKENIZER, texts, np.zeros(len(texts), dtype=np.int64))
    rows = cut_rows(documents, length, shift=(7, epoch))
    # As many as in any other epoch, since an epoch's batches are planned before it.
    assert len(rows.lengths_N) == len(cut_rows(documents, length, shift=(7, 99)).lengths_N)
    covered = np.zeros(len(documents.ids.values), dtype=bool)
    owner = np.repeat(np.arange(len(texts)), documents.ids.lengths_N)
    for start, count in zip(rows.starts_R.tolist(), rows.lengths_N.tolist(), strict=True):
        assert 1 <= count <= length
        assert owner[start] == owner[start + count]
        covered[start + 1 : start + count + 1] = True
    assert (covered == documents.counted).all()
    assert rows.num_counted_R.tolist() == rows.lengths_N.tolist()


def test_a_prompt_is_read_and_not_learned():
    documents = tokenize_documents(TOKENIZER, ["abcdef"], np.array([4]))
    ((ids, nexts),) = read(cut_rows(documents, 20))
    assert ids[0] == TOKENIZER.end_id
    assert nexts[:4] == [UNCOUNTED] * 4
    assert nexts[4:] == [*TOKENIZER.encode(["ef"]).ids.values.tolist(), TOKENIZER.end_id]


@pytest.mark.parametrize("epochs", [(0, 1), (1, 2)])
def test_cuts_move_from_epoch_to_epoch_and_are_the_same_in_every_run(epochs):
    documents = tokenize_documents(TOKENIZER, ["abcdefgh" * 50], np.array([0]))
    one, other = (cut_rows(documents, 16, shift=(1, epoch)).starts_R.tolist() for epoch in epochs)
    assert one != other
    assert one == cut_rows(documents, 16, shift=(1, epochs[0])).starts_R.tolist()
