"""Other Bundles, whole and broken, while requests go on."""

from __future__ import annotations

import asyncio
import json
import shutil
import tempfile
from collections import Counter
from pathlib import Path

from broken_bundles import BROKEN, PATHS, break_bundle
from load import Load, Reply, ask, post
from processes import service, service_cores
from promises import Kept, Section

from hardships import Options, requests, told

__all__ = ["broken", "reload"]

TOLERANCE = 1e-3
"""Two versions whose probabilities for a text are closer than this cannot be told apart by that text."""


async def reload(options: Options) -> Section:
    """Change between two versions under load; every answer must be that of the one version which it names."""
    count, sent = options.count(100, 5), requests(4)
    with tempfile.TemporaryDirectory() as name:
        folder = copied(options, Path(name))
        with service(options.bundle, cores=service_cores(), models_dir=folder) as running:
            path = f"/admin/models/{options.bundle.name}"
            known = {}
            for version in ("second", "first"):
                digest = json.loads((await ask(running.port, post({"path": version}, path))).body)["digest"]
                known[digest] = [predictions((await ask(running.port, one)).body)[1] for one in sent]
            found = Counter[str]()

            def check(place: int, reply: Reply) -> bool:
                if reply.status == 200:
                    found[judge(*predictions(reply.body), place, known)] += 1
                return True

            asking, done = Load(running.port, sent, connections=8, check=check), Counter[int]()
            for number in range(count):
                done[(await ask(running.port, post({"path": ("second", "first")[number % 2]}, path))).status] += 1
                await asyncio.sleep(0.02)
            statuses = (await asking.stop()).statuses
    mixed, one, two = found["mixed"], *(found[digest] for digest in known)
    rows = [
        Kept("all reloads are done", told(done), set(done) == {200}),
        Kept("0 failed requests", told(statuses), set(statuses) == {200}),
        Kept("no answer mixes two versions", f"{mixed} of {found.total():,}", mixed == 0),
        Kept("both versions answered", f"{one:,} and {two:,} answers", min(one, two) > 0),
        Kept("texts that tell the versions apart", f"{told_apart(known):.1%}", told_apart(known) > 0.9),
    ]
    return Section(f"{count} hot reloads between two trained Bundles, 8 connections, 4 texts a request", rows)


Predictions = list[tuple[str, float]]


def predictions(body: bytes) -> tuple[str, Predictions]:
    """Return the digest of an answer, and the label and probability of each text."""
    answer = json.loads(body)
    return answer["digest"], [(one["prediction"], one["probability"]) for one in answer["predictions"]]


def judge(digest: str, given: Predictions, place: int, known: dict[str, list[Predictions]]) -> str:
    """Return the digest if all of an answer is what that version says, else ``mixed``."""
    expected = known.get(digest, [[]] * (place + 1))[place]
    same = len(given) == len(expected) and all(map(is_same, given, expected))
    return digest if same else "mixed"


def is_same(one: tuple[str, float], other: tuple[str, float]) -> bool:
    return one[0] == other[0] and abs(one[1] - other[1]) < TOLERANCE


def told_apart(known: dict[str, list[Predictions]]) -> float:
    """Return the share of texts to which the versions give different answers."""
    pairs = [pair for requests in zip(*known.values(), strict=True) for pair in zip(*requests, strict=True)]
    return sum(not is_same(*pair) for pair in pairs) / len(pairs)


async def broken(options: Options) -> Section:
    """Offer every kind of broken Bundle under load."""
    kinds, sent, refused, others = [*PATHS, *BROKEN], requests(4), 0, []
    with tempfile.TemporaryDirectory() as name:
        folder = copied(options, Path(name))
        with service(options.bundle, cores=service_cores(), models_dir=folder) as running:
            path = f"/admin/models/{options.bundle.name}"
            before = predictions((await ask(running.port, sent[0])).body)[0]
            asking = Load(running.port, sent, connections=8)
            for kind in kinds:
                offered = await asyncio.to_thread(break_bundle, folder, kind)
                reply = await ask(running.port, post({"path": offered}, path))
                is_refused = reply.status == 400 and json.loads(reply.body)["code"] == "bundle_refused"
                refused += is_refused
                others += [] if is_refused else [f"{kind}: {reply.status}"]
            statuses = (await asking.stop()).statuses
            after = predictions((await ask(running.port, sent[0])).body)[0]
    rows = [
        Kept("all are refused", f"{refused} of {len(kinds)} {' '.join(others)}", refused == len(kinds) >= 20),
        Kept("0 failed requests", told(statuses), set(statuses) == {200}),
        Kept("the old one answers", f"{before[:12]} before, {after[:12]} after", before == after),
    ]
    return Section(f"{len(kinds)} kinds of broken Bundle offered, 8 connections, 4 texts a request", rows)


def copied(options: Options, folder: Path) -> Path:
    """Put the two versions into a folder of models."""
    for name, bundle in (("first", options.bundle), ("second", options.other)):
        shutil.copytree(bundle, folder / name)
    return folder
