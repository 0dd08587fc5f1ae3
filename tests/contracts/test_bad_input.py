"""What a user can do wrong on the command line: exact exit code and message of each, and nothing left behind."""

import json

import pytest

from yanmo.cli import main
from yanmo.data.prepare_config import PrepareConfig
from yanmo.models import LIGHT_FAMILIES, SHAPED_FAMILIES

THE_MODELS = (
    f"The models are: {', '.join(LIGHT_FAMILIES)}; {', '.join(SHAPED_FAMILIES)} with layers x width such as "
    "bert-4x312; a local folder; a hub id (owner/name)."
)

ROWS = "".join(f"很好吃 {number},good\n真难吃 {number},bad\n" for number in range(20))
FILES = {
    "reviews.csv": f"text,label\n{ROWS}",
    "ragged.csv": "text,label\nfine,good\nno label\n",
    "quote.csv": 'text,label\nfine,good\n"never closed,bad\nmore,good\n',
    "empty.csv": "",
    "single.csv": "text,label\na,good\nb,good\nc,good\n",
    "test.csv": "text,label\nodd one,neutral\n",
    "unknown_key.toml": '[stage.a]\nverb = "prepare"\nsource = "reviews.csv"\nlable = "label"\n',
    "cycle.toml": '[stage.a]\nverb = "export"\nbundle = "b"\n\n[stage.b]\nverb = "export"\nbundle = "a"\n',
}

MISTAKES = {
    "missing file": (
        ["prepare", "review.csv", "--out", "new"],
        "There is no file review.csv. Did you mean 'reviews.csv'?",
        "Files in .: cycle.toml, empty.csv, gbk.csv, quote.csv, ragged.csv, reviews.csv, single.csv, test.csv, …",
    ),
    "missing column": (
        ["prepare", "reviews.csv", "--text", "txt", "--out", "new"],
        "reviews.csv has no column 'txt'. Did you mean 'text'?",
        "It has: 'text', 'label'. If the first line is no header: --no-header, and columns by position.",
    ),
    "wrong encoding": (
        ["prepare", "gbk.csv", "--out", "new"],
        "gbk.csv is not utf-8: byte 0xBA at offset 11, line 2 (invalid start byte).",
        "The whole file decodes as gb18030, big5. If that is what it is: --encoding gb18030.",
    ),
    "ragged row": (
        ["prepare", "ragged.csv", "--out", "new"],
        "ragged.csv line 3 has 1 field, but the first row has 2. Got 'no label'.",
        "Put a field that holds ',' between quotes, or name the right --delimiter.",
    ),
    "open quote": (
        ["prepare", "quote.csv", "--out", "new"],
        "quote.csv line 3: a quote opens a field here and is never closed.",
        "Double a quote that belongs to the text, or turn quoting off with --quote none.",
    ),
    "empty file": (
        ["prepare", "empty.csv", "--out", "new"],
        "empty.csv is empty.",
        "Give a file that has rows.",
    ),
    "one class only": (
        ["prepare", "single.csv", "--out", "new"],
        "There is one class only: all 1 rows of train have the label 'good'.",
        "Give rows of at least two classes, or name another --label column.",
    ),
    "label that train lacks": (
        ["prepare", "reviews.csv", "--test", "test.csv", "--out", "new"],
        "Labels of valid or test that train lacks: 'neutral' (test.csv line 2).",
        "Train has: bad, good. Correct the label or add rows.",
    ),
    "unknown model": (
        ["train", "data", "--model", "txtcnn", "--out", "new"],
        "There is no model 'txtcnn'. Did you mean 'textcnn'?",
        THE_MODELS,
    ),
    "unknown TOML key": (
        ["check", "unknown_key.toml"],
        "unknown_key.toml:4: In the stage 'a' prepare has no key 'lable'. Did you mean 'label'?",
        f"The keys of prepare are: source, {', '.join(PrepareConfig.model_fields)}.",
    ),
    "cycle": (
        ["check", "cycle.toml"],
        "cycle.toml:1: The stages need each other in a cycle: a → b → a.",
        "Take one of these inputs from elsewhere.",
    ),
    "changed byte": (
        ["predict", "changed", "reviews.csv", "--out", "new"],
        "changed/model.safetensors was changed: it does not match the digest in manifest.json.",
        "Copy the folder again, or make it anew; artifacts are never edited.",
    ),
    "one member": (
        ["ensemble", "data", "good", "--out", "new"],
        "The 'members' input of ensemble must be at least 2 Bundles. Got 1 instead.",
        "Name more Bundles, or a stage that makes several.",
    ),
    "composite for a single-model verb": (
        ["export", "both", "--out", "new"],
        "export takes the Bundle of one model. both is of format ensemble.",
        "Export its members, then make the ensemble of them.",
    ),
    "composite to quantize": (
        ["quantize", "both", "data", "--out", "new"],
        "quantize takes a single model. both is of format ensemble.",
        "Quantize the members, then ensemble.",
    ),
    "too few rows for a guarantee": (
        ["cascade", "data", "good", "both", "--costs", "1", "--costs", "2", "--out", "new"],
        "To show a guarantee of agreement of 0.01 with confidence 0.95 takes at least 427 labelled rows. "
        "Got 4 instead.",
        "Give a Dataset with a larger split, or ask for less: a larger --alpha or --delta.",
    ),
    "no folds": (
        ["audit", "good", "data", "--out", "new"],
        "good has no out-of-fold predictions.",
        "Train it with folds: yanmo train … --folds 5",
    ),
    "newer schema": (
        ["predict", "newer", "reviews.csv", "--out", "new"],
        "newer has schema version 99; this Yanmo reads versions up to 2.",
        "pip install --upgrade yanmo",
    ),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with every kind of broken input, a good Dataset, and two broken Bundles."""
    folder = tmp_path_factory.mktemp("mistakes")
    for name, content in FILES.items():
        (folder / name).write_text(content, encoding="utf-8")
    (folder / "gbk.csv").write_bytes(FILES["reviews.csv"].encode("gb18030"))
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        assert main(["prepare", "reviews.csv", "--out", "data"]) == 0
        for name in ("changed", "newer", "good"):
            assert main(["train", "data", "--model", "linear", "--out", name]) == 0
        assert main(["ensemble", "data", "good", "changed", "--out", "both"]) == 0
    weights = folder / "changed" / "model.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    manifest = folder / "newer" / "manifest.json"
    manifest.write_text(json.dumps({**json.loads(manifest.read_text()), "schema_version": 99}))
    return folder


@pytest.mark.parametrize("name", list(MISTAKES))
def test_a_mistake_has_its_message_and_leaves_nothing(name, folder, monkeypatch, capsys):
    arguments, message, hint = MISTAKES[name]
    monkeypatch.chdir(folder)
    before = sorted(folder.rglob("*"))
    assert main(arguments) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.endswith(f"{message}\nhint: {hint}\n")
    assert sorted(folder.rglob("*")) == before
