"""KnowingArray: what a ZArray knows of its elements without reading them all: digest, statistics, where."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from ndzarr import config
from ndzarr._typing import NDArray
from ndzarr.engine import Engine
from ndzarr.progress import Progress

if TYPE_CHECKING:
    from ndzarr.statistics import Statistics


class KnowingArray:
    """The part of ZArray that is about what its elements are. Digests and statistics are imported when first used."""

    __slots__ = ()
    _engine: Engine
    _missing: config.Missing | None

    if TYPE_CHECKING:  # Node has it

        def _check_writable(self) -> None: ...

    def digest(self, *, algorithm: str = "sha256", progress: Progress = None) -> str:
        """A digest of shape, dtype and all elements, bit for bit: "sha256:9f86d0..." or likewise.

        Equal for arrays of the same elements whatever their chunks, shards, codecs, order, byte order, format or store;
        attributes do not count. docs/knowing.md defines it, for other languages too. algorithm: any that hashlib always has.
        progress counts elements. Memory: `options(working_memory)`. Raises what reading raises, and ArgumentError for objects
        of unknown classes.

        >>> import ndzarr
        >>> ndzarr.array([1, 2], chunks=1, dtype="i4").digest() == ndzarr.array([1, 2], dtype=">i4", zarr_format=2).digest()
        True
        """
        from ndzarr.digesting import array_digest

        array: Any = self  # a ZArray is an Operand
        return array_digest(array, algorithm, progress)

    def collect_statistics(self, *, progress: Progress = None) -> Statistics:
        """Collect what each chunk holds, keep it beside the array, and give it: smallest, largest, NaNs, sum, digests.

        From then on `np.max`, `np.min`, `np.nanmax`, `np.nanmin`, `np.nonzero`, `np.argwhere` and `where` pass over chunks
        that cannot matter. Nothing that is kept is believed unless the stored object is what it was, whoever writes to it:
        docs/knowing.md says how that is known. Call it again after writes: only chunks that have changed are decoded.

        progress counts stored objects. Other programs do not see the record; `copy` and `move` carry it along. Raises
        ReadOnlyError, MemoryLimitError for more than 2**22 chunks, and what reading and writing raise.

        >>> import ndzarr, numpy as np
        >>> z = ndzarr.array(np.arange(1000.0), chunks=100)
        >>> z.collect_statistics().max
        array([ 99., 199., 299., 399., 499., 599., 699., 799., 899., 999.])
        >>> z.where(lambda b: b > 997)
        (array([998, 999]),)
        """
        from ndzarr import statistics

        self._check_writable()
        return statistics.collect(self._engine, progress)

    @property
    def statistics(self) -> Statistics | None:
        """What `collect_statistics` found, as far as it is so now; None where there is nothing, or it is damaged.

        Asks the store about every object; where its word is not enough their bytes are fetched and hashed, not decoded.
        """
        from ndzarr import statistics

        return statistics.statistics_of(self._engine)

    def where(self, predicate: Callable[[Any], Any]) -> tuple[NDArray, ...]:
        """The indices of the elements for which `predicate` holds: `np.nonzero(predicate(z[...]))`, a block at a time.

        predicate: called with blocks of elements, NumPy arrays, from several threads; gives an array of booleans of the block's
        shape, each of them by the element alone. Where there are statistics it is first called with something that knows only
        bounds, and answers comparisons with numbers, `np.isnan`, `&`, `|` and `~` of those; chunks of which that settles it are
        not read, and where the predicate wants more than that, all are.

        Raises what the predicate raises, ArgumentError for an answer of another shape, and what reading raises.

        >>> import ndzarr
        >>> ndzarr.array([[1, 5], [7, 2]], chunks=1).where(lambda b: b > 4)
        (array([0, 1]), array([1, 0]))
        """
        shape = self._engine.meta.shape
        if not shape or 0 in shape:
            return np.nonzero(predicate(np.asarray(self)))  # of no axes: NumPy's own error
        return tuple(np.unravel_index(self._numbers(predicate), shape))

    def argwhere(self, predicate: Callable[[Any], Any]) -> NDArray:
        """As `where`, with one row for each element: `np.argwhere(predicate(z[...]))`."""
        shape = self._engine.meta.shape
        if not shape or 0 in shape:
            return np.argwhere(predicate(np.asarray(self)))
        return np.stack(np.unravel_index(self._numbers(predicate), shape), axis=-1)

    def _numbers(self, predicate: Callable[[Any], Any]) -> NDArray:
        from ndzarr import statistics

        array: Any = self
        return statistics.where(array, self._engine, predicate, prune=self._may_prune())

    def _may_prune(self) -> bool:
        """Whether statistics may help. Under `missing="raise"` a chunk that was never written may not be passed over."""
        from ndzarr import statistics

        return (self._missing or config.current().missing) != "raise" and statistics.may_help(self._engine)

    # ---- what NumPy's functions ask (`functions.extremes`, `functions.picking`) ------------------------

    def _known_extreme(self, ufunc: np.ufunc, axes: tuple[int, ...], keepdims: bool) -> Any:
        """`ufunc.reduce` by way of statistics; NotImplemented where there are none that help."""
        from ndzarr import statistics

        array: Any = self
        return statistics.extreme(array, self._engine, ufunc, axes, keepdims) if self._may_prune() else NotImplemented

    def _known_nonzero(self) -> NDArray | None:
        """The numbers of elements that are not zero, likewise; None where there are none that help."""
        from ndzarr import statistics

        array: Any = self
        return statistics.nonzero(array, self._engine) if self._may_prune() else None
