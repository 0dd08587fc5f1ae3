"""From a Bundle to a draft of another one, with whose tokens it must cut texts; it writes nothing."""

from __future__ import annotations

from yanmo.artifacts.bundle import Bundle
from yanmo.errors import ArtifactError, ConfigError
from yanmo.runtimes.generating.decoder_session import DecoderSession
from yanmo.runtimes.generating.drafting import DecoderDraft, Draft, NgramDraft
from yanmo.runtimes.generating.settings import DECODER_FILE
from yanmo.text.language_tokens import LanguageTokenizer
from yanmo.text.ngram_language_model import NgramLanguageModel

__all__ = ["open_draft"]


def open_draft(bundle: Bundle, tokenizer: LanguageTokenizer, *, num_threads: int) -> Draft:
    """Return a draft.

    Args:
        bundle: Of format decoder or kneser-ney.
        tokenizer: Of the model that it is a draft of.
        num_threads: Threads of a decoder.

    Raises:
        ArtifactError: It is of another format.
        ConfigError: It has other tokens.
    """
    if bundle.format not in ("decoder", "kneser-ney"):
        raise ArtifactError(
            f"A draft is a Bundle of format decoder or kneser-ney. {bundle.path} is of format {bundle.format}.",
            hint=f"yanmo export {bundle.path} --out DRAFT makes one of a torch Bundle.",
        )
    own = LanguageTokenizer.open(bundle.path / "tokenizer.json", end=bundle.architecture.get("end"))
    if own.backend.get_vocab() != tokenizer.backend.get_vocab() or own.end_id != tokenizer.end_id:
        raise ConfigError(
            f"The tokens of {bundle.path} are not those of the model that it would be a draft of.",
            hint="A student takes over its teacher's tokens: yanmo distill MODEL DATASET --model kneser-ney --out "
            "DRAFT",
        )
    if bundle.format == "kneser-ney":
        return NgramDraft(NgramLanguageModel.open(bundle.path, end=bundle.architecture.get("end")))
    return DecoderDraft(
        DecoderSession(bundle.path / DECODER_FILE, num_rows=1, max_length=bundle.max_length, num_threads=num_threads)
    )
