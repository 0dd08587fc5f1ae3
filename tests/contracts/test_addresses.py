"""An address of another machine is refused by name where a path must stand, and nothing is made in its stead.

What takes the addresses of buckets is tested in tests/storage.
"""

import typing
from pathlib import Path

import pytest

import yanmo
from yanmo.artifacts import Bundle, Dataset, Predictions, Report
from yanmo.cli import main
from yanmo.errors import YanmoError
from yanmo.paths import as_address, check_path
from yanmo.verbs import COMMANDS
from yanmo.verbs.signature import get_verb

ADDRESS = "s3://bucket/folder/x"
FOREIGN = "hdfs://bucket/folder/x"
"""Of no bucket, so that no command takes it."""
REFUSED = f"must be a path on this machine. Got '{ADDRESS}' instead."
HINT = "hint: Copy what is elsewhere to this machine, and give its path here."
VERBS = {name: get_verb(name) for name in COMMANDS}


def path_fields(verb):
    fields = verb.config_class.model_fields.items()
    return [name for name, field in fields if field.annotation is Path or Path in typing.get_args(field.annotation)]


PLACES = [
    *((name, one.name, verb.takes_addresses) for name, verb in VERBS.items() for one in verb.inputs),
    *((name, "out", verb.takes_addresses) for name, verb in VERBS.items() if verb.has_out),
    *((name, field, False) for name, verb in VERBS.items() for field in path_fields(verb)),
]
"""Verb, place, and whether buckets are taken there."""


def arguments(verb, place, address):
    """Return the arguments of a call that would fail for what does not exist, but for one address."""
    values = {one.name: "none" for one in verb.inputs if not one.is_optional}
    many = {one.name for one in verb.inputs if one.is_many}
    if verb.has_out:
        values["out"] = "none-either"
    return {**values, place: ["none", address] if place in many else address}


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """A working directory that is empty, and stays so."""
    monkeypatch.chdir(tmp_path)
    yield tmp_path
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("kind", [str, Path])
@pytest.mark.parametrize(("name", "place", "is_taken"), PLACES)
def test_a_function_refuses_it(name, place, is_taken, kind):
    address = FOREIGN if is_taken else ADDRESS
    with pytest.raises(YanmoError) as told:
        VERBS[name](**arguments(VERBS[name], place, kind(address)))
    what = "input" if place in {one.name for one in VERBS[name].inputs} else "parameter"
    assert f"'{place}' {what} of {name} {REFUSED.replace(ADDRESS, address)}" in str(told.value)
    assert HINT in str(told.value)


@pytest.mark.parametrize(("name", "place", "is_taken"), PLACES)
def test_a_command_refuses_it(name, place, is_taken, capsys):
    verb, words = VERBS[name], [name]
    address = FOREIGN if is_taken else ADDRESS
    for key, value in arguments(verb, place, address).items():
        words += [f"--{key.replace('_', '-')}", *(value if isinstance(value, list) else [value])]
    assert main(words) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert REFUSED.replace(ADDRESS, address) in printed.err
    assert HINT in printed.err


@pytest.mark.parametrize(
    "address",
    ["s3n://b/x", "wasb://b", "hdfs://h:9000/x", "http://h/x.csv", "https://h", "file:///tmp/x", "abfss://c@a/x"],
)
def test_any_other_scheme_is_one(address, capsys):
    assert main(["prepare", "none.csv", "--out", address]) == 2
    assert "The 'out' parameter of prepare must be a path on this machine. Got" in capsys.readouterr().err
    assert as_address(Path(address)).rstrip("/") == address.replace(":///", "://").rstrip("/")


@pytest.mark.parametrize(
    "path", ["s3", "s3:", "./a:b", "a:b/c", "/s3:/b", "C:/data", "C:\\data", "a/s3://b", "-", "中:文/"]
)
def test_other_paths_are_none(path):
    check_path(path, what="It")
    check_path(Path(path), what="It")


