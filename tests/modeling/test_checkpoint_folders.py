"""Folders as they come: each is read right or refused with what is wrong, and nothing trains from noise unsaid."""

import json
import logging
import os
import re
import shutil

import pytest
import torch
from families import TEXTS, make_checkpoint
from safetensors.torch import load_file, save_file
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from yanmo.answers.links import SOFTMAX
from yanmo.artifacts.bundle import Bundle
from yanmo.cli import main
from yanmo.errors import ModelError
from yanmo.modeling.networks import encoders, heads
from yanmo.modeling.networks.trainable_networks import make_trainable
from yanmo.modeling.settings import NetworkSettings
from yanmo.models import resolve
from yanmo.runtimes.predictor import open_bundle
from yanmo.text.inputs import Inputs

LABELS = ["bad", "good", "other"]
WEIGHTS = "model.safetensors"


def make(folder, labels=LABELS, texts=TEXTS):
    settings = NetworkSettings(labels, SOFTMAX, max_length=32)
    return make_trainable(resolve(str(folder)), Inputs((texts,)), settings)


def logits_of(trainable):
    trainable.module.eval()
    with torch.inference_mode():
        rows = torch.arange(len(TEXTS)).numpy()
        return trainable.score(trainable.module, trainable.encode(Inputs((TEXTS,))).collate(rows))


