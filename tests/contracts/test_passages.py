"""Questions about passages go through every stage, and what a stage cannot do it refuses by the form of the answers."""

import importlib.util
import json
import shutil
import sys
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from huggingface_hub import InferenceClient, close_session

import yanmo
from yanmo.errors import ConfigError, DataError
from yanmo.tasks.span import SPAN
from yanmo.text.inputs import Inputs

JSON = {"content-type": "application/json"}
NAMES = ["Rosa", "Anna", "Omar", "Li Wei", "Priya", "Tom"]
TOWNS = ["Rome", "Leipzig", "Wuhan", "Oslo", "New York", "Lima"]
CHINESE = [("小明", "武汉"), ("小红", "南京"), ("王芳", "杭州"), ("李雷", "成都")]


def questions(number):
    """Questions about where somebody lives; every sixth cannot be answered, every fourth is Chinese."""
    generator = np.random.default_rng(number)
    rows = []
    for row in range(number):
        if row % 4 == 3:
            (name, town), (other, place) = (CHINESE[one] for one in generator.permutation(4)[:2])
            passage, asks = f"{name}住在{town}。{other}住在{place}。", "{}住在哪里？"
        else:
            (name, other), (town, place) = (generator.permutation(one)[:2] for one in (NAMES, TOWNS))
            passage, asks = f"{name} lives in {town}, and {other} lives in {place}.", "Where does {} live?"
        who, where = ((name, town), (other, place))[generator.integers(2)]
        asked, answers = asks.format(who), [{"text": where, "answer_start": passage.index(where)}]
        if row % 6 == 5:
            asked, answers = "Who sold the old car?" if row % 4 != 3 else "谁卖了旧车？", []
        rows.append({"id": str(row), "passage": passage, "question": asked, "answers": answers})
    return rows


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("passages")


@pytest.fixture(scope="module")
def dataset(folder):
    (folder / "a.jsonl").write_text("\n".join(map(json.dumps, questions(420))), encoding="utf-8")
    return yanmo.prepare(folder / "a.jsonl", task="span", test_ratio=0.2, valid_ratio=0.2, seed=3, out=folder / "data")


def train(dataset, model, out, **options):
    values = {"num_threads": 1, "max_length": 48, "vocab_size": 400, "learning_rate": 5e-3} | options
    return yanmo.train(dataset, model=model, out=out, **values)


@pytest.fixture(scope="module")
def reader(dataset, folder):
    return train(dataset, "bilstm", folder / "reader", num_epochs=6)


@pytest.fixture(scope="module")
def encoder(dataset, folder):
    return train(dataset, "bert-2x64", folder / "encoder", num_epochs=2)


def test_a_reader_learns_where_answers_stand_and_when_there_is_none(reader, dataset, folder):
    report = yanmo.evaluate(reader, dataset, num_resamples=100, out=folder / "report").metrics
    assert report["f1"] > 0.9
    assert report["f1_answerable"] > 0.85
    assert report["right_no_answers"] > 0.8
    assert report["best_f1"] >= report["f1"]
    assert report["exact_match"] <= report["f1"]
    page = (folder / "report" / "report.html").read_text(encoding="utf-8")
    assert "right share of unanswerable questions" in page


def test_the_threshold_of_no_answer_is_the_best_on_the_validation_rows(reader, dataset):
    content = json.loads((reader.path / "no_answer.json").read_text(encoding="utf-8"))
    assert content["best_f1"] >= content["plain_f1"]
    assert reader.summary()["valid_f1"] == pytest.approx(content["best_f1"], abs=1e-3)
    report = yanmo.evaluate(reader, dataset, split="valid", num_resamples=100, measure_speed=False).metrics
    assert report["f1"] == pytest.approx(report["best_f1"], abs=1e-6)


