"""Trackers, with the real libraries: parameters, curves and the Bundle arrive, and a killed run is continued."""

import struct
import sys
import types

import pytest

from yanmo.errors import ConfigError, MissingExtraError, StoppedError
from yanmo.integrations import tracking
from yanmo.integrations.tracking import tracked

RECORDS = [
    {"step": 50, "epoch": 0, "train_loss": 1.5, "learning_rate": 0.1},
    {"step": 60, "epoch": 0, "valid_loss": 1.25, "valid_micro_f1": 0.5},
    {"step": 100, "epoch": 1, "train_loss": 0.5, "learning_rate": 0.05},
    {"step": 100, "epoch": 1, "valid_loss": 0.75, "valid_micro_f1": 0.75},
]
PARAMETERS = {"model": "textcnn", "learning_rate": 0.1, "dropout": None}
CURVES = {
    "train_loss": [(50, 1.5), (100, 0.5)],
    "learning_rate": [(50, pytest.approx(0.1)), (100, pytest.approx(0.05))],
    "valid_loss": [(60, 1.25), (100, 0.75)],
    "valid_micro_f1": [(60, 0.5), (100, 0.75)],
}


class KilledError(BaseException):
    pass


@pytest.fixture
def bundle(tmp_path):
    folder = tmp_path / "best"
    (folder / "onnx").mkdir(parents=True)
    (folder / "manifest.json").write_text("{}")
    (folder / "onnx" / "model.onnx").write_text("graph")
    return folder


def train(tracker, work_dir, bundle, records=RECORDS, *, killed=False):
    with tracked(tracker, name="best", work_dir=work_dir) as run:
        for record in records:
            run.watch(record)
        if killed:
            raise KilledError
        run.finish(PARAMETERS, {"micro_f1": 0.75}, bundle)
        return run.tracker


def train_killed_after_three_and_resumed_at_two(tracker, work_dir, bundle):
    with pytest.raises(KilledError):
        train(tracker, work_dir, bundle, RECORDS[:3], killed=True)
    return train(tracker, work_dir, bundle, RECORDS[1:])


def events(folder):
    """Every event of the event files of a folder, in order."""
    proto = pytest.importorskip("tensorboardX.proto.event_pb2")
    for file in sorted(folder.glob("events*")):
        data, place = file.read_bytes(), 0
        while place < len(data):
            (length,) = struct.unpack_from("<Q", data, place)
            yield proto.Event.FromString(data[place + 12 : place + 12 + length])
            place += length + 16


@pytest.mark.parametrize("run", [train, train_killed_after_three_and_resumed_at_two])
def test_tensorboard_gets_every_point_once(tmp_path, bundle, run):
    run(f"tensorboard:{tmp_path / 'boards'}", tmp_path, bundle)
    found, text = {}, ""
    for event in events(tmp_path / "boards" / "best"):
        for value in event.summary.value:
            if value.HasField("simple_value"):
                found.setdefault(value.tag, []).append((event.step, value.simple_value))
            else:
                text += str(value.tensor.string_val)
    names = {"train_loss": "loss/train", "valid_loss": "loss/valid", "valid_micro_f1": "micro_f1/valid"}
    assert {tag: sorted(points) for tag, points in found.items()} == {
        names.get(name, name): points for name, points in CURVES.items()
    }
    assert '| model | "textcnn" |' in text


def test_another_tensorboard_run_of_the_same_name_gets_a_folder_of_its_own(tmp_path, bundle):
    for work in ("a", "b"):
        (tmp_path / work).mkdir()
        train(f"tensorboard:{tmp_path / 'boards'}", tmp_path / work, bundle)
    assert sorted(one.name for one in (tmp_path / "boards").iterdir()) == ["best", "best-2"]


@pytest.mark.extra("mlflow")
@pytest.mark.filterwarnings("ignore:.*noload.*", "ignore::ResourceWarning")  # MLflow's own
def test_mlflow_gets_parameters_curves_and_the_bundle_as_a_model(tmp_path, bundle):
    import mlflow

    place = tmp_path / "mlflow"
    made = train_killed_after_three_and_resumed_at_two(f"mlflow:{place}", tmp_path, bundle)
    client = mlflow.MlflowClient(tracking_uri=f"sqlite:///{place / 'mlflow.db'}")
    run = client.get_run(made.run_id)
    assert run.info.status == "FINISHED"
    assert run.data.params == {"model": "textcnn", "learning_rate": "0.1"}
    for name, points in CURVES.items():
        assert [(one.step, one.value) for one in client.get_metric_history(made.run_id, name)] == points
    experiment = client.get_experiment_by_name("yanmo")
    (model,) = client.search_logged_models([experiment.experiment_id])
    assert (model.name, model.source_run_id, model.status.name) == ("best", made.run_id, "READY")
    stored = client.list_logged_model_artifacts(model.model_id)
    assert {one.path for one in stored} == {"MLmodel", "manifest.json", "onnx"}


