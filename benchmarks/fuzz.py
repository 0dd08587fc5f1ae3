"""Look for inputs that break the service: schemathesis on every operation, and atheris on the decoder of bodies.

The service runs in a process of its own and must be alive and ready at the end; an answer of 5xx, an answer that took
longer than a second or one that the document of the API does not allow ends the run. `make fuzz` takes 20 minutes.

    python benchmarks/fuzz.py models/ngram [--seconds 600]
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import urllib.request
from importlib.resources import files
from pathlib import Path

from processes import service

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


def fuzz_operations(url: str, seconds: int) -> None:
    """Let schemathesis ask every operation.

    Raises:
        subprocess.CalledProcessError: It found something.
    """
    document = str(files("yanmo.serving").joinpath("static", "openapi.json"))
    with tempfile.TemporaryDirectory() as folder:
        config = Path(folder, "schemathesis.toml")
        config.write_text(CONFIG, encoding="utf-8")
        command = [sys.executable, "-m", "schemathesis.cli", "--config-file", str(config), "run", document]
        limits = ["--max-time", str(seconds), "--max-response-time", "1", "--suppress-health-check", "all"]
        more = ["--url", url, "--checks", CHECKS, "--warnings", "off", "--continue-on-failure"]
        subprocess.run([*command, *limits, *more], check=True, cwd=folder)


def fuzz_decoder(seconds: int) -> None:
    """Let atheris mutate bodies.

    Raises:
        subprocess.CalledProcessError: It found something.
    """
    with tempfile.TemporaryDirectory() as folder:
        seeds = Path(folder)
        for number, body in enumerate([b'{"text":"a"}', b'{"texts":["a"]}', b'{"inputs":[["a","b"]],"top_k":1}']):
            (seeds / str(number)).write_bytes(body)
        limits = [f"-max_total_time={seconds}", "-max_len=4096", "-timeout=1", "-print_final_stats=1"]
        subprocess.run([sys.executable, "-c", DECODER, str(seeds), *limits], check=True, cwd=folder)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("bundle", type=Path)
    parser.add_argument("--seconds", type=int, default=600, help="for each of the two")
    options = parser.parse_args()
    with service(options.bundle) as running:
        fuzz_operations(running.url, options.seconds)
        with urllib.request.urlopen(f"{running.url}/readyz", timeout=5) as answer:
            assert answer.status == 200
    fuzz_decoder(options.seconds)


if __name__ == "__main__":
    main()
