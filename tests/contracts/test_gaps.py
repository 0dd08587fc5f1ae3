"""Models that guess hidden tokens go through every verb that can do something with them, and the rest refuses."""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch
from huggingface_hub import InferenceClient, close_session
from tokenizers import AddedToken
from transformers import (
    AlbertConfig,
    AutoModelForMaskedLM,
    AutoTokenizer,
    BertConfig,
    DistilBertConfig,
    ElectraConfig,
    PreTrainedTokenizerFast,
    RobertaConfig,
    pipeline,
)

import yanmo
from yanmo.answers.gaps import Gaps
from yanmo.artifacts import Bundle
from yanmo.errors import ConfigError
from yanmo.text.language_tokens import END, train_bytes
from yanmo.text.tokenizer import train_wordpiece

ROOT = Path(__file__).parents[2]
TEXTS = [
    "the baker sells bread and cake",
    "the smith bends iron",
    "a farmer sells milk in the morning",
    "下雨天她在家读书",
    "the baker reads a book",
]
GAP, TWO = "the baker sells [MASK] and cake", "the [MASK] bends <mask>"
SMALL = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}
FAMILIES = {
    "bert": lambda **sizes: BertConfig(**SMALL, **sizes),
    "albert": lambda **sizes: AlbertConfig(**SMALL, embedding_size=16, **sizes),
    "electra": lambda **sizes: ElectraConfig(**SMALL, embedding_size=16, **sizes),
    "distilbert": lambda **sizes: DistilBertConfig(dim=32, n_layers=2, n_heads=2, hidden_dim=32, **sizes),
    "roberta": lambda **sizes: RobertaConfig(**SMALL, **sizes),
}


def masked_lm(folder, family):
    """Save a tiny masked language model of random weights, loud enough that texts get different answers."""
    if family == "roberta":
        tokenizer = train_bytes(TEXTS, 300)
        tokenizer.add_special_tokens(["<s>", "</s>", "<unk>", AddedToken("<mask>", lstrip=True)])
        marks = {"mask": "<mask>", "pad": END, "bos": "<s>", "eos": "</s>", "cls": "<s>", "sep": "</s>"}
    else:
        tokenizer = train_wordpiece(TEXTS, 90, min_frequency=1)
        marks = {"mask": "[MASK]", "pad": "[PAD]", "cls": "[CLS]", "sep": "[SEP]", "unk": "[UNK]"}
    wrapped = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, **{f"{name}_token": token for name, token in marks.items()}
    )
    torch.manual_seed(3)
    sizes = {"vocab_size": len(wrapped) + 3, "pad_token_id": wrapped.pad_token_id, "max_position_embeddings": 40}
    model = AutoModelForMaskedLM.from_config(FAMILIES[family](**sizes))
    with torch.no_grad():
        for one in model.parameters():
            one.add_(torch.randn_like(one) * 0.2)
    model.save_pretrained(folder)
    wrapped.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("gaps")


@pytest.fixture(scope="module")
def data(folder):
    (folder / "texts.txt").write_text("\n".join(f"{text} {n}" for n in range(10) for text in TEXTS), encoding="utf-8")
    return yanmo.prepare(folder / "texts.txt", task="masked_lm", test_ratio=0.2, out=folder / "data")


@pytest.fixture(scope="module")
def source(folder):
    return masked_lm(folder / "source", "bert")


@pytest.fixture(scope="module")
def adopted(folder, source):
    return yanmo.adopt(source, out=folder / "adopted")


@pytest.fixture(scope="module")
def exported(folder, adopted):
    return yanmo.export(adopted.path, out=folder / "onnx")


def predicted(bundle, texts):
    with yanmo.load(bundle.path) as predictor:
        return predictor.predict(texts)


def stock(source):
    with torch.inference_mode():
        return pipeline(
            "fill-mask",
            model=AutoModelForMaskedLM.from_pretrained(source),
            tokenizer=AutoTokenizer.from_pretrained(source),
            top_k=7,
        )


@pytest.mark.parametrize("family", FAMILIES)
def test_gaps_are_filled_as_transformers_fills_them_by_torch_and_by_onnx(tmp_path, family):
    source = masked_lm(tmp_path / "source", family)
    mask = AutoTokenizer.from_pretrained(source).mask_token
    bundle = yanmo.adopt(source, out=tmp_path / "bundle")
    graph = yanmo.export(bundle.path, out=tmp_path / "onnx")
    ask = stock(source)
    expected = [ask(GAP.replace("[MASK]", mask)), *ask(TWO.replace("[MASK]", mask).replace("<mask>", mask))]
    for made in (bundle, graph):
        one, two = predicted(made, [GAP, TWO])
        for gap, theirs in zip([*one.gaps, *two.gaps], expected, strict=True):
            assert [word.token for word in gap.words[:7]] == [item["token"] for item in theirs]
            assert [word.text for word in gap.words[:7]] == [item["token_str"] for item in theirs]
            ours = [word.probability for word in gap.words[:7]]
            assert ours == pytest.approx([item["score"] for item in theirs], abs=1e-4)


