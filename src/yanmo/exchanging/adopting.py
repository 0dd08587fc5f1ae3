"""From a model that was trained elsewhere to a Bundle that answers as it does; it knows no verb.

Weights are opened by ``modeling.adopted``, ONNX files by ``onnx_classifier``. What is published has been
asked: it answers as transformers does by itself, and a text alone as in a batch.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from yanmo.answers.choices import Choices
from yanmo.answers.links import SIGMOID, Link
from yanmo.arrays import FloatArray
from yanmo.artifacts.bundle import Bundle
from yanmo.artifacts.card import find_licenses
from yanmo.artifacts.dataset import Dataset
from yanmo.artifacts.identity import file_digest, folder_digest
from yanmo.errors import ConfigError, ModelError, check_installed
from yanmo.exchanging.onnx_bundle import Graph, write_graph
from yanmo.exchanging.onnx_classifier import read_graph
from yanmo.exporting.parity import random_texts
from yanmo.measuring.inputs import golden_inputs
from yanmo.models import ModelSpec
from yanmo.protocols import ABOUT, Task
from yanmo.runtimes.predictor import open_bundle
from yanmo.tasks import TASKS, get_task, task_of
from yanmo.tasks.labels import label_task
from yanmo.text.inputs import Inputs
from yanmo.text.pipeline import TextConfig
from yanmo.text.unit_places import UnitRule

__all__ = [
    "MAX_RANDOM",
    "NUM_RANDOM",
    "TOLERANCES",
    "Asked",
    "Original",
    "check_answers",
    "describe_source",
    "example_inputs",
    "open_source",
    "pick_task",
]

# transformers is asked for each text alone, so they are few, and short even where a model reads books.
NUM_RANDOM = 48
MAX_RANDOM = 512
# Where a text is read once for each of its tokens, even fewer and shorter ones.
NUM_REREAD, MAX_REREAD, FEW = 8, 16, 6
TEXTS_HEAD = "texts"
TOLERANCES = {"fp32": 1e-4, "int8": 2e-2}
"""Precision to how much probabilities may differ, from transformers' own and from a text's alone."""
PROBLEMS = {"multi_label_classification": SIGMOID}
INT8_OPERATORS = (
    b"DynamicQuantizeLinear",
    b"DynamicQuantizeMatMul",
    b"MatMulInteger",
    b"QLinearMatMul",
    b"QuantizeLinear",
)
# A hub's card begins with YAML between two lines; for one key of it no parser is needed.
LICENSE = re.compile(r"^license:\s*(.+?)\s*$", re.MULTILINE)
FRONT_MATTER = re.compile(r"\A---\n(.*?)\n---", re.DOTALL)
# Where there is no Dataset nobody knows what the model is for: two scripts, short and long, questions and opinions.
TEXTS = (
    "Where is my parcel? It was promised for Monday.",
    "很快就送到了，味道也很好。",
    "not bad at all",
    "等了一个小时，饭都凉了，不会再来了！",
    "I would like to change the address of my order, please.",
    "OK",
    "Why was my card charged twice?",
    "今天天气怎么样",
    "The film is long, loud and, in the end, rather moving.",
    "3 x 4 = 12",
    "Bonjour, je voudrais annuler ma commande.",
    "股市今日大幅上涨，科技股领涨。",
    "How do I top up my account from another bank, and how long will it take until the money is there?",
    "太贵了",
    "great",
    "这部电影的剧情很一般，但是演员的表演非常出色，值得一看。",
)


@dataclass(frozen=True)
class Asked:
    """What the user knows better than the source.

    Attributes:
        label_names: Of the scores in their order; empty where the source names them.
        task: The task's name, empty where the source says it.
        max_length: Most tokens of a text; None: as many as it reads.
        tokenizer: The ``tokenizer.json`` of an ONNX file, where it stands elsewhere.
        units: What the units of a text are, where a model labels them.
        revision: A commit, a branch or a tag of the hub's.
        offline: No network.
    """

    label_names: tuple[str, ...] = ()
    task: str = ""
    max_length: int | None = None
    tokenizer: Path | None = None
    units: UnitRule = "tokens"
    revision: str | None = None
    offline: bool = False


@dataclass(frozen=True)
class Original:
    """A model that can be written into a Bundle.

    Attributes:
        head: What it decides about, a name of ``protocols.ABOUT``.
        labels: Of its scores, in their order.
        link: From scores to probabilities, where it has one for each label.
        info: Of the manifest.
        parents: Role to digest of its files.
        save: Writes them into a folder.
        score: From texts as the Bundle reads them, and its evidence about them, to the same as transformers by itself
            has it, not a number where the two read other tokens; None where there is nothing to compare with.
        commit: Of a hub id.
        license_files: Its licence and notices, which go along with it.
    """

    head: str
    labels: list[str]
    link: Link | None
    info: dict[str, Any]
    parents: dict[str, str]
    save: Callable[[Path], None]
    score: Callable[[Inputs, Any], Any] | None = None
    commit: str = ""
    license_files: list[Path] = field(default_factory=list)


def open_source(spec: ModelSpec | Path, asked: Asked) -> Original:
    """Return the model that a name means.

    Args:
        spec: A folder or a hub id, or the path of an ONNX file.
        asked: What the user says about it.

    Raises:
        ModelError: It is none, or not whole.
        ConfigError: What was said does not suit it.
        MissingExtraError: The packages that open it are not installed.
    """
    if isinstance(spec, Path):
        return _open_graph(spec, asked)
    check_installed(f"Adopting {spec.name}", "torch", "transformers", extra="train")
    from yanmo.modeling.adopted.adopted_model import Wanted
    from yanmo.modeling.adopted.checkpoints import adopt_checkpoint
    from yanmo.modeling.pretrained.hub import find_folder

    folder = find_folder(spec, offline=asked.offline, revision=asked.revision)
    asked_task = get_task(asked.task) if asked.task else None
    link = label_task(asked_task, "adopt").link if asked_task is not None and asked_task.form is Choices else None
    found = adopt_checkpoint(folder, Wanted(spec.name, asked.label_names, link, asked.max_length))
    # The hub's cache names a snapshot's folder by its commit.
    commit = "" if spec.is_local else folder.name
    info = {
        "format": "torch",
        "model": spec.name,
        "max_length": found.max_length,
        "architecture": found.architecture,
        "text": TextConfig(cleaning=(), units=_units_of(found.head, asked)).model_dump(mode="json"),
        "source": describe_source(folder, spec.name, commit),
    }
    parents = {"checkpoint": folder_digest(folder)}
    return Original(
        found.head, found.labels, found.link, info, parents, found.save, found.score, commit, find_licenses(folder)
    )


def _units_of(head: str, asked: Asked) -> UnitRule | None:
    """Return what the units of a text are; None where texts are decided about as wholes."""
    return {"units": asked.units, "passages": Asked.units}.get(head)


def _open_graph(path: Path, asked: Asked) -> Original:
    found = read_graph(path, tokenizer=asked.tokenizer, label_names=asked.label_names, max_length=asked.max_length)
    # The names of operators stand in the file as they are, so it need not be parsed.
    is_int8 = any(name in found.content for name in INT8_OPERATORS)
    # Exporters put graphs into a folder onnx, below the config and the card.
    folder = path.parent.parent if path.parent.name == "onnx" else path.parent
    info = {
        "format": "onnx",
        # Exporters call every graph model.onnx, which names none.
        "model": path.stem if path.stem != "model" else folder.resolve().name,
        "max_length": found.max_length,
        "architecture": {
            "family": "encoder",
            "token_types": found.settings.token_type,
            "pad_id": found.settings.pad_token_id,
        },
        **({"precision": "int8"} if is_int8 else {}),
        "text": TextConfig(cleaning=()).model_dump(mode="json"),
        "source": describe_source(folder, path.name, ""),
    }

    def save(target: Path) -> None:
        write_graph(target, Graph(found.content, found.settings))
        found.tokenizer.save(str(target / "tokenizer.json"), pretty=False)

    parents = {"graph": file_digest(path)}
    return Original(
        "texts",
        found.labels,
        PROBLEMS.get(found.problem_type or ""),
        info,
        parents,
        save,
        None,
        "",
        find_licenses(folder),
    )


def describe_source(folder: Path, name: str, commit: str) -> dict[str, str]:
    """Return what the card says about where a model is from."""
    try:
        card = FRONT_MATTER.match((folder / "README.md").read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError):
        card = None
    said = LICENSE.search(card[1]) if card else None
    found = {"name": name, "commit": commit, "license": said[1].strip("'\"") if said else ""}
    return {key: value for key, value in found.items() if value}


def pick_task(source: Original, asked: Asked, dataset: Dataset | None) -> Task[Any]:
    """Return the task: as asked, else that of the Dataset where it suits the model, else one of single texts."""
    if asked.task:
        task = get_task(asked.task)
        if task.head != source.head:
            raise ConfigError(
                f"The task {task.name} is about {ABOUT[task.head]}; the model decides about {ABOUT[source.head]}.",
                hint="Leave task out.",
            )
        return task
    known = [task for task in TASKS.values() if task.head == source.head]
    if source.head != TEXTS_HEAD:
        return known[0]
    given = [] if dataset is None else [label_task(task_of(dataset), "adopt")]
    single = [label_task(task, "adopt") for task in known if len(task.inputs) == 1]
    return next(task for task in (*given, *single) if source.link in (None, task.link))


def example_inputs(task: Task[Any], dataset: Dataset | None) -> Inputs:
    """Return raw rows of what the task reads: of the Dataset, from short to long, else some of ours."""
    if task.reads_by_token:
        return Inputs(([*TEXTS[:FEW], *(f"{one} [MASK]" for one in TEXTS[:FEW])],))
    if dataset is None:
        return Inputs((TEXTS, TEXTS[::-1])[: len(task.inputs)])
    return golden_inputs(dataset, "valid" if "valid" in dataset.splits else dataset.splits[0], task.inputs)


def check_answers(made: Bundle, source: Original, inputs: Inputs) -> float:
    """Return the largest difference between the Bundle's probabilities and what they have to be.

    That is what transformers by itself answers; of an ONNX file what it answers to each text alone.

    Args:
        made: The unfinished Bundle.
        source: Where it is from.
        inputs: Raw rows; random ones are added to them.

    Raises:
        ModelError: They differ too much, or are none.
    """
    most, num_texts = (MAX_REREAD, NUM_REREAD) if task_of(made).reads_by_token else (MAX_RANDOM, NUM_RANDOM)
    made_up = random_texts(inputs.first, max_length=min(made.max_length, most), num_texts=num_texts)
    asked = Inputs(
        tuple([*column, *more] for column, more in zip(inputs.columns, (made_up, made_up[::-1]), strict=False))
    )
    precision = made.manifest.info.get("precision", "fp32")
    with open_bundle(made, verify_golden=False) as predictor:
        scores, _ = predictor.weigh(asked)
        _check_scores(made.model, scores, is_graph=source.score is None)
        ours = predictor.activate(scores).parts()[0]
        if source.score is not None:
            theirs = predictor.activate(source.score(made.text_pipeline().read(asked), scores)).parts()[0]
        else:
            theirs = np.concatenate([predictor.predict_proba([item]) for item in asked.items()])
    # Where a text has no token, or is read in windows, transformers has no answer to compare with.
    difference = _largest_difference(ours, theirs)
    # In this form not a number is refused, too.
    if not difference <= TOLERANCES[precision]:
        what = "as transformers does by itself" if source.score else "a text in a batch as it does alone"
        raise ModelError(
            f"{made.model} would not answer {what}: probabilities differ by {difference:.2g}, more than "
            f"{TOLERANCES[precision]:g}, on {len(asked)} texts.",
            hint="Nothing was written. Its tokenizer may be another model's, or cut long texts in another way: try a "
            "smaller --max-length.",
        )
    return difference


def _largest_difference(ours: FloatArray, theirs: FloatArray) -> float:
    """Return the largest difference of the numbers that both have."""
    is_known = ~np.isnan(theirs)
    # Both may be infinite, where nothing can be chosen.
    with np.errstate(invalid="ignore"):
        apart = np.where(ours == theirs, 0.0, np.abs(ours - theirs))
    return float(apart[is_known].max()) if is_known.any() else float("nan")


def _check_scores(name: str, scores: Any, *, is_graph: bool) -> None:
    """Refuse an ONNX file that gives probabilities where scores are wanted, and damaged weights.

    Raises:
        ModelError: As said.
    """
    values = scores.parts()[0]
    if np.isnan(values).any() or np.isposinf(values).any():
        raise ModelError(f"The scores of {name} are not finite numbers.", hint="Copy its weights again.")
    if is_graph and (values >= 0).all() and np.allclose(values.sum(axis=1), 1, atol=1e-4):
        raise ModelError(
            f"{name} gives probabilities, and not the scores before softmax.", hint="Export it without its softmax."
        )
