"""A user's dictionary, patterns and thresholds beside a model of units: they change what it says, never its weights.

A rule finds places in the raw text. To force a span there, its tags get all of the probability; to prefer one, their
odds rise; to forbid one, they get none. As the evidence itself changes, whatever is decided, measured, put together or
taught from it follows. A match that cuts a unit in two is left out.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
import numpy as np
from msgspec.structs import replace

from yanmo.answers.answered import Decided
from yanmo.answers.choices import Choices
from yanmo.answers.legal_paths import best_legal
from yanmo.answers.spans import find_spans, span_probability_M, tags_of_spans
from yanmo.answers.tags import NONE, TagScheme
from yanmo.arrays import IntArray
from yanmo.errors import ArtifactError
from yanmo.text.phrases import find_patterns, find_phrases

__all__ = ["RULES", "Rule", "RuleFile", "Ruled", "RuledPlace", "Rules", "read_rules"]

RULES = "rules.json"
CERTAIN = 60.0
"""In nats: what is less probable by so much is impossible in float32, and still a number."""
DEFAULT_WEIGHT = 3.0

Action = Literal["force", "prefer", "forbid"]
FoundBy = Literal["dictionary", "rule"]


class Rule(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """One entry of a rules file.

    Attributes:
        label: The kind of span.
        words: Texts that are found as they are written.
        pattern: A regular expression; a group called ``name`` is the span.
        action: Whether the span is forced, preferred or forbidden.
        weight: Of what is preferred: so many nats its odds rise.
    """

    label: str
    words: list[str] = []
    pattern: str | None = None
    action: Action = "force"
    weight: Annotated[float, msgspec.Meta(gt=0)] = DEFAULT_WEIGHT


class RuleFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The content of ``rules.json``.

    Attributes:
        rule: The rules; of two that want the same place the first one has it.
        thresholds: Kind to the probability below which its spans are none.
    """

    rule: list[Rule] = []
    thresholds: dict[str, Annotated[float, msgspec.Meta(ge=0, le=1)]] = {}


@dataclass(frozen=True)
class RuledPlace:
    """What a rule found: the units of a span, counted among those of all rows."""

    start: int
    end: int
    rule: int
    source: FoundBy


@dataclass(frozen=True)
class Ruled:
    """What a runtime has encoded, and what the rules found in the same texts."""

    encoded: Any
    found: list[RuledPlace]


