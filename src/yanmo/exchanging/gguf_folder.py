"""From a torch Bundle of a language model to a folder with a GGUF file, read back and asked; it knows no verb."""

from __future__ import annotations

import json
import shutil
import tempfile
from pathlib import Path

import numpy as np
from msgspec.structs import replace

from yanmo.artifacts.bundle import Bundle
from yanmo.artifacts.effects import Effects
from yanmo.artifacts.placing import place_folder
from yanmo.errors import ArtifactError, ModelError, check_installed
from yanmo.exchanging.decoder_bundle import (
    holds_decoder,
    load_decoder_weights,
    write_decoder_files,
    write_decoder_graph,
)
from yanmo.exchanging.plain_folder import PlainFolder
from yanmo.exporting.decoder import DecoderWeights
from yanmo.exporting.gguf_file import GGUF_FAMILIES, WeightType, read_gguf, write_gguf
from yanmo.exporting.gguf_tokens import gguf_tokens
from yanmo.runtimes.decoder import DecoderRuntime
from yanmo.runtimes.predictor import default_num_threads
from yanmo.text.language_tokens import LanguageTokenizer

__all__ = ["write_gguf_folder"]

GGUF = "model.gguf"
TOKENIZER = "tokenizer.json"
TOLERANCES: dict[str, float] = {"f32": 1e-4, "f16": 2e-2, "q8_0": 1e-1}
"""How weights are kept, to how much the log-likelihoods of a text's tokens may differ in the mean, in nats."""


def write_gguf_folder(bundle: Bundle, out: Path, *, weight_type: WeightType, effects: Effects) -> PlainFolder:
    """Write a language model as llama.cpp and Ollama read it.

    Args:
        bundle: A torch Bundle of GPT-2's shape, or Llama's, Qwen2's, Qwen3's or Arcee's.
        out: Where the folder appears.
        weight_type: How matrices are kept.
        effects: Whether one that stands there is replaced.

    Raises:
        ArtifactError: The Bundle holds no such model.
        ModelError: Its family or its tokenizer has no such form, or the file would answer otherwise.
        MissingExtraError: The package that writes the file is not installed.
    """
    if not holds_decoder(bundle):
        raise ArtifactError(
            f"A GGUF file holds a language model. {bundle.path} is of the task {bundle.task}.",
            hint="Train one: yanmo train DATASET --model gpt-4x256",
        )
    check_installed("export --to gguf", "gguf", extra="gguf")
    weights = load_decoder_weights(bundle)
    family = str(json.loads((bundle.path / "config.json").read_text(encoding="utf-8"))["model_type"])
    if family not in GGUF_FAMILIES or not isinstance(weights, DecoderWeights):
        raise ModelError(
            f"{bundle.path} is of the family {family}, which has no GGUF form here.",
            hint=f"The families are: {', '.join(GGUF_FAMILIES)}.",
        )
    tokenizer = LanguageTokenizer.open(bundle.path / TOKENIZER, end=bundle.architecture.get("end"))
    tokens = gguf_tokens(tokenizer, num_embeddings=len(weights.tokens_VD), name=bundle.model)
    with place_folder(out, effects=effects) as staging:
        path = staging / GGUF
        write_gguf(path, weights, tokens, family=family, name=bundle.model, weight_type=weight_type)
        # Read from the disk again, as those will who get the folder.
        difference = _check(bundle, read_gguf(path, weights, family=family), weight_type)
    return PlainFolder(out, bundle.model, float(f"{difference:.2g}"))


def _check(bundle: Bundle, found: DecoderWeights, weight_type: WeightType) -> float:
    """Return how far the golden texts are from what torch says of them, with the weights that the file holds.

    Raises:
        ModelError: Too far.
    """
    from yanmo.exporting.decoder_graph import write_decoder
    from yanmo.runtimes import pytorch

    num_threads = default_num_threads()
    inputs = bundle.text_pipeline().read(bundle.golden().inputs)
    expected = pytorch.open_runtime(bundle, device="cpu", num_threads=num_threads).infer(inputs).scores
    with tempfile.TemporaryDirectory() as folder:
        manifest = replace(bundle.manifest, info={**bundle.manifest.info, "format": "decoder"})
        twin = Bundle(Path(folder), manifest, "")
        shutil.copyfile(bundle.path / TOKENIZER, twin.path / TOKENIZER)
        write_decoder_files(bundle, twin.path)
        write_decoder_graph(twin.path, write_decoder(found, is_int8=False))
        scores = DecoderRuntime(twin, num_threads).infer(inputs).scores
    difference = float(np.max(scores.distance_N(expected), initial=0.0))
    # In this form not a number is refused, too.
    if not difference <= TOLERANCES[weight_type]:
        raise ModelError(
            f"The GGUF file would not answer as {bundle.path} does: tokens differ by {difference:.2g} nats.",
            hint="Nothing was written. Keep more bits: --gguf-weights f32",
        )
    return difference
