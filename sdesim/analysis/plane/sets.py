"""Sets of the plane that stop a path: regions, or what lies outside of one."""
from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from sdesim.analysis.plane.grid import Box
from sdesim.observe.basin import FlowBasin

# Halvings of an edge that find where it enters a set: membership in a basin takes a flow for every point.
HALVINGS, FLOW_HALVINGS = 30, 10
LATTICE = 65


@dataclass(frozen=True)
class PlaneSet:
    """A region of the plane or its complement, as a function of points (n, 2).

    Attributes
    ----------
    region : region of dimension two
    outside : bool
        Whether the set is what lies outside the region.
    lattice : (axes, table), optional
        Membership known on a lattice; a point whose four neighbours agree is taken to be like them.
    """

    region: Any
    outside: bool = False
    lattice: tuple[tuple[np.ndarray, np.ndarray], np.ndarray] | None = None

    def __post_init__(self) -> None:
        if getattr(self.region, "dim", None) != 2:
            raise ValueError(
                f"the region must have dimension two, got {self.region!r}: write Ball((0, 0), 1.0) for example"
            )

    @property
    def halvings(self) -> int:
        """How often an edge is halved to find where it enters the set."""
        return FLOW_HALVINGS if isinstance(self.region, FlowBasin) else HALVINGS

    @property
    def where(self) -> str:
        """The set in words."""
        return f"{'outside' if self.outside else 'in'} {self.region!r}"

    def on(self, box: Box) -> PlaneSet:
        """The set with membership looked up on a lattice over the box, if it is costly."""
        if not isinstance(self.region, FlowBasin):
            return self
        x, y = (np.linspace(low, high, LATTICE) for low, high in box)
        points = np.stack(np.meshgrid(x, y, indexing="ij"), axis=-1)
        return replace(self, lattice=((x, y), np.asarray(self.region.contains(points))))

    def __call__(self, points: np.ndarray) -> np.ndarray:
        """Which of the points lie in the set."""
        return np.asarray(self._contains(points) != self.outside)

    def _contains(self, points: np.ndarray) -> np.ndarray:
        if self.lattice is None:
            return np.asarray(self.region.contains(points))
        (x, y), table = self.lattice
        i, j = (np.clip(np.searchsorted(n, p) - 1, 0, n.size - 2) for n, p in zip((x, y), points.T, strict=True))
        votes = table[i, j].astype(int) + table[i + 1, j] + table[i, j + 1] + table[i + 1, j + 1]
        found = votes == 4
        doubtful = np.flatnonzero((votes > 0) & (votes < 4))
        if doubtful.size:
            found[doubtful] = self.region.contains(points[doubtful])
        return found
