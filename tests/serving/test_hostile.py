"""Bytes that no friendly client sends: a problem with a stable code, never a failure, never the input."""

from __future__ import annotations

import json

import pytest

from yanmo.serving.problems import PROBLEMS

JSON = {"content-type": "application/json"}
SECRET = b"Geheim7"
DEEP = 100_000
HEAD = b"POST /predict HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n"

NOT_JSON = {
    "empty": b"",
    "space": b" ",
    "newline": b"\r\n",
    "nul": b"\x00",
    "word": SECRET,
    "open object": b"{",
    "open key": b'{"text',
    "no colon": b'{"text"}',
    "no value": b'{"text":}',
    "open string": b'{"text":"' + SECRET,
    "open after value": b'{"text":"a"',
    "open list": b'{"texts":["a"',
    "trailing comma": b'{"text":"a",}',
    "trailing comma in list": b'{"texts":["a",]}',
    "two commas": b'{"texts":["a",,"b"]}',
    "leading comma": b'{,"text":"a"}',
    "two objects": b'{"text":"a"}{"text":"b"}',
    "two lines": b'{"text":"a"}\n{"text":"b"}',
    "garbage after": b'{"text":"a"}' + SECRET,
    "nul after": b'{"text":"a"}\x00',
    "single quotes": b"{'text':'a'}",
    "no quotes": b"{text:a}",
    "comment": b'{"text":"a"/*' + SECRET + b"*/}",
    "line comment": b'//x\n{"text":"a"}',
    "form": b"text=" + SECRET,
    "xml": b"<text>a</text>",
    "NaN": b'{"text":NaN}',
    "Infinity": b'{"text":Infinity}',
    "minus Infinity": b'{"text":-Infinity}',
    "undefined": b'{"text":undefined}',
    "True": b'{"text":True}',
    "hexadecimal": b'{"text":0x10}',
    "leading zero": b'{"texts":[01]}',
    "plus": b'{"text":+1}',
    "bare dot": b'{"text":.5}',
    "raw newline in string": b'{"text":"a\nb"}',
    "raw tab in string": b'{"text":"a\tb"}',
    "raw nul in string": b'{"text":"\x00"}',
    "bad escape": b'{"text":"\\x41"}',
    "short unicode escape": b'{"text":"\\u12"}',
    "wrong unicode escape": b'{"text":"\\u12G4"}',
    "backslash at the end": b'{"text":"a\\',
    "lone high surrogate": b'{"text":"\\ud800"}',
    "lone high surrogate and text": b'{"text":"\\ud800 and more text"}',
    "lone low surrogate": b'{"text":"\\udc00"}',
    "two high surrogates": b'{"text":"\\ud800\\ud800"}',
    "swapped surrogates": b'{"text":"\\udc00\\ud800"}',
    "high surrogate and letter": b'{"text":"\\ud83d\\u0041"}',
    "high surrogate in list": b'{"texts":["a","\\udbff"]}',
    "lone surrogate in key": b'{"\\ud800":"a"}',
    "encoded surrogate": b'{"text":"\xed\xa0\x80"}',
    "encoded surrogate pair": b'{"text":"\xed\xa0\xbd\xed\xb8\x80"}',
    "overlong slash": b'{"text":"\xc0\xaf"}',
    "overlong nul": b'{"text":"\xc0\x80"}',
    "beyond unicode": b'{"text":"\xf4\x90\x80\x80"}',
    "five bytes": b'{"text":"\xf8\x88\x80\x80\x80"}',
    "cut sequence": b'{"text":"\xf0\x9f\x98"}',
    "lone continuation": b'{"text":"\x80"}',
    "latin-1": '{"text":"café"}'.encode("latin-1"),
    "gb18030": '{"text":"很快好吃"}'.encode("gb18030"),
    "big5": '{"text":"很快好吃"}'.encode("big5"),
    "invalid key": b'{"\xff":"a"}',
    "bom": b'\xef\xbb\xbf{"text":"a"}',
    "two boms": b'\xef\xbb\xbf\xef\xbb\xbf{"text":"a"}',
    "utf-16 with bom": '{"text":"a"}'.encode("utf-16"),
    "utf-16-le": '{"text":"a"}'.encode("utf-16-le"),
    "utf-16-be": '{"text":"a"}'.encode("utf-16-be"),
    "utf-32": '{"text":"a"}'.encode("utf-32"),
    "gzip": b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03",
    "open brackets": b"[" * DEEP,
    "open braces": b'{"text":' * DEEP,
}
JSON_OF_ANOTHER_SHAPE = {
    "null": b"null",
    "true": b"true",
    "number": b"1",
    "huge number": b"1e999",
    "long number": b"9" * 10_000,
    "string": b'"' + SECRET + b'"',
    "list": b'["' + SECRET + b'"]',
    "empty list": b"[]",
    "empty object": b"{}",
    "empty key": b'{"":"a"}',
    "other key": b'{"' + SECRET + b'":"a"}',
    "key in capitals": b'{"Text":"a"}',
    "key with space": b'{"text ":"a"}',
    "key with nul": b'{"text\\u0000":"a"}',
    "proto": b'{"__proto__":{"text":"a"}}',
    "unknown beside known": b'{"text":"a","' + SECRET + b'":1}',
    "text null": b'{"text":null}',
    "text number": b'{"text":1}',
    "text huge number": b'{"text":1e999}',
    "text tiny number": b'{"text":1e-999}',
    "text long number": b'{"text":' + b"9" * 10_000 + b"}",
    "text bool": b'{"text":false}',
    "text list": b'{"text":["' + SECRET + b'"]}',
    "text object": b'{"text":{"$ref":"' + SECRET + b'"}}',
    "texts string": b'{"texts":"' + SECRET + b'"}',
    "texts object": b'{"texts":{"0":"a"}}',
    "texts with null": b'{"texts":["a",null]}',
    "texts with number": b'{"texts":["a",1.5]}',
    "texts with huge number": b'{"texts":[1e999]}',
    "texts with list": b'{"texts":[["a","b"]]}',
    "empty texts": b'{"texts":[]}',
    "both": b'{"text":"a","texts":["b"]}',
    "second text": b'{"text":"a","text_b":"b"}',
    "flag as string": b'{"text":"a","return_probabilities":"yes"}',
    "flag as number": b'{"text":"a","return_probabilities":1}',
    "duplicate key": b'{"text":"a","text":"b"}',
    "duplicate key by escape": b'{"text":"a","te\\u0078t":"b"}',
    "duplicate after space": b'{"text":"a","text" \t\r\n:"b"}',
    "deep list": b'{"text":' + b"[" * DEEP + b"]" * DEEP + b"}",
    "deep list in texts": b'{"texts":' + b"[" * DEEP + b"]" * DEEP + b"}",
    "deep objects": b'{"text":' + b'{"text":' * DEEP + b"1" + b"}" * (DEEP + 1),
    "deep unknown": b'{"x":' + b"[" * DEEP + b"]" * DEEP + b"}",
    "too many texts": json.dumps({"texts": ["a"] * 1025}).encode(),
    "too long text": json.dumps({"text": "a" * 20_001}).encode(),
    "too long text of four bytes": json.dumps({"text": "\U0001f600" * 20_001}, ensure_ascii=False).encode(),
}


