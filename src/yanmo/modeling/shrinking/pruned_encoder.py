"""An encoder without the parts that matter least, ready for the training in which it recovers; it knows no artifact."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from transformers import PreTrainedTokenizerFast

from yanmo.errors import ConfigError
from yanmo.modeling.features.ragged import Examples
from yanmo.modeling.networks import encoders
from yanmo.modeling.networks.trainable_networks import Trainable, encoder_trainable
from yanmo.modeling.objectives.choices import LOSSES, Labels, row_of_link
from yanmo.modeling.pretrained.checkpoint_tokenizer import load_tokenizer
from yanmo.modeling.settings import LabeledTexts, NetworkSettings, Pruning
from yanmo.modeling.shrinking import cutting, pruning
from yanmo.modeling.shrinking.layer_layouts import LAYOUTS, layout_of
from yanmo.text.inputs import Inputs
from yanmo.text.vocabulary import cut_tokenizer, used_tokens

__all__ = ["make_pruned"]


def make_pruned(folder: Path, train: LabeledTexts, options: Pruning, network: NetworkSettings) -> Trainable:
    """Return an encoder without the parts that matter least; the same ones in every call.

    Args:
        folder: Its Hugging Face folder.
        train: Texts to learn from, some with labels; they say what matters and which tokens stay.
        options: What is cut out.
        network: Labels, loss and length.

    Returns:
        The encoder; ``architecture["kept"]`` says what is left of each layer, and ``architecture["is_stock"]`` whether
        transformers' own class can hold it. If not, its config.json has ``layer_heads``, the heads that each layer has
        kept.

    Raises:
        ConfigError: The encoder's parts or tokens cannot be cut.
    """
    module: Any = encoders.load(folder, labels=network.labels, link=network.link)
    # Before anything is computed.
    _check_layout(module, options)
    wrapped = load_tokenizer(folder)
    if options.vocabulary:
        wrapped = _cut_vocabulary(module, wrapped, train.texts, options.vocabulary, network.max_length or 0)
    trainable = encoder_trainable(module, wrapped, wrapped.backend_tokenizer, network, network.max_length or 0)
    examples = _sample(trainable.encode, train, options.num_importance_texts)
    loss = row_of_link(LOSSES, network.link)
    if options.layers:
        cutting.cut_layers(module, pruning.choose_layers(module, examples, loss, options.layers))
    cut = None
    if options.heads or options.feed_forward:
        matters = pruning.measure_importance(module, examples, loss, options.importance)
        cut = pruning.choose_parts(
            matters,
            head_width=module.config.hidden_size // module.config.num_attention_heads,
            heads=options.heads,
            neurons=options.feed_forward,
            is_uniform=options.uniform,
        )
        # Where layers or tokens were cut, something is left out in any case.
        if not (options.layers or options.vocabulary):
            _check_cut(cut, [len(one) for one in matters[0]], [len(one) for one in matters[1]])
        cutting.cut_parts(module, cut)
    trainable.architecture.update(_describe(module, cut))
    return trainable


def _check_layout(module: Any, options: Pruning) -> None:
    """Refuse families that cannot be cut at all, and those whose layers cannot differ, where they would.

    Raises:
        ConfigError: As said.
    """
    if layout_of(module).can_differ or (options.uniform and not options.heads):
        return
    others = ", ".join(name for name, layout in LAYOUTS.items() if layout.can_differ)
    raise ConfigError(
        f"prune cannot cut heads out of {type(module).__name__}, nor other numbers of neurons out of its layers: no "
        "ONNX graph is written for it.",
        hint=f"Leave heads out, and uniform as it is. Heads can be cut out of {others}.",
    )


def _check_cut(cut: cutting.Cut, num_heads: list[int], num_neurons: list[int]) -> None:
    """Refuse shares so small that every part stays.

    Raises:
        ConfigError: As said.
    """
    if [len(one) for one in (*cut.heads, *cut.neurons)] == [*num_heads, *num_neurons]:
        raise ConfigError(
            f"prune would leave nothing out: the shares of the {num_heads[0]} heads and the {num_neurons[0]} neurons "
            "of a layer are less than the step in which widths are cut.",
            hint="Give a larger share as heads or feed_forward.",
        )


def _sample(encode: Callable[[Inputs], Any], train: LabeledTexts, num_texts: int) -> Examples:
    """Return some of the texts that have labels."""
    labeled = np.flatnonzero(train.is_labeled_N)
    rows = labeled[np.unique(np.linspace(0, len(labeled) - 1, num_texts).round().astype(np.int64))]
    some = train.take(rows)
    return Examples(encode(some.texts), Labels(some.targets))


def _cut_vocabulary(
    module: Any, wrapped: PreTrainedTokenizerFast, texts: Inputs, min_count: int, max_length: int
) -> PreTrainedTokenizerFast:
    tokenizer = wrapped.backend_tokenizer
    columns = [column for column in (texts.first, texts.second) if column]
    kept = used_tokens(tokenizer, columns, min_count=min_count)
    smaller = cut_tokenizer(tokenizer, kept)
    old_pad = module.config.pad_token_id
    # RoBERTa numbers places from behind the id of its padding token on: these come before the first that is read.
    num_unread = module.config.max_position_embeddings - (encoders.max_positions(module) or 0)
    cutting.cut_embeddings(module, kept, max_length + num_unread)
    if num_unread and module.config.pad_token_id != old_pad:
        raise ConfigError(
            "The 'vocabulary' parameter of prune would move the padding token, from which this model counts places.",
            hint="Leave vocabulary out.",
        )
    specials = {name: token for name, token in wrapped.special_tokens_map.items() if isinstance(token, str)}
    fresh: PreTrainedTokenizerFast = PreTrainedTokenizerFast(  # type: ignore[no-untyped-call]
        tokenizer_object=smaller,
        model_max_length=wrapped.model_max_length,
        # Stock classes refuse inputs that they do not know, such as token types.
        model_input_names=wrapped.model_input_names,
        **specials,
    )
    return fresh


def _describe(module: Any, cut: cutting.Cut | None) -> dict[str, Any]:
    """Return what is left of each layer, and note in the config what it has no words for."""
    heads, neurons = cutting.count_heads(module), cutting.count_neurons(module)
    is_stock = set(heads) == {module.config.num_attention_heads} and len(set(neurons)) == 1
    if cut is not None and not is_stock:
        module.config.layer_heads = cut.heads
    kept = {"heads": heads, "neurons": neurons, "tokens": module.config.vocab_size}
    return {"kept": kept, "is_stock": is_stock, "num_parameters": sum(one.numel() for one in module.parameters())}
