"""SGD on a small network and the SDE that stands for it, on scikit-learn's digits.

    SGD   x⁺ = x - η ∇L_B(x)
    SDE   dX = -∇L(X) dt + sqrt(η/B) Σ(X)^{1/2} dW,   Euler steps h = η/10, and h = η/5 to see that h is small enough

on one time axis, time = η × steps: test loss, test accuracy and norm of the weights of a ReLU network. Euler steps of
length h = η would be SGD with Gaussian noise and say nothing about the SDE. At a learning rate as large as that of
the defaults the two part: SGD needs longer to pass 90 % of the test set, and its curves lie apart.

Li, Tai and E, "Stochastic modified equations and adaptive stochastic gradient algorithms", arXiv 1511.06251; the
experiment is ours.
"""

from __future__ import annotations

import dataclasses
import functools
from typing import Any

import numpy as np

import sdesim as sd

SHOWN = {"test_loss": "test loss", "accuracy": "test accuracy", "weight_norm": "norm of the weights"}


@dataclasses.dataclass(frozen=True)
class Params:
    """The comparison of the figure.

    Parameters
    ----------
    lr : float
        Learning rate η.
    batch_size : int
        B, drawn with replacement.
    width : int
        Hidden neurons.
    t_max : float
        Length of a path in time, η × steps.
    """

    lr: float = 0.5
    batch_size: int = 32
    width: int = 16
    t_max: float = 30.0


@functools.lru_cache(maxsize=2)
def objective(p: Params) -> Any:
    """Cross entropy of a network with one hidden layer on the digits."""
    return sd.network(sd.mlp(64, p.width, 10), "cross_entropy", sd.data.digits())


def dynamics(p: Params) -> dict[str, Any]:
    """SGD, and Euler steps of its SDE of two lengths."""
    sde = sd.minibatch_sde(objective(p), p.lr, p.batch_size)
    return {
        "SGD": sd.SGD(objective(p), p.lr, batch_size=p.batch_size),
        "SDE, h = η/10": sd.EulerMaruyama(sde, p.lr / 10),
        "SDE, h = η/5": sd.EulerMaruyama(sde, p.lr / 5),
    }


def norm(x: Any) -> Any:
    """Euclidean norm of the weights of each path."""
    return x.norm(dim=1)


def build(p: Params) -> dict[str, sd.Experiment]:
    """The three on one time axis, from fresh weights."""
    values = {"test_loss": objective(p).test_loss, "accuracy": objective(p).accuracy, "weight_norm": norm}
    watched = (sd.Record(times=np.linspace(0.0, p.t_max, 31), values=values),)
    return {
        name: sd.Experiment(chain, objective(p), 16, t_max=p.t_max, observers=watched)
        for name, chain in dynamics(p).items()
    }


def figure(ds: Any) -> Any:
    """Means over paths with their 95 % intervals."""
    p = model.params_of(ds)
    drawn, axes = sd.plot.canvas(3)
    n = ds.sizes["path"]
    for name, one in ds.groupby("dynamics"):
        for ax, quantity in zip(axes, SHOWN, strict=True):
            curve = one[quantity].squeeze()
            mean, half = curve.mean("path"), 2.1 * curve.std("path", ddof=1) / n**0.5
            (line,) = ax.plot(curve["time"], mean, label=name)
            ax.fill_between(curve["time"], mean - half, mean + half, color=line.get_color(), alpha=0.25)
    for ax, label in zip(axes, SHOWN.values(), strict=True):
        ax.set(xlabel="time [η × steps]", ylabel=label)
    axes[0].legend(fontsize="small")
    axes[1].set_title(f"digits, 64–{p.width}–10, η = {p.lr:g}, B = {p.batch_size}, {n} paths", fontsize="medium")
    return drawn


def time_to_90(name: str, n_paths: int, seed: int, level: float) -> Any:
    """Mean time until the test accuracy passes 90 %, looked at once in the time of an SGD step."""
    p = Params()
    chain = dynamics(p)[name]
    trained = sd.FirstExit(sd.Below(objective(p).accuracy, 0.9, every=round(p.lr / chain.clock)))
    ds = sd.run(chain, objective(p), n_paths, t_max=20 * p.t_max, seed=seed, observers=[trained])
    return sd.exits.mean_exit_time(ds, level=level)


model = sd.Model(
    name="digits",
    paper=sd.Paper(
        authors="Li, Qianxiao and Tai, Cheng and E, Weinan",
        title="Stochastic modified equations and adaptive stochastic gradient algorithms",
        year=2017,
        arxiv="1511.06251",
    ),
    Params=Params,
    build=build,
    figure=figure,
    claims=(
        sd.Claim(
            "lr=0.5: the SDE passes 90 % test accuracy at the same mean time with h = lr/10 and h = lr/5",
            "convergence in h",
            lambda seed, level: time_to_90("SDE, h = η/10", 64, seed, level),
            lambda: float(time_to_90("SDE, h = η/5", 64, 1, 0.95).value),
            "within",
            0.25,
        ),
        sd.Claim(
            "lr=0.5: SGD passes 90 % test accuracy later than its SDE",
            "discretisation",
            lambda seed, level: time_to_90("SGD", 256, seed, level),
            lambda: float(time_to_90("SDE, h = η/10", 64, 1, 0.999).high),
            "above",
        ),
    ),
)
