"""A picture of a chunk grid as SVG: the last three axes as a box, its chunks as lines, what is written as shades.

Nothing is read here: the caller says which objects exist. A grid of any size makes a picture of bounded size, by putting
chunks together into cells.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import numpy as np

from ndzarr._typing import Coords, NDArray
from ndzarr.grid import Axis

#: The most cells along an axis; where there are more chunks, a cell stands for several.
_CELLS = 24
#: Pixels: the longest side, the shortest, and the room for lengths around the box.
_LONGEST, _SHORTEST, _MARGIN = 150.0, 28.0, 26.0
#: By how much the box leans: what a pixel of depth is to the right and up.
_LEAN = 0.55
#: The colour of what is written; its share of the chunks of a cell is how dense it is. Seen on white and on black alike.
_INK = "#3b82c4"


def cells(axes: Sequence[Axis], coords: Iterable[Coords]) -> NDArray:
    """How large a share of the objects of each cell exists, 0 to 1; one axis of cells for each of `axes`."""
    counts = [axis.count for axis in axes]
    shape = tuple(min(count, _CELLS) for count in counts)
    written = np.zeros(shape)
    for spot in coords:
        if all(i < count for i, count in zip(spot, counts, strict=True)):
            written[tuple(i * n // count for i, n, count in zip(spot, shape, counts, strict=True))] += 1
    whole = np.ones(())
    for n, count in zip(shape, counts, strict=True):
        # Cell i takes the objects from ceil(i * count / n) on.
        starts = [-(-i * count // n) for i in range(n + 1)] if n else [0]  # of Python, since a grid may be too long for int64
        whole = np.multiply.outer(whole, np.diff(np.array(starts, float)))
    return written / np.maximum(whole, 1)


def picture(axes: Sequence[Axis], written: NDArray | None) -> str:
    """The SVG of a grid; "" where there is nothing to draw: no axes, or one without elements.

    axes: those of the objects. written: what `cells` gives, or None where nobody knows; axes before the last three are put
    together, and named above the box.
    """
    if not axes or any(axis.length == 0 for axis in axes):
        return ""
    shown = axes[-3:]
    if written is not None and len(axes) > 3:
        written = written.mean(axis=tuple(range(len(axes) - 3)))
    longest = max(axis.length for axis in shown)
    # By the fourth root, or a long axis would make a hair of a short one.
    sides = [max(_SHORTEST, _LONGEST * (axis.length / longest) ** 0.35) for axis in shown]
    drawing = _Drawing()
    if len(shown) == 1:
        drawing.face((0, 0), (sides[0], 0), (0, _SHORTEST), None, shown[0], _mean(written, None, 0))
        drawing.label((sides[0] / 2, _SHORTEST + 15), str(shown[0].length))
        width, height = sides[0], _SHORTEST
    else:
        rows, columns = shown[-2:]
        high, wide = sides[-2:]
        if len(shown) == 3:
            lean = sides[0] * _LEAN * 0.7
            # The far faces first; the front goes over them.
            drawing.face((0, lean), (wide, 0), (lean, -lean), shown[0], columns, _mean(written, 0, 2))
            drawing.face((wide, lean), (lean, -lean), (0, high), rows, shown[0], _swapped(_mean(written, 0, 1)))
            drawing.face((0, lean), (wide, 0), (0, high), rows, columns, _mean(written, 1, 2))
            drawing.label((-4, lean / 2), str(shown[0].length), "end")
            top, side = lean, lean
        else:
            drawing.face((0, 0), (wide, 0), (0, high), rows, columns, written)
            top = side = 0.0
        drawing.label((wide / 2, top + high + 15), str(columns.length))
        drawing.label((wide + side + 6, top + high / 2 - side / 2 + 4), str(rows.length), "start")
        width, height = wide + side, top + high
    if len(axes) > 3:
        drawing.label((width / 2, -8), " x ".join(str(axis.length) for axis in axes[:-3]) + " x")
    return drawing.svg(width, height)


def _mean(written: NDArray | None, *kept: int | None) -> NDArray | None:
    """The cells of two of three axes, the other one put together; None stands for an axis of one cell."""
    if written is None:
        return None
    others = tuple(axis for axis in range(written.ndim) if axis not in kept)
    found = written.mean(axis=others) if others else written
    return found[np.newaxis, :] if None in kept else found


def _swapped(written: NDArray | None) -> NDArray | None:
    return None if written is None else written.T


class _Drawing:
    """Parallelograms with lines and shades, and labels."""

    def __init__(self) -> None:
        self._parts: list[str] = []
        self._widest = 0

    def face(
        self,
        corner: tuple[float, float],
        across: tuple[float, float],
        down: tuple[float, float],
        rows: Axis | None,
        columns: Axis,
        written: NDArray | None,
    ) -> None:
        """One face from `corner` along two vectors; `written` has a row for each cell along `down`."""

        def point(u: float, v: float) -> str:
            return f"{corner[0] + u * across[0] + v * down[0]:.1f},{corner[1] + u * across[1] + v * down[1]:.1f}"

        us, vs = _borders(columns), [0.0, 1.0] if rows is None else _borders(rows)
        outline = " ".join([point(0, 0), point(1, 0), point(1, 1), point(0, 1)])
        self._parts.append(f'<polygon points="{outline}" class="face"/>')
        if written is not None:
            for i, j in zip(*np.nonzero(written), strict=True):
                a, b, c, d = us[j], us[j + 1], vs[i], vs[i + 1]
                spot = " ".join([point(a, c), point(b, c), point(b, d), point(a, d)])
                self._parts.append(f'<polygon points="{spot}" fill="{_INK}" fill-opacity="{0.15 + 0.6 * written[i, j]:.2f}"/>')
        lines = [f"M{point(u, 0)} L{point(u, 1)}" for u in us[1:-1]] + [f"M{point(0, v)} L{point(1, v)}" for v in vs[1:-1]]
        if lines:
            self._parts.append(f'<path d="{" ".join(lines)}" class="line"/>')
        self._parts.append(f'<polygon points="{outline}" class="edge"/>')

    def label(self, where: tuple[float, float], text: str, anchor: str = "middle") -> None:
        self._widest = max(self._widest, len(text))
        self._parts.append(f'<text x="{where[0]:.1f}" y="{where[1]:.1f}" text-anchor="{anchor}">{text}</text>')

    def svg(self, width: float, height: float) -> str:
        left = right = 16 + 6.5 * self._widest
        wide, high = width + left + right, height + 2 * _MARGIN
        box = f"{-left:.0f} {-_MARGIN:.0f} {wide:.0f} {high:.0f}"
        return (
            f'<svg width="{wide:.0f}" height="{high:.0f}" viewBox="{box}" role="img" aria-label="chunk grid">'
            f"{''.join(self._parts)}</svg>"
        )


def _borders(axis: Axis) -> list[float]:
    """Where cells begin along an axis, as fractions of it, and 1."""
    count = axis.count
    n = min(count, _CELLS)
    starts = [axis.start(math.ceil(i * count / n)) / axis.length for i in range(n)]
    return [*starts, 1.0]
