"""Peers behind a real port of 127.0.0.1: the service in a process of its own, this one asks over HTTP."""

import atexit
import http.client
import json
import socket
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

START_SECONDS = 120
CONNECTIONS = {"article_service": 1, "litserve_service": 32}
_local = threading.local()


def start(variant: str, folder: Path, num_threads: int, **options) -> tuple[subprocess.Popen, int]:
    """Start the service of a module, and return its process and its port once it listens.

    Raises:
        ModuleNotFoundError: What it needs is not installed.
    """
    __import__({"article_service": "flask", "litserve_service": "litserve"}[variant])
    port = _free_port()
    command = [sys.executable, "-m", f"peers.{variant}", str(folder), str(port), str(num_threads)]
    service = subprocess.Popen(command, stdout=subprocess.DEVNULL, **options)
    atexit.register(service.kill)
    _wait(service, port)
    return service, port


def open_peer(folder: Path, variant: str, num_threads: int):
    """Start the service of a module and return the function that asks it, one text a request."""
    _, port = start(variant, folder, num_threads)
    pool = ThreadPoolExecutor(CONNECTIONS[variant])

    def ask(text: str) -> list[float]:
        body = json.dumps({"text": text}, ensure_ascii=False).encode()
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        connection.request("POST", "/predict", body, {"content-type": "application/json"})
        answer = connection.getresponse()
        content = answer.read()
        connection.close()
        if answer.status != 200:
            raise RuntimeError(f"{variant} answered {answer.status}: {content[:200]!r}")
        return json.loads(content)["probabilities"]

    def answer(texts: list[str]) -> np.ndarray:
        return np.array(list(pool.map(ask, texts)), dtype=np.float32)

    return answer


def _free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


def _wait(service: subprocess.Popen, port: int) -> None:
    end = time.monotonic() + START_SECONDS
    while time.monotonic() < end:
        if service.poll() is not None:
            raise RuntimeError(f"the service ended with exit code {service.returncode}")
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            time.sleep(0.2)
        else:
            return
    raise TimeoutError(f"the service did not listen within {START_SECONDS} s")
