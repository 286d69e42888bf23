"""`cast_value` and `scale_offset` against slow references from their READMEs, and what zarr-python 3.4.2 wrote."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from ndzarr._typing import CodecSpec
from ndzarr.codecs.base import ChunkSpec
from ndzarr.codecs.casting import ROUNDINGS, cast
from ndzarr.codecs.number import number
from ndzarr.codecs.pipeline import build
from ndzarr.codecs.registry import create_codec
from ndzarr.errors import ArgumentError, CorruptChunkError

# ---- the reference: numbers as fractions, one at a time -------------------------------------------------

#: Bits of the significand (with the one that is not stored), exponent of the smallest normal number, largest number, and
#: which of zero, sign, infinity and NaN there are: from the README of each type in zarr-extensions/data-types.
FLOATS = {
    "float4_e2m1fn": (2, 0, 6, "zs"),
    "float6_e2m3fn": (4, 0, Fraction(15, 2), "zs"),
    "float6_e3m2fn": (3, -2, 28, "zs"),
    "float8_e3m4": (5, -2, Fraction(31, 2), "zsin"),
    "float8_e4m3": (4, -6, 240, "zsin"),
    "float8_e4m3b11fnuz": (4, -10, 30, "zsn"),
    "float8_e4m3fnuz": (4, -7, 240, "zsn"),
    "float8_e5m2": (3, -14, 57344, "zsin"),
    "float8_e5m2fnuz": (3, -15, 57344, "zsn"),
    "float8_e8m0fnu": (1, -127, 2**127, "n"),
    "bfloat16": (8, -126, 2**128 - 2**120, "zsin"),
    "float16": (11, -14, 65504, "zsin"),
    "float32": (24, -126, 2**128 - 2**104, "zsin"),
    "float64": (53, -1022, 2**1024 - 2**971, "zsin"),
}
WHOLE = {
    "int2": (-2, 1),
    "int4": (-8, 7),
    "uint2": (0, 3),
    "uint4": (0, 15),
    **{f"int{n}": (-(2 ** (n - 1)), 2 ** (n - 1) - 1) for n in (8, 16, 32, 64)},
    **{f"uint{n}": (0, 2**n - 1) for n in (8, 16, 32, 64)},
}
NAMES = [*WHOLE, *FLOATS]
NAN = "nan"
LARGEST = Fraction(FLOATS["float64"][2])


def dtype_of(name):
    return np.dtype(getattr(ml_dtypes, name, name))


def to_whole(x: Fraction, rounding: str) -> int:
    if rounding == "nearest-even":
        return round(x)
    if rounding == "nearest-away":
        return int(math.copysign(1, x)) * math.floor(abs(x) + Fraction(1, 2))
    return {"towards-zero": math.trunc, "towards-positive": math.ceil, "towards-negative": math.floor}[rounding](x)


def to_float(x: Fraction, precision: int, exponent: int, rounding: str) -> Fraction:
    """To so many bits, the exponent not bounded above."""
    if x == 0:
        return x
    e = abs(x.numerator).bit_length() - x.denominator.bit_length()
    e -= abs(x) < Fraction(2) ** e
    place = Fraction(2) ** (max(e, exponent) - precision + 1)
    return to_whole(x / place, rounding) * place


def reference(x, target: str, rounding: str, out_of_range: str | None):
    """What steps 2 and 3 of the README make of a Fraction, an infinite float or NAN; ValueError for what is an error."""
    if target in WHOLE:
        least, largest = WHOLE[target]
        if x == NAN or isinstance(x, float):
            raise ValueError("special")
        n = to_whole(x, rounding)
        if least <= n <= largest:
            return Fraction(n)
        if out_of_range == "clamp":
            return Fraction(min(max(n, least), largest))
        if out_of_range == "wrap":
            span = largest - least + 1
            return Fraction((n - least) % span + least)
        raise ValueError("range")
    precision, exponent, largest, has = FLOATS[target]
    if x == NAN:
        if "n" not in has:
            raise ValueError("nan")
        return NAN
    if isinstance(x, float):
        if "i" not in has:
            raise ValueError("infinity")
        return x
    y = to_float(x, precision, exponent, rounding)
    least = -largest if "s" in has else Fraction(2) ** exponent
    if least <= y <= largest:
        return y
    if out_of_range != "clamp":
        raise ValueError("range")
    if "i" in has:
        return math.inf if y > 0 else -math.inf
    return Fraction(largest if y > largest else least)


def fractions(array):
    """The elements as the reference has them."""
    found = number(array.dtype)
    if found.whole:
        return [Fraction(int(v)) for v in array.astype("i8" if found.kind == "i" else "u8").tolist()]
    return [NAN if v != v else v if math.isinf(v) else Fraction(v) for v in array.astype("f8").tolist()]


def every(name):
    """All values of a type of up to 16 bits."""
    dtype = dtype_of(name)
    bits = number(dtype).bits
    return np.arange(1 << bits).astype(f"u{dtype.itemsize}").view(dtype)


@pytest.mark.parametrize("name", NAMES)
def test_number_knows_each_type(name):
    found = number(dtype_of(name))
    if name in WHOLE:
        assert (found.least, found.largest) == WHOLE[name]
        assert found.whole
        return
    precision, exponent, largest, has = FLOATS[name]
    assert (found.precision, found.exponent, found.largest) == (precision, exponent, largest)
    assert (found.zero, found.least < 0, found.infinite, found.nan) == tuple(letter in has for letter in "zsin")


@pytest.mark.parametrize("name", [n for n in NAMES if number(dtype_of(n)).bits <= 16 and n in FLOATS])
def test_values_of_narrow_floats_are_what_the_table_says(name):
    """The precision, the range and the special values, from the values that ml_dtypes gives the bit patterns."""
    precision, exponent, largest, has = FLOATS[name]
    with np.errstate(invalid="ignore"):  # NaNs that signal
        values = every(name).astype("f8")
    finite = {Fraction(v) for v in values[np.isfinite(values)].tolist()}
    assert max(finite) == largest
    assert min(finite) == (-largest if "s" in has else Fraction(2) ** exponent)
    assert all(to_float(v, precision, exponent, "towards-zero") == v for v in finite)
    assert np.isinf(values).any() == ("i" in has)
    assert np.isnan(values).any() == ("n" in has)


def check(array, target, rounding, out_of_range):
    """Every element: cast with those that can be cast, and by itself where it cannot."""
    dtype = dtype_of(target)
    wanted, refused = [], []
    for place, x in enumerate(fractions(array)):
        try:
            wanted.append((place, reference(x, target, rounding, out_of_range)))
        except ValueError:
            refused.append(place)
    good = array[[place for place, _ in wanted]]
    found = cast(good, dtype, rounding, out_of_range)
    assert found.dtype == dtype
    assert fractions(found) == [value for _, value in wanted], (array.dtype, target, rounding, out_of_range)
    if target in FLOATS and "s" in FLOATS[target][3] and "fnuz" not in target and number(array.dtype).kind == "f":
        zero = np.array([value == 0 for _, value in wanted], bool)
        assert (np.signbit(found.astype("f8"))[zero] == np.signbit(good.astype("f8"))[zero]).all()
    for place in refused[:3]:
        with pytest.raises(ValueError, match="has no place in"):
            cast(array[place : place + 1], dtype, rounding, out_of_range)


MODES = [(rounding, out) for rounding in ROUNDINGS for out in (None, "clamp", "wrap")]
NARROW = [name for name in NAMES if number(dtype_of(name)).bits <= 8]


@pytest.mark.parametrize("target", NAMES)
def test_all_values_of_narrow_types(target):
    """Each rounding and range rule with each pair of types, by turns."""
    for n, source in enumerate(NARROW):
        for k in range(2):
            rounding, out = MODES[(7 * n + 8 * k + NAMES.index(target)) % len(MODES)]
            check(every(source), target, rounding, None if out == "wrap" and target in FLOATS else out)


@pytest.mark.parametrize("target", ["float8_e4m3", "float8_e8m0fnu", "float6_e3m2fn", "int4", "uint8", "bfloat16", "int16"])
@pytest.mark.parametrize("rounding", ROUNDINGS)
def test_all_values_of_float16(target, rounding):
    check(every("float16")[:: 7 if target == "bfloat16" else 3], target, rounding, "clamp")


@st.composite
def arrays(draw):
    """A source type, a target type and values of the source near what matters to the target."""
    source, target = draw(st.sampled_from(NAMES)), draw(st.sampled_from(NAMES))
    dtype = dtype_of(source)
    marks: list[Any] = [
        0,
        1,
        -1,
        2**53,
        -(2**53),
        2**31,
        2**32,
        2**63,
        2**64,
        0.5,
        2.5,
        -3.5,
        1e-46,
        1e300,
        65520,
        255.5,
    ]
    if target in WHOLE:
        marks += [*WHOLE[target]]
    else:
        precision, exponent, largest, _ = FLOATS[target]
        marks += [largest, -largest, Fraction(2) ** (exponent - precision), Fraction(2) ** exponent, 2**precision + 1]
    values = []
    for _ in range(draw(st.integers(1, 12))):
        mark = Fraction(draw(st.sampled_from(marks)))
        if source in WHOLE:
            least, largest = WHOLE[source]
            values.append(min(max(int(mark) + draw(st.integers(-3, 3)), least), largest))
        else:
            x = float(max(-LARGEST, min(LARGEST, mark * draw(st.sampled_from([1, -1, Fraction(3, 2), Fraction(5, 4)])))))
            for _ in range(draw(st.integers(0, 2))):
                x = math.nextafter(x, draw(st.sampled_from([-math.inf, math.inf, 0.0])))
            values.append(draw(st.sampled_from([x, x, x, x, math.inf, -math.inf, math.nan, -0.0])))
    with np.errstate(all="ignore"):
        whole = "i8" if source in WHOLE and WHOLE[source][0] < 0 else "u8"
        array = np.array(values, whole if source in WHOLE else "f8").astype(dtype)
    return array, target


@settings(max_examples=500, deadline=None)
@given(arrays(), st.sampled_from(MODES))
def test_cast_is_the_reference(drawn, mode):
    array, target = drawn
    rounding, out = mode
    check(array, target, rounding, None if out == "wrap" and target in FLOATS else out)


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.integers(-(2**63), 2**64 - 1), min_size=1, max_size=20),
    st.sampled_from([n for n in NAMES if n in FLOATS]),
    st.sampled_from(sorted(ROUNDINGS)),
)
def test_cast_of_64_bit_integers(values, target, rounding):
    for dtype in ("i8", "u8"):
        least, largest = WHOLE["int64" if dtype == "i8" else "uint64"]
        array = np.array([v for v in values if least <= v <= largest], dtype)
        check(array, target, rounding, "clamp")


def test_cast_of_many_blocks():
    """More elements than are cast at a time, some out of range in the last block only."""
    values = np.linspace(-100, 100, 100_002)
    found = cast(values, np.dtype("i1"), "towards-negative")
    assert found.tolist() == np.floor(values).astype("i1").tolist()
    values[-1] = 128
    with pytest.raises(ValueError, match=r"128\.0 has no place in int8"):
        cast(values, np.dtype("i1"))
    found = cast(values.reshape(3, -1), np.dtype("u1"), "nearest-even", "clamp")
    assert found.shape == (3, 33_334)
    assert found.reshape(-1).tolist() == np.rint(values).clip(0, 255).astype("u1").tolist()


# ---- the codec cast_value -------------------------------------------------------------------------------------


def codec(configuration, dtype="f8", fill=None, shape=(6,), name="cast_value"):
    chunk = ChunkSpec(shape, np.dtype(dtype), None if fill is None else np.dtype(dtype).type(fill))
    return build([CodecSpec(name, configuration), CodecSpec("bytes", {"endian": "little"})], chunk)


NUMPY = {
    "data_type": "uint8",
    "rounding": "towards-zero",
    "out_of_range": "wrap",
    "scalar_map": {"encode": [["NaN", 7], ["+Infinity", 0], ["-Infinity", 1]], "decode": [[7, "NaN"]]},
}
WRITTEN = [
    # Configuration, dtype, values, the object that zarr-python 3.4.2 with cast-value-rs 0.5.1 wrote, values that it read.
    (
        {"data_type": "uint8", "rounding": "nearest-away", "out_of_range": "clamp"},
        "f8",
        [0, 0.5, 1.5, 2.5, -3, 300, 7.49],
        "0001020300ff07",
        [0, 1, 2, 3, 0, 255, 7],
    ),
    (NUMPY, "f8", [math.nan, math.inf, -math.inf, 256.5, -1.5, 3], "07000100ff03", [math.nan, 0, 1, 0, 255, 3]),
    (
        {"data_type": "float32", "rounding": "towards-positive", "out_of_range": "clamp"},
        "f8",
        [0.1, -0.1, 1e300, -1e300, math.nan, -0.0, 1e-46],
        "cdcccc3dccccccbd0000807f000080ff0000c07f0000008001000000",
        [0.10000000149011612, -0.09999999403953552, math.inf, -math.inf, math.nan, -0.0, 1.401298464324817e-45],
    ),
    (
        {"data_type": "float64", "rounding": "towards-zero"},
        "i8",
        [2**53 + 1, -(2**53 + 1), -(2**53)],
        "000000000000404300000000000040c300000000000040c3",
        [2**53, -(2**53), -(2**53)],
    ),
    (
        {"data_type": "uint64", "out_of_range": "wrap"},
        "f8",
        [1e30, -1e20, 2.0**64 + 4096],
        "00000000000075460000f09cd2a138940010000000000000",
        [5076964154930102272, 10680464442257309696, 4096],
    ),
    ({"data_type": "uint8", "out_of_range": "wrap"}, "i2", [300, -1], "2cff", [44, 255]),
    (
        {"data_type": "float16", "out_of_range": "clamp"},
        "f8",
        [0.1, 65519, 65520],
        "662eff7b007c",
        [0.0999755859375, 65504, math.inf],
    ),
]


@pytest.mark.parametrize(("configuration", "dtype", "values", "written", "read"), WRITTEN)
def test_what_zarr_python_wrote(configuration, dtype, values, written, read):
    array = np.array(values, dtype)
    pipeline = codec(configuration, dtype, shape=array.shape)
    assert bytes(pipeline.encode(array)).hex() == written
    np.testing.assert_array_equal(pipeline.decode(bytes.fromhex(written)), np.array(read, dtype))


def test_scalar_map_comes_first_and_the_first_of_a_key_counts():
    configuration = {
        "data_type": "int8",
        "scalar_map": {"encode": [[1000.5, -1], [1000.5, -2], [0, 9], [3, 4]], "decode": [[-1, 1000.5], [9, -0.0]]},
    }
    array = np.array([1000.5, -0.0, 0.0, 3.0, 4.0, 5.0])
    pipeline = codec(configuration)
    assert np.frombuffer(pipeline.encode(array), "i1").tolist() == [-1, 9, 9, 4, 4, 5]
    assert pipeline.decode(pipeline.encode(array)).tolist() == [1000.5, 0.0, 0.0, 4.0, 4.0, 5.0]
    with pytest.raises(ArgumentError, match=r"cast_value.*1000\.25 has no place in int8"):
        pipeline.encode(array - 0.25)


def test_every_nan_is_the_key_nan():
    other = np.array([0x7FF8000000000001, 0xFFF8000000000000, 0x7FF0000000000001], "u8").view("f8")
    pipeline = codec(NUMPY, shape=(3,))
    assert bytes(pipeline.encode(other)).hex() == "070707"


def test_map_of_many_keys():
    keys = list(range(0, 2000, 2))
    configuration = {"data_type": "int16", "scalar_map": {"encode": [[k, 2000 - k] for k in reversed(keys)]}}
    array = np.arange(2001)
    pipeline = codec(configuration, "i4", shape=array.shape)
    assert np.frombuffer(pipeline.encode(array.astype("i4")), "<i2").tolist() == [
        2000 - k if k % 2 == 0 and k < 2000 else k for k in range(2001)
    ]


def test_fill_value_goes_forward():
    bound = create_codec(CodecSpec("cast_value", {**NUMPY, "rounding": "nearest-even"})).bind(
        ChunkSpec((2,), np.dtype("f8"), np.float64("nan"))
    )
    resolved = bound.resolve(ChunkSpec((2,), np.dtype("f8"), np.float64("nan")))
    assert (resolved.dtype, resolved.fill_value, type(resolved.fill_value)) == (np.dtype("u1"), 7, np.uint8)
    # From the README of scale_offset: NaN stays NaN, and is 0 in what is stored.
    chain = [
        CodecSpec("scale_offset", {"offset": -10, "scale": 0.1}),
        CodecSpec(
            "cast_value",
            {
                "data_type": "uint8",
                "rounding": "nearest-even",
                "scalar_map": {"encode": [["NaN", 0]], "decode": [[0, "NaN"]]},
            },
        ),
        CodecSpec("bytes"),
    ]
    pipeline = build(chain, ChunkSpec((3,), np.dtype("f8"), np.float64("nan")))
    array = np.array([np.nan, 0.0, 2540.0])
    assert bytes(pipeline.encode(array)).hex() == "0001ff"
    np.testing.assert_array_equal(pipeline.decode(b"\0\1\xff"), array)


@pytest.mark.parametrize(
    ("fill", "configuration", "match"),
    [
        (0.5, {"data_type": "uint8"}, "comes back as 0.0"),
        (-1, {"data_type": "uint8", "out_of_range": "wrap"}, "comes back as 255"),
        (-1, {"data_type": "uint8"}, "has no place in uint8"),
        (math.nan, {"data_type": "int8"}, "only a scalar_map can give it one"),
        (math.nan, {"data_type": "int8", "scalar_map": {"encode": [["NaN", 1]]}}, "comes back as 1"),
    ],
)
def test_fill_value_that_does_not_come_back_is_refused(fill, configuration, match):
    with pytest.raises(ArgumentError, match=match):
        codec(configuration, fill=fill)


@pytest.mark.parametrize(
    ("configuration", "match"),
    [
        ({}, "data_type is missing"),
        ({"data_type": "uint9"}, "data_type is 'uint9'"),
        ({"data_type": "bool"}, "data_type is 'bool'"),
        ({"data_type": "complex64"}, "data_type is 'complex64'"),
        ({"data_type": "uint8", "rounding": "up"}, "rounding is 'up'"),
        ({"data_type": "uint8", "out_of_range": "saturate"}, "out_of_range is 'saturate'"),
        ({"data_type": "float32", "out_of_range": "wrap"}, "out_of_range is 'wrap', expected 'clamp'"),
        ({"data_type": "uint8", "scalar_map": []}, "scalar_map is"),
        ({"data_type": "uint8", "scalar_map": {"both": []}}, "scalar_map is"),
        ({"data_type": "uint8", "scalar_map": {"encode": [[1]]}}, "scalar_map is"),
        ({"data_type": "uint8", "scalar_map": {"encode": {"1": 2}}}, "scalar_map is"),
        ({"data_type": "uint8", "extra": 1}, "extra"),
    ],
)
def test_configurations_of_cast_value_that_are_refused(configuration, match):
    with pytest.raises(ArgumentError, match=match):
        create_codec(CodecSpec("cast_value", configuration))


@pytest.mark.parametrize("pair", [[1, 256], [1, "NaN"], [1, 1.5], ["x", 1], [None, 1]])
def test_scalars_that_are_none_of_the_type_are_refused(pair):
    with pytest.raises(ArgumentError, match=r"scalar_map\.encode has"):
        codec({"data_type": "uint8", "scalar_map": {"encode": [pair]}})


@pytest.mark.parametrize("dtype", ["?", "c8", "M8[s]", "S3", "U2", "V4"])
def test_dtypes_that_are_no_real_numbers_are_refused(dtype):
    for name, configuration in (("cast_value", {"data_type": "uint8"}), ("scale_offset", {})):
        with pytest.raises(ArgumentError, match=f"codec '{name}' takes integers or floats"):
            codec(configuration, dtype, name=name)


def test_damaged_values_are_a_corrupt_chunk():
    pipeline = codec({"data_type": "float64"}, "i2", shape=(2,))
    assert pipeline.decode(np.array([3.0, -7.0]).tobytes()).tolist() == [3, -7]
    for bad in (1e9, math.nan, math.inf):
        with pytest.raises(CorruptChunkError, match=r"cast_value: .* has no place in int16"):
            pipeline.decode(np.array([3.0, bad]).tobytes())


def test_big_endian_and_strided_chunks():
    array = np.arange(24, dtype=">i4").reshape(4, 6)[::2, ::-3]
    for name, configuration in (("cast_value", {"data_type": "int16"}), ("scale_offset", {"offset": 3, "scale": 2})):
        pipeline = codec(configuration, ">i4", shape=array.shape, name=name)
        found = pipeline.decode(bytes(pipeline.encode(array)))
        assert found.dtype == array.dtype
        assert found.tolist() == array.tolist()


# ---- scale_offset ------------------------------------------------------------------------------------


@settings(max_examples=400, deadline=None)
@given(
    st.sampled_from(sorted(WHOLE)),
    st.data(),
)
def test_scale_offset_of_integers(name, data):
    """`(x - offset) * scale` and back, each step in range or an error, one integer at a time."""
    least, largest = WHOLE[name]
    some = st.integers(least, largest) | st.integers(max(least, -9), min(largest, 9))
    offset, scale = data.draw(some), data.draw(some.filter(lambda n: n != 0))
    values = data.draw(st.lists(some, min_size=1, max_size=10))
    pipeline = codec({"offset": offset, "scale": scale}, dtype_of(name), shape=(1,), name="scale_offset")
    mask = (1 << number(dtype_of(name)).bits) - 1

    def stored(x):
        return np.array([x], "i8" if least < 0 else "u8").astype(dtype_of(name))

    for x in values:
        steps = [x - offset, (x - offset) * scale]
        if all(least <= step <= largest for step in steps):
            found = int.from_bytes(bytes(pipeline.encode(stored(x))), "little")
            assert found == steps[-1] & mask
        else:
            with pytest.raises(ArgumentError, match="overflows"):
                pipeline.encode(stored(x))
        wrong = x % scale != 0
        back = [x // scale, x // scale + offset]
        raw = (x & mask).to_bytes(dtype_of(name).itemsize, "little")
        if wrong or not all(least <= step <= largest for step in back):
            with pytest.raises(CorruptChunkError, match="scale_offset"):
                pipeline.decode(raw)
        else:
            assert int(pipeline.decode(raw)[0]) == back[-1]


@pytest.mark.parametrize("dtype", ["f2", "f4", "f8", "bfloat16", "float8_e4m3", "float6_e3m2fn"])
def test_scale_offset_of_floats(dtype):
    """Each step is rounded to the array's own type."""
    dtype = dtype_of(dtype) if "_" in dtype or dtype == "bfloat16" else np.dtype(dtype)
    array = np.array([-2.0, -0.0, 0.5, 1.5, 3.0, 4.0]).astype(dtype)
    pipeline = codec({"offset": 0.5, "scale": 0.75}, dtype, name="scale_offset")
    offset, scale = dtype.type(0.5), dtype.type(0.75)
    wanted = ((array - offset) * scale).astype(dtype)
    encoded = bytes(pipeline.encode(array))
    assert encoded == wanted.tobytes()
    assert pipeline.decode(encoded).tobytes() == (wanted / scale + offset).astype(dtype).tobytes()


