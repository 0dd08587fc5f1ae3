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


def test_a_threshold_silences_what_is_less_probable_and_wakes_nothing(cascade, cascade_texts, serving):
    with serving(cascade) as client:
        plain = client.predict(texts=cascade_texts).json["predictions"]
        found = client.predict(texts=cascade_texts, threshold=0.65).json["predictions"]
        low = client.predict(texts=cascade_texts, threshold=0.0).json["predictions"]
    assert low == plain
    assert 0 < sum(one["abstained"] for one in plain) < sum(one["abstained"] for one in found) < len(found)
    for one, before in zip(found, plain, strict=True):
        is_silent = before["abstained"] or before["probability"] < 0.65
        expected = {"prediction": None, "abstained": True} if is_silent else {}
        assert one == before | expected


def test_of_many_labels_a_threshold_gives_others_but_says_as_much(multi_label_cascade, cascade_texts, serving):
    with serving(multi_label_cascade) as client:
        plain = client.predict(texts=cascade_texts).json["predictions"]
        found = client.predict(texts=cascade_texts, threshold=0.7).json["predictions"]
    assert 0 < sum(one["abstained"] for one in plain) < len(plain)
    for one, before in zip(found, plain, strict=True):
        assert one.keys() == before.keys()
        assert (one["abstained"], one["stage"]) == (before["abstained"], before["stage"])
        given = [label for label, share in before["probabilities"].items() if share >= 0.7]
        assert one["prediction"] == (None if one["abstained"] else given)
