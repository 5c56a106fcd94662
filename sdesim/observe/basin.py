"""Basins of attraction: the points from which gradient flow reaches one minimum."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from sdesim.core.ops import NUMPY, Ops
from sdesim.core.program import ops_function
from sdesim.observe.regions import Interval
from sdesim.problems.landscape import Landscape

CAPTURE = 0.5  # of the way from a minimum to the nearest saddle: a ball that belongs to its basin
STRIDE = 0.05  # of the smallest capture radius: arc length of one Runge–Kutta step along the flow
MAX_STRIDES = 4000


def Basin(landscape: Landscape, at: Any) -> Any:
    """The basin of attraction that holds the point `at`, as a region.

    With one variable it is the Interval between the neighbouring maxima. With several it is a FlowBasin.

    Raises
    ------
    ValueError
        If gradient flow from `at` reaches no known minimum.
    """
    if not isinstance(landscape, Landscape):
        raise TypeError(f"Basin needs a Landscape, got {type(landscape).__name__}")
    index = int(np.asarray(landscape.basin_of(at)))
    if index < 0:
        raise ValueError(
            f"no basin at {at}: gradient flow from there reaches none of the minima {landscape.minima.tolist()}"
        )
    if landscape.dim == 1:
        return Interval(*landscape.basins[index])
    if not len(landscape.saddles):
        raise ValueError("the landscape has no saddle: its basin is the whole space, use Ball or Sublevel")
    minima = landscape.minima
    reach = CAPTURE * np.linalg.norm(minima[:, None] - landscape.saddles[None], axis=2).min(axis=1)
    balls = tuple((tuple(map(float, m)), float(r)) for m, r in zip(minima, reach, strict=True))
    return FlowBasin(landscape, index, balls)


@dataclass(frozen=True)
class FlowBasin:
    """A basin in several dimensions, judged by following the gradient flow.

    A point in the ball around the minimum (half-way to the nearest saddle) is inside without more; from any other the
    normalised flow -∇f/|∇f| is followed by classical Runge–Kutta steps until it enters the ball of a minimum.

    Attributes
    ----------
    landscape : Landscape
    index : int
        Number of the minimum in landscape.minima.
    balls : tuple of (center, radius)
        One around each minimum.
    """

    landscape: Landscape
    index: int
    balls: tuple[tuple[tuple[float, ...], float], ...]
    params: Mapping[str, Any] = field(default_factory=dict)
    structure = ("index", "balls", "params")

    def __post_init__(self) -> None:
        object.__setattr__(self, "params", dict(self.landscape.params))

    @property
    def dim(self) -> int:
        """Dimension of the space."""
        return self.landscape.dim

    @property
    def stride(self) -> float:
        """Arc length of one step along the flow."""
        return STRIDE * min(radius for _, radius in self.balls)

    def margins(self, ops: Ops, x: Any) -> list[Any]:
        """Radius² - distance² to the minimum: positive where the point is inside without following the flow."""
        center, radius = self.balls[self.index]
        return [radius**2 - sum((xi - c) ** 2 for xi, c in zip(ops.split(x), center, strict=True))]

    def gradient(self, ops: Ops, x: Any) -> list[Any]:
        """∇f, which the flow descends."""
        slope = self.landscape.gradient
        args = [*slope.variables, *self.params]
        return ops_function(slope.exprs, args)(ops, *ops.split(x), *self.params.values())

    def contains(self, x: Any) -> np.ndarray:
        """Which of the points x, shape (..., d), lie inside."""
        points = np.asarray(x, dtype=float)
        if points.ndim == 0 or points.shape[-1] != self.dim:
            raise ValueError(f"points have shape {points.shape}, the region has dimension {self.dim}")
        flat = points.reshape(-1, self.dim)
        with np.errstate(all="ignore"):
            reached = _followed(self, flat)
        return (reached == self.index).reshape(points.shape[:-1])


def _followed(basin: FlowBasin, x: np.ndarray) -> np.ndarray:
    """Index of the minimum whose ball the flow from each point enters, -1 where it enters none."""
    reached = np.full(len(x), -1)
    going = np.flatnonzero(np.isfinite(x).all(axis=1))
    x = x.copy()
    for _ in range(MAX_STRIDES):
        for j, (center, radius) in enumerate(basin.balls):
            inside = ((x[going] - center) ** 2).sum(axis=1) < radius**2
            reached[going[inside]] = j
            going = going[~inside]
        if not len(going):
            break
        x[going] = _stride(basin, x[going])
    return reached


def _stride(basin: FlowBasin, x: np.ndarray) -> np.ndarray:
    h = basin.stride

    def velocity(y: np.ndarray) -> np.ndarray:
        g = np.stack(np.broadcast_arrays(*basin.gradient(NUMPY, y), y[..., 0])[:-1], axis=-1)
        return -g / np.sqrt((g * g).sum(axis=-1, keepdims=True))

    a = velocity(x)
    b = velocity(x + 0.5 * h * a)
    c = velocity(x + 0.5 * h * b)
    return x + h / 6 * (a + 2 * b + 2 * c + velocity(x + h * c))
