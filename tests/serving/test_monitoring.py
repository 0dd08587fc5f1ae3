"""Alerts and dashboard ask for counts that the service has, in the language of Prometheus."""

from __future__ import annotations

import json
import re
import subprocess

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

JSON = {"content-type": "application/json"}
PARSE = "import json, sys, promql_parser; [promql_parser.parse(one) for one in json.load(sys.stdin)]"
VARIABLES = {"$__rate_interval": "5m", "$job": "yanmo"}
GIVEN = {"job", "instance"}
"""Labels that Prometheus itself adds."""


@pytest.fixture(scope="module")
def deploy(project_root):
    return project_root / "deploy"


@pytest.fixture(scope="module")
def rules(deploy):
    (group,) = yaml.safe_load((deploy / "alerts.yaml").read_text(encoding="utf-8"))["groups"]
    return group["rules"]


@pytest.fixture(scope="module")
def dashboard(deploy):
    return json.loads((deploy / "kubernetes" / "monitoring" / "dashboard.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def expressions(rules, dashboard):
    asked = [one["expr"] for one in rules]
    for panel in dashboard["panels"]:
        asked += [one["expr"] for one in panel["targets"]]
    for name, value in VARIABLES.items():
        asked = [one.replace(name, value) for one in asked]
    return asked


@pytest.fixture(scope="module")
def samples(cascade, cascade_texts, serving):
    """The labels of every sample that a service shows which has answered, refused and reloaded, by its name."""
    with serving(cascade, models_dir=cascade.path.parent) as client:
        # As many as the statistics of drift begin with.
        client.predict(texts=cascade_texts * 10)
        client.predict(text=1)
        assert client.ask("POST", "/admin/models/cascade", b'{"path": "none"}', JSON).status == 400
        text = client.get("/metrics").content.decode()
    found = {"up": GIVEN}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            found.setdefault(sample.name, set()).update({*sample.labels, *GIVEN})
    return found


def test_every_expression_is_one(expressions, clients_bin):
    given = json.dumps(expressions)
    command = [clients_bin / "python", "-c", PARSE]
    done = subprocess.run(command, input=given, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    broken = json.dumps([*expressions, "sum by (model (x)"])
    assert subprocess.run(command, input=broken, capture_output=True, text=True, check=False).returncode == 1


def test_what_is_asked_for_is_counted_under_that_name_with_these_labels(expressions, samples):
    for expression in expressions:
        names = re.findall(r"\b(?:yanmo_\w+|up)\b", expression.replace('"yanmo', '"'))
        assert names, expression
        assert set(names) <= set(samples), expression
        known = set.intersection(*(samples[name] for name in names))
        grouped = {one.strip() for found in re.findall(r"by \(([^)]*)\)", expression) for one in found.split(",")}
        asked = set(re.findall(r"(\w+)(?:=~|!=|=)\"", expression))
        assert grouped | asked <= known, expression


def test_an_alert_says_how_bad_it_is_what_it_means_and_what_to_do(rules):
    assert len({one["alert"] for one in rules}) == len(rules) >= 8
    for one in rules:
        assert one["labels"]["severity"] in {"critical", "warning", "info"}
        assert set(one["annotations"]) == {"summary", "description"}
        named = set(re.findall(r"\$labels\.(\w+)", json.dumps(one["annotations"])))
        grouped = {name.strip() for found in re.findall(r"by \(([^)]*)\)", one["expr"]) for name in found.split(",")}
        assert named <= grouped


def test_the_operator_gets_the_same_rules(deploy):
    plain = yaml.safe_load((deploy / "alerts.yaml").read_text(encoding="utf-8"))
    rule = yaml.safe_load((deploy / "kubernetes" / "monitoring" / "prometheus-rule.yaml").read_text(encoding="utf-8"))
    assert (rule["apiVersion"], rule["kind"]) == ("monitoring.coreos.com/v1", "PrometheusRule")
    assert rule["spec"] == plain


def test_the_panels_lie_beside_each_other(dashboard):
    cells = set()
    for panel in dashboard["panels"]:
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= 24
        found = {(x, y) for x in range(place["x"], place["x"] + place["w"]) for y in range(place["y"], place["y"] + 8)}
        assert not found & cells
        cells |= found
    assert len({one["id"] for one in dashboard["panels"]}) == len(dashboard["panels"])
    used = set(re.findall(r"\$\{?(\w+)", json.dumps(dashboard))) - {"__rate_interval", "__all"}
    assert used == {one["name"] for one in dashboard["templating"]["list"]}


def test_prometheus_scrapes_the_port_that_the_other_files_open(deploy):
    told = yaml.safe_load((deploy / "prometheus.yaml").read_text(encoding="utf-8"))
    assert all((deploy / name).is_file() for name in told["rule_files"])
    (job,) = told["scrape_configs"]
    (target,) = job["static_configs"][0]["targets"]
    port = target.rpartition(":")[2]
    assert f"127.0.0.1:{port}:{port}" in (deploy / "compose.yaml").read_text(encoding="utf-8")
    for name in ("yanmo.service", "Dockerfile"):
        assert re.search(rf"--admin-port[\", ]+{port}\b", (deploy / name).read_text(encoding="utf-8"))
