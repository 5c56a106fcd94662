"""How gradient noise lies along the curvature: a cosine of matrices, and overlap of leading eigenspaces."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from sdesim.core.checks import count
from sdesim.problems.curvature.eigen import DENSE, Eigenvalues
from sdesim.problems.curvature.measured import Measured, check_level, exact, mean_and_error, rademacher, student
from sdesim.problems.curvature.noise import noise_forms
from sdesim.problems.curvature.operators import Operator, check_objective, hessian, noise
from sdesim.problems.curvature.smooth import check_smooth
from sdesim.problems.objective import Objective


def alignment(
    objective: Objective,
    x: Tensor | None = None,
    n_products: int = 32,
    level: float = 0.95,
    seed: int = 0,
    interval: bool = False,
) -> Any:
    r"""Cosine between Hessian and covariance of the noise, as matrices.

        tr(HΣ) / (‖H‖_F ‖Σ‖_F)    in [-1, 1]; 1 if the noise has the shape of the curvature

    At most 48 parameters: exact, from the matrices. Else each part is a mean over random vectors: uᵀHu with u of
    covariance Σ, ‖Hv‖² and ‖Σv‖² with v of random signs; the interval is that of the first-order error of the ratio.

    Parameters
    ----------
    objective : Objective
    x : tensor, shape (paths, p), optional
        Without it a function of x, for `Record`.
    n_products : int
        Random vectors for each of the three parts.
    level, seed : float, int
        Of the interval and the vectors.
    interval : bool
        With x: a `Measured` in place of the values.

    Returns
    -------
    tensor, shape (paths,), Measured, or a function of x

    References
    ----------
    Compared in Zhu, Wu, Yu, Wu and Ma, arXiv 1803.00195, by tr(HΣ) against that of isotropic noise; the cosine is ours.
    """
    check_objective(objective)
    check_smooth(objective)
    check_level(level)
    count("n_products", n_products, least=2)

    def at(x: Tensor) -> Measured:
        curved, spread = hessian(objective, x), noise(objective, x)
        if objective.dim <= DENSE:
            h, s = curved.dense(), spread.dense()
            return exact((h * s).sum((1, 2)) / (h.norm(dim=(1, 2)) * s.norm(dim=(1, 2))), "dense matrices", level)
        forms = noise_forms(objective, x, n_products, seed)
        return _cosine(forms, _squares(curved, n_products, seed), _squares(spread, n_products, seed + 1), level)

    if x is None:
        return lambda x: at(x).value
    return at(x) if interval else at(x).value


def _squares(operator: Operator, n: int, seed: int) -> Tensor:
    """‖A v‖² for n vectors of random signs, whose mean is ‖A‖_F²: shape (paths, n)."""
    signs = rademacher(n, operator.dim, operator.x, seed)
    return (operator @ signs.T.expand(operator.paths, -1, -1)).to(torch.float64).square().sum(1)


def _cosine(forms: Tensor, h_squares: Tensor, s_squares: Tensor, level: float) -> Measured:
    """a / √(b c) of three independent means, with its first-order error."""
    (a, da), (b, db), (c, dc) = (mean_and_error(part) for part in (forms, h_squares, s_squares))
    value = a / (b * c).sqrt()
    error = (da.square() / (b * c) + value.square() * ((db / b).square() + (dc / c).square()) / 4).sqrt()
    half = student(forms.shape[-1], level) * error
    n = forms.shape[-1]
    return Measured(value, value - half, value + half, level, n, "random vectors, first-order error of a ratio")


def overlap(one: Eigenvalues, other: Eigenvalues) -> Tensor:
    """Overlap of two spaces of eigenvectors, ‖UᵀV‖_F²/k, shape (paths,).

    The mean squared cosine of the principal angles: 1 for equal spaces, k/p on average for random ones.

    Raises
    ------
    ValueError
        If the numbers of vectors differ.
    """
    if one.vectors.shape != other.vectors.shape:
        raise ValueError(f"vectors of shapes {tuple(one.vectors.shape)} and {tuple(other.vectors.shape)}: use one k")
    return (one.vectors.mT @ other.vectors).square().sum((1, 2)) / one.vectors.shape[2]
