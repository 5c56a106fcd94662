"""Noise proportional to the state makes a maximum of the loss attractive: the quartic well.

    dθ = (μθ - θ³) dt + ζθ dB   (Itô),     loss L = θ⁴/4 - μθ²/2,  L''(0) = -μ

No path reaches or leaves the origin. With y = log|θ| Itô's formula gives dy = (μ - ζ²/2 - e^{2y}) dt + ζ dB: close to
the origin |θ| grows like e^{λt}, with the Lyapunov exponent λ = μ - ζ²/2. For ζ² > 2μ the origin, a maximum of the
loss, attracts every path. Below, |θ| has the stationary density ∝ |θ|^(2μ/ζ² - 2) e^(-θ²/ζ²): θ²/ζ² follows the Gamma
law of shape μ/ζ² - 1/2, and E θ² = λ. The paper writes dθ = -L' dt + sqrt(2D) dB and asks for L''(0) + D''(0)/2 > 0;
here D = ζ²θ²/2, so D''(0) = ζ² and the sum is -λ.

Euler steps of θ have the exponent E log|1 + μ dt + ζ sqrt(dt) Z| / dt, by quadrature; at ζ = 3 and the paper's dt it
lies four per cent below λ. Euler steps of y are exact near the origin and never underflow. For exponents θ starts
at 1e-60: θ³ does not matter, and no number is too small before t = 20. The share of paths that have collapsed
(θ² < 1e-30) at a finite time says much less about the threshold.

Chen, Kunin, Yamamura and Ganguli, arXiv 2306.04251, section 4: equation, dt, μ = 1.5, ζ up to 3, first start and limit
of collapse are the paper's; other values of μ and all times are ours.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

import sdesim as sd

SMALL, COLLAPSED = 1e-60, 1e-30
Z, WEIGHT = np.polynomial.hermite_e.hermegauss(101)
NEAR, FAR = "from θ = 1e-60", "from θ ~ 2 N(0, 1)"


@dataclasses.dataclass(frozen=True)
class Params:
    """The phase diagram.

    Parameters
    ----------
    mu : float
        μ where one curvature is shown.
    dt, t_max : float
        Time step and length of a path.
    zeta_max, mu_max : float
        Ends of the diagram.
    cells : int
        Cells either way, μ = 0 left out.
    """

    mu: float = 1.5
    dt: float = 0.0025
    t_max: float = 20.0
    zeta_max: float = 3.0
    mu_max: float = 3.0
    cells: int = 12


def quartic(p: Params, zeta: float) -> sd.EulerMaruyama:
    """Euler steps of θ."""
    values = {"mu": p.mu, "zeta": zeta}
    return sd.EulerMaruyama(sd.SDE("mu*theta - theta**3", "zeta*theta", params=values), p.dt)


def logarithm(p: Params, zeta: float) -> sd.EulerMaruyama:
    """Euler steps of y = log|θ|."""
    values = {"mu": p.mu, "zeta": zeta}
    return sd.EulerMaruyama(sd.SDE("mu - zeta**2/2 - exp(2*y)", "zeta", variables=("y",), params=values), p.dt)


def chain_exponent(mu: float, zeta: float, dt: float) -> float:
    """Exponent of the Euler steps of θ, for ζ² dt < 0.03: the logarithm is singular where Z has no mass."""
    return float(np.log(np.abs(1 + mu * dt + zeta * dt**0.5 * Z)) @ WEIGHT / WEIGHT.sum() / dt)


def stationary(mu: float, zeta: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Grid of |θ|, density and distribution function on it."""
    shape = mu / zeta**2 - 0.5
    y = np.linspace(-20 / shape, np.log(7 * zeta * max(shape, 1.0)), 40_001)
    mass = np.exp(2 * shape * y - np.exp(2 * y) / zeta**2)
    below = np.concatenate([[0.0], np.cumsum(mass[1:] + mass[:-1]) / 2])
    return np.exp(y), mass / np.exp(y) / (below[-1] * (y[1] - y[0])), below / below[-1]


def grid(p: Params) -> dict[str, np.ndarray]:
    """The cells of the diagram."""
    zeta, mu = (np.linspace(0.0, end, p.cells + 1) for end in (p.zeta_max, p.mu_max))
    return {"zeta": zeta, "mu": mu[1:]}


def build(p: Params) -> dict[str, sd.Experiment]:
    """Paths that start next to the origin, and paths that start as in the paper."""
    chain, start = quartic(p, 1.0), {NEAR: SMALL, FAR: sd.Gaussian(2.0)}
    return {name: sd.Experiment(chain, x0, 1000, t_max=p.t_max, vary=grid(p)) for name, x0 in start.items()}


def rate(theta: Any, t: float) -> Any:
    """Mean rate of growth of |θ| from next to the origin until time t."""
    return np.log(np.abs(theta / SMALL)) / t


