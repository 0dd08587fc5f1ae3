"""A cascade over HTTP says which stage answered, and that it gave no answer."""

from __future__ import annotations

import numpy as np

from yanmo.runtimes.predictor import open_bundle


def test_an_answer_says_its_stage_and_no_answer_is_null(cascade, cascade_texts, serving):
    with open_bundle(cascade) as predictor:
        expected = predictor.predict(cascade_texts)
    assert {one.stage for one in expected} == {1, 2}
    assert 0 < sum(one.abstained for one in expected) < len(cascade_texts)
    with serving(cascade) as client:
        answers = client.predict(texts=cascade_texts).json["predictions"]
        alone = client.predict(text=cascade_texts[0], return_probabilities=False).json
        assert client.get("/v1/models").json["models"][0]["format"] == "cascade"
    keys = {"prediction", "probability", "probabilities", "truncated", "stage", "abstained"}
    for answer, one in zip(answers, expected, strict=True):
        assert answer.keys() == keys
        assert (answer["prediction"], answer["stage"], answer["abstained"]) == (one.label, one.stage, one.abstained)
        assert (answer["prediction"] is None) == answer["abstained"]
        np.testing.assert_allclose(list(answer["probabilities"].values()), list(one.probabilities.values()), atol=1e-6)
    assert alone.keys() == (keys | {"model", "digest"}) - {"probabilities"}
