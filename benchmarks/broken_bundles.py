"""Bundles that no service may take, each broken in its own way, and paths that lead to none; the tests offer them, too.

They are made in a folder of models that holds two whole Bundles, ``first`` and ``second``, and ``bad``, a copy of
``second`` that is then broken, which ``link`` points to.
"""

import hashlib
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

__all__ = ["BROKEN", "PATHS", "break_bundle"]


def break_bundle(folder: Path, kind: str) -> str:
    """Make ``bad`` anew, break it in one way, and return the path to offer."""
    bad = folder / "bad"
    for name in ("bad", "weights", "link"):
        path = folder / name
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
    shutil.copytree(folder / "second", bad)
    (folder / "link").symlink_to(bad)
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
    golden["probabilities"] = [row[::-1] for row in golden["probabilities"]]
    content = json.dumps(golden).encode()
    (bad / "golden.json").write_bytes(content)
    files = json.loads((bad / "manifest.json").read_text(encoding="utf-8"))["files"]
    claim(bad, files={**files, "golden.json": {"sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content)}})


PATHS = {
    "missing": "nowhere",
    "empty path": "",
    "a file": "bad/manifest.json",
    "above": "../models/bad",
    "absolute": "/etc",
    "inner dots": "first/../bad",
    "nul": "bad\0",
    "link to it": "link",
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
}
