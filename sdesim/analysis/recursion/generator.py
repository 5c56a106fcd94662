"""Rates between the wells of a 1-D recursion: the chain of the core visited last.

With L_n the core that the chain visited last up to step n, the rate from well i to well j is

    q_ij = P(L_{n-1} = i, X_n in C_j) / (P(L_{n-1} = i) clock)        in the long run:

passages from i to j per time spent in i, as `Passages` counts them (milestoning; Buchete and Hummer 2008; Schütte, Noé,
Lu, Sarich and Vanden-Eijnden 2011, section 3). The state (X, L) is itself a chain. Away from the cores its law is that
of the visits after leaving core i; the solution g of its Poisson equation for a rate says how much an interpolation
error somewhere changes that rate, which steers the grid, corrects the rates and gives their error.
"""
from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from sdesim.analysis.estimate import Reference
from sdesim.analysis.recursion.factors import PositiveFactors
from sdesim.analysis.recursion.grid import Span, initial_nodes, refined
from sdesim.analysis.recursion.kernel import ChainKernel
from sdesim.analysis.recursion.operator import MIDDLE, ROUNDS, cell_masses, corrected_error
from sdesim.analysis.recursion.sets import Sets
from sdesim.analysis.recursion.span import bounded_span
from sdesim.observe.passages import Passages
from sdesim.problems.landscape import Landscape

# Rates and shares smaller than this part of the total rate, and of the time, are held to this absolute accuracy.
SMALLEST = 1e-3


@dataclass(frozen=True)
class ChainGenerator:
    """Markov chain of the wells of a recursion, from its transfer operator.

    Attributes
    ----------
    cores : ndarray, shape (well, 2)
        Ends of the core of each well.
    generator : Reference
        Rates q_ij from well i to well j, per time, shape (well, well); the diagonal makes the rows sum to zero.
    shares : Reference
        Share of the time spent in each well in the long run, shape (well,).
    holding : Reference
        Mean time until the next passage, shape (well,).
    jumps : Reference
        Probability that the next passage from i leads to j, shape (well, well); zero on the diagonal.
    n_nodes : int
        Size of the grid.
    leak : float
        Probability per step of being held at an end of the domain that is no projection: zero if the domain is wide
        enough.
    """

    cores: np.ndarray
    generator: Reference
    shares: Reference
    holding: Reference
    jumps: Reference
    n_nodes: int
    leak: float


def chain_generator(
    dynamics: Any,
    landscape: Landscape,
    core: float = 0.5,
    *,
    domain: tuple[float, float] | Any = None,
    rtol: float = 2e-3,
    max_nodes: int = 3000,
) -> ChainGenerator:
    """Exact long-run rates between the wells of a recursion in one dimension.

    Parameters
    ----------
    dynamics : EulerMaruyama or SGD, possibly inside Truncated and Projected in any order
        Noise with a symmetric law that has a density.
    landscape : Landscape
        Whose wells are watched, as by `Passages(landscape, core)`.
    core : float
        Of `Passages`.
    domain : (low, high) or Interval, optional
        States the chain is held in; found automatically for noise that stays near, when the dynamics is not projected
        on a bounded region.
    rtol : float
        Relative error at which refining the grid stops, for rates above a thousandth of the rate of leaving a well.
    max_nodes : int
        Largest grid.

    Raises
    ------
    ValueError
        If the recursion is not one-dimensional, the landscape has fewer than two wells, a core lies outside the
        domain, or no bounded domain is given where one is needed.
    """
    kernel = ChainKernel(dynamics)
    balls = Passages(landscape, core).cores()
    cores = np.array([(float(b.center[0]) - b.radius, float(b.center[0]) + b.radius) for b in balls])
    span, projected = bounded_span(kernel, domain, cores)
    outside = cores[(cores[:, 0] >= span.high) | (cores[:, 1] <= span.low)]
    if len(outside):
        raise ValueError(
            f"the core ({outside[0, 0]:g}, {outside[0, 1]:g}) lies outside the domain ({span.low:g}, {span.high:g}): "
            "widen it"
        )
    found, values, errors = _adapt(kernel, span, Sets.of(*cores.tolist()), rtol, max_nodes)
    m = len(cores)
    rates, rate_errors = (v[: m * m].reshape(m, m) / kernel.clock for v in (values, errors))
    total, total_error = rates.sum(axis=1), rate_errors.sum(axis=1)
    jumps = rates / total[:, None]
    jump_errors = (rate_errors + jumps * total_error[:, None]) / total[:, None]
    method = f"transfer operator with the core visited last, {found.nodes.size} nodes"
    return ChainGenerator(
        cores=cores,
        generator=Reference(rates - np.diag(total), rate_errors + np.diag(total_error), method),
        shares=Reference(values[m * m :], errors[m * m :], method),
        holding=Reference(1 / total, total_error / total**2, method),
        jumps=Reference(jumps, jump_errors, method),
        n_nodes=found.nodes.size,
        leak=0.0 if projected else found.leak(),
    )


