"""Models that write a text from another, from training to 8 bits: verbs over tiny networks."""

import json
import logging

import numpy as np
import pytest
import torch
from transformers import AutoModelForSeq2SeqLM, AutoTokenizer, T5ForConditionalGeneration

from yanmo import Bundle, adopt, distill, ensemble, evaluate, export, prepare, pretrain, prune, quantize, train
from yanmo.artifacts import Report
from yanmo.errors import ConfigError, DataError, ModelError
from yanmo.runtimes.predictor import open_bundle
from yanmo.tuning.tune import TUNING, tune

NAMES = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"]
DIGITS = dict(zip("0123456789", NAMES, strict=True))
ASKED = ["42", "007", "19", "5"]
FAST = {"num_threads": 1, "precision": "fp32", "max_length": 16, "max_target_length": 12}


@pytest.fixture(scope="module")
def numbers(tmp_path_factory):
    """Numbers and how their digits are read."""
    place = tmp_path_factory.mktemp("numbers")
    found = np.random.default_rng(0).permutation(100_000)[:400]
    rows = [{"text": str(one), "target": " ".join(DIGITS[digit] for digit in str(one))} for one in found.tolist()]
    path = place / "numbers.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return prepare(path, task="text_to_text", out=place / "numbers")


@pytest.fixture(scope="module")
def bundle(numbers, tmp_path_factory):
    out = tmp_path_factory.mktemp("trained") / "digits"
    return train(numbers, model="t5-2x64", num_epochs=12, batch_size=32, out=out, **FAST)


@pytest.fixture(scope="module")
def exported(bundle, tmp_path_factory):
    return export(bundle, out=tmp_path_factory.mktemp("exported") / "digits")


def answers(bundle, texts=ASKED):
    with open_bundle(bundle, num_threads=1) as predictor:
        return [one.label for one in predictor.predict(texts)]


def test_a_network_learns_to_write_and_its_loss_falls(bundle):
    lines = [json.loads(line) for line in (bundle.path / "metrics.jsonl").read_text().splitlines()]
    losses = [line["valid_loss"] for line in lines if "valid_loss" in line]
    assert losses[-1] < 0.7 * losses[0]
    assert set("".join(answers(bundle))) <= set(" ".join(NAMES))


def test_a_bundle_is_a_folder_of_transformers_which_writes_the_same(bundle):
    model = T5ForConditionalGeneration.from_pretrained(bundle.path).eval()
    tokenizer = AutoTokenizer.from_pretrained(bundle.path)
    read = tokenizer([text + tokenizer.eos_token for text in ASKED], padding=True, return_tensors="pt")
    with torch.no_grad():
        written = model.generate(read.input_ids, attention_mask=read.attention_mask, max_new_tokens=12, do_sample=False)
    assert tokenizer.batch_decode(written, skip_special_tokens=True) == answers(bundle)


def test_an_exported_bundle_answers_as_torch_does_alone_and_in_any_batch(bundle, exported, numbers):
    assert exported.format == "encoder-decoder"
    texts = [*ASKED, "", "1234567890" * 3, "\ud800 好 </s>"]
    assert answers(exported, texts) == answers(bundle, texts)
    assert [answers(exported, [text])[0] for text in texts] == answers(exported, texts)
    # What is too long is cut, which is counted.
    with open_bundle(exported, num_threads=1) as predictor:
        assert predictor.infer(texts)[1].truncated_N.tolist()[:6] == [False] * 5 + [True]
        assert len(predictor.infer([])[0]) == 0
    report = evaluate(exported, numbers, measure_speed=False, num_resamples=100, num_threads=1, num_beams=2)
    assert report.metrics["reading"] == {"num_beams": 2, "length_penalty": 1.0, "max_new_tokens": 12}


def test_answers_that_end_by_themselves_are_the_same_where_repeats_end_them(exported):
    texts = [*ASKED, "11111", "70007", *map(str, range(1000, 2000, 37))]
    found = []
    for end_repeats in (None, 4):
        with open_bundle(exported, num_threads=1, end_repeats=end_repeats) as predictor:
            found.append(predictor.infer(texts))
    endings = [np.array(one.ending_N) for _, one in found]
    rows = np.flatnonzero((endings[0] == "stop") & (endings[1] != "repeats"))
    assert len(rows) > len(texts) / 2
    before, after = (evidence.take(rows).columns() for evidence, _ in found)
    assert all(before[name].equals(after[name]) for name in before)
    for options in ({"end_repeats": 1}, {"end_repeats": 4, "num_beams": 2}):
        with pytest.raises(ConfigError, match="'end_repeats' parameter must be at least 2, without beams"):
            open_bundle(exported, num_threads=1, **options)


