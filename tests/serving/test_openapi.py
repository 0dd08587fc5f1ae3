"""The document of the API is that of the code, and the code keeps it."""

from __future__ import annotations

import json
import subprocess
from importlib.resources import files

import jsonschema_rs
import pytest

import yanmo
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
    content = operation["responses"][str(reply.status)]["content"][reply.headers["content-type"]]
    schema = {**content["schema"], "components": DOCUMENT["components"]}
    jsonschema_rs.validate(schema, reply.json)
    asked = operation["requestBody"]["content"]["application/json"]["schema"]
    assert jsonschema_rs.is_valid({**asked, "components": DOCUMENT["components"]}, body) == (reply.status == 200)


def test_every_example_is_as_its_schema_says_and_is_answered(bundles, serving, ask_json):
    with serving(bundles["ngram"], models_dir=bundles["ngram"].path.parent) as client:
        shown = client.get("/openapi.json").json
        for path, methods in shown["paths"].items():
            content = methods.get("post", {}).get("requestBody", {}).get("content", {}).get("application/json", {})
            for example in content.get("examples", {}).values():
                body = example["value"]
                assert jsonschema_rs.is_valid({**content["schema"], "components": shown["components"]}, body)
                if not path.startswith("/admin/"):
                    address = path.replace("{name}", "ngram").replace("{version}", bundles["ngram"].digest)
                    reply = ask_json(client, address, **body)
                    assert reply.status == 200, (path, body)


def is_about(methods, models):
    """Whether a path is for one kind of models."""
    return any(operation["x-models"] == models for operation in methods.values())


def test_a_service_shows_keys_and_second_texts_only_where_there_are_some(bundles, serving, tmp_path):
    file = tmp_path / "keys.toml"
    yanmo.key(label="web", file=file)
    with serving(bundles["ngram"], root_path="/yanmo") as client:
        shown = client.get("/yanmo/openapi.json").json
        assert shown["servers"] == [{"url": "/yanmo/"}]
        assert "security" not in json.dumps(shown)
        assert "text_b" not in shown["components"]["schemas"]["OneText"]["properties"]
    with serving(bundles["text_pair"], bundles["ngram"], api_keys=str(file)) as client:
        shown = client.get("/openapi.json").json
        # None of these models writes or gives vectors, and none is asked questions.
        lacking = ("writing", "vectors")
        paths = {
            path for path, methods in DOCUMENT["paths"].items() if not any(is_about(methods, one) for one in lacking)
        }
        assert set(shown["paths"]) == paths
        assert "/v1/completions" not in paths
        assert "event-stream" in json.dumps(DOCUMENT["paths"]["/predict"])
        assert "event-stream" not in json.dumps(shown["paths"]["/predict"])
        known, schemas = DOCUMENT["components"]["schemas"], shown["components"]["schemas"]
        assert set(known) - set(schemas) == {"QuestionBody", "AskedQuestion", "QuestionParameters", "StreamedText"}
        bodies = [one for one in known["PredictBody"]["anyOf"] if not one["$ref"].endswith("/StreamedText")]
        assert schemas.pop("PredictBody") == {**known["PredictBody"], "anyOf": bodies}
        assert schemas == {name: known[name] for name in schemas}
        body = shown["paths"]["/predict"]["post"]["requestBody"]["content"]["application/json"]
        assert body["schema"] == {"$ref": "#/components/schemas/PredictBody"}
        assert shown["paths"]["/predict"]["post"]["security"]
        assert "security" not in shown["paths"]["/readyz"]["get"]
        assert "text_b" in shown["components"]["schemas"]["OneText"]["properties"]


GENERATED = """
import json, sys
from yanmo_client import Client
from yanmo_client.api.default import info, infer, models, predict, readyz
from yanmo_client.models import InferBody, InputTensor, ManyTexts, OneText, ProblemBody

with Client(base_url=sys.argv[1]) as client:
    one = predict.sync(client=client, body=OneText(text="a", top_k=1))
    many = predict.sync(client=client, body=ManyTexts(texts=["a", "b"]))
    wrong = predict.sync(client=client, body=ManyTexts(texts=[]))
    assert isinstance(wrong, ProblemBody)
    print(json.dumps([one.to_dict(), many.to_dict(), wrong.to_dict(), readyz.sync(client=client).to_dict()]))
"""


def test_openapi_python_client_makes_a_client_that_works(served_bundles, clients_bin, tmp_path):
    _, client = served_bundles["ngram"]
    (tmp_path / "openapi.json").write_bytes(client.get("/openapi.json").content)
    command = [clients_bin / "openapi-python-client", "generate", "--path", tmp_path / "openapi.json", "--meta", "none"]
    command += ["--output-path", tmp_path / "yanmo_client"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, "WARNING" in done.stdout) == (0, False), done.stdout[-3000:] + done.stderr[-3000:]
    command = [clients_bin / "python", "-c", GENERATED, f"http://127.0.0.1:{client.port}"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    one, many, wrong, ready = json.loads(done.stdout)
    assert one == client.predict(text="a", top_k=1).json
    assert many == client.predict(texts=["a", "b"]).json
    assert (wrong["code"], ready) == ("no_texts", {"status": "ready"})
