"""Names of keys and nodes, and chunk coordinates <-> key."""

from __future__ import annotations

import timeit

import pytest
from hypothesis import given, strategies as st

from ndzarr.errors import ArgumentError
from ndzarr.keys import KeyEncoding, check_folder, check_key, check_prefix, is_key, join, normalize_path
from ndzarr.testing.stores import HOSTILE_KEYS, HOSTILE_PREFIXES

GOOD = [
    "a",
    "0",
    "0.0",
    "temp/sst/3.0",
    ".zarray",
    "a/.zattrs",
    "zarr.json",
    "c/0/1",
    "...",
    "a/..b",
    "a/.b/c..",
    "x" * 255,
    ("x" * 255 + "/") * 9 + "y",
    "\N{EURO SIGN}" * 85,
    "a b",
    "a%2e%2e/b",
    "~",
    "-",
    "a/-rf",
    "AB:c",
    "1:2",
    ".ndzarrs",
    "a.ndzarr",
    ".ndzarr-tm",
    "a.ndzarr-tmp-",
    "\N{GRINNING FACE}/\u202e",
    "$ne",
    "'; drop table x --",
    "COM1",
]


@pytest.mark.parametrize("key", GOOD)
def test_a_good_key_is_itself(key: str) -> None:
    assert check_key(key) is key
    assert check_prefix(key) is key
    assert is_key(key)
    assert check_prefix(key + "/") == key + "/"
    assert check_folder(key + "/") == key + "/"


@pytest.mark.parametrize("key", HOSTILE_KEYS)
def test_a_hostile_key_is_refused_by_name(key: str) -> None:
    assert not is_key(key)
    with pytest.raises(ArgumentError) as caught:
        check_key(key)
    assert repr(key) in str(caught.value)
    assert caught.value.key == key


@pytest.mark.parametrize(
    ("key", "reason"),
    [
        ("", "empty"),
        ("/a", "absolute"),
        ("a/../b", "'..'"),
        ("./a", "'.'"),
        ("a//b", "empty segment"),
        ("a/", "empty segment"),
        ("a\\b", "backslash"),
        ("a\x00", "control character '\\x00'"),
        ("a\x9f", "control character '\\x9f'"),
        ("C:/a", "drive letter"),
        ("a/c:b", "drive letter"),
        ("x" * 256, "256 bytes"),
        ("\N{EURO SIGN}" * 86, "258 bytes"),
        ("\ud800", "surrogate"),
        ("a/.ndzarr-tmp-h-1-1", "temporary"),
        (".ndzarr/locks/stripes", "own files"),
        (3, "is a int"),
        (None, "is a NoneType"),
        (b"a", "is a bytes"),
    ],
)
def test_the_message_gives_the_reason(key: str, reason: str) -> None:
    with pytest.raises(ArgumentError) as caught:
        check_key(key)
    assert reason in str(caught.value)


def test_prefixes() -> None:
    assert check_prefix("") == ""
    assert check_folder("") == ""
    assert check_prefix("a/b/") == "a/b/"
    for prefix in HOSTILE_PREFIXES:
        with pytest.raises(ArgumentError, match="prefix"):
            check_prefix(prefix)
    with pytest.raises(ArgumentError, match="names no folder"):
        check_folder("a")
    with pytest.raises(ArgumentError):
        check_prefix(None)


@given(st.text(st.characters(codec=None), max_size=12))
def test_a_key_never_names_anything_above_it(text: str) -> None:
    # The definition, said another way than the code says it.
    segments = text.split("/")
    good = (
        all(s not in ("", ".", "..") for s in segments)
        and not any(c == "\\" or ord(c) < 32 or 127 <= ord(c) < 160 or 0xD800 <= ord(c) < 0xE000 for c in text)
        and not any(s[0].isascii() and s[0].isalpha() and s[1:2] == ":" for s in segments)
        and not any(s == ".ndzarr" or s.startswith(".ndzarr-tmp-") for s in segments)
    )
    assert is_key(text) == good


