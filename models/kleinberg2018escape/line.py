"""SGD descends the loss convolved with the noise of its steps, and leaves minima narrower than the noise.

    x⁺ = x - η f'(x) + ξ,   ξ uniform on (-ρ, ρ),   f = x²/2 + (A/ω) cos(ωx),   f' = x - A sin(ωx),   x* = 0

The paper follows y = x - η f'(x), the state before its noise: y⁺ = y + ξ - η f'(y + ξ), so that
E y⁺ = y - η E f'(y + ξ), a step down the convolved loss; and E x⁺ = y. For uniform noise E sin(ωξ + a) = s sin a with
s = sin(ωρ)/ωρ: the convolved gradient is y - A s sin(ωy). One-point convexity, -E f'(y + ξ)(x* - y) ≥ c (x* - y)²,
holds with c = 1 at ωρ = π, where s = 0; then E y_k = (1 - η)^k y_0 exactly.

Three regimes. If ρ < η |f'| somewhere on either side of the start's minimum, no path ever leaves it (the step without
noise keeps order, so the states between two such points map into themselves): here ρ < 0.0109. At ωρ = π every path
comes to x* and stays near it. For large ρ paths wander, and in the long run E x² ≈ ρ²/(3η(2 - η)), as on a parabola.

In the long run η(2 - η) E x² = ρ²/3 + η²A² E sin²(ωx) + 2(1 - η)ηA E x sin(ωx). At ωρ = π the phase ωx is uniform and
independent of y: E sin² = 1/2, and E x sin(ωx) = E[ξ sin(ωξ)] E cos(ωy) = E cos(ωy)/ω. With ωy = (1 - η)ωx + z sin(ωx),
z = ηωA, and ωx in place of (1 - η)ωx, the last mean is -J₁(z):

    E x² ≈ [ρ²/3 + η²A²/2 - 2(1 - η)(ηA/ω) J₁(z)] / (η(2 - η)),

0.03 % above the value of the transfer operator. The naive ρ²/(6η) is 8 % above it: the gradient depends on the noise.

Restarting from a reached point with less noise comes closer to x*: at ρ = 0.06 E x² falls from 0.38 to 0.13 over a time
of 100, while paths that begin at x0 with that noise have not all arrived (0.28). Less again, ρ = 0.03, freezes
paths in the minima they are in (0.36).

Kleinberg, Li and Yuan, arXiv 1802.06175: recursion, convexity after convolution and regimes are the paper's; this
family of losses is ours.
"""

from __future__ import annotations

import dataclasses
import functools
import math
from typing import Any

import numpy as np

import sdesim as sd


@dataclasses.dataclass(frozen=True)
class Params:
    """Paths over a range of noise.

    Parameters
    ----------
    amplitude, omega : float
        A and ω of the loss.
    lr : float
        Learning rate η.
    x0, t_max : float
        Start, and length of a path in time η × steps.
    small, middle, large : float
        Half-widths ρ of the noise of a step in the three regimes.
    """

    amplitude: float = 4.0
    omega: float = 20.0
    lr: float = 0.01
    x0: float = 3.0
    t_max: float = 200.0
    small: float = 0.01
    middle: float = math.pi / 20
    large: float = 1.0


def landscape(p: Params) -> sd.Landscape:
    """The loss f; |f'| > 0 for |x| > A."""
    values = {"amplitude": p.amplitude, "omega": p.omega}
    end = p.amplitude + 1
    return sd.Landscape("x**2/2 + amplitude/omega*cos(omega*x)", params=values, domain=(-end, end))


def dynamics(p: Params, rho: float) -> sd.SGD:
    """SGD; the noise of the gradient is that of the step over η."""
    return sd.SGD(landscape(p), p.lr, noise=sd.Uniform(rho / p.lr))


def noises(p: Params) -> np.ndarray:
    """Values of ρ, those of the regimes among them."""
    return np.unique([*np.geomspace(p.small / 2, 2 * p.large, 17), p.small, p.middle, p.large])


