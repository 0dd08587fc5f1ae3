"""Beam search against that of transformers."""

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM

from yanmo.exporting.decoder import read_decoder
from yanmo.exporting.decoder_graph import write_decoder
from yanmo.runtimes.generating.beams import search_beams
from yanmo.runtimes.generating.decoder_session import DecoderSession


@pytest.fixture(scope="module")
def exact(decoder_folder, tmp_path_factory):
    path = tmp_path_factory.mktemp("beams") / "model.onnx"
    path.write_bytes(write_decoder(read_decoder(decoder_folder), is_int8=False))
    return DecoderSession(path, num_rows=4, max_length=64, num_threads=1)


@pytest.fixture(scope="module")
def reference(decoder_folder):
    return AutoModelForCausalLM.from_pretrained(decoder_folder).eval()


@pytest.mark.parametrize(("num_beams", "length_penalty"), [(2, 1.0), (4, 1.0), (4, 2.0)])
@pytest.mark.parametrize("end", [None, 17])
@pytest.mark.parametrize("seed", range(3))
def test_the_best_texts_are_those_of_transformers(exact, reference, num_beams, length_penalty, end, seed):
    prompt = np.random.default_rng(seed).integers(1, 288, 7).tolist()
    with torch.no_grad():
        expected = reference.generate(
            torch.tensor([prompt]),
            attention_mask=torch.ones(1, 7, dtype=torch.int64),
            num_beams=num_beams,
            num_return_sequences=num_beams,
            max_new_tokens=10,
            length_penalty=length_penalty,
            do_sample=False,
            eos_token_id=end,
            pad_token_id=0,
            output_scores=True,
            return_dict_in_generate=True,
        )
    found = search_beams(
        exact,
        prompt,
        num_beams=num_beams,
        max_new_tokens=10,
        end_ids=frozenset([end] if end is not None else []),
        length_penalty=length_penalty,
    )
    wanted = [row[len(prompt) :].tolist() for row in expected.sequences]
    told = [beam.ids + [0] * (10 - len(beam.ids)) for beam in found]
    assert [row[: len(one)] + [0] * (10 - len(one)) for row, one in zip(told, wanted, strict=True)] == [
        one + [0] * (10 - len(one)) for one in wanted
    ]
    assert [beam.score for beam in found] == pytest.approx(expected.sequences_scores.tolist(), abs=1e-4)
    assert [sum(beam.log_likelihoods) / len(beam.ids) ** length_penalty for beam in found] == pytest.approx(
        [beam.score for beam in found], abs=1e-4
    )


def test_as_many_beams_go_on_as_are_asked_where_every_likely_token_is_an_end(exact):
    prompt = [5, 6, 7]
    ends = [beam.ids[0] for beam in search_beams(exact, prompt, num_beams=4, max_new_tokens=1, end_ids=frozenset())]
    found = search_beams(exact, prompt, num_beams=2, max_new_tokens=6, end_ids=frozenset(ends))
    assert len(found) == 2
    assert all(beam.ids[-1] in ends or len(beam.ids) == 6 for beam in found)


def test_texts_that_end_are_judged_by_their_length_as_others_are(exact):
    prompt = np.random.default_rng(5).integers(1, 288, 7).tolist()
    options = {"num_beams": 4, "max_new_tokens": 10, "length_penalty": 0.0}
    endless = search_beams(exact, prompt, end_ids=frozenset(), **options)
    found = search_beams(exact, prompt, end_ids=frozenset(endless[0].ids[4:5]), **options)
    assert {beam.ending for beam in found} >= {"stop"}
    for beam in found:
        assert beam.score == pytest.approx(sum(beam.log_likelihoods), abs=1e-4)
