"""A quick look at an array as a picture: a thinned slice, read and drawn by matplotlib, which is imported when one is drawn.

Nothing here touches pyplot: a figure belongs to whoever holds it, so that a notebook shows it once, threads may draw at the
same time, and nothing is left behind in a program that draws thousands.
"""

from __future__ import annotations

import io
import math
import os
import textwrap
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol, TypeAlias

import numpy as np

from ndzarr._typing import DType, NDArray, Shape
from ndzarr.decimation import Look, look
from ndzarr.display import format_dtype
from ndzarr.errors import ArgumentError
from ndzarr.imports import import_behind
from ndzarr.operand import Borders

Masked: TypeAlias = "np.ma.MaskedArray[Any, np.dtype[Any]]"
#: How a number is told on a scale, as matplotlib asks for it: the number, and which tick it is.
Tell: TypeAlias = Callable[[float, Any], str]

#: The most that is drawn and decoded by default.
MAX_PIXELS, MAX_NBYTES = 512 * 512, 1 << 30
#: What the colour range leaves out at each end, in per cent of the elements: a few outliers would hide all else.
_OUTSIDE = 2.0
#: Numbers are drawn in here: differences of larger ones are infinite.
_HUGE = 1e300
#: Inches: a figure's width, the least and the largest height of what is drawn in it, and the room for labels.
_WIDTH, _LOWEST, _HIGHEST, _ROOM = 6.4, 1.2, 6.0, 0.9
#: Sides that differ by more than this are drawn alike, or the picture would be a hair.
_SLENDER = 5.0
#: The longest text in a picture and the longest line beside one, in characters.
_LONGEST, _LINE = 80, 34
#: The parts of a datetime that are shown, the first with as many characters of ISO 8601 as it takes to tell values apart.
_DATES = ((np.timedelta64(1, "D"), 10), (np.timedelta64(1, "m"), 16), (np.timedelta64(1, "s"), 19))


class Viewable(Protocol):
    """What can be looked at: a ZArray, a LazyView, a NumPy array and whatever else has these."""

    @property
    def shape(self) -> Shape:
        """Lengths of the axes."""

    @property
    def dtype(self) -> DType:
        """The dtype of the elements."""

    def __getitem__(self, index: Any, /) -> Any:
        """The elements, or what `numpy.asarray` makes them of."""


class Quicklook:
    """A drawn picture: `figure`, `axes` and `image` are matplotlib's (`image` a line where one axis was drawn).

    values: what was read, with axes that were not drawn dropped. index: by which it was read, an int or a slice for each axis.
    As the last of a notebook's cell it shows itself, unless it was drawn into axes of the caller's own, who shows them.
    """

    __slots__ = ("_owned", "axes", "image", "index", "values")

    def __init__(self, axes: Any, image: Any, index: tuple[int | slice, ...], values: NDArray, *, owned: bool) -> None:
        self.axes = axes
        self.image = image
        self.index = index
        self.values = values
        self._owned = owned

    @property
    def figure(self) -> Any:
        """The matplotlib figure that it is drawn in."""
        return self.axes.figure

    def save(self, file: str | os.PathLike[str] | io.IOBase, *, dpi: float = 150) -> None:
        """Write the figure to a path or binary file, in the format that the name ends with (`.png`, `.svg`, `.pdf`, ...)."""
        self.figure.savefig(file, dpi=dpi)

    def _repr_png_(self) -> bytes | None:
        if not self._owned:
            return None
        buffer = io.BytesIO()
        self.save(buffer, dpi=100)
        return buffer.getvalue()

    def __repr__(self) -> str:
        shape = " x ".join(map(str, self.values.shape))
        return f"<ndzarr.Quicklook of {self.axes.get_title() or 'an array'}: {shape} of {format_dtype(self.values.dtype)}>"