def build(p: Params) -> sd.Experiment:
    """Paths from x0 at every ρ."""
    watched = (sd.Record(times=np.linspace(0.0, p.t_max / 4, 201)),)
    widths = {"half_width": noises(p) / p.lr}
    return sd.Experiment(dynamics(p, p.middle), p.x0, 400, t_max=p.t_max, observers=watched, vary=widths)


@functools.lru_cache
def long_run(p: Params, rho: float, max_nodes: int = 3000) -> Any:
    """Stationary law, from the transfer operator."""
    end = max(p.amplitude + 1, 10 * rho / math.sqrt(p.lr))
    return sd.theory.chain_stationary_law(dynamics(p, rho), (-end, end), [(-NEAR, NEAR)], max_nodes=max_nodes)


def bessel(z: float) -> float:
    """J₁(z), the mean of cos(a - z sin a) over a turn."""
    a = 2 * math.pi * np.arange(64) / 64
    return float(np.cos(a - z * np.sin(a)).mean())


def second_moment(p: Params) -> float:
    """E x² in the long run at ωρ = π."""
    eta, a, w = p.lr, p.amplitude, p.omega
    kick = (math.pi / w) ** 2 / 3 + (eta * a) ** 2 / 2 - 2 * (1 - eta) * eta * a / w * bessel(eta * w * a)
    return kick / (eta * (2 - eta))


def figure(ds: Any, p: Params) -> Any:
    """The loss and its convolutions, a path in each regime, distance from x* against noise."""
    drawn, (loss, path, spread) = sd.plot.canvas(3)
    x, f = np.linspace(0.0, 1.15 * p.x0, 801), landscape(p)
    for i, (name, rho) in enumerate((("small", p.small), ("middle", p.middle), ("large", p.large))):
        kept = np.sinc(p.omega * rho / math.pi)
        smooth = x**2 / 2 + rho**2 / 6 + kept * p.amplitude / p.omega * np.cos(p.omega * x)
        loss.plot(x, smooth - smooth[0] + 2 - i, f"C{i}", label=f"{name} noise, ρ = {rho:.3g}")
        one = ds["state"].sel(half_width=rho / p.lr, method="nearest").isel(path=0).squeeze()
        path.plot(one["time"], one, f"C{i}", linewidth=0.7, zorder=3 - i, label=f"{name}, ρ = {rho:.3g}")
        spread.axvline(rho, color=f"C{i}", linewidth=0.7)
    loss.plot(x, f(x) - f(0.0) + 3, "k", label="f")
    loss.set(xlabel="x", ylabel="loss, curves shifted", title="f convolved with the noise")
    path.set(xlabel="time [η × steps]", ylabel="x", xlim=(0, p.t_max / 4), ylim=(-9, 9), title="one path each")
    rho = ds["half_width"] * p.lr
    found = sd.sample.mean(ds["final_state"].squeeze() ** 2, level=0.999)
    half = found.high - found.value
    spread.errorbar(rho, found.value, half, fmt="C4o", markersize=3, label=f"paths at t = {p.t_max:g}, 99.9 %")
    known = np.geomspace(p.middle / 3, 2 * p.middle, 12)
    spread.plot(known, [float(long_run(p, r, 1000).variance) for r in known], "k", label="long run, operator")
    spread.plot(rho, rho**2 / (6 * p.lr), "k:", label="ρ²/6η")
    spread.plot(math.pi / p.omega, second_moment(p), "C3*", zorder=5, label="J₁ formula, ωρ = π")
    spread.axhline(p.x0**2, color="grey", linewidth=0.5, label="start")
    spread.set(xscale="log", yscale="log", xlabel="noise of a step ρ", ylabel="E x²", ylim=(0.003, 100))
    for ax, place in ((loss, "upper left"), (path, "lower right"), (spread, "lower right")):
        ax.legend(fontsize="small", loc=place)
    return drawn


def measured(what: Any, rho: float, n_paths: int, x0: float = 3.0, **length: Any) -> Any:
    """Measures something of the last states."""
    return lambda seed, level: what(
        sd.run(dynamics(P, rho), x0, n_paths, seed=seed, **length)["final_state"].squeeze(), level
    )


def within(low: float, high: float) -> Any:
    """Share of paths in (low, high)."""
    return lambda x, level: sd.sample.share((x > low) & (x < high), level)


