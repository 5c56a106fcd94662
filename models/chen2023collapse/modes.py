"""Teacher and student: label noise collapses the weak modes of a linear network, and its test loss falls.

A linear network UV of 64 units learns y = XW + noise, W of rank 8 with singular values from 0.5 to 1, from N = 1024
examples, X with unit singular values. On the singular vectors of XᵀY each mode has two weights u, v and a target S,
one of the singular values, signal or noise. With rate η' = η/N and noise ξ ~ N(0, σ²), fresh at every step, that u
and v share,

    u⁺ = u - η' (uv - S + ξ) v,    v⁺ = v - η' (uv - S + ξ) u,    u = v = 1 at the start.

At u = v = 0 a step multiplies u + v by 1 + η'(S - ξ): the exponent is E log|1 + η'(S - ξ)|/η', about S - η'σ²/2, and
modes with S < η'σ²/2 collapse. For the others E log|1 + η'(S - uv - ξ)| = 0 in the long run, so E uv = S - η'σ²/2 =: s̃
up to η' (σ² + E(S - uv)²)/2; after the rate falls to a tenth it is S - η'σ²/20. The paper's curve of the mean is
ŝ(t) = s̃/(1 + (s̃ - 1) e^(-2s̃t)), that of uv without its fluctuations. The test loss of the mean strengths follows it
where the noise is small or the modes have settled. At σ = 20 it does not: at t = 1 it is about twice the curve's, for
u and v fluctuate as much as they fall. The mean test loss of a seed lies above that of the mean strengths throughout.

How many modes are below uv = 0.01 at a finite time is more than a count of exponents: next to the threshold log u
wanders. `surviving` has the answer: y = log u has independent increments near 0, with exact mean and variance at every
y, so its law is that of a diffusion, solved on a grid.

Steps are Euler steps of length η' of the SDE with that noise, which is the same recursion; t = η' × step.

Chen, Kunin, Yamamura and Ganguli, arXiv 2306.04251, section 5: N, sizes, teacher, noise of the data, η = 3, σ up to 20,
60001 steps with a drop at 50000 and 256 seeds are the paper's; the earlier drop and the limit 0.01 are ours.
"""

from __future__ import annotations

import dataclasses
import functools
from typing import Any

import numpy as np

import sdesim as sd

from .linear_network import (
    STEPS,
    Params,
    at_zero,
    curve,
    exponent,
    modes,
    part_of,
    predicted,
    product,
    rate,
    survivors,
    teacher,
    test_loss,
)  # fmt: skip


def times(p: Params) -> np.ndarray:
    """When a run is looked at: between 1 and 60001 steps, and at both drops."""
    steps = {*np.geomspace(10, STEPS, 40).astype(int), p.early, p.drop, *np.linspace(p.drop, STEPS, 12).astype(int)}
    return np.array(sorted(steps)) * rate(p)


def build(p: Params) -> sd.Experiment:
    """All modes at all noises, with the rate dropped early or late."""
    drops = [(step - 0.5) * rate(p) for step in (p.early, p.drop)]
    grid = {"t_drop": drops, "sigma": p.sigmas, "S": teacher()[0]}
    return sd.Experiment(modes(p), [1.0, 1.0], 32, n_steps=STEPS, vary=grid, observers=[sd.Record(times(p))])


