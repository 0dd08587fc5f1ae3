"""What the service promises about texts that it writes: who joins, who goes, and whole characters.

    python benchmarks/writing_service.py WRITER [--num-streams 15] [--num-texts 1000] [--threads 2]

WRITER is a Bundle of format decoder. Client and service share the machine. A request joins streams that are under way;
all streams together are held against the same texts from `yanmo.load_writer`; streams are cut; and answers are read
event by event, of which none may hold a piece of a character.
"""

import argparse
import http.client
import json
import statistics
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from heading import machine_lines
from processes import service
from promises import Kept

import yanmo

PROMPT = "the "
JSON = {"content-type": "application/json"}
NUM_NEW = 200
NUM_TRIES = 5
BROKEN = "\ufffd"


def stream(port: int, **options: object) -> Iterator[str]:
    """Yield the pieces of one text; whoever stops asking closes the connection."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=300)
    body = {"prompt": PROMPT, "stream": True, "max_tokens": NUM_NEW, "logit_bias": {"0": -100}, **options}
    try:
        connection.request("POST", "/v1/completions", json.dumps(body), JSON)
        for line in connection.getresponse():
            if line.startswith(b"data: {"):
                yield from (choice["text"] for choice in json.loads(line[6:])["choices"])
    finally:
        connection.close()


def first_seconds(port: int, seed: int) -> float:
    """Return how long a request waits for its first token."""
    begin = time.perf_counter()
    for _ in stream(port, seed=seed, max_tokens=1, logprobs=0):
        return time.perf_counter() - begin
    raise RuntimeError("the service wrote nothing")


def metric(port: int, name: str) -> float:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    connection.request("GET", "/metrics")
    lines = connection.getresponse().read().decode().splitlines()
    connection.close()
    return sum(float(line.rsplit(" ", 1)[1]) for line in lines if line.startswith(f"yanmo_{name}{{"))


def read_all(port: int, count: int, **options: object) -> tuple[list[str], float]:
    """Return the texts of some streams at a time, and how long all took."""
    texts = [""] * count
    begin = time.perf_counter()

    def read(place: int) -> None:
        texts[place] = "".join(stream(port, seed=place, **options))

    threads = [threading.Thread(target=read, args=(place,)) for place in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return texts, time.perf_counter() - begin


def check_joining(port: int, num_streams: int) -> Kept:
    alone = statistics.median(first_seconds(port, seed) for seed in range(NUM_TRIES))
    joined = []
    for seed in range(NUM_TRIES):
        under_way = [stream(port, seed=place) for place in range(num_streams)]
        for one in under_way:
            next(one)
        joined.append(first_seconds(port, seed))
        for one in under_way:
            one.close()
        while metric(port, "rows"):
            time.sleep(0.01)
    ratio = statistics.median(joined) / alone
    found = f"{1e3 * statistics.median(joined):.1f} ms, alone {1e3 * alone:.1f} ms: {ratio:.2f} ×"
    return Kept(f"first token of a request that joins {num_streams} streams: at most 2 × alone", found, ratio <= 2)


def check_speed(writer: Path, port: int, num_streams: int, num_threads: int) -> Kept:
    count = num_streams + 1
    _, seconds = read_all(port, count)
    with yanmo.load_writer(writer, num_threads=num_threads, num_rows=count) as opened:
        begin = time.perf_counter()
        opened.write([PROMPT] * count, max_new_tokens=NUM_NEW, bias=["0=-100"])
        alone = time.perf_counter() - begin
    share = alone / seconds
    found = f"{count * NUM_NEW / seconds:,.0f} tokens/s, load_writer {count * NUM_NEW / alone:,.0f}: {share:.0%}"
    return Kept(f"{count} streams together: at least 85 % of the tokens a second without HTTP", found, share >= 0.85)


def check_leaving(port: int) -> Kept:
    late = 0
    for seed in range(NUM_TRIES):
        one = stream(port, seed=seed, logprobs=0)
        begin = time.perf_counter()
        for _ in range(11):
            next(one)
        step = (time.perf_counter() - begin) / 10
        before = metric(port, "written_tokens_total")
        one.close()
        # The metrics are asked over HTTP, which takes some steps of a small model.
        time.sleep(max(10 * step, 0.05))
        late += metric(port, "rows") > 0
        late += metric(port, "written_tokens_total") - before > NUM_NEW / 2
    return Kept("a stream that is cut frees its place", f"{late} of {NUM_TRIES} late", late == 0)


def check_characters(port: int, num_texts: int) -> Kept:
    num_broken = num_differing = 0
    for start in range(0, num_texts, 16):
        count = min(16, num_texts - start)
        options = {"max_tokens": 24, "temperature": 1.5, "user": str(start)}
        texts, _ = read_all(port, count, **options)
        again, _ = read_all(port, count, **options)
        num_broken += sum(BROKEN in text for text in texts)
        num_differing += texts != again
    found = f"{num_broken} broken, {num_differing} that differ the second time"
    return Kept(
        f"whole characters, the same twice, in {num_texts:,} streamed texts", found, not num_broken + num_differing
    )


def main() -> int:
    """Check every promise."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("writer", type=Path)
    parser.add_argument("--num-streams", type=int, default=15)
    parser.add_argument("--num-texts", type=int, default=1000)
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    print(machine_lines())
    rows = options.num_streams + 1
    with service(options.writer, num_threads=options.threads, max_rows=rows, max_writing_tokens=1_000_000) as running:
        for _ in range(2):
            "".join(stream(running.port))
        checks = [
            check_joining(running.port, options.num_streams),
            check_leaving(running.port),
            check_characters(running.port, options.num_texts),
            check_speed(options.writer, running.port, options.num_streams, options.threads),
        ]
    for one in checks:
        print(f"- {one.promise}: {one.found}: {'kept' if one.kept else 'BROKEN'}")
    return int(not all(one.kept for one in checks))


if __name__ == "__main__":
    sys.exit(main())
