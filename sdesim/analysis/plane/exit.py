"""Mean exit times, committors and quasi-stationary laws of SDEs in the plane, on grids.

The equations L u = -1 and L h = 0 of the generator are solved on three or more nested grids. Where the changes fall by
the factor four of a scheme of second order the limit is extrapolated; what that moves the value is the stated error.
"""
from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from sdesim.analysis.estimate import Reference
from sdesim.analysis.plane.box import automatic_box, given_box, region_box
from sdesim.analysis.plane.grid import Box, PlaneGrid, PlaneSDE
from sdesim.analysis.plane.operator import PlaneOperator
from sdesim.analysis.plane.points import at_points
from sdesim.analysis.plane.sets import PlaneSet

COARSEST = 40
# Factors between the changes of two halvings that are taken for those of a scheme of second order.
SECOND_ORDER = (2.8, 5.7)


@dataclass(frozen=True)
class PlaneQuasiStationaryLaw:
    """Law of a path in the plane that has not left its region for a long time.

    Attributes
    ----------
    axes : tuple of ndarray
        Nodes along x and along y.
    density : ndarray, shape (x, y)
        Density at the nodes, zero outside the region.
    rate : Reference
        Rate of leaving: P(τ > t) falls like exp(-rate t).
    gap : float
        Second slowest rate minus the slowest: the law is approached at this rate.
    """

    axes: tuple[np.ndarray, np.ndarray]
    density: np.ndarray
    rate: Reference
    gap: float


def plane_exit_time(
    sde: Any, x0: Any, region: Any, *, box: Any = None, rtol: float = 2e-3, max_cells: int = 320
) -> Reference:
    """Mean first exit time of an SDE in the plane, by finite volumes.

    Parameters
    ----------
    sde : SDE
        Two components, Gaussian noise, scalar or diagonal diffusion that may depend on the state, either calculus.
    x0 : array, shape (..., 2)
        Starting points inside the region; the first of them is a node of the grids, the others are interpolated.
    region : Ball, HalfSpace, Sublevel, Basin or another region of dimension two
    box : ((x_low, x_high), (y_low, y_high)), optional
        Rectangle with reflecting walls that the path is kept in; where the region is unbounded and none is given, one
        that the drift hardly ever lets the path leave.
    rtol : float
        Relative error at which halving the cells stops.
    max_cells : int
        Most cells along the longer side; 320 take seconds.

    Returns
    -------
    Reference
        value ± error, in time, of the shape of the starting points.

    Raises
    ------
    ValueError
        If the SDE is not one of the plane, jumps, depends on time, has a diffusion that is a full matrix or vanishes,
        a start lies outside, or the region needs a box and none is found.

    Examples
    --------
    Brownian motion leaves the unit disc after a mean time (1 - |x0|²)/2::

        theory.plane_exit_time(SDE([0, 0], 1, variables=["x", "y"]), [0.0, 0.0], Ball((0, 0), 1.0)).value
    """
    plane, points = PlaneSDE.of(sde), _points(x0)
    sets = [PlaneSet(region, outside=True)]
    _refuse(points, [(sets[0], "outside the region: start inside it")])
    frame = _frame(plane, sets, points[0], box if box is not None else region_box(region))

    def mean(operator: PlaneOperator) -> np.ndarray:
        times = operator.solve(np.ones(operator.alive.size))
        return at_points(operator, operator.spread(times, [0.0]), points)

    value, error, operator = _refined(plane, frame, sets, points[0], mean, rtol, max_cells)
    return _reference(value, error + _rounding(operator) * value, operator, np.shape(x0))


def plane_committor(
    sde: Any, x0: Any, a: Any, b: Any, *, box: Any = None, rtol: float = 2e-3, max_cells: int = 320
) -> Reference:
    """Probability that an SDE in the plane reaches B before A, by finite volumes.

    Parameters
    ----------
    sde, box, rtol, max_cells
        As for `plane_exit_time`.
    x0 : array, shape (..., 2)
        Starting points outside both sets.
    a, b : regions of dimension two
        Disjoint.

    Returns
    -------
    Reference
        value ± error, of the shape of the starting points.

    Raises
    ------
    ValueError
        As `plane_exit_time`, and if a start lies in one of the sets.
    """
    plane, points = PlaneSDE.of(sde), _points(x0)
    sets = [PlaneSet(a), PlaneSet(b)]
    _refuse(points, [(sets[j], f"in the set {'AB'[j]}: start outside both sets") for j in (0, 1)])
    frame = _frame(plane, sets, points[0], box)

    def committor(operator: PlaneOperator) -> np.ndarray:
        table = operator.spread(operator.solve(operator.into[:, 1]), [0.0, 1.0])
        return at_points(operator, table, points)

    value, error, operator = _refined(plane, frame, sets, points[0], committor, rtol, max_cells)
    return _reference(value, error + np.finfo(float).eps, operator, np.shape(x0))


