"""Calls of transformers that open a checkpoint: what they raise becomes our error, and what they say is held back."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from transformers.utils import logging as transformers_logging

from yanmo.errors import ModelError, YanmoError

__all__ = ["opening", "quiet"]


@contextlib.contextmanager
def opening(source: str | Path, *, does: str = "classifies sequences") -> Iterator[None]:
    """Turn what transformers raises about a missing or unusable checkpoint into our error, and keep it quiet.

    Args:
        source: A local folder.
        does: What a model that could be opened does, for the hint.
    """
    try:
        with quiet():
            yield
    # It says more than what would be made of it below.
    except YanmoError:
        raise
    except Exception as error:  # damaged files make it and what it stands on raise all kinds
        lines = str(error).strip().splitlines()
        raise ModelError(
            f"The model {source} cannot be opened: {lines[0] if lines else type(error).__name__}",
            hint="Give a folder or hub id with config.json, model.safetensors and tokenizer.json of a model that "
            f"{does}.",
        ) from error


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Hold back transformers' progress bars and its notes about new heads."""
    verbosity = transformers_logging.get_verbosity()
    shows_bars = transformers_logging.is_progress_bar_enabled()
    transformers_logging.set_verbosity_error()  # type: ignore[no-untyped-call]
    transformers_logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    try:
        yield
    finally:
        transformers_logging.set_verbosity(verbosity)
        if shows_bars:
            transformers_logging.enable_progress_bar()  # type: ignore[no-untyped-call]
