"""The verbs: one file each. The table names them without importing them, so that ``--help`` stays fast.

A verb is one function, ``(artifacts…, config, *, out) -> artifact``. The command line, the stages of a pipeline and
the public Python functions are derived from its signature.
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["COMMANDS", "OLD_KEYS", "OTHER_NAMES", "Command"]


@dataclass(frozen=True)
class Command:
    """Where a command's function is, and the first line of its docstring.

    Attributes:
        module: The module that holds a function of the command's name.
        summary: What the overview of all commands shows.
        is_stage: Whether a pipeline can have it as a stage.
        only_tells: Whether its result is what it prints, so that it has failed where that cannot be printed.
        takes_addresses: Whether its inputs, and what it makes, may be at addresses such as s3://bucket/folder.
        usual_next: The command that usually follows; in braces what it was given by name, and what it made as ``out``.
    """

    module: str
    summary: str
    is_stage: bool = True
    only_tells: bool = False
    takes_addresses: bool = False
    usual_next: str = ""


COMMANDS: dict[str, Command] = {
    "init": Command(
        "yanmo.verbs.init",
        "Make a starter folder: example data and an explained pipeline.",
        is_stage=False,
        usual_next="run {out}/pipeline.toml",
    ),
    "check": Command(
        "yanmo.pipeline.check", "Check a pipeline file completely, and run nothing.", is_stage=False, only_tells=True
    ),
    "prepare": Command(
        "yanmo.verbs.prepare",
        "Make a Dataset from raw files.",
        takes_addresses=True,
        usual_next="train {out} --model ngram --out {out}-ngram",
    ),
    "pretrain": Command(
        "yanmo.verbs.pretrain",
        "Let a network learn to read from texts without labels.",
        usual_next="train DATASET --init {out} --out {out}-trained",
    ),
    "train": Command(
        "yanmo.verbs.train", "Train one model on a Dataset.", usual_next="evaluate {out} {dataset} --out {out}-report"
    ),
    "adopt": Command(
        "yanmo.verbs.adopt", "Take in a model that was trained elsewhere.", is_stage=False, usual_next="serve {out}"
    ),
    "embed": Command(
        "yanmo.verbs.embed",
        "Make a Bundle that gives vectors of texts.",
        is_stage=False,
        usual_next="serve {out}",
    ),
    "tune": Command(
        "yanmo.tuning.tune",
        "Search a model's settings and publish the best model.",
        usual_next="evaluate {out} {dataset} --out {out}-report",
    ),
    "distill": Command(
        "yanmo.verbs.distill",
        "Train a small model on a teacher's answers.",
        usual_next="evaluate {out} {dataset} --out {out}-report",
    ),
    "ensemble": Command(
        "yanmo.verbs.ensemble",
        "Make one Bundle of several: average, vote, weights, greedy selection, stacking, a mean of weights.",
        usual_next="evaluate {out} {dataset} --out {out}-report",
    ),
    "cascade": Command(
        "yanmo.verbs.cascade",
        "Let a cheap Bundle answer what it is sure of, and dearer ones the rest, with a guarantee.",
        usual_next="evaluate {out} {dataset} --out {out}-report",
    ),
    "calibrate": Command(
        "yanmo.verbs.calibrate",
        "Make a Bundle's probabilities match frequencies.",
        usual_next="evaluate {out} {dataset} --out {out}-report",
    ),
    "adjust": Command(
        "yanmo.verbs.adjust",
        "Put a dictionary, patterns and thresholds beside a model that labels the units of texts.",
        usual_next="serve {out}",
    ),
    "audit": Command("yanmo.verbs.audit", "List the training rows that are most likely mislabelled."),
    "prune": Command(
        "yanmo.verbs.prune",
        "Leave out the parts of a model that matter least.",
        usual_next="evaluate {out} {dataset} --out {out}-report",
    ),
    "grind": Command("yanmo.grinding.grind", "Find the Bundle that meets a budget of latency, size and accuracy."),
    "export": Command(
        "yanmo.verbs.export",
        "Turn a torch Bundle into an ONNX Bundle that runs without torch.",
        usual_next="serve {out}",
    ),
    "quantize": Command(
        "yanmo.verbs.quantize",
        "Make a Bundle with 8-bit weights, if that costs little accuracy.",
        usual_next="evaluate {out} {dataset} --out {out}-report",
    ),
    "predict": Command(
        "yanmo.verbs.predict",
        "Let a Bundle answer texts from files, a Dataset or standard input.",
        takes_addresses=True,
    ),
    "generate": Command("yanmo.verbs.generate", "Let a language model write texts behind prompts."),
    "evaluate": Command(
        "yanmo.verbs.evaluate",
        "Measure a Bundle on a Dataset: quality, speed and size.",
        takes_addresses=True,
        usual_next="serve {bundle}",
    ),
    "benchmark": Command(
        "yanmo.verbs.benchmark", "Measure how fast Bundles answer, and what memory and space they need."
    ),
    "run": Command("yanmo.pipeline.run", "Run a pipeline: skip what is done, resume what was cut off.", is_stage=False),
    "doctor": Command(
        "yanmo.verbs.doctor",
        "Tell what this machine can do, and what Yanmo will therefore choose.",
        is_stage=False,
        only_tells=True,
    ),
    "serve": Command(
        "yanmo.serving.serve", "Serve Bundles over HTTP: POST /predict.", is_stage=False, takes_addresses=True
    ),
    "pack": Command(
        "yanmo.verbs.pack",
        "Make one archive of a Bundle and what a closed network needs to serve it.",
        is_stage=False,
        takes_addresses=True,
    ),
    "key": Command("yanmo.serving.key", "Make an API key for the service.", is_stage=False, only_tells=True),
}

OTHER_NAMES = {"import": "adopt"}
"""What people look for, to the command that does it: ``import`` is a word of Python's, and a verb has one name."""
OLD_KEYS = {"--num-workers": "--executor local:N"}
"""Keys that there were, to what took their place."""
