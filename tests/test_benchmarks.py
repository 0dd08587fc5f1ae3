"""The scripts in benchmarks/ can be started, name their options, and keep what they measured; none is timed here."""

import asyncio
import contextlib
import importlib
import json
import os
import re
import subprocess
import sys
from types import SimpleNamespace

import pytest
from load import Load, load, post

SCRIPTS = (
    "adoption.py",
    "distillation.py",
    "engines.py",
    "faults.py",
    "fuzz.py",
    "mutants.py",
    "own_graphs.py",
    "prepare.py",
    "pretraining.py",
    "pruning.py",
    "recipes.py",
    "same_numbers.py",
    "serving.py",
    "tfidf.py",
    "training.py",
    "tuning.py",
)
PEERS = ("ours", "pipeline", "torch_eager", "onnxruntime_recipe", "openvino", "ctranslate2", "services")


@pytest.fixture
def engines(project_root, monkeypatch, tmp_path):
    monkeypatch.syspath_prepend(str(project_root / "benchmarks"))
    module = importlib.import_module("engines")
    monkeypatch.setattr(module, "RESULTS", tmp_path / "results.json")
    yield module
    for name in [name for name in sys.modules if name == "engines" or name.partition(".")[0] == "peers"]:
        del sys.modules[name]


ASK_EACH = """
import contextlib, io, json, runpy, sys
said = {}
for path in sys.argv[1:]:
    with contextlib.redirect_stdout(io.StringIO()) as out, contextlib.suppress(SystemExit):
        sys.argv = [path, "--help"]
        runpy.run_path(path, run_name="__main__")
    said[path.rpartition("/")[2]] = out.getvalue()
print(json.dumps(said))
"""


@pytest.fixture(scope="module")
def explained(project_root):
    """Script to what it says of its options; one process asks all, so that what they share is imported once."""
    folder = project_root / "benchmarks"
    paths = [str(folder / name) for name in SCRIPTS]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(folder), os.environ.get("PYTHONPATH", "")])}
    command = [sys.executable, "-c", ASK_EACH, *paths]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


@pytest.mark.parametrize("name", SCRIPTS)
def test_a_script_explains_its_options(name, explained):
    assert name in explained[name]
    assert "--" in explained[name]


def test_every_engine_has_a_module_that_opens_it(engines):
    used = {module for module, _ in (*engines.ENGINES.values(), *engines.MIXED.values())}
    assert used == set(PEERS)
    for name in used:
        assert callable(importlib.import_module(f"peers.{name}").open_peer)


def test_recipes_measure_what_is_missing_and_end_with_a_table(project_root, monkeypatch, tmp_path, make_words, capsys):
    monkeypatch.syspath_prepend(str(project_root / "benchmarks"))
    recipes, accuracy = importlib.import_module("recipes"), importlib.import_module("accuracy")
    monkeypatch.setattr(accuracy, "OUT", tmp_path)
    monkeypatch.setattr(recipes, "OUT", tmp_path / "recipes")
    monkeypatch.setattr(recipes, "RESULTS", tmp_path / "recipes" / "results.jsonl")
    (tmp_path / "words").mkdir()
    make_words(tmp_path / "words" / "data", ["fruit", "tool"])
    options = ["recipes", "--datasets", "words", "--model", "linear", "--only", "smoothing 0.1,lora"]
    options += ["--rows", "200", "--epochs", "1"]
    monkeypatch.setattr(sys, "argv", [*options, "--seeds", "1"])
    assert recipes.main() == 0
    first = recipes.measured()
    assert [row["recipe"] for row in first] == ["default settings", "label smoothing 0.1", "LoRA, rank 8"]
    monkeypatch.setattr(sys, "argv", [*options, "--seeds", "1", "2"])
    assert recipes.main() == 0
    assert recipes.measured()[:3] == first
    assert len(recipes.measured()) == 6
    monkeypatch.setattr(sys, "argv", [*options, "--seeds", "1", "2", "3", "--hours", "-1"])
    assert recipes.main() == 0
    assert len(recipes.measured()) == 6
    page = capsys.readouterr().out
    assert re.search(r"\| label smoothing 0.1 \| \d+\.\d\d% \| [+-]\d+\.\d\d \[.* … .*\] \| \d+\.\d\d% \| \d+ \|", page)
    assert "| LoRA, rank 8 | does not suit the model | – | – | – |" in page


