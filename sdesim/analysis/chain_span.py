"""States a killed chain is followed on: infinite regions cut where the chain hardly ever goes."""
from __future__ import annotations

import numpy as np

from sdesim.analysis.chain_grid import Span, initial_nodes
from sdesim.analysis.chain_kernel import ChainKernel
from sdesim.analysis.chain_operator import ChainOperator

# Expected returns to a cut end before the exit below which cutting it changes nothing visible.
CUT = 1e-7


def killed_span(
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
        visits = operator.solve(operator.rows(x)[0].T, adjoint=True).max(axis=1)
        law = kernel.at(operator.states)
        beyond = kernel.below(law, cut_low) if np.isfinite(right) else 1 - kernel.below(law, cut_high)
        if visits @ beyond < CUT:
            return span
    raise ValueError(
        f"the chain goes beyond {far:.3g} before it exits: give domain=(low, high) to keep it in, "
        "or wrap it in Projected"
    )
