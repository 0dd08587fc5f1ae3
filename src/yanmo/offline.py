"""What keeps libraries silent that would report their use; it knows what they listen to, and imports none.

onnxruntime, OpenVINO and MLflow report their use as soon as they are imported, and write an identifier into the user's
home. Importing the package sets what stops that, so that every process is silent before it loads any of them.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

__all__ = ["SILENT", "keep_silent", "own_folders", "without_module"]

SILENT: Mapping[str, str] = {
    "ORT_DISABLE_TELEMETRY": "1",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "DISABLE_SAFETENSORS_CONVERSION": "1",
}
"""Variable to value. The last one: where a hub id has no safetensors, transformers asks the hub to convert it."""


def keep_silent() -> None:
    """Set :data:`SILENT` in this process and those that it starts; a value of the user's own stays."""
    for name, value in SILENT.items():
        os.environ.setdefault(name, value)


@contextlib.contextmanager
def own_folders() -> Iterator[None]:
    """Let matplotlib keep its notes in a folder that is gone after the block, instead of in the user's home.

    It is for a process of our own; a program that imports the package may draw, too. Values of the user's own stay.
    """
    folder = _new_folder()
    wanted = {"MPLCONFIGDIR": str(folder), "MPL_IGNORE_SYSTEM_FONTS": "1"}
    ours = {name: value for name, value in wanted.items() if name not in os.environ}
    os.environ.update(ours)
    try:
        yield
    finally:
        for name in ours:
            os.environ.pop(name, None)
        shutil.rmtree(folder, ignore_errors=True)


def _new_folder() -> Path:
    """Return a place for temporary files that nobody can guess; whoever needs it makes it."""
    try:
        parent = tempfile.gettempdir()
    except FileNotFoundError:  # nothing can be written anywhere, so nothing will be
        parent = os.devnull
    return Path(parent) / f"yanmo-{secrets.token_hex(8)}"


@contextlib.contextmanager
def without_module(name: str) -> Iterator[None]:
    """Let an import inside the block find no such module, unless it is loaded already."""
    if name in sys.modules:
        yield
        return
    sys.modules[name] = None  # type: ignore[assignment]
    try:
        yield
    finally:
        sys.modules.pop(name, None)
