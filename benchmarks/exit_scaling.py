"""Paper 11: mean exit times of the second well against the operator, and their slopes, with and without truncation."""

from __future__ import annotations

import dataclasses
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from machine import THREADS
from table import FIGURES, Row

import sdesim as sd
from sdesim.models import wang2021truncated as paper

WELL = 1
RATES = (0.02, 0.01, 0.005, 0.002)
LIMIT = (0.02, 0.01, 0.005, 0.002, 0.001, 0.0005)


@dataclasses.dataclass(frozen=True)
class Case:
    """A truncation, the jumps it asks for, paths at each learning rate, and the limit of the slope."""

    name: str
    b: float | None
    paths: tuple[int, ...]
    limit: float


CASES = (
    Case("no truncation", None, (40_000,) * 4, -1.2),
    Case("b = 0.5, two jumps", 0.5, (20_000,) * 4, -1.4),
    Case("b = 0.28, three jumps", 0.28, (10_000, 10_000, 4_000, 3_000), -1.6),
)


def measure(small: bool = False) -> tuple[list[Row], dict[str, Any]]:
    rows: list[Row] = []
    detail: dict[str, Any] = {"figures": {"exit_scaling.png": "Exit times of paper 11 and their local slopes"}}
    figure, axes = plt.subplots(1, 2, figsize=(10, 4.4), layout="constrained")
    for color, case in zip(("C0", "C1", "C2"), CASES, strict=True):
        shrink = 100 if small else 1
        rates = RATES[:2] if small else RATES
        found = [_simulated(case, lr, max(n // shrink, 40)) for lr, n in zip(rates, case.paths, strict=False)]
        exact = [float(_operator(case, lr, 2e-4).steps) for lr in rates]
        fit = sd.exits.scaling_exponent(_column(found, 0), over=list(rates), error=_column(found, 1))
        wanted = sd.exits.scaling_exponent(exact, over=list(rates))
        gaps = [abs(mean / truth - 1) for (mean, _), truth in zip(found, exact, strict=True)]
        half, inside = (fit.high - fit.low) / 2, fit.low <= wanted.value <= fit.high
        work = f"paper 11, well 2, {case.name}, η = {rates[0]:g} … {rates[-1]:g}"
        rows += [
            Row(f"{work}: largest |simulated / operator - 1| of the mean exit time", "", max(gaps), bar=0.05),
            Row(f"{work}: half-width of the slope's 95 % interval", "", half, bar=0.06),
            Row(f"{work}: slope {fit.value:.4f}, distance from the operator's {wanted.value:.4f} in half-widths", "",
                abs(fit.value - wanted.value) / half, bar=1.0),
        ]  # fmt: skip
        detail[case.name] = {
            "lr": rates, "steps": _column(found, 0), "standard_error": _column(found, 1), "operator": exact,
            "paths": case.paths, "slope": [fit.low, fit.value, fit.high], "operator_slope": wanted.value,
            "inside": bool(inside),
        }  # fmt: skip
        _draw(axes, case, color, rates, found, fit)
    _finish(figure, axes)
    detail["remarks"] = [
        "Paper 11: exits of the second well from its minimum, in steps, every path run until it left; the operator is "
        "exact for the recursion to 2e-4. The last rows are met when the operator's slope lies in the interval."
    ]
    return rows, detail


def _params(case: Case, lr: float) -> paper.Params:
    return dataclasses.replace(paper.Params(), lr=lr, **({} if case.b is None else {"b": case.b}))


def _problem(case: Case, lr: float) -> tuple[Any, float, Any]:
    p = _params(case, lr)
    return paper.dynamics(p, case.b is not None), *paper.exit_from(p, WELL)


def _operator(case: Case, lr: float, rtol: float) -> Any:
    return sd.theory.chain_exit_time(*_problem(case, lr), rtol=rtol)


def _simulated(case: Case, lr: float, n: int) -> tuple[float, float]:
    """Mean number of steps and its standard error."""
    chain, x0, region = _problem(case, lr)
    watched = [sd.FirstExit(region)]
    ds = sd.run(chain, x0, n, n_steps=2**40, observers=watched, seed=11, threads=THREADS, progress=False)
    steps = ds["n_steps"].values
    assert (ds["status"] == sd.Status.EXITED).all()
    return float(steps.mean()), float(steps.std(ddof=1) / np.sqrt(n))


def _column(found: list[tuple[float, float]], i: int) -> list[float]:
    return [pair[i] for pair in found]


def _draw(axes: Any, case: Case, color: str, rates: Any, found: Any, fit: Any) -> None:
    """Simulated points on the operator's curve; local slopes on the operator's, with the limit."""
    means, errors = np.array(found).T
    curve = np.array([float(_operator(case, lr, 5e-3).steps) for lr in LIMIT])
    axes[0].plot(LIMIT, curve, "-", color=color, linewidth=1)
    axes[0].errorbar(rates, means, 1.96 * errors, fmt="o", markersize=4, color=color, capsize=2, label=case.name)
    middles = np.sqrt(np.multiply(LIMIT[1:], LIMIT[:-1]))
    slopes = np.diff(np.log(curve)) / np.diff(np.log(LIMIT))
    axes[1].plot(middles, slopes, "-", color=color, linewidth=1)
    local = fit.local_slopes
    x = local.value[local.value.dims[-1]]
    spread = [local.value - local.low, local.high - local.value]
    axes[1].errorbar(x, local.value, spread, fmt="o", markersize=4, color=color, capsize=2, label=case.name)
    axes[1].axhline(case.limit, color=color, linestyle=":", linewidth=1)


def _finish(figure: Any, axes: Any) -> None:
    axes[0].set(xscale="log", yscale="log", xlabel="learning rate η", ylabel="mean exit time [steps]", title="well 2")
    axes[1].set(xscale="log", xlabel="learning rate η", ylabel="d log steps / d log η", title="local slopes")
    axes[1].plot([], [], "k-", linewidth=1, label="operator")
    axes[1].plot([], [], "k:", linewidth=1, label="limit η → 0")
    axes[1].set_ylim(-1.7, -0.98)
    for ax in axes:
        ax.set_xticks(LIMIT, [f"{lr:g}" for lr in LIMIT])
        ax.minorticks_off()
        ax.grid(alpha=0.3)
        ax.legend(fontsize="small")
    figure.savefig(FIGURES / "exit_scaling.png", dpi=150)
    plt.close(figure)
