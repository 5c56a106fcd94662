"""The recursion on a function of one variable: exits, occupancy, and the chain of wells.

    X⁺ = φ_L(X - φ_b(η f'(X) - η Z)),   φ_b(w) = w min(1, b/|w|),   L = 1.6

with Z = 0.1 U W, U = ±1, P(W > w) = (1 + w)^-α, α = 1.2, on a function with two sharp minima (near -1.51 and
0.50) and two wide ones (near -0.70 and 1.32). The constants of its last factor are parameters (`dent`,
`dent_rate`), since one of them could not be verified against the paper.

Without truncation one jump of size d/η leaves a well whose edge is at distance d: the exit takes about
2/(H(d_left/η) + H(d_right/η)) steps, H(x) = P(|Z| > x), up to paths of two jumps (order η^(α-1)). With truncation
a well of radius r needs l* = ⌈r/b⌉ jumps and E τ ~ η^-[α + (l* - 1)(α - 1)] steps, slopes that settle slowly; seen
from far, paths are a Markov chain on the wells, and at small η only those that need most jumps keep their time.
The reference for every number is the operator of the recursion; `benchmarks/exit_scaling.py` runs longer.

Wang, Oh and Rhee, "Eliminating sharp minima from SGD with truncated heavy-tailed noise", arXiv 2102.04297;
limits: Wang and Rhee, arXiv 2307.03479.
"""

from __future__ import annotations

import dataclasses
import functools
from statistics import NormalDist
from typing import Any

import numpy as np

import sdesim as sd

FORMULA = (
    "(x + 1.6)*(x + 1.3)**2*(x - 0.2)**2*(x - 0.7)**2*(x - 1.6)*(0.05*abs(1.65 - x))**0.6"
    "*(1 + 1/(0.01 + 4*(x - 0.5)**2))*(1 + 1/(0.1 + 4*(x + 1.5)**2))*(1 - dent*exp(-dent_rate*(x + 0.8)**2))"
)
SHARP, WIDE = [0, 2], 1
RATES = (0.02, 0.01, 0.005, 0.002)


@dataclasses.dataclass(frozen=True)
class Params:
    """The run of the paper's figure.

    Parameters
    ----------
    lr, n_steps : float, int
        Learning rate η and number of steps.
    b : float
        Longest step of the truncated recursion.
    alpha, scale : float
        Tail index and scale of the noise.
    x0 : float
        Start.
    limit : float
        Walls at ±L.
    dent, dent_rate : float
        Constants of the last factor of f.
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
    return sd.Landscape(FORMULA, params={"dent": p.dent, "dent_rate": p.dent_rate}, domain=(-p.limit, p.limit))


def noise(p: Params) -> sd.Pareto:
    """The law of Z."""
    return sd.Pareto(p.alpha, scale=p.scale)


def dynamics(p: Params, truncated: bool) -> sd.Projected:
    """The recursion, with or without truncation."""
    step = sd.SGD(landscape(p), p.lr, noise=noise(p))
    return sd.Projected(sd.Truncated(step, p.b) if truncated else step, sd.Interval(-p.limit, p.limit))


def build(p: Params) -> dict[str, sd.Experiment]:
    """Paths without and with truncation, their wells watched."""
    watched = sd.Record(times=np.linspace(0.0, p.lr * p.n_steps, 2001)), sd.Passages(landscape(p))
    kinds = {"untruncated": False, "truncated": True}
    return {k: sd.Experiment(dynamics(p, t), p.x0, 16, n_steps=p.n_steps, observers=watched) for k, t in kinds.items()}


@functools.lru_cache(maxsize=32)
def exact_chain(p: Params, truncated: bool, rtol: float = 2e-3) -> Any:
    """Rates between the wells and shares of time, from the operator."""
    return sd.theory.chain_generator(dynamics(p, truncated), landscape(p), rtol=rtol)


def exit_from(p: Params, well: int) -> tuple[float, sd.Interval]:
    """Minimum of a well and the well itself; the walls at ±L let nobody out."""
    f = landscape(p)
    low, high = f.basins[well]
    return float(f.minima[well]), sd.Interval(-np.inf if well == 0 else low, np.inf if well == 3 else high)


def one_jump_time(p: Params, well: int) -> float:
    """2 / (H(d_left/η) + H(d_right/η)) steps, in time."""
    x, region = exit_from(p, well)
    return float(2 * p.lr / noise(p).tail(np.array([x - region.low, region.high - x]) / p.lr).sum())


@functools.lru_cache(maxsize=64)
def exact_exit(p: Params, well: int, truncated: bool, rtol: float = 2e-3) -> Any:
    """The mean exit time from the operator."""
    return sd.theory.chain_exit_time(dynamics(p, truncated), *exit_from(p, well), rtol=rtol)


def known(p: Params, truncated: bool, rtol: float = 2e-3) -> Any:
    """The operator's chain of wells."""
    return sd.chain.known(exact_chain(p, truncated, rtol).generator, landscape(p).minima)


