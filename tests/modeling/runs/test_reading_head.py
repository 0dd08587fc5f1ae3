"""A checkpoint's new head for passages begins with a regression that already finds answers, and nothing else moves."""

import numpy as np
import polars as pl
import pytest
import torch
from families import make_checkpoint

from yanmo.answers.links import SOFTMAX
from yanmo.modeling.networks import heads
from yanmo.modeling.networks.trainable_networks import make_trainable
from yanmo.modeling.runs.network_training import HEADS
from yanmo.modeling.runs.reading_head import start_reading_head
from yanmo.modeling.settings import LabeledTexts, LoopSettings, NetworkSettings
from yanmo.models import resolve
from yanmo.tasks.span import SPAN
from yanmo.text.inputs import Inputs
from yanmo.text.pipeline import TextConfig, TextPipeline
from yanmo.training.job import measure_answers

SETTINGS = LoopSettings(
    learning_rate=1e-3, batch_size=8, num_epochs=1, weight_decay=0.0, early_stopping_patience=1, seed=1
)
WORDS = ["the", "fox", "is", "late", "my", "card", "value", "not"]


def questions(number):
    """The answer is the only digit of a passage; every fifth has none."""
    generator = np.random.default_rng(0)
    rows = []
    for row in range(number):
        words = [WORDS[one] for one in generator.integers(len(WORDS), size=8)]
        if row % 5:
            words[generator.integers(8)] = str(generator.integers(9))
        passage = " ".join(words)
        digit = next((one for one in words if one.isdigit()), None)
        answers = [] if digit is None else [{"start": passage.index(digit), "text": digit}]
        rows.append({"passage": passage, "question": "the value", "answers": answers})
    frame = pl.DataFrame(rows, schema_overrides={"answers": pl.List(pl.Struct({"start": pl.Int64, "text": pl.String}))})
    inputs = TextPipeline(TextConfig(units="tokens")).read(Inputs.of_frame(frame, SPAN.inputs))
    return LabeledTexts(inputs, SPAN.targets(frame, ["answer", "none"]))


@pytest.mark.parametrize("family", ["bert", "roberta"])
def test_the_head_finds_answers_before_the_first_step(family, tmp_path):
    make_checkpoint(family, tmp_path / "given", task="Model")
    texts = questions(80)
    network = NetworkSettings(["start", "end"], SOFTMAX, max_length=48, head="passages")
    trainable = make_trainable(resolve(str(tmp_path / "given")), texts.texts, network)
    assert trainable.has_new_head
    make_examples, make_objective = HEADS["passages"]
    examples = make_examples(trainable, network, texts, is_learned=True)
    objective = make_objective(network, examples.targets, texts, SETTINGS, measure)
    name, _ = heads.output_layer(trainable.module)
    before = {key: one.clone() for key, one in trainable.module.state_dict().items()}
    first = score(trainable, objective, examples)
    start_reading_head(trainable, examples, "fp32", settings=SETTINGS, measure=measure)
    assert score(trainable, objective, examples) > first + 0.1
    after = trainable.module.state_dict()
    assert all(torch.equal(one, after[key]) for key, one in before.items() if not key.startswith(f"{name}."))


def measure(evidence, targets):
    return measure_answers(SPAN, evidence, targets)


def score(trainable, objective, examples):
    trainable.module.eval()
    with torch.inference_mode():
        outputs = trainable.score(trainable.module, examples.features.collate(np.arange(len(examples))))
    return objective.measure(outputs.numpy(), examples.targets)["f1"]
