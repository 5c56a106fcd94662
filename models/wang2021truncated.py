"""Truncated heavy-tailed SGD leaves sharp minima and stays out of them.

    X⁺ = φ_L(X - φ_b(η f'(X) - η Z)),   φ_b(w) = w min(1, b/|w|),   L = 1.6

with Z = 0.1 U W, U = ±1, P(W > w) = (1 + w)^-α, α = 1.2, on a function with two sharp minima (near -1.51 and
0.50) and two wide ones (near -0.70 and 1.32). The constants of its last factor are parameters (`dent`,
`dent_rate`), since one of them could not be verified against the paper.

Without truncation one jump of size d/η leaves a well whose edge is at distance d: the exit takes about
2/(H(d_left/η) + H(d_right/η)) steps, H(x) = P(|Z| > x), up to paths of two jumps (order η^(α-1)), and the
width of a well hardly matters. With truncation a well of radius r needs ⌈r/b⌉ jumps, and the wells that need
most of them hold nearly all of the time. The reference for every number is the operator of the recursion.

Wang, Oh and Rhee, "Eliminating sharp minima from SGD with truncated heavy-tailed noise", arXiv 2102.04297;
limits: Wang and Rhee, arXiv 2307.03479.
"""

from __future__ import annotations

import dataclasses
import functools
from typing import Any

import numpy as np

import sdesim as sd

FORMULA = (
    "(x + 1.6)*(x + 1.3)**2*(x - 0.2)**2*(x - 0.7)**2*(x - 1.6)*(0.05*abs(1.65 - x))**0.6"
    "*(1 + 1/(0.01 + 4*(x - 0.5)**2))*(1 + 1/(0.1 + 4*(x + 1.5)**2))*(1 - dent*exp(-dent_rate*(x + 0.8)**2))"
)
SHARP = [0, 2]


@dataclasses.dataclass(frozen=True)
class Params:
    """The run of the paper's figure.

    Parameters
    ----------
    lr : float
        Learning rate η.
    b : float
        Longest step of the truncated recursion.
    alpha : float
        Tail index of the noise.
    scale : float
        Size of the noise.
    x0 : float
        Start of every path.
    n_steps : int
        Steps of a path.
    limit : float
        L: states are kept in [-L, L].
    dent, dent_rate : float
        Depth and sharpness of the last factor of f.
    """

    lr: float = 0.001
    b: float = 0.5
    alpha: float = 1.2
    scale: float = 0.1
    x0: float = 0.3
    n_steps: int = 10_000_000
    limit: float = 1.6
    dent: float = 0.25
    dent_rate: float = 5.0


def landscape(p: Params) -> sd.Landscape:
    """The loss f on [-L, L]."""
    values = {"dent": p.dent, "dent_rate": p.dent_rate}
    return sd.Landscape(FORMULA, params=values, domain=(-p.limit, p.limit))


def noise(p: Params) -> sd.Pareto:
    """The law of Z."""
    return sd.Pareto(p.alpha, scale=p.scale)


def dynamics(p: Params, truncated: bool) -> sd.Projected:
    """The recursion, with or without truncation."""
    step = sd.SGD(landscape(p), p.lr, noise=noise(p))
    return sd.Projected(sd.Truncated(step, p.b) if truncated else step, sd.Interval(-p.limit, p.limit))


def build(p: Params) -> dict[str, sd.Experiment]:
    """Paths without and with truncation, their wells watched."""
    watched = (
        sd.Record(times=np.linspace(0.0, p.lr * p.n_steps, 2001)),
        sd.Passages(landscape(p)),
    )
    return {
        name: sd.Experiment(dynamics(p, name == "truncated"), p.x0, 16, n_steps=p.n_steps, observers=watched)
        for name in ("untruncated", "truncated")
    }


def stationary_shares(p: Params, truncated: bool) -> np.ndarray:
    """Share of time in each well in the long run, from the transfer operator."""
    law = sd.theory.chain_stationary_law(dynamics(p, truncated), intervals=landscape(p).basins)
    return np.asarray(law.interval_mass.value)


