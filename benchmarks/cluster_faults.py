"""Two machines, which are network namespaces of this one, and what they promise: kills and a cut network lose nothing.

    make faults-cluster        # which is: python benchmarks/cluster_faults.py --times 20 --write

Needs root, `ip` and the extra `ray`. A run of `yanmo predict` over 100,000 rows on a Ray cluster of two nodes of one
CPU each, which ask for a token, is disturbed at random moments: SIGKILL of a worker, of all processes of a node, of the
driver (which is then started again), and a network that is cut for 30 seconds. Each time the Predictions must have the
files of those that one process makes here, byte for byte.
"""

from __future__ import annotations

import argparse
import os
import random
import secrets
import shutil
import subprocess
import sys
import tempfile
import time
from datetime import date
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from namespaces import ADDRESSES, HEAD, NODE, cut, inside, kill, kill_all, name_of, network, processes
from pages import page_path

from yanmo.answers.answered import Found
from yanmo.artifacts.ledger import FinishedPart
from yanmo.artifacts.placing import work_dir
from yanmo.artifacts.predictions import Predictions
from yanmo.executors.tally import count_found
from yanmo.executors.units import UNIT_ROWS
from yanmo.machine import describe_machine

ROOT = Path(__file__).resolve().parents[1]
MESSAGES = ROOT / "examples" / "messages" / "messages.csv"
PORT = 6379
CUT_SECONDS = 30.0
LONGEST_SECONDS = 300.0
EMPTY = Found(np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.bool_), 0)
FAULTS = ("worker", "node", "driver", "network")