def check_problem(reply, status=400):
    assert reply.status == status, reply.content
    assert reply.headers["content-type"] == "application/problem+json"
    problem = reply.json
    assert problem.keys() == {"type", "title", "status", "code", "detail"}
    assert problem["status"] == status == PROBLEMS[problem["code"]][0]
    assert problem["title"] == PROBLEMS[problem["code"]][1]
    assert SECRET not in reply.content
    for word in (b"Traceback", b"Error", b"msgspec", b"yanmo/", b".py"):
        assert word not in reply.content
    return problem["code"]


@pytest.mark.parametrize("name", NOT_JSON)
def test_bytes_that_are_no_json_get_400(served_bundles, name):
    _, client = served_bundles["ngram"]
    code = check_problem(client.predict_bytes(NOT_JSON[name]))
    assert code in {"invalid_json", "wrong_type"}


@pytest.mark.parametrize("name", JSON_OF_ANOTHER_SHAPE)
def test_json_of_another_shape_gets_400(served_bundles, name):
    _, client = served_bundles["ngram"]
    assert check_problem(client.predict_bytes(JSON_OF_ANOTHER_SHAPE[name])) != "invalid_json"


def test_the_corpus_is_large_and_after_it_the_service_answers(served_bundles):
    _, client = served_bundles["ngram"]
    assert len(NOT_JSON) + len(JSON_OF_ANOTHER_SHAPE) >= 100
    assert client.predict(text="good").status == 200
    assert client.get("/readyz").status == 200