def figure(ds: Any, p: Params) -> Any:
    """Landscape, paths, time in the wells; sharp mass and exponents of the exit time against η, from the operator."""
    drawn, axes = sd.plot.canvas(6)
    sd.plot.landscape(axes[0], landscape(p))
    for name, one in ds.groupby("dynamics"):
        state = one["state"].isel(path=0).squeeze()
        axes[1].plot(state["time"], state, linewidth=0.5, label=name)
    axes[1].set(xlabel="time [η × steps]", ylabel="x", title="one path each")
    sd.plot.occupancy(axes[2], ds)
    axes[2].set_title(f"share of time, η = {p.lr:g}, b = {p.b:g}")
    rates = np.array([0.02, 0.01, 0.005, 0.002, 0.001])
    for i, name in enumerate(ds["dynamics"].values):
        chains = [exact_chain(dataclasses.replace(p, lr=lr), name == "truncated", 0.05) for lr in rates]
        axes[3].plot(rates, [c.shares.value[SHARP].sum() for c in chains], f"C{i}-", label=f"{name}, long run")
        seen = sd.occupancy(ds.sel(dynamics=name), wells=SHARP)
        half = [[float(seen.value - seen.low)], [float(seen.high - seen.value)]]
        axes[3].errorbar([p.lr], [float(seen.value)], half, fmt=f"C{i}o", capsize=3, label=f"{name}, these paths")
    axes[3].set(yscale="log", ylabel="share of time in the sharp wells", title="sharp wells")
    for i, case in enumerate(CASES):
        times = [float(exact_exit(*case.at(lr, p), 0.02).steps) for lr in rates]
        slopes = np.diff(np.log(times)) / np.diff(np.log(rates))
        axes[4].plot(np.sqrt(rates[1:] * rates[:-1]), slopes, f"C{i}o-", label=f"{case.name}, {case.jumps}-jump limit")
        axes[4].axhline(-1 - case.jumps * (p.alpha - 1), color=f"C{i}", linestyle=":")
    axes[4].set(ylabel="d log(exit steps) / d log η", title="well 2: operator and limit (dotted)")
    axes[4].set_ylim(-1.65, -1.0)
    for ax in axes[3:5]:
        ax.set(xscale="log", xlabel="learning rate η")
        ax.set_xticks(rates, [f"{lr:g}" for lr in rates])
        ax.set_xticks([], minor=True)
    for ax in (axes[1], axes[3], axes[4]):
        ax.legend(fontsize="small")
    estimated = sd.chain.generator(ds.sel(dynamics="truncated"))
    sd.plot.chain_rates(axes[5], {"these paths": estimated, "operator": known(p, True, 0.05)})
    axes[5].set_title(f"chain of wells, b = {p.b:g}")
    return drawn


@dataclasses.dataclass(frozen=True)
class Case:
    """Exits of well 2: truncation, the jumps they need, paths that measure them (None: by splitting)."""

    name: str
    b: float | None
    jumps: int
    n_paths: int | None

    def at(self, lr: float, p: Params | None = None) -> tuple[Params, int, bool]:
        """Parameters, well and whether steps are truncated."""
        return dataclasses.replace(p or Params(), lr=lr, b=self.b or 0.5), WIDE, self.b is not None


