"""The rules of docs/architecture.md that a reader would otherwise take on trust: who imports whom, who calls a store."""

from __future__ import annotations

import ast
import tomllib
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

TOP = Path(__file__).parents[1]
PACKAGE = TOP / "ndzarr"
MODULES = sorted(PACKAGE.rglob("*.py"))

#: The layers, highest first; those in one set know nothing of each other.
LAYERS = [
    {name.strip() for name in line.split("|")}
    for line in tomllib.loads((TOP / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"][0]["layers"]
]
LEVEL = {name: level for level, names in enumerate(LAYERS) for name in names}


def dotted(path: Path) -> str:
    """`ndzarr/codecs/base.py` -> "codecs.base", `ndzarr/codecs/__init__.py` -> "codecs", `ndzarr/__init__.py` -> ""."""
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


@cache
def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), str(path))


def run_time_nodes(node: ast.AST) -> Iterator[ast.AST]:
    """Every node below, but for what stands under `if TYPE_CHECKING:`."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.If) and isinstance(child.test, ast.Name) and child.test.id == "TYPE_CHECKING":
            continue
        yield child
        yield from run_time_nodes(child)


@cache
def imports(path: Path) -> frozenset[str]:
    """The modules of ndzarr that a module imports, inside functions too: "" is ndzarr itself."""
    modules = {dotted(other) for other in MODULES}
    found = set()
    for node in run_time_nodes(tree_of(path)):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: imports are absolute"
            for alias in node.names:
                full = f"{node.module}.{alias.name}"
                found.add(full if full.removeprefix("ndzarr.") in modules else str(node.module))
    return frozenset(
        name.removeprefix("ndzarr").removeprefix(".") for name in found if name == "ndzarr" or name.startswith("ndzarr.")
    )


def where(path: Path, node: ast.expr) -> str:
    return f"{path.relative_to(TOP)}:{node.lineno}: {ast.unparse(node)}"


def test_every_module_has_a_layer() -> None:
    found = {dotted(path).partition(".")[0] for path in MODULES} - {""}
    assert found == set(LEVEL)


@pytest.mark.parametrize("path", MODULES, ids=dotted)
def test_imports_point_down(path: Path) -> None:
    own = dotted(path).partition(".")[0]
    for name in imports(path):
        other = name.partition(".")[0]
        if own and other != own:
            assert other, f"{path}: imports from ndzarr itself, not from the module that has the name"
            assert LEVEL[other] > LEVEL[own], f"{path}: {own} may not import {other}"


def test_no_cycles() -> None:
    """Also within a package, where the layers say nothing, and through imports inside functions."""
    graph = {dotted(path): imports(path) for path in MODULES}
    done: set[str] = set()

    def visit(name: str, above: tuple[str, ...]) -> None:
        assert name not in above, " -> ".join([*above[above.index(name) :], name])
        if name not in done:
            for other in graph.get(name, ()):
                visit(other, (*above, name))
            done.add(name)

    for name in graph:
        visit(name, ())


STORE_METHODS = {
    "get", "set", "delete", "list", "get_tagged", "set_if", "get_many", "get_each", "get_many_tagged", "set_many", "tag",
    "set_many_if", "delete_many", "delete_prefix", "list_dir", "size", "exists", "lock", "lock_node", "settle",
    "shortcut", "move_prefix", "remains", "tidy", "set_aside", "evidence",
}  # fmt: skip


def store_calls(path: Path) -> list[str]:
    """Calls of a store's methods on anything that is named like a store."""
    calls = []
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in STORE_METHODS:
            holder = node.func.value
            name = holder.attr if isinstance(holder, ast.Attribute) else holder.id if isinstance(holder, ast.Name) else ""
            if name.lstrip("_").endswith(("store", "opened")):
                calls.append(where(path, node))
    return calls


def test_only_nodes_and_engine_call_a_store() -> None:
    # `stores` are stores; `testing` holds the suite that puts a store through its paces.
    outside = [p for p in MODULES if dotted(p).partition(".")[0] not in ("stores", "testing")]
    callers = {dotted(path).partition(".")[0] for path in outside if store_calls(path)}
    assert callers == {"nodes", "engine"}, [call for path in outside for call in store_calls(path)]


def test_codecs_and_plans_know_no_store() -> None:
    for path in MODULES:
        own = dotted(path).partition(".")[0]
        if own in ("codecs", "plan", "scatter", "selection", "formats"):
            names = {node.id for node in ast.walk(tree_of(path)) if isinstance(node, ast.Name)}
            assert not names & {"store", "Store"}, path


def test_format_version_is_gone_above_formats() -> None:
    compared = [
        where(path, node)
        for path in MODULES
        if LEVEL.get(dotted(path).partition(".")[0], len(LAYERS)) < LEVEL["formats"]
        for node in ast.walk(tree_of(path))
        if isinstance(node, ast.Compare)
        for side in [node.left, *node.comparators]
        if (side.attr if isinstance(side, ast.Attribute) else side.id if isinstance(side, ast.Name) else "") == "zarr_format"
    ]
    assert compared == []


@pytest.mark.parametrize("path", MODULES, ids=dotted)
def test_modules_are_about_something_and_small(path: Path) -> None:
    assert path.stem not in {"utils", "util", "common", "core", "helpers", "misc"}
    assert len(path.read_text(encoding="utf-8").splitlines()) <= 600, f"{path} is more than one thing"


def test_nothing_is_left_unsaid() -> None:
    for path in MODULES:
        assert ast.get_docstring(tree_of(path)), f"{path} does not say what it is about"


def test_architecture_page_names_every_module() -> None:
    page = (TOP / "docs" / "architecture.md").read_text(encoding="utf-8")
    names = {name for names in LAYERS for name in names}
    missing = {name for name in names if f"`{name}.py`" not in page and f"`{name}/`" not in page}
    missing |= {name for name in names if f"ndzarr/{name}" not in page} - {"__main__"}
    assert not missing
