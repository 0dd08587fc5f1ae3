"""A call is plain values: it goes through JSON, makes the same elsewhere, and can be written down in two ways."""

import pickle
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path

import msgspec
import pytest
from msgspec import structs

from yanmo.artifacts.bundle import Bundle
from yanmo.artifacts.dataset import Dataset
from yanmo.artifacts.effects import Effects
from yanmo.cli import main
from yanmo.errors import ArtifactError
from yanmo.pipeline.check import CheckConfig
from yanmo.training.train_config import TrainConfig
from yanmo.tuning.config import TuneConfig
from yanmo.verbs.benchmark import BenchmarkConfig
from yanmo.verbs.calls import Call, call_of, command_line, run_call, stage_toml
from yanmo.verbs.distill import DistillConfig

SMALL = {"model": "ngram", "num_epochs": 1, "num_threads": 1}


@pytest.fixture(scope="module")
def words(make_words, tmp_path_factory):
    return make_words(tmp_path_factory.mktemp("words") / "words", ["city", "fruit"], num_train=40, num_valid=20)


def test_a_call_is_the_same_after_json_and_pickle():
    call = Call(
        verb="distill",
        inputs={"teacher": "a", "dataset": "data", "transfer": ("more.txt", "most.txt")},
        config={"alpha": 0.5, "alterations": ["drop"]},
        out="student",
        effects=Effects(key="k" * 64, replace=True),
    )
    assert msgspec.json.decode(msgspec.json.encode(call), type=Call) == call
    assert pickle.loads(pickle.dumps(call)) == call


def test_what_is_open_becomes_paths_and_what_was_not_given_is_left_out(words, tmp_path):
    config = DistillConfig(model="ngram", alterations=("drop", "mix"))
    call = call_of(
        "distill", {"dataset": words, "transfer": (Path("more.txt"),), "init": None}, config, out=tmp_path / "out"
    )
    assert call.inputs == {"dataset": str(words.path), "transfer": ("more.txt",)}
    assert call.config == {"model": "ngram", "alterations": ["drop", "mix"]}
    assert call.out == str(tmp_path / "out")


def test_another_process_makes_the_same_of_a_call(words, tmp_path):
    call = call_of("train", {"dataset": words}, TrainConfig(**SMALL), out=tmp_path / "there")
    script = (
        "import sys, msgspec; from yanmo.verbs.calls import Call, run_call; "
        "run_call(msgspec.json.decode(sys.stdin.buffer.read(), type=Call))"
    )
    subprocess.run([sys.executable, "-c", script], input=msgspec.json.encode(call), check=True)
    here = run_call(structs.replace(call, out=str(tmp_path / "here")))
    assert Bundle.open(tmp_path / "there").digest == here.digest


def test_the_effects_of_a_call_reach_what_it_makes(words, tmp_path):
    seen = []
    call = call_of("train", {"dataset": words}, SMALL, out=tmp_path / "model")
    run_call(structs.replace(call, effects=Effects(watchers=(seen.append,))))
    assert [one["epoch"] for one in seen if "valid_loss" in one] == [0]
    with pytest.raises(ArtifactError, match="exists already"):
        run_call(call)
    again = run_call(structs.replace(call, effects=Effects(key="0" * 64, replace=True)))
    assert again.manifest.key == "0" * 64


def test_the_key_of_a_part_is_that_of_the_whole(words, tmp_path):
    call = call_of("train", {"dataset": words}, {**SMALL, "folds": 2}, out=tmp_path / "model")
    bundle = run_call(structs.replace(call, effects=Effects(key="0" * 64)))
    assert bundle.out_of_fold().manifest.key == bundle.manifest.key == "0" * 64


def test_the_command_leaves_out_defaults_and_what_changes_no_result(words):
    config = TrainConfig(model="textcnn", dropout=0.2, class_weights="none", offline=True, tracker="mlflow", fork=True)
    call = call_of("train", {"dataset": words}, config)
    assert command_line(call) == "yanmo train words --model textcnn --dropout 0.2 --offline --out FOLDER"


@pytest.mark.parametrize(
    ("verb", "inputs", "config", "words"),
    [
        ("tune", {"dataset": Path("data")}, TuneConfig(prune=False), "data --no-prune --out FOLDER"),
        (
            "benchmark",
            {"bundles": (Path("a"), Path("b")), "dataset": Path("/somewhere/data")},
            BenchmarkConfig(batch_sizes=(1, 2), quick=True),
            "a b --dataset data --batch-sizes 1,2 --quick --out FOLDER",
        ),
        (
            "grind",
            {"teacher": Path("t"), "dataset": Path("d"), "transfer": (Path("x.txt"), Path("y.txt"))},
            {"students": ["ngram", "textcnn"]},
            "t d --transfer x.txt --transfer y.txt --students ngram,textcnn --out FOLDER",
        ),
        (
            "run",
            {"pipeline": Path("p.toml")},
            CheckConfig(set=("stage.a.seed=1", "stage.b.seed=2")),
            "p.toml --set stage.a.seed=1 --set stage.b.seed=2",
        ),
        ("predict", {"bundle": Path("m"), "source": (Path("-"),)}, {}, "m -"),
    ],
)
def test_every_kind_of_value_is_written_as_the_command_line_reads_it(verb, inputs, config, words):
    assert command_line(call_of(verb, inputs, config)) == f"yanmo {verb} {words}"


def test_the_folder_of_a_model_is_named_without_the_machines_folders(words, tmp_path):
    (tmp_path / "reader").mkdir()
    call = call_of("train", {"dataset": words}, {"model": str(tmp_path / "reader")}, out=tmp_path / "made")
    command = command_line(call)
    assert command.endswith(f"--model {tmp_path.name}/reader --out {tmp_path.name}/made")
    assert str(tmp_path.parent) not in command


def test_what_was_given_as_absolute_is_found_from_the_folder_of_the_page(tmp_path):
    project, page = tmp_path / "shop", tmp_path / "shop" / "runs" / "quality" / "linear"
    inputs = {"bundle": project / "runs" / "models" / "linear", "dataset": project / "runs" / "messages"}
    command = command_line(call_of("evaluate", inputs, {}, out=page))
    assert command == "cd ../.. && yanmo evaluate models/linear messages --out quality/linear"
    command = command_line(
        call_of("run", {"pipeline": project / "pipeline.toml"}, {}), page=project / "runs" / "report"
    )
    assert command == "cd ../.. && yanmo run pipeline.toml"
    # What is elsewhere on the machine is named, and no folder of it is told.
    far = call_of("evaluate", inputs | {"dataset": Path("/data/messages")}, {}, out=page)
    assert command_line(far) == "yanmo evaluate linear messages --out linear"


def test_a_command_makes_what_the_call_makes(words, tmp_path, monkeypatch):
    monkeypatch.chdir(words.path.parent)
    call = call_of("train", {"dataset": Dataset.open("words")}, TrainConfig(**SMALL), out=Path("by-call"))
    made = run_call(structs.replace(call, out=str(tmp_path / "by-call")))
    command = command_line(structs.replace(call, out="by-command"))
    assert main(shlex.split(command)[1:]) == 0
    assert Bundle.open("by-command").digest == made.digest


def test_a_stage_says_the_call_in_toml():
    call = Call(verb="cascade", inputs={"dataset": "data", "stages": ("a", "b")}, config={"costs": [0.1, 1.0]})
    written = tomllib.loads(stage_toml("so 快", call))
    stage = {"verb": "cascade", "dataset": "data", "stages": ["a", "b"], "costs": [0.1, 1.0]}
    assert written == {"stage": {"so 快": stage}}
