"""Networks that learn to read from plain text, and their losses; they know no corpus and no loop.

A network's score of a row is what the loop adds up over rows: for every objective in it the sum of the losses, the
number of right answers and the number of questions, then the number of tokens.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import tokenizers
import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import (
    AutoConfig,
    AutoModelForMaskedLM,
    AutoModelForPreTraining,
    ElectraConfig,
    ElectraForMaskedLM,
    ElectraForPreTraining,
)

from yanmo.errors import ConfigError
from yanmo.modeling import lean_encoder
from yanmo.modeling.encoders import CONFIGS, opening, shape_sizes
from yanmo.modeling.features import Batch
from yanmo.modeling.masking import Masking, mask_tokens
from yanmo.models import ModelSpec, num_heads
from yanmo.protocols import FloatArray

__all__ = ["Objective", "Pretrainee", "ReplacedTokens", "loss_of", "make_pretrainee", "measure_scores"]

Objective = Literal["mlm", "rtd"]
GENERATOR_SHARE = 4
REPLACED_WEIGHT = 50.0
NAMES = ("masked", "replaced")
COLUMNS = 3


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
    score: Callable[[nn.Module, Batch], Tensor]
    weights: tuple[float, ...]


def make_pretrainee(
    spec: ModelSpec,
    tokenizer: tokenizers.Tokenizer,
    *,
    objective: Objective,
    masking: Masking,
    max_length: int,
    dropout: float,
    seed: int,
    offline: bool,
) -> Pretrainee:
    """Return a network with random weights from torch's generator, or with those of its checkpoint.

    Args:
        spec: A shape of an encoder, or a checkpoint.
        tokenizer: Whose ids it reads.
        objective: ``mlm`` guesses hidden tokens; ``rtd`` tells which tokens a small generator has replaced.
        masking: What is hidden.
        max_length: Most tokens of a row.
        dropout: Of hidden states, for a shape; a checkpoint keeps its own.
        seed: Of the masks that validation uses.
        offline: No network.

    Raises:
        ModelError: The checkpoint cannot be opened.
        ConfigError: The objective does not suit the model.
    """
    if spec.family == "pretrained":
        with opening(spec.source):
            config = AutoConfig.from_pretrained(spec.source, local_files_only=offline, trust_remote_code=False)
            _check_objective(objective, config.model_type, spec)
            kind = AutoModelForMaskedLM if objective == "mlm" else AutoModelForPreTraining
            encoder: nn.Module = kind.from_pretrained(
                spec.source,
                local_files_only=offline,
                trust_remote_code=False,
                use_safetensors=True,
                dtype="float32",
            )
    else:
        _check_objective(objective, spec.family, spec)
        config = CONFIGS[spec.family](**shape_sizes(spec, tokenizer, max_length=max_length, dropout=dropout))
        config.tie_word_embeddings = True
        encoder = (
            AutoModelForMaskedLM.from_config(config)  # type: ignore[no-untyped-call]
            if objective == "mlm"
            else ElectraForPreTraining(config)
        )
    if objective == "mlm":
        return Pretrainee(encoder, encoder, _mlm_score(masking, seed), (1.0,))
    module = ReplacedTokens(_make_generator(encoder), encoder)
    return Pretrainee(module, encoder, _rtd_score(masking, seed), (1.0, REPLACED_WEIGHT))


class ReplacedTokens(nn.Module):
    """A generator that fills hidden places and a discriminator that finds what it filled; both share their embeddings.

    Source: Clark et al. 2020, "ELECTRA", sections 2 and 3, arXiv:2003.10555.
    """

    def __init__(self, generator: nn.Module, discriminator: nn.Module) -> None:
        super().__init__()
        self.generator = generator
        self.discriminator = discriminator


def loss_of(scores_BS: Tensor, weights: tuple[float, ...]) -> Tensor:
    """Return the weighted sum of the objectives' mean losses, in nats.

    Args:
        scores_BS: What a network's score gives.
        weights: Of the objectives.
    """
    terms = [
        weight * scores_BS[:, start].sum() / scores_BS[:, start + 2].sum().clamp_min(1)
        for start, weight in zip(range(0, COLUMNS * len(weights), COLUMNS), weights, strict=True)
    ]
    return torch.stack(terms).sum()


def measure_scores(scores_NS: FloatArray) -> dict[str, float]:
    """Return each objective's accuracy and mean loss in nats, such as ``masked_accuracy`` and ``masked_loss``."""
    sums = scores_NS.sum(axis=0, dtype=np.float64)
    measured: dict[str, float] = {}
    for name, start in zip(NAMES, range(0, len(sums) - 1, COLUMNS), strict=False):
        loss, right, count = sums[start : start + COLUMNS]
        measured |= {f"{name}_accuracy": float(right / max(count, 1)), f"{name}_loss": float(loss / max(count, 1))}
    return measured


