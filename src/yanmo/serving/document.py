"""``GET /openapi.json``: the document of the API as it is for one service; it knows no way a model computes."""

from __future__ import annotations

from functools import cache
from typing import Any

import msgspec

from yanmo.serving.exchange import ENCODER, JSON, Reply, RouteCall
from yanmo.serving.pages import UNKEPT, read_static

__all__ = ["openapi_json"]

SECOND = ("text_b", "texts_b")


async def openapi_json(call: RouteCall) -> Reply:
    """Answer the document, with the service's address, and with keys and second texts only where there are some."""
    config = call.service.config
    has_keys = config.api_keys not in (None, "none")
    has_pairs = any(model.limits.num_columns == 2 for model in call.service.models.values())
    return Reply(_adapt(config.root_path, has_keys=has_keys, has_pairs=has_pairs), [(b"content-type", JSON), *UNKEPT])


@cache
def _adapt(root_path: str, *, has_keys: bool, has_pairs: bool) -> bytes:
    document: dict[str, Any] = msgspec.json.decode(read_static("openapi.json"))
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
