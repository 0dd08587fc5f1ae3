"""Rows of a corpus from left to right: every token is learned but the end of a row that is full."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from yanmo.arrays import Ragged
from yanmo.modeling.features.corpus import CorpusRows
from yanmo.modeling.language.documents import UNCOUNTED
from yanmo.modeling.language.next_token_rows import NextTokenRows

END, FULL = 0, 6


@given(rows=st.lists(st.lists(st.integers(1, 9), max_size=FULL - 2), min_size=1, max_size=5), data=st.data())
def test_every_next_token_is_learned_but_the_end_of_a_full_row(rows, data):
    framed = [[END, *row, END] for row in rows]
    offsets = np.cumsum([0, *map(len, framed)])
    corpus = Ragged(np.concatenate(framed).astype(np.int32), offsets)
    chosen = np.array(data.draw(st.permutations(range(len(rows)))))
    found = NextTokenRows(CorpusRows(corpus, chosen), FULL, END)
    batch = found.collate(np.arange(len(rows)))
    for place, row in enumerate(chosen.tolist()):
        wanted, size = framed[row], len(framed[row]) - 1
        nexts = [*wanted[1:-1], UNCOUNTED if len(wanted) == FULL else END]
        width = batch["next_ids"].shape[1]
        assert batch["input_ids"][place].tolist() == [*wanted[:-1], *[END] * (width - size)]
        assert batch["next_ids"][place].tolist() == [*nexts, *[UNCOUNTED] * (width - size)]
    assert found.num_counted_N.tolist() == (batch["next_ids"] != UNCOUNTED).sum(dim=1).tolist()
