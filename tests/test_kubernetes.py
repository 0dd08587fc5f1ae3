"""The manifests fit the schemas of Kubernetes and each other; only the Bundle with the given digest is fetched."""

from __future__ import annotations

import copy
import functools
import http.server
import io
import os
import subprocess
import sys
import tarfile
import threading

import pytest
import yaml

import yanmo


@pytest.fixture(scope="module")
def folder(project_root):
    return project_root / "deploy" / "kubernetes"


@pytest.fixture(scope="module")
def objects(folder):
    """Every object by kind and name."""
    found = {}
    for path in sorted(folder.rglob("*.yaml")):
        if path.name != "kustomization.yaml":
            for one in yaml.safe_load_all(path.read_text(encoding="utf-8")):
                found[one["kind"], one["metadata"]["name"]] = one
    return found


def test_kubernetes_own_schemas_hold(folder, clients_bin):
    places = [*sorted(folder.glob("*.yaml")), *sorted((folder / "canary").glob("*.yaml"))]
    files = [path for path in places if path.name != "kustomization.yaml"]
    files.append(folder.parent / "training" / "indexed-job.yaml")
    done = subprocess.run(
        [clients_bin / "kubernetes-validate", "--strict", *files], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert (done.stdout + done.stderr).count(" passed ") == len(files) + 2, "service.yaml and indexed-job.yaml have two"


@pytest.mark.parametrize("place", [".", "canary", "monitoring"])
def test_kustomize_is_told_of_every_file_and_of_no_other(folder, place):
    told = yaml.safe_load((folder / place / "kustomization.yaml").read_text(encoding="utf-8"))
    files = {one for generator in told.get("configMapGenerator", []) for one in generator["files"]}
    there = {path.name for path in (folder / place).iterdir() if path.is_file()}
    assert {*told["resources"], *files, "kustomization.yaml"} == there


def test_whatever_selects_pods_selects_these_and_names_ports_that_they_have(objects):
    deployment = objects["Deployment", "yanmo"]
    labels = {"app": "yanmo"}
    assert deployment["spec"]["template"]["metadata"]["labels"] == labels | {"track": "stable"}
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    ports = {one["name"] for one in container["ports"]}
    service, admin = objects["Service", "yanmo"], objects["Service", "yanmo-admin"]
    budget, policy = objects["PodDisruptionBudget", "yanmo"]["spec"], objects["NetworkPolicy", "yanmo"]["spec"]
    # All but the Deployment's own are for the Pods of a canary, too.
    assert deployment["spec"]["selector"]["matchLabels"] == labels | {"track": "stable"}
    assert [one["matchLabels"] for one in (budget["selector"], policy["podSelector"])] == [labels] * 2
    assert service["spec"]["selector"] == admin["spec"]["selector"] == labels
    named = {one["targetPort"] for kind in (service, admin) for one in kind["spec"]["ports"]}
    named |= {one["port"] for rule in policy["ingress"] for one in rule["ports"]}
    named |= {container[probe]["httpGet"]["port"] for probe in ("startupProbe", "readinessProbe", "livenessProbe")}
    assert named == ports
    monitor = objects["ServiceMonitor", "yanmo"]["spec"]
    assert monitor["selector"]["matchLabels"].items() <= admin["metadata"]["labels"].items()
    assert not monitor["selector"]["matchLabels"].items() <= service["metadata"]["labels"].items()
    assert [one["port"] for one in monitor["endpoints"]] == [one["name"] for one in admin["spec"]["ports"]]


def test_an_update_takes_no_pod_away_before_there_is_another(objects):
    deployment, scaler = objects["Deployment", "yanmo"]["spec"], objects["HorizontalPodAutoscaler", "yanmo"]["spec"]
    assert deployment["strategy"]["rollingUpdate"]["maxUnavailable"] == 0
    # What both set would jump between the two with every apply.
    assert "replicas" not in deployment
    target = {name: scaler["scaleTargetRef"][name] for name in ("kind", "name")}
    assert target == {"kind": "Deployment", "name": "yanmo"}
    assert objects["PodDisruptionBudget", "yanmo"]["spec"]["maxUnavailable"] < scaler["minReplicas"]
    pod = deployment["template"]["spec"]
    assert pod["terminationGracePeriodSeconds"] > yanmo.serving.config.ServeConfig().drain_seconds


def test_a_canary_is_the_same_but_for_its_track_its_number_and_its_bundle(objects):
    stable, canary = copy.deepcopy(objects["Deployment", "yanmo"]), copy.deepcopy(objects["Deployment", "yanmo-canary"])
    service = objects["Service", "yanmo"]["spec"]["selector"]
    labels = canary["spec"]["template"]["metadata"]["labels"]
    assert service.items() <= labels.items(), "the Service asks it, too"
    # Neither Deployment takes the Pods of the other one for its own, nor does the autoscaler count them.
    assert canary["spec"]["selector"]["matchLabels"] == labels != stable["spec"]["selector"]["matchLabels"]
    assert canary["spec"].pop("replicas") == 1
    for one in (stable, canary):
        for place in (one["metadata"], one["spec"]["template"]["metadata"]):
            del place["labels"]
        (spread,) = one["spec"]["template"]["spec"]["topologySpreadConstraints"]
        for selector in (one["spec"]["selector"], spread["labelSelector"]):
            del selector["matchLabels"]["track"]
        for variable in one["spec"]["template"]["spec"]["initContainers"][0]["env"]:
            del variable["value"]
        del one["metadata"]["name"]
    assert canary == stable


def test_what_is_mounted_is_there(folder, objects):
    pod = objects["Deployment", "yanmo"]["spec"]["template"]["spec"]
    volumes = {one["name"]: one for one in pod["volumes"]}
    mounted = {
        one["name"] for container in pod["containers"] + pod["initContainers"] for one in container["volumeMounts"]
    }
    assert mounted == set(volumes)
    told = yaml.safe_load((folder / "kustomization.yaml").read_text(encoding="utf-8"))
    assert volumes["fetch"]["configMap"]["name"] in {one["name"] for one in told["configMapGenerator"]}
    (container,) = pod["containers"]
    assert {one["name"]: one.get("readOnly", False) for one in container["volumeMounts"]}["models"]


@pytest.fixture
def site(tmp_path):
    """A folder and the address under which a server shows it."""
    shown = tmp_path / "site"
    shown.mkdir()
    quiet = type("Quiet", (http.server.SimpleHTTPRequestHandler,), {"log_message": lambda *_: None})
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(quiet, directory=shown)) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield shown, f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()
        thread.join()


