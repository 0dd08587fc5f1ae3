"""From a torch Bundle of a language model to one of format decoder: the graph and what writing texts needs beside it.

The verbs export and quantize stand on it. It knows no verb.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from yanmo.artifacts.bundle import Bundle
from yanmo.errors import ArtifactError
from yanmo.runtimes.generating.settings import CHAT_TEMPLATE, DECODER_FILE, DECODER_SETTINGS, DecoderSettings
from yanmo.text.language_tokens import LanguageTokenizer

if TYPE_CHECKING:
    from yanmo.exporting.language_model import LanguageWeights

__all__ = ["holds_decoder", "load_decoder_weights", "write_decoder_files", "write_decoder_graph"]

DECODER = "decoder"


def holds_decoder(bundle: Bundle) -> bool:
    """Return whether a Bundle's model is a language model that writes from left to right."""
    return bundle.architecture.get("family") == DECODER


def load_decoder_weights(bundle: Bundle) -> LanguageWeights:
    """Return the weights of a torch Bundle.

    Raises:
        ArtifactError: The Bundle holds a graph already.
        ModelError: The family has no graph here.
    """
    from yanmo.exporting.language_model import read_language_model

    if bundle.format != "torch":
        raise ArtifactError(
            f"The weights are read from a torch Bundle. {bundle.path} is of format {bundle.format}.",
            hint="Give the Bundle that it was made from.",
        )
    return read_language_model(bundle.path)


def write_decoder_files(bundle: Bundle, folder: Path) -> None:
    """Write what belongs to a decoder's graph into a Bundle's folder.

    Args:
        bundle: The torch Bundle.
        folder: Of the new one; its tokenizer is there already.
    """
    config: dict[str, Any] = json.loads((bundle.path / "config.json").read_text(encoding="utf-8"))
    # Texts are read behind the mark between documents that the model has learned from.
    begin_id = LanguageTokenizer.open(folder / "tokenizer.json", end=bundle.architecture.get("end")).end_id
    named = config.get("eos_token_id")
    ends = named if isinstance(named, list) else [] if named is None else [named]
    settings = DecoderSettings(begin_id, list(dict.fromkeys([begin_id, *ends])))
    (folder / DECODER_SETTINGS).write_bytes(msgspec.json.format(msgspec.json.encode(settings), indent=2) + b"\n")
    if (bundle.path / CHAT_TEMPLATE).is_file():
        shutil.copyfile(bundle.path / CHAT_TEMPLATE, folder / CHAT_TEMPLATE)


def write_decoder_graph(folder: Path, content: bytes) -> None:
    """Write the graph into a Bundle's folder, over one that may be there."""
    from yanmo.exporting.graph import write_weights_apart

    (folder / DECODER_FILE).parent.mkdir(exist_ok=True)
    write_weights_apart(content, folder / DECODER_FILE)
