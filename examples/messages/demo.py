"""The main job, end to end, on the embedded data: raw file → Dataset → models → put together, made small, served.

Run it with ``make demo``. Everything it makes is in ``demo/``; nothing touches a network but this machine's own
loopback address.
"""

import json
import logging
import shutil
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import yanmo
from yanmo.offline import own_folders

OUT = Path(__file__).resolve().parents[2] / "demo"
QUESTIONS = ["什么时候能到啊，都五天了", "The zipper broke on the first day :(", "发票抬头填错了能重开吗？"]


def main() -> int:
    """Run the demo and return the exit code."""
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    started = time.perf_counter()
    shutil.rmtree(OUT, ignore_errors=True)
    print("1/5  yanmo init, yanmo run: prepare, train four models, ensemble, cascade, distill, quantize, compare")
    yanmo.init(OUT)
    report = yanmo.run(OUT / "pipeline.toml")
    rows, num_rows = report.metrics["rows"], report.metrics["num_rows"]
    show_table(rows)
    show_choice(rows, num_rows)
    best = max(rows, key=lambda row: (row["accuracy"], -row["latency_ms"]))["name"]
    folders = (OUT / "runs" / "models" / best, OUT / "runs" / best)
    service = export_if_needed(yanmo.Bundle.open(next(folder for folder in folders if folder.is_dir())))
    print(f"3/5  start the service of {service.name}")
    command = [sys.executable, "-m", "yanmo", "serve", str(service.path), "--port", "0"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as server:
        try:
            ask(server_url(server))
        finally:
            server.terminate()
    print(f"5/5  service stopped, exit code {server.returncode}")
    print(f"done in {time.perf_counter() - started:.0f} s. The report: {report.html_path}")
    return server.returncode


def show_table(rows: list[dict]) -> None:
    """Print the comparison of all models."""
    header = ("model", "accuracy", "95 % interval", "macro-F1", "size", "one text")
    print("\n{:28} {:>8}  {:>15}  {:>8}  {:>9}  {:>9}".format(*header))
    for row in rows:
        low, high = row["accuracy_interval"]
        print(
            f"{row['name']:28} {row['accuracy']:8.1%}  {low:6.1%} – {high:6.1%}  {row['macro_f1']:8.3f}  "
            f"{row['size_mb']:6.1f} MB  {row['latency_ms']:6.2f} ms"
        )
    print()


def show_choice(rows: list[dict], num_rows: int) -> None:
    """Say which model is the best, and which costs least of those that these rows cannot tell from it."""
    best = rows[0]
    equal = [row for row in rows if row["behind_best_interval"][1] >= 0]
    cheap = min(equal, key=lambda row: row["latency_ms"])
    print(f"the best: {costs(best)}")
    if cheap is not best:
        times = best["latency_ms"] / cheap["latency_ms"]
        print(f"as good, as far as {num_rows} rows can tell, {times:.0f} times as fast: {costs(cheap)}")
    print()


def costs(row: dict) -> str:
    """Return what a model reaches, and what for."""
    return f"{row['name']}, {row['accuracy']:.1%}, {row['latency_ms']:.2f} ms a text, {row['size_mb']:.1f} MB"


def export_if_needed(best: yanmo.Bundle) -> yanmo.Bundle:
    """Return the Bundle to serve: of a network its graph, which runs without torch; others are served as they are."""
    if best.format != "torch":
        print(f"2/5  the best, {best.name}, is served as it is")
        return best
    print(f"2/5  export the best, {best.name}, to ONNX")
    return yanmo.export(best, out=OUT / "runs" / f"{best.name}-onnx")


def server_url(server: subprocess.Popen) -> str:
    """Wait until the service says its address, and return it."""
    for line in server.stderr:
        if "http://" in line:
            return "http://" + line.split("http://")[1].split()[0]
    raise RuntimeError("the service did not start")


def ask(url: str) -> None:
    """Send every question with POST /predict and print the answers."""
    print(f"4/5  ask {url}/predict")
    for text in QUESTIONS:
        request = urllib.request.Request(
            f"{url}/predict", json.dumps({"text": text}).encode(), {"content-type": "application/json"}
        )
        with urllib.request.urlopen(request, timeout=10) as response:
            answer = json.load(response)
        print(f"     {text}  →  {answer['prediction']} ({answer['probability']:.0%})")


if __name__ == "__main__":
    # As the command line does: matplotlib's notes do not stay in the user's home.
    with own_folders():
        code = main()
    sys.exit(code)