def test_predictions_hold_places_in_the_raw_passage(reader, dataset, folder):
    made = yanmo.predict(reader, dataset.path, format="jsonl", out=folder / "answers")
    frame, rows = made.frame(), dataset.split("test")
    assert frame["id"].to_list() == rows["id"].to_list()
    found = [
        "".join(text[one["start"] : one["end"]] for one in row)
        for text, row in zip(rows["passage"], frame["prediction"], strict=True)
    ]
    right = [row[0]["text"] if row else "" for row in rows["answers"].to_list()]
    assert np.mean([one == other for one, other in zip(found, right, strict=True)]) > 0.8
    table = [json.loads(line) for line in (folder / "answers" / "table.jsonl").read_text("utf-8").splitlines()]
    assert table[0]["passage"] == rows["passage"][0]
    assert table[0]["question"] == rows["question"][0]
    texts = [[one["text"] for one in row["prediction"]] for row in table]
    assert ["".join(row) for row in texts] == found
    # Evidence that was written is the evidence that was given.
    with yanmo.load(reader) as predictor:
        evidence, _ = predictor.infer(list(rows.select("passage", "question").iter_rows()))
    assert SPAN.read(frame).distance_N(evidence).max() == 0


def test_a_long_passage_is_read_in_windows_to_its_end(reader):
    passage = "Nothing is said here. " * 40 + "Rosa lives in Oslo, and Tom lives in Lima."
    with yanmo.load(reader) as predictor:
        told = predictor.predict([(passage, "Where does Tom live?")])[0]
    assert told.label == "Lima"
    assert passage[told.spans[0].start : told.spans[0].end] == "Lima"


@pytest.mark.parametrize(("kind", "is_small"), [("reader", False), ("encoder", True)])
def test_it_is_exported_and_quantized_with_a_gate_in_f1(kind, is_small, request, dataset, folder):
    bundle = request.getfixturevalue(kind)
    graph = yanmo.export(bundle, out=folder / f"{kind}-onnx")
    if is_small:
        small = yanmo.quantize(bundle, dataset, max_drop=0.05, num_threads=1, out=folder / f"{kind}-int8")
        assert small.manifest.info["quantization"]["f1_drop"] <= 0.05
    rows = dataset.split("test").select("passage", "question").rows()[:20]
    with yanmo.load(bundle) as one, yanmo.load(graph) as other:
        assert one.infer(rows)[0].distance_N(other.infer(rows)[0]).max() < 1e-4
    assert (graph.path / "no_answer.json").read_bytes() == (bundle.path / "no_answer.json").read_bytes()


@pytest.mark.parametrize("method", ["average", "weighted", "vote", "log-linear", "greedy"])
def test_models_with_other_tokenizers_are_put_together_character_by_character(method, reader, encoder, dataset, folder):
    whole = yanmo.ensemble(dataset, [reader, encoder], method=method, num_threads=1, out=folder / method)
    facts = whole.summary()
    assert facts["valid_f1"] > 0.4
    if method in ("weighted", "log-linear", "greedy"):
        weights = json.loads((whole.path / "ensemble.json").read_text(encoding="utf-8"))["weights"]
        assert weights[0] != weights[1]


def test_a_cheap_reader_comes_first(reader, encoder, dataset, folder):
    staged = yanmo.cascade(
        dataset, [encoder, reader], alpha=0.5, delta=0.2, costs=(0.1, 1.0), num_threads=1, out=folder / "staged"
    )
    assert "valid_f1" in staged.summary()
    report = yanmo.evaluate(staged, dataset, measure_speed=False, num_resamples=100, out=folder / "staged-report")
    assert 0 <= report.metrics["f1"] <= 1
    assert len(report.metrics["composite"]["members"]) == 2


def test_a_temperature_calibrates_it_and_changes_no_answer(reader, dataset, folder):
    made = yanmo.calibrate(reader, dataset, out=folder / "calibrated")
    assert made.summary()["log_loss_after"] <= made.summary()["log_loss_before"] + 1e-6
    answers = [yanmo.predict(one, dataset.path, out=folder / f"{one.name}-p").frame() for one in (reader, made)]
    places = [[[(s["start"], s["end"]) for s in row] for row in one["prediction"].to_list()] for one in answers]
    assert np.mean([one == other for one, other in zip(*places, strict=True)]) > 0.97
    with pytest.raises(ConfigError, match="The method vector is for answers of the form Choices. Got Pointers"):
        yanmo.calibrate(reader, dataset, method="vector", out=folder / "vector")


def test_a_student_learns_from_soft_pointers(reader, dataset, folder):
    student = yanmo.distill(
        reader,
        dataset,
        model="bert-2x64",
        num_epochs=2,
        num_threads=1,
        max_length=48,
        vocab_size=400,
        out=folder / "student",
    )
    assert student.summary()["valid_f1"] > 0.3


