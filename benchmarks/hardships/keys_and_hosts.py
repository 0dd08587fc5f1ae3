"""Every route, key and Host, against the table of the guide."""

from __future__ import annotations

import re
import tempfile
from pathlib import Path

from load import ask
from processes import service, service_cores
from promises import Kept, Section

import yanmo
from hardships import Options
from hardships.reloads import copied

__all__ = ["access"]

GUIDE = Path(__file__).resolve().parents[2] / "docs" / "guides" / "operate-a-service.md"
ROW = re.compile(r"^\| `(GET|POST) (/\S*)` \| (\w+) \| (\d+) \| (\d+) \| (\d+) \|$", re.MULTILINE)
BODIES = {
    "/predict": '{"text":"a"}',
    "/v1/models/{name}/predict": '{"text":"a"}',
    "/": '{"inputs":"a","parameters":{}}',
    "/v1/models/{name}:predict": '{"instances":["a"]}',
    "/invocations": '{"instances":["a"]}',
    "/v2/models/{name}/infer": '{"inputs":[{"name":"text","shape":[1],"datatype":"BYTES","data":["a"]}]}',
    "/admin/models/{name}": '{"path":"first"}',
}


async def access(options: Options) -> Section:
    """Ask every route of the guide's table without key, with a wrong one and with each good one, and of two Hosts."""
    routes = ROW.findall(GUIDE.read_text(encoding="utf-8"))
    wrong, num_asked = [], 0
    with tempfile.TemporaryDirectory() as name:
        folder, file = Path(name, "models"), Path(name, "keys.toml")
        folder.mkdir()
        secrets = {may: yanmo.key(label=may, file=file, may=may).secret for may in ("predict", "admin")}
        settings = {"models_dir": copied(options, folder), "api_keys": file}
        with service(options.bundle, cores=service_cores(), **settings) as running:
            for method, path, need, refused, predicting, administering in routes:
                wanted = {None: refused, "yk_wrong": refused}
                wanted |= {secrets["predict"]: predicting, secrets["admin"]: administering}
                address, body = (
                    path.replace("{name}", options.bundle.name),
                    BODIES.get(path, "") if method == "POST" else "",
                )
                for key, allowed in wanted.items():
                    for host, status in (
                        ("localhost", allowed),
                        ("evil.example", "200" if need == "health" else "421"),
                    ):
                        found = (await ask(running.port, knock(method, address, host, key, body))).status
                        num_asked += 1
                        if found != int(status):
                            wrong.append(f"{method} {path} of {host}: {found}, not {status}")
    rows = [Kept("as the table says", f"{num_asked} asked; {' '.join(wrong) or 'all are'}", bool(routes) and not wrong)]
    return Section(f"{len(routes)} routes × no key, wrong key, each good key × good and bad Host", rows)


def knock(method: str, path: str, host: str, key: str | None, body: str) -> bytes:
    """Return one request."""
    secret = f"authorization: Bearer {key}\r\n" if key else ""
    kind = f"content-type: application/json\r\ncontent-length: {len(body)}\r\n" if method == "POST" else ""
    return f"{method} {path} HTTP/1.1\r\nhost: {host}\r\n{secret}{kind}\r\n{body}".encode()
