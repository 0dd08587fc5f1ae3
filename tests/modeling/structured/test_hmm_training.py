"""The hidden Markov model counts what is there, guesses from endings what is not, and answers as it was trained."""

from types import SimpleNamespace

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from yanmo.answers.chains import IMPOSSIBLE
from yanmo.answers.links import SOFTMAX
from yanmo.arrays import Ragged
from yanmo.artifacts.effects import NO_EFFECTS
from yanmo.errors import ArtifactError, InternalError
from yanmo.modeling.settings import LabeledTexts, NetworkSettings
from yanmo.modeling.structured.hmm_training import train_hmm
from yanmo.runtimes.hmm import HmmRuntime, open_runtime
from yanmo.text.inputs import Inputs
from yanmo.text.pipeline import TextConfig, TextPipeline

TAGS = ["ADV", "NOUN", "VERB"]
SENTENCES = {
    "dogs quickly run": "NOUN ADV VERB",
    "cats slowly jump": "NOUN ADV VERB",
    "birds run": "NOUN VERB",
    "run slowly": "VERB ADV",
    "Pigs jump quietly": "NOUN VERB ADV",
    "run": "NOUN",
}


def texts_of(sentences, labels):
    inputs = TextPipeline(TextConfig(units="words")).read(Inputs((list(sentences),)))
    tags = [labels.index(tag) if tag in labels else -1 for row in sentences.values() for tag in row.split()]
    return LabeledTexts(inputs, Ragged(np.array(tags), inputs.units.places.offsets))


def accuracy(evidence, targets):
    return {"accuracy": float((evidence.values_MC.argmax(axis=1) == targets.values).mean())}


def learn(sentences, labels=TAGS, told=NO_EFFECTS.tell):
    texts = texts_of(sentences, labels)
    return train_hmm(texts, texts, network=NetworkSettings(labels, SOFTMAX), measure=accuracy, tell=told)


def opened(trained, folder, labels=TAGS):
    folder.mkdir(exist_ok=True)
    trained.save(folder)
    return open_runtime(
        SimpleNamespace(path=folder, task="token_labels", labels=labels, text_config=TextConfig()),
        device="cpu",
        num_threads=1,
    )


@pytest.fixture(scope="module")
def runtime(tmp_path_factory):
    return opened(learn(SENTENCES), tmp_path_factory.mktemp("hmm"))


def probabilities(runtime, *texts):
    read = TextPipeline(TextConfig(units="words")).read(Inputs((list(texts),)))
    inference = runtime.infer(read)
    return inference.scores.activate(), inference.found


def test_what_was_met_is_learned_and_the_only_record_is_told():
    records = []
    trained = learn(SENTENCES, told=records.append)
    assert trained.scores["accuracy"] > 0.8
    assert [record["valid_accuracy"] for record in records] == [trained.scores["accuracy"]]
    assert trained.architecture["num_units"] == 9


def test_a_unit_that_training_never_met_is_told_by_its_ending_and_counted(runtime):
    evidence, found = probabilities(runtime, "horses happily run", "")
    assert [TAGS[tag] for tag in evidence.values_MC.argmax(axis=1)] == ["NOUN", "ADV", "VERB"]
    assert found.num_unknown_N.tolist() == [2, 0]
    assert len(evidence) == 2


def test_the_tags_before_decide_where_the_unit_alone_does_not(runtime):
    evidence, _ = probabilities(runtime, "birds run", "run")
    verb, alone = evidence.values_MC[1], evidence.values_MC[2]
    assert verb[TAGS.index("VERB")] > alone[TAGS.index("VERB")]


def test_a_capital_letter_is_a_part_of_the_ending(tmp_path):
    names = {
        "Bonn sleeps": "NAME VERB",
        "Rome sleeps": "NAME VERB",
        "tone tome": "WORD WORD",
        "home sleeps": "WORD VERB",
    }
    labels = ["NAME", "VERB", "WORD"]
    runtime = opened(learn(names, labels), tmp_path, labels)
    evidence, _ = probabilities(runtime, "Dome", "dome")
    assert evidence.values_MC.argmax(axis=1).tolist() == [0, 2]


def test_units_without_a_label_teach_nothing(tmp_path):
    partly = SENTENCES | {"zebras zoom": "? ?", "dogs ? run": "NOUN ? VERB"}
    ours, theirs = opened(learn(partly), tmp_path / "a"), opened(learn(SENTENCES), tmp_path / "b")
    evidence, found = probabilities(ours, "zebras zoom")
    assert found.num_unknown_N.tolist() == [2]
    assert evidence.distance_N(probabilities(theirs, "zebras zoom")[0]).max() < 0.2


def test_what_the_scheme_forbids_is_impossible(tmp_path):
    spans = {"in New York": "O B-x I-x", "at Big Ben": "O B-x I-x", "in it": "O O"}
    learn(spans, ["B-x", "I-x", "O"]).save(tmp_path)
    tensors = load_file(tmp_path / "model.safetensors")
    outside, inside, edge = 2, 1, 3
    assert (tensors["transitions"][:, [outside, edge], inside] == IMPOSSIBLE).all()
    assert (tensors["ends"] > IMPOSSIBLE).any()


def test_texts_without_units_are_an_error_of_ours(runtime):
    texts = LabeledTexts(Inputs((["a"],)), np.zeros((1, 2)))
    with pytest.raises(InternalError, match="reads units"):
        train_hmm(texts, texts, network=NetworkSettings(TAGS, SOFTMAX), measure=accuracy)
    with pytest.raises(InternalError, match="reads units"):
        runtime.encode(Inputs((["a"],)))


def test_a_damaged_file_is_told(tmp_path):
    learn(SENTENCES).save(tmp_path)
    tensors = load_file(tmp_path / "model.safetensors")
    save_file(tensors | {"words": tensors["words"][1:].copy()}, tmp_path / "model.safetensors")
    with pytest.raises(ArtifactError, match=r"rows of scores for \d+ units and endings"):
        HmmRuntime(SimpleNamespace(path=tmp_path, task="token_labels", labels=TAGS, text_config=TextConfig()))
