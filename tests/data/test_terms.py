"""TF-IDF in the Dataset: readable terms that tell the labels, and every term's weight."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from yanmo.data import terms
from yanmo.tasks import TASKS
from yanmo.text.pipeline import TextConfig, TextPipeline


def run(folder: Path, texts: list[str], labels: list[Any], *, task: str = "single_label", **columns: Any) -> Any:
    train = pl.DataFrame({"text": texts, **columns, "label": labels})
    pipeline = TextPipeline(TextConfig())
    names = TASKS[task].label_names(train["label"])
    top_terms = terms.write_tfidf(folder, train, TASKS[task], names, pipeline, 0.0)
    content = json.loads((folder / "tfidf.json").read_text(encoding="utf-8"))
    assert content["top_terms"] == {label: [list(pair) for pair in best] for label, best in top_terms.items()}
    return content


def test_top_terms_tell_the_labels_and_leave_out_letters_and_punctuation(tmp_path: Path) -> None:
    content = run(tmp_path, ["slow food , a 😡", "slow food", "great food , a", "great food !"], ["0", "0", "1", "1"])
    best = {label: [term for term, _ in pairs] for label, pairs in content["top_terms"].items()}
    assert best["0"][0] == "slow"
    assert set(best["1"][:2]) == {"great", "great food"}
    assert "😡" in best["0"]
    assert not {",", "!", "a", "food !"} & {*best["0"], *best["1"]}


def test_idf_is_that_of_scikit_learn(tmp_path: Path) -> None:
    content = run(tmp_path, ["slow food", "slow food", "food", "great"], ["0", "0", "1", "1"])
    assert content["num_texts"] == 4
    assert content["idf"]["food"] == pytest.approx(math.log(5 / 4) + 1, abs=1e-4)
    assert content["idf"]["great"] == pytest.approx(math.log(5 / 2) + 1, abs=1e-4)
    assert list(content["idf"]) == sorted(content["idf"], key=lambda term: (content["idf"][term], term))


def test_pairs_count_both_texts_and_multi_label_every_label(tmp_path: Path) -> None:
    content = run(tmp_path, ["q one", "q two"], ["0", "1"], task="text_pair", text_b=["same here", "other there"])
    assert "same" in dict(content["top_terms"]["0"])
    content = run(tmp_path, ["apple", "apple pear", "pear"], [["a"], ["a", "p"], ["p"]], task="multi_label")
    assert content["top_terms"]["a"][0][0] == "apple"


def test_a_large_train_split_is_sampled_and_that_is_said(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    splits = ["test", "train", "train", "valid"] * 5
    rows = pl.DataFrame({"split": splits, "num_characters": pl.Series([9] * 20, dtype=pl.UInt32)})
    with caplog.at_level("INFO"):
        assert terms.choose_sample(rows).to_list() == [split == "train" for split in splits]
    assert not caplog.text
    monkeypatch.setattr(terms, "MAX_CHARACTERS", 30)
    with caplog.at_level("INFO"):
        chosen = terms.choose_sample(rows)
    in_train = [is_chosen for is_chosen, split in zip(chosen, splits, strict=True) if split == "train"]
    assert in_train == [True, False, False] * 3 + [True]
    assert sum(chosen) == sum(in_train)
    assert "TF-IDF is computed from 4 of 10 rows of train, one in 3." in caplog.text


@pytest.mark.parametrize(
    ("cjk_share", "is_segmented", "largest"), [(1.0, False, 3), (1.0, True, 2), (0.0, False, 2), (0.0, True, 2)]
)
def test_terms_of_chinese_that_is_not_segmented_have_up_to_three_characters(
    cjk_share: float, is_segmented: bool, largest: int
) -> None:
    config = terms._ngrams(cjk_share, is_segmented=is_segmented)
    assert (config.word_ngrams, config.char_ngrams, config.cjk_words) == ((1, largest), None, is_segmented)
