"""Calls on arrays of strings, of dates, and of records; and of what turns arrays into text."""

from __future__ import annotations

from ndzarr.testing.calls.call import Call, table

CALLS: list[Call] = table(
    """
np.char.equal(s, s2)
np.char.equal(s, "Beta ")
np.char.not_equal(s, S2)
np.char.less(s, s2)
np.char.less_equal(s, s2)
np.char.greater(s, s2)
np.char.greater_equal(S, s2)
np.strings.capitalize(s)
np.strings.center(s, 9)
np.strings.center(s, 9, "*")
np.strings.decode(y)
np.strings.decode(y, "ascii")
np.strings.encode(s)
np.strings.encode(s, "utf-8")
np.strings.expandtabs(s)
np.strings.expandtabs(s, 4)
np.strings.ljust(s, 9)
np.strings.ljust(s, 9, fillchar=".")
np.strings.lower(s)
np.strings.lower(y)
np.strings.mod(np.strings.replace(s, s, "%05d"), x[:8])
np.strings.multiply(s, 2)
np.strings.multiply(s, x[:8])
np.strings.partition(s, "a")  # numpy 2.1
np.strings.replace(s, "a", "xyz")
np.strings.replace(s, "a", s2, count=1)
np.strings.rjust(s, 8)
np.strings.rjust(y, 8)
np.strings.rpartition(s, "a")  # numpy 2.1
np.strings.swapcase(s)
np.strings.title(s)
np.strings.translate(s, str.maketrans("a", "b"))
np.strings.translate(y, bytes(range(256)), b"a")
np.strings.upper(s)
np.strings.zfill(sn, 5)
strings._join("-", s)  # numpy 2.1
strings._split(s)  # numpy 2.1
strings._rsplit(s, "a", 1)  # numpy 2.1
strings._splitlines(s)  # numpy 2.1
np.strings.upper(st)
np.strings.add(st, st)
np.strings.str_len(st)
np.strings.slice(s, 2)  # numpy 2.3
np.strings.slice(s, 0, x[:8], 2)  # numpy 2.3
umath._slice(s, 0, 2, 1)  # numpy 2.3
umath._center(s, 9, "*", out=np.empty(8, "U9"))  # numpy 2.1
umath._ljust(s, 9, "*", out=np.empty(8, "U9"))  # numpy 2.1
umath._rjust(s, 9, "*", out=np.empty(8, "U9"))  # numpy 2.1
umath._zfill(sn, 5, out=np.empty(8, "U5"))  # numpy 2.1
umath._expandtabs_length(s, 8)
umath._expandtabs(s, 8, out=np.empty(8, "U20"))
umath._replace(s, "a", "b", np.full(8, -1), out=np.empty(8, "U6"))
umath._partition_index(s, "a", np.strings.find(S, "a"), out=tuple(np.empty((3, 8), "U6")))  # numpy 2.1
umath._rpartition_index(s, "a", np.strings.rfind(S, "a"), out=tuple(np.empty((3, 8), "U6")))  # numpy 2.1
umath._partition(st, np.array("a", dtype="T"))  # numpy 2.1
umath._rpartition(st, np.array("a", dtype="T"))  # numpy 2.1
umath.find(s, "a", 0, 9)
umath.rfind(s, S2, 0, 9)
umath.count(y, b"a", 1, 5)
umath.index(s, "", 0, 9)
umath.rindex(s, "", 0, 9)
umath.startswith(s, s2, 0, 9)
umath.endswith(s, "a", 0, 9)
np.busday_count(d, d2)
np.busday_count(d, "2024-06-01", weekmask="1111110")
np.busday_offset(d, 2, roll="forward")
np.busday_offset(d, x[:8], roll="backward")
np.is_busday(d)
np.is_busday(D2, holidays=d)
np.datetime_as_string(d)
np.datetime_as_string(d, unit="M")
np.array2string(f)
np.array2string(f, precision=2, separator=",")
np.array_repr(f)
np.array_repr(i, max_line_width=40)
np.array_str(f)
np.array_str(s)
loaded(lambda file: np.save(file, f))
loaded(lambda file: np.savez(file, f, named=g))
loaded(lambda file: np.savez_compressed(file, f))
loaded(lambda file: np.savetxt(file, f))
loaded(lambda file: np.savetxt(file, i, fmt="%d", delimiter=","))
rfn.append_fields(r, "c", w[:8], usemask=False)
rfn.append_fields(R, "c", v[:8], usemask=False)
rfn.append_fields(r, ["c", "d"], [v[:8], W[:8]], usemask=True)
rfn.apply_along_fields(np.mean, rr)
rfn.assign_fields_by_name(r, q)
rfn.assign_fields_by_name(r, Q, zero_unassigned=False)
rfn.drop_fields(r, "a")
rfn.drop_fields(r, ["b"], usemask=True)
rfn.find_duplicates(np.ma.array(R, mask=False))
rfn.join_by("a", r, q, usemask=False)
rfn.join_by("a", r, Q, jointype="outer", usemask=False)
rfn.merge_arrays((r, q))
rfn.merge_arrays([v, x], usemask=False)
rfn.rec_append_fields(r, "c", v[:8])
rfn.rec_drop_fields(r, "b")
rfn.rec_join("a", r, q)
rfn.recursive_fill_fields(r, np.zeros(9, R.dtype))
rfn.recursive_fill_fields(R, q)
rfn.rename_fields(r, {"a": "first"})
rfn.repack_fields(r)
rfn.repack_fields(r, align=True)
rfn.require_fields(r, [("a", "f8"), ("new", "u1")])
rfn.stack_arrays((r, q), usemask=False)
rfn.stack_arrays([r, Q], usemask=True)
rfn.structured_to_unstructured(rr)
rfn.structured_to_unstructured(r, dtype="f4")
rfn.unstructured_to_structured(f)
rfn.unstructured_to_structured(x3, np.dtype([(name, "f4") for name in "abc"]))
scimath.sqrt(f)
scimath.log(f)
scimath.log2(f)
scimath.log10(f)
scimath.logn(2, f)
scimath.power(f, 0.5)
scimath.power(F, i)
scimath.arccos(f)
scimath.arcsin(f)
scimath.arctanh(f)
scimath.sqrt(e)
""",
    "close",
)
