"""The document of the API is that of the code, and the code keeps it."""

from __future__ import annotations

import json
from importlib.resources import files

import jsonschema_rs
import pytest

from yanmo.serving.openapi import make_document
from yanmo.serving.problems import PROBLEMS
from yanmo.serving.routes import TABLE

DOCUMENT = json.loads(files("yanmo.serving").joinpath("static", "openapi.json").read_bytes())


def test_the_document_in_the_package_is_up_to_date():
    assert make_document() == DOCUMENT, "run python -m yanmo.serving.openapi"


def test_it_has_every_route_and_every_problem():
    routes = {(route.method.lower(), route.path) for route in TABLE if not route.path.startswith("/static/")}
    assert {(method, path) for path, methods in DOCUMENT["paths"].items() for method in methods} == routes
    told = json.dumps(DOCUMENT["paths"])
    assert [code for code in PROBLEMS if code not in told] == []


@pytest.mark.parametrize(
    "body",
    [
        {"text": "很快"},
        {"texts": ["a", "b"]},
        {"inputs": [["a"]]},
        {"inputs": "a", "raw_scores": True, "truncate": None},
        {"text": "a", "threshold": 1.0, "top_k": 2},
        {"text": 1},
    ],
)
def test_answers_are_as_the_document_says(served_bundles, body):
    _, client = served_bundles["ngram"]
    reply = client.predict(**body)
    operation = DOCUMENT["paths"]["/predict"]["post"]
    (content,) = operation["responses"][str(reply.status)]["content"].values()
    schema = {**content["schema"], "components": DOCUMENT["components"]}
    jsonschema_rs.validate(schema, reply.json)
    asked = operation["requestBody"]["content"]["application/json"]["schema"]
    assert jsonschema_rs.is_valid({**asked, "components": DOCUMENT["components"]}, body) == (reply.status == 200)
