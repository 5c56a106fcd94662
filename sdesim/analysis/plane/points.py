"""Values between the nodes of a rectangular grid."""
from __future__ import annotations

import numpy as np

from sdesim.analysis.plane.operator import PlaneOperator


def at_points(operator: PlaneOperator, table: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Values of a table over the grid at points: cubic where all sixteen nodes around are states, else bilinear."""
    alive = (operator.owner < 0).reshape(operator.grid.shape)
    out = np.empty(len(points))
    for k, point in enumerate(points):
        for width in (4, 2):
            parts = [_stencil(nodes, x, width) for nodes, x in zip(operator.grid.axes, point, strict=True)]
            block = np.ix_(parts[0][0], parts[1][0])
            weights = np.outer(parts[0][1], parts[1][1])
            if width == 2 or np.all(alive[block] | (weights == 0)):
                out[k] = (weights * table[block]).sum()
                break
    return out


def _stencil(nodes: np.ndarray, x: float, width: int) -> tuple[np.ndarray, np.ndarray]:
    """Numbers of the nodes around a point and the weights of Lagrange's polynomial through them."""
    left = int(np.clip(np.searchsorted(nodes, x, side="right") - width // 2, 0, nodes.size - width))
    near = nodes[left : left + width]
    weights = [np.prod([(x - b) / (a - b) for b in near if b != a]) for a in near]
    return np.arange(left, left + width), np.array(weights)