def stock_logits(folder):
    model, tokenizer = (one.from_pretrained(folder) for one in (AutoModelForSequenceClassification, AutoTokenizer))
    with torch.inference_mode():
        return model.eval()(
            **tokenizer(TEXTS, padding=True, truncation=True, max_length=32, return_tensors="pt")
        ).logits


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A BERT, and what stock transformers answers with it."""
    folder = tmp_path_factory.mktemp("whole") / "bert"
    make_checkpoint("bert", folder, labels=LABELS)
    return folder, stock_logits(folder)


@pytest.fixture
def folder(whole, tmp_path):
    return shutil.copytree(whole[0], tmp_path / "mine")


def edit_weights(folder, change):
    changed = change(load_file(folder / WEIGHTS))
    save_file({name: one.contiguous() for name, one in changed.items()}, folder / WEIGHTS, metadata={"format": "pt"})


def edit_json(path, **changes):
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def prefix(folder, text, *, keeps_base=True):
    edit_weights(
        folder, lambda weights: {text + (k if keeps_base else k.removeprefix("bert.")): v for k, v in weights.items()}
    )


def rename_norms(folder):
    for new, old in (("LayerNorm.weight", "LayerNorm.gamma"), ("LayerNorm.bias", "LayerNorm.beta")):
        edit_weights(folder, lambda weights, new=new, old=old: {k.replace(new, old): v for k, v in weights.items()})


def reverse_labels(folder):
    edit_json(folder / "config.json", id2label=dict(enumerate(LABELS[::-1])))
    edit_weights(folder, lambda weights: {k: v.flip(0) if "classifier" in k else v for k, v in weights.items()})


def pickle_weights(folder):
    torch.save(load_file(folder / WEIGHTS), folder / "pytorch_model.bin")
    (folder / WEIGHTS).unlink()


def nest_pickled(folder):
    torch.save({"epoch": 3, "state_dict": load_file(folder / WEIGHTS)}, folder / "pytorch_model.bin")
    (folder / WEIGHTS).unlink()


def shard(folder):
    model = AutoModelForSequenceClassification.from_pretrained(folder)
    (folder / WEIGHTS).unlink()
    model.save_pretrained(folder, max_shard_size="20KB")


def layer_out(folder, name, *, is_listed):
    inner = folder / name
    inner.mkdir()
    for path in [path for path in folder.iterdir() if path.is_file()]:
        path.rename(inner / path.name)
    if is_listed:
        steps = [{"path": name, "type": "sentence_transformers.models.Transformer"}, {"path": "1_Pooling", "type": "x"}]
        (folder / "modules.json").write_text(json.dumps(steps))


def keep_vocabulary_only(folder):
    vocabulary = AutoTokenizer.from_pretrained(folder).get_vocab()
    (folder / "tokenizer.json").unlink()
    (folder / "vocab.txt").write_text("\n".join(sorted(vocabulary, key=vocabulary.get)))


def add_tokens(folder, *, resizes):
    model, tokenizer = (one.from_pretrained(folder) for one in (AutoModelForSequenceClassification, AutoTokenizer))
    tokenizer.add_tokens(["<name>", "<date>"])
    if resizes:
        model.resize_token_embeddings(len(tokenizer))
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


RIGHT = {
    "prefix auto_model.": lambda folder: prefix(folder, "auto_model."),
    "prefix 0.auto_model. before the encoder's own names": lambda folder: prefix(
        folder, "0.auto_model.", keeps_base=False
    ),
    "prefix module.": lambda folder: prefix(folder, "module."),
    "prefix _orig_mod.": lambda folder: prefix(folder, "_orig_mod."),
    "old names of norms": rename_norms,
    "old names of norms behind a prefix": lambda folder: (prefix(folder, "model."), rename_norms(folder)),
    "labels in another order": reverse_labels,
    "pickled weights": pickle_weights,
    "pickled weights beside other things": nest_pickled,
    "sharded": shard,
    "0_Transformer": lambda folder: layer_out(folder, "0_Transformer", is_listed=False),
    "another folder that modules.json lists": lambda folder: layer_out(folder, "0_Words", is_listed=True),
    "vocab.txt only": keep_vocabulary_only,
    "added tokens": lambda folder: add_tokens(folder, resizes=True),
}


@pytest.mark.parametrize("case", RIGHT)
def test_an_unusual_folder_answers_as_the_plain_one(case, folder, whole, caplog):
    RIGHT[case](folder)
    with caplog.at_level(logging.INFO):
        trainable = make(folder)
    torch.testing.assert_close(logits_of(trainable), whole[1], atol=1e-5, rtol=0)
    assert ("begin with" in caplog.text) == ("prefix" in case)
    assert ("in another order" in caplog.text) == ("another order" in case)


@pytest.mark.parametrize(("precision", "tolerance"), [("float16", 0.005), ("bfloat16", 0.03)])
def test_half_precision_weights_are_read_as_they_are(precision, tolerance, folder, whole):
    edit_weights(folder, lambda weights: {k: v.to(getattr(torch, precision)) for k, v in weights.items()})
    trainable = make(folder)
    assert {one.dtype for one in trainable.module.parameters()} == {torch.float32}
    torch.testing.assert_close(logits_of(trainable), whole[1], atol=tolerance, rtol=0)


def test_a_slow_tokenizer_is_turned_into_a_fast_one(tmp_path):
    import sentencepiece

    make_checkpoint("t5", tmp_path, labels=LABELS)
    (tmp_path / "tokenizer.json").unlink()
    corpus = tmp_path / "corpus.txt"
    corpus.write_text("\n".join(TEXTS * 20))
    sentencepiece.SentencePieceTrainer.train(
        input=str(corpus), model_prefix=str(tmp_path / "spiece"), vocab_size=90, pad_id=0, eos_id=1, unk_id=2, bos_id=-1
    )
    torch.testing.assert_close(logits_of(make(tmp_path)), stock_logits(tmp_path), atol=1e-5, rtol=0)


class Bomb:
    def __reduce__(self):
        return os.mkdir, (os.environ["BOMB"],)


def truncate(path, share=0.5):
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])


def make_pointer(path):
    path.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:" + "a" * 64 + "\nsize 90868376\n")


def drop_shard(folder):
    shard(folder)
    sorted(folder.glob("model-*"))[1].unlink()


def plant_bomb(folder):
    torch.save({"weight": torch.ones(1), "bomb": Bomb()}, folder / "pytorch_model.bin")
    (folder / WEIGHTS).unlink()


def drop_layer(folder):
    edit_weights(folder, lambda weights: {k: v for k, v in weights.items() if "layer.1." not in k})


def shrink_tokenizer(folder):
    state = json.loads((folder / "tokenizer.json").read_text())
    state["model"]["vocab"] = dict(list(state["model"]["vocab"].items())[:40])
    (folder / "tokenizer.json").write_text(json.dumps(state))


def drop_tokenizer(folder):
    for path in folder.glob("tokenizer*"):
        path.unlink()


def leave_adapter(folder):
    for path in folder.iterdir():
        path.unlink()
    (folder / "adapter_config.json").write_text("{}")


REFUSED = {
    "half of the layers": (drop_layer, "do not fit its config.json: bert.encoder.layer.1.*is missing"),
    "another intermediate size": (
        lambda folder: edit_json(folder / "config.json", intermediate_size=48),
        r"has the shape \(64,\) for \(48,\)",
    ),
    "more layers than the config says": (
        lambda folder: edit_json(folder / "config.json", num_hidden_layers=1),
        "bert.encoder.layer.1.*has no place",
    ),
    "another vocabulary size": (lambda folder: edit_json(folder / "config.json", vocab_size=300), "has the shape"),
    "no tokenizer": (drop_tokenizer, "has no tokenizer: none of tokenizer.json"),
    "tokenizer.json missing": (lambda folder: (folder / "tokenizer.json").unlink(), "has no tokenizer"),
    "a tokenizer that is too small": (shrink_tokenizer, r"has 40 tokens, but its network has \d+ embeddings"),
    "a tokenizer larger than the embedding": (
        lambda folder: add_tokens(folder, resizes=False),
        r"'<date>' has the number \d+, but there are \d+ embeddings",
    ),
    "a damaged tokenizer": (lambda folder: truncate(folder / "tokenizer.json"), "cannot be opened"),
    "weights as a pointer": (lambda folder: make_pointer(folder / WEIGHTS), f"{WEIGHTS} is a Git LFS pointer"),
    "a tokenizer as a pointer": (
        lambda folder: make_pointer(folder / "tokenizer.json"),
        "tokenizer.json is a Git LFS pointer",
    ),
    "a config as a pointer": (lambda folder: make_pointer(folder / "config.json"), "config.json is a Git LFS pointer"),
    "truncated weights": (lambda folder: truncate(folder / WEIGHTS), "is damaged or was not copied to its end"),
    "empty weights": (lambda folder: truncate(folder / WEIGHTS, 0), "is damaged or was not copied to its end"),
    "truncated pickled weights": (
        lambda folder: (pickle_weights(folder), truncate(folder / "pytorch_model.bin")),
        "pickled weights of .* cannot be read",
    ),
    "code in pickled weights": (plant_bomb, "holds code besides tensors, which is not run"),
    "a missing shard": (drop_shard, "model-00002-of.*is missing, which model.safetensors.index.json names"),
    "a damaged index": (
        lambda folder: (shard(folder), truncate(folder / f"{WEIGHTS}.index.json")),
        "index.json is damaged",
    ),
    "a damaged config": (lambda folder: truncate(folder / "config.json"), "cannot be opened"),
    "an adapter": (leave_adapter, "holds an adapter"),
    "another library's weights": (
        lambda folder: (folder / WEIGHTS).rename(folder / "tf_model.h5"),
        "has no model.safetensors, only tf_model.h5",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_broken_folder_is_refused_with_what_is_wrong(case, folder, tmp_path, monkeypatch):
    monkeypatch.setenv("BOMB", str(tmp_path / "went off"))
    break_it, message = REFUSED[case]
    break_it(folder)
    with pytest.raises(ModelError, match=message) as caught:
        make(folder)
    assert caught.value.hint
    assert not (tmp_path / "went off").exists()


def test_texts_that_a_tokenizer_does_not_know_are_refused(folder):
    with pytest.raises(ModelError, match="does not know .* of the tokens of the training texts"):
        make(folder, texts=["Ελληνικά κείμενα", "και άλλα"])


def test_a_head_is_kept_by_the_names_of_its_labels(folder, caplog):
    rows_CD = load_file(folder / WEIGHTS)["classifier.weight"]
    with caplog.at_level(logging.INFO):
        layer = make(folder, labels=["other", "new", "bad"]).module.classifier
    assert torch.equal(layer.weight[[0, 2]], rows_CD[[2, 0]])
    assert not torch.isclose(layer.weight[1], rows_CD).all(dim=1).any()
    assert "keeps 2 labels of equal name; new are: new." in caplog.text


@pytest.mark.parametrize("family", ["distilbert", "roberta", "gpt2", "t5", "xlnet", "modernbert"])
def test_the_rows_of_any_family_s_head_follow_their_labels(family, tmp_path):
    make_checkpoint(family, tmp_path, labels=LABELS)
    straight, turned = (encoders.load(tmp_path, labels=labels, link=SOFTMAX) for labels in (LABELS, LABELS[::-1]))
    rows, turned_rows = (heads.output_layer(one)[1].weight for one in (straight, turned))
    assert torch.equal(rows.flip(0), turned_rows)


def test_labels_without_names_do_not_keep_a_head_by_place(tmp_path, caplog):
    make_checkpoint("bert", tmp_path)
    rows_CD = load_file(tmp_path / WEIGHTS)["classifier.weight"]
    with caplog.at_level(logging.WARNING):
        layer = make(tmp_path, labels=["bad", "good"]).module.classifier
    assert not torch.isclose(layer.weight, rows_CD).all(dim=1).any()
    assert "have no names of their own (such as LABEL_0)" in caplog.text
    assert "yanmo adopt" in caplog.text


def test_labels_with_a_gap_keep_their_rows(folder):
    edit_json(folder / "config.json", id2label={"0": "bad", "2": "other"}, label2id={"bad": 0, "other": 2})
    rows_CD = load_file(folder / WEIGHTS)["classifier.weight"]
    layer = make(folder, labels=["other", "bad"]).module.classifier
    assert torch.equal(layer.weight, rows_CD[[2, 0]])


@pytest.mark.parametrize(
    "case", ["half of the layers", "weights as a pointer", "a tokenizer larger than the embedding"]
)
def test_a_start_that_failed_leaves_nothing_behind(case, folder, tmp_path, make_words, capsys):
    data = make_words(tmp_path / "data", ["fruit", "tool"])
    REFUSED[case][0](folder)
    assert main(["train", str(data.path), "--model", str(folder), "--out", str(tmp_path / "made")]) == 2
    assert "hint: " in capsys.readouterr().err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["data", "mine"]


def halve(folder, precision):
    edit_weights(folder, lambda weights: {k: v.to(precision) for k, v in weights.items()})


ADOPTED = {
    **{name: RIGHT[name] for name in ("prefix module.", "sharded", "0_Transformer", "vocab.txt only", "added tokens")},
    "16 bits": lambda folder: halve(folder, torch.float16),
    "16 bits with a long exponent": lambda folder: halve(folder, torch.bfloat16),
}


@pytest.mark.parametrize("case", ADOPTED)
def test_an_unusual_folder_is_adopted_as_it_answers(case, folder, whole, tmp_path):
    ADOPTED[case](folder)
    assert main(["adopt", str(folder), "--max-length", "32", "--out", str(tmp_path / "bundle")]) == 0
    with open_bundle(Bundle.open(tmp_path / "bundle")) as predictor:
        ours_NC = predictor.predict_proba(TEXTS)
    tolerance = 0.03 if "16 bits" in case else 1e-5
    torch.testing.assert_close(torch.from_numpy(ours_NC), whole[1].softmax(dim=1), atol=tolerance, rtol=0)


def test_labels_with_a_gap_are_adopted_with_a_name_for_it(folder, tmp_path):
    edit_json(folder / "config.json", id2label={"0": "bad", "2": "other"}, label2id={"bad": 0, "other": 2})
    assert main(["adopt", str(folder), "--out", str(tmp_path / "bundle")]) == 0
    assert Bundle.open(tmp_path / "bundle").labels == ["bad", "LABEL_1", "other"]


# Pickled weights are read by a process of its own, which takes long to begin, and by nothing else here.
@pytest.mark.parametrize("case", [case for case in REFUSED if "pickled" not in case])
def test_a_broken_folder_is_not_adopted(case, folder, tmp_path, capsys):
    break_it, message = REFUSED[case]
    break_it(folder)
    assert main(["adopt", str(folder), "--out", str(tmp_path / "bundle")]) == 2
    said = " ".join(capsys.readouterr().err.split())
    assert re.search(message, said)
    assert "hint: " in said
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]
