"""Networks without attention that read from left to right: an LSTM, and gated convolutions; it knows no training.

They are classes of transformers' kind, so they are saved and opened as every other language model is, once
:func:`register` has told transformers their names. Embeddings and scores share one matrix (Press, Wolf 2017,
arXiv:1608.05859).
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import AutoConfig, AutoModelForCausalLM, PretrainedConfig, PreTrainedModel
from transformers.modeling_outputs import CausalLMOutput

__all__ = ["GatedConvolutionsConfig", "LstmConfig", "register"]

KERNEL = 4
"""Places that a convolution reads: the last one and three before it."""
EMBEDDING_DEVIATION = 0.1
"""Smaller ones, as those of attention, say too little at first: what reads them multiplies them by small numbers."""
EMBEDDING_SHARE = 0.25
"""Of the dropout of states that of whole tokens."""


class LstmConfig(PretrainedConfig):  # type: ignore[no-untyped-call]
    """The sizes of an LSTM: all layers are as wide as the embeddings."""

    model_type = "yanmo-lstm"

    def __init__(
        self,
        hidden_size: int = 256,
        num_hidden_layers: int = 2,
        dropout: float = 0.0,
        max_position_embeddings: int = 256,
        **shared: Any,
    ) -> None:
        self.hidden_size, self.num_hidden_layers = hidden_size, num_hidden_layers
        self.dropout, self.max_position_embeddings = dropout, max_position_embeddings
        self.vocab_size = shared.pop("vocab_size", 0)
        super().__init__(**{**shared, "tie_word_embeddings": False})


class GatedConvolutionsConfig(LstmConfig):  # type: ignore[no-untyped-call]
    """The sizes of gated convolutions, which are those of an LSTM."""

    model_type = "yanmo-gcnn"


class _LightDecoder(PreTrainedModel):  # type: ignore[no-untyped-call]
    """Embeddings, layers of some kind, and scores by the same matrix."""

    base_model_prefix = "model"

    def __init__(self, config: Any) -> None:
        super().__init__(config)
        self.embeddings = nn.Embedding(config.vocab_size, config.hidden_size)
        self.bias = nn.Parameter(torch.zeros(config.vocab_size))

    def _init_weights(self, module: nn.Module) -> None:
        """Give what begins at random its numbers."""
        if isinstance(module, nn.Embedding):
            nn.init.normal_(module.weight, std=EMBEDDING_DEVIATION)
        elif isinstance(module, nn.Linear):
            nn.init.xavier_uniform_(module.weight)
            nn.init.zeros_(module.bias)

    def get_input_embeddings(self) -> nn.Module:
        """Return the embeddings of the tokens."""
        return self.embeddings

    def read(self, states_BTD: Tensor) -> Tensor:
        """Return what the layers make of the embeddings."""
        raise NotImplementedError

    def forward(self, input_ids: Tensor, **_: Any) -> CausalLMOutput:
        """Return the scores of the token behind every place, shape (B, T, V); no place sees those behind it."""
        dropout = self.config.dropout if self.training else 0.0
        states_BTD = locked(self.read(locked(self._embed(input_ids, dropout), dropout)), dropout)
        return CausalLMOutput(logits=functional.linear(states_BTD, self.embeddings.weight, self.bias))

    def _embed(self, ids_BT: Tensor, dropout: float) -> Tensor:
        """Return the embeddings, in training without some tokens, wherever they stand."""
        weight_VD = self.embeddings.weight
        if dropout:
            kept_V1 = torch.rand(len(weight_VD), 1, device=weight_VD.device) >= EMBEDDING_SHARE * dropout
            weight_VD = weight_VD * kept_V1 / (1 - EMBEDDING_SHARE * dropout)
        return functional.embedding(ids_BT, weight_VD)


class LstmForCausalLM(_LightDecoder):  # type: ignore[no-untyped-call]
    """An LSTM with the dropouts of AWD-LSTM.

    Source: Merity, Keskar, Socher 2018, "Regularizing and Optimizing LSTM Language Models", sections 2, 4.1 to 4.4,
        arXiv:1708.02182 (DropConnect of the recurrent weights, one mask for all places of a text, dropout of tokens).
    Differs: one key is the share of all of them; all layers are as wide as the embeddings; every row begins anew.
    """

    config_class = LstmConfig

    def __init__(self, config: Any) -> None:
        super().__init__(config)
        width = config.hidden_size
        self.layers = nn.ModuleList(nn.LSTM(width, width, batch_first=True) for _ in range(config.num_hidden_layers))
        self.post_init()  # type: ignore[no-untyped-call]

    def read(self, states_BTD: Tensor) -> Tensor:
        """Return the states of the last layer."""
        dropout = self.config.dropout if self.training else 0.0
        begin_1BD = states_BTD.new_zeros(1, len(states_BTD), states_BTD.shape[2])
        for place, layer in enumerate(self.layers):
            states_BTD = states_BTD if place == 0 else locked(states_BTD, dropout)
            one: Any = layer
            # One mask for all steps: what a state passes on to the next ones is dropped, and not the state.
            recurrent = functional.dropout(one.weight_hh_l0, dropout, self.training)
            weights = [one.weight_ih_l0, recurrent, one.bias_ih_l0, one.bias_hh_l0]
            library: Any = torch
            found = library.lstm(states_BTD, (begin_1BD, begin_1BD), weights, True, 1, 0.0, self.training, False, True)
            states_BTD = found[0]
        return states_BTD


class _GatedLayer(nn.Module):
    """A convolution over the places before, whose other half says how much of it passes, beside what was read."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        # The oldest of the places first.
        self.convolution = nn.Linear(KERNEL * width, 2 * width)

    def forward(self, states_BTD: Tensor) -> Tensor:
        read_BTD = functional.pad(self.norm(states_BTD), (0, 0, KERNEL - 1, 0))
        length = states_BTD.shape[1]
        together = torch.cat([read_BTD[:, first : first + length] for first in range(KERNEL)], dim=2)
        return states_BTD + functional.glu(self.convolution(together), dim=2)


