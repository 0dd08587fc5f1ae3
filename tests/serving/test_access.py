"""Who may ask what: every route × key × Host, as the guide says, and keys that come and go."""

from __future__ import annotations

import os
import re
import time
from pathlib import Path

import pytest
from families import make_checkpoint

import yanmo
from yanmo.config import build
from yanmo.errors import ConfigError, ServingError
from yanmo.serving.access import Access
from yanmo.serving.config import ServeConfig
from yanmo.serving.hosts import HostNames
from yanmo.serving.keys import KeyRing, read_keys
from yanmo.serving.problems import Problem
from yanmo.serving.routes import TABLE

GUIDE = Path(__file__).parents[2] / "docs" / "guides" / "operate-a-service.md"
TEXT = GUIDE.read_text(encoding="utf-8")
ROWS = re.findall(r"^\| `([A-Z]+) (/\S*)` \| (\w+) \| (\d+) \| (\d+) \| (\d+) \|$", TEXT, re.MULTILINE)
"""Method, path, need; status without key, with one that may predict, with one that may admin."""
PORTS = {
    need: statuses
    for need, *statuses in re.findall(r"^\| (\w+) \| (404|as above) \| (404|as above) \| (\d+) \|$", TEXT, re.MULTILINE)
}
"""By need: what is found on the public and on the admin port; the status under a wrong Host."""
INFER = b'{"inputs":[{"name":"text","shape":[1],"datatype":"BYTES","data":["a"]}]}'
BODIES = {
    "/predict": b'{"text":"a"}',
    "/v1/models/{name}:predict": b'{"instances":["a"]}',
    "/invocations": b'{"instances":["a"]}',
    "/v2/models/{name}/infer": INFER,
    "/v2/models/{name}/versions/{version}/infer": INFER,
    "/": b'{"inputs":"a","parameters":{}}',
    "/v1/models/{name}/predict": b'{"text":"a"}',
    "/admin/models/{name}": b'{"path":"ngram"}',
    "/v1/completions": b'{"prompt":"a","max_tokens":1}',
    "/v1/chat/completions": b'{"messages":[{"role":"user","content":"a"}],"max_tokens":1}',
    "/generate": b'{"inputs":"a","parameters":{"max_new_tokens":1}}',
    "/score": b'{"texts":["a"]}',
    "/embed": b'{"inputs":"a"}',
    "/v1/embeddings": b'{"input":"a"}',
}
GOOD_HOST, BAD_HOST = "localhost", "evil.example"


@pytest.fixture(scope="module")
def guard(tmp_path_factory):
    """A file of keys, and the keys by what they may, besides none and a wrong one."""
    file = tmp_path_factory.mktemp("keys") / "keys.toml"
    made = {may: yanmo.key(label=may, file=file, may=may).secret for may in ("predict", "admin")}
    return {"none": None, "wrong": "yk_wrong", **made}, file


@pytest.fixture(scope="module")
def three(bundles, talker_bundle, tmp_path_factory):
    """A classifier, a model that writes and one that gives vectors: each route has one that answers."""
    folder = tmp_path_factory.mktemp("vectors")
    make_checkpoint("bert", folder / "encoder", task="Model")
    return bundles["ngram"], talker_bundle, yanmo.embed(folder / "encoder", max_length=16, out=folder / "vectors")


@pytest.fixture(scope="module")
def guarded(bundles, three, serving, guard):
    keys, file = guard
    settings = {"api_keys": str(file), "models_dir": bundles["ngram"].path.parent}
    with serving(*three, **settings) as client:
        client.version = bundles["ngram"].digest
        yield client, keys, file


@pytest.fixture(scope="module")
def open_to_all(bundles, three, serving):
    with serving(*three, models_dir=bundles["ngram"].path.parent) as client:
        client.version = bundles["ngram"].digest
        yield client


@pytest.fixture(scope="module")
def two_ports(bundles, three, serving, guard):
    settings = {"api_keys": str(guard[1]), "models_dir": bundles["ngram"].path.parent, "admin_port": 0}
    with serving(*three, **settings) as client:
        client.version = bundles["ngram"].digest
        yield client


def ask(client, method, path, secret=None, host=GOOD_HOST, port=None):
    headers = {"host": host, "content-type": "application/json"}
    if secret is not None:
        headers["authorization"] = f"Bearer {secret}"
    client.port, before = port or client.port, client.port
    try:
        address = path.replace("{name}", "ngram").replace("{version}", getattr(client, "version", ""))
        return client.ask(method, address, BODIES.get(path) if method == "POST" else None, headers)
    finally:
        client.port = before


