"""Which parts of a model may be int8: calibration on texts, a gate on accuracy, a search for the harmful parts.

It knows a Quantizer, a runtime and labelled texts; it knows no verb.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

import numpy as np
import numpy.typing as npt

from yanmo.answers.answered import Evidence
from yanmo.answers.writings import Writings
from yanmo.arrays import FloatArray
from yanmo.errors import ConfigError, ModelError
from yanmo.exporting.quantization import ActivationRange, Clipping
from yanmo.metrics.measures import Comparison, compare
from yanmo.progress import track
from yanmo.protocols import Task
from yanmo.runtimes.batching import infer_batches, make_batch, plan_batches
from yanmo.runtimes.engines.ort import open_engine, open_session
from yanmo.runtimes.heads import Head
from yanmo.runtimes.onnx import OnnxSettings, make_feed
from yanmo.text.tokenizer import Encoded

if TYPE_CHECKING:
    from yanmo.exporting.int8 import Quantizer

__all__ = ["Gate", "GatedModel", "Scorer", "check_max_drop", "judge", "search", "show_inputs"]

logger = logging.getLogger(__name__)

ContentT = TypeVar("ContentT")
ContentT_co = TypeVar("ContentT_co", covariant=True)
ContentT_contra = TypeVar("ContentT_contra", contravariant=True)

NUM_BINS = 4096
TAIL = 1e-5
"""Share of the values that the percentile clipping cuts off at each end."""
# Of the whole range, those that the clipping mse tries.
SHARES = np.linspace(0.2, 1.0, 41)
NUM_SENSITIVITY_TEXTS = 256
NUM_RESAMPLES = 2000
SEED = 0
ROUNDING = 1e-9
"""What a difference of two shares is rounded by: 0.9 - 0.895 is more than 0.005."""


@dataclass
class _Seen:
    """A running range of one product's inputs, then their histogram."""

    low: float = np.inf
    high: float = -np.inf
    counts: npt.NDArray[np.int64] = field(default_factory=lambda: np.zeros(NUM_BINS, np.int64))


@dataclass(frozen=True)
class Scorer:
    """Runs graphs of one kind on the same texts.

    Attributes:
        settings: Of the graphs.
        encoded: N texts.
        head: From scores to evidence.
        path: Where a graph may be written; it is removed again.
        num_threads: To compute with.
    """

    settings: OnnxSettings
    encoded: Encoded
    head: Head
    path: Path
    num_threads: int

    def score(self, content: bytes) -> Any:
        """Return the scores of N texts."""
        from yanmo.exporting.large_graphs import remove_onnx, write_onnx

        write_onnx(content, self.path)
        try:
            engine = open_engine(self.path, self.num_threads)
            scores_WC = infer_batches(
                self.encoded.ids,
                self.encoded.type_ids if self.settings.token_type else None,
                lambda batches: engine.run([make_feed(one, self.settings.inputs, engine.inputs) for one in batches]),
                plan=list(plan_batches(self.encoded.ids.lengths_N)),
                pad_id=self.settings.pad_token_id,
                num_classes=self.head.num_outputs,
                units=self.encoded.units,
                condenser=self.head.condenser(self.encoded),
            )
            return self.head.read(scores_WC, self.encoded, 0).scores
        finally:
            remove_onnx(self.path)

    def sampled(self, num_texts: int) -> Scorer:
        """Return one for some of the texts, or of the windows that they are read in."""
        rows = np.unique(np.linspace(0, len(self.encoded.ids) - 1, num_texts).round().astype(np.int64))
        return replace(self, encoded=self.encoded.take(rows))


def show_inputs(quantizer: Quantizer, scorer: Scorer, *, clipping: Clipping) -> None:
    """Show a quantizer what goes into its products.

    Args:
        quantizer: Is told the ranges.
        scorer: With the texts to run.
        clipping: max keeps everything; percentile and mse cut off rare extremes.
    """
    from yanmo.exporting.large_graphs import remove_onnx, write_onnx

    write_onnx(quantizer.watched(), scorer.path)
    try:
        session = open_session(scorer.path, scorer.num_threads)
        names = [one.name for one in session.get_outputs() if one.name.endswith(".input")]
        seen = {name: _Seen() for name in names}
        if not names:
            return  # an empty list would ask the session for everything
        for name, values in _watch(session, names, scorer):
            seen[name].low, seen[name].high = min(seen[name].low, values.min()), max(seen[name].high, values.max())
        # A second run of all texts: a histogram needs the range first, and the values are too many to keep.
        if clipping != "max":
            for name, values in _watch(session, names, scorer):
                one = seen[name]
                # Inputs may all be equal, but a histogram needs some width.
                one.counts += np.histogram(values, NUM_BINS, (one.low, max(one.high, one.low + 1e-12)))[0]
    finally:
        remove_onnx(scorer.path)
    quantizer.calibrate({name.removesuffix(".input"): _range(one, clipping) for name, one in seen.items()})


