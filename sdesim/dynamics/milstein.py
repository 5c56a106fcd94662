"""The Milstein chain of an Itô SDE with diagonal noise."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import sympy as sp

from sdesim.core.formula import differentiate, ops_function
from sdesim.core.ops import Ops
from sdesim.dynamics.integrators import check_chain, increments, shared
from sdesim.dynamics.sde import SDE, TIME
from sdesim.problems.laws import Gaussian


@dataclass(frozen=True)
class Milstein:
    """The Milstein chain of an Itô SDE whose noises each drive a coordinate of their own.

        x_i⁺ = x_i + a_i dt + b_i dW_i + b_i (∂b_i/∂x_i) (dW_i² - v dt) / 2

    with v the variance of the driving noise over a time 1, and b_i a function of t and x_i alone. Strong order 1
    (Kloeden and Platen 1992, equation 10.3.12 and theorem 10.3.5). The derivative is that of the formula.

    Parameters
    ----------
    sde : SDE
        Gaussian noise, Itô calculus, diffusion given as one factor or a list of d.
    dt : float
        Time step.
    substeps : int
        Each step sums this many increments of length dt/substeps, as in `EulerMaruyama`.

    Raises
    ------
    ValueError
        For a matrix diffusion or a factor that depends on another coordinate, whose mixed terms need iterated
        integrals of two noises; for Stable noise; for a Stratonovich SDE.
    TypeError
        For an SDE of callables, which has no formula to differentiate.
    """

    sde: SDE
    dt: Any
    substeps: int = 1

    structure = ("substeps",)

    def __getattr__(self, name: str) -> Any:
        return shared(self, name)

    def __post_init__(self) -> None:
        if hasattr(self.sde, "terms") and not isinstance(self.sde, SDE):
            raise TypeError(
                f"Milstein differentiates the formula of the diffusion, got callables ({type(self.sde).__name__}): "
                "use EulerMaruyama(sde, dt), or give formulas, SDE(drift, diffusion)"
            )
        check_chain(self, "ito")
        _check_diffusion(self.sde)

    def step(self, ops: Ops, x: Any, z: Any, k: Any) -> Any:
        """The state after step k, which starts at time k dt; x is (..., d), z is (..., noise_dim)."""
        sde, dt, dw = self.sde, self.dt, increments(self, ops, z)
        args = [*(sde.variables or ()), *sde.params, TIME]
        values = ops_function(_formulas(sde.drift, sde.diffusion, sde.variables or ()), args)(
            ops, *ops.split(x), *sde.params.values(), k * dt
        )
        d, v = sde.dim, sde.noise.variance
        terms = zip(ops.split(x), values[:d], values[d : 2 * d], values[2 * d :], dw, strict=True)
        return ops.stack([xi + a * dt + b * w + half * (w * w - v * dt) for xi, a, b, half, w in terms])


@lru_cache(maxsize=512)
def _formulas(drift: Sequence[sp.Expr], diffusion: Any, variables: Sequence[str]) -> tuple[sp.Expr, ...]:
    """The components a_i, b_i, and b_i (∂b_i/∂x_i) / 2."""
    factors = [diffusion[i][i] for i in range(len(drift))]
    slopes = [differentiate(b, sp.Symbol(name, real=True)) for b, name in zip(factors, variables, strict=True)]
    return (*drift, *factors, *(b * s / 2 for b, s in zip(factors, slopes, strict=True)))


def _check_diffusion(sde: SDE) -> None:
    if not isinstance(sde.noise, Gaussian):
        raise ValueError(f"Milstein needs Gaussian noise, got {sde.noise!r}: use EulerMaruyama(sde, dt)")
    if sde.diffusion_kind == "matrix":
        raise ValueError(
            f"Milstein needs diagonal noise, got a diffusion matrix of {sde.dim} x {sde.noise_dim}, whose mixed terms "
            "need iterated integrals of two noises: use EulerMaruyama(sde, dt)"
        )
    mixed = sde.mixed()
    if mixed is not None:
        i, other = mixed
        raise ValueError(
            f"Milstein needs diffusion component {i} to depend on {(sde.variables or ())[i]} and t alone, it depends "
            f"on {other}: the mixed terms need iterated integrals of two noises; use EulerMaruyama(sde, dt)"
        )
