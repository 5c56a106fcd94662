"""The step of a 1-D recursion as a matrix on a grid, for functions that are known on some sets.

Functions are piecewise linear between the nodes, so the matrix is that of a Markov chain on the nodes: it has no
negative entries, and what is found from it keeps its relative accuracy. What linear interpolation misses between the
nodes, weighted with the expected number of visits there (the adjoint solution), is the error of a wanted number: it
steers the grid and is added to the value as a correction (Becker and Rannacher 2001, dual weighted residuals).
"""
from __future__ import annotations

from functools import cached_property

import numpy as np

from sdesim.analysis.recursion.factors import PositiveFactors
from sdesim.analysis.recursion.grid import Span, refined
from sdesim.analysis.recursion.kernel import ChainKernel

ROUNDS = 8
# Share of the correction that the correction itself may be wrong by, in smooth and in kinked cells alike.
DOUBT = 0.1
# A linear interpolant is off by c(x - a)(b - x): its mean over the cell is this share of its value in the middle.
MIDDLE = 2 / 3


class ChainOperator:
    """Collocation of a chain on given nodes: matrix of the step and factors of (1 - P).

    Parameters
    ----------
    kernel : ChainKernel
        Law of the step.
    span : Span
        States, and at which ends the chain is killed; at an end without killing it is held.
    nodes : ndarray, shape (node,)
        Increasing. The end node of a killed end is outside.
    sets : ndarray of int, shape (node,), optional
        Number of the set a node is in, -1 for none. The chain stops in a set.

    Attributes
    ----------
    states : ndarray, shape (state,)
        The nodes the chain goes on from.
    matrix : ndarray, shape (state, state)
        Transition probabilities between them.
    absorbed : ndarray, shape (state, set)
        Probability of going to each of the sets; a killed end is the set 0 where none are given.
    """

    def __init__(self, kernel: ChainKernel, span: Span, nodes: np.ndarray, sets: np.ndarray | None = None) -> None:
        self.kernel, self.span, self.nodes = kernel, span, nodes
        if sets is None:
            sets = np.full(nodes.size, -1)
            sets[[i for i, kill in ((0, span.kill_low), (-1, span.kill_high)) if kill]] = 0
        self.sets = sets
        self.alive = np.flatnonzero(sets < 0)
        self.states = nodes[self.alive]
        self.cells = np.flatnonzero((sets[1:] < 0) & (sets[:-1] < 0))
        self.matrix, self.absorbed = self.rows(self.states)

    def rows(self, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """One step from each of `x`: probabilities of the states (as hat functions), and of the sets."""
        full = np.maximum(self.kernel.operator(self.kernel.at(x), self.nodes), 0.0)
        last = int(self.sets.max(initial=-1))
        into = [full[:, self.sets == j].sum(axis=1) for j in range(last + 1)]
        return full[:, self.alive], np.column_stack(into) if into else np.zeros((len(full), 0))

    @cached_property
    def factors(self) -> PositiveFactors:
        """Factors of 1 - P."""
        return PositiveFactors(self.matrix, self.absorbed.sum(axis=1))

    def solve(self, right: np.ndarray, *, adjoint: bool = False) -> np.ndarray:
        """Solution of (1 - P) u = right, or of the transposed equation."""
        return self.factors.solve(right, adjoint=adjoint)

    def cell_masses(self, masses: np.ndarray) -> np.ndarray:
        """Mass of each cell, from the masses of the hats of the states, shape (state, ...)."""
        return cell_masses(self.nodes, self.cells, self.alive, masses)

    def middles(self) -> np.ndarray:
        """Midpoints of the cells: those between two neighbouring nodes that are states."""
        return 0.5 * (self.nodes[self.cells] + self.nodes[self.cells + 1])

    def middle_values(self, values: np.ndarray) -> np.ndarray:
        """Values at the midpoints of the piecewise linear function with these values at the states."""
        at = np.searchsorted(self.alive, self.cells)
        return 0.5 * (values[at] + values[at + 1])

    def refined(self, error: np.ndarray, target: float, max_nodes: int) -> np.ndarray:
        """Nodes of a finer grid, given the errors of the cells."""
        padded = np.zeros(self.nodes.size - 1)
        padded[self.cells] = error
        return refined(self.nodes, padded, target, max(max_nodes - self.nodes.size, 0))


def without_noise(defect: np.ndarray, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Defects in the middles without those that are only rounding of the values, and the size of that rounding."""
    noise = 8 * np.finfo(float).eps * np.abs(values)
    return np.where(np.abs(defect) > noise, defect, 0.0), noise


def corrected_error(
    value: np.ndarray, before: np.ndarray | None, cells: np.ndarray, size: np.ndarray, growth: float
) -> np.ndarray:
    """Error of corrected values: what the last refinement changed, and the doubt about the correction itself.

    With E the sum of the sizes of the corrections `cells` (cell, value), relative to `size`, the correction is wrong by
    about E² of it, to second order in the interpolation, and by a share of it where a function has kinks within cells.
    The corrected values converge at least like the square of the number of nodes, which grew by `growth` since
    `before`; without an earlier grid the whole correction is in doubt.
    """
    spread = np.abs(cells).sum(axis=0)
    if before is None:
        return spread * np.maximum(spread / size, 1.0)
    change = np.abs(value - before) / max(min(growth, 2.0) ** 2 - 1, 1.0)
    return change + spread * np.maximum(spread / size, DOUBT)


def cell_masses(nodes: np.ndarray, cells: np.ndarray, alive: np.ndarray, masses: np.ndarray) -> np.ndarray:
    """Mass of the cells, numbered by their left node, from the masses of the hats of the nodes `alive`."""
    width = np.zeros(nodes.size + 1)
    width[cells + 1] = np.diff(nodes)[cells]
    around = np.maximum(width[1:] + width[:-1], np.finfo(float).tiny)[alive]
    share = np.zeros((nodes.size, *masses.shape[1:]))
    share[alive] = (masses.T / around).T
    return ((share[cells] + share[cells + 1]).T * width[cells + 1]).T
