"""Names of models: which families there are, and what a name means.

It knows no setting, no torch and no file format: a name is taken apart here and built in ``modeling``.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias

from yanmo.errors import ModelError, did_you_mean
from yanmo.paths import PATH_HINT, path_problem, quoted_path

__all__ = [
    "CLASSIFYING_DECODERS",
    "DECODER_FAMILIES",
    "ENCODERS",
    "ENCODER_DECODER_FAMILIES",
    "ENCODER_FAMILIES",
    "FAMILIES",
    "FORMS",
    "LIGHT_FAMILIES",
    "ONLY_LABELS",
    "SHAPED_FAMILIES",
    "STARTED_FAMILIES",
    "ModelSpec",
    "can_mean",
    "num_heads",
    "resolve",
]

ENCODER_FAMILIES = ("bert", "roberta", "albert", "electra")
STARTED_FAMILIES = ("pretrained", "init")
"""Encoders that begin with the weights of a checkpoint, or with those of a Bundle that was pre-trained here."""
ENCODERS = (*ENCODER_FAMILIES, *STARTED_FAMILIES)
DECODER_FAMILIES = ("gpt2", "gpt", "lstm", "gcnn")
"""Networks that read from left to right, and give every token a probability: as in GPT-2, a later design, an LSTM, and
gated convolutions."""
CLASSIFYING_DECODERS = ("gpt2", "gpt")
"""Those with which classes of transformers begin a classifier."""
ENCODER_DECODER_FAMILIES = ("t5",)
"""Networks that read one text and write another."""
SHAPED_FAMILIES = (*ENCODER_FAMILIES, *DECODER_FAMILIES, *ENCODER_DECODER_FAMILIES)
"""Families that are named with layers and width."""
LIGHT_FAMILIES = ("textcnn", "bilstm", "ngram", "linear", "window", "hmm", "arcs", "kneser-ney", "pairs")
FAMILIES = (*ENCODERS, *DECODER_FAMILIES, *ENCODER_DECODER_FAMILIES, *LIGHT_FAMILIES)
BORN_SMALL = ("window", "arcs", "kneser-ney", "pairs")
"""Families that nothing is quantized of: their weights have a byte each from the beginning, or they are counts."""
Format: TypeAlias = Literal["torch", "ngram", "linear", "window", "hmm", "arcs", "kneser-ney", "pairs"]
KIND_READERS = (*ENCODER_FAMILIES, "bilstm")
"""Families whose networks begin from nothing; a checkpoint knows what kind of word it reads."""
OWN_FORMATS: dict[str, Format] = {
    "ngram": "ngram",
    "linear": "linear",
    "window": "window",
    "hmm": "hmm",
    "arcs": "arcs",
    "kneser-ney": "kneser-ney",
    "pairs": "pairs",
}
"""Family to the format of its Bundles, where that is not torch."""
ONLY_LABELS = ("linear", "hmm")
"""Families that learn from labels and not from a teacher's answers."""
FORMS: dict[str, frozenset[str]] = {
    **dict.fromkeys((*ENCODER_FAMILIES, "bilstm"), frozenset(("texts", "units", "passages", "trees"))),
    "init": frozenset(("texts", "units", "passages", "trees", "targets")),
    "pretrained": frozenset(("texts", "units", "passages", "trees", "sequences", "targets")),
    "textcnn": frozenset(("texts", "units", "trees")),
    **dict.fromkeys(DECODER_FAMILIES, frozenset(("sequences",))),
    **dict.fromkeys(ENCODER_DECODER_FAMILIES, frozenset(("targets",))),
    **dict.fromkeys(("ngram", "linear"), frozenset(("texts",))),
    **dict.fromkeys(("window", "hmm"), frozenset(("units",))),
    "arcs": frozenset(("trees",)),
    "kneser-ney": frozenset(("sequences",)),
    "pairs": frozenset(("targets",)),
}
"""Family to what its models can decide about."""
EXAMPLES = (
    "bert-4x312",
    "roberta-4x256",
    "albert-4x312",
    "electra-4x256",
    "gpt2-4x256",
    "gpt-4x256",
    "lstm-2x256",
    "t5-4x256",
)

