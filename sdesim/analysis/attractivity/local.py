"""Noise against curvature at a point of an invariant set: the local condition for attraction."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from sdesim.analysis.attractivity.mean_log import mean_log
from sdesim.core.ops import NUMPY
from sdesim.dynamics.forward import push
from sdesim.dynamics.integrators import EulerMaruyama
from sdesim.problems.laws import Gaussian

ALONG = 1e-9  # of the size of the numbers involved: what counts as moving along the normal, or off an eigenvector


@dataclass(frozen=True)
class Attractivity:
    """Curvature and noise along a normal direction of an invariant set, in 1/time.

    Attributes
    ----------
    curvature : float
        L'', the mean rate of return to the set; negative where the loss falls away from it.
    noise : float
        D''/2, half the variance per unit time of the relative kick along the direction.
    exponent : float
        -(L'' + D''/2), the transverse Lyapunov exponent of the SDE.
    discrete : float
        That of the discrete steps, E log|factor| / clock, where it can be calculated exactly; else NaN.
    exact : bool
        Whether every noise leaves the direction an eigenvector of the step, so that the exponents are exact: always
        so for normal spaces of one dimension. Otherwise the direction turns, and the largest exponent is found by
        `Tangent` and `lyapunov`.
    """

    curvature: float
    noise: float
    exponent: float
    discrete: float
    exact: bool

    @property
    def attractive(self) -> bool:
        """Whether L'' + D''/2 > 0."""
        return self.exponent < 0


def attractivity(dynamics: Any, x: Any, normal: Any) -> Attractivity:
    r"""The condition for attraction L'' + D''/2 > 0 at a point of an invariant set, along one normal direction.

    At distance θ along the direction n a step is θ⁺ = g θ to first order, with g = nᵀ (D step) n a random factor, drawn
    afresh each time. Its mean is 1 - L'' η and its variance D'' η, for a clock η. In the limit of small steps
    dθ = -L'' θ dt + sqrt(D'') θ dB, and Itô's formula gives d log|θ| = -(L'' + D''/2) dt + sqrt(D'') dB: the set
    attracts if and only if L'' + D''/2 > 0. For the steps themselves the exponent is E log|g| / η. Both are those of
    the largest displacement only if n is an eigenvector of every D step (see `exact`), as where the set has one
    normal direction, and if x does not move; where it moves along the set they are to be averaged over its law.

    For formulas g is found by differentiation, and E log|g| where it is a constant plus a Gaussian. For minibatches
    with per-example Hessians H_i, and hᵢ = nᵀ H_i n, a batch of B independent examples has L'' = mean hᵢ + weight decay
    and D'' = (η/B) var hᵢ, times (n - B)/(n - 1) for batches without replacement; noise of the targets adds
    (η/B) σ² mean |∂hᵢ/∂y|², for a loss whose Hessian is linear in the targets y, as the squared loss is. E log|g| is
    summed over all batches where these are at most 100,000.

    Parameters
    ----------
    dynamics : SDE, EulerMaruyama, SGD, Truncated..., or MinibatchSGD, or EulerMaruyama(minibatch_sde(...), dt)
    x : array, shape (d,)
        A point of the set.
    normal : array, shape (d,)
        Direction off the set; its length does not matter.

    Returns
    -------
    Attractivity

    Raises
    ------
    ValueError, TypeError
        If the noise moves x along the normal, so that no invariant set has it, or a network's loss has a kink there
        (relu); for shapes that do not fit, for noise
        of infinite variance, and for dynamics whose factor is no number (`Momentum`: use `Tangent`).

    Examples
    --------
    >>> import sdesim as sd
    >>> well = sd.SDE("mu*x - x**3", "zeta*x", params={"mu": 1.5, "zeta": 2.0})
    >>> found = attractivity(well, 0.0, 1.0)
    >>> found.curvature, found.noise, found.exponent, found.attractive
    (-1.5, 2.0, -0.5, True)

    References
    ----------
    Chen, Kunin, Yamamura and Ganguli 2023, arXiv 2306.04251, theorem 4.1 (there D is half the square of the noise).
    """
    chain = EulerMaruyama(dynamics, 1.0) if not hasattr(dynamics, "step") and hasattr(dynamics, "terms") else dynamics
    if not hasattr(chain, "step"):
        raise TypeError(
            f"attractivity needs an SDE or a dynamics such as SGD(objective, lr, batch_size), got {dynamics!r}"
        )
    at, n = _vector("x", x, chain.dim), _vector("normal", normal, chain.dim)
    if not n.any():
        raise ValueError("normal must not be zero")
    n = n / np.linalg.norm(n)
    if getattr(chain, "objective", None) is not None:
        from sdesim.analysis.attractivity.batches import of_batches

        return of_batches(chain, at, n)
    return _of_formula(chain, at, n, steps=chain is dynamics)


def _of_formula(chain: Any, x: np.ndarray, n: np.ndarray, *, steps: bool) -> Attractivity:
    """From the factor as a function of the noise."""
    if not getattr(chain, "formulas", True):
        raise TypeError("attractivity differentiates formulas or objectives; for callables run Tangent(dynamics)")
    if not isinstance(chain.noise, Gaussian):
        raise ValueError(
            f"attractivity needs Gaussian noise, got {chain.noise!r}: run Tangent(dynamics) and take lyapunov"
        )
    m, eta, scale = chain.noise_dim, float(chain.clock), float(np.sqrt(chain.noise.variance))
    z = np.concatenate([np.zeros((1, m)), np.eye(m), -np.eye(m), np.full((1, m), 0.7)]) * scale
    many = (len(z), len(x))
    new, w = push(chain, NUMPY, np.broadcast_to(x, many), np.broadcast_to(n, many), z, 0)
    check_stays(np.asarray(new) - x, n)
    w = np.broadcast_to(np.asarray(w), many)
    factor = w @ n
    start, slopes = factor[0], factor[1 : m + 1] - factor[0]
    guess = start + (z / scale) @ slopes
    if not np.allclose(factor, guess, rtol=1e-10, atol=1e-12):
        raise ValueError("the factor of a step is no linear function of the noise: run Tangent(dynamics) and lyapunov")
    spread = float(np.linalg.norm(slopes))
    curvature, noise = float(1 - start) / eta, spread**2 / (2 * eta)
    discrete = mean_log(start, spread) / eta if steps else float("nan")
    return Attractivity(curvature, noise, -curvature - noise, discrete, is_eigenvector(w, n))


def check_stays(moved: np.ndarray, n: np.ndarray) -> None:
    """Refuse a point that some noise moves along the normal; rows of `moved` are displacements."""
    along = np.abs(moved @ n).max()
    tolerance = (1e-6 if moved.dtype == np.float32 else ALONG) * max(1e-6, float(np.abs(moved).max()))
    if along > tolerance:
        raise ValueError(
            f"the dynamics moves x along the normal, by {along:.3g} in a step: x must lie in an invariant set with "
            "this normal direction, where gradient and noise have no part along it"
        )


def is_eigenvector(w: np.ndarray, n: np.ndarray) -> bool:
    """Whether all rows of w are multiples of n."""
    tolerance = 1e-4 if w.dtype == np.float32 else 1e-8
    off = np.linalg.norm(w - np.outer(w @ n, n), axis=-1)
    return bool(np.all(off <= tolerance * max(float(np.abs(w).max()), 1e-300)))


def _vector(name: str, given: Any, d: int) -> np.ndarray:
    try:
        value = np.atleast_1d(np.asarray(given, dtype=float))
    except (TypeError, ValueError):
        raise TypeError(f"{name} must be {d} numbers, got {given!r}") from None
    if value.shape != (d,) or not np.all(np.isfinite(value)):
        raise ValueError(f"{name} must be {d} finite numbers, got shape {value.shape}")
    return value