def plane_quasi_stationary_law(
    sde: Any, region: Any, *, start: Any = None, box: Any = None, rtol: float = 2e-3, max_cells: int = 160
) -> PlaneQuasiStationaryLaw:
    """Law and rate of leaving of a path in the plane that has not left a region for a long time.

    Parameters
    ----------
    sde, region, box, rtol, max_cells
        As for `plane_exit_time`.
    start : array, shape (2,), optional
        A point inside; needed where neither a box is given nor the region is a Ball.

    Raises
    ------
    ValueError
        As `plane_exit_time`.
    """
    plane, sets = PlaneSDE.of(sde), [PlaneSet(region, outside=True)]
    box = box if box is not None else region_box(region)
    if start is None and box is None:
        raise ValueError("the region may be unbounded: give box=((x_low, x_high), (y_low, y_high)), or start= a point")
    point = None if start is None else _points(start)[0]
    if point is not None:
        _refuse(point[None], [(sets[0], "outside the region: start inside it")])
    frame = _frame(plane, sets, point, box)
    kept: dict[str, Any] = {}

    def slowest(operator: PlaneOperator) -> np.ndarray:
        rates, kept["law"] = operator.slowest()
        return rates

    value, error, operator = _refined(plane, frame, sets, point, slowest, rtol, max_cells)
    table = operator.spread(kept["law"])
    table /= table.sum()
    rate = Reference(float(value[0]), float(error[0]) + _rounding(operator) * float(value[0]), _method(operator))
    return PlaneQuasiStationaryLaw(operator.grid.axes, table / operator.grid.areas(), rate, float(value[1] - value[0]))


def _refined(
    sde: PlaneSDE,
    box: Box,
    sets: list[PlaneSet],
    start: np.ndarray | None,
    wanted: Callable[[PlaneOperator], np.ndarray],
    rtol: float,
    max_cells: int,
) -> tuple[np.ndarray, np.ndarray, PlaneOperator]:
    """Values on ever finer grids, extrapolated, with errors, and the finest operator."""
    grid, cells, values = PlaneGrid.around(box, start, COARSEST), COARSEST, []
    sets = [one.on(box) for one in sets]
    while True:
        operator = PlaneOperator(sde, grid, sets)
        values.append(wanted(operator))
        if len(values) > 2:
            value, error = extrapolated(*values[-3:])
            if 2 * cells > max_cells or np.all(error[:1] <= rtol * np.abs(value[:1])):
                return value, error, operator
        grid, cells = grid.halved(), 2 * cells


def extrapolated(coarse: np.ndarray, middle: np.ndarray, fine: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Limit of values on three grids, each half as coarse as the one before, and its error."""
    first, second = middle - coarse, fine - middle
    ratio = first / np.where(second == 0, np.finfo(float).tiny, second)
    smooth = (ratio > SECOND_ORDER[0]) & (ratio < SECOND_ORDER[1])
    value = np.where(smooth, fine + second / 3, fine)
    rough = np.where(np.abs(ratio) > 1.5, np.abs(second), np.maximum(np.abs(first), np.abs(second)))
    return value, np.where(smooth, np.abs(second) / 3, rough)


def _points(x0: Any) -> np.ndarray:
    """Starting points, shape (point, 2)."""
    points = np.asarray(x0, dtype=float)
    if points.ndim == 0 or points.shape[-1] != 2 or points.size == 0:
        raise ValueError(f"x0 must have two components, shape (..., 2), got shape {points.shape}")
    return points.reshape(-1, 2)


def _refuse(points: np.ndarray, sets: list[tuple[PlaneSet, str]]) -> None:
    """Refuse starting points that lie in a set, with what that means."""
    for contains, what in sets:
        bad = points[contains(points)]
        if len(bad):
            raise ValueError(f"x0=({bad[0, 0]:g}, {bad[0, 1]:g}) lies {what}")


def _frame(sde: PlaneSDE, sets: list[PlaneSet], start: np.ndarray | None, box: Any) -> Box:
    """The box given or found, which must hold the start."""
    if box is None:
        return automatic_box(sde, sets, start)
    frame = given_box(box)
    if start is not None and not all(a <= x <= b for (a, b), x in zip(frame, start, strict=True)):
        raise ValueError(f"the box {frame} does not hold x0=({start[0]:g}, {start[1]:g}): widen it")
    return frame


def _rounding(operator: PlaneOperator) -> float:
    """Relative rounding of a solution: one last digit for every jump on the grid before the end."""
    leaving = -operator.generator.diagonal()
    return float(np.finfo(float).eps * np.abs(operator.solve(leaving)).max())


def _method(operator: PlaneOperator) -> str:
    nx, ny = operator.grid.shape
    return f"finite volumes, {nx} × {ny} nodes"


def _reference(value: np.ndarray, error: np.ndarray, operator: PlaneOperator, shape: tuple[int, ...]) -> Reference:
    return Reference(value.reshape(shape[:-1])[()], error.reshape(shape[:-1])[()], _method(operator))
