"""adopt: a classifier from elsewhere answers as transformers' own pipeline does, or is refused by name."""

import http.server
import json
import logging
import shutil
import threading

import numpy as np
import polars as pl
import pytest
import torch
from families import FAMILIES, TEXTS, make_checkpoint
from huggingface_hub import constants
from transformers import AutoModelForCausalLM, AutoModelForQuestionAnswering, AutoTokenizer, pipeline

from yanmo.artifacts import Bundle, Dataset
from yanmo.artifacts.base import publish
from yanmo.artifacts.dataset import Dataset as DatasetClass
from yanmo.cli import main
from yanmo.errors import ArtifactError, ConfigError, DataError, ModelError
from yanmo.exporting import graph as graph_writer
from yanmo.exporting import tracing
from yanmo.runtimes.predictor import open_bundle
from yanmo.verbs.adopt import adopt
from yanmo.verbs.export import export
from yanmo.verbs.prepare import prepare
from yanmo.verbs.quantize import quantize

LABELS = ["bad", "good", "other"]


@pytest.fixture(scope="module")
def bert(tmp_path_factory):
    folder = tmp_path_factory.mktemp("adopted") / "bert"
    make_checkpoint("bert", folder, labels=LABELS)
    return folder


@pytest.fixture
def mine(bert, tmp_path):
    return shutil.copytree(bert, tmp_path / "mine")


def edit(folder, **changes):
    path = folder / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def stock_probabilities(folder, texts, labels=LABELS, **options):
    """What transformers' own pipeline answers to each text by itself, columns in the order of the labels."""
    ask = pipeline("text-classification", model=str(folder), top_k=None, truncation=True, **options)
    rows = [{one["label"]: one["score"] for one in ask([text])[0]} for text in texts]
    return np.array([[row[label] for label in labels] for row in rows], dtype=np.float32)


def answers(bundle, texts=TEXTS):
    with open_bundle(bundle, num_threads=1) as predictor:
        return predictor.predict_proba(texts)


@pytest.mark.parametrize("family", sorted(set(FAMILIES) - {"xlnet"}))
def test_a_family_answers_as_the_stock_pipeline(family, tmp_path):
    make_checkpoint(family, tmp_path / "source", labels=LABELS)
    bundle = adopt(tmp_path / "source", max_length=40, out=tmp_path / "bundle")
    texts = [*TEXTS, "a long text " * 40]
    ids = {"pad_token_id": bundle.architecture["pad_id"]} if family == "gpt2" else {}
    expected_NC = stock_probabilities(tmp_path / "source", texts, max_length=40, **ids)
    np.testing.assert_allclose(answers(bundle, texts), expected_NC, atol=1e-5)
    assert (bundle.labels, bundle.task, bundle.model, bundle.max_length) == (LABELS, "single_label", "source", 40)
    assert bundle.text_config.cleaning == ()


def test_a_family_that_answers_by_its_batch_is_refused_by_name(tmp_path):
    make_checkpoint("xlnet", tmp_path / "source", labels=LABELS)
    with pytest.raises(ModelError, match="XLNetForSequenceClassification"):
        adopt(tmp_path / "source", out=tmp_path / "bundle")
    assert [path.name for path in tmp_path.iterdir()] == ["source"]


def test_labels_get_names_and_many_may_hold_at_once(tmp_path, mine):
    make_checkpoint("bert", tmp_path / "unnamed")
    named = adopt(tmp_path / "unnamed", label_names=["no", "yes"], out=tmp_path / "named")
    assert named.labels == ["no", "yes"]
    edit(mine, problem_type="multi_label_classification")
    many = adopt(mine, out=tmp_path / "many")
    assert many.task == "multi_label"
    expected_NC = stock_probabilities(mine, TEXTS, function_to_apply="sigmoid")
    np.testing.assert_allclose(answers(many), expected_NC, atol=1e-5)


