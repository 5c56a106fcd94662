"""How many directions a matrix has: effective rank and srank, for matrices of all paths at once."""

from __future__ import annotations

import torch
from torch import Tensor


def singular_values(matrix: Tensor) -> Tensor:
    """Singular values (..., k), largest first; NaN for a matrix that is not finite."""
    good = torch.isfinite(matrix).all(dim=-1).all(dim=-1)[..., None]
    return torch.where(good, torch.linalg.svdvals(torch.where(good[..., None], matrix, 0.0)), torch.nan)


def effective_rank(matrix: Tensor) -> Tensor:
    r"""Effective rank exp(-Σ pᵢ log pᵢ), pᵢ = σᵢ/Σσ the shares of the singular values.

    Between 1 and min(m, n): r for r equal singular values, 0 for a zero matrix.

    Parameters
    ----------
    matrix : tensor, shape (..., m, n)

    Returns
    -------
    tensor, shape (...)
        NaN for a matrix that is not finite.

    References
    ----------
    Roy and Vetterli, The effective rank: a measure of effective dimensionality, EUSIPCO 2007.

    Examples
    --------
    >>> round(float(effective_rank(torch.diag(torch.tensor([2.0, 2.0, 0.0])))), 4)
    2.0
    """
    values = singular_values(matrix)
    total = values.sum(-1, keepdim=True)
    share = values / torch.where(total > 0, total, torch.where(total == 0, 1.0, torch.nan))
    rank = torch.exp(-torch.special.xlogy(share, share).sum(-1))
    return torch.where(total[..., 0] == 0, 0.0, rank)


def srank(matrix: Tensor, delta: float = 0.01) -> Tensor:
    r"""Smallest k with σ₁ + ... + σₖ ≥ (1 - δ) Σσ; 0 for a zero matrix.

    Parameters
    ----------
    matrix : tensor, shape (..., m, n)
    delta : float
        δ, in (0, 1).

    Returns
    -------
    tensor, shape (...)
        Whole numbers in the matrix' floating type; NaN for a matrix that is not finite.

    Raises
    ------
    ValueError
        If δ is not in (0, 1).

    References
    ----------
    Kumar, Agarwal, Ghosh and Levine 2020, arXiv 2010.14498.

    Examples
    --------
    >>> srank(torch.diag(torch.tensor([98.0, 1.5, 0.5])))
    tensor(2.)
    """
    if not 0 < delta < 1:
        raise ValueError(f"delta must be in (0, 1), got {delta}")
    values = singular_values(matrix)
    sums = values.cumsum(-1)
    total = sums[..., -1:]
    short = (sums < (1 - delta) * total).sum(-1).to(values.dtype)
    rank = short + (total[..., 0] > 0)
    return torch.where(torch.isnan(total[..., 0]), torch.nan, rank)
