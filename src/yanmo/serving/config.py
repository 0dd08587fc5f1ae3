"""The settings of the service: where it listens and what it accepts; it knows no route."""

import re
from pathlib import Path

from pydantic import Field, field_validator

from yanmo.config import Config
from yanmo.runtimes.predictor import LongTexts
from yanmo.serving.hosts import check_host_pattern
from yanmo.serving.origins import check_origin_form, check_proxy_form
from yanmo.text.inputs import Windows
from yanmo.translations import Language

__all__ = ["AccessOptions", "ModelOptions", "ServeConfig"]

MODEL_NAME = re.compile(r"^[\w-][\w.-]{0,127}\Z")
ROOT_PATH = re.compile(r"^(/[A-Za-z0-9._~-]+)+$")


class ModelOptions(Config):
    """How each model computes."""

    device: str = "cpu"
    """Where a torch Bundle runs: cpu or cuda; the other formats run on the CPU."""
    num_threads: int | None = Field(default=None, ge=1)
    """The threads of a model; without it, the CPUs of this process, shared among the workers."""
    runtime: str | None = None
    """Engine of an ONNX Bundle: onnxruntime (the default), openvino, or auto, which times those that are installed."""
    long_texts: LongTexts = "truncate"
    """Of a text that is longer than the model reads: truncate reads its beginning; windows reads all of it in
    overlapping windows and pools their scores."""
    window_overlap: float = Field(default=Windows.overlap, ge=0, lt=1)
    """Share of a window that the one before it has, too."""
    num_beams: int | None = Field(default=None, ge=1, le=64)
    """Of a model that writes texts for others, beginnings of each that are kept, and candidates that it tells; 1 always
    takes the likeliest token. By default those of the Bundle."""
    length_penalty: float | None = Field(default=None, ge=-10, le=10)
    """Of the same with beams, the power of the number of tokens by which likelihoods are divided: above 0 longer texts
    win more."""
    end_repeats: int | None = Field(default=None, ge=2)
    """Of the same without beams: a text is over once its last tokens have come so many times in a row, and more often
    than any characters do in the text that is read. By default only its end and the most tokens end one."""
    workers: int = Field(default=0, ge=0, le=64)
    """Processes of each model, which are watched and replaced; 0 computes in a thread of the service's own process."""


class AccessOptions(Config):
    """Where the service is reached, and who may ask."""

    host: str = Field(default="127.0.0.1", min_length=1)
    """The address to listen on; 0.0.0.0 for all of this machine's, which needs api_keys."""
    port: int = Field(default=8000, ge=0, le=65535)
    """The port to listen on; 0 takes a free one, which is shown."""
    admin_port: int | None = Field(default=None, ge=0, le=65535)
    """A port of its own for /metrics and /admin; without it they are on the same port, behind a key that may admin."""
    hosts: tuple[str, ...] = ()
    """Names under which clients reach it, such as api.example.com, and endings of names, such as *.svc and
    .cluster.local; local names and IP addresses always hold."""
    api_keys: str | None = None
    """File of API keys, made by `yanmo key`; its changes are read at once. none lets everybody in, which is the default
    on an address that only this machine reaches."""
    cors: tuple[str, ...] = ()
    """Origins whose pages may ask from a browser, such as https://app.example.com; those of the service always may."""
    proxies: tuple[str, ...] = ()
    """Addresses or networks of proxies in front, such as 127.0.0.1 or 10.0.0.0/8: of them the headers x-forwarded-host
    and x-forwarded-port are believed."""
    root_path: str = ""
    """The prefix under which a proxy in front shows the service, such as /yanmo, whether it cuts that off or not."""

    @field_validator("hosts")
    @classmethod
    def _check_hosts(cls, hosts: tuple[str, ...]) -> tuple[str, ...]:
        for pattern in hosts:
            check_host_pattern(pattern)
        return hosts

    @field_validator("cors")
    @classmethod
    def _check_cors(cls, cors: tuple[str, ...]) -> tuple[str, ...]:
        for origin in cors:
            check_origin_form(origin)
        return cors

    @field_validator("proxies")
    @classmethod
    def _check_proxies(cls, proxies: tuple[str, ...]) -> tuple[str, ...]:
        for address in proxies:
            check_proxy_form(address)
        return proxies

    @field_validator("root_path")
    @classmethod
    def _check_root_path(cls, root_path: str) -> str:
        if root_path and not ROOT_PATH.match(root_path):
            raise ValueError("empty or a path such as /yanmo, which begins with a slash and does not end with one")
        return root_path