@pytest.mark.parametrize(
    "text", ["\x00", "\x1e", "\x1c\x1d\x1e\x1f\x85\u2028", "\ufffe\uffff", "\u200d" * 1000, "\u0301" * 1000, "﷽" * 1000]
)
def test_strange_characters_are_answered(served_bundles, text):
    for _, client in (served_bundles["ngram"], served_bundles["linear"]):
        assert client.predict(text=text).status == 200
        assert len(client.predict(texts=[text, "a", text]).json["predictions"]) == 3


@pytest.mark.parametrize("cut", range(1, 12))
def test_a_body_in_pieces_is_read(served_bundles, cut):
    _, client = served_bundles["ngram"]
    body = '{"text":"好"}'.encode()
    with client.connect() as connection:
        connection.sendall(HEAD + b"content-length: %d\r\n\r\n" % len(body) + body[:cut])
        connection.sendall(body[cut:])
        assert connection.recv(100).startswith(b"HTTP/1.1 200")


def chunked(body: bytes, size: int) -> bytes:
    pieces = [body[start : start + size] for start in range(0, len(body), size)]
    return b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n\r\n"


def first_line(client, raw: bytes) -> bytes:
    with client.connect() as connection:
        connection.sendall(raw)
        return connection.recv(1000).split(b"\r\n")[0]


def test_a_chunked_body_is_read_and_its_size_is_watched(served_bundles):
    _, client = served_bundles["ngram"]
    head = HEAD + b"transfer-encoding: chunked\r\n\r\n"
    assert first_line(client, head + chunked(b'{"text":"a"}', 3)) == b"HTTP/1.1 200 OK"
    large = b'{"text":"' + b"a" * 1_048_576 + b'"}'
    assert first_line(client, head + chunked(large, 65_536)).startswith(b"HTTP/1.1 413")


def test_a_body_over_the_limit_gets_413(served_bundles):
    _, client = served_bundles["ngram"]
    reply = client.predict_bytes(b'{"text":"' + b"a" * 1_048_576 + b'"}')
    assert check_problem(reply, 413) == "body_too_large"
    assert reply.headers["connection"] == "close"


def test_a_body_that_says_it_is_huge_is_refused_before_it_comes(served_bundles):
    _, client = served_bundles["ngram"]
    for length in (b"99999999999", b"9" * 18):
        assert first_line(client, HEAD + b"content-length: " + length + b"\r\n\r\n").startswith(b"HTTP/1.1 413")
    assert first_line(client, HEAD + b"content-length: " + b"9" * 5000 + b"\r\n\r\n").startswith(b"HTTP/1.1 4")


def test_a_body_of_exactly_the_limit_is_read(served_bundles):
    _, client = served_bundles["ngram"]
    reply = client.predict_bytes(b'{"text":"a"}' + b" " * (1_048_576 - 12))
    assert reply.status == 200


def test_a_client_that_leaves_in_the_middle_of_a_body_harms_nobody(served_bundles):
    _, client = served_bundles["ngram"]
    for _ in range(5):
        with client.connect() as connection:
            connection.sendall(HEAD + b'content-length: 100\r\n\r\n{"text":')
    assert client.predict(text="a").status == 200


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"content-type": ""},
        {"content-type": "text/plain"},
        {"content-type": "application/x-www-form-urlencoded"},
        {"content-type": "application/jsonp"},
        {"content-type": "application/json; charset=gb18030"},
        {"content-type": "application/json", "content-encoding": "gzip"},
    ],
)
def test_another_content_type_gets_415(served_bundles, headers):
    _, client = served_bundles["ngram"]
    reply = client.ask("POST", "/predict", b'{"text":"a"}', headers)
    assert check_problem(reply, 415) == "unsupported_media_type"


