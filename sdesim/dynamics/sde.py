"""Stochastic differential equations dX = a(X, t) dt + b(X, t) dL, L Brownian motion or a stable process."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import sympy as sp

from sdesim.core.checks import is_number, near
from sdesim.core.field import Field
from sdesim.core.formula import expression, ops_function, text_of
from sdesim.core.ops import Ops
from sdesim.problems.laws import Gaussian, Law, Stable

TIME = "t"
DIFFUSION = "diffusion"
CALCULI = ("ito", "stratonovich")


@dataclass(frozen=True)
class SDE:
    """An equation given by formulas.

        dX = drift(X, t) dt + diffusion(X, t) dL

    The diffusion is the factor in front of the noise: for Brownian L the generator has the coefficient
    diffusion**2 / 2. Papers that write D for the diffusion coefficient mean that half square.

    Parameters
    ----------
    drift : Field, text, SymPy expression, number, or a list of them
        One formula per variable; -landscape.gradient is a Field. Symbols are matched by name; `t` is time.
    diffusion : number, text, SymPy expression, list, or list of lists
        One entry: the same factor for every coordinate, each with its own noise; a plain number becomes the
        parameter `diffusion`. A list of d: diagonal. A list of d rows of m: the d × m matrix of m noises.
    noise : Gaussian or Stable
        Law of the driving process: Gaussian() is standard Brownian motion, Stable(alpha) has characteristic
        function exp(-t |xi|**alpha).
    calculus : "ito" or "stratonovich"
        Interpretation of the stochastic integral. The Stratonovich equation with drift a is the Itô equation with
        drift a_i + 1/2 sum_jk b_kj d b_ij / d x_k: the same where the diffusion b does not depend on the state.
    variables : list of str, optional
        Names of the coordinates, in order. Default: the drift Field's; else every symbol not in `params`, sorted.
    params : dict, optional
        Values of the other symbols.

    Raises
    ------
    ValueError
        For an unknown symbol, shapes that do not fit, a law that drives no SDE, or jumps with Stratonovich calculus.
    """

    drift: Any
    diffusion: Any
    noise: Law = field(default_factory=Gaussian)
    calculus: str = "ito"
    variables: tuple[str, ...] | None = None
    params: Mapping[str, Any] = field(default_factory=dict)

    formulas = True

    def __post_init__(self) -> None:
        check_noise(self.noise, self.calculus)
        params = dict(self.params)
        source, factor = self.drift, self.diffusion
        if is_number(factor) and np.ndim(factor) == 0:
            params[DIFFUSION], factor = factor, sp.Symbol(DIFFUSION, real=True)
        if isinstance(source, Field):
            params = {**source.params, **params}
            drift = tuple(source.exprs)
        else:
            drift = tuple(expression(f) for f in _listed(source))
        diffusion = _matrix(factor, len(drift))
        variables = self.variables or (source.variables if isinstance(source, Field) else None)
        names = _variables(variables, params, drift, diffusion)
        object.__setattr__(self, "drift", drift)
        object.__setattr__(self, "diffusion", diffusion)
        object.__setattr__(self, "variables", names)
        object.__setattr__(self, "params", params)
        if isinstance(self.noise, Stable) and self.noise_dim > 1 and self.noise.isotropic is None:
            raise ValueError(
                f"Stable noise in {self.noise_dim} dimensions needs isotropic=True or False: the laws differ"
            )

    def __repr__(self) -> str:
        drift = [text_of(f) for f in self.drift]
        diffusion = [[text_of(f) for f in row] for row in self.diffusion]
        return (
            f"SDE({drift}, {diffusion}, noise={self.noise!r}, "
            + (f"calculus={self.calculus!r}, " if self.calculus != "ito" else "")
            + f"variables={list(self.variables or ())}, params={dict(self.params)})"
        )

    @property
    def dim(self) -> int:
        """Number of coordinates d."""
        return len(self.drift)

    @property
    def noise_dim(self) -> int:
        """Number of driving noises m."""
        return len(self.diffusion[0])

    @property
    def diffusion_kind(self) -> str:
        """One of "scalar" (one factor for every coordinate), "diagonal" and "matrix"."""
        d, m = self.dim, self.noise_dim
        if d != m or any(self.diffusion[i][j] != 0 for i in range(d) for j in range(m) if i != j):
            return "matrix"
        same = all(self.diffusion[i][i] == self.diffusion[0][0] for i in range(d))
        return "scalar" if same else "diagonal"

    def coefficients(self, ops: Ops, x: Any, t: Any) -> tuple[list[Any], list[list[Any]]]:
        """Drift a (d) and diffusion b (d × m) at the state x, components on the last axis, and time t."""
        flat = [*self.drift, *(entry for row in self.diffusion for entry in row)]
        args = [*(self.variables or ()), *self.params, TIME]
        values = ops_function(flat, args)(ops, *ops.split(x), *self.params.values(), t)
        d, m = self.dim, self.noise_dim
        return values[:d], [values[d + i * m : d + (i + 1) * m] for i in range(d)]

    # What integrators ask for: vectors in parts, which are the components here and the whole array for callables.

    def parts(self, ops: Ops, v: Any) -> list[Any]:
        """The components of a vector."""
        return ops.split(v)

    def joined(self, ops: Ops, parts: list[Any]) -> Any:
        """The vector with these components."""
        return ops.stack(parts)

    def increments(self, ops: Ops, z: Any, substeps: int) -> list[Any]:
        """For each noise the sum of its variates in z, (..., substeps * noise_dim)."""
        z = ops.split(z)
        return [sum(z[j :: self.noise_dim]) for j in range(self.noise_dim)]

    def terms(self, ops: Ops, x: Any, t: Any, dw: list[Any]) -> tuple[list[Any], list[Any]]:
        """The drift a and the kick b dw at the state x and time t, in parts."""
        drift, diffusion = self.coefficients(ops, x, t)
        return drift, [sum(b * dw[j] for j, b in enumerate(row) if not _is_zero(b)) for row in diffusion]

    def variance_along(self, ops: Ops, x: Any, t: Any, normal: list[Any]) -> Any:
        """|bᵀ n|² for a unit vector n, given by its components."""
        _, diffusion = self.coefficients(ops, x, t)
        if self.diffusion_kind == "scalar":  # the same in every direction
            return diffusion[0][0] * diffusion[0][0]
        along = [sum(n * diffusion[i][j] for i, n in enumerate(normal)) for j in range(self.noise_dim)]
        return sum(a * a for a in along)

    def mixed(self) -> tuple[int, str] | None:
        """The first component i of a diagonal diffusion that depends on another coordinate, and that one's name."""
        for i, name in enumerate(self.variables or ()):
            others = {s.name for s in self.diffusion[i][i].free_symbols} & set(self.variables or ()) - {name}
            if others:
                return i, min(others)
        return None


