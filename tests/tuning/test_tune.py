"""tune: the best model of all trials, found again after a real kill -9, and by two workers together."""

import json
import signal
import subprocess
import sys
import time
import tomllib
import types
from pathlib import Path

import numpy as np
import psutil
import pytest

from yanmo.artifacts import Bundle, Report
from yanmo.artifacts.placing import MANIFEST, work_dir
from yanmo.errors import BusyError, ConfigError, MissingExtraError
from yanmo.integrations import tracking
from yanmo.integrations.optuna_study import SharedStudy
from yanmo.integrations.optuna_trials import Tried
from yanmo.runtimes.predictor import open_bundle
from yanmo.training import job
from yanmo.tuning import trials
from yanmo.tuning import tune as searching
from yanmo.tuning.config import TuneConfig
from yanmo.tuning.tune import RECIPE, TUNING, _call, _compare, tune
from yanmo.verbs.calls import command_line
from yanmo.verbs.pretrain import pretrain
from yanmo.verbs.train import train

SPACE = (
    "learning_rate = { low = 1e-4, high = 1e-1, log = true }\ndropout = { low = 0.0, high = 0.6 }\n"
    "num_epochs = 3\nvocab_size = 60\nmax_length = 16\n"
)
VALUES = {"model": "textcnn", "num_trials": 5, "num_seeds": 2, "num_threads": 1}


@pytest.fixture(scope="module")
def space(tmp_path_factory):
    path = tmp_path_factory.mktemp("space") / "space.toml"
    path.write_text(SPACE)
    return path


@pytest.fixture(scope="module")
def tuned(dataset, space, tmp_path_factory):
    return tune(dataset, space=space, out=tmp_path_factory.mktemp("models") / "best", **VALUES)


def report_of(bundle):
    return Report.open(bundle.path / TUNING).metrics


def told(bundle):
    """What a search was told to try, and what came out, without the time it took."""
    return [{**one, "seconds": None, "process": None} for one in report_of(bundle)["trials"]]


def test_the_best_trial_is_published_and_answers(tuned):
    report = report_of(tuned)
    complete = [one for one in report["trials"] if one["state"] == "complete"]
    assert report["best"]["score"] in (report["first"]["score"], max(one["score"] for one in complete))
    assert np.mean(report["spread"]) >= np.mean(report["first_spread"])
    assert report["metric"] == "accuracy"
    assert tuned.summary()["valid_accuracy"] == tuned.summary()["valid_micro_f1"] == report["best"]["score"]
    assert [one["number"] for one in report["trials"]] == [0, 1, 2, 3, 4]
    assert len(report["spread"]) == len(report["first_spread"]) == 2
    with open_bundle(Bundle.open(tuned.path)) as predictor:
        assert predictor.predict(["paris oslo"])[0].label == "city"


@pytest.mark.parametrize(("gain", "number"), [(0.0, 0), (0.01, 1)])
def test_the_default_settings_stay_where_the_best_ones_are_no_better_over_seeds(
    gain, number, dataset, space, tmp_path, monkeypatch
):
    scores = {0: [0.5, 0.75, 1.0], 1: [0.75, 0.75, 0.75 + gain]}
    monkeypatch.setattr(SharedStudy, "best", lambda search: search.trials()[-1])
    monkeypatch.setattr(searching, "_spread", lambda _plan, _dataset, trial, *_: scores[trial.number])
    values = {**VALUES, "num_trials": 2, "prune": False}
    report = report_of(tune(dataset, space=space, out=tmp_path / "best", **values))
    assert (report["best"]["number"], report["spread"], report["first_spread"]) == (number, scores[number], scores[0])


def test_the_recipe_makes_the_same_files(tuned, dataset, tmp_path):
    recipe = tomllib.loads((tuned.path / TUNING / RECIPE).read_text())["stage"]["model"]
    assert (recipe.pop("verb"), recipe.pop("dataset")) == ("train", dataset.name)
    again = train(dataset, out=tmp_path / "again", **recipe)
    files = {name: entry for name, entry in tuned.manifest.files.items() if not name.startswith(TUNING)}
    assert files == {name: entry for name, entry in again.manifest.files.items() if name != MANIFEST}


def test_the_first_trial_has_the_defaults_and_a_trial_that_is_worse_is_given_up(tuned):
    trials = report_of(tuned)["trials"]
    assert trials[0]["values"] == {"learning_rate": 3e-3, "dropout": 0.5}
    pruned = [one for one in trials if one["state"] == "pruned"]
    assert all(len(one["curve"]) < 3 and one["score"] is None for one in pruned)


