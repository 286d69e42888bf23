"""Calls of every ufunc: on several dtypes, beside arrays and scalars of NumPy, with `out=` and `where=`; methods; operators."""

from __future__ import annotations

from ndzarr.testing.calls.call import Call, table

#: One-argument ufuncs and what each is called on.
_UNARY = """
absolute fabs sign positive negative square signbit spacing: f i
absolute positive negative square conjugate reciprocal: c
sign: c
conjugate invert bitwise_count: i
invert logical_not: b
invert bitwise_count: u
isfinite isinf isnan: l
isfinite isnan: c i
isnat isfinite: d
negative absolute: td
logical_not: f i
ceil floor trunc rint: f h
ceil floor trunc: i
rint: c
exp exp2 expm1 sin cos tan sinh cosh tanh arctan arcsinh cbrt deg2rad rad2deg degrees radians: f h i
sqrt log log2 log10 log1p: e j c
exp sin cosh tanh: c
arcsin arccos arctanh: e
arccosh: j
reciprocal: f j
frexp modf: f h
str_len isalpha isdigit isspace: s y
isalnum islower isupper istitle isdecimal isnumeric: s
isdecimal isnumeric: sn
"""
#: Two-argument ufuncs and the pairs each is called on.
_BINARY = """
add subtract multiply divide: f,g f,G F,g f,2 3,f f,row col,f i,j h,i c,f u,300.5 t,t sc,f em,row
floor_divide remainder fmod divmod: f,g i,j i,J 7,j h,2 u,J
power float_power: e,g e,2 j,2 E,f
power: i,J
arctan2 hypot copysign nextafter logaddexp logaddexp2 heaviside: f,g f,G f,1.0 row,f
maximum minimum fmax fmin: n,f i,j f,0 u,J F,g
greater greater_equal less less_equal equal not_equal: f,g i,J n,0 s,s2 d,d2 b,B
logical_and logical_or logical_xor: f,b i,J b,True
bitwise_and bitwise_or bitwise_xor: i,j b,B u,7
left_shift right_shift: j,2 J,j u,u%8
gcd lcm: i,j i,6
ldexp: f,j 1.5,j f,2
add: td,d d,TD s,s2
subtract: d,d2
divide floor_divide remainder divmod: td,TD
multiply: td,2
matmul: f,m F,m f,M t,m row,m f,row i,J.T tt,tt
vecdot: f,g f,G c,f t,row
matvec: m,row f,ROW t,row
vecmat: row,m ROW,p
find rfind count: s,"a" y,b"a" s,S2 s,"a",1,5
startswith endswith: s,"a" s,s2 y,b"a"
index rindex: s,"" y,b""
"""
#: NumPy gained these after 2.0.
_SINCE = {"matvec": "numpy 2.2", "vecmat": "numpy 2.2"}

#: Ufuncs of strings stand in `np.strings`.
_STRINGS = frozenset(
    "str_len isalpha isdigit isspace isalnum islower isupper istitle isdecimal isnumeric find rfind count startswith endswith "
    "index rindex".split()
)

