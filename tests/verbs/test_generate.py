"""From a trained language model to texts: export, quantize, generate; and what is refused on the way."""

import json

import numpy as np
import pytest

import yanmo
from yanmo.artifacts import Bundle, Predictions
from yanmo.cli import main
from yanmo.compressing.decoder_int8 import Times, prefers_rows
from yanmo.errors import ArtifactError, ConfigError, DataError, ModelError
from yanmo.runtimes.generating.settings import DECODER_FILE

WORDS = ["cat", "dog", "tree", "小猫", "大树"]


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    folder = tmp_path_factory.mktemp("texts")
    generator = np.random.default_rng(0)
    lines = [" ".join(["the", *generator.choice(WORDS, 3), "."]) for _ in range(150)]
    (folder / "texts.txt").write_text("\n".join(lines), encoding="utf-8")
    return yanmo.prepare([folder / "texts.txt"], task="causal_lm", out=folder / "data")


@pytest.fixture(scope="module", params=["gpt2-1x32", "gpt-1x32", "lstm-1x32", "gcnn-1x32"])
def trained(request, dataset, tmp_path_factory):
    out = tmp_path_factory.mktemp("trained") / "model"
    return yanmo.train(dataset, model=request.param, max_length=32, num_epochs=1, num_threads=1, out=out)


@pytest.fixture(scope="module")
def exported(trained):
    return yanmo.export(trained, out=trained.path.with_name("exported"))


def test_an_exported_model_finds_texts_as_likely_as_the_one_that_was_trained(trained, exported):
    assert exported.format == "decoder"
    texts = ["the cat dog tree .", "the 小猫 🐈 and much more than fits into one window " * 3, ""]
    with yanmo.load(trained, num_threads=1) as ours, yanmo.load(exported, num_threads=1) as theirs:
        assert ours.infer(texts)[0].distance_N(theirs.infer(texts)[0]).max() < 1e-4


def test_8_bits_are_published_if_they_cost_little(trained, dataset, tmp_path, monkeypatch):
    small = yanmo.quantize(trained, dataset, max_drop=0.05, num_threads=1, out=tmp_path / "small")
    assert (small.format, small.manifest.info["precision"]) == ("decoder", "int8")
    assert small.manifest.info["quantization"]["bits_per_character_drop"] <= 0.05
    assert small.size_bytes < trained.size_bytes
    with yanmo.load_writer(small, num_threads=1) as writer:
        assert writer.write(["the"], max_new_tokens=3)[0][0].ids
    # Parts that cost too much go back to fp32; here all do at first.
    monkeypatch.setattr("yanmo.exporting.language_graph.quantize_blocks", spoil)
    with pytest.raises(ModelError, match="Every choice of int8 parts loses more bits_per_character"):
        yanmo.quantize(trained, dataset, max_drop=0.0001, num_threads=1, out=tmp_path / "spoiled")


def spoil(weight):
    from yanmo.exporting.block_quantization import quantize_blocks

    return quantize_blocks(weight[::-1] * 3)


@pytest.mark.parametrize("trained", ["gpt-1x32"], indirect=True)
def test_products_are_by_rows_where_that_is_wished_or_faster_and_right(trained, dataset, tmp_path, monkeypatch):
    def products_of(name, **config):
        made = yanmo.quantize(trained, dataset, max_drop=0.05, num_threads=1, out=tmp_path / name, **config)
        has_blocks = b"layer.0.attention_in.values" in (made.path / DECODER_FILE).read_bytes()
        facts = made.manifest.info["quantization"]
        assert facts["kept_fp32"] == []
        assert facts["products"] == ("blocks" if has_blocks else "rows")
        return facts["products"]

    assert products_of("rows", products="rows") == "rows"
    assert products_of("blocks", products="blocks") == "blocks"
    monkeypatch.setattr("yanmo.compressing.decoder_int8.LEAST_GAIN", np.inf)
    assert products_of("slow") == "blocks"
    monkeypatch.setattr("yanmo.compressing.decoder_int8.LEAST_GAIN", 0)
    monkeypatch.setattr("yanmo.compressing.decoder_int8.MOST_LOSS", np.inf)
    assert products_of("fast") == "rows"
    monkeypatch.setattr("yanmo.exporting.language_graph.quantize_weight", spoil_columns)
    assert products_of("wrong") == "blocks"


def test_rows_are_preferred_where_prompts_are_read_faster_and_tokens_written_no_slower():
    blocks = Times(reading=1.0, step=0.1)
    assert prefers_rows(blocks, Times(reading=0.5, step=0.1))
    assert not prefers_rows(blocks, Times(reading=0.9, step=0.1))
    assert not prefers_rows(blocks, Times(reading=0.5, step=0.2))


def spoil_columns(weight, **options):
    from yanmo.exporting.quantization import quantize_weight

    return quantize_weight(weight[::-1] * 3, **options)


@pytest.mark.parametrize("trained", ["lstm-1x32"], indirect=True)
def test_a_model_without_attention_has_blocks(trained, dataset, tmp_path, caplog):
    made = yanmo.quantize(trained, dataset, max_drop=0.05, products="rows", num_threads=1, out=tmp_path / "small")
    assert "products" not in made.manifest.info["quantization"]
    assert "The 'products' parameter has no effect on a language model without attention." in caplog.text


