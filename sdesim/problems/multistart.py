"""Critical points of a function of several variables by multistart, and the gradient flow between them."""
from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from sdesim.problems.critical import FARTHEST

Function = Callable[[np.ndarray], Any]
Box = tuple[tuple[float, float], ...]

STARTS_PER_DIM, ITERATIONS = 192, 120


@np.errstate(all="ignore")
def confining_box(gradient: Function, dim: int) -> Box:
    """A cube about the origin outside of which the loss rises along sampled rays.

    Raises
    ------
    ValueError
        If the loss does not rise along every ray, far from the origin.
    """
    rng = np.random.default_rng(0)
    rays = np.concatenate([np.eye(dim), -np.eye(dim), rng.standard_normal((64 * dim, dim))])
    rays /= np.linalg.norm(rays, axis=1, keepdims=True)
    radii = np.geomspace(1e-2, FARTHEST, 400)
    points = rays[:, None, :] * radii[:, None]
    outward = np.sum(gradient(points) * rays[:, None, :], axis=-1)
    # Values that over- or underflow far out say nothing.
    falling = np.any(np.isfinite(outward) & (outward < 0), axis=0)
    if falling[-1] or not np.any(outward > 0, axis=1).all():
        raise ValueError("the loss does not rise in every direction; give domain=[(low, high), ...]")
    last = np.flatnonzero(falling)[-1] + 1 if falling.any() else 0
    radius = 1.5 * float(radii[last])
    return ((-radius, radius),) * dim


def stationary_points(gradient: Function, hessian: Function, box: Box, index: int) -> np.ndarray:
    """Smooth stationary points whose Hessian has `index` negative eigenvalues, found from many starts.

    Newton's method with the signs of the eigenvalues prescribed: uphill along the `index` lowest modes,
    downhill along the others (eigenvector following; Cerjan and Miller 1981). Not complete.
    """
    low, high = np.array(box).T
    x = starts(box)
    size = 0.02 * np.linalg.norm(high - low)
    signs = np.ones(len(box))
    signs[:index] = -1
    for _ in range(ITERATIONS):
        g, h = gradient(x), hessian(x)
        sound = np.isfinite(g).all(axis=1) & np.isfinite(h).all(axis=(1, 2))
        x, g, h = x[sound], g[sound], h[sound]
        values, vectors = np.linalg.eigh(h)
        along = np.einsum("nij,ni->nj", vectors, g) / (np.maximum(np.abs(values), 1e-12) * signs)
        step = np.einsum("nij,nj->ni", vectors, along)
        length = np.linalg.norm(step, axis=1, keepdims=True)
        x = x - step * np.minimum(1.0, size / np.maximum(length, 1e-300))
        x = x[np.all((x >= low - size) & (x <= high + size), axis=1)]
    return _accepted(gradient, hessian, x, box, index)


def starts(box: Box) -> np.ndarray:
    """Evenly spread points of a box (additive recurrence with the generalised golden ratio)."""
    dim = len(box)
    ratio = 2.0
    for _ in range(60):
        ratio = (1 + ratio) ** (1 / (dim + 1))
    steps = ratio ** -np.arange(1, dim + 1)
    low, high = np.array(box).T
    return low + (high - low) * ((0.5 + np.outer(np.arange(STARTS_PER_DIM * dim), steps)) % 1)


def _accepted(gradient: Function, hessian: Function, x: np.ndarray, box: Box, index: int) -> np.ndarray:
    low, high = np.array(box).T
    x = x[np.all((x >= low) & (x <= high), axis=1)]
    g, h = gradient(x), hessian(x)
    values = np.linalg.eigvalsh(h)
    stiffness = np.abs(values).max(axis=1, initial=0.0)
    converged = np.linalg.norm(g, axis=1) <= 1e-9 * stiffness * np.linalg.norm(high - low)
    return distinct(x[converged & (np.sum(values < 0, axis=1) == index)], float(np.linalg.norm(high - low)))


def distinct(x: np.ndarray, size: float) -> np.ndarray:
    """One of each group of points closer than 1e-6 of `size`, sorted by their coordinates."""
    kept: list[np.ndarray] = []
    for point in x:
        if all(np.linalg.norm(point - other) > 1e-6 * size for other in kept):
            kept.append(point)
    return np.array(sorted(kept, key=tuple)).reshape(-1, x.shape[1])


