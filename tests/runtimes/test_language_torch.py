"""Documents in windows: every token counts once, and behind as many others as there is room for."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from yanmo.arrays import Ragged
from yanmo.modeling.language.documents import DocumentTokens
from yanmo.runtimes.language_torch import document_windows


@given(
    lengths=st.lists(st.integers(2, 40), min_size=1, max_size=5),
    max_length=st.integers(2, 12),
    num_before=st.integers(0, 6),
)
def test_every_token_of_every_document_counts_in_one_window(lengths, max_length, num_before):
    ends = np.cumsum([0, *lengths])
    ids = Ragged(np.arange(ends[-1]), ends)
    rows = document_windows(DocumentTokens(ids, np.ones(len(ids.values), bool), 0), max_length, num_before=num_before)
    counted = [
        np.arange(start + skipped + 1, start + length + 1)
        for start, skipped, length in zip(rows.starts_R, rows.skipped_R, rows.lengths_N, strict=True)
    ]
    # All but the first of a document, of which nothing stands before.
    assert np.concatenate(counted).tolist() == np.delete(np.arange(ends[-1]), ends[:-1]).tolist()
    assert (rows.lengths_N <= max_length).all()
    assert all(len(one) for one in counted)
