"""Two forms of a function of every path: all paths in one batch, or one path after the other; which is faster."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

Dims = tuple[int | None, ...]
Form = Callable[[Callable[..., Tensor], Tensor, Sequence[Tensor], Dims], Tensor]


def _row(args: Sequence[Tensor], dims: Dims, which: Any) -> list[Tensor]:
    return [a if d is None else a[which] for a, d in zip(args, dims, strict=True)]


def _batched(f: Callable[..., Tensor], x: Tensor, args: Sequence[Tensor], dims: Dims) -> Tensor:
    return torch.func.vmap(f, (0, *dims))(x, *args)


def _looped(f: Callable[..., Tensor], x: Tensor, args: Sequence[Tensor], dims: Dims) -> Tensor:
    return torch.stack([f(row, *_row(args, dims, i)) for i, row in enumerate(x)])


def _gradient_batched(f: Callable[..., Tensor], x: Tensor, args: Sequence[Tensor], dims: Dims) -> Tensor:
    # Paths are independent: the gradient of the sum over paths is each path's own. Quicker than vmap(grad).
    with torch.enable_grad():
        leaf = x.detach().requires_grad_()
        return _gradient(torch.func.vmap(f, (0, *dims))(leaf, *args).sum(), leaf)


def _gradient_looped(f: Callable[..., Tensor], x: Tensor, args: Sequence[Tensor], dims: Dims) -> Tensor:
    gradients = torch.empty_like(x, requires_grad=False)
    for i, row in enumerate(x):
        with torch.enable_grad():
            leaf = row.detach().requires_grad_()
            gradient = _gradient(f(leaf, *_row(args, dims, i)), leaf)
        gradients[i] = gradient
    return gradients


def _gradient(total: Tensor, leaf: Tensor) -> Tensor:
    if not total.requires_grad:
        raise ValueError("the loss does not depend on x through torch operations; leave out .detach() and .numpy()")
    return torch.autograd.grad(total, leaf)[0]


VALUE: dict[str, Form] = {"vmap": _batched, "loop": _looped}
GRADIENT: dict[str, Form] = {"vmap": _gradient_batched, "loop": _gradient_looped}


def faster(
    forms: dict[str, Form], f: Callable[..., Tensor], x: Tensor, args: Sequence[Tensor], dims: Dims
) -> str:
    """The faster form; a near tie goes to vmap, so that the choice seldom changes from run to run."""
    few = slice(0, 8)
    one_by_one = _seconds(lambda: forms["loop"](f, x[few], _row(args, dims, few), dims), x) * len(x) / len(x[few])
    try:
        together = _seconds(lambda: forms["vmap"](f, x, args, dims), x, enough=4 * one_by_one)
    except RuntimeError:  # an operation without a batched form, or too little memory for all paths at once
        return "loop"
    return "loop" if one_by_one < 0.8 * together else "vmap"


def _seconds(work: Callable[[], Any], x: Tensor, enough: float = float("inf")) -> float:
    """The best of three times after a first, or the first if it took longer than `enough`."""
    times = []
    for _ in range(4):
        start = time.perf_counter()
        work()
        if x.is_cuda:
            torch.cuda.synchronize(x.device)
        times.append(time.perf_counter() - start)
        if times[0] > enough:
            break
    return min(times[1:] or times)