MEAN_TYPES = frozenset(
    ("albert", "bert", "camembert", "deberta-v2", "distilbert", "electra", "mpnet", "roberta", "xlm-roberta")
)
"""What ``model_type`` of a config.json can have a classifier that reads the mean of all tokens."""

HEAD_WIDTH = 64
ODD_HEAD_WIDTH = 32
SHAPE = re.compile(
    r"(?P<family>[a-z0-9]+)-(?P<layers>[1-9]\d{0,2})(e(?P<decoder_layers>[1-9]\d{0,2})d)?x(?P<width>[1-9]\d{0,4})"
)
SHAPE_KEYS = (
    ("num_hidden_layers", "n_layers", "n_layer", "num_layers"),
    ("hidden_size", "dim", "n_embd", "d_model"),
)
"""What families' config.json calls the number of layers and the width."""
OWNERS = {
    **dict.fromkeys(
        (
            *("bert-base-chinese", "bert-base-cased", "bert-base-uncased", "bert-large-cased", "bert-large-uncased"),
            *("bert-base-multilingual-cased", "bert-base-multilingual-uncased"),
        ),
        "google-bert",
    ),
    **dict.fromkeys(("roberta-base", "roberta-large", "xlm-roberta-base", "xlm-roberta-large"), "FacebookAI"),
    **dict.fromkeys(("distilbert-base-cased", "distilbert-base-uncased", "distilroberta-base"), "distilbert"),
    **dict.fromkeys(("albert-base-v2", "albert-large-v2"), "albert"),
    **dict.fromkeys(("gpt2", "gpt2-medium", "gpt2-large"), "openai-community"),
    **dict.fromkeys(("t5-small", "t5-base"), "google-t5"),
}
"""Names of checkpoints from before the hub gave each its owner, which books and recipes still use, to that owner."""
# One slash and no dot in front: ./model and a/b/c are paths.
HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")


@dataclass(frozen=True)
class ModelSpec:
    """What a model's name means.

    Attributes:
        name: As the user gave it; for a local folder the folder's last part, so that no path is written down.
        family: One of :data:`FAMILIES`.
        layers: Of an encoder from scratch or in a local folder, else 0.
        width: Of an encoder from scratch or in a local folder, else 0.
        source: Of a model that begins with weights: the hub id or the local folder, else empty.
        is_local: The source is a local folder.
        decoder_layers: Of an encoder with a decoder from scratch, else 0.
    """

    name: str
    family: str
    layers: int = 0
    width: int = 0
    source: str = ""
    is_local: bool = False
    decoder_layers: int = 0

    @property
    def format(self) -> Format:
        """The format of the Bundle that training makes."""
        return OWN_FORMATS.get(self.family, "torch")

    def can_label(self, form: str) -> bool:
        """Return whether models of the family have a head for what is decided about, a name of ``protocols.ABOUT``."""
        return form in FORMS[self.family]

    @property
    def reads_kinds(self) -> bool:
        """Whether networks of the family read parts of speech beside words, where a tagger tells them."""
        return self.family in KIND_READERS

    @property
    def is_born_small(self) -> bool:
        """Whether nothing of it is quantized, since its weights have a byte each or are counts."""
        return self.family in BORN_SMALL

    @property
    def is_hub_id(self) -> bool:
        """Whether the weights come from the hub, over the network."""
        return self.family == "pretrained" and not self.is_local


def can_mean(model_type: str) -> bool:
    """Return whether a checkpoint of a ``model_type`` can have a classifier that reads the mean of all tokens."""
    return model_type in MEAN_TYPES


