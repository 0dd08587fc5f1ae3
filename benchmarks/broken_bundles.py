"""Bundles that no service may take, each broken in its own way, and paths that lead to none; the tests offer them, too.

They are made in a folder of models that holds two whole Bundles, ``first`` and ``second``, and ``bad``, a copy of
``second`` that is then broken, which ``link`` points to; ``loop`` points to itself.
"""

import hashlib
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

__all__ = ["BROKEN", "PATHS", "break_bundle", "write_as_claimed"]


def break_bundle(folder: Path, kind: str) -> str:
    """Make ``bad`` anew, break it in one way, and return the path to offer."""
    bad = folder / "bad"
    for name in ("bad", "weights", "link", "loop"):
        path = folder / name
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
    shutil.copytree(folder / "second", bad)
    (folder / "link").symlink_to(bad)
    (folder / "loop").symlink_to("loop")
    BROKEN.get(kind, str)(bad)
    return PATHS.get(kind, "bad")


def claim(bad: Path, **values: object) -> None:
    """Change what a manifest says."""
    manifest = bad / "manifest.json"
    raw = json.loads(manifest.read_text(encoding="utf-8"))
    manifest.write_text(json.dumps({**raw, **values}), encoding="utf-8")


def claim_format(bad: Path) -> None:
    claim(bad, info={"format": "pickle", "model": "x", "max_length": 0, "text": {}})


def claim_file_outside(bad: Path) -> None:
    files = json.loads((bad / "manifest.json").read_text(encoding="utf-8"))["files"]
    claim(bad, files={**files, "../first/model.safetensors": files["model.safetensors"]})


def turn_one_bit(bad: Path) -> None:
    content = bytearray((bad / "model.safetensors").read_bytes())
    content[-1] ^= 1
    (bad / "model.safetensors").write_bytes(content)


def link_weights(bad: Path) -> None:
    (bad / "model.safetensors").rename(bad.parent / "weights")
    (bad / "model.safetensors").symlink_to(bad.parent / "weights")


def swap_golden_answers(bad: Path) -> None:
    """Let the golden examples tell other answers, and the manifest the hash of that file."""
    golden = json.loads((bad / "golden.json").read_text(encoding="utf-8"))
    golden["evidence"] = {name: [row[::-1] for row in rows] for name, rows in golden["evidence"].items()}
    write_as_claimed(bad, "golden.json", json.dumps(golden).encode())


def write_as_claimed(bad: Path, name: str, content: bytes) -> None:
    """Write a file, and its hash into the manifest."""
    (bad / name).write_bytes(content)
    files = json.loads((bad / "manifest.json").read_text(encoding="utf-8"))["files"]
    claim(bad, files={**files, name: {"sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content)}})


def claim_info(bad: Path, **values: object) -> None:
    """Change a part of what a manifest says about this kind of artifact."""
    info = json.loads((bad / "manifest.json").read_text(encoding="utf-8"))["info"]
    claim(bad, info={**info, **values})


def claim_profile(bad: Path, **values: object) -> None:
    """Let the manifest have a whole profile of the inputs, but for some values."""
    num_labels = len(json.loads((bad / "manifest.json").read_text(encoding="utf-8"))["labels"])
    bins = {"length": [0.5, 0.5], "unknown": [0.5, 0.5], "confidence": [0.5, 0.5]}
    edges = {f"{name}_edges": [0.5] for name in bins}
    claim_info(bad, input_profile={**bins, **edges, "classes": [1 / num_labels] * num_labels, **values})


PATHS = {
    "missing": "nowhere",
    "empty path": "",
    "a file": "bad/manifest.json",
    "above": "../models/bad",
    "absolute": "/etc",
    "inner dots": "first/../bad",
    "nul": "bad\0",
    "link to it": "link",
    "link to itself": "loop",
    "longer than a name": "a" * 300,
    "longer than a path": "a/" * 3000,
}
BROKEN: dict[str, Callable[[Path], object]] = {
    "file is a link": link_weights,
    "extra link": lambda bad: (bad / "passwd").symlink_to("/etc/passwd"),
    "extra file": lambda bad: (bad / "model.onnx.data").write_bytes(b"x"),
    "fifo": lambda bad: os.mkfifo(bad / "pipe"),
    "no manifest": lambda bad: (bad / "manifest.json").unlink(),
    "no json": lambda bad: (bad / "manifest.json").write_text("{", encoding="utf-8"),
    "newer": lambda bad: claim(bad, schema_version=99),
    "another kind": lambda bad: claim(bad, kind="report"),
    "unknown format": claim_format,
    "file outside": claim_file_outside,
    "one bit": turn_one_bit,
    "cut": lambda bad: (bad / "model.safetensors").write_bytes(b"\0" * 100),
    "no weights": lambda bad: (bad / "model.safetensors").unlink(),
    "wrong golden answers": swap_golden_answers,
    "card is no UTF-8": lambda bad: write_as_claimed(bad, "README.md", b"\xff"),
    "figures are a list": lambda bad: claim_info(bad, summary=[1]),
    "no settings": lambda bad: write_as_claimed(bad, "ngram.json", b"{}"),
    "profile of other keys": lambda bad: claim_info(bad, input_profile={"x": 1}),
    "profile with a bin too many": lambda bad: claim_profile(bad, length=[0.2, 0.3, 0.5]),
    "profile of other labels": lambda bad: claim_profile(bad, classes=[1.0]),
}