def test_a_label_with_a_line_end_is_refused(mine, tmp_path):
    edit(mine, id2label={"0": "no", "1": "y\nes", "2": "?"}, label2id={"no": 0, "y\nes": 1, "?": 2})
    with pytest.raises(ModelError, match=r"has a control character: 'y\\nes'\.") as caught:
        adopt(mine, out=tmp_path / "bundle")
    assert caught.value.hint == "Name all of them: --label-names a,b,c"


def test_pairs_are_read_as_pairs(mine, tmp_path):
    bundle = adopt(mine, task="text_pair", out=tmp_path / "bundle")
    pairs = list(zip(TEXTS, TEXTS[::-1], strict=True))
    ask = pipeline("text-classification", model=str(mine), top_k=None)
    rows = [{one["label"]: one["score"] for one in ask([{"text": a, "text_pair": b}])[0]} for a, b in pairs]
    expected_NC = np.array([[row[label] for label in LABELS] for row in rows], dtype=np.float32)
    np.testing.assert_allclose(answers(bundle, pairs), expected_NC, atol=1e-5)


def test_the_length_is_the_least_that_anything_says(mine, tmp_path):
    (mine / "sentence_bert_config.json").write_text('{"max_seq_length": 24}')
    assert adopt(mine, out=tmp_path / "bundle").max_length == 24
    with pytest.raises(ConfigError, match=r"must be at most 80 for mine\. Got 81 instead"):
        adopt(mine, max_length=81, out=tmp_path / "longer")


@pytest.fixture
def dataset(tmp_path):
    """Rows that the model answers, some of them as they are labelled."""
    rows = pl.DataFrame({"id": list("abcdefgh"), "text": TEXTS, "label": ["bad", "good", "other", "bad"] * 2})
    identity = {
        "kind": DatasetClass.kind,
        "verb": "prepare",
        "task": "single_label",
        "labels": ["bad", "good", "other"],
    }
    info = {"text": {"cleaning": ["unicode_nfkc"], "segmenter": "none", "user_dict": None}}
    from yanmo.artifacts.base import Identity

    with publish(tmp_path / "data", Identity(**identity, info=info)) as staging:
        for split in ("train", "valid", "test"):
            rows.write_parquet(staging / f"{split}.parquet")
    return Dataset.open(tmp_path / "data")


def test_with_a_dataset_the_accuracy_is_measured_and_its_texts_are_golden(mine, dataset, tmp_path, caplog):
    with caplog.at_level(logging.INFO):
        bundle = adopt(mine, dataset=dataset, out=tmp_path / "bundle")
    expected = np.mean(
        [
            LABELS[row.argmax()] == label
            for row, label in zip(answers(bundle), dataset.split("test")["label"], strict=True)
        ]
    )
    assert bundle.summary()["test_accuracy"] == expected
    assert f"The accuracy is {100 * expected:.2f} % on the 8 rows of test." in caplog.text
    assert set(bundle.golden().inputs.first) == set(TEXTS)
    assert bundle.manifest.parents["measured_on"] == dataset.digest


def test_a_dataset_of_other_labels_is_refused(mine, dataset, tmp_path):
    with pytest.raises(DataError):
        adopt(mine, dataset=dataset, label_names=["x", "y", "z"], out=tmp_path / "bundle")
    assert not (tmp_path / "bundle").exists()


def test_a_dataset_that_lacks_a_label_of_the_model_is_measured(mine, dataset, tmp_path, caplog):
    edit(mine, id2label={"0": "bad", "1": "good", "2": "x"}, label2id={"bad": 0, "good": 1, "x": 2})
    two = tmp_path / "two.tsv"
    two.write_text(
        "text\tlabel\n" + "".join(f"{text} {row}\t{LABELS[row % 2]}\n" for row, text in enumerate(TEXTS * 4))
    )
    with caplog.at_level(logging.WARNING):
        bundle = adopt(mine, dataset=prepare(two, out=tmp_path / "two"), out=tmp_path / "bundle")
    assert bundle.labels == ["bad", "good", "x"]
    assert "has no row of 1 of the model's labels: 'x'." in caplog.text
    assert 0 <= bundle.summary()["test_accuracy"] <= 1


