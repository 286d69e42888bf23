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
