"""How a folder appears: filled beside its place, alone, and there by one rename; it knows no artifact.

A folder that exists is whole. Where it replaces another, that one is renamed first; whoever looks next ends what a kill
between the two renames cut off.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from filelock import FileLock, Timeout

from yanmo.artifacts.durable import sync
from yanmo.artifacts.effects import NO_EFFECTS, Effects
from yanmo.errors import ArtifactError, BusyError

__all__ = [
    "LOCK",
    "MANIFEST",
    "check_out",
    "finish_swap",
    "is_artifact",
    "is_manifest",
    "lock",
    "place_folder",
    "work_dir",
]

MANIFEST = "manifest.json"
"""A folder that has it is whole: it is written last."""
LOCK = ".lock"
SWAP_SECONDS = 10  # a swap is two renames: whoever holds the lock for longer is not in one


@contextlib.contextmanager
def place_folder(out: str | Path, *, effects: Effects = NO_EFFECTS) -> Iterator[Path]:
    """Give a staging folder to fill; when the block ends well it stands at ``out`` by one rename.

    Args:
        out: Where the folder appears.
        effects: Whether one that stands there is replaced.

    Yields:
        The staging folder. If the block raises, it is removed and ``out`` is as it was.

    Raises:
        ArtifactError: ``out`` exists, or cannot be written.
        BusyError: Another process makes it.
    """
    out = Path(out)
    with _staging(out, replace=effects.replace) as staging:
        try:
            yield staging
            _swap(staging, out)
        except OSError as error:
            raise ArtifactError(
                f"Cannot write {out}: {error.strerror or str(error).partition(' (os error')[0]}.",
                hint="Free some space or choose another --out; nothing half-written was left.",
            ) from error


def check_out(out: str | Path, *, replace: bool = False) -> None:
    """Refuse an ``out`` that exists or cannot be written, before any work is done.

    Raises:
        ArtifactError: As said.
    """
    out = Path(out)
    finish_swap(out)
    if os.path.lexists(out) and not replace:  # a dangling link stands in the way, too
        way = "replace it: --force" if is_artifact(out) else "remove that folder first"
        raise ArtifactError(f"{out} exists already.", hint=f"Choose another --out, or {way}.")
    # Where links and steps up lead: the recipe in a Bundle writes to a folder beside that Bundle.
    around = out.parent.resolve()
    whole = next((folder for folder in (around, *around.parents) if is_artifact(folder)), None)
    if whole is not None:
        raise ArtifactError(
            f"{out} lies in {whole}, which is a finished artifact: another folder in it would damage it.",
            hint="Choose an --out beside it.",
        )
    parent = next(folder for folder in out.absolute().parents if os.path.lexists(folder))
    if not parent.is_dir() or not os.access(parent, os.W_OK):
        raise ArtifactError(f"Cannot write {out}: no permission in {parent}.", hint="Choose another --out.")


def is_artifact(folder: Path) -> bool:
    """Return whether a folder holds a whole artifact."""
    try:
        return is_manifest((folder / MANIFEST).read_bytes())
    except OSError:
        return False


def is_manifest(content: bytes) -> bool:
    """Return whether a file of the manifest's name is that of an artifact."""
    # Other programs call their files so, too: a web page's manifest.json is no artifact's.
    return b'"schema_version"' in content and b'"kind"' in content


@contextlib.contextmanager
def _staging(out: Path, *, replace: bool) -> Iterator[Path]:
    """Hold a new empty folder beside ``out``, on the same file system, alone; remove what is left of it."""
    check_out(out, replace=replace)
    with lock(_beside(out, "partial")) as staging:
        try:
            # What a killed process left; the lock stays, since it is held.
            for left in staging.iterdir():
                if left.is_dir():
                    shutil.rmtree(left)
                elif left.name != LOCK:
                    left.unlink()
            yield staging
        finally:
            # After a swap it is gone already.
            shutil.rmtree(staging, ignore_errors=True)


def work_dir(out: str | Path) -> Path:
    """Return the folder that holds a verb's resumable state while it makes ``out``."""
    return _beside(Path(out), "work")


@contextlib.contextmanager
def lock(folder: Path, *, timeout_seconds: float = 0) -> Iterator[Path]:
    """Hold a folder (made if needed) alone; another process that holds it is waited for so long.

    Raises:
        BusyError: Another process holds it.
        ArtifactError: It cannot be made.
    """
    file_lock = FileLock(folder / LOCK)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        file_lock.acquire(timeout=timeout_seconds)
    except Timeout as error:
        raise BusyError(
            f"Another process works in {folder}.", hint="Wait until it has ended, or choose another --out."
        ) from error
    except OSError as error:
        raise ArtifactError(f"Cannot write {folder}: {error.strerror}.", hint="Choose another --out.") from error
    try:
        yield folder
    finally:
        file_lock.release()


def _swap(staging: Path, out: Path) -> None:
    """Put ``staging`` at ``out``; what stood there is set aside first, and put back if that fails."""
    aside = _beside(out, "replaced")
    _remove(aside)
    # No rename replaces a folder that has files: for a moment nothing stands at ``out``, see ``finish_swap``.
    if os.path.lexists(out):
        out.rename(aside)
    try:
        _place(staging, out)
    except OSError:
        if os.path.lexists(aside) and not os.path.lexists(out):
            aside.rename(out)
        raise


def _place(staging: Path, out: Path) -> None:
    """Rename ``staging``, then remove its lock, which is held, and what was set aside."""
    staging.rename(out)
    (out / LOCK).unlink(missing_ok=True)
    sync(out.parent)
    _remove(_beside(out, "replaced"))


def _remove(path: Path) -> None:
    """Remove what was set aside: a folder, or a link to one, which stays."""
    if path.is_symlink() or path.is_file():
        path.unlink()
    else:
        shutil.rmtree(path, ignore_errors=True)


def finish_swap(out: Path) -> None:
    """Put the new folder at ``out`` if a process was killed after it had set the old one aside.

    The new one is whole by then. A swap that goes on is waited for.

    Raises:
        BusyError: It goes on too long.
        ArtifactError: The folder cannot be written.
    """
    staging = _beside(out, "partial")
    # All three together are true only between the two renames.
    if os.path.lexists(out) or not os.path.lexists(_beside(out, "replaced")) or not (staging / MANIFEST).is_file():
        return
    with lock(staging, timeout_seconds=SWAP_SECONDS):
        # Whoever held the lock until now may have placed it.
        if not os.path.lexists(out):
            _place(staging, out)


def _beside(out: Path, suffix: str) -> Path:
    return out.parent / f".{out.name}.{suffix}"