def test_source_and_licence_are_on_the_card_and_stay_there(mine, tmp_path):
    (mine / "README.md").write_text("---\nlanguage: en\nlicense: apache-2.0\n---\n# A model\n")
    (mine / "LICENSE").write_text("Do what you like.")
    bundle = export(adopt(mine, out=tmp_path / "bundle"), out=tmp_path / "graph")
    card = (bundle.path / "README.md").read_text()
    assert "| Source | mine |" in card
    assert "| Licence | apache-2.0 |" in card
    assert "Trained on" not in card
    assert (bundle.path / "LICENSE").read_text() == "Do what you like."


@pytest.mark.parametrize("family", ["distilbert", "mobilebert"])
def test_what_one_file_cannot_hold_is_exported_quantized_and_answers_alike(family, dataset, tmp_path, monkeypatch):
    make_checkpoint(family, tmp_path / "source", labels=LABELS)
    bundle = adopt(tmp_path / "source", out=tmp_path / "bundle")
    for module in (graph_writer, tracing):
        monkeypatch.setattr(module, "LARGEST_BYTES", 2000)
    exported = export(bundle, out=tmp_path / "graph")
    assert "onnx/model.data" in exported.manifest.files
    np.testing.assert_allclose(answers(exported), answers(bundle), atol=1e-5)
    for place, source in enumerate((bundle, exported)):
        small = quantize(source, dataset, max_drop=1.0, num_calibration_texts=16, out=tmp_path / f"small-{place}")
        np.testing.assert_allclose(answers(small), answers(bundle), atol=0.1)
    with (exported.path / "onnx" / "model.data").open("ab") as file:
        file.write(b"x")
    with pytest.raises(ArtifactError, match=r"model\.data"):
        Bundle.open(exported.path)


