"""The document of the API, OpenAPI 3.1, made from the wire types, the table of problems and the table of routes.

``python -m yanmo.serving.openapi`` writes it to ``static/openapi.json``; a test holds that file against it.
"""

from __future__ import annotations

import inspect
import re
from pathlib import Path
from typing import Any

import msgspec

from yanmo.serving.access import NEEDS_NO_KEY
from yanmo.serving.embedding import EmbedBody, EmbeddedText, EmbeddingsAnswer, EmbeddingsBody, EmbeddingsUsage
from yanmo.serving.invocations import Frame, Instance, InstanceScores, InvocationBody, InvocationOptions
from yanmo.serving.model_info import EmbeddingType, LabelNumbers, ModelInfo, ModelType
from yanmo.serving.problems import MEDIA_TYPE, PROBLEMS, ProblemBody
from yanmo.serving.questions import AskedQuestion, QuestionBody, QuestionParameters
from yanmo.serving.routes import TABLE, Route
from yanmo.serving.schemas import (
    Answer,
    Answers,
    Entity,
    FilledGap,
    FilledText,
    FoundAnswer,
    FoundPassage,
    GapCandidate,
    Health,
    LabelScore,
    ListedModel,
    Models,
    Parameters,
    PredictBody,
    Reload,
    ServedModel,
    StreamedAnswer,
    TreeWord,
    WrittenCandidate,
    WrittenText,
)
from yanmo.serving.tensors import (
    InferBody,
    InferOptions,
    InferReply,
    InputTensor,
    LiveReply,
    ModelMetadata,
    OutputTensor,
    ReadyReply,
    ServerMetadata,
    TensorMetadata,
    TensorOptions,
    WantedTensor,
)
from yanmo.serving.writing.document import (
    WRITING_ANSWERS,
    WRITING_BODIES,
    WRITING_EXAMPLES,
    WRITING_PROBLEMS,
    WRITING_TYPES,
)
from yanmo.serving.writing.events import writing_problem_reply
from yanmo.serving.writing.schemas import WritingErrorBody

__all__ = ["make_document"]

