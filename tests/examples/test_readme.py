"""The README's commands work, one after the other, in an empty folder; so does its Python."""

import numpy as np
import pytest

import yanmo

pytestmark = pytest.mark.timeout(600)


@pytest.fixture(scope="module")
def blocks(blocks_of):
    return blocks_of("README.md")


@pytest.fixture(scope="module")
def project(blocks, run_commands, tmp_path_factory):
    """The folder that the README's commands made."""
    folder = tmp_path_factory.mktemp("readme")
    (commands,) = [code for language, code in blocks if language == "bash"]
    (folder / "stdout.txt").write_text(run_commands(commands, folder), encoding="utf-8")
    return folder / "my-project"


def test_the_commands_make_every_artifact(project):
    assert yanmo.Dataset.open(project / "data" / "messages").splits == ["train", "valid", "test"]
    assert yanmo.Bundle.open(project / "models" / "cnn-onnx").format == "onnx"
    assert len(yanmo.Predictions.open(project / "predictions" / "messages").ids) == 960
    assert yanmo.Report.open(project / "reports" / "cnn").metrics["num_rows"] == 96


def test_the_python_gives_the_same_answer_as_the_command_line(project, blocks, monkeypatch):
    (code,) = [code for language, code in blocks if language == "python"]
    monkeypatch.chdir(project)
    names = {}
    exec(compile(code, "README.md", "exec"), names)
    (answer,) = names["predictor"].predict(["什么时候发货？"])
    printed = (project.parent / "stdout.txt").read_text(encoding="utf-8").splitlines()[-1]
    assert answer.label in printed
    probabilities_NC = names["predictor"].predict_proba(["什么时候发货？"])
    assert probabilities_NC.dtype == np.float32
    assert names["predictor"].labels[probabilities_NC[0].argmax()] == answer.label


def test_the_starter_pipeline_is_valid(project):
    plan = yanmo.check(project / "pipeline.toml")
    assert plan.summary()
