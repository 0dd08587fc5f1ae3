"""A path is a path: every command works in a folder whose name looks like a pattern, a home, a query and an escape."""

import json
import shutil
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

from yanmo.artifacts import Dataset, Predictions
from yanmo.cli import main
from yanmo.verbs import COMMANDS

PLACE = "~/run[1]*?{b}%20#c"
SIBLING = "~/run1zz{b}%20#c"
"""What the place matches, if it is taken for a pattern; also under this name stands a Dataset."""

ROWS = "".join(f"很好吃 {number} good,good\n真难吃 {number} bad,bad\n" for number in range(40))
OTHERS = "".join(f"warm {number},hot\ncool {number},cold\n" for number in range(25))
FAST = ["--num-threads", "1"]
EPOCH = ["--num-epochs", "1", *FAST]
SPACE = "num_epochs = 1\nlearning_rate = [0.01, 0.02]\n"
NAMES = "".join(f'{{"text": "张三买了{number}个", "label": [[0, 2, "人"]]}}\n' for number in range(30))
RULES = '[[rule]]\nlabel = "人"\nwords = ["李四"]\n'
PIPELINE = """
[stage.again]
verb = "prepare"
source = "reviews.csv"

[stage.model]
verb = "train"
dataset = "again"
model = "linear"
"""

WALK = [
    ["init", "starter"],
    ["prepare", "reviews.csv", "--out", "data"],
    ["train", "data", "--model", "linear", "--folds", "2", *FAST, "--out", "terms"],
    ["train", "data", "--model", "ngram", *EPOCH, "--out", "hashed"],
    ["train", "data", "--model", "bert-1x32", *EPOCH, "--out", "bert"],
    ["train", "data", "--model", "bert", *EPOCH, "--out", "bert-once-more"],
    ["adopt", "checkpoint", "--dataset", "data", "--out", "adopted"],
    ["embed", "bert", "--out", "vectors"],
    ["pretrain", "data", "--model", "bert-1x32", *EPOCH, "--out", "reader"],
    ["tune", "data", "--model", "ngram", "--space", "space.toml", "--num-trials", "1", *FAST, "--out", "tuned"],
    ["distill", "terms", "data", "--model", "ngram", "--transfer", "more.txt", *EPOCH, "--out", "student"],
    ["ensemble", "data", "terms", "hashed", *FAST, "--out", "council"],
    ["cascade", "data", "terms", "council", "--alpha", "0.5", "--delta", "0.5", *FAST, "--out", "cascade"],
    ["calibrate", "terms", "data", "--out", "calibrated"],
    ["audit", "terms", "data", "--out", "suspects"],
    ["prune", "bert", "data", "--feed-forward", "0.5", *EPOCH, "--out", "pruned"],
    ["export", "bert", "--out", "graph"],
    ["quantize", "graph", "data", "--max-drop", "1", *FAST, "--out", "small"],
    ["predict", "graph", "data", *FAST, "--out", "answers"],
    ["predict", "graph", "reviews.csv", "--format", "parquet", *FAST, "--out", "table"],
    ["predict", "graph", "table/table.parquet", *FAST, "--out", "answers-to-parquet"],
    ["predict", "terms", "data", "--split", "train", *FAST, "--out", "answers-to-train"],
    ["distill", "answers-to-train", "data", "--model", "ngram", *EPOCH, "--out", "from-answers"],
    ["evaluate", "graph", "data", *FAST, "--out", "report"],
    ["benchmark", "graph", "--dataset", "data", "--quick", *FAST, "--out", "speed"],
    [
        "grind",
        "small",
        "data",
        "--students",
        "ngram",
        "--max-size-mb",
        "500",
        "--max-drop",
        "1",
        *FAST,
        "--out",
        "found",
    ],
    ["prepare", "names.jsonl", "--task", "token_labels", "--out", "names"],
    ["train", "names", "--model", "window", *EPOCH, "--out", "finder"],
    ["adjust", "finder", "--rules", "rules.toml", "--out", "adjusted"],
    ["prepare", "more.txt", "--task", "causal_lm", "--out", "stories"],
    ["train", "stories", "--model", "gpt2-1x32", "--max-length", "32", *EPOCH, "--out", "teller"],
    ["export", "teller", "--out", "writer"],
    ["generate", "writer", "--prompts", "more.txt", "--max-new-tokens", "2", *FAST, "--out", "written"],
    ["check", "pipeline.toml"],
    ["run", "pipeline.toml"],
    ["doctor", "--seconds", "0"],
    ["pack", "graph", "--out", "service.tar.gz"],
    ["key", "--label", "web", "--file", "keys.toml"],
]
IN_A_PROCESS = {"serve"}


