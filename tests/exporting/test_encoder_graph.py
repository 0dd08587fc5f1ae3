"""The written graph: it answers as torch does, whatever the family, and can be read back and written again."""

from __future__ import annotations

import dataclasses

import numpy as np
import onnx
import pytest
import torch
from families import TEXTS, make_checkpoint
from transformers import BertConfig
from transformers.models.mpnet.modeling_mpnet import MPNetEncoder

from yanmo.answers.links import SOFTMAX
from yanmo.errors import ModelError
from yanmo.exporting import graph
from yanmo.exporting.bert_weights import distance_buckets
from yanmo.exporting.encoder_file import read_encoder
from yanmo.exporting.encoder_folder import is_supported, read_folder
from yanmo.exporting.encoder_graph import write_encoder
from yanmo.exporting.int8 import EncoderQuantizer, Options
from yanmo.exporting.large_graphs import remove_onnx, write_onnx
from yanmo.exporting.products import count_operations
from yanmo.exporting.tracing import trace_graph
from yanmo.modeling.settings import LabeledTexts, NetworkSettings, Pruning
from yanmo.modeling.shrinking.layer_layouts import LAYOUTS
from yanmo.modeling.shrinking.pruned_encoder import make_pruned
from yanmo.runtimes.engines.ort import open_session
from yanmo.runtimes.onnx_file import check_onnx
from yanmo.text.inputs import Inputs

from .conftest import FAMILIES, MAX_LENGTH, SIZES, make_network

TOLERANCE = 1e-5
WITH_TYPES = ["bert", "xlm-roberta", "electra", "albert", "albert in two groups"]


def assert_same(found, expected):
    """Equal, and the batches' answers differ enough that this says something."""
    for found_BC, expected_BC in zip(found, expected, strict=True):
        np.testing.assert_allclose(found_BC, expected_BC, rtol=0, atol=TOLERANCE)
    assert np.concatenate(expected).std(axis=0).min() > 1000 * TOLERANCE


@pytest.mark.parametrize("name", FAMILIES)
def test_the_graph_answers_as_torch_for_any_batch_and_length(name, get_network, make_feeds, score_graph, score_torch):
    module, folder = get_network(name)
    content = write_encoder(read_folder(folder), max_length=MAX_LENGTH, is_pair=False)
    feeds = make_feeds(module.config.pad_token_id)
    assert_same(score_graph(content, feeds), [score_torch(module, feed) for feed in feeds])


@pytest.mark.parametrize("name", WITH_TYPES)
def test_the_graph_of_pairs_tells_the_two_texts_apart(name, get_network, make_feeds, score_graph, score_torch):
    module, folder = get_network(name)
    content = write_encoder(read_folder(folder), max_length=MAX_LENGTH, is_pair=True)
    feeds = make_feeds(module.config.pad_token_id, has_types=True)
    found = score_graph(content, feeds)
    assert_same(found, [score_torch(module, feed) for feed in feeds])
    swapped = [{**feed, "token_type_ids": 1 - feed["token_type_ids"]} for feed in feeds]
    assert np.abs(score_graph(content, swapped)[-1] - found[-1]).max() > 1000 * TOLERANCE


def test_a_graph_of_pairs_without_types_takes_no_types(get_network):
    encoder = read_folder(get_network("distilbert")[1])
    model = onnx.load_model_from_string(write_encoder(encoder, max_length=MAX_LENGTH, is_pair=True))
    assert [one.name for one in model.graph.input] == ["input_ids", "lengths"]


@pytest.mark.parametrize("name", ["bert", "albert"])
def test_padding_changes_nothing(name, get_network, make_feeds, score_graph):
    module, folder = get_network(name)
    content = write_encoder(read_folder(folder), max_length=MAX_LENGTH, is_pair=False)
    (feed,) = make_feeds(module.config.pad_token_id, shapes=[(6, 10)])
    (together_BC,) = score_graph(content, [feed])
    alone = [
        {"input_ids": ids_T[None, :length], "lengths": np.array([length], np.int32)}
        for ids_T, length in zip(feed["input_ids"], feed["lengths"], strict=True)
    ]
    np.testing.assert_allclose(np.concatenate(score_graph(content, alone)), together_BC, rtol=0, atol=TOLERANCE)


