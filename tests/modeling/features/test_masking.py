"""Masking: the share, the 80 / 10 / 10, whole words, what is never hidden, and what it depends on."""

import numpy as np
import pytest

from yanmo.arrays import Ragged
from yanmo.modeling.features.corpus import CONTINUES, CorpusRows
from yanmo.modeling.features.masking import MaskedRows, Masking, mask_tokens

MASK, NUM_IDS, SPECIAL = 4, 1000, (0, 1, 2, 3, 4)
MASKING = Masking(ratio=0.3, mask_id=MASK, num_ids=NUM_IDS, special_ids=SPECIAL)
NUM_ROWS, NUM_TOKENS = 200, 100


def make_rows(*, word_length=1):
    ids_NT = np.random.default_rng(1).integers(5, NUM_IDS, (NUM_ROWS, NUM_TOKENS), dtype=np.int32)
    ids_NT[:, 0], ids_NT[:, -1] = 2, 3
    ids_NT[:, (np.arange(NUM_TOKENS) - 1) % word_length > 0] |= CONTINUES
    offsets = np.arange(NUM_ROWS + 1) * NUM_TOKENS
    offsets[-1] -= 50  # the last row is shorter
    return CorpusRows(Ragged(ids_NT.reshape(-1)[: offsets[-1]], offsets), np.arange(NUM_ROWS))


def make_tokens(**options):
    return make_rows(**options).take(np.arange(NUM_ROWS))


def masked_rows(masking=MASKING, key=(1,)):
    return MaskedRows(make_rows(), masking, key, pad_id=0)


@pytest.mark.parametrize("ratio", [0.15, 0.4])
def test_the_share_of_hidden_tokens_is_the_ratio(ratio):
    tokens = make_tokens()
    masked = mask_tokens(tokens, Masking(ratio, MASK, NUM_IDS, SPECIAL), [2])
    assert len(masked.hidden_M) / (tokens.ids >= 5).sum() == pytest.approx(ratio, abs=0.01)


def test_special_tokens_are_never_hidden():
    tokens = make_tokens()
    assert (tokens.ids[mask_tokens(tokens, MASKING, [1]).hidden_M] >= 5).all()


def test_of_the_hidden_tokens_eighty_percent_are_masks_ten_random_ten_kept():
    tokens = make_tokens()
    masked = mask_tokens(tokens, MASKING, [3])
    read_M, true_M = masked.ids[masked.hidden_M], tokens.ids[masked.hidden_M]
    assert (read_M == MASK).mean() == pytest.approx(0.8, abs=0.02)
    assert (read_M == true_M).mean() == pytest.approx(0.1, abs=0.02)
    random_M = read_M[(read_M != MASK) & (read_M != true_M)]
    assert random_M.mean() == pytest.approx(NUM_IDS / 2, rel=0.1)
    assert random_M.max() < NUM_IDS
    np.testing.assert_array_equal(np.delete(masked.ids, masked.hidden_M), np.delete(tokens.ids, masked.hidden_M))


def test_plain_masking_hides_all():
    masked = mask_tokens(make_tokens(), Masking(0.3, MASK, NUM_IDS, SPECIAL, keeps_some=False), [1])
    assert (masked.ids[masked.hidden_M] == MASK).all()


def test_a_word_is_hidden_as_a_whole():
    tokens = make_tokens(word_length=2)
    is_hidden = np.zeros(len(tokens.ids), dtype=bool)
    is_hidden[mask_tokens(tokens, MASKING, [1]).hidden_M] = True
    first, second = (is_hidden[:-50].reshape(-1, NUM_TOKENS)[:, place:-1:2] for place in (1, 2))
    np.testing.assert_array_equal(first, second)
    assert first.mean() == pytest.approx(0.3, abs=0.02)


def test_every_key_hides_other_words_and_draws_other_chances():
    first, second = (mask_tokens(make_tokens(), MASKING, key) for key in ([1, 1], [1, 2]))
    both = np.intersect1d(first.hidden_M, second.hidden_M)
    assert len(both) / len(first.hidden_M) == pytest.approx(0.3, abs=0.02)
    for masked in (first, second):
        counts, _ = np.histogram(masked.chances_M, bins=10, range=(0, 1))
        np.testing.assert_allclose(counts / counts.sum(), 0.1, atol=0.015)
    is_in_both = [np.isin(masked.hidden_M, both) for masked in (first, second)]
    assert abs(np.corrcoef(first.chances_M[is_in_both[0]], second.chances_M[is_in_both[1]])[0, 1]) < 0.05


def test_a_row_is_hidden_alike_in_every_batch():
    rows = masked_rows()
    together, alone = rows.collate(np.array([7, 199, 3])), rows.collate(np.array([199]))
    assert alone["input_ids"].tolist() == together["input_ids"][1:2, :50].tolist()
    places = together["hidden"]
    is_second = (places >= NUM_TOKENS) & (places < 2 * NUM_TOKENS)
    assert alone["hidden"].tolist() == (places[is_second] - NUM_TOKENS).tolist()
    for name in ("answers", "chances"):
        assert alone[name].tolist() == together[name][is_second].tolist()


def test_a_batch_has_padding_on_the_right_and_the_answers_at_their_places():
    rows = masked_rows()
    batch = rows.collate(np.array([0, 199]))
    assert batch["attention_mask"].sum(1).tolist() == [NUM_TOKENS, 50]
    assert not batch["input_ids"][1, 50:].any()
    tokens = rows.rows.take(np.array([0, 199]))
    restored = batch["input_ids"].flatten().scatter(0, batch["hidden"], batch["answers"]).view(2, NUM_TOKENS)
    assert restored[batch["attention_mask"].bool()].tolist() == tokens.ids.tolist()
    assert rows.count_questions(np.array([0, 199])) == (len(batch["answers"]), NUM_TOKENS + 50)
