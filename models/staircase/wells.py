"""Two wells: the exponent of an exit climbs in steps, and so does what clipping selects.

    X⁺ = X - φ_b(η f'(X) - η Z),   φ_b(w) = w min(1, b/|w|),   P(|Z| > z) = (1 + z/s)^-α

on the loss f = min((x - 1)²/2, (x + r)²/(2r²)): a wide well around 1 of half-width 1 and a sharp one around -r of
half-width r = 0.3, with one maximum, at 0, and the same barrier 1/2. A well of half-width w is left by
l* = ⌈w/b⌉ jumps that follow each other within a time of relaxation, hence after η^-[α + (l* - 1)(α - 1)] steps:
against w/b the exponent is a staircase of treads at α, 2α - 1, 3α - 2, ... At finite η the treads slope and the steps
are round: with many jumps, and next to the upper end of a tread, the local exponent overshoots, by 0.25 for four jumps
at w/b = 3.5 and η between 0.01 and 0.04, and comes back very slowly. So simulation is held against the operator of the
recursion, and the operator against the staircase. (Where w/b is an integer some paths of l* full jumps end exactly on
the maximum, and the operator says that it does not know.)

The times of the two wells grow apart in the same steps, like η^-(⌈1/b⌉ - ⌈r/b⌉)(α - 1). Their ratio has no greatest
value: it grows without bound as b falls, since at last both wells are left by diffusion alone. It has a peak though,
at the smallest b at which the sharp well is still left by one jump, just above r: there the sharp well is left as fast
as without truncation and the wide one needs ⌈1/r⌉ = 4 jumps. Just below, the sharp well needs two, and the ratio falls
by a factor that grows as η falls; what surpasses the peak again, b < 0.25, leaves the sharp well sixty times slower
(η = 0.02). Within a given number of steps the answer is a plateau: paths leave the sharp well and stay in the wide one
for b between r and the half-width of the wide well.

Times of one jump are simulated directly, those of more by splitting. The recursion and its limit: Wang, Oh and Rhee,
arXiv 2102.04297; the experiment is ours.
"""

from __future__ import annotations

import dataclasses
import functools
from statistics import NormalDist
from typing import Any

import numpy as np

import sdesim as sd

CLIPS = (1.25, 0.95, 0.8, 0.667, 0.52, 0.48, 0.4, 0.345, 0.3125, 0.2857, 0.26, 0.24, 0.22)
SPLIT = (0.667, 0.4, 0.3125, 0.2857)
SHARP, WIDE = "sharp well", "wide well"


@dataclasses.dataclass(frozen=True)
class Params:
    """The recursion and the run.

    Parameters
    ----------
    lr : float
        Learning rate η of the run; exponents are shown from η to 4η and from η/8 to η/2.
    alpha, scale : float
        Index α and scale s of the noise.
    r : float
        Half-width of the sharp well.
    n_steps : int
        Steps of a path.
    clips : numbers
        Values of b.
    split : numbers
        Values of b whose exits from the wide well are simulated by splitting when the figure is drawn.
    """

    lr: float = 0.02
    alpha: float = 1.5
    scale: float = 0.1
    r: float = 0.3
    n_steps: int = 20_000
    clips: tuple[float, ...] = CLIPS
    split: tuple[float, ...] = SPLIT


def recursion(p: Params, b: float, lr: float) -> sd.Truncated:
    """Truncated steps on the two wells."""
    f = sd.Landscape("min((x - 1)**2/2, (x + r)**2/(2*r**2))", params={"r": p.r}, domain=(-4 * p.r, 4))
    return sd.Truncated(sd.SGD(f, lr, noise=sd.Pareto(p.alpha, scale=p.scale)), b)


def well(p: Params, name: str) -> tuple[float, sd.Interval]:
    """Minimum of a well and the well itself."""
    return (-p.r, sd.Interval(high=0.0)) if name == SHARP else (1.0, sd.Interval(low=0.0))


def build(p: Params) -> dict[str, sd.Experiment]:
    """Paths from both minima, for all b."""

    def leave(x: float, region: sd.Interval) -> sd.Experiment:
        watched = (sd.FirstExit(region),)
        return sd.Experiment(
            recursion(p, 1.0, p.lr), x, 1000, n_steps=p.n_steps, observers=watched, vary={"b": list(p.clips)}
        )

    return {name: leave(*well(p, name)) for name in (SHARP, WIDE)}


