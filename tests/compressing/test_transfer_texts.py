"""Which texts a teacher answers: each once, the labelled ones first, altered copies the same in every call."""

import numpy as np
import polars as pl
import pytest

from yanmo.compressing import transfer_texts
from yanmo.compressing.transfer_texts import Altering, gather_texts
from yanmo.data.read import ReadOptions
from yanmo.errors import ConfigError, DataError, ModelError
from yanmo.text.tokenizer import train_wordpiece

LABELS = ["city", "fruit", "tool"]


@pytest.fixture(scope="module")
def dataset(make_words, tmp_path_factory):
    return make_words(tmp_path_factory.mktemp("data") / "words", LABELS)


def rows_of(found, first=0):
    return pl.concat(list(found.blocks(first)))


def test_the_training_rows_come_first_and_no_text_twice(dataset, make_words, tmp_path):
    other = make_words(tmp_path / "other", LABELS, num_train=30, num_valid=10)
    (tmp_path / "more.txt").write_text("paris today\nparis today\n\n", encoding="utf-8")
    found = gather_texts(dataset, [other.path, tmp_path / "more.txt"], ReadOptions(), "text", Altering())
    training = dataset.split("train")
    assert found.real["text"].head(120).to_list() == training["text"].to_list()
    assert found.real["id"].head(2).to_list() == ["train:train-0", "train:train-1"]
    further = found.real["text"].slice(120)
    assert further.n_unique() == len(further)
    assert not set(further) & set(training["text"])
    assert "paris today" in further.to_list()
    assert found.parents["transfer:1"] == other.digest
    assert set(found.parents) == {"transfer:1", "transfer:more.txt"}


def test_copies_are_the_same_in_every_call_and_from_any_block_on(dataset, monkeypatch):
    monkeypatch.setattr(transfer_texts, "BLOCK", 50)
    found = gather_texts(dataset, [], ReadOptions(), "text", Altering(num_copies=2, seed=7))
    rows = rows_of(found)
    assert (rows.height, found.num_rows) == (360, 360)
    assert rows.equals(rows_of(found))
    assert rows.slice(120 + 50).equals(rows_of(found, first=4))
    assert rows["id"].n_unique() == 360
    changed = (rows["text"].slice(120, 120) != rows["text"].head(120)).mean()
    assert changed > 0.9
    other_seed = rows_of(gather_texts(dataset, [], ReadOptions(), "text", Altering(num_copies=2, seed=8)))
    assert not np.array_equal(other_seed["text"].to_list(), rows["text"].to_list())


def test_a_masked_language_model_fills_every_other_copy_and_is_opened_at_once(dataset, make_masked_lm, tmp_path):
    texts = dataset.split("train")["text"].to_list()
    folder = make_masked_lm(tmp_path / "masked", train_wordpiece(texts, 100))
    plain, filled = (
        rows_of(gather_texts(dataset, [], ReadOptions(), "text", Altering(num_copies=3, masked_lm=one)))["text"]
        for one in (None, folder)
    )
    is_same = (plain == filled).to_numpy().reshape(4, 120)
    assert is_same[[0, 1, 3]].all()
    assert is_same[2].mean() < 0.5
    (folder / "model.safetensors").unlink()
    with pytest.raises(ModelError, match="cannot be opened: .*model.safetensors"):
        gather_texts(dataset, [], ReadOptions(), "text", Altering(num_copies=2, masked_lm=folder))


def test_pairs_have_no_files_and_a_folder_must_be_a_dataset(dataset, make_words, tmp_path):
    pairs = make_words(tmp_path / "pairs", LABELS, task="text_pair")
    with pytest.raises(ConfigError, match="'transfer' input of distill is for single texts"):
        gather_texts(pairs, [tmp_path / "more.txt"], ReadOptions(), "text", Altering())
    assert rows_of(gather_texts(pairs, [], ReadOptions(), "text", Altering(num_copies=1)))["text_b"].len() == 240
    with pytest.raises(DataError, match="is a folder, but no Dataset"):
        gather_texts(dataset, [tmp_path], ReadOptions(), "text", Altering())
    with pytest.raises(DataError, match="nowhere.txt"):
        gather_texts(dataset, [tmp_path / "nowhere.txt"], ReadOptions(), "text", Altering())
