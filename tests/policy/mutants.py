"""Deletes the policy's rules, one at a time: each mutant is a module with one condition that counts no more."""

import ast
import copy
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import policy

FOLDER = Path(policy.__file__).parent
_SHIFTED: dict[type[ast.cmpop], type[ast.cmpop]] = {ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt}
_Change = Callable[[ast.AST], None]


@dataclass(frozen=True, eq=False)
class Mutant:
    """A module of the policy with one rule deleted: `name` says which, `lines` where."""

    module: str
    name: str
    lines: range
    tree: ast.Module


def mutants(module: str) -> Iterator[Mutant]:
    """Every mutant of a module."""
    tree = ast.parse((FOLDER / f"{module}.py").read_text(encoding="utf-8"))
    names = Counter[str]()
    for index, (node, function) in enumerate(_in_functions(tree)):
        for what, change in _changes(node):
            name = f"{module}.{function}: {what}"
            names[name] += 1
            changed = copy.deepcopy(tree)
            target, _ = list(_in_functions(changed))[index]
            change(target)
            again = f" ({names[name]})" if names[name] > 1 else ""
            yield Mutant(module, name + again, _lines(node), ast.fix_missing_locations(changed))


def _lines(node: ast.AST) -> range:
    first = node.pattern if isinstance(node, ast.match_case) else node
    if isinstance(node, ast.comprehension):
        first = node.target
    lineno, end = getattr(first, "lineno", 0), getattr(first, "end_lineno", 0)
    return range(lineno, end + 1)


def _in_functions(tree: ast.AST, function: str = "") -> Iterator[tuple[ast.AST, str]]:
    """Every node that stands in a function, with the function's name."""
    for node in ast.iter_child_nodes(tree):
        inside = f"{function}.{node.name}".lstrip(".") if isinstance(node, ast.FunctionDef | ast.ClassDef) else function
        if function:
            yield node, inside
        yield from _in_functions(node, inside)


def _changes(node: ast.AST) -> Iterator[tuple[str, _Change]]:
    match node:
        case ast.If():
            yield f"never `if {_text(node.test)}`", _set("test", _constant(value=False))
            yield f"always `if {_text(node.test)}`", _set("test", _constant(value=True))
        case ast.IfExp():
            yield f"never `{_text(node)}`", _set("test", _constant(value=False))
            yield f"always `{_text(node)}`", _set("test", _constant(value=True))
        case ast.BoolOp():
            for index, value in enumerate(node.values):
                word = "and" if isinstance(node.op, ast.And) else "or"
                yield f"without `{_text(value)}` in `{word}`", _operand(index, keeps=word == "and")
        case ast.Compare(ops=[operator]) if type(operator) in _SHIFTED:
            yield f"by one in `{_text(node)}`", _set("ops", [_SHIFTED[type(operator)]()])
        case _:
            yield from _changes_of_alternatives(node)


def _changes_of_alternatives(node: ast.AST) -> Iterator[tuple[str, _Change]]:
    match node:
        case ast.comprehension():
            for index, condition in enumerate(node.ifs):
                yield f"without the filter `{_text(condition)}`", _filter(index)
        case ast.match_case():
            yield f"without `case {_text(node.pattern)}`", _set("guard", _constant(value=False))
            if node.guard is not None:
                yield f"without the guard `{_text(node.guard)}`", _set("guard", None)


def _text(node: ast.AST) -> str:
    return " ".join(ast.unparse(node).split())


def _constant(*, value: bool) -> ast.Constant:
    return ast.Constant(value)


def _set(field: str, value: object) -> _Change:
    return lambda node: setattr(node, field, value)


def _operand(index: int, *, keeps: bool) -> _Change:
    """A conjunct that is always true, or an alternative that is never."""

    def change(node: ast.AST) -> None:
        assert isinstance(node, ast.BoolOp)
        node.values[index] = _constant(value=keeps)

    return change


def _filter(index: int) -> _Change:
    def change(node: ast.AST) -> None:
        assert isinstance(node, ast.comprehension)
        del node.ifs[index]

    return change
