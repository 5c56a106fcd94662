"""Stationary covariance of SGD on least squares: simulation inside the exact recursion, and the SDE's error in η.

The exact covariances are the fixed points of the recursions of second moments that the tests solve, for batches of two
drawn with replacement and for additive noise (label noise, all examples in the batch); those of the SDE solve the
Lyapunov equation. Beyond half the mean-square stability limit fourth moments grow until intervals mean nothing.
"""

from __future__ import annotations

import sys
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from scipy.special import stdtrit
from table import FIGURES, HERE, Row

import sdesim as sd

sys.path.insert(0, str(HERE.parent))
from tests.dynamics.mean_square import largest_rate
from tests.dynamics.test_minibatch import BEST, H, objective, sde_moment, sgd_moment

B, LABEL = 2, 0.8
SHARES, ADDITIVE = (0.1, 0.2, 0.3, 0.4, 0.5), (0.1, 0.3, 0.5, 0.7, 0.9)
SMALL, SIMULATED = (0.0125, 0.025, 0.05, 0.1), (0.3, 0.5)
ENTRIES = ((0, 0), (0, 1), (1, 1))
SLOWEST, STIFFEST = np.linalg.eigvalsh(H)[[0, -1]]
LEVEL = 0.95


def measure(small: bool = False) -> tuple[list[Row], dict[str, Any]]:
    n = 1024 if small else 16_384
    limit = largest_rate(B)
    noisy = [_against(sgd_moment(B, lr=s * limit), *_sgd(s * limit, n, seed=i)) for i, s in enumerate(SHARES)]
    plain = [
        _against(sgd_moment(6, factor=0.0, lr=s * 2 / STIFFEST, label=LABEL), *_label(s * 2 / STIFFEST, n, seed=i))
        for i, s in enumerate(ADDITIVE)
    ]
    errors = [_lost(sde_moment(0, s * limit / B), s * limit) for s in SMALL]
    slope = float(np.polyfit(np.log(SMALL), np.log(errors), 1)[0])
    found = [_simulated_error(s * limit, n, seed=20 + i) for i, s in enumerate(SIMULATED)]
    exact = [_lost(sde_moment(0, s * limit / B), s * limit) for s in SIMULATED]
    off = max(abs(f["error"] - e) / f["half"] for f, e in zip(found, exact, strict=True))
    joint = (
        f"largest distance of simulated entries from the exact ones, in half-widths of the joint {LEVEL:.0%} interval"
    )
    rows = [
        Row(f"SGD on least squares, η up to half the mean-square limit {limit:.3f}: {joint}", "",
            max(r["off"] for r in noisy), bar=1.0),
        Row(f"the same with additive noise, η up to 90 % of 2/λ = {2 / STIFFEST:.3f}: {joint}", "",
            max(r["off"] for r in plain), bar=1.0),
        Row(f"relative error of the SDE's covariance, η = {SMALL[0]:g} … {SMALL[-1]:g} of the limit: slope {slope:.3f} "
            "in η, distance from 1", "", abs(slope - 1), bar=0.1),
        Row("the same simulated, h → 0, at 0.3 and 0.5 of the limit: largest distance from the exact error, in "
            f"half-widths of the joint {LEVEL:.0%} interval", "", off, bar=1.0),
    ]  # fmt: skip
    _draw(limit, errors, found, noisy, plain)
    lost = ", ".join(f"{100 * f['error']:.1f} ± {100 * f['half']:.1f} %" for f in found)
    detail = {
        "limit": limit, "multiplicative": noisy, "additive": plain, "error": errors, "slope": slope,
        "simulated_error": found, "exact_error": exact,
        "figures": {"stationary.png": "Stationary covariance of SGD on least squares and the error of its SDE"},
        "remarks": [
            f"Stationary covariance: six examples in two dimensions, {n:,} paths. The trace of the SDE's covariance is "
            f"too small by {100 * exact[0]:.1f} % and {100 * exact[1]:.1f} % at 0.3 and 0.5 of the limit; simulated "
            f"with h = η/10 and η/20, extrapolated, against simulated SGD: {lost}."
        ],
    }  # fmt: skip
    return rows, detail


def _late(dynamics: Any, rate: float, n: int, seed: int) -> np.ndarray:
    """Products of deviations of every path, (paths, 3), averaged over eight late times."""
    relax = 1 / (rate * SLOWEST)
    times = dynamics.clock * np.unique(np.linspace(4 * relax, 8 * relax, 8).astype(int))
    watched = [sd.Record(times)]
    ds = sd.run(dynamics, BEST, n, t_max=float(times[-1]), seed=seed, block=n, observers=watched, threads=1)
    e = ds["state"].transpose("path", "time", "component").values - BEST
    return np.stack([(e[..., i] * e[..., j]).mean(axis=1) for i, j in ENTRIES], axis=1)


def _sgd(lr: float, n: int, seed: int) -> tuple[float, np.ndarray]:
    return lr, _late(sd.SGD(objective(), lr, batch_size=B), lr, n, seed)


