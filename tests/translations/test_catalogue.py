"""Every text that people read is in the catalogue with its Chinese, and the catalogue has no other."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterator
from pathlib import Path

import jinja2
import pytest
from jinja2 import nodes

import yanmo
from yanmo.metrics.measures import Measure
from yanmo.reporting.grinding import COSTS as GRIND_COSTS
from yanmo.reporting.pages import COSTS, CURVES
from yanmo.serving.connection import DETAILS
from yanmo.serving.problems import PROBLEMS
from yanmo.serving.requests import EXPECTED
from yanmo.tasks import TASKS
from yanmo.translations import catalogue, preferred_language, sections, translate

PACKAGE = Path(yanmo.__file__).parent
TEMPLATES = sorted((PACKAGE / "reporting" / "templates").glob("*.html"))
STATIC = PACKAGE / "serving" / "static"
SPEAKING = {"translate": 0, "say": 0, "Phrase": 0, "Problem": 1, "_challenge": 1}
"""Functions to the place of the sentence among what they are given."""
NAME = re.compile(r"\{\w+\}")
UNITS = {"ms", "MB", "GiB", "Yanmo", "nbsp"}


def constants(node: ast.expr) -> Iterator[str]:
    if isinstance(node, ast.IfExp):
        yield from constants(node.body)
        yield from constants(node.orelse)
    elif isinstance(node, ast.Constant) and isinstance(node.value, str):
        yield node.value


def spoken_in_code() -> set[str]:
    """Return the sentences that are written where something is said, and those that are kept in tables."""
    found: set[str] = {title for _, title in PROBLEMS.values()} | set(EXPECTED.values()) | set(DETAILS.values())
    found |= {axis for *_, axis in CURVES} | set(COSTS.values()) | set(GRIND_COSTS.values())
    for path in PACKAGE.rglob("*.py"):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        kept = {
            target.id: node.value
            for node in ast.walk(tree)
            if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant)
            for target in node.targets
            if isinstance(target, ast.Name)
        }
        for node in ast.walk(tree):
            name = getattr(node.func, "id", "") if isinstance(node, ast.Call) else ""
            if name in SPEAKING and len(node.args) > SPEAKING[name]:
                given = node.args[SPEAKING[name]]
                assert not isinstance(given, ast.JoinedStr), (path, node.lineno, "values go in by name")
                found.update(constants(kept.get(given.id, given) if isinstance(given, ast.Name) else given))
    return found


def spoken_in(template: Path) -> set[str]:
    found: set[str] = set()

    def take(one: nodes.Node) -> None:
        if isinstance(one, nodes.CondExpr):
            take(one.expr1)
            if one.expr2 is not None:
                take(one.expr2)
        elif isinstance(one, nodes.Const):
            found.add(one.value)

    tree = jinja2.Environment(autoescape=True).parse(template.read_text(encoding="utf-8"))
    for call in tree.find_all(nodes.Call):
        if isinstance(call.node, nodes.Name) and call.node.name == "_":
            take(call.args[0])
    return found


def spoken_on_pages() -> set[str]:
    found: set[str] = set()
    for path in STATIC.glob("*.js"):
        script = path.read_text(encoding="utf-8")
        words = re.search(r"^const WORDS = \{\n(.*?)^\};", script, re.DOTALL | re.MULTILINE)
        if words:
            found |= set(re.findall(r'^  \w+: "(.*)",$', words[1], re.MULTILINE))
        found |= set(re.findall(r'\btell\("([^"]+)"', script)) | set(re.findall(r'\bfield\("([^"]+)"', script))
        found |= {
            text for row in re.findall(r"\btable\(\[([^\]]+)\]", script) for text in re.findall(r'"([^"]+)"', row)
        }
    found |= set(re.findall(r'data-say="([^"]+)"', (STATIC / "docs.html").read_text(encoding="utf-8")))
    return found


def said_of_the_api() -> set[str]:
    found: set[str] = set()

    def take(value: object) -> None:
        if isinstance(value, dict):
            found.update(value[key] for key in ("summary", "description") if isinstance(value.get(key), str))
            found.update(key for key in value.get("examples", {}) if isinstance(value["examples"], dict))
            for key, one in value.items():
                if key not in ("examples", "example"):
                    take(one)
        for one in value if isinstance(value, list) else ():
            take(one)

    document = json.loads((STATIC / "openapi.json").read_text(encoding="utf-8"))
    take({key: value for key, value in document.items() if key != "info"})
    brands = {"Vertex AI", "Hugging Face", "text-embeddings-inference", "MLflow"}
    return {one for one in found if not one.startswith("Code: ")} - brands


def measure_names() -> set[str]:
    measures: list[Measure] = [one for task in TASKS.values() for one in task.measures]
    return {one.title for one in measures} | {one.name.replace("_", " ") for one in measures}


@pytest.mark.parametrize(
    "texts", [spoken_in_code, spoken_on_pages, said_of_the_api, measure_names], ids=lambda one: one.__name__
)
def test_every_text_has_its_chinese(texts):
    assert sorted(texts() - catalogue().keys()) == []


@pytest.mark.parametrize("template", TEMPLATES, ids=lambda one: one.name)
def test_a_template_says_nothing_past_the_catalogue(template):
    assert sorted(spoken_in(template) - catalogue().keys()) == []
    bare = re.sub(
        r"<style>.*?</style>|\{%.*?%\}|\{\{.*?\}\}|<[^>]*>", " ", template.read_text(encoding="utf-8"), flags=re.DOTALL
    )
    assert set(re.findall(r"[A-Za-z]{2,}", bare)) <= UNITS


def test_values_stand_in_both_languages_and_one_text_has_one_translation():
    for english, chinese in catalogue().items():
        names = [sorted(NAME.findall(one)) for one in (english, chinese)]
        assert names[0] == names[1], english
        assert chinese.strip(), english
    for section in sections().values():
        assert {english: catalogue()[english] for english in section} == section


def test_a_sentence_is_told_with_its_values_and_what_is_unknown_stays_english():
    assert translate("The keys are: {names}.", "zh", names="a, b") == "可用的键：a, b。"
    assert translate("The keys are: {names}.", "en", names="{x}") == "The keys are: {x}."
    assert translate("Never said {here}.", "zh", here=1) == "Never said 1."


@pytest.mark.parametrize(
    ("accepted", "language"),
    [
        ("", "en"),
        ("zh", "zh"),
        ("zh-CN,zh;q=0.9,en;q=0.8", "zh"),
        ("en-US,en;q=0.9,zh-CN;q=0.8", "en"),
        ("fr, zh-TW;q=0.5, en;q=0.4", "zh"),
        ("de", "en"),
        ("zh;q=0", "en"),
        ("zh;q=abc, en;q=0.1", "en"),
        ("ZH-hans", "zh"),
        ("*", "en"),
        ("zha", "en"),
    ],
)
def test_the_language_is_the_one_that_the_client_wants_most(accepted, language):
    assert preferred_language(accepted, "en") == language


def test_without_a_wish_it_is_the_services_own():
    assert preferred_language("fr;q=1", "zh") == preferred_language("", "zh") == "zh"
