"""Functions of strings, of roots that may be complex, of records, and of files, against NumPy's."""

from __future__ import annotations

import io
import random
import tracemalloc
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.lib.recfunctions as rfn
import pytest

import ndzarr
from ndzarr._typing import NDArray
from tests.test_functions_joining import compare, stored


def words(choose: random.Random, shape: tuple[int, ...], kind: str) -> NDArray:
    letters = ["".join(choose.choice("abAB 1-") for _ in range(choose.randint(0, 5))) for _ in range(int(np.prod(shape)))]
    return np.array(letters or [""], "U6")[: int(np.prod(shape))].astype(kind).reshape(shape)


STRINGS: dict[str, Callable[..., Any]] = {
    "upper": lambda m, x: m.upper(x), "title": lambda m, x: m.title(x), "center": lambda m, x: m.center(x, 7),
    "ljust": lambda m, x: m.ljust(x, 3, fillchar=x.dtype.type("*") if x.dtype.kind != "T" else "*"),
    "zfill": lambda m, x: m.zfill(x, 4), "multiply": lambda m, x: m.multiply(x, 3), "strip": lambda m, x: m.strip(x),
    "expandtabs": lambda m, x: m.expandtabs(x, 4), "add": lambda m, x: m.add(x, x), "str_len": lambda m, x: m.str_len(x),
    "equal": lambda m, x: m.equal(x, x), "isalpha": lambda m, x: m.isalpha(x), "swapcase": lambda m, x: m.swapcase(x),
    "counted": lambda m, x: m.multiply(x, m.str_len(x)),
}  # fmt: skip


@pytest.mark.parametrize("name", STRINGS)
@pytest.mark.parametrize("kind", ["U6", "S6", "T"])
@pytest.mark.parametrize("module", [np.strings, np.char])
def test_strings(name: str, kind: str, module: Any) -> None:
    choose = random.Random(name)
    call = STRINGS[name]
    for _ in range(10):
        a = words(choose, (choose.randint(0, 9), choose.randint(1, 3))[choose.randint(0, 1) :], kind)
        compare(choose, lambda x: call(module, x), a)


@pytest.mark.parametrize("seed", range(4))
def test_strings_of_several_arrays(seed: int) -> None:
    choose = random.Random(seed)
    for _ in range(20):
        a, b = words(choose, (5, 3), "U6"), words(choose, choose.choice([(5, 3), (3,), (1, 3), (2,)]), "U6")
        compare(choose, lambda x, y: np.strings.replace(x, "a", y), a, b)
        compare(choose, lambda x, y: np.char.equal(x, y), a, b)
        compare(choose, lambda x, y: np.char.greater(x, y), a, b)
        compare(choose, lambda x, n: np.strings.multiply(x, n), a, np.array([0, 2, 5]))
        compare(choose, lambda x: np.strings.encode(x, "utf-16"), a)
        compare(choose, lambda x: np.strings.decode(x), words(choose, (4, 2), "S6"))
        compare(choose, lambda x: np.strings.decode(x, "nonsense"), words(choose, (4, 2), "S6"))
        if hasattr(np.strings, "partition"):
            compare(choose, lambda x: np.strings.partition(x, "a"), a)
        compare(choose, lambda x: np.char.split(x), a)
        compare(choose, lambda x: np.strings.translate(x, str.maketrans("a", "b")), a)


@pytest.mark.parametrize("seed", range(6))
def test_roots_that_may_be_complex(seed: int) -> None:
    choose = random.Random(seed)
    scimath = np.lib.scimath
    for _ in range(30):
        a = np.random.default_rng(choose.randrange(1 << 30)).normal(size=(6, 4)) * 2
        a = a if choose.random() < 0.5 else np.abs(a) + 0.1
        a = a.astype(choose.choice(["i1", "i4", "f4", "f8", "c8"]))
        # Vector instructions round the last bit otherwise than scalar ones.
        rtol = 1e-2 if a.dtype == "i1" else 1e-6 if a.dtype in ("f4", "c8") else 1e-14
        with np.errstate(all="ignore"):
            for function in (
                scimath.sqrt,
                scimath.log,
                scimath.log2,
                scimath.log10,
                scimath.arccos,
                scimath.arcsin,
                scimath.arctanh,
            ):
                compare(choose, function, a, rtol=rtol)
            compare(choose, lambda x: scimath.logn(2, x), a, rtol=rtol)
            compare(choose, lambda x: scimath.power(x, 2), a, rtol=rtol)
            compare(choose, lambda x: scimath.power(x, -2), a + (a == 0), rtol=rtol)
            compare(choose, lambda x, p: scimath.power(x, p), a, np.array([1, 2, -1, 0.5]), rtol=rtol)


def records(choose: random.Random, n: int, kind: Any) -> NDArray:
    found = np.zeros(n, kind)
    for name in found.dtype.names or ():
        found[name] = [choose.randint(0, 50) for _ in range(n)]
    return found


