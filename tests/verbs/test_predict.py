"""predict: texts from files, a Dataset or standard input; Predictions and a table for people; wrong input named."""

from __future__ import annotations

import errno
import io
import json
import signal
import subprocess
import sys
import time

import numpy as np
import polars as pl
import pytest

from yanmo.answers.choices import Choices
from yanmo.artifacts.base import Identity, publish
from yanmo.artifacts.bundle import Bundle, write_golden
from yanmo.artifacts.ledger import LEDGER
from yanmo.artifacts.placing import work_dir
from yanmo.artifacts.predictions import Predictions
from yanmo.cli import main
from yanmo.data import containers
from yanmo.errors import ArtifactError, ConfigError, DataError
from yanmo.executors import answering, units
from yanmo.modeling.runs.linear_model import fit_linear
from yanmo.modeling.settings import LabeledTexts, NetworkSettings
from yanmo.runtimes.predictor import open_bundle
from yanmo.tasks import get_task
from yanmo.text.inputs import Inputs
from yanmo.verbs import predict as predict_module
from yanmo.verbs.predict import predict
from yanmo.verbs.prepare import prepare

TEXTS = ["very good", "so bad", "good good", "bad", "很好", "不好", "好吃", "难吃"]
LABELS = ["neg", "pos"]


def make_bundle(folder, task, targets=(1, 0, 1, 0, 1, 0, 1, 0)):
    """Publish a linear Bundle that tells good from bad."""
    names, link = get_task(task).inputs, get_task(task).link
    inputs = Inputs((TEXTS, TEXTS[::-1])[: len(names)])
    targets_NC = np.eye(2, dtype=np.float32)[list(targets)]
    model = fit_linear(LabeledTexts(inputs, targets_NC), NetworkSettings(LABELS, link))
    info = {"format": "linear", "model": "linear", "max_length": 0, "architecture": {"family": "linear"}, "text": {}}
    with publish(folder, Identity(kind="bundle", verb="train", task=task, labels=LABELS, info=info)) as staging:
        model.save(staging)
        none = Choices(np.zeros((0, 2), dtype=np.float32), link)
        write_golden(staging, names, Inputs(([],) * len(names)), none)
    return Bundle.open(folder)


@pytest.fixture(scope="module")
def bundles(tmp_path_factory):
    folder = tmp_path_factory.mktemp("bundles")
    return {task: make_bundle(folder / task, task) for task in ("single_label", "multi_label", "text_pair")}


@pytest.fixture
def bundle(bundles):
    return bundles["single_label"]


@pytest.fixture
def csv(tmp_path):
    path = tmp_path / "new.csv"
    path.write_text("number,text,text_b\n" + "".join(f"n{i},{text},b{i}\n" for i, text in enumerate(TEXTS)), "utf-8")
    return path


@pytest.fixture
def stdin(monkeypatch):
    def give(content):
        stream = io.TextIOWrapper(io.BytesIO(content), encoding="utf-8")
        monkeypatch.setattr(sys, "stdin", stream)

    return give


@pytest.mark.parametrize("task", ["single_label", "multi_label", "text_pair"])
def test_predictions_are_those_of_the_predictor(task, bundles, csv, tmp_path):
    bundle = bundles[task]
    made = predict(bundle, csv, out=tmp_path / "predictions")
    items = list(zip(TEXTS, [f"b{i}" for i in range(8)], strict=True)) if task == "text_pair" else TEXTS
    predictor = open_bundle(bundle)
    assert np.abs(made.probabilities_NC - predictor.predict_proba(items)).max() <= 1e-6
    answers = [one.label for one in predictor.predict(items)]
    chosen = made.frame()["prediction"].to_list()
    assert [tuple(one) if isinstance(one, list) else one for one in chosen] == answers
    assert made.ids == [str(number) for number in range(1, 9)]
    assert (made.task, made.labels) == (task, LABELS)
    assert made.manifest.parents["bundle"] == bundle.digest
    assert list(made.manifest.parents) == ["bundle", "source:new.csv"]
    assert made.summary()["num_rows"] == 8


def test_equal_input_gives_an_equal_artifact(bundle, csv, tmp_path):
    first, second = (predict(bundle, csv, out=tmp_path / name) for name in ("a", "b"))
    assert first.digest == second.digest
    assert Predictions.open(tmp_path / "a").digest == first.digest


