"""The profile counts labels, lengths, conflicts and leaks: of the rows that have a label where labels are meant."""

import json

import polars as pl
import pytest

from yanmo.data.gather import Gathered
from yanmo.data.inspect import profile_info, profile_rows, write_profile
from yanmo.data.refuse import Refusals


def gathered(rows, **more):
    """Return rows as they are gathered: key, label and split of each, and its length, which is its key."""
    frame = pl.DataFrame(rows, schema=["key", "label", "split"], orient="row").with_columns(length=pl.col("key"))
    known = {"refusals": Refusals(), "changed_rows": {}, "cjk_share": 0.12344, "num_damaged": 0}
    return Gathered(frame, **{**known, **more})


ROWS = [
    (1, "a", "train"),
    (1, "b", "train"),
    (2, "a", "train"),
    (2, "a", "valid"),
    (3, "b", "test"),
    (1, None, "unlabeled"),
    (2, None, "unlabeled"),
    (4, None, "unlabeled"),
]


def test_rows_without_a_label_are_counted_but_have_no_labels_and_no_conflicts():
    profile = profile_rows(gathered(ROWS), ["a", "b", "c"])
    assert profile["num_rows"] == {"train": 3, "valid": 1, "test": 1, "unlabeled": 3}
    assert profile["labels"] == {
        "a": {"train": 2, "valid": 1, "test": 0},
        "b": {"train": 1, "valid": 0, "test": 1},
        "c": {"train": 0, "valid": 0, "test": 0},
    }
    assert profile["num_conflicts"] == 1
    assert profile["num_duplicates"] == {"train": 1, "valid": 0, "test": 0, "unlabeled": 0}
    assert profile["num_leaks"] == {"valid": 1, "test": 0}


def test_the_same_labels_in_another_order_are_no_conflict():
    rows = [
        (1, ["a", "b"], "train"),
        (1, ["b", "a"], "train"),
        (2, ["a"], "train"),
        (2, [], "valid"),
        (3, None, "unlabeled"),
    ]
    profile = profile_rows(gathered(rows), ["a", "b"])
    assert profile["num_conflicts"] == 1
    assert profile["labels"] == {"a": {"train": 3, "valid": 0}, "b": {"train": 2, "valid": 0}}


def test_lengths_are_those_that_occur():
    rows = [(length, "a", "train") for length in range(1, 102)]
    assert profile_rows(gathered(rows), ["a"])["lengths"]["train"] == {
        "min": 1, "p5": 6, "p25": 26, "p50": 51, "p75": 76, "p95": 96, "p99": 100, "max": 101, "mean": 51,
    }  # fmt: skip


def test_the_manifest_gets_the_sums():
    refusals = Refusals()
    reasons = pl.DataFrame({"reason": ["missing label", "empty text", "empty text", None], "_file": "f", "_line": 1})
    refusals.add(reasons, "train")
    info = profile_info(profile_rows(gathered([*ROWS, (2, "a", "test")], refusals=refusals), ["a", "b"]))
    assert info["summary"] == {
        "num_rows": {"train": 3, "valid": 1, "test": 2, "unlabeled": 3},
        "num_rejected": 3,
        "num_leaks": 2,
        "num_conflicts": 1,
        "cjk_share": 0.1234,
    }


@pytest.mark.parametrize(
    ("num_damaged", "said"),
    [(0, []), (1, ["With U+FFFD, the mark of an earlier wrong decoding: 1 text."])],
)
def test_only_what_deserves_a_look_is_a_warning(num_damaged, said, caplog):
    caplog.set_level("INFO")
    profile_rows(gathered([(1, "a", "train"), (2, "a", "valid")], num_damaged=num_damaged), ["a"])
    first, *warnings = [record.message for record in caplog.records]
    assert first == "1 label; rows: train 1, valid 1"
    assert warnings == said
    caplog.clear()
    profile_rows(gathered(ROWS), ["a", "b"])
    assert [record.message for record in caplog.records if record.levelname == "WARNING"] == [
        "1 of 1 rows of valid have a text that stands in train, too.",
        "With different labels: 1 text.",
    ]


def test_a_profile_is_written_for_programs_and_for_people(tmp_path):
    profile = profile_rows(gathered(ROWS), ["a", "b<i>"])
    write_profile(tmp_path, profile, {"a": [("good <b>", 0.5)], "b<i>": []})
    content = (tmp_path / "profile.json").read_bytes()
    assert json.loads(content) == profile
    assert content.startswith(b'{\n  "num_rows": {\n    "train": 3,')
    assert content.endswith(b"}\n")
    page = (tmp_path / "profile.html").read_bytes().decode()
    assert page.endswith("</html>\n")
    assert "good &lt;b&gt;" in page
    assert "b&lt;i&gt;" in page
    assert "\r" not in page