def test_writing_twice_gives_the_same_bytes(get_network):
    contents = {
        write_encoder(read_folder(get_network("albert")[1]), max_length=MAX_LENGTH, is_pair=True) for _ in range(2)
    }
    assert len(contents) == 1


def test_positions_end_at_the_longest_text(get_network, make_feeds, score_graph, score_torch):
    module, folder = get_network("roberta")
    content = write_encoder(read_folder(folder), max_length=7, is_pair=False)
    constants = {one.name: one for one in onnx.load_model_from_string(content).graph.initializer}
    assert list(constants["positions"].dims) == [7, SIZES["hidden_size"]]
    feeds = make_feeds(module.config.pad_token_id, shapes=[(4, 7), (9, 6)])
    assert_same(score_graph(content, feeds), [score_torch(module, feed) for feed in feeds])


def test_the_last_layer_works_for_the_first_token_alone(get_network, tmp_path):
    encoder = read_folder(get_network("bert")[1])
    path = tmp_path / "model.onnx"
    path.write_bytes(write_encoder(encoder, max_length=MAX_LENGTH, is_pair=False))
    last = encoder.layers[-1]
    once = [last.attention_out, last.feed_forward_in, last.feed_forward_out, *encoder.head]
    all_tokens = [*(product for layer in encoder.layers[:-1] for product in layer.products), last.attention_in]
    found = count_operations(path)
    assert found.per_text == 2 * sum(product.weight_KN.size for product in once)
    assert found.per_token == 2 * sum(product.weight_KN.size for product in all_tokens)


def test_shared_weights_are_written_once(get_network):
    sizes = {
        name: len(write_encoder(read_folder(get_network(name)[1]), max_length=MAX_LENGTH, is_pair=False))
        for name in ("albert", "albert in two groups")
    }
    layer = sum(
        array.nbytes
        for product in read_folder(get_network("albert")[1]).layers[0].products
        for array in (product.weight_KN, product.bias_N)
    )
    assert layer < sizes["albert in two groups"] - sizes["albert"] < 1.2 * layer


def test_distances_are_counted_as_the_network_counts_them():
    distances = torch.arange(-599, 600)[None]
    expected_R = MPNetEncoder.relative_position_bucket(distances)[0].numpy()
    np.testing.assert_array_equal(distance_buckets(600), expected_R)


@pytest.mark.parametrize("family", [name for name, layout in LAYOUTS.items() if layout.can_differ])
def test_a_pruned_network_of_any_family_has_a_graph_that_answers_alike(family, tmp_path, score_graph):
    make_checkpoint(family, tmp_path / "whole", labels=["bad", "good"])
    train = LabeledTexts(Inputs((TEXTS,)), np.eye(2, dtype=np.float32)[[0, 1] * 4])
    settings = NetworkSettings(["bad", "good"], SOFTMAX, max_length=32)
    options = Pruning(heads=0.4, feed_forward=0.6, uniform=False, num_importance_texts=8)
    made = make_pruned(tmp_path / "whole", train, options, settings)
    assert not made.architecture["is_stock"]
    made.save(tmp_path)
    batch = made.encode(Inputs((TEXTS,))).collate(np.arange(len(TEXTS)))
    with torch.inference_mode():
        expected_BC = made.score(made.module.eval(), batch).numpy()
    content = write_encoder(read_folder(tmp_path), max_length=32, is_pair=False)
    ids_BT, mask_BT = (batch[name].numpy().astype(np.int32) for name in ("input_ids", "attention_mask"))
    feed = {"input_ids": ids_BT, "lengths": mask_BT.sum(axis=1, dtype=np.int32)}
    np.testing.assert_allclose(score_graph(content, [feed])[0], expected_BC, rtol=0, atol=TOLERANCE)
    assert expected_BC.std(axis=0).min() > 1000 * TOLERANCE


