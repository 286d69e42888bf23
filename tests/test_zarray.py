from __future__ import annotations

import contextlib
import pickle
import threading
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

import ndzarr

if TYPE_CHECKING:
    from tests.conftest import Names

pytestmark = pytest.mark.usefixtures("zarr_format")  # everything is true of both


@pytest.fixture(params=["C", "F"])
def z(request: pytest.FixtureRequest) -> ndzarr.ZArray:
    z = ndzarr.create_array(shape=(7, 6, 5), dtype="i4", chunks=(3, 4, 2), order=request.param, fill_value=-1)
    z[...] = np.arange(210).reshape(7, 6, 5)
    return z


@pytest.mark.parametrize("separator", [".", "/"])
def test_properties(zarr_format: int, separator: str) -> None:
    store = ndzarr.MemoryStore()
    z = ndzarr.create_array(
        store,
        path="a/b",
        shape=[100, 200],
        dtype=">f4",
        chunks=[10, 50],
        compressor="zlib",
        filters=[{"id": "delta", "dtype": ">f4"}],
        fill_value="NaN",
        order="F",
        dimension_names=["x", "y"],
        dimension_separator=separator,
        attributes={"units": "K", "n": np.int64(3)},
    )
    for handle in (z, ndzarr.open_array(store, path="/a//b/"), pickle.loads(pickle.dumps(z))):
        assert (handle.shape, handle.ndim, handle.size, handle.itemsize, handle.nbytes) == (
            (100, 200),
            2,
            20000,
            4,
            80000,
        )
        assert (handle.dtype, handle.chunks, handle.shards, handle.nchunks, handle.order) == (
            ">f4" if zarr_format == 2 else "=f4",  # format 3 leaves the byte order to a codec
            (10, 50),
            None,
            40,
            "F",
        )
        assert np.isnan(handle.fill_value)
        assert (handle.dimension_names, handle.zarr_format, handle.path) == (("x", "y"), zarr_format, "a/b")
        assert handle.attrs["units"] == "K"
        assert handle.attrs["n"] == 3
        assert handle.metadata.attributes["n"] == 3
        assert len(handle) == 100
        assert handle.nbytes_stored == 0
    assert z.store is store
    assert "shape=(100, 200)" in repr(z)
    assert "a/b" in repr(z)
    z[:10] = 1
    assert z.nbytes_stored > 0
    assert "zlib" in repr(z.info)
    assert store.get("a/b/" + separator.join(["0", "0"] if zarr_format == 2 else ["c", "0", "0"])) is not None


def test_array_protocol(z: ndzarr.ZArray) -> None:
    a = np.arange(210).reshape(7, 6, 5)
    np.testing.assert_array_equal(np.asarray(z), a)
    assert np.asarray(z, "f8").dtype == "f8"
    assert np.array(z, copy=True).dtype == "i4"
    with pytest.raises(ValueError, match="copy"):
        np.array(z, copy=False)
    np.testing.assert_array_equal(z.astype("f4"), a.astype("f4"))
    with pytest.raises(TypeError):
        z.astype("S1", casting="safe")
    np.testing.assert_array_equal(np.stack(list(z)), a)
    np.testing.assert_array_equal(z[z.vindex[...] > 100], a[a > 100])


def test_no_axes() -> None:
    z = ndzarr.array(5)
    assert z[()] == 5
    assert type(z[()]) is np.int64
    assert type(z[...]) is np.ndarray
    assert bool(z) is True
    for f in (len, iter, lambda z: next(iter(z))):
        with pytest.raises(TypeError):
            f(z)
    z[()] = 7
    z[...] += 1
    assert z[()] == 8
    assert z.chunks == ()


def test_truth() -> None:
    assert not ndzarr.array([0])
    with pytest.raises(ValueError, match="ambiguous"):
        bool(ndzarr.array([0, 1]))


