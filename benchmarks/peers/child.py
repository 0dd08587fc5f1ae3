"""The process of one peer: ``python -m peers.child MODULE VARIANT FOLDER THREADS``, then one JSON request a line.

``{"alone": texts, "seconds": s}`` gives the milliseconds of each text alone; ``{"batches": texts, "seconds": s}`` the
texts per second of each batch of 32; ``{"all": texts}`` the seconds for all at once and the labels. Only the peer's own
function is timed: texts in, scores out.
"""

import importlib
import json
import os
import sys
import time
from pathlib import Path

BATCH_SIZE = 32


def main() -> int:
    module, variant, folder, num_threads = sys.argv[1:]
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what libraries print is no answer

    def say(**values) -> None:
        answers.write(json.dumps(values) + "\n")
        answers.flush()

    try:
        answer = importlib.import_module(f"peers.{module}").open_peer(Path(folder), variant, int(num_threads))
        answer(["很好", "a second text"])
    except ModuleNotFoundError as error:
        say(absent=f"not installed: {error.name}")
        return 0
    say(ready=True)
    for line in sys.stdin:
        say(**_measure(answer, json.loads(line)))
    return 0


def _measure(answer, request: dict) -> dict:
    if "all" in request:
        start = time.perf_counter()
        scores_NC = answer(request["all"])
        seconds = time.perf_counter() - start
        return {"seconds": seconds, "labels": scores_NC.argmax(axis=1).tolist()}
    if "alone" in request:
        return {"ms": [1000 * one for one in _timed(answer, [[text] for text in request["alone"]], request["seconds"])]}
    texts = request["batches"]
    batches = [texts[start : start + BATCH_SIZE] for start in range(0, len(texts) - BATCH_SIZE + 1, BATCH_SIZE)]
    return {"rates": [BATCH_SIZE / one for one in _timed(answer, batches, request["seconds"])]}


def _timed(answer, batches: list[list[str]], limit: float) -> list[float]:
    answer(batches[0])
    seconds = []
    while sum(seconds) < limit or (len(seconds) < 3 and sum(seconds) < 4 * limit):
        batch = batches[len(seconds) % len(batches)]
        start = time.perf_counter()
        answer(batch)
        seconds.append(time.perf_counter() - start)
    return seconds


if __name__ == "__main__":
    sys.exit(main())
