"""Subspace: the points of a formula's state space at which linear forms vanish."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from sdesim.core.ops import Ops
from sdesim.observe.invariant import linear


@dataclass(frozen=True)
class Subspace:
    r"""The linear subspace {x : N x = 0}.

    It is invariant under x⁺ = x - η g(x) if N g(x) = 0 wherever N x = 0, for every gradient g that the noise can draw.

    Parameters
    ----------
    normals : array, shape (k, d) or (d,)
        Rows that span the normal space; kept as an orthonormal basis of it, `normals`, tuples of floats.

    Raises
    ------
    ValueError
        If rows are not finite or depend on each other.

    Examples
    --------
    >>> diagonal = Subspace([1.0, -1.0])
    >>> diagonal.distance(np.array([[3.0, 1.0]]))
    array([1.41421356])
    """

    normals: Any

    invariant = True

    def __post_init__(self) -> None:
        rows = np.atleast_2d(np.asarray(self.normals, dtype=float))
        if rows.ndim != 2 or rows.size == 0 or not np.isfinite(rows).all():
            raise ValueError(f"normals must be finite rows of equal length, shape (k, d), got {self.normals!r}")
        _, sizes, basis = np.linalg.svd(rows, full_matrices=False)
        if len(rows) > rows.shape[1] or sizes[-1] <= 1e-12 * sizes[0] or sizes[0] == 0:
            raise ValueError(f"normals must be independent rows, got rank {np.linalg.matrix_rank(rows)} of {len(rows)}")
        object.__setattr__(self, "normals", tuple(tuple(row) for row in basis.tolist()))

    @property
    def dim(self) -> int:
        """Dimension d of the space that the set lies in."""
        return len(self.normals[0])

    def normal(self, x: Any, v: Any, ops: Ops | None = None) -> Any:
        """Part of `v` that is normal to the set, Nᵀ N v for orthonormal rows of N; the same at every `x`.

        Parameters
        ----------
        x : not looked at
        v : tensor or array, shape (paths, d); or a vector of `ops`
        ops : Ops, optional
            The vocabulary `v` is written in, for symbols.
        """
        parts = list(v.T) if ops is None else ops.split(v)
        if len(parts) != self.dim:
            raise ValueError(f"a vector of {len(parts)} components meets a set in {self.dim} dimensions")
        if ops is None:
            basis = v.new_tensor(self.normals) if hasattr(v, "new_tensor") else np.asarray(self.normals)
            return (v @ basis.T) @ basis
        along = [sum(n * p for n, p in zip(row, parts, strict=True) if n) for row in self.normals]
        return ops.stack(
            [sum(row[i] * a for row, a in zip(self.normals, along, strict=True) if row[i]) for i in range(self.dim)]
        )

    project = linear.project
    distance = linear.distance
    contains = linear.contains
