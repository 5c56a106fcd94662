"""The whole linear network: small batches leave a student of lower rank, with no label noise but that of the data.

A student UV of 8 units, U and V whole matrices, learns y = XW + τ N(0, 1) from 1024 examples by SGD on batches of
size B, with replacement; W has the singular values 2 and 1. The residuals, of variance near τ² in every output, make
noise of variance about τ²/B in the gradient of a mode per unit of its weights: the label noise of `modes` with
η'σ² → η τ²/B. So modes with a singular value below about η τ²/(2B) collapse: the rank falls as the batch shrinks. The
set of students of a lower rank is invariant for every batch. While the rate is as large the test loss is higher for
small batches: the modes that live fluctuate.

Chen, Kunin, Yamamura and Ganguli, arXiv 2306.04251, section 5: the setting and batches from 1 up are the paper's, the
size is reduced and all numbers are ours.
"""

from __future__ import annotations

import dataclasses
import functools
from typing import Any

import numpy as np
import torch

import sdesim as sd

N, UNITS, KEPT = 1024, 8, 0.05
TEACHER = (2.0, 1.0)


@dataclasses.dataclass(frozen=True)
class Params:
    """Batch size against rank.

    Parameters
    ----------
    lr : float
        Learning rate η.
    tau : float
        Standard deviation of the noise in the data.
    batches : tuple of int
        Batch sizes.
    t_max : float
        Length of a path, η × steps.
    """

    lr: float = 0.02
    tau: float = 4.0
    batches: tuple[int, ...] = (1, 4, 16, 64)
    t_max: float = 40.0


@functools.cache
def data(tau: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Inputs, targets and the teacher, fixed by a seed."""
    rng = np.random.default_rng(1)
    inputs, left, right = (np.linalg.qr(rng.standard_normal((rows, UNITS)))[0] for rows in (N, UNITS, UNITS))
    inputs = inputs * N**0.5
    teacher = left[:, : len(TEACHER)] * np.array(TEACHER) @ right[:, : len(TEACHER)].T
    return inputs, inputs @ teacher + tau * rng.standard_normal((N, UNITS)), teacher


@functools.cache
def student(tau: float) -> sd.Objective:
    """Two linear layers without bias under half the squared loss."""
    inputs, targets, _ = data(tau)
    layers = [torch.nn.Linear(UNITS, UNITS, bias=False) for _ in range(2)]

    def half(outputs: torch.Tensor, wanted: torch.Tensor) -> torch.Tensor:
        return ((outputs - wanted) ** 2).sum(-1) / 2

    examples = tuple(torch.tensor(a, dtype=torch.float32) for a in (inputs, targets))
    return sd.network(torch.nn.Sequential(*layers), half, examples, method="vmap")


def product(x: torch.Tensor) -> torch.Tensor:
    """The student's matrix, (path, output, input)."""
    first, second = (part.reshape(-1, UNITS, UNITS) for part in x.split(UNITS**2, dim=1))
    return second @ first


def rank(x: torch.Tensor) -> torch.Tensor:
    """Singular values above 0.05."""
    return (torch.linalg.svdvals(product(x)) > KEPT).sum(1).to(x.dtype)


def build(p: Params) -> sd.Experiment:
    """Students that start from U = V = 1/sqrt(2), at all batch sizes."""
    teacher = torch.tensor(data(p.tau)[2].T, dtype=torch.float32)

    def test_loss(x: torch.Tensor) -> torch.Tensor:
        return ((product(x) - teacher.to(x)) ** 2).sum((1, 2)) / 2

    seen = sd.Record(np.geomspace(0.1, p.t_max, 16), values={"rank": rank, "test_loss": test_loss})
    start = np.tile(np.eye(UNITS).ravel() * 0.5**0.5, 2)
    sgd = sd.SGD(student(p.tau), p.lr, batch_size=1)
    grid = {"batch_size": p.batches}
    return sd.Experiment(sgd, start, 16, t_max=p.t_max, vary=grid, observers=[seen])


def figure(ds: Any, p: Params) -> Any:
    """Rank and test loss over time."""
    drawn, panels = sd.plot.canvas(2)
    for ax, name, label in zip(panels, ("rank", "test_loss"), ("rank of UV", "test loss |UV - W|²/2"), strict=True):
        for batch_size in p.batches:
            found = sd.sample.mean(ds[name].sel(batch_size=batch_size))
            ax.plot(found.value["time"], found.value, label=f"B = {batch_size}")
            ax.fill_between(found.value["time"], np.maximum(found.low, found.value / 10), found.high, alpha=0.25)
        ax.set(xscale="log", xlabel="time, η × steps", ylabel=label)
        ax.legend(fontsize="small")
    panels[1].set_yscale("log")
    return drawn


def change(name: str) -> Any:
    """Measures how much lower something is at t = 12 with B = 4 than with B = 64."""

    def measure(seed: int, level: float) -> Any:
        found = runs(seed)[name].isel(time=-1)
        return sd.sample.mean(found.sel(batch_size=4) - found.sel(batch_size=64), level)

    return measure


@functools.lru_cache(maxsize=1)
def runs(seed: int) -> Any:
    """Both batch sizes of the claims."""
    return build(Params(batches=(4, 64), t_max=12.0)).run(32, seed, progress=False)


ROWS = (
    ("full network: batches of 4 leave a rank lower by more than one than batches of 64", "figure", change("rank"),
     -1.0, "below"),
)  # fmt: skip
CLAIMS = tuple(sd.Claim(*row) for row in ROWS)
