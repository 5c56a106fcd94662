"""Double well at a fixed horizon: 65,536 paths, and 1,024 paths for longer."""

from __future__ import annotations

from typing import Any

import peers_jax
import peers_torch
from machine import THREADS
from table import Row
from timing import agree, alternate
from well import DT, SIGMA, START, chain

import sdesim as sd

CASES = {65_536: 2_000, 1_024: 40_000}
BARS = {
    "JAX fori_loop": {65_536: 10, 1_024: 20},
    "torch loop": {65_536: 25, 1_024: 35},
    "torchsde euler": {65_536: 150, 1_024: 400},
}
SHORT_STEPS = 400


def measure(small: bool = False) -> tuple[list[Row], dict[str, Any]]:
    rows: list[Row] = []
    detail: dict[str, Any] = {"timings": {}, "agreement": {}}
    for n, steps in CASES.items():
        rows += _case(n, steps // 20 if small else steps, detail)
    rows += [_end_to_end(n) for n in CASES]
    detail["remarks"] = [
        "Fixed horizon: the same number of steps for all; times of `sd.run` include the dataset it returns. "
        "1,024 paths run for 40,000 steps, so that a time per path-step is compared and not the cost of a "
        f"call; what a call of {SHORT_STEPS} steps takes from end to end is in the rows without a bar. "
        f"torchsde goes in calls of {peers_torch.PIECE} steps: one call for all exceeds Python's recursion limit."
    ]
    return rows, detail


def ours(n: int, steps: int) -> Any:
    dynamics = chain()
    return lambda: sd.run(dynamics, START, n, n_steps=steps, threads=THREADS, progress=False)


def _case(n: int, steps: int, detail: dict[str, Any]) -> list[Row]:
    given = (n, steps, DT, SIGMA)
    timed = alternate(
        {
            "sdesim": ours(n, steps),
            "JAX fori_loop": peers_jax.fixed_horizon(*given),
            "torch loop": peers_torch.loop(*given),
            "torchsde euler": peers_torch.torchsde_euler(*given),
        }
    )
    state = timed["sdesim"].result["final_state"].values
    per_step = {name: t.median / n / steps * 1e9 for name, t in timed.items()}
    detail["timings"][str(n)] = {name: t.summary() for name, t in timed.items()}
    rows = []
    for peer, bars in BARS.items():
        other = timed[peer].result
        detail["agreement"][f"{peer}, {n} paths"] = {
            "z_mean": agree(f"{peer}, mean", state, other),
            "z_square": agree(f"{peer}, square", state**2, other**2),
        }
        work = f"double well, {n:,} paths × {steps:,} steps"
        rows.append(Row(work, "ns/path-step", per_step["sdesim"], peer, per_step[peer], bars[n]))
    return rows


def _end_to_end(n: int) -> Row:
    peer = peers_jax.fixed_horizon(n, SHORT_STEPS, DT, SIGMA)
    timed = alternate({"sdesim": ours(n, SHORT_STEPS), "jax": peer})
    work = f"double well, one call: {n:,} paths × {SHORT_STEPS} steps"
    return Row(work, "ms", timed["sdesim"].median * 1e3, "JAX fori_loop", timed["jax"].median * 1e3)
