"""Scale function and speed measure of a 1-D diffusion on adaptive panels, kept as logarithms.

With Φ' = 2μ/σ², the scale density is exp(-Φ) and the speed density 2 exp(Φ)/σ². High barriers make both
overflow, so every cumulative integral is a running log-sum-exp of positive terms: nothing is ever subtracted.
"""
from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

Function = Callable[[np.ndarray], np.ndarray]

ORDER = 16
MAX_CHANGE = 2.0
RESOLVED = 1e-11
MAX_LEVELS = 48
MAX_PANELS = 20_000


@dataclass(frozen=True)
class Coefficients:
    """Drift μ and variance rate σ² of dX = μ dt + σ dW, as functions on arrays."""

    drift: Function
    variance: Function

    def mirrored(self) -> Coefficients:
        """Coefficients of -X."""
        return Coefficients(lambda x: -self.drift(-x), lambda x: self.variance(-x))

    def densities(self, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Φ' and 2/σ² at `x`.

        Raises
        ------
        ValueError
            If the diffusion vanishes or a coefficient is not finite at one of the points.
        """
        with np.errstate(all="ignore"):
            drift, variance = self.drift(x), self.variance(x)
        bad = ~(np.isfinite(drift) & np.isfinite(variance) & (variance > 0))
        if np.any(bad):
            where = x[bad].flat[0]
            if variance[bad].flat[0] == 0:
                raise ValueError(_vanishes(where))
            raise ValueError(f"drift or diffusion is not finite at x={where:.6g}: shrink the region")
        return 2 * drift / variance, 2 / variance


@lru_cache(maxsize=1)
def _rule() -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Gauss nodes and weights on (-1, 1), integrals from -1 to each node, values to coefficients."""
    x, w = np.polynomial.legendre.leggauss(ORDER)
    vander = np.polynomial.legendre.legvander(x, ORDER)
    to_coefficients = (vander[:, :ORDER] * w[:, None]).T * (np.arange(ORDER) + 0.5)[:, None]
    integrals = np.empty((ORDER, ORDER))
    integrals[:, 0] = x + 1
    for k in range(1, ORDER):
        integrals[:, k] = (vander[:, k + 1] - vander[:, k - 1]) / (2 * k + 1)
    return x, w, integrals @ to_coefficients, to_coefficients


@dataclass(frozen=True)
class Panels:
    """Adaptive panels: `edges` (panel + 1), and at the nodes (panel, ORDER) Φ' and 2/σ²."""

    edges: np.ndarray
    slope: np.ndarray
    weight: np.ndarray

    @classmethod
    def resolve(cls, coefficients: Coefficients, edges: np.ndarray) -> Panels:
        """Panels between the edges, halved until Φ' and 2/σ² are resolved and Φ changes little on each."""
        todo = np.column_stack([edges[:-1], edges[1:]])
        smallest = 1e-11 * (todo[:, 1] - todo[:, 0])
        done: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []
        for level in range(MAX_LEVELS):
            slope, weight = coefficients.densities(_nodes(todo))
            good = _resolved(todo, slope, weight)
            if (~good).sum() > MAX_PANELS:
                raise ValueError(_too_steep(todo, weight))
            if level == MAX_LEVELS - 1 or np.all(good):
                good[:] = True
            small = (todo[:, 1] - todo[:, 0]) < smallest
            _check_vanishing(todo[small & ~good], weight[small & ~good])
            good |= small
            done.append((todo[good], slope[good], weight[good]))
            left, right = todo[~good, 0], todo[~good, 1]
            if left.size == 0:
                break
            middle = 0.5 * (left + right)
            todo = np.concatenate([np.column_stack([left, middle]), np.column_stack([middle, right])])
            smallest = np.tile(smallest[~good], 2)
        ends, slope, weight = (np.concatenate(parts) for parts in zip(*done, strict=True))
        order = np.argsort(ends[:, 0])
        return cls(np.append(ends[order, 0], edges[-1]), slope[order], weight[order])

    @classmethod
    def on(cls, coefficients: Coefficients, edges: np.ndarray) -> Panels:
        """Panels between neighbouring edges, as they are."""
        slope, weight = coefficients.densities(_nodes(np.column_stack([edges[:-1], edges[1:]])))
        return cls(edges, slope, weight)

    def halved(self, coefficients: Coefficients) -> Panels:
        """Every panel split in two: the same integrals with a much smaller error."""
        return Panels.on(coefficients, np.sort(np.concatenate([self.edges, 0.5 * (self.edges[1:] + self.edges[:-1])])))

    @property
    def half_width(self) -> np.ndarray:
        """Half the width of each panel, shape (panel, 1)."""
        return 0.5 * np.diff(self.edges)[:, None]

    def potential(self) -> tuple[np.ndarray, np.ndarray]:
        """Φ at the edges and at the nodes, zero at the first edge."""
        _, w, cumulative, _ = _rule()
        steps = (self.slope @ w) * self.half_width[:, 0]
        at_edges = np.concatenate([[0.0], np.cumsum(steps)])
        return at_edges, at_edges[:-1, None] + self.half_width * (self.slope @ cumulative.T)

    def log_integral(self, log_f: np.ndarray) -> np.ndarray:
        """Logarithm of the integral of exp(log_f) over each panel."""
        _, w, _, _ = _rule()
        peak = log_f.max(axis=1, keepdims=True)
        return peak[:, 0] + np.log((np.exp(log_f - peak) @ w) * self.half_width[:, 0])

    def log_from_left(self, log_f: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Logarithm of the integral of exp(log_f) from the first edge: at the edges, at the nodes."""
        at_edges = np.logaddexp.accumulate(np.concatenate([[-np.inf], self.log_integral(log_f)]))
        return at_edges, np.logaddexp(at_edges[:-1, None], self.log_up_to_node(log_f))

    def log_from_right(self, log_f: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The same, integrated from the point to the last edge."""
        at_edges = np.logaddexp.accumulate(np.concatenate([[-np.inf], self.log_integral(log_f)[::-1]]))[::-1]
        return at_edges, np.logaddexp(at_edges[1:, None], self.log_up_to_node(log_f[:, ::-1])[:, ::-1])

    def log_up_to_node(self, log_f: np.ndarray) -> np.ndarray:
        """Logarithm of the integral of exp(log_f) over the part of its panel before each node.

        For the part behind each node, reverse the nodes of `log_f` and of the result.
        """
        _, _, cumulative, _ = _rule()
        peak = log_f.max(axis=1, keepdims=True)
        local = (np.exp(log_f - peak) @ cumulative.T) * self.half_width
        return peak + np.log(np.maximum(local, 1e-300))


def _nodes(ends: np.ndarray) -> np.ndarray:
    """Gauss nodes of each panel, shape (panel, ORDER)."""
    x = _rule()[0]
    return 0.5 * (ends[:, :1] + ends[:, 1:]) + 0.5 * (ends[:, 1:] - ends[:, :1]) * x


def _resolved(ends: np.ndarray, slope: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Whether Φ changes little on each panel and both functions are polynomials to working accuracy."""
    _, w, _, to_coefficients = _rule()
    half = 0.5 * (ends[:, 1] - ends[:, 0])
    change = (np.abs(slope) @ w) * half
    slope_tail = np.abs(slope @ to_coefficients.T)[:, -2:].max(axis=1) * half
    weight_tail = np.abs(weight @ to_coefficients.T)[:, -2:].max(axis=1) / weight.max(axis=1)
    return (change <= MAX_CHANGE) & (slope_tail <= RESOLVED) & (weight_tail <= RESOLVED)


def _too_steep(ends: np.ndarray, weight: np.ndarray) -> str:
    """Why the panels do not end: a zero of the diffusion, or a drift too large for it."""
    peak = weight.max(axis=1)
    where = ends[np.argmax(peak)].mean()
    if peak.max() > 1e4 * np.median(peak):
        return _vanishes(where)
    return f"the drift is more than {MAX_PANELS} times the diffusion over the region: raise the noise"


def _check_vanishing(ends: np.ndarray, weight: np.ndarray) -> None:
    """Refuse a zero of the diffusion, which shows as 1/σ² changing by factors on the smallest panels."""
    if not len(ends):
        return
    wild = weight.max(axis=1) > 10 * weight.min(axis=1)
    if np.any(wild):
        raise ValueError(_vanishes(ends[wild].mean()))


def _vanishes(x: float) -> str:
    """Message for a diffusion that is zero at `x`."""
    return f"the diffusion vanishes near x={x:.6g}, inside the region: shrink the region to one side of it"
