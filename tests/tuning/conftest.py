"""A small Dataset whose label is one of three kinds of words; a PostgreSQL of the tests' own."""

import os
import pwd
import shutil
import socket
import subprocess
import tempfile
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from yanmo.artifacts import Dataset
from yanmo.artifacts.base import Identity, publish
from yanmo.text.pipeline import TextConfig

WORDS = {"city": ["paris", "rome", "oslo", "lima"], "fruit": ["apple", "pear", "plum", "fig"], "tool": ["saw", "drill"]}
FILLERS = ["the", "很", "是", "today", "今天", "really"]


def make_rows(num_rows, seed):
    generator = np.random.default_rng(seed)
    labels = [list(WORDS)[place % 3] for place in range(num_rows)]
    texts = [" ".join([generator.choice(WORDS[one]), *generator.choice(FILLERS, 3)]) for one in labels]
    return pl.DataFrame({"id": [f"{seed}-{place}" for place in range(num_rows)], "text": texts, "label": labels})


@pytest.fixture(scope="session")
def dataset(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data") / "words"
    info = {"text": TextConfig().model_dump(mode="json")}
    identity = {"task": "single_label", "labels": list(WORDS), "parents": {}, "config": {}, "info": info}
    with publish(folder, Identity(kind="dataset", verb="prepare", **identity)) as staging:
        for seed, (split, num_rows) in enumerate({"train": 60, "valid": 30}.items()):
            make_rows(num_rows, seed).write_parquet(staging / f"{split}.parquet")
    return Dataset.open(folder)


def postgres_program(name):
    # Debian keeps those of each version apart from the path.
    found = shutil.which(name) or max(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"), default=None)
    if found is None:
        pytest.skip("no PostgreSQL is installed")
    return str(found)


def server_account():
    """Return how to start a program as somebody else than root, under whom PostgreSQL does not run."""
    names = {one.pw_name for one in pwd.getpwall()}
    name = next((one for one in ("postgres", "nobody") if one in names), None)
    return {"user": name, "extra_groups": []} if os.getuid() == 0 else {}


@pytest.fixture(scope="session")
def postgres():
    """The URL of a server that listens on a free port of the loopback; its databases go with it."""
    pytest.importorskip("psycopg", reason="the extra postgresql is not installed")
    initdb, control = postgres_program("initdb"), postgres_program("pg_ctl")
    account = server_account()
    # Not below pytest's own folder, which nobody else may enter.
    with tempfile.TemporaryDirectory() as root, socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
        if account:
            shutil.chown(root, account["user"])
        probe.close()

        def run(*words):
            subprocess.run(words, check=True, cwd=root, stdout=subprocess.DEVNULL, timeout=60, **account)

        data = f"{root}/data"
        run(initdb, "--pgdata", data, "--username", "yanmo", "--auth", "trust", "--no-sync", "--encoding", "UTF8")
        options = f"-p {port} -c listen_addresses=127.0.0.1 -c unix_socket_directories= -c fsync=off"
        run(control, "start", "--wait", "--pgdata", data, "--log", f"{root}/log", "--options", options)
        try:
            yield f"postgresql://yanmo@127.0.0.1:{port}"
        finally:
            # By the number of its process, which it keeps among its data.
            run(control, "stop", "--wait", "--mode", "immediate", "--pgdata", data)


@pytest.fixture
def database(postgres):
    """The URL of an empty database on the server."""
    import psycopg

    with psycopg.connect(f"{postgres}/postgres", autocommit=True) as connection:
        name = f"test_{os.getpid()}_{len(connection.execute('select 1 from pg_database').fetchall())}"
        connection.execute(f"create database {name}")
    return f"{postgres}/{name}"
