"""Excursions that the tests of splitting share, and slow, obvious code that says what must come out."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

import sdesim as sd

WELL = sd.Landscape("x**4/4 - x**2/2")
NEAR, FAR = sd.Interval(high=-1.0), sd.Interval(low=0.0)
START = -0.9


def gaussian(sigma: float, dt: float = 0.01) -> sd.EulerMaruyama:
    return sd.EulerMaruyama(sd.SDE(drift=-WELL.gradient, diffusion=sigma), dt=dt)


def lomax(scale: float) -> sd.SGD:
    return sd.SGD(WELL, 0.01, noise=sd.Pareto(1.5, scale))


UP = 0.4  # probability of a step up of the lattice walk


def lattice() -> sd.Truncated:
    """A walk on the integers: the clipped step is +1 or -1 but for one in 1e9, and up with probability UP."""
    return sd.Truncated(sd.SGD(sd.Landscape("x/5"), 1e9, noise=sd.Uniform(1.0)), 1.0)


def ruin(start: int, top: int, up: float = UP) -> float:
    """P(the walk from `start` visits `top` before 0): the gambler's ruin."""
    r = (1 - up) / up
    return (r**start - 1) / (r**top - 1)


def committor(step: Callable[[np.ndarray], np.ndarray], cdf: Callable[[np.ndarray], np.ndarray], n: int) -> float:
    """P(FAR before NEAR) from START for x⁺ = step(x) + Z, by cells of equal width, their midpoints as states."""
    edges = np.linspace(-1.0, 0.0, n + 1)
    x = np.append((edges[1:] + edges[:-1]) / 2, START)
    below = cdf(edges[None, :] - step(x)[:, None])
    inside, beyond = np.diff(below, axis=1), 1 - below[:, -1]
    h = np.linalg.solve(np.eye(n) - inside[:-1], beyond[:-1])
    return float(beyond[-1] + inside[-1] @ h)


def exact(step: Callable[[np.ndarray], np.ndarray], cdf: Callable[[np.ndarray], np.ndarray]) -> tuple[float, float]:
    """The committor, extrapolated from two grids of second order, and how far the two are apart."""
    coarse, fine = committor(step, cdf, 500), committor(step, cdf, 1000)
    return fine + (fine - coarse) / 3, abs(fine - coarse)


def splitting_of_walks(n: int, kill: int, top: int, rng: np.random.Generator, *, ties_together: bool) -> float:
    """One run of splitting of the walk from 1, written out.

    Without `ties_together` only `kill` clones die at a level and parents may be tied with it: a wrong algorithm.
    """

    def walk(path: list[int]) -> list[int]:
        while 0 < path[-1] < top:
            path.append(path[-1] + (1 if rng.random() < UP else -1))
        return path

    paths, weight = [walk([1]) for _ in range(n)], 1.0
    while True:
        heights = np.array([max(p) for p in paths])
        level = np.sort(heights)[kill - 1]
        if level >= top:
            return weight * float(np.mean(heights >= top))
        dead = np.flatnonzero(heights <= level) if ties_together else np.argsort(heights, kind="stable")[:kill]
        alive = np.setdiff1d(np.arange(n), dead)
        weight *= len(alive) / n
        if not len(alive):
            return 0.0
        for c in dead:
            parent = paths[rng.choice(alive)]
            first = next(i for i, x in enumerate(parent) if x > level or (x == level and not ties_together))
            paths[c] = walk(parent[: first + 1])
