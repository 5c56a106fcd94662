"""Simpler networks inside a network: sets of weights that SGD cannot leave, distances to them, and counts.

Sets have `distance(x)`, `project(x)`, `contains(x, atol)` and `normal(x, v)`, on tensors with the path first;
`invariant` says whether SGD stays on them.
"""

from __future__ import annotations

from sdesim.observe.invariant.connections import hidden_layers
from sdesim.observe.invariant.counting import counter, independent_neurons
from sdesim.observe.invariant.duplicate import DuplicateNeurons
from sdesim.observe.invariant.features import features
from sdesim.observe.invariant.low_rank import LowRank
from sdesim.observe.invariant.neurons import matrix, neurons
from sdesim.observe.invariant.ranks import effective_rank, srank
from sdesim.observe.invariant.subspace import Subspace
from sdesim.observe.invariant.vanishing import VanishingNeurons

__all__ = [
    "DuplicateNeurons",
    "LowRank",
    "Subspace",
    "VanishingNeurons",
    "counter",
    "effective_rank",
    "features",
    "hidden_layers",
    "independent_neurons",
    "matrix",
    "neurons",
    "srank",
]
