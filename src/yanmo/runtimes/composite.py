"""Bundles made of Bundles, with numpy over their members' probabilities; it knows no engine of theirs.

A member is a whole Predictor: each cleans the raw text in its own way. So a composite's own cleaning is none, its
scores are log-probabilities, and a member may be a composite too.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar

import msgspec
import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError
from safetensors.numpy import load_file

from yanmo.answers.answered import Found
from yanmo.arrays import FloatArray, IntArray
from yanmo.artifacts.bundle import MEMBERS, Bundle
from yanmo.combine.alignment import check_same_tokens
from yanmo.combine.cascading import NEVER
from yanmo.combine.ensembling import Ensembler, Stacker
from yanmo.combine.stacking import LightgbmStacker, LinearStacker
from yanmo.errors import ArtifactError, ConfigError, YanmoError
from yanmo.protocols import Inference, Runtime
from yanmo.runtimes.predictor import Predictor, open_bundle
from yanmo.runtimes.token_mean import TOKEN_MEAN, TokenMeanRuntime
from yanmo.tasks import task_of
from yanmo.text.inputs import Inputs, Windows

__all__ = [
    "LIGHTGBM_STACKER",
    "LINEAR_STACKER",
    "SETTINGS_FILES",
    "CascadeRuntime",
    "CascadeSettings",
    "EnsembleRuntime",
    "EnsembleSettings",
    "RawInputs",
    "open_runtime",
    "read_composite_settings",
    "read_ensembler",
]

SETTINGS_FILES = {"ensemble": "ensemble.json", "cascade": "cascade.json"}
LINEAR_STACKER = "stacker.safetensors"
LIGHTGBM_STACKER = "stacker-{}.txt"


class EnsembleSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The content of ``ensemble.json``.

    Attributes:
        method: As the config of the verb has it.
        members: Folders under ``members/``, in order.
        columns: For each member, its column of each of the ensemble's labels.
        weights: Of each member, sum 1; None where the method has none.
        stacker: logistic or lightgbm, None where nothing is stacked.
    """

    method: str
    members: list[str]
    columns: list[list[int]]
    weights: list[float] | None = None
    stacker: Literal["logistic", "lightgbm"] | None = None


class CascadeSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The content of ``cascade.json``.

    Attributes:
        members: Folders under ``members/``, the stages from cheap to expensive.
        columns: For each stage, its column of each of the cascade's labels.
        thresholds: For each stage but the last, the confidence from which on it answers; 2 leaves it out.
        abstain: The confidence below which the last stage's answer is withheld; None: it always answers.
        costs_ms: Of one text in each stage, measured in batches when the cascade was made, or given.
        guarantee: What holds, with what confidence, how it was shown; JSON values.
        curve: Every candidate, from expensive to cheap: thresholds, cost_ms, risk, bound.
    """

    members: list[str]
    columns: list[list[int]]
    thresholds: list[float]
    abstain: float | None
    costs_ms: list[float]
    guarantee: dict[str, Any]
    curve: list[dict[str, Any]]


SettingsT = TypeVar("SettingsT", EnsembleSettings, CascadeSettings)


class Members:
    """The opened members of a composite, and what they found out about a batch.

    Args:
        bundle: The composite.
        settings: Which members, and their columns.
        num_threads: Of each member; they work one after the other.
        engine: Of members that are ONNX Bundles, or have such members; None is their default.
    """

    def __init__(
        self, bundle: Bundle, settings: EnsembleSettings | CascadeSettings, num_threads: int, engine: str | None
    ) -> None:
        self._predictors: list[Predictor] = []
        self._columns: list[list[int] | None] = []
        identity = list(range(len(bundle.labels)))
        for name, columns in zip(settings.members, settings.columns, strict=True):
            # The composite's manifest holds the digests of all files of its members.
            member = Bundle.open(bundle.path / MEMBERS / name, verify=False)
            with _named(bundle, name):
                chosen = engine if member.format == "onnx" or member.is_composite else None
                self._predictors.append(open_bundle(member, num_threads=num_threads, runtime=chosen))
            # Mostly members have the labels in the same order; then nothing is copied.
            self._columns.append(None if columns == identity else columns)

    def __len__(self) -> int:
        return len(self._predictors)

    def reading(self, windows: Windows | None) -> Mapping[str, Any]:
        """Return how the first member reads texts."""
        return self._predictors[0].reading(windows)

    def encode(self, member: int, raw: RawInputs) -> Any:
        """Return what one member reads of raw texts."""
        return self._predictors[member].encode(raw.inputs, windows=raw.windows)

    def score(self, member: int, encoded: Any) -> tuple[Any, Found]:
        """Return one member's probabilities, columns in the composite's order, and what reading the texts took."""
        predictor, columns = self._predictors[member], self._columns[member]
        inference = predictor.score(encoded)
        evidence = predictor.activate(inference.scores)
        return (evidence if columns is None else evidence.ordered(columns)), inference.found

    def answer(self, member: int, raw: RawInputs) -> tuple[Any, Found]:
        """Return one member's probabilities and what reading raw texts took."""
        return self.score(member, self.encode(member, raw))


