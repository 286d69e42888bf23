"""DuckArray: what ZArray and LazyView share of being an array to NumPy: protocols, operators, methods."""

from __future__ import annotations

import math
import operator
import sys
from abc import abstractmethod
from collections.abc import Callable, Hashable, Iterable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.lib.mixins import NDArrayOperatorsMixin

from ndzarr import config, dask_bridge
from ndzarr._typing import Box, DType, NDArray, Shape
from ndzarr.crew import processors
from ndzarr.errors import ArgumentError, SelectionError
from ndzarr.explain import LOOKUPS, Explanation
from ndzarr.operand import Borders
from ndzarr.streaming import load


def _method(name: str) -> Callable[..., Any]:
    function = getattr(np, name)

    def method(self: Any, *args: Any, **kwargs: Any) -> Any:
        return function(self, *args, **kwargs)

    method.__name__ = name
    method.__qualname__ = f"DuckArray.{name}"
    method.__doc__ = f"`numpy.{name}` of this array."
    return method


class DuckArray(NDArrayOperatorsMixin):
    """An array that is read when it is needed, and that NumPy's functions take; an `operand.Operand`.

    Functions and operators give NumPy arrays, but for functions of shape alone, which give LazyViews. In-place operators and
    `out=` write to the store. https://numpy.org/neps/nep-0018-array-function-protocol.html, nep-0013 for ufuncs.
    """

    __slots__ = ()

    # ---- what an operand is --------------------------------------------------------------------------------

    @property
    @abstractmethod
    def shape(self) -> Shape:
        """Lengths of the axes."""

    @property
    @abstractmethod
    def dtype(self) -> DType:
        """The NumPy dtype of the elements."""

    @abstractmethod
    def read_box(self, box: Box) -> NDArray:
        """See `operand.Operand`."""

    @abstractmethod
    def write_box(self, box: Box, value: NDArray) -> None:
        """See `operand.Operand`."""

    @abstractmethod
    def borders(self) -> tuple[Borders, ...]:
        """See `operand.Operand`."""

    @abstractmethod
    def object_borders(self) -> tuple[Borders, ...]:
        """See `operand.Operand`."""

    @abstractmethod
    def chunk_ns(self) -> float:
        """See `operand.Operand`."""

    @abstractmethod
    def placed(self) -> tuple[Hashable, Any]:
        """What identifies the stored array, and how this lies over it: None where it is that array as it stands."""

    def overlaps(self, other: Any) -> bool:
        """See `operand.Operand`."""
        if not isinstance(other, DuckArray):
            return False
        (mine, how), (its, so) = self.placed(), other.placed()
        if mine != its:
            return False
        return not (how is so or (how is not None and how == so)) or self._repeats()

    def _repeats(self) -> bool:
        """Whether elements at several indices lie at one place."""
        return False

    @property
    @abstractmethod
    def lazy(self) -> Any:
        """`a.lazy[index]`, `a.lazy.oindex[...]`, `a.lazy.vindex[...]`: LazyViews, which read nothing until asked."""

    @abstractmethod
    def __getitem__(self, index: Any) -> Any: ...

    @abstractmethod
    def __setitem__(self, index: Any, value: Any) -> None: ...

    @property
    def ndim(self) -> int:
        """Axes."""
        return len(self.shape)

    @property
    def size(self) -> int:
        """Elements."""
        return math.prod(self.shape)

    @property
    def itemsize(self) -> int:
        """Bytes of one decoded element."""
        return self.dtype.itemsize

    @property
    def nbytes(self) -> int:
        """Bytes of the whole decoded array."""
        return self.size * self.dtype.itemsize

    # ---- what it would cost --------------------------------------------------------------------------------

    @abstractmethod
    def _explain_index(self, index: Any, lookups: int) -> Explanation:
        """What reading `self[index]` would cost."""

    @abstractmethod
    def _explain_boxes(self, boxes: Iterable[Box], lookups: int) -> Explanation:
        """What reading these boxes one after the other would cost."""

    def explain(self, index: Any = ..., *args: Any, lookups: int = LOOKUPS, **kwargs: Any) -> Explanation:
        """What `z[index]` would read, decode and need of memory, without reading a chunk; see `Explanation`.

        With a reduction in place of an index, the same of `function(z, *args, **kwargs)`: `z.explain(np.mean, axis=0)`. Costs
        a look-up of each stored object that is touched, up to `lookups` of them, beyond which the rest is estimated, and the
        index of each shard. Of a reduction on several threads two may ask for the index of one shard, which is told once. What
        statistics would save (`ZArray.collect_statistics`) is not told, but for the request that looks for them.

        Raises what `z[index]`, or the function, raises for wrong arguments, ArgumentError for a function that is no reduction,
        and what a store that fails and a damaged shard raise.

        >>> import ndzarr, numpy as np
        >>> z = ndzarr.array(np.arange(1000), chunks=(100,), compressor=None)
        >>> z.explain(slice(0, 250)).requests, z.explain(np.sum).nbytes_result
        (3, 8)
        """
        if not callable(index):
            if args or kwargs:
                raise ArgumentError(f"explain takes an index alone, or a function and its arguments; found {args} {kwargs}")
            return self._explain_index(index, lookups)
        from ndzarr.functions import dispatch

        reads = dispatch.reads(index, self, args, kwargs)
        largest = 0

        def boxes() -> Iterator[Box]:
            nonlocal largest
            for box in reads.boxes:
                largest = max(largest, math.prod(s.stop - s.start for s in box))
                yield box

        told = self._explain_boxes(boxes(), lookups)
        workers = config.current().workers or processors()
        return replace(
            told,
            requests=told.requests + reads.looks,
            nbytes_result=reads.nbytes_result,
            nbytes_peak=reads.nbytes_result + workers * (told.nbytes_peak + largest * (reads.weight - self.dtype.itemsize)),
        )

    # ---- NumPy's protocols --------------------------------------------------------------------------------

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray:
        """The whole array as NumPy's; `copy=False` is refused, since reading makes one."""
        if copy is False:
            raise ArgumentError("a stored array cannot become a NumPy array without a copy; pass copy=None")
        whole = np.asarray(self.compute())  # without the mask that a view's may have
        return whole if dtype is None else whole.astype(dtype, copy=False)

    def compute(self) -> NDArray:
        """The whole array as NumPy's, 0-d ones included. Raises MemoryLimitError above `options(max_result=)`."""
        return np.asarray(load(self))

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **kwargs: Any) -> Any:
        """NumPy's ufuncs, block by block. A dask array among the operands makes it a lazy dask array."""
        everything = (*inputs, *(kwargs.get("out") or ()))
        if not all(_known(type(x)) for x in everything):
            if any(_is_dask(type(x)) for x in everything):
                return dask_bridge.dispatch_ufunc(ufunc, method, inputs, kwargs)
            return NotImplemented
        from ndzarr.functions import ufuncs  # not before the first function: reading and writing need none of it

        return ufuncs.call(ufunc, method, inputs, kwargs)

    def __array_function__(self, func: Callable[..., Any], types: Any, args: Any, kwargs: Any) -> Any:
        """NumPy's functions; docs/functions.md says how each is done. A dask array among the arguments makes it dask's."""
        if not all(_known(kind) for kind in types):
            if any(_is_dask(kind) for kind in types):
                return dask_bridge.dispatch_function(func, args, kwargs)
            return NotImplemented
        from ndzarr.functions import dispatch

        return dispatch.call(func, args, kwargs)

    def __dask_tokenize__(self) -> Any:
        # Never equal for arrays that might differ: what lies under the keys may change at any time.
        from uuid import uuid4

        return type(self).__name__, uuid4().hex

    def to_dask(self, chunks: Any = None, *, name: str | None = None, inline_array: bool = True) -> Any:
        """A lazy dask array whose blocks are read when it is computed; needs dask. See `dask_bridge.to_dask`."""
        return dask_bridge.to_dask(self, chunks, name=name, inline_array=inline_array)

    def to_dask_array(self) -> Any:
        """`to_dask()`, by the name that dask itself asks for."""
        return self.to_dask()

    def plot(self, index: Any = None, **options: Any) -> Any:
        """`ndzarr.quicklook(self, index, **options)`: a thinned picture of a slice; needs matplotlib."""
        from ndzarr import plotting

        return plotting.quicklook(self, index, **options)

    # ---- Python's protocols --------------------------------------------------------------------------------

    def __len__(self) -> int:
        if not self.shape:
            raise TypeError("len() of unsized object")
        return self.shape[0]

    def __iter__(self) -> Iterator[Any]:
        """The elements of the first axis in turn, as NumPy's; chunks are read once each, a slab of them at a time."""
        if not self.shape:
            raise TypeError("iteration over a 0-d array")
        return self._rows()

    def _rows(self) -> Iterator[Any]:
        start = 0
        rest = tuple([slice(0, n, 1) for n in self.shape[1:]])
        for stop in self.borders()[0].stops(1):
            yield from self.read_box((slice(start, stop, 1), *rest))
            start = stop

    def _only(self) -> Any:
        """The one element, for conversions to Python's numbers; NumPy's own error for more."""
        if self.size != 1:
            raise TypeError(f"only an array with one element can be converted to a Python scalar, found shape {self.shape}")
        return load(self).reshape(())[()]

    def __bool__(self) -> bool:
        if self.size > 1:
            raise ArgumentError("the truth value of an array with more than one element is ambiguous; use a.any() or a.all()")
        return bool(load(self))

    def __int__(self) -> int:
        return int(self._only())

    def __float__(self) -> float:
        return float(self._only())

    def __complex__(self) -> complex:
        return complex(self._only())

    def __index__(self) -> int:
        if self.ndim or self.dtype.kind not in "iu":
            raise TypeError("only integer scalar arrays can be converted to a scalar index")
        return operator.index(load(self)[()])

    def __contains__(self, value: Any) -> bool:
        return bool(np.any(np.equal(self, value)))

    def item(self, *args: Any) -> Any:
        """One element as a Python scalar, as `numpy.ndarray.item`."""
        if not args:
            if self.size != 1:
                raise ArgumentError(f"can only convert an array of size 1 to a Python scalar, found shape {self.shape}")
            return load(self).item()
        index = args[0] if len(args) == 1 else args
        if not isinstance(index, tuple):
            flat = operator.index(index)
            if not -self.size <= flat < self.size:
                raise SelectionError(f"index {flat} is out of bounds for size {self.size}")
            index = np.unravel_index(flat % self.size, self.shape)
        return np.asarray(self.lazy[tuple(int(i) for i in index)]).item()

    def tolist(self) -> Any:
        """The whole array as nested lists."""
        return np.asarray(self).tolist()

    # ---- NumPy's methods --------------------------------------------------------------------------------

    @property
    def T(self) -> Any:  # noqa: N802  # NumPy's name
        """The transposed view."""
        return np.transpose(self)

    @property
    def mT(self) -> Any:  # noqa: N802  # NumPy's name
        """The view with its last two axes swapped."""
        return np.matrix_transpose(self)

    @property
    def real(self) -> Any:
        """A view of the real parts; what is assigned is written."""
        return np.real(self)

    @real.setter
    def real(self, value: Any) -> None:
        np.real(self)[...] = value

    @property
    def imag(self) -> Any:
        """A view of the imaginary parts, what is assigned is written; of real numbers, zeros."""
        return np.imag(self)

    @imag.setter
    def imag(self, value: Any) -> None:
        if self.dtype.kind != "c":
            raise TypeError("array does not have imaginary part to set")
        np.imag(self)[...] = value

    def astype(self, dtype: Any, *, casting: Any = "unsafe") -> NDArray:
        """The whole array, read and cast, as NumPy's."""
        found: NDArray = np.asarray(self).astype(dtype, casting=casting, copy=False)
        return found

    def transpose(self, *axes: Any) -> Any:
        """`numpy.ndarray.transpose`, as a view."""
        order = None if not axes or axes == (None,) else axes[0] if len(axes) == 1 and hasattr(axes[0], "__iter__") else axes
        return np.transpose(self, order)

    def reshape(self, *shape: Any, order: Any = "C") -> Any:
        """`numpy.ndarray.reshape`: a view where it can be one."""
        lengths = shape[0] if len(shape) == 1 else shape
        return np.reshape(self, lengths, order=order)

    def flatten(self, order: Any = "C") -> NDArray:
        """All elements in one axis, as NumPy's."""
        return np.array(np.ravel(self, order))

    # What only passes the array on to the function of that name.
    all = _method("all")
    any = _method("any")
    argmax = _method("argmax")
    argmin = _method("argmin")
    argpartition = _method("argpartition")
    argsort = _method("argsort")
    choose = _method("choose")
    clip = _method("clip")
    conj = _method("conj")
    conjugate = _method("conjugate")
    cumprod = _method("cumprod")
    cumsum = _method("cumsum")
    diagonal = _method("diagonal")
    dot = _method("dot")
    max = _method("max")
    mean = _method("mean")
    min = _method("min")
    nonzero = _method("nonzero")
    prod = _method("prod")
    ptp = _method("ptp")
    ravel = _method("ravel")
    repeat = _method("repeat")
    round = _method("round")
    searchsorted = _method("searchsorted")
    squeeze = _method("squeeze")
    std = _method("std")
    sum = _method("sum")
    swapaxes = _method("swapaxes")
    take = _method("take")
    trace = _method("trace")
    var = _method("var")

    def compress(self, condition: Any, axis: Any = None, out: Any = None) -> Any:
        """`numpy.compress` of this array."""
        return np.compress(condition, self, axis, out)


def _known(kind: type) -> bool:
    """Whether operands of this class mix with ours: NumPy's, ours, numbers and lists; not what has a protocol of its own."""
    if issubclass(kind, (np.ndarray, np.generic, DuckArray)):
        return True
    return not (hasattr(kind, "__array_ufunc__") or hasattr(kind, "__array_function__"))


def _is_dask(kind: type) -> bool:
    return "dask" in sys.modules and dask_bridge.is_dask(kind)
