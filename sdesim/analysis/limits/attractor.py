"""The stable point that a drift carries a start to, and whether it is the only one in a region."""
from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from sdesim.core.field import Field

PROBES = 48
FAR = 1e2
ITERATIONS = 2000


@dataclass(frozen=True)
class Attractor:
    """A stable point of a drift: `relaxation` is the time in which the slowest deviation falls by a factor e."""

    point: np.ndarray
    relaxation: float


def attractor(drift: Field, x0: np.ndarray, region: Any) -> Attractor:
    """The stable point that the flow of `drift` reaches from x0, the same as from anywhere in the region.

    The flow is followed from points spread over an Interval or a Ball; it must stay inside and end in one point.

    Raises
    ------
    ValueError
        If the flow leaves the region, ends in several points or in none, or decays slower than exponentially.
    """
    starts = np.vstack([x0, _spread(region, x0)])
    with np.errstate(all="ignore"):
        ends = _flow(drift, region, starts)
    left = ~inside(region, ends)
    if np.any(left):
        raise ValueError(
            f"the drift carries {starts[left][0]} out of the region: one-jump exits need a region that the flow does "
            "not leave"
        )
    point = ends[0]
    scale = np.ptp(starts, axis=0).max()
    other = np.abs(ends - point).max(axis=1) > 1e-3 * scale
    if other.any():
        raise ValueError(
            f"the region holds more than one resting point of the drift ({point} and {ends[other][0]}): one-jump exits "
            "need the basin of one attractor; make the region smaller"
        )
    slope = _jacobian(drift, point[None])[0]
    decay = -float(np.linalg.eigvals(slope).real.max())
    if not decay > 1e-9 * np.abs(slope).max():
        raise ValueError(f"the resting point {point} of the drift is degenerate: it must attract exponentially")
    return Attractor(point, 1 / decay)


def _spread(region: Any, x0: np.ndarray) -> np.ndarray:
    """Points all over the region, close to its boundary too."""
    if x0.size == 1:
        reach = np.geomspace(1e-3, FAR, PROBES) * max(1.0, abs(float(x0[0])))
        low, high = float(region.low), float(region.high)
        shares = np.concatenate([[1e-3], np.linspace(0.02, 0.98, PROBES), [0.999]])
        if np.isfinite(low) and np.isfinite(high):
            return (low + (high - low) * shares)[:, None]
        line = low + reach if np.isfinite(low) else high - reach
        return line[:, None]
    rays = np.random.default_rng(0).standard_normal((2 * PROBES, x0.size))
    rays /= np.linalg.norm(rays, axis=1, keepdims=True)
    radii = np.repeat([0.5, 0.999], PROBES)[:, None] * float(region.radius)
    return np.asarray(region.center, dtype=float) + radii * rays


def _flow(drift: Field, region: Any, x: np.ndarray) -> np.ndarray:
    """Ends of the flow from each row, by linearly implicit Euler steps; the first place outside where it leaves.

    Steps stay short against the growth along unstable directions, so that no saddle is taken for a resting point.
    """
    size, h = np.ptp(x, axis=0).max(), np.full(len(x), 1e-2)
    going = np.ones(len(x), dtype=bool)
    for _ in range(ITERATIONS):
        slope = _jacobian(drift, x)
        growth = np.maximum(np.linalg.eigvals(slope).real.max(axis=1), 0.0)
        h = np.where(growth > 0, np.minimum(h, 0.3 / np.maximum(growth, 1e-300)), h)
        value = _values(drift, x)
        step = np.linalg.solve(np.eye(x.shape[1]) - h[:, None, None] * slope, (h[:, None] * value)[..., None])[..., 0]
        length = np.abs(step).max(axis=1)
        step *= np.minimum(1.0, 0.02 * size / np.maximum(length, 1e-300))[:, None]
        x = np.where(going[:, None], x + step, x)
        going &= inside(region, x) & (length > 1e-13 * size)
        h = np.where(length < 0.01 * size, np.minimum(1.5 * h, 1e12), 0.6 * h)
        if not going.any():
            break
    return x


def inside(region: Any, x: np.ndarray) -> np.ndarray:
    """Which of the rows of `x` are in the region."""
    return np.asarray(region.contains(x if x.shape[1] > 1 else x[:, 0]))


def _values(drift: Field, x: np.ndarray) -> np.ndarray:
    """The drift at each row of `x`."""
    return np.asarray(drift(x if x.shape[1] > 1 else x[:, 0])).reshape(x.shape)


def _jacobian(drift: Field, x: np.ndarray) -> np.ndarray:
    """Derivatives of the drift at each row of `x`, shape (row, d, d)."""
    d = x.shape[1]
    flat = Field(tuple(e for row in drift.jacobian_exprs for e in row), drift.variables, drift.params)
    return np.asarray(flat(x if d > 1 else x[:, 0])).reshape(len(x), d, d)