def test_the_first_trial_is_what_train_makes_where_the_space_leaves_its_defaults_out(dataset, tmp_path):
    path, fixed = tmp_path / "space.toml", {"num_epochs": 3, "vocab_size": 60, "max_length": 16}
    searched = "dropout = { low = 0.0, high = 0.2 }\nr_drop = { low = 0.5, high = 1.0 }\nlearning_rate = [3e-3, 1e-3]\n"
    path.write_text(searched + "".join(f"{name} = {value}\n" for name, value in fixed.items()))
    values = {**VALUES, "num_trials": 1, "num_seeds": 1}
    tuned = tune(dataset, space=path, out=tmp_path / "tuned", **values)
    plain = train(dataset, model="textcnn", num_threads=1, out=tmp_path / "plain", **fixed)
    assert report_of(tuned)["first"]["values"] == {"learning_rate": 3e-3}
    assert tuned.manifest.files["model.safetensors"] == plain.manifest.files["model.safetensors"]
    page = (tuned.path / TUNING / "report.html").read_text()
    assert page.count("<td>default</td>") == 2


def test_the_first_trial_of_a_pre_trained_encoder_is_what_train_makes_of_it(dataset, tmp_path):
    path, fixed = tmp_path / "space.toml", {"num_epochs": 2, "max_length": 16}
    searched = "dropout = { low = 0.2, high = 0.6 }\nlearning_rate = { low = 1e-5, high = 1e-2, log = true }\n"
    path.write_text(searched + "".join(f"{name} = {value}\n" for name, value in fixed.items()))
    small = {"num_epochs": 1, "vocab_size": 60, "max_length": 16, "num_threads": 1, "precision": "fp32"}
    reader = pretrain([dataset.path], model="bert-1x32", out=tmp_path / "reader", **small)
    values = {**VALUES, "model": str(reader.path), "num_trials": 1, "num_seeds": 1}
    tuned = tune(dataset, space=path, out=tmp_path / "tuned", **values)
    plain = train(dataset, init=reader, num_threads=1, out=tmp_path / "plain", **fixed)
    assert report_of(tuned)["first"]["values"] == {"learning_rate": 2e-4}
    assert tuned.manifest.files["model.safetensors"] == plain.manifest.files["model.safetensors"]


def test_the_metric_chooses_the_weights_of_every_trial(dataset, space, tmp_path, monkeypatch):
    scripts = {
        "micro_f1": (0.9, 0.2, 0.5),
        "macro_f1": (0.2, 0.9, 0.5),
        "accuracy": (0.1,) * 3,
        "loss": (0.1, 0.2, 0.3),
    }
    asked = []

    def measure(*_):
        asked.append(1)
        return {name: script[(len(asked) - 1) % 3] for name, script in scripts.items()}

    monkeypatch.setattr(job, "measure_answers", measure)
    values = {**VALUES, "num_trials": 2, "num_seeds": 1, "prune": False}
    bundle = tune(dataset, space=space, metric="macro_f1", out=tmp_path / "best", **values)
    assert [one["curve"] for one in report_of(bundle)["trials"]] == [[0.2, 0.9, 0.5]] * 2
    assert [one["score"] for one in report_of(bundle)["trials"]] == [0.9, 0.9]
    assert (bundle.summary()["valid_macro_f1"], bundle.summary()["valid_micro_f1"]) == (0.9, 0.2)
    assert 'metric = "macro_f1"' in (bundle.path / TUNING / RECIPE).read_text()


def test_the_page_shows_the_search_offline(tuned):
    page = (tuned.path / TUNING / "report.html").read_text()
    assert page.count("<svg") >= 2
    assert "[stage.model]" in page
    assert page.count("<script>") == 1
    assert not any(word in page for word in ("<link", "src="))


@pytest.mark.slow
def test_a_search_that_is_killed_halfway_ends_with_the_same_best_trial(tuned, dataset, space, tmp_path):
    script = (
        f"from yanmo.tuning.tune import tune; tune({str(dataset.path)!r}, space={str(space)!r}, out='killed', "
        f"**{VALUES!r})"
    )
    trials = work_dir(tmp_path / "killed")
    process = subprocess.Popen([sys.executable, "-c", script], cwd=tmp_path)
    deadline = time.monotonic() + 60
    while not list(trials.glob("trials/0002.lock")) and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.002)
    process.send_signal(signal.SIGKILL)
    assert process.wait(10) == -signal.SIGKILL
    assert not (tmp_path / "killed").exists()
    resumed = tune(dataset, space=space, out=tmp_path / "killed", **VALUES)
    assert told(resumed) == told(tuned)
    assert resumed.manifest.files["model.safetensors"] == tuned.manifest.files["model.safetensors"]


@pytest.mark.slow
def test_two_workers_share_the_trials(dataset, space, tmp_path):
    bundle = tune(
        dataset,
        space=space,
        out=tmp_path / "best",
        **{**VALUES, "executor": "local:2", "num_trials": 6, "num_seeds": 1},
    )
    trials = report_of(bundle)["trials"]
    assert [one["number"] for one in trials] == list(range(6))
    assert len({one["process"] for one in trials}) == 2