def mean_of(function: Any) -> Any:
    """Mean of a function of the state."""
    return lambda x, level: sd.sample.mean(function(x.values), level)


def before_step(y: float) -> float:
    """The state x with x - η f'(x) = y."""
    x = np.linspace(y - 0.2, y + 0.2, 40_001)
    return float(np.interp(y, x - P.lr * landscape(P).gradient(x), x))


P, NEAR = Params(), 1.5
HILL = 18.5 * math.pi / P.omega  # here f' lies A below x and points away from x*
LEAVES, CONVEXITY = before_step(HILL), mean_of(lambda x: landscape(P).gradient(x) / HILL)
FIRST = P.x0 - P.lr * float(landscape(P).gradient(P.x0))
STUCK = within(*next(b for b in landscape(P).basins if b[0] < P.x0 < b[1]))
SHARE, MOMENT = measured(within(-NEAR, NEAR), P.middle, 200_000, t_max=50.0), "long-run moment"
MEAN = measured(sd.sample.mean, P.middle, 100_000, n_steps=100)
SQUARE = measured(mean_of(np.square), P.middle, 600_000, t_max=10.0)
HALF = measured(CONVEXITY, P.middle / 2, 100_000, LEAVES, n_steps=1)
WALK, WIDE = (measured(mean_of(np.square), P.large, 200_000, 0.0, n_steps=n) for n in (5, 1000))
LOWER = 0.06  # noise after a restart
HALVED = "half the long-run value at ωρ=π"


def half_moment() -> float:
    """Half of E x² in the long run at ωρ = π."""
    return float(long_run(P, P.middle).variance) / 2


def restarted(x: Any, level: float) -> Any:
    """E x² after more time with less noise, from reached points."""
    ds = sd.run(dynamics(P, LOWER), x.values, x.size, t_max=100.0, seed=1)
    return sd.sample.mean(ds["final_state"].squeeze() ** 2, level)


ROWS = (
    ("small noise: share of paths in the start's minimum at t=100", "three regimes",
     measured(STUCK, P.small, 20_000, t_max=100.0), 0.999, "above"),
    ("ωρ=π: share of paths near x* at t=50", "main theorem", SHARE,
     lambda: long_run(P, P.middle).interval_mass.value[0], "equals", 0.002),
    ("ωρ=π: mean of y after 100 steps", "convolved descent", MEAN, (1 - P.lr) ** 99 * FIRST, "equals", 0.01),
    ("ωρ=π, on a slope that points away from x*: c = 1", "one-point convexity",
     measured(CONVEXITY, P.middle, 100_000, LEAVES, n_steps=1), 1.0, "equals", 0.02),
    ("ωρ=π/2, there: c = 1 - 2A/(πy)", "one-point convexity", HALF, 1 - 8 / (math.pi * HILL), "equals", 0.1),
    ("large noise, 5 steps from x*: E x² of a random walk, 5ρ²/3", "three regimes", WALK, 5 / 3, "within", 0.06),
    ("large noise, long run: E x² on the parabola alone", "three regimes", WIDE, 1 / 0.0597, "within", 0.04),
    ("ωρ=π, long run: E x²", "definition", SQUARE, lambda: long_run(P, P.middle).variance, "equals", 0.01),
    ("ωρ=π, long run: formula for E x²", MOMENT, lambda seed, level: long_run(P, P.middle).variance,
     second_moment(P), "within", 0.005),
    ("ωρ=π, long run: E x² is below ρ²/(6η)", MOMENT, SQUARE, P.middle**2 / 0.06, "below"),
    (f"restarted at t=50 with ρ = 0.06: E x² falls below {HALVED}", "restarts",
     measured(restarted, P.middle, 20_000, t_max=50.0), half_moment, "below"),
    (f"ρ = 0.06 from the start, for as long: E x² is still above {HALVED}", "restarts",
     measured(mean_of(np.square), LOWER, 20_000, t_max=100.0), half_moment, "above"),
)  # fmt: skip
CLAIMS = tuple(sd.Claim(*row) for row in ROWS)
