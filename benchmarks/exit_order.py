"""Error of the mean exit time against dt, with and without correction, in one dimension and on a disc."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from machine import THREADS
from table import FIGURES, Row
from timing import within

import sdesim as sd

PATHS = {"bridge": 16_000_000, None: 1_000_000}
BATCH = 4_000_000
TICKS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2)
NAMES = {"bridge": "with correction", None: "without correction"}


@dataclass(frozen=True)
class Problem:
    """An exit whose exact mean is known."""

    title: str
    sde: sd.SDE
    x0: Any
    region: Any
    exact: float
    steps: dict[str | None, tuple[float, ...]]
    coarse: tuple[float, ...]


PLAIN = (0.02, 0.01, 0.005, 0.0025, 0.00125)


def double_well() -> Problem:
    """dX = (X - X³) dt + dW from -1 through 0; exact by quadrature."""
    sde = sd.SDE(drift=-sd.Landscape("x**4/4 - x**2/2").gradient, diffusion=1.0)
    region = sd.Interval(high=0.0)
    exact = float(sd.theory.mean_exit_time(sde, -1.0, region))
    steps = {"bridge": (0.05, 0.025, 0.0125, 0.00625), None: PLAIN}
    return Problem("double well, 1-D", sde, -1.0, region, exact, steps, (0.2, 0.1))


def disc() -> Problem:
    """dX = -X dt + dW from (1/2, 0) out of the unit disc; exact by quadrature for the radius, a diffusion too."""
    sde = sd.SDE(drift=["-x", "-y"], diffusion=1.0)
    radius = sd.SDE(drift="1/(2*r) - r", diffusion=1.0)
    exact = float(sd.theory.mean_exit_time(radius, 0.5, sd.Interval(0.0, 1.0)))
    region = sd.Ball((0.0, 0.0), 1.0)
    steps = {"bridge": (0.02, 0.01, 0.005, 0.0025), None: PLAIN}
    return Problem("Ornstein–Uhlenbeck on a disc, 2-D", sde, (0.5, 0.0), region, exact, steps, (0.16, 0.08, 0.04))


def measure(small: bool = False) -> tuple[list[Row], dict[str, Any]]:
    rows: list[Row] = []
    detail: dict[str, Any] = {"figures": {"order.png": "Relative error of the mean exit time against dt"}}
    figure, axes = plt.subplots(1, 2, figsize=(9.5, 4.2), layout="constrained", sharey=True)
    problems = (double_well(), disc())
    for problem, ax in zip(problems, axes, strict=True):
        detail[problem.title] = seen = {"exact": problem.exact}
        for correction, bar in (("bridge", 0.9), (None, None)):
            name = NAMES[correction]
            seen[name] = found = _errors(problem, correction, PATHS[correction] // (40 if small else 1))
            if correction:
                found["coarse"] = _errors(problem, correction, PATHS[None] // (4 if small else 1), problem.coarse)
            ends = f"± {1.96 * found['slope_error']:.2f}"
            work = f"order of the exit-time error in dt, {problem.title}, {name} ({ends})"
            rows.append(Row(work, "", found["slope"], bar=bar, least=True))
            _draw(ax, found, name, "C0" if correction else "C1")
        ax.set(xlabel="dt [time]", title=problem.title)
        ax.grid(alpha=0.3, which="both")
        ax.legend(fontsize="small")
        ax.set_xticks(TICKS, [f"{dt:g}" for dt in TICKS])
        ax.minorticks_off()
    axes[0].set_ylabel("|mean exit time / exact - 1|")
    figure.savefig(FIGURES / "order.png", dpi=150)
    plt.close(figure)
    detail["agreement"] = _operator_check(problems[0], detail)
    detail["remarks"] = [_remark(problems, detail)]
    return rows, detail


def _errors(problem: Problem, correction: str | None, n: int, dts: Sequence[float] = ()) -> dict[str, Any]:
    """Relative errors with their standard errors, and the line through the logarithms."""
    dts = tuple(dts) or problem.steps[correction]
    bias, spread = np.array([_error(problem, correction, dt, n) for dt in dts]).T
    slope, error, factor = _line(np.log(dts), np.log(np.abs(bias)), spread / np.abs(bias))
    found = {"dt": dts, "error": bias.tolist(), "standard_error": spread.tolist()}
    return {**found, "slope": slope, "slope_error": error, "factor": factor}


def _error(problem: Problem, correction: str | None, dt: float, n: int) -> tuple[float, float]:
    """Relative error of the mean of n paths and its standard error, a batch of paths at a time."""
    dynamics = sd.EulerMaruyama(problem.sde, dt=dt)
    watched = [sd.FirstExit(problem.region, correction=correction)]
    given = {"t_max": 1e6, "seed": 2, "observers": watched, "threads": THREADS, "progress": False}
    total = np.zeros(2)
    for first in range(0, n, BATCH):
        ds = sd.run(dynamics, problem.x0, min(BATCH, n - first), start_path=first, **given)
        ratio = ds["exit_time"].values / problem.exact
        total += ratio.sum(), (ratio * ratio).sum()
    mean, square = total / n
    return mean - 1, np.sqrt((square - mean * mean) / n)


def _line(x: np.ndarray, y: np.ndarray, error: np.ndarray) -> tuple[float, float, float]:
    """Slope of the least-squares line, its standard error from those of y, and the factor in front."""
    weights = (x - x.mean()) / np.sum((x - x.mean()) ** 2)
    slope = float(weights @ y)
    return slope, float(np.sqrt(np.sum((weights * error) ** 2))), float(np.exp(y.mean() - slope * x.mean()))


def _remark(problems: Sequence[Problem], detail: dict[str, Any]) -> str:
    """What was fitted, and how the order looks over the coarser steps that were not."""
    coarse = "; ".join(
        f"{p.title}: fitted from {p.steps['bridge'][-1]:g} to {p.steps['bridge'][0]:g}, order "
        f"{detail[p.title]['with correction']['coarse']['slope']:.2f} from {p.coarse[-1]:g} to {p.coarse[0]:g}"
        for p in problems
    )
    return (
        "Order: slope of the straight line through the logarithms of the errors, its 95 % interval from the "
        f"standard errors of the points ({PATHS['bridge']:,} paths each with correction, {PATHS[None]:,} without); "
        f"exact means by quadrature. The order is that of small dt; with correction {coarse}."
    )


def _operator_check(problem: Problem, detail: dict[str, Any]) -> dict[str, float]:
    """Standard errors between the uncorrected simulation and the transfer operator of its chain."""
    seen, z = detail[problem.title]["without correction"], {}
    for dt, error, spread in zip(seen["dt"], seen["error"], seen["standard_error"], strict=True):
        operator = sd.theory.chain_exit_time(sd.EulerMaruyama(problem.sde, dt=dt), problem.x0, problem.region)
        gap = error - (operator.value / problem.exact - 1)
        z[f"dt={dt:g}"] = within("uncorrected chain", gap, np.hypot(spread, operator.error / problem.exact))
    return z


def _draw(ax: Any, found: dict[str, Any], name: str, color: str) -> None:
    dt, error = np.array(found["dt"]), np.abs(found["error"])
    label = f"{name}: order {found['slope']:.2f} ± {1.96 * found['slope_error']:.2f}"
    spread = 1.96 * np.array(found["standard_error"])
    ax.errorbar(dt, error, spread, fmt="o", color=color, capsize=2, label=label)
    if "coarse" in found:
        coarse = found["coarse"]
        ax.plot(coarse["dt"], np.abs(coarse["error"]), "o", color=color, mfc="none", label="coarser, not in the fit")
    ax.loglog(dt, found["factor"] * dt ** found["slope"], "-", color=color, linewidth=0.8)
