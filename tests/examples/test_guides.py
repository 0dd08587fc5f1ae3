"""The commands of guides work as they stand, one after the other, in a folder with the files that they name."""

from __future__ import annotations

import csv
import random
import re
import shutil
import socket
from pathlib import Path

import pytest

GUIDES = {
    "several-labels-and-pairs.md": "micro_f1",
    "class-imbalance.md": "calibrated",
    "spreadsheets.md": "reviews",
    "behind-nginx-and-cors.md": "access-control-allow-origin: https://app.example.com",
    "watch-a-service.md": "# HELP yanmo_requests_total",
    "docker-and-kubernetes.md": "reviews",
    "platforms.md": "processor",
}
"""Guide to something that its commands print."""
READY = "ready.json"


def write(path: Path, rows: list[list[str]]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows(rows)


@pytest.fixture(scope="module")
def files(tmp_path_factory, project_root, make_words):
    """A folder with the files that the guides speak of."""
    import polars as pl

    import yanmo

    folder = tmp_path_factory.mktemp("guides")
    draw = random.Random(1)
    words = {
        "delivery": "late parcel courier door",
        "service": "rude polite answer call",
        "payment": "refund card paid",
    }
    rows = [["text", "topics"]]
    for _ in range(200):
        topics = draw.sample(list(words), draw.randint(0, 2))
        told = [draw.choice(words[topic].split()) for topic in topics for _ in range(3)]
        rows.append([" ".join([*told, draw.choice(["thanks", "hello", "well"]), str(len(rows))]), ",".join(topics)])
    write(folder / "tickets.csv", rows)
    pairs = [["how do I pay", "where can I pay", "yes"], ["how do I pay", "is it cold outside", "no"]]
    write(
        folder / "questions.csv",
        [
            ["first", "second", "same"],
            *([f"{one} {number}", f"{other} {number}", same] for number in range(60) for one, other, same in pairs),
        ],
    )
    kinds = [["text", "kind"]] + [[f"see you at {number}", "fine"] for number in range(400)]
    kinds += [[f"send money to account {number} now", "fraud"] for number in range(40)]
    write(folder / "messages.csv", kinds)
    (folder / "unlabeled.txt").write_text("text\nsend money\nsee you\n", encoding="utf-8")
    reviews = {
        "review": [f"{'很快，好吃' if n % 2 else '太慢了'} {n}" for n in range(80)],
        "label": ["good", "bad"] * 40,
    }
    pl.DataFrame(reviews).write_csv(folder / "reviews.csv")
    data = yanmo.prepare(folder / "reviews.csv", text="review", out=folder / "prepared")
    yanmo.train(data, model="linear", num_threads=1, out=folder / "models" / "reviews")
    shutil.copytree(project_root / "deploy", folder / "deploy")
    return folder


def spreadsheet(folder: Path) -> None:
    """Write what the guide reads: a real workbook, made of the CSV file by hand, since nothing here writes them."""
    import zipfile

    with (folder / "reviews.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.reader(file))
    cells = "".join(
        f'<row r="{number}">'
        + "".join(
            f'<c r="{"AB"[place]}{number}" t="inlineStr"><is><t>{cell}</t></is></c>' for place, cell in enumerate(row)
        )
        + "</row>"
        for number, row in enumerate(rows, 1)
    )
    schemas = "http://schemas.openxmlformats.org"
    main, links = f"{schemas}/spreadsheetml/2006/main", f"{schemas}/officeDocument/2006/relationships"
    package = f"{schemas}/package/2006"

    def relation(kind: str, target: str) -> str:
        one = f'<Relationship Id="r1" Type="{links}/{kind}" Target="{target}"/>'
        return f'<Relationships xmlns="{package}/relationships">{one}</Relationships>'

    sheets = '<sheets><sheet name="Sheet1" sheetId="1" r:id="r1"/></sheets>'
    parts = {
        "[Content_Types].xml": f'<Types xmlns="{package}/content-types"/>',
        "_rels/.rels": relation("officeDocument", "xl/workbook.xml"),
        "xl/workbook.xml": f'<workbook xmlns="{main}" xmlns:r="{links}">{sheets}</workbook>',
        "xl/_rels/workbook.xml.rels": relation("worksheet", "worksheets/sheet1.xml"),
        "xl/worksheets/sheet1.xml": f'<worksheet xmlns="{main}"><sheetData>{cells}</sheetData></worksheet>',
    }
    with zipfile.ZipFile(folder / "reviews.xlsx", "w") as archive:
        for name, content in parts.items():
            archive.writestr(name, f'<?xml version="1.0" encoding="UTF-8"?>{content}')


def script_of(page: str) -> str:
    """Return the commands of a page as one script, with services in the background and on ports that are free."""
    lines = []
    for block in re.findall(r"```bash\n(.*?)```", page, flags=re.DOTALL):
        lines.append("stop")
        for line in block.splitlines():
            if line.startswith("yanmo serve"):
                lines += ["stop", f"{line.replace('#', '')} --json > {READY} &", "SERVER=$!", "wait_until_ready"]
            elif line.startswith("yanmo key"):
                lines.append(
                    f"KEY=$({line} --json | python -c \"import json, sys; print(json.load(sys.stdin)['key'])\")"
                )
            else:
                lines.append(line)
    for port in sorted(set(re.findall(r"\b800[01]\b", page))):
        with socket.socket() as held:
            held.bind(("127.0.0.1", 0))
            free = held.getsockname()[1]
        lines = [re.sub(rf"\b{port}\b", str(free), line) for line in lines]
    functions = f"""
stop() {{ if [ -n "$SERVER" ]; then kill "$SERVER"; wait "$SERVER" || true; SERVER=; fi; rm -f {READY}; }}
wait_until_ready() {{ until [ -s {READY} ]; do kill -0 "$SERVER"; sleep 0.1; done; }}
SERVER=
trap stop EXIT
"""
    return functions + "\n".join(lines) + "\n"


@pytest.mark.timeout(600)
@pytest.mark.parametrize("name", GUIDES)
def test_the_commands_of_a_guide_work_as_they_stand(name, files, project_root, run_commands, tmp_path):
    folder = tmp_path / "work"
    shutil.copytree(files, folder)
    if name == "spreadsheets.md":
        spreadsheet(folder)
    page = (project_root / "docs" / "guides" / name).read_text(encoding="utf-8")
    assert "```bash" in page
    assert GUIDES[name] in run_commands(script_of(page), folder)
