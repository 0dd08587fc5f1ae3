"""Every family that can be cut: what nothing reads goes without a change of any answer, and the rest opens again."""

import copy

import numpy as np
import pytest
import torch
from families import TEXTS, make_checkpoint
from transformers import AutoModelForSequenceClassification

from yanmo.answers.links import SOFTMAX
from yanmo.errors import ConfigError
from yanmo.modeling.features.ragged import Examples
from yanmo.modeling.networks import encoders
from yanmo.modeling.networks.trainable_networks import make_trainable
from yanmo.modeling.objectives.choices import LOSSES, Labels, row_of_link
from yanmo.modeling.pretrained.checkpoint_tokenizer import load_tokenizer
from yanmo.modeling.settings import LabeledTexts, NetworkSettings, Pruning
from yanmo.modeling.shrinking.cutting import count_heads, count_neurons, cut_layers, cut_parts, layers_of
from yanmo.modeling.shrinking.layer_layouts import LAYOUTS, layout_of
from yanmo.modeling.shrinking.pruned_encoder import make_pruned
from yanmo.modeling.shrinking.pruning import choose_layers, choose_parts, measure_importance
from yanmo.models import resolve
from yanmo.text.inputs import Inputs

LABELS = ["bad", "good", "other"]
LOSS = row_of_link(LOSSES, SOFTMAX)
HEAD_WIDTH = 8


@pytest.fixture(scope="module")
def get_trainable(tmp_path_factory):
    """Return a tiny classifier of a family with random weights, as training opens it; always another copy."""
    made = {}

    def get(family):
        if family not in made:
            folder = tmp_path_factory.mktemp("family") / family
            make_checkpoint(family, folder, labels=LABELS)
            settings = NetworkSettings(LABELS, SOFTMAX, max_length=32, dropout=0.0)
            made[family] = folder, make_trainable(resolve(str(folder)), Inputs((TEXTS,)), settings)
        return made[family][0], copy.deepcopy(made[family][1])

    return get


def features_of(trainable):
    return trainable.encode(Inputs((TEXTS,)))


def score(module, trainable):
    module.eval()
    with torch.inference_mode():
        return encoders.score_encoder(module, features_of(trainable).collate(np.arange(len(TEXTS))))


def put_asleep(module, head, neurons):
    """Let nothing read one head and some neurons of each layer."""
    layout = layout_of(module)
    for layer in layers_of(module):
        out, narrow = (layer.get_submodule(name).weight.data for name in (layout.attention_out, layout.narrow))
        out[:, HEAD_WIDTH * head : HEAD_WIDTH * (head + 1)] = 0
        out[:, HEAD_WIDTH * (head + 1) : HEAD_WIDTH * (head + 2)] = 0
        narrow[:, neurons] = 0


@pytest.mark.parametrize("kind", ["taylor", "magnitude"])
@pytest.mark.parametrize("family", LAYOUTS)
def test_heads_and_neurons_that_nothing_reads_go_and_the_answers_stay(family, kind, get_trainable):
    _, trainable = get_trainable(family)
    module, neurons = trainable.module, list(range(5, 37))
    put_asleep(module, 1, neurons)
    before, examples = (
        score(module, trainable),
        Examples(features_of(trainable), Labels(np.eye(3, dtype=np.float32)[[0, 1, 2, 0, 1, 2, 0, 1]])),
    )
    matters = measure_importance(module, examples, LOSS, kind)
    cut = choose_parts(matters, head_width=HEAD_WIDTH, heads=0.5, neurons=0.5, is_uniform=True)
    assert cut.heads == [[0, 3]] * 2
    assert cut.neurons == [[one for one in range(64) if one not in neurons]] * 2
    cut_parts(module, cut)
    assert (count_heads(module), count_neurons(module)) == ([2, 2], [32, 32])
    torch.testing.assert_close(score(module, trainable), before, atol=1e-5, rtol=0)


@pytest.mark.parametrize("family", LAYOUTS)
def test_fewer_neurons_and_layers_are_a_folder_that_transformers_opens(family, get_trainable, tmp_path):
    folder, trainable = get_trainable(family)
    module = trainable.module
    put_asleep(module, 1, list(range(32)))
    examples = Examples(features_of(trainable), Labels(np.eye(3, dtype=np.float32)[[0, 1, 2, 0, 1, 2, 0, 1]]))
    kept = choose_layers(module, examples, LOSS, 1)
    assert kept in ([[0]] if layout_of(module).keeps_first else [[0], [1]])
    cut_layers(module, kept)
    expected = score(module, trainable)
    matters = measure_importance(module, examples, LOSS, "magnitude")
    cut_parts(module, choose_parts(matters, head_width=HEAD_WIDTH, heads=0, neurons=0.5, is_uniform=True))
    encoders.save(tmp_path, module, load_tokenizer(folder))
    stock, loading = AutoModelForSequenceClassification.from_pretrained(tmp_path, output_loading_info=True)
    assert not any(loading.values())
    assert stock.num_parameters() == sum(one.numel() for one in module.parameters())
    torch.testing.assert_close(score(stock, trainable), expected, atol=1e-5, rtol=0)


@pytest.mark.parametrize("family", LAYOUTS)
def test_a_smaller_vocabulary_changes_no_answer_and_opens_again(family, get_trainable, tmp_path):
    folder, trainable = get_trainable(family)
    targets, some = np.eye(3, dtype=np.float32)[[0, 1, 2, 0]], TEXTS[:4]
    train = LabeledTexts(Inputs((some,)), targets)
    settings = NetworkSettings(LABELS, SOFTMAX, max_length=32)
    made = make_pruned(folder, train, Pruning(vocabulary=1, num_importance_texts=4), settings)
    made.save(tmp_path)
    stock, loading = AutoModelForSequenceClassification.from_pretrained(tmp_path, output_loading_info=True)
    assert not any(loading.values())
    assert stock.get_input_embeddings().num_embeddings < trainable.module.get_input_embeddings().num_embeddings
    batches = (one.encode(Inputs((some,))).collate(np.arange(4)) for one in (made, trainable))
    ours, theirs = (
        encoders.score_encoder(one.eval(), batch) for one, batch in zip((stock, trainable.module), batches, strict=True)
    )
    torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=0)


@pytest.mark.parametrize("options", [Pruning(heads=0.5), Pruning(feed_forward=0.5, uniform=False)])
def test_layers_that_no_graph_holds_are_refused_and_the_families_named(options, get_trainable):
    folder, _ = get_trainable("deberta-v2")
    train = LabeledTexts(Inputs((TEXTS[:2],)), np.eye(3, dtype=np.float32)[:2])
    with pytest.raises(ConfigError, match="cannot cut heads out of DebertaV2ForSequenceClassification") as caught:
        make_pruned(folder, train, options, NetworkSettings(LABELS, SOFTMAX, max_length=32))
    assert "bert, roberta, electra, xlm-roberta, camembert, distilbert, mpnet, modernbert" in caught.value.hint


@pytest.mark.parametrize("family", ["albert", "gpt2", "t5"])
def test_a_family_whose_parts_cannot_be_cut_is_refused_by_name(family, tmp_path):
    make_checkpoint(family, tmp_path, labels=LABELS)
    module = encoders.load(tmp_path, labels=LABELS, link=SOFTMAX)
    with pytest.raises(ConfigError, match=f"cannot cut parts out of {type(module).__name__}") as caught:
        layers_of(module)
    assert caught.value.hint.startswith(f"It can of the families {', '.join(LAYOUTS)};")