KEPT_HEADS = ([0, 2], [3], [0, 1, 2, 3])
KEPT_NEURONS = (range(0, 40, 3), range(25), range(1, 40))
HEAD_WIDTH = SIZES["hidden_size"] // SIZES["num_attention_heads"]


def prune(encoder):
    """Return the encoder with some heads and neurons cut out, other ones in every layer."""
    layers = []
    for layer, heads, neurons in zip(encoder.layers, KEPT_HEADS, KEPT_NEURONS, strict=True):
        inner = np.concatenate([np.arange(HEAD_WIDTH) + head * HEAD_WIDTH for head in heads])
        outer = np.concatenate([inner + part * SIZES["hidden_size"] for part in range(3)])

        def columns(product, places):
            return dataclasses.replace(product, weight_KN=product.weight_KN[:, places], bias_N=product.bias_N[places])

        def rows(product, places):
            return dataclasses.replace(product, weight_KN=product.weight_KN[places])

        layers.append(
            dataclasses.replace(
                layer,
                num_heads=len(heads),
                attention_in=columns(layer.attention_in, outer),
                attention_out=rows(layer.attention_out, inner),
                feed_forward_in=columns(layer.feed_forward_in, list(neurons)),
                feed_forward_out=rows(layer.feed_forward_out, list(neurons)),
            )
        )
    return dataclasses.replace(encoder, layers=tuple(layers))


def test_layers_may_differ_in_heads_and_width(get_network, make_feeds, score_graph, score_torch):
    module = make_network(FAMILIES["bert"]())
    for layer, heads, neurons in zip(module.bert.encoder.layer, KEPT_HEADS, KEPT_NEURONS, strict=True):
        cut_heads = [head for head in range(SIZES["num_attention_heads"]) if head not in heads]
        for head in cut_heads:
            layer.attention.output.dense.weight.data[:, head * HEAD_WIDTH : (head + 1) * HEAD_WIDTH] = 0
        cut_neurons = [one for one in range(SIZES["intermediate_size"]) if one not in neurons]
        layer.output.dense.weight.data[:, cut_neurons] = 0
    whole, feeds = get_network("bert")[0], make_feeds(0)
    encoder = prune(read_folder(get_network("bert")[1]))
    content = write_encoder(encoder, max_length=MAX_LENGTH, is_pair=False)
    found = score_graph(content, feeds)
    assert_same(found, [score_torch(module, feed) for feed in feeds])
    assert np.abs(found[-1] - score_torch(whole, feeds[-1])).max() > 1000 * TOLERANCE


@pytest.mark.parametrize("is_pair", [False, True])
@pytest.mark.parametrize("name", [*FAMILIES, "pruned"])
def test_a_graph_is_read_back_as_it_was_written(name, is_pair, get_network, tmp_path):
    encoder = prune(read_folder(get_network("bert")[1])) if name == "pruned" else read_folder(get_network(name)[1])
    content = write_encoder(encoder, max_length=MAX_LENGTH, is_pair=is_pair)
    (tmp_path / "model.onnx").write_bytes(content)
    again = read_encoder(tmp_path / "model.onnx")
    assert write_encoder(again, max_length=MAX_LENGTH, is_pair=is_pair) == content
    assert [one.name for one in again.products()] == [one.name for one in encoder.products()]
    for ours, theirs in zip(again.products(), encoder.products(), strict=True):
        np.testing.assert_array_equal(ours.weight_KN, theirs.weight_KN)
        np.testing.assert_array_equal(ours.bias_N, theirs.bias_N)
    assert [one.num_heads for one in again.layers] == [one.num_heads for one in encoder.layers]
    np.testing.assert_array_equal(again.tokens_VE, encoder.tokens_VE)


def test_a_traced_file_has_no_encoder_to_read(get_network, tmp_path):
    module, _ = get_network("bert")
    ids_BT = np.array([[5, 6, 7], [7, 0, 0]])
    inputs = {"input_ids": ids_BT, "attention_mask": (ids_BT > 0).astype(np.int64)}
    (tmp_path / "model.onnx").write_bytes(trace_graph(module, lambda one: module(**one).logits, inputs))
    assert read_encoder(tmp_path / "model.onnx") is None


