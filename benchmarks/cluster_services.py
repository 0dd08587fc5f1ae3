"""Two machines that serve, behind nginx: one is killed and one is updated under load, and no request fails.

    make faults-services       # which is: python benchmarks/cluster_services.py --times 3 --write

Needs root, `ip`, `nginx`, `openssl` and `curl`. Two network namespaces of this machine run one service each; the file
of deploy/ with a line for each is in front. While clients ask, one service is killed (SIGKILL) and started again, then
both are updated to another Bundle one after the other: SIGTERM, which lets a service end what it has begun, and a start
with the new Bundle. Every answer must be of one of the two Bundles, and after the update of the new one.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import ssl
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import date
from pathlib import Path

from namespaces import ADDRESSES, HEAD, NODE, inside, network
from pages import page_path

from yanmo.machine import describe_machine

ROOT = Path(__file__).resolve().parents[1]
PORT, PROXY_PORT = 8000, 8443
NAME = "www.example.com"
READY_SECONDS = 60.0
SETTLE_SECONDS = 2.0
NUM_CLIENTS = 4
PAUSE_SECONDS = 0.005
TEXTS = [f"please book table number {number}" for number in range(50)]
NGINX = """
daemon off; pid {folder}/pid; error_log {folder}/nginx.log; worker_processes 1;
events {{ worker_connections 256; }}
http {{
    access_log off;
    client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
    {server}
}}
"""


class Service:
    """The service of one machine.

    Args:
        machine: Its namespace.
        folder: For its log.
    """

    def __init__(self, machine: str, folder: Path) -> None:
        self._machine, self._log = machine, folder / f"{machine}.log"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, bundle: Path) -> None:
        """Serve a Bundle, and wait until it is ready."""
        where = ["--host", ADDRESSES[self._machine], "--port", str(PORT), "--num-threads", "1", "--name", "intents"]
        proxied = ["--hosts", NAME, "--root-path", "/yanmo", "--proxies", "10.77.0.0/24", "--api-keys"]
        keys = self._log.with_name("keys.toml")
        command = [sys.executable, "-m", "yanmo", "serve", str(bundle), *where, *proxied, str(keys)]
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT / "src")}
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(inside(self._machine, *command), env=environment, stderr=log, stdout=log)
        ask = [
            "curl",
            "-sf",
            "-o",
            "/dev/null",
            "-H",
            f"host: {NAME}",
            f"http://{ADDRESSES[self._machine]}:{PORT}/yanmo/readyz",
        ]
        end = time.monotonic() + READY_SECONDS
        while subprocess.run(inside(self._machine, *ask), check=False).returncode:
            if time.monotonic() > end or self._process.poll() is not None:
                sys.exit(self._log.read_text())
            time.sleep(0.1)

    def end(self, *, politely: bool) -> None:
        """End the service: politely it ends what it has begun."""
        assert self._process is not None
        # The process of `ip` has become the service's.
        (self._process.terminate if politely else self._process.kill)()
        self._process.wait(READY_SECONDS)


@contextmanager
def nginx(folder: Path) -> Iterator[Path]:
    """Run nginx on the first machine in front of both; give the certificate that clients trust."""
    pem = {kind: folder / f"{kind}.pem" for kind in ("fullchain", "privkey")}
    make = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", f"/CN={NAME}"]
    names = ["-addext", f"subjectAltName=DNS:{NAME}", "-keyout", str(pem["privkey"]), "-out", str(pem["fullchain"])]
    subprocess.run([*make, *names], check=True, capture_output=True)
    server = (ROOT / "deploy" / "nginx.conf").read_text("utf-8")
    line = "    server 127.0.0.1:8000 max_fails=3 fail_timeout=2s;\n"
    both = "".join(line.replace("127.0.0.1:8000", f"{address}:{PORT}") for address in ADDRESSES.values())
    changes = {line: both, "listen 443": f"listen {ADDRESSES[HEAD]}:{PROXY_PORT}"}
    changes |= {f"/etc/nginx/tls/{kind}.pem": str(path) for kind, path in pem.items()}
    for before, after in changes.items():
        assert before in server, before
        server = server.replace(before, after)
    (folder / "nginx.conf").write_text(NGINX.format(folder=folder, server=server), "utf-8")
    process = subprocess.Popen(inside(HEAD, "nginx", "-c", str(folder / "nginx.conf")), stderr=subprocess.DEVNULL)
    try:
        yield pem["fullchain"]
    finally:
        process.terminate()
        process.wait()


def ask_for(key: str, certificate: str) -> None:
    """Ask nginx until standard input ends, from some connections at once; print status, prediction and time of each."""
    is_over = threading.Event()
    trust = ssl.create_default_context(cafile=certificate)

    def ask() -> None:
        place = 0
        while not is_over.is_set():
            place += 1
            # One string: another thread writes between two.
            sys.stdout.write("\t".join(_ask_once(trust, key, TEXTS[place % len(TEXTS)])) + "\n")
            sys.stdout.flush()
            time.sleep(PAUSE_SECONDS)

    threads = [threading.Thread(target=ask) for _ in range(NUM_CLIENTS)]
    for thread in threads:
        thread.start()
    sys.stdin.read()
    is_over.set()


def _ask_once(trust: ssl.SSLContext, key: str, text: str) -> tuple[str, str, str]:
    connection = http.client.HTTPSConnection(ADDRESSES[HEAD], PROXY_PORT, timeout=20, context=trust)
    trust.check_hostname = False
    headers = {"host": NAME, "content-type": "application/json", "authorization": f"Bearer {key}"}
    try:
        connection.request("POST", "/yanmo/predict", json.dumps({"text": text}).encode(), headers)
        reply = connection.getresponse()
        body = reply.read()
        said = json.loads(body)["digest"][:12] if reply.status == 200 else body[:80].decode(errors="replace")
        return str(reply.status), said, f"{time.time():.3f}"
    except (OSError, http.client.HTTPException) as error:
        return type(error).__name__, "", f"{time.time():.3f}"
    finally:
        connection.close()


@contextmanager
def load(key: str, certificate: Path) -> Iterator[list[tuple[str, str, float]]]:
    """Ask in the block; the list has all answers when it is over."""
    command = [sys.executable, __file__, "--ask", key, str(certificate)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
    answers: list[tuple[str, str, float]] = []
    with subprocess.Popen(
        inside(HEAD, *command), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
    ) as process:
        assert process.stdout is not None
        lines = process.stdout
        reader = threading.Thread(target=lambda: answers.extend(_read(line) for line in lines))
        reader.start()
        time.sleep(SETTLE_SECONDS)
        yield answers
        time.sleep(SETTLE_SECONDS)
        assert process.stdin is not None
        process.stdin.close()
        reader.join()


def _read(line: str) -> tuple[str, str, float]:
    status, said, when = line.rstrip("\n").split("\t")
    return status, said, float(when)


def prepare(folder: Path) -> tuple[list[Path], str]:
    """Return two Bundles, and a key of the service."""
    yanmo = [sys.executable, "-m", "yanmo"]
    data, bundles = folder / "data", [folder / name for name in ("old", "new")]
    messages = ROOT / "examples" / "messages" / "messages.csv"
    subprocess.run(
        [*yanmo, "prepare", str(messages), "--label", "intent", "--out", str(data)], check=True, capture_output=True
    )
    for bundle, model in zip(bundles, ("linear", "ngram"), strict=True):
        train = ["train", str(data), "--model", model, "--num-threads", "1", "--out", str(bundle)]
        subprocess.run([*yanmo, *train], check=True, capture_output=True)
    made = [*yanmo, "key", "--label", "load", "--file", str(folder / "keys.toml")]
    key = subprocess.run(made, check=True, capture_output=True, text=True).stdout
    key = next(word for word in key.split() if word.startswith("yk_"))
    return bundles, key


def disturb(services: list[Service], bundles: list[Path]) -> dict[str, Callable[[], None]]:
    """Return what is done to the services, by name."""
    old, new = bundles

    def kill() -> None:
        services[1].end(politely=False)
        time.sleep(SETTLE_SECONDS)
        services[1].start(old)

    def update() -> None:
        for service in services:
            service.end(politely=True)
            service.start(new)

    return {"one is killed, and started again": kill, "both are updated, one after the other": update}


def main() -> int:
    options = parse()
    if options.ask:
        ask_for(*options.ask)
        return 0
    rows: Counter[tuple[str, str]] = Counter()
    with tempfile.TemporaryDirectory(prefix="yanmo-") as name, network(), ExitStack() as stack:
        folder = Path(name)
        bundles, key = prepare(folder)
        services = [Service(machine, folder) for machine in (HEAD, NODE)]
        for service in services:
            service.start(bundles[0])
            stack.callback(service.end, politely=False)
        certificate = stack.enter_context(nginx(folder))
        faults = disturb(services, bundles)
        for fault, do in list(faults.items()) * options.times:
            with load(key, certificate) as answers:
                do()
                done = time.time()
            late = {said for _, said, when in answers if when > done + 1}
            rows[fault, "times"] += 1
            rows[fault, "requests"] += len(answers)
            rows[fault, "failed"] += sum(status != "200" for status, _, _ in answers)
            rows[fault, "mixed"] += "updated" in fault and len(late) != 1
            print(fault, Counter(status for status, _, _ in answers), sorted(late), flush=True)
            if "updated" in fault:
                bundles.reverse()
                faults = disturb(services, bundles)
    text = page(rows, list(disturb([], bundles)), options.times)
    print(text)
    if options.write:
        page_path("cluster_services").write_text(text, "utf-8")
    return int(any(rows[fault, name] for fault, _ in rows for name in ("failed", "mixed")))


def page(rows: Counter[tuple[str, str]], faults: list[str], times: int) -> str:
    return "\n".join(
        [
            "# Two machines that serve, behind nginx\n",
            *(f"- {name.replace('_', ' ')}: {value}" for name, value in describe_machine().items()),
            f"- date: {date.today()}",
            f"- command: `make faults-services`, which is `python benchmarks/cluster_services.py --times {times}`",
            f"- load average at the end: {os.getloadavg()[0]:.1f}\n",
            f"Two network namespaces of this machine, {NUM_CLIENTS} clients, a connection for each request.\n",
            "| under load | times | requests | failed | after it answers of two Bundles |",
            "|---|---|---|---|---|",
            *(
                f"| {one} | "
                + " | ".join(str(rows[one, name]) for name in ("times", "requests", "failed", "mixed"))
                + " |"
                for one in faults
            ),
            "",
        ]
    )


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--times", type=int, default=3, help="how often each is done")
    parser.add_argument("--write", action="store_true")
    parser.add_argument("--ask", nargs=2, metavar=("KEY", "CERTIFICATE"), help=argparse.SUPPRESS)
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
