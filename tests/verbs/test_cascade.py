"""cascade: a guarantee that is shown, costs that are measured, an abstaining answer, and every mistake's message."""

import json
import logging
from types import SimpleNamespace

import numpy as np
import pytest

import yanmo
from yanmo.cli import main
from yanmo.errors import ConfigError, DataError
from yanmo.measuring import evaluation, timing
from yanmo.runtimes.linear import LinearRuntime
from yanmo.runtimes.predictor import open_bundle
from yanmo.verbs.cascade import cascade
from yanmo.verbs.train import train

LOOSE = {"alpha": 0.25, "delta": 0.2, "costs": (0.1, 1.0)}
LABELS = ["fruit", "tool", "city"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("cascade")


@pytest.fixture(scope="module")
def dataset(folder, make_words):
    return make_words(folder / "data", LABELS, num_valid=300)


@pytest.fixture(scope="module")
def cheap(folder, make_words):
    """A model that learned from few rows."""
    few = make_words(folder / "few", LABELS[::-1], num_train=9)
    return train(few, model="linear", num_threads=1, out=folder / "cheap")


@pytest.fixture(scope="module")
def dear(dataset, folder):
    return train(dataset, model="linear", num_threads=1, out=folder / "dear")


@pytest.fixture(scope="module")
def whole(dataset, cheap, dear, folder):
    return cascade(dataset, [cheap, dear], **LOOSE, out=folder / "whole")


def settings_of(bundle):
    return json.loads((bundle.path / "cascade.json").read_text())


def test_it_keeps_its_guarantee_and_says_so(whole, cheap, dear, dataset):
    settings, summary = settings_of(whole), whole.summary()
    assert (whole.format, whole.model) == ("cascade", "cascade of 2")
    assert settings["guarantee"]["bound"] == pytest.approx(summary["bound_of_agreement"], abs=1e-6)
    assert settings["guarantee"]["bound"] <= 0.25
    assert settings["guarantee"]["num_rows"] == 210
    assert settings["costs_ms"] == [0.1, 1.0]
    assert 0 < summary["share_of_first_stage"] < 1
    assert summary["cost_ms"] < 1.0
    texts = dataset.split("test")["text"].to_list()
    with open_bundle(whole) as one, open_bundle(dear) as other:
        answers, expected = one.predict(texts), other.predict(texts)
    differs = np.mean([answer.label != right.label for answer, right in zip(answers, expected, strict=True)])
    assert differs <= 0.25
    assert {answer.stage for answer in answers} == {1, 2}
    assert [member.digest for member in whole.members()] == [cheap.digest, dear.digest]


def test_given_costs_make_equal_bundles(whole, dataset, cheap, dear, tmp_path):
    assert cascade(dataset, [cheap, dear], **LOOSE, out=tmp_path / "again").digest == whole.digest


def test_costs_are_measured_by_default(dataset, cheap, folder, tmp_path, dear, monkeypatch):
    texts_scored, score = [0], LinearRuntime.score

    def counted(self, encoded):
        texts_scored[0] += len(encoded)
        return score(self, encoded)

    # A clock that only models move on: one takes a millisecond a text, however busy the machine is.
    clock = SimpleNamespace(perf_counter=lambda: texts_scored[0] / 1000)
    monkeypatch.setattr(LinearRuntime, "score", counted)
    for module in (evaluation, timing):
        monkeypatch.setattr(module, "time", clock)
    slow = yanmo.ensemble(dataset, [dear] * 8, out=folder / "eight")
    found = cascade(dataset, [cheap, slow], alpha=0.25, delta=0.2, out=tmp_path / "new")
    assert settings_of(found)["costs_ms"] == pytest.approx([1, 8])


@pytest.mark.parametrize("guarantee", ["agreement", "accuracy"])
def test_the_report_states_guarantee_shares_costs_and_curve(dataset, cheap, dear, folder, guarantee):
    found = cascade(dataset, [cheap, dear], **LOOSE, guarantee=guarantee, out=folder / f"by-{guarantee}")
    report = yanmo.evaluate(found, dataset, out=folder / f"report-{guarantee}", num_resamples=100, measure_speed=False)
    facts = report.metrics["composite"]["cascade"]
    assert (facts["kind"], facts["alpha"], facts["delta"]) == (guarantee, 0.25, 0.2)
    assert sum(facts["shares"]) == pytest.approx(1)
    assert facts["cost_ms"]["mean"] == pytest.approx(facts["shares"][0] * 0.1 + facts["shares"][1] * 1.1)
    assert facts["cost_ms"]["p99"] == pytest.approx(1.1)
    assert len(facts["measured_curve"]) == len(facts["curve"]) > 5
    assert facts["measured_curve"][0] == {"cost_ms": 1.0, "disagreement": 0.0, "accuracy_lost": 0.0}
    html = report.html_path.read_text(encoding="utf-8")
    assert "Agreement with the last stage against mean cost" in html
    assert report.summary()["cascade"]["kind"] == guarantee


def test_it_may_give_no_answer(dataset, folder, make_words, tmp_path, monkeypatch, capsys):
    some = make_words(folder / "some", LABELS, num_train=15)
    middling = train(some, model="linear", num_threads=1, out=folder / "middling")
    found = cascade(dataset, [middling], delta=0.2, abstain=0.1, costs=(1.0,), out=tmp_path / "unsure")
    assert settings_of(found)["guarantee"]["wrong_bound"] <= 0.1
    rows = dataset.split("test")
    with open_bundle(found) as predictor:
        answers = predictor.predict(rows["text"].to_list())
    given = [(one.label, label) for one, label in zip(answers, rows["label"], strict=True) if not one.abstained]
    assert 0 < len(given) < len(answers)
    assert all(one.label is None for one in answers if one.abstained)
    assert np.mean([label != right for label, right in given]) <= 0.1
    predictions = yanmo.predict(found, dataset.path, out=tmp_path / "predictions", format="jsonl")
    frame = predictions.frame()
    assert frame["prediction"].null_count() == predictions.summary()["num_abstained"] == len(answers) - len(given)
    assert predictions.summary()["num_of_stage"] == {"1": 60}
    assert set(frame["stage"]) == {1}
    table = [json.loads(line) for line in (predictions.path / "table.jsonl").read_text().splitlines()]
    assert [row["prediction"] for row in table] == [one.label for one in answers]
    report = yanmo.evaluate(found, dataset, out=tmp_path / "report", num_resamples=100, measure_speed=False)
    facts = report.metrics["composite"]["cascade"]["abstention"]
    assert facts["answered_share"] == pytest.approx(len(given) / 60)
    assert facts["wrong_share"] <= 0.1
    assert facts["wrong_share"] < facts["wrong_share_without"]
    (tmp_path / "texts.csv").write_text("text\n???\n")
    monkeypatch.chdir(tmp_path)
    assert main(["predict", "unsure", "texts.csv"]) == 0
    assert capsys.readouterr().out.startswith("(not sure)\t0.")


def test_a_cascade_that_abstains_shows_each_guarantee_on_rows_of_its_own(dataset, cheap, dear, tmp_path):
    found = cascade(dataset, [cheap, dear], **LOOSE, abstain=0.2, out=tmp_path / "both")
    guarantee = settings_of(found)["guarantee"]
    assert guarantee["num_rows"] == 105
    assert guarantee["bound"] <= 0.25
    assert guarantee["wrong_bound"] <= 0.2


def test_one_stage_that_abstains_needs_rows_for_that_alone(folder, make_words, dear, tmp_path):
    few = make_words(folder / "few-valid", LABELS, num_valid=45)
    found = cascade(few, [dear], abstain=0.1, costs=(1.0,), out=tmp_path / "one")
    assert settings_of(found)["guarantee"]["wrong_bound"] <= 0.1


def test_a_member_that_may_abstain_is_said(dataset, cheap, dear, tmp_path, caplog):
    caplog.set_level(logging.WARNING, "yanmo")
    unsure = cascade(dataset, [dear], delta=0.2, abstain=0.1, costs=(1.0,), out=tmp_path / "unsure")
    assert caplog.messages == []
    cascade(dataset, [cheap, unsure], **LOOSE, out=tmp_path / "outer")
    assert caplog.messages == [f"{unsure.path} may give no answer; as a member of another Bundle it always gives one."]


def test_only_a_temperature_leaves_the_guarantee_as_it_is(dataset, whole, tmp_path):
    texts = dataset.split("test")["text"].to_list()
    found = yanmo.calibrate(whole, dataset, out=tmp_path / "calibrated")
    with open_bundle(whole) as before, open_bundle(found) as after:
        assert [one.label for one in before.predict(texts)] == [one.label for one in after.predict(texts)]
    with pytest.raises(ConfigError) as caught:
        yanmo.calibrate(whole, dataset, method="isotonic", out=tmp_path / "new")
    assert str(caught.value) == (
        f"The 'method' parameter of calibrate must be temperature for a cascade such as {whole.path}: others change "
        "answers, and with them what it guarantees. Got 'isotonic' instead.\n"
        "hint: Calibrate its stages, then make the cascade of them."
    )


def test_a_cascade_may_be_a_stage(dataset, whole, dear, tmp_path):
    outer = cascade(dataset, [whole, dear], **LOOSE, out=tmp_path / "outer")
    with open_bundle(outer) as predictor:
        assert {answer.stage for answer in predictor.predict(dataset.split("test")["text"].to_list())} <= {1, 2}


def test_too_few_rows_say_how_many_it_takes(dataset, cheap, dear, tmp_path):
    with pytest.raises(DataError) as caught:
        cascade(dataset, [cheap, dear], costs=(0.1, 1.0), out=tmp_path / "new")
    assert str(caught.value) == (
        "To show a guarantee of agreement of 0.01 with confidence 0.95 takes at least 427 labelled rows. "
        "Got 300 instead.\nhint: Give a Dataset with a larger split, or ask for less: a larger --alpha or --delta."
    )
    assert list(tmp_path.iterdir()) == []


def test_one_stage_is_refused(dataset, cheap, tmp_path):
    with pytest.raises(ConfigError) as caught:
        cascade(dataset, [cheap], out=tmp_path / "new")
    assert str(caught.value) == (
        "The 'stages' input of cascade must be at least 2 Bundles. Got 1 instead.\n"
        "hint: Name more Bundles; with --abstain one is enough."
    )


def test_stages_that_get_cheaper_are_refused(dataset, cheap, dear, tmp_path):
    with pytest.raises(ConfigError) as caught:
        cascade(dataset, [cheap, dear], **{**LOOSE, "costs": (2.0, 0.5)}, out=tmp_path / "new")
    assert str(caught.value) == (
        f"The stages of cascade must go from cheap to expensive. {dear.path} takes 0.5 ms a text, {cheap.path} before "
        "it 2 ms.\nhint: Give the stages in the order of their costs, or say what they cost elsewhere with --costs."
    )


@pytest.mark.parametrize("cost", [0.0, -1.0])
def test_a_cost_that_is_none_is_refused(dataset, cheap, dear, tmp_path, cost):
    with pytest.raises(ConfigError) as caught:
        cascade(dataset, [cheap, dear], **{**LOOSE, "costs": (cost, 1.0)}, out=tmp_path / "new")
    assert str(caught.value).startswith(
        f"The 'costs.0' parameter of cascade must be greater than 0. Got {cost} instead."
    )


def test_a_wrong_number_of_costs_is_refused(dataset, cheap, dear, tmp_path):
    with pytest.raises(ConfigError) as caught:
        cascade(dataset, [cheap, dear], **{**LOOSE, "costs": (1.0,)}, out=tmp_path / "new")
    assert str(caught.value) == (
        "The 'costs' parameter of cascade must have 2 values, one a stage. Got 1 instead.\n"
        "hint: Milliseconds of one text in each stage; leave --costs out and they are measured."
    )


def test_a_stage_that_costs_more_and_is_worse_is_said(dataset, cheap, dear, tmp_path, caplog):
    caplog.set_level(logging.WARNING, "yanmo")
    values = {"alpha": 0.25, "delta": 0.2, "costs": (0.1, 0.5, 1.0)}
    with pytest.raises(ConfigError, match="cheap would never be asked"):
        cascade(dataset, [dear, cheap, dear], **values, out=tmp_path / "new")
    assert caplog.messages[0].startswith(
        "Stage cheap costs more than stage dear before it and has the worse accuracy on the valid split ("
    )
    assert caplog.messages[0].endswith("against 100.00 %): the cascade may be better without it.")


def test_a_cascade_of_which_a_stage_is_never_asked_is_refused(dataset, cheap, dear, tmp_path):
    with pytest.raises(ConfigError) as caught:
        cascade(dataset, [cheap, dear], alpha=0.02, delta=0.2, costs=(0.99, 1.0), out=tmp_path / "new")
    assert str(caught.value) == (
        "cheap would never be asked: no threshold is cheaper than to do without and keeps the agreement with the last "
        "stage within alpha = 0.02.\n"
        "hint: Use the last stage by itself, allow a larger --alpha, or give a first stage that is cheaper or more "
        "often right."
    )
    assert not (tmp_path / "new").exists()


def test_what_abstaining_cannot_reach_is_an_error(dataset, cheap, tmp_path):
    with pytest.raises(DataError, match=r"Even of the surest answers too many are wrong for abstain = 0\.03") as caught:
        cascade(dataset, [cheap], delta=0.2, abstain=0.03, costs=(1.0,), out=tmp_path / "new")
    assert caught.value.hint.startswith("Allow a larger share with --abstain")
