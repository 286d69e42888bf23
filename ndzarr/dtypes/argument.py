"""A caller's dtype."""

from __future__ import annotations

from typing import Any

import numpy as np

from ndzarr._typing import DType
from ndzarr.dtypes import ml
from ndzarr.dtypes.v3 import dtype_from_v3
from ndzarr.errors import ArgumentError, MetadataError


def dtype_argument(dtype: Any) -> DType:
    """What NumPy makes of `dtype`, None being float64; also the names that Zarr has and NumPy has not, such as "bfloat16".

    Raises what NumPy raises; ArgumentError where `ml_dtypes` has to be installed first.
    """
    try:
        return np.dtype(float if dtype is None else dtype)
    except TypeError:
        if not isinstance(dtype, str):
            raise
        try:
            return dtype_from_v3(dtype)
        except MetadataError as error:
            if dtype in ml.FLOATS or dtype in ml.INTEGERS or dtype in ml.COMPLEX:
                raise ArgumentError(str(error), field="dtype", found=dtype) from error
        raise
