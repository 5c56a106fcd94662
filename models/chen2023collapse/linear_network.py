"""A linear network in its modes: data, recursion, the law of what survives. The text is in `modes`."""

from __future__ import annotations

import dataclasses
import functools
from typing import Any

import numpy as np
from scipy.linalg import solve_banded

import sdesim as sd

N, SIZE, RANK, STEPS, COLLAPSED = 1024, 64, 8, 60_001, 0.01
Z, WEIGHT = np.polynomial.hermite_e.hermegauss(41)
WEIGHT = WEIGHT / WEIGHT.sum()


@dataclasses.dataclass(frozen=True)
class Params:
    """Label noise in a linear network.

    Parameters
    ----------
    eta : float
        Learning rate η.
    sigmas : tuple of float
        Standard deviations σ of the noise.
    drop, early : int
        Step after which the rate is a tenth, and an earlier one to compare with.
    """

    eta: float = 3.0
    sigmas: tuple[float, ...] = (0.0, 5.0, 10.0, 15.0, 20.0)
    drop: int = 50_000
    early: int = 10_000


@functools.cache
def teacher() -> tuple[np.ndarray, np.ndarray, float]:
    """Singular values S of XᵀY, the teacher's part a along each mode, and |W|²."""
    rng = np.random.default_rng(0)
    left, right, inputs = (np.linalg.qr(rng.standard_normal((rows, SIZE)))[0] for rows in (SIZE, SIZE, N))
    w = left[:, :RANK] * np.linspace(0.5, 1.0, RANK) @ right[:, :RANK].T
    u, s, v = np.linalg.svd(inputs.T @ (inputs @ w + 0.5 * rng.standard_normal((N, SIZE)) / 8))
    return s, np.einsum("ik,ij,kj->k", u, w, v), float((w**2).sum())


def rate(p: Params) -> float:
    """η' = η/N, also the time of a step."""
    return p.eta / N


def modes(p: Params, sigma: float = 10.0, s: float = 1.0) -> sd.EulerMaruyama:
    """The recursion of a mode, at a tenth of the rate after the time t_drop."""
    now = "(0.55 + 0.45*sign(t_drop - t))"
    drift, noise = ([f"({text})*{other}*{now}" for other in "vu"] for text in ("S - u*v", "-sigma*sqrt(eta)"))
    params = {"S": s, "sigma": sigma, "eta": rate(p), "t_drop": (p.drop - 0.5) * rate(p)}
    return sd.EulerMaruyama(sd.SDE(drift, [[b] for b in noise], variables=("u", "v"), params=params), rate(p))


def at_zero(p: Params, sigma: float, s: float = 1.0) -> sd.Tangent:
    """The recursion written as SGD on a random loss, with its tangent."""
    loss = sd.Landscape("(u*v - S)**2/2 + xi*u*v", params={"S": s, "xi": 0.0}, variables=("u", "v"))
    return sd.Tangent(sd.SGD(loss, rate(p), noise=sd.Gaussian(sigma), random="xi"), direction=[1.0, 1.0])


def exponent(p: Params, sigma: Any, s: Any) -> Any:
    """E log|1 + η'(S - ξ)|/η'."""
    return sd.mean_log(1 + rate(p) * np.asarray(s), rate(p) * np.asarray(sigma)) / rate(p)


def product(state: Any) -> Any:
    """Strength uv of every mode."""
    return state.sel(component="u", drop=True) * state.sel(component="v", drop=True)


def test_loss(strength: Any) -> Any:
    """|UV - W|²/2, from the strengths of all modes."""
    _, part, size = teacher()
    return ((strength**2 - 2 * strength * part_of(strength, part)).sum("S") + size) / 2


def part_of(strength: Any, part: np.ndarray) -> Any:
    """The teacher's part along the modes of a dataset."""
    return strength["S"].copy(data=part)


def curve(p: Params, sigma: float, t: Any) -> Any:
    """The paper's ŝ(t) for every mode, shape (time, mode), until the drop."""
    s = teacher()[0] - rate(p) * sigma**2 / 2
    return s / (1 + (s - 1) * np.exp(-2 * s * np.asarray(t)[:, None]))


def surviving(p: Params, sigma: float, s: float, drop: int, low: float = -40.0, turns: int = 500) -> float:
    """Probability that a mode has uv > 0.01 at the end, from the law of y = log u on a grid, for σ > 0.

    Rates up and down between grid points are those of exponential fitting: drift and, for small steps, variance of y
    are exact. Implicit steps.
    """
    y, dy = np.linspace(low, 1.2, 1400, retstep=True)
    mass = np.zeros(len(y))
    mass[np.argmin(np.abs(y))] = 1.0
    for now, steps in ((1.0, drop), (0.1, STEPS - drop)):
        grow = np.log(np.abs(1 + now * rate(p) * (s - np.exp(2 * y)[:, None] - sigma * Z)))
        mean = grow @ WEIGHT
        pull = 2 * mean * dy / ((grow - mean[:, None]) ** 2 @ WEIGHT)
        up, down = (mean / dy / -np.expm1(-pull), mean / dy / np.expm1(pull))
        up[-1], down[0] = 0.0, 0.0
        bands = np.zeros((3, len(y)))
        bands[0, 1:], bands[1], bands[2, :-1] = -down[1:], up + down, -up[:-1]
        bands *= steps / turns
        bands[1] += 1
        for _ in range(turns):
            mass = solve_banded((1, 1), bands, mass)
    return float(mass[2 * y > np.log(COLLAPSED)].sum())


@functools.cache
def predicted(p: Params, sigma: float, drop: int) -> float:
    """Mean number of modes with uv > 0.01 at the end."""
    s = teacher()[0]
    return float(len(s) if sigma == 0 else sum(surviving(p, sigma, each, drop) for each in s))


def survivors(ds: Any) -> Any:
    """Modes with uv > 0.01 at the end, for each seed."""
    return (product(ds["final_state"]) > COLLAPSED).sum("S")
