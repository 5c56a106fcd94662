"""Factors of 1 - P for a finite Markov chain that may leave, found without a subtraction.

Gaussian elimination loses every digit of a small probability when it takes the diagonal 1 - P_kk as it comes. Here
the diagonal is the sum of what else can happen from the state (Grassmann, Taksar and Heyman 1985), so that all
numbers are sums, products and quotients of positive ones, and solutions with a positive right side are accurate to
rounding in every component, however small (O'Cinneide 1993).
"""
from __future__ import annotations

import numpy as np

BLOCK = 48


class PositiveFactors:
    """LU factors of 1 - P; state k is eliminated before state k + 1.

    Parameters
    ----------
    matrix : ndarray, shape (state, state)
        Transition probabilities, none negative; the diagonal is not looked at.
    leaving : ndarray, shape (state,)
        Probability of leaving all states. Where it is zero for all of them the chain is closed: its last pivot is
        then zero, and `solve` works on the states before the last.

    Raises
    ------
    ValueError
        If from some state neither a later one nor an exit can be reached.
    """

    def __init__(self, matrix: np.ndarray, leaving: np.ndarray) -> None:
        from scipy.linalg import solve_triangular

        n = leaving.size
        work = np.column_stack([matrix, leaving])
        for first in range(0, n, BLOCK):
            last = min(first + BLOCK, n)
            pivots = _eliminate(work[first:last], first, n)
            upper = np.diag(pivots) - np.triu(work[first:last, first:last], 1)
            if last < n:
                below = solve_triangular(upper, work[last:, first:last].T, trans="T").T
                work[last:, last:] += below @ work[first:last, last:]
                work[last:, first:last] = below
            np.fill_diagonal(work[first:last, first:last], -pivots)
        self.lu = -work[:, :n]

    def solve(self, right: np.ndarray, *, adjoint: bool = False, of: slice = slice(None)) -> np.ndarray:
        """Solution of (1 - P) u = right, or of the transposed equation, shape of `right`.

        `of` is a run of states: the first ones (the chain stopped when it leaves them), or, from some state on, the
        chain watched only there.
        """
        from scipy.linalg import lu_solve

        block = self.lu[of, of]
        return lu_solve((block, np.arange(len(block))), right, trans=int(adjoint))

    def stationary(self) -> np.ndarray:
        """Stationary law of the closed chain, shape (state,); small masses are as accurate as large ones."""
        from scipy.linalg import solve_triangular

        end = np.zeros(len(self.lu))
        end[-1] = 1.0
        law = solve_triangular(self.lu, end, trans="T", lower=True, unit_diagonal=True)
        return law / law.sum()


def _eliminate(rows: np.ndarray, first: int, n: int) -> np.ndarray:
    """Eliminate the states first, first + 1, … within their own rows, in place; their pivots."""
    pivots = np.empty(len(rows))
    for i, row in enumerate(rows):
        k = first + i
        pivots[i] = row[k + 1 :].sum()
        if not pivots[i] > 0 and k < n - 1:
            raise ValueError(
                "the chain has a state that it never leaves in double precision: give domain=(low, high) closer "
                "to where it goes, or more noise"
            )
        if i + 1 < len(rows):
            rows[i + 1 :, k] /= pivots[i]
            rows[i + 1 :, k + 1 :] += rows[i + 1 :, k, None] * row[k + 1 :]
    return pivots
