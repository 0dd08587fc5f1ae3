"""train: from a Dataset to a Bundle that answers, the same one each time, also after a real kill -9."""

import json
import logging
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import polars as pl
import pytest
import torch
from safetensors.torch import load_file, save_file

from yanmo.answers.choices import Choices
from yanmo.answers.links import SIGMOID, SOFTMAX
from yanmo.artifacts import Bundle, Dataset
from yanmo.artifacts.base import Identity, publish
from yanmo.artifacts.effects import Effects
from yanmo.artifacts.placing import lock, work_dir
from yanmo.errors import ArtifactError, BusyError, ConfigError, DataError, MissingExtraError, ModelError
from yanmo.modeling.arithmetic import determinism
from yanmo.runtimes.predictor import open_bundle
from yanmo.tasks import get_task
from yanmo.text.pipeline import TextConfig
from yanmo.training import train_config
from yanmo.training.job import measure_answers
from yanmo.verbs.train import train


class KilledError(BaseException):
    pass


WORDS = {"delivery": ["parcel", "late", "快递", "送得"], "taste": ["food", "tasty", "好吃", "味道"]}
FILLERS = ["the", "很", "是", "so", "today", "今天", "!", "。", "really"]
FAST = {"num_epochs": 2, "batch_size": 8, "num_threads": 1}
SMALL = {**FAST, "vocab_size": 60, "max_length": 16}
MODELS = {
    "ngram": FAST,
    "linear": {"num_threads": 1},
    "textcnn": SMALL,
    "bilstm": SMALL,
    "bert-1x32": SMALL,
    "albert-1x32": SMALL,
}


def make_text(generator, label):
    words = [*generator.choice(WORDS[label], 2), *generator.choice(FILLERS, int(generator.integers(1, 8)))]
    return " ".join(generator.permutation(words).tolist())


def make_rows(num_rows, seed, task):
    generator = np.random.default_rng(seed)
    labels = [list(WORDS)[place % 2] for place in range(num_rows)]
    texts = [make_text(generator, label) for label in labels]
    columns = {"id": [str(place) for place in range(num_rows)], "text": texts}
    if task == "text_pair":
        columns["text_b"] = texts[::-1]
    columns["label"] = [[label] for label in labels] if task == "multi_label" else labels
    if task == "multi_label" and num_rows > 2:
        columns["label"][:2] = [[], list(WORDS)]
    return pl.DataFrame(columns)


def make_dataset(folder, *, task="single_label", splits=(("train", 40), ("valid", 20)), text=None, **replaced):
    text = text or TextConfig()
    with publish(
        folder,
        Identity(
            kind="dataset",
            verb="prepare",
            task=task,
            labels=list(WORDS),
            parents={},
            config={},
            info={"text": text.model_dump(mode="json")},
        ),
    ) as staging:
        for seed, (name, num_rows) in enumerate(splits):
            replaced.get(name, make_rows(num_rows, seed, task)).write_parquet(staging / f"{name}.parquet")
        if text.user_dict:
            (staging / text.user_dict).write_text("送得 10\n", encoding="utf-8")
    return Dataset.open(folder)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    return make_dataset(tmp_path_factory.mktemp("data") / "messages")