def quicklook(
    z: Viewable,
    index: Any = None,
    *,
    max_pixels: int = MAX_PIXELS,
    max_nbytes: int | None = MAX_NBYTES,
    rgb: bool | None = None,
    cmap: Any = None,
    vmin: Any = None,
    vmax: Any = None,
    origin: str = "upper",
    ax: Any = None,
) -> Quicklook:
    """A picture of a slice of an array, of which only what is shown is read; needs matplotlib.

    The last two axes are drawn, the others taken at their middle; index says otherwise, with ints and slices by position
    (`(3, slice(100, 200))`) or by name of dimension (`{"time": 3, "y": slice(100, 200)}`), and where it leaves one axis that is
    drawn as a line. Axes of length 1 are passed over. Steps are chosen so that at most `max_pixels` elements are read, and made
    longer than chunks where the chunks that hold these decode to more than `max_nbytes` bytes. Elements are picked, not
    averaged, so that something smaller than a step may not be seen.

    rgb: whether the last axis, of length 3 or 4, holds colours; by default where its dimension is called so ("rgb",
    "channel", ...), or has no name and the dtype is uint8. cmap: a colour map of matplotlib or its name. vmin, vmax: the colour
    range, by default from the 2nd to the 98th percentile of what was read. origin: "upper", or "lower" for index 0 at the
    bottom. ax: axes of matplotlib to draw in, else in a figure of its own.

    Booleans are black and white, complex numbers drawn by magnitude, NaN, infinities and masked elements grey, dates named on
    the scale. Attributes of CF say what numbers are: `long_name` (or `standard_name`) and `units` label the scale, `_FillValue`
    and `missing_value` are grey, `scale_factor` and `add_offset` are applied to what is drawn, not to `values`.

    Memory: what is read, a few chunks, and the figure. Raises ArgumentError for what cannot be drawn or when matplotlib is
    missing, SelectionError and SelectionTypeError for an index that does not fit, and what reading raises. Safe on any thread.

    >>> import ndzarr
    >>> z = ndzarr.zeros((10, 2000, 3000), dtype="f4", chunks=(1, 100, 100))
    >>> ndzarr.quicklook(z, 3)
    <ndzarr.Quicklook of array[3, ::4, ::6]: 500 x 500 of float32>
    """
    if not hasattr(z, "shape") or not hasattr(z, "dtype"):
        raise ArgumentError(f"cannot draw {z!r}: expected an array, or a view of one", field="z", found=z)
    shape, dtype = tuple(z.shape), np.dtype(z.dtype)
    _check_dtype(dtype, rgb)
    if origin not in ("upper", "lower"):
        raise ArgumentError(f"origin must be 'upper' or 'lower', not {origin!r}", field="origin", found=origin)
    node = z if hasattr(z, "path") else getattr(z, "base", None)  # of a view, the array that it is of
    attrs = getattr(node, "attrs", None)
    attrs = attrs if isinstance(attrs, Mapping) else {}
    names = _names(z, attrs)
    borders: tuple[Borders, ...] = getattr(z, "borders", tuple)()
    chunk = tuple([b.chunk for b in borders])
    seen = look(
        shape,
        index,
        names=names,
        max_pixels=max_pixels,
        colours=rgb if rgb is not None or dtype.kind in "uif" else False,
        pixels=dtype == np.uint8,
        chunk=chunk,
        chunk_nbytes=math.prod(chunk) * dtype.itemsize,
        max_nbytes=max_nbytes,
    )
    figure_module = _matplotlib()
    values = z[seen.index]
    values = values if isinstance(values, np.ma.MaskedArray) else np.asarray(values)
    owned = ax is None
    if ax is None:
        ax = figure_module.Figure(figsize=_figsize(seen), layout="constrained").add_subplot()
    numbers, tell = _numbers(values)
    if dtype.kind in "iuf" and not seen.colours:
        numbers = _unpacked(numbers, attrs)
    label = _label(attrs, dtype)
    if len(seen.shown) == 1:
        image = _line(ax, seen, numbers, label, tell)
    else:
        image = _image(ax, seen, numbers, label, tell, cmap=cmap, vmin=vmin, vmax=vmax, origin=origin)
    ax.set_title(_plain(f"{_name(node)}[{seen}]"), fontsize="medium", parse_math=False)
    return Quicklook(ax, image, seen.index, values, owned=owned)


def _matplotlib() -> Any:
    try:
        return import_behind("matplotlib.figure")
    except ImportError as error:
        raise ArgumentError(f"a picture needs matplotlib ({error}): pip install 'ndzarr[plot]'") from error


def _check_dtype(dtype: DType, rgb: bool | None) -> None:
    if rgb and dtype.kind not in "uifV":
        raise ArgumentError(f"colours must be real numbers, not of dtype {format_dtype(dtype)}", field="rgb", found=dtype)
    # The dtypes of ml_dtypes are "V" to NumPy, and numbers.
    if dtype.kind in "biufcmM" or (dtype.kind == "V" and dtype.names is None and dtype.type is not np.void):
        return
    how = f": draw one of its fields, as in quicklook(z.lazy[{dtype.names[0]!r}])" if dtype.names else ""
    raise ArgumentError(f"cannot draw elements of dtype {format_dtype(dtype)}{how}", field="dtype", found=dtype)


# ---- from elements to numbers ------------------------------------------------------------------