class WritingServiceOptions(Config):
    """How much is written at a time, by models that write."""

    max_rows: int = Field(default=16, ge=1, le=1024)
    """The most texts that a model writes together; more wait."""
    draft: Path | None = None
    """A small Bundle with the tokens of every model that writes, of format decoder or kneser-ney: it foresees tokens of
    a text that is written alone. With weights in 8 bits one seed may give another text then than in company."""
    max_writing_tokens: int = Field(default=65_536, ge=1)
    """The most tokens of prompts and texts, as long as they may become, that a model has before it; a request beyond
    it gets 429, one larger than all of it 413."""
    writing_seconds: float = Field(default=300, gt=0)
    """A text that is not written after this is ended with 504; a client may ask for less with the header
    x-timeout-ms."""


class ServeConfig(AccessOptions, ModelOptions, WritingServiceOptions):
    """Where the service listens and what it accepts."""

    name: tuple[str, ...] = ()
    """What clients call the models, in the order of the Bundles; by default the names of the folders as they are given:
    a link such as current keeps its own."""
    documents: Path | None = None
    """A folder of .txt and .md files that questions without a context are answered from, by models that read passages;
    its passages that are most like a question are read."""
    models_dir: Path | None = None
    """The folder from which POST /admin/models/{name} may take Bundles; without it no Bundle can be given."""
    max_body_bytes: int = Field(default=1_048_576, ge=1)
    """The largest request body, in bytes; larger ones get 413."""
    max_texts: int = Field(default=1024, ge=1)
    """The most texts, or pairs, of one request."""
    max_characters: int = Field(default=20_000, ge=1)
    """The most characters of one text; the model reads its first max_length tokens and says if that cut the text."""
    max_connections: int = Field(default=4096, ge=1)
    """The most connections at a time; more get 429."""
    max_batch_tokens: int = Field(default=4096, ge=1)
    """The most tokens that are given to the model together; a token is at most one character. A request with more is
    answered in parts, and others have their turn between them."""
    max_queue_tokens: int = Field(default=1_048_576, ge=1)
    """The most tokens in the queue of a model; a request beyond it gets 429, a request larger than all of it 413."""
    max_queue_ms: float = Field(default=250, gt=0)
    """A request gets 429 while what waits before it would take the model longer than this."""
    max_wait_ms: float = Field(default=2, ge=0)
    """How long a free worker waits for a fuller batch while another one is busy."""
    deadline_seconds: float = Field(default=10, gt=0)
    """A request that is not answered after this gets 504; a client may ask for less with the header x-timeout-ms."""
    receive_seconds: float = Field(default=10, gt=0)
    """How long the head of a request may take to arrive, and as long again its body; slower ones get 408."""
    drain_seconds: int = Field(default=20, ge=0)
    """How long accepted requests may take to end after SIGTERM or SIGINT."""
    language: Language = "en"
    """Of what the service tells clients that name no language in Accept-Language: en or zh."""
    access_log: bool = False
    """Write one line of JSON a request to the standard error."""

    @field_validator("name")
    @classmethod
    def _check_name(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        for name in names:
            if not MODEL_NAME.match(name):
                raise ValueError("1 to 128 letters, digits, dots, hyphens and underscores each, and no dot first")
        return names
