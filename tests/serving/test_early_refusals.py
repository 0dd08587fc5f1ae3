"""What is refused before its body is read: the same words as ever, in correct HTTP, and nobody else's refusal."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

import yanmo
from yanmo.serving.answering import Answerer

BODY = b'{"text":"refused"}'
HEAD = b"POST /predict HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"
REQUEST = HEAD + b"content-length: %d\r\n\r\n" % len(BODY) + BODY
ASKED_WHOLE = {"content-type": "application/json", "sec-fetch-site": "none"}
"""With the second header a request is the application's to refuse."""


@pytest.fixture(scope="module")
def holds():
    """The events for which batches with a text wait, by that text."""
    released, plain = {}, Answerer.answer

    def answer(answerer, texts):
        for text in texts:
            assert text not in released or released[text].wait(60)
        return plain(answerer, texts)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Answerer, "answer", answer)
        yield released


@contextlib.contextmanager
def filled(client, wait, holds: dict[str, threading.Event], **headers: str) -> Iterator[threading.Event]:
    """Fill the queue of a service that takes five characters, until the event is set."""
    headers = {"content-type": "application/json", **headers}
    batcher, text = client.service.default.batcher, f"{len(holds):05}"
    released = holds[text] = threading.Event()
    with ThreadPoolExecutor(2) as pool:
        try:
            for waiting in (0, 5):
                pool.submit(client.ask, "POST", "/predict", json.dumps({"text": text}).encode(), headers)
                wait(lambda waiting=waiting: batcher.num_waiting_tokens == waiting)
                wait(lambda: any(slot.is_busy for slot in batcher._slots))
            yield released
        finally:
            released.set()


@pytest.fixture(scope="module")
def full(bundles, serving, holds):
    """A service whose queue is full."""
    settings = {"max_queue_tokens": 5, "deadline_seconds": 60, "receive_seconds": 1}
    with serving(bundles["ngram"], **settings) as client, filled(client, _wait, holds):
        yield client


@pytest.fixture(scope="module")
def guarded(bundles, serving, holds, tmp_path_factory):
    """The same with keys, and a port of its own for those that may admin."""
    file = tmp_path_factory.mktemp("keys") / "keys.toml"
    keys = {
        "any": yanmo.key(label="any", file=file).secret,
        "few": yanmo.key(label="few", file=file, quota="2/minute").secret,
    }
    settings = {"max_queue_tokens": 5, "deadline_seconds": 60, "api_keys": str(file), "admin_port": 0}
    authorization = f"Bearer {keys['any']}"
    with serving(bundles["ngram"], **settings) as client, filled(client, _wait, holds, authorization=authorization):
        yield client, keys


def _wait(condition) -> None:
    end = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


def read_answers(connection: socket.socket, count: int) -> list[tuple[bytes, dict[bytes, bytes], bytes]]:
    """Return status, headers and body of so many answers."""
    answers, data = [], b""
    while len(answers) < count:
        head, found, rest = data.partition(b"\r\n\r\n")
        lines = head.split(b"\r\n")
        headers = dict(line.split(b": ", 1) for line in lines[1:]) if found else {}
        length = int(headers.get(b"content-length", 0))
        if found and len(rest) >= length:
            answers.append((lines[0].split()[1], headers, rest[:length]))
            data = rest[length:]
            continue
        more = connection.recv(65_536)
        assert more, f"the connection ended after {len(answers)} answers"
        data += more
    assert not data
    return answers


def is_refusal(answer: tuple[bytes, dict[bytes, bytes], bytes]) -> bool:
    return answer[0] == b"429" and json.loads(answer[2])["code"] == "queue_full"


def test_it_is_told_what_the_application_tells_each_time_it_asks(full):
    whole = full.ask("POST", "/predict", BODY, ASKED_WHOLE)
    assert (whole.status, whole.json["code"]) == (429, "queue_full")
    ids = set()
    with full.connect() as connection:
        for _ in range(5):
            connection.sendall(REQUEST)
            ((status, headers, body),) = read_answers(connection, 1)
            assert (status, body) == (b"429", whole.content)
            assert {name.decode() for name in headers} == whole.headers.keys()
            assert headers[b"retry-after"].decode() == whole.headers["retry-after"]
            ids.add(headers[b"x-request-id"])
    assert len(ids) == 5


def test_it_is_told_in_the_language_of_each_client(full):
    found = set()
    for language in ("en", "zh-CN", "en", "zh-CN"):
        whole = full.ask("POST", "/predict", BODY, {**ASKED_WHOLE, "accept-language": language})
        with full.connect() as connection:
            connection.sendall(REQUEST.replace(b"\r\n\r\n", b"\r\naccept-language: %s\r\n\r\n" % language.encode(), 1))
            ((_, _, body),) = read_answers(connection, 1)
        assert body == whole.content
        found.add(body)
    assert len(found) == 2


