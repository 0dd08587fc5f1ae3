"""``GET /info``: the first model as text-embeddings-inference introduces one; it knows no queue and no worker.

Source: text-embeddings-inference, ``router/src/lib.rs`` (Info, ModelType, ClassifierModel).
"""

from __future__ import annotations

from importlib.metadata import version

import msgspec
from msgspec import UNSET, UnsetType

from yanmo.artifacts.bundle import Bundle
from yanmo.serving.exchange import Reply, RouteCall, json_reply

__all__ = ["EmbeddingType", "LabelNumbers", "ModelInfo", "ModelType", "info"]


class LabelNumbers(msgspec.Struct, frozen=True):
    """The labels by their numbers, and the other way round."""

    id2label: dict[str, str]
    label2id: dict[str, int]


class EmbeddingType(msgspec.Struct, frozen=True):
    """How the states of tokens become a vector: ``mean``, or ``cls`` for the first token."""

    pooling: str


class ModelType(msgspec.Struct, frozen=True):
    """What the model is for: the labels of a classifier, or vectors."""

    classifier: LabelNumbers | UnsetType = UNSET
    embedding: EmbeddingType | UnsetType = UNSET


class ModelInfo(msgspec.Struct, frozen=True):
    """The first model, as text-embeddings-inference introduces one.

    Attributes:
        model_id: The model's name here.
        model_sha: The digest of the Bundle.
        model_dtype: The arithmetic of its weights.
        served_model_name: The model's name here.
        model_type: Its labels, or that it gives vectors.
        max_concurrent_requests: The most connections at a time.
        max_input_length: The most tokens it reads of a text, or the most characters that are taken.
        max_batch_tokens: The most tokens that are given to it together.
        max_batch_requests: The most requests that are answered together: any number.
        max_client_batch_size: The most texts of a request.
        auto_truncate: Whether a text that is too long is cut.
        tokenization_workers: The processes or threads that answer.
        version: Of the service.
        sha: Of the service's source, which is not told.
        docker_label: Of the image, which is not told.
    """

    model_id: str
    model_sha: str
    model_dtype: str
    served_model_name: str
    model_type: ModelType
    max_concurrent_requests: int
    max_input_length: int
    max_batch_tokens: int
    max_batch_requests: None
    max_client_batch_size: int
    auto_truncate: bool
    tokenization_workers: int
    version: str
    sha: None
    docker_label: None


def _kind(bundle: Bundle) -> ModelType:
    vectors = bundle.architecture.get("vectors")
    if vectors is not None:
        return ModelType(embedding=EmbeddingType("mean" if vectors["pooling"] == "mean" else "cls"))
    numbered = list(enumerate(bundle.labels))
    return ModelType(
        LabelNumbers({str(number): label for number, label in numbered}, {label: number for number, label in numbered})
    )


async def info(call: RouteCall) -> Reply:
    """Introduce the first model."""
    config, model = call.service.config, call.service.default
    bundle = model.bundle
    return json_reply(
        ModelInfo(
            model_id=model.name,
            model_sha=bundle.digest,
            model_dtype="int8" if bundle.manifest.info.get("precision") == "int8" else "float32",
            served_model_name=model.name,
            model_type=_kind(bundle),
            max_concurrent_requests=config.max_connections,
            max_input_length=bundle.max_length or config.max_characters,
            max_batch_tokens=config.max_batch_tokens,
            max_batch_requests=None,
            max_client_batch_size=config.max_texts,
            auto_truncate=True,
            tokenization_workers=max(1, config.workers),
            version=version("yanmo"),
            sha=None,
            docker_label=None,
        )
    )