class _Extended:
    """The chain (state, core visited last) on a grid; nodes between the cores are eliminated first.

    `law` (node, well) are the masses of the hats in the long run, `flux` (well, well) the passages per step.
    """

    def __init__(self, kernel: ChainKernel, span: Span, sets: Sets, nodes: np.ndarray) -> None:
        self.kernel, self.span, self.nodes = kernel, span, nodes
        self.wells = len(sets.intervals)
        owners = sets.owners(nodes)
        free, taken = np.flatnonzero(owners < 0), np.flatnonzero(owners >= 0)
        self.order = np.concatenate([free, taken])
        self.between = slice(0, free.size)
        matrix = self.rows(nodes[self.order])
        self.factors = PositiveFactors(matrix, np.zeros(nodes.size))
        self.owner = owners[taken]
        self.member = np.equal.outer(self.owner, np.arange(self.wells)).astype(float)
        law = self.factors.stationary()
        away = (law[free.size :, None] * self.member).T @ matrix[free.size :]
        visits = self.factors.solve(away[:, : free.size].T, adjoint=True, of=self.between)
        self.law = np.concatenate([visits, law[free.size :, None] * self.member])
        into = matrix[:, free.size :] @ self.member
        self.flux = self.law.T @ into
        np.fill_diagonal(self.flux, 0.0)
        self.into, self.matrix = into, matrix

    def rows(self, x: np.ndarray) -> np.ndarray:
        """One step from each of `x`: probabilities of the nodes, those between the cores first."""
        return np.maximum(self.kernel.operator(self.kernel.at(x), self.nodes), 0.0)[:, self.order]

    def leak(self) -> float:
        """Probability per step of being held at an end."""
        step = self.kernel.at(self.nodes[self.order])
        beyond = self.kernel.below(step, self.span.low, closed=False) + 1 - self.kernel.below(step, self.span.high)
        return float(self.law.sum(axis=1) @ beyond)

    def poisson(self, well: np.ndarray, weight: np.ndarray, own: np.ndarray, every: np.ndarray) -> Any:
        """Solution g of (1 - P) g = f on the chain of (x, L), one column for each function.

        f(x, l) = 1[l = well] (P(x, cores) · weight + own) + every, weight (well, function). Returns g on the nodes,
        (node, function): for l = well, and for every other l.
        """
        n = self.between.stop
        mine = (self.into[:n] @ weight) + own + every
        between = self.factors.solve(np.column_stack([mine, np.tile(every, (n, 1))]), of=self.between)
        here, other = np.split(between, 2, axis=1)
        at_well = np.equal.outer(self.owner, well)
        back = self.matrix[n:, :n]
        right = np.where(at_well, self.into[n:] @ weight + own + back @ here, back @ other) + every
        g = np.zeros((self.owner.size, well.size))
        g[:-1] = self.factors.solve(right[:-1], of=slice(n, self.nodes.size - 1))
        returned = self.factors.solve(self.matrix[:n, n:] @ g, of=self.between)
        return np.concatenate([here + returned, g]), np.concatenate([other + returned, g])


