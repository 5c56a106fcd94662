"""Mean and law of the exit time of a 1-D recursion, from the transfer operator of the killed chain.

The mean number of steps u solves u(x) = 1 + ∫_D P(x, dy) u(y) on the region D.
"""
from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from sdesim.analysis.estimate import Reference
from sdesim.analysis.recursion.grid import Span, initial_nodes
from sdesim.analysis.recursion.kernel import ChainKernel
from sdesim.analysis.recursion.operator import MIDDLE, ROUNDS, ChainOperator, corrected_error, without_noise
from sdesim.analysis.recursion.powers import perron, survival_table
from sdesim.analysis.recursion.span import killed_span
from sdesim.analysis.region_ends import inside, region_ends

# Relative rounding of a tail integral between two nodes, and hence of what follows from it.
ROUNDING = 1e-11
LOOKS = 65


@dataclass(frozen=True)
class QuasiStationaryLaw:
    """Law of a chain that has not left its region for a long time; from it the exit time is geometric.

    Attributes
    ----------
    nodes, node_mass : ndarray, shape (node,)
        States of the grid and the masses of their hat functions; they sum to one.
    survival : Reference
        Probability λ of staying for one more step.
    rate : Reference
        Rate of leaving -log(λ) / clock, per time: P(τ > t) falls like exp(-rate t).
    """

    nodes: np.ndarray
    node_mass: np.ndarray
    survival: Reference
    rate: Reference

    def density(self, x: Any) -> np.ndarray:
        """Density at `x`, interpolated between the nodes; atoms show as high values at one node."""
        padded = np.concatenate([[0.0], np.diff(self.nodes), [0.0]])
        return np.interp(x, self.nodes, self.node_mass / (0.5 * (padded[1:] + padded[:-1])), left=0.0, right=0.0)


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

        Unlike the mean it is not corrected for the grid: its time scale is accurate to about ten times `rtol`.
        """
        wanted = np.asarray(n_steps)
        if wanted.size and (wanted.min() < 0 or not np.issubdtype(wanted.dtype, np.integer)):
            raise ValueError(f"n_steps must be integers >= 0, got {n_steps!r}")
        counts = np.unique(wanted)
        table = survival_table(self.operator, self.operator.rows(np.ravel(self.x0))[0], counts)
        return table[:, np.searchsorted(counts, wanted)].reshape(self.x0.shape + wanted.shape)

    def probability(self, n_steps: Any) -> np.ndarray:
        """P(exit takes exactly `n_steps` steps), shape of x0 followed by the shape of `n_steps`.

        Divided by the clock it is the density of the exit time.
        """
        wanted = np.asarray(n_steps)
        if wanted.size and (wanted.min() < 1 or not np.issubdtype(wanted.dtype, np.integer)):
            raise ValueError(f"n_steps must be integers >= 1, got {n_steps!r}")
        both = self.survival(np.stack([wanted - 1, wanted]))
        first, second = np.moveaxis(both, self.x0.ndim, 0)
        return np.maximum(first - second, 0.0)

    def quantile(self, p: Any) -> np.ndarray:
        """Smallest number of steps within which the chain leaves with probability `p` or more.

        Parameters
        ----------
        p : float or array
            Probabilities in (0, 1).

        Returns
        -------
        ndarray of int, shape of x0 followed by the shape of `p`
        """
        levels = np.asarray(p, dtype=float)
        if levels.size and not (levels.min() > 0 and levels.max() < 1):
            raise ValueError(f"quantiles are for probabilities in (0, 1), got {p!r}")
        found = [self._quantile(i, float(q)) for i in range(self.x0.size) for q in np.ravel(levels)]
        return np.array(found, dtype=np.int64).reshape(self.x0.shape + levels.shape)

    def _quantile(self, start: int, p: float) -> int:
        """Quantile from one start, by looking at ever fewer numbers of steps at once."""
        rows = self.operator.rows(np.ravel(self.x0)[start : start + 1])[0]
        low, high = 0, max(2, int(np.ravel(self.steps)[start]))
        while survival_table(self.operator, rows, np.array([high]))[0, 0] > 1 - p:
            low, high = high, 4 * high
        while high - low > 1:
            counts = np.unique(np.linspace(low, high, LOOKS).astype(np.int64))
            alive = survival_table(self.operator, rows, counts)[0]
            first = max(1, int(np.argmax(alive <= 1 - p)))
            low, high = int(counts[first - 1]), int(counts[first])
        return high

    def quasi_stationary(self) -> QuasiStationaryLaw:
        """Law of the chain that has not left for a long time, and the rate at which it then leaves.

        Raises
        ------
        ValueError
            If two parts of the region are left equally slowly and hardly joined.
        """
        operator = self.operator
        law, visits = perron(operator, adjoint=True)
        mode, _ = perron(operator, adjoint=False)
        leaving = 1 / visits
        middles = operator.middles()
        middle = operator.middle_values(mode)
        defect, noise = without_noise(operator.rows(middles)[0] @ mode - (1 - leaving) * middle, middle)
        masses = operator.cell_masses(law) / (law @ mode)
        cells = masses * MIDDLE * defect
        exact = leaving - cells.sum()
        error = np.abs(cells).sum() + masses @ noise + ROUNDING * leaving
        clock = operator.kernel.clock
        return QuasiStationaryLaw(
            operator.states,
            law,
            Reference(1 - exact, error, self.method),
            Reference(-np.log1p(-exact) / clock, error / (1 - exact) / clock, self.method),
        )


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
        Largest grid; dense linear algebra, 3000 nodes take about three seconds.

    Returns
    -------
    ChainExitTime
        Mean in time and in steps with errors, standard deviation; `survival(n_steps)`, `probability(n_steps)`,
        `quantile(p)` and `quasi_stationary()`.

    Raises
    ------
    ValueError
        If the recursion is not one-dimensional, its noise has no usable law, x0 lies outside, or the chain
        runs far away before it exits.
    """
    kernel = ChainKernel(dynamics)
    low, high = region_ends(region)
    x = inside(x0, low, high)
    span = killed_span(kernel, np.ravel(x), low, high, domain)
    operator, steps, error = _adapt(kernel, span, np.ravel(x), rtol, max_nodes)
    rows = operator.rows(np.ravel(x))[0]
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
    nodes, before, growth = initial_nodes(kernel, span, np.empty(0)), None, 1.0
    for _ in range(ROUNDS):
        operator = ChainOperator(kernel, span, nodes)
        mean = operator.solve(np.ones(operator.states.size))
        rows = operator.rows(x)[0]
        steps = 1 + rows @ mean
        visits = operator.cell_masses(operator.solve(rows.T, adjoint=True))
        middle = operator.middle_values(mean)
        defect, noise = without_noise(1 + operator.rows(operator.middles())[0] @ mean - middle, middle)
        cells = visits * (MIDDLE * defect)[:, None]
        corrected = steps + cells.sum(axis=0)
        error = corrected_error(corrected, before, cells, steps, growth)
        if (error / steps).max() <= rtol:
            break
        finer = operator.refined((np.abs(cells) / steps).max(axis=1), rtol, max_nodes)
        if finer.size == nodes.size:
            break
        nodes, before, growth = finer, corrected, finer.size / nodes.size
    return operator, corrected, error + noise @ visits + ROUNDING * steps