@pytest.mark.parametrize("shape", [(0,), (3, 0), (0, 0, 2)])
def test_no_elements(shape: tuple[int, ...]) -> None:
    z = ndzarr.zeros(shape, dtype="f4")
    a = np.zeros(shape, "f4")
    z[...] = 1
    assert z[...].shape == a.shape
    assert z.nbytes_stored == 0
    np.testing.assert_array_equal(z[..., :0], a[..., :0])
    assert list(ndzarr.open_array(z.store, path=z.path)[...].shape) == list(shape)


# ---- the accessors --------------------------------------------------------------------------------


def test_outer(z: ndzarr.ZArray) -> None:
    a = z[...]
    np.testing.assert_array_equal(z.oindex[[0, 2], ::-1, [1, 1, 4]], a[np.ix_([0, 2], range(6)[::-1], [1, 1, 4])])
    np.testing.assert_array_equal(z.oindex[:, 2], a[:, 2])
    np.testing.assert_array_equal(z.oindex[np.arange(7) % 2 == 0], a[::2])
    z.oindex[[0, 6], [5, 0]] = np.arange(4).reshape(2, 2, 1)
    a[np.ix_([0, 6], [5, 0])] = np.arange(4).reshape(2, 2, 1)
    np.testing.assert_array_equal(z[...], a)


def test_points(z: ndzarr.ZArray) -> None:
    a = z[...]
    np.testing.assert_array_equal(z.vindex[[0, 2], :, [1, 4]], a[[0, 2], :, [1, 4]])
    np.testing.assert_array_equal(z.vindex[1:3, [0, 5]], np.moveaxis(a[1:3, [0, 5]], 1, 0))
    np.testing.assert_array_equal(z.vindex[a > 200], a[a > 200])
    z.vindex[[0, 6], [5, 0]] = [[1], [2]]
    a[[0, 6], [5, 0]] = [[1], [2]]
    np.testing.assert_array_equal(z[...], a)


def test_blocks(z: ndzarr.ZArray) -> None:
    a = z[...]
    np.testing.assert_array_equal(z.blocks[0, 1], a[:3, 4:])
    np.testing.assert_array_equal(z.blocks[1:, ..., -1], a[3:, :, 4:])
    z.blocks[2] = 0
    a[6:] = 0
    np.testing.assert_array_equal(z[...], a)


# ---- fields --------------------------------------------------------------------------------

RECORD = np.dtype([("a", "<i4"), ("b", "f8", (2,)), ("c", [("x", "S3"), ("y", "?")])])
#: Format 3 has no data type for fields that are arrays.
FLAT = np.dtype([("a", "<i4"), ("b", "f8"), ("c", [("x", "S3"), ("y", "?")])])


def records(zarr_format: int) -> tuple[ndzarr.ZArray, np.ndarray]:
    a = np.zeros(11, RECORD if zarr_format == 2 else FLAT)
    a["a"] = np.arange(11)
    a["b"] = np.arange(a["b"].size).reshape(a["b"].shape)
    a["c"]["x"] = b"ab"
    return ndzarr.array(a, chunks=4), a


def test_reading_fields(zarr_format: int) -> None:
    z, a = records(zarr_format)
    assert z["a"].tolist() == a["a"].tolist()
    assert z["a", 3:5].tolist() == z[3:5, "a"].tolist() == a["a"][3:5].tolist()
    np.testing.assert_array_equal(z["b"], a["b"])
    np.testing.assert_array_equal(z["b", ::-3], a["b"][::-3])
    np.testing.assert_array_equal(z["b", 4], a["b"][4])
    np.testing.assert_array_equal(z["c", [3, 3]], a["c"][[3, 3]])
    np.testing.assert_array_equal(z[["a", "c"]], a[["a", "c"]])
    assert z[["a", "c"]].dtype.names == ("a", "c")
    assert z[5].tobytes() == a[5].tobytes()


