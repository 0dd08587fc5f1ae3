"""Change one token of a module and see whether the tests of its own room notice: hundreds of times, drawn by seed.

    python benchmarks/mutants.py --write                        # what `make mutants` does
    python benchmarks/mutants.py metrics tasks --num 60

A mutant stands in a copy of the sources; a test that fails, or takes three times as long, has noticed it. One that
survives is a missing test, or means the same as the original: then it has an entry in mutants_alike.toml that says why.
The exit code is 1 where less than 85 % are noticed. The tools there are for this draw no sample, and change what
annotations say.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import queue
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import tomllib
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import date
from pathlib import Path
from typing import NamedTuple

from heading import machine_lines
from mutations import Mutant, mutants_of
from pages import page_path

ROOT = Path(__file__).resolve().parents[1]
SOURCE, TESTS = ROOT / "src" / "yanmo", ROOT / "tests"
ALIKE = Path(__file__).with_name("mutants_alike.toml")
ROOMS = ("combine", "metrics", "text", "data", "tasks", "runtimes", "grinding")
PROMISED_SHARE = 0.85
NOTICED, SURVIVED, ALIKE_IN_MEANING, NOT_RUN = "noticed", "survived", "means the same", "not run"
TIMES_AS_LONG, MORE_SECONDS = 3, 20
HEAD = """# Changes that the tests notice

{machine}
- date: {date}
- command: `{command}`

