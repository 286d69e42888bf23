"""One call of a NumPy function, written as text; what came of it with some kind of array in place of NumPy's own."""

from __future__ import annotations

import ast
import io
import operator
import re
import tempfile
import warnings
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from functools import cache
from importlib import import_module
from pathlib import Path
from types import CodeType
from typing import Any, Literal, TypeAlias

import numpy as np
import numpy.lib.recfunctions as rfn

from ndzarr._typing import NDArray
from ndzarr.testing.calls.operands import NAMES, operand

#: How a result is held against NumPy's: to the bit; within rounding; by shape and dtype alone.
Compare: TypeAlias = Literal["exact", "close", "shape"]
Wrap: TypeAlias = Callable[[NDArray], Any]

#: For "close", by the itemsize of one real number: relative to the largest element.
_TOLERANCE = {2: 1e-2, 4: 1e-5, 8: 1e-12, 16: 1e-12}


def _loaded(save: Callable[[io.BytesIO], None]) -> Any:
    """What `np.load` finds in a file that `save` wrote; the text of it where it is none of NumPy's."""
    file = io.BytesIO()
    save(file)
    data = file.getvalue()
    if not data.startswith((b"\x93NUMPY", b"PK")):
        return data.decode()
    found = np.load(io.BytesIO(data))
    return found if isinstance(found, np.ndarray) else [found[name] for name in sorted(found)]


def _filed(read: Callable[[str], Any]) -> Any:
    """What `read` makes of the path of a file that holds the bytes 1, 2 and 3."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "bytes"
        path.write_bytes(b"\1\2\3")
        return read(str(path))


def _ordered(array: Any) -> NDArray:
    """What stands in an array, where the order is nobody's promise."""
    return np.sort(np.asarray(array))


#: What texts may name besides operands.
_NAMESPACE = {
    "np": np,
    "rfn": rfn,
    "op": operator,
    "io": io,
    "loaded": _loaded,
    "filed": _filed,
    "ordered": _ordered,
    "scimath": np.lib.scimath,
    "tricks": np.lib.stride_tricks,
    "umath": import_module("numpy._core.umath"),
    "strings": import_module("numpy._core.strings"),
    "polynomial": np.polynomial.polynomial,
}


@dataclass(frozen=True, slots=True)
class Call:
    """`text` is an expression over the names in `operands.NAMES`: in small letters wrapped, in capitals NumPy's own."""

    text: str
    compare: Compare = "close"
    scratch: bool = False
    """Whether NumPy leaves in its operands what nobody has a use for, so that they are not compared afterwards."""

    @property
    def function(self) -> Any:
        """The NumPy function, ufunc or operator that it is about: the outermost one called, itself or by a method."""
        return _parsed(self.text)[1]

    @property
    def name(self) -> str:
        """The name of `function` as texts have it: `linalg.norm`, `add`, `op.iadd`."""
        return _parsed(self.text)[2]

    @property
    def operands(self) -> tuple[str, ...]:
        """The names of operands in the text."""
        return _parsed(self.text)[3]


@cache
def _parsed(text: str) -> tuple[CodeType, Any, str, tuple[str, ...]]:
    tree = ast.parse(text, mode="eval")
    names = dict.fromkeys(node.id for node in ast.walk(tree) if isinstance(node, ast.Name))
    bound = {node.arg for node in ast.walk(tree) if isinstance(node, ast.arg)}
    bound |= {node.id for node in ast.walk(tree) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)}
    operands = tuple(name for name in names if name.lower() in NAMES and name not in bound)
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            path = ast.unparse(node.func)
            if path.partition(".")[0] in ("np", "rfn", "op", "strings", "scimath", "tricks", "umath", "polynomial"):
                found = eval(path, dict(_NAMESPACE))
                owner = getattr(found, "__self__", None)
                if isinstance(owner, np.ufunc):
                    found, path = owner, path.rpartition(".")[0]
                return compile(tree, text, "eval"), found, path.removeprefix("np."), operands
    raise ValueError(f"{text!r} calls no function of NumPy")


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a call.

    kind: "right"; "refused" where it raised and NumPy does not, or raised another class than NumPy does; "wrong" where it gave
    something else than NumPy, left an operand other than NumPy does, raised after it had changed one, or gave anything where
    NumPy raises. Classes of exceptions are compared as far as Python has them: `numpy.exceptions.AxisError` is a ValueError.
    """

    call: Call
    kind: Literal["right", "refused", "wrong"]
    why: str = ""
    error: Exception | None = None


def run(call: Call, wrap: Wrap, around: Callable[[], AbstractContextManager[Any]] = nullcontext) -> Outcome:
    """The outcome of a call with its operands wrapped; `around` is entered for the call and for looking at its result.

    Nothing is raised but by `wrap`. Warnings are not compared. Operands are compared too, with what NumPy left of its own.
    """
    own = {name: operand(name) for name in call.operands}
    given = {name: operand(name) if name.isupper() else wrap(operand(name)) for name in call.operands}
    code = _parsed(call.text)[0]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        want, wanted_error = _attempt(lambda: _flat(eval(code, _NAMESPACE | own)))
        with around():
            got, error = _attempt(lambda: _flat(eval(code, _NAMESPACE | given)))
        if error is not None:
            why = f"{type(error).__name__}: {error}".partition("\n")[0]
            same = wanted_error is not None and isinstance(error, _built_in(wanted_error))
            for name, array in own.items():
                left = operand(name) if wanted_error is None else array
                if changed := _difference(_flat(given[name]), left, "exact"):
                    return Outcome(call, "wrong", f"{why}; and {name} {changed}", error)
            return Outcome(call, "right" if same else "refused", why, error)
        if wanted_error is not None:
            return Outcome(call, "wrong", f"no exception, expected {type(wanted_error).__name__}: {wanted_error}")
        why = _difference(got, want, call.compare)
        for name in () if call.scratch else own:
            if not why and (changed := _difference(_flat(given[name]), own[name], call.compare)):
                why = f"afterwards {name} {changed}"
    return Outcome(call, "wrong" if why else "right", why)


def _built_in(error: Exception) -> type[BaseException]:
    return next(kind for kind in type(error).__mro__ if kind.__module__ == "builtins")


def _attempt(make: Callable[[], Any]) -> tuple[Any, Exception | None]:
    try:
        return make(), None
    except Exception as error:
        return None, error


def _flat(result: Any) -> Any:
    """A result with every array in it, of whatever kind, as NumPy's."""
    if isinstance(result, np.ma.MaskedArray):
        return [np.ma.getmaskarray(result), result.filled()]
    if isinstance(result, (list, tuple)):
        return [_flat(one) for one in result]
    if hasattr(result, "__array__"):
        return np.asarray(result)
    return result


