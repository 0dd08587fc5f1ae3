"""A peer's process from outside: it is stopped while others are measured, and its end is told, never raised."""

import contextlib
import json
import os
import selectors
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

from yanmo.offline import SILENT

BENCHMARKS = Path(__file__).resolve().parents[1]
THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "RAYON_NUM_THREADS")
OPEN_SECONDS = 400
ASK_SECONDS = 120


def environment(num_threads: int) -> dict[str, str]:
    """Return the environment in which every process here computes with the same number of threads."""
    path = os.pathsep.join([str(BENCHMARKS), str(BENCHMARKS.parent / "src"), os.environ.get("PYTHONPATH", "")])
    threads = dict.fromkeys(THREAD_VARIABLES, str(num_threads))
    quiet = {**SILENT, "HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "true", "OMP_WAIT_POLICY": "PASSIVE"}
    return {**os.environ, **threads, **quiet, "PYTHONPATH": path}


class Peer:
    """A running peer.

    Attributes:
        state: Empty while it answers, else why it does not: "not installed: …", "died: SIGFPE", "timed out".
    """

    def __init__(self, module: str, variant: str, folder: Path, num_threads: int) -> None:
        self.state = ""
        self._stderr = tempfile.TemporaryFile()  # noqa: SIM115 - lives as long as the process
        self._process = subprocess.Popen(
            [sys.executable, "-m", "peers.child", module, variant, str(folder), str(num_threads)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._stderr,
            env=environment(num_threads),
            start_new_session=True,
        )
        opened = self._read(OPEN_SECONDS)
        self.state = self.state or opened.get("absent", "")
        self._signal(signal.SIGSTOP)

    def ask(self, **request) -> dict:
        """Return the answer to a request, empty if there is none."""
        if self.state:
            return {}
        self._signal(signal.SIGCONT)
        try:
            self._process.stdin.write((json.dumps(request) + "\n").encode())
            self._process.stdin.flush()
        except BrokenPipeError:
            self.state = self._end()
            return {}
        answer = self._read(ASK_SECONDS)
        self._signal(signal.SIGSTOP)
        return answer

    def close(self) -> None:
        """End the process and those it started."""
        self._signal(signal.SIGKILL)
        self._process.communicate()
        self._stderr.close()

    def _read(self, seconds: float) -> dict:
        with selectors.DefaultSelector() as selector:
            selector.register(self._process.stdout, selectors.EVENT_READ)
            if not selector.select(seconds):
                self.state = f"no answer within {seconds} s"
                return {}
        line = self._process.stdout.readline()
        if not line:
            self.state = self._end()
            return {}
        return json.loads(line)

    def _end(self) -> str:
        code = self._process.wait(30)
        if code < 0:
            return f"died: {signal.Signals(-code).name}"
        self._stderr.seek(0)
        lines = self._stderr.read().decode(errors="replace").strip().splitlines()
        return f"failed: {lines[-1].strip()[:160]}" if lines else f"ended with exit code {code}"

    def _signal(self, number: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, number)
