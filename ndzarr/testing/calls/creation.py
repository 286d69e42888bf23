"""Calls of what makes arrays like another, of dtypes, and of elementwise functions that are no ufuncs."""

from __future__ import annotations

from ndzarr.testing.calls.call import Call, table

CALLS: list[Call] = table(
    """
np.empty_like(f)  # shape
np.empty_like(f, dtype="i4", shape=(3,))  # shape
np.zeros_like(f)
np.zeros_like(f, dtype="i4")
np.zeros_like(s)
np.ones_like(i)
np.ones_like(f, shape=(2, 2))
np.full_like(f, 3)
np.full_like(i, 2.5, dtype="f4")
np.full_like(f, row)
np.array([1, 2], like=f)
np.array(f, dtype="f4")
np.asarray(f) + 0 * np.asarray([1.0], like=f)
np.asarray([1, 2], dtype="f8", like=f)
np.asanyarray([1, 2], like=f)
np.ascontiguousarray([[1, 2]], like=f)
np.asfortranarray([[1, 2]], like=f)
np.require([1, 2], requirements="C", like=f)
np.arange(2, 9, 3, like=f)
np.empty((2, 3), like=f)  # shape
np.zeros((2, 3), like=f)
np.ones(3, dtype="i2", like=f)
np.full((2, 2), 7, like=f)
np.eye(3, k=1, like=f)
np.identity(3, like=f)
np.tri(3, like=f)
np.frombuffer(b"12345678", dtype="u1", like=f)
np.fromiter(range(4), dtype="i8", like=f)
np.fromstring("1 2 3", sep=" ", like=f)
filed(lambda path: np.fromfile(path, dtype="u1", like=f))
np.fromfunction(lambda row, column: row + column, (2, 3), like=f)
np.loadtxt(io.StringIO("1 2"), like=f)
np.genfromtxt(io.StringIO("1,2"), delimiter=",", like=f)
np.linspace(row, 5, 4)
np.linspace(0, sc, 5)
np.linspace(col, COL + 2, 3, axis=-1)
np.linspace(row, 2 * row, 3, retstep=True)
np.logspace(row, 2, 4)  # close
np.logspace(0, sc, 3, base=2)  # close
np.geomspace(np.abs(row), 9, 4)  # close
np.geomspace(1, sc, 5)  # close
np.result_type(f, "f4")
np.result_type(h, i)
np.result_type(u, 3)
np.min_scalar_type(f)
np.min_scalar_type(u)
np.can_cast(f.dtype, "f4")
np.can_cast(I.dtype, f.dtype)
np.common_type(f, h)
np.common_type(c, F)
np.common_type(i)
np.angle(c)  # close
np.angle(f, deg=True)  # close
np.around(f, 1)
np.around(i, -1)
np.round(f)
np.round(f, 2)
np.round(f, 1, out=o)
np.round(c, 1)
np.fix(f)
np.fix(f, out=o)
np.i0(f)  # close
np.sinc(f)  # close
np.sinc(sc)  # close
np.isneginf(l)
np.isneginf(l, ob)
np.isposinf(l)
np.isposinf(l, out=ob)
np.isreal(c)
np.isreal(f)
np.iscomplex(c)
np.iscomplex(i)
np.real_if_close(c)
np.real_if_close(f)
np.nan_to_num(l)
np.nan_to_num(n, nan=-1.0)
np.nan_to_num(i)
np.nan_to_num(l, posinf=1, neginf=2)
np.nan_to_num(n, copy=False)
""",
    "exact",
)