REFUSED = {
    "no head": (
        lambda folder: make_checkpoint("bert", folder, task="Model"),
        {},
        ModelError,
        "is no whole classifier: its weights lack classifier.bias",
    ),
    "another task": (
        lambda folder: make_checkpoint("bert", folder, task="ForMultipleChoice"),
        {},
        ModelError,
        "is a BertForMultipleChoice; adopt takes models that classify texts or tokens",
    ),
    "tags without a first one": (
        lambda folder: make_checkpoint("bert", folder, labels=["O", "I-PER"], task="ForTokenClassification"),
        {},
        ModelError,
        "a tag for units within PER and none for the first of them",
    ),
    "names for a reader of passages": (
        lambda folder: make_checkpoint("bert", folder, task="ForQuestionAnswering"),
        {"label_names": ["a", "b"]},
        ConfigError,
        "does not suit mine, which finds answers in passages",
    ),
    "names for a language model": (
        lambda folder: make_checkpoint("gpt2", folder, task="LMHeadModel"),
        {"label_names": ["a", "b"]},
        ConfigError,
        "does not suit mine, which has no labels",
    ),
    "a reader that no classifier of tokens can hold": (
        lambda folder: make_checkpoint("bart", folder, task="ForQuestionAnswering"),
        {},
        ModelError,
        "BartForQuestionAnswering. cannot be read as a classifier of tokens",
    ),
    "a task of another head": (lambda _: None, {"task": "token_labels"}, ConfigError, "is about the units of texts"),
    "one score": (lambda folder: edit(folder, id2label={"0": "score"}), {}, ModelError, "gives 1 score"),
    "two labels of one name": (
        lambda folder: edit(folder, id2label={"0": "bad", "1": "good", "2": "bad"}),
        {},
        ModelError,
        "Two labels of .* have the name 'bad'",
    ),
    "too few names": (lambda _: None, {"label_names": ["a", "b"]}, ConfigError, "must have 3 names"),
    "an unknown task": (lambda _: None, {"task": "single"}, ConfigError, "no task 'single'"),
    "a revision of a folder": (lambda _: None, {"revision": "main"}, ConfigError, "is for a hub id"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_no_classifier_is_refused(case, mine, tmp_path):
    change, options, kind, message = REFUSED[case]
    change(mine)
    with pytest.raises(kind, match=message):
        adopt(mine, **options, out=tmp_path / "bundle")
    assert not (tmp_path / "bundle").exists()


TAGS = ["O", "B-PER", "I-PER", "B-LOC", "I-LOC"]
SENTENCES = [
    "Anna met Bob Brown in New York on Monday .",
    "很快 就 到了 ， 味道 不错",
    "ok",
    "Why was my card charged twice ?",
]


@pytest.mark.parametrize("family", ["bert", "modernbert"])
def test_a_classifier_of_tokens_tags_the_units_as_transformers_tags_their_first_tokens(family, tmp_path):
    make_checkpoint(family, tmp_path / "source", labels=TAGS, task="ForTokenClassification")
    bundle = adopt(tmp_path / "source", units="words", out=tmp_path / "bundle")
    assert (bundle.task, bundle.labels, bundle.text_config.units) == ("token_labels", TAGS, "words")
    ask = pipeline("token-classification", model=str(tmp_path / "source"), ignore_labels=[])
    with open_bundle(bundle) as predictor, open_bundle(export(bundle, out=tmp_path / "graph")) as graph:
        evidence, of_graph = predictor.infer(SENTENCES)[0], graph.infer(SENTENCES)[0]
    assert of_graph.distance_N(evidence).max() < 1e-5
    for row, text in enumerate(SENTENCES):
        # Of several tokens that are parts of one character, the first.
        told = {one["start"]: one for one in reversed(ask(text))}
        for unit in range(evidence.ends[row], evidence.ends[row + 1]):
            # Byte-level tokens begin with the space before their word.
            start = int(evidence.places[unit, 0])
            stock = told.get(start - 1) or told[start]
            assert stock["entity"] == TAGS[evidence.values_MC[unit].argmax()]
            assert stock["score"] == pytest.approx(evidence.values_MC[unit].max(), abs=1e-5)


def test_a_classifier_of_tokens_is_measured_and_quantized_as_any_other(tmp_path):
    make_checkpoint("distilbert", tmp_path / "source", labels=["O", "B-A", "I-A"], task="ForTokenClassification")
    rows = [
        f"{word}\t{tag}" for text in TEXTS * 3 for word, tag in [*((one, "O") for one in text.split()), ("x", "B-A")]
    ]
    lines = "".join(f"{row}\n" + ("\n" if row.endswith("B-A") else "") for row in rows)
    (tmp_path / "tagged.conll").write_text(lines, encoding="utf-8")
    data = prepare(tmp_path / "tagged.conll", task="token_labels", out=tmp_path / "data")
    bundle = adopt(tmp_path / "source", dataset=data, out=tmp_path / "bundle")
    assert bundle.text_config.units == data.text_config.units
    assert 0 <= bundle.summary()["test_span_f1"] <= 1
    small = quantize(bundle, data, max_drop=1.0, num_calibration_texts=16, out=tmp_path / "small")
    assert small.size_bytes < bundle.size_bytes


def test_a_reader_of_passages_finds_what_transformers_finds(tmp_path):
    make_checkpoint("bert", tmp_path / "source", task="ForQuestionAnswering")
    bundle = adopt(tmp_path / "source", out=tmp_path / "bundle")
    assert (bundle.task, bundle.architecture["reads_ends"]) == ("span", True)
    passage, question = "the parcel is late again , not bad at all .", "how do I top up my account"
    model, tokenizer = (
        one.from_pretrained(tmp_path / "source") for one in (AutoModelForQuestionAnswering, AutoTokenizer)
    )
    asked = tokenizer(question, passage, return_tensors="pt")
    with torch.inference_mode():
        found = model(**asked)
    start_T, end_T = (one[0].numpy() for one in (found.start_logits, found.end_logits))
    inside = [place for place, side in enumerate(asked.sequence_ids()) if side == 1]
    words = asked.word_ids()
    first = {words[place]: place for place in reversed(inside)}
    last = {words[place]: place for place in inside}
    best = max(
        ((one, other) for one in first for other in last if other >= one),
        key=lambda pair: start_T[first[pair[0]]] + end_T[last[pair[1]]],
    )
    begin = asked.word_to_chars(0, best[0], 1).start
    stop = asked.word_to_chars(0, best[1], 1).end
    with open_bundle(bundle) as predictor, open_bundle(export(bundle, out=tmp_path / "graph")) as graph:
        evidence, of_graph = (one.infer([(passage, question)])[0] for one in (predictor, graph))
        spans = predictor.task.spans(evidence)
    assert of_graph.distance_N(evidence).max() < 1e-5
    assert spans.best().places_N2.tolist() == [[begin, stop]]


def test_a_language_model_is_as_sure_as_transformers_and_writes_as_it_does(tmp_path):
    make_checkpoint("gpt2", tmp_path / "source", task="LMHeadModel")
    bundle = adopt(tmp_path / "source", out=tmp_path / "bundle")
    assert (bundle.task, bundle.labels) == ("causal_lm", [])
    model, tokenizer = (one.from_pretrained(tmp_path / "source") for one in (AutoModelForCausalLM, AutoTokenizer))
    with open_bundle(bundle) as predictor:
        sums_N = predictor.infer(TEXTS)[0].sums_N()
    for text, ours in zip(TEXTS, sums_N, strict=True):
        ids = torch.tensor([[tokenizer.eos_token_id, *tokenizer(text)["input_ids"]]])
        with torch.inference_mode():
            loss = model(input_ids=ids, labels=ids).loss.item()
        assert ours == pytest.approx(-loss * (ids.shape[1] - 1), abs=1e-3)
    assert export(bundle, out=tmp_path / "graph").format == "decoder"


def test_a_tokenizer_that_is_another_model_s_is_found_by_its_answers(mine, tmp_path):
    state = json.loads((mine / "tokenizer.json").read_text())
    settings = json.loads((mine / "tokenizer_config.json").read_text())
    (mine / "tokenizer_config.json").write_text(json.dumps({**settings, "truncation_side": "left"}))
    assert state["truncation"] is None
    with pytest.raises(ModelError, match="would not answer as transformers does by itself"):
        adopt(mine, max_length=12, out=tmp_path / "bundle")


@pytest.fixture(scope="module")
def graph(bert, tmp_path_factory):
    """The ONNX file of the model as others export it, with its tokenizer beside it."""
    from transformers import AutoModelForSequenceClassification

    folder = tmp_path_factory.mktemp("graph") / "exported"
    folder.mkdir()
    model = AutoModelForSequenceClassification.from_pretrained(bert, attn_implementation="eager").eval()
    inputs = (torch.ones(2, 8, dtype=torch.int64), torch.ones(2, 8, dtype=torch.int64))

    class Plain(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.model = model

        def forward(self, input_ids, attention_mask):
            return self.model(input_ids=input_ids, attention_mask=attention_mask).logits

    axes = {name: {0: "batch", 1: "length"} for name in ("input_ids", "attention_mask")}
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            Plain(),
            inputs,
            str(folder / "model.onnx"),
            input_names=list(axes),
            output_names=["logits"],
            dynamic_axes={**axes, "logits": {0: "batch"}},
            dynamo=False,
        )
    for name in ("config.json", "tokenizer.json", "tokenizer_config.json"):
        shutil.copyfile(bert / name, folder / name)
    return folder


@pytest.mark.parametrize("given", ["folder", "file"])
def test_an_onnx_file_becomes_an_onnx_bundle(given, graph, bert, tmp_path):
    bundle = adopt(graph if given == "folder" else graph / "model.onnx", out=tmp_path / "bundle")
    assert (bundle.format, bundle.labels, bundle.model, bundle.max_length) == ("onnx", LABELS, "exported", 80)
    np.testing.assert_allclose(answers(bundle), stock_probabilities(bert, TEXTS), atol=1e-5)


def test_an_adopted_onnx_file_is_quantized(graph, dataset, tmp_path):
    bundle = adopt(graph, dataset=dataset, out=tmp_path / "bundle")
    small = quantize(bundle, dataset, max_drop=1.0, num_calibration_texts=16, out=tmp_path / "small")
    assert small.size_bytes < bundle.size_bytes
    np.testing.assert_allclose(answers(small), answers(bundle), atol=0.05)


def rewrite(folder, change):
    import onnx

    model = onnx.load(folder / "model.onnx")
    change(model, onnx)
    onnx.save(model, folder / "model.onnx")


def add_softmax(model, onnx):
    for node in model.graph.node:
        node.output[:] = ["scores" if name == "logits" else name for name in node.output]
    model.graph.node.append(onnx.helper.make_node("Softmax", ["scores"], ["logits"], axis=-1))


def fix_shape(model, onnx):
    model.graph.input[0].type.tensor_type.shape.dim[1].dim_value = 8


def rename(model, onnx):
    for node in model.graph.node:
        node.output[:] = ["output" if name == "logits" else name for name in node.output]
    model.graph.output[0].name = "output"


BROKEN_GRAPHS = {
    "softmax": (lambda folder: rewrite(folder, add_softmax), ModelError, "gives probabilities"),
    "fixed shape": (lambda folder: rewrite(folder, fix_shape), ModelError, "has the fixed shape"),
    "another output": (
        lambda folder: rewrite(folder, rename),
        ModelError,
        "gives output; adopt takes graphs that give",
    ),
    "no tokenizer": (
        lambda folder: (folder / "tokenizer.json").unlink(),
        ModelError,
        "has no tokenizer.json beside it",
    ),
    "no labels": (lambda folder: (folder / "config.json").unlink(), ConfigError, "names its labels"),
    "cut off": (lambda folder: (folder / "model.onnx").write_bytes(b"\x08\x07"), ArtifactError, "cannot load"),
}


@pytest.mark.parametrize("case", BROKEN_GRAPHS)
def test_a_graph_that_is_no_classifier_s_is_refused(case, graph, tmp_path):
    folder = shutil.copytree(graph, tmp_path / "mine")
    change, kind, message = BROKEN_GRAPHS[case]
    change(folder)
    with pytest.raises(kind, match=message):
        adopt(folder, out=tmp_path / "bundle")
    assert not (tmp_path / "bundle").exists()


def test_names_and_a_tokenizer_from_elsewhere(graph, tmp_path):
    folder = shutil.copytree(graph, tmp_path / "mine")
    (folder / "config.json").unlink()
    (folder / "tokenizer.json").rename(tmp_path / "words.json")
    with pytest.raises(ConfigError, match="names its labels"):
        adopt(folder, tokenizer=tmp_path / "words.json", out=tmp_path / "bundle")
    bundle = adopt(folder, tokenizer=tmp_path / "words.json", label_names=LABELS, out=tmp_path / "bundle")
    assert bundle.labels == LABELS


COMMIT = "2" * 40


class Hub(http.server.BaseHTTPRequestHandler):
    """Answers for one model, owner/bert: the files of a folder, as one commit."""

    folder, asked = None, None

    def do_GET(self):
        self.asked.append(self.path)
        info = self.path.partition("/api/models/owner/bert")
        if info[1]:
            self.answer_info(info[2])
            return
        name = self.path.rpartition(f"/owner/bert/resolve/{COMMIT}/")[2]
        content = (self.folder / name).read_bytes()
        self.answer(content, etag=f'"{name}"', **{"x-repo-commit": COMMIT})

    do_HEAD = do_GET

    def answer_info(self, rest):
        names = [*(path.name for path in self.folder.iterdir()), "tf_model.h5"]
        if rest.startswith(f"/tree/{COMMIT}"):
            found = [{"type": "file", "path": name, "size": 1, "oid": "a"} for name in names]
        elif rest in ("", "/revision/main", "/revision/v1", f"/revision/{COMMIT}"):
            found = {"id": "owner/bert", "sha": COMMIT, "siblings": [{"rfilename": name} for name in names]}
        else:
            self.answer(b"", 404, **{"x-error-code": "RevisionNotFound"})
            return
        self.answer(json.dumps(found).encode(), **{"content-type": "application/json"})

    def answer(self, content, status=200, **headers):
        self.send_response(status)
        for name, value in {**headers, "content-length": str(len(content))}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(content)

    def log_message(self, *_):
        pass


@pytest.fixture
def hub(bert, tmp_path, monkeypatch):
    """A hub of our own with one model; the list of what it was asked for."""
    asked = []
    answering = type("Answering", (Hub,), {"folder": bert, "asked": asked})
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), answering) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        endpoint = f"http://127.0.0.1:{server.server_port}"
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
        monkeypatch.setattr(constants, "ENDPOINT", endpoint)
        url = "/{repo_id}/resolve/{revision}/{filename}"
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", endpoint + url)
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
        monkeypatch.chdir(tmp_path)
        yield asked
        server.shutdown()


