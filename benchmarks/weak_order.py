"""Weak order of the modified equations of SGD: the mean at a fixed time on a quadratic with multiplicative noise.

For f = (a + ξ) x²/2 the means are known exactly: of SGD (1 - η a)^n, of an equation dX = -k X dt + ... exp(-k T), of
its Euler steps (1 - h k)^(T/h). The simulated means are those at h = η/10 and η/20 and their extrapolation to h = 0.
"""

from __future__ import annotations

from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from machine import THREADS
from table import FIGURES, Row

import sdesim as sd

LOSS = sd.Landscape("(a + xi)*x**2/2", params={"a": 1.0, "xi": 0.0})
NOISE, T = sd.Gaussian(0.5), 1.2
FINE, COARSE = (0.1, 0.05, 0.025, 0.0125), (0.3, 0.2, 0.1)
PARTS = (10, 20)
WANTED = {1: 0.15, 2: 0.3}


def measure(small: bool = False) -> tuple[list[Row], dict[str, Any]]:
    n = 40_000 if small else 4_000_000
    rows: list[Row] = []
    detail: dict[str, Any] = {"figures": {"weak_order.png": "Errors of the mean of the modified equations of SGD"}}
    figure, ax = plt.subplots(figsize=(5.4, 4.2), layout="constrained")
    sgd = [_mean(_sgd(lr), lr, n, seed=i) for i, lr in enumerate(COARSE)]
    for order, bar in WANTED.items():
        exact = [_error(order, lr) for lr in FINE]
        slope = float(np.polyfit(np.log(FINE), np.log(exact), 1)[0])
        found = [_simulated(order, lr, n, sgd[i], 100 * order + 10 * i) for i, lr in enumerate(COARSE)]
        measured, half = _slope([f["error"] for f in found], [f["standard_error"] for f in found])
        worst = max(abs(f["errors_of_means"]) for f in found)
        name = f"weak order of the equation of order {order}"
        rows += [
            Row(f"{name}, exact means, η = {FINE[0]:g} … {FINE[-1]:g}: slope {slope:.3f}, distance from {order}", "",
                abs(slope - order), bar=bar),
            Row(f"{name}, simulated, h → 0, η = {COARSE[0]:g} … {COARSE[-1]:g}: slope {measured:.3f} ± {half:.3f} "
                f"(95 %), distance from {order}", "", abs(measured - order), bar=bar),
            Row(f"{name}: largest distance of nine simulated means from the exact ones, in standard errors", "",
                worst, bar=4.0),
        ]  # fmt: skip
        detail[f"order {order}"] = {"lr": FINE, "exact": exact, "slope": slope, "simulated": found, "half": half}
        _draw(ax, order, found)
    ax.set(xscale="log", yscale="log", xlabel="learning rate η", ylabel="|E X(T) − E x(T/η)|")
    ax.set_title(f"f = (1 + ξ) x²/2, ξ of standard deviation {NOISE.scale:g}, T = {T:g}", fontsize="medium")
    ax.legend(fontsize="small")
    figure.savefig(FIGURES / "weak_order.png", dpi=150)
    detail["remarks"] = [
        f"Weak order: E X(T) from x = 1, f = (1 + ξ) x²/2, T = {T:g}; simulated means of {n:,} paths with h = η/10 and "
        "η/20, extrapolated to h = 0, against simulated SGD. At η = 0.3 the next order is felt: the exact slope over "
        f"{COARSE[0]:g} … {COARSE[-1]:g} is {_coarse(1):.3f} and {_coarse(2):.3f}."
    ]
    return rows, detail


def _sgd(lr: float) -> Any:
    return sd.SGD(LOSS, lr, noise=NOISE, random="xi")


def _pull(order: int, lr: float) -> float:
    """k of the mean's decay, from the equation itself."""
    sde = sd.modified_equation(_sgd(lr), order)
    return -float(sd.Field(sde.drift, sde.variables, sde.params)(1.0))


def _error(order: int, lr: float) -> float:
    return abs(float(np.exp(-_pull(order, lr) * T) - (1 - lr) ** round(T / lr)))


def _coarse(order: int) -> float:
    return float(np.polyfit(np.log(COARSE), np.log([_error(order, lr) for lr in COARSE]), 1)[0])


def _mean(dynamics: Any, step: float, n: int, seed: int) -> tuple[float, float]:
    """Mean at time T and its standard error."""
    steps = round(T / step)
    x = sd.run(dynamics, 1.0, n, n_steps=steps, seed=seed, threads=THREADS, progress=False).final_state.values
    return float(x.mean()), float(x.std() / np.sqrt(n))


def _simulated(order: int, lr: float, n: int, sgd: tuple[float, float], seed: int) -> dict[str, Any]:
    """The error at h → 0 with its standard error, and how far the simulated means are from their exact values."""
    sde, k = sd.modified_equation(_sgd(lr), order), _pull(order, lr)
    means, off = [], [(sgd[0] - (1 - lr) ** round(T / lr)) / sgd[1]]
    for i, part in enumerate(PARTS, start=1):  # other numbers for every mean: the interval of a slope needs it
        h = lr / part
        mean, se = _mean(sd.EulerMaruyama(sde, h), h, n, seed + i)
        means.append((mean, se))
        off.append((mean - (1 - h * k) ** round(T / h)) / se)
    (coarse, se_coarse), (fine, se_fine) = means
    error = 2 * fine - coarse - sgd[0]
    spread = float(np.sqrt(4 * se_fine**2 + se_coarse**2 + sgd[1] ** 2))
    return {
        "lr": lr, "error": abs(error), "standard_error": spread, "errors_of_means": max(off, key=abs),
        "at_h": [abs(m - sgd[0]) for m, _ in means],
    }  # fmt: skip


def _slope(errors: list[float], standard_errors: list[float]) -> tuple[float, float]:
    """Slope of log error against log η, and half its 95 % interval."""
    x = np.log(COARSE) - np.mean(np.log(COARSE))
    weights = x / np.sum(x * x)
    half = 1.96 * np.sqrt(np.sum((weights * np.array(standard_errors) / np.array(errors)) ** 2))
    return float(weights @ np.log(errors)), float(half)


def _draw(ax: Any, order: int, found: list[dict[str, float]]) -> None:
    lr = np.geomspace(0.01, 0.3, 40)
    steps = np.maximum(np.round(T / lr), 1)
    exact = [_error(order, T / n) for n in steps]
    (line,) = ax.plot(T / steps, exact, label=f"order {order}, exact")
    bars = 1.96 * np.array([f["standard_error"] for f in found])
    ax.errorbar([f["lr"] for f in found], [f["error"] for f in found], yerr=bars, fmt="o", ms=4, color=line.get_color(),
                label=f"order {order}, simulated, h → 0")  # fmt: skip
    ax.plot([f["lr"] for f in found], [f["at_h"][0] for f in found], "x", color=line.get_color(),
            label=f"order {order}, h = η/10")  # fmt: skip
