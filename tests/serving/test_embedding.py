"""Vectors over HTTP, as text-embeddings-inference, OpenAI's clients and the Hugging Face client ask for them."""

from __future__ import annotations

import base64
import json
import subprocess

import jsonschema_rs
import numpy as np
import pytest
from families import TEXTS, make_checkpoint
from huggingface_hub import InferenceClient, close_session

import yanmo
from yanmo.runtimes.predictor import open_bundle
from yanmo.serving.openapi import make_document

LONG = "a long text " * 40


@pytest.fixture(scope="module")
def vector_bundles(tmp_path_factory):
    """A tiny encoder whose vectors have length 1, and one whose lengths count."""
    folder = tmp_path_factory.mktemp("vectors")
    make_checkpoint("bert", folder / "encoder", task="Model")
    made = yanmo.embed(folder / "encoder", max_length=40, out=folder / "torch")
    return (
        yanmo.export(made, out=folder / "alike"),
        yanmo.embed(folder / "encoder", normalize=False, max_length=40, out=folder / "plain"),
    )


@pytest.fixture(scope="module")
def served(vector_bundles, bundles, serving):
    """A classifier first, so that who asks for vectors has to be led to a model that gives them."""
    with serving(bundles["ngram"], *vector_bundles) as client:
        yield client


@pytest.fixture(scope="module")
def alone(vector_bundles, serving):
    with serving(vector_bundles[0], workers=1) as client:
        yield client


@pytest.fixture(scope="module")
def expected_ND(vector_bundles):
    with open_bundle(vector_bundles[0], num_threads=1) as predictor:
        return predictor.infer(TEXTS)[0].values_ND


def test_text_embeddings_inference_is_asked_for_lists_of_vectors(served, ask_json, expected_ND):
    reply = ask_json(served, "/embed", inputs=TEXTS)
    np.testing.assert_allclose(reply.json, expected_ND, atol=1e-6)
    assert (reply.status, reply.headers["x-num-truncated"]) == (200, "0")
    one = ask_json(served, "/embed", inputs=TEXTS[0], normalize=True, truncate=True, truncation_direction="Right")
    np.testing.assert_allclose(one.json, expected_ND[:1], atol=1e-6)


def test_fewer_dimensions_are_the_first_ones_of_length_one(served, ask_json, expected_ND):
    found_ND = np.array(ask_json(served, "/embed", inputs=TEXTS, dimensions=8).json)
    cut_ND = expected_ND[:, :8] / np.linalg.norm(expected_ND[:, :8], axis=1, keepdims=True)
    np.testing.assert_allclose(found_ND, cut_ND, atol=1e-6)


def test_openai_is_answered_in_numbers_and_in_bytes(served, ask_json, expected_ND):
    told = ask_json(served, "/v1/embeddings", input=TEXTS, model="alike").json
    assert (told["object"], told["model"]) == ("list", "alike")
    assert [(one["object"], one["index"]) for one in told["data"]] == [("embedding", i) for i in range(len(TEXTS))]
    np.testing.assert_allclose([one["embedding"] for one in told["data"]], expected_ND, atol=1e-6)
    assert told["usage"]["prompt_tokens"] == told["usage"]["total_tokens"] > 2 * len(TEXTS)
    packed = ask_json(served, "/v1/embeddings", input=TEXTS[0], encoding_format="base64", user="me").json
    found_D = np.frombuffer(base64.b64decode(packed["data"][0]["embedding"]), dtype="<f4")
    np.testing.assert_allclose(found_D, expected_ND[0], atol=1e-6)


def test_lengths_count_where_the_bundle_says_so(served, ask_json):
    (plain,) = np.array(
        [one["embedding"] for one in ask_json(served, "/v1/embeddings", input="a", model="plain").json["data"]]
    )
    assert abs(np.linalg.norm(plain) - 1) > 0.1
    body = {"inputs": "a", "normalize": True}
    reply = served.ask(
        "POST", "/v1/models/plain/predict", json.dumps(body).encode(), {"content-type": "application/json"}
    )
    np.testing.assert_allclose(reply.json, [plain / np.linalg.norm(plain)], atol=1e-5)


def test_texts_that_are_cut_are_counted_or_refused(served, ask_json):
    assert ask_json(served, "/embed", inputs=[LONG, "a"]).headers["x-num-truncated"] == "1"
    assert ask_json(served, "/v1/embeddings", input=[LONG, LONG]).headers["x-num-truncated"] == "2"
    for option in ({"truncate": False}, {"truncation_direction": "Left"}):
        assert ask_json(served, "/embed", inputs=["a", LONG], **option).json["code"] == "text_too_long"


