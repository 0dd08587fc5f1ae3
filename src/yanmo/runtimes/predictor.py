"""The Predictor: raw texts in, probabilities out, the same for every format of Bundle; it knows no engine.

Cleaning, tokenizing, scoring and activation stand here in their one order. Opening a Bundle asks it its golden
examples again, so a library or a processor that computes something else is found before a user does.
"""

from __future__ import annotations

import copy
import logging
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self, TypeAlias, get_args

import numpy as np
from polars.exceptions import PolarsError

from yanmo.answers.answered import Answered, Found
from yanmo.answers.choices import Choices
from yanmo.arrays import FloatArray, Ragged
from yanmo.artifacts.bundle import SEGMENTER, Bundle
from yanmo.combine.calibration import read_calibration
from yanmo.errors import ArtifactError, ConfigError, did_you_mean
from yanmo.machine import num_cores
from yanmo.protocols import AnswerSearch, AnswerWatcher, Inference, Prediction, Runtime, Task
from yanmo.runtimes.opening import RUNTIMES, open_runtime_of
from yanmo.runtimes.rules import Ruled, read_rules
from yanmo.runtimes.word_cutter import WordCutter
from yanmo.tasks import task_of
from yanmo.tasks.deciding import decide
from yanmo.tasks.labels import label_task
from yanmo.text.inputs import Inputs, Item, Windows

__all__ = ["LongTexts", "Predictor", "check_golden", "choose_runtime", "default_num_threads", "open_bundle"]

TRIAL_TEXTS = 512
# An int8 product rounds its inputs, so another processor's last bit may move a value by a whole step.
GOLDEN_TOLERANCE = {"fp32": 1e-4, "int8": 2e-2}

LongTexts: TypeAlias = Literal["truncate", "windows"]

logger = logging.getLogger(__name__)


