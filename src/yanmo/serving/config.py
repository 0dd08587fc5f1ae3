"""The settings of the service: where it listens and what it accepts; it knows no route."""

from pydantic import Field

from yanmo.config import Config
from yanmo.protocols import Windows
from yanmo.runtimes.predictor import LongTexts

__all__ = ["ServeConfig"]


class ServeConfig(Config):
    """Where the service listens and what it accepts."""

    host: str = Field(default="127.0.0.1", min_length=1)
    """The address to listen on; 0.0.0.0 for all of this machine's."""
    port: int = Field(default=8000, ge=0, le=65535)
    """The port to listen on; 0 takes a free one, which is shown."""
    device: str = "cpu"
    """Where a torch Bundle runs: cpu or cuda; the other formats run on the CPU."""
    num_threads: int | None = Field(default=None, ge=1)
    """The threads of one model call; without it, the runtime's own choice."""
    runtime: str | None = None
    """Engine of an ONNX Bundle: onnxruntime (the default), openvino, or auto, which times those that are installed."""
    long_texts: LongTexts = "truncate"
    """Of a text that is longer than the model reads: truncate reads its beginning; windows reads all of it in
    overlapping windows and pools their scores."""
    window_overlap: float = Field(default=Windows.overlap, ge=0, lt=1)
    """Share of a window that the one before it has, too."""
    max_body_bytes: int = Field(default=1_048_576, ge=1)
    """The largest request body, in bytes; larger ones get 413."""
    max_texts: int = Field(default=1024, ge=1)
    """The most texts, or pairs, of one request."""
    max_characters: int = Field(default=20_000, ge=1)
    """The most characters of one text; the model reads its first max_length tokens and says if that cut the text."""
    max_waiting_texts: int = Field(default=4096, ge=1)
    """The most texts in the queue; a request beyond it gets 429. An empty queue takes any request."""
    max_batch_texts: int = Field(default=256, ge=1)
    """The most texts of several requests that are given to the model together."""
    drain_seconds: int = Field(default=20, ge=0)
    """How long accepted requests may take to end after SIGTERM or SIGINT."""