def test_an_unknown_section_is_refused(engines, capsys):
    assert engines.parse(["--only", "small/OpenVINO,ngram"]).only == ["small/OpenVINO", "ngram"]
    with pytest.raises(SystemExit):
        engines.parse(["--only", "large"])
    assert "there is no section 'large'; the sections are base, small, mixed, ngram, memory" in capsys.readouterr().err


def test_only_names_engines_and_keeps_ours(engines):
    options = SimpleNamespace(only=["small/openvino"])
    names = [name for name, _ in engines.chosen(options, "small", engines.ENGINES)]
    assert names == ["yanmo int8", "yanmo fp32", "OpenVINO f32", "OpenVINO bf16", "OpenVINO int8, NNCF"]


def test_ratios_are_of_rounds_and_above_one_where_yanmo_is_faster(engines):
    rows = {
        "yanmo int8": {"state": "not made"},
        "yanmo fp32": {"alone": [1.0, 2.0], "batch": [300.0, 200.0], "all": [400.0, 400.0]},
        "peer": {"alone": [2.0, 2.0], "batch": [100.0, 100.0], "all": [200.0, 800.0]},
    }
    labels = {"yanmo fp32": {"a": 0, "b": 1}, "peer": {"a": 0, "b": 0, "c": 1}}
    engines.compare(rows, ("alone", "batch", "all"), labels)
    assert rows["peer"]["alone_ratio"] == [2.0, 1.0]
    assert rows["peer"]["batch_ratio"] == [3.0, 2.0]
    assert rows["peer"]["all_ratio"] == [2.0, 0.5]
    assert rows["peer"]["agrees"] == 0.5
    assert "alone_ratio" not in rows["yanmo fp32"]


def test_the_page_has_every_row_measured_or_not(engines):
    row = {"all": [100.0, 300.0, 200.0], "num_texts": 1000, "all_ratio": [2.0, 1.0, 3.0]}
    section = {"threads": 2, "load": [0.1, 0.2, 0.3]}
    engines.store("small", {**section, "rows": {"OpenVINO f32": {"state": "died: SIGFPE"}}})
    engines.store("small", {**section, "rows": {"CTranslate2 int8": row}})
    engines.store("memory", {"rows": {"100000": {"num_texts": 100_000, "peak_mb": 210.4, "seconds": 5.0}}})
    page = engines.rendered()
    assert "| OpenVINO f32 | died: SIGFPE |" in page
    assert "| CTranslate2 int8 | **200** (100 – 300; 1,000 texts) | **2.00** [1.00 – 3.00] |" in page
    assert "| 100,000 | 210 MB | 5.0 |" in page


@pytest.mark.parametrize(
    ("code", "state"),
    [
        ("raise ModuleNotFoundError('no', name='openvino')", "not installed: openvino"),
        ("os.kill(os.getpid(), signal.SIGFPE)", "died: SIGFPE"),
        ("raise ValueError('bad model')", "failed: ValueError: bad model"),
    ],
)
def test_a_peer_that_cannot_run_is_a_row_and_no_error(engines, code, state, tmp_path, monkeypatch):
    from peers import process

    (tmp_path / "peers").mkdir()
    (tmp_path / "peers" / "child.py").write_text((process.BENCHMARKS / "peers" / "child.py").read_text())
    (tmp_path / "peers" / "broken.py").write_text(
        f"import os, signal\ndef open_peer(folder, variant, num_threads):\n    {code}\n"
    )
    monkeypatch.setattr(process, "BENCHMARKS", tmp_path)
    peer = process.Peer("broken", "", tmp_path, 1)
    assert peer.state == state
    assert peer.ask(all=["text"]) == {}
    peer.close()


