"""Drafts: what they foresee, that no text depends on them, and that good ones save steps."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace
from scipy.stats import chisquare

import yanmo
from yanmo.arrays import Ragged
from yanmo.cli import main
from yanmo.errors import ArtifactError, ConfigError
from yanmo.exporting.decoder import read_decoder
from yanmo.exporting.decoder_graph import write_decoder
from yanmo.runtimes.generating.decoder_session import DecoderSession
from yanmo.runtimes.generating.decoding import Decoding
from yanmo.runtimes.generating.drafting import DecoderDraft, NgramDraft
from yanmo.runtimes.generating.generator import Generator
from yanmo.runtimes.generating.sampling import Chooser
from yanmo.text.language_tokens import LanguageTokenizer
from yanmo.text.ngram_language_model import fit_ngram_language_model

TEXTS = ["abab cab", "abba abc", "cabab", "bcab abab"]
COUNTED = fit_ngram_language_model(TEXTS, order=3, vocab_size=300)
GREEDY = Chooser(Decoding(temperature=0), [0], COUNTED.tokenizer.vocab_size)


@given(text=st.text("abc ", min_size=1, max_size=8), count=st.integers(1, 3))
def test_n_grams_foresee_the_token_that_is_likeliest_after_all_before(text, count):
    ids = COUNTED.tokenizer.encode([text]).ids.values.tolist()
    found = NgramDraft(COUNTED).foresee([COUNTED.tokenizer.end_id, *ids], count, GREEDY)
    assert len(found) == count
    for place, token in enumerate(found):
        rows = [[*ids, *found[:place], other] for other in range(COUNTED.tokenizer.vocab_size)]
        ends = np.cumsum([0, *map(len, rows)])
        scored = COUNTED.model.score(Ragged(np.concatenate(rows).astype(np.int64), ends), COUNTED.tokenizer.end_id)
        # The likelihood of the last token of each row; the end that is scored behind it is no part of it.
        likelihoods = scored.values[scored.offsets[1:] - 2]
        assert likelihoods[token] == pytest.approx(likelihoods.max(), abs=1e-6)


def test_of_tokens_that_n_grams_do_not_know_they_foresee_nothing():
    assert NgramDraft(COUNTED).foresee([0, COUNTED.tokenizer.vocab_size], 3, GREEDY) == []


@pytest.fixture(scope="module")
def graph(decoder_folder, tmp_path_factory):
    """A decoder in fp32: what the scores of 8 bits are depends on how many are computed at once."""
    path = tmp_path_factory.mktemp("draft") / "model.onnx"
    path.write_bytes(write_decoder(read_decoder(decoder_folder), is_int8=False))
    return path


@pytest.fixture(scope="module")
def exact(graph):
    return DecoderSession(graph, num_rows=3, max_length=64, num_threads=1)


@pytest.fixture(scope="module")
def itself(graph):
    """The same decoder with a session of its own: the best draft that there is, as far as it reads."""
    return DecoderSession(graph, num_rows=1, max_length=48, num_threads=1)


@pytest.fixture(scope="module")
def counted(decoder_folder):
    """Counted n-grams of the decoder's tokens, which know nothing of what it writes."""
    tokenizer = LanguageTokenizer.open(decoder_folder / "tokenizer.json")
    return fit_ngram_language_model(["the cat sat on the mat", "我爱北京"], order=3, vocab_size=0, tokenizer=tokenizer)


def write(session, decoding, draft=None):
    generator = Generator(session, *([draft] if draft else []))
    row, num_steps = generator.begin([0, 40, 41], decoding), 0
    while not generator.is_idle:
        generator.step()
        num_steps += 1
    return row, num_steps


@pytest.mark.parametrize("decoding", [Decoding(temperature=0), Decoding(seed=3), Decoding(seed=4, top_k=9)])
def test_a_text_is_the_same_with_any_draft(exact, itself, counted, decoding):
    decoding = replace(decoding, max_new_tokens=60)
    plain, num_plain = write(exact, decoding)
    for draft, most in ((DecoderDraft(itself), 0.6), (NgramDraft(counted), 1.0)):
        row, num_steps = write(exact, replace(decoding, num_guessed=4), draft)
        assert row.ids == plain.ids
        np.testing.assert_allclose(row.log_likelihoods, plain.log_likelihoods, atol=1e-4)
        assert num_steps <= most * num_plain


