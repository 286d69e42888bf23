"""LazyViews against NumPy: composed, read, written through; what they read and when; what they refuse."""

from __future__ import annotations

import pickle
import threading
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

import ndzarr
from ndzarr.fields import field_of
from ndzarr.grid import RegularAxis
from ndzarr.lazyview import LazyView
from ndzarr.operand import Operand
from ndzarr.selection import Selection
from ndzarr.testing import expressions
from ndzarr.testing.expressions import Choices, IndexKinds, RandomChoices
from ndzarr.testing.outcomes import Outcome, difference, read, same_values, value_difference, write
from ndzarr.testing.views import outer, points, step

PARTS = 10
COMPOSITIONS = 20_000
PER_ARRAY = 50

RECORDS = np.dtype([("a", "<i4"), ("c", "<c8"), ("s", [("p", "<f4"), ("q", "<u2")]), ("t", "<M8[s]")])
#: Arrays of records and complex numbers beside the drawn ones, which are seldom of either.
LAYOUTS: tuple[dict[str, Any], ...] = (
    {"chunks": (3, 4), "zarr_format": 2},
    {"chunks": (4, 4), "zarr_format": 2, "order": "F", "compressor": None},
    {"chunks": (3, 4), "zarr_format": 3},
    {"chunks": (2, 2), "shards": (4, 6), "zarr_format": 3},
    {"chunks": ([1, 5, 1], [2, 3]), "zarr_format": 3},
)


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    """NumPy warns of casts that lose something."""
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        yield


def arrays(choices: Choices) -> tuple[Any, np.ndarray]:
    """A stored array in any layout, and what it holds."""
    if choices.chance(30):
        dtype = choices.pick((RECORDS, np.dtype("c8"), np.dtype("c16")))
        data = expressions.pattern((7, 5), dtype, choices.integer(0, 90))
        return ndzarr.array(data, **choices.pick(LAYOUTS)), data
    sample = expressions.sample(choices)
    z = ndzarr.create_array(None, **sample.keywords)
    sample.fill_into(z)
    return z, sample.data


class Model:
    """What a view is to NumPy: where each element lies in the flat array, and which part of it is meant."""

    def __init__(self, data: np.ndarray) -> None:
        self.data = data
        self.flat = np.arange(data.size).reshape(data.shape)
        self.field: tuple[str, ...] = ()
        self.readonly = False

    @property
    def part(self) -> np.ndarray:
        part: np.ndarray = field_of(self.data.reshape(-1), self.field)
        return part

    @property
    def values(self) -> np.ndarray:
        return self.part[self.flat.reshape(-1)].reshape(self.flat.shape)  # never a scalar


def compose(choices: Choices, z: Any, data: np.ndarray) -> tuple[Model, Any, str]:
    """Up to four steps from an array to a view of views, fields and components among them."""
    model, view, told = Model(data), z.lazy[...], "z.lazy[...]"
    for _ in range(choices.integer(1, 4)):
        dtype = model.part.dtype
        if (dtype.names or dtype.kind == "c") and choices.chance(40):
            name = choices.pick(dtype.names or ("real", "imag"))
            view = view[name] if dtype.names else getattr(view, name)
            model.field = (*model.field, name)
            told += f"[{name!r}]" if dtype.names else f".{name}"
            continue
        drawn = step(choices, model.flat.shape)
        model.flat, view = drawn.numpy(model.flat), drawn.view(view)
        model.readonly |= drawn.broadcasts
        told += drawn.told
    return model, view, told