def test_8_bits_pass_the_gate_or_are_refused(bundle, numbers, tmp_path):
    made = quantize(bundle, numbers, max_drop=1.0, num_threads=1, out=tmp_path / "int8")
    assert made.format == "encoder-decoder"
    assert made.manifest.info["precision"] == "int8"
    assert made.size_bytes < 0.5 * bundle.size_bytes
    assert len(answers(made)) == len(ASKED)


def test_networks_with_one_tokenizer_write_token_by_token_together(bundle, exported, numbers, tmp_path):
    """A model beside itself writes what it writes alone, whatever runs it."""
    made = ensemble(numbers, [exported, bundle], method="average-tokens", num_threads=1, out=tmp_path / "together")
    assert answers(made) == answers(exported)
    assert made.manifest.info["summary"] == pytest.approx(
        {
            "valid_exact_match": exported.manifest.info["summary"].get("valid_exact_match", 0.0),
            "valid_exact_match_of_best_member": bundle.manifest.info["summary"]["valid_exact_match"],
            "num_members": 2,
        }
    )
    with open_bundle(made, num_threads=1, num_beams=2) as predictor:
        assert np.diff(predictor.infer(ASKED)[0].offsets).tolist() == [2] * len(ASKED)
    report = evaluate(made, numbers, measure_speed=False, num_resamples=100, num_threads=1)
    assert report.metrics["composite"]["leave_one_out"] is None
    with pytest.raises(ConfigError, match="members of .* write token by token"):
        open_bundle(made, runtime="onnxruntime")
    with pytest.raises(DataError, match="is made of several models"):
        ensemble(numbers, [made, bundle], method="average-tokens", out=tmp_path / "nested")


@pytest.fixture(scope="module")
def other(numbers, tmp_path_factory):
    """A network that has learned less, from another beginning."""
    out = tmp_path_factory.mktemp("other") / "digits"
    return train(numbers, model="t5-1x32", num_epochs=3, batch_size=32, seed=5, out=out, **FAST)


@pytest.fixture(scope="module")
def together(exported, other, numbers, tmp_path_factory):
    out = tmp_path_factory.mktemp("together") / "both"
    return ensemble(numbers, [exported, other], method="average-tokens", num_threads=1, out=out)


def test_networks_that_differ_write_by_the_mean_of_their_probabilities(bundle, other, together):
    """What two networks write together is what transformers writes with the mean of what both say."""
    networks = [T5ForConditionalGeneration.from_pretrained(one.path).eval() for one in (bundle, other)]
    tokenizer = AutoTokenizer.from_pretrained(bundle.path)
    texts = [str(one) for one in range(1000, 100_000, 15_839)]
    written, values = [], []
    for text in texts:
        read = tokenizer(text + tokenizer.eos_token, return_tensors="pt").input_ids
        ids, logs = torch.tensor([[networks[0].config.decoder_start_token_id]]), []
        while len(logs) < FAST["max_target_length"] and not (logs and ids[0, -1] == tokenizer.eos_token_id):
            with torch.no_grad():
                said = [one(input_ids=read, decoder_input_ids=ids).logits[0, -1].softmax(dim=0) for one in networks]
            best = (said[0] + said[1]).argmax()
            logs.append(float(((said[0] + said[1]) / 2)[best].log()))
            ids = torch.cat([ids, best[None, None]], dim=1)
        written.append(tokenizer.decode(ids[0], skip_special_tokens=True))
        values.append(np.exp(np.mean(logs)))
    with open_bundle(together, num_threads=1) as predictor:
        found = predictor.predict(texts)
    assert [one.label for one in found] == written
    assert [one.probability for one in found] == pytest.approx(values, abs=1e-4)
    # Neither of them writes all of it alone.
    assert all(written != answers(one, texts) for one in (bundle, other))


