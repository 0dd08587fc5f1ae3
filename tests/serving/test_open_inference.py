"""The Open Inference Protocol, asked by Triton's own client, in JSON and in bytes."""

from __future__ import annotations

import json
import struct
import subprocess

import numpy as np
import pytest

JSON = {"content-type": "application/json"}
TEXTS = ["很快，好吃", "", "too slow"]
TRITON = """
import json, sys
import numpy as np
import tritonclient.http as http

def plain(values):
    return [one.decode() if isinstance(one, bytes) else one for one in values.tolist()]

url, name, asked = sys.argv[1], sys.argv[2], json.loads(sys.argv[3])
client = http.InferenceServerClient(url)
outputs = ("label", "probability", "probabilities")
found = []
for one in asked:
    inputs = []
    for column, (texts, shape) in one["inputs"].items():
        inputs.append(http.InferInput(column, shape, "BYTES"))
        inputs[-1].set_data_from_numpy(np.array(texts, dtype=object).reshape(shape), binary_data=one["binary"])
    wanted = [http.InferRequestedOutput(output, binary_data=one["binary"]) for output in outputs]
    try:
        told = client.infer(name, inputs, outputs=wanted if one["lists_outputs"] else None, request_id="7")
    except http.InferenceServerException as error:
        found.append(error.message())
        continue
    values = {output: plain(told.as_numpy(output)) for output in outputs}
    found.append({**values, "labels": told.get_output("probabilities")["parameters"]["labels"], **told.get_response()})
is_there = [client.is_server_live(), client.is_server_ready()]
is_there += [client.is_model_ready(name), client.is_model_ready("other")]
metadata = [client.get_server_metadata(), client.get_model_metadata(name)]
print(json.dumps({"found": found, "is_there": is_there, "metadata": metadata}))
"""


@pytest.fixture
def triton(clients_bin):
    """Ask with Triton's own client, in an environment of its own."""

    def ask(client, name, *asked):
        command = [clients_bin / "python", "-c", TRITON, f"127.0.0.1:{client.port}", name, json.dumps(asked)]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    return ask


def asking(binary=True, lists_outputs=True, **inputs):
    shaped = {name: texts if isinstance(texts, tuple) else (texts, [len(texts)]) for name, texts in inputs.items()}
    return {"inputs": shaped, "binary": binary, "lists_outputs": lists_outputs}


def test_tritons_client_gets_tensors_in_json_and_in_bytes(served_bundles, triton):
    bundle, client = served_bundles["ngram"]
    ways = [(binary, lists, shape) for binary in (True, False) for lists in (True, False) for shape in ([3], [3, 1])]
    told = triton(client, bundle.name, *(asking(binary, lists, text=(TEXTS, shape)) for binary, lists, shape in ways))
    answers = client.predict(texts=TEXTS).json["predictions"]
    assert len(told["found"]) == 8
    for found in told["found"]:
        assert found["label"] == [one["prediction"] for one in answers]
        assert found["probability"] == pytest.approx([one["probability"] for one in answers])
        expected = [list(one["probabilities"].values()) for one in answers]
        assert np.array(found["probabilities"]) == pytest.approx(np.array(expected))
        assert (found["id"], found["model_name"], found["model_version"]) == ("7", bundle.name, bundle.digest)
        assert found["labels"] == bundle.labels


def test_tritons_client_gets_pairs_and_many_labels(served_bundles, triton):
    pairs, client = served_bundles["text_pair"]
    (found,) = triton(client, pairs.name, asking(text_b=["b", "d"], text=["a", "c"]))["found"]
    expected = client.predict(texts=["a", "c"], texts_b=["b", "d"]).json["predictions"]
    assert found["label"] == [one["prediction"] for one in expected]
    many, client = served_bundles["multi_label"]
    (found,) = triton(client, many.name, asking(text=TEXTS))["found"]
    expected = client.predict(texts=TEXTS).json["predictions"]
    assert [json.loads(one) for one in found["label"]] == [one["prediction"] for one in expected]


def test_tritons_client_learns_what_is_there_and_what_is_wrong(served_bundles, triton):
    bundle, client = served_bundles["ngram"]
    told = triton(client, bundle.name, asking(question=TEXTS))
    assert told["found"] == ["This model reads the inputs: text."]
    assert told["is_there"] == [True, True, True, False]
    service, model = told["metadata"]
    assert service["extensions"] == ["binary_tensor_data"]
    assert model["inputs"] == [{"name": "text", "datatype": "BYTES", "shape": [-1]}]
    assert [one["name"] for one in model["outputs"]] == ["label", "probability", "probabilities"]


