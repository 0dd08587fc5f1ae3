"""What is searched, as Optuna's distributions, and values drawn from them; it knows no trial's fate."""

from __future__ import annotations

from typing import Any

import numpy as np
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.samplers import TPESampler
from optuna.trial import Trial

__all__ = ["distribution_of", "draw", "holds", "sampler_of"]

STARTUP_TRIALS = 10


def distribution_of(part: Any) -> BaseDistribution:
    """Return the distribution of a range or a choice."""
    if hasattr(part, "values"):
        return CategoricalDistribution(part.values)
    if part.is_whole:
        return IntDistribution(part.low, part.high, log=part.log)
    return FloatDistribution(part.low, part.high, log=part.log)


def holds(distribution: BaseDistribution, value: Any) -> bool:
    """Return whether a value could be drawn."""
    if isinstance(distribution, CategoricalDistribution):
        return value in distribution.choices
    if isinstance(distribution, IntDistribution | FloatDistribution):
        return value is not None and distribution.low <= value <= distribution.high
    return False


def sampler_of(seed: int, *place: int) -> TPESampler:
    """Return the sampler of one setting of one trial, whatever was drawn before in this process.

    Args:
        seed: Of the search.
        place: The trial's place among the trials, and the setting's in the space.
    """
    entropy = np.random.SeedSequence([seed, *place])
    return TPESampler(seed=int(entropy.generate_state(1)[0]), n_startup_trials=STARTUP_TRIALS)


def draw(trial: Trial, name: str, distribution: BaseDistribution) -> Any:
    """Return a trial's value of a setting: the one that it has already, or a new one."""
    if isinstance(distribution, CategoricalDistribution):
        return trial.suggest_categorical(name, distribution.choices)
    if isinstance(distribution, IntDistribution):
        return trial.suggest_int(name, distribution.low, distribution.high, log=distribution.log)
    assert isinstance(distribution, FloatDistribution)
    return trial.suggest_float(name, distribution.low, distribution.high, log=distribution.log)
