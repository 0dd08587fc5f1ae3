"""Two machines that train one model, and one of them is lost: the same command goes on, and makes the same Bundle.

    make faults-training       # which is: python benchmarks/cluster_training.py --times 3 --write

Needs root and `ip`. Two network namespaces of this machine run deploy/training/c10d.sh, or static.sh: one worker each,
which talk through gloo. Once some checkpoints are there, all processes of one machine are killed (SIGKILL), or the wire
is cut for good. The other one must end by itself, with an error that says so; then the same command is given to both
again, and the Bundle must have the files of the run that nothing disturbed, by digest.
"""

from __future__ import annotations

import argparse
import os
import random
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from datetime import date
from pathlib import Path
from typing import Any

from namespaces import ADDRESSES, HEAD, NODE, WIRE, cut, inside, kill_all, network
from pages import page_path

from yanmo.artifacts.bundle import Bundle
from yanmo.artifacts.placing import work_dir
from yanmo.machine import describe_machine

ROOT = Path(__file__).resolve().parents[1]
LONGEST_SECONDS = 600.0
CHECKPOINT = re.compile(r"checkpoint-(\d+)")
ENOUGH = 4
"""So many steps at least are in a checkpoint before somebody is lost."""
SETTINGS = {
    "model": "bert-1x32",
    "num_epochs": 6,
    "batch_size": 64,
    "eval_steps": 2,
    "dropout": 0.3,
    "num_threads": 1,
    "precision": "fp32",
    "max_length": 16,
    "early_stopping_patience": 1000,
}


class Training:
    """One training on both machines.

    Args:
        launcher: Name of a file of deploy/training.
        data: The Dataset.
        out: Of the Bundle.
    """

    def __init__(self, launcher: str, data: Path, out: Path) -> None:
        self._launcher, self._data, self.out = launcher, data, out
        self.processes: dict[str, subprocess.Popen[str]] = {}

    def start(self) -> None:
        """Give the command to both machines."""
        train = ["yanmo", "train", str(self._data), "--out", str(self.out)]
        train += [f"--{key.replace('_', '-')}={value}" for key, value in SETTINGS.items()]
        for number, machine in enumerate((HEAD, NODE)):
            ours = [str(number)] if self._launcher == "static.sh" else []
            environment = {
                **os.environ,
                "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
                "PYTHONPATH": str(ROOT / "src"),
                "OMP_NUM_THREADS": "1",
                "HEAD": ADDRESSES[HEAD],
                "ADDRESS": ADDRESSES[machine],
                "NUM_MACHINES": "2",
                "INTERFACE": WIRE,
            }
            command = ["sh", str(ROOT / "deploy" / "training" / self._launcher), *ours, *train]
            self.processes[machine] = subprocess.Popen(
                inside(machine, *command), env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
            )

    def wait_for_step(self, step: int) -> None:
        """Wait until a checkpoint has so many steps."""
        end = time.monotonic() + LONGEST_SECONDS
        while not any(one >= step for one in self._steps()):
            if time.monotonic() > end or self.processes[HEAD].poll() is not None:
                sys.exit(self.said(HEAD))
            time.sleep(0.02)

    def _steps(self) -> list[int]:
        names = (CHECKPOINT.match(path.name) for path in work_dir(self.out).glob("checkpoint-*"))
        return [int(found[1]) for found in names if found]

    def said(self, machine: str) -> str:
        """Return what a machine has printed, when it has ended."""
        return self.processes[machine].communicate(timeout=LONGEST_SECONDS)[0]

    def finish(self) -> None:
        """Wait for the end of both."""
        said = {machine: self.said(machine) for machine in self.processes}
        if any(process.returncode for process in self.processes.values()):
            sys.exit("\n".join(said.values()))


def lose(training: Training, fault: str) -> float:
    """Lose one machine; return how many seconds later the other one has ended."""
    begin = time.monotonic()
    if fault == "node":
        kill_all(NODE)
        said = training.said(HEAD)
    else:
        with cut(NODE):
            said = training.said(HEAD)
            kill_all(NODE)
    seconds = time.monotonic() - begin
    if "goes on from its last checkpoint" not in said:
        sys.exit(f"The other machine has not said what was lost:\n{said}")
    training.processes[NODE].communicate()
    return seconds


def disturbed(launcher: str, fault: str, data: Path, out: Path, wait: Callable[[], int]) -> tuple[Bundle, float]:
    """Return the Bundle of a training that lost a machine, and after how many seconds the other one had ended."""
    training = Training(launcher, data, out)
    training.start()
    training.wait_for_step(wait())
    seconds = lose(training, fault)
    training.start()
    training.finish()
    return Bundle.open(out), seconds


def main() -> int:
    options = parse()
    chance = random.Random(options.seed)
    with tempfile.TemporaryDirectory(prefix="yanmo-") as name, ExitStack() as stack:
        folder = Path(name)
        data = folder / "data"
        messages = ROOT / "examples" / "messages" / "messages.csv"
        prepare = ["-m", "yanmo", "prepare", str(messages), "--label", "intent", "--out", str(data)]
        subprocess.run([sys.executable, *prepare], check=True, capture_output=True)
        stack.enter_context(network())
        rows = []
        for launcher in options.launchers:
            straight = Training(launcher, data, folder / f"straight-{launcher}")
            straight.start()
            straight.finish()
            expected = Bundle.open(straight.out).manifest.files
            for fault in options.only:
                row: dict[str, Any] = {"launcher": launcher, "fault": fault, "times": 0, "other": 0, "seconds": []}
                for number in range(options.times):
                    out = folder / f"{launcher}-{fault}-{number}"
                    made, seconds = disturbed(launcher, fault, data, out, lambda: ENOUGH + chance.randrange(8))
                    row["times"] += 1
                    row["other"] += made.manifest.files != expected
                    row["seconds"].append(seconds)
                    print(launcher, fault, f"{seconds:.1f} s, {'OTHER' if row['other'] else 'same'} files", flush=True)
                rows.append(row)
    text = page(rows, options.times)
    print(text)
    if options.write:
        page_path("cluster_training").write_text(text, "utf-8")
    return int(any(row["other"] for row in rows))


def page(rows: list[dict[str, Any]], times: int) -> str:
    lines = [
        "# Two machines that train one model\n",
        *(f"- {name.replace('_', ' ')}: {value}" for name, value in describe_machine().items()),
        f"- date: {date.today()}",
        f"- command: `make faults-training`, which is `python benchmarks/cluster_training.py --times {times}`",
        f"- load average at the end: {os.getloadavg()[0]:.1f}\n",
        "Two network namespaces of this machine with one worker each, gloo between them.\n",
        "| launched by | lost | times | files that differ from the undisturbed run's | the other one ended after, s |",
        "|---|---|---|---|---|",
    ]
    for row in rows:
        seconds = f"{sorted(row['seconds'])[len(row['seconds']) // 2]:.1f} ({max(row['seconds']):.1f})"
        lines.append(f"| {row['launcher']} | {row['fault']} | {row['times']} | {row['other']} | {seconds} |")
    return "\n".join(lines) + "\n"


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--times", type=int, default=3, help="of each fault and launcher")
    parser.add_argument("--only", nargs="+", choices=("node", "network"), default=["node"])
    parser.add_argument("--launchers", nargs="+", choices=("c10d.sh", "static.sh"), default=["c10d.sh", "static.sh"])
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--write", action="store_true")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
