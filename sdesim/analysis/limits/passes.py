"""Wells of a landscape and the passes between them, with the curvatures that escape rates are made of."""
from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

# Shares of the diameter of the search domain: step off a saddle, and distance over which a kink would show.
OFF, NEAR = 1e-4, 1e-6
DEGENERATE = 1e-8


@dataclass(frozen=True)
class Pass:
    """A saddle of index one.

    Attributes
    ----------
    point : ndarray, shape (d,)
    wells : (int, int)
        Numbers of the minima that gradient flow reaches down its two sides; -1 where it reaches none.
    height : float
        Loss at the saddle.
    unstable : float
        |λ|, the size of its negative curvature.
    log_det : float
        log |det Hessian|.
    """

    point: np.ndarray
    wells: tuple[int, int]
    height: float
    unstable: float
    log_det: float


@dataclass(frozen=True)
class Well:
    """A minimum: number, loss, log det Hessian, and smallest and largest curvature there."""

    index: int
    point: np.ndarray
    height: float
    log_det: float
    curvatures: tuple[float, float]


def wells(landscape: Any) -> list[Well]:
    """The minima of a landscape.

    Raises
    ------
    ValueError
        If there is none, or one is not quadratic: a kink, or a flat direction.
    """
    points = _points(landscape, landscape.minima)
    if not len(points):
        raise ValueError("the landscape has no minimum: an escape rate needs a well to escape from")
    out = []
    for i, x in enumerate(points):
        values, _ = _curvatures(landscape, x, 0, "minimum")
        place = float(values[0]), float(values[-1])
        out.append(Well(i, x, _height(landscape, x), float(np.log(values).sum()), place))
    return out


def passes(landscape: Any) -> list[Pass]:
    """The saddles of index one of a landscape, each with the wells it joins.

    Raises
    ------
    ValueError
        If one is not quadratic: a kink, or a flat direction.
    """
    out = []
    for x in _points(landscape, landscape.saddles):
        values, vectors = _curvatures(landscape, x, 1, "saddle")
        step = OFF * _size(landscape) * vectors[:, 0]
        sides = (_given(landscape, x + step), _given(landscape, x - step))
        first, second = (int(np.asarray(landscape.basin_of(side))) for side in sides)
        log_det = float(np.log(np.abs(values)).sum())
        out.append(Pass(x, (first, second), _height(landscape, x), float(-values[0]), log_det))
    return out


def well_of(landscape: Any, start: Any) -> int:
    """Number of the well that holds `start`; without a start, of the only well.

    Raises
    ------
    ValueError
        If gradient flow from there reaches no minimum, or there are several wells and no start.
    """
    if start is None:
        if len(landscape.minima) == 1:
            return 0
        raise ValueError(
            f"the landscape has {len(landscape.minima)} wells: give start=, a point in the one to escape from"
        )
    index = int(np.asarray(landscape.basin_of(_given(landscape, np.ravel(np.asarray(start, dtype=float))))))
    if index < 0:
        raise ValueError(f"start={start}: gradient flow from there reaches none of the minima")
    return index


def _points(landscape: Any, found: Any) -> np.ndarray:
    return np.asarray(found, dtype=float).reshape(-1, landscape.dim)


def _given(landscape: Any, x: np.ndarray) -> Any:
    """A point as a landscape takes it: a number when there is one variable."""
    if x.size != landscape.dim:
        raise ValueError(f"a point has {x.size} coordinates, the landscape {landscape.dim} variables")
    return float(x[0]) if landscape.dim == 1 else x


def _height(landscape: Any, x: np.ndarray) -> float:
    return float(landscape(_given(landscape, x)))


def _size(landscape: Any) -> float:
    return float(np.linalg.norm([high - low for low, high in landscape.search_domain]))


def _curvatures(landscape: Any, x: np.ndarray, index: int, what: str) -> tuple[np.ndarray, np.ndarray]:
    """Eigenvalues and eigenvectors of the Hessian, refused unless the loss is quadratic there with that index."""
    where = f"the {what} at {np.array2string(x, precision=6)}"
    hessian = np.asarray(landscape.hessian(_given(landscape, x)), dtype=float).reshape(x.size, x.size)
    if not np.isfinite(hessian).all():
        raise ValueError(f"{where} has no finite curvature: the formula needs a smooth loss there")
    values, vectors = np.linalg.eigh(hessian)
    if np.abs(values).min() <= DEGENERATE * np.abs(values).max() or int((values < 0).sum()) != index:
        raise ValueError(f"{where} is degenerate (curvatures {values}): the formula needs a quadratic {what}")
    step = NEAR * _size(landscape)
    for value, v in zip(values, vectors.T, strict=True):
        ends = [np.ravel(landscape.gradient(_given(landscape, x + s * step * v))) for s in (1, -1)]
        if np.abs(ends[0] - ends[1] - 2 * step * value * v).max() > 0.2 * step * abs(value):
            raise ValueError(f"{where} is at a kink or not quadratic: the formula needs a smooth loss there")
    return values, vectors
