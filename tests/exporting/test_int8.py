"""int8 graphs: every kind computes what its integers say, and what is kept in fp32 really is."""

from __future__ import annotations

import dataclasses

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper

from yanmo.exporting.encoder_folder import read_folder
from yanmo.exporting.encoder_graph import write_encoder
from yanmo.exporting.graph import FLOAT, GraphWriter
from yanmo.exporting.int8 import EncoderQuantizer, Options, TracedQuantizer
from yanmo.exporting.products import count_operations
from yanmo.exporting.quantization import ActivationRange, QuantizedProduct, quantize_table, quantize_weight
from yanmo.exporting.tracing import trace_graph
from yanmo.machine import instruction_sets
from yanmo.modeling.light import light_models
from yanmo.verbs.doctor import EIGHT_BIT_SETS

from .conftest import MAX_LENGTH, VOCAB_SIZE

PLAIN = Options("static", "per-channel", "max", reduce_range=True, embeddings=True)
KINDS = ["dynamic", "static", "weight-only"]


def constants(content):
    graph = onnx.load_model_from_string(content).graph
    return {one.name: numpy_helper.to_array(one) for one in graph.initializer}


def open_session(content):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = 1, 3
    return onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])


def calibrate(quantizer, feeds):
    """Show a quantizer what goes into its products on some batches."""
    session = open_session(quantizer.watched())
    names = [one.name for one in session.get_outputs() if one.name.endswith(".input")]
    values = [session.run(names, feed) for feed in feeds]
    seen = {name: np.concatenate([one[place].ravel() for one in values]) for place, name in enumerate(names)}
    quantizer.calibrate(
        {name.removesuffix(".input"): ActivationRange(one.min(), one.max()) for name, one in seen.items()}
    )


@pytest.fixture(scope="module")
def encoder(get_network):
    return read_folder(get_network("bert")[1])


@pytest.fixture(scope="module")
def feeds(make_feeds):
    return make_feeds(0, shapes=[(16, 19), (8, 7), (1, 11)])


def make_quantizer(encoder, feeds, **changes):
    options = dataclasses.replace(PLAIN, **changes)
    quantizer = EncoderQuantizer(encoder, options, max_length=MAX_LENGTH, is_pair=False)
    if options.kind == "static":
        calibrate(quantizer, feeds)
    return quantizer


def relative_error(found, expected):
    found_NC, expected_NC = np.concatenate(found), np.concatenate(expected)
    return np.sqrt(np.square(found_NC - expected_NC).mean() / expected_NC.var(axis=0).mean())


@pytest.mark.parametrize("granularity", ["per-channel", "per-tensor"])
@pytest.mark.parametrize("has_bias", [True, False])
@pytest.mark.parametrize("kind", KINDS)
def test_a_product_is_that_of_its_integers(kind, has_bias, granularity):
    generator = np.random.default_rng(0)
    rows_MK = generator.normal(0.3, 1, (9, 16)).astype(np.float32)
    weight_KN = generator.normal(0, 1, (16, 5)).astype(np.float32)
    bias_N = generator.normal(0, 1, 5).astype(np.float32) if has_bias else None
    values_KN, scale_N = quantize_weight(weight_KN, granularity=granularity, clipping="max", reduce_range=True)
    quantized = QuantizedProduct(kind, values_KN, scale_N, input_scale=0.03, input_zero=100)
    writer = GraphWriter()
    writer.name_output(writer.product("rows", "one", weight_KN, bias_N, quantized), "logits")
    content = writer.finish({"rows": (FLOAT, ["M", 16])}, {"logits": ["M", 5]}, {})
    (found_MN,) = open_session(content).run(["logits"], {"rows": rows_MK})
    seen_MK = rows_MK
    if kind == "static":
        seen_MK = (np.clip(np.rint(rows_MK / np.float32(0.03)) + 100, 0, 255) - 100) * 0.03
    elif kind == "dynamic":
        step = (rows_MK.max() - rows_MK.min()) / 255
        zero = np.rint(-rows_MK.min() / step)
        seen_MK = (np.clip(np.rint(rows_MK / step) + zero, 0, 255) - zero) * step
    expected_MN = seen_MK @ (values_KN * scale_N) + (0 if bias_N is None else bias_N)
    np.testing.assert_allclose(found_MN, expected_MN, rtol=0, atol=1e-4)
    assert np.abs(found_MN - rows_MK @ weight_KN - (0 if bias_N is None else bias_N)).max() > 1e-3


