"""Stationary law of an SDE in the plane, on grids."""
from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from sdesim.analysis.estimate import Reference
from sdesim.analysis.plane.box import automatic_box, given_box
from sdesim.analysis.plane.grid import PlaneGrid, PlaneSDE
from sdesim.analysis.plane.operator import PlaneOperator

# Points along each side of a cell at which membership in a region is looked up.
SAMPLES = 8


@dataclass(frozen=True)
class PlaneStationaryLaw:
    """Stationary law of an SDE in the plane.

    Attributes
    ----------
    axes : tuple of ndarray
        Nodes along x and along y.
    density : ndarray, shape (x, y)
        Density at the nodes.
    error : float
        Estimated total variation distance of the law on the grid to that of the SDE.
    edge : float
        Mass of the outermost cells: negligible if the box is wide enough.
    """

    axes: tuple[np.ndarray, np.ndarray]
    density: np.ndarray
    error: float
    edge: float
    coarse: PlaneStationaryLaw | None = field(default=None, repr=False)

    def mass(self, region: Any) -> Reference:
        """Mass of a region, the density taken as bilinear in its logarithm between the nodes.

        Raises
        ------
        ValueError
            If the region is not one of the plane.
        """
        if getattr(region, "dim", None) != 2:
            raise ValueError(f"the region must have dimension two, got {region!r}: write Ball((0, 0), 1.0) for example")
        value = self._mass(region)
        change = abs(value - self.coarse._mass(region)) if self.coarse is not None else 1.0
        return Reference(value, change, f"finite volumes, {self.axes[0].size} × {self.axes[1].size} nodes")

    def _mass(self, region: Any) -> float:
        """Mass of a region on this grid, by midpoints of small squares."""
        finer = [_within(nodes) for nodes in self.axes]
        log = np.log(np.maximum(self.density, np.finfo(float).tiny))
        log = _interpolated(_interpolated(log, self.axes[0], finer[0], 0), self.axes[1], finer[1], 1)
        sides = [np.repeat(np.diff(nodes) / SAMPLES, SAMPLES) for nodes in self.axes]
        mass = np.exp(log) * np.outer(*sides)
        points = np.stack(np.meshgrid(*finer, indexing="ij"), axis=-1).reshape(-1, 2)
        return float(mass[np.asarray(region.contains(points)).reshape(mass.shape)].sum() / mass.sum())


def plane_stationary_law(sde: Any, *, box: Any = None, cells: int = 160) -> PlaneStationaryLaw:
    """Stationary law of an SDE in the plane, by finite volumes.

    For drift -∇V and constant diffusion it is exp(-2V/diffusion²) at the nodes, to rounding.

    Parameters
    ----------
    sde : SDE
        Two components, Gaussian noise, scalar or diagonal diffusion, either calculus.
    box : ((x_low, x_high), (y_low, y_high)), optional
        Rectangle with reflecting walls; found automatically where the drift points inwards.
    cells : int
        Cells along the longer side.

    Raises
    ------
    ValueError
        If the SDE is not one of the plane, jumps, depends on time, has a diffusion that is a full matrix or vanishes,
        or needs a box.
    """
    plane = PlaneSDE.of(sde)
    frame = automatic_box(plane, [], None) if box is None else given_box(box)
    grid = PlaneGrid.around(frame, None, max(cells // 2, 8))
    coarse = _law(plane, grid, None)
    return _law(plane, grid.halved(), coarse)


def _law(sde: PlaneSDE, grid: PlaneGrid, coarse: PlaneStationaryLaw | None) -> PlaneStationaryLaw:
    mass = PlaneOperator(sde, grid, []).stationary().reshape(grid.shape)
    density, error = mass / grid.areas(), 1.0
    if coarse is not None:
        rougher = coarse.density / (coarse.density * grid.areas()[::2, ::2]).sum()
        finer = density[::2, ::2] / (density[::2, ::2] * grid.areas()[::2, ::2]).sum()
        error = float(0.5 * (np.abs(finer - rougher) * grid.areas()[::2, ::2]).sum())
    return PlaneStationaryLaw(grid.axes, density, error, float(1 - mass[1:-1, 1:-1].sum()), coarse)


def _within(nodes: np.ndarray) -> np.ndarray:
    """Midpoints of SAMPLES equal parts of every cell."""
    return (nodes[:-1, None] + np.diff(nodes)[:, None] * (np.arange(SAMPLES) + 0.5) / SAMPLES).ravel()


def _interpolated(table: np.ndarray, nodes: np.ndarray, at: np.ndarray, axis: int) -> np.ndarray:
    """Linear interpolation of a table along one axis."""
    left = np.repeat(np.arange(nodes.size - 1), SAMPLES)
    share = (at - nodes[left]) / np.diff(nodes)[left]
    share = share[:, None] if axis == 0 else share[None]
    return np.take(table, left, axis) * (1 - share) + np.take(table, left + 1, axis) * share
