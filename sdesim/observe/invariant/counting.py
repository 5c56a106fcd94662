"""How many independent neurons a network has: those that have not vanished and do not repeat others."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from sdesim.core.checks import positive
from sdesim.observe.invariant.connections import hidden_layers
from sdesim.observe.invariant.neurons import places, taken
from sdesim.problems.objective import Objective


def counter(
    objective: Objective, layer: str | int | None = None, vanishing: float = 0.1, identical: float = 0.1
) -> Callable[[Tensor], Tensor]:
    """`independent_neurons` as a function of x alone, for Record(values={"neurons": counter(objective)}).

    Parameters and errors are those of `independent_neurons`; they are looked at once, here.
    """
    positive("vanishing", vanishing, upper=1)
    positive("identical", identical)
    layers = hidden_layers(objective) if layer is None else [layer]
    if not layers:
        raise ValueError("the network has no layer whose neurons have incoming and outgoing weights of their own")
    tables = [places(objective, each) for each in layers]

    def counted(x: Tensor) -> Tensor:
        return torch.stack([_independent(taken(x, at), vanishing, identical) for at in tables]).sum(0)

    return counted


def independent_neurons(
    objective: Objective, x: Tensor, layer: str | int | None = None, vanishing: float = 0.1, identical: float = 0.1
) -> Tensor:
    r"""Number of independent neurons of every path.

    A neuron is the row of its incoming weights, bias and outgoing weights. It has vanished if its norm is less than
    `vanishing` times the largest of its layer. Two rows a, b are identical if 2|a - b|²/(|a|² + |b|²) < `identical`.
    Neurons are taken in their order: one that is identical to a neuron counted before belongs to it, any other that
    has not vanished counts.

    Parameters
    ----------
    objective : Objective
        Made by `network`.
    x : tensor, shape (paths, p)
    layer : str or int, optional
        Name of a hidden layer, or its number in a Sequential; all hidden layers together without it.
    vanishing, identical : float
        The two thresholds, without unit; the paper's are 0.1.

    Returns
    -------
    tensor, shape (paths,)
        Whole numbers in the type of x; NaN where a weight is not finite.

    Raises
    ------
    ValueError
        If the layer has no neurons with incoming and outgoing weights, or a threshold is out of range.

    References
    ----------
    Chen, Kunin, Yamamura and Ganguli 2023, arXiv 2306.04251, section 5 and its code.
    """
    return counter(objective, layer, vanishing, identical)(x)


def _independent(rows: Tensor, vanishing: float, identical: float) -> Tensor:
    """Independent ones among rows (paths, neurons, k)."""
    square = rows.square().sum(-1)
    largest = square.amax(-1, keepdim=True)
    alive = (square >= vanishing**2 * largest) & (square > 0)
    # Rounding of the products is far below the threshold.
    apart = square[:, :, None] + square[:, None] - 2 * rows @ rows.mT
    same = 2 * apart < identical * (square[:, :, None] + square[:, None])
    counted = torch.zeros_like(alive)
    for i in range(rows.shape[1]):
        counted[:, i] = alive[:, i] & ~(same[:, i] & counted).any(-1)
    return torch.where(torch.isfinite(square).all(-1), counted.sum(-1).to(rows.dtype), torch.nan)
