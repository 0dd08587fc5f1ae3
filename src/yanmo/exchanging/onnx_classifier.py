"""A classifier that is an ONNX file with its tokenizer, read as it is; it needs neither torch nor transformers."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer

from yanmo.errors import ConfigError, ModelError
from yanmo.runtimes.engines.ort import open_session
from yanmo.runtimes.onnx import INPUTS, OnnxSettings
from yanmo.text.tokenizer import open_tokenizer

__all__ = ["AdoptedGraph", "find_graph", "has_weights", "read_graph"]

# Whole graphs go before quantized ones.
PLACES = ("model.onnx", "onnx/model.onnx", "model_quantized.onnx", "onnx/model_quantized.onnx")
TOKENIZER, CONFIG, TOKENIZER_CONFIG = "tokenizer.json", "config.json", "tokenizer_config.json"
OUTPUT = "logits"
# Tried in this order where nothing names the token; models without one of its own fill up with the end of a text.
PAD_TOKENS = ("[PAD]", "<pad>", "<|endoftext|>", "</s>")
DEFAULT_LENGTH = 512
LONGEST = 1_000_000


@dataclass(frozen=True)
class AdoptedGraph:
    """What is known of a graph before it is run.

    Attributes:
        content: The file.
        tokenizer: Its tokenizer.
        settings: Its inputs and its padding.
        labels: Of its scores, in their order; of a file without a config those that were given.
        problem_type: As transformers names it, None where nobody says.
        max_length: Most tokens of a text.
    """

    content: bytes
    tokenizer: Tokenizer
    settings: OnnxSettings
    labels: list[str]
    problem_type: str | None
    max_length: int


def find_graph(source: Path) -> Path | None:
    """Return the ONNX file that a path means: itself, or that of a folder as exporters lay it out; else None."""
    if source.suffix == ".onnx" and source.is_file():
        return source
    return next((source / place for place in PLACES if (source / place).is_file()), None)


def has_weights(source: Path) -> bool:
    """Return whether a folder holds weights that transformers reads, which go before a graph beside them."""
    return any(path for pattern in ("model*.safetensors*", "pytorch_model*.bin*") for path in source.glob(pattern))


def read_graph(
    path: Path, *, tokenizer: Path | None, label_names: tuple[str, ...], max_length: int | None
) -> AdoptedGraph:
    """Return what a graph and the files beside it say.

    Args:
        path: The ONNX file.
        tokenizer: Its ``tokenizer.json``, where that stands elsewhere.
        label_names: Of its scores.
        max_length: Most tokens of a text; None: what the tokenizer says.

    Raises:
        ModelError: The tokenizer is not there, or the graph takes or gives something else than a classifier's does.
        ConfigError: Nobody names the labels.
    """
    config, said = _beside(path, CONFIG), _beside(path, TOKENIZER_CONFIG)
    file = tokenizer or _near(path, TOKENIZER)
    if file is None:
        raise ModelError(
            f"{path} has no {TOKENIZER} beside it.", hint="Name it with --tokenizer, or put it into the same folder."
        )
    opened = open_tokenizer(file)
    inputs = _check_shape(path)
    settings = OnnxSettings(inputs, _pad_id(opened, config, said), token_type="token_type_ids" in inputs)
    # Keys in JSON are texts, of which 10 would come before 2.
    named = [str(name) for _, name in sorted(config.get("id2label", {}).items(), key=lambda one: int(one[0]))]
    if not (label_names or named):
        raise ConfigError(
            f"Nothing beside {path} names its labels.",
            hint="Give them in the order of the scores: --label-names a,b,c",
        )
    length = max_length or min(int(said.get("model_max_length") or LONGEST), _positions(config))
    return AdoptedGraph(
        path.read_bytes(),
        opened,
        settings,
        list(label_names) or named,
        config.get("problem_type"),
        length if length < LONGEST else DEFAULT_LENGTH,
    )


def _positions(config: Mapping[str, Any]) -> int:
    limit = int(config.get("max_position_embeddings") or LONGEST)
    counts_from_pad = config.get("model_type") in ("roberta", "camembert", "xlm-roberta", "mpnet")
    # These number places from behind the id of their padding token on; 1 is RoBERTa's.
    return limit - (int(config.get("pad_token_id", 1)) + 1 if counts_from_pad else 0)


def _near(path: Path, name: str) -> Path | None:
    """Return a file in the graph's folder or the one above it."""
    return next((one / name for one in (path.parent, path.parent.parent) if (one / name).is_file()), None)


def _beside(path: Path, name: str) -> dict[str, Any]:
    file = _near(path, name)
    try:
        found: dict[str, Any] = json.loads(file.read_text(encoding="utf-8")) if file else {}
    except ValueError as error:
        raise ModelError(f"{file} is damaged: {error}.", hint="Copy it again.") from error
    return found


def _check_shape(path: Path) -> list[str]:
    """Return the names of the graph's inputs, in its order.

    Raises:
        ModelError: It takes or gives something else than a classifier of any number of texts of any length.
    """
    session = open_session(path, 1)
    inputs, outputs = session.get_inputs(), session.get_outputs()
    unknown = [one.name for one in inputs if one.name not in INPUTS]
    if unknown or not inputs:
        raise ModelError(
            f"{path} takes {', '.join(unknown) or 'nothing'}, which is no input of a classifier of texts.",
            hint=f"Its inputs may be: {', '.join(INPUTS)}.",
        )
    fixed = next((one for one in inputs if any(isinstance(size, int) for size in one.shape)), None)
    if fixed is not None:
        raise ModelError(
            f"The input {fixed.name} of {path} has the fixed shape {fixed.shape}.",
            hint="Export it with dynamic axes for batch and length.",
        )
    if [one.name for one in outputs] != [OUTPUT]:
        raise ModelError(
            f"{path} gives {', '.join(one.name for one in outputs)}; adopt takes graphs that give {OUTPUT} alone.",
            hint=f"Export it with the scores before softmax as its one output, under the name {OUTPUT}.",
        )
    return [one.name for one in inputs]


def _pad_id(tokenizer: Tokenizer, config: Mapping[str, Any], said: Mapping[str, Any]) -> int:
    """Return the token that fills a batch up.

    Raises:
        ModelError: There is none.
    """
    token = said.get("pad_token")
    named = token.get("content") if isinstance(token, dict) else token
    known = [tokenizer.token_to_id(one) for one in (named, *PAD_TOKENS) if one]
    found = [config.get("pad_token_id"), (tokenizer.padding or {}).get("pad_id"), *known]
    pad_id = next((one for one in found if one is not None), None)
    if pad_id is None:
        raise ModelError("The tokenizer has no padding token.", hint=f"Name it in a {TOKENIZER_CONFIG} beside it.")
    return int(pad_id)
