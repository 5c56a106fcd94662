"""Label noise makes two neurons of a network the same: the permutation set of a 1→2→1 network.

    f(x) = v₁ gelu(w₁ x) + v₂ gelu(w₂ x),    L = mean (f(xᵢ) - yᵢ - σ ξᵢ)²,  ξ drawn afresh at every step

trained by full batches and momentum 0.9. Where both neurons have the same (w, v) the gradient has so too: the set is
invariant. Without noise the distance d² = (w₁ - w₂)² + (v₁ - v₂)² stays what it is in the minimum that is found. Label
noise carries the network along its minima, and d² decays exponentially, at a rate (per unit of time, lr × steps) in
proportion to lr σ² as long as that is small. The rate is minus twice the transverse Lyapunov exponent of the set, which
tangent dynamics measure *on* the set, without any difference of the neurons.

Chen, Kunin, Yamamura and Ganguli, arXiv 2306.04251: network, 8 points N(0, 1), learning rate 0.1, momentum, label noise
σ ∈ {0, 0.1, 0.2, 0.4, 0.8} and the numbers (1, 0.6) and (-0.6, -0.4), which we read as first weights of the two layers.
The labels y = x, the draw of the points and the other learning rates are ours; at σ = 0.8 the network learns nothing.
"""

from __future__ import annotations

import dataclasses
import functools
from typing import Any

import numpy as np

import sdesim as sd

SMALL = {"block": 1024, "threads": 1}  # so few weights: two threads would wait for each other
START = (1.0, 0.6, -0.6, -0.4)  # w₁, w₂, v₁, v₂


@dataclasses.dataclass(frozen=True)
class Params:
    """Learning rates and label noise side by side.

    Parameters
    ----------
    t_max : float
        Length of a path in time, lr × steps.
    lr_max : float
        Largest learning rate; a half and a quarter of it are shown too.
    momentum : float
        Of the heavy ball.
    """

    t_max: float = 200.0
    lr_max: float = 0.1
    momentum: float = 0.9


@functools.lru_cache(maxsize=1)
def objective() -> Any:
    """The network on 8 points, in double precision: d² falls to 1e-30."""
    x = np.random.default_rng(1).normal(size=(8, 1))
    return sd.network(sd.mlp(1, 2, 1, activation="gelu", bias=False).double(), "mse", (x, x))


def duplicates() -> Any:
    """The set of equal neurons."""
    return sd.invariant.DuplicateNeurons(objective(), 0, 0, 1)


def square(x: Any) -> Any:
    """d² of every path: the difference of two rows is √2 times their distance from the set."""
    return 2 * duplicates().distance(x) ** 2


def chain(p: Params, lr: float, noise: float) -> sd.Momentum:
    """Full batches with label noise."""
    return sd.Momentum(objective(), lr, 8, "fresh", label_noise=noise, momentum=p.momentum)


def build(p: Params) -> dict[str, sd.Experiment]:
    """Three learning rates, each with four strengths of label noise."""
    watched = (sd.Record(times=np.linspace(0.0, p.t_max, 41), values={"d2": square}),)
    noise = {"label_noise": [0.0, 0.1, 0.2, 0.4]}
    return {
        f"lr = {lr:g}": sd.Experiment(chain(p, lr, 0.1), START, 64, t_max=p.t_max, observers=watched, vary=noise)
        for lr in (p.lr_max, p.lr_max / 2, p.lr_max / 4)
    }


def slopes(ds: Any, after: float) -> Any:
    """Rate of change of log d² of each path from a time to the last one."""
    d2 = ds["d2"].sel(time=slice(after * (1 - 1e-9), None))
    span = float(d2["time"][-1] - d2["time"][0])
    return (np.log(d2.isel(time=-1)) - np.log(d2.isel(time=0))) / span


