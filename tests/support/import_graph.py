"""Which of our modules imports which, by reading the files."""

from __future__ import annotations

import ast
import functools
from pathlib import Path

import guard

ROOT = Path(guard.__file__).parent


@functools.cache
def imports(path: Path) -> list[tuple[int, str]]:
    """(line, module) of each import of ours, those for types and within functions included."""
    found = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found += [(node.lineno, alias.name) for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                inner = ROOT.joinpath(*node.module.split(".")[1:], alias.name)
                whole = inner.is_dir() or inner.with_suffix(".py").is_file()
                found.append((node.lineno, f"{node.module}.{alias.name}" if whole else node.module))
    return [(line, module) for line, module in found if module.split(".")[0] == "guard"]


def modules() -> dict[str, Path]:
    return {
        ".".join(("guard", *path.relative_to(ROOT).with_suffix("").parts)): path
        for path in sorted(ROOT.rglob("*.py"))
        if path != ROOT / "__init__.py"
    }
