"""The training loop: it learns, stops, keeps the best, and goes on after a kill with the same bits."""

import dataclasses
import errno
import json
import os
import signal
import threading
from typing import Any

import numpy as np
import pytest
import torch

from yanmo.answers.links import SOFTMAX
from yanmo.arrays import Ragged
from yanmo.artifacts import durable
from yanmo.errors import ConfigError, ModelError, StoppedError
from yanmo.modeling.arithmetic.determinism import repeatable
from yanmo.modeling.features.ragged import Examples, TokenFeatures
from yanmo.modeling.light.light_models import build_light_model
from yanmo.modeling.loop import checkpoints, micro_batches, training_loop
from yanmo.modeling.loop.interpolating import SHARES
from yanmo.modeling.loop.scoring import compute_logits
from yanmo.modeling.loop.training_loop import METRICS, Trainer, fit
from yanmo.modeling.objectives.choices import ChoicesObjective, Labels, softmax_cross_entropy, softmax_divergence
from yanmo.modeling.settings import LoopSettings
from yanmo.stopping import SigtermError, sigterm_raises

ARCHITECTURE = {"family": "bilstm", "vocab_size": 20, "num_classes": 2, "embedding_size": 8, "hidden_size": 6}
# Every processor convolves in bf16; an LSTM only those with such products.
CONVOLUTIONS = {"family": "textcnn", "vocab_size": 20, "num_classes": 2, "embedding_size": 8, "kernel_sizes": [2]}
CONVOLUTIONS |= {"num_filters": 6, "embedding_dropout": 0.0}
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
    metric="micro_f1",
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
    return Examples(TokenFeatures(Ragged(values, offsets)), Labels(np.eye(2, dtype=np.float32)[classes_N]))


TRAIN, VALID = make_examples(60, 1), make_examples(30, 2)


def measure(evidence, targets_NC):
    losses_N = SOFTMAX.log_losses(evidence.values_MC, targets_NC)
    right_N = evidence.values_MC.argmax(1) == targets_NC.argmax(1)
    return {"micro_f1": float(right_N.mean()), "loss": float(losses_N.mean())}


@dataclasses.dataclass(frozen=True)
class Objective(ChoicesObjective):
    """That of choices, with a loss against labels that a test gives."""

    against_labels: Any = softmax_cross_entropy

    def _fit(self, outputs_MS, targets):
        return self.against_labels(outputs_MS, targets["labels"])


def score(module, batch):
    return module(*batch.values())


def make_trainer(
    work_dir=None,
    *,
    run_key="key",
    measure=measure,
    loss=softmax_cross_entropy,
    dropout=0.3,
    architecture=ARCHITECTURE,
    **changes,
):
    module = build_light_model({**architecture, "dropout": dropout})
    settings = dataclasses.replace(SETTINGS, **changes)
    objective = Objective(SOFTMAX, measure, r_drop=settings.r_drop, against_labels=loss)
    return Trainer(module, score, objective=objective, settings=settings, work_dir=work_dir, run_key=run_key)


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
@pytest.mark.parametrize(
    "options",
    [{}, {"eval_steps": 5, "early_stopping_patience": 4}, {"batch_tokens": 40}, {"optimizer": "muon"}],
    ids=["epochs", "steps", "tokens", "muon"],
)
def test_resume_gives_the_same_weights_bit_for_bit(tmp_path, monkeypatch, killed_at, options):
    straight, expected = run(**options)
    assert killed_at < straight.position.step
    with pytest.raises(KilledError):
        if "eval_steps" not in options:
            monkeypatch.setattr(training_loop, "SAVE_SECONDS", -1.0)  # after every step
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
    monkeypatch.setattr(training_loop, "choose_precision", lambda *_, **__: next(answers))
    with pytest.raises(KilledError):
        run(tmp_path, precision="auto", loss=killed_after(0), architecture=CONVOLUTIONS)
    resumed, _ = run(tmp_path, precision="auto", architecture=CONVOLUTIONS)
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


