"""xarray's own tests of its zarr backend, run with our engine and our writer in place of that.

The classes below are xarray's (xarray/tests/test_backends.py), which call `Dataset.to_zarr`, `open_zarr` and
`open_dataset(engine="zarr")`; a fixture puts ours behind these names. What zarr-python itself opens in such a test, it does: so
each also says that it can read what we wrote. `LEFT_OUT` says which tests are not run, and why.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import inspect
import warnings
from collections.abc import Iterator
from typing import Any

import pytest

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import zarr
    from xarray.backends import common, plugins, writers
    from xarray.tests import conftest, test_backends as theirs, test_backends_datatree as trees

from ndzarr import config, creation
from ndzarr.xarray_backend import NdzarrBackendEntrypoint
from ndzarr.xarray_writable import WritableStore
from ndzarr.xarray_writer import open_writable, to_zarr

pytestmark = pytest.mark.filterwarnings("default")

#: Tests by name, or by class and name, that are about something else than reading and writing: why.
LEFT_OUT: dict[str, str] = {
    "test_read_non_consolidated_warning": "ndzarr does not warn: without consolidated metadata it lists once, and asks for all "
    "documents together",
    "test_cache_members": "the methods of zarr-python's groups, and how often xarray's own store asks for members",
    "test_avoid_excess_metadata_calls": "counts calls of zarr-python's AsyncGroup; ours are counted in test_xarray_backend.py",
    "test_async_load_multiple_variables": "counts calls of zarr-python's AsyncArray",
    "test_concurrent_load_multiple_objects": "counts calls of zarr-python's AsyncArray",
    "TestZarrMemory.test_indexing": "counts calls of zarr-python's AsyncArray",
    "test_raise_on_older_zarr_version": "what a zarr-python without asynchronous indexing raises",
    "TestTree.test_to_zarr_not_consolidated": "wants the warning that metadata are not consolidated; ndzarr lists once instead",
}
#: The same for one format: the beginning of the test's name with its parameters.
LEFT_OUT_OF_ONE = {
    "test_to_zarr_compute_false[zarr_format=2]": "wants zeros left out where the fill value is null; ndzarr stores them",
}


class Engine(NdzarrBackendEntrypoint):
    """Our engine, under the name of the other, and opening what that opens."""

    guess_can_open = theirs.backends.ZarrBackendEntrypoint.guess_can_open


class Written(WritableStore):
    """With the name that xarray's tests have for the group."""

    @property
    def ds(self) -> Any:
        return self.group


@pytest.fixture(params=[2, 3], ids=["v2", "v3"])
def default_zarr_format(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    monkeypatch.setattr(creation, "NEWEST", request.param)
    with zarr.config.set(default_zarr_format=request.param):
        yield request.param


@pytest.fixture(params=[True, False], ids=["dask", "numpy"])
def use_dask(request: pytest.FixtureRequest) -> bool:
    return bool(request.param)


@pytest.fixture(params=["s", "ms", "us", "ns"])
def time_unit(request: pytest.FixtureRequest) -> str:
    return str(request.param)


tmp_store = theirs.tmp_store
create_test_datatree, simple_datatree = conftest.create_test_datatree, conftest.simple_datatree
unaligned_datatree_zarr_factory = trees.unaligned_datatree_zarr_factory


@pytest.fixture(autouse=True)
def ours(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Our engine and writer behind the names that the tests call."""
    monkeypatch.setitem(common.BACKEND_ENTRYPOINTS, "zarr", ("zarr", Engine))
    monkeypatch.setattr(writers, "to_zarr", to_zarr)
    monkeypatch.setattr(writers, "_datatree_to_zarr", to_zarr)
    plugins.list_engines.cache_clear()
    yield
    monkeypatch.undo()
    plugins.list_engines.cache_clear()


@pytest.fixture(autouse=True)
def obeyed(request: pytest.FixtureRequest) -> None:
    """What `LEFT_OUT_OF_ONE` says, and xarray's own `skip_if_param` marks: a test that is about one format."""
    if request.node.name in LEFT_OUT_OF_ONE:
        pytest.skip(LEFT_OUT_OF_ONE[request.node.name])
    for mark in request.node.iter_markers("skip_if_param"):
        names = {k: v for k, v in mark.kwargs.items() if k not in ("reason", "condition")}
        params = getattr(getattr(request.node, "callspec", None), "params", {})
        if mark.kwargs.get("condition", True) and all(params.get(k) == v for k, v in names.items()):
            pytest.skip(mark.kwargs["reason"])


@pytest.fixture(autouse=True)
def counted(record_property: Any) -> None:
    record_property("count: tests of xarray's zarr backend passed with ours", 1)


class Ours:
    """What takes the place of the hooks in xarray's classes."""

    def open(self, path: Any, **kwargs: Any) -> Any:
        # xarray's engine takes `use_zarr_fill_value_as_mask` and does not pass it on: what its tests expect in format 2.
        if creation.NEWEST == 2:
            kwargs.pop("use_zarr_fill_value_as_mask", None)
        return super().open(path, **kwargs)

    @contextlib.contextmanager
    def create_store(self, cache_members: bool = False) -> Iterator[WritableStore]:
        with self.create_zarr_target() as target:
            store = open_writable(target, "w")
            yield Written(store.group, "w", pending=True)


def adapted(cls: type) -> type:
    """The class without the tests left out, and with those that are coroutines run to their end."""
    for name in dir(cls):
        if not name.startswith("test_"):
            continue
        found = getattr(cls, name)
        if name in LEFT_OUT or f"{cls.__name__}.{name}" in LEFT_OUT:
            setattr(cls, name, None)
        elif inspect.iscoroutinefunction(found):

            def run(self: Any, *args: Any, _found: Any = found, **kwargs: Any) -> None:
                asyncio.run(_found(self, *args, **kwargs))

            setattr(cls, name, functools.wraps(found)(run))
        elif any(mark.name == "xfail" for mark in getattr(found, "pytestmark", ())):
            setattr(cls, name, _may_pass(found))
    return cls


def _may_pass(found: Any) -> Any:
    """A test of which xarray says that it fails, for the sake of zarr-python: with ours, or a newer one, it may pass."""

    @functools.wraps(found)
    def run(self: Any, *args: Any, **kwargs: Any) -> None:
        found(self, *args, **kwargs)

    marks = [
        m if m.name != "xfail" else pytest.mark.xfail(*m.args, **{**m.kwargs, "strict": False}).mark for m in found.pytestmark
    ]
    setattr(run, "pytestmark", marks)  # noqa: B010  # a function has no such attribute to mypy
    return run


@adapted
class TestDirectory(Ours, theirs.TestZarrDirectoryStore):
    pass


@adapted
class TestZarrMemory(Ours, theirs.TestZarrDictStore):
    pass


@adapted
class TestWriteEmpty(Ours, theirs.TestZarrWriteEmpty):
    @pytest.fixture(autouse=True)
    def without_locks(self) -> Iterator[None]:
        """It compares all the files that there are, and locks are kept in one."""
        with config.options(exclusive=False):
            yield


@adapted
class TestRegionAuto(theirs.TestZarrRegionAuto):
    pass


@adapted
class TestDataArray(theirs.TestDataArrayToZarr):
    pass


@adapted
class TestNCZarr(theirs.TestNCZarr):
    pass


@adapted
class TestTree(trees.TestZarrDatatreeIO):
    pass