def figure(ds: Any, p: Params) -> Any:
    """d² against time at the largest rate, and rates of decay against lr σ²."""
    drawn, (decay, rates) = sd.plot.canvas(2)
    for i, sigma in enumerate(ds["label_noise"].values):
        d2 = ds["d2"].sel(label_noise=sigma, dynamics=f"lr = {p.lr_max:g}")
        middle, band = np.exp(np.log(d2).mean("path")), d2.quantile([0.1, 0.9], "path")
        decay.semilogy(d2["time"], middle, f"C{i}", label=f"σ = {sigma:g}")
        decay.fill_between(d2["time"], *band, color=f"C{i}", alpha=0.25)
    decay.set(xlabel="time [lr × steps]", ylabel="d², mean of its log and 80 % of paths")
    decay.set_title(f"lr = {p.lr_max:g}")
    decay.set_ylim(1e-20, 10)
    for name, one in ds.sel(label_noise=slice(0.05, None)).groupby("dynamics"):
        at = float(str(name).split()[-1]) * one["label_noise"] ** 2
        found = sd.sample.mean(-slopes(one.squeeze(), p.t_max / 4), level=0.999)
        error = [found.value - found.low, found.high - found.value]
        rates.errorbar(at, found.value, error, fmt="o", markersize=3, capsize=2, label=str(name))
    ends = np.array([p.lr_max / 4 * 0.01, p.lr_max * 0.16])
    rates.loglog(ends, 8 * ends, "k:", label="slope one")
    rates.set(xlabel="lr σ²", ylabel="decay of d² [1/time], 99.9 %")
    for ax in (decay, rates):
        ax.legend(fontsize="small")
    return drawn


def decay(lr: float, noise: float, after: float, t_max: float) -> Any:
    """Measures the slope of log d² of each of 1024 paths between two times."""

    def measured(seed: int) -> Any:
        watched = [sd.Record(times=(after, t_max), values={"d2": square})]
        ds = sd.run(chain(P, lr, noise), START, 1024, t_max=t_max, seed=seed, observers=watched, **SMALL)
        return slopes(ds, after)

    return measured


def on_the_set(lr: float, noise: float, after: float, t_max: float) -> Any:
    """Measures twice the growth of a displacement normal to the set, of each of 1024 paths on it."""

    def measured(seed: int) -> Any:
        tangent = sd.Tangent(chain(P, lr, noise), normal_to=duplicates())
        watched = [sd.Record(times=(after,))]
        ds = sd.run(tangent, START, 1024, t_max=t_max, seed=seed, observers=watched, **SMALL)
        grown = ds["final_state"].isel(component=-1) - ds["state"].isel(component=-1, time=0)
        return (2 * grown / (t_max - after)).drop_vars(["component", "time"])

    return measured


def ratio(first: Any, second: Any) -> Any:
    """Measures mean slope by mean slope: the factor c at which first - c × second has the mean zero."""

    def measured(seed: int, level: float) -> Any:
        a = first(seed).expand_dims(c=[0.0, 1.0])
        return sd.sample.zero(a - a["c"] * second(seed + 1), "c", level)

    return measured


def still(seed: int, level: float) -> Any:
    """Rate without noise, where every path is the same."""
    return sd.sample.mean(decay(0.1, 0.0, 50.0, 60.0)(seed), level)


P, EXPONENT = Params(), "transverse exponent"
WEAK, STRONG, FAST = decay(0.05, 0.2, 50.0, 120.0), decay(0.05, 0.4, 50.0, 120.0), decay(0.1, 0.4, 20.0, 80.0)
ROWS = (
    ("σ=0: d² stays as it is (rate per unit time)", "figure", still, 0.0, "within", 1e-5),
    ("lr=0.05: σ 0.2 → 0.4 makes d² decay four times as fast", "small lr σ²", ratio(STRONG, WEAK), 4.0, "within", 0.15),
    ("σ=0.4: lr 0.05 → 0.1 more than doubles the rate", "figure", ratio(FAST, STRONG), 2.0, "above"),
    ("lr=0.1, σ=0.4: twice the exponent on the set is the slope of log d²", EXPONENT,
     ratio(on_the_set(0.1, 0.4, 20.0, 60.0), FAST), 1.0, "within", 0.15),
)  # fmt: skip
CLAIMS = tuple(sd.Claim(*row) for row in ROWS)