def predict(client, secret):
    return ask(client, "POST", "/predict", secret)


def test_the_guide_has_every_route_and_what_it_needs():
    assert sorted(row[:3] for row in ROWS) == sorted((route.method, route.path, route.need) for route in TABLE)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[1])
@pytest.mark.parametrize("key", ["none", "wrong", "predict", "admin"])
def test_every_route_answers_as_the_guide_says(guarded, row, key):
    client, keys, _ = guarded
    method, path, need, unknown, predicting, admin = row
    reply = ask(client, method, path, keys[key])
    assert reply.status == int({"predict": predicting, "admin": admin}.get(key, unknown))
    if reply.status == 401:
        assert reply.headers["www-authenticate"].startswith("Bearer")
    assert ask(client, method, path, keys[key], BAD_HOST).status == int(PORTS[need][2])


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[1])
def test_without_keys_everybody_is_a_key_that_may_admin(open_to_all, row):
    method, path, need, _, _, admin = row
    for secret in (None, "yk_wrong"):
        assert ask(open_to_all, method, path, secret).status == int(admin)
        assert ask(open_to_all, method, path, secret, BAD_HOST).status == int(PORTS[need][2])


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[1])
@pytest.mark.parametrize("key", ["none", "wrong", "predict", "admin"])
def test_with_two_ports_a_route_is_found_where_the_guide_says(two_ports, guard, row, key):
    method, path, need, unknown, predicting, admin = row
    status = int({"predict": predicting, "admin": admin}.get(key, unknown))
    # Where another method of the path is found, a method that is not is a wrong one.
    elsewhere = 404 if len({row[2] for row in ROWS if row[1] == path}) == 1 else 405
    for port, found in zip((two_ports.port, two_ports.admin_port), PORTS[need][:2], strict=True):
        secret = guard[0][key]
        assert ask(two_ports, method, path, secret, port=port).status == (status if found == "as above" else elsewhere)
        assert ask(two_ports, method, path, secret, BAD_HOST, port).status == int(PORTS[need][2])


def test_a_key_also_comes_in_its_own_header(guarded):
    client, keys, _ = guarded
    headers = {"x-api-key": keys["predict"], "content-type": "application/json"}
    assert client.ask("POST", "/predict", b'{"text":"a"}', headers).status == 200


def test_keys_come_and_go_without_a_restart(guarded, wait):
    client, keys, file = guarded
    before = file.read_text(encoding="utf-8")
    new = yanmo.key(label="new", file=file).secret
    wait(lambda: predict(client, new).status == 200, 5)
    file.write_text("[[key", encoding="utf-8")
    time.sleep(1.2)
    assert predict(client, new).status == 200, "a damaged file changes nothing"
    file.write_text(before, encoding="utf-8")
    wait(lambda: predict(client, new).status == 401, 5)
    assert predict(client, keys["predict"]).status == 200


def test_a_quota_is_kept_for_each_key(bundles, serving, tmp_path):
    file = tmp_path / "keys.toml"
    few = yanmo.key(label="few", file=file, quota="3/minute").secret
    many = yanmo.key(label="many", file=file).secret
    with serving(bundles["ngram"], api_keys=str(file)) as client:
        assert [predict(client, few).status for _ in range(5)] == [200, 200, 200, 429, 429]
        refused = predict(client, few)
        assert refused.json["code"] == "quota_exceeded"
        assert 1 <= int(refused.headers["retry-after"]) <= 60
        assert predict(client, many).status == 200


def test_who_waits_as_long_as_a_quota_says_is_let_in(tmp_path):
    yanmo.key(label="one", file=tmp_path / "keys.toml", quota="1/minute")
    ring = KeyRing(tmp_path / "keys.toml")
    (one,) = read_keys(tmp_path / "keys.toml")
    ring.charge(one)
    time.sleep(0.6)
    with pytest.raises(Problem) as caught:
        ring.charge(one)
    assert caught.value.headers["retry-after"] == "60", "59.4 seconds, and no whole second less"


def test_the_file_holds_no_key_and_is_for_its_owner_alone(guarded):
    _, keys, file = guarded
    text = file.read_text(encoding="utf-8")
    assert not any(keys[may] in text for may in ("predict", "admin"))
    assert file.stat().st_mode & 0o077 == 0
    assert [one.label for one in read_keys(file)][:2] == ["predict", "admin"]


