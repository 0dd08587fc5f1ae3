"""Bodies and requests that nobody thought of: mutations of the corpus, and what schemathesis makes of the document."""

from __future__ import annotations

import random
import subprocess
import sys
import time
from functools import partial

import pytest
from hostile_bodies import hostile_bodies

from yanmo.serving.invocations import decode_invocation
from yanmo.serving.open_inference import decode_infer
from yanmo.serving.problems import Problem
from yanmo.serving.requests import Limits, decode_request

CHECKS = "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance"
CONFIG = """
[checks.not_a_server_error]
expected-statuses = ["2xx", "3xx", "4xx", 504]
"""
"""A deadline of a millisecond is asked for, too, and 504 is then the right answer."""
LIMITS = (Limits(1, 64, 1000), Limits(2, 64, 1000))
TOKENS = [
    b'"',
    b"{",
    b"}",
    b"[",
    b"]",
    b",",
    b":",
    b"\\",
    b"\\u",
    b"null",
    b"1e999",
    b"NaN",
    b"\xff",
    b"\xed\xa0\x80",
    b" ",
]
TOKENS += [
    b'"text"',
    b'"texts"',
    b'"inputs"',
    b'"top_k"',
    b'"threshold"',
    b'"text_b":"b",',
    b"\x00",
    b"0",
    b"-",
    b"true",
]


def mutate(body: bytes, choose: random.Random) -> bytes:
    for _ in range(choose.randint(1, 4)):
        at, length = choose.randint(0, len(body)), choose.randint(0, 4)
        new = choose.choice([b"", choose.choice(TOKENS), bytes([choose.randrange(256)]), body[at : at + 20]])
        body = body[:at] + new + body[at + length :]
    return body


def test_mutated_bodies_are_read_or_refused():
    seeds = [body for _, body, _ in hostile_bodies() if len(body) < 200]
    seeds += [
        b'{"text":"a"}',
        b'{"texts":["a","b"],"texts_b":["c","d"]}',
        b'{"inputs":[["a","b"]],"top_k":1,"threshold":0.5}',
    ]
    choose, kinds = random.Random(7), set()
    for _ in range(20_000):
        body = mutate(choose.choice(seeds), choose)
        for limits in LIMITS:
            begin = time.perf_counter()
            try:
                request = decode_request(body, limits)
                assert 1 <= len(request.texts) <= 64
                kinds.add("read")
            except Problem as problem:
                kinds.add(problem.code)
            assert time.perf_counter() - begin < 1
    assert {"read", "invalid_json", "wrong_type", "unknown_key", "duplicate_key", "wrong_pair"} <= kinds


def test_mutated_bodies_of_other_clients_are_read_or_refused():
    tensor = b'{"name":"text","shape":[2],"datatype":"BYTES"'
    seeds = [
        b'{"instances":["a",{"text":"b"},["c"]],"parameters":{"top_k":1}}',
        b'{"dataframe_split":{"columns":["text"],"data":[["a"],["b"]]}}',
        b'{"inputs":{"text":["a"]}}',
        b'{"inputs":[%s,"data":["a",["b"]]}],"outputs":[{"name":"label"}]}' % tensor,
        b'{"inputs":[%s,"parameters":{"binary_data_size":10}}],"id":"7"}|\x01\x00\x00\x00a\x01\x00\x00\x00b' % tensor,
    ]
    choose, kinds = random.Random(7), set()
    for _ in range(10_000):
        body = mutate(choose.choice(seeds), choose)
        head, _, behind = body.partition(b"|")
        for decode in (decode_invocation, partial(decode_infer, behind=memoryview(behind))):
            try:
                assert 1 <= len(decode(head, LIMITS[0]).texts) <= 64
                kinds.add("read")
            except Problem as problem:
                kinds.add(problem.code)
    assert {"read", "invalid_json", "wrong_type", "unknown_key", "duplicate_key", "wrong_pair"} <= kinds


def run_schemathesis(client, folder, checks, *more):
    """Ask what schemathesis makes of the document of a service; nothing of it fails."""
    (folder / "schemathesis.toml").write_text(CONFIG, encoding="utf-8")
    start = [sys.executable, "-m", "schemathesis.cli", "--config-file", str(folder / "schemathesis.toml")]
    url = f"http://127.0.0.1:{client.port}"
    command = [*start, "run", f"{url}/openapi.json", "--url", url, "--checks", checks]
    limits = ["--max-examples", "10", "--max-response-time", "1", "--suppress-health-check", "all"]
    more = [*more, "--warnings", "off", "--continue-on-failure", "--seed", "7"]
    done = subprocess.run([*command, *limits, *more], capture_output=True, text=True, check=False, cwd=folder)
    assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-2000:]
    assert client.get("/readyz").status == 200


@pytest.mark.slow
def test_schemathesis_finds_nothing(served_bundles, tmp_path):
    _, client = served_bundles["ngram"]
    run_schemathesis(client, tmp_path, CHECKS, "--phases", "examples,coverage,fuzzing")


def test_bodies_that_the_schema_allows_are_answered(served_bundles, tmp_path):
    _, client = served_bundles["ngram"]
    only = ["--mode", "positive", "--phases", "examples,coverage,fuzzing", "--include-path", "/predict"]
    run_schemathesis(client, tmp_path, f"{CHECKS},positive_data_acceptance", *only, "--include-path", "/")
