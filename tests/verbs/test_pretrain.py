"""pretrain: from plain texts to an encoder that stock transformers open and train begins with."""

import json
import signal
import subprocess
import sys
import time

import pytest
import torch
from transformers import AutoModel, AutoModelForMaskedLM, AutoModelForPreTraining, AutoTokenizer

from yanmo.artifacts import Bundle, Dataset
from yanmo.artifacts.base import Identity, publish
from yanmo.artifacts.effects import Effects
from yanmo.artifacts.placing import work_dir
from yanmo.errors import ConfigError, DataError, ModelError
from yanmo.runtimes.generating.writer import open_writer
from yanmo.text.pipeline import TextConfig
from yanmo.verbs.distill import distill
from yanmo.verbs.evaluate import evaluate
from yanmo.verbs.export import export
from yanmo.verbs.predict import predict
from yanmo.verbs.pretrain import pretrain
from yanmo.verbs.train import train

SMALL = {"num_epochs": 2, "batch_size": 8, "num_threads": 1, "vocab_size": 60, "max_length": 16, "precision": "fp32"}
MODELS = {"bert-1x32": "mlm", "electra-1x32": "rtd"}


@pytest.fixture(scope="module")
def dataset(make_words, tmp_path_factory):
    return make_words(tmp_path_factory.mktemp("data") / "words", ["city", "fruit", "tool"])


@pytest.fixture(scope="module")
def readers(dataset, tmp_path_factory):
    folder = tmp_path_factory.mktemp("readers")
    return {
        name: pretrain([dataset.path], model=name, objective=objective, out=folder / name, **SMALL)
        for name, objective in MODELS.items()
    }


def weights(bundle):
    return bundle.manifest.files["model.safetensors"].sha256


def test_the_bundle_says_what_it_has_read(readers, dataset):
    bundle = Bundle.open(readers["bert-1x32"].path)
    assert (bundle.task, bundle.labels, bundle.model) == ("masked_lm", [], "bert-1x32")
    assert bundle.manifest.parents == {"dataset:1": dataset.digest}
    assert bundle.summary()["num_documents"] == 180  # train and valid, never test
    assert readers["electra-1x32"].task == "replaced_tokens"


def test_metrics_hold_loss_masked_accuracy_and_speed(dataset, tmp_path):
    bundle = pretrain([dataset.path], model="bert-1x32", out=tmp_path / "model", **{**SMALL, "num_epochs": 5})
    lines = [json.loads(line) for line in (bundle.path / "metrics.jsonl").read_text().splitlines()]
    trained = next(line for line in lines if "train_loss" in line)
    assert trained["tokens_per_second"] > 0
    assert 0 <= trained["train_masked_accuracy"] <= 1
    measured = [line["valid_loss"] for line in lines if "valid_masked_accuracy" in line]
    assert len(measured) == 5
    assert measured[-1] < measured[0]


@pytest.mark.parametrize(
    ("name", "kinds"),
    [("bert-1x32", [AutoModel, AutoModelForMaskedLM]), ("electra-1x32", [AutoModel, AutoModelForPreTraining])],
)
def test_stock_transformers_open_the_folder(readers, name, kinds):
    path = readers[name].path
    for kind in kinds:
        _, info = kind.from_pretrained(path, output_loading_info=True)
        assert {key.split(".")[0] for key in info["missing_keys"]} <= {"pooler"}, "which no masked-language model has"
    tokenizer = AutoTokenizer.from_pretrained(path)
    assert tokenizer.tokenize("a [MASK]") == ["a", "[MASK]"]


@pytest.mark.parametrize("name", list(MODELS))
def test_train_begins_with_its_weights_and_its_tokenizer(readers, dataset, tmp_path, name):
    reader = readers[name]
    bundle = train(dataset, init=reader, num_epochs=1, num_threads=1, learning_rate=1e-9, out=tmp_path / "model")
    assert (bundle.model, bundle.manifest.parents["init"]) == (name, reader.digest)
    vocabularies = [json.loads((one.path / "tokenizer.json").read_text())["model"]["vocab"] for one in (reader, bundle)]
    assert vocabularies[0] == vocabularies[1]
    ours, theirs = (AutoModel.from_pretrained(one.path).encoder.state_dict() for one in (reader, bundle))
    assert all(torch.allclose(ours[key], theirs[key], atol=1e-5) for key in ours)


def test_a_student_begins_with_its_weights_too(readers, dataset, tmp_path):
    reader = readers["bert-1x32"]
    teacher = train(dataset, model="ngram", num_epochs=1, num_threads=1, out=tmp_path / "teacher")
    values = {"num_epochs": 1, "num_threads": 1, "learning_rate": 1e-9, "precision": "fp32"}
    student = distill(teacher, dataset, init=reader, **values, out=tmp_path / "student")
    assert (student.model, student.manifest.parents["init"]) == ("bert-1x32", reader.digest)
    ours, theirs = (AutoModel.from_pretrained(one.path).encoder.state_dict() for one in (reader, student))
    assert all(torch.allclose(ours[key], theirs[key], atol=1e-5) for key in ours)
    named = distill(teacher, dataset, model=str(reader.path), **values, out=tmp_path / "named")
    assert weights(named) == weights(student)