def test_writing_fields(zarr_format: int) -> None:
    z, a = records(zarr_format)
    two = [7, 8] if zarr_format == 2 else 7
    z["a", 3:5] = a["a"][3:5] = -1
    z["b"] = a["b"] = two
    z["b", 2] = a["b"][2] = [0, 1] if zarr_format == 2 else 1
    a["c"]["x"][::4] = b"zz"
    z["c", ::4] = a["c"][::4]
    z[["a", "c"], 0] = (9, (b"q", True))
    a[["a", "c"]][0] = (9, (b"q", True))
    a["a"][0] = 9
    a["c"][0] = (b"q", True)
    np.testing.assert_array_equal(z[:], a)
    z[6] = (1, two, (b"x", False))
    a[6] = (1, two, (b"x", False))
    np.testing.assert_array_equal(z[:], a)


def test_fields_in_format_3_are_flat_or_records() -> None:
    with pytest.raises(ndzarr.ArgumentError, match="dtype"):
        ndzarr.create_array(shape=3, dtype=RECORD, zarr_format=3)


def test_fields_that_are_not_there(zarr_format: int) -> None:
    z, a = records(zarr_format)
    for index in ("q", ["a", "q"]):
        with pytest.raises(Exception) as expected:  # NumPy says which class
            a[index]
        with pytest.raises(type(expected.value)):
            z[index]
    plain = ndzarr.zeros(3)
    for index in ("a", ["a"], ("a", 0)):
        with pytest.raises(IndexError):
            plain[index]


# ---- objects and strings --------------------------------------------------------------------------------


TEXTS = ["a", "", "äöü€😀", "x" * 1000]
OBJECTS: list[tuple[str, list[Any]]] = [
    ("vlen-utf8", TEXTS),
    ("vlen-bytes", [b"a", b"", b"\x00\xff", b"x" * 1000]),
    ("json2", [1, "a", [1, 2], {"b": None}]),
    ("msgpack2", [1, "a", [1, 2], {"b": None}]),
]


def check_objects(z: ndzarr.ZArray, values: list[Any]) -> None:
    for k, value in enumerate(values):
        z[k] = value
    assert z[:4].tolist() == values
    assert z[1] == values[1]
    assert type(z[1]) is type(values[1])
    assert ndzarr.open_array(z.store)[3] == values[3]
    assert z[[3, 0]].tolist() == [values[3], values[0]]


@pytest.mark.formats(2)
@pytest.mark.parametrize(("codec", "values"), OBJECTS)
def test_objects(codec: str, values: list[Any]) -> None:
    z = ndzarr.create_array(shape=(6,), dtype=object, chunks=(3,), filters=[{"id": codec}], fill_value=None)
    assert (z.dtype, z.fill_value) == (np.dtype(object), None)
    check_objects(z, values)


@pytest.mark.formats(3)
@pytest.mark.parametrize(("codec", "values"), OBJECTS[:2])
def test_bytes_and_strings_as_objects(codec: str, values: list[Any]) -> None:
    z = ndzarr.create_array(shape=(6,), dtype=object, chunks=(3,), filters=[{"id": codec}])
    assert z.dtype == (np.dtypes.StringDType() if codec == "vlen-utf8" else np.dtype(object))
    assert z.fill_value == ("" if codec == "vlen-utf8" else b"")
    check_objects(z, values)
    assert z[5] == z.fill_value


@pytest.mark.formats(3)
@pytest.mark.parametrize("codec", ["json2", "msgpack2", "pickle"])
def test_objects_of_any_kind_have_no_type_in_format_3(codec: str) -> None:
    data: dict[str, bytes] = {}
    with pytest.raises(ndzarr.ArgumentError, match="zarr_format=2"):
        ndzarr.create_array(data, shape=(6,), dtype=object, filters=[{"id": codec}], allow_pickle=True)
    assert data == {}


