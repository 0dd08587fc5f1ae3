"""export: a torch Bundle to an ONNX Bundle, or a Bundle to a plain folder for others; it checks, and knows no torch."""

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Literal

from yanmo.artifacts.bundle import Bundle
from yanmo.artifacts.effects import NO_EFFECTS, Effects
from yanmo.config import Config
from yanmo.errors import ArtifactError, check_installed
from yanmo.exchanging.arpa_folder import write_arpa_folder
from yanmo.exchanging.decoder_bundle import (
    holds_decoder,
    load_decoder_weights,
    write_decoder_files,
    write_decoder_graph,
)
from yanmo.exchanging.encoder_decoder_bundle import (
    check_same_answers,
    holds_encoder_decoder,
    load_encoder_decoder_weights,
)
from yanmo.exchanging.gguf_folder import write_gguf_folder
from yanmo.exchanging.onnx_bundle import encoder_graph, load_encoder, publish_from, traced_graph, write_graph
from yanmo.exchanging.plain_folder import PlainFolder, write_folder
from yanmo.runtimes.decoder import DecoderRuntime
from yanmo.runtimes.encoder_decoder import READING_FILE, WRITING_FILE, open_session_of
from yanmo.runtimes.onnx import OnnxRuntime
from yanmo.runtimes.predictor import default_num_threads
from yanmo.tasks import task_of
from yanmo.verbs.signature import verb

__all__ = ["ExportConfig", "export"]

logger = logging.getLogger(__name__)

NUM_RANDOM_DOCUMENTS = 20
REREAD_LENGTH = 16
"""Random texts are made for so many tokens where each is read once for each of its tokens."""


class ExportConfig(Config):
    """What is made."""

    to: Literal["onnx", "transformers", "arpa", "gguf"] = "onnx"
    """onnx: a Bundle that runs on onnxruntime and OpenVINO; transformers: a plain folder, which is no Bundle, for hubs
    and for transformers' own classes; arpa: a folder with the n-grams of kneser-ney, for KenLM and its like;
    gguf: a folder with a language model in one file, for llama.cpp and Ollama."""

    gguf_weights: Literal["f32", "f16", "q8_0"] = "f32"
    """How the matrices of a GGUF file are kept: in 32 or 16 bits, or in 8 by blocks of 32."""


@verb
def export(bundle: Bundle, config: ExportConfig, *, out: Path, effects: Effects = NO_EFFECTS) -> Bundle | PlainFolder:
    """Turn a torch Bundle into an ONNX Bundle that runs without torch.

    The graph of BERT, RoBERTa, ALBERT, ELECTRA and DistilBERT is written straight from the weights; other networks are
    traced; a language model becomes a Bundle of format decoder, which writes, and a T5 one of format encoder-decoder,
    which answers with texts. The new Bundle is published only if it
    answers the golden examples and random texts of all lengths as torch does. The way back, ``--to transformers``,
    writes a plain folder that transformers' own classes open, with the calibration in its last layer, if these answer
    alike; ``--to arpa`` writes counted n-grams as the tools of speech recognition read them, and ``--to gguf`` a
    language model as llama.cpp and Ollama do.

    Args:
        bundle: A Bundle of format torch; for arpa one of format kneser-ney.
        config: What is made.
        out: Where the new Bundle or folder appears.
        effects: Key and replacement of the call.

    Raises:
        ArtifactError: The Bundle has another format, or no class of transformers' holds it.
        ModelError: The model has no ONNX form, or that answers differently.
        MissingExtraError: The packages that write ONNX files are not installed.
    """
    # Refuses a Bundle that gives no answers yet, as pretrain makes it.
    task_of(bundle)
    if config.to == "arpa":
        return write_arpa_folder(bundle, out, effects=effects)
    if config.to == "gguf":
        return write_gguf_folder(bundle, out, weight_type=config.gguf_weights, effects=effects)
    if config.to == "transformers":
        check_installed("export", "torch", "transformers", extra="train")
        return write_folder(bundle, out, effects=effects)
    _check_format(bundle, config)
    kind, make = _maker(bundle)
    dataset = {role: digest for role, digest in bundle.manifest.parents.items() if role == "dataset"}
    return publish_from(
        bundle,
        verb="export",
        config=config.model_dump(mode="json"),
        info={**bundle.manifest.info, "format": kind},
        parents=dataset,
        out=out,
        make=lambda made: make(bundle, made),
        effects=effects,
    )


