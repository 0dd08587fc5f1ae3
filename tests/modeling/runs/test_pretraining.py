"""Pre-training in the loop: parts of a batch make its step, records are exact after a resume and count steps only."""

import dataclasses
import json
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from yanmo.artifacts.effects import NO_EFFECTS
from yanmo.modeling.arithmetic.determinism import repeatable
from yanmo.modeling.features.corpus import open_corpus, split_corpus
from yanmo.modeling.loop import training_loop
from yanmo.modeling.loop.training_loop import METRICS
from yanmo.modeling.objectives.masked_tokens import MaskedTokens
from yanmo.modeling.runs import pretraining
from yanmo.modeling.runs.pretraining import pretrain_network
from yanmo.modeling.settings import LoopSettings, ReadingSettings
from yanmo.models import resolve

MODELS = {"mlm": "bert-1x32", "rtd": "electra-1x32"}
READING = ReadingSettings(
    objective="mlm",
    max_length=16,
    packing="documents",
    vocab_size=120,
    mask_ratio=0.3,
    keeps_some=True,
    whole_words=True,
    dropout=0.0,
    is_segmented=False,
    offline=True,
)
LOOP = LoopSettings(
    learning_rate=1e-3,
    batch_size=12,
    num_epochs=3,
    warmup_ratio=0.1,
    weight_decay=0.01,
    max_grad_norm=1e9,
    gradient_accumulation_steps=1,
    early_stopping_patience=100,
    seed=1,
    precision="fp32",
)
WORDS = ["ax", "pear", "plum", "saw", "nail", "rome", "oslo", "fig", "kiwi", "bern", "lime", "hoe"]
BATCH = np.arange(12)


class KilledError(Exception):
    pass


def texts():
    generator = np.random.default_rng(3)
    yield [" ".join(generator.choice(WORDS, number)) for number in generator.integers(1, 13, 60)]


def learn(folder, objective="mlm", **changes):
    """Pre-train, and return the records."""
    folder.mkdir(exist_ok=True)
    reading = dataclasses.replace(READING, objective=objective, dropout=changes.pop("dropout", 0.0))
    spec, settings = resolve(MODELS[objective]), dataclasses.replace(LOOP, **changes)
    pretrain_network(spec, texts, reading=reading, loop=settings, work_dir=folder, run_key="key")
    return [json.loads(line) for line in (folder / METRICS).read_text().splitlines()]


def step(folder, objective, num_parts=1, *, most=None):
    """Return loss, gradients and counts of one step over a batch in parts; memory suffices for so many rows."""
    reading = dataclasses.replace(READING, objective=objective)
    settings = dataclasses.replace(LOOP, gradient_accumulation_steps=num_parts)
    with repeatable(1, num_threads=1):
        reader = pretraining._open_reader(resolve(MODELS[objective]), texts, reading, folder, "key")
        pretraining.make_corpus(reader, texts, reading, folder, "key")
        rows, _ = split_corpus(open_corpus(folder / "corpus", "key"), seed=1)
        pretrainee = pretraining._make_network(resolve(MODELS[objective]), reader, reading)
        mask = pretraining._masker(reader, reading, 1)
        examples = pretraining._make_examples(mask, rows, len(pretrainee.weights))
        trainer = pretraining._make_trainer(pretrainee, settings, None, "key", NO_EFFECTS.tell)
        score = trainer.learning.score

        def limited(module, batch):
            if most is not None and len(batch["input_ids"]) > most:
                raise torch.OutOfMemoryError("CUDA out of memory")
            return score(module, batch)

        trainer.learning = dataclasses.replace(trainer.learning, score=limited)
        loss = trainer.train_step(examples, BATCH)
    gradients = {name: one.grad for name, one in trainer.module.named_parameters() if one.grad is not None}
    return loss, gradients, trainer.position.counted


@pytest.mark.parametrize("objective", MODELS)
@pytest.mark.parametrize("options", [{"num_parts": 4}, {"most": 5}], ids=["given", "out of memory"])
def test_a_batch_in_parts_makes_the_step_of_the_whole(tmp_path, objective, options):
    loss, gradients, counted = step(tmp_path, objective)
    loss_of_parts, gradients_of_parts, counted_of_parts = step(tmp_path, objective, **options)
    assert loss_of_parts == pytest.approx(loss, rel=1e-5)
    assert counted_of_parts == counted
    assert gradients.keys() == gradients_of_parts.keys()
    for name, gradient in gradients.items():
        torch.testing.assert_close(gradients_of_parts[name], gradient, atol=1e-6, rtol=1e-4, msg=name)


def test_every_epoch_hides_other_words_and_every_evaluation_the_same(tmp_path, monkeypatch):
    seen = {True: [], False: []}
    make = pretraining.make_pretrainee

    def spied(*arguments, **options):
        made = make(*arguments, **options)

        def score(module, batch):
            seen[module.training].append(sorted(batch["input_ids"].flatten().tolist()))
            return made.score(module, batch)

        return dataclasses.replace(made, score=score)

    monkeypatch.setattr(pretraining, "make_pretrainee", spied)
    learn(tmp_path / "one", batch_size=60, learning_rate=1e-9)
    assert len({str(one) for one in seen[True]}) == len(seen[True]) == 3
    assert len(seen[False]) == 3
    assert len({str(one) for one in seen[False]}) == 1


