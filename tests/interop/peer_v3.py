"""Writes, reads and changes Zarr v3 arrays with another implementation; run by the Python that has it.

    python peer_v3.py PEER STEP...       PEER is zarr-python, tensorstore or zarrs

A STEP is VERB:SET:DIR. SET is `features`, or `KINDSEED:COUNT`, such as `zarr7:300`, for arrays drawn at random
(`v3_features.drawn`); DIR is where they lie, each in a directory named by its path. VERB is

    write      make every array of the set and write its values
    read       read each array and compare it with what it must hold
    change     write into each array again (`Case.change`)
    reread     read, after a change

Prints {"versions": {...}, "reports": [{path: "ok", "wrong: ..." or "error: ..."}, ...]}, a report for each step.

Every array of the set `features` is given to the implementation as a document, so that all are asked the same. tensorstore
is first asked to make the array of it, and so to write a document of its own; zarr-python writes its own when attributes
are set; but what is listed under "Documents" is left as it stands. Random arrays are made with the implementation's own
functions.

zarrs comes as a codec pipeline for zarr-python. It runs in strict mode, in which it never falls back to zarr-python's
codecs. Where zarr-python knows no such data type or codec and so does not open the array, the document and the bytes of the
elements are given to the pipeline itself, chunk by chunk.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import json
import os
import re
import sys
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import accumulate, product
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parent))
features: Any = importlib.import_module("v3_features")

Json = Any
Report = dict[str, str]


@dataclass
class Found:
    """What an implementation reads; None for what it cannot tell."""

    values: np.ndarray
    fill: np.ndarray | None
    attributes: dict[str, Json] | None
    names: list[str | None] | None


class UnableError(Exception):
    """The implementation has nothing like it."""


def put_document(place: Path, document: dict[str, Json]) -> None:
    place.mkdir(parents=True, exist_ok=True)
    (place / "zarr.json").write_text(json.dumps(document), "utf-8")


def plain_fill(fill: Any, data_type: Json, dtype: Any = None) -> np.ndarray:
    """A fill value that an implementation shows, in plain form."""
    if features.plain_dtype(data_type).kind == "O":
        made = np.empty((), object)
        made[()] = fill
        return np.asarray(features.to_plain(made, data_type))
    return np.asarray(features.to_plain(np.asarray(fill, dtype), data_type))


class ZarrPython:
    """zarr-python."""

    packages: tuple[str, ...] = ("zarr", "numcodecs")

    def __init__(self) -> None:
        import zarr

        self.zarr = zarr
        zarr.config.set({"array.rectilinear_chunks": True})

    def open(self, place: Path, mode: str) -> Any:
        return self.zarr.open_array(place, mode=mode, zarr_format=3)

    def assign(self, z: Any, case: Any) -> None:
        for box in case.boxes:
            z[box] = features.from_plain(case.data[box], z.dtype)

    def write(self, case: Any, place: Path) -> None:
        if case.arguments:
            z = self.create(case.arguments, place)
        else:
            verbatim = case.section == "Documents"
            put_document(place, {**case.document, **({"attributes": case.attributes} if verbatim else {})})
            z = self.open(place, "r+")
        self.assign(z, case)
        if case.arguments or not verbatim:
            z.update_attributes(case.attributes)  # writes the document anew

    def create(self, given: dict[str, Any], place: Path) -> Any:
        dtype = self.zarr.dtype.VariableLengthUTF8() if given["string"] else given["dtype"]
        fixed = {"index_location": given["index_location"]} if given["shards"] else {}
        return self.zarr.create_array(
            place,
            shape=given["shape"],
            dtype=dtype,
            chunks=given["chunks"],
            shards={"shape": given["shards"], **fixed} if given["shards"] else None,
            filters=given["filters"],
            serializer=given["serializer"],
            compressors=given["compressors"],
            fill_value=given["fill_value"],
            chunk_key_encoding={"name": given["key_encoding"], "separator": given["separator"]},
            dimension_names=given["dimension_names"],
            zarr_format=3,
        )

    def change(self, case: Any, place: Path) -> None:
        z = self.open(place, "r+")
        box, values = case.change
        z[box] = features.from_plain(values, z.dtype)

    def read(self, case: Any, place: Path) -> Found:
        z = self.open(place, "r")
        names = None if z.metadata.dimension_names is None else list(z.metadata.dimension_names)
        values = features.to_plain(z[...], case.data_type)
        return Found(values, plain_fill(z.fill_value, case.data_type, z.dtype), z.attrs.asdict(), names)

    def write_group(self, case: Any, place: Path) -> None:
        for path, attributes in case.groups.items():
            self.zarr.create_group(place, path=path, zarr_format=3, attributes=attributes)
        for path, values in case.arrays.items():
            self.zarr.create_array(place, name=path, data=values, chunks=(2,) * values.ndim, zarr_format=3)
        if case.consolidated:
            self.zarr.consolidate_metadata(place, zarr_format=3)

    def read_group(self, case: Any, place: Path) -> dict[str, Any]:
        """Attributes of groups and values of arrays, by path."""
        top = self.zarr.open_group(place, mode="r", zarr_format=3, use_consolidated=case.consolidated)
        found: dict[str, Any] = {"": top.attrs.asdict()}
        for path, node in top.members(max_depth=None):
            found[path] = node[...] if isinstance(node, self.zarr.Array) else node.attrs.asdict()
        return found


class Zarrs(ZarrPython):
    """zarrs as the codec pipeline of zarr-python, and by itself."""

    packages = ("zarrs", "zarr", "numcodecs")

    def __init__(self) -> None:
        super().__init__()
        internal: Any = importlib.import_module("zarrs._internal")
        self.pipeline, self.item = internal.CodecPipelineImpl, internal.ChunkItem
        self.kind: Any = importlib.import_module("zarrs").ZarrsCodecPipeline
        self.zarr.config.set({"codec_pipeline.path": "zarrs.ZarrsCodecPipeline", "codec_pipeline.strict": True})

    def checked(self, z: Any) -> Any:
        """The array, whose pipeline is zarrs' and has nothing to fall back to."""
        pipeline = z._async_array.codec_pipeline
        if not isinstance(pipeline, self.kind) or pipeline.impl is None or pipeline.python_impl is not None:
            raise UnableError(f"the codec pipeline is {pipeline!r}, not zarrs'")
        return z

    def open(self, place: Path, mode: str) -> Any:
        return self.checked(super().open(place, mode))

    def create(self, given: dict[str, Any], place: Path) -> Any:
        return self.checked(super().create(given, place))

    def write(self, case: Any, place: Path) -> None:
        try:
            super().write(case, place)
        except Exception:
            if case.arguments:
                raise
            self.write_chunks(case, place)

    def read(self, case: Any, place: Path) -> Found:
        try:
            return super().read(case, place)
        except Exception:
            if case.arguments:
                raise
            return self.read_chunks(case, place)

    def direct(self, place: Path) -> Any:
        """zarrs' own pipeline over the document as it stands."""
        text = (place / "zarr.json").read_text("utf-8")
        return self.pipeline(text, self.zarr.storage.LocalStore(place), validate_checksums=True)

    def write_chunks(self, case: Any, place: Path) -> None:
        put_document(place, {**case.document, "attributes": case.attributes})
        pipeline = self.direct(place)
        for box in case.boxes:
            items = list(self.items(case, box))
            pipeline.store_chunks_with_indices(items, memory(case.data[box]), False)

    def read_chunks(self, case: Any, place: Path) -> Found:
        # Whole chunks, the parts past the array's edge too: some codecs of zarrs cannot decode a part.
        whole = tuple(sum(row) for row in features.edges(case.document["chunk_grid"], case.data.shape))
        made = memory(np.zeros(whole, case.data.dtype))
        items = list(self.items(case, tuple(slice(0, n) for n in whole)))
        self.direct(place).retrieve_chunks_and_apply_index(items, made)
        values = made.view(case.data.dtype)[tuple(slice(0, n) for n in case.data.shape)]
        bits = {"int2": 6, "int4": 4}.get(str(case.data_type))
        if bits:  # of the byte that the pipeline gives, the upper bits are arbitrary
            values = values << bits >> bits
        return Found(values, None, None, case.names)

    def items(self, case: Any, box: tuple[slice, ...]) -> Iterator[Any]:
        """What the pipeline wants to know of each chunk under a box."""
        shape = tuple(s.stop - s.start for s in box)
        lengths = features.edges(case.document["chunk_grid"], case.data.shape)
        starts = [[0, *accumulate(row)] for row in lengths]
        for coords in product(*(range(len(row)) for row in lengths)):
            inside, outside, size = [], [], []
            for axis, k in enumerate(coords):
                start, stop = starts[axis][k], starts[axis][k + 1]
                low, high = max(start, box[axis].start), min(stop, box[axis].stop)
                inside.append(slice(low - start, high - start))
                outside.append(slice(low - box[axis].start, high - box[axis].start))
                size.append(stop - start)
            if all(s.start < s.stop for s in inside):
                yield self.item(chunk_key(case.document["chunk_key_encoding"], coords), inside, size, outside, list(shape))

    def write_group(self, case: Any, place: Path) -> None:
        raise UnableError("zarrs' Python package is a codec pipeline: groups are zarr-python's")

    def read_group(self, case: Any, place: Path) -> dict[str, Any]:
        raise UnableError("zarrs' Python package is a codec pipeline: groups are zarr-python's")