class GatedConvolutionsForCausalLM(_LightDecoder):  # type: ignore[no-untyped-call]
    """Gated convolutions, each over four places.

    Source: Dauphin et al. 2017, "Language Modeling with Gated Convolutional Networks", section 2, arXiv:1612.08083.
    Differs: layers normalize what they read, where weights were normalized; every layer stands beside a shortcut.
    """

    config_class = GatedConvolutionsConfig

    def __init__(self, config: Any) -> None:
        super().__init__(config)
        self.layers = nn.ModuleList(_GatedLayer(config.hidden_size) for _ in range(config.num_hidden_layers))
        self.final_norm = nn.LayerNorm(config.hidden_size)
        self.post_init()  # type: ignore[no-untyped-call]

    def read(self, states_BTD: Tensor) -> Tensor:
        """Return the normalized states of the last layer."""
        dropout = self.config.dropout if self.training else 0.0
        for layer in self.layers:
            states_BTD = locked(layer(states_BTD), dropout)
        normed_BTD: Tensor = self.final_norm(states_BTD)
        return normed_BTD


def locked(states_BTD: Tensor, dropout: float) -> Tensor:
    """Return states without some of their numbers, the same ones at all places of a text.

    Source: Gal, Ghahramani 2016, "A Theoretically Grounded Application of Dropout in Recurrent Neural Networks",
        section 4, arXiv:1512.05287.
    """
    if not dropout:
        return states_BTD
    kept_B1D = torch.rand(len(states_BTD), 1, states_BTD.shape[2], device=states_BTD.device) >= dropout
    return states_BTD * kept_B1D / (1 - dropout)


def register() -> None:
    """Tell transformers the names of these networks, by which it opens their folders."""
    kinds: tuple[tuple[type[LstmConfig], type[_LightDecoder]], ...] = (
        (LstmConfig, LstmForCausalLM),
        (GatedConvolutionsConfig, GatedConvolutionsForCausalLM),
    )
    for config, network in kinds:
        AutoConfig.register(config.model_type, config, exist_ok=True)
        AutoModelForCausalLM.register(config, network, exist_ok=True)
