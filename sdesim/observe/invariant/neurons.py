"""The weights of a layer's neurons: where they lie in a row of parameters, and their values for all paths."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor

from sdesim.core.checks import count
from sdesim.observe.invariant.connections import connection, weight_layer
from sdesim.problems.objective import Objective


def places(objective: Objective, layer: str | int) -> Tensor:
    """Where the weights of each neuron lie in x: incoming, bias if there is one, outgoing; shape (neurons, k).

    The neurons of a convolution are its channels. Their outgoing weights are those of all positions that a Flatten
    makes of a channel.

    Raises
    ------
    ValueError
        If the layer has no such neurons.
    """
    found = connection(objective, layer)
    at = objective.layout.unflatten(torch.arange(objective.dim))
    incoming = at[f"{found.name}.weight"].flatten(1)
    n = len(incoming)
    outgoing = at[f"{found.after}.weight"]
    # (next, neurons, positions), whether positions are those of a kernel or of a flattened image.
    outgoing = outgoing.reshape(len(outgoing), n, -1).transpose(0, 1).flatten(1)
    bias = [at[f"{found.name}.bias"][:, None]] if f"{found.name}.bias" in at else []
    return torch.cat([incoming, *bias, outgoing], dim=1)


def neurons(objective: Objective, x: Tensor, layer: str | int) -> Tensor:
    """Weights of each neuron of a hidden layer, incoming, bias and outgoing in one row, for every path.

    Parameters
    ----------
    objective : Objective
        Made by `network`.
    x : tensor, shape (paths, p)
    layer : str or int
        Name in the module, or number in a Sequential.

    Returns
    -------
    tensor, shape (paths, neurons, k)

    Raises
    ------
    ValueError
        If the layer has no neurons with incoming and outgoing weights.
    """
    return taken(x, places(objective, layer))


def matrix(objective: Objective, x: Tensor, layer: str | int) -> Tensor:
    """Weight matrix of a layer for every path, (paths, out, in); a convolution's is (paths, out, in × kernel).

    Raises
    ------
    ValueError
        If the layer is neither linear nor a convolution.
    """
    return objective.layout.unflatten(x)[f"{weight_layer(objective, layer)}.weight"].flatten(2)


def taken(x: Tensor, at: Tensor) -> Tensor:
    """The numbers of every path at a table of places, (paths, *at.shape)."""
    try:
        return x[:, at.to(x.device)]
    except IndexError as error:
        last = int(at.max())
        raise ValueError(f"x has shape {tuple(x.shape)}, expected (paths, parameters) with more than {last}") from error


def put(x: Tensor, at: Tensor, values: Tensor) -> Tensor:
    """`x` with other numbers at a table of places."""
    changed = x.clone()
    changed[:, at.to(x.device).flatten()] = values.flatten(1)
    return changed


def checked(name: str, numbers: int | Sequence[int], n: int) -> tuple[int, ...]:
    """Numbers of neurons of a layer of n, each once, or one clear error."""
    given = tuple(numbers) if isinstance(numbers, Iterable) else (numbers,)
    if not given or len(set(given)) < len(given):
        raise ValueError(f"{name} must be different neurons, at least one; got {numbers}")
    for number in given:
        if count(name, number) >= n:
            raise ValueError(f"{name} has {number}, the layer has {n} neurons: 0 to {n - 1}")
    return given
