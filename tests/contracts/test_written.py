"""Texts that are written for others go through every verb that can do something with them, and the rest refuses."""

from __future__ import annotations

import importlib.util
import json
import logging
import math
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from huggingface_hub import InferenceClient, close_session

import yanmo
from yanmo.errors import ConfigError, DataError
from yanmo.tuning.tune import TUNING, tune

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "examples" / "spoken" / "spoken.tsv"
TEXT = "6月13日"
SPOKEN = ("liu yue shi san ri", "liu yue shi san hao")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("written")


@pytest.fixture(scope="module")
def data(folder):
    return yanmo.prepare(SOURCE, task="text_to_text", target_separator="|", test_ratio=0.2, out=folder / "data")


@pytest.fixture(scope="module")
def pairs(folder, data):
    return yanmo.train(data.path, model="pairs", out=folder / "pairs")


@pytest.fixture(scope="module")
def small(folder, data):
    return yanmo.train(data.path, model="pairs", order=1, out=folder / "small")


def exact(bundle):
    return bundle.manifest.info["summary"]["valid_exact_match"]


def test_longer_n_grams_write_better(pairs, small):
    assert exact(pairs) > 0.7
    assert exact(pairs) > exact(small)


def test_a_text_is_told_with_its_candidates(pairs):
    with yanmo.load(pairs.path) as predictor:
        (found, nothing) = predictor.predict([TEXT, ""])
    assert found.label in SPOKEN
    assert set(SPOKEN) <= set(found.probabilities)
    assert found.probability == pytest.approx(max(found.probabilities.values()), abs=1e-6)
    assert nothing.label == ""


def test_a_report_has_the_measures_the_baseline_and_what_differs(folder, data, pairs, small):
    report = yanmo.evaluate(
        small.path,
        data.path,
        split="test",
        against=pairs.path,
        num_resamples=100,
        measure_speed=False,
        out=folder / "report",
    )
    content = json.loads((report.path / "report.json").read_text(encoding="utf-8"))
    assert content["headline"]["name"] == "exact_match"
    assert content["against"]["exact_match"] > content["exact_match"]
    assert content["baseline"]["exact_match"] == content["against"]["exact_match"]
    assert (
        content["token_error_rate_interval"][0]
        <= content["token_error_rate"]
        <= content["token_error_rate_interval"][1]
    )
    assert "tok:13a" in content["signatures"]["bleu"]
    worst = content["mistakes"][0]
    joined = {
        kind: [part["text"] for part in worst["difference"] if part["kind"] in ("same", kind)]
        for kind in ("lacks", "adds")
    }
    assert " ".join(joined["lacks"]) == worst["label"]
    assert " ".join(joined["adds"]) == worst["predicted"]
    page = (report.path / "report.html").read_text(encoding="utf-8")
    assert "<del>" in page
    assert "joint n-grams" in page


@pytest.mark.parametrize("kind", ["csv", "jsonl", "parquet"])
def test_predictions_hold_texts(folder, data, pairs, kind):
    found = yanmo.predict(pairs.path, data.path, split="test", format=kind, out=folder / kind)
    frame = found.frame()
    assert frame["prediction"].to_list() == [texts[0] for texts in frame["texts"].to_list()]
    assert frame.schema["prediction"] == pl.String()


def test_lines_for_people(pairs, tmp_path):
    path = tmp_path / "a.txt"
    path.write_text(TEXT + "\n", encoding="utf-8")
    found = yanmo.predict(pairs.path, path, text="1", header=False)
    assert found.frame()["prediction"].to_list()[0] in SPOKEN


def test_a_program_is_told_texts_without_probabilities_of_labels(pairs, tmp_path):
    path = tmp_path / "a.txt"
    path.write_text(TEXT + "\n", encoding="utf-8")
    (told,) = yanmo.predict(pairs.path, path, text="1", header=False).summary()["predictions"]
    assert set(told) == {"id", "prediction", "probability"}
    assert told["prediction"] in SPOKEN


