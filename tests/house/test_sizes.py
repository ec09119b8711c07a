"""Rule 9: functions of at most 60 lines without their docstring, files of at most 300, at most 7 parameters."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
FILES = sorted(path for folder in ("raylabel", "jobs", "benchmarks") for path in (ROOT / folder).rglob("*.py"))
Function = ast.FunctionDef | ast.AsyncFunctionDef


def functions(path: Path) -> Iterator[Function]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, Function):
            yield node


def length(node: Function) -> int:
    """Lines of a function without its docstring."""
    lines = (node.end_lineno or 0) - node.lineno + 1
    first = node.body[0]
    if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant) and isinstance(first.value.value, str):
        lines -= (first.end_lineno or 0) - first.lineno + 1
    return lines


def test_there_are_files() -> None:
    assert len(FILES) > 50


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_sizes(path: Path) -> None:
    assert path.read_text().count("\n") <= 300
    assert {node.name: length(node) for node in functions(path) if length(node) > 60} == {}
    for node in functions(path):
        names = [a.arg for a in (*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs)]
        assert len([name for name in names if name not in ("self", "cls")]) <= 7, f"{node.name}: {names}"


def test_jobs_are_thin() -> None:
    assert {path.name: n for path in (ROOT / "jobs").glob("*.py") if (n := path.read_text().count("\n")) > 40} == {}


def test_the_loop_is_one_screen() -> None:
    [run] = [node for node in functions(ROOT / "raylabel" / "loop.py") if node.name == "run"]
    assert length(run) <= 60
