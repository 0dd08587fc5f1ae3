"""The command line from a process that has loaded the large packages already, so that pages of many commands are fast.

``warm_yanmo.py serve SOCKET`` loads them and waits; every command is a fork of it. ``ask`` writes the ``yanmo`` that a
shell finds: it hands its arguments, folder, environment and streams over, passes signals on, and ends as the fork does.
What a fresh process does when it starts, the tests of the command line and of the wheel say.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import socket
import subprocess
import sys
import time
import traceback
from pathlib import Path

HEAVY = (
    "polars",
    "onnxruntime",
    "torch",
    "transformers",
    "onnx",
    "sklearn.linear_model",
    "matplotlib.pyplot",
    "yanmo.cli",
)
CLIENT = """#!{python} -IS
import json, os, signal, socket, sys
with socket.socket(socket.AF_UNIX) as line:
    line.connect({path!r})
    asked = json.dumps([sys.argv[1:], os.getcwd(), dict(os.environ)]).encode()
    socket.send_fds(line, [len(asked).to_bytes(4, "big")], [0, 1, 2])
    line.sendall(asked)
    answers = line.makefile()
    fork = int(answers.readline())
    for name in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(name, lambda number, frame: os.kill(fork, number))
    # A fork that was killed says nothing.
    sys.exit(int(answers.readline() or 137))
"""


def serve(path: str) -> None:
    """Answer commands until the process that began this one is gone."""
    for name in HEAVY:
        importlib.import_module(name)
    parent = os.getppid()
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(path)
        listening.listen(64)
        listening.settimeout(1.0)
        while os.getppid() == parent:
            with contextlib.suppress(TimeoutError):
                line, _ = listening.accept()
                if not os.fork():
                    listening.close()
                    answer(line)
                line.close()
            with contextlib.suppress(ChildProcessError):
                while os.waitpid(-1, os.WNOHANG)[0]:
                    pass


def answer(line: socket.socket) -> None:
    """Run one command in this fork and end it."""
    code = 1
    try:
        line.settimeout(None)
        size, streams, _, _ = socket.recv_fds(line, 4, 3)
        arguments, folder, environment = json.loads(line.makefile("rb").read(int.from_bytes(size, "big")))
        # Opened anew: what stood there may be a file in which one can seek, and what comes a pipe.
        for number, (name, mode) in enumerate((("stdin", "r"), ("stdout", "w"), ("stderr", "w"))):
            os.dup2(streams[number], number)
            setattr(sys, name, open(number, mode, encoding="utf-8", closefd=False))  # noqa: SIM115 - it lasts as long as the fork
        os.chdir(folder)
        os.environ.clear()
        os.environ.update(environment)
        line.sendall(f"{os.getpid()}\n".encode())
        code = importlib.import_module("yanmo.cli").main(arguments)
        sys.stdout.flush()
        sys.stderr.flush()
    except SystemExit as error:
        code = error.code if isinstance(error.code, int) else 1
    except BaseException:  # noqa: BLE001 - whatever it is, the shell is to see it
        traceback.print_exc()
    finally:
        line.sendall(f"{code}\n".encode())
        os._exit(code)


@contextlib.contextmanager
def warm_command(folder: Path):
    """Write ``yanmo`` into a folder; it works until the block ends."""
    path = str(folder / "socket")
    server = subprocess.Popen([sys.executable, __file__, "serve", path])
    client = folder / "yanmo"
    client.write_text(CLIENT.format(python=sys.executable, path=path))
    client.chmod(0o755)
    try:
        while not Path(path).exists():
            if server.poll() is not None:
                raise RuntimeError(f"the process that has loaded all ended with {server.returncode}")
            time.sleep(0.05)
        yield client
    finally:
        server.terminate()
        server.wait()


if __name__ == "__main__":
    serve(sys.argv[2])