def test_a_prefix_changes_nothing_of_what_n_grams_write(folder, data, pairs, caplog):
    glossary = folder / "glossary.tsv"
    glossary.write_text("6\tliu\n", encoding="utf-8")
    keys = {"target_separator": "|", "test_ratio": 0.2, "target_language": "zh", "prefix": "say: "}
    marked = yanmo.prepare(SOURCE, task="text_to_text", glossary=glossary, out=folder / "marked", **keys)
    with caplog.at_level(logging.WARNING):
        made = yanmo.train(marked.path, model="pairs", out=folder / "prefixed")
    assert any("The glossary has no effect on the model pairs" in record.message for record in caplog.records)
    assert exact(made) == exact(pairs)
    report = yanmo.evaluate(made.path, marked.path, split="test", num_resamples=100, measure_speed=False)
    assert report.metrics["baseline"]["exact_match"] == report.metrics["exact_match"] > 0.5


def test_a_cascade_asks_the_larger_model_where_the_smaller_is_unsure(folder, data, pairs, small):
    made = yanmo.cascade(
        data.path, [small.path, pairs.path], alpha=0.7, delta=0.2, costs=(1.0, 2.0), out=folder / "cascade"
    )
    assert exact(made) >= exact(small)
    with yanmo.load(made.path) as predictor:
        (found,) = predictor.predict([TEXT])
    assert found.stage in (1, 2)


def test_candidates_of_members_are_put_together(folder, data, pairs, small):
    made = yanmo.ensemble(data.path, [pairs.path, small.path], out=folder / "both")
    assert exact(made) >= exact(small)
    with yanmo.load(made.path) as predictor:
        (found,) = predictor.predict([TEXT])
    assert found.label in SPOKEN


def test_weights_by_log_loss_give_no_advice_that_written_texts_cannot_follow(folder, data, pairs, small, caplog):
    with caplog.at_level(logging.WARNING):
        yanmo.ensemble(data.path, [pairs.path, small.path], method="greedy", out=folder / "greedy")
    said = [record.message for record in caplog.records if "goes by log loss" in record.message]
    assert said
    assert not any("Calibrate" in one for one in said)


def test_weights_of_written_texts_are_those_that_get_most_of_them_right(folder, data, pairs, small):
    alike = [small.path, small.path, pairs.path]
    made = [yanmo.ensemble(data.path, alike, method=one, out=folder / one) for one in ("average", "weighted")]
    # Two that write badly outvote the third with equal weights.
    assert exact(made[0]) < exact(pairs) - 0.3
    assert exact(made[1]) >= exact(pairs)
    weights = json.loads((made[1].path / "ensemble.json").read_text())["weights"]
    assert sum(weights) == pytest.approx(1, abs=1e-5)
    assert weights[2] > 0.6
    texts = data.split("valid")["text"].to_list()
    for one, shares in ((made[0], [1 / 3] * 3), (made[1], weights)):
        with yanmo.load(one.path) as predictor:
            written = [found.label for found in predictor.predict(texts)]
        for text, row in zip(written, sums_of([small, small, pairs], shares, texts), strict=True):
            assert row[text] == pytest.approx(max(row.values()), abs=1e-5)


def sums_of(bundles, weights, texts):
    """What the models say for each text that they write, added up by their weights."""
    sums = [Counter() for _ in texts]
    for bundle, weight in zip(bundles, weights, strict=True):
        with yanmo.load(bundle.path) as predictor:
            evidence = predictor.infer(texts)[0]
        for row, shares in zip(sums, evidence.told(np.exp(evidence.candidates.sums_N())), strict=True):
            for text, share in shares.items():
                row[text] += weight * share
    return sums


def test_the_length_of_n_grams_is_searched(folder, data, small):
    tuned = tune(data, model="pairs", num_trials=2, num_seeds=1, num_threads=1, out=folder / "tuned")
    trials = yanmo.artifacts.Report.open(tuned.path / TUNING).metrics["trials"]
    # The first trial has the default, and what counts is the headline on valid.
    assert trials[0]["values"] == {"order": 8}
    assert exact(tuned) == max(one["score"] for one in trials) > exact(small)


def test_n_grams_write_no_tokens_together(folder, data, pairs, small):
    with pytest.raises(DataError, match="does not write token by token"):
        yanmo.ensemble(data.path, [pairs.path, small.path], method="average-tokens", out=folder / "tokens")


