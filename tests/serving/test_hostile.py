"""Bytes that no friendly client sends: a problem with a stable code, never a failure, never the input."""

from __future__ import annotations

import http.client
import json
import socket
import time
import urllib.error
import urllib.request

import pytest
from hostile_bodies import hostile_bodies

from yanmo.serving.problems import PROBLEMS

JSON = {"content-type": "application/json"}
SECRET = b"Geheim7"
HEAD = b"POST /predict HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"


CORPUS = [pytest.param(body, codes, id=name) for name, body, codes in hostile_bodies()]


def check_problem(reply, status=400):
    assert reply.status == status, reply.content
    assert reply.headers["content-type"] == "application/problem+json"
    problem = reply.json
    assert problem.keys() == {"type", "title", "status", "code", "detail", "error", "error_type"}
    assert problem["status"] == status == PROBLEMS[problem["code"]][0]
    assert problem["title"] == PROBLEMS[problem["code"]][1]
    assert SECRET not in reply.content
    for word in (b"Traceback", b"Error", b"msgspec", b"yanmo/", b".py"):
        assert word not in reply.content
    return problem["code"]


@pytest.mark.parametrize(("body", "codes"), CORPUS)
def test_a_body_that_breaks_a_rule_gets_400_and_its_code(served_bundles, body, codes):
    _, client = served_bundles["ngram"]
    code = check_problem(client.predict_bytes(body))
    assert codes is None or code in codes


def test_the_corpus_is_large_and_after_it_the_service_answers(served_bundles):
    _, client = served_bundles["ngram"]
    assert len(CORPUS) >= 150
    assert len({probe.id for probe in CORPUS}) == len({probe.values[0] for probe in CORPUS}) == len(CORPUS)
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


def test_requests_that_come_in_one_piece_are_all_answered(served_bundles):
    _, client = served_bundles["ngram"]
    body = b'{"text":"a"}'
    request = HEAD + b"x-long: %s\r\ncontent-length: %d\r\n\r\n" % (b"a" * 1000, len(body)) + body
    all_of_them, said = 25 * request, b""
    with client.connect() as connection:
        connection.sendall(all_of_them[:-500])
        connection.sendall(all_of_them[-500:])
        while said.count(b"HTTP/1.1 200") < 25:
            said += connection.recv(65_536)
            assert b"HTTP/1.1 4" not in said


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


@pytest.mark.parametrize("size", [1, 100])
def test_a_body_in_small_chunks_is_read(served_bundles, size):
    _, client = served_bundles["ngram"]
    body = b'{"text":"a"}' + b" " * 60_000
    assert first_line(client, HEAD + b"transfer-encoding: chunked\r\n\r\n" + chunked(body, size)) == b"HTTP/1.1 200 OK"


def test_trailers_and_extensions_of_chunks_are_passed_over(served_bundles):
    _, client = served_bundles["ngram"]
    head = HEAD + b"transfer-encoding: chunked\r\nx-request-id: head\r\n\r\n"
    trailers = b"x-request-id: trailer\r\ncontent-type: text/plain\r\n" + b"x: y\r\n" * 100
    with client.connect() as connection:
        connection.sendall(head + b'c;name=value\r\n{"text":"a"}\r\n0;last\r\n' + trailers + b"\r\n")
        answer = connection.recv(4000)
    assert answer.startswith(b"HTTP/1.1 200 OK")
    assert b"x-request-id: head\r\n" in answer


@pytest.mark.parametrize(
    ("first", "more"),
    [
        (b"0\r\n", b"x: " + b"a" * 8000 + b"\r\n"),
        (b"0\r\n", b"x: y\r\n" * 1000),
        (b"0\r\nx: ", b"a" * 8000),
        (b"1;", b"a" * 8000),
        (b"", b"1;" + b"a" * 8000 + b"\r\n \r\n"),
    ],
    ids=["trailers", "short trailers", "a trailer without end", "an extension without end", "extensions"],
)
def test_what_comes_beside_a_body_is_bounded_and_not_kept(served_bundles, first, more, wait):
    _, client = served_bundles["ngram"]
    refused, counts = client.service.counters.refused["headers_too_large"], client.service.counters.requests
    told = counts["/predict", 431]
    said = b""
    with client.connect() as connection:
        connection.sendall(HEAD + b"transfer-encoding: chunked\r\n\r\n" + first)
        connection.settimeout(0.05)
        for _ in range(5):
            try:
                connection.sendall(more)
                said = connection.recv(1000)
            except TimeoutError:
                assert max(len(one.headers or ()) for one in client.server.server_state.connections) == 3
            else:
                break
    assert said.startswith(b"HTTP/1.1 431")
    assert client.service.counters.refused["headers_too_large"] == refused + 1
    wait(lambda: counts["/predict", 431] == told + 1)