@pytest.mark.parametrize(("metric", "kept"), [("micro_f1", 0), ("macro_f1", 2), ("accuracy", 1), ("loss", 3)])
def test_the_metric_says_which_evaluation_s_weights_are_kept(metric, kept):
    table = {"micro_f1": [0.9, 0.1, 0.1, 0.1], "macro_f1": [0.1, 0.1, 0.9, 0.9], "accuracy": [0.1, 0.9, 0.1, 0.1]}
    table["loss"] = [0.4, 0.3, 0.2, 0.1] if metric == "loss" else [0.1, 0.2, 0.3, 0.4]
    scripts = [{name: column[place] for name, column in table.items()} for place in range(4)]
    remaining = iter(scripts)
    trainer, scores = run(measure=lambda *_: next(remaining), metric=metric)
    assert scores == scripts[kept]
    cut, _ = run(measure=scripted([0.9 if place == kept else 0.1 for place in range(4)]))
    assert torch.equal(weights(trainer), weights(cut))


def test_where_less_is_better_the_weights_of_the_least_are_kept():
    scripts = [{"bits": bits, "loss": 1.0 - 0.1 * place} for place, bits in enumerate([0.9, 0.2, 0.2, 0.5])]
    remaining = iter(scripts)
    trainer, scores = run(measure=lambda *_: next(remaining), metric="bits", lowest=True)
    assert scores == scripts[2]
    assert trainer.position.num_worse == 1


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
        module = build_light_model({**ARCHITECTURE, "dropout": 0.3})
    together_NC = compute_logits(module, score, VALID.features, batch_size=7)
    for row in range(len(VALID)):
        with torch.inference_mode():
            alone_C = score(module, VALID.features.collate(np.array([row])))[0].numpy()
        np.testing.assert_allclose(together_NC[row], alone_C, atol=1e-5)


def test_records_hold_no_time():
    trainer, _ = run(num_epochs=8)
    names = set().union(*trainer.position.history)
    assert names == {"step", "epoch", "train_loss", "learning_rate", "valid_micro_f1", "valid_loss"}


METHODS = {
    "ema": {"ema_decay": 0.9},
    "swa": {"swa_start": 0.2},
    "r-drop": {"r_drop": 1.0},
    "fgm": {"fgm_epsilon": 0.5},
    "parts": {"gradient_accumulation_steps": 3},
    "cosine": {"schedule": "cosine"},
    "all": {"ema_decay": 0.5, "r_drop": 0.5, "fgm_epsilon": 0.1, "gradient_accumulation_steps": 2, "schedule": "wsd"},
}


@pytest.mark.parametrize("name", METHODS)
def test_resume_is_exact_with_every_method_and_each_changes_the_weights(tmp_path, monkeypatch, name):
    straight, expected = run(**METHODS[name])
    monkeypatch.setattr(training_loop, "SAVE_SECONDS", -1.0)
    with pytest.raises(KilledError):
        run(tmp_path, loss=killed_after(25), **METHODS[name])
    resumed, scores = run(tmp_path, **METHODS[name])
    assert torch.equal(weights(resumed), weights(straight))
    assert scores == expected
    assert not torch.equal(weights(straight), weights(run()[0]))


@pytest.mark.parametrize("methods", [{"ema_decay": 0.9}, {"swa_start": 0.2}], ids=["ema", "swa"])
def test_the_mean_is_measured_and_kept_and_the_training_goes_on_from_the_weights(methods):
    seen = []
    trainer, _ = run(measure=lambda *_: {"micro_f1": len(seen), "loss": float(seen.append(1) is None)}, **methods)
    plain, _ = run(measure=scripted([0.1, 0.2, 0.3, 0.4]))
    assert not torch.equal(weights(trainer), weights(plain))
    for name, mean in trainer.average.weights.items():
        assert torch.equal(trainer.module.state_dict()[name], mean)


def one_batch(**changes):
    """Return a trainer without dropout, its gradients after one step, and the loss."""
    with repeatable(1, num_threads=1):
        trainer = make_trainer(dropout=0.0, max_grad_norm=1e9, **changes)
        loss = trainer.train_step(TRAIN, np.arange(8))
    return trainer, {name: one.grad.clone() for name, one in trainer.module.named_parameters()}, loss


def test_r_drop_of_two_equal_passes_is_the_plain_loss():
    _, plain, loss = one_batch()
    _, doubled, same = one_batch(r_drop=3.0)
    assert same == pytest.approx(loss, rel=1e-5)
    for name, gradient in plain.items():
        torch.testing.assert_close(doubled[name], gradient, atol=1e-6, rtol=1e-4)


