"""Which examples a step of minibatch SGD sees, for every path of a block.

Three ways, all from the path's own random words:

    "replacement"  B examples drawn independently
    "fresh"        B different examples, drawn afresh at every step (Floyd's algorithm, Bentley and Floyd 1987)
    "epochs"       a new order of all examples every ⌊n/B⌋ steps, cut into batches; what is left over is not seen
"""

from __future__ import annotations

from typing import Any

import torch

from sdesim.core import philox
from sdesim.core.checks import near
from sdesim.core.torch_ops import TORCH

SAMPLING = ("replacement", "fresh", "epochs")
ORDER = "order of the examples"


def check_sampling(sampling: str, n: int, size: int) -> None:
    """Refuse an unknown way, and batches larger than the data."""
    if sampling not in SAMPLING:
        raise ValueError(f"unknown sampling {sampling!r}: {near(sampling, SAMPLING)}")
    if not 1 <= size <= n:
        raise ValueError(f"batch_size must be from 1 to {n}, the number of examples, got {size}")


def batches(stream: Any, n: int, size: int, sampling: str) -> torch.Tensor:
    """Numbers of the examples of each path's batch, shape (lane, size).

    Parameters
    ----------
    stream : Stream
        The random words of the step of each lane.
    """
    if sampling == "epochs":
        return _from_order(stream, n, size)
    u = TORCH.uniform(stream.words(philox.MINIBATCH, size))
    if sampling == "replacement":
        return _below(u, n)
    return _different(u, n)


def _below(u: torch.Tensor, n: int | torch.Tensor) -> torch.Tensor:
    """Uniform whole numbers from 0 to n - 1."""
    return (u * n).to(torch.int64)


def _different(u: torch.Tensor, n: int) -> torch.Tensor:
    """Floyd's algorithm: number j takes a uniform one up to n - size + j, or that bound where it is taken."""
    size = u.shape[1]
    bounds = torch.arange(n - size, n, device=u.device)
    proposed = _below(u, bounds + 1)
    chosen = torch.empty_like(proposed)
    for j in range(size):
        taken = (chosen[:, :j] == proposed[:, j : j + 1]).any(dim=1)
        chosen[:, j] = torch.where(taken, bounds[j], proposed[:, j])
    return chosen


def _from_order(stream: Any, n: int, size: int) -> torch.Tensor:
    """The batch's part of the order of the epoch, which is made when a lane first asks for it, and kept."""
    steps = n // size
    epoch, place = stream.k // steps, stream.k % steps
    if ORDER not in stream.memory:
        nothing = torch.full_like(epoch, -1)
        order = torch.zeros(len(epoch), n, dtype=torch.int64, device=epoch.device)
        stream.memory[ORDER] = (nothing, nothing.clone(), order)
    of_path, of_epoch, order = stream.memory[ORDER]
    new = (of_path != stream.ids) | (of_epoch != epoch)
    if bool(new.any()):
        order[new] = stream.words(philox.MINIBATCH, n, at=epoch, lanes=new).argsort(dim=1)
        of_path[new], of_epoch[new] = stream.ids[new], epoch[new]
    columns = place[:, None] * size + torch.arange(size, device=place.device)
    return order.gather(1, columns)
