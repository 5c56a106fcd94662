"""Minima and maxima of a function of one variable, all of them on an interval."""
from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

Function = Callable[[np.ndarray], Any]

FARTHEST = 1e4
COARSEST, FINEST = 2**12, 2**18


class Extrema(NamedTuple):
    """Minima, maxima and the edges of intervals where the function is undefined, each sorted."""

    minima: np.ndarray
    maxima: np.ndarray
    gaps: np.ndarray


def sign_changes(f: Function, left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Where `f` leaves its sign at `left` for its sign at `right`; the middle of a stretch of zeros.

    Bisection on the sign alone, so that jumps and poles are found like zeros.
    """
    before, after = np.sign(f(left)), np.sign(f(right))
    low, end = left.copy(), right.copy()
    start, high = left.copy(), right.copy()
    for _ in range(120):
        middle = 0.5 * (low + end)
        same = np.sign(f(middle)) == before
        low, end = np.where(same, middle, low), np.where(same, end, middle)
        middle = 0.5 * (start + high)
        same = np.sign(f(middle)) == after
        start, high = np.where(same, start, middle), np.where(same, middle, high)
        if np.all((np.nextafter(low, end) == end) & (np.nextafter(start, high) == high)):
            break
    return 0.5 * (end + start)


@np.errstate(all="ignore")
def extrema(slope: Function, curvature: Function, kinks: list[Function], low: float, high: float) -> Extrema:
    """All local minima and maxima in (low, high): the sign changes of the slope.

    The grid is doubled until two of them agree on the number of sign changes; a pair of roots between two
    neighbours is found from the sign change of the curvature there. The grid is dense around every kink.

    Raises
    ------
    ValueError
        If the finest grid still finds new extrema.
    """
    centres = _roots(kinks, low, high)
    count, n = -1, COARSEST
    while n <= FINEST:
        grid = _grid(centres, low, high, n)
        grid = np.union1d(grid, _turning_points(slope, curvature, grid))
        values = slope(grid)
        signs = np.sign(values)
        kept = np.flatnonzero(np.isfinite(values) & (signs != 0))
        undefined = np.cumsum(~np.isfinite(values))
        changes = signs[kept[1:]] * signs[kept[:-1]] < 0
        # One undefined grid point is a pole or a cusp; more are an interval outside the function's domain.
        broken = undefined[kept[1:]] - undefined[kept[:-1]] > 1
        found = np.flatnonzero(changes & ~broken)
        if len(found) == count:
            break
        count, n = len(found), 2 * n
    else:
        raise ValueError(f"more than {count} extrema in ({low:g}, {high:g}) and no end; use a smaller domain")
    left, right = grid[kept[found]], grid[kept[found + 1]]
    points = _snapped(sign_changes(slope, left, right), centres, high - low)
    gaps = 0.5 * (grid[kept[:-1]] + grid[kept[1:]])[broken]
    falling = signs[kept[found]] < 0
    return Extrema(points[falling], points[~falling], gaps)


def domain_edge(f: Function, inside: float, outside: float) -> float:
    """Where f becomes undefined on the way from `inside` to `outside`; `outside` if it does not."""
    far = float(np.clip(outside, -2 * FARTHEST, 2 * FARTHEST))
    if not np.isnan(f(np.array(far))):
        return outside
    ends = np.array([inside]), np.array([far])
    return float(sign_changes(lambda x: np.where(np.isnan(f(x)), -1.0, 1.0), *ends)[0])


def _roots(functions: list[Function], low: float, high: float) -> np.ndarray:
    """Zeros of the functions, which are where formulas have their kinks."""
    grid = np.linspace(low, high, COARSEST + 1)
    found = [np.empty(0)]
    for function in functions:
        values = function(grid)
        found.append(grid[values == 0])
        crossing = np.flatnonzero(values[:-1] * values[1:] < 0)
        found.append(sign_changes(function, grid[crossing], grid[crossing + 1]))
    return np.unique(np.concatenate(found))


def _grid(centres: np.ndarray, low: float, high: float, n: int) -> np.ndarray:
    """An even grid, and points at geometric distances on both sides of each kink."""
    span = high - low
    steps = span * 2.0 ** -np.arange(2, 46)
    near = (centres[:, None] + np.concatenate([-steps, steps])).ravel() if len(centres) < 2000 else centres
    grid = np.concatenate([np.linspace(low, high, n + 1), near, centres])
    return np.unique(grid[(grid >= low) & (grid <= high)])


def _turning_points(slope: Function, curvature: Function, grid: np.ndarray) -> np.ndarray:
    """Points of smallest |slope| between neighbours of equal sign: a pair of roots may hide there."""
    s, c = slope(grid), curvature(grid)
    inward = (s[:-1] * s[1:] > 0) & (s[:-1] * c[:-1] < 0) & (s[1:] * c[1:] > 0)
    cells = np.flatnonzero(inward & np.isfinite(c[:-1]) & np.isfinite(c[1:]))
    return sign_changes(curvature, grid[cells], grid[cells + 1])


def _snapped(points: np.ndarray, centres: np.ndarray, span: float) -> np.ndarray:
    """Points moved onto a kink, or onto 0, that they cannot be told from."""
    for centre in (*centres, 0.0):
        points = np.where(np.abs(points - centre) <= 1e-14 * span, centre, points)
    return points


def confined_extrema(
    slope: Function, curvature: Function, kinks: list[Function]
) -> tuple[Extrema, tuple[float, float]]:
    """All extrema of a function that rises far out, and the interval in which they were searched.

    The interval is widened until its outer half holds no extremum: samples may miss a fast oscillation.

    Raises
    ------
    ValueError
        If no such interval is found.
    """
    low, high = confining_interval(slope)
    for _ in range(20):
        margin = 0.5 * (high - low)
        wide = low - margin, high + margin
        found = extrema(slope, curvature, kinks, *wide)
        points = np.concatenate([found.minima, found.maxima])
        if np.all((points >= low) & (points <= high)):
            return found, wide
        low, high = wide
    raise ValueError(f"extrema appear as far out as ({low:g}, {high:g}); give domain=(low, high)")


@np.errstate(all="ignore")
def confining_interval(slope: Function) -> tuple[float, float]:
    """An interval outside of which the slope points outwards at sampled points.

    Raises
    ------
    ValueError
        If there is none within 1e4 of the origin: the loss keeps falling, or oscillates without end.
    """
    far = np.geomspace(1e-6, 2 * FARTHEST, 3001)
    points = np.concatenate([-far[::-1], [0.0], far])
    values = slope(points)
    inside = np.flatnonzero(np.isfinite(values) & (values != 0))
    if not len(inside):
        raise ValueError("the loss has no slope anywhere: it has neither minima nor maxima")
    points, signs = points[inside], np.sign(values[inside])
    inward_left, inward_right = np.flatnonzero(signs > 0), np.flatnonzero(signs < 0)
    if not len(inward_left) or not len(inward_right):
        side = "-inf" if not len(inward_right) else "inf"
        raise ValueError(f"the loss keeps falling towards {side}; give domain=(low, high)")
    left = points[max(inward_left[0] - 1, 0)]
    right = points[min(inward_right[-1] + 1, len(points) - 1)]
    falls_left, falls_right = inward_left[0] == 0, inward_right[-1] == len(signs) - 1
    for edge, falls, side in ((left, falls_left, "-inf"), (right, falls_right, "inf")):
        if falls or abs(edge) > FARTHEST:
            raise ValueError(f"the loss does not keep rising towards {side}; give domain=(low, high)")
    return float(left), float(right)