@pytest.fixture(scope="module")
def bundles(dataset, tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    return {name: train(dataset, model=name, out=folder / name, **values) for name, values in MODELS.items()}


@pytest.mark.parametrize("name", list(MODELS))
def test_the_bundle_is_whole_and_answers_its_golden_examples(bundles, dataset, name):
    bundle = Bundle.open(bundles[name].path)
    assert (bundle.model, bundle.labels, bundle.task) == (name, dataset.labels, "single_label")
    assert bundle.manifest.parents == {"dataset": dataset.digest}
    golden = bundle.golden()
    assert len(golden.inputs) == 16
    with open_bundle(bundle, num_threads=1) as predictor:
        assert predictor.infer(golden.inputs)[0].distance_N(predictor.task.read(golden.evidence)).max() <= 1e-6


@pytest.mark.parametrize("name", list(MODELS))
def test_the_published_scores_are_those_of_the_published_bundle(bundles, dataset, name):
    valid = dataset.split("valid")
    with open_bundle(bundles[name], num_threads=1) as predictor:
        answers = [one.label for one in predictor.predict(valid["text"].to_list())]
    right = np.mean([answer == label for answer, label in zip(answers, valid["label"], strict=True)])
    assert bundles[name].summary()["valid_accuracy"] == pytest.approx(right, abs=1e-6)


@pytest.mark.parametrize("name", ["ngram", "linear", "textcnn", "bert-1x32"])
def test_one_seed_makes_the_same_bundle(bundles, dataset, tmp_path, name):
    again = train(dataset, model=name, out=tmp_path / "again", **MODELS[name])
    assert again.digest == bundles[name].digest


def test_another_seed_makes_other_weights(bundles, dataset, tmp_path):
    other = train(dataset, model="textcnn", seed=2, out=tmp_path / "other", **SMALL)
    weights = "model.safetensors"
    assert other.manifest.files[weights].sha256 != bundles["textcnn"].manifest.files[weights].sha256


def test_the_config_in_the_manifest_has_no_gap(bundles):
    config = bundles["bert-1x32"].manifest.config
    open_values = {name for name, value in config.items() if value is None}
    assert open_values == {"activation", "batch_tokens", "beam", "eval_steps", "folds", "max_target_length", "order"}
    assert config["num_epochs"] == 2


def test_a_linear_model_has_its_one_record(bundles):
    (line,) = (json.loads(line) for line in (bundles["linear"].path / "metrics.jsonl").read_text().splitlines())
    scores = {name: value for name, value in bundles["linear"].summary().items() if name.startswith("valid_")}
    assert line == {"step": 1, "epoch": 0, **{name: pytest.approx(value, abs=1e-6) for name, value in scores.items()}}


def test_two_means_of_the_weights_are_refused(dataset, tmp_path):
    with pytest.raises(ConfigError, match="'ema_decay' and 'swa_start' parameters .* cannot be combined"):
        train(dataset, model="textcnn", ema_decay=0.9, swa_start=0.5, out=tmp_path / "model", **SMALL)


def test_metrics_are_published_and_the_work_folder_is_gone(bundles):
    lines = [json.loads(line) for line in (bundles["textcnn"].path / "metrics.jsonl").read_text().splitlines()]
    assert lines[-1]["step"] == 10
    assert lines[-1]["valid_loss"] > 0
    assert not any(work_dir(bundles["textcnn"].path).glob("*.safetensors"))


def test_the_card_says_what_it_is(bundles, dataset):
    card = (bundles["bert-1x32"].path / "README.md").read_text(encoding="utf-8")
    assert card.startswith("# bert-1x32")
    assert dataset.digest[:16] in card


@pytest.mark.parametrize("task", ["multi_label", "text_pair"])
@pytest.mark.parametrize("name", ["ngram", "linear", "textcnn", "bert-1x32"])
def test_every_task_trains_every_kind_of_model(tmp_path, task, name):
    dataset = make_dataset(tmp_path / "data", task=task)
    bundle = train(dataset, model=name, out=tmp_path / "model", **MODELS[name])
    with open_bundle(bundle, num_threads=1) as predictor:
        items = [("快递 late", "food"), ("好吃", "")] if task == "text_pair" else ["快递 late", "好吃"]
        assert predictor.predict_proba(items).shape == (2, 2)


def test_a_trained_encoder_is_trained_further(bundles, dataset, tmp_path):
    source = bundles["bert-1x32"]
    bundle = train(dataset, model=str(source.path), out=tmp_path / "further", offline=True, max_length=16, **FAST)
    assert bundle.model == "bert-1x32"
    assert set(bundle.manifest.parents) == {"checkpoint", "dataset"}
    assert str(source.path.parent) not in (bundle.path / "manifest.json").read_text()


def test_a_checkpoint_that_reads_64_tokens_trains_with_64_unless_more_are_asked_for(bundles, dataset, tmp_path, caplog):
    folder = tmp_path / "short"
    shutil.copytree(bundles["bert-1x32"].path, folder)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "max_position_embeddings": 64}))
    places, weights = "bert.embeddings.position_embeddings.weight", load_file(folder / "model.safetensors")
    save_file(
        {**weights, places: weights[places][:64].clone()}, folder / "model.safetensors", metadata={"format": "pt"}
    )
    (folder / "manifest.json").unlink()
    with caplog.at_level(logging.INFO):
        bundle = train(dataset, model=str(folder), out=tmp_path / "model", **FAST)
    assert bundle.max_length == bundle.manifest.config["max_length"] == 64
    assert "max_length is 64, the most that short reads, instead of 128" in caplog.text
    with pytest.raises(ConfigError, match="must be at most 64 for short. Got 65 instead"):
        train(dataset, model=str(folder), out=tmp_path / "longer", max_length=65, **FAST)


