"""What is searched: the default ranges of every model family, and the user's own from a TOML file; it knows no search.

A line of the file names a key of train. Its value is a range, a list to choose from, or one value that stays:

    learning_rate = { low = 1e-4, high = 1e-2, log = true }
    num_epochs = { low = 4, high = 12 }
    batch_size = [32, 64, 128]
    max_length = 64
"""

from __future__ import annotations

import tomllib
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, TypeAlias

import msgspec

from yanmo.config import build
from yanmo.errors import ConfigError, ModelError, did_you_mean
from yanmo.models import ENCODER_FAMILIES, FAMILIES
from yanmo.training.train_config import TrainConfig

__all__ = ["Choice", "Range", "Space", "default_space", "read_space"]

Value: TypeAlias = bool | int | float | str
# Keys with which a trial would be another search, or the search has its own values for.
SET_BY_TUNE = ("model", "folds", "metric", "seed", "num_threads", "offline", "tracker", "fork", "executor")


class Range(msgspec.Struct, frozen=True, tag=True):
    """Every number from ``low`` to ``high``; whole ones if both are, on a logarithmic scale if ``log``."""

    low: int | float
    high: int | float
    log: bool = False

    @property
    def is_whole(self) -> bool:
        """Whether only whole numbers count."""
        return isinstance(self.low, int) and isinstance(self.high, int)


class Choice(msgspec.Struct, frozen=True, tag=True):
    """One of some values."""

    values: tuple[Value, ...]


Space: TypeAlias = dict[str, Range | Choice]

_REGULARIZATION: Space = {"weight_decay": Range(1e-4, 0.3, log=True), "label_smoothing": Range(0.0, 0.2)}
_LIGHT: Space = {
    "learning_rate": Range(5e-4, 2e-2, log=True),
    "batch_size": Choice((16, 32, 64, 128, 256)),
    "dropout": Range(0.1, 0.7),
    **_REGULARIZATION,
}
_ENCODER: Space = {
    "learning_rate": Range(1e-4, 1e-3, log=True),
    "batch_size": Choice((16, 32, 64)),
    "dropout": Range(0.0, 0.3),
    "warmup_ratio": Range(0.0, 0.2),
    **_REGULARIZATION,
}
_SHAPE: Space = {**_ENCODER, "activation": Choice(("gelu", "relu", "silu", "tanh"))}
_DECODER: Space = {
    "learning_rate": Range(5e-4, 2e-2, log=True),
    "batch_size": Choice((8, 16, 32, 64)),
    "dropout": Range(0.0, 0.4),
    "warmup_ratio": Range(0.0, 0.2),
    "weight_decay": Range(1e-4, 0.3, log=True),
}
SPACES: dict[str, Space] = {
    "textcnn": _LIGHT,
    "bilstm": _LIGHT,
    "ngram": _LIGHT,
    "window": {"learning_rate": Range(0.03, 0.3, log=True), "batch_size": Choice((8, 16, 32))},
    "arcs": {"batch_size": Choice((4, 8, 16, 32))},
    **dict.fromkeys(ENCODER_FAMILIES, _SHAPE),
    **dict.fromkeys(("gpt2", "gpt", "gcnn"), _DECODER),
    "lstm": {**_DECODER, "learning_rate": Range(2e-3, 5e-2, log=True)},
    "t5": {**_ENCODER, "learning_rate": Range(2e-3, 3e-2, log=True), "batch_size": Choice((16, 32, 64, 128))},
    "pairs": {"order": Range(2, 10)},
    "init": {**_ENCODER, "learning_rate": Range(1e-5, 5e-4, log=True)},
    "pretrained": {
        **_ENCODER,
        "learning_rate": Range(1e-5, 5e-4, log=True),
        "layer_decay": Range(0.7, 1.0),
        "head_start": Choice(("probe", "random")),
    },
}


def default_space(family: str, defaults: Mapping[str, Any], *, idle: Collection[str] = ()) -> Space:
    """Return what is searched for a family: its ranges, and from half to twice its number of epochs, if it has any.

    Args:
        family: A key of :data:`yanmo.family_settings.FAMILY_DEFAULTS`.
        defaults: Its settings for this Dataset.
        idle: Settings that have no effect on what is learned.

    Raises:
        ModelError: The family has nothing to search.
    """
    if family not in SPACES:
        raise ModelError(
            f"The model {family} has no settings that tune could search.",
            hint=f"Families with a search space: {', '.join(name for name in FAMILIES if name in SPACES)}.",
        )
    own = {name: part for name, part in SPACES[family].items() if name not in idle}
    epochs = defaults.get("num_epochs")
    passes: Space = {} if epochs is None else {"num_epochs": Range(max(1, epochs // 2), 2 * epochs)}
    return {**own, **passes}


def read_space(path: Path) -> tuple[Space, dict[str, Value]]:
    """Return what a TOML file says is searched, and the values that stay.

    Raises:
        ConfigError: The file cannot be read, or a line of it is no key of train or no range it could have.
    """
    try:
        lines = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigError(f"The search space {path} cannot be read: {error}.", hint="Give a TOML file.") from error
    allowed = [name for name in TrainConfig.model_fields if name not in SET_BY_TUNE]
    space: Space = {}
    fixed: dict[str, Value] = {}
    for key, value in lines.items():
        if key not in allowed:
            raise ConfigError(
                f"{path}: '{key}' is no key of train that tune can set.{did_you_mean(key, allowed)}",
                hint=f"The keys are: {', '.join(allowed)}.",
            )
        part = _read_part(path, key, value)
        if isinstance(part, Range | Choice):
            space[key] = part
        else:
            fixed[key] = part
    if not space:
        raise ConfigError(f"{path} leaves nothing to search.", hint="Give a key a range: { low = 1, high = 9 }.")
    return space, fixed


def _read_part(path: Path, key: str, value: Any) -> Range | Choice | Value:
    if isinstance(value, list) and value and all(isinstance(one, Value) for one in value):
        return Choice(tuple(_as_train(path, key, one) for one in value))
    if isinstance(value, Mapping):
        low, high, log = value.get("low"), value.get("high"), value.get("log", False)
        is_right = set(value) <= {"low", "high", "log"} and isinstance(log, bool)
        if is_right and isinstance(low, int | float) and isinstance(high, int | float):
            # Of the numbers as they were written, which the message repeats.
            _check_range(path, key, Range(low, high, log))
            return Range(_as_train(path, key, low), _as_train(path, key, high), log)
    elif isinstance(value, Value):
        known: Value = _as_train(path, key, value)
        return known
    raise ConfigError(
        f"{path}: '{key}' must be a range, a list, or one value. Got {value!r} instead.",
        hint="A range: { low = 1e-4, high = 1e-2, log = true }; with whole numbers only those are tried.",
    )


def _as_train(path: Path, key: str, value: Any) -> Any:
    """Return a value of the file, after train has allowed it; 4.0 is 4 where train wants a whole number."""
    known = getattr(build(TrainConfig, {key: value}, where=str(path)), key)
    return known if isinstance(known, int) else value


def _check_range(path: Path, key: str, part: Range) -> None:
    if part.low >= part.high:
        raise ConfigError(
            f"{path}: 'low' of '{key}' must be less than 'high'. Got {part.low} and {part.high} instead.",
            hint=f"Exchange them; a value that stays is written {key} = {part.low}.",
        )
    if part.log and part.low <= 0:
        raise ConfigError(
            f"{path}: 'low' of '{key}' must be greater than 0 on a logarithmic scale. Got {part.low} instead.",
            hint="Give a small number such as 1e-6, or leave log out.",
        )
