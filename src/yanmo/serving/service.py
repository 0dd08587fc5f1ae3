"""One served Bundle: loading, warm-up, answering, its state; it knows nothing about HTTP.

The state goes one way: starting (503), ready, draining.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from typing import Literal

from msgspec import UNSET

from yanmo.artifacts.bundle import Bundle
from yanmo.runtimes.predictor import Predictor, open_bundle
from yanmo.serving.batcher import Batcher
from yanmo.serving.config import ServeConfig
from yanmo.serving.schemas import Answer, Limits, ServedModel, Text
from yanmo.tasks import get_task

__all__ = ["Service", "State"]

logger = logging.getLogger(__name__)

State = Literal["starting", "ready", "draining"]
RUNTIME_FIELDS = {"device", "num_threads", "long_texts", "window_overlap"}


class Service:
    """A Bundle behind a queue.

    Args:
        bundle: The Bundle, opened.
        config: The settings.
        when_ready: Called once, after the first answer.

    Attributes:
        state: Where it stands.
        failure: Why the Bundle could not be loaded, if so; it stays at starting then.
    """

    def __init__(self, bundle: Bundle, config: ServeConfig, *, when_ready: Callable[[], None] | None = None) -> None:
        self.bundle = bundle
        self.config = config
        self.name = bundle.name
        self.state: State = "starting"
        self.failure: Exception | None = None
        self.task = get_task(bundle.task)
        self.limits = Limits(self.task.num_texts, config.max_texts, config.max_characters)
        self._when_ready = when_ready
        self._predictor: Predictor | None = None
        self._batcher: Batcher[Text, Answer] | None = None
        self._loading: asyncio.Task[None] | None = None

    @property
    def num_waiting(self) -> int:
        """The texts in the queue, without those the model works on."""
        return self._batcher.num_waiting if self._batcher is not None else 0

    def start(self) -> None:
        """Begin to load the Bundle, off the event loop that calls this."""
        self._batcher = Batcher(
            self._answer, max_batch=self.config.max_batch_texts, max_waiting=self.config.max_waiting_texts
        )
        self._batcher.start()
        self._loading = asyncio.get_running_loop().create_task(self._warm_up())

    def drain(self) -> None:
        """Say from now on that the service is not ready; what was accepted is still answered."""
        self.state = "draining"

    async def stop(self) -> None:
        """End the queue and its thread."""
        self.drain()
        if self._loading is not None:
            self._loading.cancel()
        if self._batcher is not None:
            await self._batcher.stop()

    async def predict(self, texts: Sequence[Text]) -> list[Answer]:
        """Return one answer a text.

        Raises:
            QueueFullError: Too much waits already.
        """
        if self._batcher is None:
            raise RuntimeError("predict was called before start")
        return await self._batcher.submit(texts)

    def describe(self) -> ServedModel:
        """Return what ``GET /models`` shows."""
        bundle = self.bundle
        return ServedModel(
            name=self.name,
            digest=bundle.digest,
            task=bundle.task,
            labels=bundle.labels,
            format=bundle.format,
            model=bundle.model,
            max_length=bundle.max_length,
            size_bytes=bundle.size_bytes,
        )

    async def _warm_up(self) -> None:
        """Let one golden example go the way of every request; opening the Bundle checks all of them first."""
        golden = self.bundle.golden()
        texts = golden.texts[:1] or [""]
        try:
            await self.predict([(texts[0], texts[0])] if self.task.num_texts == 2 else texts)
        except Exception as error:  # noqa: BLE001 - whatever it is, the server stops and raises it
            self.failure = error
            return
        if self.state == "starting":
            self.state = "ready"
            if self._when_ready is not None:
                self._when_ready()

    def _answer(self, texts: Sequence[Text]) -> list[Answer]:
        """Answer texts in the queue's thread. The first call, which is the warm-up's, opens the model."""
        if self._predictor is None:
            self._predictor = open_bundle(self.bundle, **self.config.model_dump(include=RUNTIME_FIELDS))
        probabilities_NC, inference = self._predictor.infer(texts)
        predictions = self._predictor.decode(probabilities_NC, inference)
        truncated_N = inference.truncated_N.tolist()
        answers = [
            Answer(one.label, one.probability, one.probabilities, UNSET, truncated)
            for one, truncated in zip(predictions, truncated_N, strict=True)
        ]
        if inference.stage_N is not None:
            for answer, one in zip(answers, predictions, strict=True):
                answer.stage, answer.abstained = one.stage or UNSET, one.abstained
        return answers