def figure(ds: Any, p: Params) -> Any:
    """Strengths before the drop, test loss over time, and survivors against noise."""
    drawn, (strengths, losses, counts) = sd.plot.canvas(3)
    late, s, drop = ds.isel(t_drop=1), teacher()[0], p.drop * rate(p)
    before, fine = late["state"].sel(time=slice(drop / 3, drop * 1.0001)), np.linspace(0, s[0], 200)
    for i, sigma in enumerate(p.sigmas):
        color, run = f"C{i}", late["state"].sel(sigma=sigma)
        mean = product(before.sel(sigma=sigma)).mean(("time", "path"))
        strengths.plot(s, mean, ".", color=color)
        strengths.plot(fine, np.maximum(fine - rate(p) * sigma**2 / 2, 0), color=color, label=f"σ = {sigma:g}")
        if i % 2:
            continue
        loss = test_loss(product(run)).mean("path")
        losses.plot(loss["time"] / rate(p), loss, color=color, label=f"σ = {sigma:g}")
        shown = product(run).mean("path").sel(time=slice(0, drop * 1.0001))
        theory = test_loss(shown.copy(data=curve(p, sigma, shown["time"]).T))
        losses.plot(shown["time"] / rate(p), test_loss(shown), ".", markersize=3, color=color)
        losses.plot(shown["time"] / rate(p), theory, "--", color=color)
    losses.plot([], [], "k.", markersize=3, label="of the mean over seeds")
    losses.plot([], [], "k--", label="of the curve ŝ(t)")
    losses.axvline(p.drop, color="0.7")
    strengths.set(xlabel="singular value S", ylabel="mean uv before the drop", title="lines: S - η'σ²/2")
    losses.set(xscale="log", yscale="log", xlabel="step", ylabel="test loss |UV - W|²/2", title="mean of the test loss")
    for i, (step, marker) in enumerate(((p.early, "s"), (p.drop, "o"))):
        found = sd.sample.mean(survivors(ds.isel(t_drop=i)), 0.95)
        counts.errorbar(p.sigmas, found.value, found.high - found.value, fmt=f"C{i}{marker}", label=f"drop at {step}")
        counts.plot(p.sigmas, [predicted(p, sigma, step) for sigma in p.sigmas], f"C{i}--")
    counts.plot(
        p.sigmas, [int((exponent(p, sigma, s) > 0).sum()) for sigma in p.sigmas], "k:", label="exponent above 0"
    )
    counts.plot([], [], "k--", label="law of log u")
    counts.set(xlabel="label noise σ", ylabel="modes per seed", title="uv > 0.01 at the end")
    for ax in (strengths, losses, counts):
        ax.legend(fontsize="x-small")
    return drawn


@functools.lru_cache(maxsize=1)
def everything(seed: int) -> Any:
    """All modes of 256 seeds."""
    return dataclasses.replace(build(dataclasses.replace(P, sigmas=(5.0, 10.0, 20.0)))).run(256, seed, progress=False)


def count(sigma: float, early: bool = False) -> Any:
    """Measures survivors of a seed."""
    which = {"sigma": sigma, "t_drop": everything_drops()[0 if early else 1]}
    return lambda seed, level: sd.sample.mean(survivors(everything(seed).sel(which)), level)


def law(sigma: float, early: bool = False) -> Any:
    """What `count` is to find."""
    return functools.partial(predicted, P, sigma, P.early if early else P.drop)


def everything_drops() -> list[float]:
    """Times of the two drops."""
    return [(step - 0.5) * rate(P) for step in (P.early, P.drop)]


def fewer(seed: int, level: float) -> Any:
    """Survivors of the late drop less those of the early one, σ = 20."""
    found = survivors(everything(seed).sel(sigma=20.0))
    return sd.sample.mean(found.isel(t_drop=1) - found.isel(t_drop=0), level)


def final_loss(sigma: float) -> Any:
    """Measures the test loss at the end."""
    return lambda seed, level: sd.sample.mean(
        test_loss(product(everything(seed)["final_state"].sel(sigma=sigma).isel(t_drop=1))), level
    )


def loss_of_mean(sigma: float, first: float, last: float, seeds: int | None = None) -> Any:
    """Measures the test loss of the strengths averaged over seeds and times; interval of its linear part.

    With `seeds` in a run of its own until `last`.
    """

    def measure(seed: int, level: float) -> Any:
        if seeds is None:
            ds = everything(seed).sel(sigma=sigma).isel(t_drop=1)
        else:
            grid = {"t_drop": everything_drops()[1:], "sigma": [sigma], "S": teacher()[0]}
            seen = [sd.Record([t for t in times(P) if t <= last])]
            ds = sd.run(modes(P), [1.0, 1.0], seeds, t_max=last, vary=grid, observers=seen, seed=seed, progress=False)
            ds = ds.isel(t_drop=0, sigma=0)
        strength = product(ds["state"].sel(time=slice(first, last))).mean("time")
        mean = strength.mean("path")
        slope = mean - part_of(mean, teacher()[1])
        return sd.sample.mean(test_loss(mean) + (slope * (strength - mean)).sum("S"), level)

    return measure


