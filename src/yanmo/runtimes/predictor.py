"""The Predictor: raw texts in, probabilities out, the same for every format of Bundle; it knows no engine.

Cleaning, tokenizing, scoring and activation stand here in their one order. Opening a Bundle asks it its golden
examples again, so a library or a processor that computes something else is found before a user does.
"""

from __future__ import annotations

import dataclasses
import importlib
import logging
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self, TypeAlias, get_args

import numpy as np

from yanmo.arrays import FloatArray
from yanmo.artifacts.bundle import Bundle, Golden
from yanmo.combine.calibration import read_calibration
from yanmo.errors import ArtifactError, ConfigError, did_you_mean
from yanmo.protocols import Inference, Prediction, Runtime, Task, Windows
from yanmo.tasks import get_task

__all__ = [
    "RUNTIMES",
    "Item",
    "LongTexts",
    "Predictor",
    "choose_runtime",
    "default_num_threads",
    "golden_items",
    "open_bundle",
]

RUNTIMES = {
    "torch": "yanmo.runtimes.pytorch",
    "onnx": "yanmo.runtimes.onnx",
    "ngram": "yanmo.runtimes.ngram",
    "linear": "yanmo.runtimes.linear",
    "ensemble": "yanmo.runtimes.composite",
    "cascade": "yanmo.runtimes.composite",
}
TRIAL_TEXTS = 512
GOLDEN_TOLERANCE = {"fp32": 1e-4, "int8": 2e-2}

Item: TypeAlias = str | tuple[str, str]
LongTexts: TypeAlias = Literal["truncate", "windows"]

logger = logging.getLogger(__name__)