def test_a_hub_id_is_pinned_to_its_commit(hub, bert, tmp_path):
    bundle = adopt("owner/bert", revision="v1", out=tmp_path / "bundle")
    assert (bundle.model, bundle.manifest.config["revision"]) == ("owner/bert", COMMIT)
    assert f"| Source | owner/bert, commit {COMMIT} |" in (bundle.path / "README.md").read_text()
    assert not any("tf_model.h5" in path for path in hub)
    np.testing.assert_allclose(answers(bundle), stock_probabilities(bert, TEXTS), atol=1e-5)
    again = adopt("owner/bert", revision=COMMIT, offline=True, out=tmp_path / "again")
    assert again.manifest.files == bundle.manifest.files


def test_a_revision_that_the_hub_does_not_have_is_refused(hub, tmp_path):
    with pytest.raises(ModelError, match="has no revision v2"):
        adopt("owner/bert", revision="v2", out=tmp_path / "bundle")


GIVEN = {
    "export": ("{}",),
    "evaluate": ("{}", "data"),
    "predict": ("{}", "texts.csv"),
    "quantize": ("{}", "data"),
    "prune": ("{}", "data", "--heads", "0.5"),
    "distill": ("{}", "data"),
    "grind": ("{}", "data"),
    "ensemble": ("data", "{}", "{}"),
}


@pytest.mark.usefixtures("mine", "dataset")
@pytest.mark.parametrize("verb", GIVEN)
def test_a_plain_folder_given_to_another_verb_gets_the_hint(verb, graph, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "texts.csv").write_text("text\nhello\n")
    for given in ("mine", str(graph / "model.onnx")):
        assert main([verb, *(one.format(given) for one in GIVEN[verb]), "--out", "new"]) == 2
        assert f"hint: To take in a model that was trained elsewhere: yanmo adopt {given} --out BUNDLE" in (
            capsys.readouterr().err
        )


def test_import_points_to_adopt(tmp_path, capsys):
    assert main(["import", "x", "--out", "new"]) == 2
    assert "yanmo adopt --help" in capsys.readouterr().err


def test_a_bundle_is_not_adopted_again(mine, tmp_path):
    bundle = adopt(mine, out=tmp_path / "bundle")
    with pytest.raises(ConfigError, match="is an artifact of Yanmo already"):
        adopt(bundle.path, out=tmp_path / "again")
    assert isinstance(bundle, Bundle)
