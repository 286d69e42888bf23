"""Which store a path, a URL or a mapping stands for, and the registry behind it."""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar, overload

from ndzarr.errors import ArgumentError
from ndzarr.plugins import Registry
from ndzarr.stores.base import Store
from ndzarr.stores.foreign import is_zarr_store
from ndzarr.stores.local import LocalStore
from ndzarr.stores.mapping import MappingStore
from ndzarr.stores.memory import MemoryStore

_BUILTIN = {
    "cached": "ndzarr.stores.cached:CachedStore",
    "fault": "ndzarr.stores.fault:FaultStore",
    "fsspec": "ndzarr.stores.fsspec:FsspecStore",
    "file": "ndzarr.stores.local:LocalStore",
    "mapping": "ndzarr.stores.mapping:MappingStore",
    "mongodb": "ndzarr.stores.gridfs:GridFSStore",
    "mongodb+srv": "ndzarr.stores.gridfs:GridFSStore",
    "memory": "ndzarr.stores.memory:MemoryStore",
    "prefix": "ndzarr.stores.prefix:PrefixStore",
    "readonly": "ndzarr.stores.readonly:ReadOnlyStore",
    "recording": "ndzarr.stores.recording:RecordingStore",
    "replay": "ndzarr.stores.recording:ReplayStore",
    "obstore": "ndzarr.stores.objectstore:ObjectStore",
    "postgres": "ndzarr.stores.sql:SQLStore",
    "postgresql": "ndzarr.stores.sql:SQLStore",
    "sqlite": "ndzarr.stores.sql:SQLStore",
    "zarr": "ndzarr.stores.zarr_python:ZarrPythonStore",
    "zip": "ndzarr.stores.zip:ZipStore",
}
_REQUIRED = ("get", "set", "delete", "list")
# What `open` takes -> what ZipStore takes. Not "w" -> "w": `open(mode="w", path="a")` replaces the node "a", not the
# archive.
_ZIP_MODES = {"r": "r", "r+": "a", "a": "a", "w": "a", "w-": "a"}

_S = TypeVar("_S", bound=type[Store])


def _check(cls: Any) -> None:
    if not isinstance(cls, type):
        raise ArgumentError(f"cannot register {cls!r} as a store: expected a class", found=cls)
    missing = [n for n in _REQUIRED if not callable(getattr(cls, n, None)) or getattr(cls, n) is getattr(Store, n)]
    if missing:
        raise ArgumentError(f"cannot register {cls!r} as a store: it does not define {', '.join(missing)}", found=missing)
    if not issubclass(cls, Store):
        raise ArgumentError(f"cannot register {cls!r} as a store: expected a subclass of ndzarr.Store", found=cls)
    if inspect.isabstract(cls):
        abstract = sorted(getattr(cls, "__abstractmethods__", ()))
        raise ArgumentError(f"cannot register {cls!r} as a store: it does not define {', '.join(abstract)}", found=abstract)


registry = Registry("store", _BUILTIN, check=_check, name_of=lambda cls: getattr(cls, "scheme", None))


@dataclass(frozen=True, slots=True)
class StoreInfo:
    """What `stores()` tells of one.

    name, description, cls: what it is; cls is None, and there is an `error`, where a plug-in cannot be loaded.
    conditional, tagged, batched, exclusive, transactional: what `Store` says of these.
    """

    name: str
    cls: type[Store] | None
    description: str
    conditional: bool = False
    tagged: bool = False
    batched: bool = False
    exclusive: bool = False
    transactional: bool = False
    error: str | None = None


@overload
def register_store(cls: _S, *, name: str | None = None, replace: bool = False) -> _S: ...
@overload
def register_store(cls: None = None, *, name: str | None = None, replace: bool = False) -> Callable[[_S], _S]: ...
def register_store(cls: _S | None = None, *, name: str | None = None, replace: bool = False) -> _S | Callable[[_S], _S]:
    """Register a subclass of `Store` under `name`, by default its `scheme`, and return it: also usable as a decorator.

    `open("name://rest")` then makes it by `cls.from_url(url, **options)` where it has that, else by `cls(rest,
    **options)`. Raises ArgumentError for a class that lacks one of get, set, delete and list, and for a name that is
    taken unless `replace` is true.

    >>> import ndzarr
    >>> class Shelf(ndzarr.MemoryStore):
    ...     scheme = "shelf"
    >>> ndzarr.register_store(Shelf) is ndzarr.get_store("shelf")
    True
    >>> ndzarr.unregister_store("shelf")
    """
    if cls is None:
        return lambda cls: register_store(cls, name=name, replace=replace)
    registry.register(cls, name=name, replace=replace)
    return cls


def unregister_store(name: str) -> None:
    """Undo `register_store`. Raises ArgumentError for a name that was not registered.

    >>> import ndzarr
    >>> _ = ndzarr.register_store(ndzarr.MemoryStore, name="attic")
    >>> ndzarr.unregister_store("attic")
    >>> "attic" in ndzarr.stores()
    False
    """
    registry.unregister(name)


def get_store(name: str) -> type[Store]:
    """The store class of that name. Raises ArgumentError where there is none.

    >>> import ndzarr
    >>> ndzarr.get_store("sqlite")
    <class 'ndzarr.stores.sql.SQLStore'>
    """
    cls: type[Store] | None = registry.find(name)
    if cls is None:
        raise ArgumentError(f"no store {name!r}; there are {', '.join(registry.names())}", found=name)
    return cls