def test_r_drop_adds_half_its_weight_times_the_divergence_of_the_two_passes():
    logits_MC = torch.tensor([[2.0, 0.0], [0.0, 1.0], [1.0, 0.5], [0.2, 0.1]], requires_grad=True)
    targets_BC = torch.eye(2)
    learning = micro_batches.Learning(lambda *_: logits_MC, ChoicesObjective(SOFTMAX, measure, r_drop=3.0))
    part = micro_batches.Part(np.arange(2), {}, {"labels": targets_BC})
    loss, counts = micro_batches.part_loss(learning, None, part, precision="fp32", device="cpu")
    assert (learning.objective.num_passes, counts) == (2, None)
    passes = logits_MC.split(2)
    both = sum(softmax_cross_entropy(one, targets_BC) for one in passes)
    torch.testing.assert_close(loss, (both + 3.0 * softmax_divergence(*passes)) / 2)


def test_several_masks_count_as_the_mean_of_their_losses():
    logits_MC = torch.tensor([[2.0, 0.0], [0.0, 1.0], [1.0, 0.5], [0.2, 0.1], [0.0, 3.0], [1.0, 1.0]])
    learning = micro_batches.Learning(lambda *_: logits_MC, ChoicesObjective(SOFTMAX, measure))
    part = micro_batches.Part(np.arange(2), {}, {"labels": torch.eye(2)})
    loss, _ = micro_batches.part_loss(learning, None, part, precision="fp32", device="cpu")
    torch.testing.assert_close(loss, sum(softmax_cross_entropy(one, torch.eye(2)) for one in logits_MC.split(2)) / 3)


def test_fgm_adds_the_gradient_at_the_moved_embeddings():
    _, plain, _ = one_batch()
    with repeatable(1, num_threads=1):
        moved = make_trainer(dropout=0.0).module
        weight = moved.embedding.weight
        with torch.no_grad():
            weight.add_(0.5 * plain["embedding.weight"] / plain["embedding.weight"].norm())
        batch = TRAIN.features.collate(np.arange(8))
        softmax_cross_entropy(score(moved.train(), batch), torch.from_numpy(TRAIN.targets.values_NC[:8])).backward()
    _, both, _ = one_batch(fgm_epsilon=0.5)
    for name, one in moved.named_parameters():
        torch.testing.assert_close(both[name], plain[name] + one.grad, atol=1e-6, rtol=1e-4)


def hungry(most):
    """Return a score that has memory for so many texts at a time."""

    def limited(module, batch):
        if len(batch["input_ids"]) > most:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
        return score(module, batch)

    return limited


def test_out_of_memory_makes_smaller_parts_of_the_same_step_and_says_so(caplog):
    with repeatable(1, num_threads=1):
        trainer = make_trainer(dropout=0.0)
        trainer.learning = dataclasses.replace(trainer.learning, score=hungry(3))
        losses = [trainer.train_step(TRAIN, np.arange(8)) for _ in range(3)]
    plain = make_plain_losses()
    assert losses == pytest.approx(plain, rel=1e-5)
    assert trainer.position.num_parts == 4
    assert caplog.messages == [
        "Out of memory with 8 texts at a time: 4 at a time from here on; a step is still of 8 texts.",
        "Out of memory with 4 texts at a time: 2 at a time from here on; a step is still of 8 texts.",
    ]


def make_plain_losses():
    with repeatable(1, num_threads=1):
        trainer = make_trainer(dropout=0.0)
        return [trainer.train_step(TRAIN, np.arange(8)) for _ in range(3)]


@pytest.mark.parametrize("precision", ["auto", "fp32"])
def test_out_of_memory_while_arithmetic_is_chosen_and_scores_are_made_does_not_end_a_run(
    precision, caplog, monkeypatch
):
    monkeypatch.setattr("yanmo.modeling.arithmetic.precision.has_bf16", lambda _: True)
    monkeypatch.setattr("yanmo.modeling.arithmetic.precision.PROBE_TURNS", 1)
    with repeatable(1, num_threads=1):
        plain = fit(make_trainer(precision="fp32", architecture=CONVOLUTIONS), TRAIN, VALID)
        trainer = make_trainer(precision=precision, architecture=CONVOLUTIONS)
        trainer.learning = dataclasses.replace(trainer.learning, score=hungry(3))
        scores = fit(trainer, TRAIN, VALID)
    assert trainer.position.num_parts > 1
    assert scores.keys() == plain.keys()
    assert any("were scored in" in message for message in caplog.messages)


