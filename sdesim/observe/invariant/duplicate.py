"""DuplicateNeurons: networks in which two neurons do the same."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from sdesim.observe.invariant import linear
from sdesim.observe.invariant.connections import connection
from sdesim.observe.invariant.neurons import checked, places, put, taken
from sdesim.problems.objective import Objective


@dataclass(frozen=True, eq=False)
class DuplicateNeurons:
    r"""The permutation set: two neurons of a layer have equal incoming weights, biases and outgoing weights.

    It is the fixed set of exchanging the two, which changes no output. The loss of every example has that symmetry, so
    its gradient on the set is symmetric too: tangent. For any activation that is the same for both neurons the set is
    invariant under SGD with any batches, label noise, weight decay and momentum (velocities on the set), and under
    the SDE of minibatch noise. Equal incoming weights alone are not enough: their gradients are (vᵢ·δ) and (vⱼ·δ) times
    the same, which differ with the outgoing weights v.

    Parameters
    ----------
    objective : Objective
        Made by `network`.
    layer : str or int
        Name of a linear or convolution layer in the module, or its number in a Sequential.
    i, j : int
        The two neurons; channels, for a convolution.

    Raises
    ------
    ValueError
        If the layer has no incoming and outgoing weights that belong to single neurons, i = j, or they are channels
        of different groups of a convolution.

    References
    ----------
    Chen, Kunin, Yamamura and Ganguli 2023, arXiv 2306.04251, section 3.
    """

    objective: Objective = field(repr=False)
    layer: str | int
    i: int
    j: int
    places: Tensor = field(init=False, repr=False)

    invariant = True

    def __post_init__(self) -> None:
        at = places(self.objective, self.layer)
        i, j = checked("i, j", (self.i, self.j), len(at))
        groups = getattr(connection(self.objective, self.layer).here, "groups", 1)
        if i * groups // len(at) != j * groups // len(at):
            raise ValueError(
                f"channels {i} and {j} of layer {self.layer!r} hear different inputs, being in different ones of its "
                f"{groups} groups, so that equal weights do not stay equal: take two of one group"
            )
        object.__setattr__(self, "places", at[[i, j]])

    def normal(self, x: Any, v: Any) -> Any:
        """Part of `v` (paths, p) that is normal to the set: half the difference of the two, with opposite signs."""
        first, second = taken(v, self.places).unbind(1)
        half = (first - second) / 2
        return put(torch.zeros_like(v), self.places, torch.stack([half, -half], dim=1))

    project = linear.project
    distance = linear.distance
    contains = linear.contains