def test_windows_change_nothing(bundle, csv, tmp_path, monkeypatch):
    whole_NC = predict(bundle, csv, out=tmp_path / "whole").probabilities_NC
    for name, size in (("WINDOW", 3), ("WINDOW_BYTES", 1), ("UNIT_ROWS", 3), ("UNIT_BYTES", 1)):
        monkeypatch.setattr(units, name, size)
        assert np.abs(predict(bundle, csv, out=tmp_path / name).probabilities_NC - whole_NC).max() <= 1e-6


@pytest.mark.parametrize("task", ["single_label", "multi_label"])
@pytest.mark.parametrize("extension", ["csv", "jsonl", "parquet"])
def test_people_get_a_table_with_ids_texts_and_answers(extension, task, bundles, csv, tmp_path):
    made = predict(bundles[task], csv, id="number", format=extension, out=tmp_path / "made")
    readers = {"csv": pl.read_csv, "jsonl": pl.read_ndjson, "parquet": pl.read_parquet}
    table = readers[extension](made.path / f"table.{extension}")
    assert table.columns == ["id", "text", "prediction", "probability"]
    assert table["id"].to_list() == [f"n{i}" for i in range(8)] == made.ids
    assert table["text"].to_list() == TEXTS
    answers = table["prediction"].to_list()
    expected = made.frame()["prediction"].to_list()
    is_text = extension == "csv" and task == "multi_label"
    assert [json.loads(answer) for answer in answers] == expected if is_text else answers == expected


def test_several_files_are_read_in_order(bundle, csv, tmp_path):
    other = tmp_path / "other.jsonl"
    other.write_text('{"text": "bad", "text_b": "x", "number": 1}\n{"text": "", "text_b": "", "number": 2}\n')
    made = predict(bundle, (other, csv), out=tmp_path / "made")
    assert len(made.ids) == 10
    assert made.frame()["prediction"][0] == "neg"
    assert list(made.manifest.parents) == ["bundle", "source:new.csv", "source:other.jsonl"]


def test_a_split_of_a_dataset_is_answered_under_its_ids(bundle, csv, tmp_path):
    rows = "".join(f"{text} {number},{LABELS[number % 2]}\n" for number in range(40) for text in ("good", "bad"))
    (tmp_path / "rows.csv").write_text("text,label\n" + rows)
    dataset = prepare(tmp_path / "rows.csv", out=tmp_path / "dataset")
    made = predict(bundle, dataset, split="valid", out=tmp_path / "made")
    assert made.ids == dataset.split("valid")["id"].to_list()
    assert made.manifest.parents == {"bundle": bundle.digest, "dataset": dataset.digest}
    with pytest.raises(ArtifactError, match="has no split 'vald'"):
        predict(bundle, dataset, split="vald", out=tmp_path / "other")


def test_without_out_the_answers_are_returned_and_nothing_is_written(bundle, csv, tmp_path):
    before = sorted(tmp_path.iterdir())
    made = predict(bundle, csv)
    assert made.path is None
    assert made.probabilities_NC.shape == (8, 2)
    lines = list(made.lines())
    assert lines[0].startswith("pos\t0.")
    summary = json.loads(json.dumps(made.summary()))
    assert summary["num_rows"] == len(summary["predictions"]) == 8
    assert set(summary["predictions"][0]) == {"id", "prediction", "probability", "probabilities"}
    assert set(summary["predictions"][0]["probabilities"]) == set(LABELS)
    assert sorted(tmp_path.iterdir()) == before


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("很好\nbad\n".encode(), ["pos", "neg"]),
        ("\ufeff很好\r\nbad".encode(), ["pos", "neg"]),
        ("好吃\n\nbad\n".encode(), 3),
        ("好".encode(), ["pos"]),
    ],
)
def test_standard_input_is_one_text_a_line(content, expected, bundle, stdin):
    stdin(content)
    answers = predict(bundle, "-").frame()["prediction"].to_list()
    assert len(answers) == expected if isinstance(expected, int) else answers == expected


def test_a_table_of_pairs_has_both_texts(bundles, csv, tmp_path):
    made = predict(bundles["text_pair"], csv, format="parquet", out=tmp_path / "made")
    table = pl.read_parquet(made.path / "table.parquet")
    assert table.columns == ["id", "text", "text_b", "prediction", "probability"]
    assert table["text_b"].to_list() == [f"b{i}" for i in range(8)]


def test_standard_input_of_pairs_has_a_tab(bundles, stdin):
    stdin("好\t不好\nbad\tgood\n".encode())
    assert len(predict(bundles["text_pair"], "-").ids) == 2
    stdin("好\t不好\nbad\n".encode())
    with pytest.raises(DataError, match="Line 2 of standard input is no pair"):
        predict(bundles["text_pair"], "-")