@pytest.mark.formats(3)
@pytest.mark.parametrize("dtype", [str, "T", np.dtypes.StringDType()])
@pytest.mark.parametrize("shards", [None, (6,)])
def test_strings(dtype: Any, shards: Any) -> None:
    z = ndzarr.create_array(shape=(6,), dtype=dtype, chunks=(3,), shards=shards, fill_value="-")
    assert z.dtype == np.dtypes.StringDType()
    check_objects(z, TEXTS)
    assert z[5] == "-"
    assert z[z[:] == ""].tolist() == [""]
    z[[4, 1]] = ["y" * 40, "z" * 400]
    z[z[:] == ""] = "never"
    z[[0, 0]] = np.array("1970-01-01T00:00:20", "M8[s]")  # NumPy 2.4 crashes here
    assert z[:].tolist() == ["1970-01-01T00:00:20", "z" * 400, "äöü€😀", "x" * 1000, "y" * 40, "-"]
    z[:] = "same"
    assert z[::5].tolist() == ["same", "same"]
    z[:3] = "-"
    assert z[:].tolist() == ["-"] * 3 + ["same"] * 3


@pytest.mark.formats(3)
@pytest.mark.parametrize("dtype", ["M8[ns]", "m8[25s]"])
def test_times_that_were_never_written_are_no_times(dtype: str) -> None:
    z = ndzarr.create_array(shape=(4,), dtype=dtype, chunks=(2,))
    assert np.isnat(z.fill_value)
    z[0] = z[3] = np.array(7, dtype)
    assert np.isnat(z[:]).tolist() == [False, True, True, False]
    assert (z.dtype, z[0]) == (np.dtype(dtype), np.array(7, dtype))


@pytest.mark.parametrize("dtype", [">i2", "<i2", ">f8", ">c16", ">M8[s]", ">U3", [("a", ">i4"), ("b", ">f4")]])
def test_byte_orders(dtype: Any, zarr_format: int, names: Names) -> None:
    """Format 2 keeps the dtype as it is; format 3 reads in the machine's own order what is stored in the one asked for."""
    given = np.array([(1, 2), (3, 4), (5, 6)], dtype) if isinstance(dtype, list) else np.arange(3).astype(dtype)
    z = ndzarr.create_array(shape=(3,), dtype=dtype, chunks=(3,), compressor=None)
    z[:] = given
    assert z.dtype == (given.dtype if zarr_format == 2 else given.dtype.newbyteorder("="))
    np.testing.assert_array_equal(z[:], given)
    assert bytes(z.store.get(names.chunk(0)) or b"") == given.tobytes()


@pytest.mark.formats(2)
def test_arrays_as_objects() -> None:
    z = ndzarr.create_array(shape=(3,), dtype=object, chunks=(2,), filters=[{"id": "vlen-array", "dtype": "<i4"}])
    for k in range(3):
        z[k] = np.arange(k, dtype="i4")
    assert [x.tolist() for x in z[:]] == [[], [0], [0, 1]]


def test_objects_need_a_codec() -> None:
    with pytest.raises(ndzarr.ArgumentError, match="vlen-utf8"):
        ndzarr.create_array(shape=3, dtype=object)


@pytest.mark.formats(2)
def test_pickle_runs_only_when_asked_for() -> None:
    data: dict[str, bytes] = {}
    with pytest.raises(ndzarr.ArgumentError, match="allow_pickle"):
        ndzarr.create_array(data, shape=3, dtype=object, filters=[{"id": "pickle"}])
    assert data == {}
    z = ndzarr.create_array(data, shape=3, dtype=object, filters=[{"id": "pickle"}], allow_pickle=True)
    z[0] = {1, 2}
    with pytest.raises(ndzarr.MetadataError, match="allow_pickle"):
        ndzarr.open(data)
    assert ndzarr.open(data, allow_pickle=True)[0] == {1, 2}


