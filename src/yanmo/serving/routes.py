"""The table of routes: path, method, what it needs, who answers; the document of the API is made from it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from yanmo.serving.access import Need
from yanmo.serving.document import openapi_json
from yanmo.serving.embedding_routes import embed_texts, embeddings
from yanmo.serving.exchange import Reply, RouteCall, json_reply, problem_reply
from yanmo.serving.invocations import invocations
from yanmo.serving.model_info import info
from yanmo.serving.open_inference import infer, is_live, is_ready, model_is_ready, model_metadata, server_metadata
from yanmo.serving.pages import chinese_texts, page, static
from yanmo.serving.predict import predict
from yanmo.serving.problems import Problem
from yanmo.serving.prometheus import render
from yanmo.serving.requests import decode_reload
from yanmo.serving.schemas import Health
from yanmo.serving.writing.chat import chat
from yanmo.serving.writing.completions import completions
from yanmo.serving.writing.events import writing_problem_reply
from yanmo.serving.writing.generate import generate_text, score_texts

__all__ = ["HEALTH_PATHS", "ROUTES", "TABLE", "Route"]

VERSION = "/v2/models/{name}/versions/{version}"
METRICS_TYPE = b"text/plain; version=0.0.4; charset=utf-8"


@dataclass(frozen=True)
class Route:
    """One row of the table.

    Attributes:
        method: GET, which HEAD may use too, or POST.
        path: With ``{name}`` for a model's name.
        need: What a key must allow.
        answer: Answers a request.
        summary: One sentence for the document.
        refuse: From what is wrong to the answer that says so.
        is_queued: Whether it puts texts into the queue of a model that labels.
    """

    method: str
    path: str
    need: Need
    answer: Callable[[RouteCall], Awaitable[Reply]]
    summary: str
    refuse: Callable[[Problem], Reply] = problem_reply
    is_queued: bool = False


async def livez(_: RouteCall) -> Reply:
    """Say that the process lives."""
    return json_reply(Health("alive"))


async def readyz(call: RouteCall) -> Reply:
    """Say whether every model answers now."""
    await call.service.check_ready()
    return json_reply(Health("ready"))


async def models(call: RouteCall) -> Reply:
    """List the models."""
    # Each language is an answer of its own for whoever keeps answers.
    reply = json_reply(call.service.describe(call.language))
    reply.headers.append((b"vary", b"accept-language"))
    return reply


async def metrics(call: RouteCall) -> Reply:
    """Show the counts."""
    service = call.service
    num_connections = len(call.connection.connections)
    content = render(
        service.counters, service.models.values(), service.writers.values(), num_connections=num_connections
    )
    return Reply(content, [(b"content-type", METRICS_TYPE), (b"cache-control", b"no-store")])


async def reload(call: RouteCall) -> Reply:
    """Replace a model's Bundle."""
    wanted = decode_reload(await call.read_json(call.service.config.max_body_bytes))
    model = await call.service.reload(call.name or "", wanted.path)
    return json_reply(model.describe(call.language))


TABLE = (
    Route("POST", "/predict", "predict", predict, "Ask the first model.", is_queued=True),
    Route("POST", "/", "predict", predict, "The same, where the clients of Hugging Face ask.", is_queued=True),
    Route("POST", "/v1/models/{name}/predict", "predict", predict, "Ask a model by its name.", is_queued=True),
    Route(
        *("POST", "/v1/completions", "predict", completions, "Write texts behind prompts, as OpenAI's clients ask."),
        writing_problem_reply,
    ),
    Route(
        *("POST", "/v1/chat/completions", "predict", chat, "Write the next message of a conversation, as they ask."),
        writing_problem_reply,
    ),
    Route(
        *("POST", "/generate", "predict", generate_text, "Write a text, as text-generation-inference is asked."),
        writing_problem_reply,
    ),
    Route("POST", "/score", "predict", score_texts, "Say how likely texts are.", writing_problem_reply),
    Route("POST", "/embed", "predict", embed_texts, "Give the vectors of texts, as text-embeddings-inference does."),
    Route(
        *("POST", "/v1/embeddings", "predict", embeddings, "Give the vectors of texts, as OpenAI's clients ask."),
        writing_problem_reply,
    ),
    Route("GET", "/v1/models", "predict", models, "List the models."),
    Route(
        "POST",
        "/v1/models/{name}:predict",
        "predict",
        invocations,
        "Ask a model as KServe v1 and Vertex AI do.",
        is_queued=True,
    ),
    Route(
        "POST",
        "/invocations",
        "predict",
        invocations,
        "Ask the first model as SageMaker, Vertex AI or MLflow do.",
        is_queued=True,
    ),
    Route("GET", "/v2", "predict", server_metadata, "The service in the Open Inference Protocol."),
    Route("GET", "/v2/models/{name}", "predict", model_metadata, "A model in the Open Inference Protocol."),
    Route("GET", VERSION, "predict", model_metadata, "A version of a model in the Open Inference Protocol."),
    Route(
        "POST",
        "/v2/models/{name}/infer",
        "predict",
        infer,
        "Ask a model in the Open Inference Protocol.",
        is_queued=True,
    ),
    Route(
        "POST",
        f"{VERSION}/infer",
        "predict",
        infer,
        "Ask a version of a model in the Open Inference Protocol.",
        is_queued=True,
    ),
    Route("GET", "/info", "predict", info, "The first model, as text-embeddings-inference introduces one."),
    Route("GET", "/livez", "health", livez, "Whether the process lives."),
    Route("GET", "/readyz", "health", readyz, "Whether every model answers now."),
    Route("GET", "/health", "health", readyz, "The same, under the name of text-embeddings-inference."),
    Route("GET", "/ping", "health", readyz, "The same, under the name of SageMaker and MLflow."),
    Route("GET", "/v2/health/live", "health", is_live, "Whether the process lives, in the Open Inference Protocol."),
    Route("GET", "/v2/health/ready", "health", is_ready, "Whether every model answers now, in the same."),
    Route("GET", "/v2/models/{name}/ready", "nothing", model_is_ready, "Whether a model answers now, in the same."),
    Route("GET", f"{VERSION}/ready", "nothing", model_is_ready, "Whether a version answers now, in the same."),
    Route("GET", "/metrics", "admin", metrics, "Counts in Prometheus' format."),
    Route("POST", "/admin/models/{name}", "admin", reload, "Replace a model's Bundle."),
    Route("GET", "/", "nothing", page("playground.html"), "The playground."),
    Route("GET", "/write", "nothing", page("write.html"), "The playground of models that write."),
    Route("GET", "/docs", "nothing", page("docs.html"), "This document as a page."),
    Route("GET", "/openapi.json", "nothing", openapi_json, "This document."),
    Route("GET", "/static/zh.js", "nothing", chinese_texts, "The Chinese of the pages."),
    Route("GET", "/static/language.js", "nothing", static("language.js"), "How they change their language."),
    Route("GET", "/static/events.js", "nothing", static("events.js"), "How they read what is sent as it grows."),
    Route("GET", "/static/playground.js", "nothing", static("playground.js"), "The playground's script."),
    Route("GET", "/static/write.js", "nothing", static("write.js"), "Its script."),
    Route("GET", "/static/playground.css", "nothing", static("playground.css"), "The pages' style."),
    Route("GET", "/static/docs.js", "nothing", static("docs.js"), "The document's script."),
)
ROUTES: dict[str, dict[str, Route]] = {}
for one in TABLE:
    ROUTES.setdefault(one.path, {})[one.method] = one
HEALTH_PATHS = frozenset(one.path for one in TABLE if one.need == "health")
