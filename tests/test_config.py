"""A config refuses what it does not know and says what is allowed."""

from typing import Literal

import pytest
from pydantic import Field

from yanmo.config import Config, build
from yanmo.errors import ConfigError


class ExampleConfig(Config):
    alpha: float = Field(default=0.5, ge=0, le=1)
    """Share of the first thing."""
    mode: Literal["fast", "exact"] = "fast"
    """How."""


def test_an_unknown_key_is_refused_with_the_closest_name():
    with pytest.raises(ConfigError) as caught:
        build(ExampleConfig, {"alpa": 1}, where="distill")
    assert str(caught.value) == (
        "distill has no parameter 'alpa'. Did you mean 'alpha'?\nhint: The parameters are: alpha, mode."
    )


def test_a_value_out_of_range_names_the_range_and_the_value():
    with pytest.raises(ConfigError) as caught:
        build(ExampleConfig, {"alpha": 3}, where="distill")
    assert caught.value.message == ("The 'alpha' parameter of distill must be less than or equal to 1. Got 3 instead.")


def test_all_wrong_values_are_named_at_once():
    with pytest.raises(ConfigError) as caught:
        build(ExampleConfig, {"alpha": "much", "mode": "slow"}, where="distill")
    assert "'alpha'" in caught.value.message
    assert "must be 'fast' or 'exact'. Got 'slow' instead." in caught.value.message


def test_a_config_is_frozen():
    config = build(ExampleConfig, {}, where="distill")
    with pytest.raises(ValueError, match="frozen"):
        config.alpha = 0.1
