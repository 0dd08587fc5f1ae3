"""The training loop: it learns, stops, keeps the best, and goes on after a kill with the same bits."""

import dataclasses
import json

import numpy as np
import pytest
import torch

from yanmo.errors import ModelError
from yanmo.modeling import loop
from yanmo.modeling.determinism import repeatable
from yanmo.modeling.features import Examples, TokenFeatures
from yanmo.modeling.light_models import build
from yanmo.modeling.loop import METRICS, Trainer, fit
from yanmo.modeling.losses import softmax_cross_entropy
from yanmo.modeling.scoring import compute_logits
from yanmo.modeling.settings import LoopSettings
from yanmo.protocols import Ragged

ARCHITECTURE = {"family": "bilstm", "vocab_size": 20, "num_classes": 2, "embedding_size": 8, "hidden_size": 6}
SETTINGS = LoopSettings(
    learning_rate=0.02,
    batch_size=8,
    num_epochs=4,
    warmup_ratio=0.1,
    weight_decay=0.01,
    max_grad_norm=1.0,
    gradient_accumulation_steps=1,
    early_stopping_patience=10,
    seed=7,
    precision="fp32",
)


class KilledError(Exception):
    pass


def make_examples(num_rows, seed):
    """Texts of random tokens from 4 on; the class says whether token 2 is among them."""
    generator = np.random.default_rng(seed)
    lengths_N = generator.integers(1, 12, num_rows)
    offsets = np.concatenate(([0], np.cumsum(lengths_N)))
    values = generator.integers(4, 20, offsets[-1])
    classes_N = np.arange(num_rows) % 2
    values[offsets[:-1][classes_N == 1]] = 2
    return Examples(TokenFeatures(Ragged(values, offsets)), np.eye(2, dtype=np.float32)[classes_N])


TRAIN, VALID = make_examples(60, 1), make_examples(30, 2)


def measure(logits_NC, targets_NC):
    losses = softmax_cross_entropy(torch.from_numpy(logits_NC), torch.from_numpy(targets_NC))
    return {"micro_f1": float((logits_NC.argmax(1) == targets_NC.argmax(1)).mean()), "loss": float(losses)}


def score(module, batch):
    return module(*batch.values())


def make_trainer(work_dir=None, *, run_key="key", measure=measure, loss=softmax_cross_entropy, dropout=0.3, **changes):
    module = build({**ARCHITECTURE, "dropout": dropout})
    settings = dataclasses.replace(SETTINGS, **changes)
    return Trainer(module, score, loss=loss, measure=measure, settings=settings, work_dir=work_dir, run_key=run_key)


def run(work_dir=None, **options):
    with repeatable(options.get("seed", SETTINGS.seed), num_threads=1):
        trainer = make_trainer(work_dir, **options)
        scores = fit(trainer, TRAIN, VALID)
    return trainer, scores


def weights(trainer):
    return torch.cat([tensor.flatten() for tensor in trainer.module.state_dict().values()])


def killed_after(num_steps):
    """Return a loss that dies in the step after so many."""
    seen = []

    def loss(logits_BC, targets_BC):
        if len(seen) == num_steps:
            raise KilledError
        seen.append(1)
        return softmax_cross_entropy(logits_BC, targets_BC)

    return loss


def test_it_learns():
    _, scores = run(num_epochs=12)
    assert scores["micro_f1"] >= 0.9


def test_one_seed_makes_the_same_bits_and_another_seed_does_not():
    first, second, other = run()[0], run()[0], run(seed=8)[0]
    assert torch.equal(weights(first), weights(second))
    assert first.position.history == second.position.history
    assert not torch.equal(weights(first), weights(other))


@pytest.mark.parametrize("killed_at", [1, 8, 9, 17, 31])
@pytest.mark.parametrize("options", [{}, {"eval_steps": 5, "early_stopping_patience": 4}], ids=["epochs", "steps"])
def test_resume_gives_the_same_weights_bit_for_bit(tmp_path, monkeypatch, killed_at, options):
    straight, expected = run(**options)
    if killed_at >= straight.position.step:
        pytest.skip("early stopping came first")
    with pytest.raises(KilledError):
        if not options:
            monkeypatch.setattr(loop, "SAVE_SECONDS", -1.0)  # after every step
        run(tmp_path, loss=killed_after(killed_at), **options)
    resumed, scores = run(tmp_path, **options)
    assert torch.equal(weights(resumed), weights(straight))
    assert scores == expected
    lines = [json.loads(line) for line in (tmp_path / METRICS).read_text().splitlines()]
    assert lines == resumed.position.history == straight.position.history