def assign(choices: Choices, model: Model, view: Any) -> tuple[str, str | None]:
    """Assign something to part of a view and of its model; what, and how the outcomes differ."""
    copy = model.values.copy()
    way = choices.pick(("", "", "", "oindex", "vindex"))
    if way:
        drawn = (outer if way == "oindex" else points)(choices, copy.shape)
        place = drawn.numpy(model.flat)
        value = expressions.value(choices, place.shape, copy.dtype, mismatched=True)
        target = np.empty(place.shape, copy.dtype)
        # Ints alone select an element, for which NumPy has other rules than for an array without axes.
        element = way == "oindex" and drawn.index and all(isinstance(entry, int) for entry in drawn.index)
        want = write(target[None], 0, value) if element else write(target, ..., value)
        got = write(getattr(view, way), drawn.index, value)
        told = f"{drawn.told} = {value!r}"
    else:
        index = expressions.index(choices, copy.shape, IndexKinds(invalid=True))
        shape = np.shape(read(copy, index).value) if read(copy, index).error is None else ()
        value = expressions.value(choices, shape, copy.dtype, mismatched=True)
        if np.unique(model.flat).size < model.flat.size:
            # Which of repeated elements is last is then told by C order alone, so that memory order must not have a say.
            index = tuple(map(plain, index)) if isinstance(index, tuple) else plain(index)
            value = plain(value)
        want = write(copy, index, value)
        got = write(view, index, value)
        told = f"[{index!r}] = {value!r}"
        place, target = (model.flat[index], copy[index]) if want.error is None else (np.empty(0, int), np.empty(0))
    if model.readonly:
        want = Outcome(error=ValueError("assignment destination is read-only"))
    if want.error is None:
        model.part[np.asarray(place).reshape(-1)] = np.asarray(target, model.part.dtype).reshape(-1)
    return told, difference(got, want)


def plain(entry: Any) -> Any:
    return np.ascontiguousarray(entry) if isinstance(entry, np.ndarray) and entry.ndim > 1 else entry


@pytest.mark.parametrize("part", range(PARTS))
def test_compositions(part: int, record_property: Callable[[str, object], None]) -> None:
    """20,000 compositions of up to four views: read, one box of each read, written through, and all compared."""
    wanted = COMPOSITIONS // PARTS
    done = number = 0
    problems: list[str] = []
    while done < wanted and len(problems) < 10:
        seed = f"lazy-{part}-{number}"
        number += 1
        choices = RandomChoices(seed)
        z, data = arrays(choices)
        for _ in range(min(PER_ARRAY, wanted - done)):
            done += 1
            model, view, told = compose(choices, z, data)
            told = f"\n{seed}: {told} of {z!r}"
            values = model.values
            if view.shape != values.shape or view.dtype != values.dtype:
                problems.append(f"{told} is {view!r}, expected {values.shape}, {values.dtype}")
                continue
            found = value_difference(view.compute(), values)
            if found is None:
                box = tuple(slice(*sorted((choices.integer(0, n), choices.integer(0, n)))) for n in values.shape)
                found = value_difference(view.read_box(box), values[(*box, ...)])
            if found is not None:
                problems.append(f"{told} {found}")
                continue
            what, found = assign(choices, model, view)
            contents = np.asarray(z[...])
            if found is None and not same_values(contents, data):
                found = f"leaves {contents!r}, expected {data!r}"
            if found is not None:
                problems.append(f"{told}{what}: {found}")
                z[...] = data  # what follows must not fail only because this did
    record_property("count: lazy compositions compared with NumPy, each read and written", done)
    assert not problems, f"{len(problems)} of {done}:" + "".join(problems)
    assert done == wanted