@pytest.mark.parametrize("path", ["/", "/v1/models/ngram/predict", "/v1/models/ngram:predict", "/invocations"])
def test_every_route_to_the_queue_is_refused_before_the_body_comes(full, path):
    with full.connect() as connection:
        connection.sendall(HEAD.replace(b"/predict", path.encode()) + b"content-length: 9\r\n\r\n")
        assert is_refusal(*read_answers(connection, 1))


@pytest.mark.parametrize("cut", [1, len(HEAD), len(REQUEST) - len(BODY), len(REQUEST) - len(BODY) + 3])
def test_a_request_in_two_pieces_gets_one_refusal_and_the_connection_goes_on(full, cut):
    with full.connect() as connection:
        for _ in range(3):
            connection.sendall(REQUEST[:cut])
            time.sleep(0.03)
            connection.sendall(REQUEST[cut:])
            assert is_refusal(*read_answers(connection, 1))
            connection.sendall(REQUEST)
            assert is_refusal(*read_answers(connection, 1))


def test_what_is_no_request_of_its_own_is_never_taken_for_one_that_is_known(full):
    with full.connect() as connection:
        connection.sendall(REQUEST)
        read_answers(connection, 1)
        # The body of another request, which has the bytes of a known one, and is not asked.
        inner = HEAD.replace(b"application/json", b"text/plain") + b"content-length: %d\r\n\r\n" % len(REQUEST)
        connection.sendall(inner)
        assert is_refusal(*read_answers(connection, 1))
        connection.sendall(REQUEST)
        time.sleep(0.1)
        connection.sendall(b"GET /livez HTTP/1.1\r\nhost: localhost\r\n\r\n")
        ((status, _, body),) = read_answers(connection, 1)
        assert (status, json.loads(body)) == (b"200", {"status": "alive"})


def test_requests_in_one_piece_are_answered_in_their_order(full):
    alive = b"GET /livez HTTP/1.1\r\nhost: localhost\r\n\r\n"
    with full.connect() as connection:
        connection.sendall(REQUEST + alive + 2 * REQUEST + alive)
        assert [status for status, _, _ in read_answers(connection, 5)] == [b"429", b"200", b"429", b"429", b"200"]
        connection.sendall(3 * REQUEST)
        assert all(map(is_refusal, read_answers(connection, 3)))


@pytest.mark.parametrize(
    "head",
    [
        HEAD.replace(b"HTTP/1.1", b"HTTP/1.0"),
        HEAD + b"connection: close\r\n",
        HEAD + b"expect: 100-continue\r\n",
    ],
)
@pytest.mark.parametrize("body", [BODY, b"", BODY + REQUEST])
def test_an_answer_after_which_nothing_may_follow_is_the_last_one(full, head, body):
    with full.connect() as connection:
        connection.sendall(head + b"content-length: %d\r\n\r\n" % len(BODY) + body)
        (answer,) = read_answers(connection, 1)
        assert is_refusal(answer)
        assert answer[1][b"connection"] == b"close"
        assert connection.recv(100) == b""


def test_a_refusal_does_not_overtake_the_answer_before_it(bundles, serving, holds, wait):
    first, released = b'{"text":"first"}', threading.Event()
    holds["first"] = released
    with serving(bundles["ngram"], max_queue_tokens=5, deadline_seconds=60) as client, client.connect() as connection:
        connection.sendall(HEAD + b"content-length: %d\r\n\r\n" % len(first) + first)
        wait(lambda: any(slot.is_busy for slot in client.service.default.batcher._slots))
        with ThreadPoolExecutor(1) as pool:
            pool.submit(client.predict, text="12345")
            wait(lambda: client.service.default.batcher.num_waiting_tokens == 5)
            connection.sendall(REQUEST)
            connection.settimeout(0.2)
            with pytest.raises(TimeoutError):
                connection.recv(1)
            connection.settimeout(20)
            released.set()
            answers = read_answers(connection, 2)
    assert [status for status, _, _ in answers] in ([b"200", b"413"], [b"200", b"429"])


@pytest.mark.parametrize(
    ("lines", "status", "code"),
    [
        (b"host: evil.example\r\n", 421, "wrong_host"),
        (b"host: localhost\r\norigin: http://evil.example\r\n", 403, "wrong_origin"),
        (b"host: localhost\r\nhost: localhost\r\n", 400, "bad_http"),
    ],
)
def test_who_may_not_ask_is_told_so_first(full, lines, status, code):
    with full.connect() as connection:
        rest = b"content-type: application/json\r\ncontent-length: %d\r\n\r\n" % len(BODY) + BODY
        for _ in range(2):
            connection.sendall(b"POST /predict HTTP/1.1\r\n" + lines + rest)
            ((said, _, body),) = read_answers(connection, 1)
            assert (int(said), json.loads(body)["code"]) == (status, code)