def resolve(name: str) -> ModelSpec:
    """Return what a model's name means.

    Args:
        name: ``textcnn``, ``bilstm``, ``ngram``, ``linear``, ``window``, ``hmm``, ``arcs``, ``kneser-ney``, ``pairs``;
            a shape to train from scratch such as ``bert-4x312`` or ``gpt2-4x256`` (4 layers, 256 wide), ``t5-6e2dx256``
            (6 layers that read, 2 that write); an existing local folder; or a hub id, owner/name, where no folder
            "owner" is here.

    Raises:
        ModelError: The name is none of these.
    """
    problem = path_problem(name)
    if problem:
        raise ModelError(f"The model must be {problem} or a hub id. Got {quoted_path(name)} instead.", hint=PATH_HINT)
    if name in LIGHT_FAMILIES:
        return ModelSpec(name, family=name)
    shape = SHAPE.fullmatch(name)
    if shape and shape["family"] in _families_of(shape):
        layers, decoder_layers = int(shape["layers"]), 0
        if shape["family"] in ENCODER_DECODER_FAMILIES:
            decoder_layers = int(shape["decoder_layers"] or layers)
        return ModelSpec(name, shape["family"], layers=layers, width=int(shape["width"]), decoder_layers=decoder_layers)
    # A folder that is really called "~" comes before the home that it stands for.
    folder = Path(name) if Path(name).is_dir() else Path(name).expanduser()
    # A folder here wins over a hub id of the same name: what is at hand needs no network.
    if name and folder.is_dir():
        layers, width = _read_shape(folder)
        return ModelSpec(
            folder.resolve().name, "pretrained", layers=layers, width=width, source=str(folder), is_local=True
        )
    # Half of the name is here, so it is a path with a mistake in it: asking the hub would tell nobody so.
    if HUB_ID.fullmatch(name) and folder.parent.is_dir():
        found = [str(one) for one in folder.parent.iterdir() if one.is_dir()]
        raise ModelError(
            f"There is no folder {name}.{did_you_mean(name, found)}",
            hint=f"The folder {folder.parent} is here, so {name} is no hub id. If the hub's model is meant, work in "
            "another folder.",
        )
    if HUB_ID.fullmatch(name):
        return ModelSpec(name, "pretrained", source=name)
    # What looks like a path was meant to be one.
    if "/" in name or "\\" in name:
        raise ModelError(
            f"There is no folder {name}.", hint="Give an existing folder, or a hub id of the form owner/name."
        )
    if name in OWNERS:
        raise ModelError(
            f"There is no model '{name}' here; the hub has it under its owner's name.",
            hint=f"Give {OWNERS[name]}/{name}, or the folder that you have it in.",
        )
    raise ModelError(
        f"There is no model '{name}'.{did_you_mean(name, (*LIGHT_FAMILIES, *SHAPED_FAMILIES, *EXAMPLES))}",
        hint=f"The models are: {', '.join(LIGHT_FAMILIES)}; {', '.join(SHAPED_FAMILIES)} with layers x width such as "
        "bert-4x312; a local folder; a hub id (owner/name).",
    )


def _families_of(shape: re.Match[str]) -> tuple[str, ...]:
    """Return the families of which a shape may be: those with a decoder of its own may say how deep that is."""
    return ENCODER_DECODER_FAMILIES if shape["decoder_layers"] else SHAPED_FAMILIES


def _read_shape(folder: Path) -> tuple[int, int]:
    """Return the layers and the width that a folder's config.json tells, 0 where it tells nothing."""
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return 0, 0
    if not isinstance(config, dict):
        return 0, 0
    found = [next((config[name] for name in names if isinstance(config.get(name), int)), 0) for names in SHAPE_KEYS]
    # One without the other gives no learning rate.
    return (found[0], found[1]) if all(found) else (0, 0)


def num_heads(width: int) -> int:
    """Return the number of attention heads of an encoder from scratch.

    Args:
        width: Of the encoder. Heads are 64 wide where that divides it, else as wide as the largest divisor up to 32
            (312 wide gives 12 heads of 26, as in TinyBERT).
    """
    if width % HEAD_WIDTH == 0:
        return width // HEAD_WIDTH
    return width // max(part for part in range(1, ODD_HEAD_WIDTH + 1) if width % part == 0)
