"""The weights of a decoder that writes texts, whatever its family, as plain numpy arrays.

Read from a Hugging Face folder. It knows neither torch nor ONNX operators.

Source: Radford et al. 2019, "Language Models are Unsupervised Multitask Learners" (GPT-2); Touvron et al. 2023,
"LLaMA", section 2.2, arXiv:2302.13971; Qwen Team 2024, "Qwen2 Technical Report", arXiv:2407.10671;
So et al. 2021, "Primer", arXiv:2109.08668 (Arcee: Llama with squared ReLU and without gates).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from yanmo.arrays import FloatArray
from yanmo.errors import ModelError
from yanmo.exporting.decoder_tensors import DecoderNorm, DecoderProduct, DecoderTensors, read_checkpoint

__all__ = [
    "DECODER_READERS",
    "DecoderLayer",
    "DecoderWeights",
    "is_decoder",
    "read_decoder",
]


@dataclass(frozen=True)
class DecoderLayer:
    """One transformer layer that normalizes before each of its two parts.

    Attributes:
        name: Unique in a decoder.
        attention_norm: Before the attention.
        attention_in: Queries, keys and values side by side.
        query_norm: Over each head's queries; None where there is none.
        key_norm: Over each head's keys; None where there is none.
        attention_out: From the heads to the width.
        feed_forward_norm: Before the feed-forward part.
        feed_forward_in: To the inner width; of a gated part the gate and what it lets through, side by side.
        feed_forward_out: Back to the width.
    """

    name: str
    attention_norm: DecoderNorm
    attention_in: DecoderProduct
    query_norm: DecoderNorm | None
    key_norm: DecoderNorm | None
    attention_out: DecoderProduct
    feed_forward_norm: DecoderNorm
    feed_forward_in: DecoderProduct
    feed_forward_out: DecoderProduct

    @property
    def products(self) -> tuple[DecoderProduct, ...]:
        """The four linear maps in the order in which they run."""
        return (self.attention_in, self.attention_out, self.feed_forward_in, self.feed_forward_out)


@dataclass(frozen=True)
class DecoderWeights:
    """A whole language model.

    Attributes:
        tokens_VD: Embedding of every token.
        positions_PD: Embedding of every place; None where places are told by rotation.
        layers: In the order in which they run.
        final_norm: Before the scores.
        output_VD: From the last state to the scores; None where these are products with the embeddings.
        num_heads: Of the queries.
        num_kv_heads: Of keys and values; each is shared by as many heads of queries.
        head_width: Of every head.
        activation: Of the feed-forward part: gelu, gelu_new, relu, relu2 (squared) or silu.
        is_gated: Whether the activation gates a second product.
        epsilon: Of every normalization.
        rotary_base: Of the rotation by place; None where places have embeddings.
        max_length: The most tokens of a text.
    """

    tokens_VD: FloatArray
    positions_PD: FloatArray | None
    layers: tuple[DecoderLayer, ...]
    final_norm: DecoderNorm
    output_VD: FloatArray | None
    num_heads: int
    num_kv_heads: int
    head_width: int
    activation: str
    is_gated: bool
    epsilon: float
    rotary_base: float | None
    max_length: int


def _read_gpt2(weights: DecoderTensors, config: Mapping[str, Any]) -> DecoderWeights:
    base = "transformer." if weights.get("transformer.wte.weight") is not None else ""

    def product(name: str, source: str) -> DecoderProduct:
        # GPT-2 keeps its weights the other way round, (inputs, outputs).
        return DecoderProduct(name, weights[f"{source}.weight"], weights[f"{source}.bias"])

    layers = []
    for place in range(config["n_layer"]):
        name, source = f"layer.{place}", f"{base}h.{place}"
        layers.append(
            DecoderLayer(
                name,
                weights.norm(f"{name}.attention_norm", f"{source}.ln_1"),
                product(f"{name}.attention_in", f"{source}.attn.c_attn"),
                None,
                None,
                product(f"{name}.attention_out", f"{source}.attn.c_proj"),
                weights.norm(f"{name}.feed_forward_norm", f"{source}.ln_2"),
                product(f"{name}.feed_forward_in", f"{source}.mlp.c_fc"),
                product(f"{name}.feed_forward_out", f"{source}.mlp.c_proj"),
            )
        )
    num_heads = config["n_head"]
    return DecoderWeights(
        tokens_VD=weights[f"{base}wte.weight"],
        positions_PD=weights[f"{base}wpe.weight"],
        layers=tuple(layers),
        final_norm=weights.norm("final_norm", f"{base}ln_f"),
        output_VD=None if config.get("tie_word_embeddings", True) else weights["lm_head.weight"],
        num_heads=num_heads,
        num_kv_heads=num_heads,
        head_width=config["n_embd"] // num_heads,
        activation=config.get("activation_function", "gelu_new"),
        is_gated=False,
        epsilon=float(config.get("layer_norm_epsilon", 1e-5)),
        rotary_base=None,
        max_length=config["n_positions"],
    )


def _read_llama(weights: DecoderTensors, config: Mapping[str, Any]) -> DecoderWeights:
    # Arcee is Llama without gates.
    gates = () if config["model_type"] == "arcee" else ("gate_proj",)
    layers = []
    for place in range(config["num_hidden_layers"]):
        name, source = f"layer.{place}", f"model.layers.{place}"
        attention, inner = f"{source}.self_attn", f"{source}.mlp"
        layers.append(
            DecoderLayer(
                name,
                weights.norm(f"{name}.attention_norm", f"{source}.input_layernorm"),
                weights.product(f"{name}.attention_in", *(f"{attention}.{one}_proj" for one in "qkv")),
                weights.optional_norm(f"{name}.query_norm", f"{attention}.q_norm"),
                weights.optional_norm(f"{name}.key_norm", f"{attention}.k_norm"),
                weights.product(f"{name}.attention_out", f"{attention}.o_proj"),
                weights.norm(f"{name}.feed_forward_norm", f"{source}.post_attention_layernorm"),
                weights.product(f"{name}.feed_forward_in", *(f"{inner}.{one}" for one in (*gates, "up_proj"))),
                weights.product(f"{name}.feed_forward_out", f"{inner}.down_proj"),
            )
        )
    num_heads = config["num_attention_heads"]
    return DecoderWeights(
        tokens_VD=weights["model.embed_tokens.weight"],
        positions_PD=None,
        layers=tuple(layers),
        final_norm=weights.norm("final_norm", "model.norm"),
        output_VD=None if config.get("tie_word_embeddings", False) else weights["lm_head.weight"],
        num_heads=num_heads,
        num_kv_heads=config.get("num_key_value_heads") or num_heads,
        head_width=config.get("head_dim") or config["hidden_size"] // num_heads,
        activation=config["hidden_act"],
        is_gated=bool(gates),
        epsilon=float(config["rms_norm_eps"]),
        rotary_base=float(_rotation(config).get("rope_theta", config.get("rope_theta", 10_000.0))),
        max_length=config["max_position_embeddings"],
    )


def _rotation(config: Mapping[str, Any]) -> Mapping[str, Any]:
    # The second is the name before transformers 5.
    return config.get("rope_parameters") or config.get("rope_scaling") or {}


DECODER_READERS: dict[str, Callable[[DecoderTensors, Mapping[str, Any]], DecoderWeights]] = {
    "gpt2": _read_gpt2,
    "arcee": _read_llama,
    "llama": _read_llama,
    "qwen2": _read_llama,
    "qwen3": _read_llama,
}
"""What ``config.json`` calls a family, to what reads its weights."""
ACTIVATIONS = ("gelu", "gelu_new", "relu", "relu2", "silu")


def is_decoder(config: Mapping[str, Any]) -> bool:
    """Return whether a ``config.json`` describes a decoder that :func:`read_decoder` can read."""
    return (
        config.get("model_type") in DECODER_READERS
        and config.get("activation_function", config.get("hidden_act", "gelu_new")) in ACTIVATIONS
        # Frequencies that change with the length, and windows of attention, are not in the graph.
        and _rotation(config).get("rope_type", "default") == "default"
        and not config.get("use_sliding_window", False)
        and config.get("scale_attn_weights", True)
        and not config.get("scale_attn_by_inverse_layer_idx", False)
    )


def read_decoder(folder: Path) -> DecoderWeights:
    """Return the decoder of a Hugging Face folder: ``config.json`` and ``model.safetensors``.

    Raises:
        ModelError: The family is another one, a file cannot be read, or a weight is missing.
    """
    config, weights = read_checkpoint(folder)
    if not is_decoder(config):
        raise ModelError(
            f"{folder / 'config.json'} describes no language model whose graph can be written.",
            hint=f"The families are: {', '.join(DECODER_READERS)}, with positions that are not scaled.",
        )
    try:
        decoder = DECODER_READERS[config["model_type"]](weights, config)
    except KeyError as error:
        raise ModelError(f"{folder} lacks the weight or the setting {error}.", hint="Copy the model again.") from error
    step = 8 if decoder.rotary_base is None else 16
    if decoder.head_width % step:
        raise ModelError(
            f"The heads of {folder} are {decoder.head_width} wide; onnxruntime computes multiples of {step}.",
            hint="Train a model with other heads.",
        )
    return decoder