@pytest.fixture
def place(tmp_path, monkeypatch):
    """The place, relative to the working directory, with what the walk begins with, and its sibling."""
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.chdir(tmp_path)
    place, sibling = Path(PLACE), Path(SIBLING)
    for folder, rows in ((place, ROWS), (sibling, OTHERS)):
        folder.mkdir(parents=True)
        (folder / "reviews.csv").write_text(f"text,label\n{rows}", encoding="utf-8")
    (place / "more.txt").write_text(
        "".join(f"很好吃 {number}\n真难吃 {number}\n" for number in range(20)), encoding="utf-8"
    )
    (place / "space.toml").write_text(SPACE, encoding="utf-8")
    (place / "names.jsonl").write_text(NAMES, encoding="utf-8")
    (place / "rules.toml").write_text(RULES, encoding="utf-8")
    (place / "pipeline.toml").write_text(PIPELINE, encoding="utf-8")
    assert main(["prepare", str(sibling / "reviews.csv"), "--out", str(sibling / "data")]) == 0
    return place


def files(folder):
    return {path: path.stat().st_mtime_ns for path in folder.rglob("*")}


def located(place, arguments):
    """Return the arguments with the names of files and folders in the place."""
    known = {path.name for path in place.iterdir()} | {"table/table.parquet", "starter"}
    names = [one if one not in known else str(place / one) for one in arguments]
    for flag in ("--out", "--file"):
        if flag in names:
            names[names.index(flag) + 1] = str(place / names[names.index(flag) + 1])
    return names


def ask_service(bundle):
    command = [sys.executable, "-m", "yanmo", "serve", bundle, "--port", "0", "--json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        url = json.loads(process.stdout.readline())["url"]
        body = json.dumps({"text": "很好吃"}).encode()
        request = urllib.request.Request(f"{url}/predict", body, {"content-type": "application/json"})
        with urllib.request.urlopen(request, timeout=20) as answer:
            found = json.load(answer)
        process.terminate()
        process.communicate(timeout=20)
    assert process.returncode == 0
    return found


@pytest.mark.timeout(600)
def test_every_command_works_where_the_path_says(place, tmp_path, capsys):
    assert {arguments[0] for arguments in WALK} | IN_A_PROCESS == set(COMMANDS)
    before = files(Path(SIBLING))
    for arguments in WALK:
        if arguments[0] == "adopt":
            shutil.copytree(place / "bert", place / "checkpoint", ignore=shutil.ignore_patterns("manifest.json"))
        status = main(located(place, arguments))
        assert status == 0, (arguments, capsys.readouterr().err)
    assert ask_service(place / "graph")["prediction"] in {"good", "bad"}
    data = Dataset.open(place / "data")
    assert data.labels == ["bad", "good"]
    assert sum(data.split(name).height for name in data.splits) == 80
    assert Predictions.open(place / "answers").ids == data.split("test")["id"].to_list()
    assert Predictions.open(place / "answers-to-parquet").frame().height == 80
    assert (place / "tuned" / "tuning").is_dir()
    assert files(Path(SIBLING)) == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["home", "~"]
    assert sorted(path.name for path in Path("~").iterdir()) == sorted(Path(path).name for path in (PLACE, SIBLING))
    assert not [path for path in (tmp_path / "home").rglob("*") if path.is_file()]


def test_a_sibling_that_a_pattern_would_match_is_not_read(place, capsys):
    for folder, rows in (("run[1]", ROWS), ("run1", OTHERS)):
        Path(f"{folder}.csv").write_text(f"text,label\n{rows}", encoding="utf-8")
        assert main(["prepare", f"{folder}.csv", "--out", folder]) == 0
    assert main(["train", "run[1]", "--model", "linear", "--out", "model"]) == 0
    assert main(["evaluate", "model", "run[1]", "--out", "report", "--json"]) == 0
    told = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert told["accuracy"] == 1.0
    shutil.rmtree("run1")
    assert main(["evaluate", "model", "run[1]", "--out", "alone"]) == 0