def test_a_body_over_the_limit_gets_413_and_the_connection_goes_on(served_bundles):
    _, client = served_bundles["ngram"]
    for size in (1_048_577, 12_000_000):
        connection = http.client.HTTPConnection("127.0.0.1", client.port, timeout=20)
        for body, status in ((b'{"text":"a"}' + b" " * size, 413), (b'{"text":"a"}', 200)):
            connection.request("POST", "/predict", body, JSON)
            response = connection.getresponse()
            assert (response.status, response.getheader("connection")) == (status, None)
            response.read()
        connection.close()


@pytest.mark.parametrize("path", ["/predict", "/nothing", "/livez"])
def test_a_client_that_sends_all_before_it_reads_gets_its_answer(served_bundles, path):
    _, client = served_bundles["ngram"]
    request = urllib.request.Request(f"http://127.0.0.1:{client.port}{path}", b'"' + b"a" * 50_000_000 + b'"', JSON)
    with pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.urlopen(request, timeout=20)
    caught.value.close()
    assert caught.value.code == {"/predict": 413, "/nothing": 404, "/livez": 405}[path]


def test_who_asks_before_sending_a_body_that_is_too_large_does_not_send_it(served_bundles):
    _, client = served_bundles["ngram"]
    with client.connect() as connection:
        connection.sendall(HEAD + b"expect: 100-continue\r\ncontent-length: 2000000\r\n\r\n")
        said = b"".join(iter(lambda: connection.recv(4000), b""))
    assert said.startswith(b"HTTP/1.1 413")
    assert b"\r\nconnection: close\r\n" in said


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
    "path",
    [
        "/predict/",
        "/Predict",
        "/livez/",
        "//predict",
        "/predict/../x",
        "/%00",
        "/%ff",
        "/v1/models/",
        "/v1/models/none/predict/x",
        "/v1/models//predict",
        "/static/",
        "/static/../serve.py",
        "/static/%2e%2e/serve.py",
        "/healthz",
    ],
)
def test_an_unknown_route_gets_404(served_bundles, path):
    _, client = served_bundles["ngram"]
    for method in ("GET", "POST"):
        assert check_problem(client.ask(method, path, b"{}", JSON), 404) == "not_found"


