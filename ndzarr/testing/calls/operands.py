"""The arrays that calls are made with, by name: `f` is wrapped before a call, `F` is the same array as NumPy's own."""

from __future__ import annotations

from functools import cache

import numpy as np

from ndzarr._typing import NDArray

#: What each one is.
NAMES = {
    "f": "float64 (7, 6), both signs, no two equal",
    "g": "float64 (7, 6), another one",
    "e": "float64 (7, 6), strictly between 0 and 1",
    "n": "float64 (7, 6), a sixth of it NaN, no row or column all NaN",
    "h": "float32 (7, 6)",
    "l": "float64 (7, 6), with infinities, NaN and both zeros",
    "i": "int64 (7, 6), -20 ... 20, none of them 0",
    "j": "int64 (7, 6), 1 ... 5",
    "u": "uint8 (7, 6), 0 ... 255",
    "b": "bool (7, 6)",
    "c": "complex128 (7, 6)",
    "t": "float64 (5, 4, 6)",
    "k": "int32 (5, 4, 6), -9 ... 9",
    "v": "float64 (24,)",
    "w": "float64 (24,), another one",
    "a": "float64 (24,), rising",
    "x": "int64 (24,), 0 ... 5",
    "z": "float64 (24,), zeros at both ends",
    "bb": "bool (24,)",
    "cv": "complex128 (24,)",
    "m": "float64 (6, 6), well conditioned",
    "p": "float64 (6, 6), symmetric and positive definite",
    "tt": "float64 (3, 4, 4), well conditioned",
    "sc": "float64 ()",
    "em": "float64 (0, 6)",
    "col": "float64 (7, 1)",
    "row": "float64 (6,)",
    "x3": "float64 (7, 3)",
    "y3": "float64 (7, 3), another one",
    "o": "float64 (7, 6), zeros: to be written to",
    "oi": "int64 (7, 6), zeros: to be written to",
    "ob": "bool (7, 6), False: to be written to",
    "oc": "complex128 (7, 6), zeros: to be written to",
    "o6": "float64 (6,), zeros: to be written to",
    "o7": "float64 (7,), zeros: to be written to",
    "i6": "int64 (6,), zeros: to be written to",
    "i7": "int64 (7,), zeros: to be written to",
    "b6": "bool (6,), False: to be written to",
    "om": "float64 (6, 6), zeros: to be written to",
    "s": "str (8,) of up to 6 characters",
    "s2": "str (8,), another one",
    "sn": "str (8,), digits",
    "y": "bytes (8,) of up to 6",
    "st": "StringDType (8,)",
    "d": "datetime64[D] (8,)",
    "d2": "datetime64[D] (8,), another one",
    "td": "timedelta64[D] (8,)",
    "r": "structured (8,): a int32, b float64",
    "q": "structured (8,): a int32, e float64; a shares some values with r",
    "rr": "structured (8,): x and y float64",
    "ar": "uint8 (3, 8), bits: 0 and 1",
    "at": "int64 (7, 6), 0 ... 5: indices along the last axis",
}


@cache
def _arrays() -> dict[str, NDArray]:
    rng = np.random.default_rng(20240611)
    f = rng.normal(size=(7, 6)).round(3) * 3
    n = f.copy()
    n.reshape(-1)[[0, 8, 15, 22, 25, 33, 40]] = np.nan
    odd = f.copy()
    odd[0, :5] = np.inf, -np.inf, np.nan, 0.0, -0.0
    i = rng.integers(1, 21, size=(7, 6)) * rng.choice([-1, 1], size=(7, 6))
    m = rng.normal(size=(6, 6)) + 6 * np.eye(6)
    z = rng.normal(size=24)
    z[:3] = z[-2:] = 0
    words = ["alpha", "Beta", "gam ma", "", " dl", "abcabc", "ZETA", "e\tta"]
    r = np.zeros(8, [("a", "i4"), ("b", "f8")])
    r["a"], r["b"] = [3, 1, 4, 0, 5, 9, 2, 6], rng.normal(size=8)
    q = np.zeros(8, [("a", "i4"), ("e", "f8")])
    q["a"], q["e"] = [2, 7, 1, 8, 28, 5, 9, 10], rng.normal(size=8)
    rr = np.zeros(8, [("x", "f8"), ("y", "f8")])
    rr["x"], rr["y"] = rng.normal(size=8), rng.normal(size=8)
    days = np.datetime64("2024-02-26", "D") + rng.integers(0, 60, size=(2, 8))
    arrays = {
        "f": f,
        "g": rng.normal(size=(7, 6)) * 2,
        "e": rng.uniform(0.05, 0.95, size=(7, 6)),
        "n": n,
        "h": rng.normal(size=(7, 6)).astype("f4"),
        "l": odd,
        "i": i,
        "j": rng.integers(1, 6, size=(7, 6)),
        "u": rng.integers(0, 256, size=(7, 6), dtype="u1"),
        "b": rng.integers(0, 2, size=(7, 6)).astype(bool),
        "c": rng.normal(size=(7, 6)) + 1j * rng.normal(size=(7, 6)),
        "t": rng.normal(size=(5, 4, 6)),
        "k": rng.integers(-9, 10, size=(5, 4, 6), dtype="i4"),
        "v": rng.normal(size=24),
        "w": rng.normal(size=24),
        "a": np.cumsum(rng.uniform(0.1, 1, size=24)),
        "x": rng.integers(0, 6, size=24),
        "z": z,
        "bb": rng.integers(0, 2, size=24).astype(bool),
        "cv": rng.normal(size=24) + 1j * rng.normal(size=24),
        "m": m,
        "p": m @ m.T,
        "tt": rng.normal(size=(3, 4, 4)) + 4 * np.eye(4),
        "sc": np.array(2.5),
        "em": np.zeros((0, 6)),
        "col": rng.normal(size=(7, 1)),
        "row": rng.normal(size=6),
        "x3": f[:, :3] * 2,
        "y3": f[:, 3:] + 1,
        "o": np.zeros((7, 6)),
        "oi": np.zeros((7, 6), "i8"),
        "ob": np.zeros((7, 6), bool),
        "oc": np.zeros((7, 6), complex),
        "o6": np.zeros(6),
        "o7": np.zeros(7),
        "i6": np.zeros(6, "i8"),
        "i7": np.zeros(7, "i8"),
        "b6": np.zeros(6, bool),
        "om": np.zeros((6, 6)),
        "s": np.array(words),
        "s2": np.array(["a", "b", "m", "", "d", "c", "Z", "t"]),
        "sn": np.array("12 7 003 4 55 -6 +1 0".split()),
        "y": np.array([word.encode() for word in words]),
        "st": np.array([*words[:7], "a longer one, with an a"], dtype=np.dtypes.StringDType()),
        "d": days[0],
        "d2": days[1],
        "td": rng.integers(1, 30, size=8).astype("m8[D]"),
        "r": r,
        "q": q,
        "rr": rr,
        "ar": rng.integers(0, 2, size=(3, 8), dtype="u1"),
        "at": rng.integers(0, 6, size=(7, 6)),
    }
    assert arrays.keys() == NAMES.keys()
    return arrays


def operand(name: str) -> NDArray:
    """A fresh copy of the array that has this name, small letters or capitals."""
    return _arrays()[name.lower()].copy()
