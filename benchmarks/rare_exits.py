"""Rare exits: intervals of splitting against the committor of the discrete chain, and what direct simulation costs."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from machine import THREADS
from table import FIGURES, Row
from well import DT, chain

import sdesim as sd
from sdesim.engine.rare.levels import REACHED

WELL = sd.Landscape("x**4/4 - x**2/2")
RIGHT = sd.Interval(low=0.0)
SIGMAS = {1e-3: 0.28662, 1e-6: 0.19274, 1e-9: 0.15555, 1e-12: 0.13406}
OFTEN = (1e-6, 1e-9)  # probabilities at which the coverage is measured
N, M, MANY, FEW, JUMPS = 1000, 10, 1000, 40, 200
STABLE, LOMAX = 5.808e-4, 1.4619e-3  # scales at which the committor is 1e-6
COVERAGE, WIDEST, SPREAD, CHEAPER = 92.7, 25.0, 2.0, 1e5


def measure(small: bool = False) -> tuple[list[Row], dict[str, Any]]:
    detail: dict[str, Any] = {"gaussian": {}, "jumps": {}}
    rows: list[Row] = []
    for p, sigma in SIGMAS.items():
        times = (40 if small else MANY) if p in OFTEN else (10 if small else FEW)
        case = _repeat(chain(sigma=sigma), -0.9, sd.Interval(high=-1.0), times)
        detail["gaussian"][f"{p:g}"] = case
        rows += _rows(f"exit of the well, p = {p:g}", case, covered=p in OFTEN)
    rows += _against_direct(detail)
    stable = sd.EulerMaruyama(sd.SDE(drift=-WELL.gradient, diffusion=STABLE, noise=sd.Stable(1.5)), dt=DT)
    lomax = sd.SGD(WELL, DT, noise=sd.Pareto(1.5, LOMAX))
    for name, dynamics in (("stable noise, α = 1.5", stable), ("Lomax noise, α = 1.5", lomax)):
        case = _repeat(dynamics, -0.99, sd.Interval(high=-0.995), 20 if small else JUMPS)
        detail["jumps"][name] = case
        rows += _rows(f"exit of the well, {name}, p = 1e-06", case, covered=True)
    detail["remarks"] = [
        f"Rare exits: {M} runs of {N:,} clones make one interval; the coverage comes from {MANY:,} seeded repetitions "
        f"at p = {OFTEN[0]:g} and {OFTEN[1]:g} and {JUMPS} with jumps, against the committor of the discrete chain."
    ]
    detail["figures"] = {"rare_exits.png": "Estimates of splitting over the exact probabilities"}
    _draw(detail["gaussian"])
    return rows, detail


def _repeat(dynamics: Any, x0: float, a: sd.Interval, times: int) -> dict[str, Any]:
    """The same study with seeds 0, 1, ..., against the operator."""
    exact = sd.theory.chain_committor(dynamics, x0, a, RIGHT, rtol=1e-4)
    sd.rare_exit(dynamics, x0, a, RIGHT, n_clones=N, n_runs=2)
    began = time.perf_counter()
    found = [sd.rare_exit(dynamics, x0, a, RIGHT, n_clones=N, n_runs=M, seed=s, threads=THREADS) for s in range(times)]
    seconds = time.perf_counter() - began
    value, low, high = (np.array([getattr(e, name) for e in found]) for name in ("value", "low", "high"))
    runs = np.concatenate([e.runs for e in found])
    relative = runs / exact.value
    return {
        "exact": exact.value,
        "exact_error": exact.error,
        "repetitions": times,
        "mean": float(runs.mean()),
        "mean_error": float(runs.std(ddof=1) / np.sqrt(runs.size)),
        "coverage": float(100 * np.mean((low <= exact.value) & (exact.value <= high))),
        "half_width": float(100 * np.median((high - low) / 2 / value)),
        "variance": float(relative.var(ddof=1) / (-np.log(exact.value) / N)),
        "warned": int(sum(bool(e.warning) for e in found)),
        "path_steps": float(np.mean([e.path_steps for e in found])),
        "seconds": seconds / times,
        "estimates": value[:FEW].tolist(),
    }


def _rows(work: str, case: dict[str, Any], *, covered: bool) -> Sequence[Row]:
    rows = [
        Row(f"{work}: median relative half-width", "%", case["half_width"], bar=WIDEST),
        Row(f"{work}: variance of a run over -log(p)/N", "", case["variance"], bar=SPREAD),
        Row(f"{work}: mean of all runs from the operator's value, in standard errors", "",
            abs(case["mean"] - case["exact"]) / case["mean_error"], bar=4.0),
    ]  # fmt: skip
    if covered:
        work = f"{work}: coverage of the 95 % interval, {case['repetitions']:,} repetitions"
        rows.insert(0, Row(work, "%", case["coverage"], bar=COVERAGE, least=True))
    return rows


def _against_direct(detail: dict[str, Any]) -> Sequence[Row]:
    """Cost of direct simulation at 1e-9 for the same error, in path-steps and in time, from its own speed."""
    case, dynamics = detail["gaussian"]["1e-09"], chain(sigma=SIGMAS[1e-9])
    options: dict[str, Any] = {"n_clones": 100_000, "kill": 1, "smallest": 1.0, "threads": THREADS}
    began = time.perf_counter()
    direct = sd.rare_exit(dynamics, -0.9, sd.Interval(high=-1.0), RIGHT, **options).dataset
    seconds = time.perf_counter() - began
    excursions = direct["outcome"].size
    assert int((direct["outcome"] == REACHED).sum()) == 0
    variance = case["variance"] * -np.log(case["exact"]) / N / M  # relative, of one study
    needed = 1 / (case["exact"] * variance)
    steps = needed * float(direct["n_steps"].sum()) / excursions
    detail["direct"] = {"excursions": needed, "path_steps": steps, "seconds": needed * seconds / excursions}
    ratios = {"path-steps": steps / case["path_steps"], "time": detail["direct"]["seconds"] / case["seconds"]}
    return [
        Row(f"direct simulation for the same error at p = 1e-09 over splitting, {what}", "", r, bar=CHEAPER, least=True)
        for what, r in ratios.items()
    ]


def _draw(cases: dict[str, Any]) -> None:
    figure, axes = plt.subplots(figsize=(6, 4.2), layout="constrained")
    for case in cases.values():
        found = np.array(case["estimates"])
        axes.semilogx(np.full(found.size, case["exact"]), found / case["exact"], ".", color="C0", alpha=0.4)
    axes.axhline(1.0, color="k", linewidth=0.8)
    axes.set(xlabel="exact probability of the discrete chain", ylabel="estimate / exact")
    axes.set_title(f"rare exits of the well, {M} runs of {N:,} clones", fontsize="medium")
    axes.grid(alpha=0.3)
    figure.savefig(FIGURES / "rare_exits.png", dpi=150)
    plt.close(figure)