# ---- shape --------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(6))
def test_programs_of_resize_append_and_write(seed: int, names: Names) -> None:
    """Against a NumPy model: growing never shows old values (promise P6)."""
    rng = np.random.default_rng(seed)
    order = "CF"[seed % 2]
    z = ndzarr.create_array(shape=(5, 4), dtype="i4", chunks=(3, 2), fill_value=-1, order=order, compressor=None)
    model = np.full((5, 4), -1)
    for step in range(60):
        match rng.integers(3):
            case 0:
                shape = tuple(int(n) for n in rng.integers(0, 9, 2))
                z.resize(shape)
                grown = np.full(shape, -1)
                kept = tuple(slice(min(a, b)) for a, b in zip(shape, model.shape, strict=True))
                grown[kept] = model[kept]
                model = grown
            case 1:
                axis = int(rng.integers(2))
                shape = [*model.shape]
                shape[axis] = int(rng.integers(0, 4))
                rows = rng.integers(0, 100, shape)
                model = np.concatenate([model, rows], axis)
                assert z.append(rows, axis) == model.shape
            case _:
                value = int(rng.integers(100))
                low = [int(rng.integers(0, n + 1)) for n in model.shape]
                z[low[0] :, low[1] :] = value
                model[low[0] :, low[1] :] = value
        np.testing.assert_array_equal(z[...], model, err_msg=str(step))
    grid = tuple(-(-n // c) for n, c in zip(model.shape, (3, 2), strict=True))
    assert set(z.store.list()) <= {names.document, *(names.chunk(*coords) for coords in np.ndindex(grid))}


def test_resize_costs_what_is_removed_not_the_grid(names: Names) -> None:
    store = ndzarr.FaultStore(ndzarr.MemoryStore())
    z = ndzarr.create_array(store, shape=(10**9, 10**9), dtype="i1", chunks=(1, 1), compressor=None, fill_value=0)
    z[5, 5] = 1
    z[10**9 - 1, 7] = 1
    store.clear()
    z.resize(10, 10**9)
    assert len(store.log) < 30
    assert set(store.inner.list()) == {names.document, names.chunk(5, 5)}


def test_resize_forms_and_refusals() -> None:
    z = ndzarr.zeros((4, 4), chunks=2)
    z.resize((2, 3))
    z.resize(np.int64(3), 5)
    assert ndzarr.open_array(z.store).shape == (3, 5)
    for bad in [(3,), (3, -1), (3, 2.5), ("a", 1)]:
        with pytest.raises(ValueError, match=r"resize|shape"):
            z.resize(bad)
    for rows, axis in [(np.zeros((2, 4)), 0), (np.zeros(5), 0), (np.zeros((1, 5)), 2)]:
        with pytest.raises(ValueError, match=r"append|axis"):
            z.append(rows, axis)
    other = ndzarr.open_array(z.store, "r+")
    z.resize(8, 8)
    assert other.shape == (3, 5)
    other.refresh()
    assert other.shape == (8, 8)


def test_a_handle_opened_for_reading_changes_nothing() -> None:
    store = ndzarr.MemoryStore()
    ndzarr.create_array(store, shape=(4,), dtype="i4")[:] = 1
    before = {key: bytes(store.get(key) or b"") for key in store.list()}
    z = ndzarr.open_array(store)
    assert not z.writable

    def item() -> None:
        z[0] = 1

    def attribute() -> None:
        z.attrs["a"] = 1

    for attempt in (item, attribute, lambda: z.resize(2), lambda: z.append([1]), lambda: z.attrs.put({})):
        with pytest.raises(ndzarr.ReadOnlyError, match="mode"):
            attempt()
    assert {key: bytes(store.get(key) or b"") for key in store.list()} == before


def test_values_are_cast_as_numpy_casts() -> None:
    z = ndzarr.zeros(4, dtype="i1")
    a = np.zeros(4, "i1")
    for value in (300, -129, "x", 1j, [1, 2, 3], [[1], [2]], None, object(), np.array([1, 2, 3])):
        with pytest.raises(Exception) as expected:  # NumPy says which class
            a[:] = value
        with pytest.raises(type(expected.value)):
            z[:] = value
    z[:] = a[:] = "7"
    z[1:3] = a[1:3] = 2.9
    z[0] = a[0] = np.float32(5)
    z[3] = a[3] = True
    assert z[:].tolist() == a.tolist()


# ---- two handles on one array --------------------------------------------------------------------------


@pytest.mark.parametrize("chunks", [(10,), (3,)])
def test_a_handle_with_an_older_shape_loses_nothing_of_the_newer(chunks: tuple[int, ...]) -> None:
    store = ndzarr.MemoryStore()
    first = ndzarr.create_array(store, shape=(5,), dtype="i4", chunks=chunks, fill_value=0)
    second = ndzarr.open_array(store, "r+")
    first[:] = [1, 2, 3, 4, 5]
    first.append([6, 7, 8])
    second[:] = 9
    assert first[:].tolist() == [9, 9, 9, 9, 9, 6, 7, 8]
    second[0:4] = 0
    second[4] = 0  # the part that it knows holds nothing but fill values now
    assert first[:].tolist() == [0, 0, 0, 0, 0, 6, 7, 8]


def test_reading_while_another_thread_resizes_the_handle_ends() -> None:
    z = ndzarr.zeros(25, chunks=(10,))
    stop = threading.Event()

    def resize() -> None:
        while not stop.is_set():
            z.resize(1000)
            z.resize(100)

    thread = threading.Thread(target=resize)
    thread.start()
    try:
        for _ in range(2000):
            assert z[:].shape in ((25,), (100,), (1000,))
    finally:
        stop.set()
        thread.join()


def test_growing_shows_nothing_that_a_failed_append_has_left() -> None:
    inner = ndzarr.MemoryStore()
    ndzarr.create_array(inner, shape=(3,), dtype="i4", chunks=(2,), fill_value=0)[:] = 1
    z = ndzarr.open_array(ndzarr.FaultStore(inner, on=("set",), at=3), "r+")
    with pytest.raises(ndzarr.StoreError):
        z.append([7, 7, 7])  # both chunks, then the shape, which fails
    z = ndzarr.open_array(inner, "r+")
    assert z[:].tolist() == [1, 1, 1]
    z.resize(6)
    assert z[:].tolist() == [1, 1, 1, 0, 0, 0]


@pytest.mark.parametrize("at", range(1, 9))
def test_growing_one_axis_and_cutting_another_shows_nothing_of_a_failed_append(at: int) -> None:
    inner = ndzarr.MemoryStore()
    ndzarr.create_array(inner, shape=(3, 4), dtype="i4", chunks=(2, 3), fill_value=0)[:] = 1
    z = ndzarr.open_array(ndzarr.FaultStore(inner, on=("set",), at=5), "r+")
    with pytest.raises(ndzarr.StoreError):
        z.append(np.full((3, 4), 7, "i4"))  # four chunks, then the shape, which fails
    z = ndzarr.open_array(ndzarr.FaultStore(inner, on=("set", "delete"), at=at), "r+")
    with contextlib.suppress(ndzarr.StoreError):
        z.resize(6, 2)
    assert set(ndzarr.open_array(inner)[...].flat) <= {0, 1}


@pytest.mark.formats(2)
@pytest.mark.parametrize(
    ("fill", "value"),
    [(0.0, -0.0), ([1], [True]), ([0.0], [-0.0]), ({"a": 1}, {"a": 1.0})],
    ids=["zero", "bool", "zeros", "dict"],
)
def test_objects_that_equal_the_fill_value_and_are_not_it_are_stored(fill: Any, value: Any) -> None:
    z = ndzarr.create_array(None, shape=(1,), dtype=object, filters=["pickle"], fill_value=fill, allow_pickle=True)
    values = np.empty(1, object)
    values[0] = value
    z[:] = values
    assert repr(z[0]) == repr(value)


# ---- what is handed out belongs to the caller ----------------------------------------------------------


def test_records_are_copies() -> None:
    z = ndzarr.zeros((2, 2), dtype=[("a", "i4"), ("b", "f4")], chunks=(1, 1))
    z[1, 1] = (1, 2)
    for point in ((0, 0), (1, 1)):
        before = z[...].copy()
        record = z[point]
        record["a"] = 7
        np.testing.assert_array_equal(z[...], before)
    z.fill_value["a"] = 9
    assert z[0, 0]["a"] == 0


@pytest.mark.formats(2)
def test_objects_as_fill_values() -> None:
    z = ndzarr.create_array(shape=(3,), dtype=object, filters=["json2"], fill_value=[1, 2])
    assert z[:].tolist() == [[1, 2]] * 3
    z[:][0].append(3)
    z[(0,)].append(3)
    assert z[:].tolist() == [[1, 2]] * 3


def test_bytes_and_strings_as_fill_values() -> None:
    assert ndzarr.zeros(2, dtype=object, filters=["vlen-bytes"])[:].tolist() == [b"", b""]
    assert ndzarr.zeros(2, dtype=object, filters=["vlen-utf8"])[:].tolist() == ["", ""]
    for codec, fill in (("vlen-utf8", "é"), ("vlen-bytes", b"\xff\x00")):
        z = ndzarr.create_array(shape=3, dtype=object, filters=[codec], fill_value=fill)
        for handle in (z, ndzarr.open_array(z.store)):
            assert handle.fill_value == fill
            assert handle[:].tolist() == [fill] * 3
    for codec, fill in (("vlen-utf8", [1]), ("vlen-utf8", b"x"), ("vlen-bytes", [1]), ("vlen-bytes", "x")):
        with pytest.raises(ndzarr.ArgumentError, match="fill_value"):
            ndzarr.create_array(shape=3, dtype=object, filters=[codec], fill_value=fill)


def test_attributes_are_copies() -> None:
    z = ndzarr.zeros(3)
    z.attrs["l"] = [1]
    z.attrs["l"].append(2)
    assert z.attrs["l"] == [1]


@pytest.mark.parametrize(("value", "dtype"), [(np.int64(300), "u1"), (np.int64(-1), "u4"), (np.float64(1e10), "i4")])
def test_fill_values_that_are_numpy_scalars_do_not_wrap(value: Any, dtype: str) -> None:
    with pytest.raises(ndzarr.ArgumentError, match="fill_value"):
        ndzarr.full(3, value, dtype=dtype)


def test_appending_rows_that_are_no_arrays() -> None:
    z = ndzarr.create_array(shape=(1,), dtype=[("x", "i4"), ("y", "f8")])
    z.append([(1, 2.0), (3, 4.0)])
    assert z[:].tolist() == [(0, 0.0), (1, 2.0), (3, 4.0)]
    z = ndzarr.create_array(shape=(0,), dtype=object, filters=["vlen-bytes"])
    z.append([b"a", b"bc"])
    assert z[:].tolist() == [b"a", b"bc"]


@pytest.mark.formats(2)
def test_appending_arrays_that_are_elements() -> None:
    z = ndzarr.create_array(shape=(0,), dtype=object, filters=[{"id": "vlen-array", "dtype": "<i4"}])
    z.append([np.arange(2, dtype="i4"), np.arange(2, dtype="i4")])
    assert [x.tolist() for x in z[:]] == [[0, 1], [0, 1]]


@pytest.mark.parametrize("shape", [(), (3,), (2, 3)])
def test_an_element_of_a_missing_chunk_of_objects(shape: tuple[int, ...]) -> None:
    z = ndzarr.create_array(None, shape=shape, chunks=shape, dtype=object, filters=["vlen-bytes"])
    first = z[(0,) * len(shape)] if shape else z[()]
    assert type(first) is bytes
    if len(shape) == 1:
        assert type(z[0]) is bytes
    assert type(z[...].reshape(-1)[0]) is bytes
    assert ndzarr.create_array(None, shape=(3,), dtype=object, filters=["json2"], fill_value=[1], zarr_format=2)[0] == [1]