MODELS = "x-models"
REFERENCE = "#/components/schemas/{name}"
PATH = Path(__file__).parent / "static" / "openapi.json"
BODIES: dict[str, list[type]] = {
    "predict": [PredictBody, QuestionBody],
    "embed_texts": [EmbedBody],
    "embeddings": [EmbeddingsBody],
    "invocations": [PredictBody, InvocationBody],
    "infer": [InferBody],
    "reload": [Reload],
    **WRITING_BODIES,
}
ANSWERS: dict[str, list[Any]] = {
    "predict": [
        *(Answer, Answers, list[LabelScore], list[list[LabelScore]], list[Entity], list[list[Entity]]),
        *(FoundAnswer, list[FoundAnswer], list[list[FoundAnswer]], list[WrittenText]),
        *(list[FilledText], list[list[FilledText]]),
    ],
    "embed_texts": [list[list[float]]],
    "embeddings": [EmbeddingsAnswer],
    "invocations": [Answer, Answers, list[LabelScore], list[list[LabelScore]], InstanceScores],
    "infer": [InferReply],
    "server_metadata": [ServerMetadata],
    "model_metadata": [ModelMetadata],
    "is_live": [LiveReply],
    "is_ready": [ReadyReply],
    "model_is_ready": [ReadyReply],
    "models": [Models],
    "info": [ModelInfo],
    "livez": [Health],
    "readyz": [Health],
    "reload": [ServedModel],
    **WRITING_ANSWERS,
}
STREAMING = ("predict", "invocations")
"""Routes that also answer in events, where the body asks for it."""
OPTIONS = ("threshold", "truncate")
# Both spellings are taken; of a client that is generated, each would have to be a name of its own.
DIRECTIONS = ["Right", "Left"]
BODY_KINDS: dict[str, tuple[str, list[str], list[str]]] = {
    "OneText": ("One text or pair.", ["text"], ["text_b", "return_probabilities", "top_k", *OPTIONS]),
    "ManyTexts": ("Many texts or pairs.", ["texts"], ["texts_b", "return_probabilities", "top_k", *OPTIONS]),
    "StreamedText": (
        "One text, for which what is written is sent as it grows: events as those of POST /v1/completions, the last of "
        "them with usage and, under answer, the whole answer.",
        ["text", "stream"],
        ["top_k"],
    ),
    "Inputs": (
        "What text-embeddings-inference is asked.",
        ["inputs"],
        ["raw_scores", "truncation_direction", "top_k", *OPTIONS],
    ),
    "InputsAndParameters": (
        "What a Hugging Face client asks.",
        ["inputs", "parameters"],
        ["truncation_direction", *OPTIONS],
    ),
}
"""By name: what it is, the keys that it must have, and those that it may have."""
EXAMPLES: dict[str, dict[str, Any]] = {
    "predict": {
        "one text": {"text": "When will it arrive?"},
        "many texts": {"texts": ["When will it arrive?", "什么时候发货？"], "top_k": 2},
        "text-embeddings-inference": {"inputs": [["When will it arrive?"], ["什么时候发货？"]]},
        "Hugging Face": {"inputs": "When will it arrive?", "parameters": {"top_k": 2}},
    },
    "embed_texts": {"two texts": {"inputs": ["When will it arrive?", "什么时候发货？"]}},
    "embeddings": {"two texts": {"input": ["When will it arrive?", "什么时候发货？"], "encoding_format": "float"}},
    "invocations": {
        "Vertex AI": {"instances": ["When will it arrive?"], "parameters": {"top_k": 2}},
        "MLflow": {"dataframe_split": {"columns": ["text"], "data": [["When will it arrive?"]]}},
    },
    "infer": {
        "one tensor": {
            "inputs": [{"name": "text", "datatype": "BYTES", "shape": [1], "data": ["When will it arrive?"]}],
            "outputs": [{"name": "label"}],
        }
    },
    "reload": {"a folder below --models-dir": {"path": "reviews-2"}},
    **WRITING_EXAMPLES,
}
"""Bodies that are right where the model reads one text at a time."""
WIRE_TYPES = [
    *(
        PredictBody,
        Parameters,
        Answer,
        Answers,
        Entity,
        LabelScore,
        ListedModel,
        Models,
        Health,
        Reload,
        ServedModel,
        StreamedAnswer,
        ProblemBody,
    ),
    *(ModelInfo, ModelType, LabelNumbers, InvocationBody, InvocationOptions, Instance, Frame, InferBody, InferOptions),
    *(InferReply, InputTensor, OutputTensor, WantedTensor, TensorOptions, TensorMetadata, ModelMetadata),
    *(ServerMetadata, LiveReply, ReadyReply, InstanceScores, FoundAnswer, QuestionBody, QuestionParameters),
    *(AskedQuestion, TreeWord, FoundPassage, WrittenCandidate, WrittenText),
    *(FilledGap, FilledText, GapCandidate),
    *(EmbedBody, EmbeddingsBody, EmbeddingsAnswer, EmbeddedText, EmbeddingsUsage, EmbeddingType),
    *WRITING_TYPES,
]
ANYWHERE = {"bad_http", "wrong_host", "wrong_origin", "too_slow", "url_too_long", "headers_too_large"}
ANYWHERE |= {"too_many_connections", "internal_error", "method_not_allowed"}
GUARDED = {"no_key", "wrong_key", "not_allowed", "quota_exceeded"}
BODY = {"body_too_large", "unsupported_media_type", "wrong_type"}
READY = {"not_ready"}
ASKED = {
    *("invalid_json", "unknown_key", "duplicate_key", "text_or_texts", "wrong_option", "wrong_pair", "no_texts"),
    *(
        "too_many_texts",
        "text_too_long",
        "too_much_text",
        "queue_full",
        "worker_lost",
        "deadline_exceeded",
        "not_found",
        "not_ready",
    ),
}
ABOUT_VECTORS = ("embed_texts", "embeddings")
OFFERED = {"duplicate_key", "bundle_refused", "reload_in_progress", "not_found"}
OWN = {
    **dict.fromkeys(["predict", "invocations", "infer"], ASKED | BODY),
    **dict.fromkeys(ABOUT_VECTORS, ASKED | BODY | {"wrong_model"}),
    "reload": BODY | READY | OFFERED,
    **dict.fromkeys(["readyz", "is_ready"], READY),
    "model_is_ready": READY | {"not_found"},
    "model_metadata": {"not_found"},
    **dict.fromkeys(WRITING_BODIES, WRITING_PROBLEMS | BODY),
}
ABOUT_LABELS = ("info", "model_metadata", "model_is_ready")
ASKING = ("predict", "invocations", "infer", *ABOUT_VECTORS, *WRITING_BODIES)
HEADERS = [
    ("x-request-id", "Comes back in the answer and stands in the log.", {"type": "string", "maxLength": 64}),
    (
        "x-timeout-ms",
        "The request's deadline in milliseconds.",
        {"type": "integer", "minimum": 1, "maximum": 999_999_999},
    ),
]