@pytest.mark.parametrize("verb", ["prune", "audit"])
def test_what_is_for_labels_of_texts_refuses(verb, reader, encoder, dataset, folder):
    with pytest.raises(
        ConfigError, match=f"{verb} is for texts as a whole.*; the task span is about where answers stand in passages"
    ):
        getattr(yanmo, verb)(encoder, dataset, out=folder / "none")


def test_stacking_refuses(reader, encoder, dataset, folder):
    with pytest.raises(ConfigError, match="Stacking is for answers of the form Choices. Got Pointers"):
        yanmo.ensemble(dataset, [reader, encoder], method="stacking", num_threads=1, out=folder / "stacked")


@pytest.mark.parametrize("model", ["linear", "ngram", "textcnn", "window"])
def test_models_without_a_head_for_passages_refuse(model, dataset, folder):
    with pytest.raises(ConfigError, match="the task span is about where answers stand in passages"):
        yanmo.train(dataset, model=model, out=folder / "none")


@pytest.mark.parametrize(
    ("passage", "question"),
    [("", "Where?"), ("   ", "Where?"), ("😀!!", ""), ("Rosa.", "why " * 400), ("。" * 3000, "谁？")],
)
def test_odd_rows_get_an_answer_or_none(reader, passage, question):
    with yanmo.load(reader) as predictor:
        answered = predictor.answer(predictor.encode(Inputs(([passage], [question]))))
    assert len(answered.decided) == 1


def _served():
    spec = importlib.util.spec_from_file_location("served", Path(__file__).parents[1] / "serving" / "conftest.py")
    served = sys.modules.setdefault("served", importlib.util.module_from_spec(spec))
    spec.loader.exec_module(served)
    return served


@pytest.fixture(scope="module")
def client(reader):
    with _served()._serving(reader) as client:
        yield client


PASSAGE = "😀 Rosa lives in Oslo, and Tom lives in Lima."


def ask(client, **body):
    return client.ask("POST", "/predict", json.dumps(body).encode(), JSON)


def test_a_service_answers_a_question_about_a_context(client):
    reply = ask(client, question="Where does Tom live?", context=PASSAGE).json
    assert reply["prediction"] == "Lima"
    best = reply["answers"][0]
    assert PASSAGE[best["start"] : best["end"]] == best["answer"] == "Lima"
    assert set(reply["probabilities"]) == {"answer", "none"}
    short = ask(client, question="Where does Tom live?", context=PASSAGE, top_k=1, threshold=1.0).json
    assert (short["prediction"], len(short["answers"])) == (None, 1)


def test_of_several_contexts_the_surest_answers(client):
    contexts = ["小明住在武汉。小红住在南京。", PASSAGE, "Nothing is said here."]
    reply = ask(client, question="Where does Tom live?", contexts=contexts).json
    assert (reply["prediction"], reply["context"]) == ("Lima", 1)


