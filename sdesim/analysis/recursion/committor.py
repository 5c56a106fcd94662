"""Which of two sets a 1-D recursion reaches first: the committor of the discrete chain.

    h(x) = P(x, B) + ∫_D P(x, dy) h(y),      D the complement of A and B.

Tails are integrated with relative accuracy, the matrix is factored without subtraction, and the error is weighted
with the visits of the paths that count, so that a probability of 1e-12 is as accurate as one of 1/2.
"""
from __future__ import annotations

from typing import Any

import numpy as np

from sdesim.analysis.estimate import Reference
from sdesim.analysis.recursion.exit import ROUNDING
from sdesim.analysis.recursion.grid import Span
from sdesim.analysis.recursion.kernel import ChainKernel
from sdesim.analysis.recursion.operator import MIDDLE, ROUNDS, ChainOperator, corrected_error
from sdesim.analysis.recursion.sets import Sets, hitting_nodes
from sdesim.analysis.recursion.span import hitting_span
from sdesim.analysis.region_ends import inside, region_ends


def chain_committor(
    dynamics: Any,
    x0: Any,
    a: Any,
    b: Any,
    *,
    domain: tuple[float, float] | None = None,
    rtol: float = 1e-3,
    max_nodes: int = 3000,
) -> Reference:
    """Probability that a recursion in one dimension visits B before A.

    Parameters
    ----------
    dynamics : EulerMaruyama or SGD, possibly inside Truncated and Projected in any order
        Noise with a symmetric law that has a density.
    x0 : float or array
        Starting points outside both sets.
    a, b : Interval, Ball or HalfSpace, (low, high), or a list of them
        Open sets; only states after whole steps count as visits, jumps over a set are none.
    domain : (float, float), optional
        States the chain is held in where neither set ends the line; found automatically when not given.
    rtol : float
        Relative error at which refining the grid stops, whatever the size of the probability.
    max_nodes : int
        Largest grid.

    Returns
    -------
    Reference
        value ± error, of the shape of x0; the error is relative to the value even where that is 1e-12.

    Raises
    ------
    ValueError
        If the recursion is not one-dimensional, its noise has no usable law, the sets are empty or overlap, x0
        lies in one of them, or the chain runs far away before it reaches either.

    Examples
    --------
    A walk with small uniform steps reaches the high end of (0, 1) first with a probability close to its start::

        theory.chain_committor(walk, 0.3, Interval(high=0.0), Interval(low=1.0))
    """
    kernel = ChainKernel(dynamics)
    sets = Sets.of(a, b)
    x = np.asarray(x0, dtype=float)
    taken = sets.owners(x)
    if np.any(taken >= 0):
        name = "AB"[int(taken[taken >= 0].flat[0])]
        raise ValueError(f"x0={x[taken >= 0].flat[0]:g} lies in the set {name}: start outside both sets")
    span = hitting_span(kernel, np.ravel(x), sets, domain)
    operator, value, error = _adapt(kernel, span, sets, np.ravel(x), rtol, max_nodes)
    method = f"committor of the chain, {operator.nodes.size} nodes"
    return Reference(value.reshape(x.shape)[()], error.reshape(x.shape)[()], method)


def chain_exit_side(
    dynamics: Any, x0: Any, region: Any, *, rtol: float = 1e-3, max_nodes: int = 3000
) -> Reference:
    """Probability that a recursion in one dimension leaves an interval beyond its high end.

    Parameters
    ----------
    dynamics, rtol, max_nodes
        As for `chain_committor`.
    x0 : float or array
        Starting points inside the region.
    region : Interval
        With two finite ends.

    Returns
    -------
    Reference
        value ± error, of the shape of x0; beyond the low end it leaves with probability 1 - value.

    Raises
    ------
    ValueError
        As `chain_committor`, and if an end is infinite.
    """
    low, high = region_ends(region)
    if not (np.isfinite(low) and np.isfinite(high)):
        raise ValueError(f"({low:g}, {high:g}) has one end: every exit is through it; give an interval with two")
    x = inside(x0, low, high)
    return chain_committor(dynamics, x, (-np.inf, low), (high, np.inf), rtol=rtol, max_nodes=max_nodes)


def _adapt(
    kernel: ChainKernel, span: Span, sets: Sets, x: np.ndarray, rtol: float, max_nodes: int
) -> tuple[ChainOperator, np.ndarray, np.ndarray]:
    """Operator on a grid fine enough, corrected probability of B from each of `x`, and its error."""
    nodes, before, growth = hitting_nodes(kernel, span, sets), None, 1.0
    for _ in range(ROUNDS):
        operator = ChainOperator(kernel, span, nodes, sets.owners(nodes))
        h = operator.solve(operator.absorbed[:, 1])
        rows, into = operator.rows(x)
        value = rows @ h + into[:, 1]
        size = np.maximum(value, np.finfo(float).tiny)
        visits = operator.cell_masses(operator.solve(rows.T, adjoint=True))
        rows, into = operator.rows(operator.middles())
        cells = visits * (MIDDLE * (rows @ h + into[:, 1] - operator.middle_values(h)))[:, None]
        corrected = value + cells.sum(axis=0)
        error = corrected_error(corrected, before, cells, size, growth)
        if (error / size).max() <= rtol:
            break
        finer = operator.refined((np.abs(cells) / size).max(axis=1), rtol, max_nodes)
        if finer.size == nodes.size:
            break
        nodes, before, growth = finer, corrected, finer.size / nodes.size
    return operator, corrected, error + ROUNDING * value