def test_scores_with_little_memory_are_the_same(caplog):
    with repeatable(1, num_threads=1):
        module = make_trainer().module
        plain_NC, cut_NC = (compute_logits(module, one, TRAIN.features, batch_size=8) for one in (score, hungry(3)))
        with pytest.raises(ModelError, match="not enough memory to score one text at a time"):
            compute_logits(module, hungry(0), TRAIN.features, batch_size=8)
    np.testing.assert_allclose(cut_NC, plain_NC, atol=1e-6)
    assert len(caplog.messages) == 1


def test_out_of_memory_with_one_text_is_an_error():
    trainer = make_trainer()
    trainer.learning = dataclasses.replace(trainer.learning, score=hungry(0))
    with pytest.raises(ModelError, match="not enough memory for a step with one text at a time"):
        trainer.train_step(TRAIN, np.arange(8))


def test_other_errors_are_no_lack_of_memory():
    trainer = make_trainer(loss=lambda *_: (_ for _ in ()).throw(RuntimeError("shapes do not fit")))
    with pytest.raises(RuntimeError, match="shapes do not fit"):
        trainer.train_step(TRAIN, np.arange(8))


def test_the_rows_of_a_loss_that_is_no_number_are_named():
    bad_row = 5
    targets_NC = TRAIN.targets.values_NC.copy()
    targets_NC[bad_row] = np.inf
    examples = dataclasses.replace(TRAIN, targets=Labels(targets_NC), ids=[f"row-{row}" for row in range(len(TRAIN))])
    trainer = make_trainer(gradient_accumulation_steps=4)
    before = weights(trainer).clone()
    with pytest.raises(ModelError, match=r"in a batch of 2 rows: row-4, row-5\. The step was not taken"):
        trainer.train_step(examples, np.arange(8))
    assert torch.equal(weights(trainer), before)


def test_a_worker_whose_rows_are_good_names_none_of_them():
    part = micro_batches.Part(np.arange(4), {}, torch.eye(2))
    for losses in ([(part, torch.tensor(0.5))], []):
        error = micro_batches.not_finite(float("nan"), losses, TRAIN, step=3)
        assert error.message == "The loss became nan at step 3, in rows of another worker. The step was not taken."


def test_a_gradient_that_is_no_number_stops_too():
    def loss(logits_BC, _):
        return (logits_BC.sum() * 0).abs() ** 0.5  # zero, with a slope of no size

    with pytest.raises(ModelError, match="The loss 0 has no finite gradient at step 1"):
        make_trainer(loss=loss).train_step(TRAIN, np.arange(8))


def test_sigterm_writes_a_checkpoint_and_the_rest_makes_the_same_weights(tmp_path):
    straight, _ = run()
    seen = []

    def loss(*both):
        seen.append(1)
        if len(seen) == 11:
            os.kill(os.getpid(), signal.SIGTERM)
        return softmax_cross_entropy(*both)

    handler = signal.getsignal(signal.SIGTERM)
    with pytest.raises(StoppedError, match="Stopped by SIGTERM after step 11; a checkpoint was written") as caught:
        run(tmp_path, loss=loss)
    assert caught.value.exit_code == 143
    assert signal.getsignal(signal.SIGTERM) == handler
    resumed, _ = run(tmp_path, loss=lambda *both: (seen.append(1), softmax_cross_entropy(*both))[1])
    assert len(seen) == 32
    assert torch.equal(weights(resumed), weights(straight))


def test_sigterm_in_the_last_evaluation_keeps_the_training_and_is_not_lost(tmp_path):
    straight, expected = run()
    seen = []

    def stopped(*both):
        seen.append(1)
        if len(seen) == 4:
            os.kill(os.getpid(), signal.SIGTERM)
        return measure(*both)

    with sigterm_raises(), pytest.raises(SigtermError):
        run(tmp_path, measure=stopped)
    assert checkpoints.read(tmp_path)[1]["position"]["step"] == straight.position.step
    resumed, scores = run(tmp_path, measure=lambda *_: pytest.fail("all was measured before"))
    assert torch.equal(weights(resumed), weights(straight))
    assert scores == expected


@pytest.mark.parametrize("name", ["_write_file", "sync", "_rename"])
def test_a_full_disk_ends_the_training_and_it_goes_on_from_the_last_checkpoint(tmp_path, monkeypatch, name):
    straight, _ = run(eval_steps=4)
    module = checkpoints if name == "_write_file" else durable
    intact, calls = getattr(module, name), []

    def full(*arguments):
        calls.append(1)
        if len(calls) >= 6:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return intact(*arguments)

    with monkeypatch.context() as context, pytest.raises(OSError, match="No space"):
        context.setattr(module, name, full)
        run(tmp_path, eval_steps=4)
    resumed, _ = run(tmp_path, eval_steps=4)
    assert torch.equal(weights(resumed), weights(straight))


