"""Behind a real nginx, under a prefix and with TLS on a port of its own, as deploy/ says; and pages of others."""

from __future__ import annotations

import contextlib
import json
import shutil
import socket
import ssl
import subprocess
import urllib.error
import urllib.request
from types import SimpleNamespace

import pytest

from yanmo.config import build
from yanmo.errors import ConfigError
from yanmo.serving.config import ServeConfig

JSON = {"content-type": "application/json"}
BODY = b'{"text":"a"}'
APP = "https://app.example.com"
NGINX = """
daemon off; pid {folder}/pid; error_log stderr; worker_processes 1;
events {{ worker_connections 64; }}
http {{
    access_log off;
    client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
    {server}
}}
"""


def free_port():
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        return held.getsockname()[1]


@pytest.fixture
def behind_nginx(project_root, tmp_path, wait):
    """Run nginx with the file of deploy/, changed by replacements, in front of a service."""
    for program in ("nginx", "openssl"):
        if shutil.which(program) is None:
            pytest.skip(f"{program} is not installed")
    with contextlib.ExitStack() as stack:

        def run(client, **replacements):
            port = free_port()
            pem = {kind: str(tmp_path / f"{kind}.pem") for kind in ("fullchain", "privkey")}
            make = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost"]
            names = ["-addext", "subjectAltName=DNS:localhost", "-keyout", pem["privkey"], "-out", pem["fullchain"]]
            subprocess.run([*make, *names], check=True, capture_output=True)
            server = (project_root / "deploy" / "nginx.conf").read_text(encoding="utf-8")
            changes = {"127.0.0.1:8000": f"127.0.0.1:{client.port}", "listen 443": f"listen 127.0.0.1:{port}"}
            changes |= {f"/etc/nginx/tls/{kind}.pem": path for kind, path in pem.items()}
            for before, after in {**changes, "www.example.com": "localhost", **replacements}.items():
                assert before in server
                server = server.replace(before, after)
            file = tmp_path / "nginx.conf"
            file.write_text(NGINX.format(folder=tmp_path, server=server), encoding="utf-8")
            process = subprocess.Popen(["nginx", "-c", str(file)], stderr=subprocess.DEVNULL)
            stack.callback(process.wait, 20)
            stack.callback(process.terminate)
            trust = ssl.create_default_context(cafile=pem["fullchain"])
            proxy = SimpleNamespace(url=f"https://localhost:{port}", trust=trust)
            wait(lambda: answers(proxy))
            return proxy

        yield run


def answers(proxy):
    try:
        return fetch(proxy, "/yanmo/readyz")[0] == 200
    except OSError:
        return False


def fetch(proxy, path, body=None, headers=None):
    request = urllib.request.Request(proxy.url + path, data=body, headers=headers or {})
    try:
        with urllib.request.urlopen(request, timeout=20, context=proxy.trust) as reply:
            return reply.status, reply.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read()


@pytest.mark.parametrize("cuts", [False, True], ids=["the service cuts the prefix", "nginx cuts the prefix"])
def test_under_a_prefix_with_tls_pages_and_requests_find_their_way(bundles, serving, behind_nginx, cuts):
    replacements = {"proxy_pass http://yanmo;": "proxy_pass http://yanmo/;", "location /yanmo {": "location /yanmo/ {"}
    with serving(bundles["ngram"], root_path="/yanmo", proxies=("127.0.0.1",)) as client:
        proxy = behind_nginx(client, **(replacements if cuts else {}))
        status, page = fetch(proxy, "/yanmo")
        assert (status, b'src="static/playground.js"' in page) == (200, True), "redirected to /yanmo/"
        for path in ("/yanmo/static/playground.js", "/yanmo/docs", "/yanmo/v1/models"):
            assert fetch(proxy, path)[0] == 200
        document = json.loads(fetch(proxy, "/yanmo/openapi.json")[1])
        assert document["servers"] == [{"url": "/yanmo/"}]
        page_of_ours = {**JSON, "origin": proxy.url, "sec-fetch-site": "same-origin"}
        assert fetch(proxy, "/yanmo/predict", BODY, page_of_ours)[0] == 200
        for origin in ("https://localhost", "https://localhost:1", APP, "null"):
            assert fetch(proxy, "/yanmo/predict", BODY, {**JSON, "origin": origin})[0] == 403
        for path in ("/yanmo/metrics", "/yanmo/admin/models/ngram", "/predict"):
            assert fetch(proxy, path)[0] == 404


def test_the_playground_answers_behind_nginx(bundles, serving, behind_nginx, chromium):
    with serving(bundles["ngram"], root_path="/yanmo", proxies=("127.0.0.1",)) as client:
        proxy = behind_nginx(client)
        page = chromium.new_page(ignore_https_errors=True)
        page.goto(f"{proxy.url}/yanmo/")
        page.wait_for_selector("#model option", state="attached")
        page.keyboard.type("很快，好吃")
        page.keyboard.press("Control+Enter")
        assert (
            page.locator("#answers li .label").first.text_content()
            == client.predict(text="很快，好吃").json["prediction"]
        )
        page.goto(f"{proxy.url}/yanmo/docs")
        page.wait_for_selector("h2")
        page.close()


