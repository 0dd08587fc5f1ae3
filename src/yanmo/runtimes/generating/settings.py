"""What a Bundle of format decoder says of its decoder: its files, and the tokens that begin and end texts."""

from __future__ import annotations

import msgspec
from msgspec import Struct

from yanmo.artifacts.bundle import Bundle
from yanmo.errors import ArtifactError

__all__ = ["CHAT_TEMPLATE", "DECODER_FILE", "DECODER_SETTINGS", "DecoderSettings", "read_settings"]

DECODER_FILE = "onnx/decoder.onnx"
DECODER_SETTINGS = "decoder.json"
CHAT_TEMPLATE = "chat_template.jinja"
"""How a conversation becomes a prompt, of models that were made for such."""


class DecoderSettings(Struct, frozen=True, forbid_unknown_fields=True):
    """The content of ``decoder.json``.

    Attributes:
        begin_id: The token that stands before every text.
        end_ids: Tokens that end one.
    """

    begin_id: int
    end_ids: list[int]


def read_settings(bundle: Bundle) -> DecoderSettings:
    """Return what a Bundle says of its decoder.

    Raises:
        ArtifactError: It holds none, or the file cannot be read.
    """
    if bundle.format != "decoder":
        raise ArtifactError(
            f"Texts are written by a Bundle of format decoder. {bundle.path} is of format {bundle.format}.",
            hint=f"Make one of a language model: yanmo export {bundle.path} --out FOLDER",
        )
    path = bundle.path / DECODER_SETTINGS
    try:
        return msgspec.json.decode(path.read_bytes(), type=DecoderSettings)
    except (OSError, msgspec.MsgspecError) as error:
        raise ArtifactError(f"{path} cannot be read: {error}.", hint="Export the Bundle again.") from error
