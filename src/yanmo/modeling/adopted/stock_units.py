"""What transformers' own network says about the units of texts: the scores at their first and last tokens.

We cut a text unit by unit, so that no token reaches from one into the next; transformers cuts it as a whole, or as the
list of words that models of tokens are mostly trained with. Where the tokens differ is said, and how often.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from transformers import PreTrainedTokenizerFast

from yanmo.answers.passage_spans import passage_pointers
from yanmo.answers.pointers import Pointers
from yanmo.arrays import FloatArray, IntArray
from yanmo.errors import InternalError
from yanmo.modeling.networks.encoders import takes_token_types
from yanmo.text.inputs import Inputs
from yanmo.text.passage_tokens import PassageTokenizer
from yanmo.text.tokenizer import Encoded, UnitTokens
from yanmo.text.unit_tokens import UnitTokenizer

__all__ = ["stock_passage_scorer", "stock_unit_scorer"]

logger = logging.getLogger(__name__)


def stock_unit_scorer(
    module: Any, wrapped: PreTrainedTokenizerFast, *, max_length: int
) -> Callable[[Inputs], FloatArray]:
    """Return what gives the network's own logits_UC of the units of texts, each window asked alone.

    Args:
        module: A classifier of tokens, ready to answer.
        wrapped: Its tokenizer.
        max_length: Most tokens of a window.
    """
    tokenizer = UnitTokenizer(wrapped.backend_tokenizer, max_length)

    def score(inputs: Inputs) -> FloatArray:
        if inputs.units is None:
            raise InternalError("Units were to be scored of texts that have none.")
        encoded = tokenizer.encode(inputs.units)
        bounds = pairwise(inputs.units.places.offsets.tolist())
        words = (list(inputs.units.surfaces[start:stop]) for start, stop in bounds)
        ways = (_ways(wrapped, text, listed) for text, listed in zip(inputs.first, words, strict=True))
        _say_reading(encoded, ways)
        return _scores_at(module, encoded)

    return score


def stock_passage_scorer(
    module: Any, wrapped: PreTrainedTokenizerFast, *, max_length: int
) -> Callable[[Inputs], Pointers]:
    """Return what gives the network's own scores of starts and ends in passages, each window asked alone.

    Args:
        module: A network with two scores a token, ready to answer.
        wrapped: Its tokenizer.
        max_length: Most tokens of a question with its part of a passage.
    """
    tokenizer = PassageTokenizer(wrapped.backend_tokenizer, max_length, reads_ends=True)

    def score(inputs: Inputs) -> Pointers:
        if inputs.units is None or inputs.second is None:
            raise InternalError("Passages were to be scored that have no units or no question.")
        encoded = tokenizer.encode(inputs.second, inputs.units)
        pairs = zip(inputs.second, inputs.first, strict=True)
        _say_reading(encoded, ([wrapped(question, passage, verbose=False)["input_ids"]] for question, passage in pairs))
        return passage_pointers(tokenizer.starts_and_ends(_scores_at(module, encoded)), _decided(encoded).places)

    return score


def _ways(wrapped: Any, text: str, words: list[str]) -> list[list[int]]:
    """Return the tokens of a text as a whole, and as a list of words where its tokenizer takes one."""
    ways = [wrapped(text, verbose=False)["input_ids"]]
    try:
        return [*ways, wrapped(words, is_split_into_words=True, verbose=False)["input_ids"]] if words else ways
    except AssertionError:  # RoBERTa's, where it puts no space before the first word
        return ways


def _say_reading(encoded: Encoded, ways: Iterable[Sequence[Sequence[int]]]) -> None:
    """Say how many texts have the tokens that transformers would give them, of those that are read at once."""
    text_W = np.arange(len(encoded.ids)) if encoded.text_W is None else encoded.text_W
    windows = {int(text): window for window, text in enumerate(text_W) if (text_W == text).sum() == 1}
    same = [
        any(np.array_equal(one, encoded.ids.row(windows[text])) for one in found)
        for text, found in enumerate(ways)
        if text in windows
    ]
    level = logging.WARNING if sum(same) < len(same) / 2 else logging.INFO
    logger.log(
        level,
        "Of %d texts that are read at once, %d have the tokens that transformers cuts them into; the others are cut "
        "unit by unit into other ones.",
        len(same),
        sum(same),
    )


def _scores_at(module: Any, encoded: Encoded) -> FloatArray:
    """Return the scores at the places that are decided about, of W windows."""
    firsts, types = _decided(encoded).firsts, encoded.type_ids if takes_token_types(module) else None
    found_MC = np.empty((len(firsts.values), module.config.num_labels), dtype=np.float32)
    for window, (start, stop) in enumerate(pairwise(firsts.offsets.tolist())):
        asked = {"input_ids": _row(encoded.ids.row(window))}
        asked |= {} if types is None else {"token_type_ids": _row(types.row(window))}
        with torch.inference_mode():
            scores_TC = module(**asked, attention_mask=torch.ones_like(asked["input_ids"])).logits[0]
        found_MC[start:stop] = scores_TC.float().numpy()[firsts.row(window)]
    return found_MC


def _row(ids_T: IntArray) -> torch.Tensor:
    return torch.from_numpy(ids_T[None].astype(np.int64))


def _decided(encoded: Encoded) -> UnitTokens:
    if encoded.units is None:
        raise InternalError("What was read does not say where its units are.")
    return encoded.units