def _numbers(values: NDArray) -> tuple[Masked, Tell | None]:
    """What is drawn, masked where there is nothing to draw, and how a number is told where it stands for something else."""
    kind = values.dtype.kind
    hidden = np.ma.getmaskarray(values)
    found = np.ma.getdata(values)
    tell = None
    if kind in "mM":
        unit = np.datetime_data(values.dtype)[0]
        if kind == "M":
            tell = _dates(found, unit)
        hidden = hidden | np.isnat(found)
        found = found.astype(np.int64).astype(np.float64) * np.datetime_data(values.dtype)[1]
    elif kind == "V":
        found = found.astype(np.complex64 if "complex" in values.dtype.name else np.float32)
    elif kind == "f":
        found = found.astype(np.float32 if values.dtype.itemsize < 4 else found.dtype.newbyteorder("="))
    if found.dtype.kind == "c":
        with np.errstate(all="ignore"):
            found = np.abs(found)
    if found.dtype.kind == "f":
        with np.errstate(all="ignore"):
            hidden = hidden | ~np.isfinite(found)
            found = np.where(hidden, 0, np.clip(found, -_HUGE, _HUGE))
            found = found.astype(np.float32 if found.dtype.itemsize <= 4 else np.float64)
    elif found.dtype.kind in "iu" and found.dtype.itemsize == 8:
        found = found.astype(np.float64)
    return np.ma.array(found, mask=hidden), tell


def _unpacked(numbers: Masked, attrs: Mapping[str, Any]) -> Masked:
    """The numbers that integers stand for, by the conventions of CF (section 8.1): units on the scale are those of these."""

    def number(key: str) -> float | None:
        found = attrs.get(key)
        good = isinstance(found, (int, float)) and not isinstance(found, bool) and -_HUGE <= found <= _HUGE
        return found if good else None

    missing = [value for value in (number("_FillValue"), number("missing_value")) if value is not None]
    if missing:
        numbers = np.ma.array(numbers.data, mask=numbers.mask | np.isin(numbers.data, missing))
    scale, offset = number("scale_factor"), number("add_offset")
    if scale is None and offset is None:
        return numbers
    with np.errstate(over="ignore"):
        plain = np.where(numbers.mask, 0, numbers.data.astype(np.float64)) * (1.0 if scale is None else float(scale))
        plain = np.clip(plain + float(offset or 0), -_HUGE, _HUGE)
    return np.ma.array(plain, mask=numbers.mask)


def _dates(values: NDArray, unit: str) -> Tell:
    """How a number of `unit`s since 1970 is told, no longer than it takes to tell the ends of `values` apart."""
    known = values[~np.isnat(values)]
    dtype = np.dtype(f"M8[{'s' if unit == 'generic' else unit}]")
    length = 29
    if known.size and unit not in ("Y", "M", "generic"):  # those are short, and of no fixed length
        span: Any = (known.max() - known.min()) // 8  # about as much as a tick
        for part, characters in _DATES:
            if span >= part:
                length = characters
                break

    def tell(value: float, _: Any = None) -> str:
        try:
            return str(np.array(round(value), np.int64).astype(dtype))[:length]
        except OverflowError:  # a tick past the last date there is
            return ""

    return tell


def _range(numbers: Masked) -> tuple[float, float]:
    """From where to where colours go."""
    if numbers.dtype.kind == "b":
        return 0.0, 1.0
    known = numbers.compressed()
    if not known.size:
        return 0.0, 1.0
    low, high = (float(end) for end in np.percentile(known.astype(np.float64), (_OUTSIDE, 100 - _OUTSIDE)))
    if low == high:
        low, high = float(known.min()), float(known.max())
    if low == high:
        room = abs(low) * 1e-3 or 0.5
        low, high = low - room, high + room
    return low, high


def _colours(numbers: Masked) -> NDArray:
    """Pixels as matplotlib takes them: bytes, or numbers from 0 to 1."""
    if numbers.dtype == np.uint8:
        return numbers.data
    low, high = _range(numbers[..., :3])
    if numbers.dtype.kind == "f" and numbers.size and numbers.min() >= 0 and numbers.max() <= 1:
        low, high = 0.0, 1.0
    scaled: NDArray = np.clip((numbers.filled(low).astype(np.float64) - low) / (high - low), 0, 1)
    if numbers.shape[-1] == 4:
        most = 1.0 if numbers.dtype.kind == "f" else float(np.iinfo(numbers.dtype).max)
        scaled[..., 3] = np.clip(numbers[..., 3].filled(most) / most, 0, 1)
    return scaled


# ---- drawing -----------------------------------------------------------------------------------


