"""A pipeline does what is due and nothing else, and a cut at any moment loses nothing that was finished."""

import logging
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from filelock import FileLock

from yanmo.artifacts import Bundle, Dataset, Report
from yanmo.errors import BusyError, ModelError, PipelineError, YanmoError
from yanmo.pipeline.check import CheckConfig, check
from yanmo.pipeline.plan import Plan
from yanmo.pipeline.run import RunConfig, run
from yanmo.verbs.signature import get_verb

MODELS = """
    [stage.models]
    verb = "train"
    dataset = "reviews"
    num_epochs = 2
    each = { model = ["ngram"], seed = [1, 2] }
"""
ONE_MODEL = """
    [stage.small]
    verb = "train"
    dataset = "reviews"
    model = "ngram"
    num_epochs = 2
"""


def run_it(path, *overrides):
    return run(path, RunConfig(set=overrides))


def states(path, *overrides):
    rows = check(path, CheckConfig(set=overrides)).summary()["stages"]
    return {row["stage"]: row["state"] for row in rows}


def identities(folder):
    """What was made and not touched since: the manifests with their content and time of writing."""
    return {
        manifest.parent.relative_to(folder).as_posix(): (manifest.read_bytes(), manifest.stat().st_mtime_ns)
        for manifest in sorted(folder.rglob("manifest.json"))
    }


def contents(folder):
    return {name: content for name, (content, _) in identities(folder).items() if not name.startswith("report")}


@pytest.fixture(scope="module")
def finished_once(tmp_path_factory, write_project):
    """The artifacts of one run, to be copied."""
    folder = tmp_path_factory.mktemp("finished")
    run_it(write_project(folder, MODELS))
    return folder / "runs"


@pytest.fixture
def finished(write, project, finished_once):
    """A pipeline that was run, its Report and the folder of its artifacts."""
    path = write(MODELS)
    shutil.copytree(finished_once, project / "runs")
    return path, Report.open("runs/report"), project / "runs"


def test_a_pipeline_runs_once_and_then_nothing_is_done(finished, caplog):
    path, report, out = finished
    assert {row["name"] for row in report.summary()["rows"]} == {"ngram-1", "ngram-2"}
    assert states(path) == {"reviews": "done", "models/ngram-1": "done", "models/ngram-2": "done"}
    assert Bundle.open(out / "models/ngram-1").digest != Bundle.open(out / "models/ngram-2").digest
    before = identities(out)
    caplog.set_level(logging.INFO, "yanmo")
    again = run_it(path)
    assert (again.digest, again.path) == (report.digest, Path("runs/report"))
    assert identities(out) == before
    assert not [message for message in caplog.messages if message.startswith("left")]
    assert [message for message in caplog.messages if "skipped" in message] == [
        "stage 1/3 reviews: unchanged, skipped",
        "stage 2/3 models/ngram-1: unchanged, skipped",
        "stage 3/3 models/ngram-2: unchanged, skipped",
        "report runs/report: unchanged, skipped",
    ]


def test_a_changed_value_makes_anew_what_depends_on_it_and_nothing_else(finished, caplog):
    path, report, out = finished
    before = identities(out)
    assert report.metrics["command"] == "cd ../.. && yanmo run pipeline.toml"
    change = "stage.models.each.seed=[2, 3]"
    assert states(path, change) == {"reviews": "done", "models/ngram-2": "done", "models/ngram-3": "to do"}
    caplog.set_level(logging.INFO, "yanmo")
    other = run_it(path, change)
    after = identities(out)
    assert {name for name in after if after[name] != before.get(name)} == {"models/ngram-3", "report"}
    assert other.digest != report.digest
    assert {row["name"] for row in other.summary()["rows"]} == {"ngram-2", "ngram-3"}
    assert other.metrics["command"] == f"yanmo run pipeline.toml --set '{change}'"
    assert [message for message in caplog.messages if message.startswith("left")] == [
        "left from values that 'each' has no more, remove what you do not need: runs/models/ngram-1"
    ]
    assert Bundle.open(out / "models/ngram-1").model == "ngram"


def test_a_comparison_links_to_the_reports_beside_it(finished, write, project):
    _, plain, _ = finished
    assert [row["links"] for row in plain.metrics["rows"]] == [[], []]
    stage = """
[stage.quality]
verb = "evaluate"
bundle = "models"
dataset = "reviews"
measure_speed = false
"""
    report = run_it(write(MODELS + stage))
    pages = [row["links"] for row in report.metrics["rows"] if row["name"] == "ngram-2"]
    assert pages == [[{"name": "quality/ngram-2", "page": "../quality/ngram-2/report.html"}]]
    html = report.html_path.read_text(encoding="utf-8")
    for page in re.findall(r'<a href="([^"]+)">', html):
        assert (report.path / page).is_file()
    assert html.count("<a ") == 2


def test_the_reports_of_a_pipeline_say_commands_that_run_from_their_folders(finished, write, project, tmp_path):
    stage = """
[stage.quality]
verb = "evaluate"
bundle = "models"
dataset = "reviews"
measure_speed = false
"""
    report = run_it(write(MODELS + stage).absolute())
    assert report.metrics["command"] == "cd ../.. && yanmo run pipeline.toml"
    yanmo = Path(sys.executable).with_name("yanmo")
    for page in (report.path, report.path.parent / "quality" / "ngram-1"):
        content = Report.open(page)
        assert str(project) not in (page / "report.json").read_text(encoding="utf-8")
        command = content.metrics["command"].replace("yanmo", str(yanmo), 1)
        # Only the Report itself is in the way of a verb; a run looks for what is due.
        force = "" if page == report.path else " --force"
        done = subprocess.run(["sh", "-c", command + force], cwd=page, capture_output=True, text=True, check=False)
        assert done.returncode == 0, (command, done.stderr)


