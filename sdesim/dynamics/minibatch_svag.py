"""SVAG on minibatches of an objective; see `sdesim.dynamics.svag`."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import torch

from sdesim.core import philox
from sdesim.core.ops import Ops
from sdesim.core.torch_ops import TORCH
from sdesim.dynamics.minibatch import MinibatchSGD, batch_targets, draw_batch
from sdesim.dynamics.svag import check_l, is_one, weights
from sdesim.problems.second_order import hessian_vector

REASONS = {
    "epochs": "it needs two independent batches at every step, reshuffled epochs have none",
    "fresh": "its theory and the SDE it tends to have the covariance of independent examples",
}


@dataclass(frozen=True)
class MinibatchSVAG(MinibatchSGD):
    """SVAG on minibatches of an objective: each step has two independent batches of `batch_size` examples.

        x⁺ = x - (lr/l) (∇[½ (1 + c) L_B₁ + ½ (1 - c) L_B₂](x) + weight_decay x),    c = sqrt(2 l - 1)

    Parameters are those of `MinibatchSGD`, with sampling="replacement" alone, and

    l : int
        At least 1; given by name. The clock is lr/l, so that times are those of SGD.
    """

    l: Any = field(default=1, kw_only=True)  # noqa: E741

    def __post_init__(self) -> None:
        super().__post_init__()
        check_l(self.l)
        if self.sampling != "replacement":
            raise ValueError(
                f"SVAG draws its batches with replacement, got sampling={self.sampling!r}: {REASONS[self.sampling]}; "
                "write sampling='replacement'"
            )

    @property
    def clock(self) -> Any:
        """Time per step."""
        return self.lr / self.l

    def draw(self, stream: Any) -> Any:
        """Batch and label noise of a step, of both batches in one; the first is that of SGD."""
        first = draw_batch(self, stream)
        if is_one(self.l):
            return first
        second = draw_batch(self, _Second(stream))
        return tuple(_joined(one, two) for one, two in zip(first, second, strict=True))

    def step(self, ops: Ops, x: torch.Tensor, z: Any, k: Any) -> torch.Tensor:
        """The state after step k; x is (path, dim)."""
        if is_one(self.l):
            return super().step(ops, x, z, k)
        gradient = self.weight_decay * x
        for w, batch, targets in self._parts(x, z):
            gradient = gradient + self.objective.weighted_gradient(x, w, batch, targets)
        return torch.add(x, gradient, alpha=-float(self.clock))

    def tangent(self, x: torch.Tensor, v: torch.Tensor, z: Any, k: Any) -> torch.Tensor:
        """The Jacobian of step k at x times v."""
        if is_one(self.l):
            return super().tangent(x, v, z, k)
        product = self.weight_decay * v
        for w, batch, targets in self._parts(x, z):
            product = product + hessian_vector(self.objective, x, v, batch, targets, w)
        return torch.add(v, product, alpha=-float(self.clock))

    def _parts(self, x: torch.Tensor, z: Any) -> list[tuple[torch.Tensor, torch.Tensor, torch.Tensor | None]]:
        """Weights, numbers and targets of the examples of both batches: in one pass, or in two if they are many."""
        b, pair = self.batch_size, x.new_tensor(weights(TORCH, self.l)) / self.batch_size
        w, targets = pair.repeat_interleave(b).expand(len(x), -1), batch_targets(self, z)
        size = 2 * b if 2 * b <= self.objective.n_examples else b
        places = [slice(first, first + size) for first in range(0, 2 * b, size)]
        return [(w[:, at], z[0][:, at], None if targets is None else targets[:, at]) for at in places]


def _joined(first: torch.Tensor | None, second: torch.Tensor | None) -> torch.Tensor | None:
    """Rows of both batches in one."""
    return None if first is None or second is None else torch.cat([first, second], dim=1)


class _Second:
    """The random words of the second batch: those of other channels, so that the first has SGD's."""

    def __init__(self, stream: Any) -> None:
        self.stream = stream

    def words(self, channel: int, n: int) -> torch.Tensor:
        return self.stream.words(philox.SECOND + channel, n)

    def normals(self, m: int) -> torch.Tensor:
        return self.stream.normals(m, philox.SECOND + philox.NOISE)
