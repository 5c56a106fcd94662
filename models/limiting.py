r"""SGD with momentum around a minimum of least squares: stationary variances mode by mode, and anomalous diffusion.

    v⁺ = βv + Hx + λx - ξ,   x⁺ = x - ηv⁺,   Cov ξ = σ²H/B

With all B = n examples in every batch and Gaussian noise of standard deviation σ on their targets, afresh each step,
ξ = (1/n) Σ ε_i a_i has exactly this covariance, is Gaussian and does not depend on x. (Batches of B < n examples draw
the Hessian as well: then the noise also grows with x, and the variances with it.) Let the minimum be 0. The modes of H
then part: in one of curvature h, with k = h + λ and s² = σ²h/B, (x, v) takes Euler steps of length 1 of a linear SDE,
which is how modes are simulated here; one claim holds it against SGD with momentum on the examples. Time is the step.
Stationarity of v⁺², x⁺v⁺ and x⁺² gives three linear equations,

    E v² = β² E v² + 2βk E xv + k² E x² + s²,    E xv = E xv⁺ - ηE v²,    E x² = E x² - 2η E xv⁺ + η² E v²,

so E xv⁺ = ηE v²/2 = -E xv, and with E xv⁺ = βE xv + kE x²:

    E x² = ηs²(1+β) / (k(1-β)(2(1+β) - ηk)),    E v² = 2s² / ((1-β)(2(1+β) - ηk)),    E xv = -ηE v²/2.

The paper approximates each mode by an underdamped Ornstein-Uhlenbeck process; its variances are those to leading
order in η, ηs²/(2(1-β)k) and s²/(1-β²) with E xv = 0. Both lie below the exact ones by the factor 1 - ηk/(2(1+β)).

From the minimum the squared displacement E|x|² grows like t^c until the flattest mode is stationary. Without weight
decay the variance of x is about the same in every mode, and a mode that is slow against momentum takes (1-β)/(ηh) steps
to reach it: with h_j ~ j^-a about t^(1/a) modes have by step t, so c is about 1/a. Here a = 2. The spectrum is too
short for a clean power, so measured exponents are compared with those of the exact recursion of second moments.

Kunin, Sagastuy-Brena, Gillespie, Margalit, Tanaka, Ganguli and Yamins, arXiv 2107.09133. Leading order and
anomalous diffusion are the paper's; the exact variances, the spectrum and all numbers are ours.
"""

from __future__ import annotations

import dataclasses
import functools
import math
from typing import Any

import numpy as np

import sdesim as sd

DECAYS = (0.0, 0.1)
EARLY = (5, 10, 20, 40, 80, 160, 320, 640)
SLOPE = (10, 80)


@dataclasses.dataclass(frozen=True)
class Params:
    """Least squares with curvatures largest j^-2, j = 1 ... modes.

    Parameters
    ----------
    lr : float
        Learning rate η.
    momentum : float
        β.
    modes : int
        Number of modes.
    largest : float
        Largest curvature.
    sigma : float
        Standard deviation σ of the label noise.
    batch_size : int
        Number B of examples, all in every batch.
    n_steps : int
        Steps of a path; the last half is taken as stationary.
    """

    lr: float = 0.1
    momentum: float = 0.5
    modes: int = 24
    largest: float = 10.0
    sigma: float = 1.0
    batch_size: int = 40
    n_steps: int = 2000


def curvatures(p: Params) -> np.ndarray:
    """h_j, falling."""
    return p.largest / np.arange(1.0, p.modes + 1) ** 2


def recursion(p: Params, h: float = 1.0, decay: float = 0.0) -> sd.EulerMaruyama:
    """Position and velocity in one mode, a step a unit of time."""
    values = {"lr": p.lr, "beta": p.momentum, "s": p.sigma / math.sqrt(p.batch_size), "h": h, "decay": decay}
    drift = ["-lr*(beta*v + (h + decay)*x)", "(beta - 1)*v + (h + decay)*x"]
    noise = [["lr*s*sqrt(h)"], ["-s*sqrt(h)"]]
    return sd.EulerMaruyama(sd.SDE(drift, noise, variables=("x", "v"), params=values), 1.0)


def half_square(x: Any, inputs: Any, targets: Any) -> Any:
    """Losses of the examples."""
    return (inputs @ x - targets) ** 2 / 2


def sgd(p: Params, h: np.ndarray, decay: float) -> Any:
    """SGD with momentum on as many examples as modes, example j being sqrt(n h_j) along axis j."""
    like, n = sd.data.least_squares(1, 1).inputs.double(), len(h)
    inputs = like.new_tensor(np.diag(np.sqrt(n * h)))
    objective = sd.Objective(half_square, inputs, like.new_zeros(n), n, method="vmap")
    more = {"sampling": "fresh", "label_noise": p.sigma, "weight_decay": decay, "momentum": p.momentum}
    return sd.Momentum(objective, p.lr, n, **more)


