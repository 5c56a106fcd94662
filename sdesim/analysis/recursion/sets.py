"""Sets that stop a 1-D chain, and a grid with nodes on both sides of their ends."""
from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from sdesim.analysis.recursion.grid import COARSEST, Span, initial_nodes
from sdesim.analysis.recursion.kernel import ChainKernel
from sdesim.analysis.region_ends import interval_ends


@dataclass(frozen=True)
class Sets:
    """Disjoint open intervals that stop a chain, each with the number of the set it belongs to."""

    intervals: np.ndarray
    owner: np.ndarray

    @classmethod
    def of(cls, *sets: Any) -> Sets:
        """From regions or (low, high) pairs, or lists of them.

        Raises
        ------
        ValueError
            If an interval is empty or two of them overlap.
        """
        pieces = [(interval_ends(piece), j) for j, one in enumerate(sets) for piece in _pieces(one)]
        pieces.sort()
        for (left, _), (right, _) in pairwise(pieces):
            if left[1] > right[0]:
                raise ValueError(
                    f"the sets overlap: ({left[0]:g}, {left[1]:g}) and ({right[0]:g}, {right[1]:g}); make them disjoint"
                )
        return cls(np.array([ends for ends, _ in pieces]), np.array([j for _, j in pieces]))

    def owners(self, x: np.ndarray) -> np.ndarray:
        """Number of the set each point is in, -1 for none."""
        found = np.full(np.shape(x), -1)
        for (low, high), j in zip(self.intervals, self.owner, strict=True):
            found[(x > low) & (x < high)] = j
        return found

    @property
    def edges(self) -> np.ndarray:
        """The finite ends."""
        ends = np.unique(self.intervals)
        return ends[np.isfinite(ends)]


def _pieces(one: Any) -> list[Any]:
    """The intervals of a set: a list of regions or pairs, or one of them."""
    if isinstance(one, list | tuple) and not all(np.isscalar(end) for end in one):
        return list(one)
    return [one]


def hitting_nodes(kernel: ChainKernel, span: Span, sets: Sets, coarsest: float = COARSEST) -> np.ndarray:
    """Starting grid with nodes on both sides of every end of a set, and none further inside the sets."""
    edges = sets.edges[(sets.edges > span.low) & (sets.edges < span.high)]
    nodes = initial_nodes(kernel, span, edges, coarsest)
    inner = np.zeros(nodes.size, dtype=bool)
    for low, high in sets.intervals:
        inner |= (nodes > low + 2 * span.side) & (nodes < high - 2 * span.side)
    inner[[0, -1]] = False
    return nodes[~inner]
