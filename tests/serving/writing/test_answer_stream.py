"""Answers of models that write a text from another, sent while they are written: as they are when they are whole."""

import contextlib
import http.client
import json
import threading

import pytest

import yanmo
from yanmo.runtimes.generating.encoder_decoder_session import OnnxDrafts

TEXTS = ["the cat sat", "a dog", "", "好 </s>", "x" * 100]


@pytest.fixture(scope="module")
def teller(torch_teller):
    return yanmo.export(torch_teller, out=torch_teller.path.parent / "exported")


@pytest.fixture(scope="module", params=["thread", "process"])
def service(request, teller, serving):
    """The same model in a thread of the service, and in a process of its own."""
    with serving(teller, num_threads=1, workers=int(request.param == "process")) as client:
        yield client


class Slowness:
    """Each step takes some milliseconds, as that of a larger model does, until it is fast; steps are counted."""

    def __init__(self):
        self.steps = []
        self.is_fast = threading.Event()
        self.is_fast.set()

    def slowed(self, step):
        def wait_and_step(drafts, ids_R):
            self.steps.append(len(ids_R))
            self.is_fast.wait(0.05)
            return step(drafts, ids_R)

        return wait_and_step


@pytest.fixture
def slow(monkeypatch):
    slow = Slowness()
    monkeypatch.setattr(OnnxDrafts, "step", slow.slowed(OnnxDrafts.step))
    return slow


@pytest.fixture
def slow_service(teller, serving, slow):
    with serving(teller, num_threads=1) as client:
        yield client
        slow.is_fast.set()


def read(events):
    """Return the pieces of an answer, why it ended, and the last event."""
    *grown, last, done = list(events)
    assert done == "[DONE]"
    (*none, ending) = [one["choices"][0]["finish_reason"] for one in grown]
    assert set(none) <= {None}
    return [one["choices"][0]["text"] for one in grown], ending, last


def test_what_is_told_piece_by_piece_is_the_answer(service, open_stream):
    counts = []
    for text in TEXTS:
        whole = service.predict(text=text, top_k=1).json
        with open_stream(service, "/predict", text=text, top_k=1) as events:
            pieces, ending, last = read(events)
        assert "".join(pieces) == whole["prediction"]
        assert "\ufffd" not in whole["prediction"]
        assert ending == whole["finish_reason"]
        answer = last["answer"]
        usage = (answer.pop("num_tokens"), answer.pop("num_written_tokens"))
        assert answer.pop("log_likelihood") == pytest.approx(whole.pop("log_likelihood"), abs=1e-4)
        assert answer.pop("probability") == pytest.approx(whole.pop("probability"), abs=1e-4)
        assert answer.pop("candidates")[0]["text"] == whole.pop("candidates")[0]["text"]
        assert answer == whole
        assert last["usage"] == {
            "prompt_tokens": usage[0],
            "completion_tokens": usage[1],
            "total_tokens": sum(usage),
        }
        counts.append(len(pieces))
    assert max(counts) > 3


def test_streams_and_whole_answers_are_written_together(service, open_stream):
    alone = [service.predict(text=text).json["prediction"] for text in TEXTS]
    with contextlib.ExitStack() as stack:
        streams = [stack.enter_context(open_stream(service, "/predict", text=text)) for text in TEXTS]
        whole = service.predict(texts=TEXTS).json["predictions"]
        assert ["".join(read(one)[0]) for one in streams] == alone
    assert [one["prediction"] for one in whole] == alone
    assert all("num_tokens" not in one for one in whole)


def test_a_client_that_goes_frees_its_place_within_a_step(slow_service, slow, open_stream, wait):
    model = slow_service.service.default
    slow.is_fast.clear()
    with open_stream(slow_service, "/predict", text=TEXTS[0]) as events:
        next(events)
        begun = len(slow.steps)
    wait(lambda: not any(slot.is_busy for slot in model.batcher._slots), 2)
    assert len(slow.steps) <= begun + 5


def test_who_stays_is_told_all_when_another_one_goes(slow_service, slow, open_stream, wait):
    whole = slow_service.predict(text=TEXTS[1]).json["prediction"]
    slow.is_fast.clear()
    # The two wait together while a third one is answered, and so come into one batch.
    with open_stream(slow_service, "/predict", text="first") as first, begin(slow_service, TEXTS[1]) as stayed:
        next(first)
        with begin(slow_service, TEXTS[0]) as gone:
            assert list(first)[-1] == "[DONE]"
            assert next(lines(gone))
        slow.is_fast.set()
        told = [json.loads(line) for line in lines(stayed) if line != "[DONE]"]
    assert 2 in slow.steps
    assert "".join(choice["text"] for event in told for choice in event["choices"]) == whole


