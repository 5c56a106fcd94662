"""Re-entrant collapse: too much noise takes SGD out of the collapse that less noise brings, and its SDE cannot see it.

A mode of a diagonal linear network with label noise (Chen et al. 2023, arXiv 2306.04251, section 5) has the loss

    f(u, v; ξ) = (u v - S)²/2 + σ ξ u v,    u⁺ = u - η (u v - S + σ ξ) v,   v⁺ = v - η (u v - S + σ ξ) u

Near the origin, a saddle of the mean loss, w = u + v grows by the factor 1 + η (S - σ ξ) at a step, so that the mode
collapses, w → 0, where the exponent is below zero:

    SGD        ηλ = E log|1 + ηS - ησ ξ|                    normal ξ: `sd.mean_log`; ξ = ±1: ½ log|(1 + ηS)² - (ησ)²|
    SVAG       ηλ = l E log|1 + ηS/l - (ησ/l)(a ξ + b ξ')|  a, b = (1 ± c)/2, c² = 2l - 1; normal: a ξ + b ξ' ~ √l ξ
    SDE        ηλ = ηS - (ησ)²/2

(u - v shrinks faster: E log|1 - ηS + ησ ξ| is smaller.) The logarithm punishes factors near 0 and rewards large ones,
so that SGD's exponent comes back above zero: coins collapse iff (1 + ηS)² - 1 < (ησ)² < (1 + ηS)² + 1, normal noise
with ηS = 0.1 iff 0.412 < ησ < 1.454. Normal noise collapses no mode of ηS > 0.278, however large it is; coins collapse
all. The SDE's exponent falls without end: it has no upper edge. SVAG's upper edge grows like √l. On its way to the
SDE's, SVAG's exponent is not monotone in l: where noise is moderate it passes below. (With normal noise a step of SVAG
near the origin is an Euler step of h = η/l, in law; with coins it is not.) Beyond the upper edge paths leave the origin
for good, and since the loss is of fourth order, soon diverge. Paths that collapse make excursions first: those of this
file start from 1e-20, so that the question is whether the origin attracts, and not what is far away.

Exponents are measured from `sd.Tangent` at the origin, which keeps the growth as a sum of logarithms: nothing
underflows. The prediction and the experiment are ours; the mode is the paper's.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

import sdesim as sd

LOSS = sd.Landscape("(u*v - S)**2/2 + sigma*xi*u*v", params={"S": 1.0, "sigma": 1.0, "xi": 0.0})
ORIGIN, LADDER = [0.0, 0.0], (2, 4, 8)


@dataclasses.dataclass(frozen=True)
class Params:
    """The curves of the figure.

    Parameters
    ----------
    lr, S : float
        Learning rate η and strength S of the mode.
    most : float
        Largest noise, as ησ.
    points : int
        Noises at which exponents are measured.
    steps : int
        Length of a path in steps of SGD.
    part : int
        The SDE takes Euler steps of h = η/part.
    """

    lr: float = 0.1
    S: float = 1.0
    most: float = 2.2
    points: int = 12
    steps: int = 200
    part: int = 100


def dynamics(p: Params, coins: bool = False, part: int | None = None) -> dict[str, Any]:
    """SGD on the mode, SVAG with its l, and Euler steps of the SDE."""
    given: Any = {"noise": sd.Rademacher() if coins else sd.Gaussian(), "params": {"S": p.S}, "random": "xi"}
    sgd = sd.SGD(LOSS, p.lr, **given)
    steps = sd.EulerMaruyama(sd.modified_equation(sgd), p.lr / (part or p.part))
    return {"SGD": sgd, **{f"SVAG l={l}": sd.SVAG(LOSS, p.lr, l=l, **given) for l in LADDER}, "SDE": steps}  # noqa: E741


def predicted(p: Params, noise: Any, l: float = 1.0) -> Any:  # noqa: E741
    """Exponent ηλ at ησ = noise for normal ξ; l = inf is the SDE."""
    if np.isinf(l):
        return p.lr * p.S - np.square(noise) / 2
    return l * sd.mean_log(1 + p.lr * p.S / l, np.asarray(noise) / np.sqrt(l))


def coin_exponent(p: Params, noise: Any, l: int = 1) -> Any:  # noqa: E741
    """Exponent ηλ for coins: the mean over the four signs of two draws."""
    a, b = ((1 + s * np.sqrt(2 * l - 1)) / 2 for s in (1, -1))
    signs = [(s, t) for s in (1, -1) for t in (1, -1)]
    return l * np.mean([np.log(np.abs(1 + (p.lr * p.S + noise * (s * a + t * b)) / l)) for s, t in signs], axis=0)


def edge(exponent: Any, inside: float, outside: float) -> float:
    """Where an exponent is zero between a noise inside the window of collapse and one outside, by bisection."""
    for _ in range(60):
        middle = (inside + outside) / 2
        inside, outside = (middle, outside) if exponent(middle) < 0 else (inside, middle)
    return (inside + outside) / 2


def window(p: Params, l: float = 1.0) -> tuple[float, float]:  # noqa: E741
    """Both edges in ησ for normal noise; NaN where no noise is enough."""

    def exponent(noise: Any) -> Any:
        return predicted(p, noise, l)

    noises = np.sqrt(l) * np.linspace(0.0, 3.0, 601)[1:]
    deepest = float(noises[np.argmin(exponent(noises))])
    if exponent(deepest) >= 0:
        return float("nan"), float("nan")
    return edge(exponent, deepest, 1e-9), edge(exponent, deepest, 4 * deepest)


def build(p: Params) -> dict[str, sd.Experiment]:
    """Growth at the origin for a row of noises."""
    vary = {"sigma": np.linspace(0.0, p.most, p.points + 1)[1:] / p.lr}
    return {
        name: sd.Experiment(tangent(chain), ORIGIN, 200, t_max=p.lr * p.steps, vary=vary)
        for name, chain in dynamics(p).items()
    }


def tangent(chain: Any) -> Any:
    """A displacement along u = v at the origin."""
    return sd.Tangent(chain, direction=[1.0, 1.0])


def growth(ds: Any, p: Params) -> Any:
    """Growth of log w for each step of SGD, by path."""
    return ds["final_state"].sel(component="log_growth") * p.lr / (ds["n_steps"] * ds["clock"])


def figure(ds: Any) -> Any:
    """Exponents against noise, and the windows of collapse."""
    p = model.params_of(ds)
    drawn, (curves, map_) = sd.plot.canvas(2)
    fine, found = np.linspace(0.01, p.most, 300), growth(ds, p)
    for i, (name, rung) in enumerate(zip(ds["dynamics"].values, (1.0, *LADDER, np.inf), strict=True)):
        row = sd.sample.mean(found.sel(dynamics=name), level=0.95)
        curves.plot(fine, predicted(p, fine, rung), f"C{i}", lw=1)
        curves.errorbar(ds["sigma"] * p.lr, row.value, row.high - row.value, fmt=f"C{i}o", ms=3, capsize=2, label=name)
    curves.axhline(0, color="k", lw=0.8)
    curves.set(xlabel="noise ησ", ylabel="exponent ηλ [1/step of SGD]", title=f"ηS = {p.lr * p.S:g}, normal noise")
    curves.set_ylim(-1.6, 0.6)
    strengths = np.linspace(0.002, 0.6, 300)
    low, high = np.array([window(dataclasses.replace(p, S=s / p.lr)) for s in strengths]).T
    map_.fill_between(strengths, low, high, alpha=0.25, label="SGD, normal noise: collapses")
    for sign in (1, -1):
        coins = np.sqrt((1 + strengths) ** 2 + sign)
        map_.plot(strengths, coins, "C1", label="SGD, coins: collapses between" if sign > 0 else None)
    map_.plot(strengths, np.sqrt(2 * strengths), "C4--", label="SDE: collapses above")
    map_.plot([p.lr * p.S] * 2, window(p), "ko", ms=4, label="edges of the left panel")
    map_.set(xlabel="strength of the mode ηS", ylabel="noise ησ", ylim=(0, 2.2), title="windows of collapse")
    curves.legend(fontsize="small", loc="lower left")
    map_.legend(fontsize="small", loc="lower right")
    return drawn


def measured_edge(name: str, at: float, coins: bool = False) -> Any:
    """Measures the ησ at which the exponent is zero, from five noises within 1 % of the predicted edge."""

    def measure(seed: int, level: float) -> Any:
        chain, noises = tangent(dynamics(P, coins)[name]), at * np.linspace(0.99, 1.01, 5)
        ds = sd.run(chain, ORIGIN, 20_000, t_max=P.lr * P.steps, seed=seed, vary={"sigma": noises / P.lr})
        return sd.sample.zero(growth(ds, P).assign_coords(sigma=noises), "sigma", level)

    return measure


def rate(name: str, noise: float, n_paths: int, seed: int, part: int | None = None, **changed: Any) -> Any:
    """ηλ of each path of 100 steps at ησ = noise."""
    p = dataclasses.replace(P, steps=100, **changed)
    chain = tangent(dynamics(p, part=part)[name])
    ds = sd.run(chain, ORIGIN, n_paths, t_max=p.lr * p.steps, seed=seed, vary={"sigma": [noise / p.lr]})
    return growth(ds, p).isel(sigma=0)


def exponent(name: str, noise: float, n_paths: int = 4000, **more: Any) -> Any:
    """Measures ηλ at ησ = noise."""
    return lambda seed, level: sd.sample.mean(rate(name, noise, n_paths, seed, **more), level)


def extrapolated(noise: float) -> Any:
    """Measures the SDE's ηλ for h → 0, from h = η/200 and h = η/400."""

    def measure(seed: int, level: float) -> Any:
        coarse, fine = (rate("SDE", noise, 4000, seed + i, part=part) for i, part in enumerate((200, 400)))
        return sd.sample.mean(2 * fine - coarse, level)

    return measure


