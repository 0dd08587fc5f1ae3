"""The rules of the house that a tool can hold: sizes, torch-free imports, lazy names, one set of names everywhere."""

import ast
import importlib
import inspect
import re
import subprocess
import sys
import tokenize
from pathlib import Path

import pytest

import yanmo
from yanmo.cli import _command
from yanmo.tasks import READING, TASKS
from yanmo.verbs import COMMANDS
from yanmo.verbs.signature import get_verb

SOURCE = Path(yanmo.__file__).parent
MODULES = sorted(SOURCE.rglob("*.py"))
EXTRAS = {
    "executors/ray.py": "ray",
    "integrations/mlflow_runs.py": "mlflow",
    "runtimes/engines/openvino_cpu.py": "openvino",
}
"""Module to the extra without which it cannot be imported."""
HEAVY = ("torch", "transformers", "sklearn", "onnx", "matplotlib", "optuna", "mlflow", "tensorboardX", "ray", "obstore")


def _functions(tree: ast.AST) -> list[ast.FunctionDef | ast.AsyncFunctionDef]:
    return [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(SOURCE)))
def test_modules_and_functions_stay_small_and_say_what_they_do(path):
    text = path.read_text(encoding="utf-8")
    tree = ast.parse(text)
    assert ast.get_docstring(tree), "a module opens with what it does"
    assert text.count("\n") <= 400
    for function in _functions(tree):
        assert function.end_lineno - function.lineno < 60, function.name
        positional = [*function.args.posonlyargs, *function.args.args]
        assert len([one for one in positional if one.arg not in {"self", "cls"}]) <= 6, function.name


def test_most_modules_are_small():
    lengths = sorted(path.read_text(encoding="utf-8").count("\n") for path in MODULES)
    assert lengths[len(lengths) // 2] <= 150
    assert lengths[len(lengths) * 9 // 10] <= 300


def test_a_folder_of_modeling_can_be_taken_in_at_a_glance():
    folders = {path.parent for path in MODULES if SOURCE / "modeling" in path.parents}
    assert {folder.name for folder in folders if len(list(folder.glob("*.py"))) > 12} == set()


def test_comments_say_why_where_one_would_ask():
    """Two comments in a hundred lines, in the mean of all modules."""
    num_lines = num_comments = 0
    for path in MODULES:
        with path.open(encoding="utf-8") as file:
            tokens = list(tokenize.generate_tokens(file.readline))
        num_lines += tokens[-1].start[0]
        num_comments += sum(one.type == tokenize.COMMENT and "noqa" not in one.string for one in tokens)
    assert num_comments >= 0.02 * num_lines


def test_no_module_has_a_name_that_says_nothing():
    stems = {path.stem for path in MODULES}
    assert not stems & {"utils", "util", "helpers", "helper", "common", "misc", "manager", "handler"}


def test_config_classes_have_at_most_twenty_fields_of_their_own_each_with_a_sentence():
    for name in COMMANDS:
        config_class = get_verb(name).config_class
        for part in config_class.__mro__:
            assert len(set(vars(part).get("__annotations__", ())) & set(config_class.model_fields)) <= 20, part
        for key, field in config_class.model_fields.items():
            assert field.description, f"{name}.{key}"


def _modules_loaded_by(code: str) -> set[str]:
    script = f"import sys\n{code}\nprint(' '.join(sys.modules))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    return set(done.stdout.split("\n")[-2].split())


@pytest.mark.parametrize(
    "code",
    [
        "import yanmo",
        "from yanmo.cli import build_app; build_app([])",
        "import yanmo.artifacts, yanmo.tasks, yanmo.text.pipeline, yanmo.models",
        "import yanmo.runtimes.predictor, yanmo.runtimes.onnx, yanmo.runtimes.ngram, yanmo.runtimes.linear",
        "import yanmo.serving.serve",
        "import yanmo.executors.choice, yanmo.executors.local, yanmo.executors.answering",
        "import yanmo.pipeline.check, yanmo.pipeline.run",
        "from yanmo.verbs import COMMANDS; from yanmo.verbs.signature import get_verb; [get_verb(n) for n in COMMANDS]",
    ],
)
def test_importing_loads_nothing_heavy(code):
    assert not _modules_loaded_by(code) & set(HEAVY)


def test_help_loads_no_data_library():
    loaded = _modules_loaded_by("from yanmo.cli import build_app; build_app(['--help'])")
    assert not loaded & {"polars", "numpy", "pydantic", "onnxruntime"}


def test_every_public_name_can_be_loaded():
    for name in yanmo.__all__:
        assert getattr(yanmo, name) is not None


def test_no_module_of_the_root_hides_a_public_function():
    modules = {path.stem for path in SOURCE.glob("*.py")} | {path.parent.name for path in SOURCE.glob("*/__init__.py")}
    assert not modules & set(yanmo.__all__)


@pytest.mark.parametrize("name", list(COMMANDS))
def test_command_line_stage_and_function_have_the_same_names(name):
    verb = get_verb(name)
    flags = set(inspect.signature(_command(name)).parameters)
    inputs = {one.name for one in verb.inputs}
    out = {"out"} if verb.has_out else set()
    force = {"force"} if verb.has_out and verb.takes_effects else set()
    assert flags == set(verb.config_class.model_fields) | inputs | out | force | {"json"}
    parameters = set(inspect.signature(verb.function).parameters)
    assert parameters - {"config", "when_ready", "effects"} == inputs | out


@pytest.mark.parametrize("name", list(COMMANDS))
def test_a_verb_that_makes_an_artifact_is_handed_the_effects_and_says_so_to_no_reader_of_its_help(name):
    verb = get_verb(name)
    makes_artifact = verb.has_out and verb.output is not None
    assert ("effects" in inspect.signature(verb.function).parameters) == makes_artifact
    assert "effects:" not in verb.help


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(SOURCE)))
def test_nothing_that_a_call_needs_stands_in_its_surroundings(path):
    tree = ast.parse(path.read_text(encoding="utf-8"))
    names = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
    names |= {
        one.name for node in ast.walk(tree) if isinstance(node, ast.ImportFrom | ast.Import) for one in node.names
    }
    assert not names & {"ContextVar", "contextvars", "local"}
    assert not [node for node in ast.walk(tree) if isinstance(node, ast.Global)]


