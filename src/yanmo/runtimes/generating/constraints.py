"""Texts of a given form: JSON of a schema, what an expression matches, one of some choices; llguidance does the work.

Source: Moskal et al. 2025, "llguidance", https://github.com/guidance-ai/llguidance (masks by an Earley parser over
derivatives of regular expressions).
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from msgspec import Struct
from tokenizers import Tokenizer

from yanmo.arrays import FloatArray
from yanmo.errors import ConfigError, check_installed

__all__ = ["Grammar", "GrammarCompiler"]


class Grammar(Struct, frozen=True, kw_only=True):
    """What a text must be: one of the three.

    Attributes:
        schema: The schema of the JSON value that it is.
        regex: An expression that matches all of it.
        choice: The texts of which it is one.
    """

    schema: Mapping[str, Any] | None = None
    regex: str | None = None
    choice: Sequence[str] | None = None


class GrammarConstraint:
    """The Constraint protocol of one text."""

    def __init__(self, matcher: Any) -> None:
        self._matcher = matcher

    def forbid(self, scores_V: FloatArray) -> None:
        """Make the scores of tokens that may not come next minus infinity."""
        bits = np.frombuffer(self._matcher.compute_bitmask(), np.uint8)
        allowed = np.unpackbits(bits, bitorder="little")[: len(scores_V)]
        # A model may have more scores than its tokenizer has tokens.
        scores_V[: len(allowed)][allowed == 0] = -np.inf
        scores_V[len(allowed) :] = -np.inf

    def accept(self, token: int) -> bool:
        """Take a token, and return whether the text is whole and nothing may follow."""
        self._matcher.consume_token(token)
        return bool(self._matcher.is_stopped())


class GrammarCompiler:
    """Makes constraints for the tokens of one model.

    Args:
        tokenizer: Of the model.
        end_id: The token that ends a text.

    Raises:
        MissingExtraError: llguidance is not installed.
    """

    def __init__(self, tokenizer: Tokenizer, end_id: int) -> None:
        check_installed("A text of a given form", "llguidance", extra="grammar")
        import llguidance

        self._library = llguidance
        self._tokens = llguidance.LLTokenizer(tokenizer.to_str(), eos_token=end_id)

    def compile(self, grammar: Grammar) -> GrammarConstraint:
        """Return the constraint of one text.

        Raises:
            ConfigError: The grammar is none, or nothing meets it.
        """
        matcher_type = self._library.LLMatcher
        if grammar.schema is not None:
            written = matcher_type.grammar_from_json_schema(json.dumps(grammar.schema))
        elif grammar.choice:
            written = matcher_type.grammar_from_regex("|".join(re.escape(one) for one in grammar.choice))
        else:
            written = matcher_type.grammar_from_regex(grammar.regex or "")
        matcher = matcher_type(self._tokens, written, log_level=0)
        if matcher.is_error():
            # Its messages draw the place with a caret below; here they are one line.
            reason = " ".join(str(matcher.get_error()).split())
            raise ConfigError(
                f"No text can have the form that is asked: {reason}",
                hint="Give a schema, an expression or choices that some text meets.",
            )
        return GrammarConstraint(matcher)
