"""Mean and law of the exit time of a 1-D recursion, from the transfer operator of the killed chain.

    u(x) = 1 + ∫_D P(x, dy) u(y)      for the mean number of steps u,

solved by collocation with piecewise linear functions. What linear interpolation misses between the nodes,
weighted with the expected number of visits there (the adjoint solution), is the error of u(x0): it steers the
grid, it is added to the value as a correction, and its size is the error that is stated (Becker and Rannacher
2001, dual weighted residuals).
"""
from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from sdesim.analysis.chain_grid import Span, initial_nodes, refined
from sdesim.analysis.chain_kernel import ChainKernel
from sdesim.analysis.estimate import Reference
from sdesim.analysis.region_ends import inside, region_ends

ROUNDS = 8
# Expected returns to a cut end before the exit below which cutting it changes nothing visible.
CUT = 1e-7
DIRECT_STEPS = 256
KRYLOV = 60


class ChainOperator:
    """Collocation of a chain on given nodes: matrix of the step and factors of (1 - P).

    Parameters
    ----------
    kernel : ChainKernel
        Law of the step.
    span : Span
        States, and at which ends the chain is killed; at an end without killing it is held.
    nodes : ndarray, shape (node,)
        Increasing; the end node of a killed end carries the value zero.
    """

    def __init__(self, kernel: ChainKernel, span: Span, nodes: np.ndarray) -> None:
        self.kernel, self.span, self.nodes = kernel, span, nodes
        self._alive = slice(int(span.kill_low), nodes.size - int(span.kill_high))
        self.states = nodes[self._alive]
        self.matrix = self.rows(self.states)
        self._factors: Any = None

    def rows(self, x: np.ndarray) -> np.ndarray:
        """Matrix that takes values at the states to their mean after one step from each of `x`."""
        return self.kernel.operator(self.kernel.at(x), self.nodes)[:, self._alive]

    def solve(self, right: np.ndarray, *, adjoint: bool = False) -> np.ndarray:
        """Solution of (1 - P) u = right, or of the transposed equation."""
        from scipy.linalg import lu_factor, lu_solve

        if self._factors is None:
            self._factors = lu_factor(np.eye(self.states.size) - self.matrix)
        return lu_solve(self._factors, right, trans=int(adjoint))

    def cell_masses(self, masses: np.ndarray) -> np.ndarray:
        """Mass of each cell between neighbouring states, from the masses of the hats, shape (state, ...)."""
        width = np.diff(self.states)
        padded = np.concatenate([[0.0], width, [0.0]])
        share = (masses.T / (padded[1:] + padded[:-1])).T
        return ((share[1:] + share[:-1]).T * width).T

    def middles(self) -> np.ndarray:
        """Midpoints of the cells."""
        return 0.5 * (self.states[1:] + self.states[:-1])

    def refined(self, error: np.ndarray, target: float, max_nodes: int) -> np.ndarray:
        """Nodes of a finer grid, given the errors of the cells between states."""
        padded = np.zeros(self.nodes.size - 1)
        start = int(self.span.kill_low)
        padded[start : start + error.size] = error
        return refined(self.nodes, padded, target, max(max_nodes - self.nodes.size, 0))