def test_a_new_key_leaves_the_file_to_those_who_could_read_it(tmp_path):
    file = tmp_path / "keys.toml"
    yanmo.key(label="first", file=file)
    group = 10001 if os.geteuid() == 0 else os.getgroups()[-1]
    os.chown(file, -1, group)
    file.chmod(0o640)
    before = file.stat()
    yanmo.key(label="second", file=file)
    after = file.stat()
    assert (after.st_mode & 0o777, after.st_uid, after.st_gid) == (0o640, before.st_uid, group)
    assert after.st_ino != before.st_ino, "it is replaced as a whole"
    assert [path.name for path in tmp_path.iterdir() if path.is_file()] == ["keys.toml"]


@pytest.mark.parametrize(
    "text",
    [
        "key = 1",
        '[[key]]\nlabel = "a"\nsha256 = "00"',
        '[[key]]\nlabel = "a b"\nsha256 = "' + "0" * 64 + '"',
        '[[key]]\nlabel = "a"\nsha256 = "' + "0" * 64 + '"\nmay = "all"',
        '[[key]]\nlabel = "a"\nsha256 = "' + "0" * 64 + '"\nquota = "much"',
        ('[[key]]\nlabel = "a"\nsha256 = "' + "0" * 64 + '"\n') * 2,
        "\0",
    ],
)
def test_a_damaged_file_of_keys_is_an_error(tmp_path, text):
    (tmp_path / "keys.toml").write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError):
        KeyRing(tmp_path / "keys.toml")


def test_a_label_is_taken_once_and_must_be_plain(tmp_path):
    yanmo.key(label="a", file=tmp_path / "keys.toml")
    for label in ("a", "", "a b", "x" * 65, 'a"'):
        with pytest.raises(ConfigError):
            yanmo.key(label=label, file=tmp_path / "keys.toml")
    with pytest.raises(ConfigError, match="quota"):
        yanmo.key(label="b", file=tmp_path / "keys.toml", quota="often")


def test_others_do_not_reach_a_service_without_keys():
    for host in ("0.0.0.0", "::", "192.0.2.1", "example.org"):
        with pytest.raises(ServingError, match="API keys"):
            Access(ServeConfig(host=host))
        assert Access(ServeConfig(host=host, api_keys="none")).keys is None
    for host in ("127.0.0.1", "localhost", "::1"):
        assert Access(ServeConfig(host=host)).keys is None


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1:80", "[::1]:8000", "10.1.2.3", "API.example.com:8000"])
def test_names_that_are_given_and_addresses_are_good_hosts(bundles, serving, host):
    with serving(bundles["ngram"], hosts=("api.example.com",)) as client:
        reply = client.ask("GET", "/v1/models", headers={"host": host, "origin": f"http://{host}"})
        assert (reply.status, reply.json["models"][0]["name"]) == (200, "ngram")


@pytest.mark.parametrize(
    ("host", "is_good"),
    [
        ("yanmo.default.svc", True),
        ("yanmo.default.svc:80", True),
        ("Yanmo.default.SVC.cluster.local", True),
        ("yanmo.default.svc.cluster.local.", True),
        ("svc", False),
        ("yanmosvc", False),
        ("cluster.local", False),
        ("yanmo.svc.example", False),
        ("yanmo.svc@evil.example", False),
        ("yanmo.svc:80:80", False),
        ("api.example.com", True),
        ("x.api.example.com", False),
        ("", False),
    ],
)
def test_an_ending_holds_for_every_name_that_ends_so(host, is_good):
    names = HostNames(("*.svc", ".cluster.local", "API.example.com"), host="0.0.0.0")
    assert names.has(host.encode()) is names.has(host.encode()) is is_good


@pytest.mark.parametrize(
    "pattern",
    [
        *("*", ".", "*.", "", "*svc", "yanmo.*", "a.*.svc", "*.*.svc", "**.svc", "http://a.example", "a.example:80"),
        *("a/b", "a b", " a", "-a.example", "a-.example", "a..b", "a.example.", "bücher.example", "a" * 254, "a,b"),
    ],
)
def test_a_pattern_that_no_host_can_match_is_refused(pattern):
    with pytest.raises(ConfigError, match=r"The 'hosts' parameter of serve must be names such as"):
        build(ServeConfig, {"hosts": (pattern,)}, where="serve")


@pytest.mark.parametrize(
    "pattern", ["yanmo", "*.svc", ".local", "A_b.example", "10.0.0.1", "::1", "[::1]", "xn--bcher-kva.example"]
)
def test_a_pattern_that_a_host_can_match_is_taken(pattern):
    assert build(ServeConfig, {"hosts": (pattern,)}, where="serve").hosts == (pattern,)