@pytest.mark.parametrize("order", [(0, 1, 2), (1, 2, 0), (2, 1, 0)])
@pytest.mark.parametrize("dtype", ["T", "i4"])
def test_which_of_repeated_indices_stays(order: tuple[int, ...], dtype: str) -> None:
    """As of an array: NumPy goes by the memory order of the index, in which strings in nested lists have no say."""
    points = np.array([[[6, 1], [9, 8]], [[0, 8], [13, 3]], [[2, 13], [8, 9]], [[6, 0], [4, 11]]])
    index = np.ascontiguousarray(points.transpose(order)).transpose(np.argsort(order))
    a = np.zeros(14, "i4") if dtype == "i4" else np.full(14, "x", np.dtypes.StringDType())
    value = np.arange(42, 58).reshape(4, 2, 2).astype("i4" if dtype == "i4" else "U2")
    for given in (value, np.asfortranarray(value), value.tolist()):
        z = ndzarr.array(np.concatenate([a, a]), chunks=(5,))
        expected = a.copy()
        expected[index] = given
        z.lazy[::-1][4:18][index] = given
        assert z[...][::-1][4:18].tolist() == expected.tolist()


def test_compositions_reach_everything() -> None:
    """Or the count above would say little: reads of many elements by every kind of pick, writes done and writes refused."""
    picks: set[str] = set()
    large = refused = 0
    for number in range(400):
        choices = RandomChoices(f"reach-{number}")
        z, data = arrays(choices)
        model, view, _ = compose(choices, z, data)
        picks |= {type(pick).__name__ for pick in view._transform.selection().selection.picks}
        large += model.flat.size > 4
        before = data.copy()
        assert assign(choices, model, view)[1] is None
        refused += model.readonly or same_values(before, data)
    assert picks == {"Point", "Span", "Take", "Gather"}
    assert large > 200
    assert 60 < refused < 300


# ---- what it costs ----


@pytest.fixture
def watched() -> tuple[Any, Any]:
    store = ndzarr.FaultStore(ndzarr.MemoryStore())
    z = ndzarr.array(np.arange(60).reshape(5, 12), store=store, chunks=(2, 5), zarr_format=2)
    store.clear()
    return z, store


def test_composing_asks_the_store_nothing(watched: tuple[Any, Any]) -> None:
    z, store = watched
    view = z.lazy[1:, ::-1]
    view = view.oindex[[0, 2], 3:].permuted((1, 0)).expanded(0)[0].vindex[[1, 2], [0, 1]]
    view = view.broadcast((3, 2)).diagonal().reshaped((2, 1)).squeezed()[..., None]
    assert view.shape == (2, 1)
    assert repr(view)
    assert view.borders()
    assert view.object_borders()
    assert not store.log
    view.compute()
    assert {call.op for call in store.log} == {"get"}


def test_only_touched_chunks_are_asked_for(watched: tuple[Any, Any]) -> None:
    z, store = watched
    view = z.lazy[::2, 3:8].permuted((1, 0))  # rows 0, 2, 4 and columns 3 to 7
    store.clear()
    np.asarray(view[:2, 1:])
    assert sorted(call.key for call in store.log) == ["1.0", "2.0"]
    store.clear()
    view[0, 0] = 7
    assert [(call.op, call.key) for call in store.log] == [("get", "0.0"), ("set", "0.0")]
    store.clear()
    z.lazy[:, ::-1][0:2, 7:12] = 3  # one whole chunk, seen from behind
    assert [(call.op, call.key) for call in store.log] == [("set", "0.0")]
    store.clear()
    z.lazy.vindex[[0, 4, 4], [0, 11, 11]][1:] = [5, 6]
    assert [(call.op, call.key) for call in store.log] == [("get", "2.2"), ("set", "2.2")]
    assert z[4, 11] == 6


# ---- components of complex numbers ----


