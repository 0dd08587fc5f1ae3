"""pack: a Bundle and all that a closed network needs to serve it, as one archive; it downloads nothing."""

from __future__ import annotations

import gzip
import hashlib
import io
import os
import tarfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement
from packaging.tags import sys_tags
from packaging.utils import InvalidWheelFilename, canonicalize_name, parse_wheel_filename

from yanmo.artifacts.bundle import Bundle
from yanmo.config import Config
from yanmo.errors import ArtifactError, ConfigError
from yanmo.verbs.signature import verb

__all__ = ["PackConfig", "Packed", "pack", "serving_packages"]

README = """# {name}

    sha256sum --check SHA256SUMS
    python3 -m venv yanmo-env
    yanmo-env/bin/pip install --no-index --find-links wheels -r requirements.txt yanmo=={version}
    yanmo-env/bin/yanmo serve bundle

{wheels}
"""
WITH_WHEELS = "Nothing is downloaded: Yanmo and every package of requirements.txt are in wheels/."
WITHOUT_WHEELS = (
    "The archive was made without wheels. Where there is a network, fill the folder with\n\n"
    "    pip download --only-binary :all: -d wheels -r requirements.txt\n"
    "    pip wheel --no-deps -w wheels ./SOURCE_OF_YANMO\n\n"
    "Yanmo is not on the list: an index may hold another package under its name.\n"
)
OWN = "yanmo"


class PackConfig(Config):
    """What goes into the archive besides the Bundle."""

    wheels: Path | None = None
    """A folder of wheels for this Python and platform: Yanmo's and one of each package of the list; without it the
    archive only has the list."""


@dataclass(frozen=True)
class Packed:
    """An archive that was made."""

    path: Path
    num_packages: int
    has_wheels: bool

    def summary(self) -> dict[str, Any]:
        """Return what is printed."""
        size_mb = round(self.path.stat().st_size / 1e6, 3)
        return {
            "path": str(self.path),
            "size_mb": size_mb,
            "num_packages": self.num_packages,
            "has_wheels": self.has_wheels,
        }


@verb
def pack(bundle: Bundle, config: PackConfig, *, out: Path) -> Packed:
    """Make one archive of a Bundle and what a closed network needs to serve it.

    It holds the Bundle, the list of the packages that Yanmo needs, in the versions installed here, their wheels and
    Yanmo's if given, how to start, and the hash of every file.

    Args:
        bundle: The Bundle.
        config: The folder of wheels.
        out: The archive, such as ``service.tar.gz``.

    Raises:
        ConfigError: A package of the list has no wheel in the folder.
        ArtifactError: The archive cannot be written.
    """
    packages = serving_packages()
    # Yanmo itself is installed from its wheel alone: an index may have another package of its name.
    requirements = "".join(f"{name}=={version}\n" for name, version in packages.items() if name != OWN)
    wheels = _find_wheels(config.wheels, packages) if config.wheels is not None else []
    readme = README.format(name=bundle.name, version=packages[OWN], wheels=WITH_WHEELS if wheels else WITHOUT_WHEELS)
    contents: dict[str, Path | bytes] = {
        **{f"bundle/{path.relative_to(bundle.path).as_posix()}": path for path in _files(bundle.path)},
        **{f"wheels/{path.name}": path for path in wheels},
        "requirements.txt": requirements.encode(),
        "README.md": readme.encode(),
    }
    # Two spaces between, as sha256sum --check reads it; the list cannot hold its own hash.
    contents["SHA256SUMS"] = "".join(f"{_digest(value)}  {name}\n" for name, value in sorted(contents.items())).encode()
    staging = out.with_name(f".{out.name}.partial")
    try:
        _write(staging, out.name.partition(".")[0], contents)
        # An archive that is there is whole.
        staging.rename(out)
    except OSError as error:
        raise ArtifactError(f"Cannot write {out}: {os.strerror(error.errno or 0)}.") from error
    finally:
        staging.unlink(missing_ok=True)
    return Packed(out, len(packages), bool(wheels))


def serving_packages() -> dict[str, str]:
    """Return the packages of the serving install with their versions, as they are installed here.

    Raises:
        ConfigError: One of them is not installed.
    """
    found: dict[str, str] = {}
    wanted: list[tuple[str, frozenset[str]]] = [(OWN, frozenset())]
    seen: set[tuple[str, frozenset[str]]] = set()
    while wanted:
        name, extras = item = wanted.pop()
        # With its extras: the same package may be wanted again for more of them, and two may want each other.
        if item in seen:
            continue
        seen.add(item)
        try:
            distribution = metadata.distribution(name)
        except metadata.PackageNotFoundError as error:
            raise ConfigError(f"The package {name} is not installed here.", hint="pip install yanmo") from error
        found[canonicalize_name(name)] = distribution.version
        for line in distribution.requires or ():
            requirement = Requirement(line)
            # A marker can ask for one extra at a time; the empty one is the package without any.
            environments: list[Mapping[str, str]] = [{"extra": extra} for extra in ("", *extras)]
            if requirement.marker is None or any(requirement.marker.evaluate(dict(one)) for one in environments):
                wanted.append((canonicalize_name(requirement.name), frozenset(requirement.extras)))
    return dict(sorted(found.items()))


def _find_wheels(folder: Path, packages: Mapping[str, str]) -> list[Path]:
    """Return one wheel or more of each package, of those that can be installed here.

    Raises:
        ConfigError: Some are missing.
    """
    fitting = set(sys_tags())
    found: dict[tuple[str, str], list[Path]] = {}
    for path in sorted(folder.glob("*.whl")):
        try:
            name, version, _, tags = parse_wheel_filename(path.name)
        except InvalidWheelFilename as error:
            raise ConfigError(f"{path} is no wheel.", hint="Remove it from the folder.") from error
        # A wheel for another platform may lie in the folder and is left there.
        if not tags.isdisjoint(fitting):
            found.setdefault((name, str(version)), []).append(path)
    missing = [f"{name}=={version}" for name, version in packages.items() if (name, version) not in found]
    if missing:
        raise ConfigError(
            f"{folder} lacks {len(missing)} of {len(packages)} wheels for this machine: {', '.join(missing)}.",
            hint="Leave --wheels out; the README.md in the archive says how to fill the folder.",
        )
    return [path for name, version in packages.items() for path in found[name, version]]


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def _digest(value: Path | bytes) -> str:
    with io.BytesIO(value) if isinstance(value, bytes) else value.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _write(path: Path, name: str, contents: Mapping[str, Path | bytes]) -> None:
    with (
        path.open("wb") as raw,
        # No name and no time, so that equal contents make equal bytes.
        gzip.GzipFile(filename="", mode="wb", fileobj=raw, compresslevel=6, mtime=0) as packed,
        tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT) as archive,
    ):
        for info, file in _members(name, contents):
            # Opened one by one: there may be more files than a process may have open.
            with file:
                archive.addfile(info, file)


def _members(name: str, contents: Mapping[str, Path | bytes]) -> Iterator[tuple[tarfile.TarInfo, Any]]:
    """Yield headers that say nothing about this machine, and what comes after each."""
    for inner, value in sorted(contents.items()):
        info = tarfile.TarInfo(f"{name}/{inner}")
        info.mode = 0o644
        info.size = len(value) if isinstance(value, bytes) else value.stat().st_size
        yield info, io.BytesIO(value) if isinstance(value, bytes) else value.open("rb")