def _difference(got: Any, want: Any, compare: Compare) -> str:
    """How a result differs from NumPy's; "" where it does not."""
    if isinstance(want, list):
        if not isinstance(got, list) or len(got) != len(want):
            return f"is {_short(got)}, expected {_short(want)}"
        pairs = zip(got, want, strict=True)
        return next((f"[{n}] {why}" for n, (g, w) in enumerate(pairs) if (why := _difference(g, w, compare))), "")
    if isinstance(want, (str, bytes, np.dtype, type, type(None), type(NotImplemented))):
        same = type(got) is type(want) and got == want
        return "" if same else f"is {_short(got)}, expected {_short(want)}"
    if isinstance(want, (np.ndarray, np.generic, bool, int, float, complex)):
        if not isinstance(got, (np.ndarray, np.generic, bool, int, float, complex)):
            return f"is {_short(got)}, expected {_short(want)}"
        return _array_difference(np.asarray(got), np.asarray(want), compare)
    return "" if type(got) is type(want) else f"is {_short(got)}, expected {_short(want)}"


def _array_difference(got: NDArray, want: NDArray, compare: Compare) -> str:
    if got.shape != want.shape:
        return f"has shape {got.shape}, expected {want.shape}"
    if got.dtype != want.dtype:
        return f"has dtype {got.dtype}, expected {want.dtype}"
    if compare == "shape":
        return ""
    if compare == "close" and want.dtype.kind in "fc":
        step = _TOLERANCE[want.real.dtype.itemsize]
        finite = np.abs(want[np.isfinite(want)])
        same = np.allclose(got, want, rtol=step, atol=step * finite.max(initial=0), equal_nan=True)
    else:
        same = all(
            np.array_equal(g, w, equal_nan=w.dtype.kind in "fcmM")
            for g, w in ([(got[name], want[name]) for name in want.dtype.names] if want.dtype.names else [(got, want)])
        )
    return "" if same else f"holds {_short(got)}, expected {_short(want)}"


def _short(value: Any) -> str:
    text = re.sub(r"\s+", " ", repr(value))
    return text if len(text) <= 160 else text[:160] + " ..."


@dataclass(frozen=True, slots=True)
class Score:
    """How many calls, and functions, were right; and every outcome that was not."""

    outcomes: list[Outcome] = field(default_factory=list)

    def of(self, kind: str) -> list[Outcome]:
        """Outcomes of one kind."""
        return [outcome for outcome in self.outcomes if outcome.kind == kind]

    @property
    def share(self) -> float:
        """Of all calls, how much was right: 0 ... 1."""
        return len(self.of("right")) / max(1, len(self.outcomes))

    def functions(self, kind: str) -> set[str]:
        """Names of functions; for "right" those that were right in every call, for the others in any."""
        names = {outcome.call.name for outcome in self.of(kind)}
        if kind == "right":
            names -= self.functions("wrong") | self.functions("refused")
        return names

    def __str__(self) -> str:
        counts = ", ".join(
            f"{len(self.of(kind))} {kind} ({len(self.functions(kind))} functions)" for kind in ("right", "refused", "wrong")
        )
        return f"{len(self.outcomes)} calls, {100 * self.share:.1f} % right: {counts}"


def score(wrap: Wrap, calls: Iterable[Call], around: Callable[[], AbstractContextManager[Any]] = nullcontext) -> Score:
    """What came of all of `calls`."""
    return Score([run(call, wrap, around) for call in calls])


def table(text: str, compare: Compare = "close") -> list[Call]:
    """The calls in a text, one a line. Behind `  # ` may stand marks: how to compare, `scratch`, `numpy 2.1`, `numpy <2.4`."""
    calls = []
    for line in text.strip().splitlines():
        code, _, marks = line.partition("  # ")
        if not code.strip() or not _exists(marks):
            continue
        how: tuple[Compare, ...] = ("shape", "exact", "close")
        named = next((mark for mark in how if mark in marks), compare)
        calls.append(Call(code.strip(), named, scratch="scratch" in marks))
    return calls


def _exists(marks: str) -> bool:
    found = re.search(r"numpy (<?)(\d+)\.(\d+)", marks)
    if found is None:
        return True
    own = tuple(int(part) for part in np.__version__.split(".")[:2])
    named = int(found[2]), int(found[3])
    return own < named if found[1] else own >= named
