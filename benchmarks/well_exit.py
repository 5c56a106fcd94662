"""First exit of the well, every path followed to its exit, and how the cost grows with the exit times."""

from __future__ import annotations

from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import peers_jax
from machine import THREADS
from table import FIGURES, Row
from timing import agree, alternate, within
from well import DT, LEFT, SIGMA, START, chain, exits

import sdesim as sd

N = 65_536
SIGMAS = (0.45, 0.5, 0.55, 0.6, 0.7, 0.85, 1.0, 1.4, 2.0)
MASKED = (0.6, 0.7, 0.85, 1.0, 1.4, 2.0)


def measure(small: bool = False) -> tuple[list[Row], dict[str, Any]]:
    n = N // 16 if small else N
    dynamics = chain()
    timed = alternate(
        {
            "sdesim": lambda: exits(dynamics, n, None),
            "JAX vmapped while_loop": peers_jax.exit_steps_vmapped(n, DT, SIGMA),
            "JAX masked batch": peers_jax.exit_steps_masked(n, DT, SIGMA),
        }
    )
    ds = timed["sdesim"].result
    time = ds["exit_time"].values
    exact = sd.theory.chain_exit_time(dynamics, START, LEFT)
    detail: dict[str, Any] = {"timings": {name: t.summary() for name, t in timed.items()}, "agreement": {}}
    detail["agreement"]["operator of the chain"] = within(
        "mean exit time", time.mean() - exact.value, np.hypot(time.std() / np.sqrt(n), exact.error)
    )
    seconds = {name: t.median for name, t in timed.items()}
    rows = []
    for peer, bar in (("JAX vmapped while_loop", 80), ("JAX masked batch", 45)):
        detail["agreement"][peer] = agree(peer, time, timed[peer].result * DT)
        work = f"exit of the well, {n:,} paths, all exits, no correction"
        rows.append(Row(work, "s", seconds["sdesim"], peer, seconds[peer], bar))
    steps = float(ds["n_steps"].sum())
    rows.append(Row("the same, per useful path-step", "ns", seconds["sdesim"] / steps * 1e9))
    corrected = alternate({"sdesim": lambda: exits(dynamics, n, "bridge")})["sdesim"]
    useful = float(corrected.result["n_steps"].sum())
    work = "the same with bridge correction, per useful path-step"
    rows.append(Row(work, "ns", corrected.median / useful * 1e9))
    rows.append(_cost(n, detail))
    return rows, detail


def _cost(n: int, detail: dict[str, Any]) -> Row:
    """Time against the sum of the exit times; the row says how far it is from a straight line."""
    ours = np.array([_point(lambda s=s: exits(chain(sigma=s), n, None)["n_steps"].values) for s in SIGMAS])
    masked = np.array([_point(peers_jax.exit_steps_masked(n, DT, s), rounds=1) for s in MASKED])
    for name, sigma, points in (("cost", SIGMAS, ours), ("cost_masked", MASKED, masked)):
        steps, seconds = points.T.tolist()
        detail[name] = {"sigma": sigma, "path_steps": steps, "seconds": seconds}
    steps, seconds = ours.T
    design = np.stack([np.ones_like(steps), steps], axis=1)
    line, *_ = np.linalg.lstsq(design / seconds[:, None], np.ones_like(steps), rcond=None)
    off = float(np.max(np.abs(design @ line / seconds - 1)))
    detail["cost"] |= {"seconds_per_call": float(line[0]), "seconds_per_step": float(line[1]), "off": off}
    detail["figures"] = {"cost.png": "Time of a run against the sum of the exit times of its paths"}
    detail["remarks"] = [
        f"Exits: over σ from {SIGMAS[0]} to {SIGMAS[-1]} the time of `sd.run` is {line[0] * 1e3:.3g} ms and "
        f"{line[1] * 1e9:.3g} ns for each step of the sum of the exit times, within {100 * off:.0f} % (figure); the "
        "masked batch pays for its longest path."
    ]
    _draw(n, ours, masked, line)
    return Row("the same over σ: largest distance of the time from a line in the sum of exit times", "%", 100 * off)


def _point(simulate: Any, rounds: int = 3) -> tuple[float, float]:
    timed = alternate({"one": simulate}, rounds)["one"]
    return float(np.sum(timed.result)), timed.median


def _draw(n: int, ours: np.ndarray, masked: np.ndarray, line: np.ndarray) -> None:
    figure, axes = plt.subplots(figsize=(6, 4.2), layout="constrained")
    steps = np.geomspace(ours[:, 0].min(), ours[:, 0].max())
    label = f"{line[0] * 1e3:.2g} ms + {line[1] * 1e9:.2f} ns × path-steps"
    axes.loglog(*masked.T, "s", color="C1", label="JAX, masked batch")
    axes.loglog(*ours.T, "o", color="C0", label="sdesim")
    axes.loglog(steps, line[0] + line[1] * steps, "-", color="C0", linewidth=0.8, label=label)
    axes.set(xlabel="sum of the exit times [path-steps]", ylabel="wall time [s]")
    title = f"exit of the well, {n:,} paths, {THREADS} threads, σ from {SIGMAS[-1]} to {SIGMAS[0]}"
    axes.set_title(title, fontsize="medium")
    axes.grid(alpha=0.3, which="both")
    axes.legend(loc="center left", bbox_to_anchor=(0.02, 0.48))
    figure.savefig(FIGURES / "cost.png", dpi=150)
    plt.close(figure)