def make_document() -> dict[str, Any]:
    """Return the document as JSON values."""
    _, schemas = msgspec.json.schema_components(WIRE_TYPES, ref_template=REFERENCE)
    for kind in WIRE_TYPES:
        schemas[kind.__name__]["description"] = inspect.cleandoc(kind.__doc__ or "").partition("\n")[0]
        count = schemas[kind.__name__]["properties"].get("top_k")
        # A whole number may come as 2.0, too, which a client that is generated need not know.
        if count is not None:
            count["anyOf"] = [one for one in count["anyOf"] if one["type"] != "number"]
        for name, text in _attribute_sentences(kind).items():
            schemas[kind.__name__]["properties"][name]["description"] = text
    _divide_predict_body(schemas)
    directions = schemas["EmbedBody"]["properties"]["truncation_direction"]["anyOf"]
    next(one for one in directions if "enum" in one)["enum"] = DIRECTIONS
    # The type says only that it is a string; clients are to know the codes.
    schemas["ProblemBody"]["properties"]["code"]["enum"] = list(PROBLEMS)
    paths: dict[str, Any] = {}
    for route in TABLE:
        if not route.path.startswith("/static/"):
            paths.setdefault(route.path, {})[route.method.lower()] = _operation(route)
    return {
        "openapi": "3.1.0",
        "info": {"title": "Yanmo", "version": "1", "description": "Labels for texts, vectors of texts, and texts."},
        "servers": [{"url": "/"}],
        "paths": paths,
        "components": {
            "schemas": dict(sorted(schemas.items())),
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer"},
                "header": {"type": "apiKey", "in": "header", "name": "x-api-key"},
            },
        },
    }


def _divide_predict_body(schemas: dict[str, Any]) -> None:
    """Make one schema of each of the bodies that a PredictBody may be: their keys do not go together."""
    whole = schemas["PredictBody"]
    keys: dict[str, Any] = whole["properties"]
    keys["truncation_direction"]["enum"] = DIRECTIONS
    keys["texts"]["minItems"] = keys["texts_b"]["minItems"] = 1
    for one in keys["inputs"]["anyOf"]:
        if one["type"] == "array":
            one["minItems"] = 1
            next(item for item in one["items"]["anyOf"] if item["type"] == "array").update(minItems=1, maxItems=2)
    for name, (description, needed, names) in BODY_KINDS.items():
        schemas[name] = {
            **{key: value for key, value in whole.items() if key != "properties"},
            "title": name,
            "description": description,
            "properties": {key: keys[key] for key in (*needed, *names)},
            "required": needed,
        }
    references = [{"$ref": REFERENCE.format(name=name)} for name in BODY_KINDS]
    schemas["PredictBody"] = {"title": "PredictBody", "description": whole["description"], "anyOf": references}