def check_noise(noise: Any, calculus: Any) -> None:
    """Refuse laws that drive no SDE, and jumps where the calculus gives them no meaning.

    Raises
    ------
    ValueError
        For a law that is neither Gaussian nor Stable, an unknown calculus, or Stable noise with Stratonovich's.
    """
    if not isinstance(noise, Gaussian | Stable):
        raise ValueError(
            f"an SDE is driven by Gaussian or Stable noise, got {type(noise).__name__}: "
            "use SGD(landscape, lr, noise=...) for a recursion with that law"
        )
    if calculus not in CALCULI:
        raise ValueError(f"calculus must be 'ito' or 'stratonovich', got {calculus!r}: {near(str(calculus), CALCULI)}")
    if calculus == "stratonovich" and isinstance(noise, Stable):
        raise ValueError(
            f"calculus='stratonovich' is not defined for noise that jumps, got {noise!r}: write calculus='ito', "
            "which is the same equation where the diffusion does not depend on the state, or Gaussian noise"
        )


def _is_zero(value: Any) -> bool:
    return isinstance(value, int | float | sp.Basic) and bool(value == 0)


def _listed(value: Any) -> Sequence[Any]:
    return value if isinstance(value, list | tuple | sp.MatrixBase) else [value]


def _matrix(diffusion: Any, d: int) -> tuple[tuple[sp.Expr, ...], ...]:
    """The diffusion as d rows of m expressions."""
    if isinstance(diffusion, sp.MatrixBase):
        diffusion = diffusion.tolist()
    if isinstance(diffusion, np.ndarray):
        diffusion = diffusion.tolist()
    rows = _listed(diffusion)
    if isinstance(diffusion, list | tuple) and rows and isinstance(rows[0], list | tuple):
        if len(rows) != d or len({len(row) for row in rows}) != 1:
            raise ValueError(f"diffusion has {len(rows)} rows {[len(r) for r in rows]} long, the drift {d} components")
        return tuple(tuple(expression(f) for f in row) for row in rows)
    factors = [expression(f) for f in rows]
    if len(factors) == 1:
        factors = factors * d
    if len(factors) != d:
        raise ValueError(f"diffusion has {len(factors)} components, the drift has {d}: give one, {d}, or a matrix")
    return tuple(tuple(f if i == j else sp.Integer(0) for j in range(d)) for i, f in enumerate(factors))


def _variables(
    given: Sequence[str] | None, params: Mapping[str, Any], drift: tuple[sp.Expr, ...], diffusion: Any
) -> tuple[str, ...]:
    symbols = {s.name for f in (*drift, *(e for row in diffusion for e in row)) for s in f.free_symbols}
    names = tuple(given) if given else tuple(sorted(symbols - set(params) - {TIME}))
    if not given and len(drift) == 1 and not names:
        names = ("x",)
    unknown = sorted(symbols - set(names) - set(params) - {TIME})
    if unknown:
        raise ValueError(
            f"unknown symbol {unknown[0]!r}: {near(unknown[0], [*names, *params])}; give its value in params"
        )
    if len(names) != len(drift):
        raise ValueError(
            f"the drift has {len(drift)} components and the variables are {', '.join(names)}: "
            "give one formula per variable, and values of the other symbols in params"
        )
    return names