def test_scores_that_are_no_numbers_end_the_training_before_they_are_measured(tmp_path):
    def broken(module, batch):
        logits_BC = score(module, batch)
        return logits_BC if module.training else logits_BC * torch.tensor([torch.nan, 1.0])

    with repeatable(1, num_threads=1):
        trainer = make_trainer(tmp_path, measure=lambda *_: pytest.fail("measured"))
        trainer.learning = dataclasses.replace(trainer.learning, score=broken)
        named = dataclasses.replace(VALID, ids=[f"row-{place}" for place in range(30)])
        with pytest.raises(ModelError, match=r"After step 8 the scores of 30 of 30 held-out rows.*: row-0, .*row-7, …"):
            fit(trainer, TRAIN, named)


def test_before_a_late_mean_begins_nothing_stops_and_from_then_on_it_alone_competes():
    """The scores fall: without the mean the second evaluation would be the last, and the first the best."""
    asked = []

    def worse(*both):
        asked.append(1)
        return measure(*both) | {"micro_f1": 1.0 - 0.1 * len(asked)}

    options = {"measure": worse, "early_stopping_patience": 1, "num_epochs": 6}
    trainer, scores = run(swa_start=0.5, **options)
    assert (len(asked), scores["micro_f1"]) == (5, 1.0 - 0.1 * 4), "the first one after the start, and then one worse"
    assert trainer.average.weights
    asked.clear()
    run(**options)
    assert len(asked) == 2


def test_before_a_late_fall_of_the_learning_rate_nothing_stops():
    """The scores fall: of ten epochs the last two have a falling rate, and the first of these is the second chance."""
    asked = []

    def worse(*both):
        asked.append(1)
        return measure(*both) | {"micro_f1": 1.0 - 0.01 * len(asked)}

    options = {"measure": worse, "early_stopping_patience": 1, "num_epochs": 10}
    run(schedule="wsd", **options)
    assert len(asked) == 9
    asked.clear()
    run(schedule="constant", **options)
    assert len(asked) == 2


def test_a_late_mean_is_the_same_after_a_kill_at_its_beginning(tmp_path):
    options = {"swa_start": 0.5, "num_epochs": 4, "eval_steps": 1, "early_stopping_patience": 100}
    straight, expected = run(**options)
    for place, killed_at in enumerate((15, 16, 17)):
        folder = tmp_path / str(place)
        folder.mkdir()
        with pytest.raises(KilledError):
            run(folder, loss=killed_after(killed_at), **options)
        resumed, scores = run(folder, **options)
        assert torch.equal(weights(resumed), weights(straight))
        assert scores == expected


def test_embeddings_that_cannot_be_moved_are_refused_before_anything_is_kept(tmp_path):
    module = build_light_model({**ARCHITECTURE, "dropout": 0.3})
    for one in module.parameters():
        one.requires_grad_(one.ndim == 1)
    settings = dataclasses.replace(SETTINGS, fgm_epsilon=0.5)
    with pytest.raises(ConfigError, match="'fgm_epsilon'"):
        Trainer(module, score, objective=Objective(SOFTMAX, measure), settings=settings, work_dir=tmp_path)


@pytest.mark.parametrize("error", [MemoryError(), torch.OutOfMemoryError("CUDA out of memory")], ids=["cpu", "cuda"])
def test_no_memory_for_the_optimizer_is_said_with_what_helps(monkeypatch, error):
    def full(self, *_):
        raise error

    monkeypatch.setattr(torch.optim.AdamW, "step", full)
    with pytest.raises(ModelError, match="not enough memory to move the weights") as caught:
        run()
    assert "smaller model" in caught.value.hint


def test_a_batch_for_which_there_is_no_room_ahead_is_made_in_its_step(monkeypatch):
    straight, _ = run()
    collate, failed = TokenFeatures.collate, []

    def full(self, rows_B):
        if threading.current_thread() is not threading.main_thread() and len(failed) < 5:
            failed.append(1)
            raise MemoryError
        return collate(self, rows_B)

    monkeypatch.setattr(TokenFeatures, "collate", full)
    made, _ = run()
    assert len(failed) == 5
    assert made.position.num_parts == 1
    assert torch.equal(weights(made), weights(straight))


