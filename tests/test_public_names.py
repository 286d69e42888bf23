"""The names that users may rely on. A change here is a change for them: it wants a fragment in docs/changes/."""

from __future__ import annotations

import ast
import tomllib
from pathlib import Path

import pytest

import ndzarr

SNAPSHOT = Path(__file__).with_name("public_names.txt")


def test_names_are_those_of_the_snapshot() -> None:
    assert "\n".join(sorted(ndzarr.__all__)) + "\n" == SNAPSHOT.read_text(encoding="utf-8")


def test_names_are_listed_once() -> None:
    assert len(ndzarr.__all__) == len(set(ndzarr.__all__))


@pytest.mark.parametrize("name", sorted(ndzarr.__all__))
def test_every_name_resolves(name: str) -> None:
    assert getattr(ndzarr, name) is not None
    assert name in dir(ndzarr)


def test_names_say_where_they_live() -> None:
    """`pickle`, tracebacks and the reference all go by these."""
    for name in ndzarr.__all__:
        value = getattr(ndzarr, name)
        if isinstance(value, type):
            assert value.__name__ == name
            assert value.__module__.startswith("ndzarr.")


def test_everything_public_is_documented() -> None:
    for name in ndzarr.__all__:
        if name != "__version__":
            assert (getattr(ndzarr, name).__doc__ or "").strip(), name


def test_unknown_name() -> None:
    with pytest.raises(AttributeError, match="no attribute 'no_such_name'"):
        ndzarr.no_such_name  # noqa: B018  # the access is the test


def test_star_import_gives_the_list() -> None:
    names: dict[str, object] = {}
    exec("from ndzarr import *", names)
    assert set(ndzarr.__all__) <= set(names)


def test_version_is_that_of_the_project() -> None:
    project = tomllib.loads(SNAPSHOT.parents[1].joinpath("pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert ndzarr.__version__ == project["version"]


def test_type_checkers_see_the_same_names() -> None:
    """They do not run `__getattr__`, so the names stand a second time, under `if TYPE_CHECKING`."""
    tree = ast.parse(Path(ndzarr.__file__).read_text(encoding="utf-8"))
    (block,) = (node for node in tree.body if isinstance(node, ast.If))
    seen = {alias.asname: node.module for node in block.body if isinstance(node, ast.ImportFrom) for alias in node.names}
    assert seen == ndzarr._MODULE_OF
