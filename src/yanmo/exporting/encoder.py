"""The weights of an encoder with a classification head, whatever its family, as plain numpy arrays.

``encoder_folder`` reads them from a Hugging Face folder, ``encoder_file`` from a graph that ``encoder_graph`` wrote. It
knows neither torch nor ONNX operators. Layers may differ in heads and in feed-forward width; layers of one name share
their weights.
"""

from __future__ import annotations

from dataclasses import dataclass

from yanmo.arrays import FloatArray

__all__ = ["ACTIVATIONS", "Distances", "Encoder", "Layer", "Norm", "Product"]

ACTIVATIONS = ("gelu", "gelu_new", "gelu_pytorch_tanh", "relu", "silu", "tanh")


@dataclass(frozen=True)
class Product:
    """An affine map, ``x @ weight + bias``.

    Attributes:
        name: Unique in an encoder, but for layers that share it.
        weight_KN: float32, shape (inputs, outputs).
        bias_N: float32.
    """

    name: str
    weight_KN: FloatArray
    bias_N: FloatArray


@dataclass(frozen=True)
class Norm:
    """Layer normalization over the width."""

    name: str
    scale_D: FloatArray
    shift_D: FloatArray


@dataclass(frozen=True)
class Distances:
    """What is added to the scores of attention for how far a token stands behind another.

    Attributes:
        name: Layers of one name share it.
        values_HR: Of every head, for the distances from -(P - 1) to P - 1, where texts have P tokens at most.
    """

    name: str
    values_HR: FloatArray


@dataclass(frozen=True)
class Layer:
    """One transformer layer.

    Attributes:
        name: Layers of one name share their weights.
        num_heads: Of the attention; each is as wide as the outputs of ``attention_in`` allow.
        attention_in: Queries, keys and values side by side, shape (D, 3 * heads * head width).
        attention_norm: Of the attention; None where nothing is normalized.
        distances: Added to its scores; None where nothing is.
        rotary_base: Queries and keys are turned by angles whose wavelengths reach to 2 pi times it; 0: they are not.
        window: Tokens attend to those at most so far away; 0: to all.
    """

    name: str
    num_heads: int
    attention_in: Product
    attention_out: Product
    attention_norm: Norm | None
    feed_forward_in: Product
    feed_forward_out: Product
    feed_forward_norm: Norm
    distances: Distances | None = None
    rotary_base: float = 0.0
    window: int = 0

    @property
    def products(self) -> tuple[Product, ...]:
        """The four affine maps in the order in which they run."""
        return (self.attention_in, self.attention_out, self.feed_forward_in, self.feed_forward_out)


@dataclass(frozen=True)
class Encoder:
    """A whole classifier of texts, or of their units, or what gives vectors of texts.

    Attributes:
        tokens_VE: Embedding of every token.
        positions_PE: Embedding of every place, from the first token on; None where places are known otherwise.
        types_SE: Embedding of the first and the second text of a pair; None where the model has none.
        embedding_norm: Over their sum.
        projection: From the embeddings' width to the layers'; None where they are equal.
        layers: In the order in which they run.
        activation: Of the feed-forward part, one of :data:`ACTIVATIONS`.
        head: From the text's state to the scores: a hidden product and the classifier, or the classifier alone; none
            where the state itself is what is wanted.
        head_activation: Between the two.
        pooling: The text's state is the first token's (``first``), or the mean of all tokens' (``mean``); where every
            unit of a text is classified (``units``), its state is that of its first token.
        epsilon: Of every normalization.
        norms_first: Layers normalize what they read, and not the sums that they give.
        is_gated: The products into the feed-forward part give numbers and, beside them, as many gates.
        final_norm: Over the states of the last layer; None where there is none.
        head_norm: Over the head's hidden state; None where there is none.
    """

    tokens_VE: FloatArray
    positions_PE: FloatArray | None
    types_SE: FloatArray | None
    embedding_norm: Norm
    projection: Product | None
    layers: tuple[Layer, ...]
    activation: str
    head: tuple[Product, ...]
    head_activation: str
    pooling: str
    epsilon: float
    norms_first: bool = False
    is_gated: bool = False
    final_norm: Norm | None = None
    head_norm: Norm | None = None

    @property
    def num_outputs(self) -> int:
        """How many numbers the head gives; without one as many as a state has."""
        return len(self.head[-1].bias_N) if self.head else len(self.layers[-1].feed_forward_out.bias_N)

    def products(self) -> list[Product]:
        """Return every distinct affine map in the order in which they run."""
        found = [one for one in (self.projection,) if one is not None]
        found += [product for layer in self.layers for product in layer.products]
        return list({product.name: product for product in (*found, *self.head)}.values())
