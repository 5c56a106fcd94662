"""Symmetric matrices of a loss, one for each path, known by their products with vectors."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from sdesim.problems.curvature.smooth import check_smooth
from sdesim.problems.landscape import Landscape
from sdesim.problems.objective import Objective
from sdesim.problems.second_order import hessian_vector

ROOM = 2**21  # numbers worked on at once where several vectors are multiplied
PER_EXAMPLE = 64  # of them for each example, about the activations of a small network


@dataclass(frozen=True, eq=False)
class Operator:
    """A symmetric p × p matrix for each path, by its products.

    Parameters
    ----------
    product : callable (x (rows, p), v (rows, p)) -> (rows, p)
        The product of the matrix at each x with its vector.
    x : tensor, shape (paths, p)
        Where the matrices are taken.
    name : str
    examples : int
        Examples gone through for a row; bounds how many rows are worked on at once.
    """

    product: Callable[[Tensor, Tensor], Tensor]
    x: Tensor
    name: str
    examples: int = 0

    @property
    def paths(self) -> int:
        """Number of matrices."""
        return len(self.x)

    @property
    def dim(self) -> int:
        """Rows p of each."""
        return self.x.shape[1]

    def __repr__(self) -> str:
        return f"<{self.name}: {self.paths} paths, {self.dim} × {self.dim}>"

    def __matmul__(self, v: Tensor) -> Tensor:
        """Products with one vector a path, (paths, p), or with several, (paths, p, m)."""
        if v.shape == self.x.shape:
            return self.product(self.x, v)
        if v.ndim != 3 or v.shape[:2] != self.x.shape:
            given, expected = tuple(v.shape), f"({self.paths}, {self.dim})"
            raise ValueError(f"vectors have shape {given}, expected {expected} or one more axis")
        rows = v.permute(2, 0, 1)
        return together(self.product, self.x, rows, self.examples).permute(1, 2, 0)

    def dense(self) -> Tensor:
        """The matrices themselves, (paths, p, p), from p products: for small p."""
        unit = torch.eye(self.dim, dtype=self.x.dtype, device=self.x.device)
        full = self @ unit.expand(self.paths, -1, -1)
        return (full + full.mT) / 2


def together(f: Callable[[Tensor, Tensor], Tensor], x: Tensor, rows: Tensor, examples: int) -> Tensor:
    """f of x and each of the m arrays in `rows` (m, paths, ...), several at once: shape (m, paths, ...)."""
    at_once = max(1, ROOM // (len(x) * (x.shape[1] + PER_EXAMPLE * examples)))
    parts = []
    for some in rows.split(at_once):
        own = x.expand(len(some), *x.shape).reshape(-1, x.shape[1]).contiguous()
        found = f(own, some.reshape(-1, *rows.shape[2:]).contiguous())
        parts.append(found.reshape(len(some), *x.shape))
    return torch.cat(parts)


def hessian(problem: Any, x: Any) -> Operator:
    """The Hessian ∇²L(x) of an objective or a landscape.

    Parameters
    ----------
    problem : Objective or Landscape
    x : tensor, shape (paths, p); for a landscape also an array, or one point
        Where networks have kinks, as with ReLU, the Hessian is that of the smooth pieces.

    Raises
    ------
    ValueError
        If the loss has no second derivative (accuracy, L1, hinge), or shapes do not fit.
    """
    check_smooth(problem)
    if isinstance(problem, Landscape):
        return Operator(partial(_landscape_product, problem), torch.as_tensor(landscape_points(problem, x)), "Hessian")
    problem._check(x, None, None)
    return Operator(partial(hessian_vector, problem), x, "Hessian", examples_at_once(problem))


def examples_at_once(objective: Objective) -> int:
    """Examples in one pass."""
    return min(objective.n_examples, objective.at_once)


def _landscape_product(landscape: Landscape, x: Tensor, v: Tensor) -> Tensor:
    points, d = x.numpy(), landscape.dim
    values = np.asarray(landscape.hessian(points if d > 1 else points[:, 0]), dtype=float)
    return (torch.as_tensor(values.reshape(-1, d, d)) @ v[..., None])[..., 0]


def landscape_points(landscape: Landscape, x: Any) -> np.ndarray:
    """Points as rows (paths, d)."""
    given = x.detach().cpu().numpy() if isinstance(x, Tensor) else np.asarray(x, dtype=float)
    rows = given.reshape(-1, landscape.dim) if given.ndim < 2 else given
    if rows.shape[-1:] != (landscape.dim,) or rows.ndim != 2:
        raise ValueError(f"x has shape {given.shape}, expected (paths, {landscape.dim})")
    return rows.astype(float)


def ggn(objective: Objective, x: Tensor) -> Operator:
    r"""The generalised Gauss-Newton matrix of a network's loss.

        G = (1/n) Σᵢ Jᵢᵀ ℓ''(fᵢ) Jᵢ,    Jᵢ = ∂fᵢ/∂x the Jacobian of the outputs

    It is the Hessian without the curvature of the network itself, and positive semi-definite where the loss is convex
    in the outputs. Products cost a forward and a backward derivative; there is no p × p matrix.

    Parameters
    ----------
    objective : Objective
        Made by `network`, which knows outputs and loss apart.
    x : tensor, shape (paths, p)

    Raises
    ------
    ValueError
        If the objective has no outputs of its own, or the loss no second derivative.

    References
    ----------
    Schraudolph, Neural Computation 14 (2002).
    """
    check_smooth(objective)
    losses = objective.example_losses
    if not (hasattr(losses, "outputs") and hasattr(losses, "loss")):
        raise ValueError("the Gauss-Newton matrix needs outputs and loss apart: build the objective by network()")
    objective._check(x, None, None)

    def product(row: Tensor, inputs: Tensor, targets: Tensor, v: Tensor) -> Tensor:
        def outputs(row: Tensor) -> Tensor:
            return losses.outputs(row, inputs)

        value, moved = _jvp(outputs, row, v)
        slope = torch.func.grad(lambda o: losses.loss(o, targets).sum())
        bent = _jvp(slope, value, moved)[1]
        return torch.func.vjp(outputs, row)[1](bent)[0]

    @torch.no_grad()
    def products(x: Tensor, v: Tensor) -> Tensor:
        total = torch.zeros_like(x)
        for _, args, dims in objective._parts(None, None):
            total += objective._pass("ggn", product, x, (*args, v), (*dims, 0))
        return total / objective.n_examples

    return Operator(products, x, "Gauss-Newton matrix", examples_at_once(objective))


def noise(objective: Objective, x: Tensor) -> Operator:
    r"""The covariance of an example's gradient, matrix-free.

        Σ v = (1/n) Σᵢ (gᵢ·v - ḡ·v) gᵢ,    gᵢ = ∇ℓᵢ(x)

    The slopes gᵢ·v come from one forward derivative, their weighted sum from one backward pass; no gradient of a single
    example is kept. Batches of B independent examples have the covariance Σ/B.

    Parameters
    ----------
    objective : Objective
    x : tensor, shape (paths, p)
    """
    check_objective(objective)
    objective._check(x, None, None)

    def slopes(row: Tensor, inputs: Tensor, targets: Tensor, v: Tensor) -> Tensor:
        return _jvp(lambda r: objective.example_losses(r, inputs, targets), row, v)[1]

    @torch.no_grad()
    def products(x: Tensor, v: Tensor) -> Tensor:
        parts = objective._parts(None, None)
        each = torch.cat([objective._pass("slopes", slopes, x, (*args, v), (*dims, 0)) for _, args, dims in parts], 1)
        return objective.weighted_gradient(x, (each - each.mean(1, keepdim=True)) / objective.n_examples)

    return Operator(products, x, "gradient noise", examples_at_once(objective))


def _jvp(f: Callable[[Tensor], Tensor], x: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
    """Value and derivative along v."""
    value, slope, *_ = torch.func.jvp(f, (x,), (v,))
    return value, slope


def check_objective(objective: Any) -> None:
    """Refuse what has no examples."""
    if not isinstance(objective, Objective):
        raise TypeError(
            f"gradient noise is that of an Objective's examples, got {type(objective).__name__}: "
            "write network(module, loss, data)"
        )