def measure_as_told(shares):
    """Return a measure that gives one score after the other."""
    told = iter(shares)
    return lambda *_: {"micro_f1": next(told), "loss": 1.0}


def test_a_start_that_no_step_makes_better_is_kept_and_ends_nothing_early():
    with repeatable(SETTINGS.seed, num_threads=1):
        trainer = make_trainer(measure=measure_as_told([0.9, 0.2, 0.3, 0.4, 0.5]), early_stopping_patience=1)
        weight = next(iter(trainer.module.parameters()))

        def begin(_):
            with torch.no_grad():
                weight.fill_(0.25)

        best = fit(trainer, TRAIN, VALID, begin)
    evaluated = [line["step"] for line in trainer.position.history if "valid_micro_f1" in line]
    assert evaluated == [0, 8, 16, 24, 32]
    assert best["micro_f1"] == 0.9
    assert bool((weight == 0.25).all())


@pytest.mark.parametrize(("last", "is_said"), [(0.5, True), (0.2, False), (1.0, False)])
def test_a_last_evaluation_that_was_the_best_is_said_unless_none_can_be_better(last, is_said, caplog):
    run(measure=measure_as_told([0.1, 0.3, 0.4, last]))
    assert ("more num_epochs may do better" in caplog.text) == is_said


FIRST = 0.25
MIXED = {"num_epochs": 2, "interpolate_weights": True}


def begun(work_dir=None, **options):
    """Return a training whose weights all began as one number, and the scores of what it keeps."""
    with repeatable(7, num_threads=1):
        trainer = make_trainer(work_dir, **MIXED | options)

        def begin(_):
            with torch.no_grad():
                for one in trainer.module.parameters():
                    one.fill_(FIRST)

        return trainer, fit(trainer, TRAIN, VALID, begin)


def mixtures(trainer):
    return [line for line in trainer.position.history if "interpolation" in line]


def test_the_mixture_that_answers_best_is_kept():
    plain, _ = begun(measure=measure_as_told([0.1, 0.2, 0.3]), interpolate_weights=False)
    last = weights(plain)
    trainer, best = begun(measure=measure_as_told([0.1, 0.2, 0.3, 0.2, 0.9, 0.9, 0.1]))
    assert [line["interpolation"] for line in mixtures(trainer)] == list(SHARES)
    assert best["micro_f1"] == 0.9
    assert torch.allclose(weights(trainer), FIRST + SHARES[1] * (last - FIRST), atol=1e-6)


def test_without_a_better_mixture_the_best_weights_stay():
    plain, before = begun(measure=measure_as_told([0.1, 0.3, 0.2]), interpolate_weights=False)
    trainer, best = begun(measure=measure_as_told([0.1, 0.3, 0.2, 0.2, 0.3, 0.1, 0.0]))
    assert best == before
    assert torch.equal(weights(trainer), weights(plain))


def test_where_no_step_was_better_than_the_first_weights_the_last_ones_are_mixed_in():
    trainer, best = begun(measure=measure_as_told([0.5, 0.1, 0.2, 0.6, 0.1, 0.1, 0.1]))
    assert best["micro_f1"] == 0.6
    assert not torch.equal(weights(trainer), torch.full_like(weights(trainer), FIRST))


def test_a_mean_of_the_steps_is_mixed_in_and_does_not_stand_in_for_the_mixture():
    plain, _ = begun(swa_start=0.5, interpolate_weights=False, measure=measure_as_told([0.1, 0.2, 0.3]))
    trainer, _ = begun(swa_start=0.5, measure=measure_as_told([0.1, 0.2, 0.3, 0.1, 0.1, 0.1, 0.8]))
    expected = FIRST + SHARES[-1] * (weights(plain) - FIRST)
    assert torch.allclose(weights(trainer), expected, atol=1e-6)


def test_after_a_kill_it_is_the_same(tmp_path):
    options = {"eval_steps": 1, "early_stopping_patience": 100}
    straight, expected = begun(**options)
    with pytest.raises(KilledError):
        begun(tmp_path, loss=killed_after(11), **options)
    resumed, scores = begun(tmp_path, **options)
    assert torch.equal(weights(resumed), weights(straight))
    assert scores == expected
    assert mixtures(resumed) == mixtures(straight)


def test_a_training_that_has_no_beginning_of_its_own_mixes_nothing():
    with repeatable(7, num_threads=1):
        trainer = make_trainer(**MIXED)
        fit(trainer, TRAIN, VALID)
    assert not mixtures(trainer)
