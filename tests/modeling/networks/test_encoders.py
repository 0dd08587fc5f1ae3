"""Encoders from scratch and from folders: stock classes, plain folders, clear errors."""

import dataclasses
import http.server
import json
import logging
import threading

import pytest
import torch
from huggingface_hub import constants
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import (
    AutoModelForSequenceClassification,
    AutoTokenizer,
    GPT2Config,
    GPT2ForSequenceClassification,
    PreTrainedTokenizerFast,
    T5Config,
    T5ForSequenceClassification,
)

from yanmo.answers.links import SIGMOID, SOFTMAX
from yanmo.errors import ConfigError, ModelError
from yanmo.modeling.networks import encoders
from yanmo.modeling.networks.trainable_networks import make_trainable
from yanmo.modeling.settings import NetworkSettings
from yanmo.models import resolve
from yanmo.text.inputs import Inputs

TEXTS = ["很快，好吃", "味道 不错", "the parcel is late", "late again, very late", "好吃", "not bad"] * 3
PAIRS = Inputs((TEXTS, TEXTS[::-1]))
SETTINGS = NetworkSettings(["bad", "good", "other"], SOFTMAX, max_length=24, vocab_size=80, dropout=0.1)
FAMILIES = ["bert", "roberta", "albert", "electra"]


@pytest.fixture(autouse=True)
def seeded():
    torch.manual_seed(0)


def make(name, texts=None, settings=SETTINGS):
    return make_trainable(resolve(name), texts or Inputs((TEXTS,)), settings)


def logits_of(trainable, texts, rows):
    trainable.module.eval()
    with torch.inference_mode():
        return trainable.score(trainable.module, trainable.encode(texts).collate(torch.tensor(rows).numpy()))


@pytest.mark.parametrize("family", FAMILIES)
def test_stock_transformers_opens_the_folder_and_answers_the_same(family, tmp_path):
    trainable = make(f"{family}-2x32")
    trainable.save(tmp_path)
    model = AutoModelForSequenceClassification.from_pretrained(tmp_path).eval()
    batch = AutoTokenizer.from_pretrained(tmp_path)(TEXTS[:6], padding=True, return_tensors="pt")
    with torch.inference_mode():
        expected_BC = model(**batch).logits
    torch.testing.assert_close(logits_of(trainable, Inputs((TEXTS,)), list(range(6))), expected_BC, atol=1e-6, rtol=0)
    assert model.config.id2label == {0: "bad", 1: "good", 2: "other"}
    assert model.config.problem_type == "single_label_classification"
    assert (model.config.num_hidden_layers, model.config.hidden_size) == (2, 32)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("activation", ["gelu", "relu", "silu", "tanh"])
