"""Peak memory of `yanmo prepare` on synthetic rows of 177 characters, English and Chinese.

    python benchmarks/prepare.py [--rows 500000 5000000] [--language en zh] [--write]

The texts are drawn by seed: words of random letters, or random characters of 3,000; 20 to 334 characters a text, 177 in
the mean, 20 labels. Every command is a process of its own, whose high-water mark of resident memory (VmHWM) counts, all
threads and libraries included. Five million rows need 8 GB of disk in the temporary folder. `--write` writes the page.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from datetime import date
from pathlib import Path

import numpy as np
import polars as pl
from heading import machine_lines
from pages import page_path

SEED = 7
SHORTEST, LONGEST = 20, 334
NUM_LABELS = 20
BLOCK_ROWS = 10_000
CHILD = """
import resource, sys
from pathlib import Path
from yanmo.cli import main
code = main(sys.argv[1:])
used = resource.getrusage(resource.RUSAGE_SELF)
peak = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
print(int(peak.split()[1]) / 1024, used.ru_utime + used.ru_stime)
sys.exit(code)
"""
PAGE = """# Memory of prepare

{machine}
- {today}, Python {python}, polars {polars}
- synthetic rows, {shortest} to {longest} characters a text, 177 in the mean, {labels} labels, seed {seed}
- command: `{command}`

```
{table}
```

The peak is that of the whole process (VmHWM): Python, libraries and threads. The seconds are those of all threads.
"""


def write_rows(path: Path, num_rows: int, language: str) -> None:
    generator = np.random.default_rng(SEED)
    words = ["".join(map(chr, 97 + generator.integers(0, 26, generator.integers(2, 10)))) for _ in range(20_000)]
    characters = np.array([chr(0x4E00 + place) for place in range(3_000)])
    with path.open("w", encoding="utf-8") as file:
        file.write("text,label\n")
        for start in range(0, num_rows, BLOCK_ROWS):
            height = min(BLOCK_ROWS, num_rows - start)
            lengths = generator.integers(SHORTEST, LONGEST + 1, height)
            labels = generator.integers(0, NUM_LABELS, height)
            size = (height, LONGEST) if language == "zh" else (height, LONGEST // 3)
            drawn = generator.integers(0, 3_000 if language == "zh" else 20_000, size)
            for places, length, label in zip(drawn, lengths, labels, strict=True):
                text = "".join(characters[places[:length]]) if language == "zh" else " ".join(words[p] for p in places)
                file.write(f"{text[:length].strip()},label {label}\n")


def prepare(source: Path, out: Path) -> tuple[float, float]:
    """Return the peak memory in MB and the seconds of CPU of one command."""
    command = [sys.executable, "-c", CHILD, "prepare", str(source), "--out", str(out)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    peak, seconds = map(float, done.stdout.split()[-2:])
    return peak, seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, nargs="+", default=[500_000, 5_000_000])
    parser.add_argument("--language", nargs="+", choices=("en", "zh"), default=["en", "zh"])
    parser.add_argument("--write", action="store_true", help="write the dated page beside this script")
    options = parser.parse_args()
    lines = [f"{'language':10}{'rows':>10}{'file MB':>9}{'peak MB':>9}{'bytes a row':>13}{'CPU s':>7}"]
    print(lines[0], flush=True)
    for language in options.language:
        for num_rows in options.rows:
            with tempfile.TemporaryDirectory() as name:
                source = Path(name) / "rows.csv"
                write_rows(source, num_rows, language)
                peak, seconds = prepare(source, Path(name) / "data")
                size = source.stat().st_size / 1e6
            share = peak * 2**20 / num_rows
            lines.append(f"{language:10}{num_rows:>10,}{size:>9,.0f}{peak:>9,.0f}{share:>13,.0f}{seconds:>7,.0f}")
            print(lines[-1], flush=True)
    if options.write:
        page = PAGE.format(
            machine=machine_lines(),
            today=date.today(),
            python=sys.version.split()[0],
            polars=pl.__version__,
            shortest=SHORTEST,
            longest=LONGEST,
            labels=NUM_LABELS,
            seed=SEED,
            command=" ".join(["python", "benchmarks/prepare.py", *sys.argv[1:]]),
            table="\n".join(lines),
        )
        page_path("prepare").write_text(page, encoding="utf-8")


if __name__ == "__main__":
    main()