class Predictor:
    """A Bundle that answers. Use it as a context manager, or call ``close``.

    Attributes:
        bundle: The Bundle.
        task: Its task.
        labels: All labels, in the order of every column of probabilities.
    """

    def __init__(
        self,
        bundle: Bundle,
        runtime: Runtime[Any],
        windows: Windows | None = None,
        cutter: WordCutter | None = None,
    ) -> None:
        self.bundle = bundle
        self.task: Task[Any] = task_of(bundle)
        self.labels: list[str] = bundle.labels
        self._pipeline = bundle.text_pipeline()
        self._runtime: Runtime[Any] | None = runtime
        self._windows = windows
        self._cutter = cutter
        self._rules = read_rules(bundle.path, bundle.labels)
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
        inputs = _inputs(texts, self.task)
        return self.predictions(self.answer(self.encode(inputs)), inputs)

    def predict_proba(self, texts: Sequence[Item]) -> FloatArray:
        """Return probabilities_NC, float32, shape (N, C), columns in the order of ``labels``.

        Raises:
            ConfigError: The task's answers are no labels; ``predict`` gives them, ``infer`` their evidence.
        """
        label_task(self.task, "predict_proba")
        probabilities_NC: FloatArray = self.infer(texts)[0].values_MC
        return probabilities_NC

    def infer(self, texts: Sequence[Item] | Inputs) -> tuple[Any, Found]:
        """Return the evidence of raw texts, and what reading them took."""
        scores, found = self.weigh(texts)
        return self.activate(scores), found

    def weigh(self, texts: Sequence[Item] | Inputs) -> tuple[Any, Found]:
        """Return the scores of raw texts, not calibrated, and what reading them took."""
        inference = self.score(self.encode(_inputs(texts, self.task)))
        return inference.scores, inference.found

    def encode(self, inputs: Inputs, *, windows: Windows | None = None) -> Any:
        """Return what ``score`` takes: raw inputs, cleaned and tokenized.

        Args:
            inputs: N raw rows.
            windows: How long texts are cut; by default as the Predictor was opened.
        """
        read = self._pipeline.read(inputs, places=self._places(inputs))
        encoded = self._opened().encode(read, windows=windows or self._windows)
        if self._rules is None or read.units is None:
            return encoded
        places = read.units.places
        return Ruled(encoded, self._rules.find(inputs.first, places.values, places.offsets))

    def _places(self, inputs: Inputs) -> Ragged | None:
        """Return where the units of texts are, None where reading them tells."""
        # A composite tells its members where they are.
        if inputs.units is not None:
            return inputs.units.places
        # Whoever knows the words has put spaces between them.
        return None if self._cutter is None or inputs.is_segmented else self._cutter.places(inputs.first)

    @property
    def cuts_words(self) -> bool:
        """Whether raw texts are cut into words by a segmenter of the Bundle's own."""
        return self._cutter is not None

    def reading(self, windows: Windows | None = None) -> Mapping[str, Any]:
        """Return what a Report says of how texts are read, as JSON values; by default as the Predictor was opened."""
        return self._opened().reading(windows or self._windows)

    def watched(self, encoded: Any, watcher: AnswerWatcher) -> Any:
        """Return encoded texts whose answers a watcher is told of while they are written."""
        return self._opened().watched(encoded, watcher)

    def score(self, encoded: Any) -> Inference[Any]:
        """Return the scores of encoded texts, not calibrated, and what reading them took."""
        if self._rules is None or not isinstance(encoded, Ruled):
            return self._opened().score(encoded)
        inference = self._opened().score(encoded.encoded)
        return Inference(self._rules.apply(inference.scores, encoded.found), inference.found)

    def without_rules(self) -> Self:
        """Return the model as it is without the rules beside it."""
        alone = copy.copy(self)
        alone._rules = None
        return alone

    def ruled(self, scores: Any, inputs: Inputs) -> Any:
        """Return scores of the model without its rules, as they are with them.

        Args:
            scores: Of N rows.
            inputs: The raw rows.
        """
        if self._rules is None or not isinstance(scores, Choices) or scores.places is None:
            return scores
        return self._rules.apply(scores, self._rules.find(inputs.first, scores.places, scores.offsets_N))

    def activate(self, scores: Any) -> Any:
        """Return the evidence that scores are, calibrated where the Bundle is."""
        if self._calibration is not None:
            scores = self._calibration.apply(scores)
        evidence = scores.activate()
        return evidence if self._rules is None else self._rules.limit(evidence)

    def answer(self, encoded: Any) -> Answered[Any]:
        """Return the answers to encoded texts; where a cascade abstains, nothing is decided."""
        inference = self.score(encoded)
        evidence = self.activate(inference.scores)
        decided = decide(self.task, evidence, self.labels, abstained_N=inference.found.abstained_N)
        if self._rules is not None and isinstance(encoded, Ruled):
            decided = self._rules.mark(decided, encoded.found, evidence)
        return Answered(decided, evidence, inference.found)

    def predictions(self, answered: Answered[Any], inputs: Inputs) -> list[Prediction]:
        """Return one answer a text, for a person.

        Args:
            answered: What was answered.
            inputs: The raw rows that were asked.
        """
        return self.task.tell(answered, inputs, self.labels)

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
    num_beams: int | None = None,
    length_penalty: float | None = None,
    end_repeats: int | None = None,
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
        num_beams: Of a model that writes texts for others, as :class:`~yanmo.protocols.AnswerSearch` says.
        length_penalty: Of the same, as is said there.
        end_repeats: Of the same, as is said there.
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
    task_of(opened)  # before any weights are read: an encoder that only reads is refused
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
    # Golden answers were given without windows, so they are asked for without.
    opened_runtime = open_runtime_of(opened, device=device, num_threads=num_threads, runtime=runtime)
    cutter = _open_cutter(opened, num_threads)
    if verify_golden:
        check_golden(Predictor(opened, opened_runtime, cutter=cutter))
    # After the golden answers, which the Bundle's own search has given.
    if any(one is not None for one in (num_beams, length_penalty, end_repeats)):
        opened_runtime = opened_runtime.with_search(AnswerSearch(num_beams, length_penalty, end_repeats))
    return Predictor(opened, opened_runtime, _make_windows(opened, long_texts, window_overlap), cutter)


def _open_cutter(bundle: Bundle, num_threads: int) -> WordCutter | None:
    """Return the segmenter inside of a Bundle, None where it has none."""
    folder = bundle.path / SEGMENTER
    if not folder.is_dir():
        return None
    # The digests of its files have been checked with those of the Bundle.
    inner = Bundle.open(folder, verify=False)
    return WordCutter(open_bundle(inner, num_threads=num_threads, verify_golden=False), inner.labels)