@pytest.mark.slow
def test_sigterm_ends_the_workers_and_the_search_with_143(dataset, tmp_path):
    space = tmp_path / "space.toml"
    space.write_text(SPACE.replace("num_epochs = 3", "num_epochs = 5000\nearly_stopping_patience = 5000"))
    options = [f"--{name.replace('_', '-')}={value}" for name, value in {**VALUES, "executor": "local:2"}.items()]
    command = [sys.executable, "-m", "yanmo", "tune", str(dataset.path), "--space", str(space), "--out", "best"]
    process = subprocess.Popen([*command, *options], cwd=tmp_path, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 60
    trained = "trials/*/.bundle.work/checkpoint*"
    while len({one.parent for one in work_dir(tmp_path / "best").glob(trained)}) < 2 and time.monotonic() < deadline:
        assert process.poll() is None, process.stderr.read()
        time.sleep(0.01)
    workers = psutil.Process(process.pid).children(recursive=True)
    assert len(workers) >= 2
    process.send_signal(signal.SIGTERM)
    _, said = process.communicate(timeout=40)
    assert process.returncode == 143, said
    assert "Stopped by SIGTERM" in said
    assert not any(one.is_running() for one in workers)
    assert len({one.parent for one in work_dir(tmp_path / "best").glob(trained)}) == 2


def test_a_storage_that_is_shared_holds_the_trials_of_several_searches(dataset, space, tmp_path):
    storage = f"sqlite:///{tmp_path / 'shared.db'}"
    first = tune(dataset, space=space, storage=storage, out=tmp_path / "first", **VALUES)
    second = tune(dataset, space=space, storage=storage, out=tmp_path / "second", **VALUES)
    assert report_of(second)["trials"] == report_of(first)["trials"]  # not one was trained again
    assert second.manifest.files["model.safetensors"] == first.manifest.files["model.safetensors"]
    assert str(tmp_path) not in (first.path / MANIFEST).read_text()


@pytest.mark.parametrize("is_same", [True, False])
def test_a_trial_of_another_machine_whose_weights_are_others_here_is_said(tuned, dataset, caplog, is_same):
    caplog.set_level("INFO", "yanmo")
    weights = trials.weights_digest(tuned) if is_same else "0" * 64
    chosen = Tried(2, "complete", {}, 0.5, [0.5], 1.0, 1, "there:models/best", weights)
    _compare(types.SimpleNamespace(metric="accuracy"), dataset, tuned, chosen)
    (record,) = caplog.records
    assert record.getMessage().startswith("Trial 2 of there:models/best, the best, was trained here again")
    assert record.levelname == ("INFO" if is_same else "WARNING")
    assert is_same == ("Copy one machine's Bundle" not in record.getMessage())


def test_each_trial_is_a_run_in_the_search_s_own(dataset, space, tmp_path):
    pytest.importorskip("tensorboardX", reason="the extra tensorboard is not installed")
    boards = tmp_path / "boards"
    values = {**VALUES, "num_trials": 2, "num_seeds": 1}
    tracked = tune(dataset, space=space, tracker=f"tensorboard:{boards}", out=tmp_path / "best", **values)
    assert sorted(one.name for one in (boards / "best").iterdir() if one.is_dir()) == ["trial-0000", "trial-0001"]
    assert all(list(folder.glob("events*")) for folder in (boards / "best", *(boards / "best").glob("trial-*")))
    plain = tune(dataset, space=space, out=tmp_path / "plain", **values)
    assert "tracker" not in tracked.manifest.config
    assert tracked.manifest.files["model.safetensors"] == plain.manifest.files["model.safetensors"]


def test_a_tracker_sees_the_training_that_is_published_and_not_its_folds(dataset, space, tmp_path, monkeypatch):
    told = []

    class Recorder:
        run_id = "run"

        def log(self, step, values):
            told.append({"step": step, **values})

        def finish(self, *_):
            pass

    module = types.ModuleType("recorder")
    module.open_run = lambda *_, **__: Recorder()
    monkeypatch.setitem(sys.modules, "recorder", module)
    monkeypatch.setitem(tracking.TRACKERS, "recorder", "recorder")
    values = {**VALUES, "num_trials": 1, "num_seeds": 1, "folds": 2}
    bundle = tune(dataset, space=space, tracker="recorder", out=tmp_path / "best", **values)
    lines = [json.loads(line) for line in (bundle.path / "metrics.jsonl").read_text().splitlines()]
    assert len(lines) == 3
    assert told == [{name: value for name, value in line.items() if name != "epoch"} for line in lines]


def test_with_folds_the_answers_to_rows_left_out_are_the_score(dataset, tmp_path, space):
    bundle = tune(dataset, space=space, folds=2, out=tmp_path / "best", **{**VALUES, "num_trials": 2, "num_seeds": 1})
    rows = dataset.split("train")
    answers = dict(bundle.out_of_fold().frame().select("id", "prediction").iter_rows())
    right = [answers[one] == label for one, label in zip(rows["id"], rows["label"], strict=True)]
    assert report_of(bundle)["best"]["score"] == pytest.approx(sum(right) / len(right))


def test_mistakes_are_said_before_anything_is_trained(dataset, space, tmp_path, monkeypatch):
    with pytest.raises(ConfigError, match="storage of the search cannot be opened"):
        tune(dataset, space=space, storage="nothing://here", out=tmp_path / "out", **VALUES)
    monkeypatch.delitem(sys.modules, "yanmo.integrations.optuna_study", raising=False)
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(MissingExtraError) as caught:
        tune(dataset, space=space, out=tmp_path / "out", **VALUES)
    assert caught.value.hint == "pip install 'yanmo[tune]'"


class KilledError(BaseException):
    pass


@pytest.mark.slow
def test_the_spread_is_that_of_the_best_trial_where_more_trials_were_asked_for_after_a_kill(
    dataset, space, tmp_path, monkeypatch
):
    def die(*_):
        raise KilledError

    values = {**VALUES, "metric": "loss", "num_trials": 3}
    with monkeypatch.context() as patch, pytest.raises(KilledError):
        patch.setattr(searching, "_publish", die)
        tune(dataset, space=space, out=tmp_path / "killed", **{**values, "num_trials": 1})
    resumed = tune(dataset, space=space, out=tmp_path / "killed", **values)
    recipe = tomllib.loads((resumed.path / TUNING / RECIPE).read_text())["stage"]["model"]
    other = {**{name: recipe[name] for name in recipe if name not in ("verb", "dataset")}, "seed": 2}
    assert report_of(resumed)["best"]["number"] > 0
    assert report_of(resumed)["spread"][1] == train(dataset, out=tmp_path / "other", **other).summary()["valid_loss"]


def test_another_search_in_the_folder_of_an_unfinished_one_is_refused_unless_it_is_to_begin_anew(
    dataset, space, tmp_path, monkeypatch
):
    run = trials.run_call

    def run_one(call):
        if Path(call.out).parent.name == "0001":
            raise KilledError
        return run(call)

    values, other = {**VALUES, "num_trials": 2, "num_seeds": 1}, tmp_path / "other.toml"
    other.write_text(SPACE.replace("high = 0.6", "high = 0.7"))
    with monkeypatch.context() as patch, pytest.raises(KilledError):
        patch.setattr(trials, "run_call", run_one)
        tune(dataset, space=space, out=tmp_path / "best", **values)
    done = work_dir(tmp_path / "best") / "trials" / "0000" / "bundle" / MANIFEST
    made = done.stat().st_mtime_ns
    changes = {
        "seed: 1 → 2": {"seed": 2},
        "metric: accuracy → loss": {"metric": "loss"},
        "dropout: .*0.6.* → .*0.7": {"space": other},
        "storage: none → ": {"storage": f"sqlite:///{tmp_path / 'shared.db'}"},
    }
    for message, change in changes.items():
        with pytest.raises(ConfigError, match=message) as caught:
            tune(dataset, out=tmp_path / "best", **{"space": space, **values, **change})
        assert "--fork" in caught.value.hint
    assert done.stat().st_mtime_ns == made
    forked = tune(dataset, space=space, out=tmp_path / "best", fork=True, **{**values, "seed": 2, "num_trials": 1})
    assert (forked.manifest.seed, "fork" in forked.manifest.config) == (2, False)
    assert "--fork" not in report_of(forked)["command"]


def test_the_command_in_the_report_can_be_given_again(dataset, space):
    config = TuneConfig(space=space, offline=True, prune=False, num_trials=2)
    words = command_line(_call(dataset, config)).split()
    assert words[:3] == ["yanmo", "tune", dataset.name]
    assert words[3:] == ["--space", space.name, "--num-trials", "2", "--no-prune", "--offline", "--out", "FOLDER"]


def test_several_processes_of_torchrun_are_refused_with_what_to_do_instead(dataset, tmp_path, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    for rank in ("0", "1"):
        monkeypatch.setenv("RANK", rank)
        with pytest.raises(ConfigError, match="torchrun has started 2") as caught:
            tune(dataset, out=tmp_path / "best", **VALUES)
        assert "--executor local:2" in caught.value.hint
    assert not work_dir(tmp_path / "best").exists()


def test_a_second_search_in_one_folder_is_refused(dataset, space, tmp_path):
    from yanmo.artifacts.placing import lock

    with lock(work_dir(tmp_path / "out")), pytest.raises(BusyError):
        tune(dataset, space=space, out=tmp_path / "out", **VALUES)