def killed_after(monkeypatch, num_steps):
    """Let a training die in the step after so many."""
    measured, intact = [], MaskedTokens.loss

    def loss(*arguments):
        measured.append(1)
        if len(measured) > num_steps:
            raise KilledError
        return intact(*arguments)

    monkeypatch.setattr(MaskedTokens, "loss", loss)


@pytest.mark.parametrize("objective", MODELS)
def test_the_masked_accuracy_is_exact_after_a_resume(tmp_path, monkeypatch, objective):
    monkeypatch.setattr(training_loop, "LOG_STEPS", 4)
    monkeypatch.setattr(training_loop, "SAVE_SECONDS", -1.0)  # after every step
    straight = learn(tmp_path / "straight", objective, dropout=0.1)
    with monkeypatch.context() as context, pytest.raises(KilledError):
        killed_after(context, 6)
        learn(tmp_path / "killed", objective, dropout=0.1)
    resumed = learn(tmp_path / "killed", objective, dropout=0.1)
    assert sum("train_masked_accuracy" in line for line in straight) == 3
    assert without_speed(resumed) == without_speed(straight)


def test_what_a_probe_reads_is_not_counted(tmp_path, monkeypatch):
    monkeypatch.setattr(training_loop, "LOG_STEPS", 2)
    straight = learn(tmp_path / "straight")
    tried = []

    def choose(_, train_step, **__):
        tried.append(train_step("fp32"))
        return "fp32"

    monkeypatch.setattr(training_loop, "choose_precision", choose)
    assert without_speed(learn(tmp_path / "probed")) == without_speed(straight)
    assert tried


def without_speed(records):
    return [{name: value for name, value in record.items() if name != "tokens_per_second"} for record in records]


def test_the_speed_is_that_of_the_steps_alone(tmp_path, monkeypatch):
    clock = SimpleNamespace(now=0.0)
    monkeypatch.setattr(training_loop, "time", SimpleNamespace(perf_counter=lambda: clock.now, monotonic=lambda: 0.0))
    monkeypatch.setattr(training_loop, "LOG_STEPS", 5)

    def taking(seconds, compute):
        def computed(*arguments):
            clock.now += seconds
            return compute(*arguments)

        return computed

    monkeypatch.setattr(MaskedTokens, "loss", taking(1.0, MaskedTokens.loss))
    monkeypatch.setattr(MaskedTokens, "measure", taking(1000.0, MaskedTokens.measure))
    records = learn(tmp_path / "one", num_epochs=1, eval_steps=1)
    speed = next(record["tokens_per_second"] for record in records if "tokens_per_second" in record)
    corpus = open_corpus(tmp_path / "one" / "corpus", "key")
    learned, _ = split_corpus(corpus, seed=1)
    assert speed == pytest.approx(learned.lengths_N.sum() / 5, rel=1e-3)


@pytest.mark.parametrize("objective", MODELS)
def test_the_embeddings_begin_with_what_the_texts_tell(tmp_path, monkeypatch, objective):
    kept = []

    def stopped(encoder, learned):
        before = encoder.get_input_embeddings().weight.clone()
        start(encoder, learned)
        kept.extend((before, encoder, learned))
        raise KilledError

    start = pretraining._start_embeddings
    monkeypatch.setattr(pretraining, "_start_embeddings", stopped)
    with pytest.raises(KilledError):
        learn(tmp_path, objective)
    before, encoder, learned = kept
    after = encoder.get_input_embeddings().weight.detach()
    seen = np.unique(learned.take(np.arange(len(learned.chosen_N))).ids)
    assert not torch.isclose(after[seen], before[seen]).all(dim=1).any()
    assert after[seen].std().item() == pytest.approx(encoder.config.initializer_range, rel=0.2)
    places_TD = encoder.base_model.embeddings.position_embeddings.weight
    assert torch.cosine_similarity(places_TD[5], places_TD[6], dim=0) > 0.9


def test_a_checkpoint_keeps_its_embeddings(tmp_path, monkeypatch):
    def read(model, folder):
        folder.mkdir()
        return pretrain_network(resolve(model), texts, reading=READING, loop=LOOP, work_dir=folder, run_key="key")

    checkpoint = tmp_path / "checkpoint"
    checkpoint.mkdir()
    read("bert-1x32", tmp_path / "work").save(checkpoint)

    def told(*_):
        raise AssertionError("a checkpoint knows more than the texts tell")

    monkeypatch.setattr(pretraining, "_start_embeddings", told)
    read(str(checkpoint), tmp_path / "on")
    with pytest.raises(AssertionError):
        read("bert-1x32", tmp_path / "anew")