class Predictor:
    """A Bundle that answers. Use it as a context manager, or call ``close``.

    Attributes:
        bundle: The Bundle.
        task: Its task.
        labels: All labels, in the order of every column of probabilities.
    """

    def __init__(self, bundle: Bundle, runtime: Runtime[Any], windows: Windows | None = None) -> None:
        self.bundle = bundle
        self.task: Task = get_task(bundle.task)
        self.labels: list[str] = bundle.labels
        self._pipeline = bundle.text_pipeline()
        self._runtime: Runtime[Any] | None = runtime
        self._windows = windows
        self._calibration = None
        if bundle.calibration is not None:
            where = str(bundle.path)
            self._calibration = read_calibration(bundle.calibration, num_classes=len(self.labels), where=where)

    def predict(self, texts: Sequence[Item]) -> list[Prediction]:
        """Return one answer a text.

        Args:
            texts: N raw texts; for pairs N tuples ``(text, text_b)``.

        Raises:
            ConfigError: An item is no text or no pair; the message says which.
        """
        return self.decode(*self.infer(texts))

    def predict_proba(self, texts: Sequence[Item]) -> FloatArray:
        """Return probabilities_NC, float32, shape (N, C), columns in the order of ``labels``."""
        return self.infer(texts)[0]

    def infer(self, texts: Sequence[Item]) -> tuple[FloatArray, Inference]:
        """Return probabilities_NC, and what the runtime found out about each text."""
        return self.score(self.encode(*_columns(texts, self.task)))

    def encode(
        self, texts: Sequence[str], texts_b: Sequence[str] | None = None, *, windows: Windows | None = None
    ) -> Any:
        """Return what ``score`` takes: raw texts, and the second texts of pairs, cleaned and tokenized.

        Args:
            texts: N raw texts.
            texts_b: The second texts of pairs, or None.
            windows: How long texts are cut; by default as the Predictor was opened.
        """
        cleaned = self._pipeline.apply(texts)
        cleaned_b = self._pipeline.apply(texts_b) if texts_b is not None else None
        return self._opened().encode(cleaned, cleaned_b, windows=windows or self._windows)

    def score(self, encoded: Any) -> tuple[FloatArray, Inference]:
        """Return probabilities_NC, and what the runtime found out about each text; its scores are not calibrated."""
        inference = self._opened().score(encoded)
        return self.activate(inference.logits_NC), inference

    def activate(self, logits_NC: FloatArray) -> FloatArray:
        """Return probabilities_NC of scores, calibrated where the Bundle is."""
        if self._calibration is not None:
            logits_NC = self._calibration.apply(logits_NC, self.task.link)
        return self.task.link.activate(logits_NC)

    def decode(self, probabilities_NC: FloatArray, inference: Inference) -> list[Prediction]:
        """Return one answer a text, of what :meth:`score` gave."""
        answers = self.task.decode(probabilities_NC, self.labels)
        if inference.stage_N is None:
            return answers
        stages = inference.stage_N.tolist()
        withheld = inference.abstained_N.tolist() if inference.abstained_N is not None else [False] * len(stages)
        return [
            dataclasses.replace(one, label=None if silent else one.label, stage=stage, abstained=silent)
            for one, stage, silent in zip(answers, stages, withheld, strict=True)
        ]

    def _opened(self) -> Runtime[Any]:
        if self._runtime is None:
            raise ConfigError("The Predictor is closed.", hint="Open the Bundle again.")
        return self._runtime

    def close(self) -> None:
        """Let go of the model."""
        self._runtime = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def open_bundle(
    bundle: Bundle | str | Path,
    *,
    device: str = "cpu",
    num_threads: int | None = None,
    runtime: str | None = None,
    long_texts: LongTexts = "truncate",
    window_overlap: float = Windows.overlap,
    verify_golden: bool = True,
) -> Predictor:
    """Return a Predictor for a Bundle.

    Args:
        bundle: The opened Bundle or its folder.
        device: Where a torch Bundle computes, such as ``cuda``; the other formats compute on the CPU.
        num_threads: Threads of the engine, at least 1; by default one for each CPU that this process may use.
        runtime: The engine of an ONNX Bundle or such members: ``onnxruntime`` (the default), ``openvino``, or ``auto``,
            which times those that are installed and remembers the fastest that answers the golden examples.
        long_texts: Of a text that is longer than the model reads, read the beginning (``truncate``), or cut it into
            overlapping ``windows`` and pool their scores.
        window_overlap: Share of a window that the one before it has, too; at least 0 and less than 1.
        verify_golden: Ask the golden examples again and compare.

    Raises:
        ArtifactError: The folder is no whole Bundle, or does not answer its golden examples as it did.
        ConfigError: The device, the number of threads or the overlap is not possible.
        MissingExtraError: The format needs a package that is not installed.
    """
    opened = bundle if isinstance(bundle, Bundle) else Bundle.open(bundle)
    if opened.format not in RUNTIMES:
        raise ArtifactError(
            f"{opened.path} has the unknown format '{opened.format}'.{did_you_mean(opened.format, RUNTIMES)}",
            hint=f"The formats are: {', '.join(RUNTIMES)}.",
        )
    get_task(opened.task)  # before any weights are read: an encoder that only reads is refused
    if device != "cpu" and opened.format != "torch":
        raise ConfigError(
            f"The 'device' parameter must be 'cpu' for a Bundle of format {opened.format}. Got {device!r} instead.",
            hint="Only torch Bundles can compute elsewhere.",
        )
    if num_threads is not None and num_threads < 1:
        raise ConfigError(f"The 'num_threads' parameter must be at least 1. Got {num_threads} instead.")
    num_threads = num_threads or default_num_threads()
    if runtime == "auto" and not opened.is_composite:
        runtime = choose_runtime(opened, num_threads)
    opened_runtime = _open_runtime(opened, device=device, num_threads=num_threads, runtime=runtime)
    if verify_golden:
        _check_golden(Predictor(opened, opened_runtime))
    return Predictor(opened, opened_runtime, _make_windows(opened, long_texts, window_overlap))


def _open_runtime(bundle: Bundle, *, device: str, num_threads: int, runtime: str | None) -> Runtime[Any]:
    module = importlib.import_module(RUNTIMES[bundle.format])
    options = {"device": device, "num_threads": num_threads}
    if runtime is not None and (bundle.format == "onnx" or bundle.is_composite):
        options["engine"] = runtime
    elif runtime is not None:
        raise ConfigError(
            f"The 'runtime' parameter is for ONNX Bundles; {bundle.path} is of format {bundle.format}.",
            hint="Leave it out, or export the Bundle first.",
        )
    opened: Runtime[Any] = module.open_runtime(bundle, **options)
    return opened


