"""Names -> codecs: registration, plug-ins, numcodecs, and names that must not run anything."""

from __future__ import annotations

import importlib.metadata
import sys
import textwrap
import threading

import numcodecs
import numcodecs.registry
import numpy as np
import pytest

from ndzarr._typing import CodecSpec
from ndzarr.codecs import registry
from ndzarr.codecs.base import ArrayBytesCodec, BytesBytesCodec, ChunkSpec
from ndzarr.codecs.pipeline import build
from ndzarr.codecs.registry import (
    CodecInfo,
    codecs,
    create_codec,
    get_codec,
    kind_of,
    register_codec,
    unregister_codec,
)
from ndzarr.errors import ArgumentError


class Xor(BytesBytesCodec):
    name = "xor"
    description = "every byte against a mask"
    version = "2"

    def __init__(self, mask: int = 1) -> None:
        self.mask = mask

    @classmethod
    def from_spec(cls, configuration):
        return cls(**configuration)

    def configuration(self):
        return {"mask": self.mask}

    def encode(self, data):
        return bytes(byte ^ self.mask for byte in data)

    def decode(self, data, *, size, limit, out=None):
        return self.encode(data)


@pytest.fixture
def clean():
    """Undo what a test registers."""
    before = dict(registry._registry._registered)
    yield
    registry._registry._registered.clear()
    registry._registry._registered.update(before)
    registry._registry.reload()


def round_trip(name: str, **configuration) -> None:
    array = np.arange(50, dtype="<i4")
    pipeline = build([CodecSpec(name, configuration)], ChunkSpec(array.shape, array.dtype))
    encoded = bytes(pipeline.encode(array))
    assert encoded != array.tobytes()
    assert np.array_equal(pipeline.decode(encoded), array)


@pytest.mark.usefixtures("clean")
def test_register_ours():
    assert register_codec(Xor) is Xor
    assert get_codec("xor") is Xor
    assert get_codec("numcodecs.xor") is Xor
    assert codecs()["xor"] == CodecInfo("xor", "bytes->bytes", "2", "every byte against a mask", True)
    round_trip("xor", mask=9)
    with pytest.raises(ArgumentError, match="'xor': the name is taken; pass replace=True"):
        register_codec(Xor)
    register_codec(Xor, replace=True)
    register_codec(Xor, name="other")
    assert get_codec("other") is Xor
    unregister_codec("xor")
    with pytest.raises(ArgumentError, match="unknown codec 'xor'"):
        get_codec("xor")
    with pytest.raises(ArgumentError, match="'xor': it is not registered"):
        unregister_codec("xor")


@pytest.mark.usefixtures("clean")
def test_register_as_decorator():
    @register_codec
    class Plain(Xor):
        name = "plain"

    @register_codec(name="named", replace=True)
    class Named(Xor):
        pass

    assert get_codec("plain") is Plain
    assert get_codec("named") is Named


@pytest.mark.usefixtures("clean")
def test_builtins_are_replaced_on_purpose_only():
    with pytest.raises(ArgumentError, match="taken"):
        register_codec(Xor, name="zlib")
    register_codec(Xor, name="zlib", replace=True)
    assert get_codec("zlib") is get_codec("numcodecs.zlib") is Xor
    unregister_codec("zlib")
    assert get_codec("zlib").__name__ == "ZlibCodec"
    with pytest.raises(ArgumentError, match="is built in"):
        unregister_codec("zlib")


class Rot:
    """Adds to every byte.

    As numcodecs users write them, without its base class.
    """

    codec_id = "rot"

    def __init__(self, by=1):
        self.by = by

    @classmethod
    def from_config(cls, config):
        return cls(**config)

    def encode(self, buf):
        return (np.ascontiguousarray(buf).view("u1") + np.uint8(self.by)).tobytes()

    def decode(self, buf, out=None):
        return np.frombuffer(buf, "u1") - np.uint8(self.by)