def figure(ds: Any) -> Any:
    """The landscape, a path without and one with truncation, and the occupancy of the wells."""
    p = model.params_of(ds)
    f = landscape(p)
    drawn, axes = sd.plot.canvas(3)
    sd.plot.landscape(axes[0], f)
    for name, one in ds.groupby("dynamics"):
        state = one["state"].isel(path=0).squeeze()
        axes[1].plot(state["time"], state, linewidth=0.5, label=name)
    axes[1].legend(fontsize="small")
    axes[1].set(xlabel="time [η × steps]", ylabel="x", title="one path each")
    sd.plot.occupancy(axes[2], ds)
    axes[2].set_title(f"share of time, η = {p.lr:g}, b = {p.b:g}")
    return drawn


def exit_from(p: Params, well: int) -> tuple[float, sd.Interval]:
    """Minimum of a well and the well itself; the walls at ±L let nobody out."""
    f = landscape(p)
    low, high = f.basins[well]
    return float(f.minima[well]), sd.Interval(-np.inf if well == 0 else low, np.inf if well == 3 else high)


def one_jump_time(p: Params, well: int) -> float:
    """2 / (H(d_left/η) + H(d_right/η)) steps, in time."""
    x, region = exit_from(p, well)
    return float(2 * p.lr / noise(p).tail(np.array([x - region.low, region.high - x]) / p.lr).sum())


def exact_exit(p: Params, well: int) -> Any:
    """The mean exit time without truncation, from the transfer operator."""
    return sd.theory.chain_exit_time(dynamics(p, truncated=False), *exit_from(p, well))


def exit_claim(p: Params, well: int) -> sd.Claim:
    """Without truncation, the simulated exit time is that of the operator."""

    def measure(seed: int, level: float) -> Any:
        x, region = exit_from(p, well)
        chain, watched = dynamics(p, truncated=False), [sd.FirstExit(region)]
        ds = sd.run(chain, x0=x, n_paths=60_000, n_steps=10**7, seed=seed, observers=watched)
        return sd.exits.mean_exit_time(ds, level=level)

    statement = f"no truncation, lr={p.lr:g}: mean exit time of well {well + 1} is the operator's"
    return sd.Claim(statement, "definition", measure, lambda: exact_exit(p, well), "equals", 0.02)


@functools.lru_cache(maxsize=2)
def long_run(truncated: bool, seed: int) -> Any:
    """A run long against every exit time; a path is in the well whose core it visited last."""
    chain, watched = dynamics(FINE, truncated), [sd.Passages(landscape(FINE))]
    n_steps = 15_000_000 if truncated else 5_000_000
    return sd.run(chain, x0=FINE.x0, n_paths=64, n_steps=n_steps, seed=seed, observers=watched)


def sharp_claim(truncated: bool, relation: str, of: bool, factor: float, statement: str) -> sd.Claim:
    """Share of the sharp wells against `factor` times the operator's, with or without truncation."""

    def measure(seed: int, level: float) -> Any:
        return sd.occupancy(long_run(truncated, seed), level=level, wells=SHARP)

    def expected() -> float:
        return factor * float(stationary_shares(FINE, of)[SHARP].sum())

    return sd.Claim(f"{statement} (lr={FINE.lr:g})", "main result", measure, expected, relation, 0.15)


COARSE, FINE = Params(lr=0.02), Params(lr=0.002)
model = sd.Model(
    name="wang2021truncated",
    paper=sd.Paper(
        authors="Wang, Xingyu and Oh, Sewoong and Rhee, Chang-Han",
        title="Eliminating Sharp Minima from SGD with Truncated Heavy-Tailed Noise",
        year=2021,
        arxiv="2102.04297",
    ),
    Params=Params,
    build=build,
    figure=figure,
    claims=(
        exit_claim(COARSE, 1),
        exit_claim(COARSE, 3),
        exit_claim(FINE, 2),
        sd.Claim(
            "no truncation, lr=0.002: well 2 is left by one jump, 2/(H(d_left/lr) + H(d_right/lr)) steps",
            "one-jump limit",
            lambda seed, level: exact_exit(FINE, 1),
            lambda: one_jump_time(FINE, 1),
            "within",
            0.05,
        ),
        sharp_claim(False, "equals", False, 1.0, "no truncation: stationary share of the sharp wells"),
        sharp_claim(True, "equals", True, 1.0, "truncation: stationary share of the sharp wells"),
        sharp_claim(True, "below", False, 0.2, "truncation nearly empties the sharp wells"),
    ),
)
