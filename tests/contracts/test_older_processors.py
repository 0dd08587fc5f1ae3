"""Processors without AVX512, VNNI or AVX2 answer alike: emulated by qemu, and with the caps of torch's kernels."""

import json
import os
import platform
import shutil
import subprocess
import sys

import numpy as np
import pytest

import yanmo
from yanmo.exporting.graph import FLOAT, GraphWriter
from yanmo.exporting.quantization import ActivationRange, QuantizedProduct, activation_scale, quantize_weight
from yanmo.runtimes.engines.ort import open_engine

EMULATOR = shutil.which("qemu-x86_64")
needs_emulator = pytest.mark.skipif(
    EMULATOR is None or platform.machine() != "x86_64", reason="qemu-x86_64 is not installed, or this is no x86-64"
)
NO_VNNI, NO_AVX2 = "Haswell", "Nehalem"
WORDS = {"good": ["tasty", "warm", "好吃", "quick"], "bad": ["cold", "late", "难吃", "rude"]}
TEXTS = ["tasty food", "the rider was late", "味道难吃", "", "好", "warm but late " * 20]
SETTINGS = {"num_epochs": 6, "batch_size": 8, "learning_rate": 5e-3, "vocab_size": 100, "max_length": 24}
METHODS = ("int8-static", "int8-dynamic", "weight-only")
WIDTH = 64
PRODUCTS = [(kind, num_bits) for kind in ("static", "dynamic") for num_bits in (7, 8)]

ANSWER = """
import json, sys, yanmo
runtime, texts, *paths = json.loads(sys.argv[1])
answers = []
for path in paths:
    try:
        with yanmo.load(path, runtime=runtime, num_threads=1) as predictor:
            answers.append(predictor.predict_proba(texts).tolist())
    except yanmo.YanmoError as error:
        answers.append(error.message)
if "torch" in sys.modules:
    print(sys.modules["torch"].backends.cpu.get_cpu_capability())
print(json.dumps(answers))
"""
COMPUTE = """
import json, sys
from pathlib import Path
import numpy as np
from yanmo.runtimes.engines.ort import open_engine
answers = []
for path in map(Path, json.loads(sys.argv[1])):
    (logits_BC,) = open_engine(path, 1).run([dict(np.load(path.with_suffix(".npz")))])
    answers.append(logits_BC.tolist())
print(json.dumps(answers))
"""


@pytest.fixture(scope="module")
def bundles(tmp_path_factory):
    """Small models that have learned, in every format and every kind of 8 bits; name to Bundle."""
    folder = tmp_path_factory.mktemp("older")
    rows = [
        {"text": f"{word} {other} {number}", "label": label}
        for label, words in WORDS.items()
        for word in words
        for other in ("food", "送餐")
        for number in range(6)
    ]
    (folder / "rows.jsonl").write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    dataset = yanmo.prepare(folder / "rows.jsonl", out=folder / "data")
    made = {"ngram": yanmo.train(dataset, model="ngram", out=folder / "ngram")}
    for model in ("bert-1x32", "bilstm"):
        made[model] = yanmo.train(dataset, model=model, out=folder / model, **SETTINGS)
    made["onnx"] = yanmo.export(made["bert-1x32"], out=folder / "onnx")
    for source, method in [
        ("ngram", "int8-static"),
        ("bilstm", "int8-static"),
        *(("bert-1x32", one) for one in METHODS),
    ]:
        name = f"{source} {method}"
        made[name] = yanmo.quantize(made[source], dataset, method=method, max_drop=1.0, out=folder / name)
    return made


@pytest.fixture(scope="module")
def expected(bundles):
    """Bundle's name to what it answers here."""
    answers = {}
    for name, bundle in bundles.items():
        with yanmo.load(bundle) as predictor:
            answers[name] = predictor.predict_proba(TEXTS)
    return answers


def run(code, given, *, processor=None, env=None):
    """Return what a process on some processor prints: the lines before the last, and the last as JSON."""
    emulated = [EMULATOR, "-cpu", processor] if processor else []
    command = [*emulated, sys.executable, "-c", code, json.dumps(given)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env={**os.environ, **(env or {})})
    assert done.returncode == 0, done.stderr[-2000:]
    *before, last = done.stdout.splitlines()
    return before, json.loads(last)


def ask(names, bundles, *, runtime=None, **where):
    return run(ANSWER, [runtime, TEXTS, *(str(bundles[name].path) for name in names)], **where)


