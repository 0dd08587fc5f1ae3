"""The operations of a graph are those of its architecture, whatever operators it is written with."""

import pytest
from onnxruntime.quantization import quantize_dynamic

from yanmo.answers.links import SOFTMAX
from yanmo.exporting.int8 import Options, TracedQuantizer
from yanmo.exporting.products import Operations, count_operations, measure_peak
from yanmo.modeling.networks.trainable_networks import make_trainable
from yanmo.modeling.settings import NetworkSettings
from yanmo.models import resolve
from yanmo.text.inputs import Inputs

LAYERS, WIDTH, CLASSES = 2, 32, 3


@pytest.fixture(scope="module")
def graph(tmp_path_factory):
    import numpy as np
    import torch

    from yanmo.exporting.tracing import trace_graph

    texts = Inputs((["a b c", "b c d"],))
    settings = NetworkSettings(["x", "y", "z"], SOFTMAX, max_length=16, vocab_size=50, dropout=0.0)
    torch.manual_seed(0)
    module = make_trainable(resolve(f"bert-{LAYERS}x{WIDTH}"), texts, settings).module
    ids_BT = np.array([[2, 5, 3], [2, 3, 0]], dtype=np.int64)
    inputs = {"input_ids": ids_BT, "attention_mask": (ids_BT > 0).astype(np.int64)}
    path = tmp_path_factory.mktemp("graph") / "model.onnx"
    path.write_bytes(trace_graph(module, lambda one: module(**one).logits, inputs))
    return path


def test_every_token_meets_the_layers_and_every_text_the_head_once(graph):
    per_layer = 4 * WIDTH * WIDTH + 2 * WIDTH * 4 * WIDTH
    expected = Operations(2 * LAYERS * per_layer, 2 * (WIDTH * WIDTH + WIDTH * CLASSES), "fp32")
    assert count_operations(graph) == expected
    assert expected.of_text(10) == 10 * expected.per_token + expected.per_text


@pytest.mark.filterwarnings("ignore")
def test_int8_has_the_same_number_and_says_so(graph, tmp_path):
    quantize_dynamic(graph, tmp_path / "int8.onnx", per_channel=True)
    plain, int8 = count_operations(graph), count_operations(tmp_path / "int8.onnx")
    assert (int8.per_token, int8.per_text, int8.precision) == (plain.per_token, plain.per_text, "int8")


def test_weights_that_are_only_stored_in_8_bits_are_counted_and_computed_in_fp32(graph, tmp_path):
    options = Options("weight-only", "per-channel", "max", reduce_range=True, embeddings=True)
    (tmp_path / "stored.onnx").write_bytes(TracedQuantizer(graph.read_bytes(), options).build())
    assert count_operations(tmp_path / "stored.onnx") == count_operations(graph)


@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_a_plain_product_has_a_speed(precision):
    assert 1e8 < measure_peak(precision, 1, seconds=0.0) < 1e15
