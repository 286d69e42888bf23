"""Every codec of ndzarr in a chain, with values that it takes; and chains drawn at random."""

from __future__ import annotations

import random

import numpy as np

from ndzarr._typing import NDArray

NUMBERS = np.cumsum(np.random.default_rng(0).integers(-3, 4, 600)).astype("<i4")
FLOATS = np.sin(NUMBERS / 9).astype("<f8")
WORDS = np.array(["", "word", "wörter", "中文"], object)[np.abs(NUMBERS[:40]) % 4]
BLOBS = np.array([b"", b"abc", b"\0" * 30], object)[np.abs(NUMBERS[:40]) % 3]
LISTS = np.fromiter(([np.arange(n % 3, dtype="<i4") for n in range(40)]), object, 40)
LITTLE = ("bytes", {"endian": "little"})
BIG = {"name": "bytes", "configuration": {"endian": "big"}}
REVERSED = {"name": "transpose", "configuration": {"order": [1, 0]}}

CHAINS = {
    "bytes": ([], NUMBERS),
    "transpose": ([("transpose", {"order": [1, 0]})], NUMBERS.reshape(30, 20)),
    "zlib": ([("zlib", {})], NUMBERS),
    "gzip": ([("gzip", {})], NUMBERS),
    "bz2": ([("bz2", {})], NUMBERS),
    "bzip2": ([("bzip2", {})], NUMBERS),
    "lzma": ([("lzma", {})], NUMBERS),
    "lzma raw": ([("lzma", {"format": 3, "filters": [{"id": 33, "preset": 1}]})], NUMBERS),
    "lzma alone": ([("lzma", {"format": 2})], NUMBERS),
    "lz4": ([("lz4", {})], NUMBERS),
    "zstd": ([("zstd", {})], NUMBERS),
    "zstd checksum": ([("zstd", {"checksum": True})], NUMBERS),
    "snappy": ([("snappy", {})], NUMBERS),
    "crc32": ([("crc32", {})], NUMBERS),
    "adler32": ([("adler32", {})], NUMBERS),
    "crc32c": ([("crc32c", {})], NUMBERS),
    "fletcher32": ([("fletcher32", {})], NUMBERS),
    "jenkins_lookup3": ([("jenkins_lookup3", {})], NUMBERS),
    "shuffle": ([("shuffle", {"elementsize": 4})], NUMBERS),
    "base64": ([("base64", {})], NUMBERS),
    "delta": ([("delta", {"dtype": "<i4"})], NUMBERS),
    "quantize": ([("quantize", {"digits": 2, "dtype": "<f8", "astype": "<f4"})], FLOATS),
    "fixedscaleoffset": ([("fixedscaleoffset", {"offset": 1, "scale": 9, "dtype": "<f8", "astype": "<f4"})], FLOATS),
    "astype": ([("astype", {"encode_dtype": "<f4", "decode_dtype": "<i4"})], NUMBERS),
    "astype of text": ([("astype", {"encode_dtype": "|S6", "decode_dtype": "<i4"})], NUMBERS),
    "bitround": ([("bitround", {"keepbits": 3})], FLOATS),
    "packbits": ([("numcodecs.packbits", {})], NUMBERS[:595] > 0),
    "registered packbits": ([("packbits", {"padding_encoding": "first_byte"})], NUMBERS[:595] > 0),
    "packbits of some bits": ([("packbits", {"last_bit": 10})], NUMBERS),
    "cast_value": ([("cast_value", {"data_type": "float32", "rounding": "towards-zero"}), LITTLE], NUMBERS),
    "cast_value map": (
        [("cast_value", {"data_type": "int8", "scalar_map": {"decode": [[0, "NaN"]]}, "out_of_range": "wrap"}), LITTLE],
        FLOATS,
    ),
    "scale_offset": ([("scale_offset", {"offset": 3, "scale": 7}), LITTLE], NUMBERS),
    "scale_offset of floats": ([("scale_offset", {"offset": 3, "scale": 0.1}), LITTLE], FLOATS),
    "reshape": ([("transpose", {"order": [1, 0]}), ("reshape", {"shape": [-1, 4]}), LITTLE], NUMBERS.reshape(30, 20)),
    "conditional": ([LITTLE, ("conditional", {"codecs": ["numcodecs.zlib", "crc32c"]})], NUMBERS),
    "conditional of unknown sizes": ([("vlen-utf8", {}), ("conditional", {"codecs": ["zstd", "gzip"]})], WORDS),
    "n5_default": ([("n5_default", {"codecs": [REVERSED, BIG]})], NUMBERS.reshape(30, 20)),
    "n5_default zstd": ([("n5_default", {"codecs": [REVERSED, BIG, "zstd"]})], NUMBERS.reshape(30, 20)),
    "endian": ([("endian", {"endian": "big"})], NUMBERS),
    "zfp": ([("zfp", {"mode": "reversible"})], FLOATS.reshape(30, 20)),
    "zfp accuracy": ([("zfp", {"mode": "fixed_accuracy", "tolerance": 0.01})], FLOATS.reshape(10, 6, 10)),
    "zfp rate": ([("zfp", {"mode": "fixed_rate", "rate": 7})], NUMBERS),
    "zfp precision": ([("zfp", {"mode": "fixed_precision", "precision": 11})], NUMBERS.reshape(5, 6, 4, 5)),
    "zfpy": ([("numcodecs.zfpy", {"tolerance": 0.01})], FLOATS.reshape(30, 20)),
    "zfpy rate": ([("zfpy", {"mode": 2, "rate": 30})], FLOATS.reshape(5, 6, 4, 5)),
    "pcodec": ([("pcodec", {})], NUMBERS),
    "pcodec of floats": ([("numcodecs.pcodec", {"equal_pages_up_to": 50})], FLOATS),
    "vlen-utf8 of strings": ([("vlen-utf8", {})], WORDS.astype(np.dtypes.StringDType())),
    "categorize": ([("categorize", {"labels": ["word", "中文"], "dtype": "|O"})], WORDS),
    "vlen-utf8": ([("vlen-utf8", {})], WORDS),
    "vlen-bytes": ([("vlen-bytes", {})], BLOBS),
    "vlen-array": ([("vlen-array", {"dtype": "<i4"})], LISTS),
    "json2": ([("json2", {})], WORDS),
    "json2 of numbers": ([("json2", {})], NUMBERS),
    "msgpack2": ([("msgpack2", {})], WORDS),
    "vlen-utf8 and blosc": ([("vlen-utf8", {}), ("blosc", {})], WORDS),
    "vlen-utf8 and zstd": ([("vlen-utf8", {}), ("zstd", {})], WORDS),
    "vlen-utf8 and gzip": ([("vlen-utf8", {}), ("gzip", {})], WORDS),
    "delta after zlib": ([("zlib", {}), ("delta", {"dtype": "|u1"})], NUMBERS),
    "packbits after crc32": ([("base64", {}), ("numcodecs.packbits", {})], np.zeros(3, "u1")),
} | {
    f"blosc {cname} {shuffle} {blocksize}": (
        [("blosc", {"cname": cname, "shuffle": shuffle, "blocksize": blocksize})],
        NUMBERS,
    )
    for cname in ("blosclz", "lz4", "lz4hc", "zlib", "zstd")
    for shuffle in (0, 1, 2)
    for blocksize in (0, 256)
}
#: Chains in which any change at all is found. bz2, gzip, lzma, zlib: their own checksums; a header has bits that mean
#: nothing.
CHECKED = ("crc32", "adler32", "crc32c", "fletcher32", "jenkins_lookup3")