def figure(ds: Any, p: Params) -> Any:
    """Phase diagram, exponents against noise, densities."""
    drawn, (map_, slopes, shape) = sd.plot.canvas(3)
    last = ds["final_state"].transpose("dynamics", "mu", "zeta", "path")
    found, end = rate(last.sel(dynamics=NEAR), p.t_max), last.sel(dynamics=FAR)
    zeta, mu, fine = found["zeta"], found["mu"], np.linspace(0.0, p.zeta_max, 301)
    image = map_.pcolormesh(zeta, mu, found.mean("path"), cmap="RdBu", vmin=-3, vmax=3, shading="nearest")
    drawn.colorbar(image, ax=map_, label="measured exponent of |θ| [1/time]")
    map_.plot(fine, fine**2 / 2, "k", label="ζ² = 2μ")
    map_.contour(zeta, mu, (end**2 < COLLAPSED).mean("path"), levels=[0.5], colors="k", linestyles="--")
    map_.plot([], [], "k--", label=f"half of the paths collapsed at t = {p.t_max:g}")
    map_.set(xlabel="noise ζ", ylabel="curvature μ = -L''(0)", ylim=(float(mu[0]) / 2, p.mu_max))
    row = sd.sample.mean(found.sel(mu=p.mu, method="nearest"), level=0.999)
    slopes.errorbar(zeta, row.value, row.high - row.value, fmt="o", markersize=3, capsize=2, label="measured, 99.9 %")
    slopes.plot(fine, p.mu - fine**2 / 2, "k", label="equation, μ - ζ²/2")
    slopes.plot(fine, [chain_exponent(p.mu, z, p.dt) for z in fine], "C3:", label=f"Euler steps, dt = {p.dt:g}")
    slopes.set(xlabel="noise ζ", ylabel="exponent of |θ| [1/time]", title=f"μ = {p.mu:g}")
    for color, value in (("C0", 0.5), ("C1", 1.0), ("C2", 1.25)):
        one = np.abs(end.sel(mu=p.mu, zeta=value, method="nearest"))
        at, density, _ = stationary(float(one["mu"]), float(one["zeta"]))
        shape.plot(at[at > 0.03], density[at > 0.03], color, label=f"ζ = {float(one['zeta']):g}")
        shape.hist(one, np.linspace(0, 3, 31), density=True, color=color, alpha=0.35)
    shape.set(xlabel="|θ|", ylabel="density", xlim=(0, 3), title=f"μ = {p.mu:g}: paths at t = {p.t_max:g}, long run")
    for ax in (map_, slopes, shape):
        ax.legend(fontsize="small")
    return drawn


def measured(what: Any, zeta: float, x0: Any, n_paths: int, vary: Any = None, **changed: Any) -> Any:
    """Measures something of the last states of θ."""
    p = dataclasses.replace(P, **changed)
    options: dict[str, Any] = {"t_max": p.t_max, "vary": vary}
    return lambda seed, level: what(sd.run(quartic(p, zeta), x0, n_paths, seed=seed, **options)["final_state"], level)


def fall(dt: float) -> Any:
    """Measures the exponent at ζ = 3."""
    return measured(lambda x, level: sd.sample.mean(rate(x, P.t_max), level), 3.0, SMALL, 20_000, dt=dt)


def threshold(x: Any, level: float) -> Any:
    """ζ² at which the exponent is zero."""
    return sd.sample.zero(rate(x.assign_coords(zeta=x["zeta"] ** 2), P.t_max), "zeta", level)


def long_slope(seed: int, level: float) -> Any:
    """Slope of y from t = 20 to 200, when |θ| is e^-600."""
    watched = [sd.Record(times=(20, 200))]
    y = sd.run(logarithm(P, 3.0), 0.0, 4096, t_max=200, seed=seed, observers=watched)["state"]
    return sd.sample.mean((y.isel(time=1) - y.isel(time=0)) / 180, level)


def from_law(zeta: float) -> Any:
    """Distance of the law of |θ| from the stationary one."""
    at, _, below = stationary(P.mu, zeta)
    return lambda x, level: sd.sample.distance(np.abs(x), lambda v: np.interp(v, at, below), level)


def collapsed(x: Any, level: float) -> Any:
    """Share of paths with θ² < 1e-30."""
    return sd.sample.share(x**2 < COLLAPSED, level)


P, DRAWN, PULL, LAW = Params(), sd.Gaussian(2.0), "attractivity condition", "stationary law"
EULER = chain_exponent(P.mu, 3.0, P.dt)
ZERO = measured(threshold, 1.0, SMALL, 20_000, {"zeta": np.linspace(1.45, 2.0, 7)})
SQUARE = measured(lambda x, level: sd.sample.mean(x**2, level), 1.0, DRAWN, 200_000)
CLOSE, WIDE = measured(from_law(1.0), 1.0, DRAWN, 100_000), measured(from_law(1.25), 1.25, DRAWN, 100_000, t_max=60.0)
FEW, MANY = measured(collapsed, 1.1 * 3**0.5, DRAWN, 20_000), measured(collapsed, 3.0, DRAWN, 20_000)
ROWS = (
    ("ζ=3: exponent of Euler steps of θ", "definition", fall(P.dt), EULER, "equals", 0.01),
    ("ζ=3: exponent of Euler steps is below 1.02 (μ - ζ²/2)", "discretisation", fall(P.dt), -3.06, "below"),
    ("ζ=3, dt/10: exponent of Euler steps is μ - ζ²/2", PULL, fall(P.dt / 10), -3.0, "within", 0.02),
    ("ζ=3: slope of log|θ| down to e^-600 is μ - ζ²/2", PULL, long_slope, -3.0, "equals", 0.01),
    ("ζ² at which the exponent is zero is 2μ", PULL, ZERO, 3.0, "within", 0.015),
    ("ζ=1: long-run mean of θ² is μ - ζ²/2", LAW, SQUARE, 1.0, "within", 0.02),
    ("ζ=1: distance of |θ| from its stationary law", LAW, CLOSE, 0.02, "below"),
    ("ζ=1.25, density infinite at 0: distance of |θ| from its stationary law", LAW, WIDE, 0.02, "below"),
    ("noise 10 % above the threshold: few have collapsed at t=20", "figure", FEW, 0.01, "below"),
    ("ζ=3: share collapsed at t=20", "figure", MANY, 0.95, "above"),
)
CLAIMS = tuple(sd.Claim(*row) for row in ROWS)
