"""The graphs of networks without attention say what torch says, wherever a row is gone on with."""

import numpy as np
import pytest
import torch

from yanmo.exporting.language_model import read_language_model, write_language_model
from yanmo.modeling.language.decoders import build_decoder, load_decoder
from yanmo.models import resolve
from yanmo.runtimes.generating.decoder_session import DecoderSession

NAMES = ["lstm-2x64", "gcnn-3x64"]
VOCAB_SIZE, ROOM = 101, 32
IDS = np.random.default_rng(0).integers(0, VOCAB_SIZE, 20)


def loud(name, dropout=0.0):
    torch.manual_seed(0)
    module = build_decoder(resolve(name), vocab_size=VOCAB_SIZE, end_id=0, max_length=ROOM, dropout=dropout)
    with torch.no_grad():
        for one in module.parameters():
            one.add_(torch.randn_like(one) * 0.2)
    return module


@pytest.fixture(scope="module", params=NAMES)
def written(request, tmp_path_factory):
    """The folder of a network, torch's scores of a row, and what opens its graph."""
    folder = tmp_path_factory.mktemp("light")
    loud(request.param).save_pretrained(folder)
    with torch.inference_mode():
        expected = load_decoder(folder)(torch.from_numpy(IDS[None])).logits[0].numpy()
    weights = read_language_model(folder)
    for kind in ("fp32", "int8"):
        (folder / f"{kind}.onnx").write_bytes(write_language_model(weights, is_int8=kind == "int8"))

    def open_rows(num_rows, kind="fp32"):
        return DecoderSession(folder / f"{kind}.onnx", num_rows=num_rows, max_length=ROOM, num_threads=1)

    return expected, open_rows


def test_a_row_in_parts_is_the_row(written):
    expected, open_rows = written
    session = open_rows(2)
    for start, end in ((0, 7), (7, 8), (8, 19)):
        found = session.extend(1, IDS[start:end], start, wanted_W=np.arange(end - start))
        np.testing.assert_allclose(found, expected[start:end], atol=2e-5)
    stepped = session.extend(0, IDS[:3], 0, wanted_W=np.array([2]))
    np.testing.assert_allclose(stepped[0], expected[2], atol=2e-5)


def test_a_row_is_gone_on_with_from_any_place_and_by_another_row(written):
    expected, open_rows = written
    session = open_rows(3)
    session.extend(0, IDS[:12], 0, wanted_W=np.array([11]))
    # Tokens that were guessed wrongly are written over.
    session.extend(0, IDS[::-1][:4], 5, wanted_W=np.array([3]))
    session.copy_row(0, 2, 5)
    for row in (0, 2):
        found = session.extend(row, IDS[5:12], 5, wanted_W=np.arange(7))
        np.testing.assert_allclose(found, expected[5:12], atol=2e-5)
    session.reorder_rows(np.array([2, 0]), 12)
    np.testing.assert_allclose(session.step(IDS[[12, 12]], np.array([12, 12])), expected[[12, 12]], atol=2e-5)


@pytest.mark.parametrize("kind", ["fp32", "int8"])
def test_rows_of_other_lengths_change_nothing(written, kind):
    _, open_rows = written
    alone, together = open_rows(1, kind), open_rows(3, kind)
    for session, row, length in ((alone, 0, 9), (together, 0, 4), (together, 1, 9), (together, 2, 15)):
        session.extend(row, IDS[:length], 0, wanted_W=np.array([length - 1]))
    found = together.step(IDS[[4, 9, 15]], np.array([4, 9, 15]))[1]
    np.testing.assert_array_equal(found, alone.step(IDS[[9]], np.array([9]))[0])


def test_8_bits_differ_a_little(written):
    expected, open_rows = written
    found = open_rows(1, "int8").extend(0, IDS, 0, wanted_W=np.arange(len(IDS)))
    assert 0 < np.abs(found - expected).max() < 0.05 * np.abs(expected).max()


@pytest.mark.parametrize("name", NAMES)
def test_no_place_sees_those_behind_it(name):
    module = loud(name).eval()
    ids = torch.from_numpy(IDS[None].copy())
    with torch.inference_mode():
        whole = module(ids).logits
        ids[0, 12:] = 7
        changed = module(ids).logits
    torch.testing.assert_close(whole[:, :12], changed[:, :12])
    assert not torch.allclose(whole[:, 12:], changed[:, 12:])


@pytest.mark.parametrize("name", NAMES)
def test_dropout_is_drawn_in_training_and_is_one_mask_for_all_places(name):
    module = loud(name, dropout=0.5).train()
    ids = torch.full((1, 8), 3)
    first, second = module(ids).logits, module(ids).logits
    assert not torch.allclose(first, second)
    module.eval()
    torch.testing.assert_close(module(ids).logits, module(ids).logits)


def test_a_locked_mask_is_the_same_at_all_places_and_differs_by_text():
    from yanmo.modeling.language.light_decoders import locked

    torch.manual_seed(0)
    found = locked(torch.ones(4, 6, 50), 0.5)
    assert (found == found[:, :1]).all()
    assert not (found[0] == found[1]).all()
    assert set(found.unique().tolist()) == {0.0, 2.0}