@pytest.mark.parametrize(
    ("path", "body", "code"),
    [
        ("/embed", {"inputs": []}, "no_texts"),
        ("/embed", {"inputs": 1}, "wrong_type"),
        ("/embed", {"inputs": "a", "dimensions": 33}, "wrong_option"),
        ("/embed", {"inputs": "a", "dimensions": 0}, "wrong_type"),
        ("/embed", {"inputs": "a", "normalize": False}, "wrong_option"),
        ("/embed", {"inputs": "a", "prompt_name": "query"}, "wrong_type"),
        ("/embed", {"inputs": "a", "top_k": 1}, "unknown_key"),
        ("/v1/embeddings", {"input": []}, "no_texts"),
        ("/v1/embeddings", {"input": [1, 2]}, "wrong_type"),
        ("/v1/embeddings", {"input": [[1, 2]]}, "wrong_type"),
        ("/v1/embeddings", {"input": "a", "encoding_format": "int8"}, "wrong_type"),
        ("/v1/embeddings", {"input": "a", "model": "ngram"}, "wrong_model"),
        ("/v1/embeddings", {"input": "a", "model": "none"}, "not_found"),
    ],
)
def test_what_cannot_be_is_refused_in_the_clients_form(served, ask_json, path, body, code):
    reply = ask_json(served, path, **body)
    told = reply.json if path == "/embed" else reply.json["error"]
    assert (reply.status >= 400, told["code"]) == (True, code)


def test_where_no_model_gives_vectors_that_is_said(served_bundles, ask_json):
    _, client = served_bundles["ngram"]
    assert ask_json(client, "/embed", inputs="a").json["code"] == "wrong_model"


def test_other_ways_to_ask_give_the_same_vectors(alone, ask_json, expected_ND):
    text, first = TEXTS[0], expected_ND[0]
    answer = ask_json(alone, "/predict", text=text).json
    np.testing.assert_allclose(answer["vector"], first, atol=1e-6)
    assert (answer["prediction"], answer["num_tokens"] > 2, answer["truncated"]) == (None, True, False)
    for path, body in (
        ("/", {"inputs": text}),
        ("/invocations", {"inputs": [text]}),
    ):
        np.testing.assert_allclose(ask_json(alone, path, **body).json, [first], atol=1e-6)
    found = ask_json(alone, "/invocations", instances=[{"inputs": text}]).json["predictions"]
    np.testing.assert_allclose(found, [first], atol=1e-6)
    tensor = {"name": "text", "datatype": "BYTES", "shape": [1], "data": ["a"]}
    assert ask_json(alone, "/v2/models/alike/infer", inputs=[tensor]).json["code"] == "wrong_model"
    assert alone.get("/info").json["model_type"] == {"embedding": {"pooling": "mean"}}


def test_the_hugging_face_client_works_unchanged(alone, expected_ND, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    asking = InferenceClient(model=f"http://127.0.0.1:{alone.port}", token=None)
    np.testing.assert_allclose(asking.feature_extraction(TEXTS[1]), expected_ND[1:2], atol=1e-6)
    found_ND = asking.feature_extraction(TEXTS[1], normalize=True, truncate=True, truncation_direction="Right")
    np.testing.assert_allclose(found_ND, expected_ND[1:2], atol=1e-6)
    close_session()


OPENAI = """
import json, sys
import openai

client = openai.OpenAI(base_url=sys.argv[1], api_key="none", max_retries=0)
texts = json.loads(sys.argv[2])
told = {"errors": []}
for name, options in (("default", {}), ("float", {"encoding_format": "float"}), ("cut", {"dimensions": 8})):
    answer = client.embeddings.create(model="alike", input=texts, **options)
    told[name] = [list(one.embedding) for one in answer.data]
told["usage"] = answer.usage.prompt_tokens
for wrong in ({"model": "other"}, {"input": []}, {"dimensions": 99}):
    try:
        client.embeddings.create(**{"model": "alike", "input": "a", **wrong})
    except openai.APIStatusError as error:
        told["errors"].append([type(error).__name__, error.code])
print(json.dumps(told))
"""


def test_the_openai_client_works_unchanged(served, clients_bin, expected_ND):
    command = [clients_bin / "python", "-c", OPENAI, f"http://127.0.0.1:{served.port}/v1", json.dumps(TEXTS)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    for name in ("default", "float"):
        np.testing.assert_allclose(told[name], expected_ND, atol=1e-6)
    assert np.shape(told["cut"]) == (len(TEXTS), 8)
    assert told["errors"] == [
        ["NotFoundError", "not_found"],
        ["BadRequestError", "no_texts"],
        ["BadRequestError", "wrong_option"],
    ]


def test_answers_are_as_the_document_says(served, ask_json):
    document = make_document()
    for path, body in (("/embed", {"inputs": "a"}), ("/v1/embeddings", {"input": ["a"]})):
        (content,) = document["paths"][path]["post"]["responses"]["200"]["content"].values()
        schema = {**content["schema"], "components": document["components"]}
        jsonschema_rs.validate(schema, ask_json(served, path, **body).json)
    assert "/embed" in served.get("/openapi.json").json["paths"]


def test_the_document_of_a_service_without_vectors_has_none_of_it(served_bundles):
    _, client = served_bundles["ngram"]
    assert not {"/embed", "/v1/embeddings"} & client.get("/openapi.json").json["paths"].keys()