@functools.lru_cache(maxsize=512)
def exact(p: Params, name: str, b: float, lr: float, rtol: float = 0.01) -> Any:
    """Exit time of a well from the operator."""
    return sd.theory.chain_exit_time(recursion(p, b, lr), *well(p, name), rtol=rtol)


@functools.lru_cache(maxsize=64)
def direct(p: Params, name: str, b: float, lr: float, seed: int, level: float) -> Any:
    """Exit time of a well from paths that all leave."""
    x, region = well(p, name)
    ds = sd.run(recursion(p, b, lr), x, 12_000, n_steps=10**9, seed=seed, observers=[sd.FirstExit(region)])
    return sd.exits.mean_exit_time(ds, level=level)


@functools.lru_cache(maxsize=64)
def split(p: Params, b: float, lr: float, seed: int, level: float, n_runs: int) -> Any:
    """Exit time of the wide well by splitting: loops out of its bottom."""
    x, region = well(p, WIDE)
    return sd.rare_exit_time(
        recursion(p, b, lr), x, a=sd.Interval(0.95, 1.05), leave=region, n_clones=3000, n_runs=n_runs, n_loops=8,
        seed=seed, level=level,
    )  # fmt: skip


def jumps(b: float, width: float = 1.0) -> int:
    """l* = ⌈width/b⌉."""
    return int(np.ceil(width / b))


def limit(p: Params, b: float) -> float:
    """The exponent of the wide well as η → 0."""
    return p.alpha + (jumps(b) - 1) * (p.alpha - 1)


def exact_exponent(p: Params, b: float, lrs: tuple[float, float]) -> Any:
    """-d log(steps) / d log(η) of the wide well between two rates, from the operator."""
    found = [exact(p, WIDE, b, lr) for lr in lrs]
    span = float(np.log(lrs[0] / lrs[1]))
    error = sum(float(e.steps_error / e.steps) for e in found) / abs(span)
    return sd.theory.Reference(float(np.log(found[1].steps / found[0].steps)) / span, error, "transfer operator")


def exact_ratio(p: Params, b: float) -> Any:
    """Mean exit time of the wide well over that of the sharp one, from the operator."""
    wide, sharp = (exact(p, name, b, p.lr) for name in (WIDE, SHARP))
    value = float(wide.value / sharp.value)
    return sd.theory.Reference(value, value * float(wide.error / wide.value + sharp.error / sharp.value), wide.method)


def exact_score(p: Params, b: float) -> float:
    """Share of paths that leave the sharp well within n_steps, less the share that leave the wide one."""
    stay = [float(exact(p, name, b, p.lr, 2e-3).survival(p.n_steps)) for name in (WIDE, SHARP)]
    return stay[0] - stay[1]


@dataclasses.dataclass(frozen=True)
class Measured:
    """A number and its interval."""

    value: float
    low: float
    high: float


def quotient(above: Any, below: Any) -> Measured:
    """Two independent positive estimates of one level, one over the other: half-widths of logarithms add in squares."""
    value = float(above.value / below.value)
    factor = float(np.exp(np.hypot(*(np.log(e.high / e.low) / 2 for e in (above, below)))))
    return Measured(value, value / factor, value * factor)


def measured_exponent(p: Params, b: float, seed: int, level: float, n_runs: int) -> Any:
    """Exponent of the steps to leave the wide well, fitted over η, 2η and 4η."""
    rates = np.array(RATES) * p.lr
    if jumps(b) == 1:
        found = [direct(p, WIDE, b, lr, seed, level) for lr in rates]
    else:
        found = [split(p, b, lr, seed, level, n_runs) for lr in rates]
    steps, z = np.array([float(e.value) for e in found]) / rates, NormalDist().inv_cdf((1 + level) / 2)
    error = [np.log(e.high / e.low) / (2 * z) for e in found]
    fit = sd.exits.scaling_exponent(steps, over=rates, error=steps * error, level=level)
    return Measured(-float(fit.value), -float(fit.high), -float(fit.low))