def test_segmented_text_has_words_as_tokens_and_the_user_dictionary_travels(tmp_path):
    text = TextConfig(segmenter="rjieba", user_dict="user_dict.txt")
    dataset = make_dataset(tmp_path / "data", text=text)
    bundle = train(dataset, model="textcnn", out=tmp_path / "model", **SMALL)
    assert (bundle.path / "user_dict.txt").is_file()
    vocabulary = json.loads((bundle.path / "tokenizer.json").read_text())["model"]["vocab"]
    assert "味道" in vocabulary
    with open_bundle(bundle, num_threads=1) as predictor:
        assert len(predictor.predict(["味道好吃"])) == 1


def test_settings_without_effect_are_said(dataset, tmp_path, caplog):
    bundle = train(dataset, model="linear", learning_rate=0.1, vocab_size=50, seed=7, out=tmp_path / "model")
    names = ("seed", "learning_rate", "vocab_size")
    assert sorted(caplog.messages) == sorted(
        f"The '{name}' parameter has no effect on the model linear." for name in names
    )
    assert bundle.manifest.seed is None
    caplog.clear()
    assert train(dataset, model="linear", out=tmp_path / "silent").format == "linear"
    assert caplog.messages == []


def test_precision_and_sharding_say_where_they_have_no_effect(dataset, tmp_path, caplog):
    plain = train(dataset, model="textcnn", out=tmp_path / "plain", **SMALL)
    caplog.clear()
    bundle = train(dataset, model="textcnn", precision="bf16", sharding="full", out=tmp_path / "model", **SMALL)
    assert caplog.messages == [
        "The 'precision' parameter has no effect on the model textcnn.",
        "The 'sharding' parameter has no effect on a single worker; torchrun starts several.",
    ]
    assert bundle.manifest.config["precision"] == "fp32"
    assert bundle.manifest.files["model.safetensors"] == plain.manifest.files["model.safetensors"]


def test_another_number_of_workers_or_another_device_is_refused(dataset, tmp_path, monkeypatch):
    def killed(_):
        raise KilledError

    with pytest.raises(KilledError):
        train(dataset, model="textcnn", out=tmp_path / "model", effects=Effects(watchers=(killed,)), **SMALL)
    with monkeypatch.context() as patch, pytest.raises(ConfigError, match="kind of device: cpu → cuda"):
        patch.setattr(determinism, "default_device", lambda: "cuda")
        train(dataset, model="textcnn", out=tmp_path / "model", **SMALL)
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(ConfigError, match="number of workers: 1 → 2") as caught:
        train(dataset, model="textcnn", out=tmp_path / "model", **SMALL)
    assert "--fork" in caught.value.hint


def test_what_cannot_be_learned_leaves_no_work_in_the_way_of_the_corrected_command(bundles, dataset, tmp_path):
    values = {"model": str(bundles["bert-1x32"].path), "max_length": 16, "frozen_layers": 1, **FAST}
    with pytest.raises(ConfigError, match="'fgm_epsilon'"):
        train(dataset, out=tmp_path / "model", fgm_epsilon=0.5, **values)
    assert train(dataset, out=tmp_path / "model", **values).model == "bert-1x32"


def test_a_tracker_that_does_not_exist_is_said_before_any_fold_is_trained(dataset, tmp_path):
    with pytest.raises(ConfigError, match="There is no tracker"):
        train(dataset, model="textcnn", folds=2, tracker="nowhere", out=tmp_path / "model", **SMALL)
    assert not list(work_dir(tmp_path / "model").glob("fold-*"))


