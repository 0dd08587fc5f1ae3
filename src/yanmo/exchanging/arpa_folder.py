"""From a Bundle of counted n-grams to a folder with an ARPA file, proved on golden texts; it knows no torch."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from yanmo.artifacts.bundle import Bundle
from yanmo.artifacts.effects import Effects
from yanmo.artifacts.placing import place_folder
from yanmo.errors import ArtifactError, ModelError
from yanmo.exchanging.plain_folder import PlainFolder
from yanmo.text.arpa import read_arpa, write_arpa
from yanmo.text.ngram_language_model import NgramLanguageModel

__all__ = ["write_arpa_folder"]

ARPA = "model.arpa"
TOKENIZER = "tokenizer.json"
TOLERANCE = 1e-5


def write_arpa_folder(bundle: Bundle, out: Path, *, effects: Effects) -> PlainFolder:
    """Write n-grams as the tools of speech recognition read them, and the tokenizer that cuts texts into their words.

    Args:
        bundle: A Bundle of format kneser-ney.
        out: Where the folder appears.
        effects: Whether one that stands there is replaced.

    Raises:
        ArtifactError: The Bundle holds no n-grams.
        ModelError: The file would not answer as the Bundle does.
    """
    if bundle.format != "kneser-ney":
        raise ArtifactError(
            f"An ARPA file holds n-grams. {bundle.path} is of format {bundle.format}.",
            hint="Train a model that has them: yanmo train DATASET --model kneser-ney",
        )
    model = NgramLanguageModel.open(bundle.path, end=bundle.architecture.get("end"))
    backend, end_id = model.tokenizer.backend, model.tokenizer.end_id
    tokens = [str(backend.id_to_token(place)) for place in range(model.tokenizer.vocab_size)]
    with place_folder(out, effects=effects) as staging:
        write_arpa(staging / ARPA, model.model, tokens, end_id=end_id)
        backend.save(str(staging / TOKENIZER))
        # Read from the disk again, as those will who get the folder.
        again, _, its_end = read_arpa(staging / ARPA)
        asked = model.tokenizer.encode(bundle.golden().inputs.first).ids
        apart = np.abs(again.score(asked, its_end).values - model.model.score(asked, end_id).values)
        difference = float(apart.max(initial=0.0))
        # In this form not a number is refused, too.
        if not difference <= TOLERANCE:
            raise ModelError(
                f"The ARPA file would not answer as {bundle.path} does: tokens differ by {difference:.2g} nats.",
                hint="Nothing was written. Use the Bundle as it is.",
            )
    return PlainFolder(out, bundle.model, float(f"{difference:.2g}"))
