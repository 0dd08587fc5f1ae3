"""Training of any network from labelled texts: vocabulary, features, loop; it knows no artifact."""

from __future__ import annotations

import dataclasses
import functools
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from yanmo.arrays import FloatArray, Ragged
from yanmo.artifacts.effects import NO_EFFECTS, Watcher
from yanmo.errors import ConfigError, DataError, InternalError
from yanmo.modeling.arithmetic.determinism import default_device, repeatable
from yanmo.modeling.features.ragged import Examples, Targets, TokenFeatures
from yanmo.modeling.loop.training_loop import METRICS, Trainer, fit
from yanmo.modeling.networks.trainable_networks import Trainable, make_trainable
from yanmo.modeling.objectives.choices import ChoicesObjective, Labels, TaughtLabels, balanced_class_weights
from yanmo.modeling.objectives.objective import Objective
from yanmo.modeling.objectives.pointers import PassageWindows, PointersObjective, right_places, taught_places
from yanmo.modeling.objectives.trees import TreesObjective, UnitTrees
from yanmo.modeling.objectives.unit_choices import UnitChoicesObjective, UnitTags
from yanmo.modeling.parallel import workers
from yanmo.modeling.runs.head_start import Probe, choose_pooling
from yanmo.modeling.runs.reading_head import start_reading_head
from yanmo.modeling.settings import LabeledTexts, LoopSettings, MeasureAnswers, NetworkSettings, Precision, Trained
from yanmo.modeling.structured.taught_trees import with_taught_trees
from yanmo.models import ENCODERS, ModelSpec
from yanmo.parsing.biaffine import inner_heads
from yanmo.text.inputs import Units

if TYPE_CHECKING:
    from yanmo.modeling.objectives.matching import Matched

__all__ = ["train_network"]


def train_network(
    spec: ModelSpec,
    train: LabeledTexts,
    valid: LabeledTexts,
    *,
    network: NetworkSettings,
    loop: LoopSettings,
    measure: MeasureAnswers,
    work_dir: Path,
    run_key: str,
    make: Callable[[], Trainable] | None = None,
    ask: Callable[[], LabeledTexts] | None = None,
    tell: Watcher = NO_EFFECTS.tell,
) -> Trained:
    """Train a network; the weights with the best score of ``loop.metric`` are kept.

    Args:
        spec: What the model's name means; of a family with a network.
        train: Texts to learn from, which a vocabulary is made of.
        valid: Texts that choose the best weights.
        network: What decides the network and its loss.
        loop: How it is trained.
        measure: From evidence and targets_NC to scores.
        work_dir: Where the checkpoint and ``metrics.jsonl`` are kept; a run of the same key is continued.
        run_key: Names the work.
        make: Gives the network, if not the one of the name is trained; the same in every call.
        ask: Gives the texts with a teacher's answers, instead of ``train``; it is called once the network is there.
        tell: Is shown every record of the training.

    Raises:
        ModelError: A checkpoint cannot be used, or the loss is not a finite number.
        StoppedError: SIGTERM came; a checkpoint was written.
        ConfigError: A setting does not suit the model.
    """
    loop = _settle(spec, network, loop)
    with repeatable(loop.seed, num_threads=loop.num_threads):
        probe = Probe(network, loop, measure)
        network = network if make else choose_pooling(spec, train, valid, probe)
        trainable = make() if make else make_trainable(spec, train.texts, network)
        matched = _match(trainable, network)  # before the optimizer is made, which moves the projections, too
    # Outside of both blocks: the random numbers that a teacher's answers take must not change the training.
    taught = ask() if ask else train
    with repeatable(loop.seed, num_threads=loop.num_threads):
        make_examples, make_objective = HEADS[network.head]
        examples = make_examples(trainable, network, taught, is_learned=True)
        held = make_examples(trainable, network, valid, is_learned=False)
        trainer = Trainer(
            trainable.module,
            trainable.score,
            objective=make_objective(network, examples.targets, train, loop, measure),
            settings=loop,
            work_dir=work_dir,
            run_key=run_key,
            matched_score=matched,
            tell=tell,
        )
        scores = fit(trainer, examples, held, _begin(trainable, probe, examples, held))
    _close(trainable, matched)
    save = functools.partial(_save, trainable, work_dir)
    return Trained(save, scores, trainable.architecture, trainable.max_length, trainer.position.precision)


def _text_examples(
    trainable: Trainable, network: NetworkSettings, texts: LabeledTexts, *, is_learned: bool
) -> Examples:
    """Return texts whose labels are learned, or which choose the best weights."""
    if is_learned:
        return Examples(trainable.encode_training(texts.texts), _targets(network, texts), texts.ids)
    return Examples(trainable.encode(texts.texts), Labels(texts.targets), texts.ids)


