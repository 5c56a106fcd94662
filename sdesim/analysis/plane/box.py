"""The rectangle that a path in the plane hardly ever leaves before it is stopped."""
from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from sdesim.analysis.plane.grid import Box, PlaneGrid, PlaneSDE
from sdesim.analysis.plane.operator import PlaneOperator
from sdesim.analysis.plane.sets import PlaneSet
from sdesim.problems.multistart import confining_box

CELLS = 48
ROUNDS, GROWTHS, GROWTH = 12, 60, 1.6
# Share of the time beyond which the box is drawn in, on each side.
TAIL = 1e-10
MARGIN = 2


def given_box(box: Any) -> Box:
    """The user's box, checked.

    Raises
    ------
    ValueError
        Unless it is two pairs (low, high) with low < high, all finite.
    """
    pairs = np.asarray(box, dtype=float)
    if pairs.shape != (2, 2) or not np.all(np.isfinite(pairs)) or not np.all(pairs[:, 0] < pairs[:, 1]):
        raise ValueError(f"box must be ((x_low, x_high), (y_low, y_high)) with low < high, got {box!r}")
    (a, b), (c, d) = pairs.tolist()
    return (a, b), (c, d)


def region_box(region: Any) -> Box | None:
    """The square around a Ball, None for regions that may be unbounded."""
    if not hasattr(region, "radius"):
        return None
    x, y = (float(c) for c in region.center)
    r = float(region.radius)
    return (x - r, x + r), (y - r, y + r)


def automatic_box(sde: PlaneSDE, sets: Sequence[PlaneSet], start: np.ndarray | None) -> Box:
    """A box outside of which the path spends less than TAIL of its time, on each side.

    From a cube that the drift points into along every ray, drawn in on coarse grids. With sets the time is that before
    a path from `start` stops, without it is the stationary law.

    Raises
    ------
    ValueError
        If the drift does not point inwards far from the origin.
    """

    def outward(points: np.ndarray) -> np.ndarray:
        return -np.stack(sde.values(points[..., 0], points[..., 1])[:2], axis=-1)

    try:
        (a, b), (c, d) = confining_box(outward, 2)
    except ValueError:
        raise ValueError(
            "the drift does not keep the path near the origin: give box=((x_low, x_high), (y_low, y_high)), whose "
            "walls reflect it"
        ) from None
    box = (a, b), (c, d)
    if start is not None:
        (a, b), (c, d) = box
        x, y = 2 * start
        box = (min(a, x), max(b, x)), (min(c, y), max(d, y))
    for _ in range(GROWTHS):
        table, grid = _time(sde, sets, start, box)
        if table is not None and _edge_share(table) < TAIL:
            break
        box = _scaled(box, GROWTH)
    else:
        raise ValueError(
            "the path goes very far before it stops: give box=((x_low, x_high), (y_low, y_high)), walls that reflect it"
        )
    for _ in range(ROUNDS):
        table, grid = _time(sde, sets, start, box)
        smaller = box if table is None else _drawn_in(table, grid)
        shrunk = min((b - a) / (d - c) for (a, b), (c, d) in zip(smaller, box, strict=True))
        box = smaller
        if shrunk > 0.8:
            break
    return box


def _scaled(box: Box, factor: float) -> Box:
    """The box with the same centre and longer sides."""
    (a, b), (c, d) = box
    grow = 0.5 * (factor - 1)
    dx, dy = grow * (b - a), grow * (d - c)
    return (a - dx, b + dx), (c - dy, d + dy)


def _time(
    sde: PlaneSDE, sets: Sequence[PlaneSet], start: np.ndarray | None, box: Box
) -> tuple[np.ndarray | None, PlaneGrid]:
    """Time spent in each cell of a coarse grid, None where nothing in the box stops the path."""
    grid = PlaneGrid.around(box, start, CELLS)
    operator = PlaneOperator(sde, grid, sets, sealed=True)
    if start is None:
        return operator.spread(operator.stationary()), grid
    if not operator.into.any():
        return None, grid
    right = np.zeros(operator.alive.size)
    right[operator.nearest(start)] = 1.0
    return np.maximum(operator.spread(operator.solve(right, trans="T")), 0.0), grid


def _edge_share(table: np.ndarray) -> float:
    """Share of the time in the outermost cells."""
    inner = table[1:-1, 1:-1].sum()
    return float(1 - inner / table.sum()) if table.sum() > 0 else 1.0


def _drawn_in(table: np.ndarray, grid: PlaneGrid) -> Box:
    """The part of the box with all but TAIL of the time, and a margin of cells around it."""
    ends = []
    for axis, nodes in enumerate(grid.axes):
        along = table.sum(axis=1 - axis)
        below, above = np.cumsum(along) / along.sum(), np.cumsum(along[::-1]) / along.sum()
        first = max(int(np.searchsorted(below, TAIL)) - MARGIN, 0)
        last = nodes.size - 1 - max(int(np.searchsorted(above, TAIL)) - MARGIN, 0)
        ends.append((float(nodes[first]), float(nodes[last])))
    return ends[0], ends[1]
