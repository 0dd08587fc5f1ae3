"""Look for inputs that break the service: schemathesis on every operation, a corpus of bytes, atheris on the decoder.

    python benchmarks/fuzz.py models/ngram                          # 10 minutes each for schemathesis and atheris
    python benchmarks/fuzz.py models/ngram --seconds 60 --only decoder
    python benchmarks/fuzz.py models/ngram --write                  # also into benchmarks/service_HARDWARE_YYYYMM.md

The service runs in a process of its own and must be alive and ready after each part. Broken are an answer of 5xx, one
that takes longer than a second, one that the document of the API does not allow, and a decoder that raises or hangs.
What breaks is printed whole.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable
from importlib.resources import files
from pathlib import Path

import uvloop
from hostile_bodies import hostile_bodies
from load import Reply, ask, post
from processes import Running, service
from promises import Kept, Progress, Section, report

DECODER = """
import sys
import atheris
with atheris.instrument_imports(include=["yanmo.serving"]):
    from yanmo.serving.problems import Problem, encode_problem
    from yanmo.serving.requests import Limits, decode_request
LIMITS = [Limits(1, 64, 1000), Limits(2, 64, 1000)]

def one(data):
    for limits in LIMITS:
        try:
            decode_request(data, limits)
        except Problem as problem:
            encode_problem(problem)

atheris.Setup(sys.argv, one)
atheris.Fuzz()
"""
CONFIG = """
[checks.not_a_server_error]
expected-statuses = ["2xx", "3xx", "4xx", 504]
"""
"""A deadline of a millisecond is asked for, too, and 504 is then the right answer."""
CHECKS = "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance"
SEEDS = [b'{"text":"a"}', b'{"texts":["a"]}', b'{"inputs":[["a","b"]],"top_k":1}']
REQUESTS = re.compile(rb'yanmo_requests_total\{[^}]*status="(\d+)"[^}]*\} (\S+)')


def fuzz_operations(running: Running, seconds: int) -> Section:
    """Let schemathesis ask every operation."""
    document = str(files("yanmo.serving").joinpath("static", "openapi.json"))
    num_operations = sum(len(methods) for methods in json.loads(Path(document).read_bytes())["paths"].values())
    with tempfile.TemporaryDirectory() as folder:
        config = Path(folder, "schemathesis.toml")
        config.write_text(CONFIG, encoding="utf-8")
        command = [sys.executable, "-m", "schemathesis.cli", "--config-file", str(config), "run", document]
        limits = ["--max-time", str(seconds), "--max-response-time", "1", "--suppress-health-check", "all"]
        more = ["--url", running.url, "--checks", CHECKS, "--warnings", "off", "--continue-on-failure"]
        done = subprocess.run([*command, *limits, *more], check=False, cwd=folder, capture_output=True, text=True)
    if done.returncode:
        print(done.stdout[-20_000:] + done.stderr[-2000:], file=sys.stderr)
    statuses = asked(running)
    failed = sum(count for status, count in statuses.items() if status >= 500 and status != 504)
    said = [line.strip() for line in done.stdout.splitlines() if re.search(r"generated|operations?:", line.lower())]
    rows = [
        Kept("every operation, nothing found", f"exit code {done.returncode}; {'; '.join(said)}", not done.returncode),
        Kept("0 answers of 5xx", f"{failed} of {statuses.total():,} by the service's own count", failed == 0),
        still_ready(running),
    ]
    return Section(f"schemathesis for {seconds} s on {num_operations} operations", rows)


def asked(running: Running) -> Counter[int]:
    """Return how many requests of each status the service has counted."""
    metrics = uvloop.run(ask(running.port, b"GET /metrics HTTP/1.1\r\nhost: localhost\r\n\r\n")).body
    found = Counter[int]()
    for status, count in REQUESTS.findall(metrics):
        found[int(status)] += int(float(count))
    return found


def still_ready(running: Running) -> Kept:
    reply = uvloop.run(ask(running.port, b"GET /readyz HTTP/1.1\r\nhost: localhost\r\n\r\n"))
    return Kept("ready afterwards", str(reply.status), reply.status == 200)


def fuzz_corpus(running: Running, seconds: int) -> Section:  # noqa: ARG001 - it ends by itself
    """Send every body of the corpus."""
    replies: dict[str, Reply] = {}
    wrong = []
    for name, body, codes in hostile_bodies():
        reply = replies[name] = uvloop.run(ask(running.port, post(None, body=body)))
        code = json.loads(reply.body)["code"] if reply.status >= 400 else ""
        if reply.status != 400 or (codes and code not in codes):
            wrong.append(f"{name}: {reply.status} {code}")
    slowest = max(reply.seconds for reply in replies.values())
    rows = [
        Kept("≥ 150 probes, each gets 400 and its code", f"{len(replies)} probes {' '.join(wrong)}", not wrong),
        Kept("none takes over 1 s", f"{slowest * 1e3:.0f} ms at most", slowest <= 1 and len(replies) >= 150),
        still_ready(running),
    ]
    return Section("The corpus of hostile bodies, against the running service", rows)


def fuzz_decoder(running: Running, seconds: int) -> Section:  # noqa: ARG001 - it needs no service
    """Let atheris mutate bodies, beginning with the corpus."""
    with tempfile.TemporaryDirectory() as folder:
        for number, body in enumerate([*SEEDS, *(body for _, body, _ in hostile_bodies() if len(body) <= 4096)]):
            Path(folder, str(number)).write_bytes(body)
        limits = [f"-max_total_time={seconds}", "-max_len=4096", "-timeout=1", "-print_final_stats=1", "-seed=1"]
        done = subprocess.run(
            [sys.executable, "-c", DECODER, folder, *limits], check=False, cwd=folder, capture_output=True, text=True
        )
    if done.returncode:
        print(done.stdout[-5000:] + done.stderr[-20_000:], file=sys.stderr)
    found = dict(re.findall(r"stat::(\w+):\s+(\d+)", done.stderr))
    runs, longest = int(found.get("number_of_executed_units", 0)), int(found.get("slowest_unit_time_sec", 0))
    rows = [
        Kept("0 crashes", f"exit code {done.returncode} after {runs:,} bodies", done.returncode == 0 and runs > 0),
        Kept("0 hangs over 1 s", f"{longest} s at most", longest <= 1 and done.returncode == 0),
    ]
    return Section(f"atheris on the decoder for {seconds} s", rows)


PARTS: dict[str, Callable[[Running, int], Section]] = {
    "corpus": fuzz_corpus,
    "operations": fuzz_operations,
    "decoder": fuzz_decoder,
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bundle", type=Path)
    parser.add_argument("--seconds", type=int, default=600, help="for schemathesis, and as many for atheris")
    parser.add_argument(
        "--only", type=lambda text: text.split(","), default=list(PARTS), help=f"some of {','.join(PARTS)}"
    )
    parser.add_argument("--write", action="store_true", help="also write the dated page")
    options = parser.parse_args()
    progress, kept = Progress(), True
    with service(options.bundle) as running:
        for part in options.only:
            progress.begin(part)
            section = PARTS[part](running, options.seconds)
            progress.end(part)
            kept &= report(part, section, write=options.write)
    return 0 if kept else 1


if __name__ == "__main__":
    sys.exit(main())
