"""Small language models from large ones: what they learn from a teacher, and what is cut out of them."""

import json

import numpy as np
import pytest
import torch

import yanmo
from yanmo.errors import ArtifactError, ConfigError, DataError
from yanmo.family_settings import default_settings, unused_settings
from yanmo.modeling.language.decoders import build_decoder, score_rows
from yanmo.modeling.language.taught_tokens import TeacherDecoder, taught_score
from yanmo.modeling.settings import Teaching
from yanmo.models import ModelSpec, resolve
from yanmo.tuning.space import default_space

TINY = {"num_epochs": 3, "learning_rate": 0.01, "num_threads": 1, "precision": "fp32", "max_length": 24}


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    folder = tmp_path_factory.mktemp("lines")
    generator = np.random.default_rng(5)
    lines = [f"the {' '.join(generator.choice(['cat', 'dog', '小猫咪'], 3))}.\n" for _ in range(160)]
    (folder / "lines.txt").write_text("".join(lines), encoding="utf-8")
    return yanmo.prepare(folder / "lines.txt", task="causal_lm", out=folder / "data")


@pytest.fixture(scope="module")
def teacher(dataset, tmp_path_factory):
    out = tmp_path_factory.mktemp("teacher") / "teacher"
    return yanmo.train(dataset, model="gpt-2x32", vocab_size=272, out=out, **TINY)


def bits(bundle):
    return bundle.manifest.info["summary"]["valid_bits_per_character"]


@pytest.mark.parametrize("name", ["gpt2-1x32", "lstm-1x32"])
def test_a_student_of_soft_tokens_takes_over_the_tokenizer(dataset, teacher, name, tmp_path, caplog):
    student = yanmo.distill(teacher, dataset, model=name, vocab_size=16, out=tmp_path / "student", **TINY)
    tokenizers = [json.loads((one.path / "tokenizer.json").read_text()) for one in (student, teacher)]
    assert tokenizers[0]["model"]["vocab"] == tokenizers[1]["model"]["vocab"]
    assert "The 'vocab_size' parameter has no effect" in caplog.text
    assert student.size_bytes < teacher.size_bytes
    assert student.manifest.parents["teacher"] == teacher.digest
    assert bits(student) < 4
    exported = yanmo.export(student, out=tmp_path / "decoder")
    with yanmo.load_writer(exported, num_threads=1) as writer:
        assert writer.write(["the"], max_new_tokens=3)[0][0].ids


def test_a_student_learns_what_the_teacher_says_and_not_only_the_texts(teacher):
    """The loss is least where both agree: with alpha 1 the teacher itself has none, whatever the texts are."""
    opened = TeacherDecoder(teacher.path)
    batch = {"input_ids": torch.arange(12).view(2, 6), "next_ids": torch.arange(20, 32).view(2, 6)}
    batch["next_ids"][1, 4:] = -100
    student = TeacherDecoder(teacher.path).module
    losses = {}
    for alpha in (0.0, 0.5, 1.0):
        score = taught_score(opened, Teaching(alpha, 2.0), device="cpu")
        losses[alpha] = score(student.train(), batch)
    torch.testing.assert_close(losses[0.0], score_rows(student, batch))
    assert losses[1.0][:, 0].abs().max() < 1e-4
    torch.testing.assert_close(losses[0.5][:, 0], losses[0.0][:, 0] / 2, atol=1e-4, rtol=1e-4)
    assert losses[1.0][:, 1].tolist() == [6, 4]
    other = build_decoder(resolve("gpt2-1x32"), vocab_size=272, end_id=0, max_length=24, dropout=0.0)
    soft = taught_score(opened, Teaching(1.0, 1.0), device="cpu")
    # What is learned is how far two distributions are apart, which is never negative; held-out rows are read alone.
    assert soft(other.train(), batch)[:, 0].min() > 0
    torch.testing.assert_close(soft(other.eval(), batch), score_rows(other, batch))


def test_counted_n_grams_take_over_the_tokens_so_that_both_can_be_mixed(dataset, teacher, tmp_path):
    counted = yanmo.distill(teacher, dataset, model="kneser-ney", alpha=0.5, out=tmp_path / "counted")
    mixed = yanmo.ensemble(dataset, [teacher, counted], method="average", out=tmp_path / "mixed")
    assert mixed.format == "ensemble"


def test_written_texts_teach_students_of_other_tokens(dataset, teacher, tmp_path, caplog):
    decoder = yanmo.export(teacher, out=tmp_path / "decoder")
    written = yanmo.generate(decoder, prompt="the ", n=40, max_new_tokens=8, out=tmp_path / "written", num_threads=1)
    student = yanmo.distill(written, dataset, model="kneser-ney", out=tmp_path / "student")
    assert student.manifest.info["summary"]["num_texts"] == dataset.split("train").height + 40
    assert "written texts were cut" in caplog.text
    plain = yanmo.predict(teacher, dataset.path, split="train", out=tmp_path / "plain")
    with pytest.raises(DataError, match="holds no texts that a language model has written"):
        yanmo.distill(plain, dataset, model="kneser-ney", out=tmp_path / "other")
    with pytest.raises(ConfigError, match="must be a torch Bundle of one language model"):
        yanmo.distill(decoder, dataset, model="gpt-1x32", out=tmp_path / "other")


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"num_altered": 1}, "does not suit language models"),
        ({"max_length": 64}, "must be at most 24, what the teacher reads. Got 64"),
        ({"match": "hidden"}, "needs a student and a teacher that are torch encoders"),
    ],
)
def test_what_a_student_cannot_learn_is_refused(dataset, teacher, keys, message, tmp_path):
    with pytest.raises(ConfigError, match=message):
        yanmo.distill(teacher, dataset, model="gpt2-1x32", out=tmp_path / "student", **{**TINY, **keys})


