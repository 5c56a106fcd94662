"""The chain of wells that few large jumps make: heavy-tailed recursions, truncated or not.

A well whose edges are at least r away is left by l* = ⌈r/b⌉ jumps when no step is longer than b, by one without
truncation. Between the jumps the recursion goes downhill without noise. To leading order the rate per step from the
minimum m_i into basin j is that of l* such jumps,

    q_ij = R_l*(m_i),   R_1(x) = P(x⁺ in basin j),   R_l(x) = E V_(l-1)(x⁺),   V_l(x) = Σ_k S_k R_l(c^k(x)),

c the step without noise, S_k the probability that none of the k steps before has left. For an index α > 1 this is of
order η^(1 + l* (α - 1)) (Wang and Rhee, arXiv 2307.03479; untruncated: Imkeller and Pavlyukevich, Stoch. Proc. Appl.
116, 2006). Left out is the noise around and between the jumps. It spreads a path at rest by w = s n^(1/α), s the scale
of a step's noise and n the steps in which a well forgets, so w ∝ η^(1 - 1/α); the share of the rate that this moves is
of order l* α w / (r - (l* - 1) b), the last the shortest jump that helps.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np

from sdesim.analysis.recursion.kernel import ChainKernel

# Nodes of the finest grid: a learning rate takes 1/η steps downhill, and V jumps between each two of them; where they
# are many it is smooth. For three jumps and more a matrix over all nodes is needed.
NODES, MOST, MOST_SQUARE = 400, 4000, 1000
PER_RATE = 80_000
SHARES = (1.0, 0.71, 0.53)  # of them in the grids that give the error: no common cells
LONGEST = 200_000  # steps downhill after which a start that has not come to rest is given up
GONE = 1e-12  # survival below which the rest of a way downhill is left out
ROUNDING = 1e-13  # of the largest: a rate below is none


def jump_rates(
    kernel: ChainKernel, minimum: float, well: int, basins: list[tuple[float, float]], jumps: int
) -> tuple[np.ndarray, float]:
    """Probability per step of entering each basin from `minimum` by `jumps` jumps, and its numerical error.

    Parameters
    ----------
    kernel : ChainKernel
        Law of one step.
    minimum : float
    well : int
        The basin that the minimum is in.
    basins : list of (low, high)
    jumps : int
        l*, the fewest that lead outside.

    Returns
    -------
    rates : ndarray, shape (basin,); 0 for the well itself
    error : float
        Largest difference between three grids; rounding for one jump.
    """
    if jumps == 1:
        rates = _into(kernel, np.array([minimum]), well, basins)[0]
        return rates, 1e-14
    n = int(np.clip(PER_RATE * kernel.clock, NODES, MOST if jumps == 2 else MOST_SQUARE))
    found = np.array([_rates(kernel, minimum, well, basins, jumps, int(share * n)) for share in SHARES])
    return found[0], float(np.ptp(found, axis=0).max())


def _into(kernel: ChainKernel, x: np.ndarray, well: int, basins: list[tuple[float, float]]) -> np.ndarray:
    """Probability that the next step from each of `x` lands in each basin but `well`, shape (state, basin)."""
    law = kernel.at(x)
    out = np.zeros((x.size, len(basins)))
    for j, (low, high) in enumerate(basins):
        if j != well:
            out[:, j] = kernel.below(law, high, closed=False) - kernel.below(law, low)
    return np.clip(out, 0.0, 1.0)


def _rates(
    kernel: ChainKernel, minimum: float, well: int, basins: list[tuple[float, float]], jumps: int, n: int
) -> np.ndarray:
    (low, high), reach = basins[well], jumps * min(kernel.truncations)
    for wall_low, wall_high in kernel.projections:
        low, high = max(low, wall_low), min(high, wall_high)
    nodes = np.linspace(max(low, minimum - reach), min(high, minimum + reach), n)
    inside = nodes[1:-1]
    start = np.array([minimum]) if jumps == 2 else np.append(inside, minimum)
    matrix = kernel.operator(kernel.at(start), nodes)[:, 1:-1]
    values = _summed(kernel, inside, lambda x: _into(kernel, x, well, basins))
    for _ in range(jumps - 2):
        rates = matrix[:-1] @ values
        rates[rates < ROUNDING * rates.max(initial=0.0)] = 0.0
        values = _summed(kernel, inside, partial(_interpolated, nodes=inside, values=rates))
    return np.asarray(np.clip(matrix[-1] @ values, 0.0, 1.0))


def downhill(kernel: ChainKernel, x: np.ndarray) -> np.ndarray:
    """One step without noise from each of `x`, cut and projected as the recursion is."""
    law = kernel.at(x)
    return np.clip(law.centre, law.low, law.high)


def _summed(kernel: ChainKernel, start: np.ndarray, rates: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    """V(x) = Σ_k S_k R(c^k(x)) at each of `start`, until R or the survival S is 0."""
    x, survival, active = start.copy(), np.ones(start.size), np.arange(start.size)
    out: np.ndarray | None = None
    for _ in range(LONGEST):
        r = rates(x[active])
        out = np.zeros((start.size, r.shape[1])) if out is None else out
        out[active] += survival[active, None] * r
        total = r.sum(axis=1)
        survival[active] *= np.clip(1 - total, 0.0, 1.0)
        active = active[(total > 0) & (survival[active] > GONE)]
        if not active.size:
            return out
        x[active] = downhill(kernel, x[active])
    raise ValueError(
        f"from x={start[active[0]]:.4g} the noiseless recursion stays within one jump of an edge for {LONGEST} steps: "
        "its well is no basin of the recursion, take a smaller learning rate"
    )


def _interpolated(x: np.ndarray, nodes: np.ndarray, values: np.ndarray) -> np.ndarray:
    return np.stack([np.interp(x, nodes, v) for v in values.T], axis=1)