{num} changes of one token, drawn by seed {seed}; each was run against the tests of its own room. Of those that do not
mean the same **{share:.1%}** were noticed (promised: {promised:.0%}). What means the same stands, with its reason, in
`benchmarks/mutants_alike.toml`.
"""


class Outcome(NamedTuple):
    """What became of a mutant."""

    room: str
    mutant: Mutant
    verdict: str

    def __str__(self) -> str:
        path, line = self.mutant.path.relative_to(SOURCE), self.mutant.line
        return f"{path}:{line}: `{self.mutant.before}` → `{self.mutant.after}`"


def main() -> int:
    options = parse()
    drawn = draw(options.rooms, options.num, options.seed)
    outcomes = []
    with tempfile.TemporaryDirectory() as name:
        for outcome in run(drawn, Path(name), options):
            outcomes.append(outcome)
            if outcome.verdict != NOTICED:
                print(f"{len(outcomes)} of {len(drawn)}: {outcome.verdict}: {outcome}", flush=True)
    page = rendered(outcomes, options)
    print(page)
    if options.write:
        page_path("mutants").write_text(page, encoding="utf-8")
    return 0 if share_noticed(outcomes) >= PROMISED_SHARE else 1


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("rooms", nargs="*", default=list(ROOMS), help="folders of src/yanmo")
    parser.add_argument("--num", type=int, default=400, help="mutants that are drawn")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), help="mutants at a time")
    parser.add_argument("--minutes", type=float, default=180, help="no further mutant begins after these")
    parser.add_argument("--write", action="store_true", help="also write the dated page")
    options = parser.parse_args(arguments)
    for room in options.rooms:
        if not ((SOURCE / room).is_dir() and (TESTS / room).is_dir()):
            parser.error(f"there is no room {room!r} with tests of its own")
    return options


def draw(rooms: Sequence[str], num: int, seed: int) -> list[tuple[str, Mutant]]:
    """Return some of all mutants of the rooms, each with its room, in a random order."""
    every = [
        (room, one) for room in rooms for path in sorted((SOURCE / room).rglob("*.py")) for one in mutants_of(path)
    ]
    return random.Random(seed).sample(every, min(num, len(every)))


def run(drawn: Sequence[tuple[str, Mutant]], folder: Path, options: argparse.Namespace) -> Iterator[Outcome]:
    """Yield what became of every mutant, in their order."""
    copies: queue.SimpleQueue[Path] = queue.SimpleQueue()
    for number in range(options.jobs):
        copies.put(Path(shutil.copytree(SOURCE, folder / str(number) / "yanmo")))
    limits = {}
    for room in sorted({room for room, _ in drawn}):
        limits[room] = time_limit(room, folder)
        print(f"{room}: at most {limits[room]:.0f} s a mutant", flush=True)
    alike, end = read_alike(), time.monotonic() + 60 * options.minutes

    def judge(given: tuple[str, Mutant]) -> Outcome:
        room, mutant = given
        if key(mutant) in alike:
            return Outcome(room, mutant, ALIKE_IN_MEANING)
        if time.monotonic() > end:
            return Outcome(room, mutant, NOT_RUN)
        copy = copies.get()
        try:
            with changed(copy / mutant.path.relative_to(SOURCE), mutant.content):
                passed = tests_pass(room, copy.parent, limits[room])
        finally:
            copies.put(copy)
        return Outcome(room, mutant, SURVIVED if passed else NOTICED)

    with ThreadPoolExecutor(options.jobs) as pool:
        yield from pool.map(judge, drawn)


def read_alike() -> set[tuple[str, str, str]]:
    entries = tomllib.loads(ALIKE.read_text(encoding="utf-8"))["alike"]
    return {(one["path"], one["before"], one["after"]) for one in entries if one["why"]}


def key(mutant: Mutant) -> tuple[str, str, str]:
    """Return what a mutant is known by; no line, since that moves."""
    return mutant.path.relative_to(SOURCE).as_posix(), mutant.before, mutant.after


def time_limit(room: str, folder: Path) -> float:
    """Return how many seconds a mutant of a room may take, by what the tests take without one."""
    start = time.monotonic()
    if not tests_pass(room, folder / "0", None):
        sys.exit(f"the tests of {room} fail without any change")
    return TIMES_AS_LONG * (time.monotonic() - start) + MORE_SECONDS


@contextlib.contextmanager
def changed(path: Path, content: bytes) -> Iterator[None]:
    """Put a mutant in the place of a module until the block ends."""
    original, status = path.read_bytes(), path.stat()
    path.write_bytes(content)
    try:
        yield
    finally:
        path.write_bytes(original)
        # With its old time, the bytecode of the original counts again.
        os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


def tests_pass(room: str, source: Path, seconds: float | None) -> bool:
    """Return whether the tests of a room pass with the package in some folder."""
    command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", "-m", "not slow"]
    known = {
        "PYTHONPATH": str(source),
        "PYTHONHASHSEED": "0",
        "HYPOTHESIS_STORAGE_DIRECTORY": str(source / "hypothesis"),
    }
    if seconds is not None:
        # Else the bytecode of a mutant could be taken for that of another one of the same second and size.
        known["PYTHONDONTWRITEBYTECODE"] = "1"
    process = subprocess.Popen(
        [*command, str(TESTS / room)],
        cwd=ROOT,
        env={**os.environ, **known},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        return process.wait(seconds) == 0
    except subprocess.TimeoutExpired:
        return False
    finally:
        # With all that its tests have started.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def share_noticed(outcomes: Sequence[Outcome]) -> float:
    judged = [one for one in outcomes if one.verdict in (NOTICED, SURVIVED)]
    return sum(one.verdict == NOTICED for one in judged) / len(judged) if judged else 1.0


def rendered(outcomes: Sequence[Outcome], options: argparse.Namespace) -> str:
    """Return the page: a row a room, and every mutant that was not noticed."""
    head = HEAD.format(
        machine=machine_lines(),
        date=date.today(),
        command=" ".join(["python benchmarks/mutants.py", *sys.argv[1:]]),
        num=len(outcomes),
        seed=options.seed,
        share=share_noticed(outcomes),
        promised=PROMISED_SHARE,
    )
    verdicts = (NOTICED, SURVIVED, ALIKE_IN_MEANING, NOT_RUN)
    lines = [f"| room | drawn | {' | '.join(verdicts)} | share noticed |", f"|---|{'--:|' * (len(verdicts) + 2)}"]
    for room in options.rooms:
        mine = [one for one in outcomes if one.room == room]
        counts = [sum(one.verdict == verdict for one in mine) for verdict in verdicts]
        lines.append(f"| {room} | {len(mine)} | {' | '.join(map(str, counts))} | {share_noticed(mine):.1%} |")
    for verdict in verdicts[1:-1]:
        found = [f"- {one}" for one in outcomes if one.verdict == verdict]
        lines += ["", f"## {verdict.capitalize()}", "", *(found or ["None."])]
    return head + "\n" + "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.exit(main())