def _unit_examples(
    trainable: Trainable,
    network: NetworkSettings,
    texts: LabeledTexts,
    *,
    is_learned: bool,  # noqa: ARG001 - one signature
) -> Examples:
    """Return the windows of texts whose units are labeled; a text without a unit has none.

    Raises:
        DataError: The tags of a row are not those of the units that its text is cut into.
    """
    features, units = _read_units(trainable, texts)
    tags = Ragged(texts.targets.values, _firsts(features).offsets)
    ids = _row_ids(features, texts)
    return Examples(features, UnitTags(tags, len(network.labels), units.places, _soft(network, texts)), ids)


def _tree_examples(
    trainable: Trainable,
    network: NetworkSettings,  # noqa: ARG001 - one signature
    texts: LabeledTexts,
    *,
    is_learned: bool,  # noqa: ARG001 - one signature
) -> Examples:
    """Return the windows of texts whose words have heads; a text without a word has none.

    Raises:
        DataError: The tree of a row is not one of the words that its text is cut into.
    """
    texts = with_taught_trees(texts)
    features, units = _read_units(trainable, texts)
    truth, window_ends = texts.targets, _firsts(features).offsets
    heads = Ragged(inner_heads(truth.values["head"], truth.offsets, window_ends), window_ends)
    relations_U = truth.values["relation"].copy()
    head: Any = trainable.module.tree_head
    return Examples(features, UnitTrees(heads, relations_U, units.places, truth, head), _row_ids(features, texts))


def _read_units(trainable: Trainable, texts: LabeledTexts) -> tuple[TokenFeatures, Units]:
    """Return the features of texts that are read unit by unit, and these.

    Raises:
        DataError: A row has not as many labels as units.
    """
    features, units = trainable.encode(texts.texts), texts.texts.units
    if units is None or not isinstance(features, TokenFeatures) or features.firsts is None or features.text_N is None:
        raise InternalError("A network that labels units was given texts without units.")
    wrong = np.flatnonzero(units.places.lengths_N != texts.targets.lengths_N)
    if len(wrong):
        row = int(wrong[0])
        raise DataError(
            f"Rows with another number of labels than of units: {len(wrong)}, such as row "
            f"{texts.ids[row] if texts.ids else row} with {texts.targets.lengths_N[row]} labels and "
            f"{units.places.lengths_N[row]} units.",
            hint="Prepare the Dataset again from its files.",
        )
    return features, units


def _firsts(features: TokenFeatures) -> Ragged:
    if features.firsts is None:
        raise InternalError("A network that labels units was given texts without units.")
    return features.firsts


def _row_ids(features: TokenFeatures, texts: LabeledTexts) -> Sequence[str] | None:
    """Return the id of the text that each row is a window of."""
    if not texts.ids or features.text_N is None:
        return None
    return [texts.ids[text] for text in features.text_N.tolist()]


def _save(trainable: Trainable, work_dir: Path, folder: Path) -> None:
    """Write the model and the records of its training into a folder."""
    trainable.save(folder)
    shutil.copyfile(work_dir / METRICS, folder / METRICS)


def _settle(spec: ModelSpec, network: NetworkSettings, loop: LoopSettings) -> LoopSettings:
    """Return the settings with the device, fp32 for networks that gain nothing from less, and no steps of some recipes.

    Raises:
        ConfigError: Nothing would be learned.
    """
    if network.is_frozen and network.head == "passages":
        raise ConfigError(
            "The 'frozen' parameter of train fits a head to labels; where answers stand is learned by steps.",
            hint="Leave frozen out, or freeze some layers: --frozen-layers.",
        )
    workers.join()  # before a device is chosen: each of them has one of its own
    is_encoder = spec.family in ENCODERS
    precision = loop.precision if is_encoder else "fp32"
    if network.is_few_shot and (network.is_frozen or network.head != "texts"):
        raise ConfigError(
            "The 'few_shot' parameter of train is for labels of whole texts, and moves the encoder that frozen keeps.",
            hint="Leave one of them out." if network.is_frozen else "Leave few_shot out.",
        )
    num_epochs = 0 if network.is_frozen or network.is_few_shot else loop.num_epochs
    return dataclasses.replace(loop, device=default_device(), precision=precision, num_epochs=num_epochs)