def test_standard_input_is_decoded_strictly(bundle, stdin):
    stdin("good\n难吃\n".encode("gb18030"))
    with pytest.raises(DataError, match=r"Standard input is not utf-8: byte 0xC4 at offset 5, line 2") as caught:
        predict(bundle, "-")
    assert "gb18030" in caught.value.hint
    stdin("good\n难吃\n".encode("gb18030"))
    assert predict(bundle, "-", encoding="gb18030").frame()["prediction"].to_list() == ["pos", "neg"]
    stdin(b"")
    with pytest.raises(DataError, match="Standard input is empty"):
        predict(bundle, "-")


def test_truncated_texts_are_counted_and_said(bundle, csv, monkeypatch, caplog):
    original = predict_module.open_bundle

    def short(*arguments, **values):
        predictor = original(*arguments, **values)
        score = predictor.score

        def cut(encoded):
            inference = score(encoded)
            inference.found.truncated_N[:3] = True
            return inference

        monkeypatch.setattr(predictor, "score", cut)
        return predictor

    monkeypatch.setattr(predict_module, "open_bundle", short)
    assert predict(bundle, csv).summary()["num_truncated"] == 3
    assert "3 of 8 texts are longer than" in caplog.text


@pytest.mark.parametrize(
    ("values", "error", "message"),
    [
        ({"text": "review"}, DataError, "review"),
        ({"text_b": "text_b"}, ConfigError, "The 'text_b' parameter of predict is for pairs"),
        ({"format": "xml"}, ConfigError, "The 'format' parameter of predict must be"),
        ({"colum": "text"}, ConfigError, "predict has no parameter 'colum'"),
        ({"num_threads": 0}, ConfigError, "'num_threads' parameter of predict"),
    ],
)
def test_a_wrong_value_is_named(values, error, message, bundle, csv):
    with pytest.raises(error, match=message):
        predict(bundle, csv, **values)


def test_a_repeated_id_and_a_missing_text_are_named_with_their_place(bundle, tmp_path):
    path = tmp_path / "rows.jsonl"
    path.write_text('{"id": "1", "text": "a"}\n{"id": "1", "text": "b"}\n')
    with pytest.raises(DataError, match=r"The id '1' stands more than once: .*rows\.jsonl line 1 and .* line 2"):
        predict(bundle, path, id="id")
    path.write_text('{"text": "a"}\n{"text": null}\n')
    with pytest.raises(DataError, match=r"rows\.jsonl line 2 has no value in the column 'text'"):
        predict(bundle, path)


def test_sources_that_do_not_go_together_are_refused(bundle, bundles, csv, tmp_path):
    with pytest.raises(ConfigError, match="Got '-' beside others instead"):
        predict(bundle, (csv, "-"))
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="is a folder, but no Dataset"):
        predict(bundle, tmp_path / "empty")
    with pytest.raises(ArtifactError, match="a dataset artifact is wanted"):
        predict(bundle, bundles["multi_label"].path)


def test_a_mistake_in_the_last_row_is_found_before_a_model_is_opened_and_leaves_nothing(bundle, tmp_path, monkeypatch):
    path = tmp_path / "rows.csv"
    path.write_text("text,n\n" + "a,1\n" * 5000 + "b\n")
    monkeypatch.setattr(containers, "BLOCK_BYTES", 1000)
    monkeypatch.setattr(answering, "open_bundle", None)
    with pytest.raises(DataError, match=r"rows\.csv line 5002 has 1 field, but the first row has 2"):
        predict(bundle, path, out=tmp_path / "made")
    assert list(tmp_path.iterdir()) == [path]


def test_after_a_failure_in_a_late_window_the_same_command_goes_on(bundle, csv, tmp_path, monkeypatch, caplog):
    caplog.set_level("INFO", logger="yanmo")
    monkeypatch.setattr(units, "UNIT_ROWS", 3)
    whole = predict(bundle, csv, out=tmp_path / "whole")
    answers = answering.answer_windows

    def failing(*arguments):
        stream = answers(*arguments)
        yield next(stream)
        yield next(stream)
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch, pytest.raises(ArtifactError, match="No space left on device"):
        patch.setattr(answering, "answer_windows", failing)
        predict(bundle, csv, out=tmp_path / "made")
    assert sorted(tmp_path.iterdir()) == [work_dir(tmp_path / "made"), csv, whole.path]
    assert "What is answered is kept in" in caplog.text
    assert predict(bundle, csv, out=tmp_path / "made").digest == whole.digest
    assert "Answered before: 6 texts" in caplog.text
    assert sorted(tmp_path.iterdir()) == [tmp_path / "made", csv, whole.path]


