"""What a service must know of a Bundle, read before any of it is loaded; it knows no queue and no worker."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from yanmo.answers.writings import Writings
from yanmo.artifacts.bundle import Bundle, Golden
from yanmo.artifacts.card import read_cards
from yanmo.errors import ArtifactError
from yanmo.protocols import Task
from yanmo.runtimes.composite import EnsembleSettings, read_composite_settings
from yanmo.runtimes.library import Library
from yanmo.runtimes.token_mean import TOKEN_MEAN
from yanmo.serving.config import ServeConfig
from yanmo.serving.drift import Drift
from yanmo.serving.requests import Limits
from yanmo.serving.schemas import ServedModel, Text
from yanmo.tasks import task_of
from yanmo.tasks.forms import check_form
from yanmo.translations import Language

__all__ = ["Facts", "read_facts", "show_bundle"]


@dataclass(frozen=True)
class Facts:
    """What a Bundle says about itself.

    Attributes:
        bundle: The Bundle.
        task: What it answers.
        limits: What a request may hold.
        max_tokens: The most tokens that are read of a text, at one a character.
        drift: Whether the inputs have changed; it begins to count.
        canary: One golden example, to ask.
        shown: What ``GET /v1/models`` shows as long as the inputs have not changed.
        cards: Its card by language.
    """

    bundle: Bundle
    task: Task[Any]
    limits: Limits
    max_tokens: int
    drift: Drift
    canary: list[Text]
    shown: ServedModel
    cards: dict[Language, str]


def read_facts(bundle: Bundle, config: ServeConfig, *, name: str) -> Facts:
    """Return what must be known of a Bundle that is to be served under a name.

    Raises:
        ArtifactError: It is damaged where it says that.
    """
    try:
        return _read(bundle, config, name)
    # A manifest is data from elsewhere: whatever is missing or odd in it shows as one of these.
    except (AttributeError, KeyError, OSError, TypeError, ValueError) as error:
        raise ArtifactError(f"{bundle.path} cannot be served: {error}.", hint="Make the Bundle again.") from error


def _read(bundle: Bundle, config: ServeConfig, name: str) -> Facts:
    task = task_of(bundle)
    check_form(task, "serve")
    # With windows a text is read to its end, and only its characters bound what it costs.
    cuts = bundle.max_length and config.long_texts == "truncate"
    drift = Drift(bundle)
    return Facts(
        bundle,
        task,
        Limits(len(task.inputs), config.max_texts, config.max_characters, task.head, _library(config, task)),
        bundle.max_length if cuts else config.max_characters,
        drift,
        _canary(bundle.golden(), len(task.inputs)),
        show_bundle(bundle, name, watches_inputs=drift.is_watching, streams=_streams(bundle, config, task)),
        read_cards(bundle.path),
    )


def _streams(bundle: Bundle, config: ServeConfig, task: Task[Any]) -> bool:
    """Return whether what a Bundle writes can be told as it grows: beams have no text before all is written."""
    if task.form is not Writings:
        return False
    if bundle.format == "ensemble" and read_composite_settings(bundle, EnsembleSettings).method == TOKEN_MEAN:
        # Its members search alike.
        bundle = bundle.members()[0]
    return (config.num_beams or bundle.architecture.get("num_beams", 1)) == 1


def _library(config: ServeConfig, task: Task[Any]) -> Library | None:
    """Return the documents that questions are answered from, None where there are none or nobody would read them."""
    if config.documents is None or task.head != "passages":
        return None
    return Library.open(config.documents)


def show_bundle(
    bundle: Bundle, name: str, *, watches_inputs: bool = False, streams: bool = False, card: str = ""
) -> ServedModel:
    """Return what ``GET /v1/models`` shows of a Bundle whose inputs have not changed.

    Args:
        bundle: The Bundle.
        name: What it is called here.
        watches_inputs: Whether it has a profile.
        streams: Whether it writes texts that can be told as they grow.
        card: In the client's language.
    """
    figures = bundle.manifest.info.get("summary", {})
    return ServedModel(
        name=name,
        digest=bundle.digest,
        task=bundle.task,
        labels=bundle.labels,
        format=bundle.format,
        model=bundle.model,
        max_length=bundle.max_length,
        size_bytes=bundle.size_bytes,
        figures={name: value for name, value in figures.items() if isinstance(value, float | int)},
        watches_inputs=watches_inputs,
        inputs_changed=False,
        streams=streams,
        card=card,
    )


def _canary(golden: Golden, num_columns: int) -> list[Text]:
    text = golden.inputs.first[0] if len(golden.inputs) else "a"
    return [(text, text)] if num_columns == 2 else [text]