def times(p: Params) -> np.ndarray:
    """Recorded steps: early ones for the displacement, and thirty from the last half."""
    late = np.unique(np.linspace(p.n_steps // 2, p.n_steps, 30).astype(int))
    return np.array([*(n for n in EARLY if n < late[0]), *late], dtype=float)


def build(p: Params) -> sd.Experiment:
    """From rest at the minimum, every mode, with and without weight decay."""
    vary = {"decay": DECAYS, "h": curvatures(p)}
    watched = (sd.Record(times(p)),)
    return sd.Experiment(recursion(p), (0.0, 0.0), 512, n_steps=p.n_steps, observers=watched, vary=vary)


def exact(p: Params, decay: float, h: Any) -> tuple[Any, Any]:
    """Stationary E x² and E v² of the recursion in a mode of curvature h."""
    k, noise = h + decay, p.sigma**2 * h / p.batch_size
    rest = (1 - p.momentum) * (2 * (1 + p.momentum) - p.lr * k)
    return p.lr * noise * (1 + p.momentum) / (k * rest), 2 * noise / rest


def leading(p: Params, decay: float, h: Any) -> tuple[Any, Any]:
    """The paper's, to leading order in η."""
    noise = p.sigma**2 * h / p.batch_size
    return p.lr * noise / (2 * (1 - p.momentum) * (h + decay)), noise / (1 - p.momentum**2)


def displacement(p: Params, decay: float, steps: Any) -> np.ndarray:
    """E|x|² after so many steps from rest at 0, by the recursion of the second moments of (x, v) in every mode."""
    h = curvatures(p)
    lr, b = p.lr, p.momentum
    xx, xv, vv = (np.zeros_like(h) for _ in range(3))
    k, noise, found = h + decay, p.sigma**2 * h / p.batch_size, [0.0]
    for _ in range(int(np.max(steps))):
        up = b * xv + k * xx
        vv = b * b * vv + 2 * b * k * xv + k * k * xx + noise
        xx, xv = xx - 2 * lr * up + lr * lr * vv, up - lr * vv
        found.append(float(xx.sum()))
    return np.array(found)[np.asarray(steps, dtype=int)]


def stationary(p: Params, state: Any) -> tuple[Any, Any, Any]:
    """x², v² and xv of every path, averaged over the last half of it."""
    late = state.sel(time=slice(p.n_steps // 2, None))
    x, v = late.sel(component="x", drop=True), late.sel(component="v", drop=True)
    return (x**2).mean("time"), (v**2).mean("time"), (x * v).mean("time")


def squared(state: Any) -> Any:
    """|x|² of every path, all modes together."""
    return (state.sel(component="x", drop=True) ** 2).sum("h")


def figure(ds: Any) -> Any:
    """Variances of position and velocity by curvature, and the squared displacement."""
    p = model.params_of(ds)
    drawn, axes = sd.plot.canvas(3)
    h, fine = curvatures(p), np.geomspace(curvatures(p)[-1], p.largest, 200)
    steps = np.arange(3, p.n_steps + 1)
    for color, decay in zip(("C0", "C1"), ds["decay"].values, strict=True):
        state, label = ds["state"].sel(decay=decay), f"λ = {decay:g}"
        for ax, squares, place in zip(axes, stationary(p, state), (0, 1), strict=False):
            points(ax, h, sd.sample.mean(squares.transpose("h", "path")), color, label)
            ax.plot(fine, exact(p, decay, fine)[place], color=color)
            ax.plot(fine, leading(p, decay, fine)[place], ":", color=color)
        points(axes[2], ds["time"], sd.sample.mean(squared(state).transpose("time", "path")), color, label)
        axes[2].plot(steps, displacement(p, decay, steps), color=color)
    guide = 1.2 * displacement(p, 0.0, [SLOPE[0]])[0] * np.sqrt(np.divide(SLOPE, SLOPE[0]))
    axes[2].plot(SLOPE, guide, "k--", linewidth=1, label="t^(1/2)")
    for ax in axes:
        ax.plot([], [], "k", label="exact")
        ax.set(xscale="log", yscale="log", xlabel="curvature h of the mode")
    for ax in axes[:2]:
        ax.plot([], [], "k:", label="leading order in η")
    axes[0].set(ylabel="variance of the position", title=f"η = {p.lr:g}, β = {p.momentum:g}, {p.modes} modes")
    axes[1].set(ylabel="variance of the velocity", title="points measured, with 95 % intervals")
    axes[2].set(xlabel="steps", ylabel="squared displacement", title="from rest at the minimum")
    for ax in axes:
        ax.legend(fontsize="small")
    return drawn


def points(ax: Any, at: Any, found: Any, color: str, label: str) -> None:
    """Estimates with their intervals."""
    bars = [found.value - found.low, found.high - found.value]
    ax.errorbar(at, found.value, bars, fmt="o", markersize=3, capsize=2, color=color, label=label)


@functools.lru_cache(maxsize=2)
def simulated(decay: float, seed: int) -> Any:
    """States of every mode at one weight decay, with more paths."""
    options: dict[str, Any] = {"n_steps": P.n_steps, "observers": [sd.Record(times(P))], "vary": {"h": curvatures(P)}}
    return sd.run(recursion(P, 1.0, decay), (0.0, 0.0), 4096, seed=seed, **options)["state"]


def ratios(which: int, formula: Any, decay: float = 0.0, modes: slice = slice(None)) -> Any:
    """Measures a stationary variance in units of a formula, averaged over modes."""
    unit = formula(P, decay, curvatures(P))[which]

    def measure(seed: int, level: float) -> Any:
        squares = stationary(P, simulated(decay, seed))[which].transpose("path", "h") / unit
        return sd.sample.mean(squares.isel(h=modes).mean("h"), level)

    return measure


def on_examples(which: int) -> Any:
    """Measures the same of SGD with momentum on examples, averaged over six modes, at λ = 0.1."""
    h = np.array([10.0, 5.0, 2.0, 1.0, 0.5, 0.2])
    unit = exact(dataclasses.replace(P, batch_size=len(h)), 0.1, h)[which]

    def measure(seed: int, level: float) -> Any:
        states = sd.run(sgd(P, h, 0.1), np.zeros(2 * len(h)), 4096, n_steps=150, seed=seed)["final_state"]
        squares = states.transpose("path", "component").values.reshape(-1, 2, len(h))[:, which] ** 2
        return sd.sample.mean((squares / unit).mean(axis=1), level)

    return measure


def cross(seed: int, level: float) -> Any:
    """-2 E xv / (η E v²) in the stiffest mode, with the exact E v²."""
    found = stationary(P, simulated(0.0, seed))[2].isel(h=0, drop=True)
    return sd.sample.mean(-2 * found / (P.lr * exact(P, 0.0, P.largest)[1]), level)


def exponent(seed: int, level: float) -> Any:
    """c between two times, by the delta method for the ratio of the two mean squares."""
    first, last = (squared(simulated(0.0, seed)).sel(time=n, drop=True) for n in SLOPE)
    width = math.log(SLOPE[1] / SLOPE[0])
    off = sd.sample.mean((last / float(last.mean()) - first / float(first.mean())) / width, level)
    slope = math.log(float(last.mean() / first.mean())) / width
    return dataclasses.replace(
        off, value=slope, low=off.low + slope, high=off.high + slope, method="log ratio of means"
    )


def exact_exponent() -> float:
    """c of the recursion of second moments between the same times."""
    first, last = displacement(P, 0.0, SLOPE)
    return math.log(last / first) / math.log(SLOPE[1] / SLOPE[0])


P = Params()
STIFF, FLAT = slice(0, 1), slice(10, None)
FACTOR = 1 / (1 - P.lr * P.largest / (2 * (1 + P.momentum)))
LEADING, MODE = "leading order in η", "stationary recursion"
CLAIMS = (
    ("position variances over the exact ones", MODE, ratios(0, exact), 1.0, "equals", 0.03),
    ("velocity variances over the exact ones", MODE, ratios(1, exact), 1.0, "equals", 0.03),
    ("λ=0.1: position variances over the exact ones", MODE, ratios(0, exact, 0.1), 1.0, "equals", 0.03),
    ("λ=0.1: velocity variances over the exact ones", MODE, ratios(1, exact, 0.1), 1.0, "equals", 0.03),
    ("SGD on examples, λ=0.1: position variances over the exact ones", MODE, on_examples(0), 1.0, "equals", 0.05),
    ("SGD on examples, λ=0.1: velocity variances over the exact ones", MODE, on_examples(1), 1.0, "equals", 0.05),
    ("stiffest mode: E xv is -η E v²/2, not 0", MODE, cross, 1.0, "equals", 0.05),
    ("modes with h < 0.1: position variances are those to leading order", LEADING, ratios(0, leading, 0.0, FLAT), 1.0,
     "within", 0.08),
    ("modes with h < 0.1: velocity variances are those to leading order", LEADING, ratios(1, leading, 0.0, FLAT), 1.0,
     "within", 0.08),
    ("λ=0.1, modes with h < 0.1: position variances are those to leading order", LEADING,
     ratios(0, leading, 0.1, FLAT), 1.0, "within", 0.08),
    ("ηh=1: position variance over that to leading order is 1/(1 - ηh/(2(1+β)))", MODE,
     ratios(0, leading, 0.0, STIFF), FACTOR, "equals", 0.1),
    ("ηh=1: velocity variance is not that to leading order", LEADING, ratios(1, leading, 0.0, STIFF), 1.2, "above"),
    ("squared displacement: exponent c between 10 and 80 steps", "anomalous diffusion", exponent, exact_exponent,
     "equals", 0.05),
    ("squared displacement grows more slowly than by diffusion, c < 1", "anomalous diffusion", exponent, 1.0, "below"),
)  # fmt: skip
model = sd.Model(
    name="limiting",
    paper=sd.Paper(
        authors="Kunin, Daniel and Sagastuy-Brena, Javier and Gillespie, Lauren and Margalit, Eshed and "
        "Tanaka, Hidenori and Ganguli, Surya and Yamins, Daniel L. K.",
        title="The limiting dynamics of SGD: modified loss, phase space oscillations, and anomalous diffusion",
        year=2021,
        arxiv="2107.09133",
    ),
    Params=Params,
    build=build,
    figure=figure,
    claims=tuple(sd.Claim(*row) for row in CLAIMS),
)