@pytest.mark.parametrize(
    ("path", "methods", "allowed"),
    [
        ("/predict", ["GET", "PUT", "DELETE", "PATCH", "OPTIONS"], {"POST"}),
        ("/livez", ["POST", "DELETE"], {"GET", "HEAD"}),
        ("/readyz", ["POST"], {"GET", "HEAD"}),
        ("/v1/models", ["POST", "PUT"], {"GET", "HEAD"}),
        ("/v1/models/ngram/predict", ["GET", "PUT"], {"POST"}),
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
        b"P\xc3\x96ST /predict HTTP/1.1\r\nhost: localhost\r\n\r\n",
        b"POST /predict HTTP/1.1\r\nhost: localhost\r\ncontent-length: abc\r\n\r\n",
        b"POST /predict HTTP/1.1\r\nhost: localhost\r\ncontent-length: -1\r\n\r\n",
        b"POST /predict HTTP/1.1\r\nhost: localhost\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\n{}",
        b"POST /predict HTTP/1.1\r\nhost: localhost\r\ncontent-length: 2\r\ntransfer-encoding: chunked\r\n\r\n{}",
        b"POST /predict HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: nonsense\r\n\r\n{}",
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
    assert first_line(client, b"GET /livez HTTP/1.1\r\nhost: localhost\r\n" + upgrade + b"\r\n") == b"HTTP/1.1 200 OK"


@pytest.mark.parametrize(
    ("head", "status"),
    [
        (b"GET /" + b"a" * 5000 + b" HTTP/1.1\r\nhost: localhost\r\n\r\n", 414),
        (b"GET /livez HTTP/1.1\r\nhost: localhost\r\nx: " + b"a" * 20_000 + b"\r\n\r\n", 431),
        (b"GET /livez HTTP/1.1\r\nhost: localhost\r\n" + b"x: y\r\n" * 100 + b"\r\n", 431),
        (b"GET /docs HTTP/1.1\r\n\r\n", 421),
        (b"GET /docs HTTP/1.0\r\n\r\n", 421),
        (b"GET /docs HTTP/1.1\r\nhost: evil.example\r\n\r\n", 421),
        (b"GET /docs HTTP/1.1\r\nhost: localhost@evil.example\r\n\r\n", 421),
        (b"GET /livez HTTP/1.0\r\n\r\n", 200),
        (b"GET /readyz HTTP/1.0\r\n\r\n", 200),
        (b"OPTIONS /readyz HTTP/1.0\r\n\r\n", 405),
        (b"HEAD /health HTTP/1.1\r\nhost: 7f3c.internal:8000\r\n\r\n", 200),
        (b"GET /livez HTTP/1.1\r\nhost: localhost\r\nhost: evil.example\r\n\r\n", 400),
        (b"GET /livez HTTP/1.1\r\nhost: localhost\r\norigin: http://evil.example\r\n\r\n", 403),
        (b"GET /livez HTTP/1.1\r\nhost: localhost\r\norigin: null\r\n\r\n", 403),
        (b"GET /livez HTTP/1.1\r\nhost: localhost\r\nsec-fetch-site: cross-site\r\n\r\n", 403),
    ],
)
def test_a_head_gets_the_answer_of_its_rule(served_bundles, head, status):
    _, client = served_bundles["ngram"]
    assert first_line(client, head).startswith(b"HTTP/1.1 %d " % status)


def test_a_head_without_end_is_cut_at_its_size(served_bundles):
    _, client = served_bundles["ngram"]
    with client.connect() as connection:
        connection.sendall(b"GET /livez HTTP/1.1\r\nhost: localhost\r\nx: ")
        try:
            for _ in range(100):
                connection.sendall(b"a" * 1000)
                time.sleep(0.001)
        except OSError:
            return
        connection.settimeout(5)
        assert connection.recv(1000).startswith(b"HTTP/1.1 431")


def until_cut(client, first: bytes, drip: bytes) -> tuple[float, bytes]:
    """Send a byte now and then; return after how many seconds the server ended it, and what it said."""
    begin = time.monotonic()
    with client.connect() as connection:
        connection.sendall(first)
        connection.settimeout(0.1)
        while time.monotonic() - begin < 15:
            try:
                said = connection.recv(1000)
            except TimeoutError:
                try:
                    connection.sendall(drip)
                except OSError:
                    said = b""
                else:
                    continue
            except OSError:
                said = b""
            return time.monotonic() - begin, said
    raise AssertionError("it was never cut")


@pytest.fixture(scope="module")
def impatient(bundles, serving):
    with serving(bundles["ngram"], receive_seconds=0.5) as client:
        yield client


@pytest.mark.parametrize(
    ("first", "drip", "answer"),
    [
        (b"POST /pre", b"d", b"HTTP/1.1 408"),
        (b"GET /livez HTTP/1.1\r\nhost: localhost\r\nx: ", b"a", b"HTTP/1.1 408"),
        (HEAD + b'content-length: 1000\r\n\r\n{"text":"', b"a", b"HTTP/1.1 408"),
        (HEAD + b"transfer-encoding: chunked\r\n\r\n", b"1\r\na\r\n", b"HTTP/1.1 408"),
        (b"", b"", b""),
        (b"\r\n", b"\r\n", b""),
        (b"GET /livez HTTP/1.1\r\nhost: localhost\r\n\r\n", b"", b"HTTP/1.1 200"),
    ],
    ids=["line", "header", "body", "chunks", "silence", "empty lines", "whole"],
)
def test_a_slow_client_is_cut_with_408(impatient, first, drip, answer):
    seconds, said = until_cut(impatient, first, drip)
    assert said.startswith(answer)
    assert seconds < 3
    if answer.endswith(b"408"):
        assert b'"code":"too_slow"' in said


def test_what_is_left_of_a_refused_body_has_the_time_of_a_body(impatient):
    counts = impatient.service.counters.refused
    before = counts["too_slow"]
    head = HEAD + b"transfer-encoding: chunked\r\n\r\n" + chunked(b"a" * 1_100_000, 65_536)[:-5]
    for closes in (b"", b"connection: close\r\n"):
        begin = time.monotonic()
        with impatient.connect() as connection:
            connection.sendall(head.replace(b"\r\n", b"\r\n" + closes, 1))
            assert connection.recv(4000).startswith(b"HTTP/1.1 413")
            with pytest.raises(OSError, match="reset|pipe"):
                while time.monotonic() - begin < 10:
                    connection.sendall(b"1\r\na\r\n")
                    time.sleep(0.01)
        assert time.monotonic() - begin < 5
    with impatient.connect() as connection:
        connection.sendall(head)
        assert connection.recv(4000).startswith(b"HTTP/1.1 413")
        connection.sendall(b"0\r\n\r\n")
        assert connection.recv(4000) == b"", "who is done is told nothing more when it is idle for too long"
    assert counts["too_slow"] == before


def test_a_body_that_came_too_slowly_is_counted_as_what_its_client_was_told(impatient, wait):
    counts = impatient.service.counters.requests
    told, left = counts["/predict", 408], counts["/predict", 499]
    until_cut(impatient, HEAD + b"content-length: 9\r\n\r\n{", b"")
    wait(lambda: counts["/predict", 408] == told + 1)
    assert counts["/predict", 499] == left


def test_white_space_does_not_keep_a_used_connection(impatient):
    head = b"GET /livez HTTP/1.1\r\nhost: localhost\r\n\r\n"
    with impatient.connect() as connection:
        connection.sendall(head)
        assert connection.recv(1000).startswith(b"HTTP/1.1 200")
        begin = time.monotonic()
        connection.settimeout(0.05)
        while time.monotonic() - begin < 5:
            try:
                connection.sendall(b"\r\n")
                if connection.recv(100) == b"":
                    break
            except TimeoutError:
                continue
            except OSError:
                break
        assert time.monotonic() - begin < 3


def test_many_slow_clients_do_not_harm_a_healthy_one(impatient):
    slow = []
    for number in range(200):
        slow.append(impatient.connect())
        slow[-1].sendall(b"POST /predict HTTP/1.1\r\n" if number % 2 else HEAD + b"content-length: 9\r\n\r\n{")
    assert [impatient.predict(text="a").status for _ in range(50)] == [200] * 50
    for connection in slow:
        assert connection.recv(1000).startswith(b"HTTP/1.1 408")
        connection.close()


def test_a_client_that_does_not_read_its_answers_is_cut(bundles, serving, wait):
    with serving(bundles["ngram"], receive_seconds=0.5, max_texts=5000) as client:
        body = json.dumps({"texts": ["a"] * 5000}).encode()
        request = HEAD + b"content-length: %d\r\n\r\n" % len(body) + body
        connection = socket.socket()
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.connect(("127.0.0.1", client.port))
        connection.settimeout(1)
        try:
            for _ in range(50):
                connection.sendall(request)
        except OSError:
            pass
        wait(lambda: client.service.counters.refused["too_slow"] == 1)
        wait(lambda: len(client.server.server_state.connections) == 0)
        connection.close()


def test_too_many_connections_are_refused_and_then_there_is_room_again(bundles, serving, wait):
    with serving(bundles["ngram"], max_connections=3) as client:
        held = [client.connect() for _ in range(3)]
        for connection in held:
            connection.sendall(b"GET /livez HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n")
            assert connection.recv(1000).startswith(b"HTTP/1.1 200"), "as many as may be are answered"
        with client.connect() as one_more:
            assert one_more.recv(1000).startswith(b"HTTP/1.1 429")
        for connection in held:
            connection.close()
        client.wait_until_ready()
