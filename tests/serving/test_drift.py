"""Inputs like those the model was made for raise no alarm; others do."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest

from yanmo.artifacts import Bundle
from yanmo.artifacts.profile import make_input_profile, read_input_profile
from yanmo.errors import ArtifactError
from yanmo.runtimes.predictor import open_bundle
from yanmo.serving.answering import BatchAnswer
from yanmo.serving.drift import MIN_TEXTS, THRESHOLD, Drift, stability_index
from yanmo.serving.schemas import Answer
from yanmo.text.inputs import Inputs

USUAL = [
    f"{start} {end}"
    for start in ("很快", "太慢了", "great value", "arrived late")
    for end in ("a", "b c", "好吃", "冷")
]


@pytest.fixture(scope="module")
def profiled(bundles, make_bundle, tmp_path_factory):
    with open_bundle(bundles["ngram"]) as predictor:
        answered = predictor.answer(predictor.encode(Inputs((USUAL,))))
    decided, found = answered.decided, answered.found
    given_C = np.array([decided.predictions.count(label) for label in bundles["ngram"].labels])
    info = make_input_profile(found.num_tokens_N, found.num_unknown_N, decided.probability_N, given_C)
    path = tmp_path_factory.mktemp("profiled") / "model"
    return make_bundle(path, task="single_label", model="ngram", info=info)


def metric(client, name):
    lines = client.get("/metrics").content.decode().splitlines()
    return {line.rpartition(" ")[0]: float(line.rpartition(" ")[2]) for line in lines if line.startswith(name)}


def test_usual_texts_raise_no_alarm_and_other_texts_do(profiled, serving):
    with serving(profiled) as client:
        assert metric(client, "yanmo_drift") == {}
        for _ in range(MIN_TEXTS // len(USUAL) + 1):
            client.predict(texts=USUAL)
        assert metric(client, "yanmo_inputs_changed") == {'yanmo_inputs_changed{model="model"}': 0}
        found = metric(client, "yanmo_drift")
        assert len(found) == 4
        assert max(found.values()) < 0.01
        assert client.get("/v1/models").json["models"][0]["inputs_changed"] is False
        for _ in range(20):
            client.predict(texts=["一篇很长的文章" * 50] * 100)
        assert metric(client, "yanmo_inputs_changed") == {'yanmo_inputs_changed{model="model"}': 1}
        assert client.get("/v1/models").json["models"][0]["inputs_changed"] is True
        assert metric(client, "yanmo_drift")['yanmo_drift{model="model",statistic="length"}'] > THRESHOLD


def test_a_cascade_is_watched_too_and_what_it_withholds_is_no_class(cascade, cascade_texts, serving):
    with open_bundle(cascade) as predictor:
        answers = predictor.predict(cascade_texts)
    given = [one.label for one in answers if not one.abstained]
    shares = read_input_profile(cascade).classes
    assert shares == pytest.approx([given.count(label) / len(given) for label in cascade.labels], abs=1e-5)
    with serving(cascade) as client:
        for _ in range(MIN_TEXTS // len(cascade_texts) + 1):
            client.predict(texts=cascade_texts)
        assert len(metric(client, "yanmo_drift")) == 4
        assert max(metric(client, "yanmo_drift").values()) < 0.01
        for _ in range(20):
            client.predict(texts=["一篇很长的文章" * 50] * 100)
        assert set(metric(client, "yanmo_inputs_changed").values()) == {1}
        assert client.get("/v1/models").json["models"][0]["watches_inputs"] is True


def test_without_a_profile_nothing_is_said_to_have_changed(bundles, serving):
    with serving(bundles["ngram"]) as client:
        client.predict(texts=["x" * 1000] * 500)
        assert metric(client, "yanmo_drift") == {}
        assert set(metric(client, "yanmo_inputs_changed").values()) == {0}


def test_the_index_is_0_for_equal_shares_and_symmetric_in_its_kind():
    assert stability_index([0.25, 0.75], np.array([25, 75])) == pytest.approx(0, abs=1e-9)
    assert stability_index([0.5, 0.5], np.array([900, 100])) == pytest.approx(
        (0.9 - 0.5) * np.log(0.9 / 0.5) + (0.1 - 0.5) * np.log(0.1 / 0.5), rel=0.01
    )
    assert np.isfinite(stability_index([1.0, 0.0], np.array([0, 10])))


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ({"length": 1}, "Expected `array`"),
        ({"length_edges": [5.0], "length": [0.2, 0.3, 0.5]}, "'length' has 3 shares for 2 bins"),
        ({"unknown_edges": [0.5, 0.1], "unknown": [0.2, 0.3, 0.5]}, "the edges of 'unknown' are out of order"),
        ({"confidence_edges": [0.5], "confidence": [1.5, -0.5]}, "Expected `float` <= 1.0"),
        ({"classes": [1.0]}, "it has 1 classes for 3 labels"),
    ],
)
def test_a_damaged_profile_is_an_error(profiled, values, reason):
    raw = {**profiled.manifest.info["input_profile"], **values}
    manifest = msgspec.structs.replace(profiled.manifest, info={**profiled.manifest.info, "input_profile": raw})
    with pytest.raises(ArtifactError, match="input profile .* is damaged") as caught:
        read_input_profile(Bundle(profiled.path, manifest, profiled.digest))
    assert reason in caught.value.message


def test_a_task_without_labels_is_counted_too(profiled):
    raw = {**profiled.manifest.info["input_profile"], "classes": []}
    info = {**profiled.manifest.info, "input_profile": raw}
    manifest = msgspec.structs.replace(profiled.manifest, info=info, labels=[])
    drift = Drift(Bundle(profiled.path, manifest, profiled.digest))
    drift.add(BatchAnswer([Answer("a b", 0.5)] * MIN_TEXTS, [3] * MIN_TEXTS, [0] * MIN_TEXTS, 3, [], 0, 0, 0, ""))
    assert set(drift.statistics()) == {"length", "unknown", "confidence", "class"}
    assert np.isfinite(list(drift.statistics().values())).all()