def _strings(node: ast.AST) -> set[str]:
    return {one.value for one in ast.walk(node) if isinstance(one, ast.Constant) and isinstance(one.value, str)}


def _asks_for_a_task(node: ast.AST) -> bool:
    """Whether something is compared with, or matched against, the name of a task or of a task of reading."""
    names = {*TASKS, *READING.values()}
    tables = {one.id for one in ast.walk(node) if isinstance(one, ast.Name)} & {"READING", "TASKS"}
    return isinstance(node, ast.Compare | ast.MatchValue) and bool(_strings(node) & names or tables)


@pytest.mark.parametrize(
    "code",
    [
        "task == 'text_pair'",
        "'multi_label' != self.task",
        "name in ('masked_lm', 'x')",
        "one if dataset.task in {'text_pair'} else two",
        "bundle.task not in READING.values()",
        "match task:\n    case 'single_label' | 'other':\n        pass",
    ],
)
def test_a_question_for_a_task_is_found(code):
    assert any(_asks_for_a_task(node) for node in ast.walk(ast.parse(code)))


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(SOURCE)))
def test_no_module_asks_which_task_it_has(path):
    """A task answers for itself; whoever asks for its name would have to be changed for the next one."""
    nodes = list(ast.walk(ast.parse(path.read_text(encoding="utf-8"))))
    if SOURCE / "tasks" not in path.parents:
        assert [node.lineno for node in nodes if _asks_for_a_task(node)] == []
    # What tasks were told apart by before they could answer: a kind of loss, a flag, a second list of texts.
    assert not [node.lineno for node in nodes if isinstance(node, ast.Attribute) and ast.unparse(node) == "task.loss"]
    named = [node.lineno for node in nodes if isinstance(node, ast.keyword) and node.arg in {"exclusive", "texts_b"}]
    assert not named
    assert not [node.lineno for node in nodes if isinstance(node, ast.arg) and node.arg in {"exclusive", "texts_b"}]


@pytest.mark.parametrize("name", list(COMMANDS))
def test_the_table_of_commands_says_what_the_docstring_says(name):
    assert get_verb(name).summary == COMMANDS[name].summary


def test_one_module_reads_and_writes_parquet_files():
    calls = re.compile(r"\bpl\.(read|scan)_parquet\w*|\.(write|sink)_parquet\(")
    found = {path.relative_to(SOURCE).as_posix() for path in MODULES if calls.search(path.read_text(encoding="utf-8"))}
    assert found == {"artifacts/parquet.py"}, "elsewhere polars would take a path for a pattern"


@pytest.mark.parametrize(
    "path",
    [
        pytest.param(path, id=name, marks=[pytest.mark.extra(EXTRAS[name])] if name in EXTRAS else [])
        for path in MODULES
        if (name := str(path.relative_to(SOURCE))) != "__main__.py"
    ],
)
def test_what_a_module_exports_exists(path):
    parts = path.relative_to(SOURCE).with_suffix("").parts
    module = importlib.import_module(".".join(("yanmo", *[part for part in parts if part != "__init__"])))
    for name in getattr(module, "__all__", []):
        assert hasattr(module, name), name