def lost(noise: float) -> Any:
    """Measures the share of paths of SGD that have collapsed, from u = v = 1e-20, after 2000 steps."""

    def measure(seed: int, level: float) -> Any:
        sgd = sd.SGD(LOSS, P.lr, params={"S": P.S, "sigma": noise / P.lr}, random="xi")
        ds = sd.run(sgd, [1e-20, 1e-20], 4000, n_steps=2000, seed=seed)
        return sd.sample.share(np.abs(ds["final_state"]).max("component") < 1e-30, level)

    return measure


P, FAR = Params(), 2.0
LOW, HIGH = window(P)
COINS = tuple(float(np.sqrt((1 + P.lr * P.S) ** 2 + s)) for s in (-1, 1))
EDGE, SDE = "exact exponent of the recursion", "exponent of the equation"
OWN = sd.Paper("Chen, Feng and Kunin, Daniel and Yamamura, Atsushi and Ganguli, Surya",
               "Stochastic collapse: how gradient noise attracts SGD dynamics towards simpler subnetworks",
               2023, "2306.04251")  # fmt: skip
ROWS = (
    ("lower edge of the window of collapse, normal noise", EDGE, measured_edge("SGD", LOW), LOW, "equals", 0.01),
    ("upper edge of the window of collapse, normal noise", EDGE, measured_edge("SGD", HIGH), HIGH, "equals", 0.01),
    ("lower edge, coins", EDGE, measured_edge("SGD", COINS[0], True), COINS[0], "equals", 0.01),
    ("upper edge, coins", EDGE, measured_edge("SGD", COINS[1], True), COINS[1], "equals", 0.01),
    ("upper edge of SVAG with l=4", EDGE, measured_edge("SVAG l=4", window(P, 4)[1]), window(P, 4)[1], "equals", 0.01),
    ("ηS=0.35, ησ=1.033: the smallest of SGD's exponents with normal noise is above 0", EDGE,
     exponent("SGD", 1.033, 20_000, S=3.5), 0.0, "above"),
    ("ησ=2: SGD's exponent", EDGE, exponent("SGD", FAR), float(predicted(P, FAR)), "equals", 0.1),
    ("ησ=2: SVAG's exponent, l=8", EDGE, exponent("SVAG l=8", FAR), float(predicted(P, FAR, 8)), "equals", 0.02),
    ("ησ=2: the SDE's exponent, h → 0, is ηS - (ησ)²/2", SDE, extrapolated(FAR), P.lr * P.S - FAR**2 / 2, "equals",
     0.02),
    ("ησ=2: the SDE collapses where SGD does not, h=η/10", SDE, exponent("SDE", FAR, part=10), 0.0, "below"),
    ("ησ=0.2, below the window: share collapsed", "paths of SGD", lost(0.2), 0.01, "below"),
    ("ησ=1, in the window: share collapsed", "paths of SGD", lost(1.0), 0.99, "above"),
    ("ησ=2, above the window: share collapsed", "paths of SGD", lost(2.0), 0.01, "below"),
)  # fmt: skip
model = sd.Model("reentrant", OWN, Params, build, figure, tuple(sd.Claim(*row) for row in ROWS))
