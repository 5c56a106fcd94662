"""SVAG on scikit-learn's digits: a ladder from SGD to its SDE.

    SVAG   x⁺ = x - (η/l) ∇[½ (1 + c) L_B₁ + ½ (1 - c) L_B₂],  c = sqrt(2 l - 1);   l = 1 is SGD
    SDE    dX = -∇L(X) dt + sqrt(η/B) Σ(X)^{1/2} dW,   Euler steps h = η/10, and h = η/20 to see that h is small enough

on one time axis, η × steps of SGD, from the same fresh weights path by path: test loss and norm of the weights of a
tanh network, trained on few digits with a learning rate so large that SGD and its SDE part. Drift and covariance of
the noise are the same for every l; what differs, steps of finite length and the third and higher cumulants, falls like
1/l for large l. So does the difference to the SDE, more or less: where it does, the SDE is what finite steps keep SGD
from. Euler steps of length h = η would be SGD with normal noise and say nothing about the SDE.

Li, Malladi and Arora, "On the validity of modeling SGD with stochastic differential equations (SDEs)", arXiv
2102.12470: the recursion is theirs, the experiment ours. (Theirs has l up to 16 on networks for CIFAR.)
"""

from __future__ import annotations

import dataclasses
import functools
from typing import Any

import numpy as np

import sdesim as sd

