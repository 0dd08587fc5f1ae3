"""Every row is answered by a model that has not learned from it, and a fold that is done is not done again."""

import numpy as np
import pytest

from yanmo.answers.choices import Choices
from yanmo.answers.links import SOFTMAX
from yanmo.artifacts import durable
from yanmo.modeling.runs.folds import KeptFolds

FOLD_N = np.array([0, 1, 2, 0, 1, 2, 1])


class KilledError(Exception):
    pass


def make_answer(calls, killed_in=None):
    def answer(learned, held, folder, run_key):
        calls.append((learned.tolist(), held.tolist(), run_key))
        assert folder.is_dir()
        if len(calls) == killed_in:
            raise KilledError
        return Choices(np.stack((held, held + 0.5), axis=1).astype(np.float32), SOFTMAX)

    return answer


def answer_all(folder, answer, run_key="k"):
    folds = KeptFolds(FOLD_N, 2, SOFTMAX, folder, run_key)
    for fold in folds.missing():
        folds.make(fold, answer)
    return folds.gathered()


def test_each_row_has_the_answer_of_its_fold(tmp_path):
    calls = []
    found = answer_all(tmp_path, make_answer(calls))
    assert found.values_MC.tolist() == [[row, row + 0.5] for row in range(7)]
    assert [held for _, held, _ in calls] == [[0, 3], [1, 4, 6], [2, 5]]
    for learned, held, _ in calls:
        assert sorted(learned + held) == list(range(7))
    assert len({key for _, _, key in calls}) == 3


def test_folds_that_are_done_are_not_done_again(tmp_path):
    with pytest.raises(KilledError):
        answer_all(tmp_path, make_answer([], killed_in=2))
    calls = []
    found = answer_all(tmp_path, make_answer(calls))
    assert [held for _, held, _ in calls] == [[1, 4, 6], [2, 5]]
    assert found.values_MC.tolist() == [[row, row + 0.5] for row in range(7)]


def test_folds_of_other_work_are_done_again(tmp_path):
    answer_all(tmp_path, make_answer([]), run_key="old")
    calls = []
    answer_all(tmp_path, make_answer(calls), run_key="new")
    assert len(calls) == 3


@pytest.mark.parametrize("content", [b"", b"\x93NUMPY", b"x" * 100], ids=["empty", "cut off", "other"])
def test_a_fold_that_a_disk_has_damaged_is_answered_again(tmp_path, caplog, content):
    answer_all(tmp_path, make_answer([]))
    (tmp_path / "fold-2" / "k-2-of-3.parquet").write_bytes(content)
    calls = []
    found = answer_all(tmp_path, make_answer(calls))
    assert [held for _, held, _ in calls] == [[1, 4, 6]]
    assert found.values_MC.tolist() == [[row, row + 0.5] for row in range(7)]
    assert "cannot be read" in caplog.text


def test_answers_of_another_shape_are_not_taken(tmp_path):
    answer_all(tmp_path, make_answer([]))
    np.save(tmp_path / "fold-2" / "k-2-of-3.parquet", np.zeros((1, 2), dtype=np.float32))
    found = answer_all(tmp_path, make_answer([]))
    assert found.values_MC.tolist() == [[row, row + 0.5] for row in range(7)]


def test_a_fold_is_on_disk_before_it_counts_as_done(tmp_path, monkeypatch):
    synced = []
    monkeypatch.setattr(durable, "sync", lambda path: synced.append(path.name))
    answer_all(tmp_path, make_answer([]))
    assert synced[:2] == ["k-1-of-3.partial", "fold-1"]
