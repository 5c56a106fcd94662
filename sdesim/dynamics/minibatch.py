"""Minibatch SGD on an objective: the discrete recursions, with their batches drawn as in practice."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from sdesim.core.checks import positive, whole
from sdesim.core.ops import Ops
from sdesim.dynamics.batches import batches, check_sampling
from sdesim.problems.laws import Law
from sdesim.problems.objective import Objective
from sdesim.problems.second_order import hessian_vector


@dataclass(frozen=True)
class MinibatchSGD:
    """SGD on minibatches of an objective L(x) = (1/n) Σ ℓ_i(x).

        x⁺ = x - lr (∇L_B(x) + weight_decay x),    L_B the mean over the batch B

    Parameters
    ----------
    objective : Objective
    lr : float
        Learning rate; also the clock, so that time is lr × step.
    batch_size : int
    sampling : "replacement", "fresh" or "epochs"
        Independent examples; different examples, afresh each step; reshuffled epochs. The gradient noise has
        covariance Σ/B, Σ/B (n - B)/(n - 1), and none that an SDE could have.
    label_noise : float
        Standard deviation of Gaussian noise added to the targets of the batch, afresh each step (regression).
    weight_decay : float
    """

    objective: Objective
    lr: Any
    batch_size: int
    sampling: str = "replacement"
    label_noise: Any = 0.0
    weight_decay: Any = 0.0

    structure = ("objective", "sampling")
    formulas = False
    continuous = False

    def __post_init__(self) -> None:
        check_minibatch(self)

    @property
    def clock(self) -> Any:
        """Time per step."""
        return self.lr

    @property
    def dim(self) -> int:
        """Numbers in a state: the parameters."""
        return self.objective.dim

    @property
    def variables(self) -> tuple[str, ...]:
        """Names of the components of a state."""
        return tuple(f"x{i}" for i in range(self.objective.dim))

    def position(self, x: torch.Tensor) -> torch.Tensor:
        """The parameters in a state."""
        return x

    def draw(self, stream: Any) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Batch and label noise of a step."""
        return draw_batch(self, stream)

    def step(self, ops: Ops, x: torch.Tensor, z: Any, k: Any) -> torch.Tensor:
        """The state after step k; x is (path, dim)."""
        return torch.add(x, batch_gradient(self, x, z), alpha=-self.lr)

    def tangent(self, x: torch.Tensor, v: torch.Tensor, z: Any, k: Any) -> torch.Tensor:
        """The Jacobian of step k at x times v: (1 - lr (H_B + weight_decay)) v."""
        return torch.add(v, batch_hessian(self, x, v, z), alpha=-self.lr)


@dataclass(frozen=True)
class Momentum(MinibatchSGD):
    """SGD with heavy-ball momentum, as torch.optim.SGD writes it; a state is (x, v), v = 0 at the start.

        v⁺ = momentum v + ∇L_B(x) + weight_decay x,    x⁺ = x - lr v⁺

    Parameters are those of `MinibatchSGD`, and

    momentum : float
        In [0, 1); given by name.
    """

    momentum: Any = field(default=0.9, kw_only=True)

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 <= self.momentum < 1:
            raise ValueError(f"momentum must be in [0, 1), got {self.momentum}")

    @property
    def dim(self) -> int:
        """Numbers in a state: parameters and velocities."""
        return 2 * self.objective.dim

    @property
    def variables(self) -> tuple[str, ...]:
        """Names of the components of a state."""
        return (*super().variables, *(f"v{i}" for i in range(self.objective.dim)))

    def position(self, x: torch.Tensor) -> torch.Tensor:
        """The parameters in a state."""
        return x[:, : self.objective.dim]

    def at_rest(self, x0: Any) -> Any:
        """States for first parameters: velocity 0. Whole states stay as they are."""
        given = np.asarray(x0, dtype=float) if not isinstance(x0, Law) else None
        if given is None or given.shape[-1:] != (self.objective.dim,):
            return x0
        return np.concatenate([given, np.zeros_like(given)], axis=-1)

    def step(self, ops: Ops, x: torch.Tensor, z: Any, k: Any) -> torch.Tensor:
        """The state after step k; x is (path, 2 dim)."""
        p = self.objective.dim
        v = self.momentum * x[:, p:] + batch_gradient(self, x[:, :p], z)
        return torch.cat([x[:, :p] - self.lr * v, v], dim=1)

    def tangent(self, x: torch.Tensor, v: torch.Tensor, z: Any, k: Any) -> torch.Tensor:
        """The Jacobian of step k at the state x times v, both (path, 2 dim)."""
        p = self.objective.dim
        velocity = self.momentum * v[:, p:] + batch_hessian(self, x[:, :p], v[:, :p], z)
        return torch.cat([v[:, :p] - self.lr * velocity, velocity], dim=1)


