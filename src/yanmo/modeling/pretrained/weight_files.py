"""The files of a checkpoint's folder: found, whole, and readable without running code that stands in them.

It knows no network and no label. Weights are safetensors; a ``pytorch_model.bin`` is read by a process of its own that
takes nothing but tensors from it.
"""

from __future__ import annotations

import contextlib
import json
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Collection, Iterator
from pathlib import Path

from safetensors import SafetensorError, safe_open

from yanmo.errors import ModelError

__all__ = ["SAFE", "check_whole", "find_prefix", "network_folder", "readable", "weight_names", "without_numbers"]

CONFIG = "config.json"
MODULES = "modules.json"
ADAPTER = "adapter_config.json"
SAFE = "model.safetensors"
SAFE_INDEX = "model.safetensors.index.json"
PICKLED = "pytorch_model*.bin"
OTHER_WEIGHTS = ("*.h5", "*.msgpack", "*.onnx", "*.gguf", "*.ckpt*", "*.pt", "*.pth", "*.safetensors")
POINTER = b"version https://git-lfs.github.com/spec/"
# Git LFS keeps its pointers smaller than this, so no larger file has to be read.
POINTER_BYTES = 1024
PREFIX_PARTS = 3
# As TensorFlow's BERT called them; transformers renames them by itself.
OLD_NAMES = (("LayerNorm.gamma", "LayerNorm.weight"), ("LayerNorm.beta", "LayerNorm.bias"))


def network_folder(folder: Path) -> Path:
    """Return where a network's files are: the folder itself, or that of the first step of sentence-transformers.

    Raises:
        ModelError: There is no network.
    """
    if (folder / CONFIG).is_file():
        return folder
    inner = [folder / path for path in _steps(folder) if path] or sorted(folder.glob("0_*"))
    found = next((one for one in inner if (one / CONFIG).is_file()), None)
    if found is not None:
        return found
    if (folder / ADAPTER).is_file():
        raise _adapter(folder)
    here = ", ".join(sorted(path.name for path in folder.iterdir())[:6]) if folder.is_dir() else ""
    raise ModelError(
        f"The model {folder} cannot be opened: it has no {CONFIG}" + (f", only {here}." if here else "."),
        hint=f"Give a folder with {CONFIG}, {SAFE} and tokenizer.json, as save_pretrained of transformers writes it.",
    )


def _steps(folder: Path) -> list[str]:
    """Return the folders of the networks that sentence-transformers lists, relative to its own."""
    try:
        steps = json.loads((folder / MODULES).read_text(encoding="utf-8"))
        return [str(step["path"]) for step in steps if str(step["type"]).endswith("Transformer")]
    except (OSError, ValueError, KeyError, TypeError):
        return []


def _adapter(folder: Path) -> ModelError:
    return ModelError(
        f"{folder} holds an adapter ({ADAPTER}), which changes another model and is none by itself.",
        hint="Merge it into its model with peft: merge_and_unload(), then save_pretrained(FOLDER), and give that.",
    )


def check_whole(folder: Path) -> None:
    """Refuse a folder whose files are stand-ins for files that were not fetched, or that holds an adapter.

    Raises:
        ModelError: As said.
    """
    if (folder / ADAPTER).is_file():
        raise _adapter(folder)
    for path in sorted(folder.iterdir()):
        if path.is_file() and path.stat().st_size <= POINTER_BYTES and path.read_bytes().startswith(POINTER):
            raise ModelError(
                f"{path} is a Git LFS pointer: it names the file and does not hold it.",
                hint="Run git lfs pull in the clone, or download the file itself.",
            )


