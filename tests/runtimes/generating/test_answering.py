"""Answers that are written greedily and by beams, against those of transformers, by graphs and by torch."""

import numpy as np
import pytest
import torch
from transformers import AutoModelForSeq2SeqLM

from yanmo.exporting.encoder_decoder import read_encoder_decoder
from yanmo.exporting.encoder_decoder_graph import write_answering
from yanmo.runtimes.encoder_decoder_torch import TorchReadingSession
from yanmo.runtimes.generating.answering import AnswerWishes, write_answers
from yanmo.runtimes.generating.encoder_decoder_session import EncoderDecoderSession

MOST = 12
LENGTHS = np.array([9, 5, 2, 7])
SOURCES = np.random.default_rng(3).integers(2, 300, (len(LENGTHS), LENGTHS.max()))


def wishes(num_beams, end=1, length_penalty=1.0):
    return AnswerWishes(begin_id=0, end_id=end, max_new_tokens=MOST, num_beams=num_beams, length_penalty=length_penalty)


@pytest.fixture(scope="module")
def model(tmp_path_factory, make_encoder_decoder):
    folder = make_encoder_decoder(tmp_path_factory.mktemp("answering") / "t5", noise=0.1)
    return folder, AutoModelForSeq2SeqLM.from_pretrained(folder).eval()


@pytest.fixture(scope="module", params=["graph", "torch"])
def session(request, model, tmp_path_factory):
    folder, module = model
    if request.param == "torch":
        return TorchReadingSession(module, torch.device("cpu"))
    place = tmp_path_factory.mktemp("graphs")
    paths = (place / "encoder.onnx", place / "decoder.onnx")
    write_answering(read_encoder_decoder(folder), is_int8=False).save(*paths)
    return EncoderDecoderSession(*paths, max_length=MOST + 1, num_threads=1)


@pytest.fixture(scope="module")
def end(model):
    """A token that some answers have, and others not."""
    found = generated(model[1], 1, end=299).sequences[:, 1:].tolist()
    return next(one for row in found for one in row[2:] if not all(one in other for other in found))


def generated(module, num_beams, end, length_penalty=1.0):
    mask = (np.arange(SOURCES.shape[1]) < LENGTHS[:, None]).astype(int)
    with torch.no_grad():
        return module.generate(
            torch.from_numpy(SOURCES),
            attention_mask=torch.from_numpy(mask),
            num_beams=num_beams,
            num_return_sequences=num_beams,
            max_new_tokens=MOST,
            do_sample=False,
            eos_token_id=end,
            pad_token_id=0,
            length_penalty=length_penalty,
            output_scores=True,
            return_dict_in_generate=True,
        )


def padded(answers):
    return [one.ids + [0] * (MOST - len(one.ids)) for found in answers for one in found]


def filled(sequences, end):
    """Answers as far as they go: behind their end stands now this and now that."""
    found = []
    for row in sequences[:, 1:].tolist():
        kept = row[: row.index(end) + 1] if end in row else row
        found.append(kept + [0] * (MOST - len(kept)))
    return found


def test_greedy_answers_are_those_of_transformers_whatever_ends_first(session, model, end):
    found = write_answers(session, SOURCES, LENGTHS, wishes(1, end))
    assert padded(found) == filled(generated(model[1], 1, end).sequences, end)
    assert {one.ending for (one,) in found} == {"stop", "length"}


@pytest.mark.parametrize(("num_beams", "length_penalty"), [(2, 1.0), (4, 1.0), (3, 0.5)])
def test_beams_are_those_of_transformers(session, model, end, num_beams, length_penalty):
    expected = generated(model[1], num_beams, end, length_penalty)
    found = write_answers(session, SOURCES, LENGTHS, wishes(num_beams, end, length_penalty))
    assert padded(found) == filled(expected.sequences, end)
    scores = [one.score for answers in found for one in answers]
    assert scores == pytest.approx(expected.sequences_scores.tolist(), abs=1e-4)


@pytest.mark.parametrize("num_beams", [1, 3])
def test_a_text_is_answered_alone_as_in_any_batch(session, end, num_beams):
    together = write_answers(session, SOURCES, LENGTHS, wishes(num_beams, end))
    for row, length in enumerate(LENGTHS):
        (alone,) = write_answers(
            session, SOURCES[row : row + 1, :length].copy(), LENGTHS[row:][:1], wishes(num_beams, end)
        )
        assert [one.ids for one in alone] == [one.ids for one in together[row]]


class Only:
    """A constraint by which every token but some are forbidden."""

    def __init__(self, *allowed):
        self.allowed, self.taken = allowed, []

    def forbid(self, scores_V):
        kept = scores_V[list(self.allowed)]
        scores_V[:] = -np.inf
        scores_V[list(self.allowed)] = kept

    def accept(self, token):
        self.taken.append(token)
        return False


def test_an_answer_holds_to_its_constraint_and_the_others_are_as_without(session, end):
    free = write_answers(session, SOURCES, LENGTHS, wishes(1, end))
    only = Only(5, 6)
    bound = write_answers(session, SOURCES, LENGTHS, wishes(1, end), [None, only, None, None])
    assert set(bound[1][0].ids) <= {5, 6}
    assert only.taken == bound[1][0].ids
    assert [bound[row][0].ids for row in (0, 2, 3)] == [free[row][0].ids for row in (0, 2, 3)]
