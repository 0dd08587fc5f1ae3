"""The deployment files start the service with flags that it has, and ask routes that it has."""

from __future__ import annotations

import configparser
import re
import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest
import yaml

from yanmo.serving.config import ServeConfig
from yanmo.serving.hosts import HostNames
from yanmo.serving.key import KeyConfig
from yanmo.serving.routes import ROUTES
from yanmo.training.train_config import TrainConfig

KUBERNETES = "kubernetes/deployment.yaml"
FILES = ["Dockerfile", "compose.yaml", KUBERNETES, "yanmo.service"]


@pytest.fixture(scope="module")
def deploy(project_root):
    return project_root / "deploy"


@pytest.mark.parametrize("name", FILES)
def test_flags_and_routes_exist(deploy, name):
    text = (deploy / name).read_text(encoding="utf-8")
    text = re.sub(
        r"^.*(?:pip install|useradd|HEALTHCHECK|fetch_bundle|python -m venv|COPY).*$|^#.*$",
        "",
        text,
        flags=re.MULTILINE,
    )
    flags = {flag.replace("-", "_") for flag in re.findall(r"(?<=--)[a-z][a-z-]+", text)}
    assert flags <= set(ServeConfig.model_fields)
    assert set(re.findall(r"path: (/\w+z)\b", text)) <= set(ROUTES)


def test_the_containers_run_without_rights(deploy):
    (service,) = yaml.safe_load((deploy / "compose.yaml").read_text(encoding="utf-8"))["services"].values()
    assert service["read_only"]
    assert service["cap_drop"] == ["ALL"]
    pod = yaml.safe_load((deploy / KUBERNETES).read_text(encoding="utf-8"))["spec"]["template"]["spec"]
    assert pod["securityContext"]["runAsNonRoot"]
    for container in pod["containers"] + pod["initContainers"]:
        assert container["securityContext"] == {
            "readOnlyRootFilesystem": True,
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
        }
    (container,) = pod["containers"]
    assert {"startupProbe", "readinessProbe", "livenessProbe"} <= container.keys()
    assert re.search(r"^USER \d+$", (deploy / "Dockerfile").read_text(encoding="utf-8"), re.MULTILINE)


@pytest.mark.parametrize(
    ("name", "hosts"),
    [
        ("compose.yaml", ["yanmo", "yanmo:8000"]),
        (KUBERNETES, ["yanmo", "yanmo.default", "yanmo.default.svc", "yanmo.default.svc.cluster.local:80"]),
    ],
)
def test_clients_inside_reach_the_service_by_its_names(deploy, name, hosts):
    given = re.search(r'--hosts, "?([^"\]]+)"?\]', (deploy / name).read_text(encoding="utf-8"))
    names = HostNames(ServeConfig(hosts=tuple(given[1].split(","))).hosts, host="0.0.0.0")
    assert [host for host in hosts if not names.has(host.encode())] == []
    assert not names.has(b"evil.example")


@pytest.mark.parametrize("name", ["compose.yaml", "yanmo.service"])
def test_the_keys_are_made_where_the_service_reads_them_and_left_to_its_group(deploy, name):
    text = (deploy / name).read_text(encoding="utf-8")
    (made,) = re.findall(r"^# .*yanmo key (--.+)$", text, re.MULTILINE)
    given = dict(zip(made.split()[::2], made.split()[1::2], strict=True))
    assert {flag.removeprefix("--") for flag in given} <= set(KeyConfig.model_fields)
    (group, file), (mode, same) = re.findall(r"(?:chgrp|chmod) (\S+) (\S+)", text)
    assert (file, same, mode) == (given["--file"], file, "640")
    if name == "yanmo.service":
        assert f"--api-keys {file} " in text
        assert f"SupplementaryGroups={group}\n" in text
        assert group != "yanmo", "a dynamic user is refused where a group alone has its name"
    else:
        (service,) = yaml.safe_load(text)["services"].values()
        folder = Path(file).relative_to("deploy").parent
        image = (deploy / "Dockerfile").read_text(encoding="utf-8")
        read = Path(re.search(r'"--api-keys", "(.+)"', image)[1])
        assert f"./{folder}:{read.parent}:ro" in service["volumes"], "the folder: a file alone would stay the old one"
        assert read.name == Path(file).name
        assert f"--gid {group} " in image


def test_the_engine_is_told_not_to_report_its_use(deploy):
    pattern = re.compile(r"ORT_DISABLE_TELEMETRY(?:=|: |, value: )\"?1\b")
    assert [name for name in FILES if not pattern.search((deploy / name).read_text(encoding="utf-8"))] == []


