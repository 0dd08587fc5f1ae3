"""The window model learns tags, from some units or from a teacher, and what it saves is what its runtime answers."""

import json
from types import SimpleNamespace

import numpy as np
import pytest
from safetensors.numpy import load_file

from yanmo.answers.choices import Choices
from yanmo.answers.links import SOFTMAX
from yanmo.answers.tags import TagScheme
from yanmo.arrays import Ragged
from yanmo.artifacts.effects import NO_EFFECTS
from yanmo.errors import InternalError
from yanmo.modeling.settings import LabeledTexts, LoopSettings, NetworkSettings, Teaching
from yanmo.modeling.structured import window_training
from yanmo.modeling.structured.window_training import Lesson, train_window
from yanmo.runtimes.window import WindowRuntime
from yanmo.tasks import get_task
from yanmo.text.inputs import Inputs
from yanmo.text.lexicon import Lexicon
from yanmo.text.pipeline import TextConfig, TextPipeline
from yanmo.text.window_features import WindowConfig

LABELS = ["B", "E", "M", "S"]
WORDS = ["上海", "体育局", "在", "北京", "的", "奥运", "会议", "上", "海", "天安门"]


def segmented(num_texts, seed=0, rule="characters"):
    """Return texts of random words with the tags of their characters."""
    random = np.random.default_rng(seed)
    rows = [random.choice(WORDS, size=random.integers(1, 8)).tolist() for _ in range(num_texts)]
    tags = [
        tag for words in rows for word in words for tag in ("S" if len(word) == 1 else f"B{'M' * (len(word) - 2)}E")
    ]
    inputs = TextPipeline(TextConfig(units=rule)).read(Inputs((["".join(words) for words in rows],)))
    return LabeledTexts(inputs, Ragged(np.array([LABELS.index(tag) for tag in tags]), inputs.units.places.offsets))


def settings(**changes):
    values = {
        "learning_rate": 0.1,
        "batch_size": 8,
        "num_epochs": 3,
        "warmup_ratio": 0.0,
        "weight_decay": 0.0,
        "max_grad_norm": 1.0,
        "gradient_accumulation_steps": 1,
        "early_stopping_patience": 3,
        "seed": 0,
        "metric": "accuracy",
    }
    return LoopSettings(**{**values, **changes})


def accuracy(evidence, targets):
    known = targets.values >= 0
    return {"accuracy": float((evidence.values_MC.argmax(axis=1) == targets.values)[known].mean())}


def learn(train, *, config=None, lexicon=None, tell=NO_EFFECTS.tell, teaching=None, **changes):
    return train_window(
        train,
        segmented(40, seed=1),
        network=NetworkSettings(LABELS, SOFTMAX, teaching=teaching),
        loop=settings(**changes),
        config=config,
        measure=accuracy,
        lexicon=lexicon,
        tell=tell,
    )


def opened(trained, folder):
    folder.mkdir(exist_ok=True)
    trained.save(folder)
    return WindowRuntime(SimpleNamespace(path=folder, labels=LABELS), SOFTMAX, LABELS)


@pytest.fixture(scope="module")
def train():
    return segmented(120)


def test_it_learns_words_and_its_loss_falls(train):
    records = []
    trained = learn(train, tell=records.append)
    assert trained.scores["accuracy"] > 0.97
    losses = [record["train_loss"] for record in records]
    assert losses == sorted(losses, reverse=True)
    assert records[0]["valid_accuracy"] <= trained.scores["accuracy"] + 0.01


def test_the_runtime_answers_what_was_measured(train, tmp_path):
    trained, valid = learn(train), segmented(40, seed=1)
    runtime = opened(trained, tmp_path / "bundle")
    evidence = runtime.infer(valid.texts).scores.activate()
    assert accuracy(evidence, valid.targets) == trained.scores
    assert (tmp_path / "bundle" / "metrics.jsonl").read_text().count("\n") == 3


def test_the_table_has_8_bits_and_holds_frequent_features_with_weights_alone(train, tmp_path):
    learn(train, config=WindowConfig(units="characters", bits=12)).save(tmp_path)
    tensors = load_file(tmp_path / "model.safetensors")
    assert tensors["weights"].dtype == np.int8
    assert np.abs(tensors["weights"]).max() == 127
    assert (tensors["weights"] != 0).any(axis=1).all()
    assert len(tensors["weights"]) == np.unpackbits(tensors["kept"]).sum()
    assert len(tensors["kept"]) == 2**12 // 8
    assert json.loads((tmp_path / "window.json").read_text())["bits"] == 12


def test_features_with_the_smallest_weights_are_left_out_first(train, tmp_path):
    learn(train).save(tmp_path)
    whole = load_file(tmp_path / "model.safetensors")["weights"]
    learn(train, config=WindowConfig(units="characters", max_rows=100)).save(tmp_path)
    few = load_file(tmp_path / "model.safetensors")["weights"]
    assert len(few) == 100 < len(whole)
    largest = np.sort(np.abs(whole.astype(int)).max(axis=1))
    assert np.abs(few.astype(int)).max(axis=1).min() >= largest[-100]


