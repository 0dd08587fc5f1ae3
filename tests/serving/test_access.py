"""Who may ask what: every route × key × Host, as the guide says, and keys that come and go."""

from __future__ import annotations

import json
import re
import time
from pathlib import Path

import pytest

import yanmo
from yanmo.errors import ConfigError, ServingError
from yanmo.serving.access import Access
from yanmo.serving.config import ServeConfig
from yanmo.serving.keys import KeyRing, read_keys
from yanmo.serving.routes import TABLE

GUIDE = Path(__file__).parents[2] / "docs" / "guides" / "operate-a-service.md"
BODIES = {"/predict": b'{"text":"a"}', "/v1/models/{name}/predict": b'{"text":"a"}', "/admin/models/{name}": b"{}"}
GOOD_HOST, BAD_HOST = "localhost", "evil.example"


@pytest.fixture(scope="module")
def guarded(bundles, serving, tmp_path_factory):
    file = tmp_path_factory.mktemp("keys") / "keys.toml"
    keys = {may: yanmo.key(label=may, file=file, may=may).secret for may in ("predict", "admin")}
    with serving(bundles["ngram"], api_keys=str(file)) as client:
        yield client, keys, file


def ask(client, route, secret=None, host=GOOD_HOST, port=None):
    headers = {"host": host, "content-type": "application/json"}
    if secret is not None:
        headers["authorization"] = f"Bearer {secret}"
    client.port, before = port or client.port, client.port
    try:
        return client.ask(route.method, route.path.replace("{name}", "ngram"), BODIES.get(route.path), headers)
    finally:
        client.port = before


def expected_status(route, key, host):
    if host == BAD_HOST:
        return 421
    if route.need == "nothing":
        return 200
    if key in ("none", "wrong"):
        return 401
    if route.need == "admin" and key == "predict":
        return 403
    return 400 if route.path.startswith("/admin") else 200


@pytest.mark.parametrize("route", TABLE, ids=lambda route: route.path)
@pytest.mark.parametrize("key", ["none", "wrong", "predict", "admin"])
@pytest.mark.parametrize("host", [GOOD_HOST, BAD_HOST])
def test_every_route_opens_for_whom_it_should(guarded, route, key, host):
    client, keys, _ = guarded
    reply = ask(client, route, {"none": None, "wrong": "yk_wrong"}.get(key, keys.get(key)), host)
    assert reply.status == expected_status(route, key, host)
    if reply.status == 401:
        assert reply.headers["www-authenticate"].startswith("Bearer")


def test_the_guide_has_the_same_table():
    rows = dict(
        re.findall(r"^\| `(?:GET|POST) (/\S*)`[^|]*\| (\w+) \|", GUIDE.read_text(encoding="utf-8"), re.MULTILINE)
    )
    assert rows == {route.path: route.need for route in TABLE}


def test_a_port_of_its_own_keeps_admin_routes_from_the_public_one(bundles, serving):
    with serving(bundles["ngram"], admin_port=0) as client:
        for route in TABLE:
            main, admin = ask(client, route).status, ask(client, route, port=client.admin_port).status
            if route.need == "admin":
                assert (main, admin) == (404, 400 if route.method == "POST" else 200)
            elif route.need == "predict":
                assert (main, admin) == (200, 404)
            else:
                assert (main, admin) == (200, 200)


def test_a_key_also_comes_in_its_own_header(guarded):
    client, keys, _ = guarded
    headers = {"x-api-key": keys["predict"], "content-type": "application/json"}
    assert client.ask("POST", "/predict", b'{"text":"a"}', headers).status == 200


def test_keys_come_and_go_without_a_restart(guarded, wait):
    client, keys, file = guarded
    before = file.read_text(encoding="utf-8")
    new = yanmo.key(label="new", file=file).secret
    wait(lambda: ask(client, TABLE[0], new).status == 200, 5)
    file.write_text("[[key", encoding="utf-8")
    time.sleep(1.2)
    assert ask(client, TABLE[0], new).status == 200, "a damaged file changes nothing"
    file.write_text(before, encoding="utf-8")
    wait(lambda: ask(client, TABLE[0], new).status == 401, 5)
    assert ask(client, TABLE[0], keys["predict"]).status == 200


def test_a_quota_is_kept_for_each_key(bundles, serving, tmp_path):
    file = tmp_path / "keys.toml"
    few = yanmo.key(label="few", file=file, quota="3/minute").secret
    many = yanmo.key(label="many", file=file).secret
    with serving(bundles["ngram"], api_keys=str(file)) as client:
        assert [ask(client, TABLE[0], few).status for _ in range(5)] == [200, 200, 200, 429, 429]
        refused = ask(client, TABLE[0], few)
        assert refused.json["code"] == "quota_exceeded"
        assert 1 <= int(refused.headers["retry-after"]) <= 60
        assert ask(client, TABLE[0], many).status == 200


def test_the_file_holds_no_key_and_is_for_its_owner_alone(guarded):
    _, keys, file = guarded
    text = file.read_text(encoding="utf-8")
    assert not any(secret in text for secret in keys.values())
    assert file.stat().st_mode & 0o077 == 0
    assert [one.label for one in read_keys(file)][:2] == ["predict", "admin"]


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
        reply = client.ask("GET", "/livez", headers={"host": host, "origin": f"http://{host}"})
        assert (reply.status, json.loads(reply.content)) == (200, {"status": "alive"})