@needs_emulator
@pytest.mark.slow
def test_avx2_without_vnni_answers_alike(bundles, expected):
    names = [name for name, bundle in bundles.items() if bundle.format != "torch"]
    assert len(names) == 7
    _, answers = ask(names, bundles, processor=NO_VNNI)
    for name, found_NC in zip(names, answers, strict=True):
        np.testing.assert_allclose(found_NC, expected[name], atol=1e-5, err_msg=name)


def product(kind, *, reduce_range):
    """Return the graph of rows times ones, whose 8-bit forms are the largest that there are."""
    weight_KN = np.ones((WIDTH, 4), np.float32)
    values_KN, scale_N = quantize_weight(
        weight_KN, granularity="per-channel", clipping="max", reduce_range=reduce_range
    )
    quantized = QuantizedProduct(kind, values_KN, scale_N, *activation_scale(ActivationRange(0.0, 1.0)))
    writer = GraphWriter()
    writer.name_output(writer.product("rows", "product", weight_KN, None, quantized), "logits")
    return writer.finish({"rows": (FLOAT, ["batch", WIDTH])}, {"logits": ["batch", 4]}, {})


@pytest.fixture(scope="module")
def graphs(bundles, tmp_path_factory):
    """Name to an ONNX file, beside which stands its input: encoders, and products of the largest numbers."""
    lengths_B = np.array([9, 4, 1], np.int32)
    ids_BT = np.random.default_rng(0).integers(5, 60, (3, 9)).astype(np.int32) * (np.arange(9) < lengths_B[:, None])
    tokens = {"input_ids": ids_BT.astype(np.int32), "lengths": lengths_B}
    rows = {"rows": np.ones((3, WIDTH), np.float32)}
    made = {name: (product(name[0], reduce_range=name[1] == 7), rows) for name in PRODUCTS}
    for name in ("onnx", *(f"bert-1x32 {method}" for method in METHODS)):
        made[name] = (bundles[name].path / "onnx" / "model.onnx").read_bytes(), tokens
    folder, paths = tmp_path_factory.mktemp("graphs"), {}
    for place, (name, (content, feed)) in enumerate(made.items()):
        paths[name] = folder / f"{place}.onnx"
        paths[name].write_bytes(content)
        np.savez(paths[name].with_suffix(".npz"), **feed)
    return paths


@needs_emulator
@pytest.mark.parametrize("processor", [NO_VNNI, NO_AVX2])
def test_the_engine_alone_computes_alike_and_seven_bits_never_overflow(processor, graphs):
    """Without AVX2 the graphs are asked, not the Bundles: the usual build of Polars needs it."""
    _, answers = run(COMPUTE, [str(path) for path in graphs.values()], processor=processor)
    found = dict(zip(graphs, answers, strict=True))
    for name, path in graphs.items():
        if name not in PRODUCTS:
            (expected_BC,) = open_engine(path, 1).run([dict(np.load(path.with_suffix(".npz")))])
            assert np.ptp(expected_BC) > 0.5
            np.testing.assert_allclose(found[name], expected_BC, atol=1e-4, err_msg=name)
        elif name[1] == 7:
            np.testing.assert_allclose(found[name], np.full((3, 4), WIDTH), rtol=0.01)
        elif processor == NO_VNNI:
            np.testing.assert_allclose(found[name], np.full((3, 4), WIDTH * 32767 / (255 * 127 * 2)), rtol=0.01)


@pytest.mark.parametrize(
    ("capability", "isa", "names"), [("default", "SSE41", ["bert-1x32", "bilstm"]), ("avx2", "AVX2", ["bilstm"])]
)
@pytest.mark.slow
def test_torch_answers_alike_with_older_kernels(capability, isa, names, bundles, expected):
    env = {"ATEN_CPU_CAPABILITY": capability, "ONEDNN_MAX_CPU_ISA": isa}
    before, answers = ask(names, bundles, env=env)
    assert before == [capability.upper()]
    for name, found_NC in zip(names, answers, strict=True):
        np.testing.assert_allclose(found_NC, expected[name], atol=1e-5, err_msg=name)


@pytest.mark.extra("openvino")
def test_openvino_with_older_kernels_answers_alike_or_is_refused(bundles, expected):
    names = ["onnx", "bilstm int8-static", *(f"bert-1x32 {method}" for method in METHODS)]
    _, answers = ask(names, bundles, runtime="openvino", env={"ONEDNN_MAX_CPU_ISA": "AVX2"})
    for name, found in zip(names, answers, strict=True):
        if isinstance(found, str):
            assert name != "onnx"
            assert "must give 2 scores" in found or "does not answer as it did" in found
        else:
            np.testing.assert_allclose(found, expected[name], atol=1e-2, err_msg=name)
