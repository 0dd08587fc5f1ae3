"""What a sentence encoder's folder says about its vectors, as sentence-transformers lays it out; it knows no network.

``modules.json`` lists the steps from a text to its vector, each a class with a folder of its own.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

__all__ = ["SentenceSettings", "read_sentence_settings"]

MODULES = "modules.json"
POOLING_FOLDER = "1_Pooling"
NETWORK_FOLDER, READING, PROMPTS = "0_Transformer", "sentence_bert_config.json", "config_sentence_transformers.json"
NETWORK, POOLING, NORMALIZE = "Transformer", "Pooling", "Normalize"
MODES = {
    "cls_token": "first",
    "cls": "first",
    "mean_tokens": "mean",
    "mean": "mean",
}
"""What sentence-transformers calls a way of pooling, in old files and in new ones, to its name here."""
FLAG = "pooling_mode_"


@dataclass(frozen=True)
class SentenceSettings:
    """What is noted.

    Attributes:
        pooling: How the states of tokens become one vector: ``first``, ``mean``, or a name of theirs; empty: no note.
        is_unit: Whether vectors have length 1; None where nothing is noted.
        others: Further steps from the text to its vector.
        prompt: What stands before every text unless something else is asked for.
        lowers: Whether texts are read in small letters.
    """

    pooling: str = ""
    is_unit: bool | None = None
    others: tuple[str, ...] = ()
    prompt: str = ""
    lowers: bool = False


def read_sentence_settings(folder: Path) -> SentenceSettings:
    """Return what a folder notes; what cannot be read notes nothing."""
    steps = _read(folder / MODULES)
    listed = [one for one in steps if isinstance(one, dict)] if isinstance(steps, list) else []
    kinds = [str(one.get("type", "")).rpartition(".")[2] for one in listed]
    place = next((one.get("path") for one, kind in zip(listed, kinds, strict=True) if kind == POOLING), None)
    others = tuple(kind for kind in kinds if kind not in (NETWORK, POOLING, NORMALIZE))
    return SentenceSettings(
        _pooling(_read(folder / str(place or POOLING_FOLDER) / "config.json")),
        NORMALIZE in kinds if kinds else None,
        others,
        _prompt(_read(folder / PROMPTS)),
        any(_lowers(_read(place / READING)) for place in (folder, folder / NETWORK_FOLDER)),
    )


def _prompt(content: Any) -> str:
    named = content.get("prompts") if isinstance(content, dict) else None
    found = named.get(content.get("default_prompt_name")) if isinstance(named, dict) else None
    return found if isinstance(found, str) else ""


def _lowers(content: Any) -> bool:
    return isinstance(content, dict) and content.get("do_lower_case") is True


def _pooling(content: Any) -> str:
    if not isinstance(content, dict):
        return ""
    flags = [name.removeprefix(FLAG) for name, value in content.items() if name.startswith(FLAG) and value is True]
    said = content.get("pooling_mode")
    names = [str(one) for one in said] if isinstance(said, list) else [said] if isinstance(said, str) else flags
    return "+".join(MODES.get(name, name) for name in names)


def _read(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
