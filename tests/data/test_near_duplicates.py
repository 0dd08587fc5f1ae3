"""Texts that are nearly equal are found, whatever stands around them, and nothing else is; they go to one split."""

from __future__ import annotations

import json
import random

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from yanmo.cli import main
from yanmo.data import near_duplicates as module
from yanmo.data.near_duplicates import Signatures, group_near_duplicates
from yanmo.errors import ConfigError
from yanmo.text.shingles import WIDTH, jaccard, shingle, unique_shingles
from yanmo.verbs.prepare import prepare

CHARACTERS = "的一是不了在人有我他这个们中来上大为和国地到以说时要就出会可也你对生能而子那得于着下自之年过abcdefgh "


def similarity(left, right):
    """What is to be found, by sets of Python."""
    sets = [{text[i : i + WIDTH] for i in range(max(len(text) - WIDTH + 1, 1))} for text in (left, right)]
    return len(sets[0] & sets[1]) / len(sets[0] | sets[1])


def make_text(rng, length):
    return "".join(rng.choice(CHARACTERS) for _ in range(length))


def change(rng, text, num_changes):
    letters = list(text)
    for place in rng.sample(range(len(letters)), num_changes):
        letters[place] = rng.choice("xyz玩笑话")
    return "".join(letters)


def group(texts, threshold=0.85):
    keys = pl.Series([texts.index(text) for text in texts], dtype=pl.UInt32)
    signatures = Signatures([])
    for place in range(0, len(texts), 1000):
        signatures.add(pl.Series(texts[place : place + 1000]))
    column = pl.Series(texts)
    found = group_near_duplicates(keys, signatures, lambda mask: iter([column.filter(mask)]), threshold)
    return found.to_list()


@pytest.mark.parametrize("length", [30, 177])
def test_planted_pairs_are_found_and_those_below_are_not(length):
    rng = random.Random(length)
    texts = [make_text(rng, length) for _ in range(600)]
    pairs = []
    for text in texts[:400]:
        other = change(rng, text, rng.randrange(0, max(length // 12, 4)))
        pairs.append((text, other, similarity(" ".join(text.split()), " ".join(other.split()))))
    all_texts = [*texts, *(other for _, other, _ in pairs)]
    order = rng.sample(range(len(all_texts)), len(all_texts))
    shuffled = [all_texts[i] for i in order]
    groups = dict(zip(shuffled, group(shuffled), strict=True))
    found = {(left, right) for left, right, _ in pairs if groups[left] == groups[right]}
    near = {(left, right) for left, right, value in pairs if value >= 0.85}
    assert 50 < len(near) < 390
    assert len(found & near) >= 0.95 * len(near)
    assert len(found & near) >= 0.95 * len(found)
    # Texts that nobody planted have nobody.
    assert len({groups[text] for text in texts}) == len(set(texts))


@pytest.mark.parametrize(
    ("left", "right"),
    [
        ("這個電視機的聲音很大，我們都聽得見。", "这个电视机的声音很大，我们都听得见。"),
        ("ＡＢＣ１２３ is the number", "abc123 is the  number "),
        ("ab", "AB"),
        ("", " "),
    ],
)
def test_width_forms_case_and_spaces_make_no_difference(left, right):
    assert group([left, "something else altogether", right]) == [0, 1, 0]


def test_those_that_are_linked_by_others_are_one_group_of_the_first():
    rng = random.Random(1)
    chain = [make_text(rng, 200)]
    for _ in range(5):
        chain.append(change(rng, chain[-1], 2))
    assert similarity(chain[0], chain[-1]) < 0.85
    assert group([make_text(rng, 200), *chain, make_text(rng, 200)]) == [0, 1, 1, 1, 1, 1, 1, 7]


def test_many_that_are_alike_take_linear_work(monkeypatch):
    rng, compared = random.Random(2), []
    monkeypatch.setattr(
        module, "jaccard", lambda sets, left, right: compared.append(len(left)) or jaccard(sets, left, right)
    )
    text = make_text(rng, 300)
    texts = [change(rng, text, 1) + str(number) for number in range(500)]
    assert set(group(texts, 0.8)) == {0}
    assert sum(compared) < 500 * 2 * module.NUM_BANDS


@settings(max_examples=50, deadline=None)
@given(st.lists(st.text("abc好", max_size=12), min_size=2, max_size=12), st.integers(1, 1000))
def test_similarities_are_those_of_sets(texts, seed):
    rng = np.random.default_rng(seed)
    left, right = rng.integers(0, len(texts), (2, 20))
    found = jaccard(unique_shingles(shingle(texts)), left, right)
    assert found.tolist() == pytest.approx(
        [similarity(texts[i].ljust(WIDTH, "\0"), texts[j].ljust(WIDTH, "\0")) for i, j in zip(left, right, strict=True)]
    )


def test_a_small_part_of_the_texts_at_a_time_gives_the_same_groups(monkeypatch):
    rng = random.Random(3)
    texts = [make_text(rng, 60) for _ in range(40)]
    texts += [change(rng, text, 1) for text in texts]
    whole = group(texts, 0.7)
    for name in ("TEXTS_AT_ONCE", "PAIRS_AT_ONCE"):
        monkeypatch.setattr(module, name, 4)
    assert group(texts, 0.7) == whole
    assert len(set(whole)) < 50


@pytest.fixture
def rows(tmp_path):
    rng = random.Random(4)
    texts = [make_text(rng, 80) for _ in range(60)]
    lines = [f"{text.strip()}{'!' * repeat},{number % 2}" for number, text in enumerate(texts) for repeat in range(3)]
    (tmp_path / "rows.csv").write_text("\n".join(["text,label", *rng.sample(lines, len(lines)), ""]), "utf-8")
    return tmp_path / "rows.csv"


def test_nearly_equal_texts_go_to_one_split_and_are_counted(rows, tmp_path, capsys):
    plain = prepare(rows, out=tmp_path / "plain")
    assert main(["prepare", str(rows), "--near-duplicates", "0.85", "--out", str(tmp_path / "near")]) == 0
    near = type(plain).open(tmp_path / "near")
    sides = {}
    for split in near.splits:
        for text in near.split(split)["text"]:
            sides.setdefault(text.rstrip("!"), set()).add(split)
    assert {len(one) for one in sides.values()} == {1}
    profile = json.loads((near.path / "profile.json").read_text("utf-8"))
    assert sum(profile["num_near_duplicates"].values()) == 120
    assert profile["num_near_leaks"] == {"valid": 0, "test": 0}
    assert near.summary()["num_near_duplicates"] == 120
    assert "num_near_leaks" not in plain.summary()
    assert main(["prepare", str(rows), "--near-duplicates", "off", "--out", str(tmp_path / "off")]) == 0


def test_a_given_test_split_that_is_nearly_train_is_said(rows, tmp_path, caplog):
    lines = rows.read_text("utf-8").splitlines()
    test = tmp_path / "test.csv"
    test.write_text("\n".join([lines[0], *(line.replace(",", "?,") for line in lines[1:6]), ""]), "utf-8")
    prepare(rows, test=test, near_duplicates=0.85, out=tmp_path / "made")
    assert "5 of 5 rows of test are nearly equal to a text of train." in caplog.text


@pytest.mark.parametrize("value", [0.3, 1.2, "on"])
def test_a_threshold_that_is_none_is_named(value, rows, tmp_path):
    with pytest.raises(ConfigError, match="The 'near_duplicates"):
        prepare(rows, near_duplicates=value, out=tmp_path / "made")