def test_the_hugging_face_client_reads_answers(client, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    asking = InferenceClient(model=f"http://127.0.0.1:{client.port}", token=None)
    found = asking.question_answering(question="Where does Tom live?", context=PASSAGE)
    assert (found.answer, PASSAGE[found.start : found.end]) == ("Lima", "Lima")
    several = asking.question_answering(question="Where does Tom live?", context=PASSAGE, top_k=3)
    assert several[0].answer == "Lima"
    assert len({(one.start, one.end) for one in several}) == len(several) > 1
    nothing = asking.question_answering(
        question="Who sold the old car?", context=PASSAGE, handle_impossible_answer=True, top_k=9
    )
    assert nothing[0].answer == ""
    assert nothing[0].score > 0.5
    short = asking.question_answering(question="Where does Tom live?", context=PASSAGE, max_answer_len=4, top_k=5)
    assert max(len(one.answer) for one in short) <= 4
    close_session()


@pytest.mark.browser
def test_the_playground_marks_the_answer_in_the_passage(client):
    sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    path = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if path is None:
        pytest.skip("no Chromium is installed")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        page = browser.new_page()
        page.goto(f"http://127.0.0.1:{client.port}/")
        page.wait_for_selector("#model option", state="attached")
        page.fill("#texts", f"{PASSAGE}\tWhere does Tom live?")
        page.click("#go")
        mark = page.wait_for_selector("#answers mark")
        assert mark.evaluate("one => one.firstChild.textContent") == "Lima"
        assert "Where does Tom live?" in page.inner_text("#answers")
        browser.close()


@pytest.mark.parametrize(
    ("body", "type_"),
    [
        ({"question": "Who?"}, "text_or_texts"),
        ({"question": "Who?", "context": "a", "contexts": ["a"]}, "text_or_texts"),
        ({"question": "Who?", "contexts": []}, "no_texts"),
        ({"inputs": "Who?"}, "wrong_type"),
        ({"inputs": {"question": "Who?"}}, "wrong_type"),
        ({"question": "Who?", "context": "a", "parameters": {}}, "wrong_option"),
        ({"inputs": {"question": "Who?", "context": "a"}, "top_k": 2}, "wrong_option"),
    ],
)
def test_a_question_that_breaks_a_rule_is_refused(client, body, type_):
    reply = ask(client, **body)
    assert reply.status == 400
    assert reply.json["type"].endswith(type_)


@pytest.fixture(scope="module")
def documents(folder):
    """Texts of which each question is answered in one."""
    made = folder / "documents"
    (made / "more").mkdir(parents=True)
    people = "Rosa lives in Oslo, and Tom lives in Lima.\n\n" + "Nothing happened in the old mill. " * 20
    (made / "people.txt").write_text(f"{people}\n\nAnna lives in Wuhan, and Omar lives in Rome.\n", encoding="utf-8")
    (made / "more" / "人.md").write_text("小明住在武汉。小红住在南京。\n", encoding="utf-8")
    return made


def test_questions_without_a_passage_are_answered_from_documents(reader, documents, folder):
    (folder / "asked.csv").write_text("question\nWhere does Omar live?\n小红住在哪里？\n", encoding="utf-8")
    found = yanmo.predict(reader, folder / "asked.csv", documents=documents, format="jsonl", out=folder / "told")
    first, second = map(json.loads, (found.path / "table.jsonl").read_text(encoding="utf-8").splitlines())
    assert [one["text"] for one in first["prediction"]] == ["Rome"]
    assert (first["document"], second["document"]) == ("people.txt", "more/人.md")
    assert first["passage"] == "Anna lives in Wuhan, and Omar lives in Rome."
    assert found.manifest.parents.keys() == {"bundle", "source:asked.csv", "documents:people.txt", "documents:人.md"}


@pytest.mark.parametrize(
    ("given", "error", "said"),
    [("nothing", DataError, "has no documents"), ("latin", DataError, "latin.txt is not UTF-8 at byte 1")],
)
def test_documents_that_cannot_be_read_are_refused(reader, folder, given, error, said):
    (folder / given).mkdir()
    if given == "latin":
        (folder / given / "latin.txt").write_bytes(b"a\xe9b")
    with pytest.raises(error, match=said):
        yanmo.predict(reader, folder / "asked.csv", documents=folder / given, out=folder / "none")


def test_a_service_with_documents_answers_a_question_alone(reader, documents):
    with _served()._serving(reader, documents=documents) as client:
        reply = ask(client, question="Where does Omar live?").json
        assert reply["prediction"] == "Rome"
        passage, best = reply["passage"], reply["answers"][0]
        assert passage["text"][best["start"] : best["end"]] == "Rome"
        whole = (documents / passage["document"]).read_text(encoding="utf-8")
        assert whole[passage["start"] :].startswith(passage["text"])
        assert ask(client, question="Where does Tom live?", context=PASSAGE).json["prediction"] == "Lima"


def test_a_pair_is_read_as_a_passage_and_its_question(client):
    reply = ask(client, texts=[PASSAGE, PASSAGE], texts_b=["Where does Tom live?", "Where does Rosa live?"]).json
    assert [one["prediction"] for one in reply["predictions"]] == ["Lima", "Oslo"]


def test_the_dataset_is_about_both_languages(dataset):
    assert 0.1 < dataset.manifest.info["cjk_share"] < 0.9
    assert dataset.split("train")["answers"].dtype == pl.List(pl.Struct({"start": pl.Int64, "text": pl.String}))