@pytest.mark.extra("mlflow")
@pytest.mark.filterwarnings("ignore:.*noload.*", "ignore::ResourceWarning")  # MLflow's own
def test_a_trial_is_nested_under_its_search_in_mlflow_and_keeps_no_model_there(tmp_path):
    import mlflow

    (tmp_path / "trial").mkdir()
    tracker = f"mlflow:{tmp_path / 'mlflow'}"
    with (
        tracked(tracker, name="search", work_dir=tmp_path) as search,
        tracked(tracker, name="trial-0000", work_dir=tmp_path / "trial", parent=search.run_id) as trial,
    ):
        trial.finish(PARAMETERS, {"micro_f1": 0.5})
    with tracked(tracker, name="search", work_dir=tmp_path) as again:
        assert again.run_id == search.run_id, "a search that was cut off goes on in its run"
    client = mlflow.MlflowClient(tracking_uri=f"sqlite:///{tmp_path / 'mlflow' / 'mlflow.db'}")
    run = client.get_run(trial.run_id)
    assert run.data.tags["mlflow.parentRunId"] == search.run_id
    assert (run.info.status, run.data.metrics["micro_f1"]) == ("FINISHED", 0.5)
    assert not client.search_logged_models([run.info.experiment_id])


def test_a_training_that_fails_is_marked_as_failed(tmp_path, bundle):
    with pytest.raises(RuntimeError), tracked(f"tensorboard:{tmp_path / 'b'}", name="x", work_dir=tmp_path) as run:
        run.watch(RECORDS[0])
        raise RuntimeError
    assert [event.step for event in events(tmp_path / "b" / "x") if event.summary.value] == [50, 50]


class LostTracker:
    """A tracker whose server is gone from some call on."""

    run_id = "run"

    def __init__(self, num_answered):
        self.num_answered, self.calls = num_answered, []

    def log(self, *_):
        self._ask("log")

    def finish(self, *_):
        self._ask("finish")

    def fail(self):
        self._ask("fail")

    def _ask(self, name):
        self.calls.append(name)
        if len(self.calls) > self.num_answered:
            raise ConnectionError("the server is gone\nand more")


@pytest.fixture
def lost(monkeypatch):
    """Return what lets a tracker fail after so many answers."""

    def lose(num_answered):
        tracker, module = LostTracker(num_answered), types.ModuleType("lost_tracker")
        module.open_run = lambda *_, **__: tracker
        monkeypatch.setitem(sys.modules, "lost_tracker", module)
        monkeypatch.setitem(tracking.TRACKERS, "lost", "lost_tracker")
        return tracker

    return lose


def warnings_of(caplog):
    return [one.message for one in caplog.records if one.name == "yanmo.integrations.tracking"]


@pytest.mark.parametrize(("num_answered", "calls"), [(0, 1), (2, 3), (4, 5)], ids=["log", "a later log", "finish"])
def test_a_tracker_that_fails_is_let_go_with_one_warning(tmp_path, bundle, lost, caplog, num_answered, calls):
    tracker = lost(num_answered)
    assert train("lost:https://name:secret@server", tmp_path, bundle) is None
    assert len(tracker.calls) == calls
    (said,) = warnings_of(caplog)
    assert said.endswith(
        "The tracker lost has failed and is told nothing more; metrics.jsonl has all of it: the server is gone"
    )


def test_a_tracker_that_fails_hides_no_other_error(tmp_path, lost, caplog):
    tracker = lost(0)
    with pytest.raises(StoppedError), tracked("lost", name="best", work_dir=tmp_path):
        raise StoppedError("Stopped by SIGTERM.")
    assert (tracker.calls, len(warnings_of(caplog))) == (["fail"], 1)


def test_a_part_of_a_run_goes_on_without_a_tracker_that_cannot_be_reached_any_more(tmp_path, caplog):
    pytest.importorskip("tensorboardX", reason="the extra tensorboard is not installed")
    file = tmp_path / "file"
    file.write_text("no folder")
    with (
        pytest.raises(ConfigError, match="folder .* cannot be made"),
        tracked(f"tensorboard:{file}", name="x", work_dir=tmp_path),
    ):
        pass
    with tracked("tensorboard", name="trial-0000", work_dir=tmp_path, parent=str(file)) as run:
        run.watch(RECORDS[0])
        run.finish(PARAMETERS, {"micro_f1": 0.5})
    assert len(warnings_of(caplog)) == 1


@pytest.mark.extra("mlflow")
@pytest.mark.filterwarnings("ignore:.*noload.*", "ignore::ResourceWarning")  # MLflow's own
def test_an_mlflow_that_is_lost_in_the_middle_ends_no_training(tmp_path, bundle, caplog):
    place = tmp_path / "mlflow"
    with tracked(f"mlflow:{place}", name="best", work_dir=tmp_path) as run:
        run.watch(RECORDS[0])
        assert run.tracker is not None
        (place / "mlflow.db").write_bytes(b"no database any more" * 1000)
        for record in RECORDS[1:]:
            run.watch(record)
        run.finish(PARAMETERS, {"micro_f1": 0.75}, bundle)
    assert len(warnings_of(caplog)) == 1


def test_no_tracker_writes_nothing(tmp_path, bundle):
    assert train(None, tmp_path, bundle) is None
    assert [one.name for one in tmp_path.iterdir()] == ["best"]


def test_an_unknown_tracker_and_one_that_is_not_installed_are_said(tmp_path, bundle, monkeypatch):
    with pytest.raises(ConfigError, match="Did you mean 'tensorboard'"):
        train("tensorbord", tmp_path, bundle)
    monkeypatch.delitem(sys.modules, "yanmo.integrations.tensorboard", raising=False)
    monkeypatch.setitem(sys.modules, "tensorboardX.event_file_writer", None)
    with pytest.raises(MissingExtraError) as caught:
        train("tensorboard", tmp_path, bundle)
    assert caught.value.hint == "pip install 'yanmo[tensorboard]'"