def test_networks_that_write_together_answer_over_http_as_they_do_here(together, start_service):
    with open_bundle(together, num_threads=1) as predictor:
        expected = predictor.predict(ASKED)
    with start_service(together, num_threads=1) as client:
        found = client.predict(texts=ASKED).json["predictions"]
        pieces = client.pieces(text=ASKED[0])
    assert [one["prediction"] for one in found] == [one.label for one in expected]
    assert [one["probability"] for one in found] == pytest.approx([one.probability for one in expected], abs=1e-6)
    assert "".join(pieces) == expected[0].label
    assert len(pieces) > 2


def test_settings_of_a_network_are_searched_by_what_is_written_rightly(numbers, tmp_path):
    (tmp_path / "space.toml").write_text(
        "learning_rate = { low = 1e-3, high = 3e-2, log = true }\n"
        "num_epochs = 1\nbatch_size = 64\nmax_length = 16\nmax_target_length = 12\n"
    )
    options = {"space": tmp_path / "space.toml", "num_trials": 2, "num_seeds": 1, "num_threads": 1}
    tuned = tune(numbers, model="t5-1x32", out=tmp_path / "tuned", **options)
    report = Report.open(tuned.path / TUNING).metrics
    assert (report["metric"], len(report["trials"])) == ("exact_match", 2)
    assert len(answers(tuned)) == len(ASKED)


def test_networks_that_differ_in_what_a_token_is_are_refused(exported, numbers, tmp_path):
    other = train(numbers, model="t5-1x32", num_epochs=1, out=tmp_path / "other", **FAST | {"max_target_length": 9})
    with pytest.raises(DataError, match="differ in max_target_length"):
        ensemble(numbers, [exported, other], method="average-tokens", out=tmp_path / "none")


def test_a_student_with_fewer_layers_learns_what_its_teacher_writes(exported, numbers, tmp_path):
    student = distill(exported, numbers, model="t5-1e1dx64", num_epochs=1, batch_size=32, out=tmp_path / "one", **FAST)
    assert T5ForConditionalGeneration.from_pretrained(student.path).config.num_decoder_layers == 1
    with pytest.raises(ConfigError, match="'temperature' parameter must be 1"):
        distill(exported, numbers, model="t5-1x32", num_epochs=1, temperature=2.0, out=tmp_path / "soft", **FAST)


def test_layers_that_write_are_left_out(bundle, numbers, tmp_path):
    smaller = prune(bundle, numbers, layers=1, num_epochs=0, num_threads=1, out=tmp_path / "pruned")
    config = T5ForConditionalGeneration.from_pretrained(smaller.path).config
    assert (config.num_layers, config.num_decoder_layers) == (2, 1)
    assert smaller.manifest.info["summary"]["decoder_layers"] == 1
    with pytest.raises(ConfigError, match="must be less than 2"):
        prune(bundle, numbers, layers=2, num_epochs=0, num_threads=1, out=tmp_path / "none")
    with pytest.raises(ConfigError, match="'heads' parameter of prune does not suit"):
        prune(bundle, numbers, heads=0.5, num_threads=1, out=tmp_path / "heads")


@pytest.mark.parametrize("family", ["t5-1.1", "bart"])
def test_a_folder_goes_on_learning(make_encoder_decoder, numbers, tmp_path, family):
    folder = make_encoder_decoder(tmp_path / family, family)
    made = train(numbers, model=str(folder), num_epochs=1, batch_size=64, out=tmp_path / "tuned", **FAST)
    assert len(answers(made)) == len(ASKED)
    assert answers(export(made, out=tmp_path / "onnx")) == answers(made)
    AutoModelForSeq2SeqLM.from_pretrained(made.path)


@pytest.mark.parametrize(("marks", "lacking"), [(("eos_token",), "fills rows"), (("pad_token",), "ends a text")])
def test_a_tokenizer_without_a_mark_is_refused(make_encoder_decoder, numbers, tmp_path, marks, lacking):
    folder = make_encoder_decoder(tmp_path / "lacking", marks=marks)
    with pytest.raises(ModelError, match=f"has no token that {lacking}"):
        train(numbers, model=str(folder), num_epochs=1, out=tmp_path / "none", **FAST)