class Rules:
    """Applies a rules file to the evidence of one model; safe to use from several threads.

    Args:
        content: The rules.
        labels: The tags, in the order of the evidence's columns.

    Raises:
        ValueError: A rule does not suit the labels, or its pattern is none; the message says which and why.
    """

    def __init__(self, content: RuleFile, labels: Sequence[str]) -> None:
        self._content = content
        self._scheme = TagScheme.of(labels)
        self._columns = {label: column for column, label in enumerate(labels)}
        self._patterns: list[tuple[int, re.Pattern[str]]] = []
        self._words: dict[str, int] = {}
        for number, rule in enumerate(content.rule):
            self._check(rule, f"rule {number + 1}")
            if rule.pattern is not None:
                self._patterns.append((number, _compiled(rule.pattern, f"rule {number + 1}")))
            # The first rule that names a word has it.
            self._words = dict.fromkeys(rule.words, number) | self._words
        for kind in content.thresholds:
            self._check_kind(kind, "thresholds")
        if content.thresholds and self._scheme.style != "iob2":
            raise ValueError("thresholds: every unit is part of a span here, so that none can be left out")

    def _check(self, rule: Rule, where: str) -> None:
        self._check_kind(rule.label, where)
        if not rule.words and rule.pattern is None:
            raise ValueError(f"{where}: it has neither words nor a pattern")
        if "" in rule.words:
            raise ValueError(f"{where}: a word of it is empty")
        if rule.action == "forbid" and self._scheme.style != "iob2":
            raise ValueError(f"{where}: every unit is part of a span here, so that none can be forbidden")

    def _check_kind(self, kind: str, where: str) -> None:
        if kind not in self._scheme.kinds:
            raise ValueError(f"{where}: the model knows no {kind!r}, only {', '.join(self._scheme.kinds)}")

    def find(self, texts: Sequence[str], places: IntArray, offsets: IntArray) -> list[RuledPlace]:
        """Return what the rules find, forced spans before preferred ones; two of them never overlap.

        Args:
            texts: N raw texts.
            places: Where the units begin and end (exclusive) in them, shape (U, 2).
            offsets: Row i has the units ``offsets[i]`` to ``offsets[i + 1]``.
        """
        words = list(self._words)
        matches = [(one, self._words[words[one.number]], "dictionary") for one in find_phrases(texts, words)]
        patterns = find_patterns(texts, [pattern for _, pattern in self._patterns])
        matches += [(one, self._patterns[one.number][0], "rule") for one in patterns]
        order = {"force": 0, "prefer": 1, "forbid": 2}
        rules = self._content.rule
        matches.sort(key=lambda one: (order[rules[one[1]].action], one[1], one[0]))
        taken = np.zeros(len(places), dtype=np.bool_)
        found = []
        for match, number, source in matches:
            begin, end = int(offsets[match.row]), int(offsets[match.row + 1])
            first = begin + int(np.searchsorted(places[begin:end, 0], match.start))
            behind = begin + int(np.searchsorted(places[begin:end, 1], match.end)) + 1
            is_whole = behind <= end and first < behind
            if not is_whole or (places[first, 0], places[behind - 1, 1]) != (match.start, match.end):
                continue
            if rules[number].action != "forbid":
                if taken[first:behind].any():
                    continue
                taken[first:behind] = True
            found.append(RuledPlace(first, behind, number, "rule" if source == "rule" else "dictionary"))
        return found

    def apply(self, scores: Choices, found: Iterable[RuledPlace]) -> Choices:
        """Return the scores, as log-probabilities, with what the rules want."""
        values_MC = np.maximum(scores.values_MC, -CERTAIN).astype(np.float32)
        joint_M = None if scores.joint_M is None else scores.joint_M.copy()
        last_M = set((scores.offsets_N[1:] - 1).tolist())
        for one in found:
            rule = self._content.rule[one.rule]
            if joint_M is not None:
                # The model's chain knows nothing of what a rule wants, and all spans of the row depend on it.
                row = int(np.searchsorted(scores.offsets_N, one.start, side="right")) - 1
                joint_M[scores.offsets_N[row] : scores.offsets_N[row + 1]] = np.nan
            kind = self._scheme.kinds.index(rule.label)
            if rule.action == "forbid":
                values_MC[one.start : one.end, self._scheme.kind_C == kind] = -CERTAIN
                continue
            length = one.end - one.start
            tags = tags_of_spans([0], [length], [rule.label], length, style=self._scheme.style)
            columns = [self._columns[tag] for tag in tags if tag in self._columns]
            # A tag may be unknown: a word of three units where training had none.
            if len(columns) < length:
                continue
            units = np.arange(one.start, one.end)
            if rule.action == "prefer":
                values_MC[units, columns] += rule.weight
                continue
            values_MC[units] = -CERTAIN
            values_MC[units, columns] = 0.0
            if one.end - 1 not in last_M:
                values_MC[one.end, self._scheme.needs_C == kind] = -CERTAIN
        return scores.having(values_MC, joint_M=joint_M)

    def limit(self, evidence: Choices) -> Choices:
        """Return the probabilities without the spans that are less probable than their kind's threshold."""
        thresholds = self._content.thresholds
        if not thresholds:
            return evidence
        scheme, offsets = self._scheme, evidence.offsets_N
        path_U = best_legal(evidence.values_MC, offsets, scheme)
        spans = find_spans(path_U, offsets, scheme)
        sure_M = span_probability_M(evidence, path_U, scheme, spans)
        least_K = np.array([thresholds.get(kind, 0.0) for kind in scheme.kinds])
        values_MC, outside = evidence.values_MC.copy(), scheme.kind_C == NONE
        weak = spans.take(sure_M < least_K[spans.kind_M])
        for start, end in zip(weak.start_M.tolist(), weak.end_M.tolist(), strict=True):
            values_MC[start:end] = outside
        return evidence.having(values_MC, joint_M=evidence.joint_M)

    def mark(self, decided: Decided, found: Sequence[RuledPlace], evidence: Choices) -> Decided:
        """Return what was decided, each span that a rule asked for with its source."""
        rules, places, offsets = self._content.rule, evidence.places, evidence.offsets_N
        predictions = list(decided.predictions)
        for one in found:
            row = int(np.searchsorted(offsets, one.start, side="right")) - 1
            if rules[one.rule].action == "forbid" or places is None or predictions[row] is None:
                continue
            wanted = (int(places[one.start, 0]), int(places[one.end - 1, 1]), rules[one.rule].label)
            predictions[row] = tuple(
                [
                    replace(span, source=one.source) if (span.start, span.end, span.label) == wanted else span
                    for span in predictions[row]
                ]
            )
        return replace(decided, predictions=predictions)


def _compiled(pattern: str, where: str) -> re.Pattern[str]:
    try:
        return re.compile(pattern)
    except re.error as error:
        raise ValueError(f"{where}: {pattern!r} is no regular expression: {error}") from error


def read_rules(folder: Path, labels: Sequence[str]) -> Rules | None:
    """Return the rules of a Bundle, None where it has none.

    Raises:
        ArtifactError: They are damaged.
    """
    path = folder / RULES
    if not path.is_file():
        return None
    try:
        return Rules(msgspec.json.decode(path.read_bytes(), type=RuleFile), labels)
    except (OSError, msgspec.MsgspecError, ValueError) as error:
        raise ArtifactError(f"{path} cannot be read: {error}.", hint="Make the Bundle again.") from error