@pytest.mark.parametrize("granularity", ["per-channel", "per-tensor"])
@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_answers_nearly_as_fp32_and_is_smaller(kind, granularity, encoder, feeds, score_graph):
    plain = write_encoder(encoder, max_length=MAX_LENGTH, is_pair=False)
    # Without products of 8 bits the sums of two of them overflow.
    reduce_range = not set(EIGHT_BIT_SETS) & set(instruction_sets())
    content = make_quantizer(encoder, feeds, kind=kind, granularity=granularity, reduce_range=reduce_range).build()
    error = relative_error(score_graph(content, feeds), score_graph(plain, feeds))
    assert 1e-4 < error < (0.3 if reduce_range else 0.15)
    int8_bytes = sum(one.nbytes for one in constants(content).values())
    assert int8_bytes < 0.45 * sum(one.nbytes for one in constants(plain).values())


def test_weight_only_is_fp32_with_rounded_weights(encoder, feeds, score_graph):
    content = make_quantizer(encoder, feeds, kind="weight-only", embeddings=False).build()
    rounded = {}
    for one in encoder.products():
        values_KN, scale_N = quantize_weight(
            one.weight_KN, granularity="per-channel", clipping="max", reduce_range=True
        )
        rounded[one.name] = dataclasses.replace(one, weight_KN=values_KN * scale_N)
    layers = tuple(
        dataclasses.replace(
            layer,
            **{
                name: rounded[getattr(layer, name).name]
                for name in ("attention_in", "attention_out", "feed_forward_in", "feed_forward_out")
            },
        )
        for layer in encoder.layers
    )
    head = (rounded["head.hidden"], encoder.head[1])
    expected = write_encoder(
        dataclasses.replace(encoder, layers=layers, head=head), max_length=MAX_LENGTH, is_pair=False
    )
    for found_BC, expected_BC in zip(score_graph(content, feeds), score_graph(expected, feeds), strict=True):
        np.testing.assert_allclose(found_BC, expected_BC, rtol=0, atol=1e-5)


def test_the_parts_stand_in_the_order_in_which_they_run(encoder, feeds, get_network):
    names = make_quantizer(encoder, feeds, kind="dynamic").names
    parts = ("attention_in", "attention_out", "feed_forward_in", "feed_forward_out")
    assert names == ["tokens", *(f"layer.{layer}.{part}" for layer in range(3) for part in parts), "head.hidden"]
    assert make_quantizer(encoder, feeds, kind="dynamic", embeddings=False).names == names[1:]
    shared = make_quantizer(read_folder(get_network("albert")[1]), feeds, kind="dynamic").names
    assert shared == ["tokens", "projection", *(f"layer.0.{part}" for part in parts), "head.hidden"]


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_kept_is_fp32_bit_for_bit(kind, encoder, feeds, score_graph):
    quantizer = make_quantizer(encoder, feeds, kind=kind)
    kept = ["tokens", "layer.1.feed_forward_in", "layer.2.attention_out"]
    found = constants(quantizer.build(kept))
    np.testing.assert_array_equal(found["tokens"], encoder.tokens_VE)
    np.testing.assert_array_equal(found["layer.1.feed_forward_in.weight"], encoder.layers[1].feed_forward_in.weight_KN)
    np.testing.assert_array_equal(found["layer.2.attention_out.weight"], encoder.layers[2].attention_out.weight_KN)
    integers = {name for name, one in found.items() if one.dtype == np.int8}
    assert integers == {f"{name}.weight" for name in quantizer.names if name not in kept}
    plain = write_encoder(encoder, max_length=MAX_LENGTH, is_pair=False)
    everything = score_graph(quantizer.build(quantizer.names), feeds)
    for found_BC, expected_BC in zip(everything, score_graph(plain, feeds), strict=True):
        np.testing.assert_array_equal(found_BC, expected_BC)


