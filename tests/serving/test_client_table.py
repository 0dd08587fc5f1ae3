"""The table of the guide: what each client sends, and the shape of the answer; YANMO_WRITE=1 writes it anew."""

from __future__ import annotations

import json
import os

import pytest

BEGIN, END = (
    "<!-- The table is written by tests/serving/test_client_table.py. -->\n\n",
    "\n<!-- The end of the table. -->",
)
TENSOR = {"name": "text", "datatype": "BYTES", "shape": [1], "data": ["a"]}
PAIR = [TENSOR, {**TENSOR, "name": "text_b"}]
SPLIT = {"columns": ["text"], "data": [["a"]]}
REQUESTS = [
    ("Yanmo", "ngram", "POST /predict", {"text": "a"}),
    ("Yanmo", "ngram", "POST /predict", {"texts": ["a", "b"]}),
    ("Yanmo", "text_pair", "POST /predict", {"text": "a", "text_b": "b"}),
    ("Hugging Face", "ngram", "POST /", {"inputs": "a", "parameters": {}}),
    ("Hugging Face", "ngram", "POST /", {"inputs": "a", "parameters": {"top_k": 1, "function_to_apply": "none"}}),
    ("Hugging Face", "text_pair", "POST /", {"inputs": ["a", "b"], "parameters": {}}),
    ("text-embeddings-inference", "ngram", "POST /predict", {"inputs": "a"}),
    ("text-embeddings-inference", "ngram", "POST /", {"inputs": [["a"], ["b"]], "truncate": True, "raw_scores": True}),
    ("text-embeddings-inference", "text_pair", "POST /predict", {"inputs": ["a", "b"]}),
    (
        "text-embeddings-inference",
        "text_pair",
        "POST /predict",
        {"inputs": [["a", "b"]], "truncation_direction": "Left"},
    ),
    ("text-embeddings-inference", "ngram", "POST /predict", {"inputs": []}),
    ("text-embeddings-inference", "ngram", "GET /info", None),
    ("text-embeddings-inference", "ngram", "GET /health", None),
    ("SageMaker", "ngram", "GET /ping", None),
    ("SageMaker, Hugging Face", "ngram", "POST /invocations", {"inputs": "a", "parameters": {"top_k": 1}}),
    ("SageMaker, text-embeddings-inference", "ngram", "POST /invocations", {"inputs": "a"}),
    ("SageMaker, Yanmo", "ngram", "POST /invocations", {"text": "a"}),
    ("Vertex AI", "ngram", "POST /invocations", {"instances": ["a"], "parameters": {"top_k": 1}}),
    ("Vertex AI", "text_pair", "POST /invocations", {"instances": [{"text": "a", "text_b": "b"}]}),
    ("Vertex AI, text-embeddings-inference", "ngram", "POST /invocations", {"instances": [{"inputs": "a"}]}),
    ("MLflow", "ngram", "POST /invocations", {"dataframe_split": SPLIT, "params": {"top_k": 1}}),
    ("MLflow", "ngram", "POST /invocations", {"dataframe_records": [{"text": "a"}]}),
    ("MLflow", "ngram", "POST /invocations", {"inputs": {"text": ["a"]}}),
    ("MLflow", "ngram", "POST /invocations", {"instances": ["a"]}),
    ("KServe v1", "ngram", "POST /v1/models/ngram:predict", {"instances": ["a"]}),
    ("Open Inference", "ngram", "GET /v2", None),
    ("Open Inference", "ngram", "GET /v2/health/live", None),
    ("Open Inference", "ngram", "GET /v2/health/ready", None),
    ("Open Inference", "ngram", "GET /v2/models/ngram", None),
    ("Open Inference", "ngram", "GET /v2/models/ngram/ready", None),
    ("Open Inference", "ngram", "POST /v2/models/ngram/infer", {"inputs": [TENSOR]}),
    (
        "Open Inference",
        "text_pair",
        "POST /v2/models/text_pair/infer",
        {"inputs": PAIR, "outputs": [{"name": "label"}]},
    ),
]
"""Client, kind of model, request, body."""


def shape(value):
    """Return JSON with the keys of its objects alone, and of lists the first item."""
    if isinstance(value, list):
        return "[]" if not value else f"[{shape(value[0])}, …]" if isinstance(value[0], dict | list) else "[…]"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}: {shape(one)}".removesuffix(": ") for key, one in value.items()) + "}"
    return ""


@pytest.fixture
def row(served_bundles):
    """Ask, and return one line of the table."""

    def ask(client_name, kind, request, body):
        _, client = served_bundles[kind]
        method, path = request.split()
        sent = None if body is None else json.dumps(body).encode()
        reply = client.ask(method, path, sent, {"content-type": "application/json"} if sent else {})
        shown = f"`{json.dumps(body)}`" if body is not None else ""
        # Of what depends on the labels only that it is there.
        told = {**reply.json, "probabilities": ""} if "probabilities" in reply.json else reply.json
        if path == "/info":
            told = {**told, "model_type": {"classifier": {"id2label": "", "label2id": ""}}}
        if isinstance(told, dict) and "predictions" in told and isinstance(told["predictions"][0], dict):
            told = {**told, "predictions": [{**told["predictions"][0], "probabilities": ""}]}
        return f"| {client_name} | `{request}` | {shown} | {reply.status} | `{shape(told)}` |"

    return ask


def test_the_guide_shows_what_every_client_sends_and_is_answered(row, project_root):
    guide = project_root / "docs" / "guides" / "clients-of-others.md"
    lines = ["| client | request | body | status | answer |", "|---|---|---|---|---|", *(row(*one) for one in REQUESTS)]
    table = "\n".join(lines) + "\n"
    text = guide.read_text(encoding="utf-8")
    before, _, rest = text.partition(BEGIN)
    shown, _, after = rest.partition(END)
    if os.environ.get("YANMO_WRITE"):
        guide.write_text(f"{before}{BEGIN}{table}{END}{after}", encoding="utf-8")
        shown = table
    assert shown == table, "run it with YANMO_WRITE=1"
