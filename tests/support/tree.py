"""The project's own files, as rules about the tree see them."""

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
# What .gitignore names, and git's own folder.
NOT_OURS = {".git", ".venv", ".cache", ".threshold", "build", "__pycache__", "node_modules"}
PACKAGES = ("schemas", "policy", "services", "deploy")


def files(*suffixes: str) -> Iterator[Path]:
    """Yield every file of the project with one of these suffixes, or every file if none is named."""
    for path in sorted(_walk(ROOT)):
        if not suffixes or path.suffix in suffixes:
            yield path


def name(path: Path) -> str:
    """Return a file's path from the project's root, with forward slashes."""
    return path.relative_to(ROOT).as_posix()


@cache
def parsed(path: Path) -> ast.Module:
    """Return a Python file's syntax tree."""
    return ast.parse(path.read_text(encoding="utf-8"))


def imports(path: Path) -> Iterator[str]:
    """Yield the full name of every module, and of every name out of a module, that a Python file imports."""
    for node in ast.walk(parsed(path)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def _walk(folder: Path) -> Iterator[Path]:
    for path in folder.iterdir():
        if path.name in NOT_OURS or path.name.endswith(("_cache", ".egg-info")) or path.name == ".hypothesis":
            continue
        if path.is_dir():
            yield from _walk(path)
        else:
            yield path
