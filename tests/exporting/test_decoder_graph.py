"""The graph that is written from a decoder's weights, against transformers."""

import json

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM

from yanmo.errors import ModelError
from yanmo.exporting.block_quantization import BLOCK_SIZE, quantize_blocks
from yanmo.exporting.decoder import DECODER_READERS, read_decoder
from yanmo.exporting.decoder_graph import write_decoder
from yanmo.runtimes.generating.decoder_session import DecoderSession


def open_decoder(folder, path, *, num_rows=2, **options):
    path.write_bytes(write_decoder(read_decoder(folder), **options))
    return DecoderSession(path, num_rows=num_rows, max_length=64, num_threads=1)


def reference_scores(folder, ids):
    model = AutoModelForCausalLM.from_pretrained(folder).eval()
    with torch.no_grad():
        return model(torch.tensor(ids)[None]).logits[0].numpy()


def scores_by_parts(session, ids):
    """Scores of all tokens, read in two chunks and then one by one, beside another row."""
    other = np.arange(5)
    session.extend(1, other, 0, wanted_W=np.array([4]))
    found = [
        session.extend(0, ids[:8], 0, wanted_W=np.arange(8)),
        session.extend(0, ids[8:12], 8, wanted_W=np.arange(4)),
    ]
    for place, token in enumerate(ids[12:]):
        found.append(session.step(np.array([token, 7]), np.array([12 + place, 5 + place]))[:1].copy())
    return np.concatenate(found)


@pytest.fixture(scope="module", params=DECODER_READERS)
def family_folder(request, tmp_path_factory, make_decoder):
    return make_decoder(tmp_path_factory.mktemp(request.param) / "model", request.param)


IDS = np.random.default_rng(0).integers(0, 288, 20)


def test_scores_are_those_of_transformers_in_chunks_step_by_step_and_beside_another_row(family_folder, tmp_path):
    session = open_decoder(family_folder, tmp_path / "model.onnx", is_int8=False)
    expected = reference_scores(family_folder, IDS)
    assert np.abs(scores_by_parts(session, IDS) - expected).max() < 1e-4


@pytest.mark.parametrize("products", ["blocks", "rows"])
def test_scores_of_8_bit_weights_are_near(family_folder, tmp_path, products):
    session = open_decoder(family_folder, tmp_path / "model.onnx", is_int8=True, products=products)
    expected = reference_scores(family_folder, IDS)
    found = scores_by_parts(session, IDS)
    assert 0 < np.sqrt(np.square(found - expected).mean()) < 0.05 * expected.std()


@pytest.mark.parametrize("products", ["blocks", "rows"])
def test_a_part_that_is_kept_is_fp32(decoder_folder, tmp_path, products):
    layers = read_decoder(decoder_folder).layers
    names = [*(product.name for layer in layers for product in layer.products), "output"]
    options = {"is_int8": True, "kept": names, "products": products}
    session = open_decoder(decoder_folder, tmp_path / "model.onnx", **options)
    assert np.abs(scores_by_parts(session, IDS) - reference_scores(decoder_folder, IDS)).max() < 1e-4


def test_blocks_hold_their_extremes_exactly_and_round_by_half_a_step():
    weight = np.random.default_rng(1).normal(size=(5, 3 * BLOCK_SIZE)).astype(np.float32)
    weight[0, :BLOCK_SIZE] = 0
    blocks = quantize_blocks(weight)
    error = np.abs(blocks.dequantize() - weight).reshape(5, 3, BLOCK_SIZE)
    # The largest value of the other sign may be cut by a step.
    assert (error <= np.abs(blocks.scale_NK)[..., None] * 1.001).all()
    assert np.median(error / np.abs(blocks.scale_NK)[..., None]) < 0.5
    extreme = np.abs(weight).argmax(axis=1)
    rows = np.arange(5)
    assert np.allclose(blocks.dequantize()[rows, extreme], weight[rows, extreme])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"model_type": "bert"}, "describes no language model"),
        ({"scale_attn_by_inverse_layer_idx": True}, "describes no language model"),
        ({"n_layer": 3}, "lacks the weight or the setting"),
    ],
)
def test_what_cannot_be_written_is_refused(decoder_folder, tmp_path, change, message):
    config = json.loads((decoder_folder / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps({**config, **change}))
    (tmp_path / "model.safetensors").write_bytes((decoder_folder / "model.safetensors").read_bytes())
    with pytest.raises(ModelError, match=message):
        read_decoder(tmp_path)
