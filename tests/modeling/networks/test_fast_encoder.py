"""The lean forward pass against transformers' own: the same scores and the same gradients from the same weights."""

import pytest
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from transformers import AutoModelForMaskedLM

from yanmo.answers.links import SOFTMAX
from yanmo.modeling.arithmetic.precision import autocast
from yanmo.modeling.loop.micro_batches import to_device
from yanmo.modeling.networks import encoders, fast_encoder
from yanmo.modeling.networks.dropout import MaskedDropout, Masks, replace_dropout
from yanmo.models import resolve
from yanmo.text.tokenizer import train_wordpiece

NAMES = ("bert-2x32", "roberta-2x32", "electra-2x32")
TEXTS = ["the parcel is late today", "味道很好", "so tasty", "快递 很 慢 !"]


@pytest.fixture(scope="module")
def tokenizer():
    return train_wordpiece(TEXTS * 5, 60)


def build(name, tokenizer, dropout=0.0):
    torch.manual_seed(3)
    return encoders.build_encoder(
        resolve(name), tokenizer, labels=["a", "b", "c"], link=SOFTMAX, max_length=16, dropout=dropout
    )


def make_batch(lengths=(7, 3, 5, 7), *, types=False):
    torch.manual_seed(4)
    mask_BT = (torch.arange(max(lengths)) < torch.tensor(lengths)[:, None]).long()
    batch = {"input_ids": torch.randint(5, 40, mask_BT.shape) * mask_BT, "attention_mask": mask_BT}
    return batch | ({"token_type_ids": (torch.arange(max(lengths)) > 2).long() * mask_BT} if types else {})


def gradients(module, score, batch):
    module.zero_grad()
    (score(module, batch) * torch.tensor([1.0, -2.0, 0.5])).sum().backward()
    return {name: one.grad for name, one in module.named_parameters() if one.grad is not None}


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("lengths", [(7, 3, 5, 7), (6, 6), (1, 1), (4,)])
def test_scores_and_gradients_are_those_of_transformers(name, lengths, tokenizer):
    module, batch = build(name, tokenizer).train(), make_batch(lengths, types=name.startswith("bert"))
    assert fast_encoder.is_lean(module)
    torch.testing.assert_close(
        fast_encoder.score(module, batch), encoders.score_encoder(module, batch), atol=1e-5, rtol=1e-5
    )
    ours, theirs = (gradients(module, score, batch) for score in (fast_encoder.score, encoders.score_encoder))
    assert ours.keys() == theirs.keys()
    for key, gradient in theirs.items():
        torch.testing.assert_close(ours[key], gradient, atol=1e-5, rtol=1e-4, msg=key)


def read_plainly(module, batch):
    return module.base_model(**batch).last_hidden_state


def build_reader(name, tokenizer):
    """Return a masked-language model."""
    torch.manual_seed(3)
    spec = resolve(name)
    config = encoders.CONFIGS[spec.family](**encoders.shape_sizes(spec, tokenizer, max_length=16, dropout=0.0))
    return AutoModelForMaskedLM.from_config(config)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("build", [build, build_reader], ids=["classifier", "masked"])
def test_states_and_gradients_of_all_tokens_are_those_of_transformers(name, build, tokenizer):
    module, batch = build(name, tokenizer).train(), make_batch(types=name.startswith("bert"))
    assert fast_encoder.can_read(module)
    weights_BTD = torch.randn(4, 7, 32) * batch["attention_mask"][:, :, None]

    def weighted(read):
        return lambda *both: (read(*both) * weights_BTD).sum(1)[:, :3]

    mask_BT = batch["attention_mask"].bool()
    states = [read(module, batch)[mask_BT] for read in (fast_encoder.read_states, read_plainly)]
    torch.testing.assert_close(*states, atol=1e-5, rtol=1e-5)
    ours, theirs = (gradients(module, weighted(read), batch) for read in (fast_encoder.read_states, read_plainly))
    assert ours.keys() == theirs.keys()
    for key, gradient in theirs.items():
        torch.testing.assert_close(ours[key], gradient, atol=1e-5, rtol=1e-4, msg=key)


