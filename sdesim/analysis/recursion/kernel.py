"""One step of a 1-D recursion as a law: X⁺ = clip(m(x) + s(x) Z, lo(x), hi(x)).

Truncation clips to x ± b, projection to the ends of its region, and a clip of a clip is again a clip; so
every nesting of the two is one pair of bounds. The mass beyond a bound is an atom at the bound.
"""
from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from sdesim.analysis.recursion.tail_integral import TailIntegral
from sdesim.analysis.region_ends import refuse_time
from sdesim.core.ops import NUMPY
from sdesim.dynamics.integrators import EulerMaruyama
from sdesim.problems.laws import Gaussian, Stable

# Cells this much narrower than the step: the tail is taken in their middle, where differences would lose digits.
NARROW = 1e-6


@dataclass(frozen=True)
class StepLaw:
    """Centre, scale and clip bounds of one step from each of the states `x`, all of shape (state,)."""

    x: np.ndarray
    centre: np.ndarray
    scale: np.ndarray
    low: np.ndarray
    high: np.ndarray


class ChainKernel:
    """Transition law of a 1-D recursion.

    Parameters
    ----------
    dynamics : EulerMaruyama or SGD, possibly inside Truncated and Projected in any order
        One component, noise with a symmetric law.

    Raises
    ------
    ValueError
        If the recursion has more than one component, coefficients that depend on time, or several noises
        that do not add up to one of the same law.
    """

    def __init__(self, dynamics: Any) -> None:
        if dynamics.dim != 1:
            raise ValueError(
                f"the transfer operator needs a recursion in one dimension, got {dynamics.dim}: "
                "simulate it with run"
            )
        self.wraps: list[tuple[str, Any]] = []
        inner = dynamics
        while hasattr(inner, "dynamics"):
            self.wraps.insert(0, _wrap(inner))
            inner = inner.dynamics
        self.base = inner
        self.clock = float(dynamics.clock)
        if not getattr(inner, "linear_in_noise", True):
            raise ValueError(
                f"the transfer operator needs a step linear in its noise, the gradient of {inner.landscape.expr} "
                f"is not linear in {', '.join(inner.random)}: simulate it with run"
            )
        self.tail = TailIntegral.of(inner.noise)
        self._n_noise = int(getattr(inner, "noise_dim", 1))
        if self._n_noise > 1 and not isinstance(inner.noise, Gaussian | Stable):
            raise ValueError(
                f"the step has {self._n_noise} noises of {inner.noise!r}, whose sum is no such law: write one"
            )
        self._order = 2.0 if getattr(inner.noise, "isotropic", False) else inner.noise.index
        if hasattr(inner, "sde"):
            if not isinstance(inner, EulerMaruyama):
                raise ValueError(
                    f"the transfer operator needs a step linear in its noise, that of {type(inner).__name__} is not: "
                    "use EulerMaruyama"
                )
            refuse_time(inner.sde)

    @property
    def truncations(self) -> list[float]:
        """Every b of the truncations around the step."""
        return [value for kind, value in self.wraps if kind == "truncated"]

    @property
    def projections(self) -> list[tuple[float, float]]:
        """Ends of every projection around the step."""
        return [value for kind, value in self.wraps if kind == "projected"]

    def _base_step(self, x: np.ndarray, z: np.ndarray) -> np.ndarray:
        with np.errstate(over="ignore", invalid="ignore"):
            out = self.base.step(NUMPY, x[:, None], np.broadcast_to(z, (x.size, z.size)), 0)
        return np.asarray(out, dtype=float)[:, 0]

    def centre(self, x: np.ndarray) -> np.ndarray:
        """The step without noise and without clipping."""
        return self._base_step(x, np.zeros(self._n_noise))

    def at(self, x: np.ndarray) -> StepLaw:
        """Law of one step from the states `x`."""
        x = np.asarray(x, dtype=float)
        centre = self.centre(x)
        parts = np.array([self._base_step(x, e) - centre for e in np.eye(self._n_noise)])
        scale = np.abs(parts[0]) if len(parts) == 1 else np.linalg.norm(parts, ord=self._order, axis=0)
        if np.any(~np.isfinite(centre)) or np.any(~(scale > 0)):
            bad = x[~np.isfinite(centre) | ~(scale > 0)][0]
            raise ValueError(
                f"the step has no density at x={bad:.6g}: drift must be finite and the noise not zero there"
            )
        low, high = np.full(x.shape, -np.inf), np.full(x.shape, np.inf)
        for kind, value in self.wraps:
            a, b = (x - value, x + value) if kind == "truncated" else value
            low, high = np.clip(low, a, b), np.clip(high, a, b)
        return StepLaw(x, centre, scale, low, high)

    def below(self, law: StepLaw, y: float, *, closed: bool = True) -> np.ndarray:
        """P(X⁺ ≤ y), or P(X⁺ < y) if not `closed`, from each state."""
        t = (y - law.centre) / law.scale
        tail = self.tail.survival(np.abs(t))
        inside = np.where(t > 0, 1 - tail, tail)
        if closed:
            return np.where(y >= law.high, 1.0, np.where(y < law.low, 0.0, inside))
        return np.where(y > law.high, 1.0, np.where(y <= law.low, 0.0, inside))

    def operator(self, law: StepLaw, nodes: np.ndarray) -> np.ndarray:
        """Matrix P with (P v)_i = E v(X⁺) from state i, v piecewise linear on `nodes`, constant beyond.

        With c the centre clipped to the bounds and G(y) = P(Y > y) for y > c, -P(Y < y) for y < c,
        E v(clip Y) = v(c) + ∫ v'(y) G(y) dy over [low, high]: atoms at the bounds need no term of their own.
        """
        clipped = np.clip(nodes[None, :], law.low[:, None], law.high[:, None])
        t = (clipped - law.centre[:, None]) / law.scale[:, None]
        b = self.tail.integral(np.abs(t))
        width = np.diff(nodes)
        slope = (b[:, :-1] - b[:, 1:]) * (law.scale[:, None] / width)
        narrow = np.flatnonzero(width < NARROW * law.scale.min())
        if narrow.size:
            covered = (clipped[:, narrow + 1] - clipped[:, narrow]) / width[narrow]
            middle = 0.5 * (t[:, narrow] + t[:, narrow + 1])
            slope[:, narrow] = np.sign(middle) * self.tail.survival(np.abs(middle)) * covered
        matrix = interpolation(np.clip(law.centre, law.low, law.high), nodes)
        matrix[:, 1:] += slope
        matrix[:, :-1] -= slope
        return matrix


def interpolation(x: np.ndarray, nodes: np.ndarray) -> np.ndarray:
    """Matrix that takes values at the nodes to linearly interpolated values at `x`, constant beyond."""
    cell = np.clip(np.searchsorted(nodes, x, side="right") - 1, 0, nodes.size - 2)
    share = np.clip((x - nodes[cell]) / (nodes[cell + 1] - nodes[cell]), 0.0, 1.0)
    matrix = np.zeros((x.size, nodes.size))
    rows = np.arange(x.size)
    matrix[rows, cell] = 1 - share
    matrix[rows, cell + 1] += share
    return matrix


def _wrap(wrapper: Any) -> tuple[str, Any]:
    """Kind and value of one wrapper."""
    if hasattr(wrapper, "b"):
        return "truncated", float(wrapper.b)
    region = wrapper.region
    if hasattr(region, "low"):
        return "projected", (float(region.low), float(region.high))
    if hasattr(region, "radius"):
        centre = float(np.ravel(region.center)[0])
        return "projected", (centre - float(region.radius), centre + float(region.radius))
    raise ValueError(f"the transfer operator knows projections on Interval and Ball, got {region!r}")
