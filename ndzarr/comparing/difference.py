"""What a comparison found: values that say it in words and in JSON. Pure; no store."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Any, Literal, TypeAlias

from ndzarr._typing import Json
from ndzarr.comparing.regions import Region

#: only_a, only_b: a node is in one group alone. node: an array here, a group there. shape, dtype, values, dimension_names,
#: attributes, fill_value: what differs. storage: format, chunks, shards, codecs, order or byte order, which change no value.
ItemKind: TypeAlias = Literal[
    "only_a", "only_b", "node", "shape", "dtype", "values", "dimension_names", "attributes", "fill_value", "storage"
]
#: Lines of regions that are shown of one array.
_SHOWN = 10
_TITLES = {
    "only_a": "only in a",
    "only_b": "only in b",
    "fill_value": "fill value",
    "dimension_names": "dimension names",
}


@dataclass(frozen=True, slots=True)
class Item:
    """One thing that differs between the nodes at `path`; `a` and `b` are what either has, in words of JSON.

    name: of an attribute, or of the part of the storage that differs; "" where the kind says it all. Of values: count elements
    differ, by at most max_abs; they lie in regions, and regions_left more boxes were not kept.
    """

    path: str
    kind: ItemKind
    name: str = ""
    a: Json = None
    b: Json = None
    count: int = 0
    size: int = 0
    max_abs: float | int | None = None
    regions: tuple[Region, ...] = ()
    regions_left: int = 0

    def __str__(self) -> str:
        where = f"{self.path or '/'}: "
        title = _TITLES.get(self.kind, self.kind)
        if self.kind in ("only_a", "only_b"):
            return f"{where}{title}"
        if self.kind != "values":
            name = f" {self.name!r}" if self.kind == "attributes" else f" {self.name}" if self.name else ""
            return f"{where}{title}{name}: {_short(self.a)} -> {_short(self.b)}"
        if not self.regions and not self.count:
            return f"{where}values: cannot be compared"
        by = "" if self.max_abs is None else f", by up to {self.max_abs:.6g}"
        lines = [f"{where}values: {self.count:,} of {self.size:,} differ{by}"]
        lines += [f"    {region}" for region in self.regions[:_SHOWN]]
        left = len(self.regions[_SHOWN:]) + self.regions_left
        return "\n".join([*lines, *([f"    ... and {left:,} more regions"] if left else [])])


@dataclass(frozen=True, slots=True)
class Difference:
    """What `ndzarr.diff` found; `print(difference)` says it in words.

    a, b: what was compared. items: all that differs, by path; each has `path`, `kind` ("values", "shape", "attributes" and
    their like), and of values `count`, `max_abs` and `regions`: boxes with `start`, `stop`, `index`, `count`, `max_abs`.
    arrays, elements: how many were compared; elements_read: of how many elements the values were looked at, the others being
    equal as bytes or by digests that could be trusted.
    """

    a: str
    b: str
    items: tuple[Item, ...]
    arrays: int
    elements: int
    elements_read: int

    @property
    def same(self) -> bool:
        """Whether both say the same: members, shapes, dtypes, values, names of dimensions, attributes.

        How they are stored (`storage`, `fill_value`) does not count: see `identical`.
        """
        return all(item.kind in ("storage", "fill_value") for item in self.items)

    @property
    def identical(self) -> bool:
        """Whether nothing differs at all, in how it is stored neither."""
        return not self.items

    def to_json(self) -> str:
        """All of it as one JSON document."""
        fields: dict[str, Any] = {name: getattr(self, name) for name in self.__slots__ if name != "items"}
        items = [asdict(item) for item in self.items]
        document = {"same": self.same, "identical": self.identical, **fields, "items": items}
        return json.dumps(_finite(document), indent=2, ensure_ascii=False)

    def __str__(self) -> str:
        verdict = "identical" if self.identical else "the same, stored otherwise" if self.same else "different"
        arrays = f"{self.arrays:,} array{'' if self.arrays == 1 else 's'}"
        head = f"{verdict}: {self.a} and {self.b} ({arrays}, {self.elements:,} elements)"
        return "\n".join([head, *(f"  {line}" for item in self.items for line in str(item).split("\n"))])


def _short(value: Json) -> str:
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= 200 else text[:197] + "..."


def _finite(value: Any) -> Any:
    """The same, with what JSON has no number for as text, and what it has no form for as its repr."""
    if isinstance(value, dict):
        return {str(key): _finite(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(inner) for inner in value]
    if isinstance(value, float) and (value != value or value in (float("inf"), float("-inf"))):
        return repr(value)
    return value if value is None or isinstance(value, (bool, int, float, str)) else repr(value)