def choose_runtime(bundle: Bundle, num_threads: int) -> str | None:
    """Return the fastest engine for a Bundle here, or None where there is nothing to choose.

    Args:
        bundle: Of any format; only an ONNX Bundle with golden examples has a choice.
        num_threads: With which it will compute.
    """
    from yanmo.runtimes.engines.choice import choose_engine

    if bundle.format != "onnx":
        return None

    golden = golden_items(bundle.golden())
    items = list(golden) * (TRIAL_TEXTS // max(len(golden), 1))

    def open_with(engine: str) -> Callable[[], object]:
        predictor = Predictor(bundle, _open_runtime(bundle, device="cpu", num_threads=num_threads, runtime=engine))
        _check_golden(predictor)
        return lambda: predictor.infer(items)

    return choose_engine(bundle.digest, num_threads, len(items), open_with) if items else None


def _make_windows(bundle: Bundle, long_texts: LongTexts, overlap: float) -> Windows | None:
    if long_texts not in get_args(LongTexts):
        raise ConfigError(
            f"The 'long_texts' parameter must be one of: {', '.join(get_args(LongTexts))}. Got {long_texts!r} instead."
        )
    if not 0 <= overlap < 1:
        raise ConfigError(f"The 'window_overlap' parameter must be at least 0 and less than 1. Got {overlap} instead.")
    if long_texts == "truncate":
        return None
    if not bundle.max_length:
        logger.warning("long_texts has no effect: %s reads all of every text.", bundle.path)
    return Windows(overlap)


def default_num_threads() -> int:
    """Return OMP_NUM_THREADS where it is set, else the number of CPUs that this process may use."""
    wanted = os.environ.get("OMP_NUM_THREADS", "")
    if wanted.isdigit() and int(wanted) > 0:
        return int(wanted)
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def golden_items(golden: Golden) -> Sequence[Item]:
    """Return the golden examples as ``Predictor.predict`` takes them."""
    return golden.texts if golden.texts_b is None else list(zip(golden.texts, golden.texts_b, strict=True))


def _check_golden(predictor: Predictor) -> None:
    """Compare the golden examples' probabilities with what comes out now.

    Raises:
        ArtifactError: They differ by more than the precision of the Bundle allows.
    """
    bundle = predictor.bundle
    golden = bundle.golden()
    if not golden.texts:
        return
    tolerance = GOLDEN_TOLERANCE[bundle.manifest.info.get("precision", "fp32")]
    difference_NC = np.abs(predictor.predict_proba(golden_items(golden)) - golden.probabilities_NC)
    worst = int(np.argmax(np.nan_to_num(difference_NC, nan=np.inf).max(axis=1)))
    largest = float(difference_NC[worst].max())
    if not largest <= tolerance:
        raise ArtifactError(
            f"{bundle.path} does not answer as it did when it was made: golden text {worst + 1} of {len(golden.texts)} "
            f"differs by {largest:.2g}, more than {tolerance:g}.",
            hint="The libraries or the processor compute something else here; install the versions in its manifest, "
            "or make the Bundle anew on this machine.",
        )


def _columns(texts: Sequence[Item], task: Task) -> tuple[Sequence[str], Sequence[str] | None]:
    """Return the texts, and the second texts of pairs, each as a column.

    Raises:
        ConfigError: The whole is no list, or an item is no text or no pair.
    """
    if isinstance(texts, str | bytes) or not isinstance(texts, Sequence):
        raise ConfigError(
            f"The 'texts' parameter must be a list of texts. Got {type(texts).__name__} instead.",
            hint="Put a single text into a list: predict([text]).",
        )
    if task.num_texts == 1:
        _check_strings(texts, "texts[{}]", "a text (str)")
        return texts, None  # type: ignore[return-value]
    for index, item in enumerate(texts):
        if not isinstance(item, tuple | list) or len(item) != 2:
            raise ConfigError(
                f"texts[{index}] must be a pair (text, text_b) for the task {task.name}. Got {_describe(item)} instead."
            )
    column, column_b = [item[0] for item in texts], [item[1] for item in texts]
    _check_strings(column, "texts[{}][0]", "a text (str)")
    _check_strings(column_b, "texts[{}][1]", "a text (str)")
    return column, column_b


def _check_strings(column: Sequence[object], name: str, wanted: str) -> None:
    if set(map(type, column)) <= {str}:
        return
    for index, item in enumerate(column):
        if not isinstance(item, str):
            raise ConfigError(f"{name.format(index)} must be {wanted}. Got {_describe(item)} instead.")


def _describe(item: object) -> str:
    return f"{type(item).__name__} of {len(item)}" if isinstance(item, tuple | list) else type(item).__name__
