"""How far "none" must be ahead before a Bundle says that a passage has no answer: one number in a file of its own."""

from __future__ import annotations

from pathlib import Path

import msgspec

from yanmo.errors import ArtifactError

__all__ = ["SILENCE", "Silence", "read_silence"]

SILENCE = "no_answer.json"


class Silence(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The content of ``no_answer.json``.

    Attributes:
        bias: Added to the score of "none", in nats: the threshold that was best on the validation rows, as a number
            that belongs to the model; so decisions are those of the largest probability, in ensembles, too.
        best_f1: F1 on these rows with it.
        plain_f1: F1 on these rows without it.
    """

    bias: float
    best_f1: float
    plain_f1: float


def read_silence(folder: Path) -> float:
    """Return what a Bundle adds to the score of "none", 0 where it has no file that says so.

    Raises:
        ArtifactError: The file is damaged.
    """
    path = folder / SILENCE
    if not path.is_file():
        return 0.0
    try:
        return msgspec.json.decode(path.read_bytes(), type=Silence).bias
    except (OSError, msgspec.MsgspecError) as error:
        raise ArtifactError(f"{path} cannot be read: {error}.", hint="Make the Bundle again.") from error
