"""The deployment files start the service with flags that it has, and ask routes that it has."""

from __future__ import annotations

import re
import shutil
import subprocess

import pytest
import yaml

from yanmo.serving.config import ServeConfig
from yanmo.serving.routes import ROUTES

FILES = ["Dockerfile", "compose.yaml", "kubernetes.yaml", "yanmo.service"]


@pytest.fixture(scope="module")
def deploy(project_root):
    return project_root / "deploy"


@pytest.mark.parametrize("name", FILES)
def test_flags_and_routes_exist(deploy, name):
    text = (deploy / name).read_text(encoding="utf-8")
    text = re.sub(
        r"^.*(?:pip install|useradd|HEALTHCHECK|python -m venv|kubectl|COPY).*$", "", text, flags=re.MULTILINE
    )
    flags = {flag.replace("-", "_") for flag in re.findall(r"(?<=--)[a-z][a-z-]+", text)}
    assert flags <= set(ServeConfig.model_fields)
    assert set(re.findall(r"path: (/\w+z)\b", text)) <= set(ROUTES)


def test_the_containers_run_without_rights(deploy):
    (service,) = yaml.safe_load((deploy / "compose.yaml").read_text(encoding="utf-8"))["services"].values()
    assert service["read_only"]
    assert service["cap_drop"] == ["ALL"]
    deployment, _ = yaml.safe_load_all((deploy / "kubernetes.yaml").read_text(encoding="utf-8"))
    pod = deployment["spec"]["template"]["spec"]
    assert pod["securityContext"]["runAsNonRoot"]
    (container,) = pod["containers"]
    assert container["securityContext"]["readOnlyRootFilesystem"]
    assert {"startupProbe", "readinessProbe", "livenessProbe"} <= container.keys()
    assert re.search(r"^USER \d+$", (deploy / "Dockerfile").read_text(encoding="utf-8"), re.MULTILINE)


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