@pytest.mark.parametrize(
    ("verb", "message"),
    [("audit", "audit is for texts as a whole"), ("calibrate", "calibrate is for")],
)
def test_verbs_about_labels_refuse_written_texts(folder, data, pairs, verb, message):
    with pytest.raises(ConfigError, match=message):
        getattr(yanmo, verb)(pairs.path, data.path, out=folder / verb)


@pytest.mark.parametrize("model", ["ngram", "bilstm", "kneser-ney"])
def test_models_that_write_nothing_are_refused(folder, data, model):
    with pytest.raises(ConfigError, match=r"(?s)the texts that are written for others.*pairs"):
        yanmo.train(data.path, model=model, out=folder / model)


def test_a_pair_model_needs_texts_to_write(folder):
    (folder / "labels.csv").write_text("text,label\n" + "".join(f"word {n},{n % 2}\n" for n in range(20)))
    labels = yanmo.prepare(folder / "labels.csv", out=folder / "labels")
    with pytest.raises(ConfigError, match="The model pairs is for the texts that are written for others"):
        yanmo.train(labels.path, model="pairs", out=folder / "no")


def helpers():
    """Return what starts a service in a thread, which the tests of the service share."""
    spec = importlib.util.spec_from_file_location("served", ROOT / "tests" / "serving" / "conftest.py")
    module = sys.modules.setdefault("served", importlib.util.module_from_spec(spec))
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def service(pairs):
    with helpers()._serving(pairs) as client:
        yield client


def test_a_service_answers_the_text_and_candidates_where_they_are_asked_for(service, pairs):
    with yanmo.load(pairs.path) as predictor:
        (expected,) = predictor.predict([TEXT])
    answer = service.predict(text=TEXT).json
    assert answer["prediction"] == expected.label
    assert answer["log_likelihood"] == pytest.approx(math.log(expected.probability), abs=1e-5)
    assert "candidates" not in answer
    several = service.predict(texts=[TEXT, "8天"], top_k=2).json["predictions"]
    assert [one["text"] for one in several[0]["candidates"]] == list(expected.probabilities)[:2]
    assert several[0]["prediction"] == answer["prediction"]
    with yanmo.Client(f"http://127.0.0.1:{service.port}") as client:
        (told,) = client.predict([TEXT])
    assert (told.label, told.probability) == (expected.label, pytest.approx(expected.probability, abs=1e-6))


def test_n_grams_send_a_stream_in_one_piece(service):
    whole = service.predict(text=TEXT, top_k=2).json
    reply = service.predict(text=TEXT, top_k=2, stream=True)
    assert reply.headers["content-type"].startswith("text/event-stream")
    *pieces, last, done = [line.removeprefix("data: ") for line in reply.content.decode().split("\n\n") if line]
    (piece,) = map(json.loads, pieces)
    assert piece["choices"] == [{"text": whole["prediction"], "index": 0, "logprobs": None, "finish_reason": None}]
    answer = json.loads(last)["answer"]
    usage = {"prompt_tokens": answer.pop("num_tokens"), "completion_tokens": answer.pop("num_written_tokens")}
    assert usage["completion_tokens"] >= 6
    assert json.loads(last)["usage"] == usage | {"total_tokens": sum(usage.values())}
    assert (answer, done) == (whole, "[DONE]")


def test_what_is_less_sure_than_a_threshold_is_no_answer(service):
    answer = service.predict(text="Zzqx", threshold=0.999999).json
    assert (answer["prediction"], answer["abstained"]) == (None, True)
    assert service.predict(text=TEXT, threshold=0.0).json["abstained"] is False


def test_the_hugging_face_client_reads_translations_and_summaries(service, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    close_session()
    client = InferenceClient(model=f"http://127.0.0.1:{service.port}", token=None)
    assert client.translation(TEXT).translation_text in SPOKEN
    assert client.summarization(TEXT).summary_text in SPOKEN
    close_session()


def test_no_verb_knows_the_name_of_the_task():
    for path in (ROOT / "src" / "yanmo" / "verbs").glob("*.py"):
        assert '"text_to_text"' not in path.read_text(encoding="utf-8"), path.name
