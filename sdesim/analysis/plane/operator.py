"""The generator of an SDE in the plane on the nodes of a grid, stopped in given sets."""
from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from sdesim.analysis.plane.grid import PlaneGrid, PlaneSDE, bernoulli, edge_ends, ratio_along
from sdesim.analysis.plane.sets import PlaneSet

# Rows of a generator sum to zero or less: no pivoting is needed, and a symmetric ordering fills in least.
# Shortest piece of a cut edge, as a share of the edge, and the halvings that suffice to find a box.
SLIVER, ROUGH = 1e-6, 4
UNPIVOTED: dict[str, Any] = {"diag_pivot_thresh": 0.0, "options": {"SymmetricMode": True}}


class PlaneOperator:
    """Rates between the nodes that lie in none of the sets.

    Parameters
    ----------
    sde : PlaneSDE
    grid : PlaneGrid
    sets : sequence of PlaneSet
        Disjoint sets that stop the path.
    sealed : bool
        Whether parts that nothing leaves are allowed; the edges are then cut only roughly.

    Attributes
    ----------
    alive : ndarray of int, shape (state,)
        Numbers of the nodes outside the sets.
    generator : scipy.sparse matrix, shape (state, state)
        Rates off the diagonal; rows sum to minus the rate into the sets.
    into : ndarray, shape (state, set)
        Rate into each set.
    """

    def __init__(self, sde: PlaneSDE, grid: PlaneGrid, sets: Sequence[PlaneSet], *, sealed: bool = False) -> None:
        from scipy.sparse import coo_array
        from scipy.sparse.csgraph import connected_components

        self.grid = grid
        points = grid.points().reshape(-1, 2)
        owner = np.full(len(points), -1)
        for own, contains in enumerate(sets):
            owner[contains(points)] = own
            if not (sealed or np.any(owner == own)):
                raise ValueError(
                    f"none of the {grid.shape[0]} × {grid.shape[1]} nodes lies {contains.where}: give a wider box, or "
                    "more cells"
                )
        self.owner, self.alive = owner, np.flatnonzero(owner < 0)
        number = np.full(len(points), -1)
        number[self.alive] = np.arange(self.alive.size)
        self.number = number
        into = np.zeros((len(points), len(sets)))
        rows, columns, rates = [], [], []
        edges = _edges(points, owner, grid)
        _cut(points, edges, sets, ROUGH if sealed else None)
        for pair in (edges[:2], edges[2:]):
            for e, rate in zip(pair, _rates(sde, points, pair), strict=True):
                stop = e.target >= 0
                np.add.at(into, (e.start[stop], e.target[stop]), rate[stop])
                rows.append(number[e.start[~stop]])
                columns.append(number[e.end[~stop]])
                rates.append(rate[~stop])
        self.into = into[self.alive]
        i, j, v = np.concatenate(rows), np.concatenate(columns), np.concatenate(rates)
        leaving = np.bincount(i, v, minlength=self.alive.size) + self.into.sum(axis=1)
        diagonal = np.arange(self.alive.size)
        entries = np.concatenate([v, -leaving]), (np.concatenate([i, diagonal]), np.concatenate([j, diagonal]))
        self.generator = coo_array(entries, shape=(self.alive.size,) * 2).tocsc()
        n_parts, part = connected_components(self.generator, directed=False)
        out = np.bincount(part, self.into.sum(axis=1), minlength=n_parts)
        if len(sets) and not sealed and not np.all(out > 0):
            raise ValueError("a part of the region has no boundary inside the box: nothing leaves it; widen the box")

    @cached_property
    def solve(self) -> Callable[..., np.ndarray]:
        """Solution u of -L u = right, or with trans="T" of the transposed equation."""
        from scipy.sparse.linalg import splu

        solve: Callable[..., np.ndarray] = splu(-self.generator, permc_spec="MMD_AT_PLUS_A", **UNPIVOTED).solve
        return solve

    def nearest(self, point: np.ndarray) -> int:
        """Number of the state nearest to a point; the point itself where it is a node."""
        distance = ((self.grid.points().reshape(-1, 2)[self.alive] - point) ** 2).sum(axis=1)
        return int(np.argmin(distance))

    def stationary(self) -> np.ndarray:
        """Masses of the cells in the long run, for an operator without sets; they sum to one."""
        from scipy.sparse.linalg import splu

        law, at = self._guess(), -1
        for _ in range(3):
            # The balance of one node follows from that of the others: fix its mass, best where there is most.
            peak = int(np.argmax(law))
            if peak == at:
                break
            at = peak
            keep = np.delete(np.arange(self.alive.size), at)
            balance = (-self.generator.T).tocsc()
            right = -balance[:, [at]].toarray().ravel()[keep]
            factors = splu(balance[keep][:, keep].tocsc(), permc_spec="MMD_AT_PLUS_A", **UNPIVOTED)
            law = np.insert(np.maximum(factors.solve(right), 0.0), at, 1.0)
            law /= law.sum()
        return law

    def _guess(self) -> np.ndarray:
        """Masses that balance along the middle row and then along every column; those in the long run if reversible."""
        nx, ny = self.grid.shape
        rates = self.generator.tocsr()
        numbers = np.arange(nx * ny).reshape(nx, ny)

        def ratio(a: np.ndarray, b: np.ndarray) -> np.ndarray:
            forth, back = (np.ravel(rates[i.ravel(), j.ravel()]) for i, j in ((a, b), (b, a)))
            return np.log(np.maximum(forth, 1e-300) / np.maximum(back, 1e-300)).reshape(a.shape)

        log = np.zeros((nx, ny))
        middle = ny // 2
        log[1:, middle] = np.cumsum(ratio(numbers[:-1, middle], numbers[1:, middle]))
        up = ratio(numbers[:, :-1], numbers[:, 1:])
        log[:, middle + 1 :] = log[:, [middle]] + np.cumsum(up[:, middle:], axis=1)
        log[:, :middle] = log[:, [middle]] - np.cumsum(up[:, :middle][:, ::-1], axis=1)[:, ::-1]
        return np.exp(log - log.max()).ravel()

    def slowest(self) -> tuple[np.ndarray, np.ndarray]:
        """The two slowest rates of the stopped process, and the masses of the law that decays at the first."""
        from scipy.sparse.linalg import LinearOperator, eigs

        n = self.alive.size
        inverse = LinearOperator((n, n), matvec=lambda v: self.solve(v, trans="T"), dtype=float)
        values, vectors = eigs(inverse, k=2, which="LM", v0=np.ones(n))
        order = np.argsort(-np.abs(values))
        return 1 / values[order].real, np.abs(vectors[:, order[0]].real)

    def spread(self, values: np.ndarray, stopped: Sequence[float] = ()) -> np.ndarray:
        """Values at the states as a table over the grid, with constants on the sets."""
        out = np.zeros(self.owner.size)
        for j, value in enumerate(stopped):
            out[self.owner == j] = value
        out[self.alive] = values
        return out.reshape(self.grid.shape)