def _watch(session: Any, names: Sequence[str], scorer: Scorer) -> Iterator[tuple[str, FloatArray]]:
    settings, encoded = scorer.settings, scorer.encoded
    token_types = encoded.type_ids if settings.token_type else None
    types = {one.name: np.int32 if one.type == "tensor(int32)" else np.int64 for one in session.get_inputs()}
    plan = list(plan_batches(encoded.ids.lengths_N))
    for rows_B in track(plan, "calibrating", unit="batch"):
        batch = make_batch(encoded.ids, token_types, rows_B, settings.pad_token_id, encoded.units)
        yield from zip(names, session.run(names, dict(make_feed(batch, settings.inputs, types))), strict=True)


def _range(seen: _Seen, clipping: Clipping) -> ActivationRange:
    """Return the range that is kept of what was seen."""
    if clipping == "max" or not seen.counts.any():
        return ActivationRange(seen.low, seen.high)
    edges = np.linspace(seen.low, seen.high, NUM_BINS + 1)
    if clipping == "percentile":
        share = np.cumsum(seen.counts) / seen.counts.sum()
        first, last = int(np.searchsorted(share, TAIL)), int(np.searchsorted(share, 1 - TAIL))
        return ActivationRange(float(edges[first]), float(edges[min(last + 1, NUM_BINS)]))
    middles = (edges[:-1] + edges[1:]) / 2
    errors = [_squared_error(middles, seen.counts, seen.low * share, seen.high * share) for share in SHARES]
    best = SHARES[int(np.argmin(errors))]
    return ActivationRange(seen.low * best, seen.high * best)


def _squared_error(values: npt.NDArray[np.float64], counts: npt.NDArray[np.int64], low: float, high: float) -> float:
    # Inputs that are all equal have no width to divide by.
    step = max((high - low) / 255, 1e-30)
    kept = np.clip(np.rint((values - low) / step), 0, 255) * step + low
    return float((counts * np.square(values - kept)).sum())


def check_max_drop(task: Task[Any], max_drop: float, *, verb: str) -> None:
    """Refuse a loss that no answers can have, such as percents where the headline is a rate.

    Args:
        task: Says what the headline is.
        max_drop: Most of it that may be lost, in its unit.
        verb: Who was given it, for the message.

    Raises:
        ConfigError: The headline is a rate, and more than all of it may be lost.
    """
    headline = task.measures[0]
    if headline.is_rate and max_drop > 1:
        raise ConfigError(
            f"The 'max_drop' parameter of {verb} must be in [0, 1] where the headline is the {headline.title}. "
            f"Got {max_drop:g} instead.",
            hint="It is a share: 0.01 is one point.",
        )


@dataclass(frozen=True)
class Gate:
    """What int8 answers are held against.

    Attributes:
        task: Says what is counted in each row, and the headline.
        activate: From the model's scores to evidence, calibrated where the Bundle is.
        targets: What N validation texts are held against.
        reference: The fp32 model's scores.
        max_drop: Most of the headline that may be lost, in its unit.
    """

    task: Task[Any]
    activate: Callable[[Any], Any]
    targets: Any
    reference: Any
    max_drop: float

    @property
    def headline(self) -> str:
        """The name of what may not be lost."""
        return self.task.measures[0].name

    @property
    def is_judging(self) -> bool:
        """Whether any answers can lose too much: of a rate there is no more to lose than 1."""
        return self.max_drop < 1 or not self.task.measures[0].is_rate

    def compare(self, scores: Any) -> Comparison:
        """Return the headline of a model's scores, held against that of the fp32 model."""
        ours_NS, theirs_NS = (
            self.task.statistics(self.activate(one), self.targets) for one in (scores, self.reference)
        )
        found = compare(ours_NS, theirs_NS, self.task.measures[:1], num_resamples=NUM_RESAMPLES, seed=SEED)
        return found[self.headline]

    def admits(self, measured: Comparison) -> bool:
        """Return whether a model may be published."""
        return measured.drop <= self.max_drop + ROUNDING