@contextlib.contextmanager
def readable(folder: Path) -> Iterator[Path]:
    """Give a folder whose weights are whole safetensors: the given one, or a temporary one with its weights converted.

    Raises:
        ModelError: The weights are missing, damaged, or hold more than tensors.
    """
    check_whole(folder)
    if any((folder / name).is_file() for name in (SAFE, SAFE_INDEX)):
        weight_names(folder)
        yield folder
        return
    if not any(folder.glob(PICKLED)):
        others = sorted({path.name for pattern in OTHER_WEIGHTS for path in folder.glob(pattern)})
        raise ModelError(
            f"The model {folder} cannot be opened: it has no {SAFE}"
            + (f", only {', '.join(others)}." if others else "."),
            hint=f"Give a folder as save_pretrained of transformers writes it: {CONFIG}, {SAFE}, tokenizer.json.",
        )
    with tempfile.TemporaryDirectory(prefix="yanmo-") as made:
        for path in folder.iterdir():
            if path.is_file() and path.suffix != ".bin":
                shutil.copyfile(path, Path(made) / path.name)
        _convert(folder, Path(made) / SAFE)
        yield Path(made)


def _convert(folder: Path, target: Path) -> None:
    """Read pickled weights in a process of its own, tensors only, and write them as safetensors."""
    command = [
        sys.executable,
        "-P",
        "-m",
        "yanmo.modeling.pretrained.pickled_weights",
        str(folder.resolve()),
        str(target),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        said = done.stderr.strip().splitlines()
        raise ModelError(
            f"The pickled weights of {folder} cannot be read: {said[-1] if said else f'exit code {done.returncode}'}",
            hint=f"Nothing but tensors is taken from such a file. Give {SAFE} instead: most hubs have it, and "
            "save_pretrained of transformers writes it where the model was trained.",
        )


def weight_names(folder: Path) -> set[str]:
    """Return the names of all weights of a folder with safetensors; its files are whole then.

    Raises:
        ModelError: A file is missing or damaged.
    """
    names: set[str] = set()
    for path in _safe_files(folder):
        try:
            with safe_open(path, framework="numpy") as opened:
                names.update(opened.keys())
        except FileNotFoundError as error:
            raise ModelError(
                f"{path} is missing, which {SAFE_INDEX} names.", hint="Copy or download the folder again."
            ) from error
        except (SafetensorError, OSError) as error:
            raise ModelError(
                f"{path} is damaged or was not copied to its end: {error}.", hint="Copy or download the file again."
            ) from error
    return names


def _safe_files(folder: Path) -> list[Path]:
    if (folder / SAFE).is_file():
        return [folder / SAFE]
    index = folder / SAFE_INDEX
    try:
        names = json.loads(index.read_text(encoding="utf-8"))["weight_map"].values()
        # Only the last part of each name: an index must not lead out of its folder.
        return [folder / name for name in sorted({Path(name).name for name in names})]
    except (OSError, ValueError, KeyError, AttributeError, TypeError) as error:
        raise ModelError(f"{index} is damaged: {error}.", hint="Copy or download the folder again.") from error


def find_prefix(names: Collection[str], expected: Collection[str], base: str) -> str:
    """Return what stands before the names of weights where a network was part of a larger one, such as ``auto_model.``.

    Args:
        names: Of the weights in the files.
        expected: Of the network's weights.
        base: The part of the network that a checkpoint without a head may hold alone.

    Returns:
        The beginning without which most names are those of the network; empty if none are gained.
    """
    plain = {_modern(name) for name in names}
    wanted = {*expected, *(name.removeprefix(f"{base}.") for name in expected)}
    heads = {".".join(name.split(".")[:count]) + "." for name in plain for count in range(1, PREFIX_PARTS + 1)}

    def num_found(prefix: str) -> int:
        return sum(name.startswith(prefix) and name[len(prefix) :] in wanted for name in plain)

    # Of equals max takes the first: no prefix before any, and a short one before a longer one.
    return max(["", *sorted(heads, key=lambda head: (len(head), head))], key=num_found)


def _modern(name: str) -> str:
    for old, new in OLD_NAMES:
        name = name.replace(old, new)
    return name


def without_numbers(name: str) -> str:
    """Return a weight's name with every number replaced, so that those of all layers are one."""
    return re.sub(r"(?<=\.)\d+(?=\.)", "*", name)