def test_a_draft_that_reads_less_than_the_model_leaves_the_rest_to_it(itself):
    draft = DecoderDraft(itself)
    chooser = Chooser(Decoding(temperature=0), [0], itself.vocabulary_size)
    assert len(draft.foresee([0] * 46, 9, chooser)) == 2
    assert draft.foresee([0] * 48, 4, chooser) == []
    # What was read of another text is no part of this one.
    fresh = DecoderDraft(itself).foresee([0, 7, 9], 3, chooser)
    draft.foresee([0, 7, 8, 5], 3, chooser)
    assert draft.foresee([0, 7, 9], 3, chooser) == fresh


def test_with_a_draft_texts_have_the_distribution_of_the_model(exact, itself):
    """Three tokens of three each: the counts of all 27 texts against what the scores say."""
    prompt, width, num_texts = [0, 40, 41], 3, 1200
    expected, choices = {}, {}
    for length, before in ((n, one) for n in range(3) for one in itertools.product(range(width), repeat=n)):
        ids = [*prompt, *(choices[before[:place]][0][before[place]] for place in range(length))]
        scores_V = exact.extend(0, ids, 0, wanted_W=np.array([len(ids) - 1]))[0].astype(np.float64)
        best = np.argsort(-scores_V)[:width]
        weights = np.exp(scores_V[best] - scores_V[best].max())
        choices[before] = (best.tolist(), weights / weights.sum())
    for places in itertools.product(range(width), repeat=3):
        named = tuple(choices[places[:n]][0][places[n]] for n in range(3))
        expected[named] = np.prod([choices[places[:n]][1][places[n]] for n in range(3)])
    generator, counts = Generator(exact, DecoderDraft(itself)), dict.fromkeys(expected, 0)
    for seed in range(num_texts):
        row = generator.begin(prompt, Decoding(max_new_tokens=3, top_k=width, seed=seed, num_guessed=2))
        while not generator.is_idle:
            generator.step()
        counts[tuple(row.ids)] += 1
    found, wanted = (np.array(list(one.values()), dtype=np.float64) for one in (counts, expected))
    # Rare texts together, as the test wants some of each.
    is_rare = wanted * num_texts < 5
    found, wanted = (np.append(one[~is_rare], one[is_rare].sum()) for one in (found, wanted * num_texts))
    assert chisquare(found[wanted > 0], wanted[wanted > 0]).pvalue > 1e-3


def test_the_command_takes_a_draft(decoder_folder, make_decoder_bundle, tmp_path, capsys):
    large = make_decoder_bundle(decoder_folder, tmp_path / "large")
    arguments = ["generate", str(large.path), "--prompt", "the cat", "--seed", "5", "--max-new-tokens", "20"]
    assert main(arguments) == 0
    plain = capsys.readouterr().out
    assert main([*arguments, "--draft", str(large.path)]) == 0
    assert capsys.readouterr().out == plain
    written = yanmo.generate(large, prompt="a", draft=large, out=tmp_path / "written", max_new_tokens=4)
    assert written.manifest.parents["draft"] == large.digest


def test_what_is_no_draft_is_refused(decoder_bundle, tmp_path):
    (tmp_path / "lines.txt").write_text(
        "".join(f"the cat sat on mat {number}.\n" for number in range(40)), encoding="utf-8"
    )
    data = yanmo.prepare(tmp_path / "lines.txt", task="causal_lm", out=tmp_path / "data")
    other = yanmo.train(data, model="kneser-ney", order=2, out=tmp_path / "other")
    with pytest.raises(ConfigError, match="The tokens of .* are not those of the model"):
        yanmo.load_writer(decoder_bundle, draft=other, num_threads=1)
    mixed = yanmo.ensemble(data, [other, other], method="average", out=tmp_path / "mixed")
    with pytest.raises(ArtifactError, match="A draft is a Bundle of format decoder or kneser-ney"):
        yanmo.load_writer(decoder_bundle, draft=mixed, num_threads=1)


def test_what_a_model_or_a_draft_has_no_token_for_is_not_foreseen(exact, itself):
    size = exact.vocabulary_size

    class Padded:
        usual_count = 4

        def foresee(self, *_):
            return [1, size, 2]

    generator = Generator(exact, Padded())
    row = generator.begin([5, 6], Decoding(max_new_tokens=6, temperature=0))
    while not generator.is_idle:
        generator.step()
    assert len(row.ids) == 6
    assert DecoderDraft(itself).foresee([1, size], 3, GREEDY) == []