@pytest.mark.parametrize("name", NAMES)
def test_in_bf16_the_states_are_near_and_the_gradients_are_of_32_bits(name, tokenizer):
    module, batch = build_reader(name, tokenizer), make_batch((7, 7, 7, 7))
    with autocast("cpu", "bf16"):
        states_BTD = fast_encoder.read_states(module, batch)
        learned = gradients(module, lambda *both: fast_encoder.read_states(*both)[:, 0, :3], batch)
    torch.testing.assert_close(states_BTD.float(), read_plainly(module, batch), atol=0.08, rtol=0.05)
    assert all(one.dtype == torch.float32 for one in learned.values())


@pytest.mark.parametrize(("lengths", "has_bias"), [((6, 6), False), ((6, 5), True), ((1,), False)])
def test_a_device_is_given_no_bias_where_the_host_knows_that_there_is_no_padding(lengths, has_bias):
    mask_BT = to_device(make_batch(lengths), "meta")["attention_mask"]
    assert mask_BT.shape == (len(lengths), max(lengths))
    assert (fast_encoder._bias(mask_BT, torch.bfloat16) is not None) == has_bias


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device")
def test_on_a_gpu_a_batch_without_padding_is_read_by_the_flash_kernel(tokenizer):
    module, batch = build("bert-2x32", tokenizer).cuda().eval(), to_device(make_batch((6, 6)), "cuda")
    with sdpa_kernel(SDPBackend.FLASH_ATTENTION), autocast("cuda", "bf16"), torch.inference_mode():
        states_BTD = fast_encoder.read_states(module, batch)
    with torch.inference_mode():
        torch.testing.assert_close(states_BTD.float(), read_plainly(module, batch), atol=0.08, rtol=0.05)


@pytest.mark.parametrize("name", NAMES)
def test_in_bf16_the_scores_are_near_and_the_gradients_are_of_32_bits(name, tokenizer):
    module, batch = build(name, tokenizer), make_batch()
    with autocast("cpu", "bf16"):
        scores_BC = fast_encoder.score(module, batch)
    torch.testing.assert_close(scores_BC.float(), encoders.score_encoder(module, batch), atol=0.03, rtol=0.03)
    with autocast("cpu", "bf16"):
        assert all(one.dtype == torch.float32 for one in gradients(module, fast_encoder.score, batch).values())


def test_dropout_takes_the_masks_that_transformers_takes(tokenizer):
    module, batch = build("bert-1x32", tokenizer, dropout=0.4).train(), make_batch((5, 5))
    module.bert.encoder.layer[0].attention.self.dropout.p = 0.0
    masks = Masks()
    replace_dropout(module, masks)
    assert isinstance(module.dropout, MaskedDropout)
    scores = [fast_encoder.score(module, batch) for _ in range(400)]
    plain = [encoders.score_encoder(module, batch) for _ in range(400)]
    ours, theirs = (torch.stack(one).detach() for one in (scores, plain))
    torch.testing.assert_close(ours.mean(0), theirs.mean(0), atol=0.06, rtol=0)
    torch.testing.assert_close(ours.std(0), theirs.std(0), atol=0.05, rtol=0)


def test_the_head_is_sampled_in_training_only(tokenizer):
    module, batch = build("bert-1x32", tokenizer, dropout=0.3), make_batch()
    assert fast_encoder.score(module.train(), batch, num_samples=3).shape == (12, 3)
    assert fast_encoder.score(module.eval(), batch, num_samples=3).shape == (4, 3)


@pytest.mark.parametrize("name", ["albert-1x32"])
def test_other_architectures_are_left_to_transformers(name, tokenizer):
    assert not fast_encoder.is_lean(build(name, tokenizer))


def test_a_network_with_adapters_is_left_to_transformers(tokenizer):
    pytest.importorskip("peft", reason="the extra lora is not installed")
    from yanmo.modeling.networks.adapters import add_adapters

    module = build("bert-1x32", tokenizer)
    add_adapters(module, 2)
    assert not fast_encoder.is_lean(module)