@pytest.mark.parametrize(
    ("forwarded", "status"),
    [
        ({"x-forwarded-host": "www.example.com"}, 200),
        ({"x-forwarded-host": "evil.example, WWW.example.com"}, 200),
        ({"x-forwarded-host": "www.example.com, other.example.com"}, 403),
        ({"x-forwarded-host": "evil.example"}, 421),
        ({"x-forwarded-host": ""}, 421),
        ({}, 403),
    ],
)
def test_an_origin_is_judged_by_the_host_that_a_believed_proxy_was_asked_for(bundles, serving, forwarded, status):
    hosts = ("www.example.com", "other.example.com")
    headers = {**JSON, "origin": "https://www.example.com", **forwarded}
    with serving(bundles["ngram"], hosts=hosts, proxies=("10.0.0.0/8", "127.0.0.0/8")) as client:
        assert client.ask("POST", "/predict", BODY, headers).status == status
    with serving(bundles["ngram"], hosts=hosts, proxies=("10.0.0.0/8",)) as client:
        assert client.ask("POST", "/predict", BODY, headers).status == 403, "nobody believes a stranger"


def test_the_port_that_a_proxy_was_asked_on_may_come_by_itself(bundles, serving):
    headers = {**JSON, "origin": "https://localhost:8443", "x-forwarded-host": "localhost"}
    with serving(bundles["ngram"], proxies=("127.0.0.1",)) as client:
        assert client.ask("POST", "/predict", BODY, {**headers, "x-forwarded-port": "8443"}).status == 200
        assert client.ask("POST", "/predict", BODY, {**headers, "x-forwarded-port": "443"}).status == 403


@pytest.fixture(scope="module")
def shared(bundles, serving):
    with serving(bundles["ngram"], cors=(APP,)) as client:
        yield client


def test_a_page_of_an_origin_that_was_given_may_ask_and_read(shared):
    cross = {"origin": APP, "sec-fetch-site": "cross-site", "sec-fetch-mode": "cors"}
    asked = {**cross, "access-control-request-method": "POST", "access-control-request-headers": "content-type"}
    told = shared.ask("OPTIONS", "/predict", headers=asked)
    assert (told.status, told.content) == (204, b"")
    assert told.headers["access-control-allow-origin"] == APP
    assert told.headers["access-control-allow-methods"] == "POST"
    assert "content-type" in told.headers["access-control-allow-headers"]
    for body, status in ((BODY, 200), (b"{", 400)):
        reply = shared.ask("POST", "/predict", body, {**cross, **JSON})
        assert (reply.status, reply.headers["access-control-allow-origin"]) == (status, APP)
        assert (reply.headers["vary"], "x-request-id" in reply.headers["access-control-expose-headers"]) == (
            "origin",
            True,
        )


def test_what_administers_is_for_no_page_of_another_origin(shared):
    asked = {"origin": APP, "access-control-request-method": "POST"}
    assert shared.ask("OPTIONS", "/admin/models/ngram", headers=asked).status == 403
    assert shared.ask("GET", "/metrics", headers={"origin": APP}).status == 403


@pytest.mark.parametrize("origin", ["https://evil.example", "http://app.example.com", f"{APP}:8443", "null"])
def test_other_pages_may_not(shared, origin):
    reply = shared.ask("POST", "/predict", BODY, {**JSON, "origin": origin})
    assert (reply.status, "access-control-allow-origin" in reply.headers) == (403, False)
    assert (
        shared.ask("OPTIONS", "/predict", headers={"origin": origin, "access-control-request-method": "POST"}).status
        == 403
    )


def test_a_page_of_another_origin_asks_in_a_browser(bundles, serving, chromium):
    ask = """url => fetch(url, {method: "POST", headers: {"content-type": "application/json"}, body: '{"text": "a"}'})
        .then(reply => reply.json()).then(answer => answer.model)"""
    with contextlib.ExitStack() as stack:
        other = stack.enter_context(serving(bundles["ngram"]))
        client = stack.enter_context(serving(bundles["ngram"], cors=(f"http://127.0.0.1:{other.port}",)))
        page = chromium.new_page(bypass_csp=True)
        page.goto(f"http://127.0.0.1:{other.port}/docs")
        assert page.evaluate(ask, f"http://127.0.0.1:{client.port}/predict") == "ngram"
        with pytest.raises(Exception, match="Failed to fetch"):
            page.evaluate(ask, f"http://localhost:{other.port}/predict")
        page.close()


@pytest.mark.parametrize(
    ("key", "values"),
    [
        (
            "cors",
            ["*", "app.example.com", "https://app.example.com/", "https://App.example.com", "ftp://a", "https://a:443"],
        ),
        ("proxies", ["proxy", "10.0.0.1/8", "10.0.0.0/33", ""]),
        ("root_path", ["yanmo", "/", "/yanmo/", "//a", "/a b", "/a?b"]),
    ],
)
def test_what_can_never_hold_is_refused(key, values):
    for value in values:
        with pytest.raises(ConfigError, match=f"The '{key}' parameter of serve must be"):
            build(ServeConfig, {key: value if key == "root_path" else (value,)}, where="serve")
