from __future__ import annotations

import json
import math

import numpy as np
import pytest

import ndzarr
from ndzarr.formats.document import MAX_DEPTH, dump, dump_attributes, parse, plain


@pytest.mark.parametrize(
    ("data", "what"),
    [
        (b"", "nothing"),
        (b"   ", "nothing"),
        (b'{"a": 1', "not JSON"),
        (b"[1, 2]", "list"),
        (b"null", "NoneType"),
        (b"3", "int"),
        (b'"x"', "str"),
        (b"\xff\xfe", "UTF-8"),
        (b'{"a": 1, "a": 2}', "twice"),
        (b'{"b": {"a": 1, "a": 1}}', "twice"),
        (b"[" * 200 + b"]" * 200, "deep|list"),
        (b'{"a":' + b"[" * 150 + b"]" * 150 + b"}", "deep"),
        (b'{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}", "deep"),
        (b'{"a": ' + b"9" * 5000 + b"}", "not JSON"),
        (b'{"a": 1} {"b": 2}', "not JSON"),
    ],
    ids=range(15),
)
def test_damaged_documents(data: bytes, what: str) -> None:
    with pytest.raises(ndzarr.MetadataError, match=what) as caught:
        parse(data, "a/.zarray")
    assert caught.value.key == "a/.zarray"
    assert "a/.zarray" in str(caught.value)


def test_lists_and_objects_are_counted_before_they_are_made() -> None:
    """64 MiB of empty lists would be 2 GB, and a quarter of a minute."""
    with ndzarr.options(max_metadata=1 << 20):
        most = (1 << 20) // 16
        assert len(parse(b'{"a": [' + b"[]," * (most - 3) + b"[]]}", "x")["a"]) == most - 2
        with pytest.raises(ndzarr.MetadataError, match=r"lists and objects.*max_metadata") as caught:
            parse(b'{"a": [' + b"{}," * (most - 2) + b"[]]}", "x")
        assert caught.value.key == "x"
    with ndzarr.options(max_metadata=1000):
        assert parse(b'{"a": [' + b"[]," * 300 + b"1]}", "x")


def test_depth_limit_is_exact() -> None:
    levels = MAX_DEPTH - 1
    assert parse(b'{"a":' + b"[" * (levels - 1) + b"]" * (levels - 1) + b"}", "x")
    with pytest.raises(ndzarr.MetadataError, match="deep"):
        parse(b'{"a":' + b"[" * (levels + 1) + b"]" * (levels + 1) + b"}", "x")


def test_bare_nan_is_read_and_only_attributes_are_written_with_it() -> None:
    assert math.isnan(parse(b'{"a": NaN, "b": -Infinity}', "x")["a"])
    assert b"NaN" in dump_attributes({"a": math.nan})
    with pytest.raises(ndzarr.ArgumentError, match="JSON"):
        dump({"a": math.nan})


def test_spelling_is_that_of_zarr_python_2() -> None:
    assert dump({"b": [1, 2], "a": "ä"}) == b'{\n    "a": "\\u00e4",\n    "b": [\n        1,\n        2\n    ]\n}'


def test_numpy_values_become_json() -> None:
    given = {
        "i": np.int16(3),
        "f": np.float32(0.5),
        "b": np.bool_(True),
        "s": np.str_("x"),
        "l": np.arange(3),
        "n": {"m": (1, np.uint8(2))},
        "none": None,
    }
    want = {"i": 3, "f": 0.5, "b": True, "s": "x", "l": [0, 1, 2], "n": {"m": [1, 2]}, "none": None}
    assert plain(given) == want
    assert json.loads(dump_attributes(given)) == want


@pytest.mark.parametrize("bad", [object(), b"x", 2j, {1, 2}, np.datetime64("2020"), np.array([object()])], ids=range(6))
def test_values_that_are_no_json_are_named(bad: object) -> None:
    with pytest.raises(ndzarr.ArgumentError, match=r"a\.b\[1\]"):
        plain({"a": {"b": [1, bad]}})


def test_names_must_be_strings() -> None:
    with pytest.raises(ndzarr.ArgumentError, match="strings"):
        plain({"a": {1: 2}})
