"""States a killed chain is followed on: infinite regions cut where the chain hardly ever goes."""
from __future__ import annotations

from typing import Any

import numpy as np

from sdesim.analysis.recursion.factors import PositiveFactors
from sdesim.analysis.recursion.grid import Span, initial_nodes
from sdesim.analysis.recursion.kernel import ChainKernel
from sdesim.analysis.recursion.operator import ChainOperator
from sdesim.analysis.recursion.sets import Sets, hitting_nodes

# Expected returns to a cut end before the exit below which cutting it changes nothing visible.
CUT = 1e-7
# Nodes this fraction of the span beyond the end of an infinite set stand for the set.
BEYOND = 1e-3
# Probability per step of being held at an end of a bounded span that stands for the whole line.
LEAK = 1e-14


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
        try:
            operator = ChainOperator(kernel, span, initial_nodes(kernel, span, np.empty(0), 1 / 40))
            visits = operator.solve(operator.rows(x)[0].T, adjoint=True).max(axis=1)
        except ValueError:  # so far out the step overflows
            if power == 1:
                raise
            break
        law = kernel.at(operator.states)
        beyond = kernel.below(law, cut_low) if np.isfinite(right) else 1 - kernel.below(law, cut_high)
        if visits @ beyond < CUT:
            return span
    raise ValueError(
        f"the chain goes beyond {far:.3g} before it exits: give domain=(low, high) to keep it in, "
        "or wrap it in Projected"
    )


def hitting_span(
    kernel: ChainKernel, x: np.ndarray, sets: Sets, domain: tuple[float, float] | None
) -> Span:
    """States the chain can reach before it visits a set, ends without a set cut where they hardly count."""
    walls = kernel.projections + ([] if domain is None else [(float(domain[0]), float(domain[1]))])
    left, right = max([-np.inf, *(a for a, _ in walls)]), min([np.inf, *(b for _, b in walls)])
    if not left < right or np.any((x < left) | (x > right)):
        raise ValueError(f"projection and domain leave ({left:g}, {right:g}): it must contain x0")
    points = np.concatenate([sets.edges, x])
    core = max(points.min(), left), min(points.max(), right)
    beyond = BEYOND * max(core[1] - core[0], float(kernel.at(x).scale.max()))
    if np.isinf(sets.intervals[0, 0]):
        left = max(left, sets.intervals[0, 1] - beyond)
    if np.isinf(sets.intervals[-1, 1]):
        right = min(right, sets.intervals[-1, 0] + beyond)
    if np.isfinite(left) and np.isfinite(right):
        return Span(left, right)
    return _cut_hitting(kernel, x, sets, (left, right), core)


def _cut_hitting(
    kernel: ChainKernel, x: np.ndarray, sets: Sets, ends: tuple[float, float], core: tuple[float, float]
) -> Span:
    """A finite span, doubled until the visits to its cut ends make less than CUT of the probability of the last set."""
    reach = max(core[1] - core[0], 4 * float(kernel.at(x).scale.max()))
    for power in range(60):
        far = 2.0**power * reach
        cut = tuple(np.where(np.isfinite(ends), ends, (core[0] - far, core[1] + far)).tolist())
        span = Span(cut[0], cut[1], core=core)
        try:
            nodes = hitting_nodes(kernel, span, sets, 1 / 40)
            operator = ChainOperator(kernel, span, nodes, sets.owners(nodes))
            h = operator.solve(operator.absorbed[:, -1])
        except ValueError:  # so far out the step overflows
            if power == 0:
                raise
            break
        rows, into = operator.rows(x)
        visits = operator.solve(rows.T, adjoint=True)
        law = kernel.at(operator.states)
        held = np.zeros(x.size)
        if np.isinf(ends[0]):
            held += h[0] * (kernel.below(law, cut[0]) @ visits)
        if np.isinf(ends[1]):
            held += h[-1] * ((1 - kernel.below(law, cut[1])) @ visits)
        if np.all(held <= CUT * (rows @ h + into[:, -1])):
            return span
    raise ValueError(
        f"the chain goes beyond {far:.3g} before it reaches a set: give domain=(low, high) to keep it in, "
        "or wrap it in Projected"
    )


def bounded_span(kernel: ChainKernel, domain: Any, cores: np.ndarray | None = None) -> tuple[Span, bool]:
    """Span of a chain that is never killed, and whether the dynamics itself projects on it.

    Without walls it is doubled around the `cores` until the chain is held at its ends with probability LEAK per step.
    """
    walls = kernel.projections
    low, high = max([-np.inf, *(a for a, _ in walls)]), min([np.inf, *(b for _, b in walls)])
    projected = bool(np.isfinite(low) and np.isfinite(high))
    if domain is not None:
        a, b = (domain.low, domain.high) if hasattr(domain, "low") else domain
        projected = projected and a <= low and b >= high
        low, high = max(low, float(a)), min(high, float(b))
    if low < high and np.isinf(high - low) and cores is not None and domain is None:
        low, high = _wide_enough(kernel, low, high, cores)
    if not (np.isfinite(low) and np.isfinite(high) and low < high):
        raise ValueError(
            f"the stationary law needs bounded states, got ({low:g}, {high:g}): give domain=(low, high)"
        )
    return Span(low, high), projected


def _wide_enough(kernel: ChainKernel, low: float, high: float, cores: np.ndarray) -> tuple[float, float]:
    """Ends outside of which the chain hardly goes, the given ones where there are none so near."""
    centre, reach = 0.5 * (cores.min() + cores.max()), 0.5 * float(np.ptp(cores))
    for power in range(1, 12):
        far = reach * 2.0 ** (power / 2)
        a, b = max(low, centre - far), min(high, centre + far)
        span = Span(a, b)
        try:
            nodes = initial_nodes(kernel, span, np.empty(0), 1 / 100)
            law = PositiveFactors(kernel.operator(kernel.at(nodes), nodes).clip(0), np.zeros(nodes.size)).stationary()
        except ValueError:
            break
        step = kernel.at(nodes)
        if law @ (kernel.below(step, a, closed=False) + 1 - kernel.below(step, b)) < LEAK:
            return a, b
    return low, high