def test_the_folder_as_the_model_is_the_same_as_init(readers, dataset, tmp_path):
    values = {"num_epochs": 1, "num_threads": 1, "max_length": 16}
    path = readers["bert-1x32"].path
    named = train(dataset, model="bert-1x32", init=path, out=tmp_path / "init", **values)
    given = train(dataset, model=str(path), out=tmp_path / "model", **values)
    assert weights(named) == weights(given)
    assert named.manifest.config == given.manifest.config


def test_another_shape_or_another_segmenter_is_refused(readers, dataset, tmp_path):
    with pytest.raises(ConfigError, match="cannot be combined"):
        train(dataset, init=readers["bert-1x32"], ema_decay=0.9, swa_start=0.5, out=tmp_path / "model")
    with pytest.raises(ConfigError, match=r"is bert-2x32, but .* holds bert-1x32"):
        train(dataset, model="bert-2x32", init=readers["bert-1x32"], out=tmp_path / "model")
    info = {"text": TextConfig(segmenter="rjieba").model_dump(mode="json")}
    identity = {"kind": "dataset", "task": "single_label", "labels": dataset.labels, "parents": {}, "config": {}}
    with publish(tmp_path / "cut", Identity(verb="prepare", info=info, **identity)) as staging:
        for split in ("train", "valid"):
            dataset.split(split).write_parquet(staging / f"{split}.parquet")
    with pytest.raises(ConfigError, match="with the segmenter 'none'"):
        train(Dataset.open(tmp_path / "cut"), init=readers["bert-1x32"], out=tmp_path / "model")
    with pytest.raises(ConfigError, match="with the segmenter 'none'. That of the texts to read is 'rjieba'"):
        pretrain([tmp_path / "cut"], model=str(readers["bert-1x32"].path), out=tmp_path / "model", **SMALL)


def test_another_checkpoint_beside_init_is_refused(readers, dataset, tmp_path):
    other = readers["electra-1x32"].path
    with pytest.raises(ConfigError, match=r"'model' parameter is electra-1x32, but .* holds bert-1x32"):
        train(dataset, model=str(other), init=readers["bert-1x32"], out=tmp_path / "model")


@pytest.mark.parametrize(
    "ask",
    [
        lambda reader, dataset, out: predict(reader, [dataset.path], out=out),
        lambda reader, dataset, out: evaluate(reader, dataset, out=out),
        lambda reader, _, out: export(reader, out=out),
    ],
    ids=["predict", "evaluate", "export"],
)
def test_what_needs_answers_refuses_an_encoder_that_only_reads(readers, dataset, tmp_path, ask):
    with pytest.raises(ConfigError, match="has only learned to read") as caught:
        ask(readers["electra-1x32"], dataset, tmp_path / "out")
    assert "yanmo train DATASET --init FOLDER" in caught.value.hint


def test_it_goes_on_from_a_checkpoint_with_its_tokenizer(readers, dataset, tmp_path):
    reader = readers["bert-1x32"]
    further = pretrain([dataset.path], model=str(reader.path), offline=True, out=tmp_path / "further", **SMALL)
    assert further.summary()["valid_loss"] < reader.summary()["valid_loss"]
    assert set(further.manifest.parents) == {"dataset:1", "checkpoint"}
    assert (further.path / "tokenizer.json").read_bytes() == (reader.path / "tokenizer.json").read_bytes()


def test_files_are_read_without_a_dataset_in_packed_rows(tmp_path):
    (tmp_path / "poems.txt").write_text("床前明月光\n疑是地上霜\n" * 20, encoding="utf-8")
    bundle = pretrain([tmp_path / "poems.txt"], model="roberta-1x32", packing="rows", out=tmp_path / "model", **SMALL)
    facts = bundle.summary()
    assert (facts["num_documents"], facts["num_rows"]) == (40, 18)


def test_too_little_text_and_a_model_that_is_no_encoder_are_refused(tmp_path):
    (tmp_path / "one.txt").write_text("床前明月光", encoding="utf-8")
    with pytest.raises(DataError, match="too little text"):
        pretrain([tmp_path / "one.txt"], model="bert-1x32", out=tmp_path / "model", **SMALL)
    with pytest.raises(ConfigError, match="must be an encoder, t5 with .* Got 'textcnn'"):
        pretrain([tmp_path / "one.txt"], model="textcnn", out=tmp_path / "model")