LADDER = (1, 2, 4, 8)
SHOWN = {"test_loss": "test loss", "weight_norm": "norm of the weights"}
SDE, FINER = "SDE, h = η/10", "SDE, h = η/20"


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
    n_examples : int
        Digits trained on.
    t_max : float
        Length of a path in time, η × steps of SGD.
    """

    lr: float = 1.0
    batch_size: int = 8
    width: int = 8
    n_examples: int = 256
    t_max: float = 10.0


@functools.lru_cache(maxsize=2)
def objective(p: Params) -> Any:
    """Cross entropy of a network with one hidden layer on the first digits."""
    data = sd.data.digits().head(p.n_examples)
    return sd.network(sd.mlp(64, p.width, 10, activation="tanh"), "cross_entropy", data)


def rung(l: int) -> str:  # noqa: E741
    """Its name."""
    return "SGD = SVAG, l = 1" if l == 1 else f"SVAG, l = {l}"


def dynamics(p: Params) -> dict[str, Any]:
    """The ladder, and Euler steps of the SDE of two lengths."""
    sde = sd.minibatch_sde(objective(p), p.lr, p.batch_size)
    return {
        **{rung(l): sd.SVAG(objective(p), p.lr, p.batch_size, l) for l in LADDER},  # noqa: E741
        SDE: sd.EulerMaruyama(sde, p.lr / 10),
        FINER: sd.EulerMaruyama(sde, p.lr / 20),
    }


def norm(x: Any) -> Any:
    """Euclidean norm of the weights of each path."""
    return x.norm(dim=1)


def experiment(p: Params, name: str, n_paths: int, times: Any) -> sd.Experiment:
    """One of the dynamics, from fresh weights that depend on the seed and the path alone."""
    watched = (sd.Record(times=times, values={"test_loss": objective(p).test_loss, "weight_norm": norm}),)
    return sd.Experiment(dynamics(p)[name], objective(p), n_paths, t_max=p.t_max, observers=watched)


def build(p: Params) -> dict[str, sd.Experiment]:
    """All on one time axis."""
    return {name: experiment(p, name, 64, np.linspace(0.0, p.t_max, 11)) for name in dynamics(p)}


def gap(ds: Any, quantity: str, name: str, level: float = 0.95) -> Any:
    """Mean difference to the SDE with the finer steps, path by path from the same weights, with its interval."""
    curve = ds[quantity].squeeze()
    return sd.sample.mean(curve.sel(dynamics=name) - curve.sel(dynamics=FINER), level)


def figure(ds: Any) -> Any:
    """Test loss against time, differences to the SDE, and their size at the end against l."""
    p = model.params_of(ds)
    drawn, (curves, gaps, ladder) = sd.plot.canvas(3)
    for name in ds["dynamics"].values:
        row = sd.sample.mean(ds["test_loss"].sel(dynamics=name).squeeze())
        style = "k" if name == FINER else "k--" if name == SDE else "-"
        (line,) = curves.plot(ds["time"], row.value, style, lw=1.2, label=name)
        if name != FINER:
            one = gap(ds, "test_loss", name)
            gaps.plot(ds["time"], one.value, color=line.get_color(), lw=1.2, label=name)
            gaps.fill_between(ds["time"], one.low, one.high, color=line.get_color(), alpha=0.2)
    gaps.axhline(0, color="k", lw=0.8)
    curves.set(xlabel="time [η × steps of SGD]", ylabel="test loss")
    gaps.set(xlabel="time [η × steps of SGD]", ylabel="test loss above the SDE's, 95 %")
    gaps.set_title(f"digits, 64–{p.width}–10, η = {p.lr:g}, B = {p.batch_size}, {ds.sizes['path']} paths", fontsize=9)
    for i, (quantity, label) in enumerate(SHOWN.items()):
        found = [gap(ds.isel(time=-1), quantity, rung(l)) for l in LADDER]  # noqa: E741
        sign, shift = (1 if found[0].value > 0 else -1), 1 + 0.04 * i
        value, half = sign * np.array([e.value for e in found]), np.array([e.high - e.value for e in found])
        text = f"{label}, {'above' if sign > 0 else 'below'} the SDE's"
        ladder.errorbar(np.array(LADDER) * shift, value, half, fmt=f"C{i}o", ms=4, capsize=2, label=text)
        ladder.plot(LADDER, value[0] / np.array(LADDER), f"C{i}:", label=None if i else "1/l from SGD")
    ladder.axhline(0, color="k", lw=0.8)
    ladder.set(xscale="log", xticks=LADDER, xticklabels=LADDER, xlabel="l", ylabel=f"difference at time {p.t_max:g}")
    ladder.minorticks_off()
    for ax in (curves, ladder):
        ax.legend(fontsize="small")
    return drawn


@functools.lru_cache(maxsize=12)
def at_the_end(name: str, seed: int) -> Any:
    """Test loss and norm of every path at the end; the claims share these runs."""
    return experiment(P, name, 512, [P.t_max]).run(seed=seed, threads=1).isel(time=-1)


def difference(quantity: str, one: str, other: str) -> Any:
    """Measures the mean difference between two dynamics at the end, path by path."""
    return lambda seed, level: sd.sample.mean(
        at_the_end(one, seed)[quantity] - at_the_end(other, seed)[quantity], level
    )


P, FALLS, LIMIT = Params(), "differences fall like 1/l", "limit l → ∞"
ROWS = (
    ("the SDE has the same test loss with h = η/10 and h = η/20", "convergence in h",
     difference("test_loss", SDE, FINER), 0.0, "within", 0.06),
    ("SGD's test loss lies above its SDE's by more than 0.15", "discretisation",
     difference("test_loss", rung(1), FINER), 0.15, "above"),
    ("SVAG with l=8: less than 0.1", LIMIT, difference("test_loss", rung(8), FINER), 0.1, "below"),
    ("test loss falls from l=1 to l=2", FALLS, difference("test_loss", rung(1), rung(2)), 0.0, "above"),
    ("test loss falls from l=2 to l=4", FALLS, difference("test_loss", rung(2), rung(4)), 0.0, "above"),
    ("SGD's weights are smaller than its SDE's by more than 0.1", "discretisation",
     difference("weight_norm", rung(1), FINER), -0.1, "below"),
    ("SVAG with l=8: weights as large as the SDE's", LIMIT,
     difference("weight_norm", rung(8), FINER), 0.0, "within", 0.1),
)  # fmt: skip
model = sd.Model(
    name="svag",
    paper=sd.Paper(
        authors="Li, Zhiyuan and Malladi, Sadhika and Arora, Sanjeev",
        title="On the validity of modeling SGD with stochastic differential equations (SDEs)",
        year=2021,
        arxiv="2102.12470",
    ),
    Params=Params,
    build=build,
    figure=figure,
    claims=tuple(sd.Claim(*row) for row in ROWS),
)
