"""A Report holds strict JSON and a page."""

import json

from yanmo.artifacts.base import Identity, publish
from yanmo.artifacts.report import Report, plain, write_report


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