def _operation(route: Route) -> dict[str, Any]:
    name = _name(route)
    operation: dict[str, Any] = {
        "operationId": _operation_id(route),
        "summary": route.summary,
        MODELS: _kind_of_models(name),
        "parameters": _parameters(route),
        "responses": {"200": _good(name), **_problems(route)},
    }
    if name in BODIES:
        schemas = [_reference(kind) for kind in BODIES[name]]
        examples = {title: {"value": body} for title, body in EXAMPLES[name].items()}
        schema = schemas[0] if len(schemas) == 1 else {"anyOf": schemas}
        content = {"application/json": {"schema": schema, "examples": examples}}
        operation["requestBody"] = {"required": True, "content": content}
    if route.need not in NEEDS_NO_KEY:
        operation["security"] = [{"bearer": []}, {"header": []}]
    return operation


def _kind_of_models(name: str) -> str:
    """Return which models a route is for: those that label, those that write, those that give vectors, or all."""
    if name in WRITING_BODIES:
        return "writing"
    if name in ABOUT_VECTORS:
        return "vectors"
    return "labeling" if name in (*ASKING, *ABOUT_LABELS) else "service"


def _name(route: Route) -> str:
    # Pages and files are closures of one name; their paths tell them apart.
    if route.answer.__name__ == "answer":
        return route.path.strip("/").replace(".", "_") or "playground"
    return route.answer.__name__


def _operation_id(route: Route) -> str:
    """Return a name that is the only one of its kind: an answer may stand in the table several times."""
    name = _name(route)
    if next(one for one in TABLE if _name(one) == name) is route:
        return name
    return "_".join([name, *re.findall(r"\w+", route.path)] if route.path != "/" else [name, "root"])


def _parameters(route: Route) -> list[dict[str, Any]]:
    found = []
    for name in re.findall(r"\{(\w+)\}", route.path):
        found.append({"name": name, "in": "path", "required": True, "schema": {"type": "string"}})
    for name, text, schema in HEADERS if route.answer.__name__ in ASKING else ():
        found.append({"name": name, "in": "header", "description": text, "schema": schema})
    return found


def _good(name: str) -> dict[str, Any]:
    kinds = ANSWERS.get(name)
    if kinds is None:
        return {"description": "The page, file or text."}
    schemas, _ = msgspec.json.schema_components(kinds, ref_template=REFERENCE)
    schema = schemas[0] if len(schemas) == 1 else {"anyOf": list(schemas)}
    content = {"application/json": {"schema": schema}}
    if name in STREAMING:
        content["text/event-stream"] = {"schema": _reference(StreamedAnswer)}
    return {"description": "The answer.", "content": content}


def _problems(route: Route) -> dict[str, Any]:
    codes = ANYWHERE | OWN.get(route.answer.__name__, set()) | (GUARDED if route.need not in NEEDS_NO_KEY else set())
    by_status: dict[str, list[str]] = {}
    for code, (status, _) in PROBLEMS.items():
        if code in codes:
            by_status.setdefault(str(int(status)), []).append(code)
    answers_openai = route.refuse is writing_problem_reply
    content = {MEDIA_TYPE: {"schema": _reference(ProblemBody)}}
    if answers_openai:
        content = {"application/json": {"schema": _reference(WritingErrorBody)}}
    return {
        status: {"description": f"Code: {', '.join(found)}.", "content": content}
        for status, found in sorted(by_status.items())
    }


def _reference(kind: type) -> dict[str, str]:
    return {"$ref": REFERENCE.format(name=kind.__name__)}


def _attribute_sentences(kind: type) -> dict[str, str]:
    """Return the sentences of a docstring's Attributes section by name."""
    found: dict[str, str] = {}
    name = ""
    for line in inspect.cleandoc(kind.__doc__ or "").partition("Attributes:\n")[2].splitlines():
        # Deeper than the names: a sentence that goes on.
        if line.startswith("        "):
            found[name] += f" {line.strip()}"
        elif ": " in line:
            name, _, text = line.strip().partition(": ")
            found[name] = text
    return found


if __name__ == "__main__":
    PATH.write_bytes(msgspec.json.format(msgspec.json.encode(make_document()), indent=1) + b"\n")
