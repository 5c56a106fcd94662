"""The stochastic differential equation that minibatch SGD stands for.

    dX = -∇L(X) dt + sqrt(η/B) Σ(X)^{1/2} dW,    Σ(x) = (1/n) Σ_i (g_i - ḡ)(g_i - ḡ)ᵀ,  g_i = ∇ℓ_i(x)

A factor of Σ needs no matrix and no per-example gradient. Let ξ have one independent normal for each example and ξ̄ be
their mean. Then Σ_i (ξ_i - ξ̄) g_i = Σ_i ξ_i (g_i - ḡ) has covariance n Σ, so with the weights

    w_i = 1/n + sqrt(η / (B n h)) (ξ_i - ξ̄)

the step -h ∇ Σ_i w_i ℓ_i has the mean -h ∇L and the covariance h (η/B) Σ: drift and noise of an Euler step of length
h, exactly, in one backward pass over the data, with memory for p + n numbers a path.

The equation of order 2 has the drift -∇(L + η/4 |∇L|²) = -(∇L + η/2 H ∇L), H the Hessian of L, and the same noise: over
a time η its moments are those of a step of SGD up to O(η³), so that weak errors are O(η²) where those of the first are
O(η). H ∇L is a Hessian-vector product: three more passes over the data, and no matrix. Weight decay λ stands for
L + λ/2 |x|² in all of this.

Li, Tai and E 2017 (arXiv 1511.06251) for the equations; Euler steps with h = η are SGD with Gaussian noise, so
comparisons with SGD need h ≤ η/10 and a look at the limit.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from sdesim.core.checks import is_number, near, positive, whole
from sdesim.core.ops import Ops
from sdesim.dynamics.batches import check_sampling
from sdesim.problems.finite_population import finite_population
from sdesim.problems.laws import Gaussian, Law, Stable
from sdesim.problems.objective import Objective
from sdesim.problems.second_order import hessian_vector

COVARIANCES = ("exact", "diagonal", "isotropic")
SAMPLING = ("replacement", "fresh")


@dataclass(frozen=True)
class MinibatchSDE:
    """The SDE of SGD on an objective; made by `minibatch_sde`, integrated by `EulerMaruyama`."""

    objective: Objective
    lr: Any
    batch_size: int
    covariance: str = "exact"
    sampling: str = "replacement"
    noise: Law = field(default_factory=Gaussian)
    order: int = 1
    weight_decay: Any = 0.0

    structure = ("objective", "covariance", "sampling", "order")
    calculus = "ito"
    formulas = False

    def __post_init__(self) -> None:
        if not isinstance(self.objective, Objective):
            raise TypeError(f"minibatch_sde needs an Objective, got {type(self.objective).__name__}")
        positive("lr", self.lr)
        if self.covariance not in COVARIANCES:
            raise ValueError(f"unknown covariance {self.covariance!r}: {near(self.covariance, COVARIANCES)}")
        if self.sampling not in SAMPLING:
            raise ValueError(
                f"sampling must be 'replacement' or 'fresh', got {self.sampling!r}: reshuffled epochs have no such SDE"
            )
        object.__setattr__(self, "batch_size", whole("batch_size", self.batch_size, least=1))
        check_sampling(self.sampling, self.objective.n_examples, self.batch_size)
        if self.order not in (1, 2) or isinstance(self.order, bool):
            raise ValueError(f"order must be 1 or 2, got {self.order!r}")
        if not (is_number(self.weight_decay) and np.all(np.isfinite(self.weight_decay) & (self.weight_decay >= 0))):
            raise ValueError(f"weight_decay must be at least 0 and finite, got {self.weight_decay!r}")
        if isinstance(self.noise, Stable) and self.order == 2:
            raise ValueError(
                "the equation of order 2 is known for noise with a covariance, not for Stable: write order=1"
            )
        if isinstance(self.noise, Stable) and (self.covariance == "exact" or self.noise.isotropic is None):
            raise ValueError(
                "stable noise has no covariance: use covariance='isotropic' or 'diagonal' for its scale, and "
                "Stable(alpha, isotropic=True or False)"
            )

    def __repr__(self) -> str:
        return (
            f"minibatch_sde({self.objective!r}, lr={self.lr!r}, batch_size={self.batch_size}, "
            f"covariance={self.covariance!r}, sampling={self.sampling!r}, noise={self.noise!r}, "
            f"order={self.order}, weight_decay={self.weight_decay!r})"
        )

    @property
    def dim(self) -> int:
        """Number of parameters p."""
        return self.objective.dim

    @property
    def noise_dim(self) -> int:
        """Driving noises: one for each example, or for each parameter."""
        return self.objective.n_examples if self.covariance == "exact" else self.dim

    @property
    def variables(self) -> tuple[str, ...]:
        """Names of the components."""
        return tuple(f"x{i}" for i in range(self.dim))

    @property
    def params(self) -> dict[str, Any]:
        """None: the numbers are fields."""
        return {}

    @property
    def noise_rate(self) -> float:
        """η/B, times (n - B)/(n - 1) for batches without replacement: the factor in front of Σ."""
        rate: float = self.lr / self.batch_size
        return rate * finite_population(self.objective.n_examples, self.batch_size, self.sampling)

    def parts(self, ops: Ops, v: Any) -> list[Any]:
        """The vector whole: its only part."""
        return [v]

    def joined(self, ops: Ops, parts: list[Any]) -> Any:
        """The vector."""
        return parts[0]

    def increments(self, ops: Ops, z: torch.Tensor, substeps: int) -> list[torch.Tensor]:
        """The sum over substeps of the variates z, (path, substeps * noise_dim), as (path, noise_dim)."""
        return [z if substeps == 1 else z.reshape(len(z), substeps, self.noise_dim).sum(1)]

    def terms(self, ops: Ops, x: torch.Tensor, t: Any, dw: list[torch.Tensor]) -> tuple[list[Any], list[Any]]:
        """The drift and the kick at the states x, each whole: two passes over the data."""
        drift = self._drift(x)
        if self.covariance == "exact":
            return [drift], [-self.objective.weighted_gradient(x, self._weights(dw[0]))]
        return [drift], [self._scale(x) * dw[0]]

    def move(self, ops: Ops, x: torch.Tensor, dt: Any, dw: list[torch.Tensor]) -> torch.Tensor:
        """The state after an Euler step: one backward pass for an exact covariance, four at order 2."""
        if self.covariance == "exact" and self.order == 1:
            weights = self._weights(dw[0]) + dt / self.objective.n_examples
            moved = x - self.objective.weighted_gradient(x, weights)
            return moved - dt * self.weight_decay * x if self.weight_decay else moved
        (drift,), (kick,) = self.terms(ops, x, None, dw)
        return x + dt * drift + kick

    def tangent(self, x: torch.Tensor, v: torch.Tensor, dt: Any, dw: list[torch.Tensor]) -> torch.Tensor:
        """The Jacobian of `move` at x times v, for an exact covariance and order 1."""
        if self.order == 2:
            raise ValueError("the tangent of the equation of order 2 needs third derivatives: write order=1")
        weights = self._weights(dw[0]) + dt / self.objective.n_examples
        moved = v - hessian_vector(self.objective, x, v, weights=weights)
        return moved - dt * self.weight_decay * v if self.weight_decay else moved

    def _drift(self, x: torch.Tensor) -> torch.Tensor:
        """-∇L, and at order 2 -η/2 H ∇L more."""
        slope = self.objective.gradient(x)
        if self.weight_decay:
            slope = slope + self.weight_decay * x
        if self.order == 1:
            return -slope
        bend = hessian_vector(self.objective, x, slope) + self.weight_decay * slope
        return -torch.add(slope, bend, alpha=self.lr / 2)

    def _weights(self, dw: torch.Tensor) -> torch.Tensor:
        """sqrt(η/(B n)) (dW_i - mean dW), which the gradients of the examples are weighted with."""
        return math.sqrt(self.noise_rate / self.objective.n_examples) * (dw - dw.mean(dim=1, keepdim=True))

    def _scale(self, x: torch.Tensor) -> torch.Tensor:
        """Standard deviations of the noise by parameter, (path, p), or their root mean square, (path, 1)."""
        variance = self.objective.gradient_variance(x)
        if self.covariance == "isotropic":
            variance = variance.mean(dim=1, keepdim=True)
        return torch.sqrt(self.noise_rate * variance)


def minibatch_sde(
    objective: Objective,
    lr: float,
    batch_size: int,
    *,
    covariance: str = "exact",
    sampling: str = "replacement",
    noise: Law | None = None,
    order: int = 1,
    weight_decay: float = 0.0,
) -> MinibatchSDE:
    """The SDE of SGD with learning rate η = lr and batches of B = batch_size.

        dX = -∇L(X) dt + sqrt(η/B) Σ(X)^{1/2} dW,    with order=2    -∇(L + η/4 |∇L|²) dt + ...

    Parameters
    ----------
    objective : Objective
    lr : float
        η: it sets the size of the noise. Time is lr × step of SGD.
    batch_size : int
    covariance : "exact", "diagonal" or "isotropic"
        Σ itself, in one backward pass; its diagonal; or tr Σ / p in every direction. The last two need the variance
        of the per-example gradients at every step.
    sampling : "replacement" or "fresh"
        Batches without replacement have (n - B)/(n - 1) times the covariance.
    noise : Gaussian or Stable, optional
        Stable noise of the same scale drives the Lévy variant, diagonal or isotropic.
    order : 1 or 2
        Weak order in η: the second-order equation has the drift -(∇L + η/2 H ∇L), by Hessian-vector products.
    weight_decay : float
        λ of the penalty λ/2 |x|².

    Returns
    -------
    MinibatchSDE
        To be integrated: ``EulerMaruyama(minibatch_sde(objective, lr, batch_size), dt=lr / 10)``.
    """
    law = Gaussian() if noise is None else noise
    return MinibatchSDE(objective, lr, batch_size, covariance, sampling, law, order, weight_decay)