def measured_score(sharp: Any, wide: Any, level: float = 0.95) -> Any:
    """The score of simulated paths: both wells are simulated apart, paths of one number make a pair."""
    left = [(ds["status"] == sd.Status.EXITED).astype(float) for ds in (sharp, wide)]
    return sd.sample.mean(left[0] - left[1], level)


def bars(ax: Any, x: Any, found: Any, label: str) -> None:
    """Points with their intervals."""
    value, low, high = (np.array([float(getattr(e, name)) for e in found]) for name in ("value", "low", "high"))
    ax.errorbar(x, value, [value - low, high - value], fmt="ko", markersize=4, capsize=3, zorder=3, label=label)


def draw_stairs(ax: Any, p: Params, clips: Any) -> None:
    """Exponents of the wide well against its half-width over b."""
    for color, (low, high) in (("C0", (p.lr, 4 * p.lr)), ("C1", (p.lr / 8, p.lr / 2))):
        found = [exact_exponent(p, b, (low, high)) for b in clips]
        known = np.array([e.value if e.error < 0.1 else np.nan for e in found])
        ax.plot(1 / clips, known, f"{color}.-", label=f"operator, η = {low:g} to {high:g}")
    treads = range(jumps(clips[0]) + 1)
    ax.step(treads, [p.alpha + max(i - 1, 0) * (p.alpha - 1) for i in treads], "k:", label="limit η → 0")
    points = [measured_exponent(p, b, 0, 0.95, FEW) for b in p.split]
    bars(ax, [1 / b for b in p.split], points, f"simulated, η = {p.lr:g} to {4 * p.lr:g}, 95 %")
    ax.set(xlabel="half-width of the well / b", ylabel="-d log(exit steps) / d log η", title="wide well")


def figure(ds: Any, p: Params) -> Any:
    """Exponents against 1/b; against b the ratio of the two times, and the share of paths where they should be."""
    drawn, (stairs, ratio, score) = sd.plot.canvas(3)
    clips = np.array(sorted(p.clips))
    draw_stairs(stairs, p, clips)
    ratio.plot(clips, [float(exact_ratio(p, b)) for b in clips], "C0.-", label="operator")
    both = [b for b in p.split if b in p.clips]
    fast = [sd.exits.mean_exit_time(ds.sel(dynamics=SHARP, b=b)) for b in both]
    slow = [split(p, b, p.lr, 0, 0.95, FEW) for b in both]
    bars(ratio, both, list(map(quotient, slow, fast)), "simulated, 95 %")
    ratio.set(yscale="log", ylabel="mean exit time, wide / sharp", title=f"η = {p.lr:g}")
    score.plot(clips, [exact_score(p, b) for b in clips], "C0.-", label="operator")
    sharp, wide = (ds.sel(dynamics=name) for name in (SHARP, WIDE))
    bars(score, clips, [measured_score(sharp.sel(b=b), wide.sel(b=b)) for b in clips], "simulated, 95 %")
    score.set(ylabel="left the sharp - left the wide well [share]", title=f"after {p.n_steps} steps, η = {p.lr:g}")
    for ax in (ratio, score):
        ax.axvline(p.r, color="0.6", linestyle="--", label=f"half-width of the sharp well, {p.r:g}")
        ax.set(xscale="log", xlabel="clipping b")
        ax.set_xticks([0.2, 0.3, 0.5, 1.0], ["0.2", "0.3", "0.5", "1"])
        ax.set_xticks([], minor=True)
    for ax in (stairs, ratio, score):
        ax.legend(fontsize="small")
    return drawn