def _maker(bundle: Bundle) -> tuple[str, Callable[[Bundle, Bundle], None]]:
    """Return the format of the new Bundle, and what makes it."""
    if holds_encoder_decoder(bundle):
        return "encoder-decoder", _make_encoder_decoder
    return ("decoder", _make_decoder) if holds_decoder(bundle) else ("onnx", _make)


def _check_format(bundle: Bundle, config: ExportConfig) -> None:
    if bundle.format == "torch":
        return
    if bundle.is_composite:
        raise ArtifactError(
            f"export takes the Bundle of one model. {bundle.path} is of format {bundle.format}.",
            hint=f"Export its members, then make the {bundle.format} of them.",
        )
    state = "is exported" if bundle.format in (config.to, "decoder", "encoder-decoder") else "runs without torch"
    raise ArtifactError(
        f"export makes an {config.to} Bundle from a torch Bundle. {bundle.path} is of format {bundle.format}.",
        hint=f"It {state} already: serve it, or predict with it, as it is.",
    )


def _make(bundle: Bundle, made: Bundle) -> None:
    """Write the graph into the unfinished Bundle and prove that it answers as torch does.

    Raises:
        ModelError: The graph cannot be made, or answers differently.
    """
    from yanmo.exporting.parity import check_parity
    from yanmo.runtimes import pytorch

    num_threads = default_num_threads()
    # On the CPU, where the graph is compared with it: a graphics processor rounds otherwise.
    reference = pytorch.open_labeler(bundle, device="cpu", num_threads=num_threads)
    encoder = load_encoder(bundle)
    write_graph(made.path, encoder_graph(bundle, encoder) if encoder else traced_graph(bundle, reference))
    pipeline, golden = bundle.text_pipeline(), bundle.golden()
    rereads = task_of(bundle).reads_by_token
    difference = check_parity(
        reference,
        OnnxRuntime(made, num_threads),
        # Runtimes are compared, and these read what is cleaned already.
        pipeline.read(golden.inputs),
        max_length=min(bundle.max_length, REREAD_LENGTH) if rereads else bundle.max_length,
        **({"num_random": NUM_RANDOM_DOCUMENTS} if rereads else {}),
    )
    logger.info("Probabilities differ from torch's by at most %.1g.", difference)


def _make_decoder(bundle: Bundle, made: Bundle) -> None:
    """Write a decoder's graph into the unfinished Bundle and prove that texts are as likely as torch says.

    Raises:
        ModelError: The family has no graph here, or answers differently.
    """
    from yanmo.exporting.language_model import write_language_model
    from yanmo.exporting.parity import check_parity
    from yanmo.runtimes import pytorch

    num_threads = default_num_threads()
    write_decoder_graph(made.path, write_language_model(load_decoder_weights(bundle), is_int8=False))
    write_decoder_files(bundle, made.path)
    difference = check_parity(
        pytorch.open_runtime(bundle, device="cpu", num_threads=num_threads),
        DecoderRuntime(made, num_threads),
        bundle.text_pipeline().read(bundle.golden().inputs),
        max_length=bundle.max_length,
        # Every token of a text is an answer of its own.
        num_random=NUM_RANDOM_DOCUMENTS,
    )
    logger.info("Log-likelihoods of tokens differ from torch's by at most %.1g nats.", difference)


def _make_encoder_decoder(bundle: Bundle, made: Bundle) -> None:
    """Write the graphs of a model that writes a text from another, and prove that it writes as torch does.

    Raises:
        ModelError: The family has no graphs here, or answers differently.
    """
    from yanmo.exporting.encoder_decoder_graph import write_answering
    from yanmo.runtimes import pytorch

    num_threads, network = default_num_threads(), load_encoder_decoder_weights(bundle)
    write_answering(network, is_int8=False).save(made.path / READING_FILE, made.path / WRITING_FILE)
    difference = check_same_answers(
        pytorch.open_reading_session(bundle, device="cpu", num_threads=num_threads),
        open_session_of(made, num_threads),
        vocabulary_size=len(network.tokens_VD),
        max_length=bundle.max_length,
        num_steps=int(bundle.architecture["max_target_length"]),
    )
    logger.info("Log-likelihoods of tokens differ from torch's by at most %.1g nats.", difference)
