"""``POST /embed`` and ``POST /v1/embeddings``: who asks for vectors is led to a model that gives them."""

from __future__ import annotations

from yanmo.serving.bodies import decode_body
from yanmo.serving.embedding import EmbedBody, EmbeddingsBody, request_of_embed, request_of_embeddings
from yanmo.serving.exchange import Reply, RouteCall
from yanmo.serving.predict import ask_model, queue_full
from yanmo.serving.problems import Problem

__all__ = ["embed_texts", "embeddings"]

HEAD = "vectors"


async def embed_texts(call: RouteCall) -> Reply:
    """Answer the vectors of texts as text-embeddings-inference does.

    Raises:
        Problem: The request breaks a rule, or cannot be answered now.
        ClientGoneError: Nobody waits for the answer any more.
    """
    _check_room(call)
    body = await decode_body(call, EmbedBody)
    _lead(call, None)
    return await ask_model(call, b"", lambda _, limits: request_of_embed(body, limits))


async def embeddings(call: RouteCall) -> Reply:
    """Answer the vectors of texts as OpenAI's clients read them.

    Raises:
        Problem: The request breaks a rule, or cannot be answered now.
        ClientGoneError: Nobody waits for the answer any more.
    """
    _check_room(call)
    body = await decode_body(call, EmbeddingsBody)
    _lead(call, body.model)
    return await ask_model(call, b"", lambda _, limits: request_of_embeddings(body, limits))


def _check_room(call: RouteCall) -> None:
    """Refuse before a body is parsed, where the queue of every model that gives vectors is full.

    Raises:
        Problem: As said.
    """
    batchers = [one.batcher for one in call.service.models.values() if one.limits.head == HEAD]
    seconds = [one.seconds_until_room() for one in batchers]
    if seconds and all(seconds):
        raise queue_full(min(seconds))


def _lead(call: RouteCall, name: str | None) -> None:
    """Note in the request the model that is asked: the one of a name, or the first that gives vectors.

    Raises:
        Problem: There is none, or it gives something else.
    """
    models = call.service.models
    found = next((one for one in models.values() if one.limits.head == HEAD), None)
    model = found if name is None else call.service.find(name)
    if model is None or model.limits.head != HEAD:
        raise Problem("wrong_model", "It gives no vectors: yanmo embed makes one that does.")
    call.name = model.name
