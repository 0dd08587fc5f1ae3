"""`make mutants`: what is changed in a module and what is not, what tests say of it, and what is left behind."""

import importlib
import textwrap

import pytest

SOURCE = '''
"""A module of 1 function."""

@cache(size=8)
def pick(rows: list[3], é="é", *, limit: int = 3) -> "4 or 5":
    for row in zip(rows, é, strict=True):
        if row is None and len(row) < limit:
            continue
        total = row * 2 - max(row, 0.5)
        total += 1
    return not rows if rows else f"{limit + 1}"
'''
CHANGED = [
    ("limit: int = 3", "limit: int = 4"),
    ("row is None and", "(row is not None) and"),
    ("row is None and len(row) < limit", "(row is None or len(row) < limit)"),
    ("len(row) < limit", "(len(row) <= limit)"),
    ("continue", "break"),
    ("row * 2", "(row / 2)"),
    ("row * 2", "row * 3"),
    ("row * 2 - max(row, 0.5)", "(row * 2 + max(row, 0.5))"),
    ("max(row, 0.5)", "(min(row, 0.5))"),
    ("0.5", "1.0"),
    ("total += 1", "total -= 1"),
    ("total += 1", "total += 2"),
    ("not rows", "rows"),
    ("if rows", "if (not rows)"),
]


@pytest.fixture
def mutants(project_root, monkeypatch, tmp_path):
    """The script, over a package with one room whose tests see little."""
    module = importlib.import_module("mutants")
    files = {
        "src/yanmo/__init__.py": "",
        "src/yanmo/room/__init__.py": "",
        "src/yanmo/room/one.py": """
            def is_small(number):
                return number < 3 and True
            def twice(number):
                return number * 2
        """,
        "tests/room/test_one.py": """
            from yanmo.room.one import is_small, twice
            def test_it():
                assert not is_small(3)
                assert twice(0) == 0
        """,
        "alike.toml": """
            [[alike]]
            path = "room/one.py"
            before = "return number < 3 and True"
            after = "return number < 3 and False"
            why = "so that there is one"
        """,
    }
    for name, content in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(textwrap.dedent(content))
    monkeypatch.setattr(module, "ROOT", tmp_path)
    monkeypatch.setattr(module, "SOURCE", tmp_path / "src" / "yanmo")
    monkeypatch.setattr(module, "TESTS", tmp_path / "tests")
    monkeypatch.setattr(module, "ALIKE", tmp_path / "alike.toml")
    # The tests of the room need no package and no plugin, and to load all that are installed takes longer than they do.
    monkeypatch.setattr(importlib.import_module("forked_tests"), "HEAVY", ())
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    return module


def test_every_change_is_of_one_token_and_none_of_what_cannot_matter(tmp_path):
    path = tmp_path / "module.py"
    path.write_text(SOURCE, encoding="utf-8")
    found = importlib.import_module("mutations").mutants_of(path)
    expected = {SOURCE.replace(old, new, 1) for old, new in CHANGED}
    assert {one.content.decode() for one in found} == expected
    assert len(found) == len(expected)
    (one,) = [one for one in found if one.after == "break"]
    assert (one.line, one.before) == (8, "continue")


def test_one_seed_draws_the_same_mutants(mutants):
    first, again, other = (mutants.draw(["room"], 3, seed) for seed in (1, 1, 2))
    assert first == again != other
    assert len(mutants.draw(["room"], 99, 1)) == 6


def test_the_page_tells_what_survived_and_the_sources_stay(mutants, monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(mutants, "page_path", lambda theme: tmp_path / f"{theme}.md")
    monkeypatch.setattr("sys.argv", ["mutants.py", "room", "--jobs", "2", "--write"])
    before = (tmp_path / "src/yanmo/room/one.py").read_bytes()
    assert mutants.main() == 1
    page = (tmp_path / "mutants.md").read_text(encoding="utf-8")
    assert "| room | 6 | 3 | 2 | 1 | 0 | 60.0% |" in page
    survived, alike = page.partition("## Survived")[2].split("## Means the same")
    assert "- room/one.py:5: `return number * 2` → `return number * 3`" in survived
    assert "- room/one.py:3: `return number < 3 and True` → `return number < 3 and False`" in alike
    assert (tmp_path / "src/yanmo/room/one.py").read_bytes() == before
    assert page in capsys.readouterr().out


def test_no_mutant_begins_when_the_time_is_over(mutants, monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["mutants.py", "room", "--jobs", "1", "--minutes", "0"])
    assert mutants.main() == 0
    assert "| room | 6 | 0 | 0 | 1 | 5 | 100.0% |" in capsys.readouterr().out


def test_a_room_whose_tests_fail_by_themselves_and_one_that_is_not_there_end_it(mutants, monkeypatch, tmp_path, capsys):
    (tmp_path / "tests/room/test_two.py").write_text("def test_it(): assert False")
    monkeypatch.setattr("sys.argv", ["mutants.py", "room", "--jobs", "1"])
    with pytest.raises(SystemExit, match="the tests of room fail without any change"):
        mutants.main()
    with pytest.raises(SystemExit):
        mutants.parse(["hall"])
    assert "there is no room 'hall'" in capsys.readouterr().err


def test_tests_that_hang_do_not_pass(mutants, tmp_path):
    (tmp_path / "tests/room/test_one.py").write_text("import time\ntime.sleep(600)\n")
    room = mutants.room_of("room")
    assert not mutants.Tests(room, tmp_path / "src", seconds=1.0).wait()
