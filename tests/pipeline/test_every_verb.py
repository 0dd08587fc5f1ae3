"""A pipeline in which every verb that can be a stage is one."""

import pytest

from yanmo.pipeline.check import CheckConfig, check
from yanmo.pipeline.run import RunConfig, run
from yanmo.verbs import COMMANDS

EVERY_VERB = """
    [stage.cnn]
    verb = "train"
    dataset = "reviews"
    model = "textcnn"
    num_epochs = 1
    [stage.graph]
    verb = "export"
    bundle = "cnn"
    [stage.answers]
    verb = "predict"
    bundle = "graph"
    source = "reviews"
    [stage.more-answers]
    verb = "predict"
    bundle = "graph"
    source = ["reviews.csv", "reviews.csv"]
    text = "review"
    [stage.quality]
    verb = "evaluate"
    bundle = "cnn"
    against = "graph"
    dataset = "reviews"
    measure_speed = false
    [stage.speed]
    verb = "benchmark"
    bundles = ["cnn", "graph"]
    dataset = "reviews"
    batch_sizes = []
    lengths = [8]
    quick = true
    [stage.bert]
    verb = "train"
    dataset = "reviews"
    model = "bert-1x32"
    num_epochs = 1
    [stage.small]
    verb = "quantize"
    bundle = "bert"
    dataset = "reviews"
    max_drop = 1.0
    [stage.lin]
    verb = "train"
    dataset = "reviews"
    model = "linear"
    folds = 2
    [stage.sure]
    verb = "calibrate"
    bundle = "lin"
    dataset = "reviews"
    [stage.both]
    verb = "ensemble"
    members = ["sure", "small"]
    dataset = "reviews"
    [stage.cheap-first]
    verb = "cascade"
    stages = ["sure", "both"]
    dataset = "reviews"
    alpha = 0.5
    delta = 0.5
    costs = [1.0, 2.0]
    [stage.labels]
    verb = "audit"
    bundle = "lin"
    dataset = "reviews"
    [stage.reader]
    verb = "pretrain"
    source = "reviews"
    model = "bert-1x32"
    vocab_size = 60
    max_length = 16
    num_epochs = 1
    [stage.tuned]
    verb = "tune"
    dataset = "reviews"
    model = "ngram"
    num_trials = 1
    num_seeds = 1
    [stage.student]
    verb = "distill"
    teacher = "both"
    dataset = "reviews"
    model = "ngram"
    num_epochs = 1
    [stage.thin]
    verb = "prune"
    bundle = "bert"
    dataset = "reviews"
    feed_forward = 0.5
    num_epochs = 0
    [stage.smallest]
    verb = "grind"
    teacher = "lin"
    dataset = "reviews"
    students = ["ngram"]
    max_latency_ms = 1000.0
    max_drop = 0.9
    num_altered = 1
    [stage.sentences]
    verb = "prepare"
    source = "tagged.conll"
    task = "token_labels"
    [stage.names]
    verb = "train"
    dataset = "sentences"
    model = "hmm"
    [stage.ruled]
    verb = "adjust"
    bundle = "names"
    rules = "rules.toml"
    [stage.lines]
    verb = "prepare"
    source = "story.txt"
    task = "causal_lm"
    [stage.teller]
    verb = "train"
    dataset = "lines"
    model = "gpt-1x32"
    num_epochs = 1
    [stage.writer]
    verb = "export"
    bundle = "teller"
    [stage.stories]
    verb = "generate"
    bundle = "writer"
    prompt = "a"
    max_new_tokens = 4
"""
TAGGED = "".join(f"in O\nRome{number} B-PLACE\n\n" for number in range(30))
RULES = '[[rule]]\nlabel = "PLACE"\nwords = ["Oslo"]\n'


@pytest.mark.slow
def test_every_verb_is_a_stage_that_is_known_as_done(write, project):
    (project / "tagged.conll").write_text(TAGGED)
    (project / "rules.toml").write_text(RULES)
    (project / "story.txt").write_text("".join(f"a cat sat on mat {number}\n" for number in range(40)))
    path = write(EVERY_VERB)
    used = {row["verb"] for row in check(path, CheckConfig()).summary()["stages"]}
    assert used == {name for name, command in COMMANDS.items() if command.is_stage}
    report = run(path, RunConfig())
    bundles = {
        "cnn",
        "graph",
        "bert",
        "small",
        "lin",
        "sure",
        "both",
        "cheap-first",
        "tuned",
        "student",
        "thin",
        "smallest",
    }
    assert {row["name"] for row in report.summary()["rows"]} == bundles
    assert {row["state"] for row in check(path, CheckConfig()).summary()["stages"]} == {"done"}
