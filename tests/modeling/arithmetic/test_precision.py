"""The choice between fp32 and bf16, on a machine that says what it can do."""

import time

import pytest
import torch

from yanmo.errors import ModelError
from yanmo.modeling.arithmetic import precision
from yanmo.modeling.arithmetic.determinism import repeatable


@pytest.mark.parametrize(("bf16_seconds", "expected"), [(0.004, "bf16"), (0.012, "fp32"), (0.02, "fp32")])
def test_bf16_needs_a_clear_gain(monkeypatch, bf16_seconds, expected):
    monkeypatch.setattr(precision, "has_bf16", lambda _: True)
    seconds = {"fp32": 0.012, "bf16": bf16_seconds}

    def work(chosen):
        end = time.process_time() + seconds[chosen]
        while time.process_time() < end:
            pass

    threads = torch.get_num_threads()
    assert precision.choose_precision("auto", work, device="cpu") == expected
    assert torch.get_num_threads() == threads


def test_a_busy_machine_changes_nothing(monkeypatch):
    monkeypatch.setattr(precision, "has_bf16", lambda _: True)
    assert (
        precision.choose_precision(
            "auto", lambda one: time.sleep(0.05 * (one == "fp32")) or sum(range(10**5)), device="cpu"
        )
        == "fp32"
    )


def test_without_bf16_products_nothing_is_tried(monkeypatch):
    monkeypatch.setattr(precision, "has_bf16", lambda _: False)
    assert precision.choose_precision("auto", lambda _: pytest.fail("tried"), device="cpu") == "fp32"


def test_what_is_wanted_is_not_measured():
    assert precision.choose_precision("bf16", lambda _: pytest.fail("tried"), device="cpu") == "bf16"


def test_bf16_is_the_type_of_products_inside_the_context():
    layer, one = torch.nn.Linear(4, 4), torch.ones(1, 4)
    with precision.autocast("cpu", "bf16"):
        assert layer(one).dtype == torch.bfloat16
    with precision.autocast("cpu", "fp32"):
        assert layer(one).dtype == torch.float32


def test_a_repeatable_block_leaves_torch_as_it_was():
    threads, state = torch.get_num_threads(), torch.get_rng_state()
    draws = []
    for _ in range(2):
        with repeatable(3, num_threads=2):
            draws.append(torch.rand(4))
    assert torch.equal(*draws)
    assert torch.get_num_threads() == threads
    assert torch.equal(torch.get_rng_state(), state)


def test_what_the_processor_cannot_compute_in_bf16_is_said():
    with (
        pytest.raises(ModelError, match="cannot compute the network in bf16") as caught,
        precision.autocast("cpu", "bf16"),
    ):
        raise RuntimeError("could not create a primitive descriptor for the LSTM forward propagation primitive.")
    assert "precision = fp32" in caught.value.hint
    with pytest.raises(RuntimeError, match="shapes"), precision.autocast("cpu", "bf16"):
        raise RuntimeError("shapes differ")