def test_systemd_ends_the_service_and_lets_it_end_its_workers(deploy):
    unit = configparser.ConfigParser(interpolation=None)
    unit.optionxform = str
    unit.read_string((deploy / "yanmo.service").read_text(encoding="utf-8"))
    assert unit["Service"]["KillMode"] == "mixed"
    assert int(unit["Service"]["TimeoutStopSec"]) > ServeConfig().drain_seconds


def test_the_image_is_built_of_what_it_needs_and_nothing_else(deploy, project_root):
    lines = (project_root / ".dockerignore").read_text(encoding="utf-8").splitlines()
    rules = [line for line in lines if line and not line.startswith("#")]
    assert rules[0] == "*"
    admitted = {rule.removeprefix("!") for rule in rules if rule.startswith("!")}
    assert not [rule for rule in rules[1:] if not rule.startswith(("!", "**/"))]
    project = tomllib.loads((project_root / "pyproject.toml").read_text(encoding="utf-8"))
    wheel = project["tool"]["hatch"]["build"]["targets"]["wheel"]
    image = (deploy / "Dockerfile").read_text(encoding="utf-8")
    needed = {"pyproject.toml", project["project"]["readme"], *project["project"]["license-files"]}
    needed |= {package.partition("/")[0] for package in wheel["packages"]} | set(wheel["force-include"])
    needed |= set(re.findall(r"-c /source/(\S+)", image))
    assert admitted == needed
    assert all((project_root / path).exists() for path in admitted)


def test_systemd_reads_the_unit(deploy, tmp_path):
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd-analyze is not installed")
    text = (deploy / "yanmo.service").read_text(encoding="utf-8").replace("/opt/yanmo/bin/yanmo", shutil.which("true"))
    (tmp_path / "yanmo.service").write_text(text, encoding="utf-8")
    done = subprocess.run(
        ["systemd-analyze", "verify", tmp_path / "yanmo.service"], capture_output=True, text=True, check=False
    )
    assert "yanmo.service" not in done.stderr
    assert done.returncode == 0


@pytest.fixture
def launched(deploy, tmp_path):
    """Return what a launch file gives to torchrun."""
    (tmp_path / "torchrun").write_text('#!/bin/sh\nprintf "%s\\n" "${GLOO_SOCKET_IFNAME-unset}" "$@"\n')
    (tmp_path / "torchrun").chmod(0o755)

    def launch(name, *words, **variables):
        environment = {"PATH": f"{tmp_path}:/usr/bin:/bin", **variables}
        command = ["sh", str(deploy / "training" / name), *words]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        return done.stdout.splitlines() if not done.returncode else done.stderr

    return launch


TRAIN = ["yanmo", "train", "data", "--out", "a model"]


def test_machines_with_numbers_are_told_theirs(launched):
    interface, *told = launched("static.sh", "1", *TRAIN, HEAD="10.0.0.1", NUM_MACHINES="2", INTERFACE="eth1")
    assert interface == "eth1"
    assert told[-5:] == TRAIN
    assert told[told.index("--node-rank") + 1] == "1"
    assert told[told.index("--master-addr") + 1] == "10.0.0.1"
    assert "HEAD: the address of machine 0" in launched("static.sh", "0", *TRAIN, NUM_MACHINES="2")


@pytest.mark.parametrize(("address", "is_host"), [("10.0.0.1", "true"), ("10.0.0.2", "false")])
def test_one_of_the_machines_that_find_each_other_keeps_the_list(launched, address, is_host):
    interface, *told = launched("c10d.sh", *TRAIN, HEAD="10.0.0.1", NUM_MACHINES="2", ADDRESS=address)
    assert interface == "unset"
    assert told[-5:] == TRAIN
    assert f"is_host={is_host}" in told
    assert told[told.index("--max-restarts") + 1] == "0"


def test_the_pods_of_a_training_are_as_many_as_torchrun_waits_for(deploy):
    file = deploy / "training" / "indexed-job.yaml"
    service, job = yaml.safe_load_all(file.read_text(encoding="utf-8"))
    spec = job["spec"]
    pod = spec["template"]["spec"]
    (container,) = pod["containers"]
    (command,) = container["args"]
    assert spec["completionMode"] == "Indexed"
    assert spec["completions"] == spec["parallelism"] == int(re.search(r"--nnodes (\d+)", command)[1])
    assert service["spec"]["selector"] == spec["template"]["metadata"]["labels"]
    name = service["metadata"]["name"]
    assert pod["subdomain"] == name
    # Kubernetes names the Pod after the Job, and the Service makes that an address.
    assert f"--master-addr {job['metadata']['name']}-0.{name} " in command
    assert container["securityContext"]["readOnlyRootFilesystem"]
    flags = {flag.replace("-", "_") for flag in re.findall(r"--([a-z-]+)", command.partition("yanmo train")[2])}
    assert flags - {"out"} <= set(TrainConfig.model_fields)