class Cluster:
    """A head and a node of one CPU each.

    Args:
        folder: For the logs of Ray.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.environment = {
            **os.environ,
            "OMP_NUM_THREADS": "1",
            "PYTHONPATH": str(ROOT / "src"),
            "RAY_AUTH_MODE": "token",
            "RAY_AUTH_TOKEN": secrets.token_hex(32),
            "RAY_USAGE_STATS_ENABLED": "0",
        }
        self.address = f"{ADDRESSES[HEAD]}:{PORT}"

    def start(self, name: str) -> None:
        """Start one of the two."""
        role = (
            ["--head", f"--port={PORT}", "--include-dashboard=false"] if name == HEAD else [f"--address={self.address}"]
        )
        ray = [str(Path(sys.executable).parent / "ray"), "start", *role, "--num-cpus=1"]
        options = [f"--node-ip-address={ADDRESSES[name]}", "--object-store-memory=80000000", "--disable-usage-stats"]
        if name == HEAD:
            options.append(f"--temp-dir={self._folder / 'ray'}")
        subprocess.run(
            inside(name, sys.executable, *ray, *options),
            env=self.environment,
            check=True,
            capture_output=True,
            text=True,
        )

    def predict(self, bundle: Path, source: Path, out: Path) -> subprocess.Popen[bytes]:
        """Start a run whose driver is on the head."""
        command = ["-m", "yanmo", "predict", str(bundle), str(source), "--out", str(out), "--num-threads", "1"]
        return subprocess.Popen(
            inside(HEAD, sys.executable, *command, "--executor", f"ray://{self.address}"),
            env=self.environment,
            stdout=subprocess.DEVNULL,
        )


def disturb(fault: str, cluster: Cluster, driver: subprocess.Popen[bytes]) -> bool:
    """Do one thing to a run, and return whether the driver must be started again."""
    if fault == "worker":
        working = [one for name in (HEAD, NODE) for one in processes(name) if name_of(one).startswith("ray::yanmo")]
        if working:
            kill(random.choice(working))
    elif fault == "node":
        kill_all(NODE)
        cluster.start(NODE)
    elif fault == "network":
        with cut(NODE):
            time.sleep(CUT_SECONDS)
    else:
        # The process of `ip` has become the driver's.
        kill(driver.pid)
        driver.wait()
        return True
    return False


def run_disturbed(
    fault: str, moment: float, cluster: Cluster, inputs: tuple[Path, Path], out: Path
) -> tuple[float, bool]:
    """Return the seconds of a run that is disturbed at a moment, and whether that was before its end."""
    begin = time.perf_counter()
    driver = cluster.predict(*inputs, out)
    time.sleep(moment)
    is_early = driver.poll() is None
    if is_early and disturb(fault, cluster, driver):
        driver = cluster.predict(*inputs, out)
    if driver.wait(LONGEST_SECONDS):
        sys.exit(f"{fault} at {moment:.1f} s: exit code {driver.returncode}")
    return time.perf_counter() - begin, is_early


def prepare(folder: Path, num_rows: int) -> tuple[Path, Path]:
    """Return a Bundle, and a file of many rows."""
    yanmo = [sys.executable, "-m", "yanmo"]
    data, bundle, source = folder / "data", folder / "bundle", folder / "rows.csv"
    for words in (
        ["prepare", str(MESSAGES), "--label", "intent", "--out", str(data)],
        ["train", str(data), "--model", "linear", "--out", str(bundle)],
    ):
        subprocess.run([*yanmo, *words], check=True, stdout=subprocess.DEVNULL)
    chance = random.Random(1)
    words = [line.split(",")[0] for line in MESSAGES.read_text("utf-8").splitlines()[1:]]
    # Several messages a row, so that a run takes some time.
    rows = (" ".join(chance.choice(words).replace('"', "") for _ in range(12)) for _ in range(num_rows))
    source.write_text("text\n" + "".join(f'"{row}"\n' for row in rows), "utf-8")
    return bundle, source


def restart(cluster: Cluster) -> None:
    for name in (HEAD, NODE):
        kill_all(name)
    for name in (HEAD, NODE):
        cluster.start(name)


def main() -> int:
    options = parse()
    random.seed(options.seed)
    with tempfile.TemporaryDirectory(prefix="yanmo-") as name, network():
        folder = Path(name)
        inputs, cluster = prepare(folder, options.rows), Cluster(folder)
        command = [sys.executable, "-m", "yanmo", "predict", *map(str, inputs), "--num-threads", "1"]
        subprocess.run([*command, "--out", str(folder / "alone")], check=True, stdout=subprocess.DEVNULL)
        alone = Predictions.open(folder / "alone")
        restart(cluster)
        seconds = calm(cluster, inputs, folder)
        print(f"undisturbed: {seconds:.1f} s", flush=True)
        rows = [measure(fault, options.times, seconds, cluster, inputs, alone=alone) for fault in options.only]
        text = table(rows, options, seconds) + billion(alone)
    print(text)
    if options.write:
        page_path("cluster").write_text(text, "utf-8")
    return int(any(row["other"] or row["lost"] or row["doubled"] for row in rows))


def calm(cluster: Cluster, inputs: tuple[Path, Path], folder: Path) -> float:
    """Return the seconds of a run that nothing disturbs."""
    begin = time.perf_counter()
    if cluster.predict(*inputs, folder / "calm").wait(LONGEST_SECONDS):
        sys.exit("the undisturbed run has failed")
    return time.perf_counter() - begin


def measure(
    fault: str,
    num_moments: int,
    seconds: float,
    cluster: Cluster,
    inputs: tuple[Path, Path],
    *,
    alone: Predictions,
) -> dict[str, Any]:
    """Return what one fault did at some random moments."""
    row: dict[str, Any] = {"fault": fault, "moments": 0, "other": 0, "lost": 0, "doubled": 0, "late": []}
    ids = set(alone.ids)
    while row["moments"] < num_moments:
        out, moment = inputs[0].parent / f"{fault}-{row['moments']}", random.uniform(0, seconds)
        shutil.rmtree(out, ignore_errors=True)
        taken, is_early = run_disturbed(fault, moment, cluster, inputs, out)
        made = Predictions.open(out).ids
        row["lost"] += len(ids - set(made))
        row["doubled"] += len(made) - len(set(made))
        is_same = Predictions.open(out).manifest.files == alone.manifest.files and not work_dir(out).exists()
        print(f"{fault} at {moment:.1f} s: {taken:.1f} s, {'same' if is_same else 'OTHER'} files", flush=True)
        shutil.rmtree(out)
        row["other"] += not is_same
        if is_early:
            row["moments"] += 1
            row["late"].append(taken - seconds)
        if fault in ("node", "network"):
            restart(cluster)
    return row


def table(rows: list[dict[str, Any]], options: argparse.Namespace, seconds: float) -> str:
    lines = [
        "# Two machines that die\n",
        *(f"- {name.replace('_', ' ')}: {value}" for name, value in describe_machine().items()),
        f"- date: {date.today()}",
        f"- command: `make faults-cluster`, which is `python benchmarks/cluster_faults.py --times {options.times}`",
        f"- load average at the end: {os.getloadavg()[0]:.1f}\n",
        f"Two nodes of one CPU each in network namespaces of this machine; {options.rows:,} rows of 12 messages each, "
        f"{seconds:.1f} s undisturbed. *Longer* is a disturbed run less the undisturbed one.\n",
        "| fault | random moments | rows lost | rows doubled | files that differ from those of one process "
        "| longer, median (longest), s |",
        "|---|---|---|---|---|---|",
    ]
    for row in rows:
        late = sorted(row["late"])
        lines.append(
            f"| {row['fault']} | {row['moments']} | {row['lost']} | {row['doubled']} | {row['other']} "
            f"| {late[len(late) // 2]:.1f} ({late[-1]:.1f}) |"
        )
    return "\n".join(lines) + "\n"


def billion(alone: Predictions) -> str:
    """Return what a billion such rows take, from what these took."""
    num_rows, digest = 1_000_000_000, "0" * 64
    num_units = -(-num_rows // UNIT_ROWS)
    part = FinishedPart(num_units, {"parquet": digest, "table.csv": digest}, count_found(EMPTY))
    line = len(msgspec.json.encode(part))
    row_bytes = alone.size_bytes / alone.frame().height
    entry = len(f'"part-000000.parquet": {{"sha256": "{digest}", "bytes": 1000000}},')
    rows = {
        "units": f"{num_units:,}",
        "ledger": f"{num_units * line / 1e6:.0f} MB, {line} bytes a unit; on a bucket {num_units:,} objects",
        "answers and table": f"{num_rows * row_bytes / 1e9:.0f} GB, {row_bytes:.0f} bytes a row",
        "manifest": f"as ever on a disk; on a bucket, where parts stay, {2 * num_units * entry / 1e6:.0f} MB",
        "listing of a bucket": f"{-(-2 * num_units // 1000):,} requests of 1,000 names for parts, "
        f"{-(-num_units // 1000):,} for the ledger, and {num_units:,} reads of it where a driver was killed",
    }
    lines = [f"| {name} | {value} |" for name, value in rows.items()]
    first = (
        "On a disk the first thing that breaks is that the driver alone puts all parts together, which reads and "
        "writes all answers once more. On a bucket it is the ledger of a driver that was killed, which is read "
        "object by object.\n"
    )
    return "\n".join(["\n## A billion rows, by arithmetic\n", "| what | how much |", "|---|---|", *lines, "", first])


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--times", type=int, default=20, help="of each fault")
    parser.add_argument("--only", nargs="+", choices=FAULTS, default=list(FAULTS))
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--write", action="store_true")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
