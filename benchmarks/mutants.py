"""Change one token of a module and see whether the tests of its own room notice: hundreds of times, drawn by seed.

    python benchmarks/mutants.py --write                        # what `make mutants` does
    python benchmarks/mutants.py metrics tasks --num 60

A mutant stands in a copy of the sources; a test that fails, or takes three times as long, has noticed it. The tests
that run the changed line are asked first, then those that run its module. One that survives is a missing test, or
means the same as the original: then it has an entry in mutants_alike.toml that says why. The exit code is 1 where less
than 85 % are noticed. The tools there are for this draw no sample, and change what annotations say.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import random
import shutil
import sys
import tempfile
import time
import tomllib
from collections.abc import Generator, Iterator, Sequence
from datetime import date
from pathlib import Path
from typing import NamedTuple

from forked_tests import Coverage, Room, Tests, measure
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
    """Yield what became of every mutant, as it is known."""
    copies = [Path(shutil.copytree(SOURCE, folder / str(number) / "yanmo")).parent for number in range(options.jobs)]
    coverage = Coverage.joined([covered(room, copies[0], folder) for room in options.rooms])
    alike, end, running = read_alike(), time.monotonic() + 60 * options.minutes, []
    for room, mutant in drawn:
        if key(mutant) in alike:
            yield Outcome(room, mutant, ALIKE_IN_MEANING)
        elif time.monotonic() > end:
            yield Outcome(room, mutant, NOT_RUN)
        else:
            if not copies:
                yield from finished(running, copies)
            copy = copies.pop()
            running.append((copy, Outcome(room, mutant, NOTICED), judge(room, mutant, copy, coverage)))
    while running:
        yield from finished(running, copies)


def finished(running: list[tuple[Path, Outcome, Generator[None, None, bool]]], copies: list[Path]) -> list[Outcome]:
    """Wait until some mutants are judged and take them out; their copies are free again."""
    outcomes: list[Outcome] = []
    while not outcomes:
        time.sleep(0.01)
        for entry in list(running):
            copy, outcome, judging = entry
            try:
                next(judging)
            except StopIteration as end:
                running.remove(entry)
                copies.append(copy)
                outcomes.append(outcome if end.value else outcome._replace(verdict=SURVIVED))
    return outcomes


def judge(room: str, mutant: Mutant, copy: Path, coverage: Coverage) -> Generator[None, None, bool]:
    """Return whether a test notices a mutant: those that run its line are asked first."""
    path = mutant.path.relative_to(SOURCE.parent)
    with changed(copy / path, mutant.content):
        for some in coverage.in_turn(path, mutant.line, mutant.path.read_bytes()):
            limit = TIMES_AS_LONG * coverage.seconds_of(some) + MORE_SECONDS
            tests = Tests(room_of(room), copy, names=some, seconds=limit)
            while (passed := tests.outcome()) is None:
                yield
            if not passed:
                return True
    return False


def room_of(room: str) -> Room:
    return Room(ROOT, TESTS / room)


def covered(room: str, source: Path, folder: Path) -> Coverage:
    """Return what the tests of a room run."""
    start = time.monotonic()
    coverage = measure(room_of(room), source, folder / f"{room}.coverage")
    if coverage is None:
        sys.exit(f"the tests of {room} fail without any change")
    print(f"{room}: {len(coverage.seconds)} tests, {time.monotonic() - start:.0f} s", flush=True)
    return coverage


def read_alike() -> set[tuple[str, str, str]]:
    entries = tomllib.loads(ALIKE.read_text(encoding="utf-8"))["alike"]
    return {(one["path"], one["before"], one["after"]) for one in entries if one["why"]}


def key(mutant: Mutant) -> tuple[str, str, str]:
    """Return what a mutant is known by; no line, since that moves."""
    return mutant.path.relative_to(SOURCE).as_posix(), mutant.before, mutant.after


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
        found = sorted(f"- {one}" for one in outcomes if one.verdict == verdict)
        lines += ["", f"## {verdict.capitalize()}", "", *(found or ["None."])]
    return head + "\n" + "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.exit(main())
