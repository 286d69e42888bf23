"""Every exception that ndzarr raises, split first by whose fault it is.

    NdzarrError
    +-- CallerError                     the call asked for something that cannot be
    |   +-- SelectionError              (IndexError)   out of bounds, too many indices, a mask of the wrong shape
    |   +-- SelectionTypeError          (TypeError)    slice bounds that are no integers
    |   +-- ArgumentError               (ValueError)   a value or keyword that is not allowed
    |   |   +-- NodeExistsError         (FileExistsError)  create without overwrite where something is
    |   |   +-- ReadOnlyError           a write through a handle or store opened for reading
    |   |   +-- WriteHazardError        a write that could lose what another process writes at the same time
    |   +-- MemoryLimitError            (ValueError)   would need more memory than `options` allow
    +-- DataError                       (ValueError)   what is stored is not what the format says
    |   +-- MetadataError               a metadata document
    |   +-- CorruptChunkError           a chunk object
    +-- StoreError                      (OSError)      the store could not answer
        +-- NodeNotFoundError           (KeyError, FileNotFoundError)  no array or group there
        +-- MissingChunkError           `options(missing="raise")` met a chunk that was never written
        +-- NotRecordedError            a trace is replayed that does not hold this request

Each is also the built-in class that NumPy or Python would raise, so `except IndexError` works as it does for NumPy.

Two warnings, of things that are soft by themselves: StaleMetadataWarning and DamagedNodeWarning (UserWarning).
"""

from __future__ import annotations

from typing import Any


class NdzarrError(Exception):
    """The root of the tree: `except ndzarr.NdzarrError` catches all of them.

    Keyword arguments become attributes (`error.key`, `error.codec`, `error.found` ...), so that a program need not parse the
    message. An attribute that does not apply is None.
    """

    store: str | None = None
    path: str | None = None
    key: str | None = None
    coords: tuple[int, ...] | None = None
    codec: str | None = None
    field: str | None = None
    found: Any = None
    expected: Any = None
    tries: int | None = None

    def __init__(self, message: str, **fields: Any) -> None:
        super().__init__(message)
        self.message = message
        for name, value in fields.items():
            setattr(self, name, value)

    def __str__(self) -> str:
        # KeyError and OSError each have a __str__ of their own, which quote or number the message.
        return self.message

    def __reduce__(self) -> tuple[Any, ...]:
        # Worker processes send errors home by pickle; the default would lose the fields.
        fields = {k: v for k, v in self.__dict__.items() if k not in ("message", "__notes__")}
        return _rebuild, (type(self), self.message, fields)


def _rebuild(cls: type[NdzarrError], message: str, fields: dict[str, Any]) -> NdzarrError:
    return cls(message, **fields)


class CallerError(NdzarrError):
    """The call asked for something that cannot be."""


class SelectionError(CallerError, IndexError):
    """An index that does not fit the array; also an IndexError."""


class SelectionTypeError(CallerError, TypeError):
    """Slice bounds that are not integers; also a TypeError."""


class ArgumentError(CallerError, ValueError):
    """An argument that is not allowed; also a ValueError."""


class NodeExistsError(ArgumentError, FileExistsError):
    """An array or group is there already; also a ValueError and a FileExistsError."""


class ReadOnlyError(ArgumentError):
    """A write through something that was opened for reading; also a ValueError, as NumPy's."""


class WriteHazardError(ArgumentError):
    """A write that could lose what another process writes to the same stored object at the same time; also a ValueError."""


class MemoryLimitError(CallerError, ValueError):
    """More memory than `options` allow; also a ValueError."""


class DataError(NdzarrError, ValueError):
    """What is stored is not what the format says; also a ValueError."""


class MetadataError(DataError):
    """A metadata document that cannot be understood: `field` says where, `found` and `expected` what."""


class CorruptChunkError(DataError):
    """A chunk object that cannot be decoded: `key`, `coords` and `codec` say which and in which step."""


class StoreError(NdzarrError, OSError):
    """The store could not answer; also an OSError. Never raised for a key that is merely not there."""


class NodeNotFoundError(StoreError, KeyError, FileNotFoundError):
    """No array or group at that path; also a KeyError and a FileNotFoundError."""


class MissingChunkError(StoreError):
    """A chunk that was never written, under `options(missing="raise")`."""


class NotRecordedError(StoreError):
    """A request that the trace behind a ReplayStore does not hold."""


class StaleMetadataWarning(UserWarning):
    """Consolidated metadata say something else of an array than the array itself."""


class DamagedNodeWarning(UserWarning):
    """A member of a group was left out, since its metadata cannot be understood."""