def _image(
    ax: Any, seen: Look, numbers: Masked, label: str, tell: Tell | None, *, cmap: Any, vmin: Any, vmax: Any, origin: str
) -> Any:
    rows, columns = seen.shown
    top, bottom = _ends(rows)
    left, right = _ends(columns)
    extent = (left, right, bottom, top) if origin == "upper" else (left, right, top, bottom)
    options: dict[str, Any] = {"extent": extent, "origin": origin, "aspect": "equal" if _stout(seen) else "auto"}
    if seen.colours:
        image = ax.imshow(_colours(numbers), **options)
    else:
        low, high = _range(numbers)
        options |= {"vmin": low if vmin is None else vmin, "vmax": high if vmax is None else vmax}
        image = ax.imshow(
            numbers.astype(np.uint8) if numbers.dtype.kind == "b" else numbers, cmap=_cmap(cmap, numbers), **options
        )
        bar = ax.figure.colorbar(image, ax=ax, shrink=0.9, ticks=[0, 1] if numbers.dtype.kind == "b" else None)
        bar.set_label(_broken(label), parse_math=False)
        if numbers.dtype.kind == "b":
            bar.ax.set_yticklabels(["False", "True"])
        if tell is not None:
            bar.ax.yaxis.set_major_formatter(tell)
    names = seen.names
    ax.set_ylabel(_plain(names[0]), parse_math=False)
    ax.set_xlabel(_plain(names[1]), parse_math=False)
    return image


def _line(ax: Any, seen: Look, numbers: Masked, label: str, tell: Tell | None) -> Any:
    (elements,) = seen.shown
    heights = np.where(numbers.mask, np.nan, numbers.data)
    (image,) = ax.plot(np.array(elements), heights, marker="." if np.isfinite(heights).sum() < 50 else None)
    if tell is not None:
        ax.yaxis.set_major_formatter(tell)
    ax.set_xlabel(_plain(seen.names[0]), parse_math=False)
    ax.set_ylabel(_broken(label), parse_math=False)
    ax.grid(alpha=0.3)
    return image


def _cmap(cmap: Any, numbers: Masked) -> Any:
    colormaps = import_behind("matplotlib").colormaps
    try:
        found = colormaps.get_cmap(cmap or ("gray" if numbers.dtype.kind == "b" else "viridis"))
    except (ValueError, TypeError) as error:
        raise ArgumentError(f"matplotlib knows no colour map {cmap!r}: {error}", field="cmap", found=cmap) from error
    return found.with_extremes(bad="0.8")


def _ends(elements: range) -> tuple[float, float]:
    """Where the first sample begins and the last ends, each as wide as a step."""
    half = elements.step / 2
    return elements[0] - half, elements[-1] + half


def _sides(seen: Look) -> tuple[float, float]:
    high, wide = (abs(end - start) for start, end in map(_ends, seen.shown))
    return high, wide


def _stout(seen: Look) -> bool:
    high, wide = _sides(seen)
    return 1 / _SLENDER <= high / wide <= _SLENDER


def _figsize(seen: Look) -> tuple[float, float]:
    if len(seen.shown) == 1:
        return _WIDTH, 3.2
    if not _stout(seen):
        return _WIDTH, 4.0
    high, wide = _sides(seen)
    drawn = _WIDTH - (0.9 if seen.colours else 2.0)
    return _WIDTH, min(max(drawn * high / wide, _LOWEST), _HIGHEST) + _ROOM


def _names(z: Any, attrs: Mapping[str, Any]) -> Sequence[str | None] | None:
    """Names of the axes; in format 2, which has none, those that xarray keeps in an attribute."""
    names = getattr(z, "dimension_names", None)
    if names is None and hasattr(z, "path"):
        names = attrs.get("_ARRAY_DIMENSIONS")
    if not isinstance(names, (list, tuple)) or len(names) != len(z.shape):
        return None
    return names if all(name is None or isinstance(name, str) for name in names) else None


def _name(node: Any) -> str:
    """What an array is called: the end of its path, or of the address of its store."""
    if path := getattr(node, "path", ""):
        return str(path).rpartition("/")[2]
    _, slash, last = str(getattr(getattr(node, "store", None), "url", "")).rstrip("/").rpartition("/")
    return last if slash and last else "array"


def _label(attrs: Mapping[str, Any], dtype: DType) -> str:
    """What the numbers are, as the attributes have it: "air temperature [K]"."""
    what = next((str(attrs[key]) for key in ("long_name", "standard_name") if attrs.get(key)), "").replace("_", " ")
    unit = attrs.get("units")
    told = (what + (f" [{unit}]" if unit not in (None, "", "1") else "")).strip()
    if dtype.kind == "c":
        told = f"|{told}|" if told else "magnitude"
    if dtype.kind == "m" and unit is None:
        told = f"{told} [{np.datetime_data(dtype)[0]}]".strip()
    return _plain(told)


def _plain(text: str) -> str:
    """One short line that any font can try to draw: attributes come from strangers."""
    text = "".join([c if c.isprintable() else " " for c in text])
    return text if len(text) <= _LONGEST else text[: _LONGEST - 3] + "..."


def _broken(text: str) -> str:
    """The text on lines that fit beside a picture."""
    return "\n".join(textwrap.wrap(text, _LINE))
