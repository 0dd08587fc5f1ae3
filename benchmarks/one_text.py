"""Where the time of one text goes, part by part and operator by operator.

    python benchmarks/one_text.py models/bert-int8 texts.txt     # an ONNX Bundle, and texts one a line

One thread, alone in its process. The clock is that of the thread, so other programs count only by the caches they take;
the least of all texts stands beside the middle. Operators are timed by onnxruntime's own profiler, which itself takes
about a microsecond each.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from heading import machine_lines

import yanmo
from yanmo.runtimes.batching import make_batch
from yanmo.runtimes.onnx import ONNX_FILE, make_feed
from yanmo.text.inputs import Inputs

NUM_TEXTS, ROUNDS = 200, 5
NUM_PROFILED = 100


def main() -> int:
    bundle, file = map(Path, sys.argv[1:3])
    # Texts of middling length alone: what differs between two of them is the machine's doing.
    lines = sorted(file.read_text(encoding="utf-8").splitlines(), key=len)
    texts = lines[len(lines) // 2 :][:NUM_TEXTS]
    predictor: Any = yanmo.load(bundle, num_threads=1)
    runtime = predictor._runtime
    engine, settings = runtime._engine, runtime._settings
    inputs = [Inputs(([text],)) for text in texts]
    encoded = [predictor.encode(one) for one in inputs]

    def feed(one: Any) -> Any:
        batch = make_batch(one.ids, None, np.array([0]), settings.pad_token_id)
        return make_feed(batch, settings.inputs, engine.inputs)

    feeds = [feed(one) for one in encoded]
    print(f"{machine_lines()}\n- onnxruntime {onnxruntime.__version__}\n")
    print("| part | least, µs | middle, µs |\n|---|---|---|")
    show("all: predict_proba", lambda text: predictor.predict_proba([text]), texts)
    show("clean and tokenize", predictor.encode, inputs)
    show("plan, pad, compute, pool", runtime.score, encoded)
    show("of it: pad", feed, encoded)
    show("of it: the engine's call", lambda one: list(engine.run([one])), feeds)
    print("\n| operator | times | least, µs | share |\n|---|---|---|---|")
    print("\n".join(operators(bundle / ONNX_FILE, feeds)))
    return 0


def show(name: str, part: Callable[[Any], object], given: Sequence[Any]) -> None:
    """Print the least and the middle of a part's times."""
    times = []
    for one in list(given) * ROUNDS:
        begin = time.thread_time()
        part(one)
        times.append(1e6 * (time.thread_time() - begin))
    print(f"| {name} | {min(times):.0f} | {np.median(times):.0f} |", flush=True)


def operators(path: Path, feeds: Sequence[Any]) -> list[str]:
    """Return a line for each kind of operator, the dearest first; each node counts by its fastest run."""
    with tempfile.TemporaryDirectory() as folder:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.enable_profiling = True
        options.profile_file_prefix = str(Path(folder, "profile"))
        session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        for one in feeds[:NUM_PROFILED]:
            session.run(None, one)
        events = json.loads(Path(session.end_profiling()).read_text(encoding="utf-8"))
    fastest: dict[tuple[str, str], float] = defaultdict(lambda: float("inf"))
    for event in events:
        if event.get("cat") == "Node" and event["name"].endswith("_kernel_time"):
            node = event["args"]["op_name"], event["name"]
            fastest[node] = min(fastest[node], event["dur"])
    kinds: dict[str, list[float]] = defaultdict(list)
    for (kind, _), microseconds in fastest.items():
        kinds[kind].append(microseconds)
    whole = sum(fastest.values())
    ordered = sorted(kinds.items(), key=lambda one: -sum(one[1]))
    return [f"| {kind} | {len(found)} | {sum(found):.0f} | {sum(found) / whole:.0%} |" for kind, found in ordered]


if __name__ == "__main__":
    sys.exit(main())
