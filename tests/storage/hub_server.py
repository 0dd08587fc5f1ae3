"""A Hugging Face hub of this machine: the routes that its client asks to read repositories, over folders."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import unquote, urlsplit

from local_server import Answering, serving

API = re.compile(r"/api/(models|datasets)/([\w.-]+/[\w.-]+)(?:/(revision|tree)/([\w.%-]+))?(?:/.*)?")
FILE = re.compile(r"/(datasets/)?([\w.-]+/[\w.-]+)/resolve/([\w.-]+)/(.+)")


@dataclass
class Hub:
    """The hub.

    Attributes:
        url: Where it listens.
        token: Whoever does not send it is refused; None for nobody.
        commits: Kind and name, revision and commit, to the folder.
        branches: Kind, name and branch to commit.
        seen: Paths of all requests.
    """

    url: str = ""
    token: str | None = None
    commits: dict[tuple[str, str, str], Path] = field(default_factory=dict)
    branches: dict[tuple[str, str, str], str] = field(default_factory=dict)
    seen: list[str] = field(default_factory=list)

    def commit(self, kind: str, name: str, folder: Path, branch: str = "main") -> str:
        """Let a branch be a folder's files, and return the commit."""
        made = hashlib.sha1(str(folder).encode(), usedforsecurity=False).hexdigest()
        self.commits[kind, name, made] = folder
        self.branches[kind, name, branch] = made
        return made

    def find(self, kind: str, name: str, revision: str | None) -> tuple[str, Path] | None:
        """Return commit and folder of a revision."""
        commit = self.branches.get((kind, name, revision or "main"), revision or "")
        folder = self.commits.get((kind, name, commit))
        return None if folder is None else (commit, folder)


class Routes(Answering):
    """What the client asks."""

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        # The name of a branch comes as one part of the path, with its slashes as %2F.
        hub, path = self.kept, urlsplit(self.path).path
        hub.seen.append(path)
        if hub.token is not None and self.headers["authorization"] != f"Bearer {hub.token}":
            return self.send(401, b"", X_Error_Message="Invalid credentials")
        if found := FILE.fullmatch(path):
            place = hub.find("datasets" if found[1] else "models", found[2], found[3])
            return self.send_file(place, unquote(found[4]))
        found = API.fullmatch(path)
        place = hub.find(found[1], found[2], found[4] and unquote(found[4])) if found else None
        if place is None:
            return self.send(404, b"", X_Error_Code="RepoNotFound")
        told = tree(place[1]) if found[3] == "tree" else {"id": found[2], "sha": place[0], "siblings": []}
        return self.send(200, json.dumps(told).encode(), Content_Type="application/json")

    def send_file(self, place: tuple[str, Path] | None, name: str) -> None:
        if place is None or not (place[1] / name).is_file():
            return self.send(404, b"", X_Error_Code="EntryNotFound")
        content = (place[1] / name).read_bytes()
        return self.send(200, content, ETag=f'"{hashlib.sha256(content).hexdigest()}"', X_Repo_Commit=place[0])


@contextmanager
def serving_hub() -> Iterator[Hub]:
    """Give a hub without repositories."""
    hub = Hub()
    with serving(Routes, hub) as host:
        hub.url = f"http://{host}"
        yield hub


def tree(folder: Path) -> list[dict[str, object]]:
    """Return what the hub tells of all files of a folder."""
    return [
        {
            "type": "file" if path.is_file() else "directory",
            "path": path.relative_to(folder).as_posix(),
            "oid": hashlib.sha1(path.name.encode(), usedforsecurity=False).hexdigest(),
            **({"size": path.stat().st_size} if path.is_file() else {}),
        }
        for path in sorted(folder.rglob("*"))
    ]