def _check_objective(objective: Objective, family: str, spec: ModelSpec) -> None:
    if objective == "rtd" and family != "electra":
        raise ConfigError(
            f"The 'objective' parameter of pretrain must be mlm for {spec.name}. Got 'rtd' instead.",
            hint="Replaced-token detection trains ELECTRA: --model electra-4x312.",
        )


def _mlm_score(masking: Masking, seed: int) -> Callable[[nn.Module, Batch], Tensor]:
    def score(module: nn.Module, batch: Batch) -> Tensor:
        masked = mask_tokens(batch, masking, _fixed(module, batch, seed))
        logits_MV = _logits_at(module, masked.input_ids_BT, batch["attention_mask"], masked.hidden_BT)
        return torch.cat((_guesses(logits_MV, batch["input_ids"], masked.hidden_BT), _lengths(batch)), dim=1)

    return score


def _rtd_score(masking: Masking, seed: int) -> Callable[[nn.Module, Batch], Tensor]:
    def score(module: nn.Module, batch: Batch) -> Tensor:
        networks: Any = module
        ids_BT, mask_BT = batch["input_ids"], batch["attention_mask"]
        fixed = _fixed(module, batch, seed)
        masked = mask_tokens(batch, masking, fixed)
        logits_MV = _logits_at(networks.generator, masked.input_ids_BT, mask_BT, masked.hidden_BT)
        noise_MV = torch.rand(logits_MV.shape, generator=fixed, device=ids_BT.device)
        drawn_M = (logits_MV.detach().float() - (-noise_MV.clamp_min(1e-20).log()).log()).argmax(dim=1)
        filled_BT = ids_BT.masked_scatter(masked.hidden_BT, drawn_M)
        found_BT = networks.discriminator.discriminator_predictions(_read(networks.discriminator, filled_BT, mask_BT))
        found_BT = found_BT.float()
        replaced_BT = (filled_BT != ids_BT).float()
        losses_BT = functional.binary_cross_entropy_with_logits(found_BT, replaced_BT, reduction="none") * mask_BT
        right_BT = ((found_BT > 0) == replaced_BT.bool()) & mask_BT.bool()
        tokens_B1 = _lengths(batch)
        columns = [
            _guesses(logits_MV, ids_BT, masked.hidden_BT),
            losses_BT.sum(1, keepdim=True),
            right_BT.sum(1, keepdim=True).float(),
            tokens_B1,
            tokens_B1,
        ]
        return torch.cat(columns, dim=1)

    return score


def _fixed(module: nn.Module, batch: Batch, seed: int) -> torch.Generator | None:
    """Return None for training, and else a generator that gives a batch the same masks each time."""
    if module.training:
        return None
    ids_BT = batch["input_ids"]
    return torch.Generator(ids_BT.device).manual_seed(seed + int(ids_BT.sum()))


def _lengths(batch: Batch) -> Tensor:
    return batch["attention_mask"].sum(dim=1, keepdim=True).float()


def _guesses(logits_MV: Tensor, ids_BT: Tensor, hidden_BT: Tensor) -> Tensor:
    """Return the sum of losses, the right guesses and the guesses of every row, shape (B, 3)."""
    targets_M = ids_BT[hidden_BT]
    losses_M = functional.cross_entropy(logits_MV.float(), targets_M, reduction="none")
    right_M = (logits_MV.detach().argmax(dim=1) == targets_M).float()
    rows_M = hidden_BT.nonzero()[:, 0]
    facts_M3 = torch.stack((losses_M, right_M, torch.ones_like(right_M)), dim=1)
    return torch.zeros(len(ids_BT), COLUMNS, device=ids_BT.device).index_add(0, rows_M, facts_M3)


def _logits_at(module: nn.Module, ids_BT: Tensor, mask_BT: Tensor, places_BT: Tensor) -> Tensor:
    """Return logits_MV at some places only: the decoder is as large as a layer, and most places need none."""
    model: Any = module
    head = DECODERS.get(model.config.model_type)
    if head is None:
        logits_MV: Tensor = model(input_ids=ids_BT, attention_mask=mask_BT).logits[places_BT]
        return logits_MV
    decoded_MV: Tensor = head(model, _read(module, ids_BT, mask_BT)[places_BT])
    return decoded_MV


def _read(module: nn.Module, ids_BT: Tensor, mask_BT: Tensor) -> Tensor:
    """Return the encoder's last states_BTD."""
    inputs = {"input_ids": ids_BT, "attention_mask": mask_BT}
    if lean_encoder.can_read(module):
        return lean_encoder.read(module, inputs)
    model: Any = module
    states_BTD: Tensor = model.base_model(**inputs).last_hidden_state
    return states_BTD


DECODERS: Mapping[str, Callable[[Any, Tensor], Tensor]] = {
    "bert": lambda model, states: model.cls(states),
    "roberta": lambda model, states: model.lm_head(states),
    "xlm-roberta": lambda model, states: model.lm_head(states),
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
    generator.electra.embeddings = kept.electra.embeddings
    generator.generator_lm_head.weight = kept.electra.embeddings.word_embeddings.weight
    made: nn.Module = generator
    return made
