"""A neuron dies of label noise, although its death is a saddle of the loss: f(x) = w2 tanh(w1 x), two weights.

    dw = -∇L dt + ζ sqrt(η/m) Σ_i ∇f(x_i) dB_i   (Itô),    L = Σ_i (f(x_i) - y_i)² / 2m

is the SDE of SGD with rate η on single examples whose labels have noise ζ, for m = 32 examples x ~ N(0, 1),
y = x + 0.1 N(0, 1), fixed by a seed. At w = 0 every noise points along (w2, w1), and w1 ± w2 obey

    d(w1 ± w2) = ±(w1 ± w2) (a dt + s dB),    a = σ'(0) Σxy/m,    s² = η ζ² σ'(0)² Σx²/m,    σ = tanh,

so their Lyapunov exponents are ±a - s²/2. The origin, with the Hessian eigenvalues ±a a saddle of the loss, attracts
if and only if η ζ² σ'(0)/2 > Σxy/Σx². An Euler step multiplies w1 ± w2 by 1 ± (a dt + s sqrt(dt) Z), with the
exponent E log|1 ± (a dt + s sqrt(dt) Z)| / dt, which is known exactly.

The equation keeps its 32 noises. Two would do for the law of a path (a Cholesky factor of the 2 × 2 covariance), but
that factor is no smooth function of w at the origin, and the tangent needs its derivative there; the cost is that of
the 32 tanh anyway. Exponents are those of `Tangent` at w = 0. The share of paths with |w| < 0.01 at a finite time blurs
the threshold: near it a path stays small for long on either side.

Chen, Kunin, Yamamura and Ganguli, arXiv 2306.04251, section 4: equation, m, data, ζ, dt, start, η up to 4 and the
limit of collapse are the paper's, which runs 1000 paths to T = 1000; our default is shorter.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import torch

import sdesim as sd

M, COLLAPSED, START = 32, 0.01, 0.001
DRAWN = np.random.default_rng(0).standard_normal((2, M))
X, Y = DRAWN[0], DRAWN[0] + 0.1 * DRAWN[1]
A, MEAN_SQUARE = float(X @ Y) / M, float(X @ X) / M
ORIGIN, NEAR = "at the origin", "from 0.001 N(0, 1)"
ALONG, ACROSS = (0.0, 0.0, 0.5**0.5, 0.5**0.5, 0.0), (0.0, 0.0, 0.5**0.5, -(0.5**0.5), 0.0)  # w, tangent, growth


@dataclasses.dataclass(frozen=True)
class Params:
    """Noise against curvature for one neuron.

    Parameters
    ----------
    zeta : float
        Standard deviation of the label noise.
    dt, t_max : float
        Time step and length of a path.
    eta_max : float
        Largest learning rate η of the diagram.
    cells : int
        Learning rates, η = 0 left out.
    """

    zeta: float = 1.0
    dt: float = 0.01
    t_max: float = 200.0
    eta_max: float = 4.0
    cells: int = 16


@dataclasses.dataclass(frozen=True)
class Small:
    """First weights 0.001 N(0, 1), path by path."""

    def fresh_states(self, n_paths: int, seed: int, start_path: int = 0) -> torch.Tensor:
        """Weights of each path, (n_paths, 2)."""
        drawn = np.random.default_rng(seed).standard_normal((start_path + n_paths, 2))
        return torch.tensor(START * drawn[start_path:])


def chain(p: Params, eta: float) -> sd.Tangent:
    """Euler steps of the weights, with their tangent."""
    sigma = [f"tanh({x!r}*w1)" for x in X.tolist()]
    inner = [f"{x!r}*w2*(1 - {f}**2)" for x, f in zip(X.tolist(), sigma, strict=True)]
    error = [f"w2*{f} - ({y!r})" for f, y in zip(sigma, Y.tolist(), strict=True)]
    drift = ["-(" + " + ".join(f"({e})*{g}" for e, g in zip(error, slopes, strict=True)) + f")/{M}"
             for slopes in (inner, sigma)]  # fmt: skip
    noise = [[f"zeta*sqrt(eta/{M})*{g}" for g in slopes] for slopes in (inner, sigma)]
    sde = sd.SDE(drift, noise, variables=("w1", "w2"), params={"zeta": p.zeta, "eta": eta})
    return sd.Tangent(sd.EulerMaruyama(sde, p.dt))


def spread(p: Params, eta: Any) -> Any:
    """The noise s."""
    return p.zeta * np.sqrt(eta * MEAN_SQUARE)


def threshold(p: Params) -> float:
    """The learning rate above which the origin attracts."""
    return 2 * A / MEAN_SQUARE / p.zeta**2


def chain_exponent(p: Params, eta: Any, sign: int = 1) -> Any:
    """Exponent of Euler steps of w1 ± w2."""
    return sd.mean_log(1 + sign * A * p.dt, spread(p, eta) * p.dt**0.5) / p.dt


def build(p: Params) -> dict[str, sd.Experiment]:
    """Exponents at the origin, and paths that start close to it."""
    grid = {"eta": np.linspace(0.0, p.eta_max, p.cells + 1)[1:]}
    start = {ORIGIN: ALONG, NEAR: Small()}
    return {name: sd.Experiment(chain(p, 1.0), x0, 100, t_max=p.t_max, vary=grid) for name, x0 in start.items()}


def died(ds: Any) -> Any:
    """Which paths have |w| < 0.01 at the end."""
    w = ds["final_state"].sel(component=["w1", "w2"])
    return (w**2).sum("component") < COLLAPSED**2


def figure(ds: Any, p: Params) -> Any:
    """Exponents and shares of dead neurons against the learning rate."""
    drawn, (slopes, shares) = sd.plot.canvas(2)
    found, fine = sd.lyapunov(ds.sel(dynamics=ORIGIN), level=0.999), np.linspace(0.01, p.eta_max, 200)
    eta = found.value["eta"]
    slopes.errorbar(
        eta, found.value, found.high - found.value, fmt="o", markersize=3, capsize=2, label="measured, 99.9 %"
    )
    slopes.plot(fine, A - spread(p, fine) ** 2 / 2, "k", label="equation, a - s²/2")
    slopes.plot(fine, chain_exponent(p, fine), "C3:", label=f"Euler steps, dt = {p.dt:g}")
    slopes.axhline(0, color="0.7", linewidth=0.8)
    slopes.set(xlabel="learning rate η", ylabel="exponent of |w| at 0 [1/time]")
    dead = sd.sample.share(died(ds.sel(dynamics=NEAR)), 0.95)
    bars = [dead.value - dead.low, dead.high - dead.value]
    shares.errorbar(
        eta, dead.value, bars, fmt="o", markersize=3, capsize=2, label=f"|w| < 0.01 at t = {p.t_max:g}, 95 %"
    )
    shares.set(xlabel="learning rate η", ylabel="share of dead neurons", ylim=(-0.03, 1.03))
    for ax in (slopes, shares):
        ax.axvline(threshold(p), color="k", linestyle="--", label="threshold 2Σxy/(ζ²σ'(0)Σx²)")
        ax.legend(fontsize="small")
    return drawn


def exponent(eta: float, x0: Any, t_max: float, n_paths: int, dt: float = 0.01) -> Any:
    """Measures the exponent at one learning rate."""
    p = dataclasses.replace(P, dt=dt)
    return lambda seed, level: sd.lyapunov(sd.run(chain(p, eta), x0, n_paths, t_max=t_max, seed=seed), level=level)


def zero(seed: int, level: float) -> Any:
    """The learning rate at which the exponent is zero."""
    near = THRESHOLD * np.linspace(0.8, 1.2, 7)
    ds = sd.run(chain(P, 1.0), ALONG, 2000, t_max=20.0, seed=seed, vary={"eta": near})
    return sd.sample.zero(ds["final_state"].sel(component="log_growth", drop=True) / 20.0, "eta", level)


def dead(times: float, t_max: float, n_paths: int = 500) -> Any:
    """Measures the share of dead neurons at a multiple of the threshold."""
    return lambda seed, level: sd.sample.share(
        died(sd.run(chain(P, times * THRESHOLD), Small(), n_paths, t_max=t_max, seed=seed)), level
    )


P = Params()
THRESHOLD, PULL = threshold(P), "attractivity condition"
ROWS = (
    ("neuron, η=1: exponent of w1 + w2, Euler steps", "definition", exponent(1.0, ALONG, 20, 4000),
     lambda: chain_exponent(P, 1.0), "equals", 0.05),
    ("neuron, η=4: exponent of w1 + w2, Euler steps", "definition", exponent(4.0, ALONG, 20, 4000),
     lambda: chain_exponent(P, 4.0), "equals", 0.05),
    ("neuron, η=2: exponent of w1 - w2, Euler steps", "definition", exponent(2.0, ACROSS, 3, 4000),
     lambda: chain_exponent(P, 2.0, -1), "equals", 0.05),
    ("neuron, η=4, dt/5: exponent is a - s²/2", PULL, exponent(4.0, ALONG, 10, 3000, 0.002),
     A - spread(P, 4.0) ** 2 / 2, "within", 0.1),
    ("neuron: η at which the exponent is zero is 2Σxy/(ζ²σ'(0)Σx²)", PULL, zero, THRESHOLD, "within", 0.05),
    ("neuron, 0.9 of the threshold: the share dead at t=200 is far from 0", "figure", dead(0.9, 200), 0.1, "above"),
    ("neuron, 1.5 of the threshold: the share dead at t=200", "figure", dead(1.5, 200), 0.9, "above"),
    ("neuron, 0.5 of the threshold: the share dead at t=200", "figure", dead(0.5, 200, 1000), 0.02, "below"),
)  # fmt: skip
CLAIMS = tuple(sd.Claim(*row) for row in ROWS)
