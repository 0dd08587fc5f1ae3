"""One-token changes of Python source: a comparison turned, a number off by one, a condition denied; it runs nothing.

Left out is what means the same by construction: annotations, decorators, the ``strict`` of a ``zip``; and the insides
of f-strings, whose places Python 3.11 does not know.
"""

from __future__ import annotations

import ast
import copy
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

__all__ = ["Mutant", "mutants_of"]

OPERATORS: dict[type[ast.AST], type[ast.AST]] = {
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
    ast.And: ast.Or,
    ast.Or: ast.And,
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Div,
    ast.Div: ast.Mult,
    ast.FloorDiv: ast.Mult,
    ast.Mod: ast.Mult,
    ast.Pow: ast.Mult,
    ast.BitAnd: ast.BitOr,
    ast.BitOr: ast.BitAnd,
    ast.LShift: ast.RShift,
    ast.RShift: ast.LShift,
}
FUNCTIONS = {"min": "max", "max": "min", "any": "all", "all": "any"}
UNCHANGED = ("annotation", "returns", "decorator_list")
BARE = (ast.Name, ast.Attribute, ast.Call, ast.Subscript)


class Mutant(NamedTuple):
    """A module with one change.

    Attributes:
        path: The module.
        line: Where the change begins, from 1.
        before: The changed lines as they are, without indentation.
        after: What stands there instead.
        content: The whole module, changed.
    """

    path: Path
    line: int
    before: str
    after: str
    content: bytes


def mutants_of(path: Path) -> list[Mutant]:
    """Return all changes of a module, in the order of its text."""
    source = path.read_bytes()
    lines = source.splitlines(keepends=True)
    starts = [0]
    for line in lines:
        starts.append(starts[-1] + len(line))
    found = []
    for old, new in changes(ast.parse(source)):
        begin = starts[old.lineno - 1] + old.col_offset
        end = starts[old.end_lineno - 1] + old.end_col_offset
        content = source[:begin] + spelled(new).encode() + source[end:]
        # From the first changed line to the last, in both.
        rest = len(source) - starts[old.end_lineno]
        before = source[starts[old.lineno - 1] : starts[old.end_lineno]]
        after = content[starts[old.lineno - 1] : len(content) - rest]
        found.append(Mutant(path, old.lineno, flat(before), flat(after), content))
    return sorted(found, key=lambda one: (one.line, one.after))


def spelled(node: ast.AST) -> str:
    text = ast.unparse(node)
    is_atom = isinstance(node, ast.stmt | ast.Constant | ast.Name)
    return text if is_atom else f"({text})"


def flat(lines: bytes) -> str:
    return " ".join(lines.decode().split())


def changes(tree: ast.AST) -> Iterator[tuple[ast.AST, ast.AST]]:
    """Yield nodes of a tree, each with what may stand in its place."""
    for node in visible(tree):
        yield from ((node, other) for other in others(node))
        if isinstance(node, ast.If | ast.While | ast.IfExp):
            yield from denied([node.test])
        elif isinstance(node, ast.comprehension):
            yield from denied(node.ifs)
        elif isinstance(node, ast.BoolOp):
            yield from denied(node.values)


def visible(node: ast.AST) -> Iterator[ast.AST]:
    yield node
    for field, value in ast.iter_fields(node):
        is_strict = isinstance(node, ast.keyword) and node.arg == "strict"
        if field in UNCHANGED or is_strict or isinstance(node, ast.JoinedStr):
            continue
        for child in value if isinstance(value, list) else [value]:
            if isinstance(child, ast.AST):
                yield from visible(child)


def denied(conditions: list[ast.expr]) -> Iterator[tuple[ast.AST, ast.AST]]:
    """Yield conditions that are names or calls, each with its contrary; comparisons are turned by themselves."""
    for one in conditions:
        if isinstance(one, BARE) and ast.unparse(one) != "TYPE_CHECKING":
            yield one, ast.UnaryOp(ast.Not(), one)


def others(node: ast.AST) -> Iterator[ast.AST]:
    """Yield what may stand in the place of a node, whatever it is a part of."""
    match node:
        case ast.Compare(left, operators, comparators):
            for place, operator in enumerate(operators):
                turned = [*operators[:place], OPERATORS[type(operator)](), *operators[place + 1 :]]
                yield ast.Compare(left, turned, comparators)
        case ast.BoolOp() | ast.BinOp() | ast.AugAssign() if type(node.op) in OPERATORS:
            turned = copy.copy(node)
            turned.op = OPERATORS[type(node.op)]()
            yield turned
        case ast.UnaryOp(ast.Not() | ast.USub(), operand):
            yield operand
        case ast.Constant(bool() | int() | float() as value):
            yield ast.Constant(another(value))
        case ast.Call(ast.Name(name), arguments, keywords) if name in FUNCTIONS:
            yield ast.Call(ast.Name(FUNCTIONS[name]), arguments, keywords)
        case ast.Break() | ast.Continue():
            yield ast.Continue() if isinstance(node, ast.Break) else ast.Break()


def another(value: float) -> float:
    """Return the contrary of a truth, the integer after another, or a float twice as large."""
    if isinstance(value, bool):
        return not value
    return value + 1 if isinstance(value, int) else 2 * value or 1.0