def memory(values: np.ndarray) -> np.ndarray:
    """The elements as what zarrs takes: their bytes."""
    if values.dtype.kind == "O":
        raise UnableError("zarrs' pipeline takes no elements of variable length")
    return np.ascontiguousarray(values).view(f"V{values.dtype.itemsize}")


def chunk_key(encoding: Json, coords: tuple[int, ...]) -> str:
    name, configuration = features.split(encoding)
    if name == "v2":
        return str(configuration.get("separator", ".")).join(map(str, coords)) or "0"
    return str(configuration.get("separator", "/")).join(["c", *map(str, coords)])


class TensorStore:
    """tensorstore."""

    packages = ("tensorstore",)

    def __init__(self) -> None:
        import tensorstore

        self.ts = tensorstore
        self.context = tensorstore.Context()

    def spec(self, place: Path) -> dict[str, Json]:
        return {"driver": "zarr3", "kvstore": {"driver": "file", "path": str(place)}}

    def open(self, case: Any, place: Path, **options: Any) -> dict[str | None, Any]:
        """The array, or one for each field."""
        spec = self.spec(place)
        names = features.plain_dtype(case.data_type).names
        if names is None:
            return {None: self.ts.open(spec, context=self.context, **options).result()}
        return {n: self.ts.open({**spec, "field": n}, context=self.context, **options).result() for n in names}

    def write(self, case: Any, place: Path) -> None:
        metadata = {k: v for k, v in case.document.items() if k not in ("zarr_format", "node_type")}
        metadata["attributes"] = case.attributes
        try:
            if case.section == "Documents":
                raise ValueError("of these, the document itself is what is tried")
            if features.split(case.data_type)[0] == "raw_bytes":
                raise ValueError("a spec with raw_bytes ends the process (0.1.86: failed check in GetEffectiveDomain)")
            spec = {**self.spec(place), "metadata": metadata}
            arrays = {None: self.ts.open(spec, create=True, context=self.context).result()}
        except ValueError:
            if case.arguments:
                raise
            put_document(place, {**case.document, "attributes": case.attributes})
            arrays = self.open(case, place)
        for box in case.boxes:
            self.put(arrays, box, case.data[box])

    def put(self, arrays: dict[str | None, Any], box: Any, values: np.ndarray) -> None:
        for label, z in arrays.items():
            part = values if label is None else values[label]
            z[box].write(features.from_plain(part, z.dtype.numpy_dtype)).result()

    def change(self, case: Any, place: Path) -> None:
        self.put(self.open(case, place), *case.change)

    def read(self, case: Any, place: Path) -> Found:
        arrays = self.open(case, place)
        plain = features.plain_dtype(case.data_type)
        values, fill = np.zeros(tuple(next(iter(arrays.values())).shape), plain), np.zeros((), plain)
        for label, z in arrays.items():
            if label is None:
                values = features.to_plain(z.read().result(), case.data_type)
                fill = plain_fill(z.fill_value, case.data_type, z.dtype.numpy_dtype)
            else:
                values[label], fill[label] = z.read().result(), z.fill_value
        metadata = z.spec(retain_context=False).to_json().get("metadata", {})
        return Found(values, fill, metadata.get("attributes", {}), metadata.get("dimension_names"))

    def write_group(self, case: Any, place: Path) -> None:
        raise UnableError("tensorstore has no groups")

    def read_group(self, case: Any, place: Path) -> dict[str, Any]:
        raise UnableError("tensorstore has no groups")


