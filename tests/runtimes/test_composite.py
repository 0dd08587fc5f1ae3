"""Composites answer as their members do, stage by stage, and what is damaged in them is named."""

import json
import shutil
import subprocess
import sys

import numpy as np
import pytest
from msgspec.structs import replace

from yanmo.answers.links import SOFTMAX
from yanmo.artifacts.bundle import Bundle
from yanmo.combine.cascading import NEVER
from yanmo.errors import ArtifactError
from yanmo.runtimes.composite import CascadeRuntime
from yanmo.runtimes.predictor import Predictor, open_bundle
from yanmo.text.inputs import Inputs

TEXTS = ["很快，好吃", "", "cold & late", "a b c " * 40, "😀", "好" * 60, "味道不错", "great food", "never again"] * 3


def answers(bundle, predictors, texts=TEXTS):
    """A Bundle's probabilities by label."""
    predictor = predictors(bundle)
    return predictor.predict_proba(texts)[:, [predictor.labels.index(label) for label in sorted(predictor.labels)]]


def test_labels_in_another_order_are_mapped(get_bundle, predictors):
    whole = get_bundle("ensemble")
    assert whole.labels == whole.members()[0].labels[::-1]
    members = [answers(get_bundle(name), predictors) for name in ("ngram", "linear", "textcnn_onnx")]
    np.testing.assert_allclose(answers(whole, predictors), np.mean(members, axis=0), atol=1e-6)


def test_a_cascade_asks_each_stage_only_for_what_is_undecided(get_bundle, predictors):
    first, second = (answers(get_bundle(name), predictors) for name in ("ngram", "linear"))
    is_sure_N = SOFTMAX.confidence_M(first) >= 0.52
    assert 0 < is_sure_N.sum() < len(TEXTS)
    found = answers(get_bundle("cascade"), predictors)
    np.testing.assert_allclose(found, np.where(is_sure_N[:, None], first, second), atol=1e-6)
    _, reading = predictors(get_bundle("cascade")).infer(TEXTS)
    assert np.array_equal(reading.stage_N, np.where(is_sure_N, 1, 2))
    assert reading.abstained_N is None
    counts = [predictors(get_bundle(name)).infer(TEXTS)[1].num_tokens_N for name in ("ngram", "linear")]
    assert np.array_equal(reading.num_tokens_N, counts[0] + np.where(is_sure_N, 0, counts[1]))


def test_a_stage_that_is_never_asked_is_not_asked_and_the_last_may_abstain(get_bundle, predictors):
    items = list(zip(TEXTS, TEXTS[::-1], strict=True))
    predictor = predictors(get_bundle("cascade_pair_abstaining"))
    evidence, found = predictor.infer(items)
    assert set(found.stage_N.tolist()) <= {1, 3}
    first, _, last = (
        predictors(one).infer(items)[1].num_tokens_N for one in get_bundle("cascade_pair_abstaining").members()
    )
    assert np.array_equal(found.num_tokens_N, first + np.where(found.stage_N == 3, last, 0))
    is_unsure_N = (found.stage_N == 3) & (evidence.values_MC.max(axis=1) < 0.9)
    assert is_unsure_N.any()
    assert np.array_equal(found.abstained_N, is_unsure_N)
    for one, silent, stage in zip(predictor.predict(items), is_unsure_N, found.stage_N, strict=True):
        assert (one.label is None, one.abstained, one.stage) == (silent, silent, stage)
    answered = predictor.answer(predictor.encode(Inputs((TEXTS, TEXTS[::-1]))))
    assert [one is None for one in answered.decided.predictions] == is_unsure_N.tolist()
    np.testing.assert_allclose(answered.decided.probability_N, answered.evidence.values_MC.max(axis=1))


def test_golden_texts_near_a_threshold_are_left_out(get_bundle, predictors):
    bundle = get_bundle("cascade")
    golden = bundle.golden()
    sure_N = SOFTMAX.confidence_M(predictors(get_bundle("ngram")).predict_proba(golden.inputs.items()))
    assert len(golden.inputs) > 0
    assert np.abs(sure_N - 0.52).min() > 0.02


def test_an_engine_is_for_members_that_have_one(get_bundle, predictors):
    bundle = get_bundle("ensemble")
    with open_bundle(bundle, runtime="onnxruntime") as predictor:
        np.testing.assert_array_equal(predictor.predict_proba(TEXTS), predictors(bundle).predict_proba(TEXTS))


def test_no_text_at_all_is_an_answer_though_only_the_last_stage_is_asked(get_bundle):
    with open_bundle(get_bundle("cascade")) as predictor:
        runtime = predictor._runtime
        runtime._settings = replace(runtime._settings, thresholds=[NEVER])
        assert predictor.predict_proba([]).shape == (0, len(predictor.labels))


def test_a_changed_byte_in_a_member_is_noticed(get_bundle, tmp_path):
    shutil.copytree(get_bundle("ensemble").path, tmp_path / "changed")
    file = tmp_path / "changed/members/2-linear/model.safetensors"
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)
    with pytest.raises(ArtifactError, match=r"members/2-linear/model\.safetensors was changed"):
        Bundle.open(tmp_path / "changed")


def test_a_member_that_answers_otherwise_is_named(get_bundle, tmp_path):
    shutil.copytree(get_bundle("cascade_to_ensemble").path, tmp_path / "other")
    golden = tmp_path / "other/members/2-average/members/1-ngram/golden.json"
    values = json.loads(golden.read_text(encoding="utf-8"))
    values["evidence"]["probabilities"][0] = [1.0, 0.0, 0.0]
    golden.write_text(json.dumps(values), encoding="utf-8")
    with pytest.raises(ArtifactError, match=r"^Member 2-average of .*: Member 1-ngram of .*: .*golden text 1 of 8"):
        open_bundle(Bundle.open(tmp_path / "other", verify=False))


@pytest.mark.parametrize("name", ["ensemble", "cascade"])
def test_damaged_settings_are_an_error(get_bundle, tmp_path, name):
    shutil.copytree(get_bundle(name).path, tmp_path / "broken")
    (tmp_path / f"broken/{name}.json").write_text("{}")
    with pytest.raises(ArtifactError, match=rf"{name}\.json cannot be read: .*") as caught:
        open_bundle(Bundle.open(tmp_path / "broken", verify=False))
    assert caught.value.hint == f"Make the {name} again."


def test_composites_load_neither_torch_nor_scipy(get_bundle):
    paths = [str(get_bundle(name).path) for name in ("ensemble", "ensemble_stacked", "cascade_to_ensemble")]
    script = (
        "import sys\nfrom yanmo.runtimes.predictor import open_bundle\n"
        f"for path in {paths!r}: open_bundle(path).predict(['好'])\n"
        "sys.exit(any(name in sys.modules for name in ('torch', 'scipy', 'sklearn', 'lightgbm')))"
    )
    subprocess.run([sys.executable, "-c", script], check=True, timeout=60)


def test_equal_members_give_equal_composites_wherever_they_stand(get_bundle):
    assert [member.path.name for member in get_bundle("ensemble").members()] == ["1-ngram", "2-linear", "3-textcnn"]
    assert get_bundle("ensemble").members()[0].digest == get_bundle("ngram").digest
    assert isinstance(predictors_runtime(get_bundle("cascade")), CascadeRuntime)


def predictors_runtime(bundle):
    predictor = open_bundle(bundle)
    assert isinstance(predictor, Predictor)
    return predictor._runtime
