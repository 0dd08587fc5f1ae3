"""``GET /openapi.json``: the document of the API as it is for one service; it knows no way a model computes."""

from __future__ import annotations

from functools import cache
from typing import Any

import msgspec

from yanmo.serving.exchange import ENCODER, JSON, Reply, RouteCall
from yanmo.serving.pages import UNKEPT, read_static

__all__ = ["openapi_json"]

SECOND = ("text_b", "texts_b")
QUESTIONS = ("QuestionBody", "AskedQuestion", "QuestionParameters")
"""What is sent to a model that finds answers in passages, and to no other."""
STREAMED = "StreamedText"
"""What is sent to a model that writes texts for others without beams, and to no other."""


async def openapi_json(call: RouteCall) -> Reply:
    """Answer the document, with the service's address, and with keys and second texts only where there are some.

    Routes for models that label, that write, or that give vectors, are shown where there is such a model.
    """
    config = call.service.config
    has_keys = config.api_keys not in (None, "none")
    service = call.service
    heads = {model.limits.head for model in service.models.values()}
    has_streams = any(model.streams for model in service.models.values())
    has_pairs = any(model.limits.num_columns == 2 for model in service.models.values())
    lacking = frozenset(
        ({"labeling"} if not service.models else set())
        | ({"writing"} if not service.writers else set())
        | ({"vectors"} if "vectors" not in heads else set())
    )
    unread = (() if "passages" in heads else QUESTIONS) + (() if has_streams else (STREAMED,))
    content = _adapt(config.root_path, has_keys=has_keys, has_pairs=has_pairs, lacking=lacking, unread=unread)
    return Reply(content, [(b"content-type", JSON), *UNKEPT])


@cache
def _adapt(
    root_path: str, *, has_keys: bool, has_pairs: bool, lacking: frozenset[str], unread: tuple[str, ...]
) -> bytes:
    document: dict[str, Any] = msgspec.json.decode(read_static("openapi.json"))
    _drop_operations(document["paths"], lacking)
    _drop_bodies(document, unread)
    document["servers"] = [{"url": f"{root_path}/"}]
    schemas = document["components"]["schemas"]
    if not has_keys:
        del document["components"]["securitySchemes"]
        for methods in document["paths"].values():
            for operation in methods.values():
                operation.pop("security", None)
    if not has_pairs:
        for schema in schemas.values():
            for name in SECOND:
                schema.get("properties", {}).pop(name, None)
        for name in ("Inputs", "InputsAndParameters"):
            rows = next(one for one in schemas[name]["properties"]["inputs"]["anyOf"] if one["type"] == "array")
            next(one for one in rows["items"]["anyOf"] if one["type"] == "array")["maxItems"] = 1
    return ENCODER.encode(document)


def _drop_operations(paths: dict[str, Any], lacking: frozenset[str]) -> None:
    """Leave out what only models can do that are not here."""
    for path, methods in list(paths.items()):
        for method in [one for one, operation in methods.items() if operation["x-models"] in lacking]:
            del methods[method]
        if not methods:
            del paths[path]


def _drop_bodies(document: dict[str, Any], names: tuple[str, ...]) -> None:
    """Leave out bodies that no model here reads."""
    schemas = document["components"]["schemas"]
    for name in names:
        del schemas[name]
    operations = [one for methods in document["paths"].values() for one in methods.values()]
    contents = [one.get("requestBody", {}).get("content", {}).get("application/json", {}) for one in operations]
    for content in filter(None, contents):
        content["schema"] = _without(content["schema"], names)
    if STREAMED in names:
        for operation in operations:
            operation["responses"]["200"].get("content", {}).pop("text/event-stream", None)
    schemas["PredictBody"] = _without(schemas["PredictBody"], names)


def _without(schema: dict[str, Any], names: tuple[str, ...]) -> dict[str, Any]:
    """Return a schema without some of the kinds that a body may be of."""
    kept = [
        one for one in schema.get("anyOf", []) if not one.get("$ref", "").endswith(tuple(f"/{name}" for name in names))
    ]
    if "anyOf" not in schema or len(kept) == len(schema["anyOf"]):
        return schema
    return {**schema, "anyOf": kept} if len(kept) > 1 else kept[0]
