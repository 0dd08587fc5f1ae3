"""calibrate: a Bundle to the same Bundle whose probabilities match frequencies; it fits no weights."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from yanmo.arrays import FloatArray
from yanmo.artifacts.base import Identity
from yanmo.artifacts.bundle import GOLDEN, Bundle, copy_files, publish_bundle, write_golden
from yanmo.artifacts.dataset import Dataset
from yanmo.artifacts.effects import NO_EFFECTS, Effects
from yanmo.combine.calibration import Calibration, calibration_error, fit_calibration
from yanmo.config import Config
from yanmo.errors import ConfigError
from yanmo.measuring.evaluation import Split, load_split, match_labels
from yanmo.measuring.inputs import profile_inputs
from yanmo.runtimes.predictor import Predictor, golden_items, open_bundle
from yanmo.tasks import get_task
from yanmo.verbs.signature import verb

__all__ = ["CalibrateConfig", "calibrate"]

ROUNDING = np.float32(1e-5)
STEADY = 1e-5


class CalibrateConfig(Config):
    """Which map, and on which rows it is fitted."""

    method: Literal["temperature", "vector", "isotonic"] = "temperature"
    """temperature: one divisor of all scores, which changes no answer; vector: a factor and an addend a label;
    isotonic: a rising line a label, for splits of many rows. A cascade takes temperature only."""

    split: Literal["valid", "test"] = "valid"
    """The rows it is fitted on; the model must not have learned from them."""


@dataclass(frozen=True)
class Measured:
    """What a Bundle answers on the split, before calibration: scores and probabilities, in its own label order."""

    logits_NC: FloatArray
    targets_NC: FloatArray


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
    columns, split, task = match_labels(bundle, dataset), load_split(dataset, config.split), get_task(bundle.task)
    measured = _ask(bundle, split, columns)
    link = task.link
    calibration = fit_calibration(config.method, measured.logits_NC, measured.targets_NC, link)
    before_NC = link.activate(measured.logits_NC)
    after_NC = link.activate(calibration.apply(measured.logits_NC, link))
    summary = dict(bundle.manifest.info.get("summary", {}))
    for name, probabilities_NC in (("before", before_NC), ("after", after_NC)):
        chosen_NC = task.choose(probabilities_NC)
        error = calibration_error(probabilities_NC, chosen_NC, measured.targets_NC, link)
        loss = float(link.log_losses(probabilities_NC, measured.targets_NC).mean())
        summary |= {f"calibration_error_{name}": round(error, 6), f"log_loss_{name}": round(loss, 6)}
    info = {**bundle.manifest.info, "calibration": calibration.to_json(), "summary": summary}
    _publish(bundle, dataset, calibration, info, config, out=out, effects=effects)
    return Bundle.open(out, verify=False)


def _ask(bundle: Bundle, split: Split, columns: list[int]) -> Measured:
    """Return the Bundle's scores as they are without its calibration; columns are the Bundle's own."""
    with open_bundle(bundle) as predictor:
        _, inference = predictor.infer(split.items)
    order = np.argsort(columns)
    return Measured(inference.logits_NC, np.ascontiguousarray(split.targets_NC[:, order]))


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
        copy_files(bundle, made.path, without=(GOLDEN,))
        golden = bundle.golden()
        with open_bundle(made, verify_golden=False) as predictor:
            probabilities_NC, steady_N = _answer(predictor, golden_items(golden), calibration)
        rows = np.flatnonzero(steady_N).tolist()
        texts_b = [golden.texts_b[row] for row in rows] if golden.texts_b is not None else None
        write_golden(made.path, [golden.texts[row] for row in rows], texts_b, probabilities_NC[rows])
        info |= profile_inputs(made, dataset)


def _answer(predictor: Predictor, items: Any, calibration: Calibration) -> tuple[FloatArray, Any]:
    """Return the golden answers, and which of them a rounding would not change: isotonic lines are steep."""
    probabilities_NC, inference = predictor.infer(items)
    link = predictor.task.link
    shaken_NC = calibration.apply(inference.logits_NC * (1 + ROUNDING), link)
    gaps_NC = np.abs(link.activate(shaken_NC) - probabilities_NC)
    return probabilities_NC, gaps_NC.max(axis=1, initial=0.0) < 10 * STEADY