def test_a_resumed_run_repeats_only_the_steps_since_the_checkpoint(tmp_path):
    with pytest.raises(KilledError):
        run(tmp_path, eval_steps=4, loss=killed_after(11))
    steps = []
    run(tmp_path, eval_steps=4, loss=lambda *both: (steps.append(1), softmax_cross_entropy(*both))[1])
    assert len(steps) == 32 - 8


def test_a_run_killed_in_its_first_step_keeps_its_precision(tmp_path, monkeypatch):
    answers = iter(["bf16", "fp32"])
    monkeypatch.setattr(loop, "choose_precision", lambda *_, **__: next(answers))
    with pytest.raises(KilledError):
        run(tmp_path, precision="auto", loss=killed_after(0))
    resumed, _ = run(tmp_path, precision="auto")
    assert resumed.position.precision == "bf16"


def test_a_finished_checkpoint_trains_no_further(tmp_path):
    done, scores = run(tmp_path, eval_steps=1)
    again, scores_again = run(tmp_path, eval_steps=1, loss=killed_after(0))
    assert scores_again == scores
    assert torch.equal(weights(again), weights(done))


def test_a_checkpoint_of_other_work_is_not_continued(tmp_path, caplog):
    run(tmp_path, eval_steps=1, run_key="old")
    fresh, _ = run(tmp_path, eval_steps=1, run_key="new", learning_rate=0.03)
    assert "training starts anew" in caplog.text
    assert torch.equal(weights(fresh), weights(run(eval_steps=1, learning_rate=0.03)[0]))


@pytest.mark.parametrize("num_parts", [2, 6, 7])
def test_a_batch_in_parts_makes_the_step_of_the_whole(num_parts):
    whole = run(batch_size=60, num_epochs=2, dropout=0.0)[0]
    cut = run(batch_size=60, gradient_accumulation_steps=num_parts, num_epochs=2, dropout=0.0)[0]
    assert cut.position.step == whole.position.step == 2
    torch.testing.assert_close(weights(cut), weights(whole), atol=1e-4, rtol=0)


def scripted(values):
    """Return a measure that gives these scores one after the other."""
    remaining = iter(values)
    return lambda *_: {"micro_f1": next(remaining), "loss": 1.0}


def test_training_stops_after_patience_and_keeps_the_best_weights():
    trainer, scores = run(measure=scripted([0.5, 0.9, 0.8, 0.9, 0.7]), num_epochs=9, early_stopping_patience=2)
    assert scores["micro_f1"] == 0.9
    assert trainer.position.epoch == 4
    best, _ = run(measure=scripted([0.1, 0.9, 0.2, 0.2]), num_epochs=9, early_stopping_patience=2)
    assert torch.equal(weights(trainer), weights(best))


def test_equal_scores_are_decided_by_the_loss():
    losses = iter([0.5, 0.4, 0.6, 0.45])
    trainer, scores = run(measure=lambda *_: {"micro_f1": 0.5, "loss": next(losses)})
    assert scores["loss"] == 0.4
    assert trainer.position.num_worse == 2


def test_steps_between_evaluations_count_and_the_end_is_evaluated():
    trainer, _ = run(eval_steps=10, num_epochs=4)
    evaluated = [line["step"] for line in trainer.position.history if "valid_loss" in line]
    assert evaluated == [10, 20, 30, 32]


def test_a_loss_that_is_no_number_stops_before_the_step():
    trainer = make_trainer(loss=lambda logits_BC, _: logits_BC.sum() * float("nan"))
    before = weights(trainer).clone()
    with pytest.raises(ModelError) as caught:
        fit(trainer, TRAIN, VALID)
    assert caught.value.message.startswith("The loss became nan at step 1, in a batch of 8 rows: ")
    assert "learning_rate" in caught.value.hint
    assert torch.equal(weights(trainer), before)


def test_gradients_are_clipped():
    with repeatable(1, num_threads=1):
        trainer = make_trainer(loss=lambda *both: 1e4 * softmax_cross_entropy(*both), max_grad_norm=0.5)
        trainer.train_step(TRAIN, np.arange(8))
    norms = [one.grad.norm() for one in trainer.module.parameters() if one.grad is not None]
    assert float(torch.stack(norms).norm()) == pytest.approx(0.5, rel=1e-3)


def test_logits_come_back_in_input_order():
    with repeatable(1, num_threads=1):
        module = build({**ARCHITECTURE, "dropout": 0.3})
    together_NC = compute_logits(module, score, VALID.features, batch_size=7)
    for row in range(len(VALID)):
        with torch.inference_mode():
            alone_C = score(module, VALID.features.collate(np.array([row])))[0].numpy()
        np.testing.assert_allclose(together_NC[row], alone_C, atol=1e-5)


def test_records_hold_no_time():
    trainer, _ = run(num_epochs=8)
    names = set().union(*trainer.position.history)
    assert names == {"step", "epoch", "train_loss", "learning_rate", "valid_micro_f1", "valid_loss"}
