"""VanishingNeurons: networks in which some neurons neither hear nor speak."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from sdesim.observe.invariant import linear
from sdesim.observe.invariant.connections import connection
from sdesim.observe.invariant.neurons import checked, places, put, taken
from sdesim.problems.objective import Objective


@dataclass(frozen=True, eq=False)
class VanishingNeurons:
    r"""The sign set: incoming weights w, bias b and outgoing weights v of some neurons of a layer are all zero.

    For a neuron a = σ(w·h + b) and an error signal δ of the next layer the gradient of every example's loss is
    ∂v = δ a, ∂w = (v·δ) σ'(w·h + b) h and ∂b = (v·δ) σ'(w·h + b). On the set v = 0 makes ∂w = ∂b = 0, and a = σ(0),
    so that ∂v = 0 if and only if σ(0) = 0 (whatever the error). Then the set is invariant under SGD with any batches,
    label noise, weight decay and momentum (velocities on the set), and under the SDE of minibatch noise; noise added
    to the parameters themselves leaves it. Odd activations have the symmetry (w, b, v) → -(w, b, v) besides, whose
    fixed points are the set; the invariance does not need it. With max pooling between the layers it holds as well.

    With a kink of σ at 0 (ReLU), or with max pooling, the loss has no second derivative on the set, so that no
    linear tangent says whether it attracts: `differentiable` is False, and `Tangent` refuses the set.

    Parameters
    ----------
    objective : Objective
        Made by `network`.
    layer : str or int
        Name of a linear or convolution layer in the module, or its number in a Sequential.
    neurons : int or sequence of int
        Numbers of the neurons; of the channels, for a convolution.

    Raises
    ------
    ValueError
        If the layer has no incoming and outgoing weights that belong to single neurons, if σ(0) ≠ 0, or if there is
        no such neuron.

    References
    ----------
    Chen, Kunin, Yamamura and Ganguli 2023, arXiv 2306.04251, section 3.
    """

    objective: Objective = field(repr=False)
    layer: str | int
    neurons: int | Sequence[int]
    places: Tensor = field(init=False, repr=False)

    differentiable: bool = field(init=False, repr=False)

    invariant = True

    def __post_init__(self) -> None:
        found = connection(self.objective, self.layer)
        object.__setattr__(self, "differentiable", not found.kinked)
        if found.at_zero != 0:
            raise ValueError(
                f"neurons of layer {self.layer!r} do not vanish: without incoming weights they still say "
                f"σ(0) = {found.at_zero:.4g}, so the gradient leaves the set; use an activation with σ(0) = 0 "
                "(relu, tanh, gelu, silu), or watch DuplicateNeurons"
            )
        at = places(self.objective, self.layer)
        numbers = checked("neurons", self.neurons, len(at))
        object.__setattr__(self, "neurons", numbers)
        object.__setattr__(self, "places", at[list(numbers)])

    def normal(self, x: Any, v: Any) -> Any:
        """Part of `v` (paths, p) that is normal to the set: its entries at the weights of these neurons."""
        return put(torch.zeros_like(v), self.places, taken(v, self.places))

    project = linear.project
    distance = linear.distance
    contains = linear.contains