def test_what_is_told_of_a_gap(adopted):
    one, two = predicted(adopted, [GAP, TWO])
    assert (one.gaps[0].start, one.gaps[0].end) == (16, 22)
    assert one.label == GAP.replace("[MASK]", one.gaps[0].words[0].text.removeprefix("##"))
    assert one.probability == pytest.approx(one.gaps[0].words[0].probability, abs=1e-6)
    assert [TWO[gap.start : gap.end] for gap in two.gaps] == ["[MASK]", "<mask>"]


def test_a_text_without_gaps_has_its_pseudo_log_likelihood(source, adopted):
    text = TEXTS[0]
    model, tokenizer = AutoModelForMaskedLM.from_pretrained(source), AutoTokenizer.from_pretrained(source)
    ids = tokenizer(text, return_tensors="pt")["input_ids"]
    total = 0.0
    for place in range(1, ids.shape[1] - 1):
        hidden = ids.clone()
        hidden[0, place] = tokenizer.mask_token_id
        with torch.inference_mode():
            total += model(hidden).logits[0, place].log_softmax(0)[ids[0, place]].item()
    (told,) = predicted(adopted, [text])
    assert told.probabilities["log_likelihood"] == pytest.approx(total, abs=1e-3)
    assert (told.label, told.gaps) == (text, ())


def test_a_long_text_is_read_in_windows_and_alone_as_in_a_batch(adopted):
    long = " ".join(TEXTS * 4)
    with yanmo.load(adopted.path) as predictor:
        alone, (_, found) = predictor.infer([long])[0], predictor.infer([long, *TEXTS])
        together = predictor.infer([*TEXTS, long])[0].take(np.array([len(TEXTS)]))
    assert alone.distance_N(together).max() < 1e-5
    assert not found.truncated_N.any()
    assert alone.tokens.places[-1, 1] == len(long)


def test_names_of_other_special_tokens_are_plain_text(adopted):
    one, two = predicted(adopted, ["the [SEP] sells bread", "the [PAD] sells [mask]"])
    assert one.gaps == ()
    assert len(two.gaps) == 1


def test_quantized_ones_pass_the_gate_and_reports_measure_them(folder, data, adopted, exported):
    small = yanmo.quantize(adopted.path, data.path, max_drop=0.2, out=folder / "int8")
    assert small.size_bytes < 0.7 * exported.size_bytes
    report = yanmo.evaluate(
        small.path, data.path, against=exported.path, num_resamples=100, measure_speed=False, out=folder / "report"
    )
    content = json.loads((report.path / "report.json").read_text(encoding="utf-8"))
    assert content["headline"]["name"] == "nats_per_hidden_token"
    assert content["perplexity_of_gaps"] == pytest.approx(np.exp(content["nats_per_hidden_token"]))
    assert 0 <= content["accuracy_at_1"] <= content["accuracy_at_5"] <= 1
    assert abs(content["against"]["nats_per_hidden_token_difference"]) < 0.2
    assert "hidden in turn" in (report.path / "report.html").read_text(encoding="utf-8")


def test_predictions_hold_the_candidates_and_are_read_again(folder, exported, capsys):
    (folder / "ask.txt").write_text(f"{GAP}\n{TWO}\n{TEXTS[0]}\n", encoding="utf-8")
    found = yanmo.predict(
        exported.path, folder / "ask.txt", header=False, text="1", format="jsonl", out=folder / "told"
    )
    evidence = Gaps.read(found.frame())
    assert [len(one) for one in evidence.told()] == [1, 2, 0]
    again = Gaps.read(pl.DataFrame(evidence.columns()))
    assert again.told() == evidence.told()
    swapped = Gaps.gathered(
        [(np.array([2, 0]), evidence.take(np.array([0, 1]))), (np.array([1]), evidence.take(np.array([2])))]
    )
    assert [len(one) for one in swapped.told()] == [2, 0, 1]
    rows = [json.loads(line) for line in (folder / "told" / "table.jsonl").read_text(encoding="utf-8").splitlines()]
    assert max(json.loads(rows[0]["gaps"])[0].values()) == pytest.approx(rows[0]["probability"], abs=1e-4)