def stores() -> dict[str, StoreInfo]:
    """Every store by name: built in, registered, or installed as a plug-in."""
    return {name: _info(name) for name in registry.names()}


def _info(name: str) -> StoreInfo:
    try:
        cls = get_store(name)
    except Exception as error:  # somebody else's module: whatever it raises, the rest of the list is still wanted
        return StoreInfo(name, None, "", error=f"{type(error).__name__}: {error}")
    line = (inspect.getdoc(cls) or "").partition("\n")[0]
    return StoreInfo(name, cls, line, cls.conditional, cls.tagged, cls.batched, cls.exclusive, cls.transactional)


def resolve(target: Any, mode: str = "r", **options: Any) -> Store:
    """The store that `target` stands for.

    A Store is itself; None a new MemoryStore; a URL goes by its scheme, to fsspec or obstore where no store is registered for
    it (`storage="fsspec"` or "obstore" chooses one, for any scheme); another str or os.PathLike is a ZipStore when
    it is a regular file or ends in ".zip", else a LocalStore; any mapping becomes a MappingStore, a store of zarr-python
    a ZarrPythonStore. `options` are the store's own. Nothing is created before it is written to, and nothing but an archive
    opened before it is read.

    Raises ArgumentError for anything else, for an unknown scheme or option; NodeNotFoundError for an archive that is
    not there in mode "r".
    """
    if mode not in _ZIP_MODES:
        raise ArgumentError(f"mode is {mode!r}, expected one of {', '.join(_ZIP_MODES)}", field="mode", found=mode)
    if isinstance(target, Store):
        if options:
            raise ArgumentError(
                f"{', '.join(options)}: what the call itself has no argument for is an option of a store, and makes no sense "
                "with one that is open",
                found=target,
            )
        target.settle()
        return target
    if target is None:
        return _make(MemoryStore, MemoryStore, (), options)
    if isinstance(getattr(target, "store", None), Store):  # an array or a group; which is a mapping, and not of bytes
        raise ArgumentError(
            f"expected a store, found {target!r}, which is open: use its own methods, or pass its .store and "
            f"path={target.path!r}",
            found=target,
        )
    if isinstance(target, Mapping):  # an empty one too
        return _make(MappingStore, MappingStore, (target,), options)
    if is_zarr_store(target):
        from ndzarr.stores.zarr_python import ZarrPythonStore, over  # asyncio comes along

        return _make(ZarrPythonStore, over, (target,), options)
    if isinstance(target, (str, os.PathLike)):
        path = os.fspath(target)
        if isinstance(path, str):
            return _by_url(path, mode, options) if "://" in path and isinstance(target, str) else _by_path(path, mode, options)
    raise ArgumentError(
        f"cannot open {target!r}: expected a path, a URL, a Store of ndzarr or zarr-python, a mapping of str to bytes, or "
        f"None, found a {type(target).__name__}",
        found=target,
    )


def _by_path(path: str, mode: str, options: dict[str, Any]) -> Store:
    if os.path.isfile(path) or (path.lower().endswith(".zip") and not os.path.isdir(path)):
        cls = get_store("zip")
        return _make(cls, cls, (path,), {"mode": _ZIP_MODES[mode], **options})
    return _make(LocalStore, LocalStore, (path,), options)


def _by_url(url: str, mode: str, options: dict[str, Any]) -> Store:
    scheme, _, rest = url.partition("://")
    # fsspec's chains go by more than one scheme; "zip://x::s3://..." is one.
    cls = None if "::" in url or "storage" in options else registry.find(scheme)
    if cls is None:
        from ndzarr.stores.remote import known, remote

        if not known(url):
            raise ArgumentError(
                f"cannot open {url!r}: no store for the scheme {scheme!r} is built in, registered or installed; there are "
                f"{', '.join(registry.names())}, and what fsspec knows",
                found=scheme,
            )
        return remote(url, **options)
    if cls is LocalStore:
        return _by_path(LocalStore.from_url(url).root, mode, options)
    if scheme == "zip":
        return _make(cls, cls, (rest,), {"mode": _ZIP_MODES[mode], **options})
    if scheme in _BUILTIN and cls.scheme is None:
        raise ArgumentError(f"cannot open {url!r}: a {cls.__name__} is made from an object, not from a URL", found=url)
    from_url = getattr(cls, "from_url", None)
    return _make(cls, cls, (rest,), options) if from_url is None else _make(cls, from_url, (url,), options)


def _make(cls: type[Store], factory: Callable[..., Any], arguments: tuple[Any, ...], options: dict[str, Any]) -> Store:
    try:
        store: Store = factory(*arguments, **options)
    except TypeError as error:
        # Did the call not fit, or is it something inside? `from_url` may hand its options on: ask the class too.
        for function, given in ((factory, arguments), (cls, ())):
            try:
                inspect.signature(function).bind_partial(*given, **options)
            except TypeError as reason:
                raise ArgumentError(
                    f"cannot make a {cls.__name__}: {reason} (arguments that the call itself does not have go to the store)",
                    found=options,
                ) from error
        raise
    return store