PEERS: dict[str, Any] = {"zarr-python": ZarrPython, "tensorstore": TensorStore, "zarrs": Zarrs}


# ---- steps, for any implementation ----


def brief(error: BaseException) -> str:
    """An exception in one line, the same on every machine."""
    text = str(error).split(" [tensorstore_spec=")[0].split("[source locations=")[0]
    text = re.sub(r"(file://)?/[^\s'\"]*/(?=(f\d{3}|[a-z]+\d+/\d+)\b)", "", text)
    text = re.sub(r"\bf\d{3}\b/?", "", " ".join(text.split()))
    return f"{type(error).__name__}: {text}"[:2000]


def compare(found: Found, case: Any, *, changed: bool = False) -> str | None:
    """How what was read differs from what must be, or None."""
    wrong = features.differs(found.values, case.expected(changed=changed))
    if wrong is None and found.fill is not None:
        wrong = features.differs(found.fill, case.fill)
        wrong = wrong and f"fill value: {wrong}"
    if wrong is None and found.attributes is not None and found.attributes != case.attributes:
        wrong = f"attributes {found.attributes!r}, expected {case.attributes!r}"
    # A list of nulls says the same as no list.
    if wrong is None and [*(found.names or []), None][: len(case.names or [])] != (case.names or []) and any(case.names):
        wrong = f"dimension_names {found.names!r}, expected {case.names!r}"
    return wrong


