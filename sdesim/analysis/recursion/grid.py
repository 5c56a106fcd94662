"""Nodes on which functions of a 1-D chain are interpolated: finer where they turn quickly.

The mean exit time jumps where a truncated step just fails to leave (the ends of the region shifted by
multiples of b), and has layers of the width of one step at the ends, at those images and at the fixed points
of the step.
"""
from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sdesim.analysis.recursion.kernel import ChainKernel

# Two nodes this fraction of the span apart stand for the two sides of a jump.
SIDE = 1e-12
GROWTH = 0.3
FINEST = 0.5
COARSEST = 1 / 120
MAX_IMAGES = 12


@dataclass(frozen=True)
class Span:
    """States a chain is followed on: [low, high], killed beyond an end or else held at it.

    `core` is the part where it spends its time, if the span is much longer.
    """

    low: float
    high: float
    kill_low: bool = False
    kill_high: bool = False
    core: tuple[float, float] | None = None

    @property
    def side(self) -> float:
        """Distance between the nodes of the two sides of a jump."""
        return SIDE * max(self.high - self.low, abs(self.low), abs(self.high))


def fixed_points(kernel: ChainKernel, span: Span, samples: int = 4001) -> tuple[np.ndarray, np.ndarray]:
    """Sign changes of the drift: points it runs away from, and points it runs to."""
    x = _samples(kernel, span, samples)
    drift = np.sign(kernel.centre(x) - x)
    up = np.flatnonzero((drift[:-1] <= 0) & (drift[1:] > 0))
    down = np.flatnonzero((drift[:-1] >= 0) & (drift[1:] < 0))
    return _bisect(kernel, x[up], x[up + 1]), _bisect(kernel, x[down], x[down + 1])


def _samples(kernel: ChainKernel, span: Span, n: int) -> np.ndarray:
    """Sample points strictly inside the span, as many again in its core."""
    share = (np.arange(n) + 0.5) / n
    x = span.low + (span.high - span.low) * share
    if span.core is None:
        return x
    return np.sort(np.concatenate([x, span.core[0] + (span.core[1] - span.core[0]) * share]))


def _bisect(kernel: ChainKernel, left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Zeros of the drift between the two ends of each bracket."""
    if left.size == 0:
        return left
    sign = np.sign(kernel.centre(right) - right)
    for _ in range(50):
        middle = 0.5 * (left + right)
        same = np.sign(kernel.centre(middle) - middle) == sign
        left, right = np.where(same, left, middle), np.where(same, middle, right)
    return 0.5 * (left + right)


def images(kernel: ChainKernel, span: Span, jumps: np.ndarray) -> np.ndarray:
    """Pairs of nodes around every point from which a truncated step just reaches a jump of the function."""
    side, nodes = span.side, []
    for b in kernel.truncations:
        for k in range(1, MAX_IMAGES + 1):
            nodes += [jumps + k * b - side, jumps + k * b + 2 * side]
            nodes += [jumps - k * b - 2 * side, jumps - k * b + side]
    return np.concatenate(nodes) if nodes else np.empty(0)


def initial_nodes(
    kernel: ChainKernel, span: Span, jumps: np.ndarray, coarsest: float = COARSEST
) -> np.ndarray:
    """Starting grid: spacing GROWTH times the distance to the nearest special point, between two limits.

    `jumps` are the points inside the span where the wanted function itself jumps.
    """
    side, length = span.side, span.high - span.low
    ends = [end for end, kill in ((span.low, span.kill_low), (span.high, span.kill_high)) if kill]
    edges = np.concatenate([np.asarray(ends), jumps])
    pairs = np.concatenate([jumps - side, jumps + side, images(kernel, span, edges)])
    walls = np.array([p for pair in kernel.projections for p in pair if np.isfinite(p)])
    kinks = [walls] + [walls + sign * b for b in kernel.truncations for sign in (-1, 1)]
    unstable, stable = fixed_points(kernel, span)
    special = np.concatenate([[span.low, span.high], edges, pairs, *kinks, unstable, stable])
    special = _inside(special, span, 0.0)
    scale = kernel.at(np.clip(special, span.low + side, span.high - side)).scale
    finest = np.maximum(FINEST * scale, 1e-7 * length)
    fill = _graded(special, finest, span, length * coarsest)
    must = _inside(np.concatenate([pairs, *kinks]), span, 2 * side)
    return _with_ends(np.concatenate([must, fill]), span)


def _graded(special: np.ndarray, finest: np.ndarray, span: Span, coarsest: float) -> np.ndarray:
    """Nodes whose local spacing grows away from the special points."""
    order = np.argsort(special, kind="stable")
    special, finest = special[order], finest[order]
    keep = np.concatenate([[True], np.diff(special) > finest[1:] * 1e-3])
    special, finest = special[keep], finest[keep]
    pieces = [special]
    for a, b, ha, hb in zip(special[:-1], special[1:], finest[:-1], finest[1:], strict=True):
        middle = 0.5 * (a + b)
        pieces += [a + _offsets(ha, middle - a, coarsest), b - _offsets(hb, b - middle, coarsest)]
    return np.concatenate(pieces)


def _offsets(first: float, reach: float, coarsest: float) -> np.ndarray:
    """Distances from a special point up to `reach`, growing geometrically to the coarsest spacing."""
    out, at, step = [], 0.0, first
    while at + step < reach:
        at += step
        out.append(at)
        step = min(max(first, GROWTH * at), coarsest)
    return np.array([*out, reach])


def _inside(x: np.ndarray, span: Span, margin: float) -> np.ndarray:
    """Points of `x` within the span, the margin left out."""
    return x[(x >= span.low + margin) & (x <= span.high - margin)]


def _with_ends(nodes: np.ndarray, span: Span) -> np.ndarray:
    """Sorted distinct nodes with both ends; a killed end gets a second node just inside it."""
    side = span.side
    nodes = np.unique(_inside(nodes, span, 3 * side))
    nodes = nodes[np.concatenate([[True], np.diff(nodes) > 0.25 * side])]
    low = [span.low, span.low + side] if span.kill_low else [span.low]
    high = [span.high - side, span.high] if span.kill_high else [span.high]
    return np.concatenate([low, nodes, high])


def refined(nodes: np.ndarray, error: np.ndarray, target: float, room: int) -> np.ndarray:
    """Nodes with cells split so that the sum of the errors of the cells (each of third order) meets `target`.

    At most `room` nodes are added, to the worst cells first.
    """
    pieces = np.ceil(np.sqrt(np.maximum(error, 0.0) * error.size / target)).astype(int)
    pieces = np.clip(pieces, 1, 4)
    pieces[np.diff(nodes) < 1e-9 * (nodes[-1] - nodes[0])] = 1
    order = np.argsort(error)[::-1]
    allowed = np.cumsum(pieces[order] - 1) <= room
    pieces[order[~allowed]] = 1
    extra = [
        nodes[i] + (nodes[i + 1] - nodes[i]) * np.arange(1, p) / p for i, p in enumerate(pieces) if p > 1
    ]
    return np.sort(np.concatenate([nodes, *extra]))
