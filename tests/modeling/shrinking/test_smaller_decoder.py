"""What is cut out of a language model is gone, and the rest says what it said where the parts were silent."""

import pytest
import torch
from transformers import Qwen3Config, Qwen3ForCausalLM

from yanmo.errors import ConfigError
from yanmo.modeling.language.decoders import build_decoder
from yanmo.modeling.settings import Pruning
from yanmo.modeling.shrinking.pruned_decoder import prune_decoder
from yanmo.modeling.shrinking.smaller_decoder import StayingParts, decoder_parts, make_smaller
from yanmo.models import resolve

IDS = torch.arange(12).view(2, 6)
SHAPE = {"vocab_size": 40, "end_id": 0, "max_length": 16, "dropout": 0.0}


def qwen():
    sizes = {"hidden_size": 64, "intermediate_size": 64, "num_hidden_layers": 2, "max_position_embeddings": 16}
    heads = {"num_attention_heads": 4, "num_key_value_heads": 4, "head_dim": 16, "bos_token_id": 0, "eos_token_id": [0]}
    return Qwen3ForCausalLM(Qwen3Config(vocab_size=40, **sizes, **heads))


MAKERS = {
    **{
        name: lambda name=name: build_decoder(resolve(f"{name}-2x64"), **SHAPE)
        for name in ("gpt2", "gpt", "lstm", "gcnn")
    },
    "qwen3": qwen,
}


@pytest.fixture(params=MAKERS)
def module(request):
    torch.manual_seed(1)
    return MAKERS[request.param]().eval()


def logits(module):
    with torch.no_grad():
        return module(input_ids=IDS, use_cache=False).logits


def test_silent_parts_can_go(module):
    family, kept = decoder_parts(module), {}
    named = dict(module.named_parameters())
    width = {"heads": 16 if module.config.model_type == "qwen3" else 64, "neurons": 1}
    for part in family.counts:
        reader = family.reader(part)
        for name in (one for one in named if one.endswith(f"{reader}.weight")):
            weight = named[name].data
            inputs = weight if family.is_turned else weight.T
            count = len(inputs) // width[part]
            # A head alone stays, of neurons half of them.
            silent = slice(len(inputs) // 2, None) if count > 1 else slice(0, 0)
            inputs[silent] = 0.0
            kept[part] = [list(range(max(count // 2, 1)))] * 2
    smaller = make_smaller(module, StayingParts([0, 1], kept))
    torch.testing.assert_close(logits(smaller), logits(module))
    sizes = [sum(one.numel() for one in network.parameters()) for network in (smaller, module)]
    assert sizes[0] < sizes[1] or not kept


def test_fewer_layers_and_tokens_are_those_that_stay(module):
    tokens = torch.arange(20).numpy()
    smaller = make_smaller(module, StayingParts([0, 1], {}, tokens))
    torch.testing.assert_close(logits(smaller), logits(module)[..., :20])
    shallow = make_smaller(module, StayingParts([1], {}))
    assert getattr(shallow.config, decoder_parts(module).num_layers) == 1
    assert logits(shallow).shape == (2, 6, 40)
    assert smaller.config.vocab_size == 20


@pytest.mark.parametrize(("name", "keys"), [("gpt2", {"heads": 0.5}), ("lstm", {"feed_forward": 0.5})])
def test_parts_that_a_family_does_not_have_are_refused_by_the_key(name, keys):
    with pytest.raises(ConfigError, match=f"The '{next(iter(keys))}' parameter of prune does not suit"):
        prune_decoder(MAKERS[name](), None, ["a"], Pruning(**keys), None)
