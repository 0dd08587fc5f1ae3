"""A test may not skip unnoticed: where the reasons are given, a skip for another one is a failure."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

RULES = Path(__file__).with_name("conftest.py")
TESTS = """
import pytest

@pytest.mark.skipif(True, reason="there is no CUDA device")
def test_of_a_device(): ...

@pytest.fixture
def browser():
    pytest.skip("no Chromium is installed")

def test_of_a_browser(browser): ...

@pytest.mark.xfail(reason="not yet")
def test_of_tomorrow(): assert False

@pytest.mark.extra("no_such_package")
def test_of_an_extra(): ...

@pytest.mark.extra("pytest")
def test_of_what_is_there(): ...
"""
MODULE = 'import pytest\npytest.importorskip("no_such_module", reason="the extra lora is not installed")\n'


@pytest.fixture
def run(tmp_path):
    """Return what runs the tests above under the project's rules: the exit code, and its lines."""
    (tmp_path / "conftest.py").write_text(RULES.read_text(encoding="utf-8"), encoding="utf-8")
    (tmp_path / "pytest.ini").write_text("[pytest]\nmarkers = extra(package)\n")
    (tmp_path / "test_some.py").write_text(TESTS)
    (tmp_path / "test_whole_module.py").write_text(MODULE)

    def run(*names, **env):
        command = [sys.executable, "-m", "pytest", "-rA", "-p", "no:cacheprovider", *names]
        plain = {name: value for name, value in os.environ.items() if name != "YANMO_MAY_SKIP"}
        # The rules need no plugin, and to load all that are installed takes longer than these tests.
        plain["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"
        done = subprocess.run(command, cwd=tmp_path, env={**plain, **env}, capture_output=True, text=True, check=False)
        return done.returncode, done.stdout

    return run


def test_any_test_may_skip_where_no_reasons_are_given(run):
    code, said = run()
    assert code == 0
    assert "1 passed, 4 skipped, 1 xfailed" in said
    assert "the extra no_such_package is not installed: make test-extras" in said


@pytest.mark.parametrize("allowed", ["there is no CUDA device", "no CUDA|no such reason", ""])
def test_a_skip_for_another_reason_fails(run, allowed):
    code, said = run("test_some.py", YANMO_MAY_SKIP=allowed)
    assert code == 1
    counts = "1 passed, 1 skipped, 1 xfailed, 2 errors" if allowed else "1 passed, 1 xfailed, 3 errors"
    assert counts in said
    assert "YANMO_MAY_SKIP does not allow this. Skipped: no Chromium is installed" in said


def test_a_module_that_skips_as_a_whole_is_an_error(run):
    code, said = run(YANMO_MAY_SKIP="there is no CUDA device")
    assert code == 2
    assert "YANMO_MAY_SKIP does not allow this. Skipped: the extra lora is not installed" in said
    assert run(YANMO_MAY_SKIP="CUDA|Chromium|the extra")[0] == 0


@pytest.mark.parametrize(("until", "expected"), [(0, "2 passed, 1 skipped"), (9e9, "3 passed")])
def test_tests_of_the_whole_come_last_and_begin_only_while_there_is_time(run, tmp_path, until, expected):
    for place in ("answers", "contracts", "text"):
        (tmp_path / place).mkdir()
        (tmp_path / place / f"test_{place}.py").write_text("def test_it(): ...")
    folders = ("answers", "contracts", "text")
    code, said = run(*folders, "-v", YANMO_LONG_UNTIL=str(until), YANMO_MAY_SKIP="no time is left on this machine")
    assert code == 0
    assert expected in said
    assert said.index("text/test_text.py") < said.index("contracts/test_contracts.py")


@pytest.mark.parametrize(
    ("code", "is_skipped"), [("import os; os.kill(os.getpid(), 8)", True), ("raise OSError", False)]
)
def test_openvino_may_be_killed_by_the_processor_but_not_fail(code, is_skipped, monkeypatch, request):
    (rules,) = [one for one in request.config.pluginmanager.get_plugins() if getattr(one, "__file__", "") == str(RULES)]
    monkeypatch.setattr(rules, "PROBE", code)
    assert rules.is_killed_by_openvino.__wrapped__() is is_skipped
