"""A rectangular grid in the plane, the rates of an SDE between its nodes, and sets that cut its edges.

Along each axis the flux of dX = b dt + sigma dW between neighbouring nodes is that of a constant ratio of drift to
diffusion (Scharfetter and Gummel 1969; Allen and Southwell 1955): with D = sigma²/2, zeta = ∫ b/D over the edge and
B(z) = z/(e^z - 1), the rate from a node to its neighbour is D B(-zeta)/h times 2/(sum of the lengths of both edges).
The rates are positive whatever the drift, and for a reversible SDE they are in detailed balance with its density.
Edges that leave the region are cut where they leave it (Shortley and Weller 1938).
"""
from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import sympy as sp

from sdesim.analysis.region_ends import refuse_time
from sdesim.core.formula import differentiate, ops_function
from sdesim.core.ops import NUMPY

Box = tuple[tuple[float, float], tuple[float, float]]

GAUSS, WEIGHTS = np.polynomial.legendre.leggauss(5)
STEEPEST = 600.0


@dataclass(frozen=True)
class PlaneSDE:
    """Drift and D = sigma²/2 of an SDE in the plane with independent noises of its coordinates, in Itô's sense."""

    evaluate: Callable[..., Any]
    given: tuple[float, ...]
    variance: float

    @classmethod
    def of(cls, sde: Any) -> PlaneSDE:
        """The coefficients of `sde`.

        Raises
        ------
        ValueError
            If it has not two components, jumps, depends on time, or its noises are mixed.
        """
        if sde.dim != 2:
            hint = "use theory.mean_exit_time or the chain_ functions" if sde.dim == 1 else "simulate it with run"
            raise ValueError(f"the grid solver is for SDEs in two dimensions, got {sde.dim}: {hint}")
        if sde.noise.index != 2:
            raise ValueError(f"the grid solver needs Gaussian noise, got {sde.noise!r}: jumps are simulated with run")
        refuse_time(sde)
        if sde.diffusion_kind == "matrix":
            raise ValueError(
                "the grid solver needs a scalar or diagonal diffusion, got a matrix: rotate the coordinates so that "
                "it is diagonal"
            )
        variance = float(sde.noise.variance)
        drift, factors = list(sde.drift), [sde.diffusion[i][i] for i in range(2)]
        if sde.calculus == "stratonovich":
            symbols = [sp.Symbol(v, real=True) for v in sde.variables]
            corrections = [variance / 2 * s * differentiate(s, v) for s, v in zip(factors, symbols, strict=True)]
            drift = [a + c for a, c in zip(drift, corrections, strict=True)]
        evaluate = ops_function([*drift, *factors], [*sde.variables, *sde.params])
        return cls(evaluate, tuple(np.float64(v) for v in sde.params.values()), variance)

    def values(self, x: np.ndarray, y: np.ndarray) -> list[np.ndarray]:
        """Both components of the drift and both factors of the noise at the points, whatever they are."""
        with np.errstate(all="ignore"):
            found = self.evaluate(NUMPY, x, y, *self.given)
        return [np.asarray(v, dtype=float) + np.zeros(np.shape(x)) for v in found]

    def __call__(self, x: np.ndarray, y: np.ndarray) -> tuple[list[np.ndarray], list[np.ndarray]]:
        """Drift and D at the points, two arrays each."""
        values = self.values(x, y)
        diffusion = [0.5 * self.variance * s * s for s in values[2:]]
        bad = ~(np.isfinite(values[0] + values[1]) & (diffusion[0] > 0) & (diffusion[1] > 0))
        if np.any(bad):
            where = x[bad].flat[0], y[bad].flat[0]
            raise ValueError(
                f"drift or diffusion is not finite, or the diffusion vanishes, at ({where[0]:.4g}, {where[1]:.4g}): "
                "give a smaller box"
            )
        return values[:2], diffusion


@dataclass(frozen=True)
class PlaneGrid:
    """Nodes `axes` = (x, y) of a rectangular grid; its outermost nodes lie on reflecting walls."""

    axes: tuple[np.ndarray, np.ndarray]

    @classmethod
    def around(cls, box: Box, start: np.ndarray | None, cells: int) -> PlaneGrid:
        """About `cells` cells along the longer side of the box, with a node at `start`."""
        longest = max(high - low for low, high in box)
        axes = []
        for i, (low, high) in enumerate(box):
            inner = [float(start[i])] if start is not None and low < start[i] < high else []
            ends, nodes = [low, *inner, high], [np.array([low])]
            for a, b in pairwise(ends):
                n = max(2, round(cells * (b - a) / longest))
                nodes.append(np.linspace(a, b, n + 1)[1:])
            axes.append(np.concatenate(nodes))
        return cls((axes[0], axes[1]))

    def halved(self) -> PlaneGrid:
        """The grid with every cell cut in four; its nodes contain those of this one."""
        x, y = (np.sort(np.concatenate([a, 0.5 * (a[1:] + a[:-1])])) for a in self.axes)
        return PlaneGrid((x, y))

    @property
    def shape(self) -> tuple[int, int]:
        """Number of nodes along x and along y."""
        return self.axes[0].size, self.axes[1].size

    def points(self) -> np.ndarray:
        """The nodes, shape (x, y, 2)."""
        return np.stack(np.meshgrid(*self.axes, indexing="ij"), axis=-1)

    def areas(self) -> np.ndarray:
        """Area of the cell of each node, shape (x, y)."""
        half = [0.5 * np.diff(a) for a in self.axes]
        widths = [np.append(h, 0.0) + np.append(0.0, h) for h in half]
        return np.outer(*widths)


def bernoulli(z: np.ndarray) -> np.ndarray:
    """z / (exp(z) - 1), which is 1 at z = 0."""
    z = np.clip(z, -STEEPEST, STEEPEST)
    small = np.abs(z) < 1e-8
    safe = np.where(small, 1.0, z)
    return np.where(small, 1 - 0.5 * z, safe / np.expm1(safe))


def edge_ends(grid: PlaneGrid, axis: int) -> tuple[np.ndarray, np.ndarray]:
    """Numbers of the nodes at both ends of every edge along one axis, the lower one first."""
    numbers = np.arange(grid.shape[0] * grid.shape[1]).reshape(grid.shape)
    along = np.moveaxis(numbers, axis, 0)
    return along[:-1].ravel(), along[1:].ravel()


def ratio_along(sde: PlaneSDE, start: np.ndarray, end: np.ndarray, axis: int) -> np.ndarray:
    """∫ b/D along straight edges that are parallel to an axis."""
    total = np.zeros(len(start))
    for node, weight in zip(GAUSS, WEIGHTS, strict=True):
        points = 0.5 * (start + end) + 0.5 * node * (end - start)
        drift, diffusion = sde(points[:, 0], points[:, 1])
        total += 0.5 * weight * drift[axis] / diffusion[axis]
    return total * (end - start)[:, axis]