CASES = (
    Case("no truncation", None, 1, 12_000),
    Case("b = 0.5", 0.5, 2, 12_000),
    Case("b = 0.28", 0.28, 3, None),
)


@functools.lru_cache(maxsize=4)
def exits(case: Case, seed: int) -> Any:
    """Exits of well 2 at all learning rates."""
    p, well, truncated = case.at(RATES[0])
    x, region = exit_from(p, well)
    return sd.run(
        dynamics(p, truncated), x0=x, n_paths=case.n_paths, n_steps=10**9, vary={"lr": RATES}, seed=seed,
        observers=[sd.FirstExit(region)],
    )  # fmt: skip


@functools.lru_cache(maxsize=8)
def rare_exit(case: Case, lr: float, seed: int, level: float) -> Any:
    """Mean exit time of well 2 by splitting: loops out of the bottom of the well."""
    p, well, truncated = case.at(lr)
    x, region = exit_from(p, well)
    bottom = sd.Interval(x - 0.03, x + 0.03)
    return sd.rare_exit_time(dynamics(p, truncated), x, a=bottom, leave=region, n_runs=200, seed=seed, level=level)


def exit_claims(case: Case) -> list[sd.Claim]:
    """Exit times of well 2 at every learning rate, and their slope, are the operator's."""
    limit, precision = -case.jumps * (Params.alpha - 1), 0.05 if case.n_paths else 0.1

    def exact(lr: float) -> float:
        return float(exact_exit(*case.at(lr)).value)

    def time_at(lr: float, seed: int, level: float) -> Any:
        if case.n_paths is None:
            return rare_exit(case, lr, seed, level)
        return sd.exits.mean_exit_time(exits(case, seed).sel(lr=lr, drop=True), level=level)

    def slope_above(seed: int, level: float) -> Any:
        found = [time_at(lr, seed, level) for lr in RATES]
        truth, width = np.array([exact(lr) for lr in RATES]), 2 * NormalDist().inv_cdf((1 + level) / 2)
        ratio = np.array([e.value for e in found]) / truth
        error = np.array([e.high - e.low for e in found]) / width / truth
        return sd.exits.scaling_exponent(ratio, over=RATES, error=error, level=level)

    at_rates = [
        sd.Claim(
            f"{case.name}, lr={lr:g}: mean exit time of well 2 is the operator's", "definition",
            functools.partial(time_at, lr), functools.partial(exact, lr), "equals", precision,
        )
        for lr in RATES
    ]  # fmt: skip
    text = f"{case.name}: d log(exit time) / d log(lr) less the operator's over these lr (limit {limit:.1f})"
    return [*at_rates, sd.Claim(text, "definition", slope_above, 0.0, "equals", 0.06)]


def law_claim() -> sd.Claim:
    """Exit time × rate is exponential."""

    def measure(seed: int, level: float) -> Any:
        mean = float(exact_exit(*CASES[1].at(0.002)).value)
        times = exits(CASES[1], seed).sel(lr=0.002)["exit_time"].values
        return sd.sample.distance(times / mean, lambda t: 1 - np.exp(-t), level=level)

    return sd.Claim("b = 0.5, lr=0.002: exit time / mean is exponential to 3 %", "theorem", measure, 0.03, "below")


@functools.lru_cache(maxsize=4)
def long_run(p: Params, truncated: bool, seed: int) -> Any:
    """A run long against every exit time; a path is in the well whose core it visited last."""
    n_steps = 40_000_000 if truncated else 5_000_000
    return sd.run(dynamics(p, truncated), p.x0, 64, n_steps=n_steps, seed=seed, observers=[sd.Passages(landscape(p))])