def exit_claims(b: float) -> list[sd.Claim]:
    """Exit times of the wide well are the operator's, and so is their exponent."""
    count, width = jumps(b), f"half-width / b = {1 / b:g}"

    def time_at(lr: float, seed: int, level: float) -> Any:
        return direct(P, WIDE, b, lr, seed, level) if count == 1 else split(P, b, lr, seed, level, RUNS)

    def above(seed: int, level: float) -> Any:
        rates, found = np.array(RATES) * P.lr, measured_exponent(P, b, seed, level, RUNS)
        exactly = [float(exact(P, WIDE, b, lr).steps) for lr in rates]
        truth = -float(sd.exits.scaling_exponent(exactly, over=rates, level=level).value)
        return Measured(found.value - truth, found.low - truth, found.high - truth)

    times = [
        sd.Claim(
            f"{width}, lr={lr:g}: mean exit time of the wide well is the operator's", "definition",
            functools.partial(time_at, lr), functools.partial(lambda lr: float(exact(P, WIDE, b, lr).value), lr),
            "equals", 0.15,
        )
        for lr in (P.lr, 4 * P.lr)
    ]  # fmt: skip
    text = f"{width}, {count} jumps: exponent less the operator's, lr={P.lr:g} to {4 * P.lr:g}"
    return [*times, sd.Claim(text, "definition", above, 0.0, "equals", 0.15)]


def tread_claim(b: float) -> sd.Claim:
    """The operator's exponent is nearer to the limit's tread than to the next one."""

    def measure(seed: int, level: float) -> Any:
        found = exact_exponent(P, b, (P.lr / 8, P.lr / 2))
        return sd.theory.Reference(found.value - limit(P, b), found.error, found.method)

    text = f"half-width / b = {1 / b:g}: the operator's exponent, lr={P.lr / 8:g} to {P.lr / 2:g}, is on tread"
    return sd.Claim(
        f"{text} {jumps(b)}, at {limit(P, b):g}", "limit theorem", measure, 0.0, "within", (P.alpha - 1) / 2
    )


def ratio_at(b: float) -> Any:
    """Measures the ratio of the mean exit times."""
    return lambda seed, level: quotient(split(P, b, P.lr, seed, level, RUNS), direct(P, SHARP, b, P.lr, seed, level))


def peak(seed: int, level: float) -> Any:
    """The ratio just above b = r over the ratio just below."""
    return quotient(ratio_at(ABOVE)(seed, level), ratio_at(BELOW)(seed, level))


@functools.lru_cache(maxsize=4)
def ensemble(seed: int) -> Any:
    """The runs of the figure, with more paths: from the sharp well and from the wide one."""
    found = build(P)
    return found[SHARP].run(4000, seed), found[WIDE].run(4000, seed)


def score_at(b: float) -> Any:
    """Measures the score at the value of b in the grid that is next to it."""

    def measure(seed: int, level: float) -> Any:
        sharp, wide = (ds.sel(b=b, method="nearest") for ds in ensemble(seed))
        return measured_score(sharp, wide, level)

    return measure


P, RATES, RUNS, FEW = Params(), (1, 2, 4), 80, 10
ABOVE, BELOW, GOOD = 0.3125, 0.2857, 0.4
CLAIMS = (
    *(claim for b in (1.25, 0.667, 0.4, 0.2857) for claim in exit_claims(b)),
    *(tread_claim(b) for b in (1.25, 0.667, 0.4, 0.3125)),
    sd.Claim(
        "half-width / b = 3.5: the operator's exponent at lr=0.01 to 0.04 is above the tread at 3", "finite lr",
        lambda seed, level: exact_exponent(P, BELOW, (P.lr / 2, 2 * P.lr)), 3.2, "above",
    ),
    sd.Claim(
        "just above b = r: ratio of the mean exit times is the operator's", "definition", ratio_at(ABOVE),
        lambda: float(exact_ratio(P, ABOVE)), "equals", 0.15,
    ),
    sd.Claim("the ratio falls as b falls through r: above over below", "peak", peak, 1.5, "above"),
    sd.Claim(
        "no greatest ratio: at b = 0.22 the operator's is above that of the peak", "divergence",
        lambda seed, level: exact_ratio(P, 0.22),
        lambda: float(exact_ratio(P, ABOVE)), "above",
    ),
    sd.Claim(
        "b between the half-widths: share that leaves sharp and not wide is the operator's", "definition",
        score_at(GOOD), lambda: exact_score(P, GOOD), "equals", 0.01,
    ),
    sd.Claim("b between the half-widths: that share is nearly one", "plateau", score_at(GOOD), 0.98, "above"),
    sd.Claim("b above both: that share is small", "plateau", score_at(1.25), 0.5, "below"),
    sd.Claim("b below both: that share is small", "plateau", score_at(BELOW), 0.5, "below"),
)  # fmt: skip
