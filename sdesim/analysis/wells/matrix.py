"""Algebra of a generator Q: what a continuous-time Markov chain on a few wells does.

Q has the rates q_ij ≥ 0 off its diagonal and q_ii = -Σ_j q_ij. Every function takes arrays (..., well, well) and
works on all of them at once; where a matrix is not finite so is its result.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

Matrices = np.ndarray


def with_diagonal(rates: np.ndarray) -> Matrices:
    """The generator whose rates off the diagonal are these; the diagonal given is not read."""
    q = np.array(rates, dtype=float)
    i = np.arange(q.shape[-1])
    q[..., i, i] = 0.0
    q[..., i, i] = -q.sum(axis=-1)
    return q


def stationary(q: Matrices) -> np.ndarray:
    """Stationary law π of an irreducible chain, π Q = 0, shape (..., well).

    By the elimination of Grassmann, Taksar and Heyman (Oper. Res. 33, 1985), which subtracts nothing: each share
    has full relative accuracy however different the rates are.
    """
    a = np.array(q, dtype=float)
    m = a.shape[-1]
    for n in range(m - 1, 0, -1):
        with np.errstate(divide="ignore", invalid="ignore"):
            a[..., :n, n] /= a[..., n, :n].sum(axis=-1)[..., None]
        a[..., :n, :n] += a[..., :n, n, None] * a[..., n, None, :n]
    mass = np.ones(a.shape[:-1])
    for n in range(1, m):
        mass[..., n] = np.einsum("...i,...i->...", mass[..., :n], a[..., :n, n])
    return np.asarray(mass / mass.sum(axis=-1, keepdims=True))


def first_passage(q: Matrices) -> np.ndarray:
    """Mean time h_ij from well i to the first entry of well j, shape (..., well, to_well); 0 on the diagonal.

    For each j the rest solves Σ_k q_ik h_kj = -1; infinite where j may never be reached.
    """
    m = q.shape[-1]
    out = np.zeros(q.shape)
    for j in range(m):
        rest = [i for i in range(m) if i != j]
        out[..., rest, j] = _solved(q, rest, [j])[..., -1]
    return out


def committor(q: Matrices, a: Sequence[int], b: Sequence[int]) -> np.ndarray:
    """Probability, from each well, of entering a well of `b` before one of `a`, shape (..., well)."""
    rest = [i for i in range(q.shape[-1]) if i not in (*a, *b)]
    out = np.zeros(q.shape[:-1])
    out[..., list(b)] = 1.0
    if rest:
        out[..., rest] = _solved(q, rest, [*a, *b])[..., len(a) : len(a) + len(b)].sum(axis=-1)
    return out


def relaxation(q: Matrices) -> np.ndarray:
    """Relaxation times -1/Re λ of the eigenvalues of Q but the zero one, longest first, shape (..., well - 1)."""
    values = np.linalg.eigvals(q).real
    slowest = np.sort(values, axis=-1)[..., ::-1][..., 1:]
    with np.errstate(divide="ignore"):
        return np.asarray(-1.0 / slowest)


def propagator(q: Matrices, time: float) -> np.ndarray:
    """Transition matrix exp(Q time)."""
    from scipy.linalg import expm

    return np.asarray(expm(np.asarray(q, dtype=float) * time))


def watched(q: Matrices, keep: Sequence[int]) -> Matrices:
    """Generator of the chain seen only while it is in the wells `keep`: Q_kk + Q_kr (-Q_rr)^-1 Q_rk.

    Time outside is not counted (stochastic complement; Meyer, SIAM Rev. 31, 1989).
    """
    k = list(keep)
    rest = [i for i in range(q.shape[-1]) if i not in k]
    inside = q[..., k, :][..., :, k]
    if not rest:
        return inside
    landing = _solved(q, rest, k)[..., : len(k)]
    return with_diagonal(inside + q[..., k, :][..., :, rest] @ landing)


def over_finite(f: Callable[[np.ndarray], np.ndarray], q: np.ndarray) -> np.ndarray:
    """`f` of the matrices that are finite; NaN for the others."""
    flat = q.reshape(-1, *q.shape[-2:])
    good = np.isfinite(flat).all(axis=(1, 2))
    if not good.any():
        return np.full((*q.shape[:-2], *f(np.zeros((1, *q.shape[-2:]))).shape[1:]), np.nan)
    found = f(flat[good])
    out = np.full((len(flat), *found.shape[1:]), np.nan)
    out[good] = found
    return out.reshape(*q.shape[:-2], *found.shape[1:])


def _solved(q: Matrices, rest: list[int], ends: list[int]) -> np.ndarray:
    """From the wells `rest`: probability of ending in each of `ends`, and last the mean time until then.

    By elimination of one well after the other with sums of rates only, so that no small rate is lost. A well that
    has been left with no way to go makes the time infinite and its probabilities those of never ending: 0.
    """
    n, m = len(rest), len(rest) + len(ends)
    order = [*rest, *ends]
    a = np.array(q[..., rest, :][..., :, order], dtype=float)  # rates from each of rest
    index = np.arange(n)
    a[..., index, index] = 0.0
    time = np.ones(a.shape[:-1])
    with np.errstate(divide="ignore", invalid="ignore"):
        for k in range(n - 1, -1, -1):
            others = [c for c in range(m) if c < k or c >= n]
            total = a[..., k, others].sum(axis=-1)
            go = np.where(total[..., None] > 0, a[..., k, :] / total[..., None], 0.0)
            stay = np.where(total > 0, time[..., k] / total, np.inf)
            a[..., k, :], time[..., k] = go, stay
            for i in range(k):
                through = a[..., i, k].copy()
                a[..., i, others] += through[..., None] * go[..., others]
                time[..., i] += np.where(through > 0, through * stay, 0.0)
                a[..., i, k], a[..., i, i] = 0.0, 0.0
        out = np.zeros((*a.shape[:-1], len(ends) + 1))
        for k in range(n):
            earlier = a[..., k, :k]
            out[..., k, :-1] = a[..., k, n:] + np.einsum("...i,...ij->...j", earlier, out[..., :k, :-1])
            waits = np.where(earlier > 0, earlier * out[..., :k, -1], 0.0).sum(axis=-1)
            out[..., k, -1] = time[..., k] + waits
    return out
