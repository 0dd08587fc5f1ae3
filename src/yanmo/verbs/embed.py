"""embed: an encoder to a Bundle that gives vectors of texts, which compare them; it loads no torch by itself."""

import logging
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from yanmo.artifacts.base import Identity
from yanmo.artifacts.bundle import Bundle, publish_bundle
from yanmo.artifacts.card import render_card, write_cards
from yanmo.artifacts.effects import NO_EFFECTS, Effects
from yanmo.artifacts.placing import MANIFEST
from yanmo.config import Config
from yanmo.errors import ConfigError, ModelError
from yanmo.exchanging.adopting import example_inputs
from yanmo.exchanging.embedding import WantedEmbedder, check_vectors, open_embedder
from yanmo.measuring.inputs import write_answers
from yanmo.models import ModelSpec, resolve
from yanmo.tasks import ANSWERED, task_of
from yanmo.verbs.signature import verb

__all__ = ["EmbedConfig", "embed"]

logger = logging.getLogger(__name__)

(TASK,) = ANSWERED


class EmbedConfig(Config):
    """How a vector is made of a text, and what of it is kept."""

    pooling: Literal["auto", "mean", "first"] = "auto"
    """What of the tokens' states is a text's vector: their mean, or that of the first token; auto: what the encoder was
    trained with, as 1_Pooling/config.json or its classifier says, else the mean."""

    normalize: bool | None = None
    """Whether vectors have length 1, so that their products are cosines; by default as modules.json says, else yes."""

    dimensions: int | None = Field(default=None, ge=1)
    """Keep so many of the first dimensions: of encoders that were trained for it (Matryoshka) little is lost."""

    max_length: int | None = Field(default=None, ge=4)
    """Most tokens the model reads of a text; by default as many as it can, as its tokenizer and its settings say."""

    revision: str | None = None
    """Of a hub id: a commit, a branch or a tag. The manifest holds the commit that it stood for."""

    offline: bool = False
    """Refuse what would need the network; a hub id is then taken from the hub's cache."""


@verb
def embed(source: Path, config: EmbedConfig, *, out: Path, effects: Effects = NO_EFFECTS) -> Bundle:
    """Make a Bundle that gives vectors of texts.

    Texts alike have vectors of a similar direction: to search, to find near-duplicates, to group. A sentence encoder of
    others, or the encoder of a classifier that was trained here, becomes a Bundle whose answers are vectors: predict
    writes them to Parquet, serve answers /embed and /v1/embeddings, export and quantize make it fast. It is published
    only if its vectors are those of transformers' own classes, a text at a time.

    Args:
        source: A folder, a hub id, or the torch Bundle of an encoder.
        config: How vectors are made.
        out: Where the Bundle appears.
        effects: Key and replacement of the call.

    Raises:
        ModelError: It is no whole encoder, or makes vectors in a way that there is not here.
        ArtifactError: The Bundle is no encoder.
        ConfigError: A setting does not suit it.
        MissingExtraError: The packages that open it are not installed.
    """
    opened = open_embedder(_find(source, config), WantedEmbedder(**config.model_dump()))
    vectors = opened.info["architecture"]["vectors"]
    settled = {
        "dimensions": vectors["num_dimensions"],
        "normalize": vectors["are_unit"],
        "max_length": opened.info["max_length"],
        "revision": opened.commit or None,
    }
    identity = Identity(
        kind=Bundle.kind,
        verb="embed",
        task=TASK,
        labels=[],
        parents=opened.parents,
        config={**config.model_dump(mode="json"), **settled},
        info={**opened.info, "summary": {}},
    )
    with publish_bundle(out, identity, effects=effects) as made:
        opened.save(made.path)
        for path in opened.license_files:
            shutil.copyfile(path, made.path / path.name)
        inputs = example_inputs(task_of(made), None)
        # Before golden answers are written: those of a model that is not proved would prove themselves.
        difference = check_vectors(made, opened, inputs)
        write_answers(made, inputs)
        identity.info["summary"] = {
            "dimensions": vectors["num_dimensions"],
            "largest_difference": float(f"{difference:.2g}"),
        }
        write_cards(made.path, _card(made, identity.info))
    logger.info("Vectors differ from transformers' own by at most %.1g of their length.", difference)
    return Bundle.open(out, verify=False)


def _find(source: Path, config: EmbedConfig) -> ModelSpec | Bundle:
    """Return what a name means: a Bundle, a folder or a hub id.

    Raises:
        ConfigError: A setting does not suit it.
        ModelError: It is no checkpoint.
    """
    found: ModelSpec | Bundle = Bundle.open(source) if (source / MANIFEST).is_file() else resolve(str(source))
    if isinstance(found, ModelSpec) and found.family != "pretrained":
        raise ModelError(f"{found.name} is a shape to train, no model.", hint="Give a folder, a hub id or a Bundle.")
    if config.revision is not None and not (isinstance(found, ModelSpec) and found.is_hub_id):
        raise ConfigError(f"The 'revision' parameter of embed is for a hub id. {source} is none.")
    return found


def _card(made: Bundle, info: dict[str, Any]) -> Callable[..., str]:
    return partial(
        render_card,
        model=made.model,
        format=made.format,
        task=made.task,
        labels=made.labels,
        max_length=made.max_length,
        text=made.text_config,
        scores={},
        source=info.get("source"),
    )
