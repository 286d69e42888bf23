"""A registry of named classes: built in, registered at run time, or found by entry point, variable or file.

Codecs and stores each keep one `Registry`. Nothing is imported before its name is asked for, and a name never reaches the
import system: only a table, a registration, an installed distribution or the user's own configuration can say which module a
name stands for. Metadata is untrusted (promise P13).
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from importlib import import_module
from typing import Any

from ndzarr.errors import ArgumentError


class Registry:
    """Names of one kind of plug-in -> classes. Every method may be called from any thread.

    A name is looked up in this order: run-time registrations, the built-in table, then the plug-ins that the user's
    configuration names (`NDZARR_PLUGINS`, `NDZARR_CONFIG`), then entry points. So nothing installed can replace a built-in
    by accident; `register(..., replace=True)` does it on purpose.
    """

    def __init__(
        self,
        kind: str,
        builtin: Mapping[str, str],
        *,
        check: Callable[[Any], None],
        name_of: Callable[[Any], str | None],
    ) -> None:
        """`builtin` maps a name to "module:Class"; `check` raises ArgumentError for a class that is no plug-in of this kind;
        `name_of` gives the name that a class declares for itself."""
        self.kind = kind
        self.group = f"ndzarr.{kind}s"
        self._builtin = builtin
        self._check = check
        self._name_of = name_of
        self._lock = threading.RLock()
        self._registered: dict[str, Any] = {}
        #: Counts the changes of what names stand for.
        self.version = 0
        self._loaded: dict[str, Any] = {}
        self._configured: dict[str, Any] | None = None
        # The lock must not be copied held into a child process.
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=self._after_fork)

    def _after_fork(self) -> None:
        self._lock = threading.RLock()

    def register(self, cls: Any, *, name: str | None = None, replace: bool = False) -> str:
        """Register `cls` under `name` (by default the one it declares) and return that name."""
        self._check(cls)
        name = name or self._name_of(cls)
        if not isinstance(name, str) or not name:
            raise ArgumentError(f"cannot register {self.kind} {cls!r}: it declares no name; pass name=", found=name)
        with self._lock:
            if not replace and (name in self._registered or name in self._builtin):
                raise ArgumentError(
                    f"cannot register {self.kind} {name!r}: the name is taken; pass replace=True to replace it",
                    found=name,
                )
            self._registered[name] = cls
            self.version += 1
        return name

    def unregister(self, name: str) -> None:
        """Undo `register`. A built-in of that name is seen again; it cannot itself be removed."""
        with self._lock:
            if name not in self._registered:
                what = "is built in" if name in self._builtin else "is not registered"
                raise ArgumentError(f"cannot unregister {self.kind} {name!r}: it {what}", found=name)
            del self._registered[name]
            self.version += 1

    def find(self, name: str) -> Any | None:
        """The class registered under `name`, imported now if need be, or None."""
        with self._lock:
            for table in (self._registered, self._loaded):
                if name in table:
                    return table[name]
            target = self._builtin.get(name)
        # Modules are imported without the lock: one that registers a class while another thread imports it would wait for
        # the lock with the import lock held, and the two threads for each other. Loading twice does no harm.
        cls = self._plugins().get(name) if target is None else _load(target)
        if cls is None:
            point = next(iter(_entry_points(group=self.group, name=name)), None)
            if point is None:
                return None
            try:
                cls = point.load()
            except Exception as error:  # whatever somebody else's module does when it is imported
                raise ArgumentError(f"cannot load plug-in {point.value!r}: {error}", found=point.value) from error
            self._check(cls)
        with self._lock:
            return self._registered.get(name) or self._loaded.setdefault(name, cls)

    def knows(self, name: str) -> bool:
        """Whether `name` is built in, registered or loaded: what `find` answers without looking at what is installed."""
        with self._lock:
            return name in self._registered or name in self._builtin or name in self._loaded

    def names(self) -> Iterator[str]:
        """Every name that `find` would answer, sorted."""
        names = set(self._plugins())
        with self._lock:
            names.update(self._registered, self._builtin)
        names.update(point.name for point in _entry_points(group=self.group))
        return iter(sorted(names))

    def _plugins(self) -> dict[str, Any]:
        """The classes of this kind among those that the environment and the configuration file name."""
        configured = self._configured
        if configured is None:
            configured = {}
            for target in configured_plugins():
                cls = _load(target)
                try:
                    self._check(cls)
                except ArgumentError:
                    continue  # a plug-in of the other kind
                name = self._name_of(cls)
                if name:
                    configured[name] = cls
            self._configured = configured
        return configured

    def reload(self) -> None:
        """Forget what the environment and the configuration file said; they are read again when next needed."""
        with self._lock:
            self._configured = None
            self._loaded.clear()
            self.version += 1


#: Group -> when it was looked for, and its entry points. A look takes 30 ms where many distributions are installed, and a
#: hostile store may name as many codecs that nobody has as it likes.
_points: dict[str, tuple[Any, Any]] = {}


def _entry_points(group: str, name: str | None = None) -> Any:
    """The entry points of a group that are installed now, or those of them that have a name."""
    # Imported here since it brings zipfile, email and csv along, which nobody needs to make an array in memory.
    from importlib.metadata import entry_points

    now = [(path, _changed_ns(path)) for path in sys.path]
    then, found = _points.get(group, (None, None))
    if then != now:
        found = entry_points(group=group)
        _points[group] = now, found
    return found if name is None else found.select(name=name)


def _changed_ns(path: str) -> int | None:
    """When something was installed into or removed from a folder last."""
    try:
        return os.stat(path or ".").st_mtime_ns
    except OSError:
        return None


def configured_plugins() -> list[str]:
    """The "module:Class" targets in `NDZARR_PLUGINS`, then in `[plugins]` of the TOML file that `NDZARR_CONFIG` names.

    The table's values are targets, its keys are for the reader: `[plugins]`, then `mine = "my_package.stores:MyStore"`.
    """
    targets = [t.strip() for t in os.environ.get("NDZARR_PLUGINS", "").split(",") if t.strip()]
    path = os.environ.get("NDZARR_CONFIG")
    if path:
        import tomllib

        try:
            with open(path, "rb") as file:
                table = tomllib.load(file).get("plugins", {})
        except (OSError, tomllib.TOMLDecodeError) as error:
            raise ArgumentError(f"cannot read {path!r}, which NDZARR_CONFIG names: {error}", found=path) from error
        if not isinstance(table, dict) or not all(isinstance(t, str) for t in table.values()):
            raise ArgumentError(f"[plugins] in {path!r} must be a table of 'module:Class' strings", found=table)
        targets.extend(table.values())
    return targets


def _load(target: str) -> Any:
    module, _, attribute = target.partition(":")
    if not module or not attribute:
        raise ArgumentError(f"cannot load plug-in {target!r}: expected 'module:Class'", found=target)
    try:
        return getattr(import_module(module), attribute)
    except (ImportError, AttributeError) as error:
        raise ArgumentError(f"cannot load plug-in {target!r}: {error}", found=target) from error
