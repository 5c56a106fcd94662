"""Many networks trained by minibatch SGD: one model after the other, and by hand in torch.func."""

from __future__ import annotations

from collections.abc import Callable

import torch
from machine import THREADS
from torch import Tensor, nn
from torch.func import functional_call, grad, stack_module_state, vmap

torch.set_num_threads(THREADS)


def optimizers(make: Callable[[], nn.Module], n: int, x: Tensor, y: Tensor, batch: int, lr: float, steps: int):
    """Steps of n models, each with an optimizer of its own."""
    models = [make() for _ in range(n)]
    descents = [torch.optim.SGD(m.parameters(), lr=lr) for m in models]

    def run() -> None:
        for _ in range(steps):
            for model, descent in zip(models, descents, strict=True):
                i = torch.randint(0, len(x), (batch,))
                descent.zero_grad()
                nn.functional.cross_entropy(model(x[i]), y[i]).backward()
                descent.step()

    return run


def by_hand(make: Callable[[], nn.Module], n: int, x: Tensor, y: Tensor, batch: int, lr: float, steps: int):
    """Steps of n models at once: vmap of grad over stacked parameters."""
    base, models = make(), [make() for _ in range(n)]
    start = {k: v.detach() for k, v in stack_module_state(models)[0].items()}
    slope = vmap(grad(lambda p, a, b: nn.functional.cross_entropy(functional_call(base, p, (a,)), b)))

    def run() -> None:
        p = start
        for _ in range(steps):
            i = torch.randint(0, len(x), (n, batch))
            d = slope(p, x[i], y[i])
            p = {k: v - lr * d[k] for k, v in p.items()}

    return run