_METHODS = """
np.add.reduce(f)
np.add.reduce(f, axis=1)
np.add.reduce(t, axis=(0, 2), keepdims=True)
np.add.reduce(f, axis=None, where=b, initial=3.0)
np.add.reduce(f, axis=0, out=o6)
np.add.reduce(i, dtype="f8")
np.multiply.reduce(e, axis=0)
np.maximum.reduce(f, axis=None)
np.minimum.reduce(t, axis=1)
np.logical_or.reduce(b, axis=1)
np.logical_and.reduce(f)
np.bitwise_xor.reduce(i, axis=0)
np.bitwise_or.reduce(j, axis=1)
np.subtract.reduce(f, axis=0)
np.divide.reduce(e, axis=1)
np.hypot.reduce(f, axis=0)
np.logaddexp.reduce(f, axis=1)
np.gcd.reduce(j, axis=0)
np.fmax.reduce(n, axis=0)
np.add.accumulate(f)
np.add.accumulate(f, axis=1)
np.add.accumulate(i, axis=0, out=oi)
np.multiply.accumulate(e, axis=1)
np.maximum.accumulate(n, axis=0)
np.logical_and.accumulate(b, axis=1)
np.subtract.accumulate(f)
np.add.outer(v, row)
np.add.outer(f, ROW)
np.multiply.outer(f, g)
np.less.outer(V, row)
np.subtract.outer(row, row, out=om)
np.add.reduceat(v, [0, 5, 9])
np.add.reduceat(f, [0, 3, 1], axis=1)
np.maximum.reduceat(f, [0, 2, 6])
np.multiply.reduceat(e, [0, 4], axis=0)
np.add.reduceat(f, [0, 3], axis=1, dtype="f4")
np.add.at(o, [0, 2], row)
np.subtract.at(v, x, 1)
np.add(f, g, out=o)
np.add(f, G, out=o)
np.add(F, G, out=o)
np.add(f, g, out=O)
np.add(f, 1, out=f)
np.add(f, f, where=b, out=o)
np.add(f, g, where=B, out=o)
np.add(f, g, dtype="f4")
np.add(i, j, dtype="f8", casting="safe")
np.multiply(i, j, out=oi)
np.divide(i, j, out=oi, casting="unsafe")
np.sqrt(e, out=o)
np.negative(f, where=b, out=o)
np.modf(f, out=(o, None))
np.divmod(i, j, out=(oi, None))
np.frexp(f, out=(o, None))[0]
np.less(f, g, out=ob)
np.isnan(n, out=ob)
np.exp(c, out=oc)
np.matmul(f, m, out=o)
np.matmul(t, t, axes=[(-2, -1), (-1, -2), (-2, -1)])
np.matmul(m, row, out=o6)
np.vecdot(f, g, axis=0)
np.sin(f, dtype="f4", casting="same_kind")
np.add(row, col)
np.add(f, np.ma.array(G, mask=B))
np.multiply(np.ma.array(G, mask=B), f)
np.add(f, [[1], [2], [3], [4], [5], [6], [7]])
np.sin(sc)
np.negative(em)
umath.clip(f, -1, 1)
umath.clip(i, J, 9)
umath.clip(f, row, COL, out=o)
umath._ones_like(f)
umath.real(c)  # numpy 2.5
umath.imag(c)  # numpy 2.5
umath._lstrip_whitespace(s)
umath._rstrip_whitespace(s)
umath._strip_whitespace(y)
umath._lstrip_chars(s, "a")
umath._rstrip_chars(s, s2)
umath._strip_chars(s, "a")
np.strings.strip(s)
np.strings.lstrip(s, "a")
np.strings.add(s, s2)
np.strings.find(s, "a", 1)
op.add(f, g)
op.add(f, G)
op.add(F, g)
op.add(f, 1)
op.add(1, f)
op.sub(f, row)
op.sub(2, i)
op.mul(f, j)
op.truediv(f, g)
op.truediv(1, f)
op.floordiv(i, j)
op.mod(i, J)
op.pow(e, 2)
op.pow(2, j)
op.matmul(f, m)
op.matmul(F, m)
op.lshift(j, 1)
op.rshift(i, J)
op.and_(b, B)
op.or_(i, 8)
op.xor(b, True)
op.invert(b)
op.neg(f)
op.pos(f)
op.abs(f)
op.lt(f, g)
op.le(f, 0)
op.eq(i, J)
op.ne(s, "Beta")
op.gt(0, f)
op.ge(f, row)
op.iadd(f, 1)
op.iadd(f, g)
op.isub(f, G)
op.imul(f, row)
op.itruediv(f, g)
op.ifloordiv(i, j)
op.imod(i, 3)
op.ipow(j, 2)
op.iand(b, B)
op.ior(i, j)
op.ixor(i, 5)
op.ilshift(j, 1)
op.irshift(i, J)
op.getitem(f, (slice(1, 5), [0, 3]))
"""


def _spread(text: str) -> list[str]:
    lines = []
    for row in text.strip().splitlines():
        names, _, arguments = row.partition(": ")
        for name in names.split():
            prefix = "np.strings." if name in _STRINGS else "np."
            mark = f"  # {_SINCE[name]}" if name in _SINCE else ""
            lines += [f"{prefix}{name}({found.replace(',', ', ')}){mark}" for found in arguments.split()]
    return lines


CALLS: list[Call] = table("\n".join([*_spread(_UNARY), *_spread(_BINARY), *_METHODS.strip().splitlines()]))
