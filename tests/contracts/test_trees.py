"""Trees go through every verb that can do something with them, are trees whatever the text is, and the rest refuses."""

from __future__ import annotations

import importlib.util
import json
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import polars as pl
import pytest

import yanmo
from yanmo.answers.trees import is_tree_N
from yanmo.data.tagged.conllu import read_conllu
from yanmo.errors import ConfigError
from yanmo.grinding.grind import STUDENTS
from yanmo.models import resolve
from yanmo.tasks import TASKS

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "examples" / "sentences" / "sentences.conllu"
TEXT = "The courier opened the new box ."
ODD = ["", "   ", "a", "。", "😀 😀\u200d😀 .", "! ! ? …", "\ufeff \x1e b", "好 " * 300, "e\u0301 <b>x</b> &amp;"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("trees")


@pytest.fixture(scope="module")
def data(folder):
    return yanmo.prepare(SOURCE, task="dependencies", id="sent_id", out=folder / "data")


@pytest.fixture(scope="module")
def arcs(folder, data):
    return yanmo.train(data.path, model="arcs", num_epochs=3, num_threads=1, out=folder / "arcs")


@pytest.fixture(scope="module")
def biaffine(folder, data):
    options = {"num_epochs": 6, "max_length": 32, "vocab_size": 400, "num_threads": 1}
    return yanmo.train(data.path, model="bilstm", **options, out=folder / "bilstm")


@pytest.fixture(scope="module")
def ensemble(folder, data, arcs, biaffine):
    return yanmo.ensemble(data.path, [arcs.path, biaffine.path], out=folder / "both")


def las(bundle):
    return bundle.manifest.info["summary"]["valid_las"]


def heads_of(words):
    return np.array([word.head for word in words], dtype=np.int64)


def test_both_parsers_learn(arcs, biaffine):
    # Every word at its neighbor, with the most frequent relation, is under a third.
    assert las(arcs) > 0.9
    assert las(biaffine) > 0.4
    assert arcs.manifest.info["precision"] == "int8"


@pytest.mark.parametrize("name", ["arcs", "biaffine", "ensemble"])
def test_whatever_the_text_is_its_words_form_a_tree_and_point_at_what_they_say(name, request):
    with yanmo.load(request.getfixturevalue(name).path) as predictor:
        found = predictor.predict(ODD)
        alone = [predictor.predict([text])[0] for text in ODD]
    for text, one, other in zip(ODD, found, alone, strict=True):
        heads = heads_of(one.words)
        assert is_tree_N(heads, np.array([0, len(heads)])).all()
        assert [text[word.start : word.end] for word in one.words] == text.split()
        assert [(word.head, word.relation) for word in other.words] == [
            (word.head, word.relation) for word in one.words
        ]


@pytest.mark.parametrize("name", ["arcs", "biaffine"])
def test_a_text_that_is_too_long_is_read_from_its_beginning(name, request):
    with yanmo.load(request.getfixturevalue(name).path) as predictor:
        (found,) = predictor.predict(["word " * 1200])
        _, about = predictor.infer(["word " * 1200])
    assert len(found.words) == 1000
    assert about.truncated_N.tolist() == [True]


def test_an_exported_and_a_smaller_parser_answer_alike(folder, data, biaffine):
    exported = yanmo.export(biaffine.path, out=folder / "onnx")
    small = yanmo.quantize(biaffine.path, data.path, max_drop=0.05, out=folder / "int8")
    texts = data.split("valid")["text"].to_list()
    found = []
    for bundle in (biaffine, exported, small):
        with yanmo.load(bundle.path) as predictor:
            found.append(predictor.infer(texts)[0])
    assert found[0].distance_N(found[1]).max() < 1e-4
    assert found[0].distance_N(found[2]).max() < 0.5
    assert small.manifest.info["summary"]["las_drop"] <= 0.05


@pytest.mark.parametrize("method", ["average", "log-linear", "vote"])
def test_members_are_combined(folder, data, arcs, biaffine, method):
    made = yanmo.ensemble(data.path, [arcs.path, biaffine.path], method=method, out=folder / method)
    assert las(made) >= las(biaffine)


def test_the_temperature_of_a_parser_is_fitted(folder, data, biaffine):
    made = yanmo.calibrate(biaffine.path, data.path, out=folder / "calibrated")
    assert made.calibration["method"] == "temperature"
    with pytest.raises(ConfigError, match="Choices"):
        yanmo.calibrate(biaffine.path, data.path, method="vector", out=folder / "vector")


def test_a_student_learns_from_the_trees_of_its_teacher(folder, data, arcs):
    (folder / "more.csv").write_text("text\nLily kept a small box .\nOmar lost the lamp again .\n", encoding="utf-8")
    options = {"num_epochs": 2, "num_threads": 1, "text": "text"}
    made = yanmo.distill(
        arcs.path, data.path, transfer=[folder / "more.csv"], model="arcs", **options, out=folder / "student"
    )
    assert made.manifest.info["summary"]["num_texts"] == data.split("train").height + 2
    assert las(made) > 0.8


def test_a_report_has_the_measures_the_distances_and_drawings_of_the_worst_sentences(folder, data, biaffine, arcs):
    report = yanmo.evaluate(
        biaffine.path, data.path, against=arcs.path, num_resamples=100, measure_speed=False, out=folder / "report"
    )
    content = json.loads((report.path / "report.json").read_text(encoding="utf-8"))
    assert content["headline"]["name"] == "las"
    assert content["las"] < content["uas"]
    assert content["against"]["las"] > content["las"]
    assert sum(row["count"] for row in content["per_distance"]) == content["num_units"]
    page = (report.path / "report.html").read_text(encoding="utf-8")
    assert page.count('<svg class="tree"') == len(content["mistakes"]) > 0
    worst = [one["num_wrong"] for one in content["mistakes"]]
    assert worst == sorted(worst, reverse=True)


def test_predictions_are_conllu_that_can_be_read_again(folder, data, arcs):
    found = yanmo.predict(arcs.path, data.path, format="conllu", out=folder / "predicted")
    path = found.path / "table.conllu"
    lines = path.read_text(encoding="utf-8").split("\n")
    rows = list(read_conllu(path, lines, None, name="sent_id", counts=Counter(), has_arcs=True))
    frame = found.frame()
    assert [row.name for row in rows] == frame["id"].to_list()
    assert [[int(arc.head) for arc in row.arcs] for row in rows] == [
        [word["head"] for word in words] for words in frame["prediction"].to_list()
    ]
    assert frame.schema["pointers"] == pl.List(pl.List(pl.Float32))


def test_a_table_for_people_has_the_words(folder, data, arcs):
    yanmo.predict(arcs.path, data.path, format="jsonl", out=folder / "jsonl")
    first = json.loads((folder / "jsonl" / "table.jsonl").read_text(encoding="utf-8").splitlines()[0])
    assert set(first["prediction"][0]) == {"start", "end", "head", "relation", "probability", "text"}


@pytest.mark.parametrize(
    ("verb", "options", "message"),
    [
        ("audit", {}, "audit is for texts as a whole"),
        ("prune", {}, "prune is for texts as a whole"),
    ],
)
def test_verbs_about_labels_of_whole_texts_refuse_trees(folder, data, biaffine, verb, options, message):
    with pytest.raises(ConfigError, match=message):
        getattr(yanmo, verb)(biaffine.path, data.path, **options, out=folder / verb)


def test_members_cannot_be_stacked(folder, data, arcs, biaffine):
    with pytest.raises(ConfigError, match="Stacking is for answers of the form Choices"):
        yanmo.ensemble(data.path, [arcs.path, biaffine.path], method="stacking", out=folder / "stacked")


@pytest.mark.parametrize("model", ["ngram", "linear", "window"])
def test_models_without_a_head_for_trees_are_refused(folder, data, model):
    with pytest.raises(ConfigError, match=r"(?s)the trees of sentences.*arcs"):
        yanmo.train(data.path, model=model, out=folder / model)


def test_conll_is_not_a_format_of_trees(folder, data, arcs):
    with pytest.raises(ConfigError, match="conllu a tree"):
        yanmo.predict(arcs.path, data.path, format="conll", out=folder / "conll")


def helpers():
    """Return what starts a service in a thread, which the tests of the service share."""
    spec = importlib.util.spec_from_file_location("served", ROOT / "tests" / "serving" / "conftest.py")
    module = sys.modules.setdefault("served", importlib.util.module_from_spec(spec))
    spec.loader.exec_module(module)
    return module


def test_a_service_answers_words_heads_relations_and_conllu(arcs):
    with helpers()._serving(arcs) as service:
        answer = service.predict(text=TEXT).json
        with yanmo.Client(f"http://127.0.0.1:{service.port}") as client:
            (told,) = client.predict([TEXT])
    with yanmo.load(arcs.path) as predictor:
        (expected,) = predictor.predict([TEXT])
    words = answer["words"]
    assert [word["id"] for word in words] == list(range(1, 8))
    assert [TEXT[word["start"] : word["end"]] for word in words] == [word["word"] for word in words] == TEXT.split()
    assert [(word["head"], word["relation"]) for word in words] == [
        (word.head, word.relation) for word in expected.words
    ]
    assert answer["conllu"].splitlines()[0].split("\t")[:2] == ["1", "The"]
    assert told.words == expected.words


def test_no_verb_knows_the_name_of_the_task():
    """What differs by task is asked of the task, or looked up by form."""
    name = TASKS["dependencies"].name
    for path in (ROOT / "src" / "yanmo" / "verbs").glob("*.py"):
        assert name not in path.read_text(encoding="utf-8"), path.name


def test_rules_of_spans_are_not_for_trees(folder, arcs):
    (folder / "rules.toml").write_text('[[rule]]\nlabel = "nsubj"\nwords = ["box"]\n', encoding="utf-8")
    with pytest.raises(ConfigError, match="must label the units of texts"):
        yanmo.adjust(arcs.path, rules=folder / "rules.toml", out=folder / "ruled")


def test_a_search_tries_what_makes_trees():
    assert all(resolve(name).can_label("trees") for name in STUDENTS["trees"])
    assert all(resolve(name).can_label(head) for head, names in STUDENTS.items() for name in names)