def _label(lr: float, n: int, seed: int) -> tuple[float, np.ndarray]:
    return lr, _late(sd.SGD(objective(), lr, batch_size=6, sampling="fresh", label_noise=LABEL), lr, n, seed)


def _against(exact: np.ndarray, lr: float, products: np.ndarray) -> dict[str, Any]:
    """Means, half-widths of the joint interval and the largest distance from the exact entries."""
    truth = np.array([exact[i, j] for i, j in ENTRIES])
    half = _width(len(products), 3 * len(SHARES)) * products.std(axis=0, ddof=1) / np.sqrt(len(products))
    mean = products.mean(axis=0)
    return {"lr": lr, "mean": mean, "half": half, "exact": truth, "off": float(np.max(np.abs(mean - truth) / half))}


def _width(n: int, looks: int) -> float:
    return float(stdtrit(n - 1, 1 - (1 - LEVEL) / (2 * looks)))


def _lost(covariance: np.ndarray, lr: float) -> float:
    """Share of the trace of SGD's covariance that the SDE's lacks."""
    return float(1 - np.trace(covariance) / np.trace(sgd_moment(B, lr=lr)))


def _simulated_error(lr: float, n: int, seed: int) -> dict[str, float]:
    """The same from simulations: SDE extrapolated to h = 0 from η/10 and η/20, over SGD; by the delta method."""
    sde = sd.minibatch_sde(objective(), lr, B)
    coarse, fine = (_late(sd.EulerMaruyama(sde, lr / k), lr / k, n, seed + k) for k in (10, 20))
    traces = [p[:, 0] + p[:, 2] for p in (_sgd(lr, n, seed)[1], fine, coarse)]
    sgd, fine_mean, coarse_mean = (float(t.mean()) for t in traces)
    limit = 2 * fine_mean - coarse_mean
    s = [float(t.std(ddof=1) / np.sqrt(n)) for t in traces]
    error = float(np.sqrt((2 * s[1]) ** 2 + s[2] ** 2 + (limit / sgd * s[0]) ** 2) / sgd)
    return {
        "lr": lr, "error": 1 - limit / sgd, "half": _width(n, len(SIMULATED)) * error,
        "coarse": 1 - coarse_mean / sgd, "fine": 1 - fine_mean / sgd,
    }  # fmt: skip


def _draw(limit: float, errors: Any, found: Any, noisy: Any, plain: Any) -> None:
    figure, axes = plt.subplots(1, 2, figsize=(10, 4.2), layout="constrained")
    for color, name, rows, top in (("C0", "batches of two", noisy, limit), ("C1", "label noise", plain, 2 / STIFFEST)):
        for (i, j), k in zip(ENTRIES, range(3), strict=True):
            x = [r["lr"] / top + 0.008 * (k - 1) for r in rows]
            unit = [np.sqrt(r["exact"][0 if i == 0 else 2] * r["exact"][0 if j == 0 else 2]) for r in rows]
            y = [(r["mean"][k] - r["exact"][k]) / u for r, u in zip(rows, unit, strict=True)]
            half = [r["half"][k] / u for r, u in zip(rows, unit, strict=True)]
            label = f"{name}, entry {i + 1}{j + 1}"
            axes[0].errorbar(x, y, half, fmt="os^"[k], color=color, markersize=4, capsize=2, label=label)
    axes[0].axhline(0.0, color="k", linewidth=0.8)
    axes[0].set(
        xlabel="η / stability limit", ylabel="(simulated - exact) / standard deviations", title="joint 95 % intervals"
    )
    shares = np.geomspace(SMALL[0], 0.5, 40)
    axes[1].plot(shares, [_lost(sde_moment(0, s * limit / B), s * limit) for s in shares], "k", label="Lyapunov, exact")
    axes[1].plot(shares, errors[0] * shares / SMALL[0], "k:", label="slope 1")
    x, y, half = ([f[k] for f in found] for k in ("lr", "error", "half"))
    axes[1].errorbar(
        np.divide(x, limit), y, half, fmt="o", color="C0", markersize=4, capsize=2, label="simulated, h → 0"
    )
    for step, mark in (("coarse", "x"), ("fine", "+")):
        at = 10 if step == "coarse" else 20
        axes[1].plot(np.divide(x, limit), [f[step] for f in found], mark, color="C3", label=f"simulated, h = η/{at}")
    axes[1].set(
        xscale="log", yscale="log", xlabel="η / stability limit", ylabel="relative error of the SDE's covariance"
    )
    ticks = (0.0125, 0.025, 0.05, 0.1, 0.2, 0.5)
    axes[1].set_xticks(ticks, [f"{t:g}" for t in ticks])
    axes[1].set_xticks([], minor=True)
    axes[1].set_title("batches of two, trace", fontsize="medium")
    low, high = axes[0].get_ylim()
    axes[0].set_ylim(low - 0.3 * (high - low), high)
    axes[0].legend(fontsize="small", ncols=2, loc="lower center")
    axes[1].legend(fontsize="small")
    figure.savefig(FIGURES / "stationary.png", dpi=150)
    plt.close(figure)