def test_the_pages_of_a_pipeline_are_in_its_language(finished, write):
    path = write(MODELS.replace("[stage.models]", '[pipeline]\nlanguage = "zh"\n\n    [stage.models]', 1))
    assert '<html lang="zh-CN">' in run_it(path).html_path.read_text(encoding="utf-8")
    english = run(path, RunConfig(language="en"))
    assert '<html lang="en">' in english.html_path.read_text(encoding="utf-8")
    assert english.metrics["command"] == "yanmo run pipeline.toml --language en"


def test_a_changed_raw_file_makes_all_anew_and_the_old_is_replaced(finished, project):
    path, _, out = finished
    with (project / "reviews.csv").open("a") as file:
        file.write("more plums than pears,fruit\n")
    assert set(states(path).values()) == {"to do"}
    before = identities(out)
    run_it(path)
    after = identities(out)
    assert set(before) == set(after)
    assert all(before[name][0] != after[name][0] for name in before)
    assert set(states(path).values()) == {"done"}
    assert [name.name for name in out.iterdir() if name.name.startswith(".")] == [".run"]


def test_a_changed_byte_makes_the_stage_anew(finished):
    path, _, out = finished
    weights = out / "models" / "ngram-2" / "model.safetensors"
    good = weights.read_bytes()
    weights.write_bytes(good[:-1] + bytes([good[-1] ^ 1]))
    assert states(path) == {"reviews": "done", "models/ngram-1": "done", "models/ngram-2": "to do"}
    run_it(path)
    assert weights.read_bytes() == good


def test_a_folder_that_was_copied_counts_as_done(finished, project):
    path, _, out = finished
    shutil.move(out, project / "moved")
    assert set(states(path, "pipeline.out=moved").values()) == {"done"}


def test_a_replacement_that_was_killed_between_its_renames_counts_as_made(finished):
    path, _, out = finished
    shutil.copytree(out / "reviews", out / ".reviews.partial")
    (out / "reviews").rename(out / ".reviews.replaced")
    assert set(states(path).values()) == {"done"}
    assert [name.name for name in out.iterdir() if name.name.startswith(".")] == [".run"]


def test_a_single_command_counts_as_the_stage(write, project):
    path = write(ONE_MODEL)
    get_verb("prepare")("reviews.csv", text="review", out="runs/reviews")
    get_verb("train")("runs/reviews", model="ngram", num_epochs=2, out="runs/small")
    assert states(path) == {"reviews": "done", "small": "done"}


def test_a_pipeline_without_models_gives_its_plan(write):
    result = run_it(write(""))
    assert isinstance(result, Plan)
    assert result.states == ["done"]
    Dataset.open("runs/reviews")


def test_nothing_runs_if_any_stage_has_a_mistake(write, project):
    path = write(ONE_MODEL)
    with pytest.raises(YanmoError, match="must be greater than or equal to 1"):
        run_it(path, "stage.small.num_epochs=0")
    assert not (project / "runs").exists()


def test_an_error_names_the_stage_and_the_stages_before_it_stay(write, project):
    (project / "reviews.csv").write_text("review,label\n" + "".join(f"word {n},same\n" for n in range(30)))
    with pytest.raises(YanmoError) as caught:
        run_it(write(ONE_MODEL))
    assert caught.value.message.startswith(("Stage 'small' (train) failed: ", "Stage 'reviews' (prepare) failed: "))
    assert caught.value.hint.endswith("The finished stages are kept: run the pipeline again to go on from here.")


def test_a_failed_stage_leaves_the_old_artifact_in_place(finished):
    path, _, out = finished
    before = identities(out)
    with pytest.raises(ModelError, match=r"^Stage 'models/nowhere_model-1' \(train\) failed: "):
        run_it(path, 'stage.models.each.model=["nowhere/model"]')
    assert identities(out) == before


def test_two_runs_in_one_folder_are_refused(write, project):
    (project / "runs" / ".run").mkdir(parents=True)
    with FileLock(project / "runs" / ".run" / ".lock"), pytest.raises(BusyError) as caught:
        run_it(write(""))
    assert caught.value.exit_code == 75
    assert str(caught.value) == (
        "Another process runs a pipeline in runs.\n"
        "hint: Wait until it has ended, or choose another folder: --set pipeline.out=FOLDER"
    )


def test_a_file_in_place_of_the_folder_is_an_error(write, project):
    (project / "runs").write_text("a file")
    with pytest.raises(PipelineError) as caught:
        run_it(write(""))
    assert str(caught.value) == "pipeline.toml: runs is no folder.\nhint: Choose another 'out' in [pipeline]."


FULL_DISK = """
import resource, sys
from yanmo.cli import main
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[1]), int(sys.argv[1])))
sys.exit(main(["run", "pipeline.toml"]))
"""


@pytest.mark.parametrize(
    ("limit_bytes", "stage", "kept"),
    [(1000, "'reviews' (prepare) failed: Cannot write runs/reviews", []), (20_000, "'small' (train)", ["reviews"])],
)
def test_where_no_more_can_be_written_the_finished_stages_stay(write, project, limit_bytes, stage, kept):
    write(ONE_MODEL.replace("ngram", "textcnn"))
    done = subprocess.run(
        [sys.executable, "-c", FULL_DISK, str(limit_bytes)], check=False, capture_output=True, text=True
    )
    assert done.returncode == 2
    assert f"Stage {stage}" in done.stderr
    assert ": File too large.\nhint: Free some space" in done.stderr
    assert [path.parent.name for path in (project / "runs").rglob("manifest.json")] == kept
    assert run_it(Path("pipeline.toml")).summary()["num_rows"] > 0
