"""The chain over the units' tags that a Bundle may have: read, and applied to the scores of whole texts, with numpy.

It knows no network: what scored the units, torch or an engine, is of no matter.
"""

from __future__ import annotations

from safetensors import SafetensorError
from safetensors.numpy import load_file

from yanmo.answers.chains import Chain
from yanmo.answers.choices import Choices
from yanmo.answers.links import Link
from yanmo.answers.tag_chains import TagChain
from yanmo.answers.tags import TagScheme
from yanmo.arrays import FloatArray
from yanmo.artifacts.bundle import CHAIN, Bundle
from yanmo.errors import ArtifactError
from yanmo.text.tokenizer import Encoded

__all__ = ["as_choices", "read_chain"]

NAMES = ("transitions", "start", "end")


def read_chain(bundle: Bundle) -> TagChain | None:
    """Return how the tags of neighboring units go together in a Bundle, None where it has no such scores.

    Raises:
        ArtifactError: Its file is damaged, or of other labels.
    """
    path = bundle.path / CHAIN
    if not path.is_file():
        return None
    try:
        tensors = load_file(path)
        chain = Chain(*(tensors[name] for name in NAMES))
    except (OSError, SafetensorError, KeyError) as error:
        raise ArtifactError(f"{path} cannot be read: {error}.", hint="Make the Bundle again.") from error
    if chain.transitions_CC.shape != (len(bundle.labels),) * 2:
        raise ArtifactError(f"{path} is not about the {len(bundle.labels)} labels.", hint="Make the Bundle again.")
    return TagChain(chain, TagScheme.of(bundle.labels))


def as_choices(logits_NC: FloatArray, link: Link, encoded: Encoded, chain: TagChain | None = None) -> Choices:
    """Return scores as evidence: of N texts, or of all their units with their places.

    Args:
        logits_NC: Of the texts, or of the units.
        link: From scores to probabilities.
        encoded: What was scored.
        chain: How the tags of neighboring units go together, over whole texts, whatever windows they were read in.
    """
    if encoded.units is None:
        return Choices(logits_NC, link)
    places = encoded.units.places
    if chain is not None:
        return chain.choices(logits_NC, link, places)
    return Choices(logits_NC, link, places.offsets, places.values)
