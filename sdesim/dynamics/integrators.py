"""Integrators: an SDE and a step become a Markov chain with a clock.

Here are the Euler–Maruyama chain and what it shares with `Heun` and `Milstein`: the attributes an engine asks for,
the increments of the noise, and the checks. A step is written in the parts of a vector that the SDE hands out:
components for formulas, the whole array for callables.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from sdesim.core.checks import count, positive
from sdesim.core.ops import Ops
from sdesim.problems.laws import Gaussian, Stable

CORRECTION = "1/2 sum_jk b_kj d b_ij/d x_k"


@dataclass(frozen=True)
class EulerMaruyama:
    """The Euler–Maruyama chain of an Itô SDE.

        x⁺ = x + a(x, t) dt + b(x, t) dt**(1/alpha) Z

    with alpha the index of the noise (2 for Brownian motion). Strong order 1/2 with multiplicative Gaussian noise,
    weak order 1 (Kloeden and Platen 1992, theorems 10.2.2 and 14.1.5).

    Parameters
    ----------
    sde : SDE, or an SDE of callables
    dt : float
        Time step.
    substeps : int
        Each step sums this many increments of length dt/substeps, so that a chain with (dt, substeps=m) and one
        with (dt/m, 1) see the same path of the noise: the way to measure strong order.

    Raises
    ------
    ValueError
        For a Stratonovich SDE: the chain converges to the Itô equation.
    """

    sde: Any
    dt: Any
    substeps: int = 1

    structure = ("substeps",)

    def __getattr__(self, name: str) -> Any:
        return shared(self, name)

    def __post_init__(self) -> None:
        check_chain(self, "ito")

    def step(self, ops: Ops, x: Any, z: Any, k: Any) -> Any:
        """The state after step k, which starts at time k dt; x is (..., d), z is (..., noise_dim)."""
        sde, dw = self.sde, increments(self, ops, z)
        if hasattr(sde, "move"):  # has drift and noise in one pass
            return sde.move(ops, x, self.dt, dw)
        drift, kick = sde.terms(ops, x, k * self.dt, dw)
        return sde.joined(ops, [xi + a * self.dt + g for xi, a, g in zip(sde.parts(ops, x), drift, kick, strict=True)])


def increments(chain: Any, ops: Ops, z: Any) -> list[Any]:
    """Increments of the driving noise over one step, in parts, from the variates z of its substeps."""
    scale = (chain.dt / chain.substeps) ** (1 / chain.noise.index)
    return [scale * w for w in chain.sde.increments(ops, z, chain.substeps)]


def normal_variance(chain: Any, ops: Ops, x: Any, k: Any, normal: list[Any]) -> Any:
    """Variance of the noise of step k along a unit vector, |b(x, t)ᵀ n|² scale² dt, frozen at the step's start."""
    return chain.sde.variance_along(ops, x, k * chain.dt, normal) * (chain.dt * chain.noise.variance)


# What an engine, an observer or a wrapper asks of a chain, and how it follows from sde, dt and substeps.
_SHARED: dict[str, Callable[[Any], Any]] = {
    "clock": lambda chain: chain.dt,
    "dim": lambda chain: chain.sde.dim,
    "variables": lambda chain: chain.sde.variables or (),
    "params": lambda chain: dict(chain.sde.params),
    "noise": lambda chain: chain.sde.noise,
    "noise_dim": lambda chain: chain.sde.noise_dim * chain.substeps,
    # True when the limit dt → 0 has continuous paths, so that a path can cross a boundary between steps.
    "continuous": lambda chain: isinstance(chain.sde.noise, Gaussian) and hasattr(chain.sde, "variance_along"),
    # True when the step can be traced with symbols, so that it can be compiled.
    "formulas": lambda chain: chain.sde.formulas,
    "objective": lambda chain: getattr(chain.sde, "objective", None),
    "normal_variance": lambda chain: partial(normal_variance, chain),
}


def shared(chain: Any, name: str) -> Any:
    """What every chain of an SDE has, by name.

    Raises
    ------
    AttributeError
        If chains have nothing of that name.
    """
    if name in _SHARED:
        return _SHARED[name](chain)
    raise AttributeError(f"{type(chain).__name__!r} object has no attribute {name!r}")


def check_chain(chain: Any, calculus: str) -> None:
    """Refuse what is no SDE, an SDE of the other calculus, and steps that are not positive.

    Raises
    ------
    TypeError, ValueError
        One line that says what was given, what is possible and what to write instead.
    """
    kind, sde = type(chain).__name__, chain.sde
    if not hasattr(sde, "terms"):
        raise TypeError(f"{kind} integrates an SDE, got {type(sde).__name__}: write SDE(drift, diffusion)")
    positive("dt", chain.dt)
    count("substeps", chain.substeps, least=1)
    if sde.calculus != calculus:
        raise ValueError(_other_calculus(kind, calculus))
    if chain.substeps > 1 and isinstance(sde.noise, Stable) and sde.noise.isotropic and sde.noise_dim > 1:
        raise ValueError("substeps needs noise drawn coordinate by coordinate: use Stable(..., isotropic=False)")


def _other_calculus(kind: str, calculus: str) -> str:
    if calculus == "ito":
        return (
            f"{kind} converges to the Ito equation, the SDE has calculus='stratonovich': use Heun(sde, dt), or add "
            f"the correction {CORRECTION} to drift i and write calculus='ito'"
        )
    return (
        f"{kind} converges to the Stratonovich equation, the SDE has calculus='ito': use EulerMaruyama(sde, dt), or "
        f"take the correction {CORRECTION} (0 if b does not depend on x) from drift i and write "
        "calculus='stratonovich'"
    )