def test_an_exported_model_is_neither_exported_nor_quantized_again(exported, dataset, tmp_path):
    with pytest.raises(ArtifactError, match="of format decoder"):
        yanmo.export(exported, out=tmp_path / "again")
    with pytest.raises(ArtifactError, match="read from a torch Bundle"):
        yanmo.quantize(exported, dataset, out=tmp_path / "again")


def test_texts_stand_in_predictions_beside_a_table_for_people(exported, tmp_path):
    (tmp_path / "prompts.txt").write_text("the cat\n小猫\n", encoding="utf-8")
    asked = {"prompts": [tmp_path / "prompts.txt"], "n": 2, "max_new_tokens": 6, "seed": 4, "num_threads": 1}
    made = yanmo.generate(exported, **asked, out=tmp_path / "texts")
    frame = Predictions.open(tmp_path / "texts").frame()
    assert frame["id"].to_list() == ["1-1", "1-2", "2-1", "2-2"]
    assert frame["prompt"].to_list() == ["the cat", "the cat", "小猫", "小猫"]
    assert [len(one) for one in frame["log_likelihoods"]] == [len(one) for one in frame["places"]]
    assert frame["prediction"].to_list() == pytest.approx([sum(one) for one in frame["log_likelihoods"]], abs=1e-3)
    told = [json.loads(line) for line in (tmp_path / "texts" / "texts.jsonl").read_text(encoding="utf-8").splitlines()]
    assert [one["text"] for one in told] == frame["text"].to_list()
    assert made.summary()["num_tokens"] == sum(one["num_tokens"] for one in told)
    assert made.manifest.seed == 4
    unsaved = yanmo.generate(exported, **asked)
    assert unsaved.path is None
    assert unsaved.frame().equals(frame)
    with yanmo.load_writer(exported, num_threads=1) as writer:
        written = writer.write(["the cat", "小猫"], n=2, max_new_tokens=6, seed=4)
    assert [one.text for texts in written for one in texts] == frame["text"].to_list()


def test_the_command_prints_prompts_with_their_texts(exported, capsys, monkeypatch, tmp_path):
    path = str(exported.path)
    common = ["--max-new-tokens", "5", "--num-threads", "1"]
    assert main(["generate", path, "--prompt", "the cat", "--n", "2", *common]) == 0
    first, empty, second = capsys.readouterr().out.rstrip("\n").split("\n")[:3]
    assert (first[:7], empty, second[:7]) == ("the cat", "", "the cat")
    assert main(["generate", path, "--json", "--temperature", "0", *common]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["texts"][0]["prompt"] == ""
    (tmp_path / "prompts.jsonl").write_text('{"prompt": "the dog"}\n{"prompt": "the"}\n')
    assert main(["generate", path, "--prompts", str(tmp_path / "prompts.jsonl"), "--num-beams", "2", *common]) == 0
    assert capsys.readouterr().out.startswith("the dog")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--prompt", "x" * 100], "tokens; the model reads 32"),
        (["--num-beams", "2", "--seed", "1"], "'seed' parameter of generate has no effect"),
        (["--regex", "(ab"], "No text can have the form"),
        (["--prompt", "a", "--prompts", "prompts.txt"], "does not go with files"),
        (["--prompts", "prompts.txt", "--prompts", "-"], "must be files, or '-'"),
        (["--max-new-tokens", "0"], "'max_new_tokens' parameter"),
        (["--prompts", "empty.txt"], "has no rows, only blank lines"),
        (["--temperature", "nan"], "'temperature' parameter"),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else "",
)
def test_what_cannot_be_written_is_the_users_mistake(exported, arguments, message, tmp_path, monkeypatch, capsys):
    (tmp_path / "prompts.txt").write_text("a\n")
    (tmp_path / "empty.txt").write_text("\n\n")
    path = str(exported.path.resolve())
    monkeypatch.chdir(tmp_path)
    assert main(["generate", path, *arguments]) == 2
    told = capsys.readouterr().err
    assert message in told
    assert "hint: " in told


def test_a_bundle_that_was_trained_says_how_it_comes_to_write(trained):
    with pytest.raises(ArtifactError, match="of format decoder") as caught:
        yanmo.generate(trained)
    assert "yanmo export" in caught.value.hint


def test_prompts_have_a_column(exported, tmp_path):
    (tmp_path / "prompts.csv").write_text("question\nthe cat\n")
    with pytest.raises(DataError, match="prompt"):
        yanmo.generate(exported, prompts=[tmp_path / "prompts.csv"], num_threads=1)
    made = yanmo.generate(
        exported, prompts=[tmp_path / "prompts.csv"], text="question", max_new_tokens=2, num_threads=1
    )
    assert made.frame()["prompt"].to_list() == ["the cat"]


def test_unknown_keys_are_refused(exported):
    with pytest.raises(ConfigError, match="Did you mean 'max_new_tokens'"):
        yanmo.generate(Bundle.open(exported.path), max_tokens=3)