def test_long_targets_are_cut_and_counted(numbers, tmp_path, caplog):
    rows = [{"text": str(one), "target": "nine " * 10_000 if one == 3 else "one two"} for one in range(60)]
    path = tmp_path / "long.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    long = prepare(path, task="text_to_text", out=tmp_path / "long")
    with caplog.at_level(logging.WARNING):
        train(long, model="t5-1x32", num_epochs=1, out=tmp_path / "cut", **FAST)
    assert any("are longer than 12 tokens and were cut" in record.message for record in caplog.records)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"metric": "chrf"}, "'metric' parameter of train must be"),
        ({"model": "bert-1x32"}, "is for"),
        ({"model": "bert-1e1dx32"}, "There is no model"),
    ],
)
def test_what_does_not_suit_is_refused(numbers, tmp_path, options, message):
    with pytest.raises((ConfigError, ModelError), match=message):
        train(numbers, **{"model": "t5-1x32", **options}, num_epochs=1, out=tmp_path / "none", **FAST)


def test_a_bundle_of_graphs_says_so(exported):
    assert Bundle.open(exported.path).format == "encoder-decoder"
    with pytest.raises(Exception, match="is exported already|exported"):
        export(exported, out=exported.path.parent / "again")


def test_a_glossary_is_written_and_beams_tell_candidates(numbers, tmp_path, start_service):
    (tmp_path / "glossary.tsv").write_text("sum\tplus\n１７\tlucky seven\n7\tnine\n", encoding="utf-8")
    rows = [{"text": str(one), "target": NAMES[one % 3]} for one in range(100, 160)]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    data = prepare(
        tmp_path / "rows.jsonl",
        task="text_to_text",
        glossary=tmp_path / "glossary.tsv",
        prefix="sum: ",
        out=tmp_path / "d",
    )
    made = train(data, model="t5-1x32", num_epochs=1, out=tmp_path / "made", **FAST | {"max_target_length": 24})
    graphs = export(made, out=tmp_path / "graphs")
    for one in (made, graphs):
        found = answers(one, ["17", "23"])
        assert ["lucky seven" in text for text in found] == [True, False]
        # Neither what the prefix says nor a part of a number is a phrase.
        assert not any("plus" in text for text in found)
    # In any case, also where answers are ended that repeat themselves, or told piece by piece.
    with start_service(graphs, num_threads=1, end_repeats=2) as client:
        (told,) = {"".join(client.pieces(text="17")), client.predict(text="17").json["prediction"]}
    assert told == found[0]
    with open_bundle(graphs, num_threads=1, num_beams=3) as predictor:
        evidence = predictor.infer(["17", "23"])[0]
        # Phrases are forced into one beginning alone.
        assert np.diff(evidence.offsets).tolist() == [1, 3]
    with pytest.raises(ConfigError, match="'num_beams' parameter must be from 1 to"):
        open_bundle(graphs, num_threads=1, num_beams=65)


def test_spans_of_plain_texts_are_learned_and_training_goes_on_from_there(numbers, tmp_path):
    words = np.random.default_rng(0).choice([*NAMES, "and", "of"], (60, 20))
    (tmp_path / "plain.txt").write_text("\n".join(" ".join(row) for row in words.tolist()))
    options = {"objective": "spans", "model": "t5-1x32", "vocab_size": 300, "max_length": 24, "num_threads": 1}
    begun = pretrain(tmp_path / "plain.txt", num_epochs=2, precision="fp32", out=tmp_path / "begun", **options)
    assert begun.task == "cut_spans"
    made = train(numbers, init=begun, num_epochs=1, out=tmp_path / "made", **FAST)
    assert made.model == "t5-1x32"
    assert len(answers(made)) == len(ASKED)
    with pytest.raises(ConfigError, match="must be spans for t5"):
        pretrain(tmp_path / "plain.txt", model="t5-1x32", out=tmp_path / "none")


def test_a_folder_is_taken_in_as_it_is(make_encoder_decoder, tmp_path):
    folder = make_encoder_decoder(tmp_path / "t5")
    made = adopt(folder, max_length=32, out=tmp_path / "adopted")
    assert (made.task, made.format) == ("text_to_text", "torch")
    assert answers(export(made, out=tmp_path / "onnx")) == answers(made)


@pytest.mark.parametrize(("rule", "value"), [("min_length", 6), ("no_repeat_ngram_size", 3)])
def test_a_model_that_writes_by_rules_of_its_own_is_refused_by_name(make_encoder_decoder, tmp_path, rule, value):
    folder = make_encoder_decoder(tmp_path / "t5")
    path = folder / "generation_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {rule: value}))
    with pytest.raises(ModelError, match=f"writes by the rule {rule} = {value} of its generation_config.json"):
        adopt(folder, max_length=32, out=tmp_path / "adopted")
    assert not (tmp_path / "adopted").exists()