def _functions(found: _Extended) -> tuple[np.ndarray, ...]:
    """Values of the wanted numbers, and the functions whose means say how much they are off.

    First the rates per step, row by row, then the shares.
    """
    m = found.wells
    shares = found.law.sum(axis=0)
    rates = found.flux / shares[:, None]
    well = np.concatenate([np.repeat(np.arange(m), m), np.arange(m)])
    weight = np.zeros((m, m * m + m))
    pairs = [(i, j, i * m + j) for i in range(m) for j in range(m) if i != j]
    for i, j, k in pairs:
        weight[j, k] = 1 / shares[i]
    own = np.concatenate([-(rates / shares[:, None]).ravel(), np.ones(m)])
    every = np.concatenate([np.zeros(m * m), -shares])
    return np.concatenate([rates.ravel(), shares]), well, weight, own, every


def _adapt(
    kernel: ChainKernel, span: Span, sets: Sets, rtol: float, max_nodes: int
) -> tuple[_Extended, np.ndarray, np.ndarray]:
    """The chain on a grid fine enough, corrected rates per step and shares, and their errors."""
    edges = sets.edges[(sets.edges > span.low) & (sets.edges < span.high)]
    nodes, before, growth = initial_nodes(kernel, span, edges), None, 1.0
    for _ in range(ROUNDS):
        found = _Extended(kernel, span, sets, nodes)
        value, cells = _corrections(found, sets)
        m = found.wells
        total = value[: m * m].reshape(m, m).sum(axis=1)
        size = np.maximum(value, SMALLEST * np.concatenate([np.repeat(total, m), np.ones(m)]))
        corrected = value + cells.sum(axis=0)
        error = corrected_error(corrected, before, cells, size, growth)
        if (error / size).max() <= rtol:
            break
        finer = refined(nodes, (np.abs(cells) / size).max(axis=1), rtol, max(max_nodes - nodes.size, 0))
        if finer.size == nodes.size:
            break
        nodes, before, growth = finer, corrected, finer.size / nodes.size
    return found, corrected, error


def _corrections(found: _Extended, sets: Sets) -> tuple[np.ndarray, np.ndarray]:
    """The wanted numbers on the grid, and the correction of each from each cell."""
    value, well, weight, own, every = _functions(found)
    here, other = found.poisson(well, weight, own, every)
    nodes, n = found.nodes, found.between.stop
    middles = 0.5 * (nodes[1:] + nodes[:-1])
    rows = found.rows(middles)
    into = rows[:, n:] @ found.member
    inverse = np.argsort(found.order)
    all_cells = np.arange(nodes.size - 1)
    masses = cell_masses(nodes, all_cells, np.arange(nodes.size), found.law[inverse])
    owner = sets.owners(middles)
    cells = np.zeros((nodes.size - 1, well.size))
    sources = ((into @ weight + own + every, here), (np.tile(every, (middles.size, 1)), other))
    for label_is_well, (source, g) in zip((True, False), sources, strict=True):
        nodal = g[inverse]
        defect = source + rows @ g - 0.5 * (nodal[1:] + nodal[:-1])
        share = masses[:, well] if label_is_well else masses.sum(axis=1, keepdims=True) - masses[:, well]
        in_core = np.equal.outer(owner, well) if label_is_well else (owner >= 0)[:, None] & ~np.equal.outer(owner, well)
        belongs = in_core | (owner < 0)[:, None]
        cells += np.where(belongs, share * MIDDLE * defect, 0.0)
    wide = np.diff(nodes) > 4 * found.span.side
    cells[~wide] = 0.0
    return value, cells