def test_components_are_written_in_one_step() -> None:
    """Whoever writes real parts does not undo what another writes to imaginary ones."""
    z = ndzarr.zeros((64,), dtype="c16", chunks=16)
    parts = (z.lazy[...].real, z.lazy[...].imag)
    threads = [
        threading.Thread(target=lambda view=view, k=k: [view.__setitem__(i, k + i) for i in range(64)])
        for k, view in enumerate(parts, start=1)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert np.array_equal(z[...], np.arange(64) + 1 + 1j * (np.arange(64) + 2))


def test_components_of_real_numbers() -> None:
    z = ndzarr.array(np.arange(6).reshape(2, 3))
    view = z.lazy[...]
    assert view.real is view
    assert value_difference(view.imag.copy(), np.zeros((2, 3), int)) is None
    with pytest.raises(ValueError, match="read-only"):
        view.imag[0] = 1


def test_components_of_what_was_never_written() -> None:
    z = ndzarr.create_array(None, shape=(4,), chunks=2, dtype="c8", fill_value=1 + 2j)
    assert z.lazy[...].imag.compute().tolist() == [2.0] * 4
    z.lazy[...].real[1:3] = 5
    assert z[...].tolist() == [1 + 2j, 5 + 2j, 5 + 2j, 1 + 2j]


# ---- fields ----


@pytest.mark.parametrize("layout", LAYOUTS, ids=repr)
def test_fields(layout: dict[str, Any]) -> None:
    data = expressions.pattern((7, 5), RECORDS)
    z = ndzarr.array(data, **layout)
    assert value_difference(z.lazy["a"].compute(), data["a"].copy()) is None
    assert value_difference(z.lazy["a", 3:5].compute(), data["a"][3:5].copy()) is None
    assert value_difference(z.lazy[["a", "t"]][1:].compute(), data[["a", "t"]][1:].copy()) is None
    assert value_difference(z.lazy["s"]["q"][::-1].compute(), data["s"]["q"][::-1].copy()) is None
    assert value_difference(z.lazy["c"].imag[:, 2].compute(), data["c"].imag[:, 2].copy()) is None
    z.lazy["s"][::2]["p"] = np.arange(20).reshape(4, 5)
    data["s"][::2]["p"] = np.arange(20).reshape(4, 5)
    z.lazy["c"].imag[1] = z.lazy["c"].real[2]
    data["c"].imag[1] = data["c"].real[2]
    z.lazy[...]["a", 0] = 9
    data["a"][0] = 9
    part = data[["a", "t"]][::-1].copy()
    z.lazy[["a", "t"]][...] = part
    data[["a", "t"]] = part
    z.lazy[:3][["t", "a"]] = np.zeros(5, data[["t", "a"]].dtype)
    data[:3][["t", "a"]] = np.zeros(5, data[["t", "a"]].dtype)
    assert same_values(z[...], data)
    for wrong, error in (("none", ValueError), (["a", "none"], KeyError), ((0, "none"), IndexError)):
        with pytest.raises(error):
            z.lazy[wrong]
    with pytest.raises(IndexError):
        z.lazy["a"]["a"]


def test_a_field_of_arrays_is_read_not_viewed() -> None:
    z = ndzarr.array(np.zeros(3, [("a", "i4"), ("b", "f4", (2,))]), zarr_format=2)
    assert z.lazy["a"].compute().tolist() == [0, 0, 0]
    with pytest.raises(ndzarr.ArgumentError, match=r"elements are arrays of shape \(2,\)"):
        z.lazy["b"]


# ---- errors ----

A = np.arange(24).reshape(4, 6)
WRONG: dict[str, Callable[[Any], Any]] = {
    "index": lambda v: v[4],
    "many": lambda v: v[0, 0, 0],
    "array": lambda v: v[[0, 9]],
    "mask": lambda v: v[np.ones(3, bool)],
    "float": lambda v: v[1.0],
    "step": lambda v: v[::0],
    "slice": lambda v: v["a":],
    "field": lambda v: v["a"],
    "shapes": lambda v: v[[0, 1], [0, 1, 2]],
    "value": lambda v: v.__setitem__(slice(0, 2), np.zeros(5)),
    "cast": lambda v: v.__setitem__(0, "x"),
    "late": lambda v: v.__setitem__(([0, 1], [0, 1, 2]), "x"),
}
WRONG_SHAPES: dict[str, tuple[Callable[[Any], Any], Callable[[np.ndarray], Any]]] = {
    "order": (lambda v: v.permuted((0,)), lambda a: a.transpose((0,))),
    "repeated order": (lambda v: v.permuted((0, 0)), lambda a: a.transpose((0, 0))),
    "far order": (lambda v: v.permuted((0, 2)), lambda a: a.transpose((0, 2))),
    "broadcast": (lambda v: v.broadcast((4, 5)), lambda a: np.broadcast_to(a, (4, 5))),
    "fewer": (lambda v: v.broadcast((6,)), lambda a: np.broadcast_to(a, (6,))),
    "negative": (lambda v: v[:1].broadcast((-1, 6)), lambda a: np.broadcast_to(a[:1], (-1, 6))),
    "expand": (lambda v: v.expanded(3), lambda a: np.expand_dims(a, 3)),
    "expand twice": (lambda v: v.expanded((0, 0)), lambda a: np.expand_dims(a, (0, 0))),
    "squeeze": (lambda v: v.squeezed(0), lambda a: np.squeeze(a, 0)),
    "squeeze far": (lambda v: v.squeezed(2), lambda a: np.squeeze(a, 2)),
    "diagonal": (lambda v: v[0].diagonal(), lambda a: a[0].diagonal()),
    "diagonal axes": (lambda v: v.diagonal(0, 1, 1), lambda a: a.diagonal(0, 1, 1)),
    "diagonal far": (lambda v: v.diagonal(0, 0, 2), lambda a: a.diagonal(0, 0, 2)),
    "reshape": (lambda v: v.reshaped((5, 5)), lambda a: a.reshape((5, 5))),
}


@pytest.mark.parametrize("name", WRONG)
def test_errors_are_numpys(name: str) -> None:
    z = ndzarr.array(A, chunks=(2, 4))
    for view, like in ((z.lazy[...], A.copy()), (z.lazy[:, ::-1].permuted((0, 1)), A[:, ::-1].copy())):
        with pytest.raises(Exception) as want:  # NumPy says which
            WRONG[name](like)
        with pytest.raises(ndzarr.NdzarrError if want.type is IndexError else Exception) as got:
            WRONG[name](view)
        assert issubclass(got.type, want.type), got.value
    assert np.array_equal(z[...], A)


@pytest.mark.parametrize("name", WRONG_SHAPES)
def test_errors_of_shapes_are_numpys(name: str) -> None:
    ours, numpys = WRONG_SHAPES[name]
    with pytest.raises(Exception) as want:  # NumPy says which
        numpys(A)
    with pytest.raises(want.type):
        ours(ndzarr.array(A).lazy[...])


def test_what_cannot_be_written() -> None:
    z = ndzarr.array(A)
    view = z.lazy[0].broadcast((3, 6))
    for part in (view, view[1:], view.permuted((1, 0)), view.reshaped((3, 2, 3))):
        assert part is not None
        assert not part.writable
        with pytest.raises(ndzarr.ReadOnlyError, match="read-only"):
            part[0] = 1
        with pytest.raises(ndzarr.ReadOnlyError):
            part.oindex[0] = 1
        with pytest.raises(ndzarr.ReadOnlyError):
            part.write_box(tuple(slice(0, n) for n in part.shape), np.zeros(part.shape))
    store = ndzarr.MemoryStore()
    ndzarr.save(store, A)
    closed = ndzarr.open_array(store, mode="r").lazy[1:]
    assert not closed.writable
    with pytest.raises(ndzarr.ReadOnlyError, match="mode 'r'"):
        closed[0] = 1
    with pytest.raises(ndzarr.ReadOnlyError, match="mode 'r'"):
        closed.vindex[[0], [1]] = 1
    assert np.array_equal(z[...], A)


def test_too_large_to_read() -> None:
    view = ndzarr.array(A).lazy[0, 0].broadcast((1 << 60,))
    with pytest.raises(ndzarr.MemoryLimitError):
        view.compute()
    with pytest.raises(ndzarr.MemoryLimitError):
        view.broadcast((1 << 60, 1 << 60)).compute()
    assert view[5:8].compute().tolist() == [0, 0, 0]
    with ndzarr.options(max_result=100), pytest.raises(ndzarr.MemoryLimitError, match="max_result"):
        view[:20].compute()


@pytest.mark.parametrize("missing", ["fill", "mask"])
def test_much_that_is_gathered_is_read_and_written_in_pieces(missing: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The index arrays of a diagonal would be larger than what is read."""
    a = np.arange(2000.0).reshape(20, 20, 5)
    store = ndzarr.MemoryStore()
    z = ndzarr.array(a, store=store, chunks=(6, 7, 5))
    store.delete("c/1/1/0")
    z = ndzarr.open_array(store, mode="r+")
    a[6:12, 7:14] = 0
    points: list[int] = []
    selected = LazyView._engine_for

    def counted(self: LazyView, selection: Selection) -> Any:
        points.append(selection.work_shape[0])
        return selected(self, selection)

    monkeypatch.setattr("ndzarr.transform._MOST_POINTS", 6)
    monkeypatch.setattr(LazyView, "_engine_for", counted)
    with ndzarr.options(missing=missing):
        got: Any = z.lazy[...].diagonal(1).permuted((1, 0)).compute()
    assert np.array_equal(np.ma.getdata(got), a.diagonal(1).T)
    assert np.ma.getmaskarray(got).sum() == (30 if missing == "mask" else 0)
    assert sum(points) == 19
    assert max(points) <= 6
    picked = np.array([[3, 0, 3], [1, 3, 0]])
    value = np.arange(30.0).reshape(2, 3, 5)
    z.lazy.vindex[picked, picked][...] = value
    for i in range(2):
        for j in range(3):
            a[picked[i, j], picked[i, j]] = value[i, j]
    assert np.array_equal(z[...], a)


# ---- the array changes ----


def test_after_a_resize() -> None:
    z = ndzarr.array(A, chunks=(2, 4))
    rows, low, points, all_of_it = z.lazy[::-1], z.lazy[:2, 1:3], z.lazy.vindex[[3, 0], [5, 1]], z.lazy[...]
    z.resize(6, 8)
    assert np.array_equal(rows, A[::-1])
    assert np.array_equal(all_of_it, A)
    z.resize(3, 4)
    assert np.array_equal(low, A[:2, 1:3])
    assert np.array_equal(rows[1:, :4], A[2::-1, :4])
    assert points[1].compute() == A[0, 1]
    for view in (rows, points, all_of_it):
        with pytest.raises(ndzarr.SelectionError, match=r"made when the array had shape \(4, 6\); it has \(3, 4\)"):
            view.compute()
        with pytest.raises(ndzarr.SelectionError):
            view[...] = 0
    with pytest.raises(ndzarr.SelectionError):
        rows.read_box((slice(0, 1), slice(0, 1)))
    with pytest.raises(ndzarr.SelectionError):
        rows.write_box((slice(0, 1), slice(0, 1)), np.zeros((1, 1), int))
    low[...] = 5
    assert z[...].tolist() == [[0, 5, 5, 3], [6, 5, 5, 9], [12, 13, 14, 15]]
    again = pickle.loads(pickle.dumps(points))
    with pytest.raises(ndzarr.SelectionError):
        again.compute()
    assert z.lazy[...].shape == (3, 4)


# ---- as an array ----


def test_is_an_operand() -> None:
    z = ndzarr.array(A, chunks=(2, 4))
    view = z.lazy[1:, ::-2]
    assert isinstance(view, Operand)
    view.write_box((slice(1, 3), slice(0, 1)), np.array([[1.9], [2.0]]))
    assert z[2:, 5].tolist() == [1, 2]
    assert np.asarray(view, "f4").dtype == np.float32
    with pytest.raises(ValueError, match="without a copy"):
        np.asarray(view, copy=False)
    single = view[0, 0]
    assert isinstance(single, LazyView)
    assert value_difference(single.compute(), np.array(11)) is None
    assert np.array_equal(z.lazy[...].lazy.oindex[[1], 2:], A[1:2, 2:])


def test_a_view_as_a_value() -> None:
    z = ndzarr.array(A, chunks=(2, 4))
    z.lazy[::-1][...] = z.lazy[...]
    assert np.array_equal(z[...], A[::-1])
    z[...] = z.lazy[:, ::-1]
    assert np.array_equal(z[...], A[::-1, ::-1])
    z.lazy[0] = 1
    z.lazy.oindex[[1, 2], :2] = 2
    z.lazy.vindex[[3, 3], [0, 1]] = [3, 4]
    assert z[:, :2].tolist() == [[1, 1], [2, 2], [2, 2], [3, 4]]


def test_augmented_assignment(watched: tuple[Any, Any]) -> None:
    """`view[index] += 1` reads and writes once, not once more to put the view where it is."""
    z, store = watched
    expected = z[...]
    for index in (np.s_[1:3, ::-1], np.s_[[4, 0, 3]], np.s_[np.array([[3, 1], [0, 2]]), 5:1:-2]):
        store.clear()
        z.lazy[index] += 100
        first = [(call.op, call.key) for call in store.log]
        view = z.lazy[index]
        store.clear()
        view += 100
        assert sorted(first) == sorted((call.op, call.key) for call in store.log)
        expected[index] += 200
    z.lazy.oindex[[1, 4], 2:3] -= 5
    expected[[1, 4], 2:3] -= 5
    z.lazy[:, ::-1].vindex[[0, 4], [1, 2]] *= 2
    expected[:, ::-1][[0, 4], [1, 2]] *= 2
    z.lazy[1] = z.lazy[1, ::-1]  # of the same array, but not of the same elements
    expected[1] = expected[1, ::-1].copy()
    other = ndzarr.open_array(store)
    z.lazy[0] = other.lazy[0, ::-1]
    expected[0] = expected[0, ::-1].copy()
    assert np.array_equal(z[...], expected)


def test_pickle_and_repr(tmp_path: Any) -> None:
    z = ndzarr.array(expressions.pattern((7, 5), RECORDS), store=tmp_path, chunks=(3, 4), path="x/y")
    view = z.lazy["c"][1:6:2, ::-1].imag.permuted((1, 0))
    again = pickle.loads(pickle.dumps(view))
    assert value_difference(again.compute(), view.compute()) is None
    assert repr(view) == repr(again)
    assert repr(view) == (
        f"<ndzarr.LazyView shape=(5, 3) dtype=float32 of x/y['c'].imag[1::2, ::-1] along axes 1, 0 in {z.store.url}>"
    )
    again[0] = -1
    assert np.array_equal(z[1:6:2]["c"].imag[:, 4], [-1, -1, -1])
    assert pickle.loads(pickle.dumps(view.broadcast((2, 5, 3)))).writable is False
    assert repr(z.lazy[["a", "t"]]).startswith("<ndzarr.LazyView shape=(7, 5) dtype=")


def test_missing_policies() -> None:
    store = ndzarr.MemoryStore()
    ndzarr.create_array(store, shape=(4, 4), chunks=(2, 2), dtype="i4", fill_value=7)[:2] = 1
    z = ndzarr.open_array(store, mode="r+", missing="raise")
    assert z.lazy[::-1][2:].compute().tolist() == [[1] * 4] * 2
    with pytest.raises(ndzarr.MissingChunkError):
        z.lazy[::-1].compute()
    with ndzarr.options(missing="raise"), pytest.raises(ndzarr.MissingChunkError):
        ndzarr.open_array(store).lazy[2:, 2:].read_box((slice(0, 1), slice(0, 1)))
    assert ndzarr.open_array(store).lazy[2:, 2:].compute().tolist() == [[7, 7], [7, 7]]


def test_what_is_missing_is_masked() -> None:
    """Read by `compute`, as by an index of the array itself; functions see fill values, for they take boxes."""
    store = ndzarr.MemoryStore()
    ndzarr.create_array(store, shape=(4, 3), chunks=(2, 2), dtype="c8", fill_value=7)[:2] = np.arange(6).reshape(2, 3)
    z = ndzarr.open_array(store, missing="mask")
    whole = z[...]
    assert whole.mask.sum() == 6
    for view, want in (
        (z.lazy[::-1].permuted((1, 0)), whole[::-1].T),
        (z.lazy[[3, 0, 1], [0, 1, 2]].real, whole[[3, 0, 1], [0, 1, 2]].real),
        (z.lazy[3, 0], whole[3:, 0].reshape(())),
        (z.lazy[3, 0].broadcast((2,)), np.ma.concatenate([whole[3:, 0], whole[3:, 0]])),
        (z.lazy[1:3, :1].broadcast((2, 2)), np.ma.concatenate([whole[1:3, :1], whole[1:3, :1]], axis=1)),
        (z.lazy[2:2, None], whole[2:2, None]),
    ):
        got: Any = view.compute()
        assert type(got) is np.ma.MaskedArray
        assert got.shape == want.shape
        assert np.array_equal(np.ma.getmaskarray(got), np.ma.getmaskarray(want))
        assert np.array_equal(got.data, want.data)
        assert type(np.asarray(view)) is np.ndarray


def test_borders() -> None:
    z = ndzarr.array(np.zeros((20, 30, 8)), chunks=(5, 6, 4), shards=(10, 12, 8))
    rows, columns, deep = z.lazy[1:19:2, ::-1].permuted((1, 0, 2)).borders()
    assert (rows.axis, rows.start, rows.step, rows.flip, rows.chunk) == (RegularAxis(30, 6), 0, 1, True, 6)
    assert (columns.axis, columns.start, columns.step, columns.flip, columns.length) == (RegularAxis(20, 5), 1, 2, False, 9)
    assert deep.chunk == 4
    assert [b.chunk for b in z.lazy[...].object_borders()] == [10, 12, 8]
    assert [b.chunk for b in z.lazy.oindex[[0, 1, 2, 7, 5, 19], :, 3].borders()] == [2, 6]
    assert [b.axis for b in z.lazy.oindex[[0, 1, 2, 7, 5, 19], :, 3].borders()] == [None, RegularAxis(30, 6)]
    assert [(b.axis, b.chunk) for b in z.lazy[:, :, 0].diagonal().borders()] == [(None, 5)]
    assert [(b.axis, b.chunk) for b in z.lazy[0, 0, :1].broadcast((9, 7)).borders()] == [(None, 9), (None, 7)]
    assert [b.length for b in z.lazy[3:3].borders()] == [0, 30, 8]


def test_names_of_axes_follow_them() -> None:
    z = ndzarr.create_array(shape=(3, 4, 5), dtype="i1", dimension_names=("t", None, "x"))
    view = z.lazy
    assert view[...].dimension_names == ("t", None, "x")
    assert view[1].dimension_names == (None, "x")
    assert view[:, ::-2, 1:3].dimension_names == ("t", None, "x")
    assert np.transpose(view[...]).dimension_names == ("x", None, "t")
    assert view[:, None].dimension_names == ("t", None, None, "x")
    assert view[[0, 2, 1]].dimension_names == ("t", None, "x")
    assert view[1:2].dimension_names == (None, None, "x")  # one element of an axis is a place, and no axis
    assert view[[0, 1], :, [0, 1]].dimension_names == (None, None)  # along two axes at once
    assert ndzarr.zeros((3, 4)).lazy[...].dimension_names is None
