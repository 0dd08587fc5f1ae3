"""A new head begins with a regression on frozen features: it is a good one, and everything else stays as it was."""

import numpy as np
import pytest
import torch
from families import make_checkpoint

from yanmo.answers.choices import Choices
from yanmo.answers.links import SIGMOID, SOFTMAX
from yanmo.modeling.features.ragged import Examples
from yanmo.modeling.networks import heads
from yanmo.modeling.networks.trainable_networks import make_trainable
from yanmo.modeling.objectives.choices import Labels, TaughtLabels
from yanmo.modeling.runs.head_start import Probe, choose_pooling
from yanmo.modeling.settings import LabeledTexts, LoopSettings, NetworkSettings
from yanmo.models import resolve
from yanmo.tasks import get_task
from yanmo.text.inputs import Inputs
from yanmo.training.job import measure_answers

LABELS = ["card", "parcel", "rest"]
WORDS = {
    "card": ["my card", "charged twice", "refund"],
    "parcel": ["the parcel", "late", "delivery"],
    "rest": ["not bad", "the fox", "value"],
}
SETTINGS = LoopSettings(
    learning_rate=1e-3,
    batch_size=8,
    num_epochs=1,
    warmup_ratio=0.0,
    weight_decay=0.0,
    max_grad_norm=1.0,
    gradient_accumulation_steps=1,
    early_stopping_patience=1,
    seed=1,
)


def labeled(num_rows, seed, *, task="single_label"):
    generator = np.random.default_rng(seed)
    labels = [LABELS[place % 3] for place in range(num_rows)]
    texts = [" ".join(generator.permutation(WORDS[one])[:2]) + " " + str(generator.integers(9)) for one in labels]
    targets_NC = np.eye(3, dtype=np.float32)[np.arange(num_rows) % 3]
    if task == "multi_label":
        targets_NC[::4] = 1
    return LabeledTexts(Inputs((texts,)), targets_NC)


def network(link=SOFTMAX, **values):
    return NetworkSettings(LABELS, link, max_length=32, **values)


def probe_of(settings, *, task="single_label"):
    task = get_task(task)
    return Probe(settings, SETTINGS, lambda evidence, targets: measure_answers(task, evidence, targets))


def examples(trainable, texts):
    return Examples(trainable.encode(texts.texts), Labels(texts.targets))


@pytest.mark.parametrize("family", ["bert", "roberta", "distilbert", "gpt2", "t5"])
def test_the_head_answers_as_the_regression_it_begins_with(family, tmp_path):
    make_checkpoint(family, tmp_path / "given", task="Model")
    train, valid, settings = labeled(90, 1), labeled(30, 2), network()
    trainable = make_trainable(resolve(str(tmp_path / "given")), train.texts, settings)
    assert trainable.has_new_head
    name, _ = heads.output_layer(trainable.module)
    before = {key: one.clone() for key, one in trainable.module.state_dict().items()}
    scores = probe_of(settings).start_head(trainable, examples(trainable, train), examples(trainable, valid), "fp32")
    with torch.inference_mode():
        logits_NC = trainable.score(trainable.module.eval(), trainable.encode(valid.texts).collate(np.arange(30)))
    answers = Choices(logits_NC.numpy(), SOFTMAX).activate()
    found = probe_of(settings).measure(answers, valid.targets)
    assert found == pytest.approx(scores, abs=1e-4)
    assert found["accuracy"] > 0.8
    changed = [key for key, one in trainable.module.state_dict().items() if not torch.equal(one, before[key])]
    assert set(changed) <= {f"{name}.weight", f"{name}.bias"}
    assert f"{name}.weight" in changed


def test_several_labels_a_text_have_a_regression_each(tmp_path):
    make_checkpoint("bert", tmp_path / "given", task="Model")
    train, valid = labeled(90, 1, task="multi_label"), labeled(30, 2, task="multi_label")
    settings = network(SIGMOID)
    trainable = make_trainable(resolve(str(tmp_path / "given")), train.texts, settings)
    probe = probe_of(settings, task="multi_label")
    scores = probe.start_head(trainable, examples(trainable, train), examples(trainable, valid), "fp32")
    assert scores["micro_f1"] > 0.7


def test_rows_without_a_label_count_nothing_and_soft_targets_are_no_labels(tmp_path):
    make_checkpoint("bert", tmp_path / "given", task="Model")
    train, valid, settings = labeled(60, 1), labeled(30, 2), network()
    weights = []
    for kind in ("labels alone", "with a teacher and more texts"):
        trainable = make_trainable(resolve(str(tmp_path / "given")), train.texts, settings)
        learned = examples(trainable, train)
        if kind != "labels alone":
            more = trainable.encode(Inputs(([*train.texts.first, "unheard of", "so what"],)))
            targets_NC = np.concatenate([train.targets, np.zeros((2, 3), np.float32)])
            taught = TaughtLabels(targets_NC, np.arange(62) < 60, np.full((62, 3), 1 / 3, np.float32))
            learned = Examples(more, taught)
        probe_of(settings).start_head(trainable, learned, examples(trainable, valid), "fp32")
        weights.append(heads.output_layer(trainable.module)[1].weight.detach().numpy())
    np.testing.assert_allclose(weights[1], weights[0], rtol=0, atol=1e-3 * np.abs(weights[0]).max())


def test_the_way_of_pooling_that_answers_better_is_chosen(tmp_path):
    """In a network whose attention is off, the first token's state is the same for every text."""
    model = make_checkpoint("bert", tmp_path / "given", task="Model")
    with torch.no_grad():
        for layer in model.encoder.layer:
            layer.attention.output.dense.weight.zero_()
    model.save_pretrained(tmp_path / "given")
    chosen = choose_pooling(resolve(str(tmp_path / "given")), labeled(90, 1), labeled(30, 2), probe_of(network()))
    assert chosen.pooling == "mean"
