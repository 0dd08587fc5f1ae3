"""Which models that were trained elsewhere can be opened as they are: a row for each kind of head."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from yanmo.errors import ModelError
from yanmo.modeling.adopted.adopted_model import Adopted, Wanted
from yanmo.modeling.adopted.classifiers import adopt_classifier, adopt_tagger
from yanmo.modeling.adopted.gap_fillers import adopt_gap_filler
from yanmo.modeling.adopted.language_models import adopt_language_model
from yanmo.modeling.adopted.readers import adopt_reader
from yanmo.modeling.adopted.writers import adopt_writer
from yanmo.modeling.networks import encoders

__all__ = ["adopt_checkpoint"]

OPENERS: dict[str, Callable[[Path, Any, Wanted], Adopted]] = {
    "ForSequenceClassification": adopt_classifier,
    "ForTokenClassification": adopt_tagger,
    "ForQuestionAnswering": adopt_reader,
    "ForCausalLM": adopt_language_model,
    "ForMaskedLM": adopt_gap_filler,
    "LMHeadModel": adopt_language_model,
    "ForConditionalGeneration": adopt_writer,
}
"""How the name of a class ends, to what opens it."""


def adopt_checkpoint(folder: Path, wanted: Wanted) -> Adopted:
    """Return the model of a folder.

    Args:
        folder: A local one, as transformers or sentence-transformers lays it out.
        wanted: What the user says about it.

    Raises:
        ModelError: It is no whole model that answers, or answers by what else is in a batch.
        ConfigError: The labels' names or the length do not suit it.
    """
    config = encoders.read_config(folder)
    # A bare encoder such as BertModel has no head to speak of; it is refused for the classifier that it lacks.
    made_for = [kind for kind in config.architectures or () if "For" in kind or kind.endswith("LMHeadModel")]
    if not made_for:
        return adopt_classifier(folder, config, wanted)
    for kind in made_for:
        found = next((opener for end, opener in OPENERS.items() if kind.endswith(end)), None)
        if found is not None:
            return found(folder, config, wanted)
    raise ModelError(
        f"{wanted.name} is a {made_for[0]}; adopt takes models that classify texts or tokens, find answers, "
        "predict the next or a hidden token, or write a text from another.",
        hint=f"To make a classifier of it: yanmo train DATASET --model {wanted.name} --out BUNDLE",
    )
