"""A database in a file stands where the file's path says, for Optuna and for MLflow."""

import sqlite3

import pytest

from yanmo.integrations.optuna_study import SharedStudy
from yanmo.integrations.sqlite import sqlite_url
from yanmo.integrations.tracking import tracked

NAMES = ["a?b", "a#b", "a%20b", "{x}", "run[1]", "~", "a&b=c", "é😀 b"]


def tables(file):
    with sqlite3.connect(file) as connection:
        return {name for (name,) in connection.execute("select name from sqlite_master where type = 'table'")}


@pytest.mark.filterwarnings("ignore::ResourceWarning")
@pytest.mark.parametrize("name", NAMES)
def test_the_trials_of_a_search_are_kept_where_the_path_says(name, tmp_path, monkeypatch):
    folder = tmp_path / name
    folder.mkdir()
    monkeypatch.chdir(tmp_path)
    SharedStudy(
        sqlite_url(folder.relative_to(tmp_path) / "study.db"), "study", {}, first={}, lowest=True, seed=1, folder=folder
    )
    assert "trials" in tables(folder / "study.db")
    assert [path.name for path in tmp_path.iterdir()] == [name]


@pytest.mark.extra("mlflow")
@pytest.mark.filterwarnings("ignore:.*noload.*", "ignore::ResourceWarning")  # MLflow's own
def test_the_runs_of_mlflow_are_kept_where_the_path_says(tmp_path):
    folder = tmp_path / "a?b#c%20{x}[1]"
    bundle = tmp_path / "bundle"
    bundle.mkdir()
    (bundle / "manifest.json").write_text("{}")
    with tracked(f"mlflow:{folder}", name="best", work_dir=tmp_path) as run:
        run.finish({"model": "ngram"}, {"micro_f1": 0.5}, bundle)
    assert "runs" in tables(folder / "mlflow.db")
    assert [path.name for path in folder.rglob("manifest.json")] == ["manifest.json"]
    assert {path.name for path in tmp_path.iterdir()} >= {folder.name, "bundle"}
    assert not (tmp_path / "a").exists()