def test_seven_bits_are_the_only_difference_of_a_reduced_range(encoder, feeds):
    for reduce_range, top in ((True, 64), (False, 127)):
        found = constants(make_quantizer(encoder, feeds, reduce_range=reduce_range).build())
        weights = [one for name, one in found.items() if one.dtype == np.int8 and name != "tokens"]
        assert max(np.abs(one.astype(int)).max() for one in weights) == top
        assert np.abs(found["tokens"].astype(int)).max() == 127


@pytest.mark.parametrize("name", ["albert", "albert in two groups"])
def test_layers_that_share_weights_are_all_calibrated(name, get_network, make_feeds, score_graph):
    encoder = read_folder(get_network(name)[1])
    feeds = make_feeds(0, shapes=[(16, 19)])
    quantizer = make_quantizer(encoder, feeds)
    session = open_session(quantizer.watched())
    outputs = [one.name for one in session.get_outputs()]
    values = dict(zip(outputs, session.run(outputs, feeds[0]), strict=True))
    num_cells = feeds[0]["input_ids"].size
    rows = {one: len(value) // num_cells for one, value in values.items() if "attention_in" in one}
    assert sum(rows.values()) == len(encoder.layers)
    assert values["projection.input"].shape == (num_cells, 16)
    assert values["head.hidden.input"].shape == (16, 32)
    plain = write_encoder(encoder, max_length=MAX_LENGTH, is_pair=False)
    assert relative_error(score_graph(quantizer.build(), feeds), score_graph(plain, feeds)) < 0.2


def test_a_static_answer_does_not_depend_on_the_batch_a_dynamic_one_does(encoder, feeds, score_graph):
    alone = [
        {"input_ids": ids_T[None, :length], "lengths": np.array([length], np.int32)}
        for ids_T, length in zip(feeds[0]["input_ids"], feeds[0]["lengths"], strict=True)
    ]
    differences = {}
    for kind in ("static", "dynamic"):
        content = make_quantizer(encoder, feeds, kind=kind).build()
        together_BC = score_graph(content, feeds)[0]
        differences[kind] = np.abs(np.concatenate(score_graph(content, alone)) - together_BC).max()
    assert differences["static"] <= 1e-5
    assert differences["dynamic"] > 1e-3


def test_building_twice_gives_the_same_bytes(encoder, feeds):
    first, second = (make_quantizer(encoder, feeds) for _ in range(2))
    assert first.build() == first.build() == second.build()
    assert first.build(["tokens"]) == second.build(["tokens"]) != first.build()


LIGHT = {
    "textcnn": {"embedding_size": 32, "kernel_sizes": [1, 2, 3], "num_filters": 24, "embedding_dropout": 0.1},
    "bilstm": {"embedding_size": 32, "hidden_size": 24},
}
OPERATORS = {"textcnn": "Conv", "bilstm": "LSTM"}


@pytest.fixture(scope="module", params=LIGHT)
def traced(request):
    """A traced light network: its family, its fp32 graph, and batches for it."""
    torch.manual_seed(0)
    sizes = {"vocab_size": VOCAB_SIZE, "num_classes": 3, "dropout": 0.1, **LIGHT[request.param]}
    module = light_models.build_light_model({"family": request.param, **sizes}).eval()
    with torch.no_grad():
        for parameter in module.parameters():
            if parameter.ndim > 1:
                parameter.normal_(0, 0.25)
    generator = np.random.default_rng(0)
    feeds = []
    for batch, length in ((12, 9), (3, 17), (1, 4)):
        mask_BT = (np.arange(length) < generator.integers(1, length + 1, batch)[:, None]).astype(np.int64)
        feeds.append(
            {"input_ids": generator.integers(2, VOCAB_SIZE, (batch, length)) * mask_BT, "attention_mask": mask_BT}
        )
    content = trace_graph(module, lambda one: module(one["input_ids"], one["attention_mask"]), feeds[0])
    return request.param, content, feeds


@pytest.mark.parametrize("kind", KINDS)
def test_a_traced_graph_answers_nearly_as_fp32_and_is_smaller(kind, traced, score_graph):
    _, content, feeds = traced
    quantizer = TracedQuantizer(content, dataclasses.replace(PLAIN, kind=kind))
    if kind == "static":
        calibrate(quantizer, feeds)
    int8 = quantizer.build()
    assert 1e-4 < relative_error(score_graph(int8, feeds), score_graph(content, feeds)) < 0.1
    assert len(int8) < 0.6 * len(content)
    assert quantizer.build() == int8


def test_weights_of_convolutions_and_lstms_are_stored_as_int8(traced, score_graph):
    family, content, _ = traced
    quantizer = TracedQuantizer(content, dataclasses.replace(PLAIN, kind="weight-only"))
    model = onnx.load_model_from_string(quantizer.build())
    arrays = {one.name: numpy_helper.to_array(one) for one in model.graph.initializer}
    nodes = [one for one in model.graph.node if one.op_type == OPERATORS[family]]
    assert nodes
    large = [one.name for one in model.graph.initializer if arrays[one.name].size >= 1024 and "bias" not in one.name]
    assert large
    assert all(arrays[name].dtype == np.int8 for name in large)
    for node in nodes:
        if node.name in quantizer.names:
            assert node.input[1] not in arrays, "made from int8 by operators before it"
    assert len(TracedQuantizer(content, dataclasses.replace(PLAIN, embeddings=False)).names) == len(quantizer.names) - 1


@pytest.mark.parametrize("kind", KINDS)
def test_only_convolutions_that_became_products_count_as_int8(kind, traced, tmp_path):
    family, content, feeds = traced
    quantizer = TracedQuantizer(content, dataclasses.replace(PLAIN, kind=kind))
    if kind == "static":
        calibrate(quantizer, feeds)
    for name, graph in (("fp32.onnx", content), ("int8.onnx", quantizer.build())):
        (tmp_path / name).write_bytes(graph)
    plain, int8 = count_operations(tmp_path / "fp32.onnx"), count_operations(tmp_path / "int8.onnx")
    precision = "int8" if family == "textcnn" and kind != "weight-only" else "fp32"
    assert int8 == dataclasses.replace(plain, precision=precision)


def test_what_is_kept_of_a_traced_graph_is_fp32_bit_for_bit(traced, score_graph):
    _, content, feeds = traced
    quantizer = TracedQuantizer(content, dataclasses.replace(PLAIN, kind="dynamic"))
    for found_BC, expected_BC in zip(
        score_graph(quantizer.build(quantizer.names), feeds), score_graph(content, feeds), strict=True
    ):
        np.testing.assert_array_equal(found_BC, expected_BC)
    order = [one.name for one in onnx.load_model_from_string(content).graph.node]
    places = [order.index(name) for name in quantizer.names]
    assert places == sorted(places)
    kept = quantizer.names[0]
    some = onnx.load_model_from_string(quantizer.build([kept]))
    assert kept in [node.name for node in some.graph.node]


def make_traced(nodes, arrays, *, inputs=("rows",), shape=("M", 32), opset=18):
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name in inputs],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["X", "Y", "Z"][: len(shape)])],
        [numpy_helper.from_array(array, name) for name, array in arrays.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=10)
    onnx.checker.check_model(model)
    return model.SerializeToString()


