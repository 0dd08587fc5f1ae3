"""What a network that reads one text and writes another is made of, as plain numpy arrays; it knows no family."""

from __future__ import annotations

from dataclasses import dataclass

from yanmo.arrays import FloatArray
from yanmo.exporting.decoder_tensors import DecoderNorm, DecoderProduct

__all__ = ["CrossAttention", "EncoderDecoderWeights", "LearnedPlaces", "PlaceDistances", "WritingLayer"]


@dataclass(frozen=True)
class CrossAttention:
    """What a layer that writes takes from the text that was read.

    Attributes:
        norm: Before it.
        queries: Of what is written.
        keys: Of what was read.
        values: Of what was read.
        out: From the heads to the width.
    """

    norm: DecoderNorm
    queries: DecoderProduct
    keys: DecoderProduct
    values: DecoderProduct
    out: DecoderProduct


@dataclass(frozen=True)
class WritingLayer:
    """One transformer layer, each of whose parts reads normalized states.

    Attributes:
        name: Unique in a network.
        attention_norm: Before the attention to the same text.
        attention_in: Queries, keys and values side by side.
        attention_out: From the heads to the width.
        cross: The attention to the other text; None in layers that read.
        feed_forward_norm: Before the feed-forward part.
        feed_forward_in: To the inner width; of a gated part the gate and what it lets through, side by side.
        feed_forward_out: Back to the width.
    """

    name: str
    attention_norm: DecoderNorm
    attention_in: DecoderProduct
    attention_out: DecoderProduct
    cross: CrossAttention | None
    feed_forward_norm: DecoderNorm
    feed_forward_in: DecoderProduct
    feed_forward_out: DecoderProduct

    @property
    def products(self) -> tuple[DecoderProduct, ...]:
        """The linear maps in the order in which they run."""
        cross = () if self.cross is None else (self.cross.queries, self.cross.keys, self.cross.values, self.cross.out)
        return (self.attention_in, self.attention_out, *cross, self.feed_forward_in, self.feed_forward_out)


@dataclass(frozen=True)
class PlaceDistances:
    """What each head adds for how far the token is that is looked at.

    Attributes:
        table_HP: In an encoder from the farthest to the left to the farthest to the right; in a decoder from the token
            itself to the farthest to the left.
    """

    table_HP: FloatArray


@dataclass(frozen=True)
class LearnedPlaces:
    """What is added to the embedding of a token for its place.

    Attributes:
        table_PD: Of every place from the first on.
    """

    table_PD: FloatArray


@dataclass(frozen=True)
class EncoderDecoderWeights:
    """A whole network.

    Attributes:
        tokens_VD: Embedding of every token, of both sides.
        reading: The encoder's layers.
        reading_norm: Behind them.
        reading_places: What the encoder knows of where tokens stand.
        writing: The decoder's layers.
        writing_norm: Behind them, before the scores.
        writing_places: What the decoder knows of where tokens stand.
        output_VD: From the last state to the scores; None where these are products with the embeddings.
        num_heads: H.
        head_width: Of every head.
        activation: Of the feed-forward part.
        is_gated: Whether the activation gates a second product.
        epsilon: Of every normalization.
        adds_to_normed: Whether what a layer adds is added to the normalized states, so that these go on, and not to
            the states before.
        embedding_scale: Embeddings are multiplied by it before anything else, and not where they make scores.
        output_bias_V: Added to the scores.
    """

    tokens_VD: FloatArray
    reading: tuple[WritingLayer, ...]
    reading_norm: DecoderNorm
    reading_places: PlaceDistances | LearnedPlaces
    writing: tuple[WritingLayer, ...]
    writing_norm: DecoderNorm
    writing_places: PlaceDistances | LearnedPlaces
    output_VD: FloatArray | None
    num_heads: int
    head_width: int
    activation: str
    is_gated: bool
    epsilon: float
    adds_to_normed: bool = False
    embedding_scale: float = 1.0
    output_bias_V: FloatArray | None = None