def test_a_measure_of_answers_that_are_no_numbers_is_none():
    targets_NC = np.eye(2, dtype=np.float32)
    broken = Choices(np.full((2, 2), np.nan, dtype=np.float32), SOFTMAX)
    assert np.isnan(measure_answers(get_task("single_label"), broken, targets_NC)["loss"])
    nothing_NC = np.zeros((2, 2), dtype=np.float32)
    found = measure_answers(get_task("multi_label"), Choices(nothing_NC, SIGMOID), nothing_NC)
    assert (found["macro_f1"], found["micro_f1"]) == (0.0, 0.0)


def test_balanced_weights_and_smoothing_train(dataset, tmp_path):
    options = {"class_weights": "balanced", "label_smoothing": 0.1, "gradient_accumulation_steps": 2}
    assert train(dataset, model="textcnn", out=tmp_path / "model", **SMALL, **options).format == "torch"


def test_an_unknown_model_is_named(dataset, tmp_path):
    with pytest.raises(ModelError, match="Did you mean 'bilstm'"):
        train(dataset, model="bilstn", out=tmp_path / "model")


def test_offline_refuses_a_hub_id(dataset, tmp_path):
    with pytest.raises(ConfigError) as caught:
        train(dataset, model="owner/model", offline=True, out=tmp_path / "model")
    assert "over the network, but offline is set" in caught.value.message


@pytest.mark.parametrize(("name", "value"), [("learning_rate", 0), ("dropout", 1.0), ("warmup_ratio", 2), ("seed", -1)])
def test_a_value_out_of_range_is_refused(dataset, tmp_path, name, value):
    with pytest.raises(ConfigError, match=f"The '{name}' parameter of train must be"):
        train(dataset, model="ngram", out=tmp_path / "model", **{name: value})


@pytest.mark.parametrize("name", ["ngram", "linear"])
def test_a_metric_that_the_task_is_not_measured_by_is_refused_before_work(dataset, tmp_path, name):
    with pytest.raises(
        ConfigError, match="The 'metric' parameter of train must be one of: accuracy, macro_f1, "
    ) as got:
        train(dataset, model=name, metric="acuracy", out=tmp_path / "model")
    assert "Did you mean 'accuracy'?" in str(got.value)
    assert not work_dir(tmp_path / "model").exists()


def test_by_default_the_headline_of_the_task_chooses_the_weights(tmp_path):
    for task, headline in (("single_label", "accuracy"), ("multi_label", "micro_f1")):
        dataset = make_dataset(tmp_path / task, task=task)
        settings = {**SMALL, "num_epochs": 3, "learning_rate": 3e-2}
        made = [
            train(dataset, model="textcnn", out=tmp_path / f"{task}-{metric}", metric=metric, **settings)
            for metric in (None, headline)
        ]
        first, second = (one.manifest.files["model.safetensors"] for one in made)
        assert first == second
        lines = [json.loads(line) for line in (made[0].path / "metrics.jsonl").read_text().splitlines()]
        measured = [line[f"valid_{headline}"] for line in lines if "valid_loss" in line]
        assert made[0].summary()[f"valid_{headline}"] == pytest.approx(max(measured), abs=1e-6)


def test_one_label_is_nothing_to_learn(tmp_path):
    rows = make_rows(12, 1, "single_label").with_columns(pl.lit("taste").alias("label"))
    dataset = make_dataset(tmp_path / "data", train=rows)
    with pytest.raises(DataError, match="All 12 rows of the training split have the same label"):
        train(dataset, model="ngram", out=tmp_path / "model")


@pytest.mark.parametrize("splits", [(("train", 40),), (("train", 40), ("valid", 0))], ids=["missing", "empty"])
def test_a_dataset_without_validation_rows_is_refused(tmp_path, splits):
    dataset = make_dataset(tmp_path / "data", splits=splits)
    with pytest.raises(DataError, match="no rows in its split 'valid'") as caught:
        train(dataset, model="ngram", out=tmp_path / "model")
    assert "valid_ratio" in caught.value.hint