#: What may stand between filters and packers, for elements of four bytes.
_FILTERS = [
    ("delta", {"dtype": "<i4"}),
    ("astype", {"encode_dtype": "<i8", "decode_dtype": "<i4"}),
    ("fixedscaleoffset", {"offset": 0, "scale": 1, "dtype": "<i4", "astype": "<i4"}),
    ("transpose", {"order": [0]}),
    ("bitround", {"keepbits": 30}),
]
_SERIALIZERS = [LITTLE, ("bytes", {"endian": "big"}), ("packbits", {"last_bit": 20}), ("pcodec", {})]
_PACKERS = [
    ("zlib", {}),
    ("gzip", {}),
    ("bz2", {}),
    ("bzip2", {}),
    ("lzma", {"preset": 0}),
    ("lz4", {}),
    ("zstd", {}),
    ("zstd", {"checksum": True}),
    ("snappy", {}),
    ("base64", {}),
    ("shuffle", {"elementsize": 4}),
    ("blosc", {"cname": "lz4", "shuffle": 1, "blocksize": 256}),
    ("blosc", {"cname": "zstd", "shuffle": 2}),
    ("conditional", {"codecs": ["gzip", "crc32c"]}),
    *[(name, {}) for name in CHECKED],
]


def drawn(count: int) -> dict[str, tuple[list[tuple[str, dict]], NDArray]]:
    """`count` chains of a few codecs, the same ones each time; named by their codecs."""
    rng = random.Random("chains")
    found: dict[str, tuple[list[tuple[str, dict]], NDArray]] = {}
    while len(found) < count:
        filters = rng.sample(_FILTERS[:2], rng.randrange(2)) + rng.sample(_FILTERS[2:], rng.randrange(2))
        if ("astype" in [name for name, _ in filters]) and len(filters) > 1:
            continue  # what follows would get elements of eight bytes
        chain = [*filters, rng.choice(_SERIALIZERS), *rng.choices(_PACKERS, k=rng.randrange(1, 4))]
        if chain[len(filters)][0] == "packbits" and filters:
            continue  # it keeps the bits of small numbers, and filters may make others
        if "shuffle" in [name for name, _ in chain[len(filters) + (chain[len(filters)][0] == "bytes") + 1 :]]:
            continue  # it wants a whole number of elements
        found["chain " + " ".join(name for name, _ in chain)] = (chain, np.abs(NUMBERS))
    return found