def fetch(folder, url, digest, out):
    environment = {**os.environ, "BUNDLE_URL": url, "BUNDLE_DIGEST": digest}
    command = [sys.executable, "-I", folder / "fetch_bundle.py", "--out", out]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


def test_the_bundle_with_the_digest_is_fetched_and_served_as_it_was(folder, site, tmp_path, trained):
    shown, address = site
    yanmo.pack(trained, out=shown / "service.tar.gz")
    out = tmp_path / "models" / "current"
    out.parent.mkdir()
    for _ in range(2):
        done = fetch(folder, f"{address}/service.tar.gz", trained.digest, out)
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
        assert yanmo.Bundle.open(out).digest == trained.digest
        assert list(out.parent.iterdir()) == [out]


def test_another_bundle_a_broken_archive_and_a_missing_one_leave_what_is_there(folder, site, tmp_path, trained):
    shown, address = site
    yanmo.pack(trained, out=shown / "service.tar.gz")
    whole = (shown / "service.tar.gz").read_bytes()
    (shown / "cut.tar.gz").write_bytes(whole[: len(whole) // 2])
    with tarfile.open(shown / "outside.tar", "w") as archive:
        member = tarfile.TarInfo("../../escaped")
        member.size = 1
        archive.addfile(member, io.BytesIO(b"x"))
    out = tmp_path / "models" / "current"
    out.mkdir(parents=True)
    (out / "old").touch()
    for name, digest, said in (
        ("service.tar.gz", "0" * 64, trained.digest),
        ("cut.tar.gz", trained.digest, "cannot be fetched"),
        ("outside.tar", trained.digest, "cannot be fetched"),
        ("none.tar.gz", trained.digest, "404"),
    ):
        done = fetch(folder, f"{address}/{name}", digest, out)
        assert done.returncode == 1
        assert said in done.stderr
        assert "Traceback" not in done.stderr
        assert [path.name for path in out.parent.rglob("*")] == ["current", "old"]
        assert not (tmp_path / "escaped").exists()


@pytest.fixture(scope="module")
def trained(tmp_path_factory, make_words):
    where = tmp_path_factory.mktemp("kubernetes")
    data = make_words(where / "data", ["fruit", "tool"])
    return yanmo.train(data, model="linear", num_threads=1, out=where / "linear")
