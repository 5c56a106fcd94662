"""Singular values of a bidiagonal matrix, each to full relative accuracy: LAPACK's dbdsqr.

A dense or tridiagonal eigensolver finds a rate of 1e-12 next to one of 1e6 with an error of 1e-10. The singular
values of a bidiagonal matrix are determined by its entries to full relative accuracy, and dbdsqr keeps it (Demmel
and Kahan 1990, SIAM J. Sci. Stat. Comput. 11, 873-912).
"""
from __future__ import annotations

import ctypes
from functools import lru_cache
from typing import Any

import numpy as np


@lru_cache(maxsize=1)
def _dbdsqr() -> Any:
    """LAPACK's routine, which scipy carries but does not wrap."""
    from numba.extending import get_cython_function_address

    address = get_cython_function_address("scipy.linalg.cython_lapack", "dbdsqr")
    return ctypes.CFUNCTYPE(None, *[ctypes.c_void_p] * 15)(address)


def bidiagonal_svd(diagonal: np.ndarray, above: np.ndarray, columns: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Singular values of an upper bidiagonal matrix, and columns turned into its right singular vectors.

    Parameters
    ----------
    diagonal : ndarray, shape (n,)
    above : ndarray, shape (n - 1,)
        The entries above the diagonal.
    columns : ndarray, shape (n, m)

    Returns
    -------
    values : ndarray, shape (n,)
        Singular values, the largest first.
    turned : ndarray, shape (n, m)
        Vᵀ columns for the decomposition U diag(values) Vᵀ.

    Raises
    ------
    ArithmeticError
        If the iteration does not converge.
    """
    n, m = columns.shape
    d, e = np.array(diagonal, dtype=float), np.append(np.array(above, dtype=float), 0.0)
    turned = np.array(columns, dtype=float, order="F")
    none, work = np.zeros(1), np.zeros(4 * n)
    info = ctypes.c_int(0)

    def whole(value: int) -> Any:
        return ctypes.byref(ctypes.c_int(value))

    def address(array: np.ndarray) -> Any:
        return ctypes.c_void_p(array.ctypes.data)

    # fmt: off
    _dbdsqr()(
        ctypes.c_char_p(b"U"), whole(n), whole(m), whole(0), whole(0), address(d), address(e),
        address(turned), whole(n), address(none), whole(1), address(none), whole(1), address(work), ctypes.byref(info),
    )
    # fmt: on
    if info.value:
        raise ArithmeticError(f"the singular values of a bidiagonal matrix of size {n} did not converge")
    return d, turned
