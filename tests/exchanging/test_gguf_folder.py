"""What is written for llama.cpp holds the same model: read back by us, and by transformers' own reader."""

import gguf
import numpy as np
import pytest
import torch
from transformers import (
    ArceeConfig,
    AutoModelForCausalLM,
    GPT2Config,
    LlamaConfig,
    PreTrainedTokenizerFast,
    Qwen2Config,
    Qwen3Config,
)

import yanmo
from yanmo.errors import ArtifactError, ModelError
from yanmo.exporting.gguf_tokens import gguf_tokens
from yanmo.text.language_tokens import END, LanguageTokenizer, train_bytes, train_characters, train_words

TEXTS = ["the baker sells bread and cake", "the smith bends iron", "下雨天她在家读书", "a b c"]
SIZES = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64}
SHAPE = {**SIZES, "num_key_value_heads": 1, "max_position_embeddings": 64}
FAMILIES = {
    # Positions of GPT-2 and the width of heads are not read by transformers, which takes its defaults.
    "gpt2": lambda **more: GPT2Config(n_embd=32, n_layer=2, n_head=2, n_positions=1024, **more),
    "llama": lambda **more: LlamaConfig(**SHAPE, **more),
    "arcee": lambda **more: ArceeConfig(**SHAPE, hidden_act="relu2", **more),
    "qwen2": lambda **more: Qwen2Config(**SHAPE, tie_word_embeddings=True, **more),
    "qwen3": lambda **more: Qwen3Config(**SHAPE, head_dim=128, **more),
}
READ_BY_TRANSFORMERS = ("gpt2", "llama", "qwen2", "qwen3")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("gguf")


@pytest.fixture(scope="module")
def adopted(folder):
    made = {}

    def adopt(family):
        if family not in made:
            wrapped = PreTrainedTokenizerFast(tokenizer_object=train_bytes(TEXTS, 280), eos_token=END)
            torch.manual_seed(1)
            config = FAMILIES[family](vocab_size=len(wrapped) + 8, bos_token_id=0, eos_token_id=0)
            model = AutoModelForCausalLM.from_config(config)
            with torch.no_grad():
                for one in model.parameters():
                    one.add_(torch.randn_like(one) * 0.1)
            model.save_pretrained(folder / family)
            wrapped.save_pretrained(folder / family)
            made[family] = yanmo.adopt(folder / family, out=folder / f"{family}-bundle")
        return made[family]

    return adopt


@pytest.mark.parametrize("family", FAMILIES)
def test_the_file_holds_the_same_model(folder, adopted, family):
    made = yanmo.export(adopted(family).path, to="gguf", out=folder / f"{family}-gguf")
    assert made.largest_difference < 1e-4
    reader = gguf.GGUFReader(made.path / "model.gguf")
    assert reader.fields["general.architecture"].contents() == family
    assert reader.fields["tokenizer.ggml.pre"].contents() in ("gpt-2", "qwen2")
    if family in READ_BY_TRANSFORMERS:
        ours = AutoModelForCausalLM.from_pretrained(folder / family)
        theirs = AutoModelForCausalLM.from_pretrained(made.path, gguf_file="model.gguf", dtype=torch.float32)
        ids = torch.arange(5, 25)[None]
        with torch.inference_mode():
            torch.testing.assert_close(theirs(ids).logits, ours(ids).logits, atol=1e-4, rtol=1e-4)


def test_fewer_bits_are_a_smaller_file_that_differs_a_little(folder, adopted):
    sizes = []
    for bits in ("f32", "f16", "q8_0"):
        made = yanmo.export(adopted("llama").path, to="gguf", gguf_weights=bits, out=folder / f"llama-{bits}")
        sizes.append((made.path / "model.gguf").stat().st_size)
        assert made.largest_difference < 0.1
    assert sizes == sorted(sizes, reverse=True)


def test_characters_are_tokens_and_bytes_stand_in_for_others():
    tokenizer = LanguageTokenizer.of(train_characters(TEXTS, 400), name="mine")
    found = gguf_tokens(tokenizer, num_embeddings=tokenizer.vocab_size + 1, name="mine")
    assert found.model == "llama"
    assert np.bincount(found.types).tolist() == [0, tokenizer.vocab_size - 257, 0, 1, 0, 1, 256]
    assert found.texts[tokenizer.backend.token_to_id(" ")] == "▁"
    assert found.begin_id == found.end_id == tokenizer.end_id


def test_what_has_no_such_form_is_refused(folder, adopted):
    words = LanguageTokenizer.of(train_words(TEXTS, 40), name="mine")
    with pytest.raises(ModelError, match="cuts texts in a way"):
        gguf_tokens(words, num_embeddings=40, name="mine")
    with pytest.raises(ModelError, match="stands for a space"):
        gguf_tokens(LanguageTokenizer.of(train_characters(["▁a"], 300), name="mine"), num_embeddings=300, name="mine")
    (folder / "t.csv").write_text("text,label\n" + "".join(f"word {n},{n % 2}\n" for n in range(40)))
    data = yanmo.prepare(folder / "t.csv", out=folder / "labels")
    linear = yanmo.train(data.path, model="linear", out=folder / "linear")
    with pytest.raises(ArtifactError, match="holds a language model"):
        yanmo.export(linear.path, to="gguf", out=folder / "no")
    graph = yanmo.export(adopted("gpt2").path, out=folder / "graph")
    with pytest.raises(ArtifactError, match="read from a torch Bundle"):
        yanmo.export(graph.path, to="gguf", out=folder / "no")