STAGE = '[stage.a]\nverb = "{verb}"\n{line}\n'


@pytest.mark.parametrize(
    ("verb", "lines", "line", "what"),
    [
        ("prepare", [], f'source = "{ADDRESS}"', "the 'source' input of prepare"),
        ("prepare", [], f'source = ["x.csv", "{ADDRESS}"]', "the 'source' input of prepare"),
        ("prepare", ['source = "x.csv"'], f'valid = "{ADDRESS}"', "The 'valid' parameter of prepare"),
        ("train", ['model = "ngram"'], f'dataset = "{ADDRESS}"', "the 'dataset' input of train"),
        ("export", [], f'bundle = "{ADDRESS}"', "the 'bundle' input of export"),
    ],
)
def test_a_pipeline_refuses_it_before_anything_runs(verb, lines, line, what, folder, capsys):
    file = folder / "pipeline.toml"
    file.write_text(STAGE.format(verb=verb, line="\n".join([*lines, line])))
    (folder / "x.csv").write_text("text,label\na,b\n")
    code, printed = main(["check", str(file)]), capsys.readouterr()
    for path in (file, folder / "x.csv"):
        path.unlink()
    assert code == 2
    assert f"pipeline.toml:{3 + len(lines)}: " in printed.err
    assert f"{what} must be a path on this machine. Got " in printed.err
    assert ADDRESS in printed.err
    assert "\nhint: " in printed.err


@pytest.mark.parametrize("flags", [[], ["--set", f"pipeline.out={ADDRESS}"]])
def test_a_pipeline_writes_no_artifacts_to_it(flags, folder, capsys):
    file = folder / "pipeline.toml"
    head = "" if flags else f'[pipeline]\nout = "{ADDRESS}"\n'
    file.write_text(head + STAGE.format(verb="prepare", line='source = "x.csv"'))
    code, printed = main(["run", str(file), *flags]), capsys.readouterr()
    file.unlink()
    assert code == 2
    assert f"The 'out' key of [pipeline] {REFUSED}" in printed.err


@pytest.mark.parametrize(
    "call",
    [
        lambda: yanmo.load(ADDRESS),
        lambda: Bundle.open(ADDRESS),
        lambda: Dataset.open(Path(ADDRESS)),
        lambda: Predictions.open(ADDRESS),
        lambda: Report.open(ADDRESS),
    ],
)
def test_what_opens_an_artifact_refuses_it(call):
    with pytest.raises(YanmoError, match="The folder of an artifact must be a path on this machine"):
        call()


def test_texts_that_name_a_place_are_looked_at_too(make_words, tmp_path_factory, capsys):
    data = make_words(tmp_path_factory.mktemp("data") / "words", ["city", "fruit", "tool"]).path
    out = tmp_path_factory.mktemp("made")
    train = ["train", str(data), "--num-epochs", "1", "--out", str(out / "new")]
    assert main([*train, "--model", ADDRESS]) == 2
    assert f"The model must be a path on this machine or a hub id. Got '{ADDRESS}' instead." in capsys.readouterr().err
    assert main([*train, "--model", "ngram", "--tracker", f"tensorboard:{ADDRESS}"]) == 2
    assert f"TensorBoard's folder {REFUSED}" in capsys.readouterr().err
    assert main(["train", str(data), "--model", "linear", "--out", str(out / "linear")]) == 0
    assert main(["serve", str(out / "linear"), "--port", "0", "--api-keys", ADDRESS]) == 2
    assert f"The file of API keys {REFUSED}" in capsys.readouterr().err


@pytest.mark.parametrize("path", ["n\udcff", "a\0b"])
def test_a_name_that_is_no_text_is_refused(path):
    with pytest.raises(YanmoError, match=r"The 'out' parameter of prepare must be a path whose name is text\. Got "):
        yanmo.prepare("none.csv", out=path)
    with pytest.raises(YanmoError, match="The 'source' input of prepare must be a path whose name is text"):
        yanmo.prepare(path, out="new")
