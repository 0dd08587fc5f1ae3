"""A parser that was given a tagger and a segmenter answers raw texts: it cuts them, tags the words and parses these."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import yanmo
from yanmo.errors import ConfigError

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "examples" / "sentences" / "sentences.conllu"
KEPT = {"num_epochs": 3, "num_threads": 1}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("raw")


@pytest.fixture(scope="module")
def source(folder):
    """The example, in which no space follows a word of Chinese, and none stands before a mark."""
    path, rows = folder / "raw.conllu", SOURCE.read_text(encoding="utf-8").split("\n")
    for number, row in enumerate(rows):
        fields, behind = row.split("\t"), rows[number + 1].split("\t") if number + 1 < len(rows) else [""]
        if len(fields) == 10 and len(behind) == 10 and (fields[1] > "\u3000" or behind[3] == "PUNCT"):
            rows[number] = "\t".join([*fields[:9], "SpaceAfter=No"])
    path.write_text("\n".join(rows), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def data(folder, source):
    return yanmo.prepare(source, task="dependencies", out=folder / "trees")


@pytest.fixture(scope="module")
def segmenter(folder, source):
    words = yanmo.prepare(source, task="token_labels", label="words", units="characters", out=folder / "words")
    return yanmo.train(words.path, model="window", out=folder / "segmenter", **KEPT)


@pytest.fixture(scope="module")
def tagger(folder, source):
    tags = yanmo.prepare(source, task="token_labels", label="upos", units="words", out=folder / "tags")
    return yanmo.train(tags.path, model="window", out=folder / "tagger", **KEPT)


@pytest.fixture(scope="module")
def parser(folder, data, tagger, segmenter):
    return yanmo.train(
        data.path, model="arcs", tagger=tagger.path, segmenter=segmenter.path, out=folder / "parser", **KEPT
    )


def test_raw_texts_are_cut_into_words_whose_places_are_exact(data, parser):
    task = yanmo.Dataset.open(data.path)
    rows = task.split("test")
    with yanmo.load(parser.path) as predictor:
        raw = predictor.task.raw(rows).first
        found = predictor.predict(raw)
    right = 0
    for text, one, given in zip(raw, found, rows["text"].to_list(), strict=True):
        assert [text[word.start : word.end] for word in one.words] == [word.text for word in one.words]
        assert "".join(word.text for word in one.words) == "".join(text.split())
        right += [word.text for word in one.words] == given.split()
    assert right > 0.6 * len(raw)


def test_a_report_has_the_scores_of_given_words_and_of_those_that_were_cut(folder, data, parser):
    report = yanmo.evaluate(parser.path, data.path, num_resamples=100, measure_speed=False, out=folder / "report")
    content = json.loads((report.path / "report.json").read_text(encoding="utf-8"))
    raw = content["from_raw_text"]
    assert 0.8 < raw["words_f1"] <= 1
    assert raw["las"] <= raw["uas"] <= raw["words_f1"]
    assert raw["las"] <= content["las"] + 0.02
    assert "From raw text" in (report.path / "report.html").read_text(encoding="utf-8")


def test_the_bundles_are_parts_of_the_parser_and_named_in_its_manifest(parser, tagger, segmenter):
    parents = parser.manifest.parents
    assert (parents["tagger"], parents["segmenter"]) == (tagger.digest, segmenter.digest)
    assert (parser.path / "tagger" / "manifest.json").is_file()
    assert (parser.path / "segmenter" / "manifest.json").is_file()


def test_a_network_with_both_answers_alike_when_it_is_exported(folder, data, tagger, segmenter):
    options = {"num_epochs": 1, "max_length": 32, "vocab_size": 300, "num_threads": 1}
    made = yanmo.train(
        data.path, model="bert-1x32", tagger=tagger.path, segmenter=segmenter.path, out=folder / "network", **options
    )
    assert made.architecture["reads_kinds"]
    exported = yanmo.export(made.path, out=folder / "graph")
    texts = ["The courier opened the new box.", "他买了一本书。"]
    with yanmo.load(made.path) as first, yanmo.load(exported.path) as second:
        assert first.infer(texts)[0].distance_N(second.infer(texts)[0]).max() < 1e-4


def test_an_ensemble_of_taggers_reads_the_words_that_the_segmenter_has_cut(folder, data, tagger, segmenter):
    other = yanmo.train(folder / "tags", model="window", seed=2, out=folder / "tagger-2", **KEPT)
    both = yanmo.ensemble(folder / "tags", [tagger, other], num_threads=1, out=folder / "taggers")
    parts = {"tagger": both.path, "segmenter": segmenter.path}
    made = yanmo.train(data.path, model="arcs", out=folder / "parser-of-two", **parts, **KEPT)
    text = "The courier opened the new box."
    with yanmo.load(made.path) as predictor:
        # Behind a text that is cut at so many words, nothing is told of another one's.
        alone, beside = (predictor.predict(one) for one in ([text], ["the " * 1005, text]))
    assert [word.text for word in alone[0].words] == ["The", "courier", "opened", "the", "new", "box", "."]
    assert beside[1].words == alone[0].words


@pytest.mark.parametrize(
    ("role", "given", "said"),
    [
        ("tagger", "segmenter", "must be a Bundle that gives every word one tag"),
        ("segmenter", "tagger", "must be a Bundle that finds words"),
    ],
)
def test_a_bundle_that_says_something_else_is_refused(folder, data, request, role, given, said):
    options = {role: request.getfixturevalue(given).path}
    with pytest.raises(ConfigError, match=said):
        yanmo.train(data.path, model="arcs", out=folder / "refused", **options)


def test_models_and_tasks_without_words_take_neither(folder, data, tagger, segmenter):
    with pytest.raises(ConfigError, match="textcnn reads words alone"):
        yanmo.train(data.path, model="textcnn", tagger=tagger.path, out=folder / "refused")
    with pytest.raises(ConfigError, match="task token_labels does not use the 'segmenter' input"):
        yanmo.train(folder / "tags", model="window", segmenter=segmenter.path, out=folder / "refused")
