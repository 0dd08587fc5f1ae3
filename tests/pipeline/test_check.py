"""A pipeline file is checked whole before anything runs; every mistake is named with its line and a next action."""

import io

import polars as pl
import pytest

from yanmo.errors import PipelineError
from yanmo.models import LIGHT_FAMILIES, SHAPED_FAMILIES
from yanmo.pipeline.check import CheckConfig, check
from yanmo.verbs import COMMANDS
from yanmo.verbs.prepare import prepare
from yanmo.verbs.signature import get_verb

THE_MODELS = (
    f"The models are: {', '.join(LIGHT_FAMILIES)}; {', '.join(SHAPED_FAMILIES)} with layers x width such as "
    "bert-4x312; a local folder; a hub id (owner/name)."
)

TRAIN_KEYS = ", ".join(get_verb("train").config_class.model_fields)
VERBS = f"The verbs of a stage are: {', '.join(name for name, command in COMMANDS.items() if command.is_stage)}."
NAMES_IN_QUOTES = "Names stand in quotes."


def plan_of(path, *overrides):
    return check(path, CheckConfig(set=overrides))


def parquet_bytes(**columns):
    buffer = io.BytesIO()
    pl.DataFrame(columns).write_parquet(buffer)
    return buffer.getvalue()


def stage(text):
    return f'[stage.cnn]\nverb = "train"\ndataset = "reviews"\n{text}'


FILES = {
    "texts.jsonl": b'{"text": "a"}\n',
    "texts.parquet": parquet_bytes(text=["a"]),
    "gbk.csv": "review\n好\n".encode("gbk"),
}