@dataclass(frozen=True)
class RawInputs:
    """Texts as they came: each member cleans them in its own way.

    Attributes:
        inputs: N raw rows.
        windows: How members cut long texts.
    """

    inputs: Inputs
    windows: Windows | None = None

    def take(self, rows: IntArray) -> RawInputs:
        """Return some of the texts."""
        return self if len(rows) == len(self.inputs) else RawInputs(self.inputs.take(rows), self.windows)


@dataclass(frozen=True)
class EncodedForAll:
    """N texts as each member reads them."""

    num_texts: int
    encoded_K: list[Any]


class EnsembleRuntime(Runtime[EncodedForAll]):
    """The Runtime protocol for the format ensemble: takes raw texts, all members answer all of them."""

    def __init__(self, bundle: Bundle, num_threads: int, engine: str | None = None) -> None:
        settings = read_composite_settings(bundle, EnsembleSettings)
        self._task = task_of(bundle)
        self._names = settings.members
        self._ensembler = read_ensembler(bundle, settings)
        self._members = Members(bundle, settings, num_threads, engine)

    def encode(self, inputs: Inputs, *, windows: Windows | None = None) -> EncodedForAll:
        """Return what every member reads of N raw rows."""
        raw = RawInputs(inputs, windows)
        return EncodedForAll(len(inputs), [self._members.encode(member, raw) for member in range(len(self._members))])

    def reading(self, windows: Windows | None) -> Mapping[str, Any]:
        """Return how the first member reads texts."""
        return self._members.reading(windows)

    def score(self, encoded: EncodedForAll) -> Inference[Any]:
        """Return the log-probabilities of N encoded texts; tokens are counted over all members."""
        totals = _Totals(encoded.num_texts)

        # One member after the other: the ensemble adds them up as they come, and never holds all of them.
        def answers() -> Iterator[Any]:
            first: Any = None
            for member, one in enumerate(encoded.encoded_K):
                evidence, found = self._members.score(member, one)
                first = evidence if first is None else first
                # A text may have what the texts had not by which the members were chosen.
                check_same_tokens([first, evidence], [self._names[0], self._names[member]])
                totals.add(slice(None), found)
                yield evidence

        evidence = self._ensembler.combine(answers(), self._task)
        return Inference(evidence.invert(), totals.found())

    def gaps(self, inputs: Inputs) -> FloatArray:
        """Return how far each text's answer is from one that a rounding would change: of a vote the closest call."""
        raw, gaps_N = RawInputs(inputs), np.ones(len(inputs), dtype=np.float32)
        for member in range(len(self._members)) if self._ensembler.is_vote else ():
            evidence, _ = self._members.answer(member, raw)
            gaps_N = np.minimum(gaps_N, self._task.gap_N(evidence))
        return gaps_N


class CascadeRuntime(Runtime[RawInputs]):
    """The Runtime protocol for the format cascade: takes raw texts, each stage gets only those still undecided."""

    def __init__(self, bundle: Bundle, num_threads: int, engine: str | None = None) -> None:
        self._settings = read_composite_settings(bundle, CascadeSettings)
        self._task = task_of(bundle)
        self._members = Members(bundle, self._settings, num_threads, engine)

    def encode(self, inputs: Inputs, *, windows: Windows | None = None) -> RawInputs:
        """Return N raw rows: which of them a stage will read is not known yet."""
        return RawInputs(inputs, windows)

    def score(self, encoded: RawInputs) -> Inference[Any]:
        """Return the log-probabilities of N raw texts; tokens are counted over the stages that were asked."""
        num_texts = len(encoded.inputs)
        totals = _Totals(num_texts)
        settled: list[tuple[IntArray, Any]] = []
        confidence_N = np.zeros(num_texts, dtype=np.float32)
        stage_N = np.full(num_texts, len(self._members))
        rows = np.arange(num_texts)
        # The last stage answers whatever reaches it: every confidence is at least 0.
        for number, threshold in enumerate([*self._settings.thresholds, 0.0], 1):
            # The last stage is asked even for no rows at all, so that there is something to answer with.
            if threshold >= NEVER or not (len(rows) or (number == len(self._members) and not settled)):
                continue
            evidence, found = self._members.answer(number - 1, encoded.take(rows))
            totals.add(rows, found)
            confidence_N[rows] = self._task.confidence_N(evidence)
            is_sure_B = confidence_N[rows] >= threshold
            is_settled_B = is_sure_B | (number == len(self._members))
            settled.append((rows[is_settled_B], evidence.take(np.flatnonzero(is_settled_B))))
            stage_N[rows[is_sure_B]] = number
            rows = rows[~is_sure_B]
        is_last_N, abstain = stage_N == len(self._members), self._settings.abstain
        # Negated, so that a confidence which is no number abstains.
        abstained_N = is_last_N & ~(confidence_N >= abstain) if abstain is not None else None
        # Logarithms, or log-odds, so that a composite can be activated and calibrated as any model is.
        return Inference(self._task.form.gathered(settled).invert(), totals.found(stage_N, abstained_N))

    def gaps(self, inputs: Inputs) -> FloatArray:
        """Return how far each text's confidences are from the thresholds, in every stage that may be asked."""
        raw, gaps_N = RawInputs(inputs), np.ones(len(inputs), dtype=np.float32)
        for stage, limit in enumerate([*self._settings.thresholds, self._settings.abstain or NEVER]):
            if limit < NEVER:
                sure_N = self._task.confidence_N(self._members.answer(stage, raw)[0])
                gaps_N = np.minimum(gaps_N, np.abs(sure_N - limit))
        return gaps_N


