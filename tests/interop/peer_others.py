"""Writes and reads Zarr arrays with implementations that are not built on each other; run by the Python that has them.

    python peer_others.py PEER STEP...

PEER is z5py, GDAL (its multidimensional interface in C, from the library in rasterio's wheel), netCDF-C (by netCDF4), or, for
Zarr v2, zarr-python or tensorstore. A STEP is VERB:SET:DIR, where SET is `v2`, the arrays of `v2_features.py`, or `v3`, those
of `v3_features.py`, and VERB is

    write      put down the group and the document of each array, open it with the implementation, and write its values
    read       open each array with the implementation, and compare it with what it must hold

Each array is the member "a" of a group of its own, for netCDF-C opens groups. Prints as `peer_v3.py` does. Of an array the
values are compared, bit for bit, those of chunks that were never written among them; not its attributes.
"""

from __future__ import annotations

import ctypes
import importlib
import importlib.metadata
import importlib.util
import json
import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parent))
v2: Any = importlib.import_module("v2_features")
v3: Any = importlib.import_module("v3_features")
peer_v3: Any = importlib.import_module("peer_v3")

Found, UnableError = peer_v3.Found, peer_v3.UnableError


def dims(case: Any) -> list[str | None]:
    """The names of the axes: the document's, or some that netCDF-C and xarray can do with."""
    return case.names or [f"d{n}" for n in range(case.data.ndim)]


def put(case: Any, place: Path) -> None:
    """The documents of a group, and of the array in it, whose axes have names."""
    inner = place / "a"
    inner.mkdir(parents=True, exist_ok=True)
    if case.document["zarr_format"] == 2:
        (place / ".zgroup").write_text('{"zarr_format": 2}')
        (inner / ".zarray").write_text(json.dumps(case.document))
        (inner / ".zattrs").write_text(json.dumps({**case.attributes, "_ARRAY_DIMENSIONS": dims(case)}))
    else:
        peer_v3.put_document(place, {"zarr_format": 3, "node_type": "group", "attributes": {}})
        peer_v3.put_document(inner, {"dimension_names": dims(case), **case.document, "attributes": case.attributes})


class ByBoxes:
    """What each of them does: `open` gives something that has indices."""

    packages: tuple[str, ...]

    def open(self, case: Any, place: Path, mode: str) -> Any:
        raise NotImplementedError

    def write(self, case: Any, place: Path) -> None:
        put(case, place)
        z = self.open(case, place, "r+")
        for box in case.boxes:
            z[box] = v3.from_plain(case.data[box], z.dtype)

    def read(self, case: Any, place: Path) -> Any:
        z = self.open(case, place, "r")
        values = z[()] if not case.data.ndim else z[tuple(slice(0, n) for n in case.data.shape)]
        return Found(as_plain(values, case), None, None, case.names)


def as_plain(values: Any, case: Any) -> np.ndarray:
    """Plain values of what an implementation gives that has fewer dtypes than the document: booleans as bytes, for one."""
    plain = v3.plain_dtype(case.data_type)
    found = np.asarray(values)
    if plain.kind == "b" and found.dtype in (np.uint8, np.int8):
        return found.astype(bool)
    if plain.kind in "SU" and found.dtype == object:
        return np.array([text.encode() if plain.kind == "S" else text for text in found.reshape(-1)], plain).reshape(
            found.shape
        )
    return np.asarray(v3.to_plain(found, case.data_type))


class ZarrPython(ByBoxes):
    """zarr-python 2 or 3, whichever is there, for Zarr v2."""

    packages = ("zarr", "numcodecs")

    def __init__(self) -> None:
        import zarr

        self.zarr = zarr

    def open(self, case: Any, place: Path, mode: str) -> Any:
        return self.zarr.open_array(str(place / "a"), mode=mode)


class TensorStore(ByBoxes):
    """tensorstore's driver for Zarr v2."""

    packages = ("tensorstore",)

    def open(self, case: Any, place: Path, mode: str) -> Any:
        import tensorstore as ts

        label = {"field": name} if (name := next(iter(v3.plain_dtype(case.data_type).names or ()), "")) else {}
        if label:
            raise UnableError("tensorstore opens one field of a structure at a time; not tried here")
        spec = {"driver": "zarr", "kvstore": {"driver": "file", "path": f"{place / 'a'}/"}}
        return Tensor(ts.open(spec, open=True, read=True, write=mode == "r+").result())


class Tensor:
    """A tensorstore that is indexed as an array is, from zero."""

    def __init__(self, store: Any) -> None:
        self.store = store
        self.dtype = store.dtype.numpy_dtype

    def __getitem__(self, index: Any) -> Any:
        return self.store[index].read().result()

    def __setitem__(self, index: Any, values: Any) -> None:
        self.store[index].write(values).result()


