"""The graphs that are written from the weights of a model with an encoder and a decoder, against transformers."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForSeq2SeqLM

from yanmo.errors import ModelError
from yanmo.exporting.encoder_decoder import read_encoder_decoder
from yanmo.exporting.encoder_decoder_graph import write_answering
from yanmo.runtimes.generating.encoder_decoder_session import EncoderDecoderSession

LENGTHS = np.array([150, 20, 1])
NUM_STEPS = 140
"""Beyond the distance from which on all are equal."""
GENERATOR = np.random.default_rng(0)
SOURCES = GENERATOR.integers(2, 300, (len(LENGTHS), LENGTHS.max()))
TARGETS = np.concatenate((np.zeros((len(LENGTHS), 1), int), GENERATOR.integers(2, 300, (len(LENGTHS), NUM_STEPS))), 1)


def open_graphs(folder, place, *, is_int8, kept=()):
    paths = (place / "encoder.onnx", place / "decoder.onnx")
    write_answering(read_encoder_decoder(folder), is_int8=is_int8, kept=kept).save(*paths)
    return EncoderDecoderSession(*paths, max_length=NUM_STEPS + 1, num_threads=1)


@pytest.fixture(scope="module", params=["t5", "t5-1.1", "mt5", "bart"])
def family_folder(request, tmp_path_factory, make_encoder_decoder):
    return make_encoder_decoder(tmp_path_factory.mktemp("family") / request.param, request.param)


@pytest.fixture(scope="module")
def expected(family_folder):
    """What transformers says of all next tokens, as the tokens of answers are given."""
    model = AutoModelForSeq2SeqLM.from_pretrained(family_folder).eval()
    mask = np.arange(SOURCES.shape[1]) < LENGTHS[:, None]
    sources, mask, targets = (torch.from_numpy(one) for one in (SOURCES, mask.astype(int), TARGETS))
    with torch.no_grad():
        return model(input_ids=sources, attention_mask=mask, decoder_input_ids=targets).logits.log_softmax(2).numpy()


def likelihoods(drafts, num_beams=1, num_steps=NUM_STEPS + 1):
    found = []
    for place in range(num_steps):
        scores = drafts.step(np.repeat(TARGETS[:, place], num_beams))
        assert (scores.ids_RK[:, 0] == scores.log_likelihoods_RV.argmax(axis=1)).all()
        found.append(scores.log_likelihoods_RV.copy())
    return np.stack(found, axis=1)


@pytest.mark.parametrize("num_beams", [1, 2])
def test_likelihoods_are_those_of_transformers_step_by_step(family_folder, expected, tmp_path, num_beams):
    session = open_graphs(family_folder, tmp_path, is_int8=False)
    drafts = session.read(SOURCES, LENGTHS, num_beams=num_beams, num_best=2)
    found = likelihoods(drafts, num_beams)
    assert np.abs(found - np.repeat(expected, num_beams, axis=0)).max() < 1e-4


def test_rows_that_go_leave_the_others_as_they_are(family_folder, expected, tmp_path):
    session = open_graphs(family_folder, tmp_path, is_int8=False)
    drafts = session.read(SOURCES, LENGTHS, num_beams=2, num_best=1)
    texts = [0, 1, 2]
    for place in range(12):
        if place == 4:
            order = drafts.drop([0])
            texts = [texts[one] for one in order]
            assert sorted(texts) == [1, 2]
        if place == 8:
            drafts.reorder([1, 1, 3, 2])
        if place == 10:
            texts = [texts[one] for one in drafts.drop([1])]
        found = drafts.step(np.repeat(TARGETS[texts, place], 2)).log_likelihoods_RV
        assert np.abs(found - np.repeat(expected[texts, place], 2, axis=0)).max() < 1e-4


def test_likelihoods_of_8_bit_weights_are_near_and_of_parts_that_are_kept_exact(family_folder, expected, tmp_path):
    network = read_encoder_decoder(family_folder)
    layers = (*network.reading, *network.writing)
    every = [*(product.name for layer in layers for product in layer.products), "output"]
    apart = []
    for place, kept in (("int8", ()), ("kept", every)):
        session = open_graphs(family_folder, tmp_path / place, is_int8=True, kept=kept)
        drafts = session.read(SOURCES, LENGTHS, num_beams=1, num_best=1)
        apart.append(np.sqrt(np.square(likelihoods(drafts, num_steps=8) - expected[:, :8]).mean()))
    assert 1e-4 < apart[0] < 0.1 * expected.std()
    assert apart[1] < 1e-4


def test_a_row_of_zeros_stays_one_in_8_bits(family_folder, tmp_path):
    network = read_encoder_decoder(family_folder)
    found = []
    for is_int8 in (True, False):
        silent = [
            replace(
                layer, feed_forward_in=replace(layer.feed_forward_in, weight_KN=0 * layer.feed_forward_in.weight_KN)
            )
            for layer in network.writing
        ]
        paths = [tmp_path / f"{is_int8}" / name for name in ("encoder.onnx", "decoder.onnx")]
        write_answering(replace(network, writing=tuple(silent)), is_int8=is_int8).save(*paths)
        session = EncoderDecoderSession(*paths, max_length=3, num_threads=1)
        found.append(likelihoods(session.read(SOURCES, LENGTHS, num_beams=1, num_best=1), num_steps=2))
    assert np.abs(found[0] - found[1]).max() < 0.5 * found[1].std()


NO_GRAPH = "describes no network with an encoder and a decoder"


@pytest.mark.parametrize(
    ("family", "change", "message"),
    [
        ("t5", {"model_type": "bert"}, NO_GRAPH),
        ("t5", {"feed_forward_proj": "tanh"}, NO_GRAPH),
        ("t5", {"num_layers": 5}, "lacks the weight or the setting"),
        ("t5", {"d_kv": 12}, "multiples of 8"),
        ("bart", {"activation_function": "tanh"}, NO_GRAPH),
        ("bart", {"decoder_attention_heads": 4}, NO_GRAPH),
        ("bart", {"decoder_layers": 5}, "lacks the weight or the setting"),
        ("bart", {"encoder_attention_heads": 8, "decoder_attention_heads": 8}, "multiples of 8"),
    ],
)
def test_what_cannot_be_written_is_refused(make_encoder_decoder, tmp_path, family, change, message):
    folder = make_encoder_decoder(tmp_path / family, family)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, **change}))
    with pytest.raises(ModelError, match=message):
        read_encoder_decoder(folder)


def test_a_larger_embedding_and_a_bias_of_the_scores_are_written(make_encoder_decoder, tmp_path):
    folder = make_encoder_decoder(tmp_path / "bart", "bart")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "scale_embedding": True}))
    model = AutoModelForSeq2SeqLM.from_pretrained(folder).eval()
    model.final_logits_bias.copy_(torch.randn(model.final_logits_bias.shape))
    model.save_pretrained(folder)
    drafts = open_graphs(folder, tmp_path, is_int8=False).read(
        SOURCES[:, :9], np.array([9, 9, 9]), num_beams=1, num_best=1
    )
    with torch.no_grad():
        sources, targets = torch.from_numpy(SOURCES[:, :9]), torch.from_numpy(TARGETS[:, :6])
        expected = model(input_ids=sources, decoder_input_ids=targets).logits.log_softmax(2).numpy()
    assert np.abs(likelihoods(drafts, num_steps=6) - expected).max() < 1e-4


def test_a_side_with_a_table_of_tokens_of_its_own_is_refused(make_encoder_decoder, tmp_path):
    folder = make_encoder_decoder(tmp_path / "bart", "bart")
    weights = load_file(folder / "model.safetensors")
    weights["model.decoder.embed_tokens.weight"] = weights["model.shared.weight"] + 1
    save_file(weights, folder / "model.safetensors", {"format": "pt"})
    with pytest.raises(ModelError, match="The decoder of this network has a table of tokens of its own"):
        read_encoder_decoder(folder)
