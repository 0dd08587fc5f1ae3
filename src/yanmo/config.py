"""The base of every config model, and the one way from user values to a config; it knows no verb.

A config is a frozen pydantic model. Defaults and ranges live in its fields; the sentence under a field is its
help text on the command line, in the starter TOML and in the reference page.
"""

from __future__ import annotations

import typing
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError, ValidationInfo, field_validator
from pydantic_core import ErrorDetails

from yanmo.errors import ConfigError, did_you_mean
from yanmo.paths import PATH_HINT, path_problem, quoted_path

__all__ = ["Config", "build"]


class Config(BaseModel):
    """A frozen set of values; unknown keys are refused."""

    # A manifest is JSON, which has no NaN and no infinity. pydantic would keep names that begin with model_ to itself.
    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        use_attribute_docstrings=True,
        allow_inf_nan=False,
        protected_namespaces=(),
    )

    @field_validator("*", mode="before")
    @classmethod
    def _is_local(cls, value: Any, info: ValidationInfo) -> Any:
        """Refuse a path that is none of this machine's, before a Path takes a slash from an address."""
        hint = cls.model_fields[str(info.field_name)].annotation
        problem = path_problem(value) if hint is Path or Path in typing.get_args(hint) else None
        if problem:
            raise ValueError(problem)
        return value


ConfigT = TypeVar("ConfigT", bound=Config)


def build(config_class: type[ConfigT], values: Mapping[str, Any], *, where: str) -> ConfigT:
    """Return a config made of the user's values.

    Args:
        config_class: The config model.
        values: Field names to values.
        where: Who is asking, for the message: a verb, a stage, a file.

    Raises:
        ConfigError: A key is unknown or a value is out of its range; the message names all of them.
    """
    try:
        return config_class(**values)
    except ValidationError as error:
        allowed = list(config_class.model_fields)
        details = error.errors(include_url=False)
        sentences = [_sentence(detail, allowed, where) for detail in details]
        raise ConfigError("\n".join(sentences), hint=_hint(details, allowed)) from error


def _hint(details: list[ErrorDetails], allowed: list[str]) -> str:
    if any(detail["type"] == "extra_forbidden" for detail in details):
        return f"The parameters are: {', '.join(allowed)}."
    if any(path_problem(detail["input"]) for detail in details):
        return PATH_HINT
    return "Change the value; --help and the reference page say what each parameter allows."


def _sentence(detail: ErrorDetails, allowed: list[str], where: str) -> str:
    key = ".".join(str(part) for part in detail["loc"])
    match detail["type"]:
        case "extra_forbidden":
            return f"{where} has no parameter '{key}'.{did_you_mean(key, allowed)}"
        case "missing":
            return f"The '{key}' parameter of {where} is missing."
    # Validators raise the end of this sentence, what the value must be; pydantic's own messages are cut alike.
    message = detail["msg"].removeprefix("Value error, ").removeprefix("Input should be ").rstrip(".")
    return f"The '{key}' parameter of {where} must be {message}. Got {quoted_path(detail['input'])} instead."
