"""Configurations: reading a codec's JSON object field by field, each problem an ArgumentError that names the field."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from contextlib import suppress
from typing import Any

import numpy as np

from ndzarr._typing import CodecSpec, DType, Json
from ndzarr.errors import ArgumentError

_REQUIRED: Any = object()


def to_json(spec: CodecSpec) -> dict[str, Json]:
    """A codec as `zarr.json` has it: without an empty configuration, but for numcodecs' codecs, where zarr-python wants one."""
    found: dict[str, Json] = {"name": spec.name}
    if spec.configuration or spec.name.startswith("numcodecs."):
        found["configuration"] = _plain(spec.configuration)
    return found


def _plain(value: Any) -> Json:
    """JSON that shares nothing with `value`, whose lists may be tuples and whose codecs CodecSpecs."""
    if isinstance(value, CodecSpec):
        return to_json(value)
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, list | tuple) else value


class Fields:
    """The fields of one configuration. Ask for each by name, then call `done`, which refuses any that nobody asked for.

    A bool is not an integer here, nor is 1.0; JSON keeps them apart.
    """

    def __init__(self, codec: str, configuration: Mapping[str, Json]) -> None:
        if not isinstance(configuration, Mapping):
            raise ArgumentError(
                f"the configuration of codec {codec!r} is {configuration!r}, expected an object",
                codec=codec,
                found=configuration,
            )
        self.codec = codec
        self._left = dict(configuration)

    def bad(self, field: str, found: Json, expected: str) -> ArgumentError:
        """The error that says what `field` holds and what it should."""
        return ArgumentError(
            f"codec {self.codec!r}: {field} is {found!r}, expected {expected}",
            codec=self.codec,
            field=field,
            found=found,
            expected=expected,
        )

    def take(self, field: str, default: Any = _REQUIRED) -> Any:
        """The field as it stands."""
        if field in self._left:
            return self._left.pop(field)
        if default is _REQUIRED:
            raise ArgumentError(f"codec {self.codec!r}: {field} is missing", codec=self.codec, field=field)
        return default

    def integer(self, field: str, default: Any = _REQUIRED, low: int | None = None, high: int | None = None) -> Any:
        """An integer from `low` to `high`, both included; or None where that is the default."""
        found = self.take(field, default)
        if found is default and default is None:
            return None
        inside = type(found) is int and (low is None or found >= low) and (high is None or found <= high)
        if not inside:
            bounds = "" if low is None else f" from {low} to {high}" if high is not None else f" of at least {low}"
            raise self.bad(field, found, f"an integer{bounds}")
        return found

    def boolean(self, field: str, default: bool) -> bool:
        """True or False."""
        found = self.take(field, default)
        if type(found) is not bool:
            raise self.bad(field, found, "true or false")
        return found

    def text(self, field: str, default: Any = _REQUIRED, choices: Collection[str] | None = None) -> str:
        """A string, one of `choices` where those are given."""
        found = self.take(field, default)
        if not isinstance(found, str) or (choices is not None and found not in choices):
            raise self.bad(field, found, "a string" if choices is None else f"one of {', '.join(map(repr, choices))}")
        return found

    def number(self, field: str) -> int | float:
        """A finite number, an int or a float."""
        found = self.take(field)
        if type(found) not in (int, float) or not np.isfinite(found):
            raise self.bad(field, found, "a finite number")
        return found  # type: ignore[no-any-return]  # an int or a float, just checked

    def dtype(self, field: str, default: Any = _REQUIRED, kinds: str = "biufcmMSUV") -> DType:
        """A NumPy dtype of one of `kinds`."""
        found = self.take(field, default)
        dtype: DType | None = None
        # Strings only: np.dtype(None) is float64. Short ones, for "i4,i4,..." means a structure.
        if isinstance(found, np.dtype) or (isinstance(found, str) and len(found) < 40):
            with suppress(TypeError, ValueError, SyntaxError):
                dtype = np.dtype(found)
        if dtype is None or dtype.kind not in kinds or dtype.itemsize == 0:
            raise self.bad(field, found, f"a dtype of kind {', '.join(kinds)}")
        return dtype

    def chain(self, field: str, default: Any = _REQUIRED) -> tuple[CodecSpec, ...]:
        """A list of codecs, each an object or a bare name (https://zarr-specs.readthedocs.io/en/latest/v3/core/#codecs)."""
        found = self.take(field, default)
        if not isinstance(found, list | tuple):
            raise self.bad(field, found, "a list of codecs")
        return tuple(
            spec if isinstance(spec, CodecSpec) else self._codec(f"{field}[{n}]", spec) for n, spec in enumerate(found)
        )

    def _codec(self, field: str, found: Json) -> CodecSpec:
        if isinstance(found, str):
            return CodecSpec(found)
        if isinstance(found, Mapping) and isinstance(found.get("name"), str):
            unknown = sorted(set(found) - {"name", "configuration", "must_understand"})
            configuration = found.get("configuration", {})
            if not unknown and isinstance(configuration, Mapping) and isinstance(found.get("must_understand", True), bool):
                return CodecSpec(found["name"], configuration)
        raise self.bad(field, found, "a codec's name, or an object with 'name' and 'configuration'")

    def stray_level(self) -> None:
        """Pass over a `level`, which ExZarr writes for every compressor, also for those that have none."""
        self.integer("level", None, 0, 22)

    def done(self) -> None:
        """Raise ArgumentError when the configuration has a field that the codec does not know."""
        for field in self._left:
            raise ArgumentError(
                f"codec {self.codec!r}: unknown configuration field {field!r}",
                codec=self.codec,
                field=field,
                found=self._left[field],
            )