@dataclass(frozen=True)
class GatedModel(Generic[ContentT]):
    """What the search ended with.

    Attributes:
        content: The graph, or graphs.
        kept: Parts that stay fp32, in the order in which they went back.
        measured: What it costs.
        notes: What else its manifest says of how it was quantized.
    """

    content: ContentT
    kept: list[str]
    measured: Comparison
    notes: dict[str, Any] = field(default_factory=dict)


class Parts(Protocol[ContentT_co]):
    """A model that can be built with any of its parts in 8 bits."""

    @property
    def names(self) -> list[str]:
        """The parts, in the order in which they run."""
        ...

    def build(self, kept: Collection[str] = ()) -> ContentT_co:
        """Return the model with some parts kept in fp32."""
        ...


class Scores(Protocol[ContentT_contra]):
    """Runs models on the same texts."""

    def score(self, content: ContentT_contra) -> Any:
        """Return the scores of N texts, evidence that is not activated yet."""
        ...

    def sampled(self, num_texts: int) -> Scores[ContentT_contra]:
        """Return one for some of the texts."""
        ...


def search(quantizer: Parts[ContentT], gate: Gate, scorer: Scores[ContentT]) -> GatedModel[ContentT]:
    """Return an int8 graph that passes the gate; the most harmful parts go back to fp32 one by one until it does.

    Args:
        quantizer: Builds graphs.
        gate: Judges them.
        scorer: Runs them on the validation texts.

    Raises:
        ModelError: There is no part that can be int8, or each loses too much.
    """
    if not quantizer.names:
        raise ModelError("The model has no part that can be int8.", hint="It is small as it is: export it instead.")
    kept: list[str] = []
    harmful: list[str] | None = None
    while True:
        found = judge(quantizer, gate, scorer, kept)
        if gate.admits(found.measured):
            return found
        # Only when it is needed, and once: it builds and runs a model for every part.
        harmful = _rank(quantizer, scorer) if harmful is None else harmful
        # With the last part back, too, it would be the fp32 model.
        if len(kept) == len(harmful) - 1:
            raise ModelError(
                f"Every choice of int8 parts loses more {gate.headline} than {gate.max_drop:g}; the last lost "
                f"{found.measured.drop:.4f} on {found.measured.num_rows} validation texts.",
                hint="Raise --max-drop, try --method weight-only or --clipping mse, or train with more data.",
            )
        kept = harmful[: len(kept) + 1]


def judge(
    quantizer: Parts[ContentT], gate: Gate, scorer: Scores[ContentT], kept: Sequence[str] = ()
) -> GatedModel[ContentT]:
    """Return the int8 graph with some parts in fp32, and what it costs, whether or not that is too much."""
    content = quantizer.build(kept)
    measured = gate.compare(scorer.score(content))
    if gate.is_judging:  # else they are untrained models, whose scores say nothing
        logger.info(
            "%s: %s %.4f, %.4f in fp32.",
            f"All but {len(kept)} parts are int8" if kept else "All parts are int8",
            gate.headline,
            measured.ours,
            measured.theirs,
        )
    return GatedModel(content, list(kept), measured)


def _rank(quantizer: Parts[ContentT], scorer: Scores[ContentT]) -> list[str]:
    """Return the parts, first the one that changes the scores most when it alone is int8."""
    names = quantizer.names
    sample = scorer.sampled(NUM_SENSITIVITY_TEXTS)
    reference = sample.score(quantizer.build(names))
    harm: dict[str, float] = {}
    for name in track(names, "sensitivity", unit="part"):
        scores = sample.score(quantizer.build([one for one in names if one != name]))
        harm[name] = HARMS.get(type(reference), _mean_square)(scores, reference)
    return sorted(names, key=lambda name: -harm[name])


def _mean_square(scores: Evidence, reference: Evidence) -> float:
    """Return how far scores are from others in the mean; what may not be chosen in both is equal."""
    pairs = zip(scores.parts(), reference.parts(), strict=True)
    squares = [np.square(np.where(ours == theirs, 0.0, ours - theirs)) for ours, theirs in pairs]
    return float(sum(one.sum() for one in squares) / max(sum(one.size for one in squares), 1))


def _share_of_others(scores: Writings, reference: Writings) -> float:
    """Return how many texts became others, and how far the rest is from the reference."""
    return float(np.minimum(scores.distance_N(reference), 1).mean())


HARMS: Mapping[type[Any], Callable[[Any, Any], float]] = {Writings: _share_of_others}
"""Form of evidence to how far it is from a reference, where that is no matter of equal decisions."""
