"""Error of the mean exit time against dt, with and without correction, in one dimension and on a disc."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from machine import THREADS
from table import FIGURES, Row
from timing import within

import sdesim as sd

PATH_STEPS = 2.5e9
MOST_PATHS = 16_000_000
DTS = (0.2, 0.1, 0.05, 0.025, 0.0125)


@dataclass(frozen=True)
class Problem:
    """An exit whose exact mean is known."""

    title: str
    sde: sd.SDE
    x0: Any
    region: Any
    exact: float


def double_well() -> Problem:
    """dX = (X - X³) dt + dW from -1 through 0; exact by quadrature."""
    sde = sd.SDE(drift=-sd.Landscape("x**4/4 - x**2/2").gradient, diffusion=1.0)
    region = sd.Interval(high=0.0)
    return Problem("double well, 1-D", sde, -1.0, region, float(sd.theory.mean_exit_time(sde, -1.0, region)))


def disc() -> Problem:
    """dX = -X dt + dW from (1/2, 0) out of the unit disc; exact by quadrature for the radius, a diffusion too."""
    sde = sd.SDE(drift=["-x", "-y"], diffusion=1.0)
    radius = sd.SDE(drift="1/(2*r) - r", diffusion=1.0)
    exact = sd.theory.mean_exit_time(radius, 0.5, sd.Interval(0.0, 1.0))
    return Problem("Ornstein–Uhlenbeck on a disc, 2-D", sde, (0.5, 0.0), sd.Ball((0.0, 0.0), 1.0), float(exact))


def measure(small: bool = False) -> tuple[list[Row], dict[str, Any]]:
    rows: list[Row] = []
    detail: dict[str, Any] = {"figures": {"order.png": "Relative error of the mean exit time against dt"}}
    figure, axes = plt.subplots(1, 2, figsize=(9.5, 4.2), layout="constrained", sharey=True)
    problems = (double_well(), disc())
    for problem, ax in zip(problems, axes, strict=True):
        detail[problem.title] = seen = {"exact": problem.exact}
        for correction, bar in (("bridge", 0.9), (None, None)):
            name = "with correction" if correction else "without correction"
            seen[name] = found = _errors(problem, correction, PATH_STEPS / 100 if small else PATH_STEPS)
            ends = f"± {1.96 * found['slope_error']:.2f}"
            work = f"order of the exit-time error in dt, {problem.title}, {name} ({ends})"
            rows.append(Row(work, "", found["slope"], bar=bar, least=True))
            _draw(ax, found, name, "C0" if correction else "C1")
        ax.set(xlabel="dt [time]", title=problem.title)
        ax.grid(alpha=0.3, which="both")
        ax.legend(fontsize="small")
    axes[0].set_ylabel("|mean exit time / exact - 1|")
    figure.savefig(FIGURES / "order.png", dpi=150)
    plt.close(figure)
    detail["agreement"] = _operator_check(problems[0], detail)
    detail["remarks"] = [
        "Order: slopes of weighted least squares through the logarithms of the errors, every point weighted by "
        "its standard error; exact means by quadrature."
    ]
    return rows, detail


def _errors(problem: Problem, correction: str | None, path_steps: float) -> dict[str, Any]:
    """Relative errors over DTS with standard errors, and the slope of their logarithms."""
    points = np.array([_error(problem, correction, dt, path_steps) for dt in DTS])
    bias, spread = points.T
    slope, error = _slope(np.log(DTS), np.log(np.abs(bias)), spread / np.abs(bias))
    found = {"dt": DTS, "error": bias.tolist(), "standard_error": spread.tolist()}
    return {**found, "slope": slope, "slope_error": error}


def _error(problem: Problem, correction: str | None, dt: float, path_steps: float) -> tuple[float, float]:
    n = int(min(MOST_PATHS, path_steps * dt / problem.exact))
    dynamics = sd.EulerMaruyama(problem.sde, dt=dt)
    watched = [sd.FirstExit(problem.region, correction=correction)]
    given = {"t_max": 1e6, "seed": 2, "observers": watched, "threads": THREADS, "progress": False}
    ds = sd.run(dynamics, problem.x0, n, **given)
    time = ds["exit_time"].values
    return time.mean() / problem.exact - 1, time.std() / np.sqrt(n) / problem.exact


def _slope(x: np.ndarray, y: np.ndarray, error: np.ndarray) -> tuple[float, float]:
    """Weighted least-squares slope and its standard error.

    Where the points lie further from the line than their errors, the error of the slope grows with that.
    """
    design = np.stack([x, np.ones_like(x)], axis=1) / error[:, None]
    coefficients, *_ = np.linalg.lstsq(design, y / error, rcond=None)
    covariance = np.linalg.inv(design.T @ design)
    chi_square = float(np.sum((y / error - design @ coefficients) ** 2)) / (len(x) - 2)
    return float(coefficients[0]), float(np.sqrt(covariance[0, 0] * max(1.0, chi_square)))


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
    ax.loglog(dt, found["factor"] * dt ** found["slope"], "-", color=color, linewidth=0.8)