def test_an_int8_file_cannot_be_read_back(get_network, tmp_path):
    options = Options("dynamic", "per-channel", "max", reduce_range=True, embeddings=False)
    quantizer = EncoderQuantizer(read_folder(get_network("bert")[1]), options, max_length=MAX_LENGTH, is_pair=False)
    path = tmp_path / "model.onnx"
    path.write_bytes(quantizer.build())
    with pytest.raises(ModelError) as caught:
        read_encoder(path)
    assert str(caught.value) == f"{path} has int8 weights already.\nhint: Give the Bundle it was made from."


@pytest.mark.parametrize(
    "change",
    [
        {"model_type": "gpt2"},
        {"model_type": None},
        {"hidden_act": "mish"},
        {"hidden_act": "gelu_fast"},
        {"position_embedding_type": "relative_key_query"},
        {"is_decoder": True},
        {"inner_group_num": 2},
    ],
)
def test_what_the_graph_cannot_say_is_not_supported(change):
    config = BertConfig(**SIZES).to_dict()
    assert is_supported(config)
    assert not is_supported({**config, **change})


@pytest.mark.parametrize("activation", ["gelu", "gelu_new", "gelu_pytorch_tanh", "relu"])
def test_every_activation_is_that_of_torch(activation, make_feeds, score_graph, score_torch, tmp_path):
    module = make_network(BertConfig(**{**SIZES, "num_hidden_layers": 1}, hidden_act=activation))
    module.save_pretrained(tmp_path)
    content = write_encoder(read_folder(tmp_path), max_length=MAX_LENGTH, is_pair=False)
    assert_same(score_graph(content, make_feeds(0)), [score_torch(module, feed) for feed in make_feeds(0)])


def test_a_missing_weight_is_named(get_network, tmp_path):
    from safetensors.numpy import load_file, save_file

    _, folder = get_network("bert")
    tensors = load_file(folder / "model.safetensors")
    del tensors["bert.encoder.layer.1.output.dense.weight"]
    save_file(tensors, tmp_path / "model.safetensors")
    (tmp_path / "config.json").write_bytes((folder / "config.json").read_bytes())
    with pytest.raises(ModelError) as caught:
        read_folder(tmp_path)
    assert str(caught.value) == (
        f"{tmp_path / 'model.safetensors'} lacks the weight 'bert.encoder.layer.1.output.dense.weight'.\n"
        "hint: Train or download the model again."
    )


def test_an_encoder_too_large_for_one_file_has_its_weights_in_another(get_network, monkeypatch, make_feeds, tmp_path):
    encoder, feeds = read_folder(get_network("bert")[1]), make_feeds(0)
    plain = write_encoder(encoder, max_length=MAX_LENGTH, is_pair=False)
    write_onnx(plain, tmp_path / "plain.onnx")
    assert [path.name for path in tmp_path.iterdir()] == ["plain.onnx"]
    monkeypatch.setattr(graph, "LARGEST_BYTES", 1000)
    content = write_encoder(encoder, max_length=MAX_LENGTH, is_pair=False)
    assert len(content) < len(plain) / 2
    write_onnx(content, tmp_path / "large.onnx")
    check_onnx(tmp_path / "large.onnx", ["input_ids", "lengths"])
    sessions = [open_session(tmp_path / f"{name}.onnx", 1) for name in ("plain", "large")]
    for feed in feeds:
        ours_BC, theirs_BC = (one.run(["logits"], feed)[0] for one in sessions)
        np.testing.assert_array_equal(ours_BC, theirs_BC)
    np.testing.assert_array_equal(read_encoder(tmp_path / "large.onnx").tokens_VE, encoder.tokens_VE)
    remove_onnx(tmp_path / "large.onnx")
    assert [path.name for path in tmp_path.iterdir()] == ["plain.onnx"]