@dataclass(frozen=True, repr=False)
class ChainExitTime(Reference):
    """Exit time of a 1-D recursion: `value` ± `error` is its mean in time, `steps` ± `steps_error` in steps.

    Attributes
    ----------
    steps, steps_error : float or ndarray
        Mean number of steps, the step that leaves included.
    std : float or ndarray
        Standard deviation of the exit time, in time.
    n_nodes : int
        Size of the grid.
    """

    steps: Any
    steps_error: Any
    std: Any
    n_nodes: int
    x0: np.ndarray
    operator: ChainOperator = field(repr=False)

    def survival(self, n_steps: Any) -> np.ndarray:
        """P(exit takes more than `n_steps` steps), shape of x0 followed by the shape of `n_steps`.

        The first steps are taken one by one; from there on the power of the operator is applied on the Krylov
        space of (1 - P)⁻¹, in which the slow modes converge first.
        """
        wanted = np.asarray(n_steps)
        if wanted.size and (wanted.min() < 0 or not np.issubdtype(wanted.dtype, np.integer)):
            raise ValueError(f"n_steps must be integers >= 0, got {n_steps!r}")
        counts = np.unique(wanted)
        rows = self.operator.rows(np.ravel(self.x0))
        table = np.empty((rows.shape[0], counts.size))
        table[:, counts == 0] = 1.0
        v, done = np.ones(rows.shape[1]), 0
        for i in np.flatnonzero((counts > 0) & (counts <= DIRECT_STEPS)):
            v, done = _powers(self.operator.matrix, v, counts[i] - 1 - done), counts[i] - 1
            table[:, i] = rows @ v
        late = counts > DIRECT_STEPS
        if late.any():
            v = _powers(self.operator.matrix, v, DIRECT_STEPS - 1 - done)
            table[:, late] = rows @ _krylov_powers(self.operator, v, counts[late] - DIRECT_STEPS)
        out = np.clip(table[:, np.searchsorted(counts, wanted)], 0.0, 1.0)
        return out.reshape(self.x0.shape + wanted.shape)


def _powers(matrix: np.ndarray, v: np.ndarray, n: int) -> np.ndarray:
    """P^n v, step by step."""
    for _ in range(n):
        v = matrix @ v
    return v


def _krylov_powers(operator: ChainOperator, v: np.ndarray, powers: np.ndarray) -> np.ndarray:
    """P^k v for each k, by Arnoldi on (1 - P)⁻¹; shape (state, power)."""
    size = min(KRYLOV, v.size)
    basis, hessenberg = np.zeros((v.size, size + 1)), np.zeros((size + 1, size))
    length = np.linalg.norm(v)
    if length < 1e-250:
        return np.zeros((v.size, powers.size))
    basis[:, 0] = v / length
    used = size
    for j in range(size):
        w = operator.solve(basis[:, j])
        scale = np.linalg.norm(w)
        for _ in range(2):
            h = basis[:, : j + 1].T @ w
            hessenberg[: j + 1, j] += h
            w = w - basis[:, : j + 1] @ h
        hessenberg[j + 1, j] = np.linalg.norm(w)
        if hessenberg[j + 1, j] <= 1e-12 * scale:
            used = j + 1
            break
        basis[:, j + 1] = w / hessenberg[j + 1, j]
    values, vectors = np.linalg.eig(hessenberg[:used, :used])
    start = np.linalg.solve(vectors, np.eye(used)[0].astype(complex))
    factors = (1 - 1 / values)[:, None] ** powers
    return length * (basis[:, :used] @ (vectors @ (start[:, None] * factors)).real)


def chain_exit_time(
    dynamics: Any,
    x0: Any,
    region: Any,
    *,
    domain: tuple[float, float] | None = None,
    rtol: float = 2e-4,
    max_nodes: int = 3000,
) -> ChainExitTime:
    """Exit time of a recursion in one dimension, exact up to the stated numerical error.

    Parameters
    ----------
    dynamics : EulerMaruyama or SGD, possibly inside Truncated and Projected in any order
        Noise with a symmetric law that has a density.
    x0 : float or array
        Starting points inside the region.
    region : Interval
        The chain is watched after every step; the first state outside ends it.
    domain : (float, float), optional
        States the chain is held in where the region is infinite; found automatically when not given.
    rtol : float
        Relative error at which refining the grid stops.
    max_nodes : int
        Largest grid; dense linear algebra, 3000 nodes take about two seconds.

    Returns
    -------
    ChainExitTime
        Mean in time and in steps with errors, standard deviation, and `survival(n_steps)`.

    Raises
    ------
    ValueError
        If the recursion is not one-dimensional, its noise has no usable law, x0 lies outside, or the chain
        runs far away before it exits.
    """
    kernel = ChainKernel(dynamics)
    low, high = region_ends(region)
    x = inside(x0, low, high)
    span = _span(kernel, np.ravel(x), low, high, domain)
    operator, steps, error = _adapt(kernel, span, np.ravel(x), rtol, max_nodes)
    rows = operator.rows(np.ravel(x))
    mean = operator.solve(np.ones(operator.states.size))
    second = operator.solve(2 * mean - 1)
    square = 1 + rows @ (2 * mean + second)
    std = np.sqrt(np.maximum(square - (1 + rows @ mean) ** 2, 0.0))

    def shape(values: np.ndarray) -> Any:
        return values.reshape(x.shape)[()]

    return ChainExitTime(
        value=shape(steps) * kernel.clock,
        error=shape(error) * kernel.clock,
        method=f"transfer operator of the killed chain, {operator.states.size} nodes",
        steps=shape(steps),
        steps_error=shape(error),
        std=shape(std) * kernel.clock,
        n_nodes=operator.states.size,
        x0=x,
        operator=operator,
    )


