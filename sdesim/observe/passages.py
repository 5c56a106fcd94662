"""Passages between the wells of a landscape, by core sets."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from sdesim.core.checks import count, positive
from sdesim.observe.regions import Ball
from sdesim.observe.step import Step
from sdesim.problems.landscape import Landscape


@dataclass(frozen=True)
class Passages:
    """The well a path is in, when it changes, and for how long it stays.

    A path is in the well whose core it visited last (milestoning; Buchete and Hummer 2008), so that recrossings of an
    edge are not counted as passages. The core of a well is the ball around its minimum that reaches `core` times the
    way to the nearest edge (1-D) or saddle. Time before the first core is counted for no well.

    Parameters
    ----------
    landscape : Landscape
        With at least two wells.
    core : float
        In (0, 1]; 1 lets cores touch the edges.
    capacity : int
        Passages kept with time and well for each path; all of them are counted.
    """

    landscape: Landscape
    core: float = 0.5
    capacity: int = 16
    structure = ("core", "capacity")

    def __post_init__(self) -> None:
        if not isinstance(self.landscape, Landscape):
            raise TypeError(f"Passages needs a Landscape, got {type(self.landscape).__name__}")
        positive("core", self.core, upper=1.0)
        count("capacity", self.capacity, least=1)

    def cores(self) -> list[Ball]:
        """The core of each well, in the order of landscape.minima."""
        minima = np.asarray(self.landscape.minima, dtype=float).reshape(-1, self.landscape.dim)
        if len(minima) < 2:
            raise ValueError(f"Passages needs at least two wells, {self.landscape.expr} has {len(minima)}")
        if self.landscape.dim == 1:
            edges = np.asarray(self.landscape.basins, dtype=float)
            reach = np.abs(edges - minima).min(axis=1)
        else:
            saddles = np.asarray(self.landscape.saddles, dtype=float)
            reach = np.linalg.norm(minima[:, None] - saddles[None], axis=2).min(axis=1)
        return [Ball(m, self.core * float(r)) for m, r in zip(minima, reach, strict=True)]

    def init(self, n: int, dynamics: Any) -> dict[str, Any]:
        """Accumulators for n paths; times are in steps."""
        cores = self.cores()
        m = len(cores)
        return {
            "cores": cores,
            "well": np.full(n, -1),
            "since": np.zeros(n, dtype=np.int64),
            "occupancy": np.zeros((n, m), dtype=np.int64),
            "transitions": np.zeros((n, m, m), dtype=np.int64),
            "count": np.zeros(n, dtype=np.int64),
            "step": np.full((n, self.capacity), -1, dtype=np.int64),
            "to": np.full((n, self.capacity), -1),
        }

    def update(self, acc: dict[str, Any], step: Step) -> None:
        """Move each path to the well whose core it is in."""
        here = np.full(len(step.rows), -1)
        for j in reversed(range(len(acc["cores"]))):
            here[acc["cores"][j].contains(step.x1)] = j
        well = acc["well"][step.rows]
        for i in np.flatnonzero((here >= 0) & (here != well)):
            self._pass(acc, step.rows[i], well[i], here[i], step.k)

    def _pass(self, acc: dict[str, Any], row: int, old: int, new: int, k: int) -> None:
        if old >= 0:
            acc["occupancy"][row, old] += k - acc["since"][row]
            acc["transitions"][row, old, new] += 1
            n = acc["count"][row]
            if n < self.capacity:
                acc["step"][row, n], acc["to"][row, n] = k, new
            acc["count"][row] += 1
        acc["well"][row], acc["since"][row] = new, k

    def finish(self, acc: dict[str, Any], n_steps: np.ndarray) -> None:
        """Count the time in the last well up to the end of each path."""
        inside = np.flatnonzero(acc["well"] >= 0)
        acc["occupancy"][inside, acc["well"][inside]] += (n_steps - acc["since"])[inside]
