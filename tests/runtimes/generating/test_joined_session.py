"""Models that write token by token together, against the mean of what each says of next tokens."""

import copy

import numpy as np
import pytest
import torch
from transformers import AutoModelForSeq2SeqLM

from yanmo.errors import ModelError
from yanmo.exporting.encoder_decoder import read_encoder_decoder
from yanmo.exporting.encoder_decoder_graph import write_answering
from yanmo.runtimes.encoder_decoder_torch import TorchReadingSession
from yanmo.runtimes.generating.answering import AnswerWishes, answer_texts
from yanmo.runtimes.generating.encoder_decoder_session import EncoderDecoderSession
from yanmo.runtimes.generating.joined_session import JoinedSession

MOST = 8
LENGTHS = np.array([6, 3, 5])
SOURCES = np.random.default_rng(5).integers(2, 300, (len(LENGTHS), LENGTHS.max()))


@pytest.fixture(scope="module")
def modules(tmp_path_factory, make_encoder_decoder):
    place = tmp_path_factory.mktemp("joined")
    folders = [make_encoder_decoder(place / name, noise=noise) for name, noise in (("one", 0.1), ("two", 0.2))]
    return folders, [AutoModelForSeq2SeqLM.from_pretrained(folder).eval() for folder in folders]


@pytest.fixture(scope="module")
def session(modules, tmp_path_factory):
    """A graph and a network of torch together."""
    folders, networks = modules
    place = tmp_path_factory.mktemp("graphs")
    paths = (place / "encoder.onnx", place / "decoder.onnx")
    write_answering(read_encoder_decoder(folders[0]), is_int8=False).save(*paths)
    graph = EncoderDecoderSession(*paths, max_length=MOST + 1, num_threads=1)
    return JoinedSession([graph, TorchReadingSession(networks[1], torch.device("cpu"))])


def mean_likelihoods(networks, texts, targets_RT):
    """The logarithm of the mean probability of all next tokens, by transformers."""
    read = torch.from_numpy(SOURCES[texts])
    mask = torch.from_numpy((np.arange(SOURCES.shape[1]) < LENGTHS[texts, None]).astype(int))
    with torch.no_grad():
        found = [
            one(input_ids=read, attention_mask=mask, decoder_input_ids=torch.from_numpy(targets_RT)).logits.softmax(2)
            for one in networks
        ]
    return torch.stack(found).mean(0).log().numpy()


def test_next_tokens_have_the_mean_probability_also_when_texts_have_ended(modules, session):
    targets = np.random.default_rng(6).integers(2, 300, (len(LENGTHS), MOST))
    expected = mean_likelihoods(modules[1], np.arange(3), targets)
    drafts, texts = session.read(SOURCES, LENGTHS, num_beams=1, num_best=3), np.arange(3)
    for place in range(MOST):
        if place == 3:
            texts = texts[drafts.drop([0])]
        found = drafts.step(targets[texts, place])
        assert np.abs(found.log_likelihoods_RV - expected[texts, place]).max() < 1e-4
        assert (found.ids_RK == np.argsort(-found.log_likelihoods_RV, axis=1, kind="stable")[:, :3]).all()


@pytest.mark.parametrize("num_beams", [1, 3])
def test_a_text_is_answered_alone_as_beside_others(session, num_beams):
    wishes = AnswerWishes(begin_id=0, end_id=1, max_new_tokens=MOST, num_beams=num_beams)
    together = answer_texts(session, SOURCES, LENGTHS, wishes)
    for row, length in enumerate(LENGTHS):
        (alone,) = answer_texts(session, SOURCES[row : row + 1, :length], LENGTHS[row : row + 1], wishes)
        assert [one.ids for one in alone] == [one.ids for one in together[row]]
        assert alone[0].score == pytest.approx(together[row][0].score, abs=1e-4)


def test_models_that_score_other_tokens_do_not_write_together(modules):
    networks = [modules[1][1], copy.deepcopy(modules[1][1])]
    size = networks[0].config.vocab_size
    networks[1].resize_token_embeddings(size + 8)
    joined = JoinedSession([TorchReadingSession(one, torch.device("cpu")) for one in networks])
    drafts = joined.read(SOURCES, LENGTHS, num_beams=1, num_best=1)
    with pytest.raises(ModelError, match=f"Got {size} and {size + 8} instead"):
        drafts.step(np.array([2, 2, 2]))
