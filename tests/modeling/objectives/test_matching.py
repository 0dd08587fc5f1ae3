"""The inside of two encoders: the distance of its formula, gradients for the student alone, no trace afterwards."""

import numpy as np
import pytest
import torch
from torch.nn import functional

from yanmo.answers.links import SOFTMAX
from yanmo.errors import ConfigError
from yanmo.modeling.networks import encoders, fast_encoder
from yanmo.modeling.networks.trainable_networks import make_trainable
from yanmo.modeling.objectives.matching import MATCHING, Matched
from yanmo.modeling.settings import NetworkSettings, Teaching
from yanmo.models import resolve
from yanmo.text.inputs import Inputs

TEXTS = Inputs((["很快，好吃", "great food, fast delivery", "送得太慢了"],))


def make(model):
    torch.manual_seed(0)
    settings = NetworkSettings(["0", "1"], SOFTMAX, max_length=16, vocab_size=60, dropout=0.0)
    return make_trainable(resolve(model), TEXTS, settings)


@pytest.fixture(scope="module")
def teacher_dir(tmp_path_factory):
    folder = tmp_path_factory.mktemp("teacher")
    make("bert-2x32").save(folder)
    return folder


@pytest.fixture(scope="module")
def wide_dir(tmp_path_factory):
    folder = tmp_path_factory.mktemp("wide")
    make("bert-2x128").save(folder)
    return folder


def batch_of(trainable):
    return trainable.encode(TEXTS).collate(np.arange(3))


def distance_of(trainable, teacher_dir, match, **values):
    """Return the distance, and the teacher and the student's projections that it was measured with."""
    torch.manual_seed(1)
    matched = Matched(trainable.module, Teaching(1.0, 1.0, match=match, teacher_dir=teacher_dir, **values))
    with torch.no_grad():
        _, distance = matched(trainable.module, batch_of(trainable))
    projections = dict(getattr(trainable.module, MATCHING, {}))
    matched.detach()
    return distance.item(), projections


def states_of(module, batch):
    """Return the states below and above every layer as transformers gives them, without padding, and the layers."""
    with torch.no_grad():
        states = module(**batch, output_hidden_states=True).hidden_states
    lengths = batch["attention_mask"].sum(dim=1).tolist()
    return [[one[:length] for one, length in zip(level, lengths, strict=True)] for level in states]


def products_of(module, batch, place, names, num_heads):
    """Return the scaled products of a layer's queries and keys (or values) of each text, shape (heads, T, T)."""
    attention = module.bert.encoder.layer[place - 1].attention.self
    found = []
    for states_TD in states_of(module, batch)[place - 1]:
        first, second = (getattr(attention, name)(states_TD).unflatten(1, (num_heads, -1)) for name in names)
        found.append(torch.einsum("qhd,khd->hqk", first, second) / first.shape[2] ** 0.5)
    return found


def expected(kind, student, teacher, batch, projections):
    """Return the distance of a student of one layer from a teacher of two, text by text."""
    if kind == "hidden":
        levels = [("embeddings", 0, 0), ("states", 1, 2)]
        ours, theirs = (states_of(one, batch) for one in (student, teacher))
        errors = [
            torch.cat([((projections[name](a) - b) ** 2).mean(1) for a, b in zip(ours[i], theirs[j], strict=True)])
            for name, i, j in levels
        ]
        return torch.stack([one.mean() for one in errors]).mean().item()
    if kind == "attention":
        pairs = zip(
            *(products_of(one, batch, place, ("query", "key"), 2) for one, place in ((student, 1), (teacher, 2))),
            strict=True,
        )
        return torch.cat([((ours - theirs) ** 2).mean(dim=(0, 2)) for ours, theirs in pairs]).mean().item()
    total = 0.0
    for names in (("query", "key"), ("value", "value")):
        pairs = zip(*(products_of(one, batch, at, names, 16) for one, at in ((student, 1), (teacher, 2))), strict=True)
        total += torch.cat(
            [
                functional.kl_div(ours.log_softmax(2), theirs.log_softmax(2), log_target=True, reduction="none").sum(2)
                for ours, theirs in pairs
            ],
            dim=1,
        ).mean()
    return float(total)


@pytest.mark.parametrize("kind", ["hidden", "attention", "relations"])
def test_the_distance_is_the_mean_over_tokens_that_the_papers_define(wide_dir, kind):
    student = make("bert-1x128")
    distance, projections = distance_of(student, wide_dir, kind, match_weight=2.0)
    with torch.no_grad():
        wanted = expected(kind, student.module, encoders.load_folder(wide_dir), batch_of(student), projections)
    assert distance > 0
    assert distance == pytest.approx(2 * wanted, rel=1e-3)


def test_hidden_states_and_attention_add_up(wide_dir):
    hidden, attention, both = (
        distance_of(make("bert-1x128"), wide_dir, kind)[0] for kind in ("hidden", "attention", "hidden+attention")
    )
    assert both == pytest.approx(hidden + attention, rel=1e-5)
    assert min(hidden, attention) > 0


@pytest.mark.parametrize("match", ["attention", "relations"])
def test_a_copy_of_the_teacher_is_at_no_distance(teacher_dir, match):
    copy = make("bert-2x32")
    matched = Matched(copy.module, Teaching(1.0, 1.0, match=match, teacher_dir=teacher_dir))
    logits_BC, distance = matched(copy.module, batch_of(copy))
    assert distance.item() == pytest.approx(0, abs=1e-6)
    assert torch.allclose(logits_BC, fast_encoder.score(copy.module, batch_of(copy)), atol=1e-5)


@pytest.mark.parametrize("match", ["hidden", "relations"])
def test_a_student_of_another_width_moves_towards_the_teacher(teacher_dir, match):
    student = make("roberta-1x64")
    matched = Matched(student.module, Teaching(1.0, 1.0, match=match, teacher_dir=teacher_dir))
    optimizer = torch.optim.Adam(student.module.parameters(), lr=3e-3)
    distances = []
    for _ in range(30):
        _, distance = matched(student.module, batch_of(student))
        optimizer.zero_grad()
        distance.backward()
        optimizer.step()
        distances.append(distance.item())
    assert distances[-1] < 0.7 * distances[0]
    matched.detach()
    assert not hasattr(student.module, MATCHING)
    assert not any(MATCHING in name for name in student.module.state_dict())


def test_a_deeper_student_learns_hidden_states_and_relations(teacher_dir):
    for kind in ("hidden", "relations"):
        assert distance_of(make("bert-3x32"), teacher_dir, kind)[0] > 0


def test_attention_needs_as_many_heads_no_more_layers_and_those_of_known_names(teacher_dir):
    with pytest.raises(ConfigError, match="the student has 2, the teacher 1"):
        Matched(make("bert-1x128").module, Teaching(1.0, 1.0, match="attention", teacher_dir=teacher_dir))
    with pytest.raises(ConfigError, match="no deeper: it has 3 layers, the teacher 2"):
        Matched(make("bert-3x32").module, Teaching(1.0, 1.0, match="hidden+attention", teacher_dir=teacher_dir))
    with pytest.raises(ConfigError, match="does not suit AlbertForSequenceClassification"):
        Matched(make("albert-1x32").module, Teaching(1.0, 1.0, match="hidden", teacher_dir=teacher_dir))
