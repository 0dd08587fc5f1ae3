"""A real MLflow server: a training logs its Bundle, an alias names it, and MLflow and the commands ask it."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import tarfile
import time
import urllib.error
import urllib.request

import pytest

from yanmo.artifacts.base import read_manifest
from yanmo.artifacts.copies import copy_artifact
from yanmo.artifacts.origins import origin_of
from yanmo.artifacts.predictions import Predictions
from yanmo.cli import main
from yanmo.integrations.tracking import tracked

pytestmark = [
    pytest.mark.extra("mlflow"),
    pytest.mark.extra("pandas"),
    pytest.mark.filterwarnings("ignore"),  # MLflow's own
]
MODEL = "models:/words@champion"
# What `mlflow server` runs, without the processes for which it needs further packages.
SERVER = """
import os, sys
folder, port = sys.argv[1:]
os.environ |= {
    "_MLFLOW_SERVER_FILE_STORE": f"sqlite:///{folder}/server.db",
    "_MLFLOW_SERVER_ARTIFACT_ROOT": "mlflow-artifacts:/",
    "_MLFLOW_SERVER_ARTIFACT_DESTINATION": f"{folder}/store",
    "_MLFLOW_SERVER_SERVE_ARTIFACTS": "true",
}
from mlflow.server import app
app.run(port=int(port), threaded=True)
"""


@pytest.fixture(scope="module")
def registry(make_words, tmp_path_factory):
    """Server, Dataset, and the Bundle that is registered as version 1 of ``words``, which is the champion."""
    from mlflow import MlflowClient

    from yanmo.verbs.train import train

    folder = tmp_path_factory.mktemp("registry")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    url = f"http://127.0.0.1:{port}"
    command = [sys.executable, "-c", SERVER, str(folder), str(port)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as server:
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("MLFLOW_TRACKING_URI", url)
            patch.setenv("XDG_CACHE_HOME", str(folder / "cache"))
            wait_for(f"{url}/health", server)
            data = make_words(folder / "data", ["city", "fruit", "tool"])
            bundle = train(data, model="linear", out=folder / "bundle")
            with tracked(f"mlflow:{url}", name="words", work_dir=folder) as run:
                run.finish({"model": "linear"}, {"accuracy": 1.0}, bundle.path)
            client = MlflowClient(url)
            (model,) = client.search_logged_models([client.get_experiment_by_name("yanmo").experiment_id])
            client.create_registered_model("words")
            client.create_model_version("words", f"models:/{model.model_id}", model_id=model.model_id)
            client.set_registered_model_alias("words", "champion", "1")
            yield bundle, data
        server.terminate()


def wait_for(url, server):
    for _ in range(1200):
        assert server.poll() is None
        try:
            urllib.request.urlopen(url).close()
        except urllib.error.URLError:
            time.sleep(0.1)
        else:
            return
    raise AssertionError("the server does not answer")


def test_mlflow_itself_asks_a_registered_bundle(registry):
    import mlflow
    import pandas as pd

    from yanmo.runtimes.predictor import open_bundle

    bundle, data = registry
    texts = data.split("test")["text"].to_list()[:5]
    asked = mlflow.pyfunc.load_model(MODEL).predict(pd.DataFrame({"text": texts}))
    with open_bundle(bundle) as predictor:
        told = predictor.predict(texts)
    assert asked["prediction"].tolist() == [one.label for one in told]
    assert asked["probability"].tolist() == pytest.approx([one.probability for one in told])


def test_predict_and_pack_take_it_by_alias_and_by_version(registry, tmp_path, capsys):
    bundle, data = registry
    assert main(["predict", MODEL, str(data.path), "--out", str(tmp_path / "a")]) == 0
    assert Predictions.open(tmp_path / "a").manifest.parents["bundle"] == bundle.digest
    assert main(["pack", "models:/words/1", "--out", str(tmp_path / "service.tar.gz")]) == 0
    with tarfile.open(tmp_path / "service.tar.gz") as archive:
        assert any(name.endswith("bundle/manifest.json") for name in archive.getnames())
        assert not any(name.endswith("MLmodel") for name in archive.getnames())
    place = copy_artifact(MODEL)
    # It is pinned: what it is resolved to is the Bundle, by digest.
    assert read_manifest(place)[1] == bundle.digest == origin_of(place).version
    assert place.name == "words"
    # An alias moves, so workers are told the version.
    assert origin_of(place).address == "models:/words/1"
    assert origin_of(place).shown == MODEL


def test_a_service_has_the_models_name(registry):
    command = [sys.executable, "-m", "yanmo", "serve", MODEL, "--port", "0", "--json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        told = json.loads(process.stdout.readline())
        process.terminate()
        process.communicate(timeout=30)
    assert told["models"] == ["words"]
    assert told["path"] == MODEL


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("models:/words@loser", "models:/words@loser cannot be had: "),
        ("models:/none/1", "models:/none/1 cannot be had: "),
        ("models:/words", "A registered model must be models:/NAME@ALIAS or models:/NAME/VERSION. Got 'models:/words'"),
    ],
)
def test_what_is_not_registered_is_told(registry, tmp_path, address, said, capsys):
    assert main(["predict", address, "x.csv", "--out", str(tmp_path / "out")]) == 2
    assert said in capsys.readouterr().err


def test_a_registry_that_nobody_has_named_is_not_asked(registry, tmp_path, monkeypatch, capsys):
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    assert main(["predict", MODEL, "x.csv", "--out", str(tmp_path / "out")]) == 2
    assert "hint: Set MLFLOW_TRACKING_URI" in capsys.readouterr().err


def test_a_registry_is_no_place_for_texts_or_results(registry, tmp_path, capsys):
    (tmp_path / "x.csv").write_text("text\na\n")
    assert main(["predict", MODEL, MODEL, "--out", str(tmp_path / "out")]) == 2
    assert f"The 'source' input of predict must be a path on this machine. Got '{MODEL}'" in capsys.readouterr().err
    assert main(["predict", MODEL, str(tmp_path / "x.csv"), "--out", MODEL]) == 2
    assert f"The 'out' parameter of predict must be a path on this machine. Got '{MODEL}'" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["x.csv"]
