"""adjust: a Bundle to the same with a dictionary, patterns and thresholds beside its model; no weight changes."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import msgspec

from yanmo.artifacts.base import Identity
from yanmo.artifacts.bundle import GOLDEN, Bundle, copy_files, publish_bundle
from yanmo.artifacts.effects import NO_EFFECTS, Effects
from yanmo.artifacts.identity import file_digest
from yanmo.errors import ConfigError
from yanmo.measuring.inputs import write_answers
from yanmo.runtimes.rules import RULES, RuleFile, Rules
from yanmo.tasks import task_of
from yanmo.verbs.signature import verb

__all__ = ["adjust"]

WORDS_FILE = "words_file"


@verb
def adjust(bundle: Bundle, *, rules: Path, out: Path, effects: Effects = NO_EFFECTS) -> Bundle:
    """Put a dictionary, patterns and thresholds beside a model that labels the units of texts.

    They travel with the Bundle; predict, serve, evaluate and every further verb see their effect, and each span says
    whether the model, the dictionary or a rule found it. Rules that are there already are replaced.

    Args:
        bundle: A model of the units of texts, such as one that finds names.
        rules: A TOML file of tables [[rule]] and [thresholds]. A rule has a label; words (a list), words_file (one
            word a line) or a pattern (a regular expression); and an action: force (the default), prefer or forbid. A
            threshold is the probability below which the spans of a label are none.
        out: Where the new Bundle appears.
        effects: Key and replacement of the call.

    Raises:
        ConfigError: The Bundle answers about whole texts, or the file cannot be used; the message names the rule.
    """
    if task_of(bundle).head != "units":
        raise ConfigError(
            f"The 'bundle' input of adjust must label the units of texts. {bundle.path} is of the task {bundle.task}.",
            hint="Give a model that finds names or words in texts.",
        )
    content = read_file(rules)
    try:
        Rules(content, bundle.labels)
    except ValueError as error:
        raise ConfigError(f"{rules}: {error}.", hint="Mend the rule, or leave it out.") from error
    facts = {"num_rules": len(content.rule), "num_words": sum(len(rule.words) for rule in content.rule)}
    identity = Identity(
        kind=Bundle.kind,
        verb="adjust",
        task=bundle.task,
        labels=bundle.labels,
        parents={"bundle": bundle.digest, f"rules:{rules.name}": file_digest(rules)},
        config={"rules": rules.name},
        seed=bundle.manifest.seed,
        info={**bundle.manifest.info, "summary": {**bundle.manifest.info.get("summary", {}), **facts}},
    )
    with publish_bundle(out, identity, effects=effects) as made:
        # The golden answers there are those without the rules.
        copy_files(bundle, made.path, without=(GOLDEN, RULES))
        (made.path / RULES).write_bytes(msgspec.json.encode(content))
        write_answers(made, bundle.golden().inputs)
    return Bundle.open(out, verify=False)


def read_file(path: Path) -> RuleFile:
    """Return the content of a rules file, with the words of the files that it names.

    Raises:
        ConfigError: It or one of these cannot be read, or has a key or a value that is none.
    """
    try:
        raw: dict[str, Any] = tomllib.loads(path.read_text(encoding="utf-8"))
        for rule in raw.get("rule", []):
            if WORDS_FILE in rule:
                lines = (path.parent / rule.pop(WORDS_FILE)).read_text(encoding="utf-8").splitlines()
                rule["words"] = [*rule.get("words", []), *(line.strip() for line in lines if line.strip())]
        return msgspec.convert(raw, RuleFile)
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"The file of rules {path} cannot be read: {error}.", hint="Check the path.") from error
    except (tomllib.TOMLDecodeError, msgspec.ValidationError, AttributeError, TypeError) as error:
        raise ConfigError(
            f"{path}: {error}.",
            hint="A rule has the keys label, words, words_file, pattern, action (force, prefer, forbid) and weight; "
            "[thresholds] has a label's probability on each line.",
        ) from error
