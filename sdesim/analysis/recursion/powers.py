"""Many steps of a killed chain at once, and the law it has after a long time without leaving."""
from __future__ import annotations

import numpy as np

from sdesim.analysis.recursion.operator import ChainOperator

DIRECT_STEPS = 256
KRYLOV = 60
PERRON_ROUNDS = 2000
PERRON_CHANGE = 1e-13


def survival_table(operator: ChainOperator, rows: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Probability of being alive after each of the sorted `counts` of steps, shape (row, count).

    `rows` are the laws after one step. The first steps are taken one by one; from there on the power of the operator
    is applied on the Krylov space of (1 - P)⁻¹, in which the slow modes converge first.
    """
    table = np.empty((rows.shape[0], counts.size))
    table[:, counts == 0] = 1.0
    v, done = np.ones(rows.shape[1]), 0
    for i in np.flatnonzero((counts > 0) & (counts <= DIRECT_STEPS)):
        v, done = _powers(operator.matrix, v, counts[i] - 1 - done), counts[i] - 1
        table[:, i] = rows @ v
    late = counts > DIRECT_STEPS
    if late.any():
        v = _powers(operator.matrix, v, DIRECT_STEPS - 1 - done)
        table[:, late] = rows @ _krylov_powers(operator, v, counts[late] - DIRECT_STEPS)
    return np.clip(table, 0.0, 1.0)


def perron(operator: ChainOperator, *, adjoint: bool) -> tuple[np.ndarray, float]:
    """Slowest mode of the killed chain, positive with sum one, and the mean number of visits it makes.

    That number is 1 / (1 - λ), λ the probability of staying alive for one more step. `adjoint`: the law of the chain
    that has not left for a long time; else its expected survival, as a function of the start.

    Raises
    ------
    ValueError
        If two modes are equally slow, so that no law is approached.
    """
    v, visits = np.full(operator.states.size, 1.0 / operator.states.size), 0.0
    for _ in range(PERRON_ROUNDS):
        w = operator.solve(v, adjoint=adjoint)
        visits = float(w.sum())
        w /= visits
        change = np.abs(w - v).sum()
        v = w
        if change < PERRON_CHANGE * len(v):
            return v, visits
    raise ValueError(
        "the chain has two modes that are nearly equally slow: its quasi-stationary law depends on the start; "
        "make the region one well"
    )


def _powers(matrix: np.ndarray, v: np.ndarray, n: int) -> np.ndarray:
    """P^n v, step by step."""
    for _ in range(n):
        v = matrix @ v
    return v


def _krylov_powers(operator: ChainOperator, v: np.ndarray, powers: np.ndarray) -> np.ndarray:
    """P^k v for each k, by Arnoldi on (1 - P)⁻¹; shape (state, power)."""
    size = min(KRYLOV, v.size)
    basis, hessenberg = np.zeros((v.size, size + 1)), np.zeros((size + 1, size))
    length = np.linalg.norm(v)
    if length < 1e-250:
        return np.zeros((v.size, powers.size))
    basis[:, 0] = v / length
    used = size
    for j in range(size):
        w = operator.solve(basis[:, j])
        scale = np.linalg.norm(w)
        for _ in range(2):
            h = basis[:, : j + 1].T @ w
            hessenberg[: j + 1, j] += h
            w = w - basis[:, : j + 1] @ h
        hessenberg[j + 1, j] = np.linalg.norm(w)
        if hessenberg[j + 1, j] <= 1e-12 * scale:
            used = j + 1
            break
        basis[:, j + 1] = w / hessenberg[j + 1, j]
    values, vectors = np.linalg.eig(hessenberg[:used, :used])
    start = np.linalg.solve(vectors, np.eye(used)[0].astype(complex))
    factors = (1 - 1 / values)[:, None] ** powers
    return length * (basis[:, :used] @ (vectors @ (start[:, None] * factors)).real)