def test_a_seed_gives_the_same_bytes(train, tmp_path):
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        (tmp_path / name).mkdir()
        learn(train, seed=seed).save(tmp_path / name)
    read = {name: (tmp_path / name / "model.safetensors").read_bytes() for name in "abc"}
    assert read["a"] == read["b"] != read["c"]


def test_units_without_a_label_are_left_out(train):
    random = np.random.default_rng(0)
    values_U = np.where(random.random(len(train.targets.values)) < 0.5, train.targets.values, -1)
    assert learn(LabeledTexts(train.texts, Ragged(values_U, train.targets.offsets))).scores["accuracy"] > 0.95
    nothing = Ragged(np.full_like(values_U, -1), train.targets.offsets)
    records = []
    learn(LabeledTexts(train.texts, nothing), tell=records.append, num_epochs=1)
    assert records[0]["train_loss"] == pytest.approx(0, abs=1e-4)


def test_a_slope_is_that_of_the_loss():
    random = np.random.default_rng(0)
    scores_UC = random.normal(size=(9, 4)).astype(np.float32)
    offsets = np.array([0, 4, 4, 9])
    truth_U = np.array([0, 1, -1, -1, 3, -1, 2, 1, 0])
    chain = window_training._legal_chain(TagScheme.of(LABELS))
    steps = window_training.Steps.of(offsets)

    def loss(scores):
        wanted = window_training._wanted(scores, Lesson(truth_U), offsets, steps, chain)
        return window_training.sum_paths(scores, steps, chain).log_total - wanted.log_total

    slopes_UC = window_training.sum_paths(scores_UC, steps, chain).marginals_UC
    slopes_UC = slopes_UC - window_training._wanted(scores_UC, Lesson(truth_U), offsets, steps, chain).marginals_UC
    for unit, label in ((0, 0), (2, 1), (3, 3), (5, 2), (8, 1)):
        moved = scores_UC.copy()
        moved[unit, label] += 0.05
        expected = (loss(moved) - loss(scores_UC)) / 0.05
        assert slopes_UC[unit, label] == pytest.approx(expected, abs=0.02)


def test_entities_are_learned_though_features_are_left_out(train):
    # Words of several characters are entities, those of one are outside.
    of_tag = np.array([{"B": 0, "M": 1, "E": 1, "S": 2}[tag] for tag in LABELS])
    some, held = (
        LabeledTexts(one.texts, Ragged(of_tag[one.targets.values], one.targets.offsets))
        for one in (train, segmented(40, seed=1))
    )
    trained = train_window(
        some,
        held,
        network=NetworkSettings(["B-X", "I-X", "O"], SOFTMAX),
        loop=settings(),
        measure=accuracy,
    )
    assert trained.scores["accuracy"] > 0.97
    assert trained.architecture["units"] == "entity_characters"


def test_a_teacher_stands_for_labels(train):
    nothing = Ragged(np.full_like(train.targets.values, -1), train.targets.offsets)
    soft_UC = np.full((len(nothing.values), 4), 0.02, dtype=np.float32)
    soft_UC[np.arange(len(soft_UC)), train.targets.values] = 0.94
    taught = LabeledTexts(train.texts, nothing, soft=Choices(soft_UC, SOFTMAX), num_labeled=0)
    trained = learn(taught, teaching=Teaching(alpha=0.5, temperature=1.0))
    assert trained.scores["accuracy"] > 0.95


def test_a_word_list_helps_with_words_that_training_lacks(train, tmp_path):
    config = WindowConfig(units="characters", has_lexicon=True)
    words = TextPipeline(TextConfig(units="characters")).read(Inputs(([*WORDS, "太阳能", "星球"],))).units
    runtime = opened(learn(train, config=config, lexicon=Lexicon.of(words, "characters")), tmp_path / "with")
    unseen = TextPipeline(TextConfig(units="characters")).read(Inputs((["太阳能在星球"],)))
    path = runtime.infer(unseen).scores.values_MC.argmax(axis=1)
    assert [LABELS[tag] for tag in path] == ["B", "M", "E", "S", "B", "E"]


def test_texts_without_units_are_refused(train):
    whole = LabeledTexts(Inputs((["上海"],)), train.targets)
    with pytest.raises(InternalError, match="units"):
        learn(whole)
    with pytest.raises(InternalError, match="other targets"):
        learn(LabeledTexts(train.texts, np.eye(4)))


def test_the_task_takes_its_evidence(train, tmp_path):
    runtime = opened(learn(train), tmp_path / "bundle")
    texts = TextPipeline(TextConfig(units="characters")).read(Inputs((["上海 体育局", ""],)))
    decided = get_task("token_labels").of(LABELS).decide(runtime.infer(texts).scores.activate(), LABELS)
    assert [[(one.start, one.end) for one in spans] for spans in decided.predictions] == [[(0, 2), (3, 6)], []]