@pytest.mark.parametrize(
    "value",
    ["application/json", "Application/JSON", 'application/json; charset="utf-8"', "application/json;charset=UTF-8"],
)
def test_json_in_utf8_is_welcome_in_any_spelling(served_bundles, value):
    _, client = served_bundles["ngram"]
    assert client.ask("POST", "/predict", b'{"text":"a"}', {"content-type": value}).status == 200


@pytest.mark.parametrize(
    "path", ["/", "/predict/", "/Predict", "/healthz/", "//predict", "/predict/../x", "/%00", "/%ff"]
)
def test_an_unknown_route_gets_404(served_bundles, path):
    _, client = served_bundles["ngram"]
    for method in ("GET", "POST"):
        assert check_problem(client.ask(method, path, b"{}", JSON), 404) == "not_found"


@pytest.mark.parametrize(
    ("path", "methods", "allowed"),
    [
        ("/predict", ["GET", "PUT", "DELETE", "PATCH", "OPTIONS"], {"POST"}),
        ("/healthz", ["POST", "DELETE"], {"GET", "HEAD"}),
        ("/readyz", ["POST"], {"GET", "HEAD"}),
        ("/models", ["POST", "PUT"], {"GET", "HEAD"}),
    ],
)
def test_a_wrong_method_gets_405_and_hears_the_right_ones(served_bundles, path, methods, allowed):
    _, client = served_bundles["ngram"]
    for method in methods:
        reply = client.ask(method, path)
        assert check_problem(reply, 405) == "method_not_allowed"
        assert set(reply.headers["allow"].split(", ")) == allowed


def test_a_connection_survives_a_problem(served_bundles):
    _, client = served_bundles["ngram"]
    bad = HEAD + b"content-length: 1\r\n\r\n{"
    good = HEAD + b'content-length: 12\r\n\r\n{"text":"a"}'
    with client.connect() as connection:
        connection.sendall(bad)
        assert connection.recv(1000).startswith(b"HTTP/1.1 400")
        connection.sendall(good)
        assert connection.recv(1000).startswith(b"HTTP/1.1 200")


@pytest.mark.parametrize(
    "raw",
    [
        b"\r\n\r\n\x00\x01\x02\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"POST /predict\r\n\r\n",
        b"POST /predict HTTP/9.9\r\n\r\n",
        b"P\xc3\x96ST /predict HTTP/1.1\r\nhost: x\r\n\r\n",
        b"POST /predict HTTP/1.1\r\nhost: x\r\ncontent-length: abc\r\n\r\n",
        b"POST /predict HTTP/1.1\r\nhost: x\r\ncontent-length: -1\r\n\r\n",
        b"POST /predict HTTP/1.1\r\nhost: x\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\n{}",
        b"POST /predict HTTP/1.1\r\nhost: x\r\ncontent-length: 2\r\ntransfer-encoding: chunked\r\n\r\n{}",
        b"POST /predict HTTP/1.1\r\nhost: x\r\ntransfer-encoding: nonsense\r\n\r\n{}",
        HEAD + b"transfer-encoding: chunked\r\n\r\nZZ\r\n{}\r\n0\r\n\r\n",
        HEAD + b"transfer-encoding: chunked\r\n\r\nffffffffffffffffff\r\n",
        HEAD + b"content-length: 2\r\nbad header\r\n\r\n{}",
        HEAD + b"content-length: 2\r\nx: \x00\r\n\r\n{}",
    ],
)
def test_bytes_that_are_no_http_get_400_or_the_door(served_bundles, raw):
    _, client = served_bundles["ngram"]
    assert first_line(client, raw)[:10] in {b"HTTP/1.1 4", b""}
    assert client.predict(text="a").status == 200


def test_an_upgrade_is_not_followed(served_bundles):
    _, client = served_bundles["ngram"]
    upgrade = b"connection: upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\nsec-websocket-key: eA==\r\n"
    assert first_line(client, b"GET /healthz HTTP/1.1\r\nhost: x\r\n" + upgrade + b"\r\n") == b"HTTP/1.1 200 OK"
