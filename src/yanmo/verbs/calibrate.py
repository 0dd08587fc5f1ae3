"""calibrate: a Bundle to the same Bundle whose probabilities match frequencies; it fits no weights."""

from pathlib import Path
from typing import Any, Literal

import numpy as np

from yanmo.artifacts.base import Identity
from yanmo.artifacts.bundle import GOLDEN, Bundle, copy_files, publish_bundle, write_golden
from yanmo.artifacts.dataset import Dataset
from yanmo.artifacts.effects import NO_EFFECTS, Effects
from yanmo.combine.calibration import Calibration, calibration_error, fit_calibration
from yanmo.config import Config
from yanmo.errors import ConfigError
from yanmo.measuring.evaluation import load_split, match_bundle, with_labels_of
from yanmo.measuring.inputs import profile_inputs
from yanmo.runtimes.predictor import Predictor, open_bundle
from yanmo.tasks import task_of
from yanmo.tasks.forms import check_form
from yanmo.text.inputs import Inputs
from yanmo.verbs.signature import verb

__all__ = ["CalibrateConfig", "calibrate"]

# Sums in another order, as other engines add, differ in float32 by about this share.
ROUNDING = np.float32(1e-5)
# A golden answer that moves by more than ten times this would fail where it is asked again, at 1e-4.
STEADY = 1e-5


class CalibrateConfig(Config):
    """Which map, and on which rows it is fitted."""

    method: Literal["temperature", "vector", "isotonic"] = "temperature"
    """temperature: one divisor of all scores, which changes no answer; vector: a factor and an addend a label;
    isotonic: a rising line a label, for splits of many rows. A cascade takes temperature only."""

    split: Literal["valid", "test"] = "valid"
    """The rows it is fitted on; the model must not have learned from them."""


@verb
def calibrate(
    bundle: Bundle, dataset: Dataset, config: CalibrateConfig, *, out: Path, effects: Effects = NO_EFFECTS
) -> Bundle:
    """Make a Bundle's probabilities match frequencies.

    The new Bundle has the same files and a calibration in its manifest, which every runtime applies. One that is there
    already is replaced, never stacked: after quantization, calibrate the quantized Bundle.

    Args:
        bundle: Of any format.
        dataset: On whose split the calibration is fitted.
        config: Which map.
        out: Where the new Bundle appears.
        effects: Key and replacement of the call.

    Raises:
        ConfigError: The Bundle is a cascade, and the method could change its answers.
        DataError: Task or labels of Bundle and Dataset differ.
        MissingExtraError: vector and isotonic need scipy.
    """
    if bundle.format == "cascade" and config.method != "temperature":
        raise ConfigError(
            f"The 'method' parameter of calibrate must be temperature for a cascade such as {bundle.path}: others "
            f"change answers, and with them what it guarantees. Got {config.method!r} instead.",
            hint="Calibrate its stages, then make the cascade of them.",
        )
    check_form(task_of(bundle), "calibrate")
    dataset = with_labels_of([bundle], dataset)
    match_bundle(bundle, dataset)
    split, task = load_split(dataset, config.split), task_of(bundle)
    with open_bundle(bundle) as predictor:
        # Without the calibration that may be there: a new one takes its place.
        scores, _ = predictor.weigh(split.inputs)
    # In the Bundle's own order of labels, in which a calibration is stored.
    targets = task.targets(split.frame, bundle.labels)
    calibration = fit_calibration(config.method, scores, targets, task)
    before, after = scores.activate(), calibration.apply(scores).activate()
    summary = dict(bundle.manifest.info.get("summary", {}))
    for name, evidence in (("before", before), ("after", after)):
        error = calibration_error(evidence, targets, task)
        loss = float(task.losses_M(evidence, targets).mean())
        summary |= {f"calibration_error_{name}": round(error, 6), f"log_loss_{name}": round(loss, 6)}
    info = {**bundle.manifest.info, "calibration": calibration.to_json(), "summary": summary}
    _publish(bundle, dataset, calibration, info, config, out=out, effects=effects)
    return Bundle.open(out, verify=False)


def _publish(
    bundle: Bundle,
    dataset: Dataset,
    calibration: Calibration,
    info: dict[str, Any],
    config: CalibrateConfig,
    *,
    out: Path,
    effects: Effects,
) -> None:
    # Kept, so that a later verb can still tell which rows the model has learned from.
    trained_on = {role: digest for role, digest in bundle.manifest.parents.items() if role == "dataset"}
    identity = Identity(
        kind=Bundle.kind,
        verb="calibrate",
        task=bundle.task,
        labels=bundle.labels,
        parents={"bundle": bundle.digest, "calibrated_on": dataset.digest, **trained_on},
        config=config.model_dump(mode="json"),
        seed=bundle.manifest.seed,
        info=info,
    )
    with publish_bundle(out, identity, effects=effects) as made:
        # The golden answers there are those of the old calibration.
        copy_files(bundle, made.path, without=(GOLDEN,))
        inputs = bundle.golden().inputs
        with open_bundle(made, verify_golden=False) as predictor:
            evidence, steady_N = _answer(predictor, inputs, calibration)
        rows = np.flatnonzero(steady_N)
        write_golden(made.path, predictor.task.inputs, inputs.take(rows), evidence.take(rows))
        # In place: the identity holds this dictionary, and the manifest is written when the block ends.
        info |= profile_inputs(made, dataset)


def _answer(predictor: Predictor, inputs: Inputs, calibration: Calibration) -> tuple[Any, Any]:
    """Return the golden answers, and which of them a rounding would not change: isotonic lines are steep."""
    scores, _ = predictor.weigh(inputs)
    evidence = predictor.activate(scores)
    shaken = calibration.apply(scores.with_parts(*[values * (1 + ROUNDING) for values in scores.parts()])).activate()
    return evidence, evidence.distance_N(shaken) < 10 * STEADY
