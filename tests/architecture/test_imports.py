"""Modules know each other in one direction; imports for types alone and those inside functions count, too."""

import ast
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

import yanmo

SOURCE = Path(yanmo.__file__).parent


def name_of(path, source):
    parts = path.relative_to(source.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def read_imports(source):
    """Return module to the modules of the package that it imports anywhere in its text."""
    modules = {name_of(path, source): path for path in source.rglob("*.py")}
    found = {}
    for name, path in modules.items():
        named = set()
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                named |= {one.name for one in node.names}
            elif isinstance(node, ast.ImportFrom):
                full = {one.name: f"{node.module}.{one.name}" for one in node.names}
                named |= {full[one] if full[one] in modules else node.module for one in full}
        found[name] = (named & modules.keys()) - {name}
    return found


def circle_in(imports):
    """Return the modules of a circle, an empty list where there is none."""
    try:
        TopologicalSorter(imports).prepare()
    except CycleError as error:
        return error.args[1]
    return []


def test_no_module_imports_one_that_imports_it():
    assert circle_in(read_imports(SOURCE)) == []


def test_no_folder_imports_one_that_imports_it():
    folders = {}
    for name, imported in read_imports(SOURCE).items():
        room = name.rpartition(".")[0]
        rooms = {one.rpartition(".")[0] for one in imported}
        # A folder and the one around it are one house: what they share may stand in either.
        folders.setdefault(room, set()).update(
            one for one in rooms if not f"{one}.".startswith(f"{room}.") and not f"{room}.".startswith(f"{one}.")
        )
    assert circle_in(folders) == []


@pytest.mark.parametrize(
    "hidden",
    ["def run():\n    from package.first import x", "if TYPE_CHECKING:\n    from package import first"],
    ids=["in a function", "for types"],
)
def test_a_circle_that_is_hidden_is_found(tmp_path, hidden):
    folder = tmp_path / "package"
    folder.mkdir()
    (folder / "__init__.py").touch()
    (folder / "first.py").write_text("import package.second")
    (folder / "second.py").write_text(hidden)
    assert set(circle_in(read_imports(folder))) == {"package.first", "package.second"}


def test_imports_are_absolute():
    for path in SOURCE.rglob("*.py"):
        nodes = ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        assert not [node for node in nodes if isinstance(node, ast.ImportFrom) and node.level], path
