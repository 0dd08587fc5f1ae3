"""A service of a tiny model that writes, and what reads its streams."""

import contextlib
import http.client
import json

import pytest

import yanmo


@pytest.fixture(scope="module")
def writing(decoder_bundle, talker_bundle, serving):
    """A client of a service with two models that write."""
    with serving(decoder_bundle, talker_bundle, num_threads=1, max_rows=4) as client:
        yield client


@pytest.fixture(scope="session")
def torch_teller(make_encoder_decoder, tmp_path_factory):
    """A model that writes bytes at random, so that tokens are often parts of characters."""
    folder = tmp_path_factory.mktemp("tellers")
    return yanmo.adopt(make_encoder_decoder(folder / "t5", "t5-1.1", noise=0.1), max_length=24, out=folder / "adopted")


@pytest.fixture(scope="session")
def open_stream():
    """Begin a stream: ``with open_stream(client, path, **body) as events``, of JSON values and the word [DONE]."""

    @contextlib.contextmanager
    def begin(client, path="/v1/completions", headers=None, **body):
        connection = http.client.HTTPConnection("127.0.0.1", client.port, timeout=20)
        content = json.dumps({"stream": True, **body})
        connection.request("POST", path, content, {"content-type": "application/json", **(headers or {})})
        response = connection.getresponse()
        assert response.status == 200, response.read()
        assert response.getheader("content-type") == "text/event-stream; charset=utf-8"
        try:
            yield _events(response)
        finally:
            connection.close()

    return begin


def _events(response):
    for line in response:
        if line.strip():
            assert line.startswith(b"data: ")
            content = line[6:].strip().decode()
            yield content if content == "[DONE]" else json.loads(content)


@pytest.fixture(scope="session")
def read_stream(open_stream):
    """Return the texts of a stream by their index, why they ended, and all events."""

    def read(client, **body):
        with open_stream(client, **body) as events:
            found = list(events)
        assert found[-1] == "[DONE]"
        texts, endings = {}, {}
        for event in found[:-1]:
            for choice in event["choices"]:
                texts[choice["index"]] = texts.get(choice["index"], "") + choice["text"]
                if choice["finish_reason"]:
                    assert choice["index"] not in endings
                    endings[choice["index"]] = choice["finish_reason"]
        return texts, endings, found[:-1]

    return read