@dataclass
class _Edges:
    """Edges along an axis, up or down, that start at living nodes; `target` is the set at the end, -1 for none."""

    axis: int
    upwards: bool
    start: np.ndarray
    end: np.ndarray
    length: np.ndarray
    target: np.ndarray


def _edges(points: np.ndarray, owner: np.ndarray, grid: PlaneGrid) -> list[_Edges]:
    """Upward and downward edges along x, then along y, not yet cut."""
    found = []
    for axis in (0, 1):
        low, high = edge_ends(grid, axis)
        for upwards, start, end in ((True, low, high), (False, high, low)):
            keep = owner[start] < 0
            a, b = start[keep], end[keep]
            found.append(_Edges(axis, upwards, a, b, np.abs(points[b, axis] - points[a, axis]), owner[b]))
    return found


def _cut(points: np.ndarray, edges: list[_Edges], sets: Sequence[PlaneSet], halvings: int | None) -> None:
    """Shorten the edges that end in a set to where they enter it, all edges of a set at once."""
    for own, contains in enumerate(sets):
        at = [np.flatnonzero(e.target == own) for e in edges]
        start = np.concatenate([points[e.start[k]] for e, k in zip(edges, at, strict=True)])
        way = np.concatenate([points[e.end[k]] for e, k in zip(edges, at, strict=True)]) - start
        low, high = np.zeros(len(start)), np.ones(len(start))
        for _ in range(contains.halvings if halvings is None else halvings):
            middle = 0.5 * (low + high)
            entered = contains(start + middle[:, None] * way)
            low, high = np.where(entered, low, middle), np.where(entered, middle, high)
        shares = np.split(np.maximum(0.5 * (low + high), SLIVER), np.cumsum([k.size for k in at])[:-1])
        for e, k, share in zip(edges, at, shares, strict=True):
            e.length[k] *= share


def _rates(sde: PlaneSDE, points: np.ndarray, pair: list[_Edges]) -> list[np.ndarray]:
    """Rates along the upward and the downward edges of one axis."""
    reach = np.zeros((2, len(points)))
    for side, e in enumerate(pair):
        reach[side, e.start] = e.length
    width, found = 0.5 * reach.sum(axis=0), []
    for e in pair:
        stop = points[e.start].copy()
        stop[:, e.axis] += e.length if e.upwards else -e.length
        zeta = ratio_along(sde, points[e.start], stop, e.axis)
        _, diffusion = sde(points[e.start, 0], points[e.start, 1])
        found.append(diffusion[e.axis] * bernoulli(-zeta) / (e.length * width[e.start]))
    return found
