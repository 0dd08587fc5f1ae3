"""A public name is defined once in the package, but for those that a table of one shape requires."""

import ast
import re
from collections import defaultdict
from pathlib import Path

import pytest

import yanmo

SOURCE = Path(yanmo.__file__).parent
OF_A_TABLE = {
    "open_engine": "every engine, and the choice between them",
    "open_run": "every tracker",
    "open_runtime": "every format of a Bundle",
    "predict": "the operation of the API and the verb",
}
"""Name to the rows that have it in common."""


def public_names(text):
    """Return what a module defines for others: classes, functions, type aliases, and what its ``__all__`` names."""
    tree = ast.parse(text)
    defined, assigned, exported = set(), set(), set()
    for node in tree.body:
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            defined.add(node.name)
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            names = {one.id for one in targets if isinstance(one, ast.Name)}
            if names == {"__all__"}:
                exported = set(ast.literal_eval(node.value))
            elif not (isinstance(node.value, ast.Call) and getattr(node.value.func, "id", "") == "TypeVar"):
                assigned |= names
    aliases = {name for name in assigned if name in exported or not (name.isupper() or name.islower())}
    return {name for name in defined | aliases if not name.startswith("_")}


def exported_names(text):
    """Return the classes and functions that ``__all__`` names."""
    found = re.search(r"^__all__ = (\[.*?\])", text, re.MULTILINE | re.DOTALL)
    return {name for name in ast.literal_eval(found[1]) if not name.isupper()} if found else set()


def find_repeated(folder):
    places = defaultdict(list)
    for path in sorted(folder.rglob("*.py")):
        text = path.read_text(encoding="utf-8")
        # What a module exports of another's is a second name for it, but at the door of a package.
        exported = set() if path.name == "__init__.py" else exported_names(text)
        for name in public_names(text) | exported:
            places[name].append(str(path.relative_to(folder)))
    return {name: found for name, found in places.items() if len(found) > 1}


def test_a_public_name_is_defined_once():
    repeated = find_repeated(SOURCE)
    assert {name: repeated[name] for name in repeated.keys() - OF_A_TABLE.keys()} == {}


@pytest.mark.parametrize("name", OF_A_TABLE)
def test_a_name_that_is_let_pass_is_repeated(name):
    assert name in find_repeated(SOURCE)


@pytest.mark.parametrize("text", ["class Job: ...", "def Job(): ...", "Job = dict[str, int]"], ids=str)
def test_a_class_a_function_and_an_alias_are_public_names(tmp_path, text):
    (tmp_path / "one.py").write_text("class Job: ...\nBATCH = 3\nlogger = None\n")
    (tmp_path / "two.py").write_text(f"{text}\nBATCH = 3\nlogger = None\n")
    assert find_repeated(tmp_path) == {"Job": ["one.py", "two.py"]}


def test_a_constant_is_public_where_it_is_exported(tmp_path):
    for name in ("one", "two"):
        (tmp_path / f"{name}.py").write_text("__all__ = ['WEIGHTS']\nWEIGHTS = 'model.safetensors'\nSEED = 1\n")
    assert find_repeated(tmp_path) == {"WEIGHTS": ["one.py", "two.py"]}