def test_a_failure_before_the_first_answer_leaves_nothing(bundle, csv, tmp_path, monkeypatch):
    def failing(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(answering, "answer_windows", failing)
    with pytest.raises(ArtifactError, match="No space left on device"):
        predict(bundle, csv, out=tmp_path / "made")
    assert list(tmp_path.iterdir()) == [csv]


SMALL = "from yanmo.executors import units; units.UNIT_ROWS = 50; from yanmo.cli import main; import sys; "


@pytest.fixture(scope="module")
def many(tmp_path_factory):
    path = tmp_path_factory.mktemp("many") / "many.csv"
    path.write_text("number,text\n" + "".join(f"m{i},{TEXTS[i % 8]} {i % 13}\n" for i in range(10_000)), "utf-8")
    return path


@pytest.fixture(scope="module")
def whole(bundles, many, tmp_path_factory):
    """What nothing has disturbed."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(units, "UNIT_ROWS", 50)
        return predict(bundles["single_label"], many, id="number", out=tmp_path_factory.mktemp("made") / "whole")


@pytest.fixture
def kill(bundle, many, tmp_path):
    """Return what starts a predict and kills it with SIGKILL when so many units are answered."""

    def start(num_units, out):
        command = ["predict", str(bundle.path), str(many), "--id", "number", "--out", str(out)]
        process = subprocess.Popen([sys.executable, "-c", SMALL + "sys.exit(main(sys.argv[1:]))", *command])
        deadline, ledger = time.monotonic() + 60, work_dir(out) / predict_module.ANSWERED / LEDGER
        while not ledger.is_file() or ledger.read_bytes().count(b"\n") < num_units:
            assert process.poll() is None, "it ended before its moment"
            assert time.monotonic() < deadline, "the moment did not come"
            time.sleep(0.002)
        process.send_signal(signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL
        assert not out.exists()
        return ledger

    return start


@pytest.fixture
def answered(monkeypatch):
    """The number of rows of every window that a model answers here."""
    heights, original = [], answering.answer_windows

    def watch(*arguments):
        for found in original(*arguments):
            heights.append(found[0].height)
            yield found

    monkeypatch.setattr(answering, "answer_windows", watch)
    monkeypatch.setattr(units, "UNIT_ROWS", 50)
    return heights


@pytest.fixture
def again(bundle, many):
    """Return what gives the same command again."""
    return lambda out: predict(bundle, many, id="number", out=out)


@pytest.mark.parametrize("num_kills", [1, 3])
def test_a_predict_that_is_killed_answers_only_what_is_missing(num_kills, whole, kill, again, answered, tmp_path):
    for number in range(num_kills):
        ledger = kill(20 * (number + 1), tmp_path / "made")
    kept = ledger.read_bytes().count(b"\n")
    made = again(tmp_path / "made")
    assert sum(answered) == 10_000 - 50 * kept
    assert made.digest == whole.digest
    assert Predictions.open(made.path).digest == whole.digest
    assert not work_dir(made.path).exists()


def test_what_a_power_cut_has_torn_is_answered_anew(whole, kill, again, answered, tmp_path, caplog):
    ledger = kill(20, tmp_path / "made")
    ledger.write_bytes(b"".join(ledger.read_bytes().splitlines(keepends=True)[:20])[:-9])
    (ledger.parent / "part-000007.parquet").write_bytes(b"PAR1")
    (ledger.parent / "part-000009.table.csv").unlink()
    made = again(tmp_path / "made")
    assert sum(answered) == 10_000 - 50 * 17
    assert "part-000007.parquet is damaged" in caplog.text
    assert made.digest == whole.digest


def test_other_work_in_the_folder_of_what_was_cut_off_is_refused_unless_it_is_to_begin_anew(
    bundle, many, csv, kill, answered, tmp_path
):
    ledger = kill(3, tmp_path / "made")
    other = make_bundle(tmp_path / "other", "single_label", targets=[0, 1, 1, 0, 1, 0, 1, 0])
    changes = {
        "input bundle: .* → ": ((other, many), {"id": "number"}),
        "input source:many.csv: .* → none": ((bundle, csv), {"id": "number"}),
        "order of the sources: .*many.csv.* → .*many.csv.*new.csv": ((bundle, (many, csv)), {"id": "number"}),
        "id: number → none": ((bundle, many), {}),
        "long_texts: truncate → windows": ((bundle, many), {"id": "number", "long_texts": "windows"}),
    }
    for message, (inputs, values) in changes.items():
        with pytest.raises(ConfigError, match=message) as caught:
            predict(*inputs, out=tmp_path / "made", **values)
        assert "--fork" in caught.value.hint
    changed = tmp_path / many.name
    changed.write_text(many.read_text("utf-8").replace("m7,", "m07,"), "utf-8")
    with pytest.raises(ConfigError, match="input source:many.csv"):
        predict(bundle, changed, id="number", out=tmp_path / "made")
    assert ledger.exists()
    made = predict(other, csv, out=tmp_path / "made", fork=True)
    assert sum(answered) == 8
    assert made.digest == predict(other, csv, out=tmp_path / "plain").digest


def test_standard_input_is_answered_from_its_beginning_and_leaves_what_was_cut_off(
    bundle, kill, answered, stdin, tmp_path
):
    ledger = kill(3, tmp_path / "made")
    stdin("\n".join(TEXTS * 20).encode())
    made = predict(bundle, "-", out=tmp_path / "other")
    assert sum(answered) == len(made.ids) == 160
    assert sorted(path.name for path in made.path.iterdir()) == ["manifest.json", "predictions.parquet", "table.csv"]
    assert ledger.exists()


def test_long_texts_say_that_they_have_no_effect_once_and_wrong_values_are_named(bundle, csv, caplog):
    predict(bundle, csv, long_texts="windows")
    assert [one for one in caplog.messages if "long_texts" in one] == [
        f"long_texts has no effect: {bundle.path} reads all of every text."
    ]
    with pytest.raises(ConfigError, match="The 'long_texts' parameter of predict must be"):
        predict(bundle, csv, long_texts="pool")
    with pytest.raises(ConfigError, match="The 'window_overlap' parameter of predict must be"):
        predict(bundle, csv, window_overlap=1)


@pytest.fixture
def typing(bundle):
    """A predict process that reads what is typed; Ctrl-C reaches it as it does in a terminal."""
    process = subprocess.Popen(
        [sys.executable, "-m", "yanmo", "predict", str(bundle.path), "-"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509 - a shell may ignore it
    )
    with process:
        yield process
        process.kill()


def test_whoever_types_a_line_gets_an_answer_at_once(typing):
    for text, label in (("很好", b"pos"), ("so bad", b"neg")):
        typing.stdin.write(f"{text}\n".encode())
        typing.stdin.flush()
        assert typing.stdout.readline().startswith(label + b"\t0.")
    typing.stdin.write("好吃\n难吃".encode())
    typing.stdin.close()
    assert [line[:4] for line in typing.stdout.read().splitlines()] == [b"pos\t", b"neg\t"]
    assert (typing.wait(10), typing.stderr.read()) == (0, b"")


def test_ctrl_c_ends_a_predict_that_waits_for_input(typing):
    typing.stdin.write(b"good\n")
    typing.stdin.flush()
    assert typing.stdout.readline()
    typing.send_signal(signal.SIGINT)
    assert typing.wait(10) == 130
    assert b"Traceback" not in typing.stderr.read()


@pytest.mark.parametrize("task", ["single_label", "multi_label"])
def test_the_command_line_prints_the_lines_of_python(task, bundles, csv, tmp_path, monkeypatch, capsys):
    lines = list(predict(bundles[task], csv).lines())
    monkeypatch.setattr(units, "WINDOW", 3)
    assert main(["predict", str(bundles[task].path), str(csv)]) == 0
    assert capsys.readouterr().out.splitlines() == lines
    assert main(["predict", str(bundles[task].path), str(csv), "--json"]) == 0
    assert len(json.loads(capsys.readouterr().out)["predictions"]) == 8
    assert main(["predict", str(bundles[task].path), str(csv), "--out", str(tmp_path / "made")]) == 0
    assert list(Predictions.open(tmp_path / "made").ids) == [str(number) for number in range(1, 9)]
    assert "num_rows" in capsys.readouterr().out


@pytest.mark.parametrize("task", ["single_label", "text_pair"])
def test_a_bundle_without_golden_examples_opens_and_has_the_columns_of_its_task(bundles, task):
    golden = bundles[task].golden()
    assert golden.inputs.items() == []
    assert len(golden.inputs.columns) == len(get_task(task).inputs)
    with open_bundle(bundles[task]) as predictor:
        assert predictor.predict(golden.inputs.items()) == []
