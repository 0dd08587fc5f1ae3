"""Fetch an archive, take the Bundle with one digest out of it, and put that in its place; else leave nothing and fail.

Needs nothing but Python. ``BUNDLE_URL`` is what `yanmo pack` wrote, or any archive with the folder of a Bundle in it;
``BUNDLE_DIGEST`` is the SHA-256 of its ``manifest.json``, which holds those of all other files; `yanmo serve` checks
these.
"""

import argparse
import hashlib
import os
import shutil
import sys
import tarfile
import tempfile
import urllib.request
from pathlib import Path


def main() -> int:
    """Fetch, and return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--url", default=os.environ.get("BUNDLE_URL"))
    parser.add_argument("--digest", default=os.environ.get("BUNDLE_DIGEST"))
    parser.add_argument("--out", type=Path, required=True)
    given = parser.parse_args()
    if not given.url or not given.digest:
        parser.error("BUNDLE_URL and BUNDLE_DIGEST are not set")
    # Beside the place, so that the folder appears there by one rename.
    with tempfile.TemporaryDirectory(dir=given.out.parent, prefix=".fetch-") as staging:
        try:
            unpack(given.url, Path(staging))
        except (OSError, tarfile.TarError) as error:
            print(f"{given.url} cannot be fetched and unpacked: {error}", file=sys.stderr)
            return 1
        found = {file_digest(one): one.parent for one in Path(staging).rglob("manifest.json")}
        if given.digest not in found:
            there = ", ".join(sorted(found)) or "no Bundle"
            print(f"{given.url} holds {there}, and not {given.digest}; nothing is put in place", file=sys.stderr)
            return 1
        # A container that starts again finds the folder of the time before.
        shutil.rmtree(given.out, ignore_errors=True)
        found[given.digest].rename(given.out)
    return 0


def unpack(url: str, folder: Path) -> None:
    """Fetch an archive as a stream, and unpack it without what leads out of the folder."""
    with urllib.request.urlopen(url, timeout=60) as answer, tarfile.open(fileobj=answer, mode="r|*") as archive:
        archive.extractall(folder, filter="data")


def file_digest(path: Path) -> str:
    """Return the SHA-256 of a file's bytes, in hex."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


if __name__ == "__main__":
    sys.exit(main())