def test_an_objective_or_a_length_that_does_not_suit_is_refused_before_the_texts_are_read(readers, dataset, tmp_path):
    with pytest.raises(ConfigError, match="must be mlm for bert-1x32. Got 'rtd'"):
        pretrain([dataset.path], model="bert-1x32", objective="rtd", out=tmp_path / "model", **SMALL)
    values = SMALL | {"model": str(readers["bert-1x32"].path)}
    for wrong, message in (({"objective": "rtd"}, "must be mlm"), ({"max_length": 600}, "must be at most 512")):
        with pytest.raises(ConfigError, match=message):
            pretrain([dataset.path], out=tmp_path / "model", **(values | wrong))
        assert not (work_dir(tmp_path / "model") / "corpus").exists()
    assert pretrain([dataset.path], out=tmp_path / "model", **values).model == "bert-1x32"


class KilledError(Exception):
    pass


def test_changed_settings_are_refused_until_they_are_forked(dataset, tmp_path):
    values = SMALL | {"model": "bert-1x32", "eval_steps": 1}

    def killed(record):
        if record["step"] == 20:
            raise KilledError

    with pytest.raises(KilledError):
        pretrain([dataset.path], out=tmp_path / "model", effects=Effects(watchers=(killed,)), **values)
    changed = values | {"mask_ratio": 0.4, "eval_steps": 3}
    with pytest.raises(ConfigError) as caught:
        pretrain([dataset.path], out=tmp_path / "model", **changed)
    assert caught.value.message.splitlines()[1:] == ["  eval_steps: 1 → 3", "  mask_ratio: 0.15 → 0.4"]
    forked = pretrain([dataset.path], out=tmp_path / "model", fork=True, **changed)
    assert weights(forked) == weights(pretrain([dataset.path], out=tmp_path / "fresh", **changed))
    assert "fork" not in forked.manifest.config


@pytest.mark.slow
def test_a_killed_run_ends_with_the_same_weights(dataset, tmp_path):
    values = {**SMALL, "model": "bert-1x32", "num_epochs": 4, "eval_steps": 10}
    script = f"from yanmo.verbs.pretrain import pretrain; pretrain([{str(dataset.path)!r}], out='killed', **{values!r})"
    process = subprocess.Popen([sys.executable, "-c", script], cwd=tmp_path)
    folder = work_dir(tmp_path / "killed")
    deadline = time.monotonic() + 60
    while not (folder / "metrics.jsonl").is_file() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    assert process.wait(10) == -signal.SIGKILL
    assert not (tmp_path / "killed").exists()
    resumed = pretrain([dataset.path], out=tmp_path / "killed", **values)
    straight = pretrain([dataset.path], out=tmp_path / "straight", **values)
    assert weights(resumed) == weights(straight)
    assert resumed.summary()["valid_loss"] == straight.summary()["valid_loss"]


def test_what_guesses_the_next_token_is_a_language_model_and_labels_texts(dataset, tmp_path):
    reader = pretrain([dataset.path], model="gpt-1x32", objective="clm", **SMALL, out=tmp_path / "reader")
    assert (reader.task, reader.model) == ("causal_lm", "gpt-1x32")
    assert reader.manifest.config["learning_rate"] == 2e-3
    exported = export(reader, out=tmp_path / "decoder")
    with open_writer(exported, num_threads=1) as writer:
        assert writer.write(["the"], max_new_tokens=3)[0][0].ids
    keys = {"num_epochs": 1, "num_threads": 1, "precision": "fp32"}
    labeler = train(dataset, init=reader, out=tmp_path / "labeler", **keys)
    assert labeler.manifest.parents["init"] == reader.digest
    assert labeler.task == dataset.task
    again = pretrain([dataset.path], model=str(reader.path), objective="clm", **SMALL, out=tmp_path / "again")
    losses = [one.manifest.info["summary"]["valid_loss"] for one in (reader, again)]
    assert losses[1] < losses[0]


@pytest.mark.parametrize(("model", "objective"), [("gpt-1x32", "mlm"), ("bert-1x32", "clm"), ("lstm-1x32", "clm")])
def test_an_objective_of_another_family_is_refused(dataset, tmp_path, model, objective):
    with pytest.raises(ConfigError, match="must be clm for gpt2 and gpt, and only there"):
        pretrain([dataset.path], model=model, objective=objective, out=tmp_path / "reader")


def test_an_encoder_guesses_no_next_token(dataset, tmp_path):
    encoder = pretrain([dataset.path], model="bert-1x32", **SMALL, out=tmp_path / "encoder")
    with pytest.raises(ModelError, match="sees the tokens that it is to guess"):
        pretrain([dataset.path], model=str(encoder.path), objective="clm", **SMALL, out=tmp_path / "none")
    with pytest.raises(ConfigError, match="'packing' parameter of pretrain must be documents"):
        pretrain([dataset.path], model="gpt-1x32", objective="clm", packing="rows", out=tmp_path / "none")
