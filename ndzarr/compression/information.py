"""How many bits of the mantissa hold information, by the mutual information of neighbours (Klöwer et al. 2021).

M. Klöwer, M. Razinger, J. J. Dominguez, P. D. Düben, T. N. Palmer: Compressing atmospheric data into its real information
content. Nature Computational Science 1, 713-724, https://doi.org/10.1038/s43588-021-00156-2; the reference implementation is
https://github.com/milankl/BitInformation.jl.

The information of a bit is the mutual information, in bits, of that bit in an element and the same bit in its neighbour: 0 for
noise, however much it varies. What cannot be told from 0 in so many pairs counts as 0. The bits kept are the fewest that hold
99 % of the information of all. That trusts neighbours to be alike: information that has nothing to do with the neighbours, a
mask drawn at random for one, is not seen.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from statistics import NormalDist

import numpy as np
import numpy.typing as npt

from ndzarr._typing import DType, NDArray

#: The share of the information that is kept.
LEVEL = 0.99
#: How sure we are that none of what counts as information is chance: of all bits together, where the reference implementation
#: says it of each, so that one of a hundred bits of noise counts.
_CONFIDENCE = 0.99

Counts = npt.NDArray[np.int64]


class Information:
    """The pairs of bits met so far, along each axis; blocks are added one by one. Of one thread."""

    def __init__(self, dtype: DType, ndim: int) -> None:
        self._unsigned = np.dtype(f"u{dtype.itemsize}")
        self.bits = 8 * dtype.itemsize
        self.mantissa = int(np.finfo(dtype).nmant)
        #: [axis, bit from the sign on, bit of the element, bit of its neighbour]
        self._pairs: Counts = np.zeros((max(1, ndim), self.bits, 2, 2), np.int64)

    def add(self, block: NDArray) -> None:
        """Count the pairs of neighbours in a block; those with a NaN or an infinity are left out."""
        finite = np.isfinite(block)
        words = np.ascontiguousarray(block).view(self._unsigned).reshape(block.shape)
        for axis in range(block.ndim):
            before = (slice(None),) * axis + (slice(None, -1),)
            after = (slice(None),) * axis + (slice(1, None),)
            both = finite[before] & finite[after]
            a, b = words[before][both], words[after][both]
            for n in range(self.bits):
                bit = self._unsigned.type(1 << (self.bits - 1 - n))
                ones_a, ones_b = (a & bit) != 0, (b & bit) != 0
                of_a, of_b = int(np.count_nonzero(ones_a)), int(np.count_nonzero(ones_b))
                of_both = int(np.count_nonzero(ones_a & ones_b))
                self._pairs[axis, n] += [[a.size - of_a - of_b + of_both, of_b - of_both], [of_a - of_both, of_both]]

    def by_axis(self) -> npt.NDArray[np.float64]:
        """The information of each bit along each axis: [axis, bit from the sign on], in bits."""
        doubt = (1 - _CONFIDENCE) / (len(self._pairs) * self.bits)
        return np.array([[_mutual(pairs, doubt) for pairs in axis] for axis in self._pairs])

    def keep_bits(self, level: float = LEVEL) -> int | None:
        """How many bits of the mantissa hold that share of the information, along the axis that asks for most.

        None where no axis shows any: noise, or a constant, of which nothing can be said.
        """
        asked = []
        for information in self.by_axis():
            total = float(information.sum())
            if total > 0:
                # Against rounding, a hair less than the share.
                needed = int(np.searchsorted(np.cumsum(information), level * total * (1 - 1e-12))) + 1
                asked.append(max(0, needed - (self.bits - self.mantissa)))
        return max(asked) if asked else None


def information_of(blocks: Iterable[NDArray], dtype: DType, ndim: int) -> Information:
    """The information of all these blocks, each of at least one axis."""
    found = Information(dtype, ndim)
    for block in blocks:
        found.add(block)
    return found


def _mutual(pairs: Counts, doubt: float) -> float:
    """The mutual information of two bits by how often each pair was met, 0 where that may be chance."""
    count = int(pairs.sum())
    if not count:
        return 0.0
    joint = pairs / count
    apart = joint.sum(axis=1, keepdims=True) * joint.sum(axis=0, keepdims=True)
    met = joint > 0
    found = float(np.sum(joint[met] * np.log2(joint[met] / apart[met])))
    return found if found > _chance(count, doubt) else 0.0


def _chance(count: int, doubt: float) -> float:
    """The information that so many pairs of independent bits show at most, but for the doubt: that of a coin which falls to one
    side as often as chance allows (`set_zero_insignificant!` of BitInformation.jl)."""
    share = min(1.0, 0.5 + NormalDist().inv_cdf(1 - doubt / 2) / (2 * math.sqrt(count)))
    return 1.0 if share >= 1 else 1 + share * math.log2(share) + (1 - share) * math.log2(1 - share)
