"""Extreme eigenvalues of operators by the Lanczos method, all paths at once, with error bounds."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from sdesim.core.checks import count, near, positive
from sdesim.problems.curvature.operators import Operator, check_objective, noise
from sdesim.problems.objective import Objective

WHICH = ("largest", "smallest", "magnitude")
DENSE = 48  # at most this many rows are decomposed whole
GRAM = 2**25  # numbers in the gradients of all examples that may be held at once


@dataclass(frozen=True, eq=False)
class Eigenvalues:
    """Eigenvalues of each path's matrix.

    Parameters
    ----------
    values : tensor, shape (paths, k)
        In the order asked for.
    vectors : tensor, shape (paths, p, k)
        Orthonormal columns.
    bounds : tensor, shape (paths, k)
        ‖A u - θ u‖: an eigenvalue lies within this distance of each value (A is symmetric). The k-th largest value is
        also never above the k-th largest eigenvalue, up to rounding.
    converged : bool tensor, shape (paths,)
        Whether all bounds reached the tolerance asked for.
    products : int
        Products with A taken.
    """

    values: Tensor
    vectors: Tensor
    bounds: Tensor
    converged: Tensor
    products: int


@torch.no_grad()
def eigenvalues(
    operator: Operator,
    k: int = 1,
    which: str = "largest",
    rtol: float = 1e-3,
    max_products: int = 200,
    seed: int = 0,
) -> Eigenvalues:
    """The k largest eigenvalues of each path's matrix, with eigenvectors and error bounds.

    Lanczos with full reorthogonalisation: it keeps max_products vectors of p numbers a path at most. Matrices of few
    rows are decomposed whole. The start is a fixed random vector, the same for every path. An eigenvalue that occurs
    several times, such as the zeros of a singular matrix, may be found once only.

    Parameters
    ----------
    operator : Operator
    k : int
    which : "largest", "smallest" or "magnitude"
        Algebraically largest, smallest, or largest in absolute value; in this order.
    rtol : float
        Bounds are at most this times the largest absolute eigenvalue, or `converged` is false.
    max_products : int
    seed : int

    Raises
    ------
    ValueError
        If there are fewer than k eigenvalues or products, or `which` is unknown.

    References
    ----------
    Parlett, The Symmetric Eigenvalue Problem (1998), chapters 4 and 13.
    """
    if which not in WHICH:
        raise ValueError(f"which={which!r} is unknown; {near(str(which), WHICH)}")
    positive("rtol", rtol)
    if count("k", k, least=1) > operator.dim:
        raise ValueError(f"k={k} eigenvalues of matrices with {operator.dim} rows; ask for at most {operator.dim}")
    if count("max_products", max_products, least=1) < min(k + 1, operator.dim):
        raise ValueError(f"max_products={max_products} is too few for k={k} eigenvalues; give at least {k + 1}")
    if operator.dim <= DENSE:
        theta, vectors, products = *_decomposed(operator.dense().to(torch.float64)), operator.dim
    else:
        theta, vectors, products = _lanczos(operator, k, which, rtol, min(max_products, operator.dim), seed)
    chosen = _order(theta, which)[:, :k]
    values = theta.gather(1, chosen)
    vectors = vectors.gather(2, chosen[:, None].expand(-1, operator.dim, -1)).to(operator.x.dtype)
    residual = (operator @ vectors).to(torch.float64) - vectors.to(torch.float64) * values[:, None]
    bounds = residual.norm(dim=1)
    size = theta.abs().amax(1, keepdim=True)
    rounding = 100 * torch.finfo(operator.x.dtype).eps
    converged = (bounds <= max(rtol, rounding) * size).all(1)
    return Eigenvalues(values, vectors, bounds, converged, products + k)


def _order(theta: Tensor, which: str) -> Tensor:
    """Places of the eigenvalues in the order asked for."""
    key = theta.abs() if which == "magnitude" else theta
    return key.argsort(dim=1, descending=which != "smallest")


def _lanczos(operator: Operator, k: int, which: str, rtol: float, most: int, seed: int) -> tuple[Tensor, Tensor, int]:
    """Ritz values (paths, m) and vectors (paths, p, m) once the wanted ones have small bounds."""
    n, p, like = operator.paths, operator.dim, operator.x
    source = torch.Generator().manual_seed(seed)
    diagonal = torch.zeros(n, most, dtype=torch.float64, device=like.device)
    beside = torch.zeros_like(diagonal)
    basis = torch.zeros(n, most, p, dtype=like.dtype, device=like.device)
    basis[:, 0] = _unit(torch.randn(p, generator=source).to(like).expand(n, -1))
    for m in range(1, most + 1):
        v = basis[:, m - 1]
        w = operator @ v
        diagonal[:, m - 1] = (v * w).sum(1)
        w = _outside(w, basis[:, :m])
        beside[:, m - 1] = w.norm(dim=1)
        if m == most or (m > k and m % 5 == 0):
            theta, s = _ritz(diagonal[:, :m], beside[:, : m - 1])
            bound = beside[:, m - 1, None] * s[:, -1].abs()
            wanted = _order(theta, which)[:, :k]
            unsure = bound.gather(1, wanted) > 0.5 * rtol * theta.abs().amax(1, keepdim=True)
            if m == most or not bool(unsure.any()):
                break
        # Where the space is exhausted another start goes on, from outside of it.
        size = diagonal[:, :m].abs().amax(1) + beside[:, :m].amax(1)
        lost = beside[:, m - 1] <= 10 * torch.finfo(like.dtype).eps * size
        other = _outside(torch.randn(p, generator=source).to(like).expand(n, -1), basis[:, :m])
        beside[:, m - 1] = torch.where(lost, 0.0, beside[:, m - 1])
        basis[:, m] = _unit(torch.where(lost[:, None], other, w))
    return theta, (basis[:, :m].mT @ s.to(like.dtype)), m


def _ritz(diagonal: Tensor, beside: Tensor) -> tuple[Tensor, Tensor]:
    """Eigenvalues and vectors of the tridiagonal matrices."""
    return _decomposed(torch.diag_embed(diagonal) + torch.diag_embed(beside, 1) + torch.diag_embed(beside, -1))


def _decomposed(a: Tensor) -> tuple[Tensor, Tensor]:
    """Eigenvalues and vectors; NaN for a path with an entry that is not finite, which spoils no other."""
    bad = ~torch.isfinite(a).all(2).all(1)
    theta, s = torch.linalg.eigh(torch.where(bad[:, None, None], 0.0, a))
    return torch.where(bad[:, None], torch.nan, theta), torch.where(bad[:, None, None], torch.nan, s)


def _outside(w: Tensor, basis: Tensor) -> Tensor:
    """The part of w outside of the basis, taken twice against rounding."""
    for _ in range(2):
        w = w - ((basis @ w[..., None]).mT @ basis)[:, 0]
    return w


def _unit(w: Tensor) -> Tensor:
    size = w.norm(dim=1, keepdim=True)
    return w / torch.where(size == 0, 1.0, size)


@torch.no_grad()
def noise_eigenvalues(objective: Objective, x: Tensor, k: int = 1, **options: float) -> Eigenvalues:
    """The k largest eigenvalues of the covariance Σ of an example's gradient, with eigenvectors.

    Where the gradients of all examples fit into memory (and n ≤ p), Σ = CᵀC/n is taken from the n × n Gram matrix
    C Cᵀ/n, exactly; else by Lanczos on products, with the `options` of `eigenvalues`.

    Parameters
    ----------
    objective : Objective
    x : tensor, shape (paths, p)
    k : int
        At most n - 1 are not zero.
    """
    check_objective(objective)
    operator = noise(objective, x)
    n = objective.n_examples
    if n > operator.dim or n * x.numel() > GRAM or k > n:
        return eigenvalues(operator, k, **options)  # type: ignore[arg-type]
    gradients = objective.example_gradients(x)
    centred = gradients - gradients.mean(1, keepdim=True)
    values, left = torch.linalg.eigh((centred @ centred.mT / n).to(torch.float64))
    values, left = values[:, -k:].flip(1), left[:, :, -k:].flip(2)
    if bool((values[:, -1] <= n * torch.finfo(x.dtype).eps * values[:, 0]).any()):
        return eigenvalues(operator, k, **options)  # type: ignore[arg-type]  # zeros have no vector Cᵀ u
    vectors = centred.mT @ left.to(x.dtype)
    vectors = vectors / vectors.norm(dim=1, keepdim=True)
    bounds = ((operator @ vectors) - vectors * values[:, None].to(x.dtype)).norm(dim=1).to(torch.float64)
    return Eigenvalues(values, vectors, bounds, torch.ones(len(x), dtype=torch.bool, device=x.device), k)