def test_a_dataset_without_training_rows_is_refused(tmp_path):
    dataset = make_dataset(tmp_path / "data", splits=(("train", 0), ("valid", 10)))
    with pytest.raises(DataError, match="no rows in its split 'train'"):
        train(dataset, model="linear", out=tmp_path / "model")


def test_an_out_that_exists_is_refused_before_work(bundles, dataset):
    with pytest.raises(ArtifactError, match="exists already"):
        train(dataset, model="ngram", out=bundles["ngram"].path)


KILLED = {**SMALL, "num_epochs": 60, "early_stopping_patience": 60, "eval_steps": 3, "model": "bilstm"}


def checkpoints_of(out):
    return sorted(work_dir(out).glob("checkpoint-*.safetensors"))


@pytest.mark.slow
def test_a_killed_run_ends_with_the_same_bundle(dataset, tmp_path):
    straight = train(dataset, out=tmp_path / "straight", **KILLED)
    script = f"from yanmo.verbs.train import train; train({str(dataset.path)!r}, out='killed', **{KILLED!r})"
    process = subprocess.Popen([sys.executable, "-c", script], cwd=tmp_path)
    deadline = time.monotonic() + 60
    while not checkpoints_of(tmp_path / "killed") and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.002)
    process.send_signal(signal.SIGKILL)
    assert process.wait(timeout=30) == -signal.SIGKILL
    assert not (tmp_path / "killed").exists()
    assert checkpoints_of(tmp_path / "killed")
    resumed = train(dataset, out=tmp_path / "killed", **KILLED)
    assert resumed.digest == straight.digest


@pytest.mark.parametrize(
    ("model", "package"), [("ngram", "torch"), ("bert-1x32", "transformers"), ("linear", "sklearn")]
)
def test_an_install_without_the_extra_says_what_to_install(model, package, dataset, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, package, None)
    message = f"The training of {model} needs the package '{package}', which is not installed."
    with pytest.raises(MissingExtraError) as caught:
        train(dataset, model=model, out=tmp_path / "out")
    assert str(caught.value) == f"{message}\nhint: pip install 'yanmo[train]'"
    assert not list(tmp_path.glob(".out*"))


@pytest.mark.parametrize(
    ("model", "name", "value"),
    [
        ("ngram", "lora_rank", 4),
        ("textcnn", "frozen_layers", 1),
        ("linear", "lora_rank", 4),
        ("albert-1x32", "layer_decay", 0.9),
    ],
)
def test_a_method_that_needs_layers_is_refused_where_there_are_none(dataset, tmp_path, model, name, value):
    message = f"The '{name}' parameter of train does not suit the model {model}"
    with pytest.raises(ConfigError, match=message) as caught:
        train(dataset, model=model, out=tmp_path / "model", **{name: value})
    assert f"Leave {name} out" in caught.value.hint


@pytest.mark.parametrize(("name", "value"), [("fgm_epsilon", 0.5), ("lora_rank", 4), ("compile", "always")])
def test_a_method_that_needs_whole_weights_is_refused_with_sharded_ones(dataset, tmp_path, monkeypatch, name, value):
    monkeypatch.setattr(train_config, "has_compiler", lambda: True)
    with pytest.raises(ConfigError, match=f"The '{name}' parameter of train does not suit sharded weights"):
        train(dataset, model="bert-1x32", sharding="full", out=tmp_path / "model", **{name: value})


def test_a_linear_model_says_which_methods_have_no_effect(dataset, tmp_path, caplog):
    train(dataset, model="linear", out=tmp_path / "model", r_drop=1.0, ema_decay=0.9)
    assert sorted(caplog.messages) == [
        f"The '{name}' parameter has no effect on the model linear." for name in ("ema_decay", "r_drop")
    ]


EVERY_METHOD = {
    "layer_decay": 0.9,
    "focal_gamma": 1.0,
    "r_drop": 0.5,
    "fgm_epsilon": 0.2,
    "ema_decay": 0.9,
    "multi_sample_dropout": 3,
    "schedule": "cosine",
}


