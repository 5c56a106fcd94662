"""Integrators: an SDE and a step become a Markov chain with a clock."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from sdesim.core.checks import count, positive
from sdesim.core.ops import Ops
from sdesim.dynamics.sde import SDE
from sdesim.problems.laws import Gaussian, Law, Stable


@dataclass(frozen=True)
class EulerMaruyama:
    """The Euler–Maruyama chain of an SDE.

        x⁺ = x + a(x, t) dt + b(x, t) dt**(1/alpha) Z

    with alpha the index of the noise (2 for Brownian motion). Strong order 1/2 with multiplicative Gaussian noise,
    weak order 1 (Kloeden and Platen 1992, theorems 10.2.2 and 14.1.5).

    Parameters
    ----------
    sde : SDE
    dt : float
        Time step.
    substeps : int
        Each step sums this many increments of length dt/substeps, so that a chain with (dt, substeps=m) and one
        with (dt/m, 1) see the same path of the noise: the way to measure strong order.
    """

    sde: SDE
    dt: Any
    substeps: int = 1

    structure = ("substeps",)

    def __post_init__(self) -> None:
        if not isinstance(self.sde, SDE):
            raise TypeError(
                f"EulerMaruyama integrates an SDE, got {type(self.sde).__name__}: write SDE(drift, diffusion)"
            )
        positive("dt", self.dt)
        count("substeps", self.substeps, least=1)
        if self.substeps > 1 and isinstance(self.noise, Stable) and self.noise.isotropic and self.sde.noise_dim > 1:
            raise ValueError("substeps needs noise drawn coordinate by coordinate: use Stable(..., isotropic=False)")

    @property
    def clock(self) -> Any:
        """Time per step."""
        return self.dt

    @property
    def dim(self) -> int:
        """Number of coordinates d."""
        return self.sde.dim

    @property
    def variables(self) -> tuple[str, ...]:
        """Names of the coordinates, in order."""
        return self.sde.variables or ()

    @property
    def params(self) -> dict[str, Any]:
        """Values of the formulas' parameters."""
        return dict(self.sde.params)

    @property
    def noise(self) -> Law:
        """Law of the driving noise."""
        return self.sde.noise

    @property
    def noise_dim(self) -> int:
        """Variates drawn per step."""
        return self.sde.noise_dim * self.substeps

    @property
    def continuous(self) -> bool:
        """True when the limit dt → 0 has continuous paths, so that a path can cross a boundary between steps."""
        return isinstance(self.noise, Gaussian)

    def step(self, ops: Ops, x: Any, z: Any, k: Any) -> Any:
        """The state after step k, which starts at time k dt; x is (..., d), z is (..., noise_dim)."""
        drift, diffusion = self.sde.coefficients(ops, x, k * self.dt)
        m, z = self.sde.noise_dim, ops.split(z)
        scale = (self.dt / self.substeps) ** (1 / self.noise.index)
        dw = [scale * sum(z[j::m]) for j in range(m)]
        kicks = [sum(b * dw[j] for j, b in enumerate(row) if not _is_zero(b)) for row in diffusion]
        return ops.stack([xi + a * self.dt + g for xi, a, g in zip(ops.split(x), drift, kicks, strict=True)])

    def normal_variance(self, ops: Ops, x: Any, k: Any, normal: list[Any]) -> Any:
        """Variance of one step's noise along a unit vector, |b(x, t)ᵀ n|² scale² dt (Gaussian noise)."""
        _, diffusion = self.sde.coefficients(ops, x, k * self.dt)
        if self.sde.diffusion_kind == "scalar":  # the same in every direction
            return diffusion[0][0] * diffusion[0][0] * (self.dt * self.noise.variance)
        along = [sum(n * diffusion[i][j] for i, n in enumerate(normal)) for j in range(self.sde.noise_dim)]
        return sum(a * a for a in along) * (self.dt * self.noise.variance)


def _is_zero(value: Any) -> bool:
    return not isinstance(value, np.ndarray) and value == 0