def one_mode(sigma: float, after: bool = False) -> Any:
    """Measures the mean of uv for S = 1 in the long run, before the drop or at the end."""

    def measure(seed: int, level: float) -> Any:
        drop, grid = everything_drops()[1], {"sigma": [sigma], "S": [1.0]}
        seen = np.linspace(drop / 5, drop, 50)
        options: dict[str, Any] = {"n_steps": STEPS, "seed": seed, "vary": {"t_drop": [drop], **grid}}
        ds = sd.run(modes(P), [1.0, 1.0], 65_536, observers=[sd.Record(seen)], progress=False, **options)
        found = product(ds["final_state"]) if after else product(ds["state"]).mean("time")
        return sd.sample.mean(found.isel(t_drop=0, sigma=0, S=0), level)

    return measure


def zero(sigma: float) -> Any:
    """Measures the S at which the exponent is zero."""

    def measure(seed: int, level: float) -> Any:
        s = rate(P) * sigma**2 / 2 * np.linspace(0.8, 1.2, 7)
        options: dict[str, Any] = {"n_steps": 5000, "seed": seed, "vary": {"S": s}, "progress": False}
        ds = sd.run(at_zero(P, sigma), [0.0, 0.0], 10_000, **options)
        return sd.sample.zero(ds["final_state"].sel(component="log_growth", drop=True) / (5000 * rate(P)), "S", level)

    return measure


def curve_loss(sigma: float, first: float, last: float) -> float:
    """Test loss of the curve ŝ(t), its strengths averaged over the same times."""
    seen = times(P)
    strength = curve(P, sigma, seen[(first <= seen) & (seen <= last)]).mean(0)
    _, part, size = teacher()
    return float((strength**2 - 2 * strength * part).sum() + size) / 2


P = Params()
HALF, SETTLED = rate(P) / 2, (P.drop * rate(P) / 2, P.drop * rate(P))
CLEAN, TEXT = curve_loss(0.0, *SETTLED), "attractivity condition"
ROWS = (
    ("modes, σ=10: S at which the exponent is zero is η'σ²/2", TEXT, zero(10.0), HALF * 100, "within", 0.05),
    ("modes, σ=20: S at which the exponent is zero is η'σ²/2", TEXT, zero(20.0), HALF * 400, "within", 0.05),
    ("modes, S=1, σ=10: long-run mean of uv is S - η'σ²/2", "theorem", one_mode(10.0), 1 - HALF * 100, "within", 0.005),
    ("modes, S=1, σ=15: long-run mean of uv is S - η'σ²/2", "theorem", one_mode(15.0), 1 - HALF * 225, "within", 0.005),
    ("modes, S=1, σ=10: after the drop S - η'σ²/20", "theorem", one_mode(10.0, True), 1 - HALF * 10, "within", 0.01),
    ("modes, σ=5: survivors of a seed", "law of log u", count(5.0), law(5.0), "equals", 0.02),
    ("modes, σ=10: survivors of a seed", "law of log u", count(10.0), law(10.0), "equals", 0.03),
    ("modes, σ=20: survivors of a seed", "law of log u", count(20.0), law(20.0), "equals", 0.05),
    ("modes, σ=20, drop at 10000: survivors", "law of log u", count(20.0, True), law(20.0, True), "equals", 0.05),
    ("modes, σ=20: a later drop leaves at least five fewer", "figure", fewer, -5.0, "below"),
    ("modes, σ=10: test loss at the end is below that without noise", "figure", final_loss(10.0), CLEAN, "below"),
    ("modes, σ=20: test loss at the end is below that without noise", "figure", final_loss(20.0), CLEAN, "below"),
    ("modes, σ=10, before the drop: test loss of mean strengths is that of the curve", "theorem",
     loss_of_mean(10.0, *SETTLED), curve_loss(10.0, *SETTLED), "within", 0.05),
    ("modes, σ=5, step 1700: test loss of mean strengths is that of the curve", "theorem",
     loss_of_mean(5.0, 4.5, 5.3, 1024),
     curve_loss(5.0, 4.5, 5.3), "within", 0.05),
    ("modes, σ=20, t=1: test loss of mean strengths is above 1.5 times that of the curve", "theorem, not met",
     loss_of_mean(20.0, 0.9, 1.1, 1024), 1.5 * curve_loss(20.0, 0.9, 1.1), "above"),
)  # fmt: skip
CLAIMS = tuple(sd.Claim(*row) for row in ROWS)
