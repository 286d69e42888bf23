"""The registry that codecs and stores share."""

from __future__ import annotations

import importlib
import importlib.metadata
import multiprocessing
import os
import sys
import textwrap
import threading

import pytest

from ndzarr.errors import ArgumentError
from ndzarr.plugins import Registry, configured_plugins


def check(cls) -> None:
    if not hasattr(cls, "name"):
        raise ArgumentError(f"{cls!r} is no thing")


def make(**builtin: str) -> Registry:
    return Registry("thing", builtin, check=check, name_of=lambda cls: cls.name)


class Thing:
    name = "thing"


class Other:
    name = "other"


def test_order_of_look_up():
    registry = make(decoder="json:JSONDecoder", thing=f"{__name__}:Thing")
    assert registry.find("thing") is Thing
    assert registry.find("decoder").__name__ == "JSONDecoder"
    assert registry.find("nothing") is None
    assert registry.register(Other, name="thing", replace=True) == "thing"
    assert registry.find("thing") is Other
    registry.unregister("thing")
    assert registry.find("thing") is Thing
    assert registry.register(Other) == "other"
    assert list(registry.names()) == ["decoder", "other", "thing"]


def test_knows_without_looking_further(monkeypatch):
    registry = make(thing=f"{__name__}:Thing", broken="no_such_module:Thing")
    monkeypatch.setattr("ndzarr.plugins._entry_points", None)
    assert registry.knows("thing")
    assert registry.knows("broken")
    assert not registry.knows("other")
    registry.register(Other)
    assert registry.knows("other")


def test_names_are_refused():
    registry = make(thing=f"{__name__}:Thing")
    with pytest.raises(ArgumentError, match="thing 'thing': the name is taken"):
        registry.register(Thing)
    with pytest.raises(ArgumentError, match="is no thing"):
        registry.register(object)
    for name in (None, 5):
        with pytest.raises(ArgumentError, match="declares no name"):
            registry.register(type("Unnamed", (), {"name": name}))
    with pytest.raises(ArgumentError, match="it is built in"):
        registry.unregister("thing")
    with pytest.raises(ArgumentError, match="it is not registered"):
        registry.unregister("other")


@pytest.mark.parametrize(
    ("target", "words"),
    [
        ("no_such_module:Thing", "No module named"),
        ("json:NoSuchThing", "NoSuchThing"),
        ("json", "expected 'module:Class'"),
        (":Thing", "expected 'module:Class'"),
        ("json:", "expected 'module:Class'"),
    ],
)
def test_targets_that_do_not_load(target, words):
    with pytest.raises(ArgumentError, match=words):
        make(thing=target).find("thing")


def test_environment(monkeypatch):
    monkeypatch.setenv("NDZARR_PLUGINS", f" {__name__}:Thing ,,json:JSONDecoder,")
    assert configured_plugins() == [f"{__name__}:Thing", "json:JSONDecoder"]
    registry = make()
    assert registry.find("thing") is Thing
    assert list(registry.names()) == ["thing"]  # the decoder is none of this kind
    monkeypatch.setenv("NDZARR_PLUGINS", f"{__name__}:Other")
    assert registry.find("other") is None  # read once
    registry.reload()
    assert registry.find("other") is Other
    assert registry.find("thing") is None


def test_configuration_file(monkeypatch, tmp_path):
    path = tmp_path / "ndzarr.toml"
    monkeypatch.delenv("NDZARR_PLUGINS", raising=False)
    monkeypatch.setenv("NDZARR_CONFIG", str(path))
    with pytest.raises(ArgumentError, match="which NDZARR_CONFIG names"):
        configured_plugins()
    path.write_text(f'[plugins]\nany = "{__name__}:Thing"\n[other]\nx = 1\n')
    assert configured_plugins() == [f"{__name__}:Thing"]
    assert make().find("thing") is Thing
    path.write_text("")
    assert configured_plugins() == []
    for text in ("plugins = 5", "[plugins]\nx = 5\n"):
        path.write_text(text)
        with pytest.raises(ArgumentError, match=r"\[plugins\]"):
            configured_plugins()
    path.write_text("[plugins")
    with pytest.raises(ArgumentError, match="cannot read"):
        configured_plugins()


