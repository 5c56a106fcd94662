"""Clipping heavy-tailed noise mostly causes sparsity: stochastic collapse with multiplicative jumps.

    θ⁺ = θ (1 + ημ + φ_b(ηζZ)),   φ_b(w) = w min(1, b/|w|),   P(|Z| > z) = (1 + z)^-α, symmetric

SGD near an invariant set: growth μ (minus the curvature) against noise ζ proportional to the distance |θ| from it. The
set attracts iff the exponent λ = E log|1 + ημ + φ_b(ηζZ)| is negative. With a = 1 + ημ > 1 and H(y) = P(|ηζZ| > y),
integration by parts gives

    λ = log a - PV ∫₀ᵇ H(y) y / (a² - y²) dy,      dλ/db = -H(b) b / (a² - b²).

So λ falls with b from log a to -∞ at b = a (one clipped jump can then put θ on the set exactly), and rises from there
to its value without clipping. Does clipping prevent or cause sparsity? Both, and b says which:

- b > a always causes: every such clipping has a smaller exponent than none. Jumps beyond a throw θ over the set and
  away from it, and these are what it cuts.
- b < a causes as well down to one b*, where λ is the unclipped one, and prevents below it. Where noise is so heavy that
  the unclipped λ exceeds log a there is no b*: every clipping brings θ nearer to collapse.
- b ≤ √(a² - 1) leaves no collapse at any noise: λ falls towards log(a² - b²) / 2 as ζ grows, and that is not negative.
  Between √(a² - 1) and √(a² + 1) every noise beyond a threshold collapses. Beyond √(a² + 1) noise collapses in a window
  or not at all: too much of it drives θ away again.
- Without clipping, for ημ = 0.1, nothing collapses at any noise unless α > 3.64: under heavy tails it is clipping alone
  that makes sparse. With lighter tails a window is left, for α = 5 from ηζ = 1.564 to 3.088, which small b closes.

The quadrature is over u = H(y), which makes both singularities, log|a - y| and the jumps without bound, logarithms at
ends of intervals; double exponential nodes take them to round-off. Exponents are measured from the linear recursion
itself, over so few steps that no number leaves the range of floats.

Chen, Kunin, Yamamura and Ganguli, arXiv 2306.04251 (collapse); Wang, Oh and Rhee, arXiv 2102.04297 (truncated heavy
tails); the question and the answer are ours.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

import sdesim as sd

METHOD = "double exponential quadrature over the tail probability"
CLIPPED = "-(mu + max(-b, min(b, eta*zeta*xi))/eta)*theta**2/2"
UNCLIPPED = "-(mu + zeta*xi)*theta**2/2"


@dataclasses.dataclass(frozen=True)
class Params:
    """The phase diagram: noise and clipping for two indices.

    Parameters
    ----------
    lr, mu : float
        Learning rate η and growth μ.
    heavy, light : float
        Indices α that are compared.
    n_steps : int
        Steps of a path.
    cells : int
        Cells either way.
    """

    lr: float = 0.1
    mu: float = 1.0
    heavy: float = 1.5
    light: float = 5.0
    n_steps: int = 200
    cells: int = 16


def recursion(p: Params, alpha: float, zeta: float, b: float = np.inf) -> sd.SGD:
    """SGD on the loss -(μ + noise) θ²/2, its noise a random parameter."""
    values = {"mu": p.mu, "zeta": zeta, "xi": 0.0} | ({} if np.isinf(b) else {"b": b, "eta": p.lr})
    f = sd.Landscape(UNCLIPPED if np.isinf(b) else CLIPPED, variables=["theta"], params=values)
    return sd.SGD(f, p.lr, noise=sd.Pareto(alpha), random="xi")


def quadrature(a: float, s: Any, alpha: Any, b: Any, h: float) -> Any:
    """λ by the trapezoidal rule of step h in the double exponential variable; the last axis holds the nodes."""
    s, alpha, b = (np.asarray(v, dtype=float)[..., None] for v in (s, alpha, b))
    t = h * np.arange(-int(3.5 / h), int(3.5 / h) + 1)
    e = np.exp(np.pi * np.sinh(t))
    near, far, w = 1 / (1 + e), e / (1 + e), h * np.pi * np.cosh(t) * e / (1 + e) ** 2
    c = np.minimum(a, b)
    top, end = (1 + c / s) ** -alpha, (1 + b / s) ** -alpha

    def loss(log_u: Any) -> Any:
        """log|a² - y²| where H(y) = top exp(log_u); a - y keeps its digits next to the singularity."""
        gap = (a - c) - (s + c) * np.expm1(-log_u / alpha)
        with np.errstate(divide="ignore"):  # the atom of b = a
            return np.log(np.abs(gap)) + np.log(np.abs(2 * a - gap))

    below = (1 - top) * (w * loss(np.log1p((1 - top) / top * near))).sum(-1, keepdims=True)
    share = (top - end) / top
    past = np.where(near < 0.5, np.log1p(-share * np.minimum(near, 0.5)), np.log(end / top + share * far))
    above = (top - end) * (w * np.where(b > a, loss(past), 0.0)).sum(-1, keepdims=True)
    with np.errstate(divide="ignore"):
        atom = np.where(end > 0, end * np.log(np.abs(a * a - np.where(np.isinf(b), 0.0, b) ** 2)), 0.0)
    return (0.5 * (below + above + atom))[..., 0]


def exponent(p: Params, alpha: Any, zeta: Any, b: Any = np.inf) -> Any:
    """λ per step and its error, arrays over the broadcast arguments."""
    a, s = 1 + p.lr * p.mu, p.lr * np.asarray(zeta, dtype=float)
    coarse, fine = (quadrature(a, s, alpha, b, h) for h in (1 / 8, 1 / 16))
    error = np.abs(fine - np.where(np.isfinite(fine), coarse, 0.0)) + 1e-14  # infinite at b = a
    return sd.theory.Reference(fine, error, METHOD)


def crossing(p: Params, alpha: float, b: float, low: float, high: float) -> float:
    """The ζ between low and high at which λ changes its sign, by bisection."""
    first = exponent(p, alpha, low, b).value
    for _ in range(60):
        middle = np.sqrt(low * high)
        low, high = (middle, high) if exponent(p, alpha, middle, b).value * first > 0 else (low, middle)
    return float(low)


def grid(p: Params) -> dict[str, np.ndarray]:
    """The cells of the diagram."""
    return {"b": np.geomspace(0.3, 3.5, p.cells), "zeta": np.geomspace(0.5, 60.0, p.cells)}


def build(p: Params) -> dict[str, sd.Experiment]:
    """Paths from θ = 1 with clipped noise of either index."""
    return {
        f"α = {alpha:g}": sd.Experiment(recursion(p, alpha, 1.0, 1.0), 1.0, 400, n_steps=p.n_steps, vary=grid(p))
        for alpha in (p.heavy, p.light)
    }


def rate(theta: Any, n_steps: int) -> Any:
    """Growth of log|θ| per step of each path."""
    return np.log(np.abs(theta)) / n_steps


def draw_map(ax: Any, drawn: Any, p: Params, alpha: float, found: Any) -> None:
    """Measured exponents over clipping and noise, and where they should change their sign."""
    x, y = found["b"], p.lr * found["zeta"]
    image = ax.pcolormesh(x, y, found.mean("path").transpose("zeta", "b"), cmap="RdBu", vmin=-0.3, vmax=0.3)
    drawn.colorbar(image, ax=ax, label="measured exponent of |θ| [1/step]")
    b, zeta = np.geomspace(0.3, 3.5, 200), np.geomspace(0.5, 60.0, 120)
    ax.contour(b, p.lr * zeta, exponent(p, alpha, zeta[:, None], b).value, levels=[0.0], colors="k")
    ax.plot([], [], "k", label="predicted boundary")
    same = exponent(p, alpha, zeta[:, None], b).value - exponent(p, alpha, zeta, np.inf).value[:, None]
    ax.contour(b, p.lr * zeta, np.where(b < 1 + p.lr * p.mu, same, np.nan), levels=[0.0], colors="k", linestyles="--")
    ax.plot([], [], "k--", label="b*: as without clipping")
    ax.set(xscale="log", yscale="log", xlabel="clipping b", ylabel="noise ηζ", title=f"α = {alpha:g}")
    ax.set_xticks([0.3, 0.5, 1.0, 2.0, 3.0], ["0.3", "0.5", "1", "2", "3"])
    ax.set_xticks([], minor=True)


def figure(ds: Any) -> Any:
    """Maps over clipping and noise for two indices; windows of collapse against the index."""
    p = model.params_of(ds)
    drawn, (left, middle, right) = sd.plot.canvas(3)
    growth = rate(ds["final_state"], p.n_steps)
    for ax, alpha in ((left, p.heavy), (middle, p.light)):
        draw_map(ax, drawn, p, alpha, growth.sel(dynamics=f"α = {alpha:g}"))
    alphas, zeta = np.linspace(0.5, 6.0, 111), np.geomspace(0.03, 300.0, 161)
    for i, b in enumerate(dict.fromkeys(row[1] for row in THRESHOLDS)):
        values = exponent(p, alphas, zeta[:, None], b).value
        right.contour(alphas, p.lr * zeta, values, levels=[0.0], colors=f"C{i}")
        right.plot([], [], f"C{i}", label=f"b = {b:g}" if np.isfinite(b) else "no clipping")
        for row in THRESHOLDS:
            if row[1] == b and (p.lr, p.mu) == (P.lr, P.mu):
                found = measured_threshold(*row)(0, 0.95)
                half = [[p.lr * (found.value - found.low)], [p.lr * (found.high - found.value)]]
                right.errorbar([row[0]], [p.lr * found.value], half, fmt=f"C{i}o", markersize=4, capsize=2)
    right.plot([], [], "ko", label="measured, 95 %")
    right.set(
        yscale="log", ylim=(0.02, 30), xlabel="index α of the noise", ylabel="noise ηζ", title="edges of collapse"
    )
    middle.legend(fontsize="small", loc="lower left")
    right.legend(fontsize="small", loc="lower right")
    return drawn


def measured(alpha: float, zeta: float, b: float, n_paths: int = 100_000, vary: Any = None) -> Any:
    """Measures the growth per step, one number a path."""
    chain = recursion(P, alpha, zeta, b)
    return lambda seed: rate(sd.run(chain, 1.0, n_paths, n_steps=N, seed=seed, vary=vary)["final_state"], N)


def measured_exponent(alpha: float, zeta: float, b: float) -> Any:
    """Measures the exponent."""
    return lambda seed, level: sd.sample.mean(measured(alpha, zeta, b)(seed), level)


def measured_threshold(alpha: float, b: float, low: float, high: float) -> Any:
    """Measures the ζ at which the exponent is zero, from a line through it over ± 5 %."""
    near = {"zeta": crossing(P, alpha, b, low, high) * np.linspace(0.95, 1.05, 5)}
    return lambda seed, level: sd.sample.zero(measured(alpha, 1.0, b, vary=near)(seed), "zeta", level)


def threshold_claim(alpha: float, b: float, low: float, high: float) -> sd.Claim:
    """The measured threshold is within 5 % of the predicted."""
    kind = "no clipping" if np.isinf(b) else f"b = {b:g}"
    edge = "lower" if exponent(P, alpha, low, b).value > 0 else "upper"
    expected = crossing(P, alpha, b, low, high)
    text = f"α = {alpha:g}, {kind}: {edge} edge of collapse, ζ = {expected:.4g}, by the zero of the exponent"
    return sd.Claim(text, "quadrature", measured_threshold(alpha, b, low, high), expected, "within", 0.05)


def least_unclipped(seed: int, level: float) -> Any:
    """The least exponent without clipping over all noises, α = 3."""
    found = exponent(P, 3.0, np.geomspace(1e-3, 1e4, 2001))
    least = int(np.argmin(found.value))
    return sd.theory.Reference(float(found.value[least]), float(found.error[least]), METHOD)


P, N = Params(), 300
# Index, clipping, and noises ζ between which the edge lies.
THRESHOLDS = (
    (1.2, 0.6, 0.5, 100), (1.2, 1.2, 0.2, 100), (1.5, 0.6, 1, 100), (1.5, 1.6, 1, 10), (1.5, 1.6, 10, 100),
    (3.0, 2.0, 2, 13), (3.0, 2.0, 13, 100), (5.0, 0.6, 1, 100), (5.0, np.inf, 5, 22), (5.0, np.inf, 22, 100),
)  # fmt: skip
CASES = (
    ("α = 1.5, ηζ = 0.5: clipping at 1.2 causes collapse", 1.5, 5.0, 1.2, "below"),
    ("α = 1.5, ηζ = 0.5: without clipping there is none", 1.5, 5.0, np.inf, "above"),
    ("α = 5, ηζ = 2: without clipping there is collapse", 5.0, 20.0, np.inf, "below"),
    ("α = 5, ηζ = 2: clipping at 0.4 prevents it", 5.0, 20.0, 0.4, "above"),
    ("α = 5, ηζ = 5: noise is too large for collapse without clipping", 5.0, 50.0, np.inf, "above"),
    ("α = 5, ηζ = 5: clipping at 1.4 causes it again", 5.0, 50.0, 1.4, "below"),
)
CLAIMS = (
    *(threshold_claim(*row) for row in THRESHOLDS),
    *(sd.Claim(t, "sign of λ", measured_exponent(*case), 0.0, relation) for t, *case, relation in CASES),
    *(
        sd.Claim(
            f"α = {alpha:g}, ηζ = {0.1 * zeta:g}, b = {b:g}: exponent", "quadrature",
            measured_exponent(alpha, zeta, b), float(exponent(P, alpha, zeta, b).value), "equals", 0.05,
        )
        for _, alpha, zeta, b, _ in CASES
    ),
    sd.Claim("α = 3: without clipping no noise collapses", "quadrature", least_unclipped, 0.0, "above"),
)  # fmt: skip
model = sd.Model(
    name="heavytail_collapse",
    paper=sd.Paper(
        authors="Chen, Feng and Kunin, Daniel and Yamamura, Atsushi and Ganguli, Surya",
        title="Stochastic collapse: how gradient noise attracts SGD dynamics towards simpler subnetworks",
        year=2023,
        arxiv="2306.04251",
    ),
    Params=Params,
    build=build,
    figure=figure,
    claims=CLAIMS,
)