def check_minibatch(dynamics: Any) -> None:
    """Refuse arguments that no step could use; a batch size of 32.0, from a grid of values, is one of 32."""
    if not isinstance(dynamics.objective, Objective):
        raise TypeError(
            f"minibatch SGD runs on an Objective, got {type(dynamics.objective).__name__}: "
            "write network(module, loss, data), or SGD(landscape, lr, noise=law) for a landscape"
        )
    positive("lr", dynamics.lr)
    object.__setattr__(dynamics, "batch_size", whole("batch_size", dynamics.batch_size, least=1))
    check_sampling(dynamics.sampling, dynamics.objective.n_examples, dynamics.batch_size)
    for name in ("label_noise", "weight_decay"):
        value = getattr(dynamics, name)
        if not (math.isfinite(value) and value >= 0):
            raise ValueError(f"{name} must be at least 0 and finite, got {value}")
    if dynamics.label_noise and not dynamics.objective.targets.is_floating_point():
        raise ValueError(
            f"label_noise={dynamics.label_noise} needs targets that are numbers, these are "
            f"{dynamics.objective.targets.dtype} classes: use a regression loss such as 'mse'"
        )


def draw_batch(dynamics: Any, stream: Any) -> tuple[torch.Tensor, torch.Tensor | None]:
    """Numbers of the examples, (path, B), and the noise of their targets, (path, B, ...), or None."""
    objective = dynamics.objective
    batch = batches(stream, objective.n_examples, dynamics.batch_size, dynamics.sampling)
    if not dynamics.label_noise:
        return batch, None
    shape = objective.targets.shape[1:]
    noise = stream.normals(dynamics.batch_size * math.prod(shape))
    return batch, noise.view(len(batch), dynamics.batch_size, *shape)


def batch_gradient(dynamics: Any, x: torch.Tensor, z: tuple[torch.Tensor, torch.Tensor | None]) -> torch.Tensor:
    """∇L_B(x) + weight_decay x, shape (path, parameter)."""
    gradient = dynamics.objective.gradient(x, z[0], targets=batch_targets(dynamics, z))
    return gradient + dynamics.weight_decay * x if dynamics.weight_decay else gradient


def batch_hessian(
    dynamics: Any, x: torch.Tensor, v: torch.Tensor, z: tuple[torch.Tensor, torch.Tensor | None]
) -> torch.Tensor:
    """(H_B(x) + weight_decay) v, H_B the Hessian of L_B, shape (path, parameter)."""
    product = hessian_vector(dynamics.objective, x, v, z[0], batch_targets(dynamics, z))
    return product + dynamics.weight_decay * v if dynamics.weight_decay else product


def batch_targets(dynamics: Any, z: tuple[torch.Tensor, torch.Tensor | None]) -> torch.Tensor | None:
    """Targets of the batch with their noise, (path, B, ...), or None where they have none."""
    batch, noise = z
    return None if noise is None else dynamics.objective.targets[batch] + dynamics.label_noise * noise