class Z5py(ByBoxes):
    """z5py."""

    packages = ("z5py",)

    def open(self, case: Any, place: Path, mode: str) -> Any:
        z5py: Any = importlib.import_module("z5py")
        return z5py.File(str(place), mode=mode, use_zarr_format=True)["a"]


class NetCDF(ByBoxes):
    """netCDF-C's NCZarr, through netCDF4.

    netCDF4 empties a Zarr hierarchy that it is to open for writing (1.7.5), so it makes those it writes.
    """

    packages = ("netCDF4",)

    def open(self, case: Any, place: Path, mode: str) -> Any:
        import netCDF4

        dataset = netCDF4.Dataset(f"file://{place}#mode=zarr,file", mode)
        dataset.set_auto_maskandscale(False)
        return dataset if mode == "w" else dataset["a"]

    def write(self, case: Any, place: Path) -> None:
        document = case.document
        packed = (document["compressor"] or {}).get("id")
        filters = [one["id"] for one in document["filters"] or ()]
        plain = document["order"] == "C" and case.data.dtype.kind in "iuf" and packed in (None, "zlib")
        if not plain or filters not in ([], ["shuffle"]) or (filters and not packed):
            raise UnableError("netCDF4 is not asked to write these")
        place.parent.mkdir(parents=True, exist_ok=True)
        dataset = self.open(case, place, "w")
        axes = [dataset.createDimension(f"d{n}", length).name for n, length in enumerate(document["shape"])]
        fill = case.fill[()] if document["fill_value"] is not None else None
        chunks = document["chunks"] or None
        how = {"fill_value": fill, "chunksizes": chunks, "compression": packed, "shuffle": bool(filters)}
        z = dataset.createVariable("a", document["dtype"], axes, **how)
        for box in case.boxes:
            z[box] = case.data[box]
        dataset.close()


# ---- GDAL by its interface in C (https://gdal.org/en/stable/api/raster_c_api.html) -------------------------------------------

MULTIDIM, UPDATE = 0x10, 0x01
NUMERIC, STRING = 0, 1
FAILURE = 3  # CPLErr; below it are warnings
#: GDALDataType.
GDAL_DTYPES = {
    1: "u1", 2: "u2", 3: "i2", 4: "u4", 5: "i4", 6: "f4", 7: "f8", 10: "c8", 11: "c16", 12: "u8", 13: "i8", 14: "i1", 15: "f2",
}  # fmt: skip


class Gdal(ByBoxes):
    """GDAL."""

    packages = ("rasterio",)

    def __init__(self) -> None:
        spec = importlib.util.find_spec("rasterio")
        assert spec is not None
        assert spec.origin is not None
        (found,) = Path(spec.origin).parents[1].glob("rasterio.libs/libgdal*")
        importlib.import_module("rasterio")  # loads what the library needs
        self.lib = lib = ctypes.CDLL(str(found))
        for name in ("GDALOpenEx", "GDALDatasetGetRootGroup", "GDALGroupOpenMDArray", "GDALMDArrayGetDataType"):
            getattr(lib, name).restype = ctypes.c_void_p
        lib.GDALMDArrayGetDimensions.restype = ctypes.POINTER(ctypes.c_void_p)
        lib.GDALDimensionGetSize.restype = ctypes.c_uint64
        lib.CPLGetLastErrorMsg.restype = ctypes.c_char_p
        lib.GDALVersionInfo.restype = ctypes.c_char_p
        lib.CPLPushErrorHandler(lib.CPLQuietErrorHandler)
        lib.GDALAllRegister()

    def failed(self) -> Exception:
        return OSError((self.lib.CPLGetLastErrorMsg() or b"").decode() or "no message")

    def open(self, case: Any, place: Path, mode: str) -> Any:
        self.lib.CPLErrorReset()
        flags = MULTIDIM | (UPDATE if mode == "r+" else 0)
        dataset = self.lib.GDALOpenEx(f'ZARR:"{place / "a"}"'.encode(), flags, None, None, None)
        if not dataset:
            raise self.failed()
        group = self.lib.GDALDatasetGetRootGroup(ctypes.c_void_p(dataset))
        array = self.lib.GDALGroupOpenMDArray(ctypes.c_void_p(group), b"a", None)
        if not array:
            raise self.failed()
        return GdalArray(self, ctypes.c_void_p(dataset), ctypes.c_void_p(array))

    def write(self, case: Any, place: Path) -> None:
        put(case, place)
        z = self.open(case, place, "r+")
        for box in case.boxes:
            z[box] = case.data[box].astype("u1") if case.data.dtype.kind == "b" else v3.from_plain(case.data[box], z.dtype)
        z.close()

    def read(self, case: Any, place: Path) -> Any:
        found = super().read(case, place)
        if self.lib.CPLGetLastErrorType() >= FAILURE:
            raise self.failed()  # it reads on after what it could not decode
        return found


