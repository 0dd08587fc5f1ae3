"""Networks that learn to read from plain text, and their losses; they know no corpus and no loop.

A network's score of a row is what the loop adds up over rows: for every objective in it the sum of the losses, the
number of right answers and the number of questions, then the number of tokens. Batches are those of
:class:`yanmo.modeling.features.masking.MaskedRows`.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import tokenizers
import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import (
    AutoModelForMaskedLM,
    AutoModelForPreTraining,
    ElectraConfig,
    ElectraForMaskedLM,
    ElectraForPreTraining,
)

from yanmo.errors import ConfigError
from yanmo.modeling.features.masking import COLUMNS
from yanmo.modeling.features.ragged import TensorBatch
from yanmo.modeling.light.sequence_layers import read_units
from yanmo.modeling.networks import fast_encoder
from yanmo.modeling.networks.encoders import CONFIGS, open_network, read_config, shape_sizes
from yanmo.modeling.pretrained.hub import find_folder
from yanmo.models import ModelSpec, num_heads

__all__ = ["Pretrainee", "ReadingTask", "ReplacedTokens", "make_pretrainee", "score_hidden"]

logger = logging.getLogger(__name__)

ReadingTask = Literal["mlm", "rtd"]
# As in the paper: a generator that fills too well teaches little, and the loss of yes or no for each token is small
# beside that of a guess among all tokens.
GENERATOR_SHARE = 4
REPLACED_WEIGHT = 50.0


@dataclass(frozen=True)
class Pretrainee:
    """A network that learns from plain text.

    Attributes:
        module: What is trained.
        encoder: What is kept of it: a stock transformers class.
        score: From the network and a batch to scores_BS, one row a text.
        weights: Of each objective in the loss.
    """

    module: nn.Module
    encoder: nn.Module
    score: Callable[[nn.Module, TensorBatch], Tensor]
    weights: tuple[float, ...]


def make_pretrainee(
    spec: ModelSpec,
    tokenizer: tokenizers.Tokenizer,
    *,
    objective: ReadingTask,
    max_length: int,
    dropout: float,
    offline: bool,
) -> Pretrainee:
    """Return a network with random weights from torch's generator, or with those of its checkpoint.

    Args:
        spec: A shape of an encoder, or a checkpoint.
        tokenizer: Whose ids it reads.
        objective: ``mlm`` guesses hidden tokens; ``rtd`` tells which tokens a small generator has replaced, for
            electra.
        max_length: Most tokens of a row.
        dropout: Of hidden states, for a shape; a checkpoint keeps its own.
        offline: No network.

    Raises:
        ModelError: The checkpoint cannot be opened.
        ConfigError: The objective does not suit the checkpoint.
    """
    if spec.family == "pretrained":
        folder = find_folder(spec, offline=offline)
        config = read_config(folder)
        if objective == "rtd" and config.model_type != "electra":
            raise ConfigError(
                f"The 'objective' parameter of pretrain must be mlm for {spec.name}. Got 'rtd' instead.",
                hint="Replaced-token detection goes on from ELECTRA's checkpoints.",
            )
        kind = AutoModelForMaskedLM if objective == "mlm" else AutoModelForPreTraining
        encoder, new = open_network(kind, folder, config)
        if new:
            logger.info("%s has no head for the objective %s: that is new.", spec.name, objective)
    else:
        config = CONFIGS[spec.family](**shape_sizes(spec, tokenizer, max_length=max_length, dropout=dropout))
        config.tie_word_embeddings = True
        encoder = (
            AutoModelForMaskedLM.from_config(config)  # type: ignore[no-untyped-call]
            if objective == "mlm"
            else ElectraForPreTraining(config)
        )
    if objective == "mlm":
        return Pretrainee(encoder, encoder, _mlm_score(encoder), (1.0,))
    module = ReplacedTokens(_make_generator(encoder), encoder)
    return Pretrainee(module, encoder, _rtd_score(module), (1.0, REPLACED_WEIGHT))


class ReplacedTokens(nn.Module):
    """A generator that fills hidden places and a discriminator that finds what it filled; both share their embeddings.

    Source: Clark et al. 2020, "ELECTRA", sections 2 and 3, arXiv:2003.10555.
    """

    def __init__(self, generator: nn.Module, discriminator: nn.Module) -> None:
        super().__init__()
        self.generator = generator
        self.discriminator = discriminator


def score_hidden(module: nn.Module, batch: TensorBatch) -> Tensor:
    """Return logits_UV of the hidden places, by the encoder's own forward pass.

    Args:
        module: A masked language model of any family.
        batch: ``input_ids``, ``attention_mask`` and perhaps ``token_type_ids``, int64, shape (B, T), and ``units``, the
            hidden places among all B * T, shape (U,).
    """
    model: Any = module
    inputs = {name: tensor for name, tensor in batch.items() if name != "units"}
    head = DECODERS.get(model.config.model_type)
    if head is None:
        whole_UV: Tensor = read_units(model(**inputs).logits, batch["units"])
        return whole_UV
    return head(model, read_units(model.base_model(**inputs)[0], batch["units"]))


def _mlm_score(encoder: nn.Module) -> Callable[[nn.Module, TensorBatch], Tensor]:
    decode = _decoder(encoder)

    def score(module: nn.Module, batch: TensorBatch) -> Tensor:
        return torch.cat((_guesses(decode(module, batch), batch), _lengths(batch)), dim=1)

    return score


def _rtd_score(networks: ReplacedTokens) -> Callable[[nn.Module, TensorBatch], Tensor]:
    decode, read = _decoder(networks.generator), _reader(networks.discriminator)

    def score(module: nn.Module, batch: TensorBatch) -> Tensor:
        networks: Any = module
        logits_MV, mask_BT = decode(networks.generator, batch), batch["attention_mask"]
        # Nothing flows back through a draw: the generator learns from its own guesses alone.
        drawn_M = _draw(logits_MV.detach(), batch["chances"])
        filled_BT = _put(batch, drawn_M)
        states_BTD = read(networks.discriminator, {"input_ids": filled_BT, "attention_mask": mask_BT})
        found_BT = networks.discriminator.discriminator_predictions(states_BTD).float()
        # A draw that hits the token that stood there has replaced nothing.
        replaced_BT = (filled_BT != _put(batch, batch["answers"])).float()
        losses_BT = functional.binary_cross_entropy_with_logits(found_BT, replaced_BT, reduction="none") * mask_BT
        right_BT = ((found_BT > 0) == replaced_BT.bool()) & mask_BT.bool()
        tokens_B1 = _lengths(batch)
        columns = [
            _guesses(logits_MV, batch),
            losses_BT.sum(1, keepdim=True),
            right_BT.sum(1, keepdim=True).float(),
            tokens_B1,
            tokens_B1,
        ]
        return torch.cat(columns, dim=1)

    return score


def _put(batch: TensorBatch, ids_M: Tensor) -> Tensor:
    """Return the ids_BT with some at the hidden places."""
    return batch["input_ids"].flatten().scatter(0, batch["hidden"], ids_M).view_as(batch["input_ids"])


def _draw(logits_MV: Tensor, chances_M: Tensor) -> Tensor:
    """Return a token for each place, drawn with the probabilities of the logits: where their sum passes the chance."""
    sums_MV = logits_MV.float().softmax(dim=1).cumsum(dim=1)
    # Rounding leaves the last sum beside 1, so chances are scaled to it; one of 1 would point behind the last token.
    drawn_M1 = torch.searchsorted(sums_MV, chances_M[:, None] * sums_MV[:, -1:], right=True)
    return drawn_M1.clamp_max(logits_MV.shape[1] - 1)[:, 0]


def _lengths(batch: TensorBatch) -> Tensor:
    return batch["attention_mask"].sum(dim=1, keepdim=True).float()


def _guesses(logits_MV: Tensor, batch: TensorBatch) -> Tensor:
    """Return the sum of losses, the right guesses and the guesses of every row, shape (B, 3)."""
    answers_M, (num_rows, num_tokens) = batch["answers"], batch["input_ids"].shape
    losses_M = functional.cross_entropy(logits_MV.float(), answers_M, reduction="none")
    right_M = (logits_MV.detach().argmax(dim=1) == answers_M).float()
    facts_M3 = torch.stack((losses_M, right_M, torch.ones_like(right_M)), dim=1)
    sums_B3 = torch.zeros(num_rows, COLUMNS, device=answers_M.device)
    # A place in the batch laid flat, divided by the width, is its row.
    return sums_B3.index_add(0, batch["hidden"] // num_tokens, facts_M3)


def _decoder(module: nn.Module) -> Callable[[Any, TensorBatch], Tensor]:
    """Return what gives logits_MV at the hidden places only: it is as large as a layer, and most places need none."""
    model: Any = module
    head, read = DECODERS.get(model.config.model_type), _reader(module)

    def decode(model: Any, batch: TensorBatch) -> Tensor:
        # Of other families nobody here knows the head's name: all places are computed, and the hidden ones taken.
        if head is None:
            logits_BTV = model(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"]).logits
            return logits_BTV.flatten(0, 1)[batch["hidden"]]  # type: ignore[no-any-return]
        return head(model, read(model, batch).flatten(0, 1)[batch["hidden"]])

    return decode


def _reader(module: nn.Module) -> Callable[[Any, TensorBatch], Tensor]:
    """Return what gives the encoder's last states_BTD."""
    if fast_encoder.can_read(module):
        return fast_encoder.read_states

    def read(model: Any, batch: TensorBatch) -> Tensor:
        inputs = {"input_ids": batch["input_ids"], "attention_mask": batch["attention_mask"]}
        states_BTD: Tensor = model.base_model(**inputs).last_hidden_state
        return states_BTD

    return read


DECODERS: Mapping[str, Callable[[Any, Tensor], Tensor]] = {
    "bert": lambda model, states: model.cls(states),
    **dict.fromkeys(("roberta", "xlm-roberta", "camembert", "mpnet"), lambda model, states: model.lm_head(states)),
    "albert": lambda model, states: model.predictions(states),
    "electra": lambda model, states: model.generator_lm_head(model.generator_predictions(states)),
}


def _make_generator(discriminator: nn.Module) -> nn.Module:
    """Return a generator a quarter as wide that shares the discriminator's embeddings."""
    kept: Any = discriminator
    width = max(kept.config.hidden_size // GENERATOR_SHARE, 1)
    sizes = {
        "hidden_size": width,
        "num_attention_heads": num_heads(width),
        "intermediate_size": 4 * width,
    }
    config = ElectraConfig(**{**kept.config.to_dict(), **sizes})
    generator: Any = ElectraForMaskedLM(config)
    # The same tensors, so that the gradients of both networks meet in them.
    generator.electra.embeddings = kept.electra.embeddings
    generator.generator_lm_head.weight = kept.electra.embeddings.word_embeddings.weight
    made: nn.Module = generator
    return made
