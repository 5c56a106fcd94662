"""The double well in torch and in torchsde, float64."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import torch
import torchsde
from machine import THREADS

torch.set_num_threads(THREADS)

PIECE = 400
Sample = Callable[[], np.ndarray]


def loop(n: int, steps: int, dt: float, sigma: float) -> Sample:
    """Final states of n paths, by a Python loop over steps of all paths."""
    noise = sigma * math.sqrt(dt)

    def simulate() -> np.ndarray:
        with torch.no_grad():
            x = torch.full((n,), -1.0, dtype=torch.float64)
            for _ in range(steps):
                x = x - dt * (x * x * x - x) + noise * torch.randn(n, dtype=torch.float64)
        return x.numpy()

    return simulate


class DoubleWell(torch.nn.Module):
    """dX = (X - X³) dt + σ dW in the form torchsde takes."""

    noise_type, sde_type = "diagonal", "ito"

    def __init__(self, sigma: float) -> None:
        super().__init__()
        self.sigma = sigma

    def f(self, t, y):
        """Drift."""
        return y - y * y * y

    def g(self, t, y):
        """Diffusion."""
        return torch.full_like(y, self.sigma)


def torchsde_euler(n: int, steps: int, dt: float, sigma: float) -> Sample:
    """Final states of n paths, by torchsde's Euler solver, in pieces: its Brownian tree recurses over long times."""
    well = DoubleWell(sigma)
    start = torch.full((n, 1), -1.0, dtype=torch.float64)
    piece = min(steps, PIECE)
    pieces, rest = divmod(steps, piece)
    if rest:
        raise ValueError(f"{steps} steps are not a multiple of {PIECE}")
    times = torch.tensor([0.0, piece * dt], dtype=torch.float64)

    def simulate() -> np.ndarray:
        with torch.no_grad():
            y = start
            for _ in range(pieces):
                y = torchsde.sdeint(well, y, times, dt=dt, method="euler")[-1]
        return y.numpy().ravel()

    return simulate
