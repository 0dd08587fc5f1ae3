"""Whose work a folder holds, and what has changed since."""

import json

import pytest

from yanmo.artifacts import durable
from yanmo.artifacts.work import claim
from yanmo.errors import ConfigError

PARENTS = {"dataset": "a" * 64}
CONFIG = {"learning_rate": 0.1, "seed": 1, "eval_steps": None, "labels": ["x"]}


@pytest.fixture
def begun(tmp_path):
    claim(tmp_path, parents=PARENTS, config=CONFIG)
    (tmp_path / "checkpoint").write_text("state")
    (tmp_path / "fold-1").mkdir()
    return tmp_path


def test_the_same_work_goes_on(begun):
    claim(begun, parents=PARENTS, config=dict(reversed(CONFIG.items())))
    assert (begun / "checkpoint").exists()


def test_other_work_is_refused_with_what_has_changed(begun):
    changed = CONFIG | {"learning_rate": 0.2, "eval_steps": 5}
    with pytest.raises(ConfigError) as caught:
        claim(begun, parents={"dataset": "b" * 64}, config=changed)
    assert caught.value.message.splitlines()[1:] == [
        "  eval_steps: none → 5",
        f"  input dataset: {'a' * 16} → {'b' * 16}",
        "  learning_rate: 0.1 → 0.2",
    ]
    assert "--fork" in caught.value.hint
    assert (begun / "checkpoint").exists()


def test_a_fork_begins_anew_and_is_the_work_from_then_on(begun):
    claim(begun, parents=PARENTS, config=CONFIG | {"seed": 2}, fork=True)
    assert [path.name for path in begun.iterdir()] == ["work.json"]
    claim(begun, parents=PARENTS, config=CONFIG | {"seed": 2})


def test_a_fork_of_the_same_work_goes_on(begun):
    claim(begun, parents=PARENTS, config=CONFIG, fork=True)
    assert (begun / "checkpoint").exists()


def test_where_nothing_was_done_there_is_nothing_to_lose(tmp_path):
    claim(tmp_path, parents=PARENTS, config=CONFIG)
    claim(tmp_path, parents=PARENTS, config=CONFIG | {"seed": 2})
    assert json.loads((tmp_path / "work.json").read_text())["seed"] == 2


@pytest.mark.parametrize(
    "damage", [lambda file: file.write_text(""), lambda file: file.unlink()], ids=["empty", "lost"]
)
def test_work_that_nobody_knows_is_not_thrown_away_unasked(begun, damage):
    damage(begun / "work.json")
    with pytest.raises(ConfigError, match=r"work.json cannot be read") as caught:
        claim(begun, parents=PARENTS, config=CONFIG)
    assert "--fork" in caught.value.hint
    assert (begun / "checkpoint").exists()
    claim(begun, parents=PARENTS, config=CONFIG, fork=True)
    assert [path.name for path in begun.iterdir()] == ["work.json"]


def test_what_a_kill_or_a_tracker_has_left_is_no_work(tmp_path):
    claim(tmp_path, parents=PARENTS, config=CONFIG)
    for name in ("tracker.json", ".work.json.partial"):
        (tmp_path / name).write_text("{")
    claim(tmp_path, parents=PARENTS, config=CONFIG | {"seed": 2})
    assert [path.name for path in tmp_path.iterdir()] == ["work.json"]


def test_whose_work_it_is_lasts_through_a_power_cut(tmp_path, monkeypatch):
    synced = []
    monkeypatch.setattr(durable, "sync", lambda path: synced.append(path.name))
    claim(tmp_path, parents=PARENTS, config=CONFIG)
    assert synced == [".work.json.partial", tmp_path.name]