def sharp_claim(truncated: bool, relation: str, of: bool, factor: float, statement: str) -> sd.Claim:
    """Share of the sharp wells against `factor` times the operator's, with or without truncation."""

    def measure(seed: int, level: float) -> Any:
        return sd.occupancy(long_run(FINE, truncated, seed), level=level, wells=SHARP)

    def expected() -> float:
        return factor * float(exact_chain(FINE, of).shares.value[SHARP].sum())

    return sd.Claim(f"{statement} (lr={FINE.lr:g})", "main result", measure, expected, relation, 0.15)


def estimated_claim(p: Params) -> sd.Claim:
    """The chain estimated from passages is the operator's."""

    def measure(seed: int, level: float) -> Any:
        return sd.chain.distance(sd.chain.generator(long_run(p, True, seed)), known(p, True), level=level)

    return sd.Claim(
        f"b = 0.5, lr={p.lr:g}: the estimated chain of wells is the operator's", "theorem", measure, 0, precision=0.05
    )


def jump_claim(truncated: bool) -> sd.Claim:
    """The chain of fewest large jumps, in its own time, is near the operator's."""

    def measure(seed: int, level: float) -> Any:
        chain = sd.chain.jumps(dynamics(FINE, truncated), landscape(FINE))
        return sd.chain.distance(chain, known(FINE, truncated), scaled=True)

    kind = "b = 0.5" if truncated else "no truncation"
    return sd.Claim(
        f"{kind}, lr={FINE.lr:g}: wells are left as the fewest large jumps say", "limit", measure, 0.03, "below"
    )


def ball_claim(jumps: int, b: float | None, relation: str, bound: float) -> sd.Claim:
    """In the plane, a ball of radius 1 around the minimum of |x|²/2 needs ⌈1/b⌉ jumps; α = 1.5, isotropic."""

    def measure(seed: int, level: float) -> Any:
        step = sd.SGD(sd.Landscape("(x**2 + y**2)/2"), 0.02, noise=sd.Stable(1.5, isotropic=True))
        ds = sd.run(
            step if b is None else sd.Truncated(step, b), [0.0, 0.0], 20_000, n_steps=10**9, seed=seed,
            vary={"lr": [0.02, 0.01]}, observers=[sd.FirstExit(sd.Ball([0.0, 0.0], 1.0))],
        )  # fmt: skip
        return sd.exits.scaling_exponent(ds, "lr", level=level)

    side = "flatter" if relation == "above" else "steeper"
    text = f"two dimensions, ball of radius 1, b = {b or '∞'}: {jumps} jumps, exit time {side} than η^{bound:g}"
    return sd.Claim(text, "limit theorem", measure, bound, relation)


COARSE, MIDDLE, FINE = Params(lr=0.02), Params(lr=0.005), Params(lr=0.002)
CLAIMS = (
    *(claim for case in CASES for claim in exit_claims(case)),
    sd.Claim(
        "no truncation, lr=0.002: well 2 is left by one jump, 2/(H(d_left/lr) + H(d_right/lr)) steps",
        "one-jump limit", lambda seed, level: exact_exit(FINE, WIDE, False), lambda: one_jump_time(FINE, WIDE),
        "within", 0.05,
    ),
    law_claim(),
    sharp_claim(False, "equals", False, 1.0, "no truncation: stationary share of the sharp wells"),
    sharp_claim(True, "equals", True, 1.0, "truncation: stationary share of the sharp wells"),
    sharp_claim(True, "below", False, 0.2, "truncation nearly empties the sharp wells"),
    estimated_claim(COARSE),
    estimated_claim(MIDDLE),
    estimated_claim(FINE),
    sd.Claim(
        "b = 0.5: from lr=0.005 to 0.002 the chain of wells, in its own time, drifts by less than 1 %",
        "limit theorem", lambda seed, level: sd.chain.distance(
            known(MIDDLE, True), known(FINE, True), scaled=True), 0.01, "below",
    ),
    jump_claim(False),
    jump_claim(True),
    # Between the limits -1/2, -1 and -3/2 of one, two and three jumps.
    ball_claim(1, None, "above", -0.75),
    ball_claim(2, 0.7, "below", -0.75),
    ball_claim(3, 0.4, "below", -1.25),
)  # fmt: skip
