"""Gradient noise in one number a path: its trace, against the gradient, and the batch size where both are equal."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from sdesim.core.checks import count, near
from sdesim.problems.curvature.operators import check_objective, examples_at_once, hessian, together
from sdesim.problems.curvature.smooth import check_smooth
from sdesim.problems.finite_population import finite_population
from sdesim.problems.objective import Objective

SAMPLING = ("replacement", "fresh")
KINDS = ("simple", "curvature")


def noise_trace(objective: Objective, x: Tensor | None = None) -> Any:
    """Trace of the covariance Σ of an example's gradient, shape (paths,); exact, from all examples.

    Parameters
    ----------
    objective : Objective
    x : tensor, shape (paths, p), optional
        Without it a function of x, for `Record`.
    """
    check_objective(objective)

    def at(x: Tensor) -> Tensor:
        return objective.gradient_variance(x).sum(1)

    return at if x is None else at(x)


def gradient_square(objective: Objective, x: Tensor | None = None) -> Any:
    """‖∇L(x)‖² of the loss over all examples, shape (paths,); without x a function of it, for `Record`."""
    check_objective(objective)

    def at(x: Tensor) -> Tensor:
        return objective.gradient(x).square().sum(1)

    return at if x is None else at(x)


def noise_to_gradient(
    objective: Objective, x: Tensor | None = None, batch_size: int = 1, sampling: str = "replacement"
) -> Any:
    r"""Noise of a batch's gradient against the gradient, tr Σ / (B ‖∇L‖²), shape (paths,).

    Exact, from the gradients of all examples; infinite at a critical point with noise. Batches without replacement have
    (n - B)/(n - 1) times the noise.

    Parameters
    ----------
    objective : Objective
    x : tensor, shape (paths, p), optional
        Without it a function of x, for `Record`.
    batch_size : int
        B.
    sampling : "replacement" or "fresh"

    Raises
    ------
    ValueError
        If the batch is larger than the data, or `sampling` is unknown.
    """
    check_objective(objective)
    n = objective.n_examples
    if count("batch_size", batch_size, least=1) > n:
        raise ValueError(f"batch_size must be from 1 to {n}, the number of examples, got {batch_size}")
    if sampling not in SAMPLING:
        raise ValueError(f"unknown sampling {sampling!r}: {near(str(sampling), SAMPLING)}; epochs have no such noise")
    factor = finite_population(n, batch_size, sampling)

    def at(x: Tensor) -> Tensor:
        return factor / batch_size * noise_trace(objective, x) / gradient_square(objective, x)

    return at if x is None else at(x)


def noise_scale(objective: Objective, x: Tensor | None = None, kind: str = "simple", n_products: int = 48) -> Any:
    r"""Batch size at which noise and gradient are equal, shape (paths,).

        "simple"      tr Σ / ‖∇L‖²              batches of this size have as much noise as gradient
        "curvature"   tr(HΣ) / (∇Lᵀ H ∇L)       the same in the loss that a step changes at second order

    Both can be large at a minimum; the second is negative or meaningless where the loss is not convex along the
    gradient, and its numerator is estimated.

    Parameters
    ----------
    objective : Objective
    x : tensor, shape (paths, p), optional
        Without it a function of x, for `Record`.
    kind : "simple" or "curvature"
    n_products : int
        Random noise vectors for tr(HΣ).

    References
    ----------
    McCandlish, Kaplan and Amodei, arXiv 1812.06162, equations 2.8 and 2.9.
    """
    check_objective(objective)
    if kind not in KINDS:
        raise ValueError(f"kind {kind!r} is unknown; {near(str(kind), KINDS)}")
    if kind == "curvature":
        check_smooth(objective)

    def at(x: Tensor) -> Tensor:
        if kind == "simple":
            return noise_trace(objective, x) / gradient_square(objective, x)
        gradient = objective.gradient(x)
        forms = noise_forms(objective, x, n_products)
        return forms.mean(-1) / (gradient * (hessian(objective, x) @ gradient)).sum(1)

    return at if x is None else at(x)


def noise_forms(objective: Objective, x: Tensor, n: int, seed: int = 0) -> Tensor:
    """Samples of uᵀHu with u of the noise's covariance Σ, whose mean is tr(HΣ): shape (paths, n).

    u = Σᵢ (ξᵢ - ξ̄) gᵢ / √N with independent normal ξ, one for each of the N examples: one backward pass.
    """
    source, size = torch.Generator().manual_seed(seed), objective.n_examples
    xi = torch.randn(n, size, generator=source, dtype=torch.float64)
    w = ((xi - xi.mean(1, keepdim=True)) / size**0.5).to(x.device, x.dtype)
    drawn = w[:, None].expand(n, len(x), size)
    u = together(objective.weighted_gradient, x, drawn, examples_at_once(objective)).permute(1, 2, 0)
    return (u * (hessian(objective, x) @ u)).sum(1)