def test_scale_offset_of_floats_overflows():
    pipeline = codec({"scale": 1e30}, "f4", shape=(1,), name="scale_offset")
    with pytest.raises(ArgumentError, match="overflows float32"):
        pipeline.encode(np.array([1e30], "f4"))
    # What is infinite already overflows nowhere.
    array = np.array([np.inf], "f4")
    assert pipeline.decode(bytes(pipeline.encode(array))) == np.inf
    narrow = dtype_of("float4_e2m1fn")
    pipeline = codec({"scale": 2}, narrow, shape=(1,), name="scale_offset")
    with pytest.raises(ArgumentError, match="has no place in float4_e2m1fn"):
        pipeline.encode(np.array([4], narrow))


SCALED = [
    # Configuration, dtype, values, the object that zarr-python 3.4.2 wrote, values that it read.
    (
        {"offset": 5, "scale": 0.1},
        "f4",
        [0.0, 5.0, -1.25, 1e30],
        "000000bf00000000000020bf088fa16f",
        [0.0, 5.0, -1.25, 1.0000000150474662e30],
    ),
    ({"offset": 1000}, "u2", [1000, 1255, 65535], "0000ff0017fc", [1000, 1255, 65535]),
    ({"offset": -7, "scale": -3}, "i2", [0, -7, 100, -32], "ebff0000bffe4b00", [0, -7, 100, -32]),
    (
        {"offset": 10, "scale": 0.001},
        "f8",
        [0.0, -0.0, 12345.678],
        "7b14ae47e17a84bf7b14ae47e17a84bf2ff99ffcddab2840",
        [0.0, 0.0, 12345.678],
    ),
    (
        {"scale": 3},
        "u8",
        [0, (2**64 - 1) // 3, 1],
        "0000000000000000ffffffffffffffff0300000000000000",
        [0, (2**64 - 1) // 3, 1],
    ),
    ({"scale": 0.5}, "f2", [0.1, 65504.0], "662aff77", [0.0999755859375, 65504.0]),
]


@pytest.mark.parametrize(("configuration", "dtype", "values", "written", "read"), SCALED)
def test_what_zarr_python_wrote_with_scale_offset(configuration, dtype, values, written, read):
    array = np.array(values, dtype)
    pipeline = codec(configuration, dtype, shape=array.shape, name="scale_offset")
    assert bytes(pipeline.encode(array)).hex() == written
    np.testing.assert_array_equal(pipeline.decode(bytes.fromhex(written)), np.array(read, dtype))


@pytest.mark.parametrize(
    ("configuration", "dtype", "match"),
    [
        ({"scale": 0}, "f8", "scale is 0, expected a finite number, and not 0"),
        ({"scale": "NaN"}, "f8", "scale is 'NaN'"),
        ({"offset": "Infinity"}, "f8", "offset is 'Infinity'"),
        ({"offset": -1}, "u1", "offset is -1, expected a scalar of dtype uint8"),
        ({"offset": 0.5}, "i4", "offset is 0.5"),
        ({"scale": 300}, "u1", "scale is 300"),
        ({"offset": [1]}, "f8", "offset is"),
        ({"offset": True}, "f8", "offset is True"),
        ({"dtype": "f8"}, "f8", "unknown configuration field 'dtype'"),
    ],
)
def test_configurations_of_scale_offset_that_are_refused(configuration, dtype, match):
    with pytest.raises(ArgumentError, match=match):
        codec(configuration, dtype, name="scale_offset")


def test_fill_value_of_scale_offset():
    spec = ChunkSpec((2,), np.dtype("u2"), np.uint16(1010))
    bound = create_codec(CodecSpec("scale_offset", {"offset": 1000, "scale": 2})).bind(spec)
    resolved = bound.resolve(spec)
    assert (resolved.fill_value, type(resolved.fill_value), resolved.dtype) == (20, np.uint16, np.dtype("u2"))
    with pytest.raises(ArgumentError, match=r"the fill value .* cannot be encoded: .* overflows uint16"):
        codec({"offset": 1000}, "u2", fill=0, name="scale_offset")