@pytest.mark.parametrize("task", ["single_label", "multi_label"])
def test_all_methods_together_train_a_bundle(tmp_path, task):
    dataset = make_dataset(tmp_path / "data", task=task)
    bundle = train(dataset, model="bert-2x32", out=tmp_path / "model", **SMALL, **EVERY_METHOD)
    assert {name: bundle.manifest.config[name] for name in EVERY_METHOD} == EVERY_METHOD
    assert "fork" not in bundle.manifest.config


@pytest.mark.parametrize("model", ["ngram", "bilstm", "albert-1x32"])
def test_several_masks_suit_every_network(dataset, tmp_path, model):
    bundle = train(dataset, model=model, out=tmp_path / "model", **MODELS[model], multi_sample_dropout=4)
    with open_bundle(bundle, num_threads=1) as predictor:
        assert len(predictor.predict(["快递 late"])) == 1


def test_frozen_layers_are_those_of_the_checkpoint(bundles, dataset, tmp_path):
    source = bundles["bert-1x32"]
    bundle = train(dataset, model=str(source.path), out=tmp_path / "model", max_length=16, frozen_layers=1, **FAST)
    before, after = (load_file(one.path / "model.safetensors") for one in (source, bundle))
    changed = {name for name, tensor in after.items() if not torch.equal(tensor, before[name])}
    assert changed == {name for name in after if name.startswith(("classifier", "bert.pooler"))}


def test_low_rank_changes_are_merged_into_a_plain_bundle(bundles, dataset, tmp_path):
    pytest.importorskip("peft", reason="the extra lora is not installed")
    source = bundles["bert-1x32"]
    options = {"max_length": 16, "lora_rank": 2, "learning_rate": 0.01, **FAST}
    bundle = train(dataset, model=str(source.path), out=tmp_path / "model", **options)
    before, after = (load_file(one.path / "model.safetensors") for one in (source, bundle))
    assert set(after) == set(before)
    changed = {name.rpartition(".")[0] for name, tensor in after.items() if not torch.equal(tensor, before[name])}
    layer = "bert.encoder.layer.0.attention.self"
    assert changed == {"classifier", "bert.pooler.dense", f"{layer}.query", f"{layer}.value"}
    difference = after[f"{layer}.query.weight"] - before[f"{layer}.query.weight"]
    assert torch.linalg.matrix_rank(difference, rtol=1e-3).item() == 2


def interrupted(dataset, folder, **changes):
    """Start a training in a process, stop it with SIGTERM after its first steps, and return the process."""
    values = KILLED | changes
    flags = [f"--{key.replace('_', '-')}={value}" for key, value in values.items()]
    command = [sys.executable, "-m", "yanmo", "train", str(dataset.path), "--out", "stopped", *flags]
    process = subprocess.Popen(command, cwd=folder, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 60
    while len(checkpoints_of(folder / "stopped")) < 2 and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.002)
    process.send_signal(signal.SIGTERM)
    process.said = process.communicate(timeout=60)[1]
    return process


@pytest.mark.slow
def test_sigterm_ends_with_143_and_other_settings_are_refused_until_they_are_forked(dataset, tmp_path):
    process = interrupted(dataset, tmp_path, num_epochs=500)
    assert process.returncode == 143
    assert "Stopped by SIGTERM after step" in process.said
    assert "hint: The same command goes on from there." in process.said
    changed = KILLED | {"num_epochs": 1, "learning_rate": 0.01}
    with pytest.raises(ConfigError) as caught:
        train(dataset, out=tmp_path / "stopped", **changed)
    assert caught.value.message.splitlines()[1:] == ["  learning_rate: 0.002 → 0.01", "  num_epochs: 500 → 1"]
    forked = train(dataset, out=tmp_path / "stopped", fork=True, **changed)
    assert forked.digest == train(dataset, out=tmp_path / "fresh", **changed).digest


def test_a_second_training_in_the_folder_is_busy(dataset, tmp_path):
    with lock(work_dir(tmp_path / "model")), pytest.raises(BusyError) as caught:
        train(dataset, model="ngram", out=tmp_path / "model", **FAST)
    assert caught.value.exit_code == 75
