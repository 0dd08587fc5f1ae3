"""A cascade over HTTP says which stage answered, and that it gave no answer."""

from __future__ import annotations

import numpy as np
import pytest

from yanmo.artifacts import Bundle
from yanmo.artifacts.base import Manifest
from yanmo.artifacts.dataset import Dataset
from yanmo.bundling.composites import member_names, publish_composite
from yanmo.runtimes.composite import CascadeSettings
from yanmo.runtimes.predictor import open_bundle

TEXTS = ["很快，好吃", "太慢了", "great", "", "😀 <b>ok</b>", "arrived late and cold", "a b c", "好"] * 3


@pytest.fixture(scope="module")
def cascade(bundles, tmp_path_factory):
    members = [bundles["linear"], bundles["ngram"]]
    folder = tmp_path_factory.mktemp("cascade")
    identity = {"kind": "dataset", "task": "single_label", "labels": members[0].labels, "parents": {}, "config": {}}
    dataset = Dataset(folder, Manifest(**identity, versions={}, key="", files={}), "d" * 64)
    settings = CascadeSettings(member_names(members), [[0, 1, 2]] * 2, [0.4], 0.9, [1.0, 2.0], {}, [])
    more = {"verb": "cascade", "model": "cascade of 2", "config": {}, "seed": 0, "scores": {}}
    publish_composite(folder / "cascade", members, settings, dataset, **more)
    return Bundle.open(folder / "cascade")


def test_an_answer_says_its_stage_and_no_answer_is_null(cascade, serving):
    with open_bundle(cascade) as predictor:
        expected = predictor.predict(TEXTS)
    assert {one.stage for one in expected} == {1, 2}
    assert 0 < sum(one.abstained for one in expected) < len(TEXTS)
    with serving(cascade) as client:
        answers = client.predict(texts=TEXTS).json["predictions"]
        alone = client.predict(text=TEXTS[0], return_probabilities=False).json
        assert client.get("/v1/models").json["models"][0]["format"] == "cascade"
    keys = {"prediction", "probability", "probabilities", "truncated", "stage", "abstained"}
    for answer, one in zip(answers, expected, strict=True):
        assert answer.keys() == keys
        assert (answer["prediction"], answer["stage"], answer["abstained"]) == (one.label, one.stage, one.abstained)
        assert (answer["prediction"] is None) == answer["abstained"]
        np.testing.assert_allclose(list(answer["probabilities"].values()), list(one.probabilities.values()), atol=1e-6)
    assert alone.keys() == (keys | {"model", "digest"}) - {"probabilities"}
