"""The corpus on disk: rows, packing, taking it up again."""

import numpy as np
import pytest

from yanmo.arrays import Ragged
from yanmo.artifacts import durable
from yanmo.modeling.features.corpus import CorpusRows, CorpusWriter, open_corpus, split_corpus
from yanmo.text.words import WordTokens

SPECIAL = ([2], [3])
DOCUMENTS = [[10, 11, 12], [], [20], [30, 31, 32, 33, 34, 35, 36, 37, 38]]


def make_tokens(documents):
    values = np.array([one for document in documents for one in document], dtype=np.int64)
    offsets = np.cumsum([0, *(len(one) for one in documents)])
    return WordTokens(Ragged(values, offsets), values % 10 > 0)


def write(folder, packing, *blocks, run_key="key"):
    with CorpusWriter(folder, special=SPECIAL, max_length=6, packing=packing, run_key=run_key) as writer:
        for block in blocks:
            writer.add(make_tokens(block))
    return open_corpus(folder, run_key)


def rows(corpus):
    return [(corpus.rows.row(place) & 0xFFFF).tolist() for place in range(len(corpus.rows))]


def test_every_document_begins_a_row_and_a_long_one_goes_on_in_the_next(tmp_path):
    corpus = write(tmp_path, "documents", DOCUMENTS)
    assert rows(corpus) == [[2, 10, 11, 12, 3], [2, 20, 3], [2, 30, 31, 32, 33, 3], [2, 34, 35, 36, 37, 3], [2, 38, 3]]
    assert corpus.facts == {"num_documents": 3, "num_rows": 5, "num_tokens": 23}


@pytest.mark.parametrize("blocks", [[DOCUMENTS], [DOCUMENTS[:1], DOCUMENTS[1:]]], ids=["at once", "in blocks"])
def test_packed_rows_are_full_and_a_token_stands_between_documents(tmp_path, blocks):
    corpus = write(tmp_path, "rows", *blocks)
    assert rows(corpus) == [
        [2, 10, 11, 12, 3, 3],
        [2, 20, 3, 30, 31, 3],
        [2, 32, 33, 34, 35, 3],
        [2, 36, 37, 38, 3, 3],
    ]


def test_a_corpus_of_another_key_or_one_that_was_cut_off_is_not_taken_up(tmp_path):
    write(tmp_path, "documents", DOCUMENTS)
    assert open_corpus(tmp_path, "other") is None
    with (
        pytest.raises(RuntimeError),
        CorpusWriter(tmp_path, special=SPECIAL, max_length=6, packing="documents", run_key="key"),
    ):
        raise RuntimeError
    assert open_corpus(tmp_path, "key") is None


@pytest.mark.parametrize("name", ["corpus.json", "rows.npy", "tokens.bin"])
@pytest.mark.parametrize("size", [0, 10])
def test_a_corpus_of_which_a_file_is_cut_off_is_made_again(tmp_path, caplog, name, size):
    write(tmp_path, "documents", DOCUMENTS)
    content = (tmp_path / name).read_bytes()
    (tmp_path / name).write_bytes(content[:size])
    assert open_corpus(tmp_path, "key") is None
    assert "cannot be read" in caplog.text
    assert rows(write(tmp_path, "documents", DOCUMENTS))[0] == [2, 10, 11, 12, 3]


def test_the_files_are_on_disk_before_the_last_one_says_that_they_are_whole(tmp_path, monkeypatch):
    put, seen = durable.put, []

    def watched(partial, target):
        seen.append((target.name, (tmp_path / "corpus.json").exists()))
        put(partial, target)

    monkeypatch.setattr(durable, "put", watched)
    write(tmp_path, "documents", DOCUMENTS)
    assert seen == [("tokens.bin", False), ("rows.npy", False), ("corpus.json", False)]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["corpus.json", "rows.npy", "tokens.bin"]


def test_rows_give_ids_words_and_their_places(tmp_path):
    corpus = write(tmp_path, "documents", DOCUMENTS)
    train, valid = split_corpus(corpus, seed=1)
    assert sorted([*train.chosen_N, *valid.chosen_N]) == [0, 1, 2, 3, 4]
    assert len(valid.chosen_N) == 1
    everything = CorpusRows(corpus.rows, np.arange(5))
    tokens = everything.take(np.array([1, 0]))
    assert tokens.ids.tolist() == [2, 20, 3, 2, 10, 11, 12, 3]
    assert tokens.continues.tolist() == [False] * 5 + [True, True, False]
    assert tokens.places.tolist() == [5, 6, 7, 0, 1, 2, 3, 4]
    assert tokens.lengths_B.tolist() == [3, 5]
    np.testing.assert_array_equal(everything.lengths_N, [5, 3, 6, 6, 3])
