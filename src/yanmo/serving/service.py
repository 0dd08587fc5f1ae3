"""All served models and where the service stands; it knows nothing about HTTP.

The state goes one way: starting (503), ready, draining.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from typing import Literal

from yanmo.artifacts.bundle import Bundle
from yanmo.errors import ServingError, YanmoError
from yanmo.serving.batcher import DeadlineError
from yanmo.serving.config import ServeConfig
from yanmo.serving.model import Model
from yanmo.serving.problems import Problem
from yanmo.serving.schemas import ListedModel, Models
from yanmo.serving.telemetry import ServiceCounters
from yanmo.serving.vetting import open_inside, open_vetted
from yanmo.serving.writing.model import WritingModel
from yanmo.translations import Language

__all__ = ["Service", "ServiceState", "name_models"]

logger = logging.getLogger(__name__)

ServiceState = Literal["starting", "ready", "draining"]
# Balancers look from many machines at once; the model is asked twice a second at most.
CANARY_MEMORY_SECONDS = 0.5
WRITING_FORMAT = "decoder"


class Service:
    """Bundles behind their queues. It is made in the event loop that it belongs to.

    Args:
        bundles: The Bundles, opened; the first is the one that ``POST /predict`` asks.
        config: The settings.
        when_ready: Called once, after the first answer of every model.

    Attributes:
        state: Where it stands.
        failure: Why a Bundle could not be loaded, if so; it stays at starting then.
        models: All models that label, by name.
        writers: All models that write, by name.
        counters: What happened to requests.
    """

    def __init__(
        self, bundles: Sequence[Bundle], config: ServeConfig, *, when_ready: Callable[[], None] | None = None
    ) -> None:
        self.config = config
        self.state: ServiceState = "starting"
        self.failure: BaseException | None = None
        names = name_models(bundles, config.name)
        self.models: dict[str, Model] = {}
        self.writers: dict[str, WritingModel] = {}
        for name, bundle in zip(names, bundles, strict=True):
            if bundle.format == WRITING_FORMAT:
                self.writers[name] = WritingModel(bundle, config, name=name)
            else:
                self.models[name] = Model(bundle, config, name=name)
        self.counters = ServiceCounters()
        self._when_ready = when_ready
        self._loading: asyncio.Task[None] | None = None
        self._is_loaded = False
        # So long ago that the first look asks the model, even where the loop's clock begins at 0.
        self._checked_at = -CANARY_MEMORY_SECONDS
        self._check = asyncio.Lock()

    @property
    def default(self) -> Model:
        """The first model that labels.

        Raises:
            Problem: There is none.
        """
        for model in self.models.values():
            return model
        raise Problem("wrong_model", "No model here labels texts: ask POST /v1/completions.")

    @property
    def _every(self) -> list[Model | WritingModel]:
        return [*self.models.values(), *self.writers.values()]

    def start(self) -> None:
        """Begin to load the Bundles."""
        self._loading = asyncio.get_running_loop().create_task(self._load())

    def drain(self) -> None:
        """Say from now on that the service is not ready; what was accepted is still answered."""
        self.state = "draining"

    async def stop(self) -> None:
        """End all queues and workers."""
        self.drain()
        if self._loading is not None:
            self._loading.cancel()
        await asyncio.gather(*(model.stop() for model in self._every))

    async def _load(self) -> None:
        try:
            await asyncio.gather(*(model.start() for model in self._every))
        except Exception as error:  # noqa: BLE001 - whatever it is, the server stops and raises it
            self.failure = error
            return
        self._is_loaded = True
        # SIGTERM may have come while the models were loaded.
        if self.state == "starting":
            self.state = "ready"
            if self._when_ready is not None:
                self._when_ready()

    def find(self, name: str | None, version: str | None = None) -> Model:
        """Return a model that labels by its name; the first without one.

        Args:
            name: In the path.
            version: The digest that its Bundle must have; None where any is right.

        Raises:
            Problem: There is no such model or version, or it writes.
        """
        if name is None:
            return self.default
        model = self.models.get(name)
        if name in self.writers:
            raise Problem("wrong_model", "It writes texts: ask POST /v1/completions.")
        if model is None:
            raise Problem("not_found", "GET /v1/models lists the models.")
        if version not in (None, model.bundle.digest):
            raise Problem("not_found", "The one version of a model is its digest: GET /v2/models/NAME tells it.")
        return model

    def find_writer(self, name: str | None) -> WritingModel:
        """Return a model that writes by its name; the first without one.

        Raises:
            Problem: There is no such model, or it labels.
        """
        if name in self.models or not self.writers:
            raise Problem("wrong_model", "It labels texts, and writes none: ask POST /predict.")
        model = next(iter(self.writers.values())) if name is None else self.writers.get(name)
        if model is None:
            raise Problem("not_found", "GET /v1/models lists the models.")
        return model

    def check_loaded(self) -> None:
        """Refuse a request that comes before the models are loaded.

        Raises:
            Problem: As said.
        """
        if not self._is_loaded:
            raise Problem("not_ready", "The model is being loaded.", headers={"retry-after": "1"})

    def check_open(self) -> None:
        """Refuse what only a service does that is neither starting nor draining.

        Raises:
            Problem: As said.
        """
        self.check_loaded()
        if self.state == "draining":
            raise Problem("not_ready", "The service is shutting down.")

    async def check_ready(self) -> None:
        """Refuse to say ready unless every model has a worker and just answered a golden example.

        Raises:
            Problem: As said.
        """
        self.check_open()
        # Who comes meanwhile waits for the same answer.
        async with self._check:
            if asyncio.get_running_loop().time() - self._checked_at < CANARY_MEMORY_SECONDS:
                return
            try:
                await asyncio.gather(*(model.check() for model in self._every))
            except Exception as error:
                if not isinstance(error, DeadlineError):
                    logger.exception("A model does not answer its golden example.")
                raise Problem("not_ready", "A model does not answer.", headers={"retry-after": "1"}) from None
            self._checked_at = asyncio.get_running_loop().time()

    def describe(self, language: Language) -> Models:
        """Return what ``GET /v1/models`` shows, the cards in a language."""
        return Models(
            [model.describe(language) for model in self._every], data=[ListedModel(model.name) for model in self._every]
        )

    async def reload(self, name: str, path: str) -> Model | WritingModel:
        """Replace a model's Bundle by one of the folder of models.

        Raises:
            Problem: There is no such model, the service is starting or draining, or the Bundle is refused; the old
                one stays.
        """
        model = self.writers.get(name) or self.find(name)
        self.check_open()
        if self.config.models_dir is None:
            raise Problem("bundle_refused", "The service was started without --models-dir.")
        try:
            found = await asyncio.to_thread(open_inside, self.config.models_dir, path)
            await model.reload(found)
        except YanmoError as error:
            model.counters.num_reloads["refused"] += 1
            logger.warning("A new Bundle for %s is refused: %s", model.name, error.message)
            raise Problem("bundle_refused", "The old one stays; the reason is in the service's log.") from None
        model.counters.num_reloads["done"] += 1
        return model

    async def reload_all(self) -> None:
        """Open every model's folder again, once all are loaded, and replace those that have changed."""
        if self._loading is not None:
            # asyncio.wait does not raise what the loading raised: the server tells that by itself.
            await asyncio.wait([self._loading])
        if self.state != "ready":
            return
        for model in self._every:
            try:
                bundle = await asyncio.to_thread(open_vetted, model.bundle.path)
                if bundle.digest != model.bundle.digest:
                    await model.reload(bundle)
                    model.counters.num_reloads["done"] += 1
            except Exception as error:
                model.counters.num_reloads["refused"] += 1
                # A refusal explains itself; all else is a fault of this program and needs its traceback.
                is_ours = not isinstance(error, YanmoError | Problem)
                logger.warning("The Bundle of %s is not replaced: %s", model.name, error, exc_info=is_ours)


def name_models(bundles: Sequence[Bundle], given: Sequence[str] = ()) -> list[str]:
    """Return what clients call the models.

    Args:
        bundles: The Bundles; the name of a link stays the link's own, whatever it points to.
        given: Names instead, in the same order.

    Raises:
        ServingError: Two have one name, or there are not as many names as Bundles.
    """
    if given and len(given) != len(bundles):
        raise ServingError(
            f"There are {len(bundles)} Bundles and {len(given)} names.", hint="Give --name once for every Bundle."
        )
    # Of a path such as . or .. the folder's own name is all there is.
    names = list(given) or [bundle.name if bundle.path.name in ("", "..") else bundle.path.name for bundle in bundles]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise ServingError(
            f"Two Bundles have the name '{twice}'.", hint="Give --name for each, or rename one of the folders."
        )
    return names
