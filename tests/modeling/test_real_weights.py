"""A real checkpoint, all-MiniLM-L6-v2: it is read whole, taken in as stock transformers answers, and carried back."""

import csv
import shutil

import numpy as np
import pytest
import torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer, pipeline

from yanmo.answers.links import SOFTMAX
from yanmo.errors import ModelError
from yanmo.modeling.networks.trainable_networks import make_trainable
from yanmo.modeling.settings import NetworkSettings
from yanmo.models import resolve
from yanmo.runtimes.predictor import open_bundle
from yanmo.text.inputs import Inputs
from yanmo.verbs.adopt import adopt
from yanmo.verbs.export import export

pytestmark = pytest.mark.real_weights

LABELS = ["delivery", "payment", "praise"]
CHINESE = ["很快就到了，味道不错，下次再来", "等了一个小时，饭都凉了", "太慢了，客服没有回复"] * 10


@pytest.fixture(scope="module")
def messages(project_root):
    """English messages of the embedded data."""
    with (project_root / "examples" / "messages" / "messages.csv").open(encoding="utf-8") as file:
        return [row["text"] for row in csv.DictReader(file) if row["text"].isascii()]


@pytest.fixture(scope="module")
def classifier(minilm, tmp_path_factory):
    """A stock classifier with the encoder of the checkpoint and a head of its own, as others would save it."""
    folder = tmp_path_factory.mktemp("real") / "classifier"
    torch.manual_seed(0)
    names = {"id2label": dict(enumerate(LABELS)), "label2id": {label: place for place, label in enumerate(LABELS)}}
    model = AutoModelForSequenceClassification.from_pretrained(minilm, num_labels=len(LABELS), **names)
    with torch.no_grad():
        model.classifier.weight.normal_(std=0.3)
    model.save_pretrained(folder)
    AutoTokenizer.from_pretrained(minilm).save_pretrained(folder)
    return folder


def stock_probabilities(folder, texts, **options):
    ask = pipeline("text-classification", model=str(folder), top_k=None, truncation=True, **options)
    rows = [{one["label"]: one["score"] for one in found} for found in ask(texts)]
    return np.array([[row[label] for label in LABELS] for row in rows], dtype=np.float32)


def test_every_weight_of_the_encoder_is_read(minilm, messages):
    settings = NetworkSettings(LABELS, SOFTMAX, max_length=64)
    trainable = make_trainable(resolve(str(minilm)), Inputs((messages,)), settings)
    from safetensors.torch import load_file

    ours = {name.removeprefix("bert."): one for name, one in trainable.module.state_dict().items()}
    theirs = {name: one for name, one in load_file(minilm / "model.safetensors").items() if "pooler" not in name}
    assert all(torch.equal(ours[name], one) for name, one in theirs.items() if "position_ids" not in name)


def test_texts_of_another_language_are_refused(minilm):
    with pytest.raises(ModelError, match="does not know .* of the tokens of the training texts"):
        make_trainable(resolve(str(minilm)), Inputs((CHINESE,)), NetworkSettings(LABELS, SOFTMAX, max_length=64))


def test_an_encoder_without_a_head_is_not_adopted(minilm, tmp_path):
    with pytest.raises(ModelError, match="is no whole classifier") as caught:
        adopt(minilm, out=tmp_path / "bundle")
    assert "yanmo train DATASET --model" in caught.value.hint


@pytest.mark.timeout(600)
def test_a_classifier_answers_as_the_stock_pipeline_there_and_back(classifier, messages, tmp_path):
    texts = [*messages[:24], " ".join(messages[:60])]
    bundle = adopt(classifier, max_length=32, out=tmp_path / "bundle")
    expected_NC = stock_probabilities(classifier, texts, max_length=32)
    for one in (bundle, export(bundle, out=tmp_path / "graph")):
        with open_bundle(one) as predictor:
            np.testing.assert_allclose(predictor.predict_proba(texts), expected_NC, atol=1e-5)
    plain = export(bundle, to="transformers", out=tmp_path / "plain")
    np.testing.assert_allclose(stock_probabilities(plain.path, texts), expected_NC, atol=1e-5)


def test_half_of_its_layers_are_refused(minilm, messages, tmp_path):
    from safetensors.torch import load_file, save_file

    folder = shutil.copytree(minilm, tmp_path / "half")
    weights = load_file(folder / "model.safetensors")
    kept = {name: one for name, one in weights.items() if not any(f"layer.{place}." in name for place in (3, 4, 5))}
    save_file(kept, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ModelError, match=r"bert\.encoder\.layer\.3\..* is missing"):
        make_trainable(resolve(str(folder)), Inputs((messages,)), NetworkSettings(LABELS, SOFTMAX, max_length=64))