class GdalArray:
    """An array of GDAL's."""

    def __init__(self, gdal: Gdal, dataset: Any, array: Any) -> None:
        self.gdal, self.dataset, self.array = gdal, dataset, array
        lib = gdal.lib
        count = ctypes.c_size_t()
        axes = lib.GDALMDArrayGetDimensions(array, ctypes.byref(count))
        self.shape = tuple(lib.GDALDimensionGetSize(ctypes.c_void_p(axes[n])) for n in range(count.value))
        self.kind = ctypes.c_void_p(lib.GDALMDArrayGetDataType(array))
        self.kind_class = lib.GDALExtendedDataTypeGetClass(self.kind)
        number = lib.GDALExtendedDataTypeGetNumericDataType(self.kind)
        if self.kind_class == STRING:
            self.dtype = np.dtype(object)
        elif self.kind_class == NUMERIC and number in GDAL_DTYPES:
            self.dtype = np.dtype(GDAL_DTYPES[number])
        else:
            raise UnableError("compound types and numbers without a NumPy dtype are not tried here")

    def _move(self, function: Any, box: Any, buffer: Any) -> None:
        box = box if isinstance(box, tuple) else (box,)
        start = (ctypes.c_uint64 * max(1, len(box)))(*(s.start for s in box))
        count = (ctypes.c_size_t * max(1, len(box)))(*(s.stop - s.start for s in box))
        if not function(self.array, start, count, None, None, self.kind, buffer, None, ctypes.c_size_t(0)):
            raise self.gdal.failed()

    def __getitem__(self, box: Any) -> Any:
        box = box or ()
        shape = tuple(s.stop - s.start for s in box)
        if self.kind_class == STRING:
            size = int(np.prod(shape, dtype=int))
            texts = (ctypes.c_char_p * max(1, size))()
            self._move(self.gdal.lib.GDALMDArrayRead, box, texts)
            made = np.empty(size, object)
            made[:] = [(text or b"").decode() for text in texts[:size]]
            return made.reshape(shape)
        out = np.empty(shape, self.dtype)
        self._move(self.gdal.lib.GDALMDArrayRead, box, out.ctypes.data_as(ctypes.c_void_p))
        return out

    def __setitem__(self, box: Any, values: Any) -> None:
        if self.kind_class == STRING:
            encoded = [str(text).encode() if isinstance(text, str) else bytes(text) for text in np.asarray(values).reshape(-1)]
            self._move(self.gdal.lib.GDALMDArrayWrite, box, (ctypes.c_char_p * max(1, len(encoded)))(*encoded))
            return
        values = np.ascontiguousarray(values, self.dtype)
        self._move(self.gdal.lib.GDALMDArrayWrite, box, values.ctypes.data_as(ctypes.c_void_p))

    def close(self) -> None:
        self.gdal.lib.CPLErrorReset()
        self.gdal.lib.GDALMDArrayRelease(self.array)
        self.gdal.lib.GDALReleaseDataset(self.dataset)
        if self.gdal.lib.CPLGetLastErrorType() >= FAILURE:
            raise self.gdal.failed()  # what was written goes to disk only now


PEERS: dict[str, Any] = {"zarr-python": ZarrPython, "tensorstore": TensorStore, "z5py": Z5py, "GDAL": Gdal, "netCDF-C": NetCDF}


def cases_of(name: str) -> list[Any]:
    found = v2.features() if name == "v2" else v3.features()
    return [case for case in found if not isinstance(case, v3.GroupCase)]


def version(peer: Any) -> str:
    if isinstance(peer, Gdal):
        return str(peer.lib.GDALVersionInfo(b"RELEASE_NAME").decode())
    if isinstance(peer, NetCDF):
        import netCDF4

        return str(netCDF4.__netcdf4libversion__)
    return importlib.metadata.version(peer.packages[0])


def main(arguments: list[str]) -> int:
    if len(arguments) < 2 or arguments[0] not in PEERS:
        print(__doc__, file=sys.stderr)
        return 2
    warnings.simplefilter("ignore")
    np.seterr(all="ignore")
    peer = PEERS[arguments[0]]()
    reports = []
    for argument in arguments[1:]:
        verb, name, root = argument.split(":", 2)
        reports.append(peer_v3.step(peer, verb, cases_of(name), Path(root)))
    json.dump({"version": version(peer), "reports": reports}, sys.stdout)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
