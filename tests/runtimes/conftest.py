"""Tiny Bundles of every format and kind of model, with random weights."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from safetensors.numpy import save
from tokenizers import processors
from transformers import (
    AutoModelForSequenceClassification,
    GPT2Config,
    PreTrainedTokenizerFast,
    T5Config,
)

from yanmo.answers.choices import Choices
from yanmo.artifacts.base import Identity, Manifest, publish
from yanmo.artifacts.bundle import Bundle, write_golden
from yanmo.artifacts.dataset import Dataset
from yanmo.combine.cascading import NEVER
from yanmo.composing.composites import member_names, publish_composite
from yanmo.modeling.networks.trainable_networks import make_trainable
from yanmo.modeling.runs.linear_model import fit_linear
from yanmo.modeling.settings import LabeledTexts, NetworkSettings
from yanmo.models import resolve
from yanmo.runtimes.composite import LINEAR_STACKER, CascadeSettings, EnsembleSettings
from yanmo.runtimes.predictor import open_bundle
from yanmo.tasks import get_task
from yanmo.text.inputs import Inputs
from yanmo.text.pipeline import TextConfig
from yanmo.text.tokenizer import train_wordpiece
from yanmo.verbs.export import ExportConfig, export

TEXTS = [
    "很快，好吃",
    "送得太慢了，菜都凉了",
    "味道不错，下次还来",
    "great food, fast delivery",
    "cold & late :( never again",
    "It was okay, not great",
    "好",
    "a much longer review that goes on about the food, the rider, the weather and the price 价格 不贵",
]
LABELS = ["0", "1", "2"]
MAX_LENGTH = 24
DEVIATIONS = {"encoder": 0.2, "textcnn": 0.1, "bilstm": 0.5, "ngram": 0.5}
NO_SEGMENTER = TextConfig()


@dataclasses.dataclass(frozen=True)
class Case:
    """A row of the table of Bundles."""

    model: str
    task: str = "single_label"
    text: TextConfig = NO_SEGMENTER


CASES = {
    "ngram": Case("ngram"),
    "ngram_pair": Case("ngram", task="text_pair"),
    "linear": Case("linear"),
    "linear_multi_label": Case("linear", task="multi_label"),
    "textcnn": Case("textcnn"),
    "textcnn_segmented": Case("textcnn", text=TextConfig(segmenter="rjieba")),
    "bilstm_multi_label": Case("bilstm", task="multi_label"),
    "bert": Case("bert-2x32"),
    "bert_pair": Case("bert-2x32", task="text_pair"),
    "roberta": Case("roberta-1x32"),
    "albert_pair": Case("albert-2x32", task="text_pair"),
    "electra": Case("electra-1x32"),
    "gpt2": Case("gpt2"),
    "t5": Case("t5"),
}
LIGHT = [name for name, case in CASES.items() if case.model in ("ngram", "linear")]
TORCH = [name for name in CASES if name not in LIGHT]
COMPOSITES = {
    "ensemble": ("average", ["ngram", "linear", "textcnn_onnx"]),
    "ensemble_vote_multi_label": ("vote", ["linear_multi_label", "bilstm_multi_label_onnx", "linear_multi_label"]),
    "ensemble_pair": ("weighted", ["ngram_pair", "bert_pair_onnx"]),
    "ensemble_stacked": ("stacking", ["linear", "ngram"]),
    "cascade": ("cascade", ["ngram", "linear"]),
    "cascade_pair_abstaining": ("cascade", ["ngram_pair", "ngram_pair", "albert_pair_onnx"]),
    "cascade_to_ensemble": ("cascade", ["linear", "ensemble"]),
    "ensemble_of_composites": ("average", ["cascade", "ensemble_stacked"]),
}
ALL = [*CASES, *(f"{name}_onnx" for name in TORCH), *COMPOSITES]


def _checkpoint(folder, family):
    """Write a tiny checkpoint as other tools write it, with its own tokenizer."""
    tokenizer = train_wordpiece(TEXTS, 200, min_frequency=1)
    sizes = {"vocab_size": tokenizer.get_vocab_size(), "eos_token_id": 3, "num_labels": 3}
    if family == "gpt2":
        tokenizer.post_processor = None
        specials = {"unk_token": "[UNK]", "eos_token": "[SEP]"}
        config = GPT2Config(n_embd=32, n_layer=2, n_head=2, n_positions=32, bos_token_id=3, **sizes)
    else:
        template = {"single": "$A [SEP]", "pair": "$A [SEP] $B:1 [SEP]:1"}
        tokenizer.post_processor = processors.TemplateProcessing(**template, special_tokens=[("[SEP]", 3)])
        specials = {"unk_token": "[UNK]", "eos_token": "[SEP]", "pad_token": "[PAD]"}
        dims = {"d_model": 32, "d_kv": 16, "d_ff": 64, "num_layers": 2, "num_heads": 2}
        config = T5Config(**dims, pad_token_id=0, decoder_start_token_id=0, **sizes)
    AutoModelForSequenceClassification.from_config(config).save_pretrained(folder)
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, **specials).save_pretrained(folder)
    return str(folder)


def _trained(case, folder):
    """Return what saves the model, its architecture and its maximum length."""
    task = get_task(case.task)
    is_segmented = case.text.segmenter != "none"
    texts = Inputs((TEXTS, TEXTS[::-1])[: len(task.inputs)], is_segmented)
    settings = NetworkSettings(LABELS, task.link, max_length=MAX_LENGTH, vocab_size=200, dropout=0.1)
    torch.manual_seed(1)
    if case.model == "linear":
        targets_NC = np.eye(3, dtype=np.float32)[np.arange(len(TEXTS)) % 3]
        return fit_linear(LabeledTexts(texts, targets_NC), settings).save, {"family": "linear"}, 0
    spec = resolve(_checkpoint(folder, case.model) if case.model in ("gpt2", "t5") else case.model)
    trainable = make_trainable(spec, texts, settings)
    _speak_up(trainable.module, DEVIATIONS[trainable.architecture["family"]])
    return trainable.save, trainable.architecture, trainable.max_length


def _speak_up(module, deviation):
    """Make random weights larger, so that attention is not flat and texts get clearly different answers."""
    with torch.no_grad():
        for parameter in module.parameters():
            if parameter.ndim > 1:
                parameter.mul_(deviation / parameter.std())


def make_bundle(case, folder):
    """Publish a Bundle with random weights and true golden examples."""
    save, architecture, max_length = _trained(case, folder / "checkpoint")
    info = {
        "format": case.model if case.model in ("ngram", "linear") else "torch",
        "model": case.model,
        "max_length": max_length,
        "architecture": architecture,
        "text": case.text.model_dump(mode="json"),
    }
    task = get_task(case.task)
    inputs = Inputs((TEXTS, TEXTS[::-1])[: len(task.inputs)])
    zeros = Choices(np.zeros((len(TEXTS), 3), dtype=np.float32), task.link)
    identity = {"kind": "bundle", "verb": "train", "task": case.task, "labels": LABELS, "parents": {}, "config": {}}
    with publish(folder / "draft", Identity(**identity, info=info)) as staging:
        save(staging)
        write_golden(staging, task.inputs, inputs, zeros)
    draft = Bundle.open(folder / "draft")
    with publish(folder / "bundle", Identity(**identity, info=info)) as staging:
        save(staging)
        predictor = open_bundle(draft, verify_golden=False)
        write_golden(staging, task.inputs, inputs, predictor.infer(draft.golden().inputs)[0])
    return Bundle.open(folder / "bundle")


def make_composite(name, members, folder):
    """Publish a composite with the labels the other way round, and settings as the verbs write them."""
    method, _ = COMPOSITES[name]
    labels, task = LABELS[::-1], members[0].task
    identity = {"kind": "dataset", "task": task, "labels": labels, "parents": {}, "config": {}, "versions": {}}
    dataset = Dataset(folder, Manifest(**identity, key="", files={}), "d" * 64)
    columns = [[member.labels.index(label) for label in labels] for member in members]
    names, weights, stacker, files = member_names(members), None, None, {}
    if method == "cascade":
        abstain = 0.9 if name.endswith("abstaining") else None
        settings = CascadeSettings(names, columns, [0.52, NEVER][: len(members) - 1], abstain, [1.0, 2.0, 3.0], {}, [])
    else:
        if method == "weighted":
            weights = [0.75, 0.25]
        if method == "stacking":
            tensors = {
                "coefficients": np.stack([np.eye(3, dtype=np.float32)] * 2),
                "intercepts": np.zeros(3, np.float32),
            }
            stacker, files = "logistic", {LINEAR_STACKER: save(tensors)}
        settings = EnsembleSettings(method, names, columns, weights, stacker)
    more = {"verb": "ensemble", "model": method, "config": {}, "seed": None, "scores": {}}
    publish_composite(folder / "bundle", members, settings, dataset, extra_files=files, **more)
    return Bundle.open(folder / "bundle")


@pytest.fixture(scope="session")
def get_bundle(tmp_path_factory):
    """Return a Bundle of the table by its name; ``<name>_onnx`` is its export. Each is made once."""
    made = {}

    def get(name):
        if name not in made:
            folder = tmp_path_factory.mktemp(name)
            if name in COMPOSITES:
                made[name] = make_composite(name, [get(member) for member in COMPOSITES[name][1]], folder)
            elif name.endswith("_onnx"):
                made[name] = export.function(get(name.removesuffix("_onnx")), ExportConfig(), out=folder / "bundle")
            else:
                made[name] = make_bundle(CASES[name], folder)
        return made[name]

    return get


@pytest.fixture(params=ALL)
def bundle(request, get_bundle):
    """Every Bundle of the table."""
    return get_bundle(request.param)


@pytest.fixture(scope="session")
def predictors(get_bundle):
    """Return the Predictor of a Bundle by the Bundle's path; each is opened once."""
    opened = {}

    def get(bundle):
        if bundle.path not in opened:
            opened[bundle.path] = open_bundle(bundle)
        return opened[bundle.path]

    return get


@pytest.fixture
def predictor(bundle, predictors):
    return predictors(bundle)