def test_a_version_is_the_digest_and_no_other_answers(served_bundles, ask_json):
    bundle, client = served_bundles["ngram"]
    body = {"inputs": [{"name": "text", "shape": [1], "datatype": "BYTES", "data": ["a"]}]}
    assert client.get("/v2/models/ngram").json["versions"] == [bundle.digest]
    right, wrong = (f"/v2/models/ngram/versions/{version}" for version in (bundle.digest, "1"))
    assert client.get(right).json == client.get("/v2/models/ngram").json
    assert client.get(f"{right}/ready").json == {"ready": True}
    told = ask_json(client, f"{right}/infer", **body).json
    assert told["model_version"] == bundle.digest
    assert told["outputs"][0]["data"] == [client.predict(text="a").json["prediction"]]
    for reply in (client.get(wrong), client.get(f"{wrong}/ready"), ask_json(client, f"{wrong}/infer", **body)):
        assert (reply.status, reply.json["code"]) == (404, "not_found")
    assert client.get("/v1/models/ngram/versions/1/predict").status == 404


def infer(client, **values):
    return client.ask("POST", "/v2/models/ngram/infer", json.dumps(values).encode(), JSON)


def texts(**values):
    return {"name": "text", "shape": [1], "datatype": "BYTES", "data": ["a"], **values}


def test_health_is_told_in_its_words(served_bundles):
    _, client = served_bundles["ngram"]
    assert client.get("/v2/health/live").json == {"live": True}
    assert client.get("/v2/health/ready").json == client.get("/v2/models/ngram/ready").json == {"ready": True}


@pytest.mark.parametrize(
    ("values", "code"),
    [
        ({"inputs": []}, "wrong_pair"),
        ({"inputs": [texts(), texts()]}, "wrong_pair"),
        ({"inputs": [texts(name="text_b")]}, "wrong_pair"),
        ({"inputs": [texts(datatype="FP32")]}, "wrong_type"),
        ({"inputs": [texts(shape=[2])]}, "wrong_type"),
        ({"inputs": [texts(shape=[])]}, "wrong_type"),
        ({"inputs": [texts(shape=[1, 2])]}, "wrong_type"),
        ({"inputs": [texts(shape=[-1, -1])]}, "wrong_type"),
        ({"inputs": [texts(data=[1])]}, "wrong_type"),
        ({"inputs": [texts(data=[], shape=[0])]}, "no_texts"),
        ({"inputs": [texts(data=["a" * 20_001])]}, "text_too_long"),
        ({"inputs": [texts(data=["a"] * 1025, shape=[1025])]}, "too_many_texts"),
        ({"inputs": [texts(parameters={"binary_data_size": 5})]}, "wrong_type"),
        ({"inputs": [texts(parameters={"binary_data_size": -5})]}, "wrong_type"),
        ({"inputs": [texts()], "outputs": [{"name": "scores"}]}, "wrong_option"),
        ({"text": "a"}, "wrong_type"),
    ],
)
def test_what_breaks_a_rule_is_refused(served_bundles, values, code):
    _, client = served_bundles["ngram"]
    reply = infer(client, **values)
    assert (reply.json["code"], reply.json["error"]) == (code, reply.json["detail"])


def test_keys_that_the_protocol_may_get_are_passed_over_but_none_is_given_twice(served_bundles):
    _, client = served_bundles["ngram"]
    assert infer(client, inputs=[texts(parameters={"x": 1})], parameters={"priority": 1}, more=[]).status == 200
    twice = b'{"inputs":[{"name":"text","name":"text","shape":[1],"datatype":"BYTES","data":["a"]}]}'
    assert client.ask("POST", "/v2/models/ngram/infer", twice, JSON).json["code"] == "duplicate_key"


@pytest.mark.parametrize(
    "behind",
    [
        b"",
        b"\x01\x00\x00",
        b"\x01\x00\x00\x00",
        b"\x01\x00\x00\x00\xff",
        b"\x02\x00\x00\x00a",
        b"\xff\xff\xff\xffa",
        b"\x01\x00\x00\x00a\x00",
        b"\x01\x00\x00\x00a\x00\x00\x00\x00",
    ],
)
@pytest.mark.parametrize("size", [5, None])
def test_bytes_behind_the_json_that_are_no_texts_are_refused(served_bundles, behind, size):
    _, client = served_bundles["ngram"]
    options = {"binary_data_size": len(behind) if size is None else size}
    asked = {"inputs": [{"name": "text", "shape": [1], "datatype": "BYTES", "parameters": options}]}
    head = json.dumps(asked).encode()
    headers = {"inference-header-content-length": str(len(head))}
    reply = client.ask("POST", "/v2/models/ngram/infer", head + behind, headers)
    assert (reply.status, reply.json["code"]) == (400, "wrong_type")
    good = client.ask("POST", "/v2/models/ngram/infer", head + struct.pack("<I", 1) + b"a", headers)
    assert good.status == (200 if size == 5 else good.status)
    for length in ("-1", "x", "9" * 30, str(len(head + behind) + 1)):
        wrong = {"inference-header-content-length": length}
        assert client.ask("POST", "/v2/models/ngram/infer", head + behind, wrong).json["code"] == "bad_http"
