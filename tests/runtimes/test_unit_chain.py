"""The chain of a Bundle: read or refused, and applied to whole texts, however many go at a time."""

from __future__ import annotations

import numpy as np
import pytest
from safetensors.numpy import save_file

from yanmo.answers import tag_chains
from yanmo.answers.chains import Chain, Steps, log_marginals
from yanmo.answers.links import SOFTMAX
from yanmo.answers.tag_chains import TagChain
from yanmo.answers.tags import TagScheme
from yanmo.artifacts.base import Identity
from yanmo.artifacts.bundle import CHAIN, draft
from yanmo.errors import ArtifactError
from yanmo.runtimes.unit_chain import as_choices, read_chain
from yanmo.text.inputs import Inputs
from yanmo.text.pipeline import TextConfig, TextPipeline
from yanmo.text.tokenizer import encode_column, train_wordpiece
from yanmo.text.unit_tokens import UnitTokenizer

WORDPIECE = train_wordpiece(["很 快 好 吃"] * 2, 50, min_frequency=1)
TEXTS = ["很快", "", "好吃很快好吃" * 5, "好"]
CHAIN_OF_3 = Chain(*(np.random.default_rng(1).normal(size=shape).astype(np.float32) for shape in ((3, 3), 3, 3)))
TAG_CHAIN = TagChain(CHAIN_OF_3, TagScheme.of(["B-a", "I-a", "O"]))


@pytest.fixture
def bundle(tmp_path):
    identity = {"kind": "bundle", "verb": "train", "task": "token_labels", "parents": {}, "config": {}}
    return draft(tmp_path, Identity(**identity, labels=["B-a", "I-a", "O"], info={}))


def write(folder, **changed):
    tensors = {"transitions": CHAIN_OF_3.transitions_CC, "start": CHAIN_OF_3.start_C, "end": CHAIN_OF_3.end_C}
    save_file({name: one for name, one in (tensors | changed).items() if one is not None}, folder / CHAIN)


def test_a_bundle_without_a_chain_has_none(bundle):
    assert read_chain(bundle) is None


def test_what_was_written_is_read(bundle):
    write(bundle.path)
    np.testing.assert_array_equal(read_chain(bundle).chain.transitions_CC, CHAIN_OF_3.transitions_CC)


def test_a_damaged_chain_or_one_of_other_labels_is_refused(bundle):
    write(bundle.path, end=None)
    with pytest.raises(ArtifactError, match="cannot be read"):
        read_chain(bundle)
    write(bundle.path, transitions=np.zeros((4, 4), np.float32))
    with pytest.raises(ArtifactError, match="is not about the 3 labels"):
        read_chain(bundle)
    (bundle.path / CHAIN).write_bytes(b"no tensors")
    with pytest.raises(ArtifactError, match="cannot be read"):
        read_chain(bundle)


@pytest.mark.parametrize("most", [1, 20, 1 << 20])
def test_a_chain_goes_over_whole_texts_and_not_over_their_windows(most, monkeypatch):
    units = TextPipeline(TextConfig(units="characters")).read(Inputs((TEXTS,))).units
    encoded = UnitTokenizer(WORDPIECE, 12).encode(units)
    logits_UC = np.random.default_rng(2).normal(size=(len(units.surfaces), 3)).astype(np.float32)
    monkeypatch.setattr(tag_chains, "BLOCK_SUMS", 0)
    monkeypatch.setattr(tag_chains, "LEAST_UNITS", most)
    found = as_choices(logits_UC, SOFTMAX, encoded, TAG_CHAIN)
    expected = log_marginals(logits_UC, Steps.of(units.places.offsets), CHAIN_OF_3)
    np.testing.assert_allclose(found.activate().values_MC, SOFTMAX.activate(expected), atol=1e-6)
    assert found.offsets_N.tolist() == units.places.offsets.tolist()
    np.testing.assert_array_equal(found.places, units.places.values)


def test_whole_texts_have_no_chain():
    encoded = encode_column(WORDPIECE, TEXTS)
    logits_NC = np.zeros((4, 3), np.float32)
    assert as_choices(logits_NC, SOFTMAX, encoded, TAG_CHAIN).values_MC is logits_NC
