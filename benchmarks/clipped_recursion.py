"""The truncated recursion of Wang, Oh and Rhee 2021 with its projection, against Numba and NumPy by hand."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numba
import numpy as np
from machine import THREADS
from table import Row
from timing import agree, alternate

import sdesim as sd
from sdesim.models import wang2021truncated as paper

N, STEPS, BLOCK = 65_536, 500, 4_096
RATES = (0.001, 0.02)
X0, CLIP, ALPHA, SCALE, LIMIT = 0.3, 0.5, 1.2, 0.1, 1.6
DENT, DENT_RATE = 0.25, 5.0


def _slope(power: Any, exp: Any) -> Callable[[Any], Any]:
    """f' by the product rule, every factor evaluated once: one power, one exponential, three divisions."""

    def slope(x: Any) -> Any:
        p = (x + 1.3) * (x - 0.2) * (x - 0.7)
        dp = (x - 0.2) * (x - 0.7) + (x + 1.3) * (2 * x - 0.9)
        q = x * x - 2.56
        poly, dpoly = q * p * p, 2 * x * p * p + 2 * q * p * dp
        root = power(0.05 * (1.65 - x), 0.6)
        droot = -0.6 * root / (1.65 - x)
        g = 1 / (0.01 + 4 * (x - 0.5) * (x - 0.5))
        h = 1 / (0.1 + 4 * (x + 1.5) * (x + 1.5))
        dg, dh = -8 * (x - 0.5) * g * g, -8 * (x + 1.5) * h * h
        g, h = 1 + g, 1 + h
        e = DENT * exp(-DENT_RATE * (x + 0.8) * (x + 0.8))
        d, dd = 1 - e, 2 * DENT_RATE * (x + 0.8) * e
        drest = droot * g * h * d + root * (dg * h * d + g * (dh * d + h * dd))
        return dpoly * root * g * h * d + poly * drest

    return slope


@numba.njit(inline="always")
def _pow(x, y):
    return x**y


SCALAR_SLOPE = numba.njit(error_model="numpy")(_slope(_pow, math.exp))
ARRAY_SLOPE = _slope(np.power, np.exp)


@numba.njit(parallel=True, error_model="numpy")
def _numba_paths(n, steps, lr):
    final = np.empty(n)
    for i in numba.prange(n):
        x = X0
        for _ in range(steps):
            side = 2 * np.random.random() - 1  # noqa: NPY002 (the generator that Numba keeps one of per thread)
            z = math.copysign(SCALE * ((1 - abs(side)) ** (-1 / ALPHA) - 1), side)
            w = -lr * (SCALAR_SLOPE(x) - z)
            x = min(LIMIT, max(-LIMIT, x + min(CLIP, max(-CLIP, w))))
        final[i] = x
    return final


def numba_loop(n: int, steps: int, lr: float) -> Callable[[], np.ndarray]:
    numba.set_num_threads(THREADS)
    return lambda: _numba_paths(n, steps, lr)


def numpy_loop(n: int, steps: int, lr: float, block: int) -> Callable[[], np.ndarray]:
    rng = np.random.default_rng(0)

    def one_block() -> np.ndarray:
        x = np.full(block, X0)
        for _ in range(steps):
            side = 2 * rng.random(block) - 1
            z = np.copysign(SCALE * ((1 - np.abs(side)) ** (-1 / ALPHA) - 1), side)
            w = np.clip(-lr * (ARRAY_SLOPE(x) - z), -CLIP, CLIP)
            x = np.clip(x + w, -LIMIT, LIMIT)
        return x

    return lambda: np.concatenate([one_block() for _ in range(n // block)])


def ours(n: int, steps: int, lr: float) -> Callable[[], Any]:
    dynamics = paper.dynamics(paper.Params(lr=lr), truncated=True)
    return lambda: sd.run(dynamics, X0, n, n_steps=steps, threads=THREADS, progress=False)


def measure(small: bool = False) -> tuple[list[Row], dict[str, Any]]:
    steps = STEPS // 20 if small else STEPS
    rows: list[Row] = []
    detail: dict[str, Any] = {"timings": {}, "agreement": {}}
    _check_slope()
    for lr in RATES:
        rows += _at_rate(lr, steps, detail)
    detail["remarks"] = [
        "Paper 11's recursion: Numba's loop runs on both threads, with one power and one exponential of libm for "
        "the gradient and one power for the noise. NumPy runs on one thread, with all paths at once or "
        f"{BLOCK:,} at a time (no bar): these stay in the cache, and their memory is not given back to the system and "
        "taken again at every operation, which is half of the time with all at once. All peers have the same "
        "gradient, written by hand."
    ]
    return rows, detail


def _check_slope() -> None:
    """The gradient by hand is the landscape's."""
    x = np.linspace(-LIMIT, LIMIT, 1001)
    gradient = paper.landscape(paper.Params()).gradient(x)
    np.testing.assert_allclose(ARRAY_SLOPE(x), gradient, rtol=1e-10, atol=1e-10)


def _at_rate(lr: float, steps: int, detail: dict[str, Any]) -> list[Row]:
    timed = alternate(
        {
            "sdesim": ours(N, steps, lr),
            "scalar Numba, libm": numba_loop(N, steps, lr),
            "NumPy": numpy_loop(N, steps, lr, N),
            "NumPy in blocks": numpy_loop(N, steps, lr, BLOCK),
        },
        rounds=7,
    )
    detail["timings"][f"lr={lr:g}"] = {name: t.summary() for name, t in timed.items()}
    state = timed["sdesim"].result["final_state"].values
    for peer in ("scalar Numba, libm", "NumPy", "NumPy in blocks"):
        other = timed[peer].result
        stayed, other_stayed = (abs(x - 0.45) < 0.25 for x in (state, other))
        detail["agreement"][f"{peer}, lr={lr:g}"] = {
            "z_mean": agree(f"{peer}, mean", state, other),
            "z_square": agree(f"{peer}, square", state**2, other**2),
            "z_stayed": agree(f"{peer}, in the third well", stayed, other_stayed),
        }
    ns = {name: t.median / N / steps * 1e9 for name, t in timed.items()}
    work = f"paper 11's recursion, η = {lr:g}, {N:,} paths × {steps:,} steps"
    bars = {"scalar Numba, libm": 4, "NumPy": 20, "NumPy in blocks": None}
    return [Row(work, "ns/path-step", ns["sdesim"], peer, ns[peer], bar) for peer, bar in bars.items()]