class _Totals:
    """What was found out about N texts, over the members that were asked."""

    def __init__(self, num_texts: int) -> None:
        self._num_tokens_N = np.zeros(num_texts, dtype=np.int64)
        self._num_unknown_N = np.zeros(num_texts, dtype=np.int64)
        self._truncated_N = np.zeros(num_texts, dtype=np.bool_)
        self._num_cells = 0

    def add(self, rows: slice | IntArray, found: Found) -> None:
        """Add what a member found out about some of the texts."""
        self._num_tokens_N[rows] += found.num_tokens_N
        self._num_unknown_N[rows] += found.num_unknown_N
        self._truncated_N[rows] |= found.truncated_N
        self._num_cells += found.num_cells

    def found(self, stage_N: IntArray | None = None, abstained_N: npt.NDArray[np.bool_] | None = None) -> Found:
        """Return all of it, with the stages that answered and where none did."""
        return Found(self._num_tokens_N, self._num_unknown_N, self._truncated_N, self._num_cells, stage_N, abstained_N)


def open_runtime(
    bundle: Bundle,
    *,
    device: str,  # noqa: ARG001 - one signature
    num_threads: int,
    engine: str | None = None,
) -> EnsembleRuntime | CascadeRuntime | TokenMeanRuntime:
    """Return the runtime of a composite Bundle."""
    if bundle.format == "cascade":
        return CascadeRuntime(bundle, num_threads, engine)
    if read_composite_settings(bundle, EnsembleSettings).method == TOKEN_MEAN:
        if engine is not None:
            raise ConfigError(
                f"The 'runtime' parameter is for ONNX Bundles; the members of {bundle.path} write token by token.",
                hint="Leave it out.",
            )
        return TokenMeanRuntime(bundle.members(), num_threads)
    return EnsembleRuntime(bundle, num_threads, engine)


def read_composite_settings(bundle: Bundle, kind: type[SettingsT]) -> SettingsT:
    """Return the content of a composite's settings file.

    Raises:
        ArtifactError: It is missing or damaged.
    """
    path = bundle.path / SETTINGS_FILES[bundle.format]
    try:
        return msgspec.json.decode(path.read_bytes(), type=kind)
    except (OSError, msgspec.MsgspecError) as error:
        raise ArtifactError(f"{path} cannot be read: {error}.", hint=f"Make the {bundle.format} again.") from error


def read_ensembler(bundle: Bundle, settings: EnsembleSettings) -> Ensembler:
    """Return the method of an ensemble Bundle.

    Raises:
        ArtifactError: The files of its stacker cannot be read.
        MissingExtraError: Its stacker needs a package that is not installed.
    """
    stacker = _STACKERS[settings.stacker](bundle.path) if settings.stacker else None
    is_log = settings.method == "log-linear"
    return Ensembler(len(settings.members), settings.method == "vote", settings.weights, stacker, is_log)


def _read_linear_stacker(folder: Path) -> Stacker:
    path = folder / LINEAR_STACKER
    try:
        tensors = load_file(path)
        return LinearStacker(tensors["coefficients"], tensors["intercepts"])
    except (OSError, SafetensorError, KeyError) as error:
        raise ArtifactError(f"{path} cannot be read: {error}.", hint="Make the ensemble again.") from error


def _read_lightgbm_stacker(folder: Path) -> Stacker:
    files = sorted(folder.glob(LIGHTGBM_STACKER.format("*")))
    return LightgbmStacker([file.read_text(encoding="utf-8") for file in files])


_STACKERS = {"logistic": _read_linear_stacker, "lightgbm": _read_lightgbm_stacker}


@contextlib.contextmanager
def _named(bundle: Bundle, member: str) -> Iterator[None]:
    """Say in an error which member it comes from."""
    try:
        yield
    except YanmoError as error:
        # The same error goes on: its class decides the exit code, its hint the next action.
        error.message = f"Member {member} of {bundle.path}: {error.message}"
        raise
