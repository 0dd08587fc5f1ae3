"""What a training takes up, and what it removes before it goes on without it."""

import os

import pytest
import torch
from torch import nn

from yanmo.answers.links import SOFTMAX
from yanmo.errors import ModelError
from yanmo.modeling.loop import resuming
from yanmo.modeling.loop.training_loop import Trainer
from yanmo.modeling.objectives.choices import ChoicesObjective
from yanmo.modeling.parallel import workers
from yanmo.modeling.settings import LoopSettings

SETTINGS = LoopSettings(
    learning_rate=0.1,
    batch_size=4,
    num_epochs=1,
    warmup_ratio=0.0,
    weight_decay=0.0,
    max_grad_norm=1.0,
    gradient_accumulation_steps=1,
    early_stopping_patience=1,
    seed=1,
)


def make_trainer(folder, run_key="new"):
    return Trainer(
        nn.Linear(2, 2),
        lambda module, batch: module(batch["x"]),
        objective=ChoicesObjective(SOFTMAX, lambda *_: {}),
        settings=SETTINGS,
        work_dir=folder,
        run_key=run_key,
    )


def save_at(trainer, *steps):
    for step in steps:
        trainer.position.step = step
        resuming.save_training(trainer)


def steps_left(folder):
    return sorted(int(path.stem.rpartition("-")[2]) for path in folder.glob("checkpoint-*"))


def test_checkpoints_of_other_work_go_however_high_their_steps_are(tmp_path, caplog):
    save_at(make_trainer(tmp_path, "old"), 4000, 5000)
    trainer = make_trainer(tmp_path)
    assert not resuming.resume(trainer)
    assert "training starts anew" in caplog.text
    assert steps_left(tmp_path) == []
    save_at(trainer, 0, 500, 1000)
    assert steps_left(tmp_path) == [500, 1000]
    again = make_trainer(tmp_path)
    assert resuming.resume(again)
    assert again.position.step == 1000
    assert torch.equal(again.module.weight, trainer.module.weight)


def test_a_damaged_checkpoint_takes_no_place_of_a_good_one(tmp_path):
    save_at(make_trainer(tmp_path), 100, 200)
    os.truncate(tmp_path / "checkpoint-0000000200.safetensors", 50)
    trainer = make_trainer(tmp_path)
    assert resuming.resume(trainer)
    assert trainer.position.step == 100
    save_at(trainer, 150, 160)
    assert steps_left(tmp_path) == [150, 160]


def test_where_all_are_damaged_none_is_removed(tmp_path):
    save_at(make_trainer(tmp_path), 100)
    os.truncate(tmp_path / "checkpoint-0000000100.safetensors", 50)
    with pytest.raises(ModelError, match="No checkpoint"):
        resuming.resume(make_trainer(tmp_path))
    assert steps_left(tmp_path) == [100]


def test_each_worker_goes_on_with_the_parts_that_it_had(tmp_path, monkeypatch):
    monkeypatch.setattr(workers, "collect", lambda value: [value, 4])
    save_at(make_trainer(tmp_path), 100)
    for rank, num_parts in enumerate((1, 4)):
        trainer = make_trainer(tmp_path)
        monkeypatch.setattr(workers, "rank", lambda rank=rank: rank)
        assert resuming.resume(trainer)
        assert trainer.position.num_parts == num_parts


def test_without_a_folder_there_is_nothing_to_take_up():
    assert not resuming.resume(make_trainer(None))