def test_the_activation_of_a_shape_is_the_one_that_was_asked_for(family, activation, tmp_path):
    trainable = make(f"{family}-2x32", settings=dataclasses.replace(SETTINGS, activation=activation))
    trainable.save(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    assert config["hidden_act"] == activation
    own = make(f"{family}-2x32").module.config.hidden_act
    torch.manual_seed(0)
    plain = make(f"{family}-2x32", settings=dataclasses.replace(SETTINGS, activation=None))
    assert plain.module.config.hidden_act == own


@pytest.mark.parametrize("family", FAMILIES)
def test_padding_changes_nothing(family):
    trainable = make(f"{family}-2x32")
    together_BC = logits_of(trainable, Inputs((TEXTS,)), list(range(6)))
    alone_BC = torch.cat([logits_of(trainable, Inputs((TEXTS,)), [row]) for row in range(6)])
    torch.testing.assert_close(alone_BC, together_BC, atol=1e-5, rtol=0)


def test_pairs_have_token_types_and_their_order_matters():
    trainable = make("bert-2x32", PAIRS)
    assert trainable.architecture["token_types"]
    batch = trainable.encode(PAIRS).collate(torch.arange(2).numpy())
    assert batch["token_type_ids"].max() == 1
    swapped = Inputs((PAIRS.second, PAIRS.first))
    assert not torch.allclose(logits_of(trainable, PAIRS, [0]), logits_of(trainable, swapped, [0]), atol=1e-6)


def test_the_folder_names_no_path(tmp_path):
    make("bert-2x32").save(tmp_path / "one")
    make(str(tmp_path / "one")).save(tmp_path / "two")
    for name in ("config.json", "tokenizer_config.json"):
        assert str(tmp_path) not in (tmp_path / "two" / name).read_text()


def test_a_checkpoint_is_continued_and_a_head_that_does_not_fit_is_new(tmp_path):
    first = make("bert-2x32")
    first.save(tmp_path)
    same = make(str(tmp_path))
    assert torch.equal(same.module.classifier.weight, first.module.classifier.weight)
    other = make(str(tmp_path), settings=NetworkSettings(["a", "b"], SIGMOID, max_length=24))
    assert other.module.classifier.weight.shape == (2, 32)
    assert other.module.config.problem_type == "multi_label_classification"
    body = first.module.bert.embeddings.word_embeddings.weight
    assert torch.equal(other.module.bert.embeddings.word_embeddings.weight, body)


def test_dropout_of_a_checkpoint_is_its_own_unless_given(tmp_path):
    make("bert-2x32").save(tmp_path)
    kept = make(str(tmp_path), settings=NetworkSettings(["a", "b"], SOFTMAX, max_length=24))
    changed = make(str(tmp_path), settings=NetworkSettings(["a", "b"], SOFTMAX, max_length=24, dropout=0.4))
    assert kept.module.config.hidden_dropout_prob == 0.1
    assert changed.module.config.hidden_dropout_prob == changed.module.config.attention_probs_dropout_prob == 0.4


def test_a_checkpoint_that_reads_less_refuses_a_larger_max_length(tmp_path):
    make("bert-2x32").save(tmp_path)
    settings = NetworkSettings(["a", "b"], SOFTMAX, max_length=600, is_length_given=True)
    with pytest.raises(ConfigError, match="must be at most 512"):
        make(str(tmp_path), settings=settings)


def test_a_checkpoint_that_reads_less_lowers_the_default_max_length(tmp_path, caplog):
    make("bert-2x32").save(tmp_path)
    with caplog.at_level(logging.INFO):
        trainable = make(str(tmp_path), settings=NetworkSettings(["a", "b"], SOFTMAX, max_length=600))
    assert trainable.max_length == 512
    assert f"max_length is 512, the most that {tmp_path.name} reads, instead of 600" in caplog.text
    assert logits_of(trainable, Inputs((["late " * 700],)), [0]).shape == (1, 2)


@pytest.mark.parametrize("broken", ["no config", "no weights", "unknown type"])
def test_an_unusable_folder_is_a_model_error(tmp_path, broken):
    make("bert-2x32").save(tmp_path)
    if broken == "no config":
        (tmp_path / "config.json").unlink()
    if broken == "no weights":
        (tmp_path / "model.safetensors").unlink()
    if broken == "unknown type":
        config = json.loads((tmp_path / "config.json").read_text())
        (tmp_path / "config.json").write_text(json.dumps({**config, "model_type": "nothing"}))
    with pytest.raises(ModelError, match="cannot be opened") as caught:
        make(str(tmp_path))
    assert "model.safetensors" in caught.value.hint


@pytest.fixture
def hub(monkeypatch, tmp_path):
    """A hub of our own, which has no model; its list of what it was asked for."""
    asked = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append(self.path)
            self.send_response(404)
            self.send_header("x-error-code", "RepoNotFound")
            self.send_header("content-length", "0")
            self.end_headers()

        do_HEAD = do_GET

        def log_message(self, *_):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
        monkeypatch.setattr(constants, "ENDPOINT", f"http://127.0.0.1:{server.server_port}")
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
        yield asked
        server.shutdown()


def test_a_name_that_is_neither_here_nor_on_the_hub_is_asked_for_once(hub, caplog):
    with caplog.at_level(logging.WARNING), pytest.raises(ModelError) as caught:
        make("owner/bert")
    assert caught.value.message == "There is no folder owner/bert, and the hub has no model of that name."
    assert caught.value.hint == "Check the name: an existing folder, or a hub id of the form owner/name."
    assert (hub.count("/api/models/owner/bert"), caplog.text) == (1, "")


def test_a_hub_that_does_not_answer_is_said_with_the_missing_folder(hub, monkeypatch, caplog):
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    with caplog.at_level(logging.INFO), pytest.raises(ModelError) as caught:
        make("owner/bert")
    assert caught.value.message == (
        "There is no folder owner/bert, and the hub does not answer ([Errno 111] Connection refused)."
    )
    assert (hub, caplog.text) == ([], "")


def test_a_model_in_the_cache_is_opened_where_the_hub_does_not_answer(hub, monkeypatch, tmp_path):
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setattr("time.sleep", lambda _: None)  # between the tries
    folder = tmp_path / "cache" / "models--owner--bert"
    (folder / "refs").mkdir(parents=True)
    (folder / "refs" / "main").write_text("1" * 40)
    make("bert-2x32").save(folder / "snapshots" / ("1" * 40))
    assert logits_of(make("owner/bert"), Inputs((TEXTS,)), [0]).shape == (1, 3)


def word_tokenizer(**tokens):
    vocabulary = {token: place for place, token in enumerate([*tokens.values(), "late", "good", "bad", "parcel"])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token=next(iter(tokens.values()))))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, **tokens)


def test_gpt2_pads_with_its_end_of_text_token(tmp_path):
    tokenizer = word_tokenizer(eos_token="<|end|>")
    config = GPT2Config(vocab_size=8, n_positions=32, n_embd=16, n_layer=1, n_head=2, bos_token_id=0, eos_token_id=0)
    GPT2ForSequenceClassification(config).save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    texts = Inputs((["late", "good bad parcel late good"],))
    trainable = make(str(tmp_path), texts)
    together_BC = logits_of(trainable, texts, [0, 1])
    assert trainable.module.config.pad_token_id == 0
    torch.testing.assert_close(logits_of(trainable, texts, [0])[0], together_BC[0], atol=1e-6, rtol=0)
    trainable.save(tmp_path / "saved")
    assert AutoTokenizer.from_pretrained(tmp_path / "saved").pad_token == "<|end|>"


def test_t5_answers(tmp_path):
    from tokenizers import processors

    tokenizer = word_tokenizer(pad_token="<pad>", eos_token="</s>")
    template = processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 1)])
    tokenizer.backend_tokenizer.post_processor = template
    config = T5Config(vocab_size=8, d_model=16, d_kv=8, d_ff=16, num_layers=1, num_heads=2, decoder_start_token_id=0)
    T5ForSequenceClassification(config).save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    trainable = make(str(tmp_path), Inputs((["late", "good bad"],)))
    assert logits_of(trainable, Inputs((["late", "good bad"],)), [0, 1]).shape == (2, 3)
    assert encoders.max_positions(trainable.module) is None
    trainable.save(tmp_path / "saved")
    again = make(str(tmp_path / "saved"), Inputs((["late", "good bad"],)))
    expected_BC = logits_of(trainable, Inputs((["late"],)), [0])
    torch.testing.assert_close(logits_of(again, Inputs((["late"],)), [0]), expected_BC, atol=1e-6, rtol=0)