def test_a_checkpoint_of_other_tokens_is_no_student(dataset, teacher, tmp_path):
    other = yanmo.train(dataset, model="gpt2-1x32", vocab_size=258, out=tmp_path / "other", **{**TINY, "num_epochs": 1})
    with pytest.raises(ConfigError, match="The tokens of other are not those of its teacher"):
        yanmo.distill(teacher, dataset, model=str(other.path), out=tmp_path / "student", **TINY)


def test_layers_neurons_and_tokens_are_cut_out_and_the_rest_recovers(dataset, teacher, tmp_path, caplog):
    keys = {"layers": 1, "feed_forward": 0.5, "vocabulary": 2, "num_epochs": 2, "num_threads": 1, "precision": "fp32"}
    pruned = yanmo.prune(teacher, dataset, out=tmp_path / "pruned", **keys)
    summary = pruned.manifest.info["summary"]
    tokens = json.loads((pruned.path / "tokenizer.json").read_text())["model"]["vocab"]
    assert (summary["layers"], summary["neurons"], summary["tokens"]) == (1, 64, len(tokens))
    assert pruned.size_bytes < 0.7 * teacher.size_bytes
    exported = yanmo.export(pruned, out=tmp_path / "decoder")
    with yanmo.load(pruned, num_threads=1) as ours, yanmo.load(exported, num_threads=1) as theirs:
        # What is left out is spelled, so any text can still be read.
        found = [one.infer(["the cat 小猫咪 zebra"])[0].sums_N() for one in (ours, theirs)]
    np.testing.assert_allclose(*found, atol=1e-3)


def test_without_rare_tokens_the_others_are_as_likely_among_themselves(dataset, teacher, tmp_path):
    cut = yanmo.prune(teacher, dataset, vocabulary=1, num_epochs=0, num_threads=1, out=tmp_path / "cut")
    texts = dataset.split("train")["text"].to_list()[:20]
    with yanmo.load(cut, num_threads=1) as ours, yanmo.load(teacher, num_threads=1) as theirs:
        (less, _), (more, _) = ours.infer(texts), theirs.infer(texts)
    assert (less.places == more.places).all()
    gain_M = less.values_M - more.values_M
    assert gain_M.min() > -1e-5
    assert cut.size_bytes <= teacher.size_bytes


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"layers": 2}, "The 'layers' parameter of prune must be less than 2"),
        ({"feed_forward": 0.5, "uniform": False}, "The 'uniform' parameter of prune must be true"),
        ({"feed_forward": 0.01}, "prune would leave nothing out"),
        ({"vocabulary": 1, "weights": 0.5}, "either parts or single weights"),
    ],
)
def test_what_cannot_be_cut_is_refused(dataset, teacher, keys, message, tmp_path):
    with pytest.raises(ConfigError, match=message):
        yanmo.prune(teacher, dataset, num_threads=1, out=tmp_path / "cut", **keys)


def test_counts_have_no_weights_that_could_be_zero(dataset, tmp_path):
    counted = yanmo.train(dataset, model="kneser-ney", order=2, out=tmp_path / "counted")
    with pytest.raises(ArtifactError, match="counts and no weights"):
        yanmo.prune(counted, dataset, weights=0.5, out=tmp_path / "zeros")
    with pytest.raises(ArtifactError, match="torch encoders and language models"):
        yanmo.prune(counted, dataset, layers=1, out=tmp_path / "zeros")


def test_settings_are_searched_by_the_fewest_bits(dataset, tmp_path):
    space = tmp_path / "space.toml"
    space.write_text(
        'precision = "fp32"\n'
        "learning_rate = { low = 1e-4, high = 2e-2, log = true }\nmax_length = 16\nvocab_size = 272\nnum_epochs = 1\n"
    )
    keys = {"num_trials": 2, "num_seeds": 1, "num_threads": 1, "prune": False}
    tuned = yanmo.tune(dataset, model="gpt2-1x32", space=space, out=tmp_path / "tuned", **keys)
    report = json.loads((tuned.path / "tuning" / "report.json").read_text())
    assert (report["metric"], report["lowest"]) == ("bits_per_character", True)
    assert report["best"]["score"] == min(trial["score"] for trial in report["trials"]) == pytest.approx(bits(tuned))


@pytest.mark.parametrize("family", ["gpt2", "gpt", "lstm", "gcnn", "pretrained"])
def test_what_is_searched_by_default_has_an_effect_on_language_models(family):
    spec = ModelSpec("any", family, layers=2, width=64)
    idle = unused_settings(spec, "sequences")
    space = default_space(family, default_settings(family, 1000, form="sequences"), idle=idle)
    assert {"learning_rate", "batch_size", "num_epochs"} <= set(space)
    assert not {"label_smoothing", "head_start"} & set(space)