GENERATOR = np.random.default_rng(1)
SQUARE = GENERATOR.normal(0, 0.2, (32, 32)).astype(np.float32)


@pytest.mark.parametrize(
    ("attributes", "is_part"),
    [({}, True), ({"transB": 1}, True), ({"alpha": 0.5}, False), ({"beta": 2.0}, False), ({"transA": 1}, False)],
)
def test_only_plain_products_become_int8(attributes, is_part):
    node = helper.make_node("Gemm", ["rows", "weight", "bias"], ["logits"], name="gemm", **attributes)
    content = make_traced([node], {"weight": SQUARE, "bias": np.ones(32, np.float32)})
    quantizer = TracedQuantizer(content, dataclasses.replace(PLAIN, kind="dynamic"))
    assert quantizer.names == (["gemm"] if is_part else [])
    rows_MK = GENERATOR.normal(0, 1, (32, 32)).astype(np.float32)
    found, expected = (open_session(one).run(None, {"rows": rows_MK})[0] for one in (quantizer.build(), content))
    assert np.abs(found - expected).max() < (0.15 if is_part else 1e-6)


@pytest.mark.parametrize(
    ("attributes", "becomes"),
    [
        ({}, "product"),
        ({"strides": [1], "dilations": [1], "pads": [0, 0], "group": 1}, "product"),
        ({"strides": [2]}, "stored"),
        ({"dilations": [2]}, "stored"),
        ({"pads": [1, 1]}, "stored"),
        ({"auto_pad": "SAME_UPPER"}, "stored"),
        ({"group": 2}, "stored"),
    ],
)
@pytest.mark.parametrize("has_bias", [True, False])
@pytest.mark.parametrize("size", [1, 3])
def test_a_plain_convolution_becomes_a_product_of_its_windows(size, has_bias, attributes, becomes):
    generator = np.random.default_rng(2)
    group = attributes.get("group", 1)
    arrays = {
        "weight": generator.normal(0, 0.2, (64, 32 // group, size)).astype(np.float32),
        "bias": generator.normal(0, 1, 64).astype(np.float32),
    }
    names = ["rows", "weight", "bias"] if has_bias else ["rows", "weight"]
    node = helper.make_node("Conv", names, ["logits"], name="conv", **attributes)
    content = make_traced([node], {name: arrays[name] for name in names[1:]}, shape=("B", 32, "T"))
    quantizer = TracedQuantizer(content, dataclasses.replace(PLAIN, kind="dynamic"))
    kinds = [one.op_type for one in onnx.load_model_from_string(quantizer.build()).graph.node]
    assert quantizer.names == ["conv"]
    assert ("Conv" in kinds) == (becomes == "stored")
    assert ("DynamicQuantizeMatMul" in kinds) == (becomes == "product")
    for num_texts, num_places in ((4, 9), (1, 5)):
        x_BDT = generator.normal(0, 1, (num_texts, 32, num_places)).astype(np.float32)
        found, expected = (open_session(one).run(None, {"rows": x_BDT})[0] for one in (quantizer.build(), content))
        assert found.shape == expected.shape
        assert np.abs(found - expected).max() < 0.02 * np.abs(expected).max()


@pytest.mark.parametrize(("axis", "is_part"), [(0, True), (1, False)])
def test_only_rows_of_a_table_become_int8(axis, is_part):
    nodes = [
        helper.make_node("Cast", ["rows"], ["places"], to=TensorProto.INT64),
        helper.make_node("Gather", ["table", "places"], ["logits"], name="gather", axis=axis),
    ]
    table = GENERATOR.normal(0, 1, (40, 50)).astype(np.float32)
    quantizer = TracedQuantizer(make_traced(nodes, {"table": table}), dataclasses.replace(PLAIN, kind="dynamic"))
    assert quantizer.names == (["gather"] if is_part else [])
    rows = np.arange(32, dtype=np.float32)[None]
    found = open_session(quantizer.build()).run(None, {"rows": rows})[0]
    whole = quantize_table(table, clipping="max")
    expected = (whole.values_VE * whole.scale_V1.astype(np.float32))[None, :32] if is_part else table[:, None, :32]
    np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_constants_of_inner_graphs_stay():
    shape = ["M", 32]
    branches = {
        name: helper.make_graph(
            [helper.make_node("Add", ["product", constant], [f"{name}.sum"])],
            name,
            [],
            [helper.make_tensor_value_info(f"{name}.sum", TensorProto.FLOAT, shape)],
        )
        for name, constant in (("then_branch", "one"), ("else_branch", "two"))
    }
    nodes = [
        helper.make_node("MatMul", ["rows", "weight"], ["product"], name="matmul"),
        helper.make_node("ReduceMax", ["rows"], ["largest"], keepdims=0),
        helper.make_node("Cast", ["largest"], ["condition"], to=TensorProto.BOOL),
        helper.make_node("If", ["condition"], ["logits"], **branches),
    ]
    arrays = {"weight": SQUARE, "one": np.ones(32, np.float32), "two": np.full(32, 2, np.float32)}
    quantizer = TracedQuantizer(make_traced(nodes, arrays), dataclasses.replace(PLAIN, kind="dynamic"))
    session = open_session(quantizer.build())
    assert quantizer.names == ["matmul"]
    np.testing.assert_allclose(session.run(None, {"rows": np.zeros((2, 32), np.float32)})[0], np.full((2, 32), 2))