def choose_runtime(bundle: Bundle, num_threads: int) -> str | None:
    """Return the fastest engine for a Bundle here, or None where there is nothing to choose.

    Args:
        bundle: Of any format; only an ONNX Bundle with golden examples has a choice.
        num_threads: With which it will compute.
    """
    from yanmo.runtimes.engines.choice import choose_engine

    if bundle.format != "onnx":
        return None

    golden = bundle.golden().inputs.items()
    # Golden texts are few: repeated, they keep all threads at work and can be timed.
    items = golden * (TRIAL_TEXTS // max(len(golden), 1))

    def open_with(engine: str) -> Callable[[], object]:
        predictor = Predictor(bundle, open_runtime_of(bundle, device="cpu", num_threads=num_threads, runtime=engine))
        check_golden(predictor)
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
    """Return OMP_NUM_THREADS where it is set, else the number of cores that this process may use."""
    wanted = os.environ.get("OMP_NUM_THREADS", "")
    if wanted.isdigit() and int(wanted) > 0:
        return int(wanted)
    return num_cores()


def check_golden(predictor: Predictor) -> None:
    """Compare the golden examples' evidence with what comes out now.

    Raises:
        ArtifactError: It differs by more than the precision of the Bundle allows, or is of other labels.
    """
    bundle = predictor.bundle
    golden = bundle.golden()
    if not len(golden.inputs):
        return
    tolerance = GOLDEN_TOLERANCE[bundle.manifest.info.get("precision", "fp32")]
    try:
        distance_N = predictor.infer(golden.inputs)[0].distance_N(predictor.task.read(golden.evidence))
    except (ValueError, PolarsError) as error:
        raise ArtifactError(
            f"The golden examples of {bundle.path} are not those of its labels: {error}.", hint="Make the Bundle again."
        ) from error
    worst = int(np.argmax(np.nan_to_num(distance_N, nan=np.inf)))
    largest = float(distance_N[worst])
    # Written so that NaN fails.
    if not largest <= tolerance:
        raise ArtifactError(
            f"{bundle.path} does not answer as it did when it was made: golden text {worst + 1} of "
            f"{len(golden.inputs)} differs by {largest:.2g}, more than {tolerance:g}.",
            hint="The libraries or the processor compute something else here; install the versions in its manifest, "
            "or make the Bundle anew on this machine.",
        )


def _inputs(texts: Sequence[Item] | Inputs, task: Task[Any]) -> Inputs:
    """Return rows that were given one by one as columns.

    Raises:
        ConfigError: The whole is no list, or an item is no text, or no tuple of as many as the task reads.
    """
    if isinstance(texts, Inputs):
        return texts
    if isinstance(texts, str | bytes) or not isinstance(texts, Sequence):
        raise ConfigError(
            f"The 'texts' parameter must be a list of texts. Got {type(texts).__name__} instead.",
            hint="Put a single text into a list: predict([text]).",
        )
    width = len(task.inputs)
    for index, item in enumerate(texts if width > 1 else ()):
        if not isinstance(item, tuple | list) or len(item) != width:
            raise ConfigError(
                f"texts[{index}] must be a {'pair' if width == 2 else 'tuple'} ({', '.join(task.inputs)}) for the task "
                f"{task.name}. Got {_describe(item)} instead."
            )
    inputs = Inputs.of_items(texts, width)
    for place, column in enumerate(inputs.columns):
        _check_strings(column, "texts[{}]" if width == 1 else f"texts[{{}}][{place}]", "a text (str)")
    return inputs


def _check_strings(column: Sequence[object], name: str, wanted: str) -> None:
    # One pass in C over what is right; only what is not is looked at one by one.
    if set(map(type, column)) <= {str}:
        return
    for index, item in enumerate(column):
        if not isinstance(item, str):
            raise ConfigError(f"{name.format(index)} must be {wanted}. Got {_describe(item)} instead.")


def _describe(item: object) -> str:
    return f"{type(item).__name__} of {len(item)}" if isinstance(item, tuple | list) else type(item).__name__
