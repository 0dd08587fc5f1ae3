"""The inside of two encoders: a distance of zero from oneself, gradients for the student alone, no trace afterwards."""

import numpy as np
import pytest
import torch

from yanmo.errors import ConfigError
from yanmo.modeling import lean_encoder
from yanmo.modeling.matching import MATCHING, Matched
from yanmo.modeling.settings import NetworkSettings, Teaching, Texts
from yanmo.modeling.trainables import make_trainable
from yanmo.models import resolve

TEXTS = Texts(["很快，好吃", "great food, fast delivery", "送得太慢了"])


def make(model):
    torch.manual_seed(0)
    settings = NetworkSettings(["0", "1"], "softmax", max_length=16, vocab_size=60, dropout=0.0)
    return make_trainable(resolve(model), TEXTS, settings)


@pytest.fixture(scope="module")
def teacher_dir(tmp_path_factory):
    folder = tmp_path_factory.mktemp("teacher")
    make("bert-2x32").save(folder)
    return folder


def batch_of(trainable):

    return trainable.encode(TEXTS).collate(np.arange(3))


@pytest.mark.parametrize("match", ["attention", "relations"])
def test_a_copy_of_the_teacher_is_at_no_distance(teacher_dir, match):
    copy = make("bert-2x32")
    matched = Matched(copy.module, Teaching(1.0, 1.0, match=match, teacher_dir=teacher_dir))
    logits_BC, distance = matched(copy.module, batch_of(copy))
    assert distance.item() == pytest.approx(0, abs=1e-6)
    assert torch.allclose(logits_BC, lean_encoder.score(copy.module, batch_of(copy)), atol=1e-5)


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


def test_attention_needs_as_many_heads_and_layers_of_known_names(teacher_dir):
    with pytest.raises(ConfigError, match="the student has 2, the teacher 1"):
        Matched(make("bert-1x128").module, Teaching(1.0, 1.0, match="attention", teacher_dir=teacher_dir))
    with pytest.raises(ConfigError, match="does not suit AlbertForSequenceClassification"):
        Matched(make("albert-1x32").module, Teaching(1.0, 1.0, match="hidden", teacher_dir=teacher_dir))
