"""The Heun chain of a Stratonovich SDE."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sdesim.core.ops import Ops
from sdesim.dynamics.integrators import check_chain, increments, shared


@dataclass(frozen=True)
class Heun:
    """The stochastic Heun (trapezoidal) chain of a Stratonovich SDE.

        x̄  = x + a(x, t) dt + b(x, t) dW
        x⁺ = x + (a(x, t) + a(x̄, t + dt)) dt / 2 + (b(x, t) + b(x̄, t + dt)) dW / 2

    Strong order 1 where the noise commutes (one noise, diagonal, or a factor that does not depend on the state), else
    1/2 (Rümelin 1982, SIAM J. Numer. Anal. 19, 604–613; Kloeden and Platen 1992, chapter 11).

    Parameters
    ----------
    sde : SDE with calculus="stratonovich", or one of callables
    dt : float
        Time step.
    substeps : int
        Each step sums this many increments of length dt/substeps, as in `EulerMaruyama`.

    Raises
    ------
    ValueError
        For an Itô SDE: the chain converges to the Stratonovich equation.
    """

    sde: Any
    dt: Any
    substeps: int = 1

    structure = ("substeps",)

    def __getattr__(self, name: str) -> Any:
        return shared(self, name)

    def __post_init__(self) -> None:
        check_chain(self, "stratonovich")

    def step(self, ops: Ops, x: Any, z: Any, k: Any) -> Any:
        """The state after step k, which starts at time k dt; x is (..., d), z is (..., noise_dim)."""
        sde, dt, dw = self.sde, self.dt, increments(self, ops, z)
        start = sde.parts(ops, x)
        slopes = _sum(sde.terms(ops, x, k * dt, dw), dt)
        ahead = sde.joined(ops, [xi + s for xi, s in zip(start, slopes, strict=True)])
        later = _sum(sde.terms(ops, ahead, (k + 1) * dt, dw), dt)
        return sde.joined(ops, [xi + (s + r) / 2 for xi, s, r in zip(start, slopes, later, strict=True)])


def _sum(terms: tuple[list[Any], list[Any]], dt: Any) -> list[Any]:
    """a dt + b dW in parts."""
    return [a * dt + g for a, g in zip(*terms, strict=True)]