def test_pretrain_makes_one_that_fills_gaps(folder, data):
    values = {"num_epochs": 1, "batch_size": 32, "vocab_size": 90, "max_length": 16}
    reader = yanmo.pretrain(
        data.path, model="bert-1x32", precision="fp32", num_threads=1, **values, out=folder / "reader"
    )
    assert reader.task == "masked_lm"
    with yanmo.load(reader.path) as predictor:
        (told,) = predictor.predict(["the baker [MASK] a book"])
    assert len(told.gaps) == 1
    assert "guesses what stands in the gaps" in (reader.path / "README.md").read_text(encoding="utf-8")
    assert Bundle.open(yanmo.export(reader.path, out=folder / "reader-onnx").path).format == "onnx"


@pytest.mark.parametrize("verb", ["distill", "calibrate", "audit", "prune", "tune"])
def test_verbs_about_what_is_right_or_wrong_refuse_gaps(folder, data, adopted, verb):
    given = [data.path] if verb == "tune" else [adopted.path, data.path]
    with pytest.raises(ConfigError, match=r"masked_lm is about the gaps of texts"):
        getattr(yanmo, verb)(*given, out=folder / verb)


def test_guesses_of_two_models_are_not_put_together(folder, data, adopted, exported):
    with pytest.raises(ConfigError, match="ensemble is for .*masked_lm is about the gaps of texts"):
        yanmo.ensemble(data.path, [adopted.path, exported.path], out=folder / "no")


def test_nothing_is_trained_on_such_a_dataset_but_by_pretrain(folder, data):
    with pytest.raises(ConfigError, match="the gaps of texts") as caught:
        yanmo.train(data.path, model="bert-1x32", out=folder / "no")
    assert "yanmo pretrain DATASET" in caught.value.hint


def test_prompts_are_refused(folder):
    (folder / "pairs.jsonl").write_text('{"question": "a", "answer": "b"}\n', encoding="utf-8")
    with pytest.raises(ConfigError, match="does not use the 'prompt' parameter"):
        yanmo.prepare(
            folder / "pairs.jsonl", task="masked_lm", prompt="question", completion="answer", out=folder / "no"
        )


def helpers():
    """Return what starts a service in a thread, which the tests of the service share."""
    spec = importlib.util.spec_from_file_location("served", ROOT / "tests" / "serving" / "conftest.py")
    module = sys.modules.setdefault("served", importlib.util.module_from_spec(spec))
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def service(exported):
    with helpers()._serving(exported) as client:
        yield client


def test_a_service_tells_gaps_and_their_words(service, exported):
    one, two, whole = predicted(exported, [GAP, TWO, TEXTS[0]])
    told = service.predict(texts=[GAP, TWO, TEXTS[0]], top_k=3).json["predictions"]
    assert [one["prediction"] for one in told] == [one.label, two.label, TEXTS[0]]
    assert [word["token_str"] for word in told[0]["gaps"][0]["words"]] == [word.text for word in one.gaps[0].words[:3]]
    assert [len(one["gaps"]) for one in told] == [1, 2, 0]
    assert told[2]["log_likelihood"] == pytest.approx(whole.probabilities["log_likelihood"], abs=1e-3)
    assert service.predict(text=GAP, threshold=1.0).json["prediction"] is None
    with yanmo.Client(f"http://127.0.0.1:{service.port}") as client:
        (answer,) = client.predict([GAP])
    assert answer.gaps[0].words[0].token == one.gaps[0].words[0].token


def test_the_hugging_face_client_fills_masks(service, source, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    close_session()
    client = InferenceClient(model=f"http://127.0.0.1:{service.port}", token=None)
    found, expected = client.fill_mask(GAP, top_k=7), stock(source)(GAP)
    assert [(one.token, one.token_str) for one in found] == [(one["token"], one["token_str"]) for one in expected]
    assert [one.score for one in found] == pytest.approx([one["score"] for one in expected], abs=1e-4)
    assert found[0].sequence == GAP.replace("[MASK]", found[0].token_str.removeprefix("##"))
    assert len(client.fill_mask(GAP)) == 5
    close_session()


def test_several_gaps_are_lists_of_their_own_and_a_text_without_any_is_refused(service):
    told = service.predict(inputs=TWO).json
    assert [len(one) for one in told] == [5, 5]
    answer = service.predict(inputs=[GAP, "no gap"], parameters={"top_k": 1})
    assert (answer.status, answer.json["code"]) == (400, "wrong_option")
    assert "Text 1 has no gap" in answer.json["detail"]


def test_a_long_text_without_gaps_would_hold_up_all_others(service):
    long = " ".join(TEXTS * 20)
    answer = service.predict(texts=[TEXTS[0], long])
    assert (answer.status, answer.json["code"]) == (400, "text_too_long")
    assert "Text 1 has no gap and is read once for each token" in answer.json["detail"]
    body, headers = json.dumps({"instances": [long]}).encode(), {"content-type": "application/json"}
    assert service.ask("POST", "/invocations", body, headers).status == 400
    assert service.predict(text=f"{long} [MASK]").json["gaps"]
