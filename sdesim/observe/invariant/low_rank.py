"""LowRank: networks with a layer whose weights have few directions."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from sdesim.core.checks import count
from sdesim.observe.invariant.connections import connection, weight_layer
from sdesim.observe.invariant.neurons import places, put, taken
from sdesim.observe.invariant.ranks import singular_values
from sdesim.problems.objective import Objective


@dataclass(frozen=True, eq=False)
class LowRank:
    r"""Networks in which a matrix M of weights has rank ≤ r.

    M is the weight matrix of a layer, a convolution's as (out, in × kernel). That set is watched, not kept: the
    gradient Σ δ hᵀ of a single layer has directions of its own, and SGD leaves it.

    With `joint`, M holds what the neurons of a layer hear and say, a row [w, b, v] for each. If only linear maps that
    treat all neurons alike (none, identity, average pooling, flatten) lead to the next layer, the network is the same
    in any orthonormal basis of the neurons. Let the columns of M lie in a space U of r dimensions. The gradients
    of each example's loss are ∂W = Vᵀδ hᵀ, ∂b = Vᵀδ and ∂V = δ (Wh + b)ᵀ (V the next layer's matrix); Vᵀδ and
    Wh + b lie in U, so the columns of M's gradient do. For every U the set is invariant under SGD with any batches,
    label noise, weight decay and momentum (velocities in U), and rank(M) never grows beyond r.

    Parameters
    ----------
    objective : Objective
        Made by `network`.
    layer : str or int
        Name of a linear or convolution layer in the module, or its number in a Sequential.
    rank : int
        r.
    joint : bool
        Whether M holds incoming and outgoing weights of the neurons.

    Raises
    ------
    ValueError
        If the layer has no such matrix, r is not below the smaller side of it, or, with `joint`, something nonlinear
        follows the layer.

    References
    ----------
    Chen, Kunin, Yamamura and Ganguli 2023, arXiv 2306.04251, section 3; projection: Eckart and Young 1936;
    tangent space of matrices of fixed rank: Vandereycken 2013, arXiv 1209.3834, proposition 2.1.
    """

    objective: Objective = field(repr=False)
    layer: str | int
    rank: int
    joint: bool = False
    places: Tensor = field(init=False, repr=False)

    def __post_init__(self) -> None:
        at = self._joint_places() if self.joint else self._own_places()
        if count("rank", self.rank) >= min(at.shape):
            raise ValueError(
                f"rank {self.rank} is no restriction of a matrix {tuple(at.shape)}: use 0 to {min(at.shape) - 1}"
            )
        object.__setattr__(self, "places", at)

    @property
    def invariant(self) -> bool:
        """Whether SGD stays on the set."""
        return self.joint

    def _joint_places(self) -> Tensor:
        found = connection(self.objective, self.layer)
        if not found.linear:
            raise ValueError(
                f"layer {self.layer!r} feeds an activation or a maximum, so a low rank of its incoming and outgoing "
                "weights is not kept: use joint=False, which watches its weight matrix, or activation='linear'"
            )
        if getattr(found.here, "groups", 1) != 1:
            raise ValueError(
                f"layer {self.layer!r} is a convolution in groups, whose channels hear different inputs, so a low rank "
                "of its incoming and outgoing weights is not kept: use joint=False, which watches its weight matrix"
            )
        return places(self.objective, self.layer)

    def _own_places(self) -> Tensor:
        name = weight_layer(self.objective, self.layer)
        return self.objective.layout.unflatten(torch.arange(self.objective.dim))[f"{name}.weight"].flatten(1)

    def matrix(self, x: Tensor) -> Tensor:
        """M of every path, shape (paths, m, n)."""
        return taken(x, self.places)

    def distance(self, x: Tensor) -> Tensor:
        """Euclidean distance (σ²ᵣ₊₁ + σ²ᵣ₊₂ + ...)^½ of every path to the set, shape (paths,)."""
        return singular_values(self.matrix(x))[:, self.rank :].square().sum(-1).sqrt()

    def project(self, x: Tensor) -> Tensor:
        """The nearest point of the set, shape (paths, p): the r largest singular values of M; NaN stays NaN."""
        left, values, right = self._parts(x)
        return put(x, self.places, (left * values[:, None]) @ right)

    def contains(self, x: Tensor, atol: float = 1e-6) -> Tensor:
        """Which paths lie within `atol` of the set, shape (paths,); NaN lies nowhere."""
        return self.distance(x) <= atol

    def normal(self, x: Tensor, v: Tensor) -> Tensor:
        """Part of `v` (paths, p) normal to the matrices of rank r at the projection of `x`: (1 - P) M(v) (1 - Q).

        P and Q project on the column and row space of the projected M.
        """
        left, _, right = self._parts(x)
        off = self.matrix(v)
        off = off - left @ (left.mT @ off)
        return put(torch.zeros_like(v), self.places, off - (off @ right.mT) @ right)

    def _parts(self, x: Tensor) -> tuple[Any, Any, Any]:
        """The r largest singular values and their vectors, NaN for a matrix that is not finite."""
        given = self.matrix(x)
        good = torch.isfinite(given).all(-1).all(-1)[:, None, None]
        left, values, right = torch.linalg.svd(torch.where(good, given, 0.0), full_matrices=False)
        values = torch.where(good[:, 0], values, torch.nan)
        left, right = torch.where(good, left, torch.nan), torch.where(good, right, torch.nan)
        return left[:, :, : self.rank], values[:, : self.rank], right[:, : self.rank]