# The stage of conftest takes lines 1 to 5, so what is written here begins on line 6.
MISTAKES = {
    "unknown top-level key": (
        "[stages.cnn]\n",
        "pipeline.toml:6: There is no top-level key 'stages'. Did you mean 'stage'?",
        "The tables are [pipeline] and [stage.NAME].",
    ),
    "unknown pipeline key": (
        '[pipeline]\nouts = "x"\n',
        "pipeline.toml:7: [pipeline] has no key 'outs'. Did you mean 'out'?",
        "Its keys are: language, out.",
    ),
    "a language that there is not": (
        '[pipeline]\nlanguage = "fr"\n',
        "pipeline.toml:7: The 'language' key of [pipeline] must be one of en, zh. Got 'fr' instead.",
        'For example: language = "zh"',
    ),
    "out of the wrong type": (
        "[pipeline]\nout = 3\n",
        "pipeline.toml:7: The 'out' key of [pipeline] must be a folder's name. Got 3 instead.",
        'For example: out = "runs"',
    ),
    "no verb": ("[stage.cnn]\nseed = 1\n", "pipeline.toml:6: The stage 'cnn' has no verb.", VERBS),
    "unknown verb": (
        '[stage.cnn]\nverb = "trian"\n',
        "pipeline.toml:7: In the stage 'cnn' there is no verb 'trian'. Did you mean 'train'?",
        VERBS,
    ),
    "a verb that is no stage": (
        '[stage.cnn]\nverb = "serve"\n',
        "pipeline.toml:7: In the stage 'cnn' the verb 'serve' is none of a stage.",
        VERBS,
    ),
    "a stage that is no table": (
        "[stage]\ncnn = 3\n",
        "pipeline.toml:7: A stage must be a table. Got cnn = 3 instead.",
        "Write [stage.cnn].",
    ),
    "a name that is no folder": (
        '[stage."a/b"]\nverb = "train"\ndataset = "reviews"\n',
        "pipeline.toml:6: The stage 'a/b' cannot be the name of a folder.",
        "Rename the stage; letters, digits, - and _ are good.",
    ),
    "the name of the final report": (
        '[stage.report]\nverb = "train"\ndataset = "reviews"\n',
        "pipeline.toml:6: The stage 'report' is the name of the final Report.",
        "Rename the stage; letters, digits, - and _ are good.",
    ),
    "unknown key": (
        stage("learnin_rate = 1e-3\n"),
        "pipeline.toml:9: In the stage 'cnn' train has no key 'learnin_rate'. Did you mean 'learning_rate'?",
        f"The keys of train are: dataset, init, tagger, segmenter, {TRAIN_KEYS}.",
    ),
    "wrong type": (
        stage('seed = "one"\n'),
        "pipeline.toml:9: In the stage 'cnn': The 'seed' parameter of train must be a valid integer, unable to parse "
        "string as an integer. Got 'one' instead.",
        f"seed: {get_verb('train').config_class.model_fields['seed'].description}",
    ),
    "wrong range": (
        stage("batch_size = 0\n"),
        "pipeline.toml:9: In the stage 'cnn': The 'batch_size' parameter of train must be greater than or equal to 1. "
        "Got 0 instead.",
        "batch_size: Texts in a step of the optimizer, those of all workers together.",
    ),
    "missing input": (
        '[stage.cnn]\nverb = "train"\n',
        "pipeline.toml:6: In the stage 'cnn' the 'dataset' input of train is missing.",
        "Write dataset = and the names of stages or Dataset folders.",
    ),
    "an input of the wrong type": (
        '[stage.cnn]\nverb = "train"\ndataset = 3\n',
        "pipeline.toml:8: In the stage 'cnn' the 'dataset' input of train must name stages or Dataset folders. "
        "Got 3 instead.",
        NAMES_IN_QUOTES,
    ),
    "two names for one input": (
        '[stage.cnn]\nverb = "train"\ndataset = ["reviews", "reviews"]\n',
        "pipeline.toml:8: In the stage 'cnn' the 'dataset' input of train takes one name. "
        "Got ['reviews', 'reviews'] instead.",
        "Write a stage for each of them, or name a stage that has 'each'.",
    ),
    "unknown stage": (
        '[stage.cnn]\nverb = "train"\ndataset = "revews"\n',
        "pipeline.toml:8: In the stage 'cnn', input 'dataset': there is no stage 'revews' and no folder revews. "
        "Did you mean 'reviews'?",
        "The other stages are: reviews.",
    ),
    "a folder that is no artifact": (
        '[stage.cnn]\nverb = "train"\ndataset = "."\n',
        "pipeline.toml:8: In the stage 'cnn', input 'dataset': .: . is no artifact: it has no manifest.json.",
        "Give a folder that a command wrote with --out.",
    ),
    "wrong kind": (
        '[stage.small]\nverb = "export"\nbundle = "reviews"\n',
        "pipeline.toml:8: In the stage 'small' the 'bundle' input of export takes a Bundle, but the stage 'reviews' "
        "makes a Dataset.",
        "No other stage makes a Bundle.",
    ),
    "unknown model": (
        stage('model = "textcn"\n'),
        "pipeline.toml:9: In the stage 'cnn': There is no model 'textcn'. Did you mean 'textcnn'?",
        THE_MODELS,
    ),
    "unknown model in each": (
        stage('each = { model = ["ngram", "liner"] }\n'),
        "pipeline.toml:9: In the stage 'cnn': There is no model 'liner'. Did you mean 'linear'?",
        THE_MODELS,
    ),
    "a format that cannot be exported": (
        stage('model = "ngram"\n[stage.small]\nverb = "export"\nbundle = "cnn"\n'),
        "pipeline.toml:12: In the stage 'small': export takes a torch Bundle, but 'cnn' makes one of the format ngram.",
        "A Bundle of the format ngram runs without torch as it is: leave it out here.",
    ),
    "each is no table": (
        stage("each = 3\n"),
        "pipeline.toml:9: In the stage 'cnn' the 'each' key must be a table. Got 3 instead.",
        "For example: each = { seed = [1, 2, 3] }",
    ),
    "each with an empty list": (
        stage("each = { seed = [] }\n"),
        "pipeline.toml:9: In the stage 'cnn' each must give 'seed' a list of values. Got [] instead.",
        "For example: each = { seed = [1, 2, 3] }",
    ),
    "each with a value": (
        stage("each = { seed = 3 }\n"),
        "pipeline.toml:9: In the stage 'cnn' each must give 'seed' a list of values. Got 3 instead.",
        "For example: each = { seed = [1, 2, 3] }",
    ),
    "each with an unknown key": (
        stage("each = { sed = [1] }\n"),
        "pipeline.toml:9: In the stage 'cnn' each cannot vary 'sed'. Did you mean 'seed'?",
        f"It can vary: {TRAIN_KEYS}.",
    ),
    "a key alone and in each": (
        stage("seed = 1\neach.seed = [2]\n"),
        "pipeline.toml:10: In the stage 'cnn' the key 'seed' stands alone and in each, too.",
        "Remove one of them.",
    ),
    "a value of each out of range": (
        stage("each = { seed = [1, -1] }\n"),
        "pipeline.toml:9: In the stage 'cnn': The 'seed' parameter of train must be greater than or equal to 0. "
        "Got -1 instead.",
        f"seed: {get_verb('train').config_class.model_fields['seed'].description}",
    ),
    "two combinations in one folder": (
        stage("each = { seed = [1, 1] }\n"),
        "pipeline.toml:9: Two combinations of the stage 'cnn' would both write runs/cnn/1.",
        "Let their names differ in letters or digits, not only in case or signs.",
    ),
    "two stages in one folder": (
        '[stage.Reviews]\nverb = "prepare"\nsource = "reviews.csv"\ntext = "review"\n',
        "pipeline.toml:6: The stages 'reviews' and 'Reviews' would both write runs/Reviews.",
        "Let their names differ in letters or digits, not only in case or signs.",
    ),
    "a combination that is not made": (
        stage('each = { seed = [1, 2] }\n[stage.test]\nverb = "evaluate"\nbundle = "cnn/3"\ndataset = "reviews"\n'),
        "pipeline.toml:12: In the stage 'test' the 'bundle' input names 'cnn/3', which is not made.",
        "'cnn' makes: cnn/1, cnn/2.",
    ),
    "a missing raw file": (
        '[stage.more]\nverb = "prepare"\nsource = "review.csv"\n',
        "pipeline.toml:8: In the stage 'more', key 'source': There is no file review.csv. Did you mean 'reviews.csv'?",
        "Files in .: pipeline.toml, reviews.csv",
    ),
    "a missing file in the config": (
        '[stage.more]\nverb = "prepare"\nsource = "reviews.csv"\ntext = "review"\ntest = "test.csv"\n',
        "pipeline.toml:10: In the stage 'more', key 'test': There is no file test.csv. Did you mean 'reviews.csv'?",
        "Files in .: pipeline.toml, reviews.csv",
    ),
    "an artifact in place of a raw file": (
        '[stage.more]\nverb = "prepare"\nsource = "reviews"\ntext = "review"\n',
        "pipeline.toml:8: In the stage 'more': prepare takes raw files, but 'reviews' is an artifact.",
        "Name a file.",
    ),
    "a model in place of texts": (
        stage('[stage.answers]\nverb = "predict"\nbundle = "cnn"\nsource = "cnn"\n'),
        "pipeline.toml:12: In the stage 'answers': predict takes raw files or a Dataset, but 'cnn' makes none.",
        "Name a Dataset.",
    ),
    "a missing column for predict": (
        stage('[stage.answers]\nverb = "predict"\nbundle = "cnn"\nsource = "reviews.csv"\n'),
        "pipeline.toml:9: In the stage 'answers': reviews.csv has no column 'text'.",
        "It has: 'review', 'label'.",
    ),
    "a missing column": (
        '[stage.more]\nverb = "prepare"\nsource = "reviews.csv"\ntext = "reviw"\n',
        "pipeline.toml:9: In the stage 'more': reviews.csv has no column 'reviw'. Did you mean 'review'?",
        "It has: 'review', 'label'.",
    ),
    "a missing column that is a default": (
        '[stage.more]\nverb = "prepare"\nsource = "reviews.csv"\n',
        "pipeline.toml:6: In the stage 'more': reviews.csv has no column 'text'.",
        "It has: 'review', 'label'.",
    ),
    "a missing column of a given split": (
        '[stage.more]\nverb = "prepare"\nsource = "reviews.csv"\ntext = "review"\ntest = "texts.jsonl"\n',
        "pipeline.toml:10: In the stage 'more': texts.jsonl has no column 'review'.",
        "It has: 'text'.",
    ),
    "a missing column of a Parquet file": (
        '[stage.more]\nverb = "prepare"\nsource = "reviews.csv"\ntext = "review"\ntest = "texts.parquet"\n',
        "pipeline.toml:10: In the stage 'more': texts.parquet has no column 'review'.",
        "It has: 'text'.",
    ),
    "a wrong encoding": (
        '[stage.more]\nverb = "prepare"\nsource = "reviews.csv"\ntext = "review"\nunlabeled = "gbk.csv"\n',
        "pipeline.toml:10: In the stage 'more': gbk.csv is not utf-8: byte 0xBA at offset 7, line 2 "
        "(invalid start byte).",
        "The whole file decodes as gb18030, big5. If that is what it is: --encoding gb18030.",
    ),
    "values that contradict": (
        '[stage.more]\nverb = "prepare"\nsource = "reviews.csv"\ntext = "review"\ntask = "text_pair"\n',
        "pipeline.toml:7: In the stage 'more': The task text_pair needs the 'text_b' parameter.",
        "Give --text-b, the column of the second text.",
    ),
    "a model folder that is missing": (
        stage('model = "checkpoints/bert"\n'),
        "pipeline.toml:9: In the stage 'cnn': There is no folder checkpoints/bert.",
        "The folder checkpoints is here, so checkpoints/bert is no hub id. If the hub's model is meant, work in "
        "another folder.",
    ),
    "a model over the network": (
        stage('model = "owner/name"\noffline = true\n'),
        "pipeline.toml:9: In the stage 'cnn': The model owner/name would be loaded over the network, "
        "but offline is set.",
        "Give a local folder, or leave offline out.",
    ),
    "a cycle": (
        '[stage.a]\nverb = "export"\nbundle = "b"\n[stage.b]\nverb = "export"\nbundle = "c"\n'
        '[stage.c]\nverb = "export"\nbundle = "a"\n',
        "pipeline.toml:6: The stages need each other in a cycle: a → b → c → a.",
        "Take one of these inputs from elsewhere.",
    ),
    "a stage that needs itself": (
        '[stage.a]\nverb = "export"\nbundle = "a"\n',
        "pipeline.toml:6: The stages need each other in a cycle: a → a.",
        "Take one of these inputs from elsewhere.",
    ),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_is_named_with_line_and_hint(write, name):
    text, message, hint = MISTAKES[name]
    path = write("")
    assert plan_of(path).summary()["num_stages"] == 1
    with path.open("a") as file:
        file.write(text)
    path.with_name("checkpoints").mkdir()
    for file_name, content in FILES.items():
        if file_name in text:
            path.with_name(file_name).write_bytes(content)
    with pytest.raises(PipelineError) as caught:
        plan_of(path)
    assert str(caught.value) == f"{message}\nhint: {hint}"
    assert caught.value.exit_code == 2


def test_all_mistakes_are_reported_at_once_in_the_order_of_the_file(write):
    path = write(
        """
        [stage.cnn]
        verb = "train"
        dataset = "revews"
        seed = -1
        batch_size = 0
        [stage.b]
        verb = "sell"
        """
    )
    with pytest.raises(PipelineError) as caught:
        plan_of(path, "stage.cnn.num_epochs=0")
    lines = caught.value.message.split("\n")
    assert [line.partition(": ")[0] for line in lines if not line.startswith(" ")] == [
        "--set stage.cnn.num_epochs=0",
        "pipeline.toml:9",
        "pipeline.toml:10",
        "pipeline.toml:11",
        "pipeline.toml:13",
    ]
    assert caught.value.hint == "Correct 5 mistakes; nothing was run."


def test_a_mistake_of_an_override_names_the_override(write):
    with pytest.raises(PipelineError) as caught:
        plan_of(write(""), "stage.reviews.sed=2")
    assert caught.value.message == (
        "--set stage.reviews.sed=2: In the stage 'reviews' prepare has no key 'sed'. Did you mean 'seed'?"
    )


def test_a_file_without_stages_is_an_error(write):
    with pytest.raises(PipelineError, match=r"pipeline.toml: The file has no stage\."):
        plan_of(write("", before=""))


def test_an_existing_folder_that_is_no_artifact_is_never_replaced(write, project):
    (project / "runs" / "reviews").mkdir(parents=True)
    (project / "runs" / "reviews" / "mine.txt").write_text("precious")
    with pytest.raises(PipelineError) as caught:
        plan_of(write(""))
    assert str(caught.value) == (
        "pipeline.toml:2: runs/reviews exists and is no artifact.\nhint: Move it away, or rename the stage."
    )


def test_a_folder_can_be_an_input(write, project):
    write("")
    prepare(project / "reviews.csv", text="review", out=project / "data")
    path = write('[stage.cnn]\nverb = "train"\ndataset = "data"\n', before="")
    assert plan_of(path).summary()["stages"] == [{"stage": "cnn", "verb": "train", "inputs": "data", "state": "to do"}]
    with pytest.raises(PipelineError, match="takes a Bundle, but data is a Dataset"):
        plan_of(write('[stage.test]\nverb = "evaluate"\nbundle = "data"\ndataset = "data"\n', before=""))


def test_stages_stand_after_what_they_need_and_else_in_the_order_of_the_file(write):
    path = write(
        """
        [stage.z]
        verb = "evaluate"
        bundle = "m"
        dataset = "reviews"
        [stage.m]
        verb = "train"
        dataset = "reviews"
        [stage.a]
        verb = "train"
        dataset = "reviews"
        [stage.reviews]
        verb = "prepare"
        source = "reviews.csv"
        text = "review"
        """,
        before="",
    )
    assert [row["stage"] for row in plan_of(path).summary()["stages"]] == ["reviews", "m", "z", "a"]


def test_a_stage_fans_out_with_what_it_takes_and_shared_origins_stay_together(write):
    path = write(
        """
        [stage.models]
        verb = "train"
        dataset = "reviews"
        each = { model = ["textcnn", "bert-1x32"], seed = [1, 2] }
        [stage.graphs]
        verb = "export"
        bundle = "models"
        [stage.one]
        verb = "export"
        bundle = "models/textcnn-2"
        [stage.loss]
        verb = "evaluate"
        bundle = "graphs"
        against = "models"
        dataset = "reviews"
        each = { split = ["test", "valid"] }
        """
    )
    rows = {row["stage"]: row["inputs"] for row in plan_of(path).summary()["stages"]}
    points = ["textcnn-1", "textcnn-2", "bert-1x32-1", "bert-1x32-2"]
    assert rows == {
        "reviews": "reviews.csv",
        **{f"models/{point}": "reviews" for point in points},
        **{f"graphs/{point}": f"models/{point}" for point in points},
        "one": "models/textcnn-2",
        **{
            f"loss/{point}-{split}": f"graphs/{point}, reviews, models/{point}"
            for point in points
            for split in ("test", "valid")
        },
    }


def test_a_folder_of_the_raw_files_is_relative_to_the_pipeline_file(write, project, monkeypatch, tmp_path_factory):
    write("")
    monkeypatch.chdir(tmp_path_factory.mktemp("elsewhere"))
    plan = plan_of(project / "pipeline.toml", "stage.reviews.test=reviews.csv")
    assert plan.out == project / "runs"
    assert plan.steps[0].config.test == project / "reviews.csv"