def installed(tmp_path, monkeypatch, points: str, source: str) -> None:
    (tmp_path / "installed_thing.py").write_text(textwrap.dedent(source))
    info = tmp_path / "installed_thing-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: installed-thing\nVersion: 1\n")
    (info / "entry_points.txt").write_text(f"[ndzarr.things]\n{points}\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    importlib.invalidate_caches()
    monkeypatch.delitem(sys.modules, "installed_thing", raising=False)


def test_entry_points_load_when_asked_for(tmp_path, monkeypatch):
    canary = tmp_path / "canary"
    source = f"""
        open({str(canary)!r}, "a").close()
        class Installed:
            name = "installed"
        WRONG = 5
    """
    installed(tmp_path, monkeypatch, "installed = installed_thing:Installed\nwrong = installed_thing:WRONG", source)
    registry = make()
    assert list(registry.names()) == ["installed", "wrong"]
    assert not registry.knows("installed")
    assert not canary.exists()
    cls = registry.find("installed")
    assert cls.__name__ == "Installed"
    assert canary.exists()
    assert registry.find("installed") is cls
    assert registry.knows("installed")
    with pytest.raises(ArgumentError, match="is no thing"):
        registry.find("wrong")


def test_what_is_installed_is_not_looked_through_for_every_unknown_name(tmp_path, monkeypatch):
    """A hostile store may name as many as it likes."""
    looks = []
    real = importlib.metadata.entry_points

    def look(**match: str) -> object:
        looks.append(match)
        return real(**match)

    monkeypatch.setattr(importlib.metadata, "entry_points", look)
    registry = make()
    assert [registry.find(f"unknown{n}") for n in range(50)] == [None] * 50
    assert len(looks) <= 1
    installed(tmp_path, monkeypatch, "unknown7 = installed_thing:Installed", "class Installed:\n    name = 'unknown7'\n")
    assert registry.find("unknown7").__name__ == "Installed"
    assert len(looks) <= 2


def test_a_module_that_registers_while_it_is_imported_does_not_lock_up(tmp_path, monkeypatch):
    """One thread holds the import lock of the module and wants the registry; the other looks the module's class up."""
    source = """
        import time, threading
        started = threading.Event()
        import registering_hook
        registering_hook.importing.set()
        time.sleep(0.2)
        class Slow:
            name = "slow"
        registering_hook.registry.register(Slow, replace=True)
    """
    (tmp_path / "slow_thing.py").write_text(textwrap.dedent(source))
    monkeypatch.syspath_prepend(str(tmp_path))
    registry = make(slow="slow_thing:Slow")
    hook = type(sys)("registering_hook")
    hook.importing, hook.registry = threading.Event(), registry
    monkeypatch.setitem(sys.modules, "registering_hook", hook)
    monkeypatch.delitem(sys.modules, "slow_thing", raising=False)
    importing = threading.Thread(target=importlib.import_module, args=("slow_thing",), daemon=True)
    finding = threading.Thread(target=registry.find, args=("slow",), daemon=True)
    importing.start()
    assert hook.importing.wait(10)
    finding.start()
    importing.join(10)
    finding.join(10)
    assert not importing.is_alive()
    assert not finding.is_alive()
    assert registry.find("slow").__name__ == "Slow"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork on this system")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_child_of_fork_is_not_locked_out():
    registry = make(thing=f"{__name__}:Thing")
    held, release = threading.Event(), threading.Event()

    def hold() -> None:
        with registry._lock:
            held.set()
            release.wait(30)

    holder = threading.Thread(target=hold)
    holder.start()
    held.wait(10)
    child = multiprocessing.get_context("fork").Process(target=registry.find, args=("thing",))
    child.start()
    child.join(20)
    release.set()
    holder.join()
    assert child.exitcode == 0
