"""A small network: the gradient points towards where SGD will end, along its whole path.

    ⟨-∇L(x_t), x_T - x_t⟩ > 0,    one-point convexity towards the end x_T of the path itself

for SGD on the digits with a ReLU network 64-16-10 and the loss L over all data, at points x_t of the path and near
them, x_t + δ with |δ| = `reach` in a random direction. The paper shows this for larger networks; it does not follow
from its theorem, which takes x* as given.

At η = 0.5 every point looked at has a positive product, and so has every point 0.5 beside: shares 1 without exception,
of paths from fresh weights and of paths from one early point, which end apart by a fifth of their way. At η = 1, above
the rate that is stable at the start, paths from one early point end a whole way apart (the paper's "far apart"), and
97 % of their points keep the inequality. The cosine falls from 0.5 to 0.1 as a path settles.

Kleinberg, Li and Yuan, arXiv 1802.06175, section 4.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import numpy as np

import sdesim as sd

FRESH, ONE = "fresh weights", "one early point"
TIMES = 25


@dataclasses.dataclass(frozen=True)
class Params:
    """SGD from fresh weights, and many runs from one early point.

    Parameters
    ----------
    lr, batch_size : float, int
        Learning rate η and batch size of SGD.
    width : int
        Hidden neurons.
    n_steps, early : int
        Length of a path, and steps of the one path from whose end many start.
    reach : float
        Distance of the points near a path.
    """

    lr: float = 0.5
    batch_size: int = 32
    width: int = 16
    n_steps: int = 2000
    early: int = 20
    reach: float = 0.5


@functools.lru_cache(maxsize=2)
def objective(p: Params) -> Any:
    """Cross entropy of the network on the digits."""
    return sd.network(sd.mlp(64, p.width, 10), "cross_entropy", sd.data.digits(), method="vmap")


def dynamics(p: Params) -> Any:
    """SGD."""
    return sd.SGD(objective(p), p.lr, batch_size=p.batch_size)


def times(p: Params) -> np.ndarray:
    """When the path is looked at: often early, where it moves most; the end is the last."""
    steps = np.unique(np.geomspace(1, p.n_steps, TIMES).astype(int))
    return p.lr * np.concatenate([[0], steps])


@functools.lru_cache(maxsize=2)
def early_point(p: Params) -> np.ndarray:
    """The state of one path after a few steps."""
    return sd.run(dynamics(p), objective(p), 1, n_steps=p.early, seed=1)["final_state"].values[0]


def build(p: Params) -> dict[str, sd.Experiment]:
    """Paths from weights of their own, and from one point."""
    watched = (sd.Record(times=times(p)),)
    starts = {FRESH: objective(p), ONE: early_point(p)}
    return {
        name: sd.Experiment(dynamics(p), x0, 48, n_steps=p.n_steps, observers=watched) for name, x0 in starts.items()
    }


def directed(p: Params, states: np.ndarray, reach: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    """Cosine of -∇L with the way to the end, at (or near) the states of each path but the last, and the way's length.

    States are (path, time, parameter), results (path, time - 1).
    """
    problem, end = objective(p), states[:, -1]
    cosines, ways = [], []
    rng = np.random.default_rng(0)
    for t in range(states.shape[1] - 1):
        aside = rng.standard_normal(end.shape)
        x = states[:, t] + reach * aside / np.linalg.norm(aside, axis=1, keepdims=True)
        slope = -problem.gradient(problem.inputs.new_tensor(x)).cpu().numpy()
        way = end - x
        size = np.linalg.norm(way, axis=1)
        cosines.append((slope * way).sum(1) / (np.linalg.norm(slope, axis=1) * size))
        ways.append(size)
    return np.stack(cosines, axis=1), np.stack(ways, axis=1)


def apart(states: np.ndarray) -> np.ndarray:
    """Distance between the ends of paths 0 and 1, 2 and 3, ... over the mean way from their start."""
    start, end = states[:, 0], states[:, -1]
    way = np.linalg.norm(end - start, axis=1)
    return np.linalg.norm(end[::2] - end[1::2], axis=1) / ((way[::2] + way[1::2]) / 2)


def figure(ds: Any, p: Params) -> Any:
    """Cosine with the way to the end along the paths and beside them; distances of the ends from one point."""
    drawn, (share, cosine, ends) = sd.plot.canvas(3)
    for i, name in enumerate(ds["dynamics"].values):
        one = ds.sel(dynamics=name)
        states = one["state"].transpose("path", "time", "component").values
        for reach, style in ((0.0, "-"), (p.reach, ":")):
            found, _ = directed(p, states, reach)
            label = f"{name}{f', {reach:g} beside' if reach else ''}"
            share.plot(one["time"][1:-1], (found[:, 1:] > 0).mean(0), f"C{i}o{style}", markersize=3, label=label)
            low, middle, high = np.quantile(found[:, 1:], [0.1, 0.5, 0.9], axis=0)
            cosine.plot(one["time"][1:-1], middle, f"C{i}{style}", label=label)
            cosine.fill_between(one["time"][1:-1], low, high, color=f"C{i}", alpha=0.15, linewidth=0)
        ends.hist(apart(states), bins=np.linspace(0, 2, 41), color=f"C{i}", alpha=0.6, label=f"from {name}")
    share.set(ylabel="share of paths with ⟨-∇L, x_T - x⟩ > 0", ylim=(0, 1.05), title="one-point convexity")
    cosine.set(ylabel="cosine of -∇L and x_T - x", title="median and deciles")
    cosine.axhline(0, color="grey", linewidth=0.5)
    for ax in (share, cosine):
        ax.set(xscale="log", xlabel="time t [η × steps]")
    ends.set(xlabel="distance of two ends / way from the start", ylabel="pairs of paths", title="ends")
    share.legend(fontsize="small", loc="lower left")
    ends.legend(fontsize="small")
    return drawn


@functools.lru_cache(maxsize=4)
def states_of(p: Params, name: str, seed: int) -> np.ndarray:
    """Recorded states of 32 paths, or of 192 from one point, which differ more: (path, time, parameter)."""
    ds = build(p)[name].run(192 if name == ONE else 32, seed=seed)
    return ds["state"].transpose("path", "time", "component").values


def share_of(p: Params, name: str, reach: float) -> Callable[[int, float], Any]:
    """Mean over paths of the share of looked-at points where the gradient points to the path's end."""

    def measure(seed: int, level: float) -> Any:
        found, _ = directed(p, states_of(p, name, seed), reach)
        return sd.sample.mean((found > 0).mean(1), level)

    return measure


def distance_of_ends(seed: int, level: float) -> Any:
    """Mean distance of pairs of ends over their way from the one start."""
    return sd.sample.mean(apart(states_of(FAST, ONE, seed)), level)


FAST = Params(lr=1.0)
CLAIMS = (
    *(
        sd.Claim(
            f"digits, lr={p.lr:g}, from {name}: share of a path's points{f', {reach:g} beside it,' if reach else ''} "
            "where the gradient points to its end",
            "experiments", share_of(p, name, reach), bound, "above",
        )
        for p, name, bound in ((Params(), FRESH, 0.98), (FAST, ONE, 0.9))
        for reach in (0.0, Params.reach)
    ),
    sd.Claim(
        "digits, lr=1: two runs from one early point end further apart than half their way", "experiments",
        distance_of_ends, 0.5, "above",
    ),
)  # fmt: skip