def test_records() -> None:
    choose = random.Random(0)
    kind = [("a", "i4"), ("b", "f8"), ("c", "u1")]
    for _ in range(10):
        r = records(choose, choose.randint(0, 12), kind)
        compare(choose, rfn.structured_to_unstructured, r)
        compare(choose, lambda x: rfn.structured_to_unstructured(x, dtype="f4"), r)
        compare(choose, lambda x: rfn.rename_fields(x, {"a": "z"}), r)
        compare(choose, lambda x: rfn.repack_fields(x, align=True), r)
        compare(choose, lambda x: rfn.require_fields(x, [("b", "f4"), ("new", "i2")]), r)
        compare(choose, lambda x: rfn.drop_fields(x, "b", usemask=False), r)
        compare(choose, lambda x: rfn.apply_along_fields(np.max, x), r)
        u = np.arange(12.0).reshape(2, 2, 3)
        compare(choose, rfn.unstructured_to_structured, u)
        compare(choose, lambda x: rfn.unstructured_to_structured(x, np.dtype(kind)), u)
        compare(choose, lambda x: rfn.unstructured_to_structured(x, np.dtype(kind[:2])), u)
        compare(choose, rfn.structured_to_unstructured, u)


# ---- files ----


def same_file(choose: random.Random, write: Callable[..., Any], *arrays: NDArray) -> None:
    want, got = io.BytesIO(), io.BytesIO()
    things = [stored(choose, a) for a in arrays]
    write(want, *[np.asarray(z) for z in things])  # not `arrays`: the order of bytes may be another
    with ndzarr.options(working_memory=choose.choice([1, 5]), max_load=1):
        write(got, *things)
    assert got.getvalue() == want.getvalue()


@pytest.mark.parametrize("seed", range(3))
def test_save(seed: int) -> None:
    choose = random.Random(seed)
    for kind in ("f8", ">i4", "c8", "U5", "M8[s]", [("a", "i4"), ("b", ">f8")], "?"):
        shape = tuple(choose.randint(1, 6) for _ in range(choose.randint(1, 3)))
        same_file(choose, np.save, np.arange(np.prod(shape)).reshape(shape).astype(kind))


def test_save_to_paths(tmp_path: Path) -> None:
    choose = random.Random(0)
    a = np.arange(35).reshape(7, 5)
    z = stored(choose, a)
    with ndzarr.options(working_memory=1, max_load=1):
        np.save(tmp_path / "one", z)
        np.save(str(tmp_path / "two.npy"), z)
        np.savez(tmp_path / "three", z, named=z)
        np.savez_compressed(tmp_path / "four.npz", z, other=np.arange(3))
        with pytest.raises(ValueError):
            np.savez(tmp_path / "five", z, arr_0=z)
        np.savetxt(tmp_path / "six", z.lazy[:, 0], fmt="%d", header="head", footer="foot")
    for name in ("one.npy", "two.npy"):
        np.testing.assert_array_equal(np.load(tmp_path / name), a)
    for name, keys in (("three.npz", ["named", "arr_0"]), ("four.npz", ["other", "arr_0"])):
        with np.load(tmp_path / name) as found:
            assert found.files == keys
            np.testing.assert_array_equal(found["arr_0"], a)
    assert zipfile.ZipFile(tmp_path / "four.npz").infolist()[1].compress_type == zipfile.ZIP_DEFLATED
    assert (tmp_path / "six").read_text() == "# head\n0\n5\n10\n15\n20\n25\n30\n# foot\n"


@pytest.mark.filterwarnings("ignore:Custom dtypes")
def test_save_does_not_pickle_where_it_must_not() -> None:
    z = ndzarr.create_array(None, shape=(4,), dtype="T", chunks=(2,))
    z[...] = np.array(["a", "b", "c", "d"], "T")
    with ndzarr.options(working_memory=1), pytest.raises(ValueError, match="allow_pickle"):
        np.save(io.BytesIO(), z, allow_pickle=False)


def test_savetxt() -> None:
    choose = random.Random(1)
    for a, kwargs in (
        (np.arange(12).reshape(4, 3), {"fmt": "%d", "delimiter": ","}), (np.arange(5) / 3, {}),
        (np.arange(8).reshape(4, 2) * (1 + 1j), {"header": "h\nh", "footer": "f", "comments": "//"}),
        (np.arange(12).reshape(4, 3), {"fmt": ["%d", "%5.1f", "%e"], "newline": "\r\n"}),
    ):  # fmt: skip
        want, got = io.BytesIO(), io.BytesIO()
        np.savetxt(want, a, **kwargs)
        z = ndzarr.create_array(None, shape=a.shape, dtype=a.dtype, chunks=(2, *a.shape[1:]))
        z[...] = a
        with ndzarr.options(working_memory=1, max_load=1):
            np.savetxt(got, z, **kwargs)
        assert got.getvalue() == want.getvalue()
    with ndzarr.options(working_memory=1), pytest.raises(ValueError):
        np.savetxt(io.BytesIO(), stored(choose, np.zeros((2, 2, 2))))


class Nowhere:
    """A file that keeps nothing but a count."""

    nbytes = 0

    def write(self, data: Any) -> int:
        self.nbytes += len(data)
        return len(data)


def test_memory_of_saving_is_bounded() -> None:
    z = ndzarr.create_array(None, shape=(40000, 100), dtype="f4", chunks=(600, 100), compressor="zstd")
    file = Nowhere()
    with ndzarr.options(working_memory=2 << 20, workers=2, max_load=1):
        tracemalloc.start()
        np.save(file, z)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert file.nbytes == 128 + z.nbytes
    assert peak < 2 << 20