@contextlib.contextmanager
def begin(client, text):
    """Ask for a stream, and do not wait for its beginning."""
    connection = http.client.HTTPConnection("127.0.0.1", client.port, timeout=20)
    body = json.dumps({"text": text, "stream": True})
    connection.request("POST", "/predict", body, {"content-type": "application/json"})
    try:
        yield connection
    finally:
        connection.close()


def lines(connection):
    for line in connection.getresponse():
        if line.strip():
            yield line.decode().removeprefix("data: ").strip()


def test_a_text_that_is_not_whole_in_time_is_ended(slow_service, slow, open_stream):
    slow.is_fast.clear()
    with open_stream(slow_service, "/predict", headers={"x-timeout-ms": "300"}, text=TEXTS[0]) as events:
        *pieces, last = list(events)
    assert pieces
    assert last["error"]["code"] == "deadline_exceeded"


def test_a_stream_by_its_models_name_and_where_hugging_face_asks(service, teller, open_stream):
    whole = service.predict(text=TEXTS[0]).json["prediction"]
    for path in ("/", f"/v1/models/{service.service.default.name}/predict"):
        with open_stream(service, path, text=TEXTS[0]) as events:
            assert "".join(read(events)[0]) == whole


@pytest.mark.parametrize(
    ("body", "detail"),
    [
        ({"texts": ["a"]}, "Give 'stream' with 'text', and with no other option than 'top_k'."),
        ({"inputs": "a"}, "Give 'stream' with 'text', and with no other option than 'top_k'."),
        ({"text": "a", "threshold": 0.5}, "Give 'stream' with 'text', and with no other option than 'top_k'."),
    ],
)
def test_what_asks_about_whole_answers_is_refused(service, body, detail):
    reply = service.predict(stream=True, **body)
    assert (reply.status, reply.json["code"], reply.json["detail"]) == (400, "wrong_option", detail)
    assert service.predict(stream=False, **body).status == 200


def test_an_answer_that_repeats_itself_is_ended_and_told_so(teller, serving, open_stream):
    with yanmo.load(teller.path, num_threads=1) as predictor:
        whole = [one.label for one in predictor.predict(TEXTS)]
    with serving(teller, num_threads=1, end_repeats=3) as client:
        found = client.predict(texts=TEXTS).json["predictions"]
        ended = [place for place, one in enumerate(found) if one["finish_reason"] == "repeats"]
        with open_stream(client, "/predict", text=TEXTS[ended[0]]) as events:
            pieces, ending, last = read(events)
    for place, one in enumerate(found):
        assert whole[place].startswith(one["prediction"])
        assert (one["prediction"] == whole[place]) or place in ended
    assert ("".join(pieces), ending) == (found[ended[0]]["prediction"], "repeats")
    assert last["usage"]["completion_tokens"] < 24


def test_a_torch_bundle_streams(torch_teller, serving, open_stream):
    with serving(torch_teller, num_threads=1) as client, open_stream(client, "/predict", text=TEXTS[0]) as events:
        pieces = read(events)[0]
        assert "".join(pieces) == client.predict(text=TEXTS[0]).json["prediction"]
    assert len(pieces) > 3


def test_beams_and_models_of_labels_are_refused_by_name(teller, bundles, serving):
    with serving(teller, num_threads=1, num_beams=2) as client:
        reply = client.predict(text="a", stream=True)
        assert (reply.status, reply.json["code"]) == (400, "wrong_option")
        assert "searches by beams" in reply.json["detail"]
        assert client.get("/v1/models").json["models"][0]["streams"] is False
        assert "StreamedText" not in client.get("/openapi.json").json["components"]["schemas"]
    with serving(bundles["ngram"]) as client:
        reply = client.predict(text="a", stream=True)
        assert (reply.status, reply.json["code"]) == (400, "wrong_option")


def test_a_service_says_that_it_streams(service):
    assert service.get("/v1/models").json["models"][0]["streams"] is True
    assert "StreamedText" in service.get("/openapi.json").json["components"]["schemas"]