@pytest.mark.usefixtures("clean")
def test_register_a_numcodecs_class():
    assert register_codec(Rot) is Rot
    wrapped = get_codec("rot")
    assert wrapped is get_codec("numcodecs.rot")
    assert codecs()["rot"] == CodecInfo("rot", "bytes->bytes", "1", "Adds to every byte.", True)
    round_trip("rot", by=3)
    codec = create_codec(CodecSpec("rot", {"by": 5}))
    assert codec.configuration() == {"by": 5}
    assert codec == create_codec(CodecSpec("numcodecs.rot", {"by": 5}))
    assert codec != create_codec(CodecSpec("rot", {"by": 6}))
    with pytest.raises(ArgumentError, match=r"codec 'rot' does not take the configuration \{'no': 1\}: .*'no'"):
        create_codec(CodecSpec("rot", {"no": 1}))


@pytest.mark.usefixtures("clean")
def test_a_codec_of_ours_that_raises_what_it_likes():
    register_codec(Xor)
    with pytest.raises(ArgumentError, match="codec 'xor' does not take the configuration"):
        create_codec(CodecSpec("xor", {"no": 1}))


@pytest.mark.usefixtures("clean")
def test_a_numcodecs_class_may_raise_our_errors():
    class Strict(Rot):
        codec_id = "strict"

        @classmethod
        def from_config(cls, config):
            raise ArgumentError("in its own words", codec="strict")

    register_codec(Strict)
    with pytest.raises(ArgumentError, match=r"^in its own words$"):
        create_codec(CodecSpec("strict"))


class Half(BytesBytesCodec):
    name = "half"


class Nameless(Xor):
    name = None


@pytest.mark.parametrize(
    ("cls", "words"),
    [
        (Half, "does not define configuration, decode, encode, from_spec"),
        (ArrayBytesCodec, "does not define"),
        (Nameless, "declares no name; pass name="),
        (dict, "expected a subclass"),
        (5, "expected a subclass"),
        (Rot(), "expected a subclass"),
        (type("NoId", (), {"encode": 1, "decode": 1}), "expected a subclass"),
    ],
)
def test_what_is_no_codec_is_not_registered(cls, words):
    with pytest.raises(ArgumentError, match=words):
        register_codec(cls)


def test_list_of_codecs():
    found = codecs()
    assert list(found) == sorted(found)
    assert {"zstd", "blosc", "bytes", "numcodecs.packbits", "vlen-utf8", "pickle", "none"} <= set(found)
    assert (found["packbits"].kind, found["numcodecs.packbits"].kind) == ("array->bytes", "array->array")
    for name, info in found.items():
        assert info.name == name
        assert info.kind in ("array->array", "array->bytes", "bytes->bytes")
        assert info.kind == kind_of(name)
        assert info.description
        assert not info.description.endswith(".") or name in numcodecs.registry.codec_registry
    # Only what numcodecs alone has comes through the adapter.
    assert set(numcodecs.registry.codec_registry) <= set(found)


def test_packbits_is_not_v3s():
    assert get_codec("numcodecs.packbits").__name__ == "NumcodecsPackbitsCodec"
    assert get_codec("packbits").__name__ == "PackbitsCodec"


@pytest.mark.parametrize(
    "name", ["", "numcodecs.", "os", "ndzarr.codecs.zlib:ZlibCodec", "zlib:ZlibCodec", "..", "\0", 5, None]
)
def test_unknown_names(name):
    with pytest.raises(ArgumentError, match="unknown codec"):
        get_codec(name)


def test_codecs_that_numcodecs_has_loaded():
    numcodecs.registry.codec_registry["rot"] = Rot
    try:
        assert get_codec("rot") is get_codec("numcodecs.rot")
        assert "rot" in codecs()
        round_trip("numcodecs.rot", by=3)
    finally:
        del numcodecs.registry.codec_registry["rot"]