def test_subclasses_of_str_are_checked_too() -> None:
    class Name(str):
        __slots__ = ()

    assert check_key(Name("a/b")) == "a/b"
    with pytest.raises(ArgumentError):
        check_key(Name("../b"))


def test_checking_the_key_of_a_chunk_is_quick() -> None:
    best = min(timeit.repeat(lambda: check_key("temp/sst/3.0"), number=20_000, repeat=9)) / 20_000
    assert best < 2e-6  # 0.2 us on the machine this was written on; ten times that is another algorithm


@pytest.mark.parametrize(
    ("path", "want"),
    [
        ("", ""),
        ("/", ""),
        ("//", ""),
        ("a", "a"),
        ("/a", "a"),
        ("a/", "a"),
        ("/a//b/", "a/b"),
        ("a\\b", "a/b"),
        ("\\a\\\\b\\", "a/b"),
        ("a b/.c", "a b/.c"),
    ],
)
def test_normalize_path(path: str, want: str) -> None:
    assert normalize_path(path) == want
    assert normalize_path(want) == want


@pytest.mark.parametrize("path", [".", "..", "a/..", "a/./b", "\\..\\a", "a\x00", "C:/a", "x" * 256, None, 3, b"a", "\ud800"])
def test_normalize_path_refuses(path: str) -> None:
    with pytest.raises(ArgumentError) as caught:
        normalize_path(path)
    assert repr(path) in str(caught.value)


def test_join() -> None:
    assert join("", "a") == "a"
    assert join("a/b", "c") == "a/b/c"


@pytest.mark.parametrize(
    ("name", "separator", "coords", "key"),
    [
        ("v2", ".", (), "0"),
        ("v2", ".", (7,), "7"),
        ("v2", ".", (0, 1), "0.1"),
        ("v2", "/", (0, 1, 22), "0/1/22"),
        ("v2", "/", (), "0"),
        ("default", "/", (), "c"),
        ("default", "/", (0, 1), "c/0/1"),
        ("default", ".", (0, 1), "c.0.1"),
        ("default", ".", (), "c"),
    ],
)
@pytest.mark.parametrize("path", ["", "a", "temp/s.t", "100%d/%s(x)"])
def test_chunk_keys(name: str, separator: str, coords: tuple[int, ...], key: str, path: str) -> None:
    encoding = KeyEncoding(name, separator)
    full = f"{path}/{key}" if path else key
    assert encoding.encoder(len(coords), path)(coords) == full
    decode = encoding.decoder(len(coords), path)
    assert decode(full) == coords
    for other in ("", full + "0x", full + ".0.0", full + "/0/0", "b/" + full, full + "\n", full[:-1] + "z", key + "."):
        assert decode(other) is None, other


@pytest.mark.parametrize(
    "key", ["00.1", "0.01", "+1.0", "-1.0", "0.1 ", " 0.1", "0,1", "0.1.2", "0", "0/1", "\u0661.0", "1e3.0"]
)
def test_only_canonical_chunk_keys_are_decoded(key: str) -> None:
    assert KeyEncoding("v2", ".").decoder(2)(key) is None


@given(
    st.sampled_from(["v2", "default"]),
    st.sampled_from([".", "/"]),
    st.lists(st.integers(0, 2**63 - 1), max_size=33),
    st.sampled_from(["", "a", "a.b/c"]),
)
def test_decoding_undoes_encoding(name: str, separator: str, coords: list[int], path: str) -> None:
    encoding = KeyEncoding(name, separator)
    key = encoding.encoder(len(coords), path)(tuple(coords))
    assert encoding.decoder(len(coords), path)(key) == tuple(coords)
    assert is_key(key)


def test_a_decoder_is_not_asked_for_endless_numbers() -> None:
    assert KeyEncoding("v2", ".").decoder(1)("9" * 5000) is None


@pytest.mark.parametrize("arguments", [("v3", "."), ("v2", "-"), ("default", ""), ("", "/")])
def test_unknown_encodings_are_refused(arguments: tuple[str, str]) -> None:
    with pytest.raises(ArgumentError, match="expected"):
        KeyEncoding(*arguments)
