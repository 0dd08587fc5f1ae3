"""A Report holds strict JSON and a page."""

import datetime
import json

from yanmo.artifacts.base import Identity, publish
from yanmo.artifacts.report import Report, circumstances, plain, write_report


def test_a_report_gives_back_what_was_measured(tmp_path):
    values = plain(
        {"report": "evaluation", "accuracy": 0.5, "none": float("nan"), "rows": [{"f1": float("inf")}, (1, 2)]}
    )
    assert values == {"report": "evaluation", "accuracy": 0.5, "none": None, "rows": [{"f1": None}, [1, 2]]}
    with publish(
        tmp_path / "report",
        Identity(
            kind="report",
            verb="evaluate",
            task="single_label",
            labels=["a"],
            parents={},
            config={},
            info={"summary": {"accuracy": 0.5, "size_mb": 7.5}},
        ),
    ) as staging:
        write_report(staging, values, "<p>页</p>")
    report = Report.open(tmp_path / "report")
    assert report.metrics == values
    assert report.html_path.read_text(encoding="utf-8") == "<p>页</p>"
    summary = report.summary()
    assert (summary["kind"], summary["accuracy"], summary["size_mb"]) == ("report", 0.5, 7.5)
    assert summary["html"] == str(report.html_path)
    json.dumps(summary, allow_nan=False)


def test_a_report_says_its_day_and_another_one_where_a_build_is_to_be_the_same_again(monkeypatch):
    monkeypatch.delenv("SOURCE_DATE_EPOCH", raising=False)
    before, day, after = (
        datetime.datetime.now(datetime.UTC),
        circumstances("en")["date"],
        datetime.datetime.now(datetime.UTC),
    )
    # The test may run over midnight.
    assert day in {f"{before:%Y-%m-%d}", f"{after:%Y-%m-%d}"}
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "86399")
    assert circumstances("en")["date"] == "1970-01-01"
    assert {"machine", "versions"} <= circumstances("en").keys()