def compare_group(found: dict[str, Any], case: Any) -> str | None:
    wanted = {**case.groups, **case.arrays}
    if set(found) != set(wanted):
        return f"members {sorted(found)}, expected {sorted(wanted)}"
    for path, value in wanted.items():
        wrong = features.differs(np.asarray(found[path]), value) if path in case.arrays else None
        if wrong or (path in case.groups and found[path] != value):
            return f"{path!r}: {wrong or found[path]!r}"
    return None


def step(peer: Any, verb: str, cases: list[Any], root: Path) -> Report:
    """Do one thing with every array."""
    report: Report = {}
    for case in cases:
        place = root / case.path
        try:
            report[case.path] = once(peer, verb, case, place)
        except Exception as error:
            if os.environ.get("PEER_TRACE") == case.path:
                raise
            report[case.path] = f"error: {brief(error)}"
    return report


def once(peer: Any, verb: str, case: Any, place: Path) -> str:
    if isinstance(case, features.GroupCase):
        if verb == "write":
            peer.write_group(case, place)
            return "ok"
        wrong = compare_group(peer.read_group(case, place), case)
        return "ok" if wrong is None else f"wrong: {wrong}"
    if verb == "write":
        peer.write(case, place)
        return "ok"
    if verb == "change":
        peer.change(case, place)
        return "ok"
    wrong = compare(peer.read(case, place), case, changed=verb == "reread")
    return "ok" if wrong is None else f"wrong: {wrong}"


def cases_of(name: str) -> list[Any]:
    if name == "features":
        return list(features.features())
    kind, seed, count = re.fullmatch(r"([a-z]+)(\d+):(\d+)", name).groups()
    return list(features.drawn(int(count), kind, int(seed)))


def main(arguments: list[str]) -> int:
    if len(arguments) < 2 or arguments[0] not in PEERS:
        print(__doc__, file=sys.stderr)
        return 2
    warnings.simplefilter("ignore")
    np.seterr(all="ignore")
    peer = PEERS[arguments[0]]()
    reports = []
    for argument in arguments[1:]:
        verb, rest = argument.split(":", 1)
        name, root = rest.rsplit(":", 1)
        reports.append(step(peer, verb, cases_of(name), Path(root)))
    versions = {package: importlib.metadata.version(package) for package in peer.packages}
    json.dump({"versions": versions, "reports": reports}, sys.stdout)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
