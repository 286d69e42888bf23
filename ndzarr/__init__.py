"""ndzarr: chunked, compressed N-dimensional arrays in the Zarr formats that behave as NumPy's do.

The public names are listed here, once, and imported when first used, so that `import ndzarr` costs little more than NumPy.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

_HOME = {
    "ndzarr.api": (
        "array consolidate copy create create_array create_group delete empty empty_like full full_like load move ones "
        "ones_like open open_array open_group save tree zeros zeros_like"
    ),
    "ndzarr.advising.advice": "Advice",
    "ndzarr.advising.advise": "advise",
    "ndzarr.checking.check": "check",
    "ndzarr.checking.report": "Finding Report",
    "ndzarr.comparing.diff": "diff",
    "ndzarr.comparing.difference": "Difference",
    "ndzarr.compression.compress": "compress",
    "ndzarr.conversion": "convert",
    "ndzarr.dask_writing": "from_dask",
    "ndzarr.writeplan": "WritePlan plan_write",
    "ndzarr.zarray": "ZArray",
    "ndzarr.codecs.registry": "CodecInfo get_codec register_codec unregister_codec",
    "ndzarr.config": "Options options",
    "ndzarr.errors": (
        "ArgumentError CallerError CorruptChunkError DamagedNodeWarning DataError MemoryLimitError MetadataError "
        "MissingChunkError NdzarrError NodeExistsError NodeNotFoundError NotRecordedError ReadOnlyError "
        "SelectionError SelectionTypeError StaleMetadataWarning StoreError WriteHazardError"
    ),
    "ndzarr.explain": "Explanation",
    "ndzarr.group": "Group",
    "ndzarr.lazyview": "LazyView",
    "ndzarr.rechunking.rechunk": "rechunk",
    "ndzarr.plotting": "Quicklook quicklook",
    "ndzarr.relocation": "Transfer",
    "ndzarr.stores.base": "Store",
    "ndzarr.stores.cached": "CacheInfo CachedStore",
    "ndzarr.stores.fault": "FaultStore",
    "ndzarr.stores.gridfs": "GridFSStore",
    "ndzarr.stores.for_zarr": "zarr_store",
    "ndzarr.stores.fsspec": "FsspecStore",
    "ndzarr.stores.local": "LocalStore",
    "ndzarr.stores.mapping": "MappingStore",
    "ndzarr.stores.memory": "MemoryStore",
    "ndzarr.stores.prefix": "PrefixStore",
    "ndzarr.stores.readonly": "ReadOnlyStore",
    "ndzarr.stores.recording": "Recorded RecordingStore ReplayStore Requests",
    "ndzarr.stores.objectstore": "ObjectStore",
    "ndzarr.stores.registry": "StoreInfo get_store register_store unregister_store",
    "ndzarr.stores.sql": "SQLStore",
    "ndzarr.stores.zarr_python": "ZarrPythonStore",
    "ndzarr.stores.zip": "ZipStore",
    "ndzarr.statistics.told": "Statistics",
    "ndzarr.stream_writing": "write_stream",
    "ndzarr.transactions": "transaction",
}
_MODULE_OF = {name: module for module, names in _HOME.items() for name in names.split()}
#: Packages that are public functions too: `ndzarr.codecs()`.
_PACKAGES = ("codecs", "stores")

__all__ = [*sorted([*_MODULE_OF, *_PACKAGES]), "__version__"]

if TYPE_CHECKING:  # type checkers do not run __getattr__
    from ndzarr.advising.advice import Advice as Advice
    from ndzarr.advising.advise import advise as advise
    from ndzarr.api import (
        array as array,
        consolidate as consolidate,
        copy as copy,
        create as create,
        create_array as create_array,
        create_group as create_group,
        delete as delete,
        empty as empty,
        empty_like as empty_like,
        full as full,
        full_like as full_like,
        load as load,
        move as move,
        ones as ones,
        ones_like as ones_like,
        open as open,
        open_array as open_array,
        open_group as open_group,
        save as save,
        tree as tree,
        zeros as zeros,
        zeros_like as zeros_like,
    )
    from ndzarr.checking.check import check as check
    from ndzarr.checking.report import Finding as Finding, Report as Report
    from ndzarr.codecs.registry import (
        CodecInfo as CodecInfo,
        get_codec as get_codec,
        register_codec as register_codec,
        unregister_codec as unregister_codec,
    )
    from ndzarr.comparing.diff import diff as diff
    from ndzarr.comparing.difference import Difference as Difference
    from ndzarr.compression.compress import compress as compress
    from ndzarr.config import Options as Options, options as options
    from ndzarr.conversion import convert as convert
    from ndzarr.dask_writing import from_dask as from_dask
    from ndzarr.errors import (
        ArgumentError as ArgumentError,
        CallerError as CallerError,
        CorruptChunkError as CorruptChunkError,
        DamagedNodeWarning as DamagedNodeWarning,
        DataError as DataError,
        MemoryLimitError as MemoryLimitError,
        MetadataError as MetadataError,
        MissingChunkError as MissingChunkError,
        NdzarrError as NdzarrError,
        NodeExistsError as NodeExistsError,
        NodeNotFoundError as NodeNotFoundError,
        NotRecordedError as NotRecordedError,
        ReadOnlyError as ReadOnlyError,
        SelectionError as SelectionError,
        SelectionTypeError as SelectionTypeError,
        StaleMetadataWarning as StaleMetadataWarning,
        StoreError as StoreError,
        WriteHazardError as WriteHazardError,
    )
    from ndzarr.explain import Explanation as Explanation
    from ndzarr.group import Group as Group
    from ndzarr.lazyview import LazyView as LazyView
    from ndzarr.plotting import Quicklook as Quicklook, quicklook as quicklook
    from ndzarr.rechunking.rechunk import rechunk as rechunk
    from ndzarr.relocation import Transfer as Transfer
    from ndzarr.statistics.told import Statistics as Statistics
    from ndzarr.stores.base import Store as Store
    from ndzarr.stores.cached import CachedStore as CachedStore, CacheInfo as CacheInfo
    from ndzarr.stores.fault import FaultStore as FaultStore
    from ndzarr.stores.for_zarr import zarr_store as zarr_store
    from ndzarr.stores.fsspec import FsspecStore as FsspecStore
    from ndzarr.stores.gridfs import GridFSStore as GridFSStore
    from ndzarr.stores.local import LocalStore as LocalStore
    from ndzarr.stores.mapping import MappingStore as MappingStore
    from ndzarr.stores.memory import MemoryStore as MemoryStore
    from ndzarr.stores.objectstore import ObjectStore as ObjectStore
    from ndzarr.stores.prefix import PrefixStore as PrefixStore
    from ndzarr.stores.readonly import ReadOnlyStore as ReadOnlyStore
    from ndzarr.stores.recording import (
        Recorded as Recorded,
        RecordingStore as RecordingStore,
        ReplayStore as ReplayStore,
        Requests as Requests,
    )
    from ndzarr.stores.registry import (
        StoreInfo as StoreInfo,
        get_store as get_store,
        register_store as register_store,
        unregister_store as unregister_store,
    )
    from ndzarr.stores.sql import SQLStore as SQLStore
    from ndzarr.stores.zarr_python import ZarrPythonStore as ZarrPythonStore
    from ndzarr.stores.zip import ZipStore as ZipStore
    from ndzarr.stream_writing import write_stream as write_stream
    from ndzarr.transactions import transaction as transaction
    from ndzarr.writeplan import WritePlan as WritePlan, plan_write as plan_write
    from ndzarr.zarray import ZArray as ZArray


def __getattr__(name: str) -> Any:
    from ndzarr.imports import import_behind

    if name in _PACKAGES:
        return import_behind(f"ndzarr.{name}")
    module = _MODULE_OF.get(name)
    if module is None:
        raise AttributeError(f"module 'ndzarr' has no attribute {name!r}")
    value = getattr(import_behind(module), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