def _begin(
    trainable: Trainable, probe: Probe, train: Examples, valid: Examples
) -> Callable[[Precision], object] | None:
    """Return what sets a checkpoint's new head, None where it has none, cannot be set or the weights lie in parts."""
    network = probe.network
    is_new = trainable.has_new_head and network.head_start == "probe" and not network.is_sharded
    if network.head == "passages":
        begin = functools.partial(start_reading_head, trainable, train, settings=probe.settings, measure=probe.measure)
        return begin if is_new else None
    if network.is_few_shot:
        return functools.partial(probe.contrast_and_start_head, trainable, train, valid)
    if network.is_frozen:
        return functools.partial(probe.start_head, trainable, train, valid, most_rows=len(train))
    # What a head for trees reads are no scores of labels, which a linear model could be.
    if is_new and network.head != "trees":
        return functools.partial(probe.start_head, trainable, train, valid)
    return None


def _choices_objective(
    network: NetworkSettings, targets: Targets, train: LabeledTexts, loop: LoopSettings, measure: MeasureAnswers
) -> Objective:
    weights_C = None
    if network.is_balanced:
        truth_NC = targets.values_UC() if isinstance(targets, UnitTags) else train.labeled().targets
        weights_C = balanced_class_weights(truth_NC)
    choices = ChoicesObjective(
        network.link,
        measure,
        label_smoothing=network.label_smoothing,
        class_weights_C=None if weights_C is None else weights_C.to(default_device()),
        focal_gamma=network.focal_gamma,
        teaching=network.teaching,
        r_drop=loop.r_drop,
    )
    return UnitChoicesObjective(choices, measure, targets.units_a_row) if isinstance(targets, UnitTags) else choices


def _trees_objective(
    network: NetworkSettings,  # noqa: ARG001 - one signature
    targets: UnitTrees,
    train: LabeledTexts,  # noqa: ARG001 - one signature
    loop: LoopSettings,  # noqa: ARG001 - one signature
    measure: MeasureAnswers,
) -> Objective:
    return TreesObjective(targets.head, measure, targets.units_a_row)


def _passage_examples(
    trainable: Trainable,
    network: NetworkSettings,
    texts: LabeledTexts,
    *,
    is_learned: bool,  # noqa: ARG001 - one signature
) -> Examples:
    """Return the windows of passages, each with its question."""
    features = trainable.encode(texts.texts)
    if not isinstance(features, TokenFeatures) or features.firsts is None or features.places is None:
        raise InternalError("A network that finds answers was given no passages.")
    firsts, places, text_N = features.firsts, features.places, features.text_N
    right_U2, soft_U2, is_labeled_W = right_places(places, firsts, texts.targets), None, None
    if network.teaching is not None and texts.soft is not None and text_N is not None:
        softened = texts.soft.softened(network.teaching.temperature)
        soft_U2, is_labeled_W = taught_places(places, firsts, softened), texts.is_labeled_N[text_N]
    ids = texts.ids and text_N is not None and [texts.ids[text] for text in text_N.tolist()]
    return Examples(features, PassageWindows(right_U2, places, texts.targets, soft_U2, is_labeled_W), ids or None)


def _pointers_objective(
    network: NetworkSettings,
    targets: Targets,  # noqa: ARG001 - one signature
    train: LabeledTexts,  # noqa: ARG001
    loop: LoopSettings,  # noqa: ARG001
    measure: MeasureAnswers,
) -> Objective:
    return PointersObjective(measure, network.teaching)


HEADS: dict[str, tuple[Callable[..., Examples], Callable[..., Objective]]] = {
    "texts": (_text_examples, _choices_objective),
    "units": (_unit_examples, _choices_objective),
    "trees": (_tree_examples, _trees_objective),
    "passages": (_passage_examples, _pointers_objective),
}
"""What is decided about to what makes its examples and its objective."""


def _targets(network: NetworkSettings, train: LabeledTexts) -> Labels | TaughtLabels:
    """Return the labels; with a teacher its softened answers, too."""
    soft_NC = _soft(network, train)
    return Labels(train.targets) if soft_NC is None else TaughtLabels(train.targets, train.is_labeled_N, soft_NC)


def _soft(network: NetworkSettings, texts: LabeledTexts) -> FloatArray | None:
    """Return a teacher's softened answers, None without one."""
    if network.teaching is None or texts.soft is None:
        return None
    return network.link.soften(texts.soft.values_MC, temperature=network.teaching.temperature)


def _close(trainable: Trainable, matched: Matched | None) -> None:
    trainable.module.to("cpu")
    if matched is not None:
        matched.detach()


def _match(trainable: Trainable, network: NetworkSettings) -> Matched | None:
    """Return what compares the student's inside with its teacher's, where that is wanted."""
    if network.teaching is None or network.teaching.match == "none":
        return None
    # Here, as all that loads transformers, which takes longer than a light model's training.
    from yanmo.modeling.objectives.matching import Matched

    return Matched(trainable.module, network.teaching)
