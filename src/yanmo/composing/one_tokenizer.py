"""Whether models that are to write together read texts alike and cut them into the same tokens; it runs no model."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from yanmo.artifacts.bundle import Bundle
from yanmo.errors import DataError
from yanmo.text.tokenizer import open_tokenizer

__all__ = ["check_one_tokenizer"]

TOKENIZER = "tokenizer.json"


def check_one_tokenizer(members: Sequence[Bundle]) -> None:
    """Refuse models whose next tokens are not the same things.

    Args:
        members: Models that write a text from another.

    Raises:
        DataError: A member differs from the first one in something that decides what a token is, or writes no tokens.
    """
    for member in members:
        if member.is_composite:
            raise DataError(
                f"{member.path} is made of several models, which cannot write together with others as one.",
                hint="Name its members themselves.",
            )
        if "marks" not in member.architecture:
            raise DataError(
                f"{member.path} does not write token by token, so it has no probabilities of next tokens.",
                hint="Use --method average, which puts whole texts together.",
            )
    first = members[0]
    for other in members[1:]:
        for what, read in ALIKE.items():
            if read(first) != read(other):
                raise DataError(
                    f"{first.path} and {other.path} differ in {what}, so they cannot write token by token together.",
                    hint="Use --method average, which puts whole texts together; or train both on one Dataset with one "
                    "model name, such as with two seeds.",
                )


def _glossary(bundle: Bundle) -> bytes | None:
    name = bundle.text_config.glossary
    return None if name is None else (bundle.path / name).read_bytes()


ALIKE: dict[str, Callable[[Bundle], Any]] = {
    "their tokenizers": lambda one: open_tokenizer(one.path / TOKENIZER).to_str(),
    "the tokens that begin and end a text": lambda one: (one.architecture["marks"], one.architecture["end"]),
    "the cleaning of texts": lambda one: one.text_config,
    "their glossaries": _glossary,
    "max_length": lambda one: one.max_length,
    "max_target_length": lambda one: one.architecture["max_target_length"],
    "num_beams": lambda one: one.architecture.get("num_beams", 1),
    "length_penalty": lambda one: one.architecture.get("length_penalty", 1.0),
}
"""What has to be the same: how it is called, and how it is read."""
