"""A store on top of any mapping of str to bytes: a dict, a zict, an FSMap, a store written for zarr-python 2."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Iterable, Mapping, MutableMapping
from typing import Any

from ndzarr._typing import Buffer, ByteRange, Key
from ndzarr.errors import ArgumentError
from ndzarr.keys import check_key, check_prefix, is_key
from ndzarr.stores.base import Store, as_bytes, list_


class MappingStore(Store):
    """The values of `mapping`, which is used as it is: what is set here is seen there, and the other way round.

    The mapping's KeyError means "missing"; whatever else it raises becomes a StoreError. Keys of the mapping that are
    no store keys ("../x", numbers) are not listed. A mapping that is not mutable makes a store that is read-only.
    Pickles with the mapping. As thread-safe as the mapping is; a dict is.

    >>> import ndzarr
    >>> objects = {}
    >>> z = ndzarr.create_array(ndzarr.MappingStore(objects), shape=3)
    >>> sorted(objects)
    ['zarr.json']
    """

    def __init__(self, mapping: Mapping[str, Any]) -> None:
        if not isinstance(mapping, Mapping):
            raise ArgumentError(f"expected a mapping of str to bytes, found a {type(mapping).__name__}", found=mapping)
        self.mapping = mapping
        self.writable = isinstance(mapping, MutableMapping)
        self.by_value = isinstance(mapping, dict)

    @property
    def url(self) -> str:
        return f"mapping:{type(self.mapping).__name__}@{id(self.mapping):#x}"

    def get(self, key: Key, range: ByteRange | None = None) -> Buffer | None:
        check_key(key)
        mapping = self.mapping
        try:
            # A defaultdict's [] would make the key that it was asked for.
            value = mapping.get(key) if isinstance(mapping, defaultdict) else mapping[key]
        except KeyError:
            return None
        except Exception as error:
            raise self._failed("read", key, error) from error
        if value is None:
            return None
        if type(value) is not bytes:  # a bytearray could change under the reader
            try:
                value = as_bytes(key, value)
            except ArgumentError as error:
                raise self._failed("read", key, error) from error
        return value if range is None else memoryview(value)[range[0] : range[1]]

    def set(self, key: Key, value: Buffer) -> None:
        check_key(key)
        self._must_write(key)
        data = as_bytes(key, value)
        try:
            self.mapping[key] = data  # type: ignore[index]  # writable only when it is a MutableMapping
        except Exception as error:
            raise self._failed("write", key, error) from error

    def delete(self, key: Key) -> None:
        check_key(key)
        self._must_write(key)
        try:
            del self.mapping[key]  # type: ignore[attr-defined]  # as above
        except KeyError:
            pass
        except Exception as error:
            raise self._failed("delete", key, error) from error

    def list(self, prefix: str = "") -> Iterable[Key]:
        check_prefix(prefix)
        try:
            # A dict gives its keys in one step; another mapping that is changed meanwhile may raise, which is its
            # failure.
            names: list_[Any] = [*self.mapping]
        except Exception as error:
            raise self._failed("list", prefix, error) from error
        return [k for k in names if isinstance(k, str) and k.startswith(prefix) and is_key(k)]

    def object_id(self, key: Key) -> Hashable:
        return (id(self.mapping), key)
