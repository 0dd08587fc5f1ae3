"""What a user may ask of texts that are written: names, ranges and sentences; it knows no model."""

from __future__ import annotations

import json
from pathlib import Path

from pydantic import Field, field_validator

from yanmo.config import Config
from yanmo.errors import ConfigError
from yanmo.runtimes.generating.constraints import Grammar
from yanmo.runtimes.generating.decoding import Decoding

__all__ = ["WritingOptions"]


class ChoiceOptions(Config):
    """How each next token is chosen."""

    temperature: float = Field(default=1.0, ge=0, le=100)
    """Scores are divided by it before a token is drawn: below 1 likely ones win more; 0 always takes the likeliest."""
    top_k: int = Field(default=0, ge=0)
    """Only so many of the likeliest tokens are drawn from; 0: all."""
    top_p: float = Field(default=1.0, gt=0, le=1)
    """Only the likeliest tokens that together have this probability are drawn from."""
    min_p: float = Field(default=0.0, ge=0, le=1)
    """Only tokens with this share of the likeliest one's probability are drawn from."""
    repetition_penalty: float = Field(default=1.0, gt=0, le=10)
    """Above 1, tokens that stand in the prompt or the text become less likely."""
    presence_penalty: float = Field(default=0.0, ge=-2, le=2)
    """Taken from the scores of tokens that stand in the text."""
    frequency_penalty: float = Field(default=0.0, ge=-2, le=2)
    """Taken from the scores of tokens for each time that they stand in the text."""
    bias: tuple[str, ...] = ()
    """What is added to the scores of some tokens, each as ID=NUMBER, such as 50256=-100."""

    @field_validator("bias")
    @classmethod
    def _check_bias(cls, pairs: tuple[str, ...]) -> tuple[str, ...]:
        for pair in pairs:
            token, _, value = pair.partition("=")
            try:
                is_right = token.isdecimal() and abs(float(value)) <= 100
            except ValueError:
                is_right = False
            if not is_right:
                raise ValueError("ID=NUMBER each, a token's number and what is added, from -100 to 100")
        return pairs


class WritingOptions(ChoiceOptions):
    """How texts are written."""

    max_new_tokens: int = Field(default=128, ge=1, le=1_000_000)
    """The most tokens of a text."""
    n: int = Field(default=1, ge=1, le=1024)
    """Texts for each prompt."""
    seed: int | None = Field(default=None, ge=0)
    """Of what is drawn; 0 where nothing is said. One seed gives one text, whatever is written beside it."""
    num_beams: int = Field(default=1, ge=1, le=64)
    """Above 1, so many beginnings are kept, and the likeliest whole texts win; nothing is drawn then."""
    num_guessed: int = Field(default=0, ge=0, le=64)
    """So many tokens are guessed at a time, from what follows the same words earlier in prompt and text, and kept as
    far as they are what is drawn: faster for texts that repeat their prompt, where one is written at a time. With 8-bit
    weights last bits differ then, and with them now and then a token. A draft guesses 4 where nothing is said."""
    stop: tuple[str, ...] = ()
    """Strings before which a text ends."""
    json_schema: Path | None = None
    """A file with the JSON schema of which each text is a value."""
    regex: str | None = None
    """An expression that matches each text as a whole."""
    choice: tuple[str, ...] = ()
    """The texts of which each is one."""
    truncate: bool = False
    """Whether of a prompt that is longer than the model reads only its end is read; without it that is refused."""

    def decoding(self, end_ids: frozenset[int]) -> Decoding:
        """Return the wishes of the first text of a prompt."""
        names = set(Decoding.__struct_fields__) & set(type(self).model_fields) - {"seed", "bias"}
        bias = {int(token): float(value) for token, _, value in (pair.partition("=") for pair in self.bias)}
        return Decoding(**self.model_dump(include=names), bias=bias, seed=self.seed or 0, end_ids=end_ids)

    def grammar(self) -> Grammar | None:
        """Return what each text must be, or None.

        Raises:
            ConfigError: There are several, or the file is no JSON schema.
        """
        given = [name for name in ("json_schema", "regex", "choice") if getattr(self, name)]
        if len(given) > 1:
            raise ConfigError(
                f"The '{given[0]}' parameter of generate does not go with '{given[1]}'.", hint="Give one of the two."
            )
        if self.json_schema is None:
            return Grammar(regex=self.regex, choice=self.choice) if given else None
        try:
            schema = json.loads(self.json_schema.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise ConfigError(f"{self.json_schema} is no JSON schema: {error}.", hint="Give a file of JSON.") from error
        if not isinstance(schema, dict):
            raise ConfigError(f"{self.json_schema} is no JSON schema: it holds no object.", hint="Begin it with {.")
        return Grammar(schema=schema)

    def check_beams(self) -> None:
        """Refuse what has no meaning where the likeliest texts are looked for.

        Raises:
            ConfigError: As said.
        """
        if self.num_beams == 1:
            return
        if self.n > self.num_beams:
            raise ConfigError(
                f"The 'n' parameter of generate must be at most 'num_beams', {self.num_beams}. Got {self.n} instead.",
                hint="Beams end in as many texts as there are beams: raise --num-beams.",
            )
        drawn = (*ChoiceOptions.model_fields, "seed", "num_guessed", "json_schema", "regex", "choice")
        given = next((name for name in drawn if name in self.model_fields_set), None)
        if given is not None:
            raise ConfigError(
                f"The '{given}' parameter of generate has no effect with 'num_beams' {self.num_beams}.",
                hint="Beams take the likeliest texts, and draw nothing: leave one of the two out.",
            )