@np.errstate(all="ignore")
def kink_minima(f: Function, kinks: Function, normals: Function, box: Box) -> np.ndarray:
    """Local minima found without derivatives of f, by compass search from many starts.

    Every other round searches along the kinks next to a point, since all directions that leave a kink may
    rise while f falls along it. Each result is checked against points on small spheres.

    Parameters
    ----------
    f : function
        Loss of points (..., d).
    kinks, normals : functions
        Expressions whose zeros are the kinks, (n, k) for points (n, d), and their gradients, (n, k, d).
    """
    rng = np.random.default_rng(1)
    low, high = np.array(box).T
    x, size, dim = starts(box), float(np.linalg.norm(high - low)), len(box)
    value, step = f(x), np.full(len(x), 0.02 * size)
    for k in range(3 * ITERATIONS):
        turned = np.linalg.qr(rng.standard_normal((dim, dim)))[0]
        sides = np.broadcast_to(np.concatenate([turned, -turned]), (len(x), 2 * dim, dim))
        sides = _along(kinks, normals, x, step, sides) if k % 2 else sides
        trials = x[:, None, :] + step[:, None, None] * sides
        values = f(trials)
        best = np.where(np.isnan(values), np.inf, values).argmin(axis=1)
        lowest = values[np.arange(len(x)), best]
        better = lowest < value
        x = np.where(better[:, None], trials[np.arange(len(x)), best], x)
        value = np.where(better, lowest, value)
        step = np.where(better, 1.5 * step, step if k % 2 == 0 else 0.5 * step)
    x = distinct(x[np.all((x > low) & (x < high), axis=1)], size)
    if not len(x):
        return x
    sphere = np.broadcast_to(_sphere(rng, dim), (len(x), 128 * dim, dim))
    radius = 1e-6 * size
    sphere = np.concatenate([sphere, _along(kinks, normals, x, np.full(len(x), radius), sphere)], axis=1)
    sphere = sphere * (np.linalg.norm(sphere, axis=-1, keepdims=True) > 0.5)
    around = f(x[:, None, None, :] + np.array([100 * radius, radius])[:, None, None] * sphere[:, None])
    return x[np.all(around >= f(x)[:, None, None], axis=(1, 2))]


def _along(
    kinks: Function, normals: Function, x: np.ndarray, reach: np.ndarray, directions: np.ndarray
) -> np.ndarray:
    """Unit directions (n, m, d) projected onto the kinks within `reach` of a point; 0 if none is left."""
    n = normals(x)
    lengths = np.linalg.norm(n, axis=-1)
    active = np.isfinite(lengths) & (lengths > 0) & (np.abs(kinks(x)) <= 2 * reach[:, None] * lengths)
    rows = np.where(active[..., None], n / lengths[..., None], 0.0)
    tangent = directions - np.einsum("nde,nme->nmd", np.linalg.pinv(rows, rcond=1e-6) @ rows, directions)
    length = np.linalg.norm(tangent, axis=-1, keepdims=True)
    return np.where(length > 1e-3, tangent / length, 0.0)


def _sphere(rng: np.random.Generator, dim: int) -> np.ndarray:
    points = rng.standard_normal((128 * dim, dim))
    return points / np.linalg.norm(points, axis=1, keepdims=True)


def capture_radii(gradient: Function, minima: np.ndarray) -> np.ndarray:
    """Radii of balls the gradient flow never leaves: (x - m) . grad f(x) > 0 at sampled points inside."""
    rng = np.random.default_rng(2)
    count, dim = minima.shape
    inside = _sphere(rng, dim) * np.linspace(0.05, 1.0, 8)[:, None, None]
    gaps = np.linalg.norm(minima[:, None] - minima, axis=-1) + np.diag(np.full(count, np.inf))
    radii = np.where(count > 1, 0.5 * gaps.min(axis=1), 1.0)
    for i, m in enumerate(minima):
        while radii[i] > 1e-9 and not np.all(np.sum(inside * gradient(m + radii[i] * inside), axis=-1) > 0):
            radii[i] *= 0.7
    return radii


def flow(
    gradient: Function, hessian: Function, minima: np.ndarray, x: np.ndarray, size: float, n_steps: int = 4000
) -> np.ndarray:
    """Index of the minimum that dx/dt = -grad f(x) reaches from each row of `x`; -1 where it reaches none.

    Exponential Rosenbrock-Euler steps: exact for a quadratic, of any stiffness. A step is kept when the
    linear model of the gradient holds to 2 % at its end.
    """
    reached = np.full(len(x), -1)
    if not len(minima):
        return reached
    radii, alive, x = capture_radii(gradient, minima), np.arange(len(x)), x.astype(float)
    h = np.full(len(x), 1e-3)
    for _ in range(n_steps):
        distance = np.linalg.norm(x[:, None] - minima, axis=-1)
        nearest = distance.argmin(axis=1)
        captured = distance[np.arange(len(x)), nearest] <= radii[nearest]
        reached[alive[captured]] = nearest[captured]
        kept = ~captured & np.isfinite(x).all(axis=1)
        x, alive, h = x[kept], alive[kept], h[kept]
        if not len(x):
            break
        x, h = _flow_step(gradient, hessian, x, h, size)
    return reached


def _flow_step(
    gradient: Function, hessian: Function, x: np.ndarray, h: np.ndarray, size: float
) -> tuple[np.ndarray, np.ndarray]:
    g, curved = gradient(x), np.nan_to_num(hessian(x), posinf=1e12, neginf=-1e12)
    values, vectors = np.linalg.eigh(curved)
    exponents = np.clip(values * h[:, None], -2.0, None)
    flat = np.abs(exponents) < 1e-8
    factors = h[:, None] * np.where(flat, 1.0, -np.expm1(-exponents) / np.where(flat, 1.0, exponents))
    change = -np.einsum("nij,nj,nkj,nk->ni", vectors, factors, vectors, g)
    predicted = g + np.einsum("nij,nj->ni", curved, change)
    scale = np.linalg.norm(g, axis=1)
    good = np.linalg.norm(gradient(x + change) - predicted, axis=1) <= 0.02 * scale
    good &= np.linalg.norm(change, axis=1) <= 0.05 * size
    # Across a kink no linear model holds; a step this short crosses it.
    good |= scale * h <= 1e-9 * size
    return np.where(good[:, None], x + change, x), np.where(good, 2.0 * h, 0.4 * h)
