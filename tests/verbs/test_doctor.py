"""doctor: measured rates, reasons for every choice, and what is installed."""

import importlib.util
import json
import sys
from importlib import metadata

import pytest

from yanmo.cli import main
from yanmo.machine import describe_machine, instruction_sets
from yanmo.verbs.doctor import _extras, doctor


@pytest.fixture(scope="module")
def findings():
    return doctor(num_threads=1, seconds=0.0)


def test_rates_are_measured_for_every_precision(findings):
    measured = {(one["engine"], one["device"], one["precision"]): one["gflops"] for one in findings.rates}
    wanted = {("torch", "cpu", "fp32"), ("torch", "cpu", "bf16"), ("onnxruntime", "cpu", "fp32")}
    assert {*wanted, ("onnxruntime", "cpu", "int8")} <= set(measured)
    assert all(rate > 0 for rate in measured.values())


def test_every_choice_has_a_reason(findings):
    chosen = {one["choice"]: one for one in findings.choices}
    assert set(chosen) == {
        "threads",
        "device of training",
        "precision of training",
        "--compile auto",
        "--runtime auto",
        "quantize",
    }
    assert all(one["because"] for one in findings.choices)
    assert "onnxruntime" in chosen["--runtime auto"]["chosen"]


def test_threads_follow_the_variable_and_the_argument(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    (threads,) = [one for one in doctor(seconds=0.0).choices if one["choice"] == "threads"]
    assert threads == {"choice": "threads", "chosen": "1", "because": "OMP_NUM_THREADS is 1"}


def test_extras_say_what_they_lack(findings):
    extras = {one["extra"]: one for one in findings.extras}
    assert extras["train"] == {"extra": "train", "installed": "yes", "missing": "–"}
    assert set(extras) >= {"train", "dev", "lightgbm", "openvino"}
    for one in extras.values():
        assert (one["installed"] == "yes") == (one["missing"] == "–")


def test_an_extra_whose_package_has_extras_itself_is_told(monkeypatch):
    monkeypatch.setattr(metadata, "requires", lambda _: ["psycopg[binary]>=3.2; extra == 'postgresql'"])
    state = "yes" if importlib.util.find_spec("psycopg") else "no"
    assert [(one["extra"], one["installed"]) for one in _extras()] == [("postgresql", state)]


def test_without_torch_the_rest_is_told(monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    monkeypatch.setitem(sys.modules, "onnx", None)
    monkeypatch.delitem(sys.modules, "yanmo.exporting.products", raising=False)
    found = doctor(seconds=0.0)
    assert found.rates == []
    assert {one["choice"] for one in found.choices} == {"threads", "--runtime auto"}


def test_the_command_prints_one_object_for_machines_and_tables_for_people(capsys):
    assert main(["doctor", "--seconds", "0", "--num-threads", "1", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["processor"] == describe_machine()["processor"]
    assert told["instruction_sets"] == (", ".join(instruction_sets()) or None)
    assert main(["doctor", "--seconds", "0", "--num-threads", "1"]) == 0
    assert "precision of training" in " ".join(capsys.readouterr().out.split())
