"""Traces of operators from products with random vectors."""

from __future__ import annotations

import torch

from sdesim.core.checks import count, near
from sdesim.problems.curvature.measured import Measured, check_level, exact, mean_and_error, rademacher, student
from sdesim.problems.curvature.operators import Operator

METHODS = ("hutch++", "hutchinson")


def trace(
    operator: Operator, n_products: int = 48, method: str = "hutch++", level: float = 0.95, seed: int = 0
) -> Measured:
    r"""Trace of each path's matrix, with an interval.

        "hutchinson"   E vᵀAv over vectors v of random signs
        "hutch++"      tr QᵀAQ + E vᵀ(1 - QQᵀ)A(1 - QQᵀ)v,   Q an orthonormal basis of A S, S of random signs

    The second takes the large eigenvalues out exactly and estimates the rest: a third of the products each for A S, for
    Q and for the rest. With p ≤ n_products the diagonal itself is summed, and nothing is random.

    Parameters
    ----------
    operator : Operator
    n_products : int
        Products with A that may be taken.
    method : "hutch++" or "hutchinson"
    level : float
        Of the interval, Student's, over the random vectors.
    seed : int

    Raises
    ------
    ValueError
        If the method is unknown or there are too few products for an interval.

    References
    ----------
    Hutchinson, Commun. Stat. Simul. Comput. 19 (1990); Meyer, Musco, Musco and Woodruff, arXiv 2010.09649, algorithm 1.
    """
    check_level(level)
    if method not in METHODS:
        raise ValueError(f"method {method!r} is unknown; {near(str(method), METHODS)}")
    least = 6 if method == "hutch++" else 2
    count("n_products", n_products, least=least)
    if operator.dim <= n_products:
        return exact(operator.dense().diagonal(dim1=1, dim2=2).sum(1), "sum of the diagonal", level)
    third = n_products // 3 if method == "hutch++" else 0
    signs = rademacher(n_products - third, operator.dim, operator.x, seed)
    taken = torch.zeros(operator.paths, dtype=torch.float64, device=operator.x.device)
    vectors = _each_path(signs[third : n_products - third], operator)
    if third:
        base = torch.linalg.qr(operator @ _each_path(signs[:third], operator)).Q
        taken = (base * (operator @ base)).to(torch.float64).sum((1, 2))
        vectors = vectors - base @ (base.mT @ vectors)
    rest, error = mean_and_error((vectors * (operator @ vectors)).sum(1))
    n, value = vectors.shape[2], taken + rest
    half = student(n, level) * error
    return Measured(value, value - half, value + half, level, n, f"{method}, Student interval")


def _each_path(signs: torch.Tensor, operator: Operator) -> torch.Tensor:
    """The same vectors for every path, (paths, p, m)."""
    return signs.T.expand(operator.paths, -1, -1)
