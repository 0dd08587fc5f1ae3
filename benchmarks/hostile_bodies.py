"""Bodies that break a rule of the API, and the code that each must get; the tests send them, too."""

import json
from collections.abc import Iterator
from pathlib import Path

__all__ = ["hostile_bodies"]

CORPUS = Path(__file__).resolve().parents[1] / "tests" / "serving" / "corpus.jsonl"
"""One body a line, as pieces of Latin-1, of which a pair is a piece and how often it comes."""


def hostile_bodies() -> Iterator[tuple[str, bytes, list[str] | None]]:
    """Yield each body's name, its bytes and the codes it may get; None: any code of status 400."""
    for probe in map(json.loads, CORPUS.read_text(encoding="ascii").splitlines()):
        pieces = [(piece, 1) if isinstance(piece, str) else piece for piece in probe["body"]]
        yield probe["name"], b"".join(piece.encode("latin-1") * count for piece, count in pieces), probe.get("codes")
