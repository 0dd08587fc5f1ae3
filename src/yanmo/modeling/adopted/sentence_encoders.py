"""An encoder that was trained elsewhere or here, opened for the vectors of texts; it knows no artifact."""

from __future__ import annotations

import inspect
import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from transformers import PreTrainedTokenizerFast

from yanmo.answers.vectors import cut_vectors
from yanmo.errors import ConfigError, ModelError
from yanmo.modeling.adopted.adopted_model import Wanted, fit_length
from yanmo.modeling.adopted.classifiers import EXAMPLES
from yanmo.modeling.adopted.stock_models import StockScore
from yanmo.modeling.features.token_features import token_encoder
from yanmo.modeling.networks import encoders
from yanmo.modeling.networks.pooling import find_pooling
from yanmo.modeling.pretrained import checkpoint_tokenizer
from yanmo.modeling.pretrained.batch_invariance import check_invariance
from yanmo.modeling.pretrained.sentence_settings import SentenceSettings, read_sentence_settings
from yanmo.modeling.sentences.vector_networks import open_vectors, score_vectors
from yanmo.text.inputs import Inputs

__all__ = ["AdoptedEncoder", "WantedVectors", "adopt_encoder"]

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class WantedVectors:
    """What the user wants of an encoder; None, and auto: as it was trained.

    Attributes:
        name: Of the model, for messages.
        pooling: How the states of tokens become one vector.
        are_unit: Whether vectors have length 1.
        num_dimensions: How many of the first dimensions are kept.
        max_length: Most tokens of a text.
    """

    name: str
    pooling: Literal["auto", "mean", "first"] = "auto"
    are_unit: bool | None = None
    num_dimensions: int | None = None
    max_length: int | None = None


@dataclass(frozen=True)
class AdoptedEncoder:
    """An encoder.

    Attributes:
        max_length: Most tokens of a text.
        architecture: What its code needs to build it again, and what is kept of its vectors.
        save: Writes its files into a folder.
        score: What transformers by itself answers, each text alone, in the same shape.
    """

    max_length: int
    architecture: dict[str, Any]
    save: Callable[[Path], None]
    score: StockScore


def adopt_encoder(folder: Path, wanted: WantedVectors) -> AdoptedEncoder:
    """Return the encoder of a folder.

    Args:
        folder: A local one, as transformers or sentence-transformers lays it out, with or without a head.
        wanted: What the user says about it.

    Raises:
        ModelError: It is no whole encoder, or answers by what else is in a batch.
        ConfigError: The length or the dimensions do not suit it.
    """
    noted = read_sentence_settings(folder)
    pooling = _pick_pooling(folder, noted, wanted)
    network = open_vectors(folder, pooling)
    base: Any = network.base_model
    wrapped = checkpoint_tokenizer.load_tokenizer(folder)
    checkpoint_tokenizer.check_fits(wrapped.backend_tokenizer, base.get_input_embeddings().num_embeddings, wanted.name)
    base.config.pad_token_id = wrapped.pad_token_id
    max_length = fit_length(folder, wrapped, base, Wanted(wanted.name, max_length=wanted.max_length), verb="embed")
    has_types, pad_id = encoders.takes_token_types(base), int(wrapped.pad_token_id)
    encode = token_encoder(wrapped.backend_tokenizer, max_length, pad_id=pad_id, has_types=has_types)
    check_invariance(network, score_vectors, encode(Inputs((EXAMPLES,))), name=wanted.name)
    kept = {"pooling": pooling, **_kept(wanted, noted, int(base.config.hidden_size))}
    architecture = {"family": "encoder", "token_types": has_types, "pad_id": pad_id, "vectors": kept}
    return AdoptedEncoder(
        max_length,
        architecture,
        lambda target: encoders.save(target, base, wrapped),
        _stock_scorer(base, wrapped, pooling, max_length, kept),
    )


def _pick_pooling(folder: Path, noted: SentenceSettings, wanted: WantedVectors) -> Literal["first", "mean"]:
    """Return how vectors are made: as wanted, as noted, else the mean.

    Raises:
        ModelError: They were made in a way that there is not here.
    """
    if noted.others:
        raise ModelError(
            f"The vectors of {wanted.name} go through {' and '.join(noted.others)}, which there is not here.",
            hint="Give an encoder whose modules.json lists Transformer, Pooling and Normalize alone.",
        )
    if wanted.pooling != "auto":
        return wanted.pooling
    if noted.pooling not in ("", "first", "mean"):
        raise ModelError(
            f"{wanted.name} makes vectors by {noted.pooling}, which there is not here.",
            hint="--pooling mean or --pooling first makes others, which it was not trained for.",
        )
    found = find_pooling(encoders.read_config(folder), folder)
    if found is None:
        logger.info("Nothing says how %s makes vectors: the mean of the states of all tokens is taken.", wanted.name)
    return found or "mean"


def _kept(wanted: WantedVectors, noted: SentenceSettings, width: int) -> dict[str, Any]:
    """Return what is kept of a vector.

    Raises:
        ConfigError: There are not so many dimensions.
    """
    if wanted.num_dimensions is not None and wanted.num_dimensions > width:
        raise ConfigError(
            f"The 'dimensions' parameter of embed must be at most {width} for {wanted.name}. "
            f"Got {wanted.num_dimensions} instead."
        )
    # Without a note lengths mean nothing: similarities are cosines.
    noted_unit = True if noted.is_unit is None else noted.is_unit
    return {
        "width": width,
        "num_dimensions": wanted.num_dimensions or width,
        "are_unit": noted_unit if wanted.are_unit is None else wanted.are_unit,
    }


def _stock_scorer(
    base: Any, wrapped: PreTrainedTokenizerFast, pooling: str, max_length: int, kept: dict[str, Any]
) -> StockScore:
    """Return what gives the vectors of texts by transformers' own classes, each text alone, without any padding."""
    takes = inspect.signature(base.forward).parameters

    def score(inputs: Inputs) -> Any:
        rows = []
        for text in inputs.first:
            encoded = wrapped([text], truncation=True, max_length=max_length, return_tensors="pt")
            with torch.inference_mode():
                states_TD = base(**{name: one for name, one in encoded.items() if name in takes})[0][0]
            rows.append((states_TD.mean(dim=0) if pooling == "mean" else states_TD[0]).numpy())
        return cut_vectors(np.stack(rows), kept["num_dimensions"], are_unit=kept["are_unit"])

    return score