def test_a_body_that_is_too_large_is_told_so_first(full):
    with full.connect() as connection:
        connection.sendall(HEAD + b"content-length: 9999999\r\n\r\n")
        assert read_answers(connection, 1)[0][0] == b"413"


def test_keys_and_quotas_come_first(guarded):
    client, keys = guarded

    def ask(secret: str, port: int = client.port):
        head = HEAD + (b"x-api-key: %s\r\n" % secret.encode() if secret else b"")
        with socket.create_connection(("127.0.0.1", port), timeout=20) as connection:
            connection.sendall(head + b"content-length: %d\r\n\r\n" % len(BODY) + BODY)
            ((status, _, body),) = read_answers(connection, 1)
        return int(status), json.loads(body)["code"]

    assert [ask(""), ask("yk_wrong")] == [(401, "no_key"), (401, "wrong_key")]
    assert [ask(keys["any"]) for _ in range(3)] == [(429, "queue_full")] * 3
    assert [ask(keys["few"]) for _ in range(3)] == [(429, "queue_full")] * 2 + [(429, "quota_exceeded")]
    assert ask(keys["any"], client.admin_port) == (404, "not_found")


def test_refusals_are_counted_and_logged(bundles, serving, holds, wait, capfd):
    with serving(bundles["ngram"], max_queue_tokens=5, deadline_seconds=60, access_log=True) as client:
        with filled(client, wait, holds), client.connect() as connection:
            for number in range(3):
                connection.sendall(REQUEST.replace(b"\r\n\r\n", b"\r\nx-request-id: mine-%d\r\n\r\n" % number, 1))
                (answer,) = read_answers(connection, 1)
                assert answer[1][b"x-request-id"] == b"mine-%d" % number
        counters = client.service.counters
        assert (counters.refused["queue_full"], counters.requests["/predict", 429]) == (3, 3)
    lines = [json.loads(line) for line in capfd.readouterr().err.splitlines() if '"request_id":"mine-' in line]
    assert [(one["route"], one["status"]) for one in lines] == [("/predict", 429)] * 3


def test_a_body_that_never_ends_after_its_refusal_is_cut_without_another_word(full):
    with full.connect() as connection:
        connection.sendall(HEAD + b"content-length: 1000\r\n\r\n{")
        read_answers(connection, 1)
        begin, said = time.monotonic(), b""
        with contextlib.suppress(ConnectionResetError):
            said = connection.recv(1000)
        assert said == b""
        assert 0.5 < time.monotonic() - begin < 5


def test_one_that_comes_too_soon_waits_for_a_moment_and_one_that_leaves_is_forgotten(full):
    num_before = len(full.server.server_state.connections)
    with full.connect() as connection:
        waits = []
        for _ in range(10):
            begin = time.perf_counter()
            connection.sendall(REQUEST)
            assert is_refusal(*read_answers(connection, 1))
            waits.append(time.perf_counter() - begin)
    assert sorted(waits)[5] < 0.05
    _wait(lambda: len(full.server.server_state.connections) <= num_before)


@pytest.mark.parametrize("num_characters", [7, 200_000])
def test_once_there_is_room_whoever_was_refused_is_answered(bundles, serving, holds, wait, num_characters):
    with serving(bundles["ngram"], max_queue_tokens=5, max_characters=200_000, deadline_seconds=60) as client:
        body = json.dumps({"text": "a" * num_characters}).encode()
        request = HEAD + b"content-length: %d\r\n\r\n" % len(body) + body
        with client.connect() as connection:
            with filled(client, wait, holds):
                for _ in range(2):
                    connection.sendall(REQUEST)
                    assert is_refusal(*read_answers(connection, 1))
            wait(lambda: not client.service.default.batcher.num_waiting_tokens)
            connection.sendall(request)
            ((status, _, _),) = read_answers(connection, 1)
            assert status == (b"413" if num_characters > 5 else b"200")
            connection.sendall(HEAD + b"content-length: 12\r\n\r\n" + b'{"text":"a"}')
            assert read_answers(connection, 1)[0][0] == b"200"


def test_a_slow_head_after_a_refusal_is_cut_in_its_time(full):
    with full.connect() as connection:
        connection.sendall(REQUEST)
        read_answers(connection, 1)
        connection.sendall(b"POST /pre")
        begin = time.monotonic()
        (answer,) = read_answers(connection, 1)
        assert answer[0] == b"408"
        assert time.monotonic() - begin < 5


def test_who_sends_and_does_not_read_is_read_no_further(full):
    sent = [0, 0]
    with socket.socket() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.connect(("127.0.0.1", full.port))
        connection.setblocking(False)
        # First the buffers of the system fill.
        for half in (0, 1):
            end = time.monotonic() + 0.4
            while time.monotonic() < end:
                try:
                    sent[half] += connection.send(REQUEST * 500)
                except BlockingIOError:
                    time.sleep(0.005)
    assert sent[0] > 0
    assert sent[1] < 1_000_000
