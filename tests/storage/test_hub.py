"""Repositories of a hub, a real client against a server of this machine: Bundles and texts are read at one commit."""

from __future__ import annotations

import shutil

import pytest
from hub_server import serving_hub

from yanmo.artifacts.base import read_manifest
from yanmo.artifacts.copies import copy_artifact
from yanmo.artifacts.origins import copies_dir, origin_of
from yanmo.artifacts.predictions import Predictions
from yanmo.cli import main
from yanmo.errors import ConfigError, StorageError

pytestmark = pytest.mark.extra("huggingface_hub")
TOKEN = "hf_a-token-of-somebody"


@pytest.fixture(scope="module")
def server():
    with serving_hub() as hub:
        yield hub


@pytest.fixture
def hub(server, model, tmp_path, monkeypatch):
    """A hub with a Bundle in ``models`` of somebody/words, and texts in somebody/texts."""
    monkeypatch.setenv("HF_ENDPOINT", server.url)
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    # The tests have no network; the library has read that when it was imported.
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    server.token = TOKEN
    server.commits.clear()
    server.branches.clear()
    (tmp_path / "repository").mkdir()
    shutil.copytree(model / "bundle", tmp_path / "repository" / "linear")
    (tmp_path / "texts").mkdir()
    (tmp_path / "texts" / "rows.csv").write_text("text\n" + "".join(f"rain and rice {row}\n" for row in range(9)))
    server.commit("models", "somebody/words", tmp_path / "repository")
    server.commit("models", "somebody/whole", model / "bundle")
    server.commit("datasets", "somebody/texts", tmp_path / "texts")
    server.seen.clear()
    return server


def test_a_bundle_and_texts_are_read_from_repositories(hub, model, tmp_path):
    words = ["predict", "hf://somebody/words/linear", "hf://datasets/somebody/texts/rows.csv", "--num-threads", "1"]
    assert main([*words, "--out", str(tmp_path / "answers")]) == 0
    here = ["predict", str(model / "bundle"), str(tmp_path / "texts"), "--num-threads", "1"]
    assert main([*here, "--out", str(tmp_path / "here")]) == 0
    made, same = (Predictions.open(tmp_path / name) for name in ("answers", "here"))
    assert made.manifest.files == same.manifest.files
    assert TOKEN not in (made.path / "manifest.json").read_text()


def test_a_branch_is_resolved_to_a_commit_and_workers_ask_for_that(hub, model, tmp_path):
    copy = copy_artifact("hf://somebody/whole@main")
    commit = hub.branches["models", "somebody/whole", "main"]
    origin = origin_of(copy)
    assert (origin.address, origin.given) == (f"hf://somebody/whole@{commit}", "hf://somebody/whole@main")
    assert copy.name == "whole"
    assert read_manifest(copy) == read_manifest(model / "bundle")
    # The branch moves on; the commit stays what it is.
    (tmp_path / "other").mkdir()
    hub.commit("models", "somebody/whole", tmp_path / "other")
    shutil.rmtree(copies_dir())
    assert copy_artifact(origin.address, origin.version).is_dir()


@pytest.mark.parametrize(
    ("branch", "shown"),
    [("feature/words", "feature%2Fwords"), ("refs/pr/7", "refs/pr/7"), ("refs/pr/7", "refs%2Fpr%2F7")],
)
def test_a_branch_may_have_slashes_in_its_name(hub, model, branch, shown):
    commit = hub.commit("models", "somebody/whole", model / "bundle", branch)
    del hub.branches["models", "somebody/whole", "main"]
    for _ in range(2):
        copy = copy_artifact(f"hf://somebody/whole@{shown}")
    assert origin_of(copy).address == f"hf://somebody/whole@{commit}"
    assert copy.name == "whole"
    assert read_manifest(copy) == read_manifest(model / "bundle")


def test_what_is_here_is_not_read_again(hub):
    copy_artifact("hf://somebody/words/linear")
    hub.seen.clear()
    copy_artifact("hf://somebody/words/linear")
    assert [path for path in hub.seen if "/resolve/" in path and not path.endswith("manifest.json")] == []


@pytest.mark.parametrize(
    ("address", "error", "said"),
    [
        ("hf://somebody/nothing/linear", StorageError, "hf://somebody/nothing cannot be read"),
        ("hf://somebody/words@v9/linear", StorageError, "hf://somebody/words@v9 cannot be read"),
        ("hf://somebody", ConfigError, "must be hf://OWNER/NAME"),
    ],
)
def test_what_is_not_there_is_told(hub, address, error, said):
    with pytest.raises(error, match=said):
        copy_artifact(address)


def test_a_wrong_token_is_told_and_never_repeated(hub, monkeypatch, capsys, tmp_path):
    monkeypatch.setenv("HF_TOKEN", "hf_another-one")
    assert main(["predict", "hf://somebody/words/linear", str(tmp_path / "texts"), "--out", str(tmp_path / "a")]) == 2
    said = capsys.readouterr().err
    assert "hf://somebody/words cannot be read" in said
    assert "HF_TOKEN" in said
    assert "hf_another-one" not in said


def test_nothing_is_written_to_a_hub(hub, tmp_path, capsys):
    words = ["prepare", str(tmp_path / "texts" / "rows.csv"), "--out", "hf://somebody/data"]
    assert main(words) == 2
    assert "cannot be in a hub's repository, which is only read" in capsys.readouterr().err