def test_a_peer_is_asked_and_can_die_later(engines, tmp_path, monkeypatch):
    from peers import process

    (tmp_path / "peers").mkdir()
    (tmp_path / "peers" / "child.py").write_text((process.BENCHMARKS / "peers" / "child.py").read_text())
    (tmp_path / "peers" / "counts.py").write_text(
        "import os, signal, numpy as np\n"
        "def open_peer(folder, variant, num_threads):\n"
        "    def answer(texts):\n"
        "        if 'die' in texts:\n"
        "            os.kill(os.getpid(), signal.SIGILL)\n"
        "        return np.eye(3)[[len(text) % 3 for text in texts]]\n"
        "    return answer\n"
    )
    monkeypatch.setattr(process, "BENCHMARKS", tmp_path)
    peer = process.Peer("counts", "", tmp_path, 1)
    assert peer.ask(all=["a", "bb", "ccc"])["labels"] == [1, 2, 0]
    assert len(peer.ask(alone=["a"], seconds=0.01)["ms"]) >= 3
    assert peer.ask(all=["die"]) == {}
    assert peer.state == "died: SIGILL"
    peer.close()


async def answer_badly(reader, writer):
    """Answer twice, end the connection politely with the third answer, and rudely instead of one to ``"cut"``."""
    with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
        for number in range(3):
            head = await reader.readuntil(b"\r\n\r\n")
            body = await reader.readexactly(int(head.partition(b"content-length: ")[2].partition(b"\r\n")[0]))
            if body == b'"cut"':
                break
            writer.write(b"HTTP/1.1 200 OK\r\n%scontent-length: 2\r\n\r\n" % (b"connection: close\r\n" * (number == 2)))
            await writer.drain()
            writer.write(b"{}")
    writer.close()


async def with_server(ask):
    async with await asyncio.start_server(answer_badly, "127.0.0.1", 0) as server:
        found = await ask(server.sockets[0].getsockname()[1])
        await asyncio.sleep(0.05)
        return found


def test_a_load_connects_again_and_counts_every_answer():
    found = asyncio.run(with_server(lambda port: load(port, [post("a")], connections=4, seconds=0.3)))
    assert set(found.statuses) == {200}
    assert found.statuses[200] > 20
    assert 0 < found.milliseconds(50) <= found.milliseconds(99)


def test_a_load_keeps_its_rate():
    found = asyncio.run(with_server(lambda port: load(port, [post("a")], connections=4, seconds=0.5, rate=100)))
    assert 30 <= found.statuses.total() <= 55


def test_a_load_tells_cut_connections_from_those_that_never_were():
    async def ask(port):
        asking = Load(port, [post("a"), post("cut")], connections=1, check=lambda place, _: place == 0)
        cut = (await asking.wait(5)).statuses
        asking = Load(1, [post("a")], connections=1, check=lambda *_: False)
        return cut, (await asking.wait(5)).statuses

    assert asyncio.run(with_server(ask)) == ({200: 1, 0: 1}, {-1: 1})


def test_an_answer_that_mixes_two_versions_is_seen():
    from hardships.reloads import judge, told_apart

    known = {"one": [[("a", 0.9), ("b", 0.8)]], "two": [[("a", 0.7), ("b", 0.8)]]}
    assert judge("one", [("a", 0.9), ("b", 0.8)], 0, known) == "one"
    assert judge("one", [("a", 0.7), ("b", 0.8)], 0, known) == "mixed"
    assert judge("three", [("a", 0.9), ("b", 0.8)], 0, known) == "mixed"
    assert told_apart(known) == 0.5


def test_the_page_of_the_service_keeps_what_other_runs_found(monkeypatch, tmp_path, capsys):
    import promises

    monkeypatch.setattr(promises, "RESULTS", tmp_path / "results.json")
    monkeypatch.setattr(promises, "page_path", lambda theme: tmp_path / f"{theme}.md")
    good, bad = promises.Kept("≤ 5", "4", True), promises.Kept("≤ 1 s", "2 s", False)
    assert promises.report("soak", promises.Section("Soak", [good]), write=True)
    assert not promises.report("ngram", promises.Section("Speed", [bad], ["more"]), write=True)
    assert "BROKEN  ≤ 1 s: 2 s" in capsys.readouterr().out
    page = (tmp_path / "service.md").read_text(encoding="utf-8")
    assert page.index("## Speed") < page.index("| ≤ 1 s | 2 s | **BROKEN** |") < page.index("## Soak")
    assert "| ≤ 5 | 4 | kept |" in page
    assert set(json.loads((tmp_path / "results.json").read_text(encoding="utf-8"))) == {"soak", "ngram"}
