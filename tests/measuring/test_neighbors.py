"""The training rows beside a mistake are those that are most like it, by n-grams or by vectors."""

import json

import numpy as np
import polars as pl
import pytest
from families import make_checkpoint

import yanmo
from yanmo.artifacts import Dataset
from yanmo.artifacts.base import Identity, publish
from yanmo.errors import DataError
from yanmo.measuring.neighbors import add_neighbors, find_neighbors
from yanmo.runtimes.predictor import open_bundle
from yanmo.text.inputs import Inputs
from yanmo.text.pipeline import TextConfig
from yanmo.verbs.evaluate import evaluate

TRAIN = [
    ("Where is my parcel?", "delivery"),
    ("where is my card?", "card"),
    ("The soup was cold.", "food"),
    ("快递什么时候到", "delivery"),
    ("饭都凉了", "food"),
]
NAMES = ["card", "delivery", "food"]


def make_dataset(folder, rows, *, task="single_label"):
    columns = {"id": [str(place) for place in range(len(rows))], "text": [row[0] for row in rows]}
    columns |= {"text_b": [row[1] for row in rows]} if task == "text_pair" else {}
    frame = pl.DataFrame(columns | {"label": [row[-1] for row in rows]})
    info = {"text": TextConfig().model_dump(mode="json")}
    with publish(folder, Identity(kind="dataset", verb="prepare", task=task, labels=NAMES, info=info)) as staging:
        for split in ("train", "valid", "test"):
            frame.write_parquet(staging / f"{split}.parquet")
    return Dataset.open(folder)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("neighbors")


@pytest.fixture(scope="module")
def dataset(folder):
    return make_dataset(folder / "data", TRAIN * 4)


@pytest.fixture(scope="module")
def vectors(folder):
    make_checkpoint("bert", folder / "encoder", task="Model")
    return yanmo.embed(folder / "encoder", max_length=32, out=folder / "vectors")


def found(dataset, texts, **options):
    return find_neighbors(Inputs((texts,)), dataset, **{"num_similar": 3, **options})


def test_the_nearest_of_a_training_text_is_itself_whatever_its_case(dataset):
    texts = [row[0] for row in TRAIN]
    told = found(dataset, [text.upper() for text in texts], num_similar=1)
    assert [rows["text"].item().lower() for rows in told.rows] == [text.lower() for text in texts]
    np.testing.assert_allclose(told.similarities, 1, atol=1e-6)
    assert told.num_compared == 4 * len(TRAIN)


def test_others_follow_by_what_they_share(dataset):
    told = found(dataset, ["where is the soup", "饭凉", "zzz"], num_similar=20)
    first = [list(dict.fromkeys(rows["text"].to_list())) for rows in told.rows]
    assert first[0][:3] != first[1][:3]
    assert first[1][0] == "饭都凉了"
    assert all(one == sorted(one, reverse=True) for one in told.similarities)
    assert told.similarities[2] == [0] * 20


def test_vectors_say_what_is_alike_where_they_are_given(dataset, vectors):
    asked = ["the soup", "饭"]
    told = found(dataset, asked, num_similar=20, vectors=vectors)
    with open_bundle(vectors, num_threads=1) as predictor:
        ours_ND, theirs_ND = (
            predictor.infer(texts)[0].values_ND for texts in (asked, dataset.split("train")["text"].to_list())
        )
    expected = -np.sort(-(ours_ND @ theirs_ND.T), axis=1)
    np.testing.assert_allclose(told.similarities, expected, atol=1e-5)


def test_pairs_are_compared_by_both_texts(folder):
    pairs = make_dataset(
        folder / "pairs", [("a cat", "sat here", "food"), ("a cat", "ran off", "card")], task="text_pair"
    )
    told = find_neighbors(Inputs((["a cat"], ["ran away"])), pairs, num_similar=1)
    assert told.rows[0]["text_b"].to_list() == ["ran off"]


def test_a_report_shows_them_beside_its_mistakes_and_counts_the_doubtful(dataset, vectors, folder, caplog):
    model = yanmo.train(dataset, model="ngram", num_epochs=1, out=folder / "model")
    wrong = make_dataset(folder / "wrong", [*TRAIN * 4, ("where is my parcel?", "food"), ("饭都凉了", "card")])
    report = evaluate(model, wrong, out=folder / "report", measure_speed=False)
    mistakes = report.metrics["mistakes"]
    assert {len(one["similar"]) for one in mistakes} == {3}
    cosines = [other["similarity"] for one in mistakes for other in one["similar"]]
    assert all(-1e-6 <= one <= 1 + 1e-6 for one in cosines)
    counted = report.metrics["similarity"]
    assert (counted["vectors"], counted["num_compared"]) == (None, 22)
    page = (report.path / "report.html").read_text()
    assert "by their n-grams" in page
    assert mistakes[0]["similar"][0]["text"] in page.replace("&#39;", "'")
    by_vectors = evaluate(model, wrong, vectors=vectors, out=folder / "by-vectors", measure_speed=False)
    assert by_vectors.metrics["similarity"]["vectors"] == {"name": "vectors", "digest": vectors.digest}
    assert by_vectors.manifest.parents["vectors"] == vectors.digest
    assert "the vectors of" in (by_vectors.path / "report.html").read_text()
    without = evaluate(model, wrong, num_similar=0, measure_speed=False)
    assert without.metrics["similarity"] is None
    assert "similar" not in json.dumps(without.metrics["mistakes"])


def test_a_mistake_that_is_nearly_a_row_of_another_label_is_said(dataset, caplog):
    mistakes = [{"text": "Where is my parcel", "label": "food"}, {"text": "the soup was cold", "label": "food"}]
    told = add_neighbors(mistakes, dataset, num_similar=1, vectors=None)
    assert told == {"vectors": None, "num_compared": 20, "num_near_of_other_label": 1}
    assert "1 of the 2 most confident mistakes are nearly the same as a training row of another label." in caplog.text


def test_a_bundle_without_vectors_is_refused(dataset, folder, vectors):
    model = yanmo.train(dataset, model="ngram", num_epochs=1, out=folder / "another")
    with pytest.raises(DataError, match="'vectors' input must give vectors"):
        evaluate(model, dataset, vectors=model)