def distribution(tmp_path, monkeypatch, group: str, point: str, source: str) -> None:
    """An installed package with one entry point."""
    (tmp_path / "plugged.py").write_text(textwrap.dedent(source))
    info = tmp_path / "plugged-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: plugged\nVersion: 1\n")
    (info / "entry_points.txt").write_text(f"[{group}]\n{point}\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    importlib.invalidate_caches()
    monkeypatch.delitem(sys.modules, "plugged", raising=False)


SOURCE = """
    from test_codecs_registry import Rot, Xor

    class Plugged(Xor):
        name = "plugged"

    class Foreign(Rot):
        codec_id = "foreign"
"""


@pytest.mark.usefixtures("clean")
def test_entry_points(tmp_path, monkeypatch):
    distribution(tmp_path, monkeypatch, "ndzarr.codecs", "plugged = plugged:Plugged\nforeign = plugged:Foreign", SOURCE)
    assert "plugged" in codecs()
    assert get_codec("plugged").__name__ == "Plugged"
    assert get_codec("numcodecs.plugged") is get_codec("plugged")
    round_trip("plugged", mask=4)
    round_trip("foreign", by=4)
    assert get_codec("foreign") is get_codec("numcodecs.foreign")


@pytest.mark.usefixtures("clean")
def test_entry_points_that_do_not_load(tmp_path, monkeypatch):
    points = "gone = no_such_module:Codec\nwrong = plugged:Rot.by\nzlib = no_such_module:Codec\nnot = plugged:NOT"
    distribution(tmp_path, monkeypatch, "ndzarr.codecs", points, SOURCE + "\n    NOT = 5\n")
    found = codecs()
    assert not found["gone"].available
    assert found["gone"].description.startswith("cannot be loaded: ")
    assert not found["not"].available
    assert found["zlib"].available  # what is installed does not replace what is built in


@pytest.mark.usefixtures("clean")
def test_entry_points_of_numcodecs_are_not_loaded(tmp_path, monkeypatch):
    """Metadata names the codec: it must not be the one to decide that a module is imported (promise P13)."""
    canary = tmp_path / "canary"
    distribution(tmp_path, monkeypatch, "numcodecs.codecs", "evil = plugged:Evil", f"open({str(canary)!r}, 'w').close()")
    numcodecs.registry.run_entrypoints()
    try:
        assert "evil" in numcodecs.registry.entries
        for name in ("evil", "numcodecs.evil"):
            with pytest.raises(ArgumentError, match="unknown codec"):
                get_codec(name)
        assert "evil" not in codecs()
        assert not canary.exists()
    finally:
        monkeypatch.undo()
        numcodecs.registry.run_entrypoints()


@pytest.mark.usefixtures("clean")
def test_environment_and_configuration_file(tmp_path, monkeypatch):
    source = textwrap.dedent(SOURCE).replace("plugged", "by_variable").replace("foreign", "by_file")
    (tmp_path / "mine.py").write_text(source)
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "ndzarr.toml").write_text('[plugins]\nany_word = "mine:Foreign"\n')
    monkeypatch.setenv("NDZARR_PLUGINS", "mine:Plugged, ")
    monkeypatch.setenv("NDZARR_CONFIG", str(tmp_path / "ndzarr.toml"))
    registry._registry.reload()
    assert get_codec("by_variable").__name__ == "Plugged"
    round_trip("numcodecs.by_file", by=2)
    assert {"by_variable", "by_file"} <= set(codecs())


@pytest.mark.usefixtures("clean")
def test_threads_that_register():
    classes = [type(f"Xor{n}", (Xor,), {"name": f"xor{n}"}) for n in range(200)]
    taken, barrier = [], threading.Barrier(8)

    def work(start: int) -> None:
        barrier.wait()
        for cls in classes[start::4]:  # two threads want each name
            try:
                register_codec(cls)
            except ArgumentError:
                taken.append(cls)
            assert get_codec(cls.name) is cls
            assert get_codec("zstd").name == "zstd"
            create_codec(CodecSpec("numcodecs.delta", {"dtype": "<i4"}))

    threads = [threading.Thread(target=work, args=(n % 4,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
        assert not thread.is_alive()
    assert len(taken) == 200
    assert {cls.name for cls in classes} <= set(codecs())