def _adapt(
    kernel: ChainKernel, span: Span, x: np.ndarray, rtol: float, max_nodes: int
) -> tuple[ChainOperator, np.ndarray, np.ndarray]:
    """Operator on a grid fine enough, corrected mean number of steps from each of `x`, and its error."""
    nodes = initial_nodes(kernel, span, np.empty(0))
    for _ in range(ROUNDS):
        operator = ChainOperator(kernel, span, nodes)
        mean = operator.solve(np.ones(operator.states.size))
        rows = operator.rows(x)
        steps = 1 + rows @ mean
        visits = operator.cell_masses(operator.solve(rows.T, adjoint=True))
        defect = 1 + operator.rows(operator.middles()) @ mean - 0.5 * (mean[1:] + mean[:-1])
        cells = visits * (2 / 3 * defect)[:, None]
        error = np.abs(cells).sum(axis=0)
        relative = (error / steps).max()
        if relative <= rtol:
            break
        finer = operator.refined((np.abs(cells) / steps).max(axis=1), rtol / 2, max_nodes)
        if finer.size == nodes.size:
            break
        nodes = finer
    rounding = np.finfo(float).eps * steps * mean.max()
    return operator, steps + cells.sum(axis=0), error + rounding


def _span(
    kernel: ChainKernel, x: np.ndarray, low: float, high: float, domain: tuple[float, float] | None
) -> Span:
    """States the chain can reach before it leaves, infinite ends cut where they are hardly ever reached."""
    walls = kernel.projections + ([] if domain is None else [(float(domain[0]), float(domain[1]))])
    left = max([low, *(a for a, _ in walls)])
    right = min([high, *(b for _, b in walls)])
    if not left < right or np.any((x < left) | (x > right)):
        raise ValueError(
            f"projection and domain leave ({left:g}, {right:g}) of the region ({low:g}, {high:g}): "
            "it must contain x0"
        )
    if np.isfinite(left) and np.isfinite(right):
        return Span(left, right, left == low, right == high)
    return _cut(kernel, x, left, right, (left == low, right == high))


def _cut(kernel: ChainKernel, x: np.ndarray, left: float, right: float, kill: tuple[bool, bool]) -> Span:
    """A finite span, doubled until the chain is held at its cut end less than CUT times before it exits."""
    finite = left if np.isfinite(left) else right
    reach = max(np.abs(x - finite).max(), 4 * float(kernel.at(x).scale.max()))
    core = (finite, finite + 2 * reach) if np.isfinite(left) else (finite - 2 * reach, finite)
    for power in range(1, 60):
        far = 2.0**power * reach
        cut_low, cut_high = (left, left + far) if np.isfinite(left) else (right - far, right)
        span = Span(
            cut_low, cut_high, kill[0] and np.isfinite(left), kill[1] and np.isfinite(right), core
        )
        operator = ChainOperator(kernel, span, initial_nodes(kernel, span, np.empty(0), 1 / 40))
        visits = operator.solve(operator.rows(x).T, adjoint=True).max(axis=1)
        law = kernel.at(operator.states)
        beyond = kernel.below(law, cut_low) if np.isfinite(right) else 1 - kernel.below(law, cut_high)
        if visits @ beyond < CUT:
            return span
    raise ValueError(
        f"the chain goes beyond {far:.3g} before it exits: give domain=(low, high) to keep it in, "
        "or wrap it in Projected"
    )
